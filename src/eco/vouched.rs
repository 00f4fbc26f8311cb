//! What signatures of upstreams say about single files: the question that every ecosystem answers from its records.

use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::base::digest::Digest;
use crate::base::evidence::{Gap, Level};
use crate::base::fault::Code;
use crate::base::package::ReleaseId;
use crate::base::time::Timestamp;
use crate::eco::attestation::{RootError, SigstoreRoot};
use crate::eco::bare_key::BareKey;
use crate::eco::registry_keys::RegistryKeys;
use crate::openpgp::keyring::Keyring;
#[cfg(feature = "connected")]
use crate::upstream::Request;

/// What was found about each file, by release and file name. Files without any signature may be left out.
pub type Vouched = BTreeMap<(ReleaseId, String), Verdict>;

/// What the signatures over one file's digest say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A signature by a known key counts, and none is wrong.
    Signed {
        /// What it is worth.
        level: Level,
        /// Ids of the keys, as the ecosystem writes them, sorted.
        by: Vec<String>,
    },
    /// There is none.
    Unsigned,
    /// There is none that counts, and the records say why.
    Lacking(Gap),
    /// There is one, but something that it is proved by does not travel.
    Missing {
        /// What, one sentence, safe to print.
        reason: String,
    },
    /// There is one that must not be believed: the file cannot be carried.
    Refused {
        /// Under which code.
        code: &'static Code,
        /// Why, one sentence, safe to print.
        reason: String,
    },
}

impl Verdict {
    /// Two signatures of two kinds: one that does not hold is not outvoted, and one that holds needs no other.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (refused @ Self::Refused { .. }, _) | (_, refused @ Self::Refused { .. }) => refused,
            (missing @ Self::Missing { .. }, _) | (_, missing @ Self::Missing { .. }) => missing,
            (
                Self::Signed { level, mut by },
                Self::Signed {
                    level: more,
                    by: others,
                },
            ) => {
                by.extend(others);
                Self::Signed {
                    level: level.max(more),
                    by,
                }
            }
            (signed @ Self::Signed { .. }, _) | (_, signed @ Self::Signed { .. }) => signed,
            (lacking @ Self::Lacking(_), _) | (_, lacking) => lacking,
        }
    }
}

/// Files that travel beside the records, to prove them by.
pub trait CarriedFiles {
    /// The SHA-256 that the file at this path of the bundle must have; `None` when there is no such file.
    fn digest(&self, path: &str) -> Option<Digest>;

    /// Its bytes. Whoever reads them holds them against the digest.
    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>>;
}

/// A file that travels to prove records by.
#[cfg(feature = "connected")]
#[derive(Debug, Clone)]
pub struct Proof {
    /// Where it is in a bundle.
    pub path: String,
    /// Where it comes from.
    pub source: ProofSource,
}

/// Where a proof comes from.
#[cfg(feature = "connected")]
#[derive(Debug, Clone)]
pub enum ProofSource {
    /// The records themselves.
    Document(Vec<u8>),
    /// An upstream that may no longer have it.
    Index {
        /// SHA-256 of the file.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// What to ask, in this order, until the file comes.
        requests: Vec<Request>,
    },
    /// It cannot be had; why, safe to print.
    None(String),
}

/// Keys of upstreams that records do not name: dated data of ours or of the site.
#[derive(Debug, Clone)]
pub struct UpstreamKeys {
    /// Those of the npm registry.
    pub npm: RegistryKeys,
    /// Those of Sigstore.
    pub sigstore: SigstoreRoot,
}

impl UpstreamKeys {
    /// Those that travel with the program.
    pub fn shipped() -> Result<Self, RootError> {
        Ok(Self {
            npm: RegistryKeys::npm(),
            sigstore: SigstoreRoot::public()?,
        })
    }
}

/// By whose keys a bundle is proved, and as of when.
#[derive(Debug, Clone)]
pub struct Anchors {
    /// Those of registries and of Sigstore.
    pub keys: UpstreamKeys,
    /// Certificates of archives that the reader brings, in the place of those that the records name.
    pub archives: Option<Keyring>,
    /// The same for lists of checksums of files.
    pub publishers: Option<Keyring>,
    /// Keys that files may be signed with; none = those that the records name.
    pub file_keys: Vec<BareKey>,
    /// When the bundle was made.
    pub at: Timestamp,
}
