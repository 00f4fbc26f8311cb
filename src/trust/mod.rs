//! Who may say what: public keys, the trust root with its roles and thresholds, DSSE, and the one function that counts
//! signatures. No secret key passes through here.
//!
//! ```text
//! {"_type":"stage-root","version":3,"expires":"…","epochs":{"*":1},
//!  "keys":[{"keyid":sha256(SPKI DER),"scheme":"ed25519","person":"erin","spki":"…"}],
//!  "roles":{"root":{"keyids":[…],"threshold":2},"builder":{…},"releaser":{…}}}
//! ```

pub mod approval;
pub mod attested;
pub mod chain;
pub mod crypto;
pub mod diff;
pub mod edit;
pub mod envelope;
pub mod key;
pub mod proof;
pub mod root;
pub mod sigstore;
pub mod sshsig;
pub mod threshold;
pub mod words;

use crate::base::fault::{Class, Code, Fault, Kind};
use crate::base::json::JsonError;
use crate::fs::FsError;
use crate::trust::key::{KeyId, Scheme};

pub use crate::trust::key::Role;

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &ROOT_UNREADABLE,
    &ROOT_INVALID,
    &ROOT_FORMAT,
    &ROOT_LIMIT,
    &ROOT_CHAIN,
    &EDIT,
    &KEY_INVALID,
    &SCHEME_UNSUPPORTED,
    &SIGNATURE_FORMAT,
    &SIGNATURE_LIMIT,
    &SIGNATURE_DUPLICATE,
    &SIGNATURE_UNKNOWN,
    &SIGNATURE_INVALID,
    &THRESHOLD,
    &TWO_PERSONS,
    &approval::FORMAT,
    &approval::LIMIT,
    &approval::SIGNATURE,
    &approval::UNSIGNED,
    &approval::OTHER,
    &approval::CONTRADICTS,
    &proof::FORMAT,
    &proof::LIMIT,
    &proof::SIGNATURE,
    &proof::OTHER,
];

static ROOT_UNREADABLE: Code = Code::new("trust-root-unreadable", Kind::Usage);
static ROOT_INVALID: Code = Code::classed("trust-root-invalid", Class::E31);
static ROOT_FORMAT: Code = Code::classed("trust-root-format", Class::E20);
static ROOT_LIMIT: Code = Code::classed("trust-root-limit", Class::E21);
static ROOT_CHAIN: Code = Code::classed("trust-root-chain", Class::E31);
static EDIT: Code = Code::new("trust-edit", Kind::Usage);
static KEY_INVALID: Code = Code::new("trust-key-invalid", Kind::Usage);
static SCHEME_UNSUPPORTED: Code = Code::classed("trust-scheme-unsupported", Class::E31);
static SIGNATURE_FORMAT: Code = Code::classed("trust-signature-format", Class::E20);
static SIGNATURE_LIMIT: Code = Code::classed("trust-signature-limit", Class::E21);
static SIGNATURE_DUPLICATE: Code = Code::classed("trust-signature-duplicate", Class::E30);
static SIGNATURE_UNKNOWN: Code = Code::classed("trust-signature-unknown", Class::E30);
static SIGNATURE_INVALID: Code = Code::classed("trust-signature-invalid", Class::E30);
static THRESHOLD: Code = Code::classed("trust-threshold", Class::E30);
static TWO_PERSONS: Code = Code::classed("trust-two-persons", Class::E30);

/// Why a root, a key or a set of signatures is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The trust root's file cannot be read.
    #[error("the trust root cannot be read")]
    Unreadable {
        /// What the system said.
        source: FsError,
    },
    /// The trust root's file is not JSON.
    #[error("the trust root is not JSON")]
    NotJson {
        /// What the parser said.
        source: JsonError,
    },
    /// The root is JSON, but not a root that means one thing.
    #[error("the trust root is not valid: {reason}")]
    Root {
        /// The rule it breaks, escaped.
        reason: String,
    },
    /// A carried root's payload is not canonical base64.
    #[error("a carried trust root is not canonical base64")]
    Base64,
    /// A carried root's payload is not canonical JSON.
    #[error("a carried trust root is not canonical JSON")]
    Format {
        /// What the parser said.
        source: JsonError,
    },
    /// A carried root does not follow the one before it.
    #[error("trust root {version} does not follow root {trusted}: {reason}")]
    Chain {
        /// Version of the root that is trusted.
        trusted: u64,
        /// Version of the carried root.
        version: u64,
        /// The rule it breaks, escaped.
        reason: String,
    },
    /// A carried root is not signed by the thresholds of the old and the new root.
    #[error("trust root {version} is not signed as root {by} demands")]
    ChainSignatures {
        /// Version of the carried root.
        version: u64,
        /// Version of the root whose threshold is not met.
        by: u64,
        /// Which signature or threshold.
        source: Box<Self>,
    },
    /// A root that somebody wants to write breaks a rule.
    #[error("{reason}")]
    Edit {
        /// The rule, one sentence, escaped.
        reason: String,
    },
    /// Bytes that are not a public key.
    #[error("{reason}")]
    Key {
        /// What is wrong, one sentence.
        reason: String,
    },
    /// A signature by a key this build cannot verify.
    #[error("this build cannot verify {scheme} signatures, such as those of key {key}")]
    SchemeUnsupported {
        /// The key's scheme.
        scheme: Scheme,
        /// The key.
        key: KeyId,
    },
    /// The root demands post-quantum signatures.
    #[error("the trust root demands signatures of class `pq`, which this build cannot verify")]
    ClassUnsupported,
    /// Not a list of signatures, or one of them is not two texts.
    #[error("the signatures are not written as specified: {reason}")]
    SignatureFormat {
        /// What is wrong.
        reason: &'static str,
    },
    /// More than 32 signatures.
    #[error("{count} signatures, at most {limit} are allowed")]
    SignatureLimit {
        /// Signatures found.
        count: usize,
        /// Signatures allowed.
        limit: usize,
    },
    /// Two signatures name the same key.
    #[error("two signatures are by the same key {keyid}")]
    SignatureDuplicate {
        /// The key id, quoted and escaped.
        keyid: String,
    },
    /// A signature by a key that is not in the root.
    #[error("a signature is by a key that the trust root does not know: {keyid}")]
    SignatureUnknown {
        /// The key id, quoted and escaped.
        keyid: String,
    },
    /// A signature that does not verify.
    #[error("the signature by key {key} of {person} does not verify")]
    SignatureInvalid {
        /// The key.
        key: KeyId,
        /// Its person.
        person: String,
    },
    /// Too few persons signed for a role.
    #[error("role {role} needs signatures by {needed} different persons")]
    Threshold {
        /// The role.
        role: Role,
        /// Persons needed.
        needed: u64,
        /// Persons whose signatures count.
        persons: Vec<String>,
    },
    /// Builder and releaser are one person.
    #[error("builder and releaser are the same person")]
    TwoPersons {
        /// The persons who signed in both roles.
        persons: Vec<String>,
    },
}

impl TrustError {
    pub(crate) fn root(reason: impl Into<String>) -> Self {
        Self::Root {
            reason: reason.into(),
        }
    }

    pub(crate) fn edit(reason: impl Into<String>) -> Self {
        Self::Edit {
            reason: reason.into(),
        }
    }

    pub(crate) fn key(reason: impl Into<String>) -> Self {
        Self::Key {
            reason: reason.into(),
        }
    }
}

impl Fault for TrustError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Unreadable { .. } | Self::NotJson { .. } => &ROOT_UNREADABLE,
            Self::Root { .. } => &ROOT_INVALID,
            Self::Format {
                source: JsonError::TooLarge { .. },
            } => &ROOT_LIMIT,
            Self::Base64 | Self::Format { .. } => &ROOT_FORMAT,
            Self::Chain { .. } | Self::ChainSignatures { .. } => &ROOT_CHAIN,
            Self::Edit { .. } => &EDIT,
            Self::Key { .. } => &KEY_INVALID,
            Self::SchemeUnsupported { .. } | Self::ClassUnsupported => &SCHEME_UNSUPPORTED,
            Self::SignatureFormat { .. } => &SIGNATURE_FORMAT,
            Self::SignatureLimit { .. } => &SIGNATURE_LIMIT,
            Self::SignatureDuplicate { .. } => &SIGNATURE_DUPLICATE,
            Self::SignatureUnknown { .. } => &SIGNATURE_UNKNOWN,
            Self::SignatureInvalid { .. } => &SIGNATURE_INVALID,
            Self::Threshold { .. } => &THRESHOLD,
            Self::TwoPersons { .. } => &TWO_PERSONS,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Threshold {
                needed, persons, ..
            } => vec![
                ("expected", format!("{needed} or more")),
                (
                    "found",
                    format!("{}: {}", persons.len(), persons.join(", ")),
                ),
            ],
            Self::TwoPersons { persons } => vec![("found", persons.join(", "))],
            _ => Vec::new(),
        }
    }
}
