//! The table of flows, for spreadsheets and for people.

use super::Row;
use crate::base::markup::{markdown, markdown_table};
use crate::base::sheet::titled;

/// Titles of the table.
pub const TITLES: [&str; 7] = [
    "from zone",
    "from",
    "to zone",
    "to",
    "port",
    "protocol",
    "purpose",
];

/// A flow as a row of the table.
pub fn cells(row: &Row) -> [String; 7] {
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
    titled(&TITLES, rows.iter().map(cells))
}

/// As Markdown.
pub(super) fn page(channel: &str, rows: &[Row]) -> String {
    let table = markdown_table(&TITLES, rows.iter().map(cells));
    format!("# Network flows of {}\n\n{table}", markdown(channel))
}

#[cfg(test)]
mod tests {
    use super::super::{rows, tests::runtime};
    use super::{csv, page};

    #[test]
    fn tables_have_a_row_for_each_flow_and_show_texts_as_they_are() {
        let rows = rows(&runtime());
        let csv = String::from_utf8(csv(&rows)).unwrap();
        assert_eq!(csv.lines().count(), rows.len() + 1);
        assert!(
            csv.contains("proxy,proxy.enclave.example,peer,*.chat.example,443,tcp,channels\r\n")
        );
        assert!(csv.contains("\"web <chat> & \"\"more\"\"\""));
        let page = page("claw", &rows);
        assert!(page.contains("| web &lt;chat&gt; &amp; \"more\" |"));
        assert!(page.contains("| \\*.chat.example |"));
    }
}
