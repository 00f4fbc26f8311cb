//! What plain files fail with.

use crate::base::fault::{Class, Code, Fault, Kind};
use crate::openpgp::OpenpgpError;
use crate::upstream::UpstreamError;

/// Codes of plain files.
pub const CODES: &[&Code] = &[&CHECKSUMS, &MISSING, &DIFFERENT];

static CHECKSUMS: Code = Code::new("file-checksums", Kind::Failed);
static MISSING: Code = Code::classed("file-checksum-missing", Class::E51);
static DIFFERENT: Code = Code::classed("file-checksums-differ", Class::E51);

/// Why the digest of a file is not known. All texts are safe to print.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The document cannot be had.
    #[error("the {role} of file {path} cannot be had")]
    Upstream {
        /// The file's path in the enclave, quoted.
        path: String,
        /// `checksums` or `signature`.
        role: &'static str,
        /// Why.
        source: Box<UpstreamError>,
    },
    /// The document is no list of checksums.
    #[error("the checksums of file {path} cannot be read: {reason}")]
    Checksums {
        /// The file's path in the enclave, quoted.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The document is not signed by a key of the keyring.
    #[error("the checksums of file {path} are not trusted")]
    Untrusted {
        /// The file's path in the enclave, quoted.
        path: String,
        /// Why.
        source: OpenpgpError,
    },
    /// What was signed is not what the list of checksums says.
    #[error("the checksums of file {path} are not the text that was signed")]
    Different {
        /// The file's path in the enclave, quoted.
        path: String,
    },
    /// The list does not have the file.
    #[error("the signed checksums have no SHA-256 of {name}, which file {path} is downloaded as")]
    Missing {
        /// The file's path in the enclave, quoted.
        path: String,
        /// The name looked for, quoted.
        name: String,
    },
}

impl Fault for FileError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Upstream { source, .. } => source.code(),
            Self::Checksums { .. } => &CHECKSUMS,
            Self::Untrusted { source, .. } => source.code(),
            Self::Different { .. } => &DIFFERENT,
            Self::Missing { .. } => &MISSING,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Upstream { source, .. } => source.facts(),
            Self::Untrusted { source, .. } => source.facts(),
            Self::Checksums { .. } | Self::Different { .. } | Self::Missing { .. } => Vec::new(),
        }
    }
}
