//! `stage ticket check`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::base::text::shown;
use crate::cli::cmd::CommandResult;
use crate::cli::ui::{Outcome, plural};
use crate::cli::{Context, UsageError};
use crate::packet::{received, signed};
use crate::trust::root::TrustRoot;

/// Check a change packet that somebody handed over: every file against its list, and who signed the list.
///
/// A file too many, a file too few or other bytes are refused (exit 4). With --trust the list must be signed by a key of the
/// trust root. What the packet says is its maker's word: `stage verify` judges the bundle itself.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  stage ticket check CHG0012345.zip --trust root.json")]
pub struct TicketCheckArgs {
    /// The packet: a folder or its zip file
    #[arg(value_name = "PACKET")]
    packet: PathBuf,
    /// The trust root: document or envelope
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
}

pub(super) fn run(ctx: &Context, args: &TicketCheckArgs) -> CommandResult {
    let packet = received::open(&args.packet).map_err(|error| match error {
        received::ReceivedError::Fs(error) => UsageError::unreadable(&error)
            .next("name the folder that `stage ticket` wrote, or its zip file")
            .into(),
        error => crate::cli::ui::Failure::from(error),
    })?;
    let root = args.trust.as_deref().map(TrustRoot::load).transpose()?;
    let signer = root
        .map(|root| signed::signer(&packet, &root))
        .transpose()?;
    let list = &packet.manifest;
    if signer.is_none() {
        ctx.ui
            .warn("nobody looked at who signed the packet: --trust root.json does");
    }
    let by = signer.as_ref().map(|signer| signer.person.as_str());
    let report = json!({
        "packet": shown(&args.packet),
        "bundle_id": list.bundle.to_string(),
        "channel": list.channel,
        "serial": list.serial,
        "files": list.files.len(),
        "signed_by": by,
    });
    let who = by.map_or_else(
        || "not verified who signed it".to_owned(),
        |person| format!("signed by {}", crate::base::text::visible(person)),
    );
    let line = format!(
        "The packet of {} {} is whole: {} as listed, {who}",
        list.channel,
        list.serial,
        plural(list.files.len(), "file")
    );
    Ok(Outcome::new("stage/ticket-check-report/v1", report).line(line))
}
