//! Requirements as texts write them (PyPA "Dependency specifiers", PEP 508), read into what the solver works with.

use pep440_rs::{Operator, VersionSpecifiers};
use pep508_rs::{ExtraName, MarkerTree, Requirement, VersionOrUrl};
use url::Url;

use crate::base::text::quoted;
use crate::eco::pypi::marker;
use crate::eco::pypi::name::Name;
use crate::eco::pypi::solve::range::{self, Range};

/// Longest requirement, in bytes.
const MAX: usize = 16 << 10;
/// Deepest nesting of parentheses: the parser below calls itself.
const MAX_DEPTH: usize = 32;

/// A requirement.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The project.
    pub(crate) name: Name,
    /// Its extras, in the order of the text.
    pub(crate) extras: Vec<ExtraName>,
    /// The versions it allows.
    pub(crate) range: Range,
    /// How it says so.
    pub(crate) specifiers: VersionSpecifiers,
    /// When it counts.
    pub(crate) marker: MarkerTree,
    /// The address of a file or repository, for a direct reference.
    pub(crate) direct: Option<String>,
    /// The text.
    pub(crate) text: String,
}

impl Wanted {
    /// Reads a requirement. The error says what is wrong, safe to print.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX || depth(text) > MAX_DEPTH {
            return Err("it is too long or too deeply nested".to_owned());
        }
        check_form(text)?;
        let parsed = text.parse::<Requirement<Url>>();
        let parsed = match (parsed, repaired(text)) {
            (Err(_), Some(repaired)) => repaired.parse(),
            (parsed, _) => parsed,
        };
        // The whole error would draw the text, which may hold anything.
        let parsed = parsed.map_err(|error| quoted(&error.message.to_string()))?;
        let (specifiers, direct) = match parsed.version_or_url {
            None => (VersionSpecifiers::empty(), None),
            Some(VersionOrUrl::VersionSpecifier(specifiers)) => (specifiers, None),
            Some(VersionOrUrl::Url(url)) => (VersionSpecifiers::empty(), Some(url.to_string())),
        };
        let range = range::of(&specifiers);
        let name = parsed.name.as_ref().parse::<Name>();
        Ok(Self {
            name: name.map_err(|error| error.to_string())?,
            extras: parsed.extras,
            range: range.ok_or_else(|| "a number in its versions is too large".to_owned())?,
            specifiers,
            marker: parsed.marker,
            direct,
            text: text.to_owned(),
        })
    }

    /// Whether it allows one version only.
    pub(crate) fn is_pin(&self) -> bool {
        let exact = |o: &Operator| matches!(o, Operator::Equal | Operator::ExactEqual);
        self.specifiers.len() == 1 && self.specifiers.iter().all(|s| exact(s.operator()))
    }
}

/// Names of a requirement and of its extras end with a letter or a digit, and markers are ASCII (PEP 508). The library stops
/// the program where that is not so.
pub(crate) fn check_form(text: &str) -> Result<(), String> {
    if text
        .split_once(';')
        .is_some_and(|(_, marker)| !marker.is_ascii())
    {
        return Err(marker::NOT_ASCII.to_owned());
    }
    let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let text = text.trim_start();
    let (name, rest) = text.split_at(text.find(|c| !of_name(c)).unwrap_or(text.len()));
    let extras = rest.trim_start().strip_prefix('[').unwrap_or_default();
    let extras = extras.split_once(']').map_or(extras, |(inside, _)| inside);
    let mut names = std::iter::once(name).chain(extras.split(|c| !of_name(c)));
    match names.find(|name| name.ends_with(['.', '-', '_'])) {
        Some(name) => Err(format!(
            "the name {} does not end with a letter or a digit",
            quoted(name)
        )),
        None => Ok(()),
    }
}

/// The deepest nesting of parentheses.
fn depth(text: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' => now += 1,
            b')' => now = now.saturating_sub(1),
            _ => {}
        }
        most = most.max(now);
    }
    most
}

/// What old packages mean with `>=1.9.*`: comparisons have no wildcards. Also a comma too many before `;` or the end.
fn repaired(text: &str) -> Option<String> {
    let (head, marker) = match text.split_once(';') {
        Some((head, marker)) => (head, Some(marker)),
        None => (text, None),
    };
    let head = head.trim_end().trim_end_matches([',', ' ']);
    let parts = head.split(',').map(|part| {
        let compares = part.contains(['<', '>', '~']);
        match part.trim_end().trim_end_matches(')').strip_suffix(".*") {
            Some(front) if compares => {
                let end = if part.trim_end().ends_with(')') {
                    ")"
                } else {
                    ""
                };
                format!("{front}{end}")
            }
            _ => part.to_owned(),
        }
    });
    let head = parts.collect::<Vec<_>>().join(",");
    let new = match marker {
        Some(marker) => format!("{head};{marker}"),
        None => head,
    };
    (new != text).then_some(new)
}

/// Reads version specifiers such as those of `Requires-Python`; old ones with wildcards are understood.
pub(crate) fn specifiers(text: &str) -> Option<VersionSpecifiers> {
    if text.len() > MAX {
        return None;
    }
    let parsed = text.parse::<VersionSpecifiers>().ok();
    parsed.or_else(|| repaired(text)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::{Wanted, specifiers};

    #[test]
    fn requirements_are_read_and_hostile_ones_refused() {
        let wanted = Wanted::parse("Foo_Bar[A,b] >=1,<2 ; python_version > '3'").unwrap();
        assert_eq!((wanted.name.as_str(), wanted.extras.len()), ("foo-bar", 2));
        assert!(wanted.range.contains(&"1.5".parse().unwrap()) && !wanted.is_pin());
        assert!(Wanted::parse("a==1.0").unwrap().is_pin());
        let direct = Wanted::parse("a @ https://files.example/a.whl").unwrap();
        assert!(direct.direct.is_some());
        let old = Wanted::parse("a (>=1.9.*) ; python_version > '2'").unwrap();
        assert!(old.range.contains(&"1.9".parse().unwrap()));
        assert!(specifiers(">=3.6.*").is_some() && specifiers("three").is_none());
        let nested = format!(
            "a ; {}python_version > '3'{}",
            "(".repeat(9_000),
            ")".repeat(9_000)
        );
        for bad in [
            "",
            "a b",
            "a==",
            "../a",
            "a\u{202e}",
            nested.as_str(),
            "a @ not a url",
            "a. >=1",
            "a-[b]",
            "a[b-]",
            "a [ b, c_ ] >=1",
            "a[b- c]",
            "a[b.",
            "a ; python_version < '3' andé]",
            "a ; python_version < 'é'",
        ] {
            Wanted::parse(bad).unwrap_err();
        }
        let shown = Wanted::parse("a \u{1b}[2J").unwrap_err();
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }
}
