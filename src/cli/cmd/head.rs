//! `stage head`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::base::text::escaped;
use crate::cli::Context;
use crate::cli::approval;
use crate::cli::cmd::CommandResult;
use crate::cli::ui::{Outcome, bytes};
use crate::fs::{self, Draft};
use crate::verify;

/// Cut off what a second person needs to review and sign a bundle: everything but the artifacts.
///
/// The head holds statement, signatures, trust roots, manifest, lock and SBOM. It has the bundle's identity: a signature
/// made on it is one on the bundle, and `stage sign BUNDLE --from HEAD` takes it over. Approvals beside the bundle are copied
/// beside the head, so that the second person sees them.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage head openclaw.stage -o openclaw.head\n  stage sign openclaw.head --key bob.pem \
    --trust root.json --against last.stage\n  stage sign openclaw.stage --from openclaw.head --trust root.json"
)]
pub struct HeadArgs {
    /// The bundle, which is read whole and must be intact
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// File for the head
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub(crate) fn run(ctx: &Context, args: &HeadArgs) -> CommandResult {
    let intact = verify::integrity(fs::open(&args.bundle)?, &ctx.ui)?;
    let mut draft = Draft::new(&args.output, 0o644)?;
    intact.write_head(&mut draft)?;
    draft.commit()?;
    let approvals = approval::copy_beside(&args.bundle, &args.output)?;
    let size = fs::size(&args.output)?;
    let statement = &intact.statement;
    let outcome = Outcome::new(
        "stage/head-report/v1",
        json!({
            "bundle": escaped(&args.bundle.to_string_lossy()),
            "head": escaped(&args.output.to_string_lossy()),
            "bundle_id": intact.id().to_string(),
            "channel": statement.channel,
            "serial": statement.serial,
            "bytes": size,
        }),
    )
    .line(format!(
        "Wrote {}: head of channel {}, serial {}, {}",
        escaped(&args.output.to_string_lossy()),
        statement.channel,
        statement.serial,
        bytes(size)
    ))
    .line(format!("Bundle id {}", intact.id()));
    Ok(match approvals {
        Some(file) => outcome.line(approval::carry(&file)),
        None => outcome,
    })
}
