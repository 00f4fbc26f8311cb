//! `stage repo audit`.

use clap::Args;

use crate::base::fault::{Class, Code, Fault};
use crate::base::text::shown;
use crate::cli::Context;
use crate::cli::cmd::CommandResult;
use crate::cli::cmd::repo::RepoDir;
use crate::cli::ui::{self, Failure, Outcome};
use crate::import::audit::{self, Audit, Damage, Part};

pub(super) static DAMAGED: Code = Code::classed("import-damaged", Class::E42);

/// Something in the repository is not as it was.
#[derive(Debug, thiserror::Error)]
#[error("{path} {reason}")]
struct DamageError {
    path: String,
    reason: String,
    facts: Vec<(&'static str, String)>,
}

impl Fault for DamageError {
    fn code(&self) -> &'static Code {
        &DAMAGED
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        self.facts.clone()
    }
}

/// Read everything again and compare it with what was imported and published
///
/// Every blob, every file of every kept generation, the bundles' documents, journal, state, trust root, receipts, what
/// signs the apt index, and whether there is anything else.
/// Changes nothing and needs only the right to read. Exit 5 when anything is not as it was; each finding says whose
/// package it is and what to do.
#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    dir: RepoDir,
}

pub(super) fn run(ctx: &Context, args: &AuditArgs) -> CommandResult {
    let audit = audit::audit(&args.dir.repo, &ctx.ui)?;
    let mut report = serde_json::to_value(&audit).unwrap_or_default();
    if let Some(map) = report.as_object_mut() {
        map.insert("repository".to_owned(), shown(&args.dir.repo).into());
    }
    let outcome = Outcome::new("stage/audit-report/v1", report);
    if audit.damaged.is_empty() {
        return Ok(outcome.line(summary(&audit)));
    }
    Err(Failure {
        faults: audit.damaged.iter().map(fault).collect(),
        report: Some(outcome.report),
    })
}

fn fault(damage: &Damage) -> Box<dyn Fault> {
    let mut facts = Vec::new();
    facts.extend(damage.expected.map(|d| ("expected", d.to_string())));
    facts.extend(damage.found.map(|d| ("found", d.to_string())));
    for path in damage.shown_as.iter().take(3) {
        facts.push(("published as", path.clone()));
    }
    for owner in damage.owners.iter().take(5) {
        let bundle = format!("bundle {} {}", owner.channel, owner.serial);
        let what = match (&owner.purl, &owner.file) {
            (Some(purl), Some(file)) => format!("{purl}, file {file}, {bundle}"),
            (Some(purl), None) => format!("{purl}, {bundle}"),
            (None, _) if damage.part == Part::Blob => format!("{}, {bundle}", owner.path),
            (None, _) => bundle,
        };
        facts.push(("belongs to", crate::base::text::visible(&what)));
    }
    if damage.owners.len() > 5 {
        facts.push(("and to", format!("{} more", damage.owners.len() - 5)));
    }
    facts.push(("to do", damage.fix.clone()));
    Box::new(DamageError {
        path: damage.path.clone(),
        reason: damage.reason.clone(),
        facts,
    })
}

fn summary(audit: &Audit) -> String {
    let count = |n: u64, noun| ui::plural(usize::try_from(n).unwrap_or(usize::MAX), noun);
    let line = format!(
        "Audited {}, {}, {} with {}, {}, {}: all as recorded",
        count(audit.blobs, "blob"),
        ui::bytes(audit.bytes),
        count(audit.generations, "generation"),
        count(audit.files, "file"),
        count(audit.receipts, "receipt"),
        count(audit.journal_lines, "journal line"),
    );
    if audit.unchecked_files + audit.unchecked_receipts == 0 {
        return line;
    }
    format!(
        "{line}. {} and {} are not vouched for: an older version of stage made them, or this account may not read them",
        count(audit.unchecked_files, "file"),
        count(audit.unchecked_receipts, "receipt")
    )
}
