//! Secret keys in the format of OpenSSH. They make SSH signatures, and nothing else.

mod format;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
};
use ed25519_dalek::{Signer as _, SigningKey};

use crate::sign::openssh::format::Key;
use crate::sign::{SecretKey, SignError, SshSigner};
use crate::trust::key::{PublicKey, Scheme};
use crate::trust::sshsig;

pub(super) use crate::sign::openssh::format::{is_encrypted, is_secret};

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

/// Reads it.
pub(super) fn read(text: &str, passphrase: Option<&[u8]>) -> Result<SecretKey, SignError> {
    let Key { spki, secret } = format::read(text, passphrase)?;
    let public = PublicKey::from_spki(Scheme::SshSig, &spki)?;
    let secret = match secret {
        format::Secret::Ed25519(seed) => {
            let seed: &[u8; 32] = seed.0.as_slice().try_into().map_err(unreadable)?;
            let key = SigningKey::from_bytes(seed);
            if !spki.ends_with(key.verifying_key().as_bytes()) {
                return Err(SignError::Unreadable);
            }
            Secret::Ed25519(Box::new(key))
        }
        format::Secret::Ecdsa(number) => Secret::Ecdsa(Box::new(ecdsa(&spki, &number.0)?)),
    };
    Ok(SecretKey::ssh(Box::new(FileKey { public, secret })))
}

/// A key pair whose halves belong together.
fn ecdsa(spki: &[u8], number: &[u8]) -> Result<EcdsaKeyPair, SignError> {
    let (kind, point) = sshsig::ecdsa_point(spki).ok_or(SignError::Scheme)?;
    let algorithm: &'static EcdsaSigningAlgorithm = match kind {
        "ecdsa-sha2-nistp256" => &ECDSA_P256_SHA256_FIXED_SIGNING,
        "ecdsa-sha2-nistp384" => &ECDSA_P384_SHA384_FIXED_SIGNING,
        "ecdsa-sha2-nistp521" => &ECDSA_P521_SHA512_FIXED_SIGNING,
        _ => return Err(SignError::Scheme),
    };
    EcdsaKeyPair::from_private_key_and_public_key(algorithm, number, point).map_err(unreadable)
}

fn unreadable<E>(_error: E) -> SignError {
    SignError::Unreadable
}
