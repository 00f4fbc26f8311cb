//! What resolving Debian packages fails with, and the codes of what it notices.

use crate::base::fault::{Class, Code, Fault, Kind};
use crate::eco::debian::pool::PoolError;
use crate::eco::debian::relation::RelationError;
use crate::eco::debian::solve::SolveError;
use crate::openpgp::OpenpgpError;
use crate::upstream::UpstreamError;

/// Codes of resolving Debian packages, but for those of the solver.
pub const CODES: &[&Code] = &[
    &REQUIREMENT,
    &SOURCES,
    &STATUS,
    &RELEASE,
    &EXPIRED,
    &ROLLBACK,
    &INDEX,
    &NO_INDEX,
    &NO_RELEASE,
    &STANZA,
    &INTERNAL,
    &UNMET_RECOMMENDS,
    &HELD,
    &NO_TIMES,
    &UNSIGNED_HASH,
    &SECURITY_UPDATE,
];

static REQUIREMENT: Code = Code::new("manifest-debian-requirement", Kind::Usage);
static SOURCES: Code = Code::new("manifest-debian-sources", Kind::Usage);
static STATUS: Code = Code::new("manifest-debian-status", Kind::Usage);
static RELEASE: Code = Code::classed("upstream-debian-release", Class::E51);
static EXPIRED: Code = Code::classed("upstream-debian-expired", Class::E51);
static ROLLBACK: Code = Code::classed("upstream-debian-rollback", Class::E51);
static INDEX: Code = Code::classed("upstream-debian-index", Class::E51);
static NO_RELEASE: Code = Code::new("upstream-debian-no-release", Kind::Failed);
static STANZA: Code = Code::classed("upstream-debian-stanza", Class::E51);
static INTERNAL: Code = Code::new("internal-debian", Kind::Internal);
/// A recommended package that nothing in the closure satisfies.
pub(crate) static UNMET_RECOMMENDS: Code = Code::new("debian-unmet-recommends", Kind::Denied);
/// A component or architecture that an archive does not have.
pub(crate) static NO_INDEX: Code = Code::new("debian-no-index", Kind::Denied);
/// A package of the baseline that is held.
pub(crate) static HELD: Code = Code::new("debian-held", Kind::Denied);
/// `exclude-newer` cannot be applied.
pub(crate) static NO_TIMES: Code = Code::new("debian-no-publish-times", Kind::Denied);
/// A security update that is left aside.
pub(crate) static SECURITY_UPDATE: Code = Code::new("debian-security-update", Kind::Denied);
/// Packages of the baseline that the archives do not have in SHA-256.
static UNSIGNED_HASH: Code = Code::classed("upstream-debian-no-sha256", Class::E50);

/// Why Debian packages cannot be resolved. All texts are safe to print.
#[derive(Debug, thiserror::Error)]
pub enum DebianError {
    /// A requirement that names no package.
    #[error("{text} is not a package such as `name`, `name=1.2-3` or `name:arm64`")]
    Requirement {
        /// The text, quoted.
        text: String,
    },
    /// No archive can be asked.
    #[error("no apt source can be used: {reason}")]
    Sources {
        /// What is wrong.
        reason: String,
    },
    /// The file of installed packages cannot be read.
    #[error("the baseline's status file cannot be read: {reason}")]
    Status {
        /// What is wrong.
        reason: String,
    },
    /// The signature of a release does not hold.
    #[error("{release}: {cause}")]
    Signature {
        /// Which release.
        release: String,
        /// Why.
        cause: OpenpgpError,
    },
    /// A signed release that does not say what it should.
    #[error("{release} cannot be used: {reason}")]
    Release {
        /// Which release.
        release: String,
        /// What is wrong.
        reason: String,
    },
    /// A release whose time is over.
    #[error("{release} is not valid any more")]
    Expired {
        /// Which release.
        release: String,
        /// Its `Valid-Until`.
        until: String,
    },
    /// A release that is older than the one that was seen before.
    #[error("{release} is older than the one in the lock")]
    Rollback {
        /// Which release.
        release: String,
        /// Date in the lock.
        expected: String,
        /// Its date.
        found: String,
    },
    /// An index that is not what the signed release says.
    #[error("index {index} is not what its signed release says: {reason}")]
    Index {
        /// Which index.
        index: String,
        /// What is wrong.
        reason: String,
        /// What the release says.
        expected: String,
        /// What came.
        found: String,
    },
    /// No signed release.
    #[error("{release} does not exist, and no Release with Release.gpg either")]
    NoRelease {
        /// Which release.
        release: String,
    },
    /// A stanza of an index that names no file to fetch.
    #[error("the index entry of {package} cannot be used: {reason}")]
    Stanza {
        /// Which package.
        package: String,
        /// What is wrong.
        reason: String,
    },
    /// A package whose bytes nothing strong confirms.
    #[error("the index has no SHA-256 of {package}")]
    NoSha256 {
        /// Which package.
        package: String,
    },
    /// The index cannot be read.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// A relation cannot be read.
    #[error(transparent)]
    Relation(#[from] RelationError),
    /// There is no solution.
    #[error(transparent)]
    Solve(#[from] SolveError),
    /// A request that failed for another reason than absence.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// A contradiction in our own state.
    #[error("the Debian resolver contradicts itself: {reason}")]
    Internal {
        /// What.
        reason: String,
    },
}

impl DebianError {
    pub(crate) fn internal(reason: impl Into<String>) -> Self {
        Self::Internal {
            reason: reason.into(),
        }
    }
}

impl Fault for DebianError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Requirement { .. } => &REQUIREMENT,
            Self::Sources { .. } => &SOURCES,
            Self::Status { .. } => &STATUS,
            Self::Signature { cause, .. } => cause.code(),
            Self::Release { .. } => &RELEASE,
            Self::Expired { .. } => &EXPIRED,
            Self::Rollback { .. } => &ROLLBACK,
            Self::Index { .. } | Self::Pool(_) | Self::Relation(_) => &INDEX,
            Self::NoRelease { .. } => &NO_RELEASE,
            Self::Stanza { .. } => &STANZA,
            Self::NoSha256 { .. } => &UNSIGNED_HASH,
            Self::Solve(error) => error.code(),
            Self::Upstream(error) => error.code(),
            Self::Internal { .. } => &INTERNAL,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Signature { cause, .. } => cause.facts(),
            Self::Expired { until, .. } => vec![("valid until", until.clone())],
            Self::Rollback {
                expected, found, ..
            }
            | Self::Index {
                expected, found, ..
            } => vec![("expected", expected.clone()), ("found", found.clone())],
            Self::Solve(error) => error.facts(),
            Self::Upstream(error) => error.facts(),
            _ => Vec::new(),
        }
    }
}
