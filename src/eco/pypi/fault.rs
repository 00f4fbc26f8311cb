//! What resolving Python packages fails with, and the codes of what it notices.

use crate::base::fault::{Class, Code, Fault, Kind};
use crate::upstream::UpstreamError;

/// Codes of resolving Python packages.
pub const CODES: &[&Code] = &[
    &REQUIREMENT,
    &TARGET,
    &PAGE,
    &NOT_FOUND,
    &NO_SOLUTION,
    &METADATA,
    &INTERNAL,
    &NO_WHEEL,
    &DIRECT,
    &YANKED,
    &OTHER_PYTHON,
    &SDIST,
    &UNLOCKED,
    &MISMATCH,
];

static REQUIREMENT: Code = Code::new("manifest-pypi-requirement", Kind::Usage);
static TARGET: Code = Code::new("manifest-pypi-target", Kind::Usage);
static PAGE: Code = Code::new("upstream-pypi-page", Kind::Failed);
static NOT_FOUND: Code = Code::new("upstream-pypi-not-found", Kind::Failed);
static NO_SOLUTION: Code = Code::new("upstream-pypi-no-solution", Kind::Failed);
static METADATA: Code = Code::new("upstream-pypi-metadata", Kind::Failed);
static INTERNAL: Code = Code::new("internal-pypi", Kind::Internal);
/// Nothing of a project runs on a platform.
pub(crate) static NO_WHEEL: Code = Code::classed("pypi-no-wheel", Class::E50);
/// A requirement that names an address instead of versions.
pub(crate) static DIRECT: Code = Code::classed("pypi-direct-reference", Class::E50);
/// The publisher took a version back.
pub(crate) static YANKED: Code = Code::new("pypi-yanked", Kind::Denied);
/// A release says that it is not for this Python.
pub(crate) static OTHER_PYTHON: Code = Code::new("pypi-requires-python", Kind::Denied);
/// A release is built in the enclave.
pub(crate) static SDIST: Code = Code::new("pypi-sdist", Kind::Denied);
/// A locked release is not in the index as it was locked.
pub(crate) static UNLOCKED: Code = Code::classed("pypi-locked-file", Class::E51);
/// A wheel is not what was resolved.
static MISMATCH: Code = Code::classed("pypi-metadata-mismatch", Class::E51);

/// A wheel whose core metadata is not what the index said it is.
#[derive(Debug, thiserror::Error)]
#[error("its METADATA is not what the index said of {file} when it was resolved")]
pub(crate) struct Unconfirmed {
    /// The file, quoted.
    pub(crate) file: String,
    /// What differs, safe to print.
    pub(crate) differences: Vec<String>,
}

impl Fault for Unconfirmed {
    fn code(&self) -> &'static Code {
        &MISMATCH
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let lines = self.differences.iter().cloned();
        lines.map(|line| ("difference", line)).collect()
    }
}

/// Why Python packages cannot be resolved. All texts are safe to print.
#[derive(Debug, thiserror::Error)]
pub enum PypiError {
    /// A requirement that is none.
    #[error(
        "{text} is not a requirement such as `name[extra]>=1.2; python_version > \"3.8\"`: {reason}"
    )]
    Requirement {
        /// The text, quoted.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// The target says too little.
    #[error("[target] does not do for [pypi]: {reason}")]
    Target {
        /// What it lacks.
        reason: String,
    },
    /// An answer of the index that is no page.
    #[error("the index's page of {name} cannot be read: {reason}")]
    Page {
        /// The project.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A project that does not exist.
    #[error("the index has no project {name}")]
    NotFound {
        /// The project.
        name: String,
        /// Who needs it.
        needed_by: String,
    },
    /// No set of versions meets all requirements.
    #[error("no set of versions meets all requirements on {environment}")]
    NoSolution {
        /// The platform.
        environment: String,
        /// Who wants what.
        because: Vec<String>,
    },
    /// A file's metadata cannot be had.
    #[error("the metadata of {file} cannot be had: {reason}")]
    Metadata {
        /// The file, quoted.
        file: String,
        /// Why.
        reason: String,
    },
    /// A request that failed for another reason than absence.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// A contradiction in our own state.
    #[error("the resolver of Python packages contradicts itself: {reason}")]
    Internal {
        /// What.
        reason: String,
    },
}

impl Fault for PypiError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Requirement { .. } => &REQUIREMENT,
            Self::Target { .. } => &TARGET,
            Self::Page { .. } => &PAGE,
            Self::NotFound { .. } => &NOT_FOUND,
            Self::NoSolution { .. } => &NO_SOLUTION,
            Self::Metadata { .. } => &METADATA,
            Self::Upstream(error) => error.code(),
            Self::Internal { .. } => &INTERNAL,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NotFound { needed_by, .. } => vec![("needed by", needed_by.clone())],
            Self::NoSolution { because, .. } => {
                let lines = because.iter().cloned();
                lines.map(|line| ("because", line)).collect()
            }
            Self::Upstream(error) => error.facts(),
            _ => Vec::new(),
        }
    }
}
