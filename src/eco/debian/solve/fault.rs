//! What solving fails with.

use crate::base::fault::{Code, Fault, Kind};

/// Codes of solving.
pub const CODES: &[&Code] = &[
    &UNKNOWN,
    &NO_VERSION,
    &VIRTUAL,
    &UNSATISFIABLE,
    &REMOVAL,
    &HELD,
    &RELATION,
    &INTERNAL,
];

static UNKNOWN: Code = Code::new("upstream-debian-not-found", Kind::Failed);
static NO_VERSION: Code = Code::new("upstream-debian-no-version", Kind::Failed);
static VIRTUAL: Code = Code::new("manifest-debian-virtual", Kind::Usage);
static UNSATISFIABLE: Code = Code::new("upstream-debian-unsatisfiable", Kind::Failed);
static REMOVAL: Code = Code::new("upstream-debian-removal", Kind::Failed);
static HELD: Code = Code::new("manifest-debian-held", Kind::Usage);
static RELATION: Code = Code::new("upstream-debian-relation", Kind::Failed);
static INTERNAL: Code = Code::new("internal-debian-solve", Kind::Internal);

/// Why nothing can be installed. All texts are safe to print.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SolveError {
    /// A package that no archive has.
    #[error("no archive has a package {name} for {arch}")]
    Unknown {
        /// The name.
        name: String,
        /// The architecture.
        arch: String,
        /// The nearest name that exists.
        near: Option<String>,
    },
    /// A version that no archive has.
    #[error("no archive has version {wanted} of {name}")]
    NoVersion {
        /// The name.
        name: String,
        /// The version.
        wanted: String,
        /// The versions that exist, highest first.
        found: Vec<String>,
    },
    /// A name that only stands for others.
    #[error("{name} is a virtual package; ask for one that provides it")]
    Virtual {
        /// The name.
        name: String,
        /// Who provides it, `name=version`.
        providers: Vec<String>,
    },
    /// Relations that cannot hold together.
    #[error("the packages cannot be installed together")]
    Unsatisfiable {
        /// One line per relation that does not hold, each with the chain of who wanted it.
        conflicts: Vec<String>,
    },
    /// Installing would take something away from the baseline.
    #[error("{package} of the baseline would have to be removed")]
    Removal {
        /// The package, `name=version`.
        package: String,
        /// What excludes it.
        because: String,
    },
    /// A package of the baseline that is asked for in another version than the one that is held.
    #[error("{package} of the baseline is held, so that {wanted} cannot be installed")]
    Held {
        /// The package, `name=version`.
        package: String,
        /// What is asked for, `name=version`.
        wanted: String,
    },
    /// A dependency field that cannot be read.
    #[error("a dependency cannot be read: {reason}")]
    Relation {
        /// Whose, which, and what is wrong.
        reason: String,
    },
    /// A contradiction in our own state.
    #[error("the solver contradicts itself: {reason}")]
    Internal {
        /// What.
        reason: String,
    },
}

impl Fault for SolveError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Unknown { .. } => &UNKNOWN,
            Self::NoVersion { .. } => &NO_VERSION,
            Self::Virtual { .. } => &VIRTUAL,
            Self::Unsatisfiable { .. } => &UNSATISFIABLE,
            Self::Removal { .. } => &REMOVAL,
            Self::Held { .. } => &HELD,
            Self::Relation { .. } => &RELATION,
            Self::Internal { .. } => &INTERNAL,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let list =
            |key: &'static str, all: &[String]| all.iter().map(|t| (key, t.clone())).collect();
        match self {
            Self::Unknown { near, .. } => {
                near.iter().map(|n| ("did you mean", n.clone())).collect()
            }
            Self::NoVersion { found, .. } => list("found", found),
            Self::Virtual { providers, .. } => list("provided by", providers),
            Self::Unsatisfiable { conflicts } => list("conflict", conflicts),
            Self::Removal { because, .. } => vec![("because", because.clone())],
            Self::Held { .. } | Self::Relation { .. } | Self::Internal { .. } => Vec::new(),
        }
    }
}
