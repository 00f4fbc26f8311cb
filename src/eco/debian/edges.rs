//! The closure check over a lock: for each install and platform, every relation of every carried package holds among
//! the packages of the install and what its target has already, the lock has an edge for it, and every file is the one
//! of the records. Independent of the solver: `closure` judges relations.

use std::collections::{BTreeMap, BTreeSet};

use super::closure::{ClosureError, Member, Set};
use super::records::{self, DebianInstall, DebianPackage, DebianRecords};
use super::{control, deb_file};
use crate::base::digest::UpstreamChecksum;
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::Platform;
use crate::eco::{EcoError, OpenEdge};
use crate::lock::{Lock, LockedPackage};

/// Edges that lead to nothing in `lock` for `platform`; releases that only the lock or only the records have.
pub(super) fn check(
    lock: &Lock,
    records: &[u8],
    platform: Platform,
) -> Result<Vec<OpenEdge>, EcoError> {
    let records = records::parse(records)?;
    let debian = EcosystemId::debian();
    let all: BTreeMap<ReleaseId, &LockedPackage> = lock.of(&debian).map(|p| (p.id(), p)).collect();
    let mut open = Vec::new();
    for (id, _, _) in records.entries().filter(|(id, _, _)| !all.contains_key(id)) {
        open.push(edge(&id, &id.name, &id.version, "lock"));
    }
    for id in all.keys().filter(|id| records.get(id).is_none()) {
        open.push(edge(id, &id.name, &id.version, "records"));
    }
    let mut placed: BTreeSet<ReleaseId> = BTreeSet::new();
    for install in records.installs.values() {
        let members = members(install, platform);
        let carried = |id: &&ReleaseId| {
            all.get(*id)
                .is_some_and(|p| p.platforms.contains(&platform))
        };
        let (there, gone): (Vec<_>, Vec<_>) = members.iter().partition(carried);
        open.extend(gone.into_iter().map(|id| {
            let kind = if all.contains_key(id) {
                "platform"
            } else {
                "lock"
            };
            edge(id, &id.name, &id.version, kind)
        }));
        let there: Vec<(&ReleaseId, &LockedPackage)> = there
            .into_iter()
            .filter_map(|id| Some((id, *all.get(id)?)))
            .collect();
        open.extend(unlike_records(&records, &there, platform));
        let found = relations(&records, install, &there, platform);
        open.extend(found.map_err(|e| records::unreadable(&e))?);
        placed.extend(members);
    }
    // A carried package that no install asks for was put in by hand.
    let carried = all.iter().filter(|(_, p)| p.platforms.contains(&platform));
    for (id, _) in carried.filter(|(id, _)| !placed.contains(id)) {
        open.push(edge(id, &id.name, &id.version, "records"));
    }
    open.sort();
    open.dedup();
    Ok(open)
}

fn members(install: &DebianInstall, platform: Platform) -> Vec<ReleaseId> {
    let listed = install.packages.get(&platform);
    let split = |text: &String| text.split_once('=').map(|(n, v)| ReleaseId::new(n, v));
    listed.into_iter().flatten().filter_map(split).collect()
}

/// The record of a release for an architecture, and the architecture of its file.
fn record<'a>(
    records: &'a DebianRecords,
    id: &ReleaseId,
    arch: &'a str,
) -> Option<(&'a str, &'a DebianPackage)> {
    let archs = records.get(id)?;
    let find = |arch: &'a str| Some((arch, archs.get(arch)?));
    find(arch).or_else(|| find("all"))
}

/// Packages whose file for the platform is not the one of the records.
fn unlike_records(
    records: &DebianRecords,
    members: &[(&ReleaseId, &LockedPackage)],
    platform: Platform,
) -> Vec<OpenEdge> {
    let arch = super::architecture(platform);
    let same = |id: &ReleaseId, package: &LockedPackage| {
        // A release without any record is named elsewhere.
        let Some(archs) = records.get(id) else {
            return true;
        };
        let Some((arch, known)) = record(records, id, arch) else {
            return archs.is_empty();
        };
        let file = deb_file(&id.name, &id.version, arch);
        let sum = known.sha256().map(UpstreamChecksum::Sha256);
        let mut artifacts = package.artifacts.iter();
        artifacts.any(|a| a.file == file && Some(&a.checksum) == sum.as_ref())
    };
    let unlike = members.iter().filter(|(id, package)| !same(id, package));
    unlike
        .map(|(id, _)| edge(id, &id.name, &id.version, "file"))
        .collect()
}

/// Relations that nothing in the lock satisfies, that exclude something in it, or that it has no edge for.
fn relations(
    records: &DebianRecords,
    install: &DebianInstall,
    members: &[(&ReleaseId, &LockedPackage)],
    platform: Platform,
) -> Result<Vec<OpenEdge>, ClosureError> {
    let arch = super::architecture(platform);
    let packages: BTreeMap<&ReleaseId, &LockedPackage> = members.iter().copied().collect();
    let names: BTreeSet<&str> = packages.keys().map(|id| id.name.as_str()).collect();
    let own = members
        .iter()
        .filter_map(|(id, _)| record(records, id, arch));
    let mut all: Vec<Member<'_>> = own
        .map(|(_, package)| Member {
            stanza: &package.stanza,
            baseline: false,
        })
        .collect();
    for stanza in control::stanzas(&install.status).flatten() {
        // A package of the install takes the place of the version that was there.
        if !names.contains(stanza.field("Package").unwrap_or_default()) {
            all.push(Member {
                stanza: stanza.text(),
                baseline: true,
            });
        }
    }
    let set = Set::new(&all, arch)?;
    let linked = |from: &ReleaseId, to: &ReleaseId| {
        let package = packages.get(from);
        package.is_some_and(|package| package.dependencies.contains(to))
    };
    let mut open = Vec::new();
    for broken in set.open()?.into_iter().chain(set.excluded()?) {
        let id = ReleaseId::new(broken.name, broken.version);
        open.push(match broken.by {
            Some(by) => edge(&id, &by, &broken.relation, broken.field),
            None => edge(&id, &broken.relation, "", broken.field),
        });
    }
    for lost in set.unlinked(&linked)? {
        let id = ReleaseId::new(lost.name, lost.version);
        open.push(edge(&id, &lost.relation, lost.field, "edge"));
    }
    Ok(open)
}

fn edge(from: &ReleaseId, name: &str, range: &str, kind: &'static str) -> OpenEdge {
    OpenEdge {
        from: from.clone(),
        name: name.to_owned(),
        range: range.to_owned(),
        kind,
    }
}
