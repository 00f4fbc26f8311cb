//! The table of directories, for spreadsheets and for people.

use super::Row;
use crate::base::markup::{markdown, markdown_table};
use crate::base::sheet::titled;

/// Titles of the table.
pub const TITLES: [&str; 6] = ["path", "owner", "group", "mode", "SELinux type", "why"];

/// A directory as a row of the table.
pub fn cells(row: &Row) -> [String; 6] {
    [
        row.path.clone(),
        row.owner.clone(),
        row.group.clone(),
        row.mode.clone(),
        row.selinux.clone().unwrap_or_default(),
        row.why.clone(),
    ]
}

/// As CSV.
pub(super) fn csv(rows: &[Row]) -> Vec<u8> {
    titled(&TITLES, rows.iter().map(cells))
}

/// As Markdown.
pub(super) fn page(channel: &str, rows: &[Row]) -> String {
    let table = markdown_table(&TITLES, rows.iter().map(cells));
    format!("# Directories of {}\n\n{table}", markdown(channel))
}

#[cfg(test)]
mod tests {
    use super::super::{rows, tests::runtime};
    use super::{csv, page};

    #[test]
    fn tables_have_a_row_for_each_directory() {
        let rows = rows(&runtime());
        let csv = String::from_utf8(csv(&rows)).unwrap();
        assert_eq!(csv.lines().count(), rows.len() + 1);
        assert!(csv.contains("/var/lib/claw,svc-claw,claw,0750,var_lib_t,"));
        let page = page("claw", &rows);
        assert!(page.contains("| /var/lib/claw | svc-claw | claw | 0750 | var\\_lib\\_t |"));
    }
}
