//! Secret keys: making, reading, writing, signing. The only module that sees one. Keys are PKCS#8 version 1 in PEM,
//! which OpenSSL reads and writes; with a passphrase they are encrypted (PBES2, scrypt, AES-256-CBC). Nothing here
//! shows a secret: `Debug` names the public key only, and buffers are wiped when dropped.

mod openssh;
#[cfg(feature = "pkcs11")]
mod token;
pub mod uri;

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use ed25519_dalek::{Signer as _, SigningKey};
use pkcs8::der::Decode as _;
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument};

use crate::base::fault::{Code, Fault, Kind};
use crate::trust::TrustError;
use crate::trust::envelope::{STATEMENT_TYPE, Signable, SignatureEntry, pae};
use crate::trust::key::{PublicKey, Scheme};
use crate::trust::sshsig;

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &UNREADABLE,
    &PASSPHRASE,
    &SCHEME,
    &AGENT,
    &TOKEN_URI,
    &TOKEN,
    &RANDOM,
];

static UNREADABLE: Code = Code::new("trust-secret-key-unreadable", Kind::Usage);
static PASSPHRASE: Code = Code::new("trust-passphrase", Kind::Usage);
static SCHEME: Code = Code::new("trust-secret-key-scheme", Kind::Usage);
static AGENT: Code = Code::new("trust-agent", Kind::Failed);
static TOKEN_URI: Code = Code::new("trust-token-address", Kind::Usage);
static TOKEN: Code = Code::new("trust-token", Kind::Failed);
static RANDOM: Code = Code::new("internal-signing", Kind::Internal);

/// Object identifiers of the two kinds of key.
const ED25519: &str = "1.3.101.112";
const EC: &str = "1.2.840.10045.2.1";
/// PKCS#8 version 1 of an Ed25519 key, up to the 32 secret bytes (RFC 8410).
const ED25519_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const PLAIN_LABEL: &str = "PRIVATE KEY";
const EC_LABEL: &str = "EC PRIVATE KEY";
const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// Why a secret key cannot be used. No variant holds anything secret.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Not a PKCS#8 key in PEM.
    #[error("the file is not a PKCS#8 secret key in PEM")]
    Unreadable,
    /// The key is encrypted and no passphrase was given.
    #[error("the secret key is encrypted and there is no passphrase")]
    PassphraseMissing,
    /// The passphrase does not decrypt the key.
    #[error(
        "the secret key cannot be decrypted: wrong passphrase, or an encryption this build does not know"
    )]
    PassphraseWrong,
    /// A passphrase that protects nothing.
    #[error("the passphrase is empty")]
    PassphraseEmpty,
    /// Neither Ed25519 nor ECDSA P-384.
    #[error("the secret key is neither Ed25519 nor ECDSA P-384")]
    Scheme,
    /// The ssh-agent does not sign.
    #[error("the ssh-agent does not sign: {reason}")]
    Agent {
        /// Why.
        reason: &'static str,
    },
    /// An address of a key on a token that says nothing or too much.
    #[error("not the address of a key on a token: {reason}")]
    Uri {
        /// What is wrong, escaped.
        reason: String,
    },
    /// The token cannot be used.
    #[error("the key on the token cannot be used: {reason}")]
    Token {
        /// Why, escaped.
        reason: String,
    },
    /// This build loads no modules.
    #[error("this build does not use tokens: it was made without feature pkcs11")]
    TokenUnsupported,
    /// The system gave no random bytes, or the library refused to sign.
    #[error("the key could not be made or used")]
    Library,
    /// The public half is not accepted.
    #[error(transparent)]
    Public(#[from] TrustError),
}

impl Fault for SignError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Unreadable => &UNREADABLE,
            Self::PassphraseMissing | Self::PassphraseWrong | Self::PassphraseEmpty => &PASSPHRASE,
            Self::Scheme => &SCHEME,
            Self::Agent { .. } => &AGENT,
            Self::Uri { .. } | Self::TokenUnsupported => &TOKEN_URI,
            Self::Token { .. } => &TOKEN,
            Self::Library => &RANDOM,
            Self::Public(error) => error.code(),
        }
    }
}

/// A passphrase; wiped when dropped.
pub struct Passphrase(SecretBytes);

impl Passphrase {
    /// From the bytes of a file, descriptor or variable; one newline at the end does not belong to it.
    pub fn new(bytes: Vec<u8>) -> Result<Self, SignError> {
        let secret = SecretBytes(bytes);
        let text = secret.0.strip_suffix(b"\n").unwrap_or(&secret.0);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() {
            return Err(SignError::PassphraseEmpty);
        }
        Ok(Self(SecretBytes(text.to_vec())))
    }

    /// The bytes, for the module that logs in with them.
    #[cfg(feature = "pkcs11")]
    fn bytes(&self) -> &[u8] {
        &self.0.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

/// Bytes that are overwritten when dropped.
struct SecretBytes(Vec<u8>);

impl Drop for SecretBytes {
    fn drop(&mut self) {
        pkcs8::der::zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// A secret key.
pub struct SecretKey(Inner);

enum Inner {
    Ed25519(Box<SigningKey>),
    EcdsaP384(Box<EcdsaKeyPair>),
    Ssh(Box<dyn SshSigner>),
    #[cfg(feature = "pkcs11")]
    Token(Box<token::TokenKey>),
}

/// A key that makes SSH signatures: from a file here, or somewhere else.
pub trait SshSigner {
    /// The public half, of scheme `sshsig`.
    fn public(&self) -> &PublicKey;
    /// The signature over `message` as SSH writes it: name of the algorithm and the signature.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey")
            .field("scheme", &self.scheme())
            .finish_non_exhaustive()
    }
}

impl SecretKey {
    /// A new key from the system's random bytes.
    pub fn generate(scheme: Scheme) -> Result<Self, SignError> {
        match scheme {
            Scheme::Ed25519 => {
                let mut seed = [0; 32];
                aws_lc_rs::rand::fill(&mut seed).map_err(|_rng| SignError::Library)?;
                let key = SigningKey::from_bytes(&seed);
                pkcs8::der::zeroize::Zeroize::zeroize(&mut seed);
                Ok(Self(Inner::Ed25519(Box::new(key))))
            }
            Scheme::EcdsaP384 => EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING)
                .map(|key| Self(Inner::EcdsaP384(Box::new(key))))
                .map_err(|_rng| SignError::Library),
            Scheme::SshSig | Scheme::MlDsa87 => Err(SignError::Scheme),
        }
    }

    /// A key that makes SSH signatures.
    pub fn ssh(signer: Box<dyn SshSigner>) -> Self {
        Self(Inner::Ssh(signer))
    }

    /// A key on a PKCS#11 token.
    ///
    /// # Errors
    /// Module, token, PIN or key do not fit.
    #[cfg(feature = "pkcs11")]
    pub fn on_token(address: &uri::TokenUri, pin: &Passphrase) -> Result<Self, SignError> {
        token::TokenKey::open(address, pin).map(|key| Self(Inner::Token(Box::new(key))))
    }

    /// A key on a PKCS#11 token, which this build cannot use.
    #[cfg(not(feature = "pkcs11"))]
    pub const fn on_token(_address: &uri::TokenUri, _pin: &Passphrase) -> Result<Self, SignError> {
        Err(SignError::TokenUnsupported)
    }

    /// From PEM, `BEGIN PRIVATE KEY`, `BEGIN ENCRYPTED PRIVATE KEY`, `BEGIN EC PRIVATE KEY` or `BEGIN OPENSSH PRIVATE
    /// KEY`; the last makes SSH signatures.
    pub fn from_pem(pem: &str, passphrase: Option<&Passphrase>) -> Result<Self, SignError> {
        if openssh::is_secret(pem) {
            return openssh::read(pem, passphrase.map(|p| p.0.0.as_slice()));
        }
        let (label, document) =
            SecretDocument::from_pem(pem).map_err(|_pem| SignError::Unreadable)?;
        match label {
            PLAIN_LABEL => Self::from_pkcs8(document.as_bytes()),
            // RFC 5915, which `openssl ecparam -genkey` writes.
            EC_LABEL => EcdsaKeyPair::from_private_key_der(
                &ECDSA_P384_SHA384_ASN1_SIGNING,
                document.as_bytes(),
            )
            .map(|key| Self(Inner::EcdsaP384(Box::new(key))))
            .map_err(|_other| SignError::Scheme),
            ENCRYPTED_LABEL => {
                let passphrase = passphrase.ok_or(SignError::PassphraseMissing)?;
                let encrypted = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes())
                    .map_err(|_der| SignError::Unreadable)?;
                let plain = encrypted
                    .decrypt(&passphrase.0.0)
                    .map_err(|_wrong| SignError::PassphraseWrong)?;
                Self::from_pkcs8(plain.as_bytes())
            }
            _ => Err(SignError::Unreadable),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, SignError> {
        let info = PrivateKeyInfoRef::from_der(der).map_err(|_der| SignError::Unreadable)?;
        match info.algorithm.oid.to_string().as_str() {
            ED25519 => {
                // The key is an octet string inside the octet string (RFC 8410, section 7).
                let seed: &[u8; 32] = info
                    .private_key
                    .as_bytes()
                    .strip_prefix(&[0x04, 0x20])
                    .and_then(|seed| seed.try_into().ok())
                    .ok_or(SignError::Unreadable)?;
                Ok(Self(Inner::Ed25519(Box::new(SigningKey::from_bytes(seed)))))
            }
            EC => EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, der)
                .map(|key| Self(Inner::EcdsaP384(Box::new(key))))
                .map_err(|_other| SignError::Scheme),
            _ => Err(SignError::Scheme),
        }
    }

    /// PEM that `openssl pkey` reads, encrypted when a passphrase is given.
    pub fn to_pem(&self, passphrase: Option<&Passphrase>) -> Result<SecretPem, SignError> {
        let der = self.to_pkcs8()?;
        let (label, document) = match passphrase {
            None => (PLAIN_LABEL, der),
            Some(passphrase) => {
                let info = PrivateKeyInfoRef::from_der(der.as_bytes())
                    .map_err(|_der| SignError::Library)?;
                let encrypted = info
                    .encrypt_with_params(encryption()?, &passphrase.0.0)
                    .map_err(|_rng| SignError::Library)?;
                (ENCRYPTED_LABEL, encrypted)
            }
        };
        let pem = document
            .to_pem(label, LineEnding::LF)
            .map_err(|_der| SignError::Library)?;
        Ok(SecretPem(SecretBytes(pem.as_bytes().to_vec())))
    }

    fn to_pkcs8(&self) -> Result<SecretDocument, SignError> {
        match &self.0 {
            Inner::Ed25519(key) => {
                let der = SecretBytes([&ED25519_PREFIX[..], key.as_bytes()].concat());
                SecretDocument::try_from(der.0.as_slice()).map_err(|_der| SignError::Library)
            }
            Inner::EcdsaP384(key) => {
                let der = key.to_pkcs8v1().map_err(|_der| SignError::Library)?;
                SecretDocument::try_from(der.as_ref()).map_err(|_der| SignError::Library)
            }
            Inner::Ssh(_) => Err(SignError::Scheme),
            #[cfg(feature = "pkcs11")]
            Inner::Token(_) => Err(SignError::Scheme),
        }
    }

    /// How it signs.
    pub fn scheme(&self) -> Scheme {
        match &self.0 {
            Inner::Ed25519(_) => Scheme::Ed25519,
            Inner::EcdsaP384(_) => Scheme::EcdsaP384,
            Inner::Ssh(_) => Scheme::SshSig,
            #[cfg(feature = "pkcs11")]
            Inner::Token(key) => key.public().scheme(),
        }
    }

    /// The public half.
    pub fn public(&self) -> Result<PublicKey, SignError> {
        Ok(match &self.0 {
            Inner::Ed25519(key) => PublicKey::from_ed25519(key.verifying_key().as_bytes())?,
            Inner::EcdsaP384(key) => PublicKey::from_p384(key.public_key().as_ref())?,
            Inner::Ssh(key) => key.public().clone(),
            #[cfg(feature = "pkcs11")]
            Inner::Token(key) => key.public().clone(),
        })
    }

    /// A signature over the bytes of `message`.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.0 {
            Inner::Ed25519(key) => Ok(key.sign(message).to_bytes().to_vec()),
            Inner::EcdsaP384(key) => key
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_library| SignError::Library),
            Inner::Ssh(_) => Err(SignError::Scheme),
            #[cfg(feature = "pkcs11")]
            Inner::Token(key) => key.sign(message),
        }
    }

    /// An SSH signature over a payload, in its namespace. What came from outside is checked.
    fn sign_ssh(key: &dyn SshSigner, signed: Signable<'_>) -> Result<Vec<u8>, SignError> {
        let namespace = signed.namespace.ok_or(SignError::Scheme)?;
        let signature = key.sign(&sshsig::message(namespace, signed.payload))?;
        let public = key.public();
        let blob = sshsig::wrap(public.spki(), namespace, &signature).ok_or(SignError::Scheme)?;
        if public.verifies_signable(signed, &blob)? {
            return Ok(blob);
        }
        Err(SignError::Agent {
            reason: "it gave a signature that does not verify",
        })
    }

    /// A signature over a payload of this DSSE type, as it is written.
    pub fn sign_payload(
        &self,
        payload_type: &str,
        payload: &[u8],
    ) -> Result<SignatureEntry, SignError> {
        self.sign_signable(Signable::new(payload_type, payload))
    }

    /// A signature over a payload that says what it is signed as.
    pub fn sign_signable(&self, signed: Signable<'_>) -> Result<SignatureEntry, SignError> {
        let signature = match &self.0 {
            Inner::Ssh(key) => Self::sign_ssh(key.as_ref(), signed)?,
            _ => self.sign(&pae(signed.payload_type, signed.payload))?,
        };
        Ok(SignatureEntry::new(self.public()?.id(), &signature))
    }

    /// A signature over a bundle's statement.
    pub fn sign_statement(&self, statement: &[u8]) -> Result<SignatureEntry, SignError> {
        self.sign_payload(STATEMENT_TYPE, statement)
    }
}

/// PBES2 with scrypt (N = 2^14, r = 8, p = 5) and AES-256-CBC. OpenSSL refuses scrypt beyond 32 MiB of memory, so that
/// N is as large as it takes, and p makes up for it.
fn encryption() -> Result<pbes2::Parameters, SignError> {
    let mut salt = [0; 16];
    let mut iv = [0; 16];
    for bytes in [&mut salt, &mut iv] {
        aws_lc_rs::rand::fill(bytes).map_err(|_rng| SignError::Library)?;
    }
    pkcs8::pkcs5::scrypt::Params::new(14, 8, 5)
        .ok()
        .and_then(|cost| pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv).ok())
        .ok_or(SignError::Library)
}

/// Whether `pem` is a secret key, and whether it is encrypted; `None` when it is neither.
pub fn encrypted_pem(pem: &str) -> Option<bool> {
    if openssh::is_secret(pem) {
        return Some(openssh::is_encrypted(pem));
    }
    match SecretDocument::from_pem(pem) {
        Ok((PLAIN_LABEL | EC_LABEL, _document)) => Some(false),
        Ok((ENCRYPTED_LABEL, _document)) => Some(true),
        _ => None,
    }
}

/// A secret key in PEM; wiped when dropped.
pub struct SecretPem(SecretBytes);

impl SecretPem {
    /// The text to write to a file that only its owner can read.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.0
    }
}

impl fmt::Debug for SecretPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretPem")
    }
}

#[cfg(test)]
mod tests {
    use super::{Passphrase, SecretKey, SignError, encrypted_pem};
    use crate::trust::key::Scheme;

    fn pem_of(key: &SecretKey, passphrase: Option<&Passphrase>) -> String {
        String::from_utf8(key.to_pem(passphrase).unwrap().as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn both_kinds_sign_and_survive_the_file() {
        for scheme in [Scheme::Ed25519, Scheme::EcdsaP384] {
            let key = SecretKey::generate(scheme).unwrap();
            let public = key.public().unwrap();
            let signature = key.sign(b"message").unwrap();
            assert!(public.verifies(b"message", &signature).unwrap());
            assert!(!public.verifies(b"other", &signature).unwrap());
            let pem = pem_of(&key, None);
            assert_eq!(encrypted_pem(&pem), Some(false));
            let again = SecretKey::from_pem(&pem, None).unwrap();
            assert_eq!(again.public().unwrap(), public);
            assert!(!format!("{key:?}").contains("key: ["));
        }
    }

    #[test]
    fn encrypted_keys_need_their_passphrase() {
        let key = SecretKey::generate(Scheme::Ed25519).unwrap();
        let passphrase = Passphrase::new(b"correct horse\n".to_vec()).unwrap();
        let pem = pem_of(&key, Some(&passphrase));
        assert_eq!(encrypted_pem(&pem), Some(true));
        let same = Passphrase::new(b"correct horse".to_vec()).unwrap();
        let again = SecretKey::from_pem(&pem, Some(&same)).unwrap();
        assert_eq!(again.public().unwrap(), key.public().unwrap());
        let wrong = Passphrase::new(b"battery".to_vec()).unwrap();
        let failed = SecretKey::from_pem(&pem, Some(&wrong)).unwrap_err();
        assert!(matches!(failed, SignError::PassphraseWrong));
        let missing = SecretKey::from_pem(&pem, None).unwrap_err();
        assert!(matches!(missing, SignError::PassphraseMissing));
        Passphrase::new(b"\n".to_vec()).unwrap_err();
    }

    #[test]
    fn other_files_are_refused() {
        let public = SecretKey::generate(Scheme::Ed25519)
            .unwrap()
            .public()
            .unwrap()
            .to_pem()
            .unwrap();
        for bad in [
            public.as_str(),
            "",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            SecretKey::from_pem(bad, None).unwrap_err();
        }
    }
}
