//! What an ecosystem could not do with a document of ours.

use crate::base::fault::{Class, Code, Fault, Kind};
use crate::base::package::EcosystemId;

/// Codes of this module.
pub const CODES: &[&Code] = &[&ECO_RECORDS, &ECO_CONFLICT, &ECO_EXPORT];

static ECO_RECORDS: Code = Code::classed("eco-records", Class::E20);
static ECO_EXPORT: Code = Code::new("eco-export", Kind::Usage);
static ECO_CONFLICT: Code = Code::classed("import-conflict", Class::E50);

/// What an ecosystem could not do with a document of ours.
#[derive(Debug, thiserror::Error)]
pub enum EcoError {
    /// The records document is not what this version of `stage` writes.
    #[error("records of {ecosystem} cannot be read: {reason}")]
    Records {
        /// The ecosystem.
        ecosystem: EcosystemId,
        /// What is wrong, escaped.
        reason: String,
    },
    /// Two bundles carry the same registry file with different bytes.
    #[error("{ecosystem} file {file} has other bytes in bundle {newer} than in bundle {older}")]
    Conflict {
        /// The ecosystem.
        ecosystem: EcosystemId,
        /// The registry file name, quoted and escaped.
        file: String,
        /// `channel serial` of the bundle imported earlier.
        older: String,
        /// `channel serial` of the bundle being imported.
        newer: String,
    },
    /// An index could not be signed.
    #[error("{0}")]
    Signer(Box<dyn Fault>),
    /// The lock cannot be written in the form that was asked for.
    #[error("{ecosystem} cannot be exported: {reason}")]
    Export {
        /// The ecosystem.
        ecosystem: EcosystemId,
        /// Why, safe to print.
        reason: String,
    },
}

impl Fault for EcoError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Records { .. } => &ECO_RECORDS,
            Self::Conflict { .. } => &ECO_CONFLICT,
            Self::Signer(inner) => inner.code(),
            Self::Export { .. } => &ECO_EXPORT,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Signer(inner) => inner.facts(),
            Self::Records { .. } | Self::Conflict { .. } | Self::Export { .. } => Vec::new(),
        }
    }
}
