//! A page as Markdown, for gateways and trackers that take no HTML.

use super::{Block, Page, Table};
use crate::base::lines::Lines;
use crate::base::markup::{markdown, markdown_table};

/// The whole document. Pictures are left out: their captions say what they show, and the tables have the numbers.
pub fn write(page: &Page) -> String {
    let mut out = Lines::new();
    out.line(format!(
        "# {}\n\n{}",
        markdown(&page.title),
        markdown(&page.subtitle)
    ));
    for section in &page.sections {
        out.line(format!("\n## {}", markdown(section.title)));
        for block in &section.blocks {
            out.line("");
            match block {
                Block::Text(text) => out.line(markdown(text)),
                Block::Notice(tone, text) => {
                    out.line(format!("**{}:** {}", tone.word(), markdown(text)));
                }
                Block::Facts(facts) => out.lines(
                    facts
                        .iter()
                        .map(|(name, value)| format!("- {}: {}", markdown(name), markdown(value))),
                ),
                Block::Table(table) => write_table(&mut out, table),
                Block::Picture(_, caption) => out.line(markdown(caption)),
            }
        }
    }
    out.into_text()
}

fn write_table(out: &mut Lines, table: &Table) {
    let (rows, left) = table.shown();
    out.line(format!("{}\n", markdown(&table.caption)));
    out.line(markdown_table(table.columns, rows).trim_end());
    if let Some(file) = table.file {
        let more = if left > 0 {
            format!("and {left} more; ")
        } else {
            String::new()
        };
        out.line(format!("\n{more}all of it: {}", markdown(file)));
    }
}
