//! Puts a package and its unmet peers into the tree: as far out as it may go, replacing and pruning what it makes
//! superfluous.

use crate::eco::npm::order;
use crate::eco::npm::tree::build::Stop;
use crate::eco::npm::tree::check::{self, Answer, Question, Within};
use crate::eco::npm::tree::graph::{Content, EdgeId, Graph, NodeId};
use crate::eco::npm::tree::peers;

/// What placing did.
#[derive(Debug)]
pub(super) struct Placement {
    /// The edge it was for.
    pub(super) edge: EdgeId,
    /// The new node.
    pub(super) node: NodeId,
    /// Nodes that lost a dependency on the way.
    pub(super) reopened: Vec<NodeId>,
}

/// A package to place.
#[derive(Debug, Clone, Copy)]
struct Job {
    dep: NodeId,
    edge: EdgeId,
    /// Where the search starts, from which edge, and what the package is a peer of.
    bringer: Option<Bringer>,
}

/// The package that brings a peer along.
#[derive(Debug, Clone, Copy)]
struct Bringer {
    start: NodeId,
    within: Within,
}

/// Places `dep` for `edge`; the placements, each before those of its peers.
pub(super) fn place(
    graph: &mut Graph<'_>,
    edge: EdgeId,
    dep: NodeId,
) -> Result<Vec<Placement>, Stop> {
    let mut done = Vec::new();
    run(
        graph,
        Job {
            dep,
            edge,
            bringer: None,
        },
        &mut done,
    )?;
    Ok(done)
}

fn run(graph: &mut Graph<'_>, job: Job, done: &mut Vec<Placement>) -> Result<(), Stop> {
    let edge = graph.edge(job.edge).clone();
    if edge.to.is_some() && graph.is_valid(job.edge) {
        return Ok(());
    }
    let start = graph.deepest_home(job.bringer.map_or(edge.from, |b| b.start), edge.name);
    let Some((target, answers)) = find_place(graph, job, start) else {
        let entry = job.bringer.map_or(job.edge, |b| b.within.entry);
        if is_ours(graph, entry) {
            return Err(Stop::Conflict(entry));
        }
        graph.give_up(job.edge);
        return Ok(());
    };
    let kind = if answers.all == Answer::Conflict {
        answers.alone
    } else {
        answers.all
    };
    if kind == Answer::Keep {
        if edge.kind.is_peer() && !graph.is_valid(job.edge) {
            graph.give_up(job.edge);
        }
        prune_from(graph, target);
        return Ok(());
    }
    if let Some(same) = around_itself(graph, job.dep, target) {
        let node = graph.add(edge.name, Content::Link(same), Some(target));
        let (edge, reopened) = (job.edge, Vec::new());
        done.push(Placement {
            edge,
            node,
            reopened,
        });
        return Ok(());
    }
    let name = graph.node(job.dep).name;
    let placed = graph.add(name, graph.node(job.dep).content, None);
    let mut reopened = Vec::new();
    if let Some(old) = graph.child(target, edge.name) {
        reopened = replace(graph, old, placed);
    } else {
        graph.attach(placed, target);
    }
    if edge.kind.is_peer() && !graph.meets(placed, job.edge) {
        graph.give_up(job.edge);
    }
    done.push(Placement {
        edge: job.edge,
        node: placed,
        reopened,
    });
    prune_after(graph, job.edge, target, placed);
    let question = question(job, target);
    let within = Within {
        deepest: check::deepest(graph, &question),
        entry: job.bringer.map_or(job.edge, |b| b.within.entry),
    };
    place_peers(graph, job.dep, placed, Bringer { start, within }, done)
}

/// The same package further out, inside which this place is: nesting would never end.
fn around_itself(graph: &Graph<'_>, dep: NodeId, target: NodeId) -> Option<NodeId> {
    graph
        .around(target)
        .find(|n| !graph.is_top(*n) && graph.is_same(*n, dep))
}

fn question(job: Job, target: NodeId) -> Question<'static> {
    Question {
        dep: job.dep,
        target,
        edge: job.edge,
        prefer_less: false,
        within: job.bringer.map(|b| b.within),
        path: &[],
    }
}

/// The outermost place, from `start` on, before the first conflict; the place of the package alone if its peers fit
/// nowhere.
fn find_place(graph: &Graph<'_>, job: Job, start: NodeId) -> Option<(NodeId, check::Answers)> {
    let name = graph.edge(job.edge).name;
    let mut alone = None;
    let mut all = None;
    for target in graph.around(start) {
        let is_peer_here = graph
            .edge_named(target, name)
            .is_some_and(|e| graph.edge(e).kind.is_peer());
        if is_peer_here && !graph.is_top(target) {
            continue;
        }
        let answers = check::answer(graph, question(job, target));
        if answers.alone != Answer::Conflict {
            alone = Some((target, answers));
        }
        if answers.all == Answer::Conflict {
            break;
        }
        all = Some((target, answers));
        if graph.is_failed(job.dep) {
            break;
        }
    }
    if all.is_some() {
        return all;
    }
    let entry = job.bringer.map_or(job.edge, |b| b.within.entry);
    if is_ours(graph, entry) { None } else { alone }
}

/// Whether the project itself asks for the set that came in by `entry`.
fn is_ours(graph: &Graph<'_>, entry: EdgeId) -> bool {
    let edge = graph.edge(entry);
    let is_root = |n: NodeId| graph.is_top(n);
    if is_root(edge.from) {
        return true;
    }
    if !edge.kind.is_peer() {
        return false;
    }
    let into = &graph.node(edge.from).into;
    let by_root = into
        .iter()
        .any(|e| !graph.edge(*e).kind.is_peer() && is_root(graph.edge(*e).from));
    let has_peers = into.iter().any(|e| graph.edge(*e).kind.is_peer());
    by_root
        || (has_peers
            && peers::entries(graph, edge.from)
                .iter()
                .any(|(e, _)| is_root(graph.edge(*e).from)))
}

/// Puts `placed` where `old` is and removes what only `old` needed. Returns the nodes whose peers were removed.
fn replace(graph: &mut Graph<'_>, old: NodeId, placed: NodeId) -> Vec<NodeId> {
    let target = graph.node(old).parent;
    let mut left = Vec::new();
    for id in graph.node(old).out.clone() {
        let edge = graph.edge(id);
        let (name, to) = (edge.name, edge.to);
        if let Some(to) = to
            && graph.edge_named(placed, name).is_none()
        {
            left.extend(peers::only_needed_by(graph, &[to], |_, e| e.to != Some(to)));
        }
    }
    let mut pruned: Vec<NodeId> = Vec::new();
    for id in graph.node(old).into.clone() {
        let edge = graph.edge(id).clone();
        let stays = graph.meets(placed, id)
            || !edge.kind.is_peer()
            || graph.node(edge.from).parent != target
            || edge.overridden;
        if stays {
            continue;
        }
        for (entry, _) in peers::entries(graph, edge.from) {
            let Some(node) = graph.edge(entry).to else {
                continue;
            };
            if graph.is_top(graph.edge(entry).from) {
                graph.give_up(id);
            } else {
                pruned.extend(peers::only_needed_by(graph, &[node], |_, e| {
                    e.to != Some(node) && !e.overridden
                }));
            }
        }
    }
    graph.replace(old, placed);
    prune_left_over(graph, placed, &left);
    let mut reopened = Vec::new();
    for node in pruned {
        reopened.extend(graph.node(node).into.iter().map(|e| graph.edge(*e).from));
        graph.detach(node);
    }
    reopened
}

/// Removes what only the replaced node needed.
fn prune_left_over(graph: &mut Graph<'_>, placed: NodeId, left: &[NodeId]) {
    let out = &graph.node(placed).out;
    let mut invalid: Vec<NodeId> = out
        .iter()
        .filter(|e| !graph.is_valid(**e))
        .filter_map(|e| graph.edge(*e).to)
        .collect();
    for node in left {
        invalid.extend(peers::only_needed_by(graph, &[*node], |id, e| {
            e.to != Some(*node) && graph.is_valid(id)
        }));
    }
    let junk = peers::only_needed_by(graph, &invalid, |id, e| {
        e.from != placed && e.to != Some(placed) && graph.is_valid(id)
    });
    for node in junk {
        graph.detach(node);
    }
}

/// Removes what the new node makes superfluous.
fn prune_after(graph: &mut Graph<'_>, edge: EdgeId, target: NodeId, placed: NodeId) {
    if let Some(to) = graph.edge(edge).to.filter(|to| *to != placed)
        && graph.is_valid(edge)
    {
        prune(graph, to);
    }
    let name = graph.node(placed).name;
    let inside = graph.subtree(target);
    let named: Vec<NodeId> = inside
        .into_iter()
        .filter(|n| graph.node(*n).name == name && !graph.is_top(*n))
        .collect();
    for node in named {
        if graph.is_inside(node, target) {
            prune(graph, node);
        }
        if graph.is_inside(node, target) {
            let kids: Vec<NodeId> = graph.node(node).children.values().copied().collect();
            for kid in kids {
                prune(graph, kid);
            }
        }
    }
}

/// Removes a node if it is superfluous, with what only it needs. Whether it did.
fn prune(graph: &mut Graph<'_>, node: NodeId) -> bool {
    if !peers::is_superfluous(graph, node, false) {
        return false;
    }
    let set = peers::only_needed_by(graph, &[node], |id, e| {
        e.to != Some(node) && graph.is_valid(id)
    });
    for node in set {
        graph.detach(node);
    }
    true
}

/// [`prune`] for a node and everything inside it.
fn prune_from(graph: &mut Graph<'_>, node: NodeId) {
    if prune(graph, node) {
        return;
    }
    let mut kids: Vec<NodeId> = graph.node(node).children.values().copied().collect();
    kids.sort_by_cached_key(|k| order::key(&graph.path(*k)));
    for kid in kids {
        prune_from(graph, kid);
    }
}

/// Places the peers of the new node that the tree does not meet, as its trial tree has them.
fn place_peers(
    graph: &mut Graph<'_>,
    dep: NodeId,
    placed: NodeId,
    bringer: Bringer,
    done: &mut Vec<Placement>,
) -> Result<(), Stop> {
    let stage = graph.node(dep).parent;
    for id in graph.node(placed).out.clone() {
        let edge = graph.edge(id);
        if graph.is_valid(id) || !edge.kind.is_peer() || edge.overridden {
            continue;
        }
        let peer = stage.and_then(|stage| graph.child(stage, edge.name));
        if let Some(peer) = peer.filter(|p| graph.meets(*p, id)) {
            run(
                graph,
                Job {
                    dep: peer,
                    edge: id,
                    bringer: Some(bringer),
                },
                done,
            )?;
        }
    }
    Ok(())
}
