//! May a package go here? Answers without changing anything, for a package with all its peers.

use std::cell::OnceCell;

use crate::eco::npm::tree::graph::{EdgeId, Graph, NodeId};
use crate::eco::npm::tree::peers;

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Free.
    Free,
    /// Instead of what is there.
    Replace,
    /// What is there already does.
    Keep,
    /// No.
    Conflict,
}

/// A package and the place it might take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'q> {
    /// The package, in its trial tree.
    pub(super) dep: NodeId,
    /// The node to put it into.
    pub(super) target: NodeId,
    /// The edge it is for.
    pub(super) edge: EdgeId,
    /// Whether an older version is as good as a newer one.
    pub(super) prefer_less: bool,
    /// Set when the package comes as a peer of another one.
    pub(super) within: Option<Within>,
    /// Packages whose peers are being looked at.
    pub(super) path: &'q [NodeId],
}

/// The package that brings a peer along.
#[derive(Debug, Clone, Copy)]
pub(super) struct Within {
    /// Deepest node that the package itself could go into.
    pub(super) deepest: NodeId,
    /// The edge that started it all.
    pub(super) entry: EdgeId,
}

/// The answer for a package with its peers, and for the package alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answers {
    /// With its peers.
    pub(super) all: Answer,
    /// Alone.
    pub(super) alone: Answer,
}

/// A question being answered.
struct Check<'g, 'c, 'q> {
    graph: &'g Graph<'c>,
    question: Question<'q>,
    alone: Option<Answer>,
    peers_conflict: OnceCell<Answer>,
}

/// The deepest node that the package of `question` may go into.
pub(super) fn deepest(graph: &Graph<'_>, question: &Question<'_>) -> NodeId {
    let edge = graph.edge(question.edge);
    let start = question.within.map_or(edge.from, |w| w.deepest);
    graph.deepest_home(start, edge.name)
}

/// Answers a question.
pub(super) fn answer(graph: &Graph<'_>, mut question: Question<'_>) -> Answers {
    question.prefer_less |= graph.edge(question.edge).kind.is_peer();
    let mut check = Check {
        graph,
        question,
        alone: None,
        peers_conflict: OnceCell::new(),
    };
    let all = check.run();
    Answers {
        all,
        alone: check.alone.unwrap_or(all),
    }
}

impl Check<'_, '_, '_> {
    fn run(&mut self) -> Answer {
        let (graph, q) = (self.graph, self.question);
        let name = graph.edge(q.edge).name;
        let current = graph.child(q.target, name);
        if graph.is_failed(q.dep) {
            return if current.is_some() {
                Answer::Replace
            } else {
                Answer::Free
            };
        }
        let target_edge = graph.edge_named(q.target, name);
        if let Some(edge) = target_edge {
            if graph.edge(edge).kind.is_peer() && !graph.is_top(q.target) {
                return Answer::Conflict;
            }
            if current.is_none() && edge != q.edge && !graph.meets(q.dep, edge) {
                return Answer::Conflict;
            }
        }
        match current {
            Some(current) => self.against(current),
            None => self.free(),
        }
    }

    /// Nothing of that name is there: fine unless something inside relies on what is further up.
    fn free(&mut self) -> Answer {
        let (graph, q) = (self.graph, self.question);
        let entry = q.within.map_or(q.edge, |w| w.entry);
        let hidden = if q.target == graph.edge(entry).from {
            None
        } else {
            graph.resolve(q.target, graph.edge(q.edge).name)
        };
        let breaks = hidden.is_some_and(|hidden| {
            graph.node(hidden).into.iter().any(|e| {
                graph.is_inside(graph.edge(*e).from, q.target)
                    && graph.is_valid(*e)
                    && !graph.meets(q.dep, *e)
            })
        });
        if breaks {
            Answer::Conflict
        } else {
            self.with_peers(Answer::Free)
        }
    }

    /// Something of that name is there.
    fn against(&mut self, current: NodeId) -> Answer {
        let (graph, q) = (self.graph, self.question);
        let was_overridden = !graph.meets(q.dep, q.edge);
        if graph.is_same(q.dep, current) && (graph.meets(current, q.edge) || was_overridden) {
            return Answer::Keep;
        }
        let version = |id| {
            graph
                .manifest(id)
                .and_then(|m| graph.catalog.manifest(m).parsed.as_ref())
        };
        let is_newer = version(current).is_some() && version(q.dep) >= version(current);
        let can_replace = peers::can_replace(graph, q.dep, current, &[]);
        if is_newer && can_replace && self.with_peers(Answer::Replace) != Answer::Conflict {
            return Answer::Replace;
        }
        if graph.meets(current, q.edge) {
            return Answer::Keep;
        }
        if q.prefer_less
            && !is_newer
            && can_replace
            && self.with_peers(Answer::Replace) != Answer::Conflict
        {
            return Answer::Replace;
        }
        if q.target != deepest(graph, &q) {
            return Answer::Conflict;
        }
        let edge = graph.edge(q.edge);
        if !edge.kind.is_peer() && q.target == edge.from {
            return self.with_peers(Answer::Replace);
        }
        if q.within.is_none() && !edge.kind.is_peer() {
            return Answer::Conflict;
        }
        if self.can_push_out(current) {
            self.with_peers(Answer::Replace)
        } else {
            Answer::Conflict
        }
    }

    /// Whether every peer set around `current` can be replaced by ours or nested deeper.
    fn can_push_out(&self, current: NodeId) -> bool {
        let (graph, q) = (self.graph, self.question);
        let ours = graph.node(q.dep).parent;
        let entry = q.within.map_or(q.edge, |w| w.entry);
        peers::entries(graph, current)
            .into_iter()
            .all(|(edge, members)| {
                if edge == q.edge || edge == entry {
                    return true;
                }
                let Some(entry_node) = graph.edge(edge).to else {
                    return true;
                };
                let named = graph.node(entry_node).name;
                let replacement = ours.and_then(|stage| graph.child(stage, named));
                let fits = match (replacement, ours) {
                    (Some(new), Some(stage)) => {
                        let beside: Vec<NodeId> =
                            graph.node(stage).children.values().copied().collect();
                        peers::can_replace(graph, new, entry_node, &beside)
                    }
                    _ => self.can_clobber(entry_node, ours),
                };
                fits || members.iter().all(|member| {
                    let home = graph.deepest_home(graph.edge(edge).from, graph.node(*member).name);
                    home != q.target && !graph.is_inside(q.target, home)
                })
            })
    }

    /// Whether the peers of a set that ours would replace are met by ours.
    fn can_clobber(&self, start: NodeId, ours: Option<NodeId>) -> bool {
        let graph = self.graph;
        let mut walk = vec![start];
        let mut next = 0;
        while let Some(member) = walk.get(next).copied() {
            next += 1;
            for id in &graph.node(member).out {
                let edge = graph.edge(*id);
                if !edge.kind.is_peer() || !graph.is_valid(*id) {
                    continue;
                }
                match ours.and_then(|stage| graph.child(stage, edge.name)) {
                    Some(new) if !graph.meets(new, *id) => return false,
                    Some(_) => {}
                    None => walk.extend(edge.to.filter(|to| !walk.contains(to))),
                }
            }
        }
        true
    }

    /// `state`, unless a peer has no place. The first answer stays.
    fn with_peers(&mut self, state: Answer) -> Answer {
        self.alone = Some(state);
        *self.peers_conflict.get_or_init(|| {
            let (graph, q) = (self.graph, self.question);
            let mut path = q.path.to_vec();
            path.push(q.dep);
            let within = Within {
                deepest: deepest(graph, &q),
                entry: q.within.map_or(q.edge, |w| w.entry),
            };
            let mut answer = state;
            for id in &graph.node(q.dep).out {
                let edge = graph.edge(*id);
                let Some(peer) = edge
                    .to
                    .filter(|to| edge.kind.is_peer() && !path.contains(to))
                else {
                    continue;
                };
                let inner = Question {
                    dep: peer,
                    target: graph.deepest_home(q.target, graph.node(peer).name),
                    edge: *id,
                    prefer_less: true,
                    within: Some(within),
                    path: &path,
                };
                if super::check::answer(graph, inner).all == Answer::Conflict {
                    answer = Answer::Conflict;
                }
            }
            answer
        })
    }
}
