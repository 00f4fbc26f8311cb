//! The table of directories, for spreadsheets and for people.

use super::Row;
use crate::base::lines::Lines;
use crate::base::markup::markdown;
use crate::base::sheet::sheet;

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
    let titles = std::iter::once(TITLES.map(str::to_owned));
    sheet(titles.chain(rows.iter().map(cells)))
}

/// As Markdown.
pub(super) fn page(channel: &str, rows: &[Row]) -> String {
    let mut out = Lines::new();
    out.line(format!("# Directories of {}\n", markdown(channel)));
    out.line(format!("| {} |", TITLES.join(" | ")));
    out.line(format!("|{}", "---|".repeat(TITLES.len())));
    for row in rows {
        let cells = cells(row).map(|cell| markdown(&cell));
        out.line(format!("| {} |", cells.join(" | ")));
    }
    out.into_text()
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
