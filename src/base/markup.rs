//! Foreign text in HTML, XML and Markdown: it shows as it is and means nothing.

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
