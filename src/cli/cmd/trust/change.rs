//! `stage trust add`, `remove` and `rotate`: drafts of the next root.
//!
//! Each writes a file that holds the roots so far and the draft. Changing a draft again keeps its version and drops the
//! signatures it had, since they were made over something else.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use serde_json::json;

use super::certificates::CertificateArgs;
use super::show::{changes_json, changes_text, progress_json};
use super::{KeyOf, Profile, ThresholdOf, named_number, public_key};
use crate::base::text::{quoted, shown};
use crate::base::time::Span;
use crate::cli::cmd::CommandResult;
use crate::cli::ui::{Failure, Outcome};
use crate::cli::{Context, UsageError};
use crate::trust::Role;
use crate::trust::chain::{RootChain, Tally};
use crate::trust::diff;
use crate::trust::edit::RootEdit;
use crate::trust::key::KeyId;
use crate::trust::root::TrustRoot;

/// What every draft may change besides.
#[derive(Debug, Args)]
struct DraftArgs {
    /// Persons who must sign in a role
    #[arg(long, value_name = "ROLE=N")]
    threshold: Vec<ThresholdOf>,
    /// Epoch of a channel (`*`: all channels not named); a higher one makes every older bundle of the channel invalid
    #[arg(long, value_name = "CHANNEL=N")]
    epoch: Vec<EpochOf>,
    /// Schemes the root accepts
    #[arg(long, value_enum, default_value = "default")]
    profile: Profile,
    #[command(flatten)]
    certificates: CertificateArgs,
    /// File for the draft, which may not exist, unless it is FILE itself and holds a draft
    #[arg(short, long, value_name = "NEXT")]
    output: PathBuf,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage trust add root.json --key ERIN.pub=erin --role releaser -o root.next.json\n  \
    stage trust sign root.next.json --key rita.pem"
)]
pub(super) struct AddArgs {
    /// The trust root to follow, or a draft to change
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Public key and its person
    #[arg(long, value_name = "PUB=PERSON", required = true)]
    key: Vec<KeyOf>,
    /// Role that the keys get; may repeat
    #[arg(long, value_name = "ROLE", required = true)]
    role: Vec<Role>,
    /// How long the root is valid, from now [default: as long as the root before]
    #[arg(long, value_name = "TIME")]
    expires: Option<Span>,
    #[command(flatten)]
    draft: DraftArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage trust remove root.json --person frank -o root.next.json\n  stage trust remove \
    root.json --key ALICE.pub --role root -o root.next.json"
)]
pub(super) struct RemoveArgs {
    /// The trust root to follow, or a draft to change
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Key to remove: its file or its id
    #[arg(long, value_name = "PUB|KEYID", required_unless_present_any = ["person", "drop_role"])]
    key: Vec<String>,
    /// Person whose keys are removed
    #[arg(long, value_name = "NAME")]
    person: Vec<String>,
    /// Role that the keys lose; may repeat [default: every role]
    #[arg(long, value_name = "ROLE")]
    role: Vec<Role>,
    /// Role to do away with; without `releaser`, one signature by a builder is enough for a bundle
    #[arg(long, value_name = "ROLE")]
    drop_role: Vec<Role>,
    /// How long the root is valid, from now [default: as long as the root before]
    #[arg(long, value_name = "TIME")]
    expires: Option<Span>,
    #[command(flatten)]
    draft: DraftArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage trust rotate root.json -o root.next.json              # a new version and expiry\n  \
    stage trust rotate root.json --key BOB.pub=BOB2.pub -o root.next.json\n  stage trust rotate root.json --epoch \
    prod=2 -o root.next.json   # after a key was misused"
)]
pub(super) struct RotateArgs {
    /// The trust root to follow, or a draft to change
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Key to replace, by file or id, and the public key that takes its place: same person, same roles
    #[arg(long, value_name = "OLD=NEW")]
    key: Vec<Replacement>,
    /// How long the root is valid, from now
    #[arg(long, value_name = "TIME", default_value = "365d")]
    expires: Span,
    #[command(flatten)]
    draft: DraftArgs,
}

/// `CHANNEL=N`.
#[derive(Debug, Clone)]
struct EpochOf {
    channel: String,
    epoch: u64,
}

impl FromStr for EpochOf {
    type Err = UsageError;
    fn from_str(text: &str) -> Result<Self, UsageError> {
        let (channel, epoch) = named_number(text, "CHANNEL=N, such as prod=2")?;
        Ok(Self { channel, epoch })
    }
}

/// `OLD=NEW`.
#[derive(Debug, Clone)]
struct Replacement {
    old: String,
    new: PathBuf,
}

impl FromStr for Replacement {
    type Err = UsageError;
    fn from_str(text: &str) -> Result<Self, UsageError> {
        match text.split_once('=') {
            Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok(Self {
                old: old.to_owned(),
                new: PathBuf::from(new),
            }),
            _ => Err(UsageError::new("expected OLD=NEW")),
        }
    }
}

pub(super) fn add(ctx: &Context, args: &AddArgs) -> CommandResult {
    let chain = RootChain::load(&args.file)?;
    let mut edit = start(&chain)?;
    for key in &args.key {
        let public = public_key(&key.file)?;
        for role in &args.role {
            edit.give(*role, &public, &key.person)?;
        }
    }
    expire(ctx, &mut edit, args.expires)?;
    finish(ctx, &args.file, &chain, edit, &args.draft)
}

pub(super) fn remove(ctx: &Context, args: &RemoveArgs) -> CommandResult {
    let chain = RootChain::load(&args.file)?;
    let mut edit = start(&chain)?;
    let mut ids = Vec::new();
    for key in &args.key {
        ids.push(key_id(key)?);
    }
    for person in &args.person {
        let own = edit.keys_of(person);
        if own.is_empty() {
            return Err(UsageError::new(format!("{} has no key here", quoted(person))).into());
        }
        ids.extend(own);
    }
    for id in ids {
        edit.take(id, &args.role)?;
    }
    for role in &args.drop_role {
        edit.drop_role(*role)?;
    }
    expire(ctx, &mut edit, args.expires)?;
    finish(ctx, &args.file, &chain, edit, &args.draft)
}

pub(super) fn rotate(ctx: &Context, args: &RotateArgs) -> CommandResult {
    let chain = RootChain::load(&args.file)?;
    let mut edit = start(&chain)?;
    for key in &args.key {
        edit.replace(key_id(&key.old)?, &public_key(&key.new)?)?;
    }
    expire(ctx, &mut edit, Some(args.expires))?;
    finish(ctx, &args.file, &chain, edit, &args.draft)
}

/// A key by its id, or by the file of its public half.
fn key_id(text: &str) -> Result<KeyId, Failure> {
    match KeyId::from_hex(text) {
        Some(id) => Ok(id),
        None => Ok(public_key(std::path::Path::new(text))?.id()),
    }
}

/// What the next root starts from: the draft, or the newest root under the next number.
fn start(chain: &RootChain) -> Result<RootEdit, Failure> {
    let last = chain.last()?;
    let version = if chain.is_draft() {
        last.version()
    } else {
        last.version() + 1
    };
    Ok(RootEdit::from_root(last, version))
}

fn expire(ctx: &Context, edit: &mut RootEdit, span: Option<Span>) -> Result<(), Failure> {
    if let Some(span) = span {
        edit.set_expires(ctx.stamp()?.plus_seconds(span.seconds()));
    }
    Ok(())
}

fn finish(
    ctx: &Context,
    input: &std::path::Path,
    chain: &RootChain,
    mut edit: RootEdit,
    args: &DraftArgs,
) -> CommandResult {
    let in_place = chain.is_draft() && args.output == input;
    if crate::fs::exists(&args.output) && !in_place {
        return Err(UsageError::new(format!(
            "{} exists already; a trust root is never overwritten",
            quoted(&args.output.to_string_lossy())
        ))
        .into());
    }
    for given in &args.threshold {
        edit.set_threshold(given.role, given.threshold)?;
    }
    for given in &args.epoch {
        edit.set_epoch(&given.channel, given.epoch)?;
    }
    args.certificates.give(&mut edit)?;
    let root = edit.finish(args.profile.into())?;
    let base = chain.base()?.clone();
    base.check_follows(&root)
        .map_err(|error| UsageError::new(error.to_string()))?;
    if root.expires() <= ctx.now {
        return Err(UsageError::new("the root would be expired already; give --expires").into());
    }
    let dropped = if chain.is_draft() {
        chain.signatures()?.len()
    } else {
        0
    };
    let next = chain.with_draft(&root)?;
    crate::fs::write_atomic(&args.output, &next.to_bytes(), 0o644)?;
    if dropped > 0 {
        ctx.ui.warn(
            "the draft had signatures; they are gone, since they were made over something else",
        );
    }
    report(args, &base, &root, &next)
}

fn report(args: &DraftArgs, base: &TrustRoot, root: &TrustRoot, next: &RootChain) -> CommandResult {
    let changes = diff::changes(base, root);
    let progress = next.progress()?;
    let mut outcome = Outcome::new(
        "stage/trust-report/v1",
        json!({
            "file": args.output.to_string_lossy(),
            "fingerprint": root.fingerprint(),
            "version": root.version(),
            "expires": root.expires(),
            "changes": changes_json(&changes),
            "signed": progress.as_ref().map(progress_json),
        }),
    )
    .data(changes_text(&changes))
    .line(format!(
        "Wrote {}: draft of root {}, valid until {}",
        shown(&args.output),
        root.version(),
        root.expires()
    ));
    if let Some(progress) = progress {
        for tally in [&progress.old, &progress.new] {
            outcome = outcome.line(needed(tally));
        }
    }
    Ok(outcome)
}

fn needed(tally: &Tally) -> String {
    format!(
        "Root {} demands signatures by {} of: {}",
        tally.version,
        tally.needed,
        tally.holders.join(", ")
    )
}
