//! What depends on what: a picture of what was asked for and what that brings, and the whole graph for Graphviz.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::lines::Lines;
use crate::base::markup::{dot, html};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::text::shortened;
use crate::lock::Lock;
use crate::lock::chain::Chains;
use crate::sbom::{self, Members};

/// Most nodes of a column; the rest is one more.
const MOST: usize = 16;
const LEFT: usize = 16;
const TOP: usize = 44;
const WIDTH: usize = 250;
const GAP: usize = 120;
const LINE: usize = 34;
const HEIGHT: usize = 26;
const BARS: usize = 160;
/// Most characters of a name that fit.
const FITS: usize = 32;
/// Inside of a page its styles are those of the page: every rule names the picture.
const STYLE: &str = ".graph text{font:13px system-ui,sans-serif;fill:#1b1f24}.graph .head{font-weight:600;fill:#57606a}\
.graph rect{fill:#f6f8fa;stroke:#8c959f}.graph .bar{fill:#54708f;stroke:none}.graph path{stroke:#8c959f;fill:none}\
@media (prefers-color-scheme:dark){.graph text{fill:#e6edf3}.graph .head{fill:#9da7b3}.graph rect{fill:#161b22;stroke:#6e7681}\
.graph .bar{fill:#7d9cc0}.graph path{stroke:#6e7681}}@media print{.graph text{fill:#000}.graph rect{fill:#fff}.graph .bar{fill:#54708f}}";

type Key<'a> = (&'a EcosystemId, ReleaseId);

/// The releases that cross the gap, and who needs whom.
pub(super) struct Graph<'a> {
    members: Members<'a>,
    /// What was asked for, and what nothing leads to.
    roots: BTreeSet<Key<'a>>,
}

/// A node of a column, and how many releases come with it.
struct Node<'a> {
    key: Option<Key<'a>>,
    caption: String,
    brings: usize,
}

impl<'a> Graph<'a> {
    pub(super) fn of(lock: &'a Lock) -> Self {
        let members = sbom::members(lock, None);
        let chains = Chains::new(lock);
        let roots = chains.roots().map(|p| (&p.ecosystem, p.id()));
        let roots = roots.filter(|key| members.contains_key(key)).collect();
        Self { members, roots }
    }

    fn needs(&self, key: &Key<'a>) -> impl Iterator<Item = Key<'a>> {
        let edges = self.members.get(key).map(|member| &member.dependencies);
        let ecosystem = key.0;
        edges
            .into_iter()
            .flatten()
            .map(move |edge| (ecosystem, (*edge).clone()))
            .filter(|key| self.members.contains_key(key))
    }

    /// How many releases are needed because of one, without itself.
    fn brings(&self, key: &Key<'a>) -> usize {
        let mut seen = BTreeSet::from([key.clone()]);
        let mut left = vec![key.clone()];
        while let Some(key) = left.pop() {
            let new = self.needs(&key).filter(|next| seen.insert(next.clone()));
            left.extend(new.collect::<Vec<_>>());
        }
        seen.len() - 1
    }

    /// Those that bring most, first.
    fn column(&self, keys: BTreeSet<Key<'a>>) -> Vec<Node<'a>> {
        let mut nodes: Vec<Node<'_>> = keys
            .into_iter()
            .map(|key| Node {
                caption: key.1.to_string(),
                brings: self.brings(&key),
                key: Some(key),
            })
            .collect();
        nodes.sort_by(|a, b| (b.brings, &a.caption).cmp(&(a.brings, &b.caption)));
        if nodes.len() > MOST {
            let others = nodes.len() - (MOST - 1);
            nodes.truncate(MOST - 1);
            nodes.push(Node {
                key: None,
                caption: format!("{others} others"),
                brings: 0,
            });
        }
        nodes
    }

    /// What was asked for, what that needs directly, and how much comes with each of those.
    pub(super) fn svg(&self) -> String {
        let roots = self.column(self.roots.clone());
        let direct: BTreeSet<Key<'_>> = self
            .roots
            .iter()
            .flat_map(|root| self.needs(root))
            .filter(|key| !self.roots.contains(key))
            .collect();
        let direct = self.column(direct);
        let deepest = roots.len().max(direct.len()).max(1);
        let (width, height) = (LEFT * 2 + 2 * WIDTH + GAP + BARS + 60, TOP + deepest * LINE);
        let mut out = Lines::new();
        out.line(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"graph\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"graph-title graph-desc\">\n\
             <title id=\"graph-title\">Dependencies</title>\n<desc id=\"graph-desc\">{}</desc>\n<style>{STYLE}</style>",
            html(&described(&roots, &direct))
        ));
        let heads = ["asked for", "needs directly", "releases that come with it"];
        for (column, head) in heads.iter().enumerate() {
            let x = column_at(column);
            out.line(format!(
                "<text class=\"head\" x=\"{x}\" y=\"24\">{head}</text>"
            ));
        }
        self.arrows(&mut out, &roots, &direct);
        for (column, nodes) in [&roots, &direct].into_iter().enumerate() {
            let x = column_at(column);
            for (line, node) in nodes.iter().enumerate() {
                let y = TOP + line * LINE;
                out.line(format!(
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"5\"/><text x=\"{}\" y=\"{}\">{}</text>",
                    x + 8,
                    y + 18,
                    html(&shortened(&node.caption, FITS))
                ));
            }
        }
        bars(&mut out, &direct);
        out.line("</svg>");
        out.into_text()
    }

    fn arrows(&self, out: &mut Lines, roots: &[Node<'a>], direct: &[Node<'a>]) {
        let lines: BTreeMap<&Key<'_>, usize> = direct
            .iter()
            .enumerate()
            .filter_map(|(line, node)| Some((node.key.as_ref()?, line)))
            .collect();
        for (from, root) in roots.iter().enumerate() {
            let Some(key) = &root.key else { continue };
            let to: BTreeSet<usize> = self
                .needs(key)
                .filter(|needed| !self.roots.contains(needed))
                .map(|needed| lines.get(&needed).copied().unwrap_or(direct.len() - 1))
                .collect();
            for to in to {
                let (x1, x2) = (column_at(0) + WIDTH, column_at(1));
                let middle = x1.midpoint(x2);
                let (y1, y2) = (middle_of(from), middle_of(to));
                out.line(format!(
                    "<path d=\"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}\"/>"
                ));
            }
        }
    }

    /// Every release and every edge, for `dot -Tsvg`.
    pub(super) fn dot(&self, channel: &str) -> String {
        let id = |key: &Key<'_>| dot(&format!("{} {}", key.0, key.1));
        let mut out = Lines::new();
        out.line(format!(
            "digraph {} {{\n    rankdir=LR;\n    node [shape=box, fontname=\"sans-serif\"];",
            dot(channel)
        ));
        for key in self.members.keys() {
            let style = if self.roots.contains(key) {
                " [style=bold]"
            } else {
                ""
            };
            out.line(format!("    {}{style};", id(key)));
        }
        for key in self.members.keys() {
            for needed in self.needs(key) {
                out.line(format!("    {} -> {};", id(key), id(&needed)));
            }
        }
        out.line("}");
        out.into_text()
    }
}

const fn column_at(column: usize) -> usize {
    LEFT + column * WIDTH + if column == 0 { 0 } else { GAP } + if column > 1 { 12 } else { 0 }
}

const fn middle_of(line: usize) -> usize {
    TOP + line * LINE + HEIGHT / 2
}

fn bars(out: &mut Lines, nodes: &[Node<'_>]) {
    let most = nodes
        .iter()
        .map(|node| node.brings)
        .max()
        .unwrap_or(1)
        .max(1);
    let x = column_at(2);
    for (line, node) in nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| node.key.is_some())
    {
        let y = TOP + line * LINE + 4;
        let length = (node.brings * BARS / most).max(1);
        out.line(format!(
            "<rect class=\"bar\" x=\"{x}\" y=\"{y}\" width=\"{length}\" height=\"18\"/><text x=\"{}\" y=\"{}\">{}</text>",
            x + length + 6,
            y + 14,
            node.brings
        ));
    }
}

/// The picture in words, for who cannot see it.
fn described(roots: &[Node<'_>], direct: &[Node<'_>]) -> String {
    let names = |nodes: &[Node<'_>]| -> String {
        let said = nodes.iter().map(|node| match node.key {
            Some(_) => format!("{} with {} more", node.caption, node.brings),
            None => node.caption.clone(),
        });
        said.collect::<Vec<_>>().join(", ")
    };
    format!(
        "Asked for: {}. Needed directly: {}",
        names(roots),
        names(direct)
    )
}

#[cfg(test)]
mod tests {
    use super::Graph;
    use crate::lock::diff::tests::{lock, package};

    #[test]
    fn the_picture_counts_what_each_brings_and_obeys_no_name() {
        let lock = lock(
            &["a"],
            vec![
                package("a", "1.0.0", &["b@1.0.0", "<b>@1.0.0"]),
                package("b", "1.0.0", &["c@1.0.0"]),
                package("c", "1.0.0", &["b@1.0.0", "d@1.0.0"]),
                package("d", "1.0.0", &[]),
                package("<b>", "1.0.0", &[]),
            ],
        );
        let graph = Graph::of(&lock);
        let svg = graph.svg();
        assert!(svg.contains("a@1.0.0 with 4 more"), "{svg}");
        assert!(svg.contains("b@1.0.0 with 2 more"), "a ring counts once");
        assert_eq!(svg.matches("<path").count(), 2);
        assert!(!svg.contains("<b>") && svg.contains("&lt;b&gt;@1.0.0"));
        let dot = graph.dot("x\"y");
        assert!(dot.starts_with("digraph \"x\\\"y\" {"));
        assert_eq!(dot.matches(" -> ").count(), 5);
    }
}
