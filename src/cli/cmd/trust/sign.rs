//! `stage trust sign`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::show::{changes_json, changes_text, progress_json, progress_text};
use crate::base::text::{quoted, shown};
use crate::cli::cmd::CommandResult;
use crate::cli::secret::{self, PassphraseArgs};
use crate::cli::ui::{Failure, Outcome};
use crate::cli::{Context, UsageError};
use crate::trust::chain::RootChain;
use crate::trust::diff;
use crate::trust::envelope::{ROOT_TYPE, SignatureEntry};
use crate::trust::key::KeyId;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage trust sign root.next.json --key rita.pem\n  stage trust sign root.next.json --from \
    from-rolf/root.next.json   # both signed their own copy"
)]
pub(super) struct SignArgs {
    /// The file with the drafted root
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Secret key to sign with, of any kind that `stage sign` takes: one that the old or the new root gives the role root
    #[arg(long, value_name = "FILE|URI", required_unless_present = "from")]
    key: Option<PathBuf>,
    /// Take over the signatures of another copy of the same draft
    #[arg(long, value_name = "COPY", conflicts_with = "key")]
    from: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(super) fn run(ctx: &Context, args: &SignArgs) -> CommandResult {
    let chain = RootChain::load(&args.file)?;
    let root = chain.last()?;
    let Some(old) = chain.before_last() else {
        let message = "the first root of a file needs no signature: its fingerprint vouches for it";
        let file = quoted(&args.file.to_string_lossy());
        let next = format!(
            "compare `stage trust fingerprint {file}` over another path; `stage trust rotate {file} -o NEXT` drafts a root to sign"
        );
        return Err(UsageError::new(message).next(next).into());
    };
    let changes = diff::changes(old, root);
    let added = match (&args.key, &args.from) {
        (Some(key), _) => vec![signature(ctx, &chain, key, &args.passphrase)?],
        (None, Some(copy)) => taken_over(&chain, copy)?,
        (None, None) => Vec::new(),
    };
    let signed = chain.with_signatures(&added)?;
    crate::fs::write_atomic(&args.file, &signed.to_bytes(), 0o644)?;
    let progress = signed.progress()?;
    let keyids: Vec<&str> = added.iter().map(|s| s.keyid.as_str()).collect();
    let mut outcome = Outcome::new(
        "stage/trust-report/v1",
        json!({
            "file": args.file.to_string_lossy(),
            "fingerprint": root.fingerprint(),
            "version": root.version(),
            "changes": changes_json(&changes),
            "keyids": keyids,
            "signed": progress.as_ref().map(progress_json),
        }),
    );
    let mut data = changes_text(&changes);
    if let Some(progress) = &progress {
        data.push_str(&progress_text(progress));
        outcome = outcome.line(if progress.is_complete() {
            format!("Root {} is complete: {}", root.version(), shown(&args.file))
        } else {
            format!("Root {} needs more signatures", root.version())
        });
    }
    Ok(outcome.data(data))
}

fn signature(
    ctx: &Context,
    chain: &RootChain,
    path: &Path,
    passphrase: &PassphraseArgs,
) -> Result<SignatureEntry, Failure> {
    let key = secret::secret_key(ctx, path, passphrase)?;
    let id = key.public()?.id();
    refuse_useless(chain, id)?;
    Ok(key.sign_payload(ROOT_TYPE, chain.payload()?)?)
}

/// A signature that counts for nothing is a mistake: another key was meant.
fn refuse_useless(chain: &RootChain, id: KeyId) -> Result<(), Failure> {
    let refused = |what: String| Err(UsageError::new(what).into());
    if !chain.needs(id) {
        return refused(format!(
            "key {id} has the role root neither in the old nor in the new root: its signature is not needed"
        ));
    }
    let hex = id.hex();
    if chain.signatures()?.iter().any(|s| s.keyid == hex) {
        return refused(format!("key {id} has signed already"));
    }
    Ok(())
}

/// The signatures that another copy has and this one does not.
fn taken_over(chain: &RootChain, copy: &Path) -> Result<Vec<SignatureEntry>, Failure> {
    let other = RootChain::load(copy)?;
    if other.payload()? != chain.payload()? {
        let message = "the other file holds another draft: compare both with `stage trust diff`";
        return Err(UsageError::new(message).into());
    }
    let own = chain.signatures()?;
    let mut more = other.signatures()?;
    more.retain(|theirs| own.iter().all(|s| s.keyid != theirs.keyid));
    if more.is_empty() {
        return Err(UsageError::new("the other file has no signature that is not here").into());
    }
    Ok(more)
}
