//! The repository's own policy: what its builder let through is judged again by this site, before anything is published.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::{Value, json};

use crate::archives::Carried;
use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::finding::{Finding, Severity};
use crate::base::limits::LIMITS;
use crate::base::time::Timestamp;
use crate::import::vulns::{self, Open};
use crate::import::{ImportError, archives};
use crate::licenses::{self, Licenses};
use crate::lock::{Lock, LockedArtifact, LockedPackage, Records};
use crate::policy::{Judgement, PlainFile, Policy, Waived, recorded};
use crate::scripts::{self, Scripts};
use crate::verify::Bundle;

/// Most findings that a receipt lists.
const MOST_LISTED: usize = 100;

/// What a repository's policy said of a bundle that may come in.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Digest of the policy.
    pub policy: Digest,
    /// What stands; nothing in it denies.
    pub findings: Vec<Finding>,
    /// What is waived.
    pub waived: Vec<Waived>,
}

impl Judged {
    /// For the receipt.
    pub fn summary(&self) -> Value {
        let listed = self.findings.iter().take(MOST_LISTED);
        json!({
            "digest": self.policy,
            "found": self.findings.len(),
            "findings": listed.map(Finding::json).collect::<Vec<_>>(),
            "waived": self.waived.iter().map(Waived::json).collect::<Vec<_>>(),
        })
    }
}

/// Reads a policy as a repository keeps it.
pub(super) fn parse(text: &str) -> Result<Policy, ImportError> {
    Policy::parse("the repository's policy", text.as_bytes()).map_err(|bad| ImportError::State {
        reason: format!("its policy cannot be read: {bad}"),
    })
}

/// What the builder wrote down under this name; nothing if the bundle does not have it.
fn evidence(bundle: &Bundle, name: &str, open: &Open<'_>) -> Result<Vec<u8>, ImportError> {
    let path = format!("evidence/{name}");
    let mut bytes = Vec::new();
    if let Some(file) = bundle.manifest.file(&path) {
        open(&file.digests.sha256)?
            .take(LIMITS.metadata)
            .read_to_end(&mut bytes)
            .map_err(crate::fs::context("read", std::path::Path::new(&path)))?;
    }
    Ok(bytes)
}

/// Under what a bundle is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    /// Whether this site reads the archives itself, so that it need not be told of them.
    pub(super) reads_archives: bool,
    /// The time now.
    pub(super) now: Timestamp,
}

/// What the builder read in the archives: licenses, and what was found.
fn read(
    policy: &Policy,
    bundle: &Bundle,
    lock: &Lock,
    (open, reads_archives): (&Open<'_>, bool),
) -> Result<(Licenses, Vec<Finding>), ImportError> {
    let licenses = Licenses::parse(&evidence(bundle, licenses::DOCUMENT, open)?);
    let scripts = Scripts::parse(&evidence(bundle, scripts::DOCUMENT, open)?);
    let digests = bundle.manifest.artifacts();
    let digest = |package: &LockedPackage, artifact: &LockedArtifact| {
        let key = (package.ecosystem.clone(), artifact.checksum.clone());
        digests.get(&key).copied()
    };
    let mut found = scripts.findings(lock, &digest);
    if policy.requires_lint() && !reads_archives {
        let carried = Carried::parse(&evidence(bundle, archives::DOCUMENT, open)?);
        found.extend(policy.check_lint(lock, &carried, &digest));
    }
    Ok((licenses, found))
}

/// Judges a bundle by the policy with this text. `open` opens its blobs; without it nothing is said of what only they
/// tell.
///
/// # Errors
/// Something is denied.
pub(super) fn check(
    text: &str,
    bundle: &Bundle,
    open: Option<&Open<'_>>,
    with: Circumstances,
) -> Result<Judged, ImportError> {
    let policy = parse(text)?;
    let judgement = match &bundle.lock {
        None => policy.judge_plain(&plain(bundle), with.now),
        Some(lock) => locked(&policy, (bundle, lock), open, with)?,
    };
    let Judgement {
        mut findings,
        waived,
    } = judgement;
    if findings.iter().any(|f| f.severity == Severity::Deny) {
        findings.retain(|f| f.severity == Severity::Deny);
        return Err(ImportError::Policy { findings });
    }
    Ok(Judged {
        policy: policy.digest,
        findings,
        waived,
    })
}

fn plain(bundle: &Bundle) -> Vec<PlainFile<'_>> {
    let files = bundle.manifest.files.iter();
    files
        .map(|file| PlainFile {
            path: file.path.as_str(),
            digest: file.digests.sha256,
            size: file.size,
        })
        .collect()
}

/// Judges a bundle with a lock: by lock and records, and if its blobs can be opened by what the builder found in the
/// archives and by the vulnerabilities that its own database knows.
fn locked(
    policy: &Policy,
    (bundle, lock): (&Bundle, &Lock),
    open: Option<&Open<'_>>,
    with: Circumstances,
) -> Result<Judgement, ImportError> {
    let mut records = Records::new();
    for id in lock.records.keys() {
        let path = format!("lock/records/{id}.json");
        let document = bundle.documents.iter().find(|(at, _)| at.as_str() == path);
        if let Some((_, bytes)) = document {
            records.insert(id.clone(), bytes.clone());
        }
    }
    let mut sizes = BTreeMap::new();
    for file in &bundle.manifest.files {
        sizes.insert(UpstreamChecksum::Sha256(file.digests.sha256), file.size);
        sizes.insert(UpstreamChecksum::Sha512(file.digests.sha512), file.size);
    }
    let size = |artifact: &LockedArtifact| sizes.get(&artifact.checksum).copied();
    let Some(open) = open else {
        return Ok(policy.judge(lock, &records, recorded(lock), &size, with.now)?);
    };
    let (licenses, found) = read(policy, bundle, lock, (open, with.reads_archives))?;
    let found = [recorded(lock), found].concat();
    let described = licenses.described(lock);
    let mut judgement = policy.judge(&described, &records, found, &size, with.now)?;
    licenses.tell(judgement.all_mut());
    let known = vulns::of_bundle(bundle, (lock, &records), open)?;
    Ok(judgement.with(policy.judge_vulnerabilities(&known, Some(lock), with.now)))
}
