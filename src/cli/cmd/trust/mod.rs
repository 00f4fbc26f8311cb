//! `stage trust`.

mod certificates;
mod change;
mod show;
mod sign;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::base::text::{quoted, shown};
use crate::base::time::Span;
use crate::cli::cmd::CommandResult;
use crate::cli::cmd::trust::certificates::CertificateArgs;
use crate::cli::secret::{self, PassphraseArgs};
use crate::cli::ui::{Failure, Outcome, plural};
use crate::cli::{Context, UsageError};
use crate::sign::uri;
use crate::trust::Role;
use crate::trust::edit::{self, RootEdit};
use crate::trust::key::{PublicKey, Scheme};

/// Make trust roots and look at them.
#[derive(Debug, Args)]
pub struct TrustArgs {
    #[command(subcommand)]
    command: TrustCommand,
}

#[derive(Debug, Subcommand)]
enum TrustCommand {
    /// Make the first trust root: of one person, or of several with their roles
    Init(Box<InitArgs>),
    /// Draft the next root with more keys
    Add(change::AddArgs),
    /// Draft the next root without a key, a person or a role
    Remove(change::RemoveArgs),
    /// Draft the next root with keys replaced, or with new expiry, thresholds or epochs only
    Rotate(change::RotateArgs),
    /// Sign a drafted root; it counts when the thresholds of the old and the new root are met
    Sign(sign::SignArgs),
    /// Say what changes from one root to the next
    Diff(show::DiffArgs),
    /// Print the fingerprint of a trust root: what is compared over another path than the medium
    Fingerprint(show::FingerprintArgs),
    /// Show persons, keys, roles and epochs of a trust root; with --ca, prove who enrolled the keys
    Inspect(certificates::InspectArgs),
}

/// Which schemes a root accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// Ed25519 and ECDSA P-384
    Default,
    /// ECDSA P-384 only
    Fips,
}

impl From<Profile> for edit::Profile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Default => Self::Default,
            Profile::Fips => Self::Fips,
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage trust init --key k.pem -o root.json\n  stage trust init \
    --root R.pub=rita --builder A.pub=alice --releaser B.pub=bob -o root.json"
)]
struct InitArgs {
    /// The only person's key, secret or public: it gets the roles root and builder
    #[arg(long, value_name = "FILE", required_unless_present = "root", conflicts_with_all = ["root", "builder", "releaser", "transfer"])]
    key: Option<PathBuf>,
    /// Name of the only person
    #[arg(long, value_name = "NAME", default_value = "owner", requires = "key")]
    person: String,
    /// Public key of a person who may sign the next root
    #[arg(long, value_name = "FILE=PERSON", requires = "builder")]
    root: Vec<KeyOf>,
    /// Public key of a person who may sign as builder
    #[arg(long, value_name = "FILE=PERSON", requires = "root")]
    builder: Vec<KeyOf>,
    /// Public key of a person who may countersign; with this role, builder and releaser must be different persons
    #[arg(long, value_name = "FILE=PERSON", requires = "root")]
    releaser: Vec<KeyOf>,
    /// Public key of a person who may sign transfer records
    #[arg(long, value_name = "FILE=PERSON", requires = "root")]
    transfer: Vec<KeyOf>,
    /// Persons who must sign in a role [default: 1]
    #[arg(long, value_name = "ROLE=N")]
    threshold: Vec<ThresholdOf>,
    /// How long the root is valid
    #[arg(long, value_name = "TIME", default_value = "365d")]
    expires: Span,
    /// Schemes the root accepts
    #[arg(long, value_enum, default_value = "default")]
    profile: Profile,
    /// File for the root document, which may not exist
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    certificates: CertificateArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// `FILE=PERSON`.
#[derive(Debug, Clone)]
struct KeyOf {
    file: PathBuf,
    person: String,
}

impl FromStr for KeyOf {
    type Err = UsageError;
    fn from_str(text: &str) -> Result<Self, UsageError> {
        match text.rsplit_once('=') {
            Some((file, person)) if !file.is_empty() && !person.is_empty() => Ok(Self {
                file: PathBuf::from(file),
                person: person.to_owned(),
            }),
            _ => Err(UsageError::new("expected FILE=PERSON")),
        }
    }
}

/// `ROLE=N`.
#[derive(Debug, Clone)]
struct ThresholdOf {
    role: Role,
    threshold: u64,
}

impl FromStr for ThresholdOf {
    type Err = UsageError;
    fn from_str(text: &str) -> Result<Self, UsageError> {
        let (role, threshold) = named_number(text, "ROLE=N, such as root=2")?;
        Ok(Self { role, threshold })
    }
}

/// `NAME=N`, N from 1; `form` is what the user should have written.
fn named_number<T: FromStr>(text: &str, form: &str) -> Result<(T, u64), UsageError> {
    let parsed = text.rsplit_once('=').and_then(|(name, number)| {
        let number = number.parse().ok().filter(|n| *n > 0)?;
        Some((name.parse().ok()?, number))
    });
    parsed.ok_or_else(|| UsageError::new(format!("expected {form}; numbers from 1")))
}

pub(crate) fn run(ctx: &Context, args: &TrustArgs) -> CommandResult {
    match &args.command {
        TrustCommand::Init(args) => init(ctx, args),
        TrustCommand::Add(args) => change::add(ctx, args),
        TrustCommand::Remove(args) => change::remove(ctx, args),
        TrustCommand::Rotate(args) => change::rotate(ctx, args),
        TrustCommand::Sign(args) => sign::run(ctx, args),
        TrustCommand::Diff(args) => show::diff(args),
        TrustCommand::Fingerprint(args) => show::fingerprint(args),
        TrustCommand::Inspect(args) => certificates::inspect(ctx, args),
    }
}

fn init(ctx: &Context, args: &InitArgs) -> CommandResult {
    if crate::fs::exists(&args.output) {
        return Err(UsageError::new(format!(
            "{} exists already; a trust root is never overwritten",
            quoted(&args.output.to_string_lossy())
        ))
        .into());
    }
    let mut edit = RootEdit::first(ctx.stamp()?.plus_seconds(args.expires.seconds()));
    match &args.key {
        Some(path) => one_person(ctx, args, path, &mut edit)?,
        None => several_persons(args, &mut edit)?,
    }
    for given in &args.threshold {
        edit.set_threshold(given.role, given.threshold)?;
    }
    args.certificates.give(&mut edit)?;
    let root = edit.finish(args.profile.into())?;
    warn_on_fips_host(ctx, root.keys().iter().map(|known| known.key.scheme()));
    crate::fs::write_atomic(&args.output, root.canonical(), 0o644)?;
    Ok(Outcome::new(
        "stage/trust-report/v1",
        json!({
            "file": args.output.to_string_lossy(),
            "fingerprint": root.fingerprint(),
            "version": root.version(),
            "expires": root.expires(),
        }),
    )
    .line(format!(
        "Wrote {}: version 1, {}, valid until {}",
        shown(&args.output),
        plural(root.keys().len(), "key"),
        root.expires()
    ))
    .line(format!("Fingerprint {}", root.fingerprint())))
}

/// On a host in FIPS mode, other tools may refuse what is not P-384.
pub(crate) fn warn_on_fips_host(ctx: &Context, schemes: impl IntoIterator<Item = Scheme>) {
    let foreign = schemes.into_iter().any(|s| s != Scheme::EcdsaP384);
    if foreign && ctx.fips_host() {
        ctx.ui.warn(
            "this host is in FIPS mode, where Ed25519 is often not allowed; --profile fips takes ECDSA P-384 only",
        );
    }
}

fn one_person(
    ctx: &Context,
    args: &InitArgs,
    path: &Path,
    edit: &mut RootEdit,
) -> Result<(), Failure> {
    let is_public = !uri::is_uri(path) && crate::sign::encrypted_pem(&secret::pem(path)?).is_none();
    let key = if is_public {
        PublicKey::from_pem(&secret::pem(path)?)?
    } else {
        secret::secret_key(ctx, path, &args.passphrase)?.public()?
    };
    edit.give(Role::Root, &key, &args.person)?;
    edit.give(Role::Builder, &key, &args.person)?;
    Ok(())
}

fn several_persons(args: &InitArgs, edit: &mut RootEdit) -> Result<(), Failure> {
    let given = [
        (Role::Root, &args.root),
        (Role::Builder, &args.builder),
        (Role::Releaser, &args.releaser),
        (Role::Transfer, &args.transfer),
    ];
    for (role, keys) in given {
        for key in keys {
            edit.give(role, &public_key(&key.file)?, &key.person)?;
        }
    }
    Ok(())
}

/// Reads a public key; a secret one is refused, since it has no business here.
fn public_key(path: &Path) -> Result<PublicKey, Failure> {
    let pem = secret::pem(path)?;
    if crate::sign::encrypted_pem(&pem).is_some() {
        return Err(UsageError::new(format!(
            "{} is a secret key; give the public one",
            quoted(&path.to_string_lossy())
        ))
        .into());
    }
    Ok(PublicKey::from_pem(&pem)?)
}
