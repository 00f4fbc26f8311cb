//! OpenPGP (RFC 4880, RFC 9580): what a Debian archive and a list of checksums are signed with. `keyring` reads pinned
//! certificates and says which of their keys may sign, `verify` judges cleartext and detached signatures, `make` holds
//! the key that the repository signs its apt index with.
//!
//! Packets and cryptography are the crate `pgp`; it checks one signature against one key and nothing more. Every rule
//! on top is here: exact armour, SHA-256 or better, expiry, revocation, bindings, back-signatures, and that a signature
//! which is wrong under a pinned key is never outvoted by a right one.

mod armor;
pub mod keyring;
pub mod make;
pub mod verify;

use std::fmt;

use crate::base::fault::{Class, Code, Fault, Kind};
use crate::base::text::escaped;
use crate::base::time::Timestamp;

/// Codes of this module.
pub const CODES: &[&Code] = &[&KEYRING, &MESSAGE, &BAD, &NO_VALID, &SECRET_KEY, &INTERNAL];

static KEYRING: Code = Code::new("openpgp-keyring", Kind::Usage);
static MESSAGE: Code = Code::classed("openpgp-message", Class::E51);
static BAD: Code = Code::classed("openpgp-bad-signature", Class::E51);
static NO_VALID: Code = Code::classed("openpgp-no-valid-signature", Class::E51);
static SECRET_KEY: Code = Code::classed("openpgp-secret-key", Class::E42);
static INTERNAL: Code = Code::new("internal-openpgp", Kind::Internal);

/// Most bytes of a signed text.
pub const MESSAGE_LIMIT: usize = 32 << 20;
/// Most bytes of a detached signature.
pub const SIGNATURE_LIMIT: usize = 1 << 20;
/// Most bytes of a keyring.
pub const KEYRING_LIMIT: usize = 16 << 20;
/// Most signatures on one text.
const SIGNATURES: usize = 64;

/// A v4 or v6 fingerprint, shown in upper-case hexadecimal as `gpg` does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(String);

impl Fingerprint {
    fn of(key: &impl pgp::types::KeyDetails) -> Self {
        Self(format!("{:X}", key.fingerprint()))
    }

    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A good signature by a pinned key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signer {
    /// The key that signed: primary key or subkey.
    pub key: Fingerprint,
    /// The certificate it belongs to.
    pub certificate: Fingerprint,
    /// When, as the signature states.
    pub created: Timestamp,
}

/// A text with the signatures that make it trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What was signed, and only that: lines end with LF, without trailing blanks, without dash escapes.
    pub text: String,
    /// At least one, sorted.
    pub signers: Vec<Signer>,
}

/// Why something OpenPGP is not accepted. All texts are safe to print.
#[derive(Debug, thiserror::Error)]
pub enum OpenpgpError {
    /// The keyring cannot be read or holds no certificate.
    #[error("the keyring cannot be used: {reason}")]
    Keyring {
        /// What is wrong.
        reason: String,
    },
    /// The signed message is not exactly of the form it should have.
    #[error("the signed message is not well-formed: {reason}")]
    Message {
        /// What is wrong.
        reason: String,
    },
    /// A signature that claims to be of a pinned key is wrong: the text or the signature was changed.
    #[error("the signature of key {key} is wrong: the text was changed after it was signed")]
    Bad {
        /// The key it claims to be of.
        key: String,
    },
    /// No signature by a pinned key counts.
    #[error("no valid signature by a key of the keyring")]
    NoValid {
        /// Each signature with the reason why it does not count.
        found: Vec<String>,
    },
    /// The repository's own secret key is not one.
    #[error("the repository's OpenPGP key cannot be used: {reason}")]
    SecretKey {
        /// What is wrong.
        reason: String,
    },
    /// The library refused to make a key or a signature.
    #[error("the OpenPGP library failed: {reason}")]
    Internal {
        /// What it said.
        reason: String,
    },
}

impl OpenpgpError {
    fn message(reason: impl Into<String>) -> Self {
        Self::Message {
            reason: reason.into(),
        }
    }

    fn keyring(reason: impl Into<String>) -> Self {
        Self::Keyring {
            reason: reason.into(),
        }
    }

    fn internal(reason: &dyn fmt::Display) -> Self {
        Self::Internal {
            reason: escaped(&reason.to_string()),
        }
    }
}

impl Fault for OpenpgpError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Keyring { .. } => &KEYRING,
            Self::Message { .. } => &MESSAGE,
            Self::Bad { .. } => &BAD,
            Self::NoValid { .. } => &NO_VALID,
            Self::SecretKey { .. } => &SECRET_KEY,
            Self::Internal { .. } => &INTERNAL,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NoValid { found } => found.iter().map(|f| ("signature", f.clone())).collect(),
            _ => Vec::new(),
        }
    }
}
