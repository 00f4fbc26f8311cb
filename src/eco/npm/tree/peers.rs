//! Which nodes belong together: sets that only each other need, and peers that came in by one edge.

use crate::eco::npm::tree::graph::{Edge, EdgeId, Graph, NodeId};

/// The nodes in `start` and what they need, without those that something else needs. `counts` says which edges are
/// looked at.
pub(crate) fn only_needed_by(
    graph: &Graph<'_>,
    start: &[NodeId],
    counts: impl Fn(EdgeId, &Edge) -> bool,
) -> Vec<NodeId> {
    let mut set: Vec<NodeId> = Vec::new();
    for node in start {
        if !set.contains(node) {
            set.push(*node);
        }
    }
    let mut next = 0;
    while let Some(node) = set.get(next).copied() {
        next += 1;
        for id in &graph.node(node).out {
            let edge = graph.edge(*id);
            if let Some(to) = edge.to
                && counts(*id, edge)
                && !set.contains(&to)
            {
                set.push(to);
            }
        }
    }
    loop {
        let outside = set.iter().position(|node| {
            graph.node(*node).into.iter().any(|id| {
                let edge = graph.edge(*id);
                !set.contains(&edge.from) && counts(*id, edge)
            })
        });
        match outside {
            Some(at) => {
                set.remove(at);
            }
            None => return set,
        }
    }
}

/// The edges by which the peer sets that contain `node` came in, each with its set.
pub(crate) fn entries(graph: &Graph<'_>, node: NodeId) -> Vec<(EdgeId, Vec<NodeId>)> {
    let is_peer = |id: EdgeId| graph.is_valid(id) && graph.edge(id).kind.is_peer();
    let mut union = vec![node];
    let mut next = 0;
    while let Some(member) = union.get(next).copied() {
        next += 1;
        let member = graph.node(member);
        let out = member
            .out
            .iter()
            .filter(|e| is_peer(**e))
            .filter_map(|e| graph.edge(*e).to);
        let into = member
            .into
            .iter()
            .filter(|e| is_peer(**e))
            .map(|e| graph.edge(*e).from);
        for other in out.chain(into) {
            if !union.contains(&other) {
                union.push(other);
            }
        }
    }
    let mut found: Vec<(EdgeId, Vec<NodeId>)> = Vec::new();
    for member in union {
        for id in &graph.node(member).into {
            let edge = graph.edge(*id);
            let is_entry = graph.is_valid(*id) && (!edge.kind.is_peer() || graph.is_top(edge.from));
            if !is_entry {
                continue;
            }
            let set = brought_in(graph, member);
            if set.contains(&node) && !found.iter().any(|(known, _)| known == id) {
                found.push((*id, set));
            }
        }
    }
    found
}

/// A node and its peers, and theirs.
fn brought_in(graph: &Graph<'_>, start: NodeId) -> Vec<NodeId> {
    let mut set = vec![start];
    let mut next = 0;
    while let Some(member) = set.get(next).copied() {
        next += 1;
        for id in &graph.node(member).out {
            if let Some(to) = graph.edge(*id).to
                && graph.edge(*id).kind.is_peer()
                && graph.is_valid(*id)
                && !set.contains(&to)
            {
                set.push(to);
            }
        }
    }
    set
}

/// Whether `new` could stand where `old` is for everyone who needs `old`. Peers beside it called as in `ignored` do not
/// count.
pub(crate) fn can_replace(graph: &Graph<'_>, new: NodeId, old: NodeId, ignored: &[NodeId]) -> bool {
    if graph.node(new).name != graph.node(old).name || !has_same_package(graph, new, old) {
        return false;
    }
    let dependents = only_needed_by(graph, &[old], |id, edge| {
        edge.to != Some(old) && graph.is_valid(id)
    });
    graph.node(old).into.iter().all(|id| {
        let edge = graph.edge(*id);
        let is_ignored = !graph.is_top(old)
            && graph.node(edge.from).parent == graph.node(old).parent
            && edge.kind.is_peer()
            && ignored
                .iter()
                .any(|i| graph.node(*i).name == graph.node(edge.from).name);
        is_ignored || dependents.contains(&edge.from) || graph.meets(new, *id)
    })
}

fn has_same_package(graph: &Graph<'_>, one: NodeId, other: NodeId) -> bool {
    let name = |id| graph.manifest(id).map(|m| &graph.catalog.manifest(m).name);
    name(one) == name(other)
}

/// Whether a node is superfluous: nothing needs it, or another one further up does as well.
pub(crate) fn is_superfluous(graph: &Graph<'_>, id: NodeId, prefer_less: bool) -> bool {
    if graph.bundler(id).is_some_and(|b| b != Graph::ROOT) {
        return false;
    }
    let node = graph.node(id);
    let Some(around) = node.parent.and_then(|p| graph.node(p).parent) else {
        return false;
    };
    if node.into.is_empty() {
        return true;
    }
    let Some(other) = graph.resolve(around, node.name) else {
        return false;
    };
    if graph.is_same(other, id) {
        return true;
    }
    if !can_replace(graph, other, id, &[]) {
        return false;
    }
    let version = |id| {
        graph
            .manifest(id)
            .and_then(|m| graph.catalog.manifest(m).parsed.as_ref())
    };
    prefer_less || version(other) >= version(id)
}
