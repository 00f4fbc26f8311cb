//! Which version of a package npm takes for a dependency: tag, exact version, or the best of a range, where `latest`
//! comes first and versions for other engines and deprecated ones come last.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use nodejs_semver::{Range, Version};

use crate::base::time::Timestamp;
use crate::eco::npm::packument::{Engines, Packument, VersionView};
use crate::eco::npm::spec::Spec;
use crate::eco::preference::Preference;

/// The npm whose choices are made: `engines.npm` is judged with it.
pub(crate) const NPM_VERSION: &str = "11.19.1";

/// What a choice depends on besides the packument.
#[derive(Debug)]
pub(crate) struct Picker {
    limit: Option<Timestamp>,
    node: Option<Version>,
    npm: Option<Version>,
    preferred: Preference,
    ranges: BTreeMap<(bool, String), bool>,
}

impl Picker {
    /// For a target with Node version `node`, among the releases up to `limit`.
    pub(crate) fn new(limit: Option<Timestamp>, node: Option<&str>) -> Self {
        Self {
            limit,
            node: node.and_then(|n| Version::parse(n).ok()),
            npm: Version::parse(NPM_VERSION).ok(),
            preferred: Preference::default(),
            ranges: BTreeMap::new(),
        }
    }

    /// Takes these versions before any other that a dependency allows.
    #[must_use]
    pub(crate) fn preferring(mut self, versions: Preference) -> Self {
        self.preferred = versions;
        self
    }

    /// The moment after which releases do not exist.
    pub(crate) const fn limit(&self) -> Option<Timestamp> {
        self.limit
    }

    /// The version that npm takes: of those that are preferred, else of all.
    pub(crate) fn pick<'a>(
        &mut self,
        packument: &'a Packument,
        spec: &Spec,
    ) -> Option<VersionView<'a>> {
        if let Some(preferred) = self.preferred(packument, spec) {
            return Some(preferred);
        }
        match spec.inner() {
            Spec::Exact(text, _) => packument.version(text).filter(|v| self.exists(*v)),
            Spec::Tag(tag) => {
                let version = packument.tag(tag)?;
                match packument.version(version) {
                    Some(view) if self.exists(view) => Some(view),
                    None if self.limit.is_none() => None,
                    Some(_) | None => {
                        let range = Range::parse(format!("<={version}")).ok()?;
                        self.best(packument, Some(&range), &|_| true)
                    }
                }
            }
            Spec::Range(range) => self.best(packument, Some(range), &|_| true),
            Spec::Any => self.best(packument, None, &|_| true),
            Spec::Alias(..) | Spec::Foreign(_) => None,
        }
    }

    /// The best of those that are preferred most.
    fn preferred<'a>(&mut self, packument: &'a Packument, spec: &Spec) -> Option<VersionView<'a>> {
        let range = match spec.inner() {
            Spec::Range(range) => Some(range),
            Spec::Any | Spec::Tag(_) => None,
            Spec::Exact(..) | Spec::Alias(..) | Spec::Foreign(_) => return None,
        };
        let name = packument.name();
        let preference = self.preferred.clone();
        preference.ranks(name).iter().find_map(|rank| {
            let is_of_rank = |view: VersionView<'a>| preference.rank(name, view.text()) == *rank;
            self.best(packument, range, &is_of_rank)
        })
    }

    fn exists(&self, view: VersionView<'_>) -> bool {
        self.limit.is_none_or(|limit| view.is_at_most(limit))
    }

    fn best<'a>(
        &mut self,
        packument: &'a Packument,
        range: Option<&Range>,
        among: &dyn Fn(VersionView<'a>) -> bool,
    ) -> Option<VersionView<'a>> {
        let any = Range::any();
        let fits = |view: VersionView<'_>, range: &Range| {
            view.parsed().is_some_and(|v| range.satisfies(v))
        };
        if let Some(latest) = packument.tag("latest").and_then(|v| packument.version(v))
            && range.is_none_or(|range| fits(latest, range))
            && self.exists(latest)
            && among(latest)
            && !latest.is_deprecated()
            && self.engine_fits(latest)
        {
            return Some(latest);
        }
        let mut best: Option<(VersionView<'a>, Rank<'a>)> = None;
        for view in packument.versions() {
            if !fits(view, range.unwrap_or(&any)) || !self.exists(view) || !among(view) {
                continue;
            }
            let rank = Rank {
                engine: self.engine_fits(view),
                current: !view.is_deprecated(),
                version: view.parsed(),
            };
            if best
                .as_ref()
                .is_none_or(|(_, known)| rank.compare(known) == Ordering::Greater)
            {
                best = Some((view, rank));
            }
        }
        best.map(|(view, _)| view)
    }

    fn engine_fits(&mut self, view: VersionView<'_>) -> bool {
        view.engines()
            .is_none_or(|engines| self.fits_node(engines) && self.fits_npm(engines))
    }

    /// Whether the target's Node is in the range that `engines` states.
    pub(crate) fn fits_node(&mut self, engines: &Engines) -> bool {
        self.fits(true, engines.node.as_deref())
    }

    fn fits_npm(&mut self, engines: &Engines) -> bool {
        self.fits(false, engines.npm.as_deref())
    }

    fn fits(&mut self, is_node: bool, range: Option<&str>) -> bool {
        let version = if is_node { &self.node } else { &self.npm };
        let (Some(version), Some(range)) = (version, range) else {
            return true;
        };
        let key = (is_node, range.to_owned());
        *self.ranges.entry(key).or_insert_with(|| {
            Range::parse(range).is_ok_and(|r| r.satisfies_with_prerelease(version, true))
        })
    }
}

/// How good a version is.
struct Rank<'a> {
    engine: bool,
    current: bool,
    version: Option<&'a Version>,
}

impl Rank<'_> {
    fn compare(&self, other: &Self) -> Ordering {
        (
            self.engine && self.current,
            self.engine,
            self.current,
            self.version,
        )
            .cmp(&(
                other.engine && other.current,
                other.engine,
                other.current,
                other.version,
            ))
    }
}

#[cfg(test)]
mod tests {
    use super::Picker;
    use crate::eco::npm::packument::Packument;
    use crate::eco::npm::spec::Spec;
    use crate::eco::preference::Preference;

    const VERSIONS: &str = r#"{"dist-tags":{"latest":"1.1.0","next":"3.0.0-b.1"},"versions":{
        "1.0.0":{},"1.1.0":{},"1.2.0":{},"1.3.0":{"deprecated":"no"},"2.0.0":{"engines":{"node":">=30"}},
        "2.1.0":{"engines":{"node":">=30"},"deprecated":"no"},"3.0.0-b.1":{}},"time":{
        "1.0.0":"2020-01-01T00:00:00Z","1.1.0":"2021-01-01T00:00:00Z","1.2.0":"2022-01-01T00:00:00Z",
        "2.0.0":"2019-01-01T00:00:00Z","3.0.0-b.1":"2023-01-01T00:00:00Z"}}"#;

    fn pick(spec: &str, limit: Option<&str>) -> Option<String> {
        let packument = Packument::parse("x", VERSIONS.as_bytes()).unwrap();
        let mut picker = Picker::new(limit.map(|l| l.parse().unwrap()), Some("24.0.0"));
        picker
            .pick(&packument, &Spec::parse(spec))
            .map(|v| v.text().to_owned())
    }

    #[test]
    fn latest_then_engines_then_deprecation_then_version() {
        let cases = [
            ("", "1.1.0"),
            ("*", "1.1.0"),
            ("^1", "1.1.0"),
            ("latest", "1.1.0"),
            ("next", "3.0.0-b.1"),
            ("^1.2.0", "1.2.0"),
            ("1.3.0", "1.3.0"),
            ("^1.3.0", "1.3.0"),
            ("^2", "2.0.0"),
            ("2.1.x", "2.1.0"),
            (">=1.3.0 <3", "1.3.0"),
            (">=3.0.0-a", "3.0.0-b.1"),
            ("npm:y@^1.2", "1.2.0"),
        ];
        for (spec, version) in cases {
            assert_eq!(pick(spec, None).as_deref(), Some(version), "{spec}");
        }
        for none in ["4", "nope", "9.9.9", ">3"] {
            assert_eq!(pick(none, None), None, "{none}");
        }
    }

    #[test]
    fn what_the_lock_has_stays_where_the_range_allows_it() {
        let packument = Packument::parse("x", VERSIONS.as_bytes()).unwrap();
        let kept = [(
            "x".to_owned(),
            ["1.0.0".to_owned(), "1.2.0".to_owned()].into(),
        )]
        .into();
        let mut picker = Picker::new(None, Some("24.0.0")).preferring(Preference::keeping(kept));
        for (spec, version) in [
            ("*", "1.2.0"),
            ("<1.2", "1.0.0"),
            ("latest", "1.2.0"),
            ("^2", "2.0.0"),
            ("1.1.0", "1.1.0"),
        ] {
            let picked = picker
                .pick(&packument, &Spec::parse(spec))
                .map(|v| v.text().to_owned());
            assert_eq!(picked.as_deref(), Some(version), "{spec}");
        }
    }

    #[test]
    fn later_releases_and_those_without_a_time_do_not_exist() {
        let limit = Some("2020-06-01T00:00:00Z");
        assert_eq!(pick("*", limit).as_deref(), Some("1.0.0"));
        assert_eq!(pick("latest", limit).as_deref(), Some("1.0.0"));
        assert_eq!(pick("1.1.0", limit), None);
        assert_eq!(pick("1.3.0", Some("2099-01-01T00:00:00Z")), None);
        assert_eq!(
            pick("next", Some("2022-06-01T00:00:00Z")).as_deref(),
            Some("1.1.0")
        );
        assert_eq!(pick("*", Some("2018-01-01T00:00:00Z")), None);
    }
}
