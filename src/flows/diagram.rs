//! Pictures of the flows: an SVG that needs nothing else, and the same for Graphviz.
//!
//! Four columns, from who connects to the runtime, over its host and what serves it, to who is behind the proxy. What
//! does not fit is counted in one last node per column.

use std::collections::{BTreeMap, BTreeSet};

use super::{End, Row, Zone};
use crate::base::lines::Lines;
use crate::base::markup::{self, html};
use crate::base::text::shortened;

/// Most nodes of a column.
const MOST: usize = 12;
const WIDTH: usize = 230;
const HEIGHT: usize = 40;
const GAP_X: usize = 170;
const GAP_Y: usize = 22;
const TOP: usize = 64;
const LEFT: usize = 16;

/// Most characters of a name that fit.
const FITS: usize = 30;
/// Most characters of ports, which stand between two columns.
const PORTS: usize = 20;
/// From one label to the next, where several arrows end at one node.
const LINE: usize = 13;
/// The head of an arrow, and what keeps a label off it.
const HEAD: usize = 14;
/// Inside of a page its styles are those of the page: every rule names the picture.
const STYLE: &str = ".flows text{font:13px system-ui,sans-serif;fill:#1b1f24}.flows .zone{font-weight:600;fill:#57606a}\
.flows .label{font-size:11px;fill:#57606a}.flows rect{fill:#f6f8fa;stroke:#8c959f}.flows path{stroke:#57606a;fill:none}\
.flows marker path{fill:#57606a}@media (prefers-color-scheme:dark){.flows text{fill:#e6edf3}\
.flows .zone,.flows .label{fill:#9da7b3}.flows rect{fill:#161b22;stroke:#6e7681}.flows path{stroke:#9da7b3}\
.flows marker path{fill:#9da7b3}}@media print{.flows text{fill:#000}.flows rect{fill:#fff}}";

const COLUMNS: [(&str, &[Zone]); 4] = [
    ("who connects", &[Zone::Clients]),
    ("host", &[Zone::Host]),
    ("serves it", &[Zone::Repository, Zone::Proxy]),
    ("reached", &[Zone::Peer]),
];

/// A column and a line.
type Place = (usize, usize);

/// Where each node is: column and line. Nodes of one place are shown as one.
struct Layout {
    places: BTreeMap<End, Place>,
    /// What each column shows.
    columns: Vec<Vec<String>>,
}

fn layout(rows: &[Row]) -> Layout {
    let ends: BTreeSet<&End> = rows.iter().flat_map(|row| [&row.from, &row.to]).collect();
    let mut places = BTreeMap::new();
    let mut columns = Vec::new();
    for (column, (_, zones)) in COLUMNS.iter().enumerate() {
        let of: Vec<&&End> = ends
            .iter()
            .filter(|end| zones.contains(&end.zone))
            .collect();
        let shown = if of.len() > MOST { MOST - 1 } else { of.len() };
        let mut names: Vec<String> = Vec::new();
        for (line, end) in of.iter().enumerate() {
            places.insert((**end).clone(), (column, line.min(shown)));
            if line < shown {
                names.push(caption(end));
            }
        }
        if of.len() > shown {
            names.push(format!("and {} more", of.len() - shown));
        }
        columns.push(names);
    }
    Layout { places, columns }
}

/// What a node says: who it is, and what for where one column has both.
fn caption(end: &End) -> String {
    match end.zone {
        Zone::Repository | Zone::Proxy => format!("{}: {}", end.zone.as_str(), end.name),
        Zone::Clients | Zone::Host | Zone::Peer => end.name.clone(),
    }
}

/// Ports between each pair of places.
fn edges(rows: &[Row], layout: &Layout) -> BTreeMap<(Place, Place), BTreeSet<String>> {
    let mut out: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        if let (Some(from), Some(to)) = (layout.places.get(&row.from), layout.places.get(&row.to)) {
            let port = format!("{}/{}", row.port, row.protocol.as_str());
            out.entry((*from, *to)).or_default().insert(port);
        }
    }
    out
}

fn position((column, line): Place) -> (usize, usize) {
    (
        LEFT + column * (WIDTH + GAP_X),
        TOP + line * (HEIGHT + GAP_Y),
    )
}

/// The ports of an edge, cut.
fn label(ports: &BTreeSet<String>) -> String {
    let all = ports.iter().cloned().collect::<Vec<_>>().join(", ");
    match ports.first() {
        Some(first) if all.chars().count() > PORTS => format!("{first}, …"),
        _ => all,
    }
}

/// As SVG 1.1, without script and without anything from elsewhere.
pub fn svg(channel: &str, rows: &[Row]) -> String {
    let layout = layout(rows);
    let deepest = layout
        .columns
        .iter()
        .map(Vec::len)
        .max()
        .unwrap_or_default();
    let width = LEFT * 2 + COLUMNS.len() * WIDTH + (COLUMNS.len() - 1) * GAP_X;
    let height = TOP + deepest.max(1) * (HEIGHT + GAP_Y);
    let title = html(channel);
    let mut out = Lines::new();
    out.line(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"flows\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"flows-title flows-desc\">\n\
         <title id=\"flows-title\">Network flows of {title}</title>\n<desc id=\"flows-desc\">{}</desc>\n<style>{STYLE}</style>\n\
         <defs><marker id=\"flows-end\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0 L8 4 L0 8 z\"/></marker></defs>",
        html(&described(rows))
    ));
    for (column, names) in layout.columns.iter().enumerate() {
        let (x, _) = position((column, 0));
        let heading = COLUMNS.get(column).map_or("", |(name, _)| name);
        if !names.is_empty() {
            out.line(format!(
                "<text class=\"zone\" x=\"{x}\" y=\"{}\">{heading}</text>",
                TOP - 20
            ));
        }
        for (line, name) in names.iter().enumerate() {
            let (x, y) = position((column, line));
            out.line(format!("<rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\"/><text x=\"{}\" y=\"{}\">{}</text>",
                x + 10,
                y + 25,
                html(&shortened(name, FITS))
            ));
        }
    }
    let mut ends: BTreeMap<Place, usize> = BTreeMap::new();
    for ((from, to), ports) in edges(rows, &layout) {
        let before = ends.entry(to).or_default();
        out.line(edge(from, to, &label(&ports), *before));
        *before += 1;
    }
    out.line("</svg>");
    out.into_text()
}

/// One arrow with its ports beside its end, below those of the arrows that end there, too.
fn edge(from: Place, to: Place, label: &str, before: usize) -> String {
    let ((x1, y1), (x2, y2)) = (position(from), position(to));
    let (y1, y2) = (y1 + HEIGHT / 2, y2 + HEIGHT / 2);
    let label = html(label);
    let below = y2 - HEIGHT / 4 + before * LINE;
    if from.0 == to.0 {
        let (right, out) = (x1 + WIDTH, x1 + WIDTH + GAP_X / 3);
        return format!(
            "<path d=\"M{right} {y1} C{out} {y1} {out} {y2} {right} {y2}\" marker-end=\"url(#flows-end)\"/>\
             <text class=\"label\" x=\"{}\" y=\"{below}\">{label}</text>",
            right + HEAD
        );
    }
    // From right to left only where somebody's host is its own proxy.
    let (begin, end, x, anchor) = if from.0 < to.0 {
        (x1 + WIDTH, x2, x2 - HEAD, "end")
    } else {
        (x1, x2 + WIDTH, x2 + WIDTH + HEAD, "start")
    };
    format!(
        "<path d=\"M{begin} {y1} L{end} {y2}\" marker-end=\"url(#flows-end)\"/>\
         <text class=\"label\" text-anchor=\"{anchor}\" x=\"{x}\" y=\"{below}\">{label}</text>"
    )
}

/// The flows in words, for who cannot see the picture.
fn described(rows: &[Row]) -> String {
    let said = rows.iter().map(|row| {
        let (port, protocol) = (row.port, row.protocol.as_str());
        format!(
            "{} to {} {port}/{protocol}: {}",
            row.from.name, row.to.name, row.purpose
        )
    });
    let said: Vec<String> = said.collect();
    if said.is_empty() {
        "No flows are declared".to_owned()
    } else {
        said.join("; ")
    }
}

/// For `dot -Tsvg`.
pub(super) fn dot(channel: &str, rows: &[Row]) -> String {
    let id = |end: &End| markup::dot(&format!("{} {}", end.zone.as_str(), end.name));
    let mut out = Lines::new();
    out.line(format!(
        "digraph {} {{\n    rankdir=LR;\n    node [shape=box, fontname=\"sans-serif\"];",
        markup::dot(channel)
    ));
    let ends: BTreeSet<&End> = rows.iter().flat_map(|row| [&row.from, &row.to]).collect();
    for end in ends {
        let shown = format!("{}\\n{}", end.name, end.zone.as_str());
        out.line(format!("    {} [label=\"{shown}\"];", id(end)));
    }
    for row in rows {
        let label = format!("{}/{} {}", row.port, row.protocol.as_str(), row.purpose);
        out.line(format!(
            "    {} -> {} [label={}];",
            id(&row.from),
            id(&row.to),
            markup::dot(&label)
        ));
    }
    out.line("}");
    out.into_text()
}

#[cfg(test)]
mod tests {
    use super::super::{End, Row, Zone, rows, tests::runtime};
    use super::{GAP_X, LEFT, WIDTH, dot, svg};
    use crate::base::runtime::{Flow, Inbound, Protocol};

    #[test]
    fn pictures_show_every_flow_and_escape_what_is_said() {
        let rows = rows(&runtime());
        let svg = svg("claw", &rows);
        assert!(svg.contains("web &lt;chat&gt; &amp; &quot;more&quot;"));
        assert!(!svg.contains("<chat>") && !svg.contains("<script") && !svg.contains("href"));
        assert_eq!(
            svg.matches("marker-end").count(),
            rows.len(),
            "an arrow each"
        );
        assert!(dot("claw", &rows).contains("[label=\"8080/tcp web <chat> & \\\"more\\\"\"];"));
    }

    #[test]
    fn labels_lie_between_columns_and_not_on_each_other() {
        let mut runtime = runtime();
        let Flow::In(web) = runtime.flows[6].clone() else {
            panic!("{:?}", runtime.flows);
        };
        for (from, port) in [("10.0.0.0/8", 8082), ("10.1.0.0/16", 8083)] {
            let from = from.parse().unwrap();
            let web = web.clone();
            runtime.flows.push(Flow::In(Inbound { port, from, ..web }));
        }
        let picture = svg("claw", &rows(&runtime));
        let number = |text: &str, name: &str| -> usize {
            let at = text.split(&format!(" {name}=\"")).nth(1).unwrap();
            at.split('"').next().unwrap().parse().unwrap()
        };
        let labels = picture.split("<text class=\"label\"").skip(1);
        let mut places: Vec<(usize, usize)> = Vec::new();
        for label in labels {
            let (x, y) = (number(label, "x"), number(label, "y"));
            let inside = (x - LEFT) % (WIDTH + GAP_X);
            assert!(inside > WIDTH, "{label}");
            let close = places.iter().any(|(a, b)| *a == x && b.abs_diff(y) < 11);
            assert!(!close, "{label}");
            places.push((x, y));
        }
        assert!(places.len() > 6);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let end = |zone, name: String| End { zone, name };
        let row = |number| Row {
            from: end(Zone::Host, "svc".to_owned()),
            to: end(Zone::Peer, format!("host-{number:03}.example")),
            port: 443,
            protocol: Protocol::Tcp,
            purpose: "x".to_owned(),
        };
        let rows: Vec<Row> = (0..100).map(row).collect();
        let svg = svg("claw", &rows);
        assert!(svg.contains("and 89 more"));
        assert!(svg.matches("<rect").count() <= 30);
    }
}
