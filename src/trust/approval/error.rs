//! Why approvals are not accepted.

use crate::base::fault::{Class, Code, Fault};
use crate::base::json::JsonError;
use crate::trust::TrustError;
use crate::trust::key::KeyId;
use crate::trust::threshold::MAX_SIGNATURES;

pub(crate) static FORMAT: Code = Code::classed("trust-approval-format", Class::E20);
pub(crate) static LIMIT: Code = Code::classed("trust-approval-limit", Class::E21);
pub(crate) static SIGNATURE: Code = Code::classed("trust-approval-signature", Class::E30);
pub(crate) static UNSIGNED: Code = Code::classed("trust-approval-not-signed", Class::E30);
pub(crate) static OTHER: Code = Code::classed("trust-approval-other-bundle", Class::E30);
pub(crate) static CONTRADICTS: Code = Code::classed("trust-approval-contradicts", Class::E30);

/// Why approvals are not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// Not the JSON that they must be.
    #[error("the approvals are not canonical JSON")]
    Json {
        /// What the parser said.
        source: JsonError,
    },
    /// Not the fields that they must have.
    #[error("the approvals are not written as specified: {reason}")]
    Format {
        /// The rule that is broken, one sentence.
        reason: &'static str,
    },
    /// More than a bundle can have signatures.
    #[error("{found} approvals, at most {MAX_SIGNATURES} are allowed")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// The signature of one does not verify.
    #[error("approval {number} is not signed by a key of the trust root")]
    Signature {
        /// Its place in the file, from 1.
        number: usize,
        /// Which rule.
        source: Box<TrustError>,
    },
    /// Signed by somebody who did not sign the bundle.
    #[error("there is an approval by {person}, whose key {key} has not signed the bundle")]
    NotSigned {
        /// The key.
        key: KeyId,
        /// Its person.
        person: String,
    },
    /// About another bundle.
    #[error("the approval by {person} is about another bundle")]
    OtherBundle {
        /// Who signed it.
        person: String,
        /// This bundle.
        expected: String,
        /// What the approval is about; safe to print.
        found: String,
    },
    /// It names a person or a role that the trust root does not give the key.
    #[error("the approval by key {key} names another {what} than the trust root")]
    Contradicts {
        /// The key.
        key: KeyId,
        /// Person or role.
        what: &'static str,
        /// What the root says.
        expected: String,
        /// What the approval says, quoted and escaped.
        found: String,
    },
}

impl Fault for ApprovalError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Json {
                source: JsonError::TooLarge { .. },
            }
            | Self::TooMany { .. } => &LIMIT,
            Self::Json { .. } | Self::Format { .. } => &FORMAT,
            Self::Signature { .. } => &SIGNATURE,
            Self::NotSigned { .. } => &UNSIGNED,
            Self::OtherBundle { .. } => &OTHER,
            Self::Contradicts { .. } => &CONTRADICTS,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::OtherBundle {
                expected, found, ..
            }
            | Self::Contradicts {
                expected, found, ..
            } => vec![("expected", expected.clone()), ("found", found.clone())],
            _ => Vec::new(),
        }
    }
}
