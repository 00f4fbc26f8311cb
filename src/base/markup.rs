//! Foreign text in HTML, XML, Markdown and Graphviz: it shows as it is and means nothing.

use crate::base::lines::Lines;
use crate::base::text::visible;

/// For text and quoted attributes of HTML and XML.
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// For a paragraph or a cell of Markdown (`CommonMark` with tables).
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '~' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// A quoted id or label of Graphviz.
pub fn dot(text: &str) -> String {
    let text = visible(text).replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{text}\"")
}

/// A table of Markdown, its lines with their ends.
pub fn markdown_table<C: AsRef<str>>(
    titles: &[&str],
    rows: impl IntoIterator<Item = impl IntoIterator<Item = C>>,
) -> String {
    let mut out = Lines::new();
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    out.line(line(titles.iter().map(|title| markdown(title)).collect()));
    out.line(format!("|{}", "---|".repeat(titles.len())));
    for row in rows {
        let cells = row.into_iter().map(|cell| markdown(cell.as_ref()));
        out.line(line(cells.collect()));
    }
    out.into_text()
}

#[cfg(test)]
mod tests {
    use super::{html, markdown};

    #[test]
    fn texts_mean_nothing() {
        let bad = "<script>alert('x')</script> \"&\" [a](javascript:b) |\n\u{202e}";
        assert_eq!(
            html(bad),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &quot;&amp;&quot; [a](javascript:b) |\\u{a}\\u{202e}"
        );
        assert_eq!(
            markdown(bad),
            "&lt;script&gt;alert('x')&lt;/script&gt; \"&amp;\" \\[a\\](javascript:b) \\|\\\\u{a}\\\\u{202e}"
        );
    }
}
