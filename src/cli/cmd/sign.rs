//! `stage sign`.

use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::base::text::escaped;
use crate::bundle::header::BLOCK;
use crate::bundle::{BundleError, slot};
use crate::cli::cmd::CommandResult;
use crate::cli::review::review;
use crate::cli::secret::{self, PassphraseArgs};
use crate::cli::subject::{self, BundleView, Subject};
use crate::cli::ui::{Failure, Outcome, plural};
use crate::cli::{Context, UsageError};
use crate::fs::OpenFile;
use crate::trust::Role;
use crate::trust::envelope::SignatureEntry;
use crate::trust::key::KeyId;
use crate::trust::root::TrustRoot;
use crate::verify::{self, Intact};

/// Add a signature to a bundle or to its head, in place.
///
/// All of it is read first and must be intact; its identity does not change. With --trust, it must be one that would be
/// imported now, the signatures that are there must be good and the key must be known; --role then asserts that the key
/// has that role. What is signed is printed: with --against, what changed since the channel's last bundle; --dry-run prints
/// it and signs nothing.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage sign openclaw.stage --key bob.pem --role releaser --trust root.json --against last.stage\n  \
    stage sign openclaw.stage --from openclaw.head --trust root.json"
)]
pub struct SignArgs {
    /// The bundle, or a head that `stage head` cut off
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Secret key to sign with, PKCS#8 in PEM
    #[arg(long, value_name = "FILE", required_unless_present = "from")]
    key: Option<PathBuf>,
    /// Take over the signatures of this head, which must be the bundle's own
    #[arg(long, value_name = "HEAD", conflicts_with = "key", requires = "trust")]
    from: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Role that the key must have in the trust root
    #[arg(long, value_name = "ROLE", requires = "trust", conflicts_with = "from")]
    role: Option<Role>,
    /// Trust root to check key and existing signatures against
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// The channel's last bundle: say what changed since
    #[arg(long, value_name = "BUNDLE")]
    against: Option<PathBuf>,
    /// Write what is printed about the bundle to this file, too
    #[arg(long, value_name = "FILE")]
    review: Option<PathBuf>,
    /// Check and print everything, and sign nothing: to read before signing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(ctx: &Context, args: &SignArgs) -> CommandResult {
    let mut file = crate::fs::open_read_write(&args.bundle)?;
    crate::fs::lock(&file, &args.bundle)?;
    let intact = read(ctx, &mut file, &args.bundle)?;
    let root = match &args.trust {
        Some(path) => Some(judge(ctx, &intact, path)?),
        None => None,
    };
    let old = args.against.as_deref().map(|path| last(ctx, path));
    let text = review(old.transpose()?.as_ref(), &intact)?;
    if let Some(path) = &args.review {
        crate::fs::write_atomic(path, text.as_bytes(), 0o644)?;
    }
    let added = match &args.from {
        Some(head) => taken_over(ctx, &intact, head)?,
        None => vec![own(ctx, args, &intact, root.as_ref())?],
    };
    let mut signed = intact.clone();
    let mut signatures = intact.entries()?;
    signatures.extend(added.iter().cloned());
    signed.signatures = signatures.iter().map(SignatureEntry::to_value).collect();
    let missing = match &root {
        Some(root) => missing(&signed, root)?,
        None => Vec::new(),
    };
    if !args.dry_run {
        file.rewind()
            .map_err(crate::fs::context("read", &args.bundle))?;
        let size = intact.statement_bytes.len() as u64;
        slot::replace(&mut file, size, &signatures)?;
        crate::fs::sync(&file, &args.bundle)?;
    }
    Ok(report(args, &intact, &added, signatures.len(), &missing).data(text))
}

/// Reads the file whole: a bundle, or a head.
fn read(ctx: &Context, file: &mut OpenFile, path: &Path) -> Result<Intact, Failure> {
    let mut start = Vec::new();
    file.by_ref()
        .take(BLOCK as u64)
        .read_to_end(&mut start)
        .and_then(|_read| file.rewind())
        .map_err(crate::fs::context("read", path))?;
    if verify::begins_like_head(&start) {
        return Ok(verify::head(file, &ctx.ui)?);
    }
    Ok(verify::integrity(file, &ctx.ui)?)
}

/// Judges what is there by a trust root; returns the newest one that the bundle carries.
fn judge(ctx: &Context, intact: &Intact, path: &Path) -> Result<TrustRoot, Failure> {
    let (root, _signers) = intact.check_signatures(&TrustRoot::load(path)?)?;
    intact.check_current(&root, ctx.now)?;
    Ok(root)
}

fn last(ctx: &Context, path: &Path) -> Result<BundleView, Failure> {
    match subject::open(ctx, path, None)? {
        Subject::Bundle(view) => Ok(*view),
        Subject::Lock(_) => Err(UsageError::new("--against is a lock and not a bundle").into()),
    }
}

/// A signature by the user's own key.
fn own(
    ctx: &Context,
    args: &SignArgs,
    intact: &Intact,
    root: Option<&TrustRoot>,
) -> Result<SignatureEntry, Failure> {
    let path = args
        .key
        .as_deref()
        .ok_or_else(|| UsageError::new("give --key or --from"))?;
    let key = secret::secret_key(ctx, path, &args.passphrase)?;
    let id = key.public()?.id();
    if let Some(root) = root {
        check_role(root, id, args.role)?;
    }
    let hex = id.hex();
    if intact.entries()?.iter().any(|s| s.keyid == hex) {
        return Err(BundleError::SignedAlready { key: hex }.into());
    }
    Ok(key.sign_statement(&intact.statement_bytes)?)
}

/// The key must be known to the root and have the role that was asked for.
fn check_role(root: &TrustRoot, id: KeyId, role: Option<Role>) -> Result<(), Failure> {
    let refused = |what: String| Err(UsageError::new(what).into());
    if root.key(id).is_none() {
        return refused(format!("the trust root does not know key {id}"));
    }
    match role {
        Some(role) if !root.is_in_role(id, role) => {
            refused(format!("key {id} does not have the role {role}"))
        }
        _ => Ok(()),
    }
}

/// The signatures that a head has and the bundle does not.
fn taken_over(ctx: &Context, intact: &Intact, path: &Path) -> Result<Vec<SignatureEntry>, Failure> {
    let head = verify::head(crate::fs::open(path)?, &ctx.ui)?;
    if head.statement_bytes != intact.statement_bytes {
        return Err(UsageError::new(format!(
            "the head is of another bundle: {}, and this one is {}",
            head.id(),
            intact.id()
        ))
        .into());
    }
    let own = intact.entries()?;
    let mut more = head.entries()?;
    more.retain(|theirs| own.iter().all(|s| s.keyid != theirs.keyid));
    if more.is_empty() {
        return Err(UsageError::new("the head has no signature that is not here").into());
    }
    Ok(more)
}

/// The roles whose thresholds are not met yet. Every signature must verify, the new ones included.
fn missing(signed: &Intact, root: &TrustRoot) -> Result<Vec<Role>, Failure> {
    let (_, signers) = signed.check_signatures(root)?;
    let unmet = |role: &Role| {
        let mut persons: Vec<&str> = signers
            .iter()
            .filter(|signer| signer.roles.contains(role))
            .map(|signer| signer.person.as_str())
            .collect();
        persons.sort_unstable();
        persons.dedup();
        (persons.len() as u64) < root.threshold(*role).unwrap_or(1)
    };
    Ok(root.bundle_roles().into_iter().filter(unmet).collect())
}

fn report(
    args: &SignArgs,
    intact: &Intact,
    added: &[SignatureEntry],
    count: usize,
    missing: &[Role],
) -> Outcome {
    let keyids: Vec<&str> = added.iter().map(|s| s.keyid.as_str()).collect();
    let missing: Vec<&str> = missing.iter().map(|role| role.as_str()).collect();
    let outcome = Outcome::new(
        "stage/sign-report/v1",
        json!({
            "bundle": escaped(&args.bundle.to_string_lossy()),
            "bundle_id": intact.id().to_string(),
            "channel": intact.statement.channel,
            "serial": intact.statement.serial,
            "keyid": keyids.first(),
            "keyids": keyids,
            "signatures": count,
            "missing_roles": args.trust.as_ref().map_or(Value::Null, |_| json!(missing)),
        }),
    )
    .line(format!(
        "{} {}: channel {}, serial {}, now {}",
        if args.dry_run { "Would sign" } else { "Signed" },
        escaped(&args.bundle.to_string_lossy()),
        intact.statement.channel,
        intact.statement.serial,
        plural(count, "signature")
    ))
    .line(format!("Bundle id {}", intact.id()));
    if missing.is_empty() {
        return outcome;
    }
    outcome.line(format!("Not signed yet as: {}", missing.join(", ")))
}
