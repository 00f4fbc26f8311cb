//! Why an import, or another change of a repository, did not happen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::base::digest::Digest;
use crate::base::fault::{Class, Code, Fault, Kind};
use crate::base::finding::Finding;
use crate::bundle::BundleError;
use crate::eco::EcoError;
use crate::fs::FsError;
use crate::import::state::BundleEntry;
use crate::lock::format::LockError;
use crate::trust::TrustError;
use crate::verify::VerifyError;
use crate::vulns::VulnError;

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &UNSAFE_TARGET,
    &AS_ROOT,
    &STATE,
    &BLOB,
    &NO_REPOSITORY,
    &OTHER_ROOT,
    &FINGERPRINT,
    &NO_SUCH,
    &NO_SUCH_BUNDLE,
    &APPROVAL_MISSING,
    &PROOF_MISSING,
    &PROOF_FAILED,
    &PROOF_INCOMPLETE,
    &BASE_URL,
    &EXPIRED_NOT_ALLOWED,
    &PURL,
    &REASON,
    &NO_CHANGE,
    &RENDER,
];

static UNSAFE_TARGET: Code = Code::classed("import-unsafe-target", Class::E41);
static AS_ROOT: Code = Code::classed("import-as-root", Class::E41);
static STATE: Code = Code::classed("import-state", Class::E42);
static BLOB: Code = Code::classed("import-blob", Class::E42);
static NO_REPOSITORY: Code = Code::new("import-no-repository", Kind::Usage);
static OTHER_ROOT: Code = Code::classed("import-other-root", Class::E31);
static FINGERPRINT: Code = Code::classed("import-fingerprint", Class::E31);
static NO_SUCH: Code = Code::new("import-no-such-generation", Kind::Usage);
static NO_SUCH_BUNDLE: Code = Code::new("import-no-such-bundle", Kind::Usage);
static APPROVAL_MISSING: Code = Code::classed("import-approval-missing", Class::E52);
static PROOF_MISSING: Code = Code::classed("import-proof-missing", Class::E52);
static PROOF_FAILED: Code = Code::classed("import-proof-failed", Class::E52);
static PROOF_INCOMPLETE: Code = Code::classed("import-proof-incomplete", Class::E52);
static BASE_URL: Code = Code::new("import-base-url", Kind::Usage);
static EXPIRED_NOT_ALLOWED: Code = Code::classed("import-expired-not-allowed", Class::E50);
static PURL: Code = Code::new("import-purl", Kind::Usage);
static REASON: Code = Code::new("import-reason", Kind::Usage);
static NO_CHANGE: Code = Code::new("import-no-change", Kind::Usage);
static RENDER: Code = Code::new("internal-import-render", Kind::Internal);

/// Why an import, or another change of a repository, did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The repository is not a safe place to write to.
    #[error("{} is not safe to import into: it {reason}", crate::base::text::quoted(&path.to_string_lossy()))]
    UnsafeTarget {
        /// The part that is not safe.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Run by the administrator.
    #[error("import does not run as root")]
    AsRoot,
    /// State, journal and trust root do not agree.
    #[error("the repository's state contradicts itself: {reason}")]
    State {
        /// What does not agree.
        reason: String,
    },
    /// A blob of the store is missing or has other bytes.
    #[error("blob {digest} of the store is missing or damaged")]
    Blob {
        /// The blob.
        digest: Digest,
    },
    /// No repository there.
    #[error("{} is not a repository; `stage repo init` makes one", crate::base::text::quoted(&path.to_string_lossy()))]
    NoRepository {
        /// The path.
        path: PathBuf,
    },
    /// The repository is pinned to another trust root.
    #[error("the repository is pinned to another trust root")]
    OtherRoot {
        /// Fingerprint of the pinned root.
        pinned: Digest,
        /// Fingerprint of the root that was given.
        given: Digest,
    },
    /// The trust root has another fingerprint than the one that was given.
    #[error("the trust root has another fingerprint")]
    Fingerprint {
        /// The fingerprint that was given.
        expected: Digest,
        /// The root's.
        found: Digest,
    },
    /// No such generation.
    #[error("generation {number} is not in the repository")]
    NoSuch {
        /// What was asked for.
        number: u64,
    },
    /// No such channel, or no such serial of it.
    #[error("{what} is not {state}")]
    NoSuchBundle {
        /// What was asked for, escaped.
        what: String,
        /// What it would have to be: imported, published.
        state: &'static str,
        /// Channels and serials that are, or the word none.
        there: String,
    },
    /// The repository demands approvals, and a signature has none.
    #[error(
        "this repository demands an approval for every signature, and there is none by {persons}"
    )]
    ApprovalMissing {
        /// Who has not said anything.
        persons: String,
    },
    /// There is no proof that it works.
    #[error("a proof is demanded that the bundle installs and works, and none came with it")]
    ProofMissing,
    /// The proof says that it does not.
    #[error("the proof by {person} says that the bundle does not install or does not work")]
    ProofFailed {
        /// Who signed it.
        person: String,
    },
    /// The proof says that not everything was tried.
    #[error("the proof by {person} leaves out what nobody said may be left out: {steps}")]
    ProofIncomplete {
        /// Who signed it.
        person: String,
        /// What was not tried, escaped.
        steps: String,
    },
    /// Not an address that a tree can be served at.
    #[error("{found} is not an http or https address without query, user or slash at the end")]
    BaseUrl {
        /// The text, quoted and escaped.
        found: String,
    },
    /// The repository was made without this right.
    #[error("this repository was not made to allow expired bundles")]
    ExpiredNotAllowed,
    /// Not a package URL.
    #[error("{found} is not a package URL such as `pkg:npm/left-pad@1.3.0`")]
    Purl {
        /// The text, quoted and escaped.
        found: String,
    },
    /// Not a reason that can be written down.
    #[error("a reason is one line of at most 500 bytes, and not empty")]
    Reason,
    /// What was asked for is so already.
    #[error("{reason}")]
    NoChange {
        /// One sentence, safe to print.
        reason: String,
    },
    /// A rendered path is not safe.
    #[error("rendering made an unsafe path {path}; this is a bug in stage")]
    Render {
        /// The path, quoted and escaped.
        path: String,
    },
    /// Archives that clients would read differently.
    #[error("{} in the archives of the bundle", problems(findings.len()))]
    Archives {
        /// What was found, weightiest first; all of it denies.
        findings: Vec<Finding>,
    },
    /// What the repository's policy denies.
    #[error("the repository's policy denies the bundle: {}", problems(findings.len()))]
    Policy {
        /// What was found, sorted; all of it denies.
        findings: Vec<Finding>,
    },
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The bundle was refused.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The trust root was refused.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The vulnerability database cannot be asked.
    #[error(transparent)]
    Vulns(#[from] VulnError),
    /// An ecosystem could not render.
    #[error(transparent)]
    Eco(#[from] EcoError),
    /// A stored bundle document cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A stored lock cannot be read.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// That a channel, or this serial of it, is not what it would have to be; names those that are.
pub(super) fn no_such_bundle<'a>(
    channel: &str,
    serial: Option<u64>,
    state: &'static str,
    bundles: impl Iterator<Item = &'a BundleEntry>,
) -> ImportError {
    let mut known: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for bundle in bundles {
        known
            .entry(&bundle.channel)
            .or_default()
            .insert(bundle.serial);
    }
    let named: Vec<String> = known
        .iter()
        .map(|(channel, serials)| {
            let serials: Vec<String> = serials.iter().map(u64::to_string).collect();
            format!("{channel} {}", serials.join(" "))
        })
        .collect();
    let channel = crate::base::text::quoted(channel);
    ImportError::NoSuchBundle {
        what: match serial {
            Some(serial) => format!("serial {serial} of channel {channel}"),
            None => format!("channel {channel}"),
        },
        state,
        there: if named.is_empty() {
            "none".to_owned()
        } else {
            named.join(", ")
        },
    }
}

impl ImportError {
    /// A document of ours that could not be written as JSON.
    pub(super) fn encoding(error: &serde_json::Error) -> Self {
        Self::Render {
            path: crate::base::text::quoted(&error.to_string()),
        }
    }
}

fn problems(count: usize) -> String {
    if count == 1 {
        "1 problem".to_owned()
    } else {
        format!("{count} problems")
    }
}

impl Fault for ImportError {
    fn code(&self) -> &'static Code {
        match self {
            Self::UnsafeTarget { .. } => &UNSAFE_TARGET,
            Self::AsRoot => &AS_ROOT,
            Self::State { .. } => &STATE,
            Self::Blob { .. } => &BLOB,
            Self::NoRepository { .. } => &NO_REPOSITORY,
            Self::OtherRoot { .. } => &OTHER_ROOT,
            Self::Fingerprint { .. } => &FINGERPRINT,
            Self::NoSuch { .. } => &NO_SUCH,
            Self::NoSuchBundle { .. } => &NO_SUCH_BUNDLE,
            Self::ApprovalMissing { .. } => &APPROVAL_MISSING,
            Self::ProofMissing => &PROOF_MISSING,
            Self::ProofFailed { .. } => &PROOF_FAILED,
            Self::ProofIncomplete { .. } => &PROOF_INCOMPLETE,
            Self::BaseUrl { .. } => &BASE_URL,
            Self::ExpiredNotAllowed => &EXPIRED_NOT_ALLOWED,
            Self::Purl { .. } => &PURL,
            Self::Reason => &REASON,
            Self::NoChange { .. } => &NO_CHANGE,
            Self::Render { .. } => &RENDER,
            Self::Archives { findings } | Self::Policy { findings } => {
                findings.first().map_or(&RENDER, |f| f.code)
            }
            Self::Fs(inner) => inner.code(),
            Self::Verify(inner) => inner.code(),
            Self::Trust(inner) => inner.code(),
            Self::Eco(inner) => inner.code(),
            Self::Vulns(inner) => inner.code(),
            Self::Bundle(inner) => inner.code(),
            Self::Lock(inner) => inner.code(),
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::OtherRoot { pinned, given } => {
                vec![
                    ("expected", pinned.to_string()),
                    ("found", given.to_string()),
                ]
            }
            Self::Fingerprint { expected, found } => {
                vec![
                    ("expected", expected.to_string()),
                    ("found", found.to_string()),
                ]
            }
            Self::NoSuchBundle { state, there, .. } => vec![(*state, there.clone())],
            Self::Verify(inner) => inner.facts(),
            Self::Trust(inner) => inner.facts(),
            Self::Eco(inner) => inner.facts(),
            Self::Vulns(inner) => inner.facts(),
            Self::Bundle(inner) => inner.facts(),
            Self::Lock(inner) => inner.facts(),
            Self::UnsafeTarget { .. }
            | Self::AsRoot
            | Self::State { .. }
            | Self::Blob { .. }
            | Self::NoRepository { .. }
            | Self::NoSuch { .. }
            | Self::ApprovalMissing { .. }
            | Self::ProofMissing
            | Self::ProofFailed { .. }
            | Self::ProofIncomplete { .. }
            | Self::BaseUrl { .. }
            | Self::ExpiredNotAllowed
            | Self::Purl { .. }
            | Self::Reason
            | Self::NoChange { .. }
            | Self::Render { .. }
            | Self::Archives { .. }
            | Self::Policy { .. }
            | Self::Fs(_) => Vec::new(),
        }
    }
}
