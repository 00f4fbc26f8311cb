//! `stage key`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::base::text::shown;
use crate::cli::cmd::CommandResult;
use crate::cli::cmd::trust::{Profile, warn_on_fips_host};
use crate::cli::secret::{self, PassphraseArgs};
use crate::cli::ui::Outcome;
use crate::cli::{Context, UsageError};
use crate::fs::Draft;
use crate::sign::{self, SecretKey};
use crate::trust::key::{PublicKey, Scheme};

/// Make signing keys and look at them.
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a signing key: PKCS#8 in PEM, readable by its owner only, and the public key beside it
    Generate(GenerateArgs),
    /// Print the public half of a secret key
    Public(PublicArgs),
    /// Say what a key file is: scheme, key id, encrypted or not
    Inspect(InspectArgs),
}

/// Kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeyKind {
    /// Ed25519
    Ed25519,
    /// ECDSA on P-384 with SHA-384, for FIPS sites
    EcdsaP384,
}

#[derive(Debug, Args)]
struct GenerateArgs {
    /// Kind of key [default: ed25519; ecdsa-p384 with `--profile fips`]
    #[arg(long, value_enum)]
    scheme: Option<KeyKind>,
    /// Schemes that the key may have
    #[arg(long, value_enum, default_value = "default")]
    profile: Profile,
    /// File for the secret key; the public key goes beside it, as NAME.pub. Neither may exist
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Debug, Args)]
struct PublicArgs {
    /// Secret key, PKCS#8 in PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// File for the public key, which may not exist [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Debug, Args)]
struct InspectArgs {
    /// Secret or public key in PEM
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(crate) fn run(ctx: &Context, args: &KeyArgs) -> CommandResult {
    match &args.command {
        KeyCommand::Generate(args) => generate(ctx, args),
        KeyCommand::Public(args) => public(ctx, args),
        KeyCommand::Inspect(args) => inspect(ctx, args),
    }
}

fn generate(ctx: &Context, args: &GenerateArgs) -> CommandResult {
    let public_path = args.output.with_extension("pub");
    if public_path == args.output {
        return Err(UsageError::new("the secret key's file may not be called *.pub").into());
    }
    for path in [&args.output, &public_path] {
        refuse_existing(path)?;
    }
    let passphrase = args.passphrase.load(ctx)?;
    let key = SecretKey::generate(scheme(args)?)?;
    warn_on_fips_host(ctx, [key.scheme()]);
    let public = key.public()?;
    write_new(
        &args.output,
        key.to_pem(passphrase.as_ref())?.as_bytes(),
        0o600,
    )?;
    write_new(&public_path, public.to_pem()?.as_bytes(), 0o644)?;
    let encrypted = passphrase.is_some();
    let protection = if encrypted {
        "encrypted"
    } else {
        "not encrypted"
    };
    Ok(Outcome::new(
        "stage/key-report/v1",
        json!({
            "key": args.output.to_string_lossy(),
            "public_key": public_path.to_string_lossy(),
            "scheme": public.scheme().as_str(),
            "keyid": public.id().hex(),
            "encrypted": encrypted,
        }),
    )
    .line(format!(
        "Wrote {} ({}, {protection}) and {}",
        shown(&args.output),
        public.scheme(),
        shown(&public_path)
    ))
    .line(format!("Key id {}", public.id())))
}

fn scheme(args: &GenerateArgs) -> Result<Scheme, UsageError> {
    match (args.scheme, args.profile) {
        (Some(KeyKind::Ed25519), Profile::Fips) => {
            Err(UsageError::new("profile fips takes only ecdsa-p384 keys"))
        }
        (Some(KeyKind::EcdsaP384), _) | (None, Profile::Fips) => Ok(Scheme::EcdsaP384),
        (Some(KeyKind::Ed25519) | None, Profile::Default) => Ok(Scheme::Ed25519),
    }
}

fn refuse_existing(path: &Path) -> Result<(), UsageError> {
    if crate::fs::exists(path) {
        return Err(UsageError::new(format!(
            "{} exists already; a key is never overwritten",
            crate::base::text::quoted(&path.to_string_lossy())
        )));
    }
    Ok(())
}

/// Writes a file that does not exist yet, all or nothing.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), crate::fs::FsError> {
    use std::io::Write as _;
    let mut draft = Draft::new(path, mode)?;
    draft
        .write_all(bytes)
        .map_err(crate::fs::context("write", path))?;
    draft.commit()
}

fn public(ctx: &Context, args: &PublicArgs) -> CommandResult {
    let key = secret::secret_key(ctx, &args.key, &args.passphrase)?.public()?;
    let pem = key.to_pem()?;
    let fields = json!({
        "public_key": pem,
        "scheme": key.scheme().as_str(),
        "keyid": key.id().hex(),
    });
    let outcome = Outcome::new("stage/key-report/v1", fields);
    let Some(path) = &args.output else {
        return Ok(outcome.content(pem));
    };
    refuse_existing(path)?;
    write_new(path, pem.as_bytes(), 0o644)?;
    Ok(outcome.line(format!("Wrote {}", shown(path))))
}

fn inspect(ctx: &Context, args: &InspectArgs) -> CommandResult {
    let pem = secret::pem(&args.file)?;
    let (kind, encrypted, key) = match sign::encrypted_pem(&pem) {
        None => ("public", false, Some(PublicKey::from_pem(&pem)?)),
        Some(encrypted) => {
            let passphrase = args.passphrase.load(ctx)?;
            let key = if encrypted && passphrase.is_none() {
                None
            } else {
                Some(SecretKey::from_pem(&pem, passphrase.as_ref())?.public()?)
            };
            ("secret", encrypted, key)
        }
    };
    let scheme = key.as_ref().map(|k| k.scheme().as_str());
    let keyid = key.as_ref().map(|k| k.id().hex());
    let unknown = "not known without the passphrase";
    Ok(Outcome::new(
        "stage/key-report/v1",
        json!({"kind": kind, "encrypted": encrypted, "scheme": scheme, "keyid": keyid}),
    )
    .data(format!(
        "kind:      {kind}\nencrypted: {}\nscheme:    {}\nkeyid:     {}\n",
        if encrypted { "yes" } else { "no" },
        scheme.unwrap_or(unknown),
        keyid.as_deref().unwrap_or(unknown),
    )))
}
