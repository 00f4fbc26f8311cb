//! Which version of a crate a requirement means, as `cargo install` reads it: a whole version is exactly that version, a
//! range takes the highest that fits, nothing at all the highest release. Versions that were taken back do not count,
//! unless the previous lock has them.

use std::collections::BTreeSet;

use semver::{Version, VersionReq};

use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::eco::cargo::fault::CargoError;
use crate::eco::cargo::index::Listed;
use crate::eco::preference::Preference;

/// What a requirement wants of a crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Name of the crate.
    pub(crate) name: String,
    /// The requirement as it is written.
    pub(crate) text: String,
    wanted: Wanted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Exactly(Version),
    Range(VersionReq),
}

/// What else decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits<'a> {
    /// Versions published later, or at an unknown time, do not exist.
    pub(crate) exclude_newer: Option<Timestamp>,
    /// Versions to take before others.
    pub(crate) prefer: Option<&'a Preference>,
    /// The only versions that a lock file of the user allows.
    pub(crate) only: Option<&'a BTreeSet<String>>,
}

impl Wish {
    /// Reads a requirement such as `ripgrep`, `ripgrep@15.2.0` or `ripgrep@^15`.
    pub(crate) fn parse(text: &str) -> Result<Self, CargoError> {
        let bad = || CargoError::Requirement { text: quoted(text) };
        let (name, version) = super::split_requirement(text).ok_or_else(bad)?;
        let wanted = match version {
            None => Wanted::Range(VersionReq::STAR),
            Some(range) if range.starts_with(['<', '>', '=', '^', '~']) || range.contains('*') => {
                Wanted::Range(range.parse().map_err(|_bad| bad())?)
            }
            Some(version) => Wanted::Exactly(version.parse().map_err(|_bad| bad())?),
        };
        Ok(Self {
            name: name.to_owned(),
            text: text.to_owned(),
            wanted,
        })
    }

    fn fits(&self, version: &Version) -> bool {
        match &self.wanted {
            Wanted::Range(range) => range.matches(version),
            Wanted::Exactly(exact) => {
                let core = |v: &Version| (v.major, v.minor, v.patch, v.pre.clone());
                core(exact) == core(version)
                    && (exact.build.is_empty() || exact.build == version.build)
            }
        }
    }

    /// The version it means among those in the index.
    pub(crate) fn pick(&self, listed: &[Listed], limits: Limits<'_>) -> Result<String, CargoError> {
        let parsed = |l: &Listed| l.version.parse::<Version>().ok();
        let mut fitting: Vec<(Version, &Listed)> = listed
            .iter()
            .filter_map(|l| Some((parsed(l)?, l)))
            .filter(|(version, l)| {
                self.fits(version) && limits.only.is_none_or(|only| only.contains(&l.version))
            })
            .collect();
        fitting.sort_by(|(a, _), (b, _)| a.cmp(b));
        let old: Vec<_> = fitting
            .iter()
            .filter(|(_, l)| is_old(l, limits.exclude_newer))
            .collect();
        let rank = |l: &Listed| limits.prefer.map_or(0, |p| p.rank(&self.name, &l.version));
        // What was taken back is taken again only where the lock has it.
        let is_kept = |rank: u8| rank % 2 == 1;
        let usable = old.iter().map(|(version, l)| (rank(l), version, l));
        let usable = usable.filter(|(rank, _, l)| !l.yanked || is_kept(*rank));
        if let Some((_, _, chosen)) = usable.max_by_key(|(rank, version, _)| (*rank, *version)) {
            return Ok(chosen.version.clone());
        }
        let reason = match (fitting.len(), old.len()) {
            (0, _) if limits.only.is_some() => {
                "the Cargo.lock is not that of this crate and version".to_owned()
            }
            (0, _) => format!("it is none of the {} in the index", listed.len()),
            (some, 0) => format!("{some} fit, but are too new, or published at an unknown time"),
            (_, some) => format!("{some} fit, but were yanked"),
        };
        Err(CargoError::NoVersion {
            name: escaped(&self.name),
            wanted: quoted(&self.text),
            reason,
            needed_by: "the manifest".to_owned(),
        })
    }
}

/// Whether a version counts under the limit.
pub(crate) fn is_old(listed: &Listed, limit: Option<Timestamp>) -> bool {
    is_published_by(listed.pubtime.as_deref(), limit)
}

/// Whether something with this publication time counts under the limit; an unknown time is too new.
pub(crate) fn is_published_by(pubtime: Option<&str>, limit: Option<Timestamp>) -> bool {
    limit.is_none_or(|limit| {
        pubtime
            .and_then(|time| time.parse::<Timestamp>().ok())
            .is_some_and(|time| time <= limit)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Limits, Wish};
    use crate::eco::cargo::index::Listed;
    use crate::eco::preference::Preference;

    const NONE: Limits<'static> = Limits {
        exclude_newer: None,
        prefer: None,
        only: None,
    };

    fn listed() -> Vec<Listed> {
        let one = |version: &str, yanked, pubtime: Option<&str>| Listed {
            version: version.to_owned(),
            yanked,
            pubtime: pubtime.map(str::to_owned),
        };
        vec![
            one("1.0.0", false, Some("2025-01-01T00:00:00Z")),
            one("1.10.0", false, Some("2026-01-01T00:00:00Z")),
            one("1.9.0", false, None),
            one("1.11.0", true, Some("2024-01-01T00:00:00Z")),
            one("2.0.0-rc.1", false, Some("2026-02-01T00:00:00Z")),
            one("0.1.0+b.1", false, Some("2020-01-01T00:00:00Z")),
        ]
    }

    fn pick(text: &str, limits: Limits<'_>) -> Option<String> {
        Wish::parse(text).unwrap().pick(&listed(), limits).ok()
    }

    #[test]
    fn whole_versions_are_exact_and_ranges_take_the_highest() {
        for (text, version) in [
            ("a", Some("1.10.0")),
            ("a@1.0.0", Some("1.0.0")),
            ("a@^1", Some("1.10.0")),
            ("a@~1.9", Some("1.9.0")),
            ("a@<1.10", Some("1.9.0")),
            ("a@1.*", Some("1.10.0")),
            ("a@2.0.0-rc.1", Some("2.0.0-rc.1")),
            ("a@^2", None),
            ("a@0.1.0", Some("0.1.0+b.1")),
            ("a@1.11.0", None),
            ("a@3.0.0", None),
        ] {
            assert_eq!(pick(text, NONE).as_deref(), version, "{text}");
        }
        for bad in ["a@1", "a@1.0", "a@latest", "a@^x", "a@", "@1.0.0", "a/b"] {
            Wish::parse(bad).expect_err(bad);
        }
    }

    #[test]
    fn time_previous_lock_and_lock_file_decide() {
        let limit = Limits {
            exclude_newer: Some("2025-06-01T00:00:00Z".parse().unwrap()),
            ..NONE
        };
        assert_eq!(pick("a", limit).as_deref(), Some("1.0.0"));
        assert_eq!(pick("a@1.9.0", limit), None);
        let set = |v: &str| BTreeSet::from([v.to_owned()]);
        let kept = |v: &str| Preference::keeping([("a".to_owned(), set(v))].into());
        let (yanked, unknown) = (kept("1.11.0"), kept("9.0.0"));
        let (foreign, low) = (set("9.0.0"), set("1.0.0"));
        assert_eq!(
            pick(
                "a@^1",
                Limits {
                    prefer: Some(&yanked),
                    ..NONE
                }
            )
            .as_deref(),
            Some("1.11.0")
        );
        assert_eq!(
            pick(
                "a@^1",
                Limits {
                    prefer: Some(&unknown),
                    ..NONE
                }
            )
            .as_deref(),
            Some("1.10.0")
        );
        assert_eq!(
            pick(
                "a",
                Limits {
                    only: Some(&low),
                    ..NONE
                }
            )
            .as_deref(),
            Some("1.0.0")
        );
        assert_eq!(
            pick(
                "a",
                Limits {
                    only: Some(&foreign),
                    ..NONE
                }
            ),
            None
        );
    }
}
