//! The table of flows, for spreadsheets and for people.

use super::Row;
use crate::base::lines::Lines;
use crate::base::sheet::sheet;

const TITLES: [&str; 7] = [
    "from zone",
    "from",
    "to zone",
    "to",
    "port",
    "protocol",
    "purpose",
];

fn cells(row: &Row) -> [String; 7] {
    [
        row.from.zone.as_str().to_owned(),
        row.from.name.clone(),
        row.to.zone.as_str().to_owned(),
        row.to.name.clone(),
        row.port.to_string(),
        row.protocol.as_str().to_owned(),
        row.purpose.clone(),
    ]
}

/// As CSV.
pub(super) fn csv(rows: &[Row]) -> Vec<u8> {
    let titles = std::iter::once(TITLES.map(str::to_owned));
    sheet(titles.chain(rows.iter().map(cells)))
}

/// As Markdown.
pub(super) fn markdown(channel: &str, rows: &[Row]) -> String {
    let mut out = Lines::new();
    out.line(format!("# Network flows of {channel}\n"));
    out.line(format!("| {} |", TITLES.join(" | ")));
    out.line(format!("|{}", "---|".repeat(TITLES.len())));
    for row in rows {
        let cells = cells(row).map(|cell| cell_text(&cell));
        out.line(format!("| {} |", cells.join(" | ")));
    }
    out.into_text()
}

/// A text that Markdown shows as it is.
fn cell_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{rows, tests::runtime};
    use super::{csv, markdown};

    #[test]
    fn tables_have_a_row_for_each_flow_and_show_texts_as_they_are() {
        let rows = rows(&runtime());
        let csv = String::from_utf8(csv(&rows)).unwrap();
        assert_eq!(csv.lines().count(), rows.len() + 1);
        assert!(
            csv.contains("proxy,proxy.enclave.example,peer,*.chat.example,443,tcp,channels\r\n")
        );
        assert!(csv.contains("\"web <chat> & \"\"more\"\"\""));
        let markdown = markdown("claw", &rows);
        assert!(markdown.contains("| web &lt;chat&gt; &amp; \"more\" |"));
        assert!(markdown.contains("| \\*.chat.example |"));
    }
}
