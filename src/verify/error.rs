//! Why a bundle is refused.

use crate::base::digest::Digest;
use crate::base::fault::{Class, Code, Fault};
use crate::base::time::Timestamp;
use crate::bundle::BundleError;
use crate::fs::FsError;
use crate::trust::TrustError;
use crate::trust::approval::ApprovalError;
use crate::trust::proof::ProofError;

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &ROOT_OLDER,
    &ROOT_EXPIRED,
    &ROOT_NEEDED,
    &CLOCK,
    &EPOCH,
    &ROLLBACK,
    &EQUIVOCATION,
    &FUTURE,
    &EXPIRED,
    &BASE,
    &CONTENT,
];

static ROOT_OLDER: Code = Code::classed("verify-root-older", Class::E31);
static ROOT_EXPIRED: Code = Code::classed("verify-root-expired", Class::E31);
static ROOT_NEEDED: Code = Code::classed("verify-root-needed", Class::E31);
static CLOCK: Code = Code::classed("verify-clock", Class::E33);
static EPOCH: Code = Code::classed("verify-epoch", Class::E32);
static ROLLBACK: Code = Code::classed("verify-rollback", Class::E32);
static EQUIVOCATION: Code = Code::classed("verify-equivocation", Class::E32);
static FUTURE: Code = Code::classed("verify-future", Class::E33);
static EXPIRED: Code = Code::classed("verify-expired", Class::E33);
static BASE: Code = Code::classed("verify-base-missing", Class::E34);
static CONTENT: Code = Code::classed("verify-content", Class::E20);

/// Why a bundle is refused.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The bytes are not a bundle, or not the ones the level above names.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Root or signatures are not accepted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// What lies beside the bundle does not belong to it.
    #[error(transparent)]
    Approval(#[from] ApprovalError),
    /// Nor does the proof.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The quarantine cannot be written.
    #[error(transparent)]
    Sink(#[from] FsError),
    /// The repository knows a newer root than the one given.
    #[error("the trust root is older than the one the repository knows")]
    RootOlder {
        /// Version the repository knows.
        known: u64,
        /// Version given.
        given: u64,
    },
    /// The final root has expired.
    #[error("trust root {version} has expired")]
    RootExpired {
        /// Its version.
        version: u64,
        /// When.
        expires: Timestamp,
        /// The time it was judged at.
        now: Timestamp,
    },
    /// The bundle needs a newer root.
    #[error("the bundle needs trust root {needed} or newer")]
    RootNeeded {
        /// Version needed.
        needed: u64,
        /// Version there is.
        have: u64,
    },
    /// The clock is behind a signed time that was accepted before.
    #[error("this host's clock is behind a time that was signed before: set the clock")]
    Clock {
        /// The clock.
        now: Timestamp,
        /// Newest signed time.
        floor: Timestamp,
    },
    /// The bundle's epoch is not the root's.
    #[error("channel {channel} has another epoch in the trust root")]
    Epoch {
        /// The channel.
        channel: String,
        /// Epoch in the root; `None` when the root does not know the channel.
        expected: Option<u64>,
        /// Epoch in the bundle.
        found: u64,
    },
    /// A newer bundle was accepted before.
    #[error("a newer bundle of channel {channel} was imported before")]
    Rollback {
        /// The channel.
        channel: String,
        /// Epoch and serial of the high-water mark.
        known: (u64, u64),
        /// Epoch and serial of the bundle.
        found: (u64, u64),
    },
    /// Another bundle with the same serial was accepted before: somebody signed twice.
    #[error(
        "channel {channel} has two different bundles with serial {serial}: its keys were misused"
    )]
    Equivocation {
        /// The channel.
        channel: String,
        /// The serial.
        serial: u64,
        /// Statement accepted before.
        known: Digest,
        /// Statement of this bundle.
        found: Digest,
        /// Who signed this one: person, roles, key.
        signers: Vec<String>,
    },
    /// Made in the future.
    #[error("the bundle was made in the future")]
    Future {
        /// When it says it was made.
        created: Timestamp,
        /// The time it was judged at.
        now: Timestamp,
    },
    /// Expired.
    #[error("the bundle has expired")]
    Expired {
        /// When.
        expires: Timestamp,
        /// The time it was judged at.
        now: Timestamp,
    },
    /// A delta whose base is not there.
    #[error("{missing} blobs are neither in the bundle nor in the repository")]
    BaseMissing {
        /// How many.
        missing: usize,
        /// One of them.
        example: Digest,
    },
    /// Lock, records, SBOM and manifest do not name the same things.
    #[error("the contents contradict each other: {reason}")]
    Content {
        /// What does not fit, one sentence, safe to print.
        reason: String,
        /// What one document says.
        expected: String,
        /// What the other has.
        found: String,
    },
}

impl VerifyError {
    /// With the names of those who signed the bundle, where that is evidence against them.
    #[must_use]
    pub(crate) fn signed_by(mut self, names: Vec<String>) -> Self {
        if let Self::Equivocation { signers, .. } = &mut self {
            *signers = names;
        }
        self
    }

    pub(crate) fn content(reason: impl Into<String>) -> Self {
        Self::differs(reason, String::new(), String::new())
    }

    pub(crate) fn differs(
        reason: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Content {
            reason: reason.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

impl Fault for VerifyError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Bundle(error) => error.code(),
            Self::Trust(error) => error.code(),
            Self::Approval(error) => error.code(),
            Self::Proof(error) => error.code(),
            Self::Sink(error) => error.code(),
            Self::RootOlder { .. } => &ROOT_OLDER,
            Self::RootExpired { .. } => &ROOT_EXPIRED,
            Self::RootNeeded { .. } => &ROOT_NEEDED,
            Self::Clock { .. } => &CLOCK,
            Self::Epoch { .. } => &EPOCH,
            Self::Rollback { .. } => &ROLLBACK,
            Self::Equivocation { .. } => &EQUIVOCATION,
            Self::Future { .. } => &FUTURE,
            Self::Expired { .. } => &EXPIRED,
            Self::BaseMissing { .. } => &BASE,
            Self::Content { .. } => &CONTENT,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let pair = |expected: String, found: String| vec![("expected", expected), ("found", found)];
        let place = |(epoch, serial): (u64, u64)| format!("epoch {epoch}, serial {serial}");
        match self {
            Self::Bundle(error) => error.facts(),
            Self::Trust(error) => error.facts(),
            Self::Approval(error) => error.facts(),
            Self::Proof(error) => error.facts(),
            Self::Sink(error) => error.facts(),
            Self::RootOlder { known, given } => pair(
                format!("version {known} or newer"),
                format!("version {given}"),
            ),
            Self::RootExpired { expires, now, .. } | Self::Expired { expires, now } => {
                vec![
                    ("expired", expires.to_string()),
                    ("judged at", now.to_string()),
                ]
            }
            Self::RootNeeded { needed, have } => pair(
                format!("version {needed} or newer"),
                format!("version {have}"),
            ),
            Self::Clock { now, floor } => pair(format!("{floor} or later"), now.to_string()),
            Self::Epoch {
                expected, found, ..
            } => pair(
                expected.map_or("no such channel".to_owned(), |e| format!("epoch {e}")),
                format!("epoch {found}"),
            ),
            Self::Rollback { known, found, .. } => {
                pair(format!("{} or higher", place(*known)), place(*found))
            }
            Self::Equivocation {
                known,
                found,
                signers,
                ..
            } => {
                let mut facts = vec![
                    ("accepted before", known.to_string()),
                    ("this one", found.to_string()),
                ];
                let names = signers.iter().map(|name| ("signed by", name.clone()));
                facts.extend(names);
                facts
            }
            Self::Future { created, now } => {
                vec![
                    ("made", created.to_string()),
                    ("judged at", now.to_string()),
                ]
            }
            Self::BaseMissing { example, .. } => vec![("for example", example.to_string())],
            Self::Content { expected, .. } if expected.is_empty() => Vec::new(),
            Self::Content {
                expected, found, ..
            } => pair(expected.clone(), found.clone()),
        }
    }
}
