//! What resolving crates fails with, and the codes of what it notices.

use crate::base::fault::{Class, Code, Fault, Kind};
use crate::upstream::UpstreamError;

/// Codes of resolving crates.
pub const CODES: &[&Code] = &[
    &REQUIREMENT,
    &LOCKFILE,
    &INDEX,
    &NOT_FOUND,
    &NO_VERSION,
    &ARCHIVE,
    &INTERNAL,
    &NO_LOCKFILE,
    &GIT_DEPENDENCY,
    &PATH_DEPENDENCY,
    &OTHER_REGISTRY,
    &NO_CHECKSUM,
    &CHECKSUM,
    &YANKED,
    &NEWER,
];

static REQUIREMENT: Code = Code::new("manifest-cargo-requirement", Kind::Usage);
static LOCKFILE: Code = Code::new("manifest-cargo-lockfile", Kind::Usage);
static INDEX: Code = Code::new("upstream-cargo-index", Kind::Failed);
static NOT_FOUND: Code = Code::new("upstream-cargo-not-found", Kind::Failed);
static NO_VERSION: Code = Code::new("upstream-cargo-no-version", Kind::Failed);
static ARCHIVE: Code = Code::new("upstream-cargo-crate", Kind::Failed);
static INTERNAL: Code = Code::new("internal-cargo", Kind::Internal);
/// A crate does not bring its own lock.
pub(crate) static NO_LOCKFILE: Code = Code::classed("cargo-no-lockfile", Class::E50);
/// A dependency on a git repository.
pub(crate) static GIT_DEPENDENCY: Code = Code::classed("cargo-git-dependency", Class::E50);
/// A dependency on a folder.
pub(crate) static PATH_DEPENDENCY: Code = Code::classed("cargo-path-dependency", Class::E50);
/// A dependency on a crate of a registry that is not the default one.
pub(crate) static OTHER_REGISTRY: Code = Code::classed("cargo-other-registry", Class::E50);
/// A crate whose bytes nothing in the lock file confirms.
pub(crate) static NO_CHECKSUM: Code = Code::classed("cargo-no-checksum", Class::E50);
/// Lock file and index mean different bytes.
pub(crate) static CHECKSUM: Code = Code::classed("cargo-checksum-mismatch", Class::E51);
/// The publisher took a version back.
pub(crate) static YANKED: Code = Code::new("cargo-yanked", Kind::Denied);
/// A locked crate is newer than `exclude-newer` allows.
pub(crate) static NEWER: Code = Code::classed("cargo-too-new", Class::E50);

/// Why crates cannot be resolved. All texts are safe to print.
#[derive(Debug, thiserror::Error)]
pub enum CargoError {
    /// A requirement that names no crate and version.
    #[error("{text} is not a crate such as `name`, `name@1.2.3` or `name@^1.2`")]
    Requirement {
        /// The text, quoted.
        text: String,
    },
    /// A `Cargo.lock` that cannot be taken.
    #[error("the Cargo.lock of {of} cannot be used: {reason}")]
    Lockfile {
        /// Whose it is.
        of: String,
        /// What is wrong.
        reason: String,
    },
    /// An answer of the registry that is no index file.
    #[error("the registry's index file of crate {name} cannot be read: {reason}")]
    Index {
        /// The crate, quoted.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A crate that does not exist.
    #[error("crate {name} does not exist in the registry")]
    NotFound {
        /// The crate.
        name: String,
        /// Who needs it.
        needed_by: String,
    },
    /// No version of a crate fits.
    #[error("no version of crate {name} fits {wanted}: {reason}")]
    NoVersion {
        /// The crate.
        name: String,
        /// The version or range.
        wanted: String,
        /// Why: which versions were passed over.
        reason: String,
        /// Who needs it.
        needed_by: String,
    },
    /// A `.crate` file that cannot be read.
    #[error("the file of crate {release} cannot be read: {reason}")]
    Archive {
        /// The release.
        release: String,
        /// What is wrong.
        reason: String,
    },
    /// A request that failed for another reason than absence.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// A contradiction in our own state.
    #[error("the crates resolver contradicts itself: {reason}")]
    Internal {
        /// What.
        reason: String,
    },
}

impl Fault for CargoError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Requirement { .. } => &REQUIREMENT,
            Self::Lockfile { .. } => &LOCKFILE,
            Self::Index { .. } => &INDEX,
            Self::NotFound { .. } => &NOT_FOUND,
            Self::NoVersion { .. } => &NO_VERSION,
            Self::Archive { .. } => &ARCHIVE,
            Self::Upstream(error) => error.code(),
            Self::Internal { .. } => &INTERNAL,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NotFound { needed_by, .. } | Self::NoVersion { needed_by, .. } => {
                vec![("needed by", needed_by.clone())]
            }
            Self::Upstream(error) => error.facts(),
            _ => Vec::new(),
        }
    }
}
