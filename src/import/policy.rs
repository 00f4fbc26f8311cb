//! The repository's own policy: what its builder let through is judged again by this site, before anything is published.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::{Value, json};

use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::finding::{Finding, Severity};
use crate::base::limits::LIMITS;
use crate::base::time::Timestamp;
use crate::import::vulns::{self, Open};
use crate::import::{ImportError, archives};
use crate::licenses::{self, Licenses};
use crate::lock::{Lock, LockedArtifact, LockedPackage, Records};
use crate::policy::{Judgement, Policy, Waived, recorded};
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

/// What the builder read in the archives, for the judgement: licenses, and code that packages run.
fn read(
    bundle: &Bundle,
    lock: &Lock,
    open: &Open<'_>,
) -> Result<(Lock, Vec<Finding>), ImportError> {
    let licenses = Licenses::parse(&evidence(bundle, licenses::DOCUMENT, open)?);
    let scripts = Scripts::parse(&evidence(bundle, scripts::DOCUMENT, open)?);
    let digests = archives::artifacts(bundle);
    let digest = |package: &LockedPackage, artifact: &LockedArtifact| {
        let key = (package.ecosystem.clone(), artifact.checksum.clone());
        digests.get(&key).copied()
    };
    Ok((licenses.described(lock), scripts.findings(lock, &digest)))
}

/// Judges a bundle by the policy with this text. `None`: it carries plain files, of which a policy says nothing. `open`
/// opens blobs of it, for the vulnerabilities that its own database knows; without it, these are not judged.
///
/// # Errors
/// Something is denied.
pub(super) fn check(
    text: &str,
    bundle: &Bundle,
    open: Option<&Open<'_>>,
    now: Timestamp,
) -> Result<Option<Judged>, ImportError> {
    let policy = parse(text)?;
    let Some(lock) = &bundle.lock else {
        return Ok(None);
    };
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
    let (described, running) = match open {
        None => (lock.clone(), Vec::new()),
        Some(open) => read(bundle, lock, open)?,
    };
    let found = [recorded(lock), running].concat();
    let judgement = policy.judge(&described, &records, found, &size, now)?;
    let judgement = match open {
        None => judgement,
        Some(open) => {
            let known = vulns::of_bundle(bundle, (lock, &records), open)?;
            judgement.with(policy.judge_vulnerabilities(&known, Some(lock), now))
        }
    };
    let Judgement {
        mut findings,
        waived,
    } = judgement;
    if findings.iter().any(|f| f.severity == Severity::Deny) {
        findings.retain(|f| f.severity == Severity::Deny);
        return Err(ImportError::Policy { findings });
    }
    Ok(Some(Judged {
        policy: policy.digest,
        findings,
        waived,
    }))
}
