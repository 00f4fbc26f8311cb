//! Walks the dependencies from the root outwards, shallow nodes first, and places what is missing. Pure: what is not
//! known yet stops the walk, which then starts again from nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::eco::npm::catalog::{Catalog, ManifestId, Picked, SpecId};
use crate::eco::npm::fault::NpmError;
use crate::eco::npm::order;
use crate::eco::npm::placed::EdgeKind;
use crate::eco::npm::tree::graph::{Content, EdgeId, Graph, Name, NodeId, Wish};
use crate::eco::npm::tree::{peers, place};

/// Most nodes one build may make; no real tree comes near.
const MAX_NODES: usize = 400_000;
/// Longest chain of peers of peers.
const MAX_PEER_CHAIN: usize = 200;

/// Why the walk stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Nobody has picked a version for this dependency yet.
    Pick(String, SpecId),
    /// Nobody has looked into this tarball yet.
    Bundle(ManifestId),
    /// Peer dependencies of the project contradict each other.
    Conflict(EdgeId),
    /// The tree grows without end.
    Endless,
}

/// A build that did not end.
#[derive(Debug)]
pub(crate) enum Unbuilt {
    /// Pick a version for this dependency, then build again.
    Pick(String, SpecId),
    /// Look into this tarball, then build again.
    Bundle(ManifestId),
    /// There is no tree.
    Failed(NpmError),
}

/// A finished ideal tree.
#[derive(Debug, Default)]
pub(crate) struct Ideal {
    /// What is where.
    pub(crate) places: BTreeMap<String, ManifestId>,
    /// Dependencies that could not be had.
    pub(crate) failed: Vec<Failed>,
    /// Peer dependencies that something else stands in for.
    pub(crate) overridden: Vec<Overridden>,
    /// Places that would have to be links to a place further up.
    pub(crate) loops: Vec<String>,
}

/// A dependency that could not be had.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Failed {
    /// Path of the dependent; empty for the root.
    pub(crate) from: String,
    /// Name.
    pub(crate) name: String,
    /// What was asked for.
    pub(crate) spec: SpecId,
    /// Whether the tree cannot do without it.
    pub(crate) required: bool,
    /// Whether the dependent cannot do without it.
    pub(crate) hard: bool,
}

/// A peer dependency that something else stands in for.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Overridden {
    /// Path of the dependent.
    pub(crate) from: String,
    /// Name of the peer.
    pub(crate) name: String,
    /// Range of the peer.
    pub(crate) spec: SpecId,
    /// Path of what is there.
    pub(crate) to: String,
}

/// Nodes still to be looked at: shallow first, then by path, as npm sorts it.
#[derive(Debug, Default)]
struct Queue {
    order: BTreeMap<(usize, Vec<u8>, usize), NodeId>,
    queued: BTreeSet<NodeId>,
    pushed: usize,
}

impl Queue {
    fn push(&mut self, graph: &Graph<'_>, node: NodeId) {
        if self.queued.insert(node) {
            self.pushed += 1;
            let key = (
                graph.depth(node),
                order::key(&graph.path(node)),
                self.pushed,
            );
            self.order.insert(key, node);
        }
    }

    fn pop(&mut self) -> Option<NodeId> {
        let (_, node) = self.order.pop_first()?;
        self.queued.remove(&node);
        Some(node)
    }
}

struct Builder<'c> {
    graph: Graph<'c>,
    queue: Queue,
    seen: BTreeSet<NodeId>,
    /// The trial tree of each node.
    stages: BTreeMap<NodeId, NodeId>,
}

/// Builds the ideal tree of a project with these dependencies.
pub(crate) fn build(catalog: &Catalog, roots: Vec<Wish>) -> Result<Ideal, Unbuilt> {
    let mut builder = Builder {
        graph: Graph::new(catalog, roots),
        queue: Queue::default(),
        seen: BTreeSet::new(),
        stages: BTreeMap::new(),
    };
    builder.queue.push(&builder.graph, Graph::ROOT);
    while let Some(node) = builder.queue.pop() {
        if let Err(stop) = builder.visit(node) {
            return Err(builder.explain(stop));
        }
    }
    Ok(builder.finish())
}

impl Builder<'_> {
    fn visit(&mut self, node: NodeId) -> Result<(), Stop> {
        if !self.graph.is_in_tree(node) || !self.seen.insert(node) {
            return Ok(());
        }
        let mut bundled: Vec<Name> = Vec::new();
        if let Content::Package(manifest) = self.graph.node(node).content {
            let manifest_data = self.graph.catalog.manifest(manifest);
            if manifest_data.record.has_shrinkwrap {
                return Ok(());
            }
            let names = &manifest_data.record.bundle_dependencies;
            if !names.is_empty() && manifest_data.tarball.is_some() {
                self.unpack(node, manifest)?;
            }
            bundled = names.iter().map(|n| self.graph.intern(n)).collect();
        }
        let mut tasks = Vec::new();
        for edge in self.problems(node, &bundled) {
            if !self.graph.edge(edge).overridden {
                tasks.push((edge, self.candidate(node, edge)?));
            }
        }
        tasks.sort_by_cached_key(|(edge, _)| {
            order::key(self.graph.text(self.graph.edge(*edge).name))
        });
        for (edge, dep) in tasks {
            for placement in place::place(&mut self.graph, edge, dep)? {
                self.requeue(&placement);
            }
        }
        Ok(())
    }

    /// Puts what a tarball contains below its package.
    fn unpack(&mut self, node: NodeId, manifest: ManifestId) -> Result<(), Stop> {
        let inside = self
            .graph
            .catalog
            .bundle(manifest)
            .ok_or(Stop::Bundle(manifest))?;
        let mut places: BTreeMap<&str, NodeId> = BTreeMap::from([("", node)]);
        for bundled in inside {
            let parent =
                crate::eco::npm::placed::parent_of(&bundled.path).and_then(|p| places.get(p));
            let folder = crate::eco::npm::placed::folder_of(&bundled.path);
            let (Some(parent), Some(folder)) = (parent.copied(), folder) else {
                continue;
            };
            let name = self.graph.intern(folder);
            let child = self
                .graph
                .add(name, Content::Package(bundled.manifest), Some(parent));
            places.insert(&bundled.path, child);
        }
        Ok(())
    }

    /// Edges of a node that lead nowhere or to the wrong version.
    fn problems(&self, node: NodeId, bundled: &[Name]) -> Vec<EdgeId> {
        let graph = &self.graph;
        let is_problem = |id: &EdgeId| {
            let edge = graph.edge(*id);
            match edge.to {
                _ if bundled.contains(&edge.name) => false,
                Some(to) => !graph.is_failed(to) && !graph.is_valid(*id),
                None => edge.kind != EdgeKind::PeerOptional,
            }
        };
        graph
            .node(node)
            .out
            .iter()
            .copied()
            .filter(is_problem)
            .collect()
    }

    /// The package to place for an edge, in a trial tree with its peers.
    fn candidate(&mut self, node: NodeId, id: EdgeId) -> Result<NodeId, Stop> {
        let stage = self.stage(node, true);
        let edge = self.graph.edge(id).clone();
        let known = self
            .graph
            .edge_named(stage, edge.name)
            .filter(|e| self.graph.is_valid(*e));
        let known = known
            .and_then(|e| self.graph.edge(e).to)
            .filter(|dep| self.graph.meets(*dep, id));
        if let Some(dep) = known {
            return Ok(dep);
        }
        if edge.kind == EdgeKind::PeerOptional {
            let start = self.graph.node(edge.from).parent.unwrap_or(edge.from);
            if let Some(dep) = self.hoistable(start, id) {
                return Ok(dep);
            }
        }
        let mut required = BTreeSet::from([edge.from]);
        let parent = edge.kind.is_peer().then_some(stage);
        self.bring(id, parent, None, &mut required, 0)
    }

    /// A node inside `start` that meets an edge, the nearest first.
    fn hoistable(&self, start: NodeId, edge: EdgeId) -> Option<NodeId> {
        let graph = &self.graph;
        graph.subtree(start).into_iter().skip(1).find(|n| {
            graph.node(*n).name == graph.edge(edge).name
                && graph.bundler(*n).is_none()
                && graph.meets(*n, edge)
        })
    }

    /// The root of a trial tree with the dependencies of `source`.
    fn stage(&mut self, source: NodeId, reuse: bool) -> NodeId {
        if reuse && let Some(known) = self.stages.get(&source) {
            return *known;
        }
        let name = self.graph.node(source).name;
        let stage = self.graph.add(name, Content::Stage(source), None);
        self.stages.insert(source, stage);
        stage
    }

    /// Makes a node for an edge in a trial tree, with all its peers. `second` is another edge that should be met too.
    fn bring(
        &mut self,
        id: EdgeId,
        parent: Option<NodeId>,
        second: Option<EdgeId>,
        required: &mut BTreeSet<NodeId>,
        depth: usize,
    ) -> Result<NodeId, Stop> {
        if depth > MAX_PEER_CHAIN {
            return Err(Stop::Endless);
        }
        let edge = self.graph.edge(id).clone();
        let parent = match parent {
            Some(parent) => parent,
            None => self.stage(edge.from, false),
        };
        let first = self.make(edge.name, edge.spec, parent)?;
        let mut node = first;
        if let Some(second) = second.filter(|s| !self.graph.is_valid(*s)) {
            let spec = self.graph.edge(second).spec;
            let other = self.make(edge.name, spec, parent)?;
            if self.graph.is_valid(id) {
                node = other;
            }
        }
        self.graph.attach(node, parent);
        let is_required = |e: EdgeId| {
            let edge = self.graph.edge(e);
            required.contains(&edge.from) && edge.kind != EdgeKind::PeerOptional
        };
        if is_required(id) || second.is_some_and(is_required) {
            required.insert(node);
        }
        self.bring_peers(node, required, depth)?;
        Ok(node)
    }

    fn make(&mut self, name: Name, spec: SpecId, parent: NodeId) -> Result<NodeId, Stop> {
        let text = self.graph.text(name);
        let content = match self.graph.catalog.picked(text, spec) {
            Some(Picked::Version(manifest)) => Content::Package(manifest),
            Some(Picked::NoPackage | Picked::NoVersion | Picked::Foreign) => Content::Failed,
            None => return Err(Stop::Pick(text.to_owned(), spec)),
        };
        let node = self.graph.add(name, content, Some(parent));
        if self.graph.size() > MAX_NODES {
            Err(Stop::Endless)
        } else {
            Ok(node)
        }
    }

    /// Brings the peers of a node into its trial tree, and theirs.
    fn bring_peers(
        &mut self,
        node: NodeId,
        required: &mut BTreeSet<NodeId>,
        depth: usize,
    ) -> Result<(), Stop> {
        let graph = &self.graph;
        let is_open = |e: &EdgeId| {
            let edge = graph.edge(*e);
            edge.kind.is_peer() && !(edge.to.is_some() && graph.is_valid(*e))
        };
        let mut open: Vec<EdgeId> = graph
            .node(node)
            .out
            .iter()
            .copied()
            .filter(is_open)
            .collect();
        open.sort_by_cached_key(|e| order::key(graph.text(graph.edge(*e).name)));
        for id in open {
            let Some(parent) = self.graph.node(node).parent else {
                break;
            };
            let to = self.graph.edge(id).to;
            if to.is_some() && self.graph.is_valid(id) {
                continue;
            }
            let tolerant = match self.graph.node(parent).content {
                Content::Stage(source) => !self.graph.is_top(source),
                _ => true,
            };
            match to {
                None => {
                    let parent_edge = self.graph.edge_named(parent, self.graph.edge(id).name);
                    let Some(parent_edge) = parent_edge else {
                        self.bring(id, Some(parent), None, required, depth + 1)?;
                        continue;
                    };
                    let dep =
                        self.bring(parent_edge, Some(parent), Some(id), required, depth + 1)?;
                    if self.graph.is_valid(id) {
                        continue;
                    }
                    if tolerant || !required.contains(&dep) {
                        self.graph.give_up(id);
                    } else if self.graph.is_top(node) {
                        break;
                    } else {
                        return Err(Stop::Conflict(id));
                    }
                }
                Some(current) => {
                    let dep = self.bring(id, None, None, required, depth + 1)?;
                    if peers::can_replace(&self.graph, dep, current, &[]) {
                        self.bring(id, Some(parent), None, required, depth + 1)?;
                    } else if !tolerant && required.contains(&node) {
                        return Err(Stop::Conflict(id));
                    }
                }
            }
        }
        Ok(())
    }

    /// Queues what a placement touched.
    fn requeue(&mut self, placement: &place::Placement) {
        let mut again = Vec::new();
        for id in &self.graph.node(placement.node).into {
            let edge = self.graph.edge(*id);
            if *id != placement.edge && !edge.overridden && !self.graph.is_valid(*id) {
                again.push(edge.from);
            }
        }
        for node in &again {
            self.seen.remove(node);
            self.queue.push(&self.graph, *node);
        }
        self.queue.push(&self.graph, placement.node);
        for node in &placement.reopened {
            self.seen.remove(node);
            self.queue.push(&self.graph, *node);
        }
    }

    fn finish(self) -> Ideal {
        let graph = self.graph;
        let mut ideal = Ideal::default();
        let required = required(&graph);
        for node in graph.subtree(Graph::ROOT).into_iter().skip(1) {
            match graph.node(node).content {
                Content::Package(manifest) => {
                    ideal.places.insert(graph.path(node), manifest);
                }
                Content::Link(_) => ideal.loops.push(graph.path(node)),
                Content::Failed | Content::Root | Content::Stage(_) => {}
            }
            for id in &graph.node(node).into {
                let edge = graph.edge(*id);
                let (from, name) = (graph.path(edge.from), graph.text(edge.name).to_owned());
                if graph.is_failed(node) {
                    let required = required.contains(&node);
                    ideal.failed.push(Failed {
                        from,
                        name,
                        spec: edge.spec,
                        required,
                        hard: !edge.kind.is_optional(),
                    });
                } else if edge.kind.is_peer() && !graph.is_valid(*id) {
                    let to = graph.path(node);
                    ideal.overridden.push(Overridden {
                        from,
                        name,
                        spec: edge.spec,
                        to,
                    });
                }
            }
        }
        ideal.failed.sort();
        ideal.overridden.sort();
        ideal
    }

    fn explain(self, stop: Stop) -> Unbuilt {
        match stop {
            Stop::Pick(name, spec) => Unbuilt::Pick(name, spec),
            Stop::Bundle(manifest) => Unbuilt::Bundle(manifest),
            Stop::Endless => Unbuilt::Failed(NpmError::Internal {
                reason: format!("more than {MAX_NODES} nodes, or peers of peers without end"),
            }),
            Stop::Conflict(edge) => Unbuilt::Failed(conflict(&self.graph, edge)),
        }
    }
}

/// Nodes that cannot be left out.
fn required(graph: &Graph<'_>) -> BTreeSet<NodeId> {
    let mut found = BTreeSet::from([Graph::ROOT]);
    let mut queue = vec![Graph::ROOT];
    while let Some(node) = queue.pop() {
        for id in &graph.node(node).out {
            let edge = graph.edge(*id);
            if let Some(to) = edge.to.filter(|_| !edge.kind.is_optional())
                && found.insert(to)
            {
                queue.push(to);
            }
        }
    }
    found
}

/// Who wants what, where two peer dependencies contradict each other.
fn conflict(graph: &Graph<'_>, id: EdgeId) -> NpmError {
    let edge = graph.edge(id);
    let label = |node: NodeId| label(graph, node);
    let at = graph.resolve(edge.from, edge.name).or(edge.to);
    let found = at.map_or_else(
        || "nothing that fits".to_owned(),
        |at| {
            let other = graph
                .node(at)
                .into
                .iter()
                .map(|e| graph.edge(*e))
                .find(|e| e.from != edge.from);
            let wanted = other.map_or_else(String::new, |other| {
                let range = crate::base::text::escaped(graph.catalog.spec_text(other.spec));
                format!(" (which {} wants as {range})", label(other.from))
            });
            format!("{}{wanted}", label(at))
        },
    );
    NpmError::Conflict {
        wants: label(edge.from),
        peer: crate::base::text::escaped(graph.text(edge.name)),
        range: crate::base::text::escaped(graph.catalog.spec_text(edge.spec)),
        found,
        chain: chain(graph, edge.from),
    }
}

fn label(graph: &Graph<'_>, node: NodeId) -> String {
    match (graph.manifest(node), graph.node(node).content) {
        (Some(manifest), _) => {
            let manifest = graph.catalog.manifest(manifest);
            crate::base::text::escaped(&format!("{}@{}", manifest.name, manifest.version))
        }
        (None, Content::Stage(source)) => label(graph, source),
        (None, _) if graph.is_top(node) => "the project".to_owned(),
        (None, _) => crate::base::text::escaped(graph.text(graph.node(node).name)),
    }
}

/// How a node came in.
fn chain(graph: &Graph<'_>, node: NodeId) -> Vec<String> {
    let mut chain = Vec::new();
    let mut seen = BTreeSet::new();
    let mut next = Some(node);
    while let Some(node) = next.filter(|n| seen.insert(*n)) {
        next = match graph.node(node).content {
            Content::Root => None,
            Content::Stage(source) => Some(source),
            Content::Package(_) | Content::Failed | Content::Link(_) => {
                chain.push(label(graph, node));
                graph.node(node).into.first().map(|e| graph.edge(*e).from)
            }
        };
    }
    chain.reverse();
    chain
}
