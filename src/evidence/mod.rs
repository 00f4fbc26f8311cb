//! Evidence: how well upstreams vouch for what a lock carries. At resolve, signatures in the records are judged and the
//! lock states what they are worth ([`state`]); everybody else reads that ([`lines`], [`dropped`]). [`prove`] does it all
//! again from what a bundle carries, with no network, in the enclave.
//!
//! | level | what the bytes were held against |
//! |---|---|
//! | L4 | a chain of signatures from a pinned key: Debian's `InRelease`, `Packages`, `.deb` |
//! | L3 | a signature of the registry (npm) or of who published or built it (Sigstore, PEP 740) |
//! | L2 | a digest that the operator committed: the lock's |
//! | L1 | the unsigned digest of an index, seen for the first time: not in the lock before |
//! | L0 | nothing that counts: refused |
//!
//! Below L3 a reason is told: `absent`, `stripped`, `unreachable` or `unsupported`.

pub mod prove;

use std::collections::{BTreeMap, BTreeSet};

use crate::base::evidence::{Gap, Level};
use crate::base::fault::{Class, Code, Kind};
use crate::base::finding::{Finding, Severity};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::text::escaped;
#[cfg(feature = "connected")]
use crate::eco::attestation::Missing;
use crate::eco::vouched::{UpstreamKeys, Verdict};
use crate::eco::{self, EcoError};
use crate::lock::chain::Chains;
use crate::lock::{Lock, LockedArtifact, LockedPackage, Records};

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &NOT_ATTESTED,
    &DROPPED,
    &NOT_CARRIED,
    &CONTRADICTED,
    &UNSIGNED,
];

static DROPPED: Code = Code::classed("evidence-dropped", Class::E52);
static NOT_ATTESTED: Code = Code::classed("evidence-attestation-missing", Class::E52);
static NOT_CARRIED: Code = Code::classed("evidence-not-carried", Class::E52);
static CONTRADICTED: Code = Code::classed("evidence-contradicted", Class::E51);
static UNSIGNED: Code = Code::new("npm-signature-absent", Kind::Denied);

/// Writes into the lock which signatures over its artifacts hold, and says which do not.
pub fn state(
    lock: &mut Lock,
    records: &Records,
    keys: &UpstreamKeys,
) -> Result<Vec<Finding>, EcoError> {
    let mut wrong = Vec::new();
    for (id, bytes) in records {
        let Some(ecosystem) = eco::by_id(id) else {
            continue;
        };
        let vouched = ecosystem.vouched(bytes, keys)?;
        for package in lock.packages.iter_mut().filter(|p| p.ecosystem == *id) {
            let release = package.id();
            for artifact in &mut package.artifacts {
                let key = (release.clone(), artifact.file.clone());
                (artifact.evidence, artifact.gap) = match vouched.get(&key) {
                    Some(Verdict::Signed { level, .. }) => (Some(*level), None),
                    Some(Verdict::Refused { code, reason }) => {
                        wrong.push((id.clone(), release.clone(), *code, reason.clone()));
                        (None, None)
                    }
                    Some(Verdict::Lacking(gap)) => (None, Some(*gap)),
                    Some(Verdict::Unsigned | Verdict::Missing { .. }) | None => (None, None),
                };
            }
        }
    }
    let chains = Chains::new(lock);
    let refused = wrong.into_iter().map(|(id, release, code, reason)| {
        let fix = match id.as_str() {
            "npm" => {
                "ask another mirror, and tell the registry if it says the same; if it has new keys, name them in \
                 [evidence] npm-keys"
            }
            _ => "ask another mirror, and its publisher if that says the same",
        };
        finding(&chains, (&id, &release), code, Severity::Deny, reason, fix)
    });
    let mut findings: Vec<Finding> = refused.collect();
    findings.extend(unsigned(lock, &chains));
    Ok(findings)
}

/// Packages without a signature in a lock whose registry signs others.
fn unsigned(lock: &Lock, chains: &Chains<'_>) -> Vec<Finding> {
    let npm = EcosystemId::npm();
    if !signs(lock, &npm) {
        return Vec::new();
    }
    let bare = lock.of(&npm).filter(|package| {
        let mut artifacts = package.artifacts.iter();
        package.is_carried() && artifacts.any(|a| a.evidence.is_none())
    });
    let told = bare.map(|package| {
        let message = "has no signature, while the registry signs others".to_owned();
        let fix = "find out where it comes from: a registry signs everything or nothing";
        let subject = (&npm, &package.id());
        finding(chains, subject, &UNSIGNED, Severity::Warn, message, fix)
    });
    told.collect()
}

/// Whether the lock states a signature over anything of an ecosystem.
fn signs(lock: &Lock, ecosystem: &EcosystemId) -> bool {
    let mut artifacts = lock.of(ecosystem).flat_map(|p| &p.artifacts);
    artifacts.any(|a| a.evidence.is_some())
}

/// Carried packages that were better vouched for in the lock before: as the same release, or else as any of that name.
pub fn dropped(before: &Lock, after: &Lock) -> Vec<Finding> {
    let mut by_release: BTreeMap<(&EcosystemId, ReleaseId), Level> = BTreeMap::new();
    let mut by_name: BTreeMap<(&EcosystemId, &str), Level> = BTreeMap::new();
    for package in before.packages.iter().filter(|p| p.is_carried()) {
        if let Some(level) = weakest(package) {
            by_release.insert((&package.ecosystem, package.id()), level);
            let best = by_name.entry((&package.ecosystem, &package.name));
            let best = best.or_insert(level);
            *best = level.max(*best);
        }
    }
    let chains = Chains::new(after);
    let mut findings = Vec::new();
    for package in after.packages.iter().filter(|p| p.is_carried()) {
        let id = package.id();
        let same = by_release.get(&(&package.ecosystem, id.clone()));
        let was = same.or_else(|| by_name.get(&(&package.ecosystem, package.name.as_str())));
        let (Some(was), Some(now)) = (was, weakest(package)) else {
            continue;
        };
        if now < *was {
            let message =
                format!("was vouched for by {was} in the lock before and is by {now} now");
            let fix = "find out why: another mirror, or a release that its publisher did not sign as usual";
            let subject = (&package.ecosystem, &id);
            findings.push(finding(
                &chains,
                subject,
                &DROPPED,
                Severity::Warn,
                message,
                fix,
            ));
        }
    }
    findings
}

/// A release that nobody attested, although the manifest says who should have.
#[cfg(feature = "connected")]
pub fn not_attested(ecosystem: &EcosystemId, missing: &Missing) -> Finding {
    Finding {
        code: &NOT_ATTESTED,
        severity: Severity::Deny,
        subject: format!("{ecosystem} {}", escaped(&missing.release.to_string())),
        message: format!("should be attested and is not: {}", missing.reason),
        chain: Vec::new(),
        fix: Some(
            "ask a registry that passes on attestations, or take the expectation out of the manifest"
                .to_owned(),
        ),
    }
}

/// A file that the enclave would need for a proof and that cannot be had. `file` and `reason` are safe to print.
pub fn not_carried(file: &str, reason: &str) -> Finding {
    Finding {
        code: &NOT_CARRIED,
        severity: Severity::Warn,
        subject: file.to_owned(),
        message: "does not travel, so the enclave cannot prove what stands in it".to_owned(),
        chain: Vec::new(),
        // Not in the message: that goes into bundles, and names no host.
        fix: Some(format!(
            "resolve again with --upgrade, since archives keep their indexes for some days; it was said: {reason}"
        )),
    }
}

fn finding(
    chains: &Chains<'_>,
    (id, release): (&EcosystemId, &ReleaseId),
    code: &'static Code,
    severity: Severity,
    message: String,
    fix: &str,
) -> Finding {
    let chain = chains.chain(id, release);
    Finding {
        code,
        severity,
        subject: format!("{id} {}", escaped(&release.to_string())),
        message,
        chain: chain.iter().map(|link| escaped(link)).collect(),
        fix: Some(fix.to_owned()),
    }
}

/// How well a release is vouched for: the level of its weakest file; `None` when it has none of its own.
pub fn weakest(package: &LockedPackage) -> Option<Level> {
    package.artifacts.iter().map(LockedArtifact::level).min()
}

/// One carried file, and how well it is vouched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its package.
    pub package: &'a LockedPackage,
    /// The file.
    pub artifact: &'a LockedArtifact,
    /// How well.
    pub level: Level,
    /// Why not better, where there is no signature.
    pub gap: Option<Gap>,
}

/// Every carried file of a lock, in its order.
pub fn lines<'a>(lock: &'a Lock) -> Vec<Line<'a>> {
    let ecosystems = lock.packages.iter().map(|p| &p.ecosystem);
    let signing: BTreeSet<&EcosystemId> = ecosystems.filter(|id| signs(lock, id)).collect();
    let line = |(package, artifact): (&'a LockedPackage, &'a LockedArtifact)| {
        let level = artifact.level();
        let bare = level < Level::L3;
        Line {
            package,
            artifact,
            level,
            gap: bare.then(|| {
                let signs = signing.contains(&package.ecosystem);
                artifact.gap.unwrap_or_else(|| gap(lock, package, signs))
            }),
        }
    };
    lock.carried_artifacts().map(line).collect()
}

/// Puts what the lock before does not have, and nobody signed, on the level of what is seen for the first time. The
/// digests of plain files are the manifest's.
pub fn first_seen(lines: &mut [Line<'_>], before: Option<&Lock>) {
    let known = before.into_iter().flat_map(Lock::carried_artifacts);
    let known: BTreeSet<_> = known
        .map(|(package, artifact)| (&package.ecosystem, &artifact.checksum))
        .collect();
    for line in lines {
        let is_known = known.contains(&(&line.package.ecosystem, &line.artifact.checksum));
        let is_pinned = line.package.ecosystem == EcosystemId::file();
        if line.level == Level::L2 && !is_known && !is_pinned {
            line.level = Level::L1;
        }
    }
}

/// Why there is no signature.
fn gap(lock: &Lock, package: &LockedPackage, signs: bool) -> Gap {
    match package.ecosystem.as_str() {
        "npm" if !signs => Gap::Stripped,
        // A lock from before attestations of publishers (PEP 740) were read.
        "pypi" => Gap::Unsupported,
        // A lock from before signed lists of checksums travelled.
        "file" if is_listed(lock, package) => Gap::Unsupported,
        _ => Gap::Absent,
    }
}

/// Whether the digest of a plain file came from a list of checksums.
fn is_listed(lock: &Lock, package: &LockedPackage) -> bool {
    lock.inputs.iter().any(|input| {
        let list = input.name.strip_prefix(&package.name);
        input.ecosystem == package.ecosystem && list.is_some_and(|rest| rest.starts_with(' '))
    })
}
