//! The closure check for npm: every edge of every carried package is satisfied inside the lock. Independent of the
//! resolver: it knows ranges and platforms, not trees.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use nodejs_semver::{Range, Version};

use super::records::{self, NpmRecords, NpmVersion};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::{Platform, Target};
use crate::eco::{EcoError, OpenEdge};
use crate::lock::{Lock, LockedPackage};

/// Edges that lead to nothing in `lock` for `platform`, and records without a package in the lock.
pub fn check(lock: &Lock, records: &[u8], platform: Platform) -> Result<Vec<OpenEdge>, EcoError> {
    let records = records::parse(records)?;
    let npm = EcosystemId::npm();
    let mut by_name: BTreeMap<&str, Vec<&LockedPackage>> = BTreeMap::new();
    for package in lock.of(&npm) {
        by_name.entry(&package.name).or_default().push(package);
    }
    let check = Check {
        lock,
        records: &records,
        by_name,
        platform,
        ranges: BTreeMap::new(),
    };
    Ok(check.run(&npm))
}

struct Check<'a> {
    lock: &'a Lock,
    records: &'a NpmRecords,
    by_name: BTreeMap<&'a str, Vec<&'a LockedPackage>>,
    platform: Platform,
    ranges: BTreeMap<&'a str, Option<Range>>,
}

/// How an edge may stay open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EdgeKind {
    Required(&'static str),
    Optional,
}

impl<'a> Check<'a> {
    fn run(mut self, npm: &'a EcosystemId) -> Vec<OpenEdge> {
        let mut open = self.unlocked_records();
        let (lock, platform) = (self.lock, self.platform);
        for package in lock.of(npm).filter(|p| p.platforms.contains(&platform)) {
            let from = package.id();
            let Some(version) = self.version(&package.name, &package.version) else {
                open.push(edge(&from, &package.name, &package.version, "records"));
                continue;
            };
            let peers = version
                .peer_dependencies
                .iter()
                .filter(|(n, _)| !version.optional_peers.contains(n));
            let required = version
                .dependencies
                .iter()
                .filter(|(n, _)| !version.optional_dependencies.contains_key(*n))
                .map(|(n, r)| (n, r, EdgeKind::Required("prod")))
                .chain(peers.map(|(n, r)| (n, r, EdgeKind::Required("peer"))));
            let optional = version
                .optional_dependencies
                .iter()
                .map(|(n, r)| (n, r, EdgeKind::Optional));
            let is_copy = package.artifacts.is_empty() && !package.bundled_in.is_empty();
            for (name, range, kind) in required.chain(optional) {
                if !self.satisfied(name, range, kind) {
                    let word = match kind {
                        EdgeKind::Optional if is_copy => continue,
                        EdgeKind::Required(word) if is_copy => self.inside(name, range, word),
                        EdgeKind::Required(word) => word,
                        EdgeKind::Optional => "optional",
                    };
                    open.push(edge(&from, name, range, word));
                }
            }
        }
        open.sort();
        open.dedup();
        open
    }

    /// How an edge of a copy inside of a tarball is open. npm takes copies as they were published and resolves nothing
    /// there: another version than the copy asks for is what it gets everywhere, and peers are often left out; but what it
    /// cannot do without and is nowhere, it will not find.
    fn inside(&self, name: &str, range: &str, word: &str) -> &'static str {
        let name = aliased(name, range).0;
        let all = self.by_name.get(name).into_iter().flatten();
        let mut here = all.filter(|p| p.platforms.contains(&self.platform));
        if word == "prod" && here.next().is_none() {
            "bundled-nowhere"
        } else {
            "bundled"
        }
    }

    fn version(&self, name: &str, version: &str) -> Option<&'a NpmVersion> {
        self.records.packages.get(name)?.versions.get(version)
    }

    /// Releases in the records that nothing in the lock stands for: an entry was taken out.
    fn unlocked_records(&self) -> Vec<OpenEdge> {
        let mut open = Vec::new();
        for (name, package) in &self.records.packages {
            for version in package.versions.keys() {
                let locked = self
                    .by_name
                    .get(name.as_str())
                    .is_some_and(|l| l.iter().any(|p| p.version == *version));
                if !locked {
                    open.push(edge(&ReleaseId::new(name, version), name, version, "lock"));
                }
            }
        }
        open
    }

    fn satisfied(&mut self, name: &'a str, spec: &'a str, kind: EdgeKind) -> bool {
        let (name, range) = aliased(name, spec);
        let candidates = self.by_name.get(name).cloned().unwrap_or_default();
        let matching: Vec<_> = candidates
            .into_iter()
            .filter(|p| self.in_range(p, range))
            .collect();
        if matching
            .iter()
            .any(|p| p.platforms.contains(&self.platform))
        {
            return true;
        }
        match kind {
            EdgeKind::Required(_) => false,
            EdgeKind::Optional => {
                let left_out = !matching.is_empty()
                    && matching.iter().all(|p| {
                        self.version(&p.name, &p.version).is_none_or(|v| {
                            !fits(v, self.platform, &self.lock.target)
                                || !runs(v, &self.lock.target)
                        })
                    });
                left_out || self.reported_missing(name)
            }
        }
    }

    /// Whether resolving reported that the registry has no such optional package.
    fn reported_missing(&self, name: &str) -> bool {
        self.lock.findings.iter().any(|f| {
            f.code == "npm-optional-missing" && f.subject.split(['@', ' ']).any(|w| w == name)
        }) || self
            .lock
            .findings
            .iter()
            .any(|f| f.code == "npm-optional-missing" && f.message.contains(name))
    }

    fn in_range(&mut self, package: &LockedPackage, range: &'a str) -> bool {
        if package.version == range {
            return true;
        }
        let parsed = match self.ranges.entry(range) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Range::parse(range).ok()),
        };
        match (parsed, Version::parse(&package.version)) {
            (Some(parsed), Ok(version)) => parsed.satisfies(&version),
            // A dist-tag: any version may be meant.
            (None, _) => !range.contains([':', '/']),
            (Some(_), Err(_)) => false,
        }
    }
}

/// Name and range of what an edge means, which may go by another name.
fn aliased<'e>(name: &'e str, spec: &'e str) -> (&'e str, &'e str) {
    match spec.strip_prefix("npm:") {
        Some(alias) => super::split_requirement(alias).unwrap_or((alias, "*")),
        None => (name, spec),
    }
}

/// Whether a version is made for the platform and C library, as its `os`, `cpu` and `libc` lists say: a list allows
/// what it names, `!x` forbids, an empty list allows all (npm-install-checks).
pub fn fits(version: &NpmVersion, platform: Platform, target: &Target) -> bool {
    allows(&version.os, platform.node_os())
        && allows(&version.cpu, platform.node_cpu())
        && allows(&version.libc, target.libc.npm_word())
}

/// Whether a version runs on the target's Node.js, as its `engines` say. npm leaves an optional one out that does not.
fn runs(version: &NpmVersion, target: &Target) -> bool {
    let (Some(range), Some(node)) = (version.engines.get("node"), &target.node) else {
        return true;
    };
    match (Range::parse(range), Version::parse(node)) {
        (Ok(range), Ok(node)) => range.satisfies_with_prerelease(&node, true),
        _ => true,
    }
}

fn allows(list: &[String], word: &str) -> bool {
    if list.iter().any(|item| item.strip_prefix('!') == Some(word)) {
        return false;
    }
    let mut allowed = list.iter().filter(|item| !item.starts_with('!')).peekable();
    allowed.peek().is_none() || allowed.any(|item| item == word || item == "any")
}

fn edge(from: &ReleaseId, name: &str, range: &str, kind: &'static str) -> OpenEdge {
    OpenEdge {
        from: from.clone(),
        name: name.to_owned(),
        range: range.to_owned(),
        kind,
    }
}
