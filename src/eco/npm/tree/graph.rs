//! Nodes and edges of trees under construction: the ideal tree and the small trial trees ("stages") in which a package
//! is brought together with its peers before it is placed. Every edge always leads where Node would find its name.

use std::collections::{BTreeMap, BTreeSet};

use crate::eco::npm::catalog::{Catalog, ManifestId, SpecId};
use crate::eco::npm::placed::EdgeKind;

/// An interned name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(u32);

/// A node of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(usize);

/// An edge of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EdgeId(usize);

/// What a node stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// The project.
    Root,
    /// The root of a trial tree for the node's dependencies.
    Stage(NodeId),
    /// A package.
    Package(ManifestId),
    /// A package that could not be had.
    Failed,
    /// A link to a node further up, where nesting would never end.
    Link(NodeId),
}

/// A node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Folder name.
    pub(crate) name: Name,
    /// What it is.
    pub(crate) content: Content,
    /// The node around it.
    pub(crate) parent: Option<NodeId>,
    /// Nodes in its `node_modules`, by name without case.
    pub(crate) children: BTreeMap<Name, NodeId>,
    /// Its dependencies.
    pub(crate) out: Vec<EdgeId>,
    /// Edges that lead here, oldest first.
    pub(crate) into: Vec<EdgeId>,
}

/// A dependency edge.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    /// Name that is looked up.
    pub(crate) name: Name,
    /// What is asked for.
    pub(crate) spec: SpecId,
    /// Kind.
    pub(crate) kind: EdgeKind,
    /// The dependent.
    pub(crate) from: NodeId,
    /// Where the name leads.
    pub(crate) to: Option<NodeId>,
    /// A peer dependency that was given up.
    pub(crate) overridden: bool,
}

/// A root dependency or a manifest's, ready to become an edge.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// Name.
    pub(crate) name: String,
    /// What is asked for.
    pub(crate) spec: SpecId,
    /// Kind.
    pub(crate) kind: EdgeKind,
}

/// All nodes and edges ever made in one build.
#[derive(Debug)]
pub(crate) struct Graph<'c> {
    /// Manifests and ranges.
    pub(crate) catalog: &'c Catalog,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    names: Vec<String>,
    folded: Vec<Name>,
    by_text: BTreeMap<String, Name>,
    /// Edges that are or were in the ideal tree, by name without case.
    by_name: BTreeMap<Name, BTreeSet<EdgeId>>,
    root_wishes: Vec<Wish>,
}

impl<'c> Graph<'c> {
    /// The root of the ideal tree.
    pub(crate) const ROOT: NodeId = NodeId(0);

    /// A tree with nothing but its root.
    pub(crate) fn new(catalog: &'c Catalog, root_wishes: Vec<Wish>) -> Self {
        let mut graph = Self {
            catalog,
            nodes: Vec::new(),
            edges: Vec::new(),
            names: Vec::new(),
            folded: Vec::new(),
            by_text: BTreeMap::new(),
            by_name: BTreeMap::new(),
            root_wishes,
        };
        let name = graph.intern("");
        graph.add(name, Content::Root, None);
        graph
    }

    /// How many nodes were ever made.
    pub(crate) const fn size(&self) -> usize {
        self.nodes.len()
    }

    /// The node.
    #[expect(
        clippy::indexing_slicing,
        reason = "node ids are made by `add` only, and nodes are never removed"
    )]
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "node ids are made by `add` only, and nodes are never removed"
    )]
    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0]
    }

    /// The edge.
    #[expect(
        clippy::indexing_slicing,
        reason = "edge ids are made by `connect` only, and edges are never removed"
    )]
    pub(crate) fn edge(&self, id: EdgeId) -> &Edge {
        &self.edges[id.0]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "edge ids are made by `connect` only, and edges are never removed"
    )]
    fn edge_mut(&mut self, id: EdgeId) -> &mut Edge {
        &mut self.edges[id.0]
    }

    /// Gives a peer dependency up.
    pub(crate) fn give_up(&mut self, edge: EdgeId) {
        self.edge_mut(edge).overridden = true;
    }

    /// The name for a text.
    pub(crate) fn intern(&mut self, text: &str) -> Name {
        if let Some(known) = self.by_text.get(text) {
            return *known;
        }
        let name = Name(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.names.push(text.to_owned());
        self.folded.push(name);
        self.by_text.insert(text.to_owned(), name);
        let lower = text.to_lowercase();
        if lower != text {
            let folded = self.intern(&lower);
            if let Some(entry) = self.folded.get_mut(name.0 as usize) {
                *entry = folded;
            }
        }
        name
    }

    /// The text of a name.
    pub(crate) fn text(&self, name: Name) -> &str {
        self.names.get(name.0 as usize).map_or("", String::as_str)
    }

    /// The name that case-insensitive file systems see.
    fn fold(&self, name: Name) -> Name {
        self.folded.get(name.0 as usize).copied().unwrap_or(name)
    }

    /// Makes a node with its edges, inside `parent` if there is one (replacing what has its place).
    pub(crate) fn add(&mut self, name: Name, content: Content, parent: Option<NodeId>) -> NodeId {
        let id = NodeId(self.nodes.len());
        self.nodes.push(Node {
            name,
            content,
            parent: None,
            children: BTreeMap::new(),
            out: Vec::new(),
            into: Vec::new(),
        });
        if let Some(parent) = parent {
            self.attach(id, parent);
        }
        for wish in self.wishes(content) {
            self.connect(id, &wish);
        }
        if self.is_in_tree(id) {
            self.enlist(id);
        }
        id
    }

    fn wishes(&self, content: Content) -> Vec<Wish> {
        match content {
            Content::Root => self.root_wishes.clone(),
            Content::Stage(source) => self.wishes(self.node(source).content),
            Content::Package(manifest) => self.catalog.wishes(manifest),
            Content::Failed | Content::Link(_) => Vec::new(),
        }
    }

    fn connect(&mut self, from: NodeId, wish: &Wish) {
        let name = self.intern(&wish.name);
        let id = EdgeId(self.edges.len());
        self.edges.push(Edge {
            name,
            spec: wish.spec,
            kind: wish.kind,
            from,
            to: None,
            overridden: false,
        });
        self.node_mut(from).out.push(id);
        self.follow(id);
    }

    /// What `name` leads to from a node.
    pub(crate) fn resolve(&self, from: NodeId, name: Name) -> Option<NodeId> {
        let key = self.fold(name);
        self.around(from)
            .find_map(|n| self.node(n).children.get(&key).copied())
    }

    /// What has `name` inside a node.
    pub(crate) fn child(&self, parent: NodeId, name: Name) -> Option<NodeId> {
        self.node(parent).children.get(&self.fold(name)).copied()
    }

    /// A node and everything around it, inside out.
    pub(crate) fn around(&self, from: NodeId) -> impl Iterator<Item = NodeId> + use<'_, 'c> {
        std::iter::successors(Some(from), |id| self.node(*id).parent)
    }

    /// The outermost node.
    pub(crate) fn top(&self, id: NodeId) -> NodeId {
        self.around(id).last().unwrap_or(id)
    }

    /// Whether the node stands in the ideal tree.
    pub(crate) fn is_in_tree(&self, id: NodeId) -> bool {
        self.top(id) == Self::ROOT
    }

    /// Whether nothing is around the node.
    pub(crate) fn is_top(&self, id: NodeId) -> bool {
        self.node(id).parent.is_none()
    }

    /// Whether `inner` is `outer` or inside it.
    pub(crate) fn is_inside(&self, inner: NodeId, outer: NodeId) -> bool {
        self.around(inner).any(|n| n == outer)
    }

    /// The edge with that name that a node has.
    pub(crate) fn edge_named(&self, from: NodeId, name: Name) -> Option<EdgeId> {
        let key = self.fold(name);
        self.node(from)
            .out
            .iter()
            .copied()
            .find(|e| self.fold(self.edge(*e).name) == key)
    }

    /// Path such as `node_modules/a/node_modules/b`; empty for the root.
    pub(crate) fn path(&self, id: NodeId) -> String {
        let mut parts: Vec<&str> = Vec::new();
        for node in self.around(id).filter(|n| self.node(*n).parent.is_some()) {
            parts.push(self.text(self.node(node).name));
        }
        let folders: Vec<String> = parts
            .iter()
            .rev()
            .map(|name| format!("node_modules/{name}"))
            .collect();
        folders.join("/")
    }

    /// How deep a node is.
    pub(crate) fn depth(&self, id: NodeId) -> usize {
        self.around(id).count() - 1
    }

    /// The package of a node; of a link, that of its target.
    pub(crate) fn manifest(&self, id: NodeId) -> Option<ManifestId> {
        match self.node(id).content {
            Content::Package(manifest) => Some(manifest),
            Content::Link(target) => self.manifest(target),
            Content::Root | Content::Stage(_) | Content::Failed => None,
        }
    }

    /// Whether a node could not be had.
    pub(crate) fn is_failed(&self, id: NodeId) -> bool {
        self.node(id).content == Content::Failed
    }

    /// A node and everything inside it.
    pub(crate) fn subtree(&self, id: NodeId) -> Vec<NodeId> {
        let mut nodes = vec![id];
        let mut next = 0;
        while let Some(node) = nodes.get(next).copied() {
            nodes.extend(self.node(node).children.values());
            next += 1;
        }
        nodes
    }

    /// Takes a node, with everything inside it, out of the tree around it.
    pub(crate) fn detach(&mut self, id: NodeId) {
        let Some(parent) = self.node(id).parent else {
            return;
        };
        let key = self.fold(self.node(id).name);
        self.node_mut(parent).children.remove(&key);
        self.node_mut(id).parent = None;
        self.follow_across(id);
    }

    /// Puts a node into another one; what has that place is taken out.
    pub(crate) fn attach(&mut self, id: NodeId, parent: NodeId) {
        if self.node(id).parent == Some(parent) {
            return;
        }
        self.detach(id);
        let key = self.fold(self.node(id).name);
        if let Some(old) = self.node(parent).children.get(&key).copied() {
            self.detach(old);
        }
        self.node_mut(parent).children.insert(key, id);
        self.node_mut(id).parent = Some(parent);
        for edge in self.looking_for(key, parent) {
            self.follow(edge);
        }
        if self.is_in_tree(id) {
            self.enlist(id);
        }
        self.follow_across(id);
    }

    /// The edges called `key` from inside `parent`.
    fn looking_for(&self, key: Name, parent: NodeId) -> Vec<EdgeId> {
        let named = |e: &EdgeId| self.fold(self.edge(*e).name) == key;
        if self.is_in_tree(parent) {
            let all = self.by_name.get(&key).into_iter().flatten().copied();
            return all
                .filter(|e| self.is_inside(self.edge(*e).from, parent))
                .collect();
        }
        let inside = self.subtree(parent).into_iter();
        inside
            .flat_map(|n| self.node(n).out.iter().copied().filter(named))
            .collect()
    }

    /// Remembers the edges of a subtree that came into the ideal tree.
    fn enlist(&mut self, id: NodeId) {
        for node in self.subtree(id) {
            for edge in self.node(node).out.clone() {
                let key = self.fold(self.edge(edge).name);
                self.by_name.entry(key).or_default().insert(edge);
            }
        }
    }

    /// Puts `new` where `old` is, with everything inside `old`.
    pub(crate) fn replace(&mut self, old: NodeId, new: NodeId) {
        let Some(parent) = self.node(old).parent else {
            return;
        };
        let children: Vec<NodeId> = self.node(old).children.values().copied().collect();
        for child in children {
            self.attach(child, new);
        }
        self.attach(new, parent);
    }

    /// Looks up again every edge that crosses the border of a subtree.
    fn follow_across(&mut self, id: NodeId) {
        let inside: BTreeSet<NodeId> = self.subtree(id).into_iter().collect();
        let mut edges: Vec<EdgeId> = Vec::new();
        for node in &inside {
            let node = self.node(*node);
            edges.extend(
                node.into
                    .iter()
                    .filter(|e| !inside.contains(&self.edge(**e).from)),
            );
            edges.extend(
                node.out
                    .iter()
                    .filter(|e| self.edge(**e).to.is_none_or(|to| !inside.contains(&to))),
            );
        }
        for edge in edges {
            self.follow(edge);
        }
    }

    /// Looks up where an edge leads.
    fn follow(&mut self, id: EdgeId) {
        let edge = self.edge(id);
        let (before, now) = (edge.to, self.resolve(edge.from, edge.name));
        if before == now {
            return;
        }
        if let Some(before) = before {
            self.node_mut(before).into.retain(|e| *e != id);
        }
        if let Some(now) = now {
            self.node_mut(now).into.push(id);
        }
        self.edge_mut(id).to = now;
    }

    /// Whether a node would meet an edge.
    pub(crate) fn meets(&self, id: NodeId, edge: EdgeId) -> bool {
        let edge = self.edge(edge);
        self.node(id).name == edge.name
            && match self.manifest(id) {
                Some(manifest) => self.catalog.meets(edge.spec, manifest),
                None => self.catalog.is_any(edge.spec),
            }
    }

    /// Whether an edge is fine as it is.
    pub(crate) fn is_valid(&self, id: EdgeId) -> bool {
        let edge = self.edge(id);
        let Some(to) = edge.to else {
            return edge.kind.is_optional();
        };
        let is_local_peer = edge.kind.is_peer()
            && self.node(to).parent == Some(edge.from)
            && !self.is_top(edge.from);
        !is_local_peer && self.meets(to, id)
    }

    /// Whether two nodes are the same package.
    pub(crate) fn is_same(&self, one: NodeId, other: NodeId) -> bool {
        if one == other {
            return true;
        }
        if self.node(one).name != self.node(other).name {
            return false;
        }
        match (self.node(one).content, self.node(other).content) {
            (Content::Link(a), Content::Link(b)) => self.is_same(a, b),
            (Content::Package(a), Content::Package(b)) => self.catalog.is_same(a, b),
            _ => false,
        }
    }

    /// The deepest node, from `start` outwards, into which a package called `name` may go: one that has no peer
    /// dependency on it.
    pub(crate) fn deepest_home(&self, start: NodeId, name: Name) -> NodeId {
        self.around(start)
            .find(|n| {
                self.is_top(*n)
                    || !self
                        .edge_named(*n, name)
                        .is_some_and(|e| self.edge(e).kind.is_peer())
            })
            .unwrap_or(Self::ROOT)
    }

    /// The package whose tarball contains a node.
    pub(crate) fn bundler(&self, id: NodeId) -> Option<NodeId> {
        if !self.catalog.has_bundles() {
            return None;
        }
        self.bundler_beyond(id, &mut BTreeSet::new())
    }

    fn bundler_beyond(&self, id: NodeId, seen: &mut BTreeSet<NodeId>) -> Option<NodeId> {
        if !seen.insert(id) {
            return None;
        }
        let parent = self.node(id).parent?;
        if let Some(outer) = self.bundler_beyond(parent, seen) {
            return Some(outer);
        }
        let name = self.text(self.node(id).name);
        if let Content::Package(manifest) = self.node(parent).content
            && self
                .catalog
                .manifest(manifest)
                .record
                .bundle_dependencies
                .iter()
                .any(|b| b == name)
        {
            return Some(parent);
        }
        let into = self.node(id).into.iter();
        into.filter_map(|e| self.bundler_beyond(self.edge(*e).from, seen))
            .find(|b| *b == parent)
    }
}
