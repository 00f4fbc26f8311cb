//! Why there is no record, or one is not accepted.

use crate::base::fault::{Class, Code, Fault, Kind};
use crate::base::text::{quoted, visible};
use crate::base::time::Timestamp;
use crate::trust::TrustError;

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &FOUND,
    &INCOMPLETE,
    &NOT_TOLD,
    &DEFINITIONS,
    &SCANNER,
    &REPORT,
    &PERSONS,
    &FORMAT,
    &DIFFERS,
    &SIGNATURE,
];

static FOUND: Code = Code::classed("transfer-found", Class::E40);
/// Something was not looked at whole.
pub static INCOMPLETE: Code = Code::classed("transfer-incomplete", Class::E52);
/// Whether something was not looked at whole is not known.
pub static NOT_TOLD: Code = Code::classed("transfer-limits-not-told", Class::E52);
static DEFINITIONS: Code = Code::classed("transfer-definitions-old", Class::E50);
static SCANNER: Code = Code::new("transfer-scanner", Kind::Failed);
static REPORT: Code = Code::new("transfer-report", Kind::Usage);
static PERSONS: Code = Code::new("transfer-one-person", Kind::Usage);
static FORMAT: Code = Code::classed("transfer-record-format", Class::E20);
static DIFFERS: Code = Code::classed("transfer-record-differs", Class::E22);
static SIGNATURE: Code = Code::classed("transfer-record-signature", Class::E30);

/// Why there is no record, or one is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The scanner found something.
    #[error("the scanner found something on the medium")]
    Found {
        /// Where, with what; safe to print.
        found: Vec<String>,
    },
    /// Something was not looked at whole, and must be.
    #[error("not everything was looked at whole, {count} of the files were not")]
    Incomplete {
        /// How many.
        count: usize,
        /// The first ones; safe to print.
        first: Vec<String>,
    },
    /// The definitions are too old.
    #[error("the definitions of the scanner are older than {most} days")]
    Definitions {
        /// How old they may be.
        most: i64,
        /// How new they are.
        date: Timestamp,
    },
    /// The scanner did not do its work.
    #[error("the scanner did not look at everything: {reason}")]
    Scanner {
        /// What it did; safe to print.
        reason: String,
    },
    /// A report of another scanner cannot be used.
    #[error("the report cannot be used: {reason}")]
    Report {
        /// Why; safe to print.
        reason: String,
        /// What it does not say anything about; safe to print.
        missing: Vec<String>,
    },
    /// One person is named twice.
    #[error("operator and witness are the same person: {}", quoted(.name))]
    OnePerson {
        /// Who.
        name: String,
    },
    /// It is no record.
    #[error("the record is not written as specified: {reason}")]
    Format {
        /// The rule that is broken; safe to print.
        reason: String,
    },
    /// The record is about something else than what is here.
    #[error("the record is not about this: {what}")]
    Differs {
        /// What is compared; safe to print.
        what: String,
        /// As the record has it; safe to print.
        expected: String,
        /// As it is here; safe to print.
        found: String,
    },
    /// The signature does not verify.
    #[error("the record is not signed by a key of the trust root")]
    Signature {
        /// Which rule.
        source: Box<TrustError>,
    },
    /// The trust root says whose signature counts, and it is not there.
    #[error("the record is not signed by anybody whom the trust root has sign transfers")]
    NotSigned,
}

impl TransferError {
    /// No record, for this reason.
    pub(super) fn format(reason: impl Into<String>) -> Self {
        Self::Format {
            reason: reason.into(),
        }
    }

    /// The scanner did something else than it should.
    pub fn scanner(reason: impl Into<String>) -> Self {
        Self::Scanner {
            reason: reason.into(),
        }
    }
}

impl Fault for TransferError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Found { .. } => &FOUND,
            Self::Incomplete { .. } => &INCOMPLETE,
            Self::Definitions { .. } => &DEFINITIONS,
            Self::Scanner { .. } => &SCANNER,
            Self::Report { .. } => &REPORT,
            Self::OnePerson { .. } => &PERSONS,
            Self::Format { .. } => &FORMAT,
            Self::Differs { .. } => &DIFFERS,
            Self::Signature { .. } | Self::NotSigned => &SIGNATURE,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let each = |name: &'static str, texts: &[String]| {
            texts.iter().map(|text| (name, visible(text))).collect()
        };
        match self {
            Self::Found { found } => each("found", found),
            Self::Incomplete { first, .. } => each("file", first),
            Self::Report { missing, .. } => each("missing", missing),
            Self::Definitions { date, .. } => vec![("they are of", date.to_string())],
            Self::Differs {
                expected, found, ..
            } => vec![("expected", expected.clone()), ("found", found.clone())],
            Self::Scanner { .. }
            | Self::OnePerson { .. }
            | Self::Format { .. }
            | Self::Signature { .. }
            | Self::NotSigned => Vec::new(),
        }
    }
}
