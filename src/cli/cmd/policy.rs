//! `stage policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::base::digest::Digest;
use crate::base::finding::{Finding, Severity};
use crate::base::text::{quoted, shown};
use crate::cli::cmd::CommandResult;
use crate::cli::cmd::resolve::denied;
use crate::cli::policy::{self, Rules};
use crate::cli::project::Project;
use crate::cli::ui::{self, Outcome};
use crate::cli::vulns::{self, OsvArgs};
use crate::cli::{Context, UsageError, known, sarif};
use crate::fs;
use crate::policy::{Judgement, Policy, Profile, recorded, starter};
use crate::resolve::{self, ResolveError};

/// `stage policy` and its commands.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    Init(InitArgs),
    Check(CheckArgs),
}

/// A profile by its name.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ProfileName {
    /// Reports, and denies next to nothing
    Lenient,
    /// Every finding weighs what it weighs without a policy
    Standard,
    /// Everything a careful site asks for, setting by setting
    Strict,
}

/// Write a commented policy with every setting of a profile
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage policy init\n  stage policy init --profile strict -o policy.toml"
)]
struct InitArgs {
    /// What it starts from
    #[arg(long, value_enum, default_value = "standard")]
    profile: ProfileName,
    /// The file to write; one that is there stays
    #[arg(short, long, value_name = "FILE", default_value = "policy.toml")]
    output: PathBuf,
}

/// Judge the lock that is there, without a network; exit 3 if something is denied
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage policy check\n  stage policy check --policy enclave.toml --sarif policy.sarif"
)]
struct CheckArgs {
    /// The manifest beside the lock
    #[arg(short, long, value_name = "FILE", default_value = "stage.toml")]
    file: PathBuf,
    /// The policy [default: the one that the manifest names]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Also write the findings as SARIF 2.1.0, for tools that show them beside the lock
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// Write the table, as CSV, with which approval is asked for: every package that the list of `[resolve] prefer` does
    /// not approve
    #[arg(long, value_name = "FILE")]
    approval_request: Option<PathBuf>,
    #[command(flatten)]
    osv: OsvArgs,
}

pub(crate) fn run(ctx: &Context, args: &PolicyArgs) -> CommandResult {
    match &args.command {
        PolicyCommand::Init(args) => init(args),
        PolicyCommand::Check(args) => check(ctx, args),
    }
}

fn init(args: &InitArgs) -> CommandResult {
    let profile = match args.profile {
        ProfileName::Lenient => Profile::Lenient,
        ProfileName::Standard => Profile::Standard,
        ProfileName::Strict => Profile::Strict,
    };
    if fs::exists(&args.output) {
        let there = quoted(&args.output.to_string_lossy());
        return Err(
            UsageError::new(format!("{there} is there already and stays as it is"))
                .next("give another file with -o")
                .into(),
        );
    }
    fs::write_atomic(&args.output, starter(profile).as_bytes(), 0o644)?;
    let written = shown(&args.output);
    let report = json!({"policy": args.output.to_string_lossy(), "profile": profile});
    Ok(Outcome::new("stage/policy-init-report/v1", report)
        .line(format!("Wrote {written}"))
        .line(format!(
            "Name it in stage.toml: [policy] file = \"{written}\", then `stage policy check`"
        )))
}

fn check(ctx: &Context, args: &CheckArgs) -> CommandResult {
    let project = Project::load(&args.file)?;
    let mut rules = Rules::of(&project)?;
    if let Some(path) = &args.policy {
        rules.policy = Some(Policy::load(path)?);
    }
    if rules.policy.is_none() && rules.approved.is_none() {
        return Err(UsageError::new("the manifest names no policy")
            .next("`stage policy init` writes one; name it with `[policy] file` or --policy")
            .into());
    }
    policy::needs_list(args.approval_request.is_some(), &rules)?;
    let (lock, bytes, records) = project.lock()?;
    let mut found = resolve::check_closure(&lock, &records).map_err(ResolveError::into_fault)?;
    found.extend(recorded(&lock));
    found.extend(rules.of_archives(&lock));
    let (closure, now) = ((&lock, &records), ctx.stamp()?);
    let judgement = rules.judge(closure, found, &|_| None, now)?;
    let asked = rules.write_request(args.approval_request.as_deref(), closure, now)?;
    let checked = known::look_up(args.osv.of(&project)?.as_deref(), closure, None)?;
    let of_known = known::judge(rules.policy.as_ref(), &checked, &lock, now);
    let judgement = judgement.with(of_known);
    if let Some(path) = &args.sarif {
        let document = sarif::document(&judgement, &project.lock_path, &bytes);
        fs::write_atomic(path, &document, 0o644)?;
    }
    policy::show(ctx, &judgement);
    let exit = denied(&judgement.findings);
    let report = json!({
        "lock": project.lock_path.to_string_lossy(),
        "lock_digest": Digest::of(&bytes),
        "policy": rules.json(&judgement),
        "approved": rules.approved_json(),
        "findings": judgement.findings.iter().map(Finding::json).collect::<Vec<_>>(),
    });
    let mut outcome = Outcome::new("stage/policy-report/v1", report)
        .data(table(&judgement))
        .line(summary(&judgement, &rules))
        .exit(exit);
    outcome.summary.extend(asked);
    vulns::tell(&mut outcome, &checked);
    Ok(outcome)
}

/// One line for each finding: weight, code, subject.
fn table(judgement: &Judgement) -> String {
    let line = |weight: &str, finding: &Finding| {
        let width = 32;
        format!(
            "{weight:<7} {:<width$} {}\n",
            finding.code.name, finding.subject
        )
    };
    let standing = judgement.findings.iter();
    let mut text: String = standing.map(|f| line(&f.severity.to_string(), f)).collect();
    text.extend(
        judgement
            .waived
            .iter()
            .map(|one| line("waived", &one.finding)),
    );
    text
}

fn summary(judgement: &Judgement, rules: &Rules) -> String {
    let count = |severity| {
        let of = judgement.findings.iter().filter(|f| f.severity == severity);
        of.count()
    };
    let by = rules.policy.as_ref().map_or_else(
        || "the list of approved software".to_owned(),
        |policy| format!("profile {}", policy.profile.as_str()),
    );
    format!(
        "Judged by {}: {} denied, {}, {}, {} waived",
        by,
        count(Severity::Deny),
        ui::plural(count(Severity::Warn), "warning"),
        ui::plural(count(Severity::Note), "note"),
        judgement.waived.len()
    )
}
