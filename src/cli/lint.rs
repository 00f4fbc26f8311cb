//! Looking at the archives of a lock before they are carried.

use std::collections::BTreeMap;

use serde_json::json;

use crate::base::finding::{Finding, Severity};
use crate::base::json;
use crate::base::progress::{Progress as _, Unit};
use crate::base::text::escaped;
use crate::base::workers;
use crate::cli::Context;
use crate::cli::ui::Failure;
use crate::fs;
use crate::lint::{self, Form, Problem};
use crate::lock::chain::Chains;
use crate::lock::{Lock, LockedArtifact, LockedPackage};
use crate::store::{Store, Stored};

/// Most archives that are read at the same time.
const MAX_WORKERS: usize = 8;

/// What was found.
#[derive(Debug)]
pub(crate) struct Linted {
    /// One per problem, sorted.
    pub(crate) findings: Vec<Finding>,
    /// The document that travels: every archive by its digest with what is wrong with it.
    pub(crate) document: Vec<u8>,
}

struct Job<'a> {
    package: &'a LockedPackage,
    artifact: &'a LockedArtifact,
    form: Form,
    stored: Stored,
}

/// Reads every carried archive of `lock` that is in the store. Problems of the releases in `accepted`
/// (`ecosystem:name@version`) are notes.
pub(crate) fn check(
    ctx: &Context,
    lock: &Lock,
    store: &Store,
    accepted: &[String],
) -> Result<Linted, Failure> {
    let mut jobs = Vec::new();
    for (package, artifact) in lock.carried_artifacts() {
        let Some(form) = Form::of(package.ecosystem.as_str(), &artifact.file) else {
            continue;
        };
        if let Some(stored) = store.find(&artifact.checksum)? {
            jobs.push(Job {
                package,
                artifact,
                form,
                stored,
            });
        }
    }
    ctx.ui
        .begin("Reading archives", jobs.len() as u64, Unit::Items);
    let results = workers::map(&jobs, MAX_WORKERS, |job| {
        let mut file = fs::open(&job.stored.path)?;
        let problems =
            lint::check(&mut file, &job.form).map_err(fs::context("read", &job.stored.path));
        ctx.ui.advance(1);
        problems
    });
    ctx.ui.end();
    let mut judged = Vec::new();
    for (job, problems) in jobs.into_iter().zip(results) {
        judged.push((job, problems?));
    }
    Ok(Linted {
        document: document(&judged),
        findings: findings(lock, &judged, accepted),
    })
}

fn findings(lock: &Lock, judged: &[(Job<'_>, Vec<Problem>)], accepted: &[String]) -> Vec<Finding> {
    let chains = Chains::new(lock);
    let mut findings = Vec::new();
    for (job, problems) in judged {
        let release = job.package.id();
        let name = format!("{}:{release}", job.package.ecosystem);
        let is_accepted = accepted.contains(&name);
        for problem in problems {
            let severity = if is_accepted {
                Severity::Note
            } else {
                problem.severity
            };
            findings.push(Finding {
                code: problem.rule.code(),
                severity,
                subject: format!("{} {}", job.package.ecosystem, escaped(&release.to_string())),
                message: format!("{}: {}", escaped(&job.artifact.file), problem.message),
                chain: chains.chain(&job.package.ecosystem, &release).iter().map(|step| escaped(step)).collect(),
                fix: (severity == Severity::Deny).then(|| {
                    format!("take another version; if it was looked at and is wanted as it is: --accept-archive {}", escaped(&name))
                }),
            });
        }
    }
    findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    findings
}

fn document(judged: &[(Job<'_>, Vec<Problem>)]) -> Vec<u8> {
    let by_digest: BTreeMap<String, Vec<serde_json::Value>> = judged
        .iter()
        .map(|(job, problems)| {
            let listed = problems
                .iter()
                .map(|p| json!({"code": p.rule.code().name, "severity": p.severity, "message": p.message}));
            (job.stored.digests.sha256.hex(), listed.collect())
        })
        .collect();
    json::canonical(&json!({
        "schema": "stage/lint/v1",
        "tool": concat!("stage ", env!("CARGO_PKG_VERSION")),
        "archives": by_digest,
    }))
}
