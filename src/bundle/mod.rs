//! The bundle: the one file that crosses the gap.
//!
//! ```text
//! STAGE-BUNDLE            "stage-bundle 1\n"
//! statement.json          at most 65,536 bytes: what is signed; names the manifest by size and two digests
//! signatures.json         exactly 32,768 bytes: canonical JSON, spaces, "\n"; rewritten in place when someone signs
//! roots.json              at most 262,144 bytes: trust root envelopes newer than version 1, oldest first
//! manifest.json           at most 256 MiB: every file by path, size and two digests
//! blobs/sha256/<64 hex>   ascending, those that the manifest says are carried
//! 1,024 zero bytes, end of file
//! ```
//!
//! Each level states size and digests of the next, so nothing is read that was not announced and nothing can be put in
//! between. All is one plain tar; every header byte follows from name and size, so equal contents are equal bytes. The
//! bundle's identity is the digest of its statement: adding a signature does not change it. A format 2 would have
//! another marker; this version refuses it by name.
//!
//! This module knows layout and documents. Whether a bundle is to be trusted is `verify`'s part.

pub mod hash;
pub mod header;
pub mod manifest;
pub mod slot;
pub mod statement;
pub mod write;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use crate::base::digest::{Digest, DigestError};
use crate::base::fault::{Class, Code, Fault, Kind};
use crate::base::json::JsonError;
use crate::base::path::PathError;
use crate::fs::FsError;

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &READ,
    &TRUNCATED,
    &DIGEST,
    &FORMAT,
    &LIMIT,
    &CHANNEL,
    &UNSAFE_PATH,
    &WRITE,
    &CHANGED,
    &TOO_LARGE,
    &SLOT_FULL,
    &HASHING,
    &SIGNED_ALREADY,
];

static READ: Code = Code::classed("bundle-read", Class::E10);
static TRUNCATED: Code = Code::classed("bundle-truncated", Class::E22);
static DIGEST: Code = Code::classed("bundle-digest", Class::E22);
static FORMAT: Code = Code::classed("bundle-format", Class::E20);
static LIMIT: Code = Code::classed("bundle-limit", Class::E21);
static CHANNEL: Code = Code::classed("bundle-channel", Class::E32);
static UNSAFE_PATH: Code = Code::classed("bundle-unsafe-path", Class::E40);
static WRITE: Code = Code::classed("bundle-write", Class::E10);
static CHANGED: Code = Code::new("bundle-source-changed", Kind::Failed);
static TOO_LARGE: Code = Code::new("bundle-too-large", Kind::Failed);
static HASHING: Code = Code::new("internal-hashing", Kind::Internal);
static SLOT_FULL: Code = Code::new("bundle-slot-full", Kind::Failed);
static SIGNED_ALREADY: Code = Code::new("bundle-signed-already", Kind::Usage);

/// SHA-256 of a bundle's `statement.json`: its identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BundleId(pub Digest);

impl BundleId {
    /// The identity of the bundle with this statement.
    pub fn of(statement: &[u8]) -> Self {
        Self(Digest::of(statement))
    }

    /// The id in 16 groups of 4 hex digits, for reading aloud.
    pub fn grouped(&self) -> String {
        let hex = self.0.hex();
        let digits: Vec<char> = hex.chars().collect();
        let groups: Vec<String> = digits.chunks(4).map(|c| c.iter().collect()).collect();
        groups.join(" ")
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for BundleId {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.parse().map(Self)
    }
}

/// Why bytes are not a bundle, or a bundle cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The medium cannot be read.
    #[error("the bundle cannot be read")]
    Read {
        /// What the system said.
        source: io::Error,
    },
    /// A directory where a bundle was expected.
    #[error("a directory is not a bundle")]
    Directory,
    /// The bundle ends too early.
    #[error("the bundle is cut off")]
    Truncated,
    /// A header is not the one that was expected.
    #[error("the header of {member} is not as specified: {reason}")]
    Header {
        /// The member that had to come.
        member: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A member has another size than the level above states.
    #[error("{member} does not have its stated size")]
    MemberSize {
        /// The member.
        member: String,
        /// Bytes stated above.
        expected: u64,
        /// Bytes in the header.
        found: u64,
    },
    /// Something is larger than allowed.
    #[error("{what} is larger than allowed")]
    Limit {
        /// The member or what is counted.
        what: String,
        /// Size or number found.
        found: u64,
        /// Size or number allowed.
        limit: u64,
    },
    /// Bytes are not those that the level above names.
    #[error("{member} does not match its digest")]
    Mismatch {
        /// The member.
        member: String,
        /// The digest above, or both.
        expected: String,
        /// The digest of the bytes, where it was computed.
        found: String,
    },
    /// Padding that is not zero.
    #[error("the padding after {member} is not zero")]
    Padding {
        /// The member.
        member: String,
    },
    /// The first member is not the marker.
    #[error("the marker of bundle format 1 is missing")]
    Marker,
    /// The last 1,024 bytes are not zero.
    #[error("the end marker is not zero")]
    EndMarker,
    /// Bytes after the end.
    #[error("something follows the end of the bundle")]
    Trailing,
    /// A document is not canonical JSON.
    #[error("{document} is not canonical JSON")]
    Json {
        /// The document.
        document: &'static str,
        /// What the parser said.
        source: JsonError,
    },
    /// A document's fields are not as specified.
    #[error("{document} is not as specified: {reason}")]
    Fields {
        /// The document.
        document: &'static str,
        /// The rule it breaks, escaped.
        reason: String,
    },
    /// A channel name outside the grammar.
    #[error("not a channel name: {name}")]
    Channel {
        /// The name, quoted and escaped.
        name: String,
    },
    /// A path that may not be carried.
    #[error("the manifest has an unsafe path")]
    UnsafePath {
        /// Which and why.
        source: PathError,
    },
    /// The output cannot be written.
    #[error("the bundle cannot be written")]
    Write {
        /// What the system said.
        source: io::Error,
    },
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A file changed between planning and writing.
    #[error("{} changed while the bundle was made", crate::base::text::quoted(&source_path.to_string_lossy()))]
    Changed {
        /// The file.
        source_path: PathBuf,
        /// What it should have been.
        expected: Digest,
    },
    /// A hashing thread ended without an answer.
    #[error("a hashing thread stopped")]
    HashingStopped,
    /// The plan breaks a limit of the format.
    #[error("the bundle would be too large: {what} has {found}, allowed are {limit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Size or number.
        found: u64,
        /// Size or number allowed.
        limit: u64,
    },
    /// No room for another signature.
    #[error("the signature slot has no room for another signature")]
    SlotFull,
    /// The key signed before.
    #[error("key {key} has already signed this bundle")]
    SignedAlready {
        /// The key id.
        key: String,
    },
}

impl BundleError {
    pub(crate) fn fields(document: &'static str, reason: impl Into<String>) -> Self {
        Self::Fields {
            document,
            reason: reason.into(),
        }
    }
}

impl Fault for BundleError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Read { .. } => &READ,
            Self::Truncated => &TRUNCATED,
            Self::Mismatch { .. } => &DIGEST,
            Self::Limit { .. }
            | Self::Json {
                source: JsonError::TooLarge { .. },
                ..
            } => &LIMIT,
            Self::Directory
            | Self::Header { .. }
            | Self::MemberSize { .. }
            | Self::Padding { .. }
            | Self::Marker
            | Self::EndMarker
            | Self::Trailing
            | Self::Json { .. }
            | Self::Fields { .. } => &FORMAT,
            Self::Channel { .. } => &CHANNEL,
            Self::UnsafePath { .. } => &UNSAFE_PATH,
            Self::Write { .. } => &WRITE,
            Self::Fs(error) => error.code(),
            Self::Changed { .. } => &CHANGED,
            Self::HashingStopped => &HASHING,
            Self::TooLarge { .. } => &TOO_LARGE,
            Self::SlotFull => &SLOT_FULL,
            Self::SignedAlready { .. } => &SIGNED_ALREADY,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::MemberSize {
                expected, found, ..
            } => vec![
                ("expected", format!("{expected} bytes")),
                ("found", format!("{found} bytes")),
            ],
            Self::Mismatch {
                expected, found, ..
            } => {
                let mut facts = vec![("expected", expected.clone())];
                if !found.is_empty() {
                    facts.push(("found", found.clone()));
                }
                facts
            }
            Self::Limit { found, limit, .. } => {
                vec![("allowed", limit.to_string()), ("found", found.to_string())]
            }
            Self::Changed { expected, .. } => vec![("expected", expected.to_string())],
            _ => Vec::new(),
        }
    }
}
