//! Dependency fields (Debian Policy 7.1): groups of alternatives with versions, architecture qualifiers, architecture
//! restrictions and build profiles.

use std::fmt;

use crate::base::text::quoted;
use crate::eco::debian::version::Version;

/// Most relations of one field. The largest of Debian has about 1,000.
const MOST: usize = 20_000;

/// How a version is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

impl Op {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        }
    }

    /// Whether `found` stands so to `wanted`.
    pub fn holds(self, found: Version<'_>, wanted: Version<'_>) -> bool {
        match self {
            Self::Earlier => found < wanted,
            Self::EarlierOrEqual => found <= wanted,
            Self::Equal => found == wanted,
            Self::LaterOrEqual => found >= wanted,
            Self::Later => found > wanted,
        }
    }
}

/// What stands after the colon of a package's name (Multi-Arch specification).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qualifier<'a> {
    /// Nothing: the architecture of the package that has the field.
    Same,
    /// `:any`: any architecture, of a package that allows it.
    Any,
    /// `:native`: the architecture of the host.
    Native,
    /// A name of an architecture.
    Of(&'a str),
}

/// One alternative.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Relation<'a> {
    /// Name of the package.
    pub name: &'a str,
    /// Architecture.
    pub qualifier: Qualifier<'a>,
    /// Versions that will do.
    pub version: Option<(Op, Version<'a>)>,
}

impl Relation<'_> {
    /// Whether a package of this version will do, leaving its name and architecture aside.
    pub fn admits(&self, found: Version<'_>) -> bool {
        self.version
            .is_none_or(|(op, wanted)| op.holds(found, wanted))
    }

    /// Whether a package that provides the name will do: with a version only where it states one that does.
    pub fn admits_provided(&self, stated: Option<Version<'_>>) -> bool {
        match (self.version, stated) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((op, wanted)), Some(found)) => op.holds(found, wanted),
        }
    }
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.qualifier {
            Qualifier::Same => {}
            Qualifier::Any => f.write_str(":any")?,
            Qualifier::Native => f.write_str(":native")?,
            Qualifier::Of(arch) => write!(f, ":{arch}")?,
        }
        match self.version {
            Some((op, version)) => write!(f, " ({} {version})", op.as_str()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no dependency field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} is no relation: {reason}")]
pub struct RelationError {
    /// The part that cannot be read, quoted.
    pub found: String,
    /// What is wrong with it.
    pub reason: String,
}

fn wrong(found: &str, reason: impl Into<String>) -> RelationError {
    RelationError {
        found: quoted(found),
        reason: reason.into(),
    }
}

/// Groups of alternatives. Alternatives for other architectures than `arch` and for build profiles are left out, and
/// so are groups that have no other.
pub fn parse<'a>(field: &'a str, arch: &str) -> Result<Vec<Vec<Relation<'a>>>, RelationError> {
    let mut groups = Vec::new();
    let mut count = 0;
    for group in field.split(',').map(str::trim).filter(|g| !g.is_empty()) {
        let mut alternatives = Vec::new();
        for text in group.split('|') {
            count += 1;
            if count > MOST {
                return Err(wrong(group, "more than 20,000 relations in one field"));
            }
            alternatives.extend(one(text.trim(), arch)?);
        }
        if !alternatives.is_empty() {
            groups.push(alternatives);
        }
    }
    Ok(groups)
}

/// One `Provides` entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provided<'a> {
    /// The name that is provided.
    pub name: &'a str,
    /// Architecture.
    pub qualifier: Qualifier<'a>,
    /// The version that is stated, if one is.
    pub version: Option<Version<'a>>,
}

/// The names that a `Provides` field has. An entry with another operator than `=` counts for nothing.
pub fn provides<'a>(field: &'a str, arch: &str) -> Result<Vec<Provided<'a>>, RelationError> {
    let provided = |relation: Relation<'a>| match relation.version {
        None => Some(None),
        Some((Op::Equal, version)) => Some(Some(version)),
        Some(_) => None,
    };
    let groups = parse(field, arch)?;
    let entries = groups.into_iter().flatten().filter_map(|relation| {
        Some(Provided {
            name: relation.name,
            qualifier: relation.qualifier,
            version: provided(relation)?,
        })
    });
    Ok(entries.collect())
}

/// One alternative, unless it is for another architecture or a build profile.
fn one<'a>(text: &'a str, arch: &str) -> Result<Option<Relation<'a>>, RelationError> {
    let fail = |reason: &str| Err(wrong(text, reason));
    let end = text.find(|c: char| c.is_ascii_whitespace() || matches!(c, '(' | '[' | '<'));
    let (name, mut rest) = text
        .split_at_checked(end.unwrap_or(text.len()))
        .unwrap_or((text, ""));
    let (name, qualifier) = match name.split_once(':') {
        None => (name, Qualifier::Same),
        Some((name, "any")) => (name, Qualifier::Any),
        Some((name, "native")) => (name, Qualifier::Native),
        Some((name, arch)) if is_word(arch) => (name, Qualifier::Of(arch)),
        Some(_) => return fail("its architecture cannot be read"),
    };
    if !is_package(name) {
        return fail("it has no name of a package");
    }
    let mut version = None;
    let mut applies = true;
    rest = rest.trim_start();
    if let Some(inside) = rest.strip_prefix('(') {
        let Some((inside, after)) = inside.split_once(')') else {
            return fail("its version is not closed");
        };
        version = Some(versioned(inside).map_err(|reason| wrong(text, reason))?);
        rest = after.trim_start();
    }
    if let Some(inside) = rest.strip_prefix('[') {
        let Some((inside, after)) = inside.split_once(']') else {
            return fail("its list of architectures is not closed");
        };
        applies = is_for(inside, arch);
        rest = after.trim_start();
    }
    // Build profiles: none is active where binary packages are installed.
    while let Some(inside) = rest.strip_prefix('<') {
        let Some((inside, after)) = inside.split_once('>') else {
            return fail("its build profile is not closed");
        };
        let inactive = inside.split_ascii_whitespace().all(|p| p.starts_with('!'));
        applies = applies && inactive;
        rest = after.trim_start();
    }
    if !rest.is_empty() {
        return fail("something follows that belongs to nothing");
    }
    let relation = Relation {
        name,
        qualifier,
        version,
    };
    Ok(applies.then_some(relation))
}

fn versioned(inside: &str) -> Result<(Op, Version<'_>), String> {
    let inside = inside.trim();
    let end = inside.find(|c| !matches!(c, '<' | '>' | '='));
    let (op, version) = inside
        .split_at_checked(end.unwrap_or(inside.len()))
        .unwrap_or(("", ""));
    let op = match op {
        "<<" => Op::Earlier,
        // Debian Policy 7.1: the single signs are old forms of these two.
        "<=" | "<" => Op::EarlierOrEqual,
        "=" => Op::Equal,
        ">=" | ">" => Op::LaterOrEqual,
        ">>" => Op::Later,
        _ => return Err("its version has no known operator".to_owned()),
    };
    let version = Version::parse(version.trim()).map_err(|e| e.to_string())?;
    Ok((op, version))
}

/// Whether a list such as `amd64 arm64` or `!i386` holds for an architecture.
fn is_for(list: &str, arch: &str) -> bool {
    let fits = |word: &str| {
        matches!(word, "any" | "linux-any")
            || word == arch
            || word.strip_prefix("any-") == Some(arch)
    };
    let mut negative = false;
    for word in list.split_ascii_whitespace() {
        match word.strip_prefix('!') {
            Some(word) if fits(word) => return false,
            Some(_) => negative = true,
            None if fits(word) => return true,
            None => {}
        }
    }
    negative
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Looser than [`super::is_name`]: relations may name packages of other archives.
fn is_package(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::{parse, provides};

    fn shown(field: &str) -> String {
        let groups = parse(field, "arm64").unwrap().into_iter();
        let shown = groups.map(|group| {
            let all: Vec<String> = group.iter().map(ToString::to_string).collect();
            all.join("|")
        });
        shown.collect::<Vec<_>>().join(",")
    }

    #[test]
    fn fields_are_read_as_the_policy_writes_them() {
        for (field, expected) in [
            ("", ""),
            ("a, b|c ,d", "a,b|c,d"),
            (
                "a(>=1),b (<< 2-1) | c ( = 1:3 )",
                "a (>= 1),b (<< 2-1)|c (= 1:3)",
            ),
            ("a (< 1), b (> 1)", "a (<= 1),b (>= 1)"),
            (
                "python3:any (>= 3), perl:native, libc6:i386",
                "python3:any (>= 3),perl:native,libc6:i386",
            ),
            (
                "a [amd64], b [arm64 i386], c [!arm64], d [!i386], e [linux-any]",
                "b,d,e",
            ),
            (
                "a [amd64] | b [any-arm64], c <!nocheck>, d <stage1>, e <!a> <b>",
                "b,c",
            ),
            ("a,\n b,\n c,", "a,b,c"),
        ] {
            assert_eq!(shown(field), expected, "{field}");
        }
    }

    #[test]
    fn what_is_no_relation_is_refused() {
        for bad in [
            "a (>= 1",
            "a (1)",
            "a (>> )",
            "a (== 1)",
            "a b",
            "(>= 1)",
            "a [amd64",
            "a <x",
            "a:",
            "a:b/c",
            "../a",
            "a | | b",
            "a (>= 1_0)",
            "a\u{1b}",
        ] {
            assert!(parse(bad, "amd64").is_err(), "{bad}");
        }
        let many = "a,".repeat(30_000);
        parse(&many, "amd64").unwrap_err();
    }

    #[test]
    fn only_an_equal_version_can_be_provided() {
        let all = provides("a (= 1), b, c (>= 2), d:any (= 3)", "amd64").unwrap();
        let named: Vec<_> = all
            .iter()
            .map(|p| (p.name, p.version.map(|v| v.as_str())))
            .collect();
        assert_eq!(named, [("a", Some("1")), ("b", None), ("d", Some("3"))]);
    }
}
