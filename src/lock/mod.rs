//! The lock: a closure written down, with checksums, and reviewed.
//!
//! `stage.lock` is complete, readable, sorted and byte-for-byte reproducible; what index rendering needs beyond it
//! stands in records, one canonical JSON document per ecosystem, in `NAME.records/` beside `NAME.lock`.

pub mod chain;
pub mod diff;
pub mod format;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::evidence::{Gap, Level};
use crate::base::finding::Severity;
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::{Platform, Target};
use crate::base::time::Timestamp;

/// Records: one canonical JSON document per ecosystem.
pub type Records = BTreeMap<EcosystemId, Vec<u8>>;

/// A reviewed closure for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The enclave host the closure is for.
    pub target: Target,
    /// Releases published after this moment were not considered.
    pub exclude_newer: Option<Timestamp>,
    /// What was asked for, in the manifest's order within each install.
    pub requirements: Vec<LockedRequirement>,
    /// Documents beside the requirements that decided the closure, sorted.
    pub inputs: Vec<LockedInput>,
    /// Digest of each ecosystem's records document.
    pub records: BTreeMap<EcosystemId, Digest>,
    /// The closure, sorted by ecosystem, name and version.
    pub packages: Vec<LockedPackage>,
    /// What resolving noticed and did not deny, sorted.
    pub findings: Vec<LockedFinding>,
}

/// One requirement of the manifest, as the ecosystem reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedRequirement {
    /// Its ecosystem.
    pub ecosystem: EcosystemId,
    /// Number of the install within the ecosystem, from 1.
    pub install: u32,
    /// The text in the manifest, such as `openclaw@2026.9.6`.
    pub spec: String,
}

/// A document beside the requirements that decided a closure: a host's package status, an archive's signed index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedInput {
    /// Its ecosystem.
    pub ecosystem: EcosystemId,
    /// Number of the install within the ecosystem, from 1.
    pub install: u32,
    /// What it is, such as `status` or `debian dists/bookworm/InRelease`.
    pub name: String,
    /// Digest of its bytes.
    pub digest: Digest,
    /// The time it states itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Timestamp>,
}

/// One release in the closure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedPackage {
    /// Its ecosystem.
    pub ecosystem: EcosystemId,
    /// Name as published.
    pub name: String,
    /// Version as published.
    pub version: String,
    /// Platforms it is carried for, sorted. Empty: part of the tree, but for other platforms only; nothing is
    /// carried, the entry stays because client lock files need it.
    pub platforms: Vec<Platform>,
    /// License expression or text as the release declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The publisher's deprecation message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
    /// Whether installing it runs code of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub install_script: bool,
    /// Releases whose archive contains a copy of this one. Such a copy has no artifact of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bundled_in: Vec<ReleaseId>,
    /// Where the client puts it: `1:node_modules/x` is install 1's path `node_modules/x`. Sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<String>,
    /// Releases of the same ecosystem that its edges lead to, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<ReleaseId>,
    /// The files of the release that are carried (or, without platforms, would be), sorted by file name. Empty when
    /// it is bundled only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<LockedArtifact>,
}

impl LockedPackage {
    /// Name and version.
    pub fn id(&self) -> ReleaseId {
        ReleaseId::new(&self.name, &self.version)
    }

    /// Whether it crosses the gap for any platform.
    pub fn is_carried(&self) -> bool {
        !self.platforms.is_empty()
    }
}

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedArtifact {
    /// File name in the registry; for ecosystem `file` the path it gets in the enclave.
    pub file: String,
    /// What the upstream says about its bytes.
    pub checksum: UpstreamChecksum,
    /// Name of the upstream it comes from, such as `npm`; the address is not part of a lock.
    pub upstream: String,
    /// Where it is below the upstream's address, percent-encoded.
    pub path: String,
    /// Size in bytes, where known before the download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// What signature was verified over its digest when the lock was made; `None` = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Level>,
    /// Why there was none, where the upstream's answer says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
}

impl LockedArtifact {
    /// How well it is vouched for: by the signature that the lock states, else by the lock's own digest.
    pub fn level(&self) -> Level {
        let own = match self.checksum {
            UpstreamChecksum::Sha512(_) | UpstreamChecksum::Sha256(_) => Level::L2,
            UpstreamChecksum::Sha1(_) => Level::L0,
        };
        self.evidence.map_or(own, |stated| stated.max(own))
    }
}

/// A finding as the lock keeps it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFinding {
    /// Weight; never `deny`, since a denied closure is not written.
    pub severity: Severity,
    /// Stable code.
    pub code: String,
    /// What it is about.
    pub subject: String,
    /// One sentence.
    pub message: String,
}

impl Lock {
    /// The carried packages of one ecosystem.
    pub fn of<'a>(&'a self, ecosystem: &'a EcosystemId) -> impl Iterator<Item = &'a LockedPackage> {
        self.packages
            .iter()
            .filter(move |p| p.ecosystem == *ecosystem)
    }

    /// Every artifact that is carried, with its package, in the lock's order. One file may come up in two packages.
    pub fn carried_artifacts(&self) -> impl Iterator<Item = (&LockedPackage, &LockedArtifact)> {
        self.packages
            .iter()
            .filter(|p| p.is_carried())
            .flat_map(|p| p.artifacts.iter().map(move |a| (p, a)))
    }

    /// Puts everything into the one order that the format has.
    pub fn sort(&mut self) {
        for package in &mut self.packages {
            package.platforms.sort_unstable();
            package.platforms.dedup();
            package.bundled_in.sort();
            package.bundled_in.dedup();
            package.places.sort();
            package.places.dedup();
            package.dependencies.sort();
            package.dependencies.dedup();
            package.artifacts.sort();
            package.artifacts.dedup();
        }
        self.packages.sort_by(|a, b| {
            (&a.ecosystem, &a.name, &a.version).cmp(&(&b.ecosystem, &b.name, &b.version))
        });
        self.inputs.sort();
        self.inputs.dedup();
        self.findings.sort();
        self.findings.dedup();
    }
}
