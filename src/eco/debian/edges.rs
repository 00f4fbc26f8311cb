//! The closure check over a lock: for each install and platform, every relation of every carried package holds among
//! the packages of the install and what its target has already. Independent of the solver: `closure` judges relations.

use std::collections::{BTreeMap, BTreeSet};

use super::closure::{self, Member};
use super::control;
use super::records::{self, DebianInstall, DebianRecords};
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
        open.extend(absent(&members, &all, platform));
        open.extend(broken(&records, install, &members, platform)?);
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

/// Packages of the install that the lock does not carry for the platform.
fn absent(
    members: &[ReleaseId],
    all: &BTreeMap<ReleaseId, &LockedPackage>,
    platform: Platform,
) -> Vec<OpenEdge> {
    let carried = |id: &ReleaseId| all.get(id).is_some_and(|p| p.platforms.contains(&platform));
    let gone = members.iter().filter(|id| !carried(id));
    gone.map(|id| edge(id, &id.name, &id.version, "lock"))
        .collect()
}

fn broken(
    records: &DebianRecords,
    install: &DebianInstall,
    members: &[ReleaseId],
    platform: Platform,
) -> Result<Vec<OpenEdge>, EcoError> {
    let arch = super::architecture(platform);
    let names: BTreeSet<&str> = members.iter().map(|id| id.name.as_str()).collect();
    let mut set = Vec::new();
    for id in members {
        let Some(archs) = records.get(id) else {
            continue;
        };
        let fits = archs.get(arch).or_else(|| archs.get("all"));
        set.extend(fits.map(|p| Member {
            stanza: &p.stanza,
            baseline: false,
        }));
    }
    for stanza in control::stanzas(&install.status).flatten() {
        // A package of the install takes the place of the version that was there.
        if !names.contains(stanza.field("Package").unwrap_or_default()) {
            set.push(Member {
                stanza: stanza.text(),
                baseline: true,
            });
        }
    }
    let found = closure::check(&set, arch).map_err(|e| records::unreadable(&e))?;
    let open = found.into_iter().map(|broken| {
        let id = ReleaseId::new(broken.name, broken.version);
        match broken.by {
            Some(by) => edge(&id, &by, &broken.relation, broken.field),
            None => edge(&id, &broken.relation, "", broken.field),
        }
    });
    Ok(open.collect())
}

fn edge(from: &ReleaseId, name: &str, range: &str, kind: &'static str) -> OpenEdge {
    OpenEdge {
        from: from.clone(),
        name: name.to_owned(),
        range: range.to_owned(),
        kind,
    }
}
