//! Bars, as SVG that needs nothing else.

use crate::base::lines::Lines;
use crate::base::markup::html;
use crate::base::text::shortened;

/// Most bars; the rest is one more.
const MOST: usize = 14;
const LINE: usize = 26;
const NAMES: usize = 230;
const BARS: usize = 420;

/// Most characters of a name that fit.
const FITS: usize = 28;
const STYLE: &str = ".bars text{font:13px system-ui,sans-serif;fill:#1b1f24}.bars rect{fill:#54708f}\
@media (prefers-color-scheme:dark){.bars text{fill:#e6edf3}.bars rect{fill:#7d9cc0}}@media print{.bars text{fill:#000}}";

/// Names with amounts, longest first; `say` words an amount. `id` is unique in its page.
pub fn bars(
    id: &str,
    title: &str,
    amounts: &[(String, u64)],
    say: &dyn Fn(u64) -> String,
) -> String {
    let mut sorted: Vec<(&str, u64)> = amounts
        .iter()
        .map(|(name, n)| (name.as_str(), *n))
        .collect();
    sorted.sort_by(|a, b| (b.1, a.0).cmp(&(a.1, b.0)));
    let rest: u64 = sorted.iter().skip(MOST).map(|(_, n)| n).sum();
    let others = sorted.len().saturating_sub(MOST);
    sorted.truncate(MOST);
    let more = format!("{others} others");
    if others > 0 {
        sorted.push((&more, rest));
    }
    let longest = sorted.iter().map(|(_, n)| *n).max().unwrap_or(1).max(1);
    let (width, height) = (NAMES + BARS + 120, sorted.len() * LINE + 8);
    let mut out = Lines::new();
    out.line(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"bars\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\n\
         <title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>\n<style>{STYLE}</style>",
        html(title),
        html(&described(&sorted, say))
    ));
    for (line, (name, amount)) in sorted.iter().enumerate() {
        let y = line * LINE + 4;
        // In 128 bits nothing overflows.
        let length = u128::from(*amount) * BARS as u128 / u128::from(longest);
        out.line(format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"{NAMES}\" y=\"{y}\" width=\"{}\" height=\"18\"/><text x=\"{}\" y=\"{}\">{}</text>",
            NAMES - 8,
            y + 14,
            html(&shortened(name, FITS)),
            length.max(1),
            NAMES as u128 + length.max(1) + 6,
            y + 14,
            html(&say(*amount))
        ));
    }
    out.line("</svg>");
    out.into_text()
}

fn described(amounts: &[(&str, u64)], say: &dyn Fn(u64) -> String) -> String {
    let said = amounts
        .iter()
        .map(|(name, n)| format!("{name}: {}", say(*n)));
    said.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::bars;

    #[test]
    fn bars_are_sorted_cut_and_harmless() {
        let mut amounts: Vec<(String, u64)> = (0..30).map(|n| (format!("l{n:02}"), n)).collect();
        amounts.push(("<b>&\"".to_owned(), u64::MAX));
        let svg = bars("x", "t", &amounts, &|n| n.to_string());
        assert!(svg.contains("&lt;b&gt;&amp;&quot;") && !svg.contains("<b>"));
        assert!(svg.contains("17 others"));
        assert_eq!(svg.matches("<rect").count(), 15);
        let first = svg.find("&lt;b&gt;").unwrap();
        assert!(svg.find("l29").is_some_and(|at| at > first));
    }
}
