//! `stage sign`.

use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::base::text::escaped;
use crate::bundle::header::BLOCK;
use crate::bundle::{BundleError, slot};
use crate::cli::approval::{self, ApprovalArgs};
use crate::cli::cmd::CommandResult;
use crate::cli::review::review;
use crate::cli::secret::{self, PassphraseArgs};
use crate::cli::subject::{self, BundleView, Subject};
use crate::cli::ui::{Failure, Outcome, plural};
use crate::cli::{Context, UsageError, last};
use crate::fs::OpenFile;
use crate::trust::Role;
use crate::trust::approval::{Approvals, SignedApproval};
use crate::trust::envelope::SignatureEntry;
use crate::trust::key::KeyId;
use crate::trust::root::TrustRoot;
use crate::trust::threshold::Signer;
use crate::verify::report::ApprovalLine;
use crate::verify::{self, Intact};

/// Add a signature to a bundle or to its head, in place.
///
/// All of it is read first and must be intact; its identity does not change. With --trust, it must be one that would be
/// imported now, the signatures that are there must be good and the key must be known; --role then asserts that the key
/// has that role. What is signed is printed, with what changed since the channel's last bundle; --dry-run prints it and signs
/// nothing.
///
/// With --trust, an approval is always written, too: BUNDLE.approvals.json beside the bundle says which person signed in
/// which role and when, with the ticket and note that are given. Carry that file along with the bundle. Signing again with
/// --ticket or --note replaces one's own approval; the signature stays.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage sign openclaw.stage --key bob.pem --role releaser --trust root.json --ticket CHG0012345\n  \
    stage sign openclaw.stage --from openclaw.head --trust root.json"
)]
pub struct SignArgs {
    /// The bundle, or a head that `stage head` cut off
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Secret key to sign with: PKCS#8 in PEM, a secret key of OpenSSH, the public one of a key that an ssh-agent holds, or
    /// a `pkcs11:` address
    #[arg(long, value_name = "FILE|URI", required_unless_present = "from")]
    key: Option<PathBuf>,
    /// Take over the signatures of this head, which must be the bundle's own, and the approvals beside it
    #[arg(long, value_name = "HEAD", conflicts_with_all = ["key", "ticket", "note"], requires = "trust")]
    from: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Role that the key must have in the trust root
    #[arg(long, value_name = "ROLE", requires = "trust", conflicts_with = "from")]
    role: Option<Role>,
    /// Trust root to check key and existing signatures against
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// What is said in the approval.
    #[command(flatten)]
    approval: ApprovalArgs,
    /// The channel's last bundle or its head: say what changed since; `none` compares with nothing [default: the newest one
    /// before this that was made or signed on this host]
    #[arg(long, value_name = "BUNDLE")]
    against: Option<PathBuf>,
    /// Write what is printed about the bundle to this file, too
    #[arg(long, value_name = "FILE")]
    review: Option<PathBuf>,
    /// Check and print everything, and sign nothing: to read before signing
    #[arg(long)]
    dry_run: bool,
}

/// What a run adds to the bundle and to the file beside it.
#[derive(Default)]
struct Added {
    signatures: Vec<SignatureEntry>,
    approvals: Vec<SignedApproval>,
}

/// A bundle, and what a trust root says about it.
struct Judged<'a> {
    intact: &'a Intact,
    /// The newest root that the bundle carries, and the approvals that are beside it; `None` without a trust root.
    known: Option<(TrustRoot, Approvals)>,
}

impl Judged<'_> {
    fn root(&self) -> Option<&TrustRoot> {
        self.known.as_ref().map(|(root, _)| root)
    }

    /// What those who signed before said, for the review.
    fn said(&self) -> String {
        let known = self.known.iter();
        let approvals = known.flat_map(|(_, approvals)| approvals.iter());
        let line = |signed: &SignedApproval| {
            let said = approval::said(signed.approval());
            ["approved   ", &said, "\n"].concat()
        };
        approvals.map(line).collect()
    }
}

pub(crate) fn run(ctx: &Context, args: &SignArgs) -> CommandResult {
    if args.approval.is_given() && args.trust.is_none() {
        let message = "an approval names person and role, which only a trust root knows";
        return Err(UsageError::new(message).next("give --trust, too").into());
    }
    let mut file = crate::fs::open_read_write(&args.bundle)?;
    crate::fs::lock(&file, &args.bundle)?;
    let intact = read(ctx, &mut file, &args.bundle)?;
    let known = match &args.trust {
        Some(path) => Some(judge(ctx, &intact, path, &args.bundle)?),
        None => None,
    };
    let judged = Judged {
        intact: &intact,
        known,
    };
    let old = last(ctx, args, &intact)?;
    let text = judged.said() + &review(old.as_ref(), &intact)?;
    if let Some(path) = &args.review {
        crate::fs::write_atomic(path, text.as_bytes(), 0o644)?;
    }
    let added = match &args.from {
        Some(head) => taken_over(ctx, &judged, head)?,
        None => own(ctx, args, &judged)?,
    };
    let mut signed = intact.clone();
    let mut signatures = intact.entries()?;
    signatures.extend(added.signatures.iter().cloned());
    signed.signatures = signatures.iter().map(SignatureEntry::to_value).collect();
    let missing = match judged.root() {
        Some(root) => missing(&signed, root)?,
        None => Vec::new(),
    };
    if !args.dry_run {
        if !added.signatures.is_empty() {
            let size = intact.statement_bytes.len() as u64;
            slot::replace(&mut file, size, &signatures)?;
            crate::fs::sync(&file, &args.bundle)?;
        }
        // After the signature: an approval without one is refused, a signature without approval can still get it.
        write_approvals(args, &judged, &added)?;
        last::keep(ctx, &intact.statement, |out| signed.write_head(out));
    }
    let outcome = report(args, &signed, &added, old.as_ref(), &missing)?;
    Ok(outcome.data(text))
}

/// The approvals beside the bundle with the new ones.
fn write_approvals(args: &SignArgs, judged: &Judged<'_>, added: &Added) -> Result<(), Failure> {
    let Some((_, approvals)) = judged
        .known
        .as_ref()
        .filter(|_| !added.approvals.is_empty())
    else {
        return Ok(());
    };
    let mut approvals = approvals.clone();
    approvals.extend(added.approvals.iter().cloned());
    approval::write_beside(&args.bundle, &approvals)?;
    Ok(())
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

/// Judges what is there by a trust root, approvals included; returns the newest root that the bundle carries.
fn judge(
    ctx: &Context,
    intact: &Intact,
    trust: &Path,
    bundle: &Path,
) -> Result<(TrustRoot, Approvals), Failure> {
    let (root, signers) = intact.check_signatures(&TrustRoot::load(trust)?)?;
    intact.check_current(&root, ctx.now)?;
    let approvals = approvals(intact, bundle, &root, &signers)?;
    Ok((root, approvals))
}

/// The approvals beside a bundle or a head.
fn approvals(
    intact: &Intact,
    path: &Path,
    root: &TrustRoot,
    signers: &[Signer],
) -> Result<Approvals, Failure> {
    match approval::read_beside(path)? {
        Some(bytes) => Ok(Approvals::judge(&bytes, &intact.approved(), root, signers)?),
        None => Ok(Approvals::default()),
    }
}

/// The bundle to compare with.
fn last(ctx: &Context, args: &SignArgs, intact: &Intact) -> Result<Option<BundleView>, Failure> {
    let Some(path) = &args.against else {
        return Ok(last::find(ctx, &intact.statement));
    };
    if path.as_os_str() == "none" {
        return Ok(None);
    }
    match subject::open(ctx, path, None)? {
        Subject::Bundle(view) => Ok(Some(*view)),
        Subject::Lock(_) => Err(UsageError::new("--against is a lock and not a bundle").into()),
    }
}

/// Signature and approval by the user's own key.
fn own(ctx: &Context, args: &SignArgs, judged: &Judged<'_>) -> Result<Added, Failure> {
    let path = args
        .key
        .as_deref()
        .ok_or_else(|| UsageError::new("give --key or --from"))?;
    let key = secret::secret_key(ctx, path, &args.passphrase)?;
    let id = key.public()?.id();
    let mut added = Added::default();
    let hex = id.hex();
    let mut signed = judged.intact.entries()?.into_iter();
    let has_signed = signed.any(|entry| entry.keyid == hex);
    if let Some((root, approvals)) = &judged.known {
        check_role(root, id, args.role)?;
        if !has_signed || args.approval.is_given() || !approvals.has(id) {
            let bundle = judged.intact.approved();
            let at = ctx.stamp()?;
            let said = args.approval.sign(&key, root, args.role, &bundle, at)?;
            added.approvals.push(said);
        }
    }
    if !has_signed {
        let statement = &judged.intact.statement_bytes;
        added.signatures.push(key.sign_statement(statement)?);
    } else if added.approvals.is_empty() {
        return Err(BundleError::SignedAlready { key: hex }.into());
    }
    Ok(added)
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

/// The signatures that a head has and the bundle does not, and what their makers said.
fn taken_over(ctx: &Context, judged: &Judged<'_>, path: &Path) -> Result<Added, Failure> {
    let intact = judged.intact;
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
    let mut signatures = head.entries()?;
    signatures.retain(|theirs| own.iter().all(|s| s.keyid != theirs.keyid));
    let mut added = Added {
        signatures,
        approvals: Vec::new(),
    };
    if let Some((root, beside)) = &judged.known {
        let (_, signers) = head.check_signatures(root)?;
        let theirs = approvals(&head, path, root, &signers)?;
        let new = |signed: &&SignedApproval| !beside.has(signed.approval().keyid);
        added.approvals.extend(theirs.iter().filter(new).cloned());
    }
    if added.signatures.is_empty() && added.approvals.is_empty() {
        let message = "the head has no signature that is not here, and no approval beside it";
        return Err(UsageError::new(message).into());
    }
    Ok(added)
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
    signed: &Intact,
    added: &Added,
    old: Option<&BundleView>,
    missing: &[Role],
) -> Result<Outcome, Failure> {
    let count = signed.entries()?.len();
    let keyids: Vec<&str> = added.signatures.iter().map(|s| s.keyid.as_str()).collect();
    let missing: Vec<&str> = missing.iter().map(|role| role.as_str()).collect();
    let approvals = added.approvals.iter().map(SignedApproval::approval);
    let approvals: Vec<ApprovalLine> = approvals.map(ApprovalLine::of).collect();
    let outcome = Outcome::new(
        "stage/sign-report/v1",
        json!({
            "bundle": escaped(&args.bundle.to_string_lossy()),
            "bundle_id": signed.id().to_string(),
            "channel": signed.statement.channel,
            "serial": signed.statement.serial,
            "against": old.map(|view| view.id.to_string()),
            "keyid": keyids.first(),
            "keyids": keyids,
            "signatures": count,
            "approvals": approvals,
            "missing_roles": args.trust.as_ref().map_or(Value::Null, |_| json!(missing)),
        }),
    )
    .line(format!(
        "{} {}: channel {}, serial {}, {} {}",
        if args.dry_run { "Would sign" } else { "Signed" },
        escaped(&args.bundle.to_string_lossy()),
        signed.statement.channel,
        signed.statement.serial,
        if added.signatures.is_empty() {
            "as before"
        } else {
            "now"
        },
        plural(count, "signature")
    ))
    .line(format!("Bundle id {}", signed.id()));
    let outcome = said_now(args, added, outcome);
    Ok(match missing.join(", ") {
        none if none.is_empty() => outcome,
        roles => outcome.line(format!("Not signed yet as: {roles}")),
    })
}

/// The new approvals, and what to do with them.
fn said_now(args: &SignArgs, added: &Added, mut outcome: Outcome) -> Outcome {
    for signed in &added.approvals {
        outcome = outcome.line(format!("Approved by {}", approval::said(signed.approval())));
    }
    match (&args.trust, added.approvals.is_empty()) {
        (None, _) => {
            outcome.line("No approval was written: only with --trust it is known who signs")
        }
        (Some(_), true) => outcome.line("No approval came with it"),
        (Some(_), false) if args.dry_run => outcome,
        (Some(_), false) => outcome.line(approval::carry(&approval::beside(&args.bundle))),
    }
}
