//! `stage repo vulns`: what is known of everything that was imported.

use clap::Args;
use serde_json::{Value, json};

use crate::base::finding::{Finding, Severity};
use crate::base::text::{escaped, shown};
use crate::cli::Context;
use crate::cli::cmd::CommandResult;
use crate::cli::cmd::repo::RepoDir;
use crate::cli::exit::Exit;
use crate::cli::ui::{self, Outcome};
use crate::cli::vulns::{self as told, OsvArgs};
use crate::import::layout::Layout;
use crate::import::state;
use crate::import::vulns::{self, Audited, Holder};
use crate::policy::{Judgement, Waived};
use crate::vulns::Vulnerability;

/// Look up known vulnerabilities of everything that was imported, without a network
///
/// Asks the newest records that came with a bundle (`[bundle] carry-osv`), or newer ones with --osv. Exit 3 if something
/// that clients can install is denied: by the repository's policy, or because it is malicious. What is blocked or not
/// published is listed and not judged.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage repo vulns --repo /srv/repo\n  stage repo vulns --repo /srv/repo --osv osv/ --format json"
)]
pub(super) struct VulnsArgs {
    #[command(flatten)]
    dir: RepoDir,
    #[command(flatten)]
    osv: OsvArgs,
}

pub(super) fn run(ctx: &Context, args: &VulnsArgs) -> CommandResult {
    let layout = Layout::new(&args.dir.repo);
    let memory = state::read(&layout)?;
    let audited = vulns::audit(&layout, &memory.state, args.osv.osv.as_deref())?;
    let judgement = vulns::judge(&audited, ctx.now);
    let denying = judgement.findings.iter();
    let denying: Vec<_> = denying.filter(|f| f.severity == Severity::Deny).collect();
    let exit = denying.iter().map(|f| Exit::from(f.code.kind));
    let exit = exit.fold(Exit::Ok, Exit::worse);
    ctx.ui.findings(&judgement.findings);
    ctx.ui.waived(&judgement.waived);
    let found = &audited.checked.vulnerabilities;
    let lines: Vec<String> = found.iter().map(|one| line(&audited, one)).collect();
    let mut outcome = Outcome::new("stage/vulns-report/v1", report(args, &audited, &judgement))
        .data(lines.concat())
        .exit(exit);
    if let Some(holder) = &audited.carried_by {
        let (channel, serial) = (&holder.channel, holder.serial);
        outcome = outcome.line(format!(
            "Asked the records that came with {channel} {serial}"
        ));
    }
    told::tell(&mut outcome, &audited.checked);
    if !denying.is_empty() {
        outcome = outcome.line(format!(
            "Denied by {}",
            ui::plural(denying.len(), "finding")
        ));
    }
    Ok(outcome)
}

fn report(args: &VulnsArgs, audited: &Audited, judgement: &Judgement) -> Value {
    let held = audited.checked.vulnerabilities.iter().map(|one| {
        json!({
            "ecosystem": one.ecosystem,
            "release": one.release,
            "id": one.id,
            "bundles": audited.holders(one),
            "blocked": audited.is_blocked(one),
        })
    });
    let waived = judgement.waived.iter().map(Waived::json);
    let policy = audited.policy.as_ref().map(|policy| {
        json!({
            "digest": policy.digest,
            "profile": policy.profile,
            "waived": waived.collect::<Vec<_>>(),
        })
    });
    json!({
        "repository": shown(&args.dir.repo),
        "carried_by": audited.carried_by,
        "held": held.collect::<Vec<_>>(),
        "policy": policy,
        "findings": judgement.findings.iter().map(Finding::json).collect::<Vec<_>>(),
    })
}

/// Level, ids, package, fix and bundles.
fn line(audited: &Audited, found: &Vulnerability) -> String {
    let level = match found.level {
        _ if found.malicious => "malicious",
        _ if found.not_compared.is_some() => "unknown",
        Some(level) => level.as_str(),
        None => "unrated",
    };
    let fixed = found.fixed.as_ref();
    let fixed = fixed.map_or_else(|| "no fix known".to_owned(), |v| format!("fixed in {v}"));
    let holder = |h: &Holder| {
        let shown = if h.published { "" } else { ", not published" };
        format!("{} {}{shown}", h.channel, h.serial)
    };
    let bundles: Vec<String> = audited.holders(found).iter().map(holder).collect();
    let blocked = if audited.is_blocked(found) {
        ", blocked"
    } else {
        ""
    };
    format!(
        "{level:<9} {:<20} {} {}, {fixed}, in {}{blocked}\n",
        found.id,
        found.ecosystem,
        escaped(&found.release.to_string()),
        bundles.join("; ")
    )
}
