//! Secret keys and passphrases on the command line: by file, descriptor or environment, never as an argument.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::base::fault::Fault;
use crate::base::text::quoted;
use crate::cli::{Context, UsageError};
use crate::sign::uri::{self, TokenUri};
use crate::sign::{Passphrase, SecretKey, SignError};
#[cfg(feature = "connected")]
use crate::trust::key::PublicKey;
use crate::trust::sshsig;

/// Largest key or passphrase file that is read, in bytes.
pub const MAX_KEY_FILE: u64 = 64 << 10;

/// Where a passphrase comes from. At most one is given; the environment counts when none is.
#[derive(Debug, Clone, Args)]
pub struct PassphraseArgs {
    /// File with the key's passphrase; a newline at its end does not count [default: the variable `STAGE_KEY_PASSPHRASE`]
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_fd")]
    passphrase_file: Option<PathBuf>,
    /// Open file descriptor to read the key's passphrase from
    #[arg(long, value_name = "N")]
    passphrase_fd: Option<u16>,
}

impl PassphraseArgs {
    /// The passphrase, if one was given.
    pub fn load(&self, ctx: &Context) -> Result<Option<Passphrase>, Box<dyn Fault>> {
        let file = match (&self.passphrase_file, self.passphrase_fd) {
            (Some(path), _) => Some(path.clone()),
            (None, Some(number)) => Some(PathBuf::from(format!("/proc/self/fd/{number}"))),
            (None, None) => None,
        };
        let bytes = match file {
            Some(path) => Some(crate::fs::read(&path, MAX_KEY_FILE)?),
            None => ctx.env("STAGE_KEY_PASSPHRASE").map(String::into_bytes),
        };
        Ok(bytes.map(Passphrase::new).transpose()?)
    }
}

/// The key to sign with.
#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    /// Secret key to sign with: PKCS#8 in PEM, a secret key of OpenSSH, the public one of a key that an ssh-agent holds, or
    /// a `pkcs11:` address
    #[arg(long = "key", value_name = "FILE|URI")]
    path: PathBuf,
    /// Its passphrase.
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl KeyArgs {
    /// Reads the key.
    pub fn load(&self, ctx: &Context) -> Result<SecretKey, Box<dyn Fault>> {
        secret_key(ctx, &self.path, &self.passphrase)
    }
}

/// Reads the secret key at `path`; the passphrase is only asked for when the key is encrypted.
pub fn secret_key(
    ctx: &Context,
    path: &Path,
    passphrase: &PassphraseArgs,
) -> Result<SecretKey, Box<dyn Fault>> {
    if uri::is_uri(path) {
        return token_key(ctx, path, passphrase);
    }
    let pem = pem(path)?;
    if sshsig::is_public_line(&pem) {
        return agent_key(ctx, &pem);
    }
    let passphrase = match crate::sign::encrypted_pem(&pem) {
        Some(true) => passphrase.load(ctx)?,
        _ => None,
    };
    Ok(SecretKey::from_pem(&pem, passphrase.as_ref())?)
}

/// A key on a token. The PIN comes from the file that the address names, else as passphrases do.
fn token_key(
    ctx: &Context,
    path: &Path,
    passphrase: &PassphraseArgs,
) -> Result<SecretKey, Box<dyn Fault>> {
    let mut address = TokenUri::parse(path.to_str().unwrap_or_default())?;
    if !cfg!(feature = "pkcs11") {
        return Err(SignError::TokenUnsupported.into());
    }
    let module = ctx.env("STAGE_PKCS11_MODULE").map(PathBuf::from);
    address.module = address.module.or(module);
    let pin = match &address.pin_source {
        Some(file) => Some(Passphrase::new(crate::fs::read(file, MAX_KEY_FILE)?)?),
        None => passphrase.load(ctx)?,
    };
    let pin = pin.ok_or_else(|| {
        UsageError::new(
            "the token needs a PIN: give pin-source, --passphrase-file or --passphrase-fd",
        )
    })?;
    Ok(SecretKey::on_token(&address, &pin)?)
}

/// An SSH public key stands for the secret one that an ssh-agent holds.
#[cfg(feature = "connected")]
fn agent_key(ctx: &Context, line: &str) -> Result<SecretKey, Box<dyn Fault>> {
    let public = PublicKey::from_pem(line)?;
    let socket = ctx.env("SSH_AUTH_SOCK").ok_or_else(|| {
        UsageError::new("an SSH public key needs an ssh-agent, and SSH_AUTH_SOCK is not set")
    })?;
    Ok(crate::agent::connect(Path::new(&socket), public)?)
}

/// The enclave build opens no socket to an agent.
#[cfg(not(feature = "connected"))]
fn agent_key(_ctx: &Context, _line: &str) -> Result<SecretKey, Box<dyn Fault>> {
    let message = "this build does not ask an ssh-agent; give the secret key's file";
    Err(UsageError::new(message).into())
}

/// The text of a key file; what cannot be read is wrong use, like any unreadable input.
pub fn pem(path: &Path) -> Result<String, Box<dyn Fault>> {
    let bytes = crate::fs::read(path, MAX_KEY_FILE).map_err(|error| {
        let refused = UsageError::unreadable(&error);
        let name = quoted(&path.to_string_lossy());
        if error.is_not_found() {
            refused.next(format!(
                "name a key that is there, or make one: `stage key generate -o {name}`"
            ))
        } else {
            refused.next(format!(
                "make sure that {name} is a key file that you may read"
            ))
        }
    })?;
    Ok(String::from_utf8(bytes).map_err(|_bytes| SignError::Unreadable)?)
}
