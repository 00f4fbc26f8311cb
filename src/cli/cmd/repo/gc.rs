//! `stage repo gc` and `stage repo remove`: less in the repository.

use clap::Args;
use serde_json::json;

use crate::base::text::shown;
use crate::cli::Context;
use crate::cli::apt_signer::AptSigner;
use crate::cli::cmd::CommandResult;
use crate::cli::cmd::repo::RepoDir;
use crate::cli::ui::{self, Outcome};
use crate::import::gc::{self, Plan};
use crate::import::layout::Layout;
use crate::import::{Repository, state};

/// Remove what no kept generation needs
///
/// Generations but the newest ones, bundles that no kept generation shows, and blobs that neither names. High-water marks
/// stay. Serve nothing older than the published generation while it runs.
#[derive(Debug, Args)]
pub(super) struct GcArgs {
    #[command(flatten)]
    dir: RepoDir,
    /// Newest generations to keep; the published one is always kept
    #[arg(long, value_name = "N", default_value_t = gc::DEFAULT_KEEP, value_parser = clap::value_parser!(u16).range(1..))]
    keep: u16,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

/// Take a bundle or a whole channel out of what is published
///
/// Publishes a new generation without it. The channel's high-water mark stays: older bundles are still refused. The files
/// stay until `stage repo gc`; until then `stage repo rollback` brings them back.
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    #[command(flatten)]
    dir: RepoDir,
    /// The channel
    #[arg(long, value_name = "CHANNEL")]
    channel: String,
    /// Only its bundle of this serial
    #[arg(long, value_name = "SERIAL")]
    serial: Option<u64>,
}

pub(super) fn run(ctx: &Context, args: &GcArgs) -> CommandResult {
    let plan = if args.dry_run {
        let layout = Layout::new(&args.dir.repo);
        gc::plan(&layout, &state::read(&layout)?.state, args.keep)?
    } else {
        Repository::open(&args.dir.repo)?.collect(args.keep, ctx.now)?
    };
    let verb = if args.dry_run {
        "Would remove"
    } else {
        "Removed"
    };
    let line = if plan.is_empty() {
        "Nothing to remove".to_owned()
    } else {
        format!(
            "{verb} {}, {}, {} ({})",
            ui::plural(plan.generations.len(), "generation"),
            ui::plural(plan.bundles.len(), "bundle"),
            ui::plural(plan.blobs.len(), "blob"),
            ui::bytes(plan.bytes)
        )
    };
    Ok(Outcome::new("stage/gc-report/v1", report(args, &plan))
        .data(details(&plan))
        .line(line))
}

fn details(plan: &Plan) -> String {
    let generations = plan.generations.iter().map(|n| format!("generation {n}\n"));
    let bundles = plan.bundles.iter();
    let bundles = bundles.map(|(id, b)| format!("bundle {} {} {id}\n", b.channel, b.serial));
    generations.chain(bundles).collect()
}

fn report(args: &GcArgs, plan: &Plan) -> serde_json::Value {
    let bundles: Vec<_> = plan
        .bundles
        .iter()
        .map(|(id, b)| json!({"channel": b.channel, "epoch": b.epoch, "serial": b.serial, "statement": id}))
        .collect();
    json!({
        "repository": shown(&args.dir.repo),
        "dry_run": args.dry_run,
        "keep": args.keep,
        "generations": plan.generations,
        "bundles": bundles,
        "blobs": plan.blobs.len(),
        "bytes": plan.bytes,
    })
}

pub(super) fn remove(ctx: &Context, args: &RemoveArgs) -> CommandResult {
    let mut repository = Repository::open(&args.dir.repo)?;
    let signer = AptSigner::new(&Layout::new(&args.dir.repo).state_dir(), ctx.now);
    let (generation, count) = repository.remove(&args.channel, args.serial, ctx.now, &signer)?;
    let report = json!({
        "repository": shown(&args.dir.repo),
        "channel": args.channel,
        "serial": args.serial,
        "generation": generation,
        "removed": count,
    });
    let line = format!(
        "Generation {generation} shows {} less; marks did not move, and `stage repo gc` frees the space",
        ui::plural(count, "bundle")
    );
    Ok(Outcome::new("stage/repository-remove/v1", report).line(line))
}
