//! What npm resolving fails with, and the codes of what it notices.

use crate::base::fault::{Class, Code, Fault, Kind};
use crate::upstream::UpstreamError;

/// Codes of npm resolving.
pub const CODES: &[&Code] = &[
    &REQUIREMENT,
    &PACKUMENT,
    &NOT_FOUND,
    &NO_VERSION,
    &CONFLICT,
    &TARBALL,
    &LOCKFILE,
    &MANIFEST,
    &INTERNAL,
    &GIT,
    &URL,
    &FILE,
    &OVERRIDES,
    &OVERRIDDEN,
    &SHRINKWRAP,
    &WEAK,
    &INTEGRITY,
    &PLATFORM,
    &LOOP,
    &ENGINES,
    &DEPRECATED,
    &super::INSTALL_SCRIPT,
    &REPACK,
    &PEER,
    &OPTIONAL,
    &SIGNATURES,
];

static REQUIREMENT: Code = Code::new("manifest-npm-requirement", Kind::Usage);
static PACKUMENT: Code = Code::new("upstream-npm-packument", Kind::Failed);
static NOT_FOUND: Code = Code::new("upstream-npm-not-found", Kind::Failed);
static NO_VERSION: Code = Code::new("upstream-npm-no-version", Kind::Failed);
static CONFLICT: Code = Code::new("manifest-npm-conflict", Kind::Failed);
static TARBALL: Code = Code::new("upstream-npm-tarball", Kind::Failed);
static LOCKFILE: Code = Code::new("manifest-npm-lockfile", Kind::Usage);
static MANIFEST: Code = Code::new("manifest-npm-package-json", Kind::Usage);
static INTERNAL: Code = Code::new("internal-npm-tree", Kind::Internal);
/// A dependency on a git repository.
pub(crate) static GIT: Code = Code::classed("npm-git-dependency", Class::E50);
/// A dependency on a URL.
pub(crate) static URL: Code = Code::classed("npm-url-dependency", Class::E50);
/// A dependency on a file, folder, workspace, or on something that is no npm range at all.
pub(crate) static FILE: Code = Code::classed("npm-local-dependency", Class::E50);
/// The project asks npm to replace versions.
static OVERRIDES: Code = Code::classed("npm-overrides-unsupported", Class::E50);
/// A dependency that `[npm] overrides` replaced.
pub(crate) static OVERRIDDEN: Code = Code::new("npm-overridden", Kind::Denied);
/// The tarball brings its own lock.
pub(crate) static SHRINKWRAP: Code = Code::classed("npm-shrinkwrap", Class::E50);
/// The registry states no SHA-512.
pub(crate) static WEAK: Code = Code::classed("npm-weak-integrity", Class::E50);
/// Lock file and registry disagree.
static INTEGRITY: Code = Code::classed("npm-integrity-mismatch", Class::E51);
/// A package that must be there does not fit the target.
pub(crate) static PLATFORM: Code = Code::classed("npm-platform-missing", Class::E50);
/// A package that would have to be a link to itself.
pub(crate) static LOOP: Code = Code::classed("npm-dependency-loop", Class::E50);
/// A package says that it needs another Node.
pub(crate) static ENGINES: Code = Code::new("npm-engines", Kind::Denied);
/// The publisher deprecated it.
pub(crate) static DEPRECATED: Code = Code::new("npm-deprecated", Kind::Denied);
/// Installing it runs code.
/// Node.js, published by someone else.
pub(crate) static REPACK: Code = Code::new("npm-third-party-repack", Kind::Denied);
/// A peer dependency that npm overrides.
pub(crate) static PEER: Code = Code::new("npm-peer-conflict", Kind::Denied);
/// An optional dependency that cannot be had.
pub(crate) static OPTIONAL: Code = Code::new("npm-optional-missing", Kind::Denied);
/// The registry sends no signatures.
pub(crate) static SIGNATURES: Code = Code::new("npm-signatures-stripped", Kind::Denied);

/// Why an npm install cannot be resolved. All texts are safe to print.
#[derive(Debug, thiserror::Error)]
pub enum NpmError {
    /// A requirement that is no npm requirement.
    #[error("{text} is not an npm requirement such as `name@range`")]
    Requirement {
        /// The text.
        text: String,
    },
    /// An answer of the registry that is no packument.
    #[error("the registry's answer for npm {name} cannot be read: {reason}")]
    Packument {
        /// Package.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A package that must be there does not exist.
    #[error("npm {name} does not exist in the registry")]
    NotFound {
        /// Package.
        name: String,
        /// Who needs it, requirement first.
        chain: Vec<String>,
    },
    /// No version of a package that must be there fits.
    #[error("no version of npm {name} fits {range}{}", limit_note(limit.as_deref()))]
    NoVersion {
        /// Package.
        name: String,
        /// Range or tag.
        range: String,
        /// The moment after which releases do not count.
        limit: Option<String>,
        /// Who needs it, requirement first.
        chain: Vec<String>,
    },
    /// Peer dependencies that cannot be met together (npm's ERESOLVE).
    #[error("{wants} needs peer {peer} {range}, but {found} is in its place")]
    Conflict {
        /// Who has the peer dependency.
        wants: String,
        /// Name of the peer.
        peer: String,
        /// Range of the peer.
        range: String,
        /// What is there, and who wants that.
        found: String,
        /// How the dependent came in, requirement first.
        chain: Vec<String>,
    },
    /// A tarball that cannot be read.
    #[error("the tarball of npm {release} cannot be read: {reason}")]
    Tarball {
        /// Release.
        release: String,
        /// What is wrong.
        reason: String,
    },
    /// A client lock file that cannot be taken.
    #[error("npm lock file cannot be used: {reason}")]
    Lockfile {
        /// What is wrong.
        reason: String,
    },
    /// A `package.json` that cannot be taken.
    #[error("package.json cannot be used: {reason}")]
    PackageJson {
        /// What is wrong.
        reason: String,
    },
    /// The project replaces versions by `overrides`.
    #[error("`overrides` in package.json are not supported")]
    Overrides,
    /// A lock file that means other bytes than the registry.
    #[error("the lock file and the registry mean different bytes by npm {release}")]
    Integrity {
        /// Release.
        release: String,
        /// What the lock file states.
        locked: String,
        /// What the registry states.
        stated: String,
    },
    /// A request that failed for another reason than absence.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// A contradiction in our own tree.
    #[error("the npm tree contradicts itself: {reason}")]
    Internal {
        /// What.
        reason: String,
    },
}

fn limit_note(limit: Option<&str>) -> String {
    limit.map_or_else(String::new, |limit| {
        format!(" among the releases up to {limit}")
    })
}

impl Fault for NpmError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Requirement { .. } => &REQUIREMENT,
            Self::Packument { .. } => &PACKUMENT,
            Self::NotFound { .. } => &NOT_FOUND,
            Self::NoVersion { .. } => &NO_VERSION,
            Self::Conflict { .. } => &CONFLICT,
            Self::Tarball { .. } => &TARBALL,
            Self::Lockfile { .. } => &LOCKFILE,
            Self::PackageJson { .. } => &MANIFEST,
            Self::Overrides => &OVERRIDES,
            Self::Integrity { .. } => &INTEGRITY,
            Self::Upstream(error) => error.code(),
            Self::Internal { .. } => &INTERNAL,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NotFound { chain, .. }
            | Self::NoVersion { chain, .. }
            | Self::Conflict { chain, .. } => vec![("needed by", chain.join(" > "))],
            Self::Integrity { locked, stated, .. } => {
                vec![("expected", locked.clone()), ("found", stated.clone())]
            }
            Self::Upstream(error) => error.facts(),
            _ => Vec::new(),
        }
    }
}
