//! Known vulnerabilities of what was imported: by the records that a bundle carried, or by newer ones that somebody
//! brought.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde::Serialize;

use crate::base::digest::Digest;
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::time::Timestamp;
use crate::eco;
use crate::import::ImportError;
use crate::import::cas::Cas;
use crate::import::generation::Loaded;
use crate::import::layout::Layout;
use crate::import::policy;
use crate::import::state::State;
use crate::lock::{Lock, LockedPackage, Records};
use crate::policy::Policy;
use crate::verify::Bundle;
use crate::vulns::{self, Checked, Closure, Given, Query, RECORDS, Vulnerability};

/// Opens a blob.
pub(super) type Open<'o> = dyn Fn(&Digest) -> Result<Box<dyn Read>, ImportError> + 'o;

/// What the records that a bundle carries say of it, if it carries any.
pub(super) fn of_bundle(
    bundle: &Bundle,
    (lock, records): (&Lock, &Records),
    open: &Open<'_>,
) -> Result<Checked, ImportError> {
    let Some(file) = bundle.manifest.file(RECORDS) else {
        return Ok(Checked::nothing());
    };
    let closures = [Closure { lock, records }];
    Ok(vulns::check(&mut Query {
        database: Given::Carried(Path::new(RECORDS), open(&file.digests.sha256)?),
        closures: &closures,
        carry: None,
    })?)
}

/// A bundle of the repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Holder {
    /// Channel of the bundle.
    pub channel: String,
    /// Serial of the bundle.
    pub serial: u64,
    /// Identity of the bundle.
    pub bundle: Digest,
    /// Whether the published generation shows the bundle.
    pub published: bool,
    /// Kept generations that show the bundle.
    pub generations: Vec<u64>,
}

/// What is known of everything that was imported.
#[derive(Debug)]
pub struct Audited {
    /// What the database says, of every bundle that is kept.
    pub checked: Checked,
    /// The same, of what clients can install now: published and not blocked. That is what is judged.
    pub offered: Checked,
    /// The bundle whose records were asked; `None`: others were given, or there are none.
    pub carried_by: Option<Holder>,
    /// The repository's policy.
    pub policy: Option<Policy>,
    holders: BTreeMap<(EcosystemId, ReleaseId), Vec<Holder>>,
    blocked: Vec<(EcosystemId, ReleaseId)>,
}

impl Audited {
    /// The bundles that hold a package.
    pub fn holders(&self, found: &Vulnerability) -> &[Holder] {
        let key = (found.ecosystem.clone(), found.release.clone());
        self.holders.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Whether a package is kept out of every index.
    pub fn is_blocked(&self, found: &Vulnerability) -> bool {
        let key = (found.ecosystem.clone(), found.release.clone());
        self.blocked.contains(&key)
    }

    fn is_offered(&self, found: &Vulnerability) -> bool {
        !self.is_blocked(found) && self.holders(found).iter().any(|h| h.published)
    }
}

/// Looks up everything that was imported in the database at `path`, else in the newest one that came with a bundle.
pub fn audit(layout: &Layout, state: &State, path: Option<&Path>) -> Result<Audited, ImportError> {
    let mut bundles = Vec::new();
    for (id, entry) in &state.bundles {
        bundles.push(Loaded::stored(layout, *id, entry)?);
    }
    let policy = state.policy.as_deref().map(policy::parse).transpose()?;
    let newest = bundles
        .iter()
        .filter(|b| b.manifest().file(RECORDS).is_some());
    let newest = newest.max_by_key(|b| (b.entry.created, b.entry.channel.clone()));
    let closures: Vec<Closure<'_>> = bundles.iter().filter_map(closure).collect();
    let checked = match (path, newest) {
        (Some(path), _) => ask(Given::Path(path), &closures)?,
        (None, Some(bundle)) => carried(layout, bundle, &closures)?,
        (None, None) => Checked::nothing(),
    };
    let mut audited = Audited {
        offered: checked.clone(),
        checked,
        carried_by: newest.filter(|_| path.is_none()).map(|b| holder(b, state)),
        policy,
        holders: BTreeMap::new(),
        blocked: Vec::new(),
    };
    for bundle in &bundles {
        let packages = bundle.lock().into_iter().flat_map(|lock| &lock.packages);
        for package in packages.filter(|p| p.is_carried()) {
            let key = (package.ecosystem.clone(), package.id());
            if is_blocked(state, package) {
                audited.blocked.push(key.clone());
            }
            let held = audited.holders.entry(key).or_default();
            held.push(holder(bundle, state));
        }
    }
    for held in audited.holders.values_mut() {
        held.sort();
    }
    let mut offered = std::mem::take(&mut audited.offered.vulnerabilities);
    offered.retain(|found| audited.is_offered(found));
    audited.offered.vulnerabilities = offered;
    Ok(audited)
}

fn closure(bundle: &Loaded) -> Option<Closure<'_>> {
    Some(Closure {
        lock: bundle.lock()?,
        records: bundle.records(),
    })
}

fn ask(database: Given<'_>, closures: &[Closure<'_>]) -> Result<Checked, ImportError> {
    Ok(vulns::check(&mut Query {
        database,
        closures,
        carry: None,
    })?)
}

/// Asks the records that came with a bundle, which have to be what its manifest says.
fn carried(
    layout: &Layout,
    bundle: &Loaded,
    closures: &[Closure<'_>],
) -> Result<Checked, ImportError> {
    let Some(file) = bundle.manifest().file(RECORDS) else {
        return Ok(Checked::nothing());
    };
    let digest = file.digests.sha256;
    let reader = Cas::new(layout.cas()).open(&digest)?;
    let checked = ask(
        Given::Carried(Path::new(RECORDS), Box::new(reader)),
        closures,
    );
    match &checked {
        Ok(Checked {
            database: Some(database),
            ..
        }) if database.sha256 == digest => checked,
        _ => Err(ImportError::Blob { digest }),
    }
}

fn holder(bundle: &Loaded, state: &State) -> Holder {
    Holder {
        channel: bundle.entry.channel.clone(),
        serial: bundle.entry.serial,
        bundle: bundle.id,
        published: state.active.contains(&bundle.id),
        generations: state.generations_with(&bundle.id),
    }
}

fn is_blocked(state: &State, package: &LockedPackage) -> bool {
    let purl = eco::by_id(&package.ecosystem).map(|e| e.purl(&package.id()));
    purl.is_some_and(|purl| state.is_blocked(&purl))
}

/// What is said of what clients can install now, by the repository's policy, or by none.
pub fn judge(audited: &Audited, now: Timestamp) -> crate::policy::Judgement {
    if let Some(policy) = &audited.policy {
        return policy.judge_vulnerabilities(&audited.offered, None, now);
    }
    let rules = vulns::Rules::default();
    let found = vulns::found(&audited.offered, None, &rules, now).into_iter();
    crate::policy::Judgement {
        findings: found.map(|one| one.finding).collect(),
        waived: Vec::new(),
    }
}
