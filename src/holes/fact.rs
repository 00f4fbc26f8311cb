//! Facts: what packages say in their own files about what they download, such as the address of a mirror and the revision
//! of a browser. Advice is filled in with them. `docs/holes.md` explains the form.

use std::collections::BTreeMap;

use regex::bytes::Regex;

use crate::base::glob::is_like;
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::Platform;
use crate::policy::PackagePattern;

/// Longest text that is taken for a fact, in bytes.
const LONGEST: usize = 300;
/// Most names that are filled in, one after the other: facts may stand in each other.
const ROUNDS: usize = 32;
/// The characters of a fact: those of addresses, paths and versions.
const PLAIN: &[u8] = b"-._~:/?#@!&+,;=%";

/// One way to a fact; several of one name are tried in their order.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    /// Its name, as in `{name}`.
    pub(super) id: String,
    /// Packages that say it.
    pub(super) packages: Vec<PackagePattern>,
    /// Paths of files that say it.
    pub(super) files: Vec<String>,
    /// What is looked for, for each platform that it is said for; the first group is the fact.
    pub(super) content: Vec<(Platform, Regex)>,
    /// The value: `$1` is what was found, `{name}` another fact.
    pub(super) value: String,
    /// The fact that `%s` in it stands for.
    pub(super) fill: Option<String>,
}

/// A fact that was found: its name, its value as the rule writes it, and for which platform.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub(super) id: String,
    /// The place of its rule: earlier ones go first.
    place: usize,
    platform: Platform,
    value: String,
}

impl Fact {
    /// Whether a package may say it.
    pub(super) fn is_about(&self, ecosystem: &EcosystemId, name: &str, version: &str) -> bool {
        PackagePattern::any(&self.packages, ecosystem, name, version)
    }

    /// Whether it stands in the file at this path.
    pub(super) fn wants(&self, path: &str) -> bool {
        self.files.iter().any(|pattern| is_like(pattern, path))
    }

    /// What a file says.
    pub(super) fn read(&self, place: usize, text: &[u8]) -> Vec<Found> {
        let one = |(platform, pattern): &(Platform, Regex)| {
            let found = pattern.captures(text)?.get(1)?.as_bytes();
            let is_plain = |b: &u8| b.is_ascii_alphanumeric() || PLAIN.contains(b);
            if found.len() > LONGEST || !found.iter().all(is_plain) {
                return None;
            }
            let found = std::str::from_utf8(found).ok()?;
            let mut value = self.value.replace("$1", found);
            if let Some(fill) = &self.fill {
                value = value.replace("%s", &format!("{{{fill}}}"));
            }
            Some(Found {
                id: self.id.clone(),
                place,
                platform: *platform,
                value,
            })
        };
        self.content.iter().filter_map(one).collect()
    }
}

/// Where in its package a value stands, which package says it, and the value.
type Said = (usize, ReleaseId, String);

/// What all packages of a closure say.
#[derive(Debug, Default)]
pub(super) struct Facts {
    all: BTreeMap<(String, Platform), Vec<Said>>,
}

impl Facts {
    /// Takes in what one package says.
    pub(super) fn add(&mut self, release: &ReleaseId, found: &[Found]) {
        for fact in found {
            let known = self
                .all
                .entry((fact.id.clone(), fact.platform))
                .or_default();
            known.push((fact.place, release.clone(), fact.value.clone()));
            known.sort();
        }
    }

    /// A text with its placeholders filled in; `None` where one is not known. What the package itself says goes before what
    /// others say.
    pub(super) fn fill(&self, text: &str, platform: Platform, of: &ReleaseId) -> Option<String> {
        let mut text = text.to_owned();
        for _round in 0..ROUNDS {
            let Some(name) = placeholder(&text).map(str::to_owned) else {
                return Some(text);
            };
            let known = self.all.get(&(name.clone(), platform))?;
            let own = known.iter().find(|(_, release, _)| release == of);
            let (_, _, value) = own.or_else(|| known.first())?;
            text = text.replace(&format!("{{{name}}}"), value);
            if text.len() > 20 * LONGEST {
                return None;
            }
        }
        None
    }
}

/// The first name in braces that stands for a fact: lowercase letters, digits and `-`.
pub(super) fn placeholder(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('{') {
        let (name, _) = after.split_once('}')?;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !name.is_empty() && name.bytes().all(plain) {
            return Some(name);
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Facts, Found, placeholder};
    use crate::base::package::ReleaseId;
    use crate::base::platform::Platform;

    #[test]
    fn facts_stand_in_each_other_and_an_unknown_one_is_none() {
        let found = |id: &str, place: usize, value: &str| Found {
            id: id.to_owned(),
            place,
            platform: Platform::LinuxAmd64,
            value: value.to_owned(),
        };
        let mut facts = Facts::default();
        let (one, two) = (ReleaseId::new("a", "1"), ReleaseId::new("a", "2"));
        facts.add(
            &one,
            &[
                found("url", 1, "{base}/later"),
                found("url", 0, "{base}/{rev}/x"),
            ],
        );
        facts.add(
            &one,
            &[found("base", 0, "https://m.example"), found("rev", 0, "7")],
        );
        facts.add(&two, &[found("rev", 0, "8"), found("ring", 0, "{ring}")]);
        let fill = |text: &str, of| facts.fill(text, Platform::LinuxAmd64, of);
        assert_eq!(
            fill("get {url}!", &one).unwrap(),
            "get https://m.example/7/x!"
        );
        assert_eq!(fill("{rev}", &two).unwrap(), "8");
        assert_eq!(fill("plain {} {A b}", &two).unwrap(), "plain {} {A b}");
        assert_eq!(fill("{none}", &one), None);
        assert_eq!(fill("{ring}", &two), None);
        assert_eq!(facts.fill("{rev}", Platform::LinuxArm64, &one), None);
        assert_eq!(placeholder("a{ b}{c-1}"), Some("c-1"));
    }
}
