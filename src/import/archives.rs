//! Reading the archives of a bundle once more before anything of it is published (`import --lint`): whoever signed it may
//! have left that out, or accepted what this site does not. All bytes were verified by then.

use std::io::{Read, Seek};
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use crate::archives::{self, Archive, Carried};
use crate::base::digest::Digest;
use crate::base::fault::{Code, Fault};
use crate::base::finding::{Finding, Severity};
use crate::base::limits::LIMITS;
use crate::base::progress::Progress;
use crate::fs::FsError;
use crate::import::ImportError;
use crate::verify::Bundle;

/// Name of the document with what the builder of a bundle had found.
pub(super) const DOCUMENT: &str = "lint.json";
/// Problems after which only the first of each archive is kept.
const MOST_PROBLEMS: usize = 2_000;
/// Most findings that a refusal or a receipt lists.
const MOST_LISTED: usize = 100;

/// What was found in the archives of a bundle that may come in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Linted {
    /// How many archives were read.
    pub archives: usize,
    /// Releases with a denied problem that was accepted on the command line.
    pub accepted: Vec<String>,
    /// What is worth knowing, sorted: nothing in it denies.
    pub findings: Vec<Finding>,
}

/// One line of a receipt.
#[derive(Debug, Serialize)]
struct Line<'a> {
    code: &'static str,
    severity: Severity,
    subject: &'a str,
    message: &'a str,
}

impl Linted {
    /// For the receipt.
    pub fn summary(&self) -> Value {
        let lines = self.findings.iter().take(MOST_LISTED).map(|finding| Line {
            code: finding.code.name,
            severity: finding.severity,
            subject: &finding.subject,
            message: &finding.message,
        });
        json!({
            "archives": self.archives,
            "accepted": self.accepted,
            "found": self.findings.len(),
            "findings": lines.collect::<Vec<_>>(),
        })
    }
}

/// What was found in a bundle and denies it, as an error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {}", finding.subject, finding.message)]
pub struct DeniedError {
    finding: Finding,
}

impl Fault for DeniedError {
    fn code(&self) -> &'static Code {
        self.finding.code
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let chain = &self.finding.chain;
        let needed = (chain.len() > 1).then(|| ("needed by", chain.join(" > ")));
        needed.into_iter().collect()
    }

    fn hint(&self) -> Option<String> {
        self.finding.fix.clone()
    }
}

/// Reads the archives of `bundle`. `path` says which file has the bytes of a blob, `open` opens it at its first byte.
///
/// # Errors
/// An archive has a denied problem and its release is not in `accepted`; a file cannot be read.
pub fn check<R: Read + Seek>(
    bundle: &Bundle,
    accepted: &[String],
    path: impl Fn(&Digest) -> PathBuf,
    open: impl Fn(&Digest) -> Result<R, FsError> + Sync,
    progress: &dyn Progress,
) -> Result<Linted, ImportError> {
    let Some(lock) = &bundle.lock else {
        return Ok(Linted::default());
    };
    let blobs = bundle.manifest.artifacts();
    let mut found = Vec::new();
    for (package, artifact) in lock.carried_artifacts() {
        let key = (package.ecosystem.clone(), artifact.checksum.clone());
        if let Some(digest) = blobs.get(&key) {
            found.extend(Archive::of(package, artifact, *digest, path(digest)));
        }
    }
    let count = found.len();
    let carried = carried(bundle, &path, &open)?;
    let open = |archive: &Archive<'_>| open(archive.digest());
    let judged = archives::read(found, open, MOST_PROBLEMS, progress)?;
    let advice = "have the bundle made again without it, or with another version";
    let mut findings = archives::findings(lock, &judged, accepted, advice, carried.as_ref());
    if findings.iter().any(|f| f.severity == Severity::Deny) {
        findings.retain(|f| f.severity == Severity::Deny);
        return Err(ImportError::Archives { findings });
    }
    Ok(Linted {
        archives: count,
        accepted: archives::accepted(&judged, accepted),
        findings,
    })
}

/// How many findings are not listed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{count} further findings are not listed")]
pub struct FurtherError {
    count: usize,
    code: &'static Code,
}

impl Fault for FurtherError {
    fn code(&self) -> &'static Code {
        self.code
    }
}

/// The refusals of a bundle, one for each problem; of very many, the first hundred and how many more there are.
pub fn faults(findings: &[Finding]) -> Vec<Box<dyn Fault>> {
    let mut faults: Vec<Box<dyn Fault>> = Vec::new();
    for finding in findings.iter().take(MOST_LISTED) {
        let finding = finding.clone();
        faults.push(Box::new(DeniedError { finding }));
    }
    if let Some(next) = findings.get(MOST_LISTED) {
        faults.push(Box::new(FurtherError {
            count: findings.len() - MOST_LISTED,
            code: next.code,
        }));
    }
    faults
}

/// What the builder had found; `None` when the bundle does not say.
fn carried<R: Read>(
    bundle: &Bundle,
    path: impl Fn(&Digest) -> PathBuf,
    open: impl Fn(&Digest) -> Result<R, FsError>,
) -> Result<Option<Carried>, ImportError> {
    let Some(file) = bundle.manifest.file(&format!("evidence/{DOCUMENT}")) else {
        return Ok(None);
    };
    let digest = file.digests.sha256;
    let mut bytes = Vec::new();
    open(&digest)?
        .take(LIMITS.metadata)
        .read_to_end(&mut bytes)
        .map_err(crate::fs::context("read", &path(&digest)))?;
    Ok(Some(Carried::parse(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::{Finding, Severity, faults};
    use crate::lint;

    #[test]
    fn of_very_many_findings_the_number_is_told() {
        let finding = Finding {
            code: lint::CODES[0],
            severity: Severity::Deny,
            subject: "npm a@1".to_owned(),
            message: "x".to_owned(),
            chain: Vec::new(),
            fix: None,
        };
        assert_eq!(faults(&vec![finding.clone(); 100]).len(), 100);
        let told = faults(&vec![finding; 1_234]);
        assert_eq!(told.len(), 101);
        let last = told.last().unwrap().to_string();
        assert_eq!(last, "1134 further findings are not listed");
    }
}
