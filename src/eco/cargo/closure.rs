//! The closure check for crates: every edge of every carried crate is satisfied inside the lock. Independent of the
//! resolver, which believes lock files: here the requirements of the index lines decide.

use std::collections::BTreeMap;

use semver::{Version, VersionReq};

use super::index::IndexDependency;
use super::lockfile;
use super::records::{self, CargoLockfile, CargoRecords};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::Platform;
use crate::eco::{EcoError, OpenEdge};
use crate::lock::{Lock, LockedPackage};

/// Edges that lead to nothing in `lock` for `platform`; releases that only the lock or only the records have; crates
/// that a lock file in the records names and the lock does not carry.
pub fn check(lock: &Lock, records: &[u8], platform: Platform) -> Result<Vec<OpenEdge>, EcoError> {
    let records = records::parse(records)?;
    let cargo = EcosystemId::cargo();
    let check = Check {
        all: lock.of(&cargo).map(|p| (p.id(), p)).collect(),
        records: &records,
        platform,
    };
    let mut open: Vec<OpenEdge> = check
        .records
        .releases()
        .filter(|(id, _)| !check.all.contains_key(id))
        .map(|(id, _)| edge(&id, &id.name, &id.version, "lock"))
        .collect();
    for (id, package) in check.all.iter().filter(|(id, _)| check.carries(id)) {
        open.extend(check.crate_edges(id, package));
    }
    for file in &records.lockfiles {
        open.extend(check.lockfile(file)?);
    }
    open.sort();
    open.dedup();
    Ok(open)
}

struct Check<'a> {
    all: BTreeMap<ReleaseId, &'a LockedPackage>,
    records: &'a CargoRecords,
    platform: Platform,
}

impl Check<'_> {
    fn carries(&self, id: &ReleaseId) -> bool {
        let package = self.all.get(id);
        package.is_some_and(|p| p.platforms.contains(&self.platform))
    }

    fn crate_edges(&self, id: &ReleaseId, package: &LockedPackage) -> Vec<OpenEdge> {
        let Some(record) = self.records.get(id) else {
            return vec![edge(id, &id.name, &id.version, "records")];
        };
        let deps = &record.index.deps;
        let mut open = Vec::new();
        for to in &package.dependencies {
            let asked = deps
                .iter()
                .any(|d| d.crate_name() == to.name && fits(d, &to.version));
            if !asked || !self.carries(to) {
                open.push(edge(id, &to.name, &to.version, "locked"));
            }
        }
        // A lock file has what is needed on any platform; only features decide about optional dependencies.
        for needed in deps.iter().filter(|d| !d.optional && d.is_for_builds()) {
            let met = package.dependencies.iter().any(|to| {
                to.name == needed.crate_name() && fits(needed, &to.version) && self.carries(to)
            });
            if !met {
                let kind = if needed.kind.as_deref() == Some("build") {
                    "build"
                } else {
                    "normal"
                };
                open.push(edge(id, needed.crate_name(), &needed.req, kind));
            }
        }
        open
    }

    fn lockfile(&self, file: &CargoLockfile) -> Result<Vec<OpenEdge>, EcoError> {
        let of = file.of.as_ref();
        let read = lockfile::parse("the records", file.text.as_bytes())
            .map_err(|e| records::unreadable(&e))?;
        let missing = read.crates.iter().filter(|(id, pinned)| {
            let stated = self
                .records
                .get(id)
                .and_then(|record| record.index.checksum());
            !self.carries(id) || pinned.checksum.is_none() || pinned.checksum != stated
        });
        let open = missing.map(|(id, _)| edge(of.unwrap_or(id), &id.name, &id.version, "locked"));
        Ok(open.collect())
    }
}

/// Whether a version meets a requirement. One that is written as no `semver` is met by any version.
fn fits(dependency: &IndexDependency, version: &str) -> bool {
    match (
        dependency.req.parse::<VersionReq>(),
        version.parse::<Version>(),
    ) {
        (Ok(range), Ok(version)) => range.matches(&version),
        _ => true,
    }
}

fn edge(from: &ReleaseId, name: &str, range: &str, kind: &'static str) -> OpenEdge {
    OpenEdge {
        from: from.clone(),
        name: name.to_owned(),
        range: range.to_owned(),
        kind,
    }
}
