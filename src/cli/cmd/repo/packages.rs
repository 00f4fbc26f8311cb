//! `stage repo query`, `block` and `unblock`: one package in the repository.

use clap::Args;
use serde_json::json;

use crate::base::digest::Digest;
use crate::base::text::shown;
use crate::base::text::{escaped, visible};
use crate::cli::Context;
use crate::cli::apt_signer::AptSigner;
use crate::cli::cmd::CommandResult;
use crate::cli::cmd::repo::RepoDir;
use crate::cli::ui::{self, Outcome};
use crate::import::block::Blocked;
use crate::import::layout::Layout;
use crate::import::purl::PurlPattern;
use crate::import::query::{self, Hit, Wanted};
use crate::import::{ImportError, Repository, state};

/// Find a package: which bundles, generations and pins hold it
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage repo query pkg:npm/left-pad@1.3.0 --repo /srv/repo\n  \
    stage repo query left-pad --repo /srv/repo\n  stage repo query sha256:9f86d0… --repo /srv/repo"
)]
pub(super) struct QueryArgs {
    /// A package URL (its version may be left out), a name of a package or file, or the digest of a blob
    #[arg(value_name = "PURL|NAME|DIGEST")]
    what: String,
    #[command(flatten)]
    dir: RepoDir,
}

/// Take a package out of every index at once, without a new bundle
///
/// Publishes a new generation that has neither its index entries nor its files. Later imports keep it out, until
/// `stage repo unblock`. Pins of bundles that name it stay as they are, so that installing from them fails.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage repo block pkg:npm/left-pad@1.3.0 --reason 'CVE-2026-1234' --repo /srv/repo\n  \
    stage repo block pkg:pypi/requests --reason 'not approved' --repo /srv/repo"
)]
pub(super) struct BlockArgs {
    /// Its package URL; without a version, all versions
    #[arg(value_name = "PURL")]
    purl: String,
    /// Why; goes into the journal
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    dir: RepoDir,
}

/// Let a blocked package in again
#[derive(Debug, Args)]
pub(super) struct UnblockArgs {
    /// The package URL that was blocked
    #[arg(value_name = "PURL")]
    purl: String,
    #[command(flatten)]
    dir: RepoDir,
}

pub(super) fn query(args: &QueryArgs) -> CommandResult {
    let layout = Layout::new(&args.dir.repo);
    let memory = state::read(&layout)?;
    let hits = query::query(&layout, &memory.state, &wanted(&args.what)?);
    let lines: Vec<String> = hits.iter().map(line).collect();
    let report = json!({"repository": shown(&args.dir.repo), "query": args.what, "hits": hits});
    let packages: std::collections::BTreeSet<_> =
        hits.iter().map(|h| (&h.purl, &h.files)).collect();
    Ok(Outcome::new("stage/query-report/v1", report)
        .data(lines.concat())
        .line(format!(
            "{} in {}",
            ui::plural(packages.len(), "package or file").replace("files", "file(s)"),
            ui::plural(hits.len(), "bundle")
        )))
}

fn wanted(text: &str) -> Result<Wanted, ImportError> {
    if text.starts_with("pkg:") {
        return Ok(Wanted::Purl(PurlPattern::parse(text)?));
    }
    let digest = text.strip_prefix("sha256:").unwrap_or(text);
    Ok(match Digest::from_hex(digest) {
        Ok(digest) => Wanted::Digest(digest),
        Err(_name) => Wanted::Name(text.to_owned()),
    })
}

fn line(hit: &Hit) -> String {
    let name = hit.purl.clone().unwrap_or_else(|| hit.files.join(", "));
    let shown = if hit.published {
        "published"
    } else {
        "not published"
    };
    let mut facts = vec![shown.to_owned()];
    let generations: Vec<String> = hit.generations.iter().map(u64::to_string).collect();
    if !generations.is_empty() {
        facts.push(format!("generations {}", generations.join(" ")));
    }
    facts.extend(hit.pins.clone().filter(|_| hit.published));
    if let Some(reason) = &hit.blocked {
        facts.push(format!("blocked: {}", escaped(reason)));
    }
    let bundle = format!("{} {}", hit.channel, hit.serial);
    format!(
        "{} in bundle {bundle}: {}\n",
        visible(&name),
        facts.join(", ")
    )
}

pub(super) fn block(ctx: &Context, args: &BlockArgs) -> CommandResult {
    let purl = PurlPattern::parse(&args.purl)?;
    let mut repository = Repository::open(&args.dir.repo)?;
    let signer = AptSigner::new(&Layout::new(&args.dir.repo).state_dir(), ctx.now);
    let done = repository.block(&purl, &args.reason, ctx.now, &signer)?;
    if !done.pins.is_empty() {
        ctx.ui.warn(&format!(
            "pins name it, so that installing from them fails now: {}",
            done.pins.join(", ")
        ));
    }
    Ok(outcome(&args.dir, &purl, &done, "Blocked"))
}

pub(super) fn unblock(ctx: &Context, args: &UnblockArgs) -> CommandResult {
    let purl = PurlPattern::parse(&args.purl)?;
    let mut repository = Repository::open(&args.dir.repo)?;
    let signer = AptSigner::new(&Layout::new(&args.dir.repo).state_dir(), ctx.now);
    let done = repository.unblock(&purl, ctx.now, &signer)?;
    Ok(outcome(&args.dir, &purl, &done, "Unblocked"))
}

fn outcome(dir: &RepoDir, purl: &PurlPattern, done: &Blocked, verb: &str) -> Outcome {
    let report = json!({
        "repository": shown(&dir.repo),
        "purl": purl.as_str(),
        "blocked": verb == "Blocked",
        "packages": done.packages,
        "pins": done.pins,
        "generation": done.generation,
    });
    let found = match done.packages.len() {
        0 => "nothing that is published now".to_owned(),
        count => ui::plural(count, "package"),
    };
    Outcome::new("stage/block-report/v1", report).line(format!(
        "{verb} {}: {found} (generation {})",
        visible(purl.as_str()),
        done.generation
    ))
}
