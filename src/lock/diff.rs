//! What changed between two locks: the page a second person reads before signing.
//!
//! Only carried releases count. A release whose version stayed but whose bytes did not is a change of its own kind,
//! since no publisher should ever do that.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::base::digest::UpstreamChecksum;
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::Platform;
use crate::lock::chain::Chains;
use crate::lock::{Lock, LockedPackage, LockedRequirement};

/// The difference between an older and a newer lock, everything sorted by ecosystem, name and version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockDiff {
    /// Requirements only the newer lock has.
    pub requirements_added: Vec<LockedRequirement>,
    /// Requirements only the older lock has.
    pub requirements_removed: Vec<LockedRequirement>,
    /// Whether the enclave host, or the moment after which releases do not count, is another one.
    pub target_changed: bool,
    /// Releases that came, went or changed.
    pub changes: Vec<ReleaseChange>,
    /// Carried releases that are the same in both.
    pub unchanged: usize,
}

/// What happened to a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// The newer lock has one more release of this name.
    Added,
    /// The newer lock has one release of this name less.
    Removed,
    /// Another version took its place.
    Version,
    /// Same name and version, a file with other bytes.
    Bytes,
    /// Same bytes; platforms, license, deprecation or install scripts differ.
    Facts,
}

/// One release that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseChange {
    /// What happened.
    pub kind: ChangeKind,
    /// Its ecosystem.
    pub ecosystem: EcosystemId,
    /// Its name.
    pub name: String,
    /// How the older lock has it.
    pub old: Option<Side>,
    /// How the newer lock has it.
    pub new: Option<Side>,
    /// Why it is there: requirement first, the release last; from the newer lock, else from the older one. As the
    /// lock has the texts, not escaped.
    pub reason: Vec<String>,
}

impl ReleaseChange {
    /// Bytes more (or fewer) to carry, where the sizes are known. What is not there has no size.
    pub fn size_change(&self) -> Option<i64> {
        let size = |side: &Option<Side>| match side {
            None => Some(0),
            Some(side) => i64::try_from(side.size?).ok(),
        };
        size(&self.new)?.checked_sub(size(&self.old)?)
    }

    /// Whether a release that stays has another license now.
    pub fn license_changed(&self) -> bool {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => old.license != new.license,
            _ => false,
        }
    }
}

/// A release as one of the two locks has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Version.
    pub version: String,
    /// Declared license, not escaped.
    pub license: Option<String>,
    /// Platforms it is carried for.
    pub platforms: Vec<Platform>,
    /// Whether installing it runs code of its own.
    pub install_script: bool,
    /// Whether its publisher deprecated it.
    pub deprecated: bool,
    /// Size of its files in bytes, where every one is known.
    pub size: Option<u64>,
    /// Checksums by file name, as the upstream states them.
    pub files: BTreeMap<String, String>,
}

impl Side {
    fn of(package: &LockedPackage) -> Self {
        let size = package.artifacts.iter().try_fold(0_u64, |sum, artifact| {
            artifact.size.map(|size| sum.saturating_add(size))
        });
        Self {
            version: package.version.clone(),
            license: package.license.clone(),
            platforms: package.platforms.clone(),
            install_script: package.install_script,
            deprecated: package.deprecated.is_some(),
            size,
            files: package
                .artifacts
                .iter()
                .map(|a| (a.file.clone(), UpstreamChecksum::to_sri(&a.checksum)))
                .collect(),
        }
    }

    fn facts(&self) -> (&Option<String>, &[Platform], bool, bool) {
        (
            &self.license,
            &self.platforms,
            self.install_script,
            self.deprecated,
        )
    }
}

impl LockDiff {
    /// Compares two locks.
    pub fn between(old: &Lock, new: &Lock) -> Self {
        let (before, after) = (by_name(old), by_name(new));
        let names: BTreeSet<_> = before.keys().chain(after.keys()).copied().collect();
        let none = BTreeMap::new();
        let mut unchanged = 0;
        let mut changes = Vec::new();
        for name in names {
            let old_versions = before.get(&name).unwrap_or(&none);
            let new_versions = after.get(&name).unwrap_or(&none);
            for (kind, old, new) in compare(old_versions, new_versions) {
                match kind {
                    None => unchanged += 1,
                    Some(kind) => changes.push(ReleaseChange {
                        kind,
                        ecosystem: name.0.clone(),
                        name: name.1.to_owned(),
                        old,
                        new,
                        reason: Vec::new(),
                    }),
                }
            }
        }
        give_reasons(&mut changes, old, new);
        Self {
            requirements_added: only_in(new, old),
            requirements_removed: only_in(old, new),
            target_changed: (&old.target, old.exclude_newer) != (&new.target, new.exclude_newer),
            changes,
            unchanged,
        }
    }

    /// Bytes more (or fewer) to carry in all, where the size of everything that changed is known.
    pub fn size_change(&self) -> Option<i64> {
        let mut changes = self.changes.iter().map(ReleaseChange::size_change);
        changes.try_fold(0_i64, |sum, change| sum.checked_add(change?))
    }

    /// How many releases changed in this way.
    pub fn count(&self, kind: ChangeKind) -> usize {
        self.changes.iter().filter(|c| c.kind == kind).count()
    }
}

type Versions<'a> = BTreeMap<&'a str, &'a LockedPackage>;
type Compared = (Option<ChangeKind>, Option<Side>, Option<Side>);

fn by_name(lock: &Lock) -> BTreeMap<(&EcosystemId, &str), Versions<'_>> {
    let mut out: BTreeMap<(&EcosystemId, &str), Versions<'_>> = BTreeMap::new();
    for package in lock.packages.iter().filter(|p| p.is_carried()) {
        out.entry((&package.ecosystem, &package.name))
            .or_default()
            .insert(&package.version, package);
    }
    out
}

fn only_in(one: &Lock, other: &Lock) -> Vec<LockedRequirement> {
    let known: BTreeSet<_> = other.requirements.iter().collect();
    let mut out: Vec<_> = one
        .requirements
        .iter()
        .filter(|r| !known.contains(r))
        .cloned()
        .collect();
    out.sort();
    out
}

/// Versions of one name: the common ones are compared; of the others, as many as possible count as replaced.
fn compare(old: &Versions<'_>, new: &Versions<'_>) -> Vec<Compared> {
    let mut out = Vec::new();
    for (version, package) in old {
        if let Some(other) = new.get(version) {
            let (old, new) = (Side::of(package), Side::of(other));
            let kind = if old.files != new.files {
                Some(ChangeKind::Bytes)
            } else if old.facts() != new.facts() {
                Some(ChangeKind::Facts)
            } else {
                None
            };
            out.push((kind, Some(old), Some(new)));
        }
    }
    let mut gone = old.iter().filter(|(v, _)| !new.contains_key(*v));
    let mut came = new.iter().filter(|(v, _)| !old.contains_key(*v));
    loop {
        let old = gone.next().map(|(_, package)| Side::of(package));
        let new = came.next().map(|(_, package)| Side::of(package));
        let kind = match (&old, &new) {
            (None, None) => return out,
            (Some(_), Some(_)) => ChangeKind::Version,
            (Some(_), None) => ChangeKind::Removed,
            (None, Some(_)) => ChangeKind::Added,
        };
        out.push((Some(kind), old, new));
    }
}

fn give_reasons(changes: &mut [ReleaseChange], old: &Lock, new: &Lock) {
    if changes.is_empty() {
        return;
    }
    let (old, new) = (Chains::new(old), Chains::new(new));
    for change in changes {
        let found = match (&change.new, &change.old) {
            (Some(side), _) => (&new, side),
            (None, Some(side)) => (&old, side),
            (None, None) => continue,
        };
        let release = ReleaseId::new(&change.name, &found.1.version);
        change.reason = found.0.chain(&change.ecosystem, &release);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{ChangeKind, LockDiff};
    use crate::base::digest::{Sha512, UpstreamChecksum};
    use crate::base::package::EcosystemId;
    use crate::base::platform::{Libc, Platform, Target};
    use crate::lock::{Lock, LockedArtifact, LockedPackage, LockedRequirement};

    /// A lock of npm packages for one platform.
    pub(crate) fn lock(requirements: &[&str], packages: Vec<LockedPackage>) -> Lock {
        let mut lock = Lock {
            target: Target {
                platforms: vec![Platform::LinuxAmd64],
                libc: Libc::Glibc("2.36".to_owned()),
                python: None,
                node: Some("24.21.0".to_owned()),
            },
            exclude_newer: None,
            inputs: Vec::new(),
            requirements: requirements
                .iter()
                .map(|spec| LockedRequirement {
                    ecosystem: EcosystemId::npm(),
                    install: 1,
                    spec: (*spec).to_owned(),
                })
                .collect(),
            records: std::collections::BTreeMap::new(),
            packages,
            findings: Vec::new(),
        };
        lock.sort();
        lock
    }

    /// An npm package with one tarball whose bytes are its name and version.
    pub(crate) fn package(name: &str, version: &str, edges: &[&str]) -> LockedPackage {
        let file = format!("{}-{version}.tgz", name.rsplit('/').next().unwrap());
        LockedPackage {
            ecosystem: EcosystemId::npm(),
            name: name.to_owned(),
            version: version.to_owned(),
            platforms: vec![Platform::LinuxAmd64],
            license: Some("MIT".to_owned()),
            deprecated: None,
            install_script: false,
            bundled_in: Vec::new(),
            places: Vec::new(),
            dependencies: edges.iter().map(|e| e.parse().unwrap()).collect(),
            artifacts: vec![LockedArtifact {
                checksum: UpstreamChecksum::Sha512(Sha512::of(file.as_bytes())),
                upstream: "npm".to_owned(),
                path: format!("{name}/-/{file}"),
                size: Some(100),
                file,
                evidence: None,
                gap: None,
            }],
        }
    }

    #[test]
    fn equal_locks_do_not_differ() {
        let one = lock(&["a"], vec![package("a", "1.0.0", &[])]);
        let diff = LockDiff::between(&one, &one.clone());
        assert_eq!((diff.changes.len(), diff.unchanged), (0, 1));
        assert!(!diff.target_changed && diff.requirements_added.is_empty());
    }

    #[test]
    fn each_kind_of_change_is_told_apart() {
        let mut facts = package("facts", "1.0.0", &[]);
        let mut bytes = package("bytes", "1.0.0", &[]);
        let old = lock(
            &["a@1"],
            vec![
                package("a", "1.0.0", &[]),
                package("gone", "1.0.0", &[]),
                facts.clone(),
                bytes.clone(),
            ],
        );
        facts.license = Some("GPL-3.0-only".to_owned());
        facts.install_script = true;
        bytes.artifacts[0].checksum = UpstreamChecksum::Sha512(Sha512::of(b"evil"));
        let new = lock(
            &["a@2"],
            vec![
                package("a", "2.0.0", &["new@1.0.0"]),
                package("new", "1.0.0", &[]),
                facts,
                bytes,
            ],
        );
        let diff = LockDiff::between(&old, &new);
        let seen: Vec<_> = diff
            .changes
            .iter()
            .map(|c| (c.kind, c.name.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                (ChangeKind::Version, "a"),
                (ChangeKind::Bytes, "bytes"),
                (ChangeKind::Facts, "facts"),
                (ChangeKind::Removed, "gone"),
                (ChangeKind::Added, "new"),
            ]
        );
        assert_eq!(diff.changes[4].reason, ["a@2", "a@2.0.0", "new@1.0.0"]);
        assert_eq!(diff.requirements_added[0].spec, "a@2");
        assert_eq!(diff.requirements_removed[0].spec, "a@1");
    }

    #[test]
    fn a_second_version_of_a_name_is_an_addition() {
        let old = lock(&[], vec![package("a", "1.0.0", &[])]);
        let new = lock(
            &[],
            vec![package("a", "1.0.0", &[]), package("a", "2.0.0", &[])],
        );
        let diff = LockDiff::between(&old, &new);
        assert_eq!(diff.count(ChangeKind::Added), 1);
        assert_eq!(diff.unchanged, 1);
    }

    #[test]
    fn what_is_not_carried_does_not_count() {
        let mut other = package("a", "1.0.0", &[]);
        other.platforms = Vec::new();
        let diff = LockDiff::between(&lock(&[], vec![other]), &lock(&[], Vec::new()));
        assert!(diff.changes.is_empty());
    }
}
