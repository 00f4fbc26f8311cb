//! What plain files fail with.

use crate::base::fault::{Class, Code, Fault, Kind};
use crate::openpgp::OpenpgpError;
#[cfg(feature = "connected")]
use crate::{eco::attestation, upstream::UpstreamError};

/// Codes of plain files.
pub const CODES: &[&Code] = &[&CHECKSUMS, &MISSING, &DIFFERENT, &KEY];

static KEY: Code = Code::new("file-key", Kind::Usage);

static CHECKSUMS: Code = Code::new("file-checksums", Kind::Failed);
static MISSING: Code = Code::classed("file-checksum-missing", Class::E51);
static DIFFERENT: Code = Code::classed("file-checksums-differ", Class::E51);

/// Why the digest of a file is not known. All texts are safe to print.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The document cannot be had.
    #[cfg(feature = "connected")]
    #[error("the {role} of file {path} cannot be had")]
    Upstream {
        /// The file's path in the enclave, quoted.
        path: String,
        /// What it is, such as `checksums`.
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
    /// The key that should have signed it cannot be used.
    #[error("the key of file {path} cannot be used: {reason}")]
    Key {
        /// The file's path in the enclave, quoted.
        path: String,
        /// Why.
        reason: String,
    },
    /// The key has not signed it.
    #[cfg(feature = "connected")]
    #[error("the signature of file {path} does not hold: {reason}")]
    Signature {
        /// The file's path in the enclave, quoted.
        path: String,
        /// Why.
        reason: String,
    },
}

impl FileError {
    /// The whole reason in one line.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Untrusted { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }
}

impl Fault for FileError {
    fn code(&self) -> &'static Code {
        match self {
            #[cfg(feature = "connected")]
            Self::Upstream { source, .. } => source.code(),
            #[cfg(feature = "connected")]
            Self::Signature { .. } => attestation::invalid(),
            Self::Key { .. } => &KEY,
            Self::Checksums { .. } => &CHECKSUMS,
            Self::Untrusted { source, .. } => source.code(),
            Self::Different { .. } => &DIFFERENT,
            Self::Missing { .. } => &MISSING,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            #[cfg(feature = "connected")]
            Self::Upstream { source, .. } => source.facts(),
            Self::Untrusted { source, .. } => source.facts(),
            _ => Vec::new(),
        }
    }
}
