//! `stage fetch`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use crate::base::fault::Fault as _;
use crate::cli::cmd::CommandResult;
use crate::cli::cmd::init::file_option;
use crate::cli::cmd::resolve::denied;
use crate::cli::connect::{self, Connection};
use crate::cli::evidence;
use crate::cli::policy::{self, Rules};
use crate::cli::project::Project;
use crate::cli::ui::{self, Failure, Outcome};
use crate::cli::{Context, Exit, holes, native};
use crate::fetch::{self, FetchFailure, FetchReport};
use crate::lock::{Lock, Records};
use crate::store::Store;

/// Download every artifact of stage.lock that is not in the store yet.
///
/// Nothing is stored unless its checksum is the one in the lock. An interrupted fetch goes on where it stopped. A wheel
/// whose metadata is not the one that was resolved with is refused. Then
/// every program, wheel and module is looked into: a shared library that it needs and that is neither staged nor part of
/// the baseline nor of the target's C library is named, with the Debian package that has it. What packages fetch by
/// themselves is counted; `stage holes` lists it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  stage fetch\n  stage fetch --jobs 8 --cache /var/cache/stage")]
pub struct FetchArgs {
    /// The manifest
    #[arg(short, long, value_name = "FILE", default_value = "stage.toml")]
    file: PathBuf,
}

pub(crate) fn run(ctx: &Context, args: &FetchArgs) -> CommandResult {
    let started = Instant::now();
    let project = Project::load(&args.file)?;
    let rules = Rules::of(&project)?;
    let (lock, _, records) = project.lock()?;
    let store = connect::store(ctx)?;
    let mut connection = connect::open(ctx, &project)?;
    let misplaced = rules.judge_found(rules.check_sources(&lock, &connection), ctx.now);
    if denied(&misplaced.findings) != Exit::Ok {
        policy::show(ctx, &misplaced);
        let outcome = Outcome::new(
            "stage/fetch-report/v1",
            fields(&FetchReport::default(), &connection),
        );
        return Ok(policy::judged(outcome, &rules, &misplaced));
    }
    let upstream = &mut connection.upstream;
    let report = fetch::run(&lock, &records, &store, upstream, &ctx.ui)?;
    connection.record_egress(&project)?;
    let fields = fields(&report, &connection);
    let there = match report.reused {
        0 => String::new(),
        1 => ", 1 was there already".to_owned(),
        n => format!(", {n} were there already"),
    };
    let summary = format!(
        "Fetched {} ({}) in {:.1}s{there}",
        ui::plural(report.fetched, "artifact"),
        ui::bytes(report.bytes),
        started.elapsed().as_secs_f64(),
    );
    let mut outcome = Outcome::new("stage/fetch-report/v1", fields).line(summary);
    if report.failures.is_empty() {
        let found = native::check(ctx, Some(&project), &lock, &store)?;
        let holes = holes::check(ctx, &project, &lock, &store)?;
        // They may be gone from the archive when the bundle is made.
        let (_, missing) = evidence::proofs(ctx, &project, &records, &store)?;
        let seen = [found.findings.clone(), holes.findings(), missing].concat();
        let judgement = rules.judge_found(seen, ctx.now);
        policy::show(ctx, &judgement);
        native::summarize(&found, &mut outcome);
        holes::summarize(&holes, &file_option(&args.file), &mut outcome);
        return Ok(policy::judged(outcome, &rules, &judgement));
    }
    for line in &outcome.summary {
        ctx.ui.talk(line);
    }
    Err(Failure {
        faults: report.failures.into_iter().map(Box::from).collect(),
        report: Some(outcome.report),
    })
}

/// Fetches what a lock still needs, for commands that go on with it; a failure is theirs.
pub(crate) fn fetch_missing(
    ctx: &Context,
    project: &Project,
    lock: &Lock,
    records: &Records,
    store: &Store,
) -> Result<(), Failure> {
    let mut connection = connect::open(ctx, project)?;
    let report = fetch::run(lock, records, store, &mut connection.upstream, &ctx.ui)?;
    connection.record_egress(project)?;
    if report.failures.is_empty() {
        return Ok(());
    }
    Err(Failure {
        faults: report.failures.into_iter().map(Box::from).collect(),
        report: None,
    })
}

fn fields(report: &FetchReport, connection: &Connection) -> Value {
    json!({
        "fetched": report.fetched,
        "reused": report.reused,
        "bytes": report.bytes,
        "failures": report.failures.iter().map(failure_json).collect::<Vec<_>>(),
        "egress": connection.egress(),
        "findings": [],
    })
}

fn failure_json(failure: &FetchFailure) -> Value {
    json!({
        "ecosystem": failure.ecosystem,
        "package": failure.package.to_string(),
        "file": failure.file,
        "url": failure.url.as_ref().map(ToString::to_string),
        "code": failure.code().name,
        "reason": failure.reason(),
    })
}
