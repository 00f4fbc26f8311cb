//! A page as HTML: one file, no script, nothing from elsewhere, readable in light, in dark and on paper, and by a screen
//! reader (WCAG 2.2: headings in order, tables with captions and column headers, contrast of at least 4.5 to 1).

use super::{Block, Page, Section, Table};
use crate::base::lines::Lines;
use crate::base::markup::html;

const STYLE: &str = include_str!("page.css");
/// Nothing is loaded and nothing runs, whatever the page says.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'";

/// The whole document.
pub fn write(page: &Page) -> String {
    let mut out = Lines::new();
    let title = html(&page.title);
    out.lines([
        "<!DOCTYPE html>".to_owned(),
        "<html lang=\"en\">".to_owned(),
        "<head>".to_owned(),
        "<meta charset=\"utf-8\">".to_owned(),
        format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">"),
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">".to_owned(),
        "<meta name=\"color-scheme\" content=\"light dark\">".to_owned(),
        format!("<title>{title}</title>"),
        format!("<style>\n{STYLE}</style>"),
        "</head>".to_owned(),
        "<body>".to_owned(),
        "<a class=\"skip\" href=\"#main\">Skip to the content</a>".to_owned(),
        format!(
            "<header><h1>{title}</h1><p>{}</p></header>",
            html(&page.subtitle)
        ),
        "<nav aria-label=\"Sections\"><ul>".to_owned(),
    ]);
    for section in &page.sections {
        out.line(format!(
            "<li><a href=\"#{}\">{}</a></li>",
            section.id,
            html(section.title)
        ));
    }
    out.line("</ul></nav>\n<main id=\"main\">");
    for section in &page.sections {
        write_section(&mut out, section);
    }
    out.line("</main>\n</body>\n</html>");
    out.into_text()
}

fn write_section(out: &mut Lines, section: &Section) {
    let id = section.id;
    out.line(format!(
        "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{}</h2>",
        html(section.title)
    ));
    for block in &section.blocks {
        match block {
            Block::Text(text) => out.line(format!("<p>{}</p>", html(text))),
            Block::Notice(tone, text) => out.line(format!(
                "<p class=\"notice {}\"><strong>{}:</strong> {}</p>",
                tone.class(),
                tone.word(),
                html(text)
            )),
            Block::Facts(facts) => {
                out.line("<dl>");
                for (name, value) in facts {
                    out.line(format!("<dt>{}</dt><dd>{}</dd>", html(name), html(value)));
                }
                out.line("</dl>");
            }
            Block::Table(table) => write_table(out, table),
            Block::Picture(svg, caption) => out.line(format!(
                "<figure>\n{svg}<figcaption>{}</figcaption></figure>",
                html(caption)
            )),
        }
    }
    out.line("</section>");
}

fn write_table(out: &mut Lines, table: &Table) {
    let (rows, left) = table.shown();
    out.line(format!(
        "<table>\n<caption>{}</caption>",
        html(&table.caption)
    ));
    let titles = table
        .columns
        .iter()
        .map(|title| format!("<th scope=\"col\">{}</th>", html(title)));
    out.line(format!(
        "<thead><tr>{}</tr></thead>\n<tbody>",
        titles.collect::<String>()
    ));
    for row in rows {
        let cells = row.iter().map(|text| cell(text));
        out.line(format!("<tr>{}</tr>", cells.collect::<String>()));
    }
    out.line("</tbody>\n</table>");
    if let Some(file) = table.file {
        let more = if left > 0 {
            format!("and {left} more; ")
        } else {
            String::new()
        };
        out.line(format!(
            "<p class=\"more\">{more}all of it: <a href=\"{file}\">{file}</a></p>"
        ));
    }
}

/// A cell; only one with a word that fits nowhere may be broken within words.
fn cell(text: &str) -> String {
    const FITS: usize = 24;
    let is_long = text
        .split([' ', '-'])
        .any(|word| word.chars().count() > FITS);
    let class = if is_long { " class=\"long\"" } else { "" };
    format!("<td{class}>{}</td>", html(text))
}
