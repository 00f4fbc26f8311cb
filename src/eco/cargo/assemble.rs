//! From lock files and index lines to what a lock keeps: packages with edges, records, findings.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::finding::{Finding, Severity};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::text::escaped;
use crate::eco::cargo::fault::{self, CargoError};
use crate::eco::cargo::lockfile::{LockedCrates, Pinned, subject};
use crate::eco::cargo::pick::is_published_by;
use crate::eco::cargo::records::{self, CargoCrate, CargoLockfile, CargoRecords};
use crate::eco::cargo::resolve::Known;
use crate::eco::cargo::{UPSTREAM, crate_file, crate_path};
use crate::lock::{LockedArtifact, LockedInput, LockedPackage, Records};
use crate::upstream::Resolution;

/// The result of an install.
pub(crate) fn resolution(known: &Known) -> Result<Resolution, CargoError> {
    let mut findings = Vec::new();
    let mut edges: BTreeMap<ReleaseId, BTreeSet<ReleaseId>> = BTreeMap::new();
    for (of, lock) in &known.locks {
        findings.extend(lock.findings(of.as_ref()));
        for (id, pinned) in &lock.crates {
            let of_crate = edges.entry(id.clone()).or_default();
            of_crate.extend(pinned.dependencies.iter().cloned());
            findings.extend(judge(known, of.as_ref(), id, pinned));
        }
    }
    for (id, requirement) in &known.chosen {
        let Some(lock) = known.lock_for(id) else {
            // Its dependencies are unknown, so nothing of it is of use.
            findings.push(no_lockfile(id, requirement));
            continue;
        };
        let own = lock.own.get(id).cloned().unwrap_or_default();
        edges.entry(id.clone()).or_default().extend(own);
        findings.extend(yanked(
            known,
            id,
            vec![escaped(requirement), escaped(&id.to_string())],
        ));
    }
    let packages = edges
        .iter()
        .map(|(id, to)| package(known, id, to))
        .collect::<Result<_, _>>()?;
    findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    findings.dedup();
    let document = records::write(&documents(known, &edges));
    Ok(Resolution {
        packages,
        inputs: inputs(known),
        records: Records::from([(EcosystemId::cargo(), document)]),
        findings,
    })
}

impl Known {
    /// The lock file that a wanted release is built with.
    fn lock_for(&self, id: &ReleaseId) -> Option<&LockedCrates> {
        self.locks
            .get(&None)
            .or_else(|| self.locks.get(&Some(id.clone())))
    }

    /// How a locked crate came in.
    fn chain(&self, of: Option<&ReleaseId>, id: &ReleaseId) -> Vec<String> {
        let requirement = of.and_then(|of| self.chosen.get(of));
        let owner = of.map_or_else(|| "Cargo.lock".to_owned(), |of| escaped(&of.to_string()));
        let first = requirement.map(|text| escaped(text));
        first
            .into_iter()
            .chain([owner, escaped(&id.to_string())])
            .collect()
    }
}

/// The user's lock file.
fn inputs(known: &Known) -> Vec<LockedInput> {
    let given = known.request.lockfile.iter();
    let of_file = given.map(|bytes| LockedInput {
        ecosystem: EcosystemId::cargo(),
        install: known.request.number,
        name: "Cargo.lock".to_owned(),
        digest: Digest::of(bytes),
        date: None,
    });
    of_file.collect()
}

/// What the index says against a locked crate.
fn judge(known: &Known, of: Option<&ReleaseId>, id: &ReleaseId, pinned: &Pinned) -> Vec<Finding> {
    let chain = || known.chain(of, id);
    let mut found: Vec<Finding> = yanked(known, id, chain()).into_iter().collect();
    let Some(line) = known.index.get(id) else {
        return found;
    };
    if let (Some(locked), Some(stated)) = (pinned.checksum, line.checksum())
        && locked != stated
    {
        found.push(Finding {
            code: &fault::CHECKSUM,
            severity: Severity::Deny,
            subject: subject(id),
            message: format!("Cargo.lock says {locked}, the index {stated}"),
            chain: chain(),
            fix: Some("do not use it before it is known which of the two is right".to_owned()),
        });
    }
    // What a crate's own lock names was there before the crate was published.
    let is_unknown_but_old = line.pubtime.is_none() && of.is_some();
    let limit = known.request.exclude_newer;
    if !is_unknown_but_old && !is_published_by(line.pubtime.as_deref(), limit) {
        let time = line.pubtime.as_deref().unwrap_or("an unknown time");
        found.push(Finding {
            code: &fault::NEWER,
            severity: Severity::Deny,
            subject: subject(id),
            message: format!(
                "was published at {}, which `exclude-newer` does not allow",
                escaped(time)
            ),
            chain: chain(),
            fix: Some("lock an older version with `cargo update --precise`".to_owned()),
        });
    }
    found
}

fn yanked(known: &Known, id: &ReleaseId, chain: Vec<String>) -> Option<Finding> {
    known.index.get(id)?.yanked.then(|| Finding {
        code: &fault::YANKED,
        severity: Severity::Warn,
        subject: subject(id),
        message: "was yanked by its publisher".to_owned(),
        chain,
        fix: Some("look for the reason; lock another version with `cargo update`".to_owned()),
    })
}

fn no_lockfile(id: &ReleaseId, requirement: &str) -> Finding {
    Finding {
        code: &fault::NO_LOCKFILE,
        severity: Severity::Deny,
        subject: subject(id),
        message: "carries no Cargo.lock, so the versions of its dependencies are not decided".to_owned(),
        chain: vec![escaped(requirement), escaped(&id.to_string())],
        fix: Some(
            "unpack the crate on a connected host, run `cargo generate-lockfile` there, and add `lockfile = \"Cargo.lock\"`"
                .to_owned(),
        ),
    }
}

fn package(
    known: &Known,
    id: &ReleaseId,
    edges: &BTreeSet<ReleaseId>,
) -> Result<LockedPackage, CargoError> {
    let UpstreamChecksum::Sha256(checksum) = known.checksum(id)? else {
        let reason = "a crate without SHA-256".to_owned();
        return Err(CargoError::Internal { reason });
    };
    Ok(LockedPackage {
        ecosystem: EcosystemId::cargo(),
        name: id.name.clone(),
        version: id.version.clone(),
        platforms: known.request.target.platforms.clone(),
        license: known
            .inside
            .get(id)
            .and_then(|inside| inside.about.license.clone()),
        deprecated: None,
        install_script: false,
        bundled_in: Vec::new(),
        places: vec![format!("{}:{}", known.request.number, id.name)],
        dependencies: edges.iter().cloned().collect(),
        artifacts: vec![LockedArtifact {
            file: crate_file(id),
            checksum: UpstreamChecksum::Sha256(checksum),
            upstream: UPSTREAM.to_owned(),
            path: crate_path(id),
            size: None,
            evidence: None,
            gap: None,
        }],
    })
}

fn documents(known: &Known, carried: &BTreeMap<ReleaseId, BTreeSet<ReleaseId>>) -> CargoRecords {
    let mut documents = CargoRecords::default();
    for id in carried.keys() {
        let Some(index) = known.index.get(id) else {
            continue;
        };
        let found = CargoCrate {
            index: index.clone(),
            about: known.inside.get(id).map(|inside| inside.about.clone()),
        };
        let versions = documents.crates.entry(id.name.clone()).or_default();
        versions.insert(id.version.clone(), found);
    }
    let text_of = |(of, lock): (&Option<ReleaseId>, &LockedCrates)| CargoLockfile {
        install: known.request.number,
        of: of.clone(),
        text: lock.text.clone(),
    };
    documents.lockfiles = known.locks.iter().map(text_of).collect();
    documents.lockfiles.sort();
    documents
}
