//! Reading the archives of a lock: before they are carried, and where a site asks for it once more when they arrive. What
//! a problem is says [`lint`]; here is whose it is, what was accepted, and the document that travels.
//!
//! The document is `evidence/lint.json`: every archive by its SHA-256 with what is wrong with it. A bundle with a denied
//! problem in it was made by somebody who accepted that problem; the enclave shows this and decides for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::base::digest::Digest;
use crate::base::finding::{Finding, Severity};
use crate::base::json;
use crate::base::limits::LIMITS;
use crate::base::progress::{Progress, Unit};
use crate::base::text::{escaped, visible};
use crate::base::workers;
use crate::fs::{self, FsError};
use crate::lint::{self, Form, Problem};
use crate::lock::chain::Chains;
use crate::lock::{Lock, LockedArtifact, LockedPackage};

/// Most archives that are read at the same time.
const MAX_WORKERS: usize = 8;

/// An archive that clients unpack without being told to.
#[derive(Debug)]
pub struct Archive<'a> {
    package: &'a LockedPackage,
    artifact: &'a LockedArtifact,
    form: Form,
    digest: Digest,
    /// The file that has its bytes.
    pub path: PathBuf,
}

impl<'a> Archive<'a> {
    /// An artifact whose bytes have this digest and are in this file; `None` for what nobody unpacks unasked.
    pub fn of(
        package: &'a LockedPackage,
        artifact: &'a LockedArtifact,
        digest: Digest,
        path: PathBuf,
    ) -> Option<Self> {
        let form = Form::of(package.ecosystem.as_str(), &artifact.file)?;
        Some(Self {
            package,
            artifact,
            form,
            digest,
            path,
        })
    }

    /// What kind of archive it is.
    pub const fn form(&self) -> &Form {
        &self.form
    }

    /// SHA-256 of its bytes.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its release as the command line takes it: `pypi:demo@1.0`.
    fn name(&self) -> String {
        format!("{}:{}", self.package.ecosystem, self.package.id())
    }
}

/// An archive and what is wrong with it.
#[derive(Debug)]
pub struct Judged<'a> {
    archive: Archive<'a>,
    problems: Vec<Problem>,
}

/// Reads each archive once, several at a time. After `most` problems, one problem of each further archive is kept.
///
/// # Errors
/// A file cannot be read; an archive that is damaged is a problem, not an error.
pub fn read<'a, R: Read + Seek>(
    archives: Vec<Archive<'a>>,
    open: impl Fn(&Archive<'a>) -> Result<R, FsError> + Sync,
    most: usize,
    progress: &dyn Progress,
) -> Result<Vec<Judged<'a>>, FsError> {
    progress.begin("Reading archives", archives.len() as u64, Unit::Items);
    let found = AtomicUsize::new(0);
    let results = workers::map(&archives, MAX_WORKERS, |archive| {
        let mut problems = lint::check(&mut open(archive)?, &archive.form)
            .map_err(fs::context("read", &archive.path))?;
        if found.fetch_add(problems.len(), Ordering::Relaxed) > most {
            problems.truncate(1);
        }
        progress.advance(1);
        Ok(problems)
    });
    progress.end();
    let judged = archives.into_iter().zip(results);
    judged
        .map(|(archive, problems)| problems.map(|problems| Judged { archive, problems }))
        .collect()
}

/// The findings of archives that were read, sorted. Problems of the releases in `accepted` (`ecosystem:name@version`) are
/// notes; `advice` says what else there is to do about a denied one, `carried` what the builder had found.
pub fn findings(
    lock: &Lock,
    judged: &[Judged<'_>],
    accepted: &[String],
    advice: &str,
    carried: Option<&Carried>,
) -> Vec<Finding> {
    let chains = Chains::new(lock);
    let mut findings = Vec::new();
    for Judged { archive, problems } in judged {
        let release = archive.package.id();
        let name = archive.name();
        let is_accepted = accepted.contains(&name);
        for problem in problems {
            let is_denied = problem.severity == Severity::Deny;
            let severity = if is_accepted {
                Severity::Note
            } else {
                problem.severity
            };
            let known = carried
                .filter(|_| is_denied)
                .map_or("", |carried| carried.says(&archive.digest, problem));
            let chain = chains.chain(&archive.package.ecosystem, &release);
            findings.push(Finding {
                code: problem.rule.code(),
                severity,
                subject: format!(
                    "{} {}",
                    archive.package.ecosystem,
                    escaped(&release.to_string())
                ),
                message: format!(
                    "{}: {}{known}",
                    escaped(&archive.artifact.file),
                    problem.message
                ),
                chain: chain.iter().map(|step| escaped(step)).collect(),
                fix: (severity == Severity::Deny).then(|| {
                    format!(
                        "{advice}; if it was looked at and is wanted as it is: --accept-archive {}",
                        escaped(&name)
                    )
                }),
            });
        }
    }
    findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    findings
}

/// The releases in `accepted` that have a denied problem, as they were named.
pub fn accepted(judged: &[Judged<'_>], accepted: &[String]) -> Vec<String> {
    let denied = |problem: &Problem| problem.severity == Severity::Deny;
    let used: BTreeSet<String> = judged
        .iter()
        .filter(|one| one.problems.iter().any(denied))
        .map(|one| one.archive.name())
        .filter(|name| accepted.contains(name))
        .collect();
    used.into_iter().collect()
}

/// The document that travels.
pub fn document(judged: &[Judged<'_>]) -> Vec<u8> {
    let by_digest: BTreeMap<String, Vec<Value>> = judged
        .iter()
        .map(|Judged { archive, problems }| {
            let listed = problems
                .iter()
                .map(|p| json!({"code": p.rule.code().name, "severity": p.severity, "message": p.message}));
            (archive.digest.hex(), listed.collect())
        })
        .collect();
    json::canonical(&json!({
        "schema": "stage/lint/v1",
        "tool": concat!("stage ", env!("CARGO_PKG_VERSION")),
        "archives": by_digest,
    }))
}

/// What the document of a bundle says: what its builder had found.
#[derive(Debug, Clone, Default)]
pub struct Carried(BTreeMap<String, Vec<Said>>);

/// A problem of an archive as its builder wrote it down.
#[derive(Debug, Clone)]
struct Said {
    code: String,
    is_denied: bool,
    message: String,
}

impl Carried {
    /// Reads the document; one that is not as [`document`] writes it says nothing.
    pub fn parse(bytes: &[u8]) -> Self {
        let value = json::strict(bytes, LIMITS.document).unwrap_or_default();
        let archives = value.get("archives").and_then(Value::as_object);
        let problem = |problem: &Value| {
            let text = |key: &str| problem.get(key)?.as_str();
            Some(Said {
                code: text("code")?.to_owned(),
                // What weighs nothing that is known weighs all.
                is_denied: !matches!(text("severity"), Some("warn" | "note")),
                message: visible(text("message").unwrap_or_default()),
            })
        };
        let archives = archives.into_iter().flatten();
        let read = |(digest, problems): (&String, &Value)| {
            let problems = problems.as_array()?.iter();
            Some((
                digest.clone(),
                problems.map(problem).collect::<Option<_>>()?,
            ))
        };
        Self(archives.filter_map(read).collect())
    }

    /// Code and message of the problems of an archive that its builder accepted; `None` if it does not say that it was
    /// read.
    pub fn denied(&self, digest: &Digest) -> Option<Vec<(String, &str)>> {
        let problems = self.0.get(&digest.hex())?.iter();
        let denied = problems.filter(|problem| problem.is_denied);
        Some(
            denied
                .map(|one| (escaped(&one.code), one.message.as_str()))
                .collect(),
        )
    }

    /// The end of a sentence about a problem of an archive.
    fn says(&self, digest: &Digest, problem: &Problem) -> &'static str {
        let known = self.0.get(&digest.hex());
        let is_it = |said: &Said| said.code == problem.rule.code().name;
        if known.is_some_and(|all| all.iter().any(is_it)) {
            " (the builder accepted it)"
        } else {
            " (the builder did not find it)"
        }
    }
}
