//! Tables for spreadsheets: CSV as RFC 4180 has it, with cells that no spreadsheet takes for a formula.

/// A table, its titles first. Rows may be of any length.
pub fn sheet<R, C>(rows: impl IntoIterator<Item = R>) -> Vec<u8>
where
    R: IntoIterator<Item = C>,
    C: AsRef<str>,
{
    let mut writer = csv::WriterBuilder::new()
        .flexible(true)
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    let cells = |row: R| -> Vec<String> {
        let cells = row.into_iter();
        cells.map(|cell| cell_text(cell.as_ref())).collect()
    };
    let written = rows
        .into_iter()
        .try_for_each(|row| writer.write_record(cells(row)));
    // A writer into memory has nothing that could fail.
    debug_assert!(written.is_ok(), "a row was not written");
    writer.into_inner().unwrap_or_default()
}

/// A table with these titles.
pub fn titled<C: AsRef<str>>(
    titles: &[&str],
    rows: impl IntoIterator<Item = impl IntoIterator<Item = C>>,
) -> Vec<u8> {
    let titles = titles.iter().map(|&title| title.to_owned()).collect();
    let rows = rows.into_iter().map(|row| {
        let cells = row.into_iter().map(|cell| cell.as_ref().to_owned());
        cells.collect::<Vec<String>>()
    });
    sheet(std::iter::once(titles).chain(rows))
}

/// A cell: invisible characters are escaped, and what a spreadsheet would take for a formula begins with an apostrophe.
fn cell_text(text: &str) -> String {
    let text = crate::base::text::visible(text);
    if text.starts_with(['=', '+', '-', '@']) {
        format!("'{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::sheet;

    #[test]
    fn cells_are_quoted_and_are_no_formulas() {
        let made = sheet([
            vec!["name", "why"],
            vec!["a,b", "says \"x\""],
            vec!["=1+1", "@sum", "-2", "+3", "a\nb\u{202e}"],
        ]);
        assert_eq!(
            String::from_utf8(made).unwrap(),
            "name,why\r\n\"a,b\",\"says \"\"x\"\"\"\r\n'=1+1,'@sum,'-2,'+3,a\\u{a}b\\u{202e}\r\n"
        );
    }
}
