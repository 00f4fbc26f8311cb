//! Which form of a Python index page a client wants (RFC 9110 §12.5.1, PEP 691): JSON only for clients that name it.

/// Content type of the JSON form.
pub const JSON: &str = "application/vnd.pypi.simple.v1+json";
/// Content type of the HTML form, by its own name.
pub const HTML: &str = "application/vnd.pypi.simple.v1+html; charset=utf-8";
/// Content type of the HTML form, as everybody knows it.
pub const TEXT_HTML: &str = "text/html; charset=utf-8";

/// Most media ranges that are looked at.
const MOST: usize = 64;

/// The content type to answer with; `accept` is the request's header, empty when it has none.
pub fn of_simple_page(accept: &str) -> &'static str {
    let (mut json, mut html, mut text) = (0, 0, 0);
    for range in accept.split(',').take(MOST) {
        let (kind, parameters) = range.split_once(';').unwrap_or((range, ""));
        let weight = weight(parameters);
        let best =
            match kind.trim().to_ascii_lowercase().as_str() {
                "application/vnd.pypi.simple.v1+json"
                | "application/vnd.pypi.simple.latest+json" => &mut json,
                "application/vnd.pypi.simple.v1+html"
                | "application/vnd.pypi.simple.latest+html" => &mut html,
                "text/html" => &mut text,
                _ => continue,
            };
        *best = weight.max(*best);
    }
    if json > 0 && json >= html.max(text) {
        JSON
    } else if html > text {
        HTML
    } else {
        TEXT_HTML
    }
}

/// The weight among a media range's parameters, in thousandths; 1000 when there is none, 0 when it is none.
fn weight(parameters: &str) -> u16 {
    let mut all = parameters
        .split(';')
        .filter_map(|p| p.trim().split_once('='));
    let Some((_, value)) = all.find(|(name, _)| name.trim().eq_ignore_ascii_case("q")) else {
        return 1000;
    };
    let (whole, part) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let thousandths = format!("{part:0<3}").parse::<u16>();
    match (whole, thousandths) {
        ("1", Ok(0)) => 1000,
        ("0", Ok(part)) if part < 1000 => part,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{HTML, JSON, TEXT_HTML, of_simple_page};

    #[test]
    fn json_is_for_those_who_ask_for_it() {
        let (pip, json) = ("application/vnd.pypi.simple.v1+json", JSON);
        for (accept, kind) in [
            (
                format!("{pip}, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"),
                json,
            ),
            (format!("{pip},text/html;q=1.000"), json),
            (format!("text/html;q=0.5, {pip};Q=0.6"), json),
            ("application/vnd.pypi.simple.latest+JSON".to_owned(), json),
            (format!("text/html, {pip};q=0.9"), TEXT_HTML),
            (format!("{pip};q=0"), TEXT_HTML),
            (format!("{pip};q=2"), TEXT_HTML),
            (format!("{pip};q=x"), TEXT_HTML),
            ("application/vnd.pypi.simple.v1+html".to_owned(), HTML),
            (
                "application/vnd.pypi.simple.v1+html, text/html".to_owned(),
                TEXT_HTML,
            ),
            (
                "text/html,application/xhtml+xml,*/*;q=0.8".to_owned(),
                TEXT_HTML,
            ),
            ("application/json".to_owned(), TEXT_HTML),
            ("*/*".to_owned(), TEXT_HTML),
            (String::new(), TEXT_HTML),
            (",".repeat(10_000), TEXT_HTML),
            (";q=é".to_owned(), TEXT_HTML),
        ] {
            assert_eq!(of_simple_page(&accept), kind, "{accept}");
        }
    }
}
