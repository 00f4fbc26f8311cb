//! Versions as lists of approved software write them: `1.2.3`, `1.2.x`, `>=1.2, <2`, `^1.2`, `1.2 - 1.9`, `2.1 and above`,
//! `1.2; 1.4`, `any`. Each becomes the ranges that [`PackagePattern`](crate::policy::PackagePattern) reads.

/// Longest text that is read, in bytes.
const MAX: usize = 300;
/// Most ranges of one row.
const MOST: usize = 50;

/// How an ecosystem counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counting {
    /// Three numbers (Semantic Versioning): npm, cargo.
    Semver,
    /// PEP 440.
    Pep440,
    /// Upstream version and revision (Debian Policy 5.6.12).
    Debian,
    /// No order, only names.
    None,
}

impl Counting {
    /// That of the ecosystem with this key.
    pub(super) fn of(key: &str) -> Self {
        match key {
            "npm" | "cargo" => Self::Semver,
            "pypi" => Self::Pep440,
            "debian" => Self::Debian,
            _ => Self::None,
        }
    }
}

/// The ranges that `text` means, each as a pattern has it after `@`; an empty one is every version. `None`: it cannot be
/// read, and approves nothing.
pub(super) fn ranges(text: &str, counting: Counting) -> Option<Vec<String>> {
    let text = text.trim().to_ascii_lowercase().replace(['–', '—'], "-");
    if text.is_empty() || text.len() > MAX || text.chars().any(char::is_control) {
        return None;
    }
    let text = text.replace('≥', ">=").replace('≤', "<=");
    let text = text.strip_prefix("version ").unwrap_or(&text);
    if matches!(
        text,
        "*" | "x" | "any" | "all" | "any version" | "all versions"
    ) {
        return Some(vec![String::new()]);
    }
    let text = open_ended(text);
    let mut out = Vec::new();
    for part in text.split("||").flat_map(|part| part.split(';')) {
        for part in part.split(" or ") {
            out.extend(one(part.trim(), counting)?);
            if out.len() > MOST {
                return None;
            }
        }
    }
    Some(out)
}

/// `2.1 and above` as `2.1+`.
fn open_ended(text: &str) -> String {
    let mut text = text.to_owned();
    for joint in [" and ", " or ", " & ", " "] {
        for word in [
            "above", "later", "newer", "higher", "greater", "up", "onwards",
        ] {
            text = text.replace(&format!("{joint}{word}"), "+");
        }
    }
    text
}

fn one(text: &str, counting: Counting) -> Option<Vec<String>> {
    for joint in [" - ", " to ", " through ", " thru "] {
        if let Some((low, high)) = text.split_once(joint) {
            let low = at_least(plain(low)?, counting);
            return Some(vec![format!("{low},{}", at_most(plain(high)?, counting)?)]);
        }
    }
    if let Some(low) = text.strip_suffix('+') {
        return Some(vec![at_least(plain(low)?, counting)]);
    }
    // A tilde is a part of Debian's versions.
    if text.starts_with('~') || text.contains(['<', '>', '=', '^']) {
        return Some(vec![bounds(text, counting)?]);
    }
    let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
    parts
        .map(|part| exactly(plain(part)?, counting))
        .collect::<Option<Vec<_>>>()
        .filter(|parts| !parts.is_empty())
}

/// A version without a leading `v`, if it begins like one.
fn plain(text: &str) -> Option<&str> {
    let text = text.trim();
    let text = text.strip_prefix('v').unwrap_or(text);
    let begins = text.bytes().next().is_some_and(|b| b.is_ascii_digit());
    let clean = !text.contains(|c: char| c.is_whitespace() || "<>=^|,".contains(c));
    let stands_for_several = text
        .split('.')
        .any(|part| part == "x" || part.contains('*'));
    let readable = !stands_for_several || numbers(text).is_some();
    (begins && clean && readable).then_some(text)
}

/// Comparisons, of which all must hold.
fn bounds(text: &str, counting: Counting) -> Option<String> {
    const SIGNS: [&str; 9] = [">=", "<=", "==", "~=", "~>", ">", "<", "^", "~"];
    let text = text.replace(" and ", ",");
    let mut rest = text.as_str().trim();
    let mut out = Vec::new();
    while !rest.is_empty() {
        let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
        let sign = sign
            .copied()
            .or_else(|| rest.starts_with('=').then_some("="));
        let after = rest.strip_prefix(sign?)?.trim_start();
        let end = after.find([',', ' ', '<', '>', '=', '^']);
        let (version, left) = after.split_at(end.unwrap_or(after.len()));
        let version = plain(version)?;
        out.push(match sign? {
            ">=" => at_least(version, counting),
            ">" => format!(">{}", padded(version, counting)),
            "<" => format!("<{}", padded(version, counting)),
            "<=" => at_most(version, counting)?,
            "^" => caret(version, counting)?,
            "~=" | "~>" => compatible(version, counting)?,
            "~" => tilde(version, counting)?,
            _ => exactly(version, counting)?,
        });
        rest = left.trim_start_matches([',', ' ']);
    }
    (!out.is_empty()).then(|| out.join(","))
}

/// The numbers of `1.2`, `1.2.x` or `1.*`, and whether versions that go on are meant.
fn numbers(version: &str) -> Option<(Vec<u64>, bool)> {
    let mut out = Vec::new();
    let mut parts = version.split('.');
    for part in parts.by_ref() {
        if part == "x" || part == "*" {
            return parts.all(|p| p == "x" || p == "*").then_some((out, true));
        }
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        out.push(part.parse().ok().filter(|_| digits)?);
    }
    Some((out, false))
}

/// A version with as many numbers as its ecosystem wants.
fn padded(version: &str, counting: Counting) -> String {
    match numbers(version) {
        Some((numbers, _)) if counting == Counting::Semver && numbers.len() < 3 => {
            let mut numbers = numbers;
            numbers.resize(3, 0);
            joined(&numbers)
        }
        Some((numbers, true)) => joined(&numbers),
        _ => version.to_owned(),
    }
}

fn joined(numbers: &[u64]) -> String {
    let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
    texts.join(".")
}

fn at_least(version: &str, counting: Counting) -> String {
    format!(">={}", padded(version, counting))
}

/// Everything below the release that follows these numbers, its pre-releases not.
fn below_next(numbers: &[u64], counting: Counting) -> Option<String> {
    let (last, front) = numbers.split_last()?;
    let mut next = front.to_vec();
    next.push(last.checked_add(1)?);
    let next = padded(&joined(&next), counting);
    Some(match counting {
        Counting::Semver => format!("<{next}-0"),
        Counting::Pep440 => format!("<{next}.dev0"),
        Counting::Debian | Counting::None => format!("<{next}~"),
    })
}

fn at_most(version: &str, counting: Counting) -> Option<String> {
    match numbers(version) {
        // `1.9` as the end of a range means all of 1.9.
        Some((numbers, more)) if more || numbers.len() < 3 => below_next(&numbers, counting),
        _ if counting == Counting::Debian && !version.contains('-') => {
            Some(format!("<{version}.0~"))
        }
        _ => Some(format!("<={version}")),
    }
}

fn exactly(version: &str, counting: Counting) -> Option<String> {
    match (numbers(version), counting) {
        (Some((numbers, true)), _) if numbers.is_empty() => Some(String::new()),
        (Some((numbers, more)), _)
            if more || (counting == Counting::Semver && numbers.len() < 3) =>
        {
            let low = padded(&joined(&numbers), counting);
            Some(format!(">={low},{}", below_next(&numbers, counting)?))
        }
        // Without a revision, every revision of it.
        (_, Counting::Debian) if !version.contains('-') => {
            Some(format!(">={version},<{version}.0~"))
        }
        _ => Some(format!("={version}")),
    }
}

/// `^1.2.3`: up to the next number left of which all are 0.
fn caret(version: &str, counting: Counting) -> Option<String> {
    let core = version.split(['-', '+']).next()?;
    let (numbers, _) = numbers(core)?;
    let leading = numbers.iter().position(|n| *n != 0);
    let kept = leading.map_or(numbers.len(), |at| at + 1);
    let high = below_next(numbers.get(..kept)?, counting)?;
    Some(format!("{},{high}", at_least(version, counting)))
}

/// `~1.2.3`: the last of three numbers may grow, or of two none but the third.
fn tilde(version: &str, counting: Counting) -> Option<String> {
    let core = version.split(['-', '+']).next()?;
    let (numbers, _) = numbers(core)?;
    let high = below_next(numbers.get(..numbers.len().min(2))?, counting)?;
    Some(format!("{},{high}", at_least(version, counting)))
}

/// `~=1.4.5` (PEP 440): the last number may grow.
fn compatible(version: &str, counting: Counting) -> Option<String> {
    let (numbers, _) = numbers(version)?;
    let front = numbers.len().checked_sub(1).filter(|kept| *kept > 0)?;
    let high = below_next(numbers.get(..front)?, counting)?;
    Some(format!("{},{high}", at_least(version, counting)))
}

#[cfg(test)]
mod tests {
    use super::{Counting, ranges};
    use crate::policy::PackagePattern;
    use crate::policy::pattern::Match;

    /// Ecosystem, text, versions that are meant, versions that are not.
    const CASES: &[(&str, &str, &[&str], &[&str])] = &[
        ("npm", "1.2.3", &["1.2.3"], &["1.2.4", "1.2.3-rc.1"]),
        ("npm", "v1.2.3", &["1.2.3"], &["1.2.4"]),
        (
            "npm",
            "1.2",
            &["1.2.0", "1.2.9"],
            &["1.3.0", "1.3.0-rc.1", "1.1.9"],
        ),
        ("npm", "1.x", &["1.0.0", "1.99.0"], &["2.0.0", "2.0.0-a"]),
        ("npm", "^1.2", &["1.2.0", "1.9.9"], &["2.0.0", "1.1.0"]),
        ("npm", "^0.2.3", &["0.2.9"], &["0.3.0", "0.2.2"]),
        ("npm", "~1.2.3", &["1.2.9"], &["1.3.0", "1.2.2"]),
        ("npm", ">=1.2 <2", &["1.2.0", "1.9.0"], &["2.0.0", "1.1.9"]),
        ("npm", ">= 1.2 and < 2", &["1.2.0"], &["2.0.0"]),
        ("npm", "1.2 - 1.9", &["1.2.0", "1.9.7"], &["1.10.0"]),
        ("npm", "1.2.0 to 1.9.3", &["1.9.3"], &["1.9.4"]),
        ("npm", "2.1 and above", &["2.1.0", "9.0.0"], &["2.0.9"]),
        ("npm", "2.1+", &["2.1.0"], &["2.0.9"]),
        ("npm", "3 or later", &["3.0.0"], &["2.9.9"]),
        ("npm", "1.2.3; 1.2.5", &["1.2.3", "1.2.5"], &["1.2.4"]),
        ("npm", "1.2.3, 1.4.x", &["1.2.3", "1.4.7"], &["1.3.0"]),
        ("npm", "1.0.0 || 2.0.0", &["1.0.0", "2.0.0"], &["1.0.1"]),
        ("npm", "Any", &["0.0.1", "9.9.9"], &[]),
        ("npm", "≥ 4", &["4.0.0"], &["3.9.9"]),
        ("pypi", "1.2", &["1.2", "1.2.0"], &["1.2.1", "1.3"]),
        ("pypi", "1.2.*", &["1.2", "1.2.9"], &["1.3", "1.3rc1"]),
        ("pypi", "~=1.4.5", &["1.4.5", "1.4.99"], &["1.5", "1.5rc1"]),
        ("pypi", ">=2,<3", &["2.31.0"], &["3.0", "1.9"]),
        ("pypi", "<=2.31", &["2.31", "2.31.4"], &["2.32"]),
        (
            "debian",
            "3.0.15-1~deb12u1",
            &["3.0.15-1~deb12u1"],
            &["3.0.15-1~deb12u2"],
        ),
        (
            "debian",
            "3.0.15",
            &["3.0.15-1~deb12u1", "3.0.15+dfsg-2"],
            &["3.0.16-1", "3.0.14-9"],
        ),
        ("debian", "1:2.36 and up", &["1:2.40-1"], &["2.99-1"]),
        ("cargo", "15", &["15.2.0"], &["16.0.0"]),
    ];

    #[test]
    fn versions_are_read_as_people_write_them() {
        for (id, text, inside, outside) in CASES.iter().copied() {
            let found = ranges(text, Counting::of(id)).unwrap_or_else(|| panic!("{id} {text}"));
            let patterns: Vec<PackagePattern> = found
                .iter()
                .map(|range| match range.as_str() {
                    "" => format!("{id}:a").parse().unwrap(),
                    range => format!("{id}:a@{range}").parse().unwrap(),
                })
                .collect();
            let covers = |version: &str| {
                let id = id.parse().unwrap();
                patterns
                    .iter()
                    .any(|p| p.covers(&id, "a", version) == Match::Yes)
            };
            for version in inside {
                assert!(covers(version), "{id} {text} is {found:?}: {version}");
            }
            for version in outside {
                assert!(!covers(version), "{id} {text} is {found:?}: {version}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_approves_nothing() {
        for text in [
            "",
            " ",
            "latest",
            "see notes",
            "1.2 beta build",
            ">=",
            "!=1.2",
            "> 1 or",
            "-",
            "^x",
            "1.2 - ",
            "~=1",
            "v",
            "1..2 - x",
            "99999999999999999999.x",
            "\u{1b}[31m",
        ] {
            let found = ranges(text, Counting::Semver);
            assert_eq!(found, None, "{text:?}");
        }
        assert_eq!(ranges(&"1;".repeat(200), Counting::Semver), None);
    }
}
