//! Secret keys in the format of OpenSSH. They make SSH signatures, and nothing else.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm,
};
use data_encoding::BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use ssh_key::private::{EcdsaKeypair, KeypairData};
use ssh_key::{EcdsaCurve, PrivateKey};

use crate::sign::{SecretKey, SignError, SshSigner};
use crate::trust::key::PublicKey;
use crate::trust::sshsig;

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";

/// A key from a file.
struct FileKey {
    public: PublicKey,
    secret: Secret,
}

enum Secret {
    Ed25519(Box<SigningKey>),
    Ecdsa(Box<EcdsaKeyPair>),
}

impl SshSigner for FileKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let raw = match &self.secret {
            Secret::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            Secret::Ecdsa(key) => key
                .sign(&SystemRandom::new(), message)
                .map_err(|_library| SignError::Library)?
                .as_ref()
                .to_vec(),
        };
        sshsig::signature(self.public.spki(), &raw).ok_or(SignError::Library)
    }
}

/// Whether a text is such a secret key.
pub(super) fn is_secret(text: &str) -> bool {
    text.starts_with(BEGIN)
}

/// Whether it is encrypted.
pub(super) fn is_encrypted(text: &str) -> bool {
    PrivateKey::from_openssh(text).is_ok_and(|key| key.is_encrypted())
}

/// Reads it.
pub(super) fn read(text: &str, passphrase: Option<&[u8]>) -> Result<SecretKey, SignError> {
    // The reader wants a curve's full length, and OpenSSH leaves leading zeros out: every fourth P-521 key has one, and
    // one in 256 of the others. The ssh-agent signs with all of them.
    let is_ecdsa = names(text, b"ecdsa-sha2-nistp");
    let format = |_error| {
        if is_ecdsa {
            SignError::SshFile
        } else {
            SignError::Unreadable
        }
    };
    if names(text, b"ecdsa-sha2-nistp521") {
        return Err(SignError::SshFile);
    }
    let mut key = PrivateKey::from_openssh(text).map_err(format)?;
    if key.is_encrypted() {
        let passphrase = passphrase.ok_or(SignError::PassphraseMissing)?;
        key = key
            .decrypt(passphrase)
            .map_err(|_wrong| SignError::PassphraseWrong)?;
    }
    let line = key
        .public_key()
        .to_openssh()
        .map_err(|_kind| SignError::Scheme)?;
    let public = PublicKey::from_pem(&line).map_err(|_kind| SignError::Scheme)?;
    let secret = match key.key_data() {
        KeypairData::Ed25519(pair) => {
            Secret::Ed25519(Box::new(SigningKey::from_bytes(&pair.private.to_bytes())))
        }
        KeypairData::Ecdsa(pair) => Secret::Ecdsa(Box::new(ecdsa(pair)?)),
        _ => return Err(SignError::Scheme),
    };
    Ok(SecretKey::ssh(Box::new(FileKey { public, secret })))
}

/// Whether the key's outer part, which is not encrypted, has this algorithm.
fn names(text: &str, algorithm: &[u8]) -> bool {
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = BASE64.decode(body.as_bytes()).unwrap_or_default();
    bytes.windows(algorithm.len()).any(|at| at == algorithm)
}

fn ecdsa(pair: &EcdsaKeypair) -> Result<EcdsaKeyPair, SignError> {
    let algorithm: &'static EcdsaSigningAlgorithm = match pair.curve() {
        EcdsaCurve::NistP256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        EcdsaCurve::NistP384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        EcdsaCurve::NistP521 => return Err(SignError::SshFile),
    };
    EcdsaKeyPair::from_private_key_and_public_key(
        algorithm,
        pair.private_key_bytes(),
        pair.public_key_bytes(),
    )
    .map_err(|_range| SignError::Unreadable)
}
