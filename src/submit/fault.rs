//! Why a packet did not get where it was sent.

use crate::base::digest::Digest;
use crate::base::fault::{Code, Fault, Kind};
use crate::base::text::quoted;
use crate::fs::FsError;
use crate::net::upload::Reply;
use crate::upstream::SafeUrl;

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &REFUSED, &TICKET, &FAILED, &ANSWER, &BARRED, &DIFFERS, &PENDING, &RECEIPT, &NO_SBOM,
];

static REFUSED: Code = Code::new("submit-refused", Kind::Failed);
static TICKET: Code = Code::new("submit-no-ticket", Kind::Failed);
static FAILED: Code = Code::new("submit-failed", Kind::Failed);
static ANSWER: Code = Code::new("submit-answer", Kind::Failed);
static BARRED: Code = Code::new("submit-barred", Kind::Failed);
static DIFFERS: Code = Code::new("submit-differs", Kind::Failed);
static PENDING: Code = Code::new("submit-pending", Kind::Failed);
static RECEIPT: Code = Code::new("submit-receipt", Kind::Usage);
static NO_SBOM: Code = Code::new("submit-no-sbom", Kind::Usage);

/// Why a packet did not get where it was sent.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The service says no.
    #[error("<{url}> answered {status}: {}", meaning(*status))]
    Refused {
        /// What was asked.
        url: SafeUrl,
        /// Its answer.
        status: u16,
        /// What it said, or where it redirects to, quoted and escaped.
        said: Option<String>,
    },
    /// The service has no such ticket, or no such project.
    #[error(
        "there is no {} at <{url}>, or the token may not see it",
        quoted(ticket)
    )]
    Ticket {
        /// What was asked.
        url: SafeUrl,
        /// What was looked for.
        ticket: String,
    },
    /// There was no answer, or none that says that it is done.
    #[error("<{url}> failed: {reason}")]
    Failed {
        /// What was asked.
        url: SafeUrl,
        /// Why, escaped.
        reason: String,
    },
    /// The answer is not the documented one.
    #[error("the answer of <{url}> is not what the system is documented to answer")]
    Answer {
        /// What was asked.
        url: SafeUrl,
    },
    /// It does not take this file.
    #[error("the system does not take {}: it answered {status}", quoted(file))]
    Barred {
        /// Name of the file.
        file: String,
        /// Its answer.
        status: u16,
        /// What it said, quoted and escaped.
        said: Option<String>,
    },
    /// It has other bytes than were sent.
    #[error("what the system has as {} is not what was sent", quoted(file))]
    Differs {
        /// Name of the file.
        file: String,
        /// As sent.
        expected: Digest,
        /// As read back; `None` where it has none.
        found: Option<Digest>,
    },
    /// The SBOM was taken and is not read yet.
    #[error("the SBOM was taken, and after {seconds} s was not read yet")]
    Pending {
        /// How long was waited.
        seconds: u64,
    },
    /// The receipt that is there is of something else.
    #[error("the receipt {} is not one of this submission", quoted(file))]
    Receipt {
        /// The file.
        file: String,
    },
    /// There is nothing to hand over.
    #[error("the packet has no SBOM, which is all that Dependency-Track takes")]
    NoSbom,
    /// The receipt cannot be read or written.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl Fault for SubmitError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Refused { .. } => &REFUSED,
            Self::Ticket { .. } => &TICKET,
            Self::Failed { .. } => &FAILED,
            Self::Answer { .. } => &ANSWER,
            Self::Barred { .. } => &BARRED,
            Self::Differs { .. } => &DIFFERS,
            Self::Pending { .. } => &PENDING,
            Self::Receipt { .. } => &RECEIPT,
            Self::NoSbom => &NO_SBOM,
            Self::Fs(error) => error.code(),
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Refused { said, .. } | Self::Barred { said, .. } => {
                said.iter().map(|said| ("said", said.clone())).collect()
            }
            Self::Differs {
                expected, found, ..
            } => {
                let found = found.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
                vec![("expected", expected.to_string()), ("found", found)]
            }
            Self::Fs(error) => error.facts(),
            Self::Ticket { .. }
            | Self::Failed { .. }
            | Self::Answer { .. }
            | Self::Pending { .. }
            | Self::Receipt { .. }
            | Self::NoSbom => Vec::new(),
        }
    }
}

/// What a status means here.
const fn meaning(status: u16) -> &'static str {
    match status {
        300..=399 => "it redirects, which is not followed; name the address that it redirects to",
        401 => "it does not accept the token",
        403 => "the token may not do this",
        404 => "it does not know the address; the address may not be that of the system",
        _ => "it refuses the request",
    }
}

/// What an answer says about why, masked, quoted and escaped: the usual members of JSON, or where it redirects to.
pub(super) fn said(reply: &Reply, masked: &dyn Fn(&str) -> String) -> Option<String> {
    if let Some(location) = reply.location.as_ref().filter(|_| reply.status < 400) {
        return Some(quoted(&masked(location)));
    }
    let answer: serde_json::Value = serde_json::from_slice(&reply.body).ok()?;
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let member = |pointer: &str| answer.pointer(pointer).and_then(text);
    let mut parts: Vec<String> = [
        "/error/message",
        "/error/detail",
        "/title",
        "/detail",
        "/message",
        "/errorMessages/0",
        "/0",
    ]
    .iter()
    .filter_map(|pointer| member(pointer))
    .collect();
    let named = answer.get("errors").and_then(serde_json::Value::as_object);
    parts.extend(
        named
            .into_iter()
            .flat_map(serde_json::Map::values)
            .filter_map(text),
    );
    parts.dedup();
    (!parts.is_empty()).then(|| quoted(&masked(&parts.join(": "))))
}
