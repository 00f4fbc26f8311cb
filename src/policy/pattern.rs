//! Packages that a policy names: `npm:left-pad`, `pypi:acme-*`, `debian:openssl@>=3.0.15,<4`. Names are normalized as
//! their ecosystem does before they are compared.

use std::cmp::Ordering;
use std::str::FromStr;

use crate::base::glob::is_like;
use crate::base::package::EcosystemId;
use crate::eco;

/// Longest pattern, in bytes.
const MAX: usize = 400;

/// One or several packages, in all or some versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagePattern {
    text: String,
    ecosystem: EcosystemId,
    name: String,
    range: Vec<(Bound, String)>,
}

/// How a version must stand to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Exactly,
    AtLeast,
    Above,
    AtMost,
    Below,
}

/// Whether a package is among those that are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// The name is; the version is none that can be compared.
    Unknown,
}

/// Why a text is no pattern. Safe to print.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(String);

impl PackagePattern {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The ecosystem of its packages.
    pub const fn ecosystem(&self) -> &EcosystemId {
        &self.ecosystem
    }

    /// The one name that it means, normalized; `None` if it means several.
    pub fn name(&self) -> Option<&str> {
        (!self.name.contains('*')).then_some(&self.name)
    }

    /// Whether it means this package.
    pub fn covers(&self, ecosystem: &EcosystemId, name: &str, version: &str) -> Match {
        let Some(knowledge) = eco::by_id(&self.ecosystem) else {
            return Match::No;
        };
        if *ecosystem != self.ecosystem || !is_like(&self.name, &knowledge.normalized(name)) {
            return Match::No;
        }
        let mut found = Match::Yes;
        for (bound, other) in &self.range {
            if *bound == Bound::Exactly && version == other {
                continue;
            }
            match knowledge.order(version, other) {
                None if *bound == Bound::Exactly => return Match::No,
                None => found = Match::Unknown,
                Some(order) if bound.allows(order) => {}
                Some(_) => return Match::No,
            }
        }
        found
    }

    /// Whether one of these means the package for sure.
    pub fn any(patterns: &[Self], ecosystem: &EcosystemId, name: &str, version: &str) -> bool {
        let sure = |p: &Self| p.covers(ecosystem, name, version) == Match::Yes;
        patterns.iter().any(sure)
    }
}

impl Bound {
    const fn allows(self, order: Ordering) -> bool {
        match self {
            Self::Exactly => order.is_eq(),
            Self::AtLeast => order.is_ge(),
            Self::Above => order.is_gt(),
            Self::AtMost => order.is_le(),
            Self::Below => order.is_lt(),
        }
    }
}

impl FromStr for PackagePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let form = || {
            PatternError(
                "a package such as \"npm:left-pad\", \"pypi:acme-*\" or \"npm:left-pad@>=1.3,<2\""
                    .to_owned(),
            )
        };
        if text.len() > MAX || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(form());
        }
        let (id, rest) = text.split_once(':').ok_or_else(form)?;
        let known = || {
            eco::ALL
                .iter()
                .map(|e| e.key())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let unknown = || PatternError(format!("a package of one of {}", known()));
        let id: EcosystemId = id.parse().map_err(|_bad| unknown())?;
        let knowledge = eco::by_id(&id).ok_or_else(unknown)?;
        // A scope of npm begins with the sign that separates the range.
        let at = rest.char_indices().skip(1).find(|(_, c)| *c == '@');
        let (name, range) = match at {
            Some((at, _)) => (rest.get(..at), rest.get(at + 1..)),
            None => (Some(rest), None),
        };
        let name = name.filter(|name| !name.is_empty()).ok_or_else(form)?;
        let mut bounds = Vec::new();
        for part in range.map(|range| range.split(',')).into_iter().flatten() {
            let (bound, version) = bound(part);
            let comparable = knowledge.order(version, version).is_some();
            if version.is_empty() || (bound != Bound::Exactly && !comparable) {
                return Err(PatternError(format!(
                    "a package whose versions after `@` are versions of {id}"
                )));
            }
            bounds.push((bound, version.to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
            ecosystem: id,
            name: knowledge.normalized(name),
            range: bounds,
        })
    }
}

fn bound(part: &str) -> (Bound, &str) {
    const SIGNS: [(&str, Bound); 6] = [
        (">=", Bound::AtLeast),
        ("<=", Bound::AtMost),
        ("==", Bound::Exactly),
        (">", Bound::Above),
        ("<", Bound::Below),
        ("=", Bound::Exactly),
    ];
    let signs = SIGNS.iter();
    let mut found = signs.filter_map(|(sign, bound)| Some((*bound, part.strip_prefix(sign)?)));
    found.next().unwrap_or((Bound::Exactly, part))
}

#[cfg(test)]
mod tests {
    use super::{Match, PackagePattern};

    fn covers(pattern: &str, id: &str, name: &str, version: &str) -> Match {
        let pattern: PackagePattern = pattern.parse().unwrap();
        pattern.covers(&id.parse().unwrap(), name, version)
    }

    #[test]
    fn names_are_normalized_and_versions_ordered_as_their_ecosystem_does() {
        for (pattern, id, name, version, expected) in [
            ("npm:left-pad", "npm", "left-pad", "1.3.0", Match::Yes),
            ("npm:left-pad", "pypi", "left-pad", "1.3.0", Match::No),
            ("npm:@acme/*", "npm", "@acme/a", "1.0.0", Match::Yes),
            ("npm:@acme/*@<2", "npm", "@acme/a", "1.0.0", Match::Unknown),
            ("npm:@acme/*@<2.0.0", "npm", "@acme/a", "1.10.0", Match::Yes),
            ("npm:a@>=1.9.0,<2.0.0", "npm", "a", "1.10.0", Match::Yes),
            ("npm:a@>1.10.0", "npm", "a", "1.10.0", Match::No),
            ("npm:a@1.0.0", "npm", "a", "1.0.1", Match::No),
            (
                "pypi:Zope.Interface",
                "pypi",
                "zope-interface",
                "1",
                Match::Yes,
            ),
            ("pypi:a@<2", "pypi", "a", "2.0rc1", Match::Yes),
            ("pypi:a@==1.0", "pypi", "a", "1.0.0", Match::Yes),
            (
                "cargo:serde_json",
                "cargo",
                "serde-json",
                "1.0.0",
                Match::Yes,
            ),
            (
                "debian:openssl@<3.0.15",
                "debian",
                "openssl",
                "3.0.15~rc1",
                Match::Yes,
            ),
            (
                "debian:openssl@<1:1",
                "debian",
                "openssl",
                "3.0.15",
                Match::Yes,
            ),
            ("file:tools/*", "file", "tools/a", "x", Match::Yes),
        ] {
            // `2` is no version of npm; that is said where it is written.
            if expected == Match::Unknown {
                assert!(pattern.parse::<PackagePattern>().is_err(), "{pattern}");
                continue;
            }
            assert_eq!(
                covers(pattern, id, name, version),
                expected,
                "{pattern} {name} {version}"
            );
        }
        assert_eq!(
            covers("npm:a@>=1.0.0", "npm", "a", "latest"),
            Match::Unknown
        );
        for bad in [
            "left-pad",
            "nmp:a",
            "npm:",
            "npm:a@",
            "npm:a b",
            "file:a@>1",
        ] {
            assert!(bad.parse::<PackagePattern>().is_err(), "{bad}");
        }
    }
}
