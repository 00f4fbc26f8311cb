//! Asking a registry without naming a socket: requests, answers, and the state machine that resolves with them.
//! `net` implements [`Upstream`]; ecosystems implement [`Resolver`]; `resolve` drives one with the other.

use std::fmt;
use std::io::{self, Read, Seek};

use url::Url;

use crate::base::digest::UpstreamChecksum;
use crate::base::fault::{Code, Fault, Kind};
use crate::base::finding::Finding;
use crate::lock::{LockedInput, LockedPackage, Records};

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &UPSTREAM_NOT_FOUND,
    &UPSTREAM_FAILED,
    &UPSTREAM_OFFLINE,
    &UPSTREAM_NOT_LISTED,
    &UPSTREAM_ADDRESS,
    &UPSTREAM_NO_RANGES,
];

static UPSTREAM_NOT_FOUND: Code = Code::new("upstream-not-found", Kind::Failed);
static UPSTREAM_FAILED: Code = Code::new("upstream-failed", Kind::Failed);
static UPSTREAM_OFFLINE: Code = Code::new("upstream-offline", Kind::Failed);
static UPSTREAM_NOT_LISTED: Code = Code::new("upstream-not-listed", Kind::Failed);
static UPSTREAM_NO_RANGES: Code = Code::new("upstream-no-ranges", Kind::Failed);
pub(crate) static UPSTREAM_ADDRESS: Code = Code::new("upstream-address", Kind::Usage);

/// A URL that never prints the user name or password it may carry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SafeUrl(Url);

impl SafeUrl {
    /// Wraps a parsed URL.
    pub const fn new(url: Url) -> Self {
        Self(url)
    }

    /// The URL with its secrets, for the one place that sends it.
    pub const fn with_secrets(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        let named = !shown.username().is_empty() || shown.password().is_some();
        if named && (shown.set_password(Some("***")).is_err() || shown.set_username("***").is_err())
        {
            return f.write_str("<hidden>");
        }
        f.write_str(&crate::base::text::escaped(shown.as_str()))
    }
}

impl fmt::Debug for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is asked for, and where the answer is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// A document that changes: kept in the HTTP cache, revalidated with the server every time (RFC 9111 `no-cache`).
    Document,
    /// A document that never changes under its name: kept in the HTTP cache, used without asking.
    Immutable,
    /// An artifact, which the lock may name later: kept in the store, confirmed by this checksum.
    Artifact(UpstreamChecksum),
    /// Some bytes of a file that never changes under its name: kept in the HTTP cache, confirmed by nothing. A server
    /// that sends the whole file instead is not listened to ([`UpstreamError::NoRanges`]).
    Part(Part),
}

/// Which bytes of a file (RFC 9110 §14.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// So many at the end, or the whole file if it is shorter.
    Last(u64),
    /// So many from an offset on, or fewer if the file ends before.
    From {
        /// The offset.
        first: u64,
        /// How many; at least one.
        length: u64,
    },
}

impl fmt::Display for Part {
    /// As the `Range` header has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last(length) => write!(f, "bytes=-{length}"),
            Self::From { first, length } => {
                let last = first.saturating_add(length.saturating_sub(1));
                write!(f, "bytes={first}-{last}")
            }
        }
    }
}

/// Where something is, as a document of its upstream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Path of the document, as in [`Request::path`].
    pub page: String,
    /// A URL, or a reference relative to the document's (RFC 3986 §5).
    pub href: String,
}

/// One GET request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Name of the upstream in locks and reports, such as `npm`.
    pub upstream: String,
    /// What is asked, relative to the upstream's address and already percent-encoded, such as `@scope%2fname`.
    pub path: String,
    /// Value of the `Accept` header.
    pub accept: Option<&'static str>,
    /// Largest body in bytes.
    pub limit: u64,
    /// What kind of thing it is.
    pub want: Want,
    /// Where it is, unless that is `path` below the upstream's address.
    pub link: Option<Link>,
}

/// Bytes that can be read at any position, such as a file.
pub trait Source: Read + Seek + Send {}

impl<T: Read + Seek + Send> Source for T {}

/// The bytes of an answer.
pub enum Content {
    /// In memory: at most as many as the request allows.
    Document(Vec<u8>),
    /// In the store, where the checksum of the request has confirmed them.
    Artifact(Box<dyn Source>),
    /// Some bytes of a file.
    Part {
        /// The bytes.
        bytes: Vec<u8>,
        /// Offset of the first.
        first: u64,
        /// Size of the whole file.
        total: u64,
    },
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Document(_) => "Document",
            Self::Artifact(_) => "Artifact",
            Self::Part { .. } => "Part",
        })
    }
}

impl Content {
    /// All bytes.
    pub fn into_bytes(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Document(bytes) | Self::Part { bytes, .. } => Ok(bytes),
            Self::Artifact(mut source) => {
                let mut bytes = Vec::new();
                source.read_to_end(&mut bytes)?;
                Ok(bytes)
            }
        }
    }

    /// The bytes from the beginning.
    pub fn into_source(self) -> Box<dyn Source> {
        match self {
            Self::Document(bytes) | Self::Part { bytes, .. } => Box::new(io::Cursor::new(bytes)),
            Self::Artifact(source) => source,
        }
    }
}

/// What became of a request.
pub type Answer = Result<Content, UpstreamError>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The server said that it has no such thing (404, 410).
    #[error("<{url}> does not exist")]
    NotFound {
        /// What was asked.
        url: SafeUrl,
    },
    /// Any other failure, after all retries.
    #[error("<{url}> failed: {reason}")]
    Failed {
        /// What was asked.
        url: SafeUrl,
        /// What the server or the transport said, escaped.
        reason: String,
    },
    /// An artifact came that is not what it should be, or could not be stored.
    #[error("<{url}> was not stored: {cause}")]
    NotStored {
        /// What was asked.
        url: SafeUrl,
        /// Why.
        cause: Box<dyn Fault>,
    },
    /// No network may be used, and the cache does not have it.
    #[error("<{url}> is not in the cache, and the network may not be used")]
    Offline {
        /// What was asked.
        url: SafeUrl,
    },
    /// The upstream's index does not list it, so nobody knows where it is.
    #[error("{upstream} does not list {}", crate::base::text::quoted(file))]
    NotListed {
        /// Name of the upstream, escaped.
        upstream: String,
        /// What was looked for.
        file: String,
    },
    /// The server does not send parts of files.
    #[error("the server of <{url}> does not send parts of files")]
    NoRanges {
        /// What was asked.
        url: SafeUrl,
    },
    /// There is no URL to ask: no address is configured, or the path does not fit it.
    #[error("{reason}")]
    NoAddress {
        /// Why, escaped.
        reason: String,
    },
}

impl Fault for UpstreamError {
    fn code(&self) -> &'static Code {
        match self {
            Self::NotFound { .. } => &UPSTREAM_NOT_FOUND,
            Self::Failed { .. } => &UPSTREAM_FAILED,
            Self::NotStored { cause, .. } => cause.code(),
            Self::Offline { .. } => &UPSTREAM_OFFLINE,
            Self::NotListed { .. } => &UPSTREAM_NOT_LISTED,
            Self::NoAddress { .. } => &UPSTREAM_ADDRESS,
            Self::NoRanges { .. } => &UPSTREAM_NO_RANGES,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NotStored { cause, .. } => cause.facts(),
            Self::NotFound { .. }
            | Self::Failed { .. }
            | Self::Offline { .. }
            | Self::NotListed { .. }
            | Self::NoRanges { .. }
            | Self::NoAddress { .. } => Vec::new(),
        }
    }
}

/// Something that answers requests, many at a time.
pub trait Upstream {
    /// Starts a request. Answers come from [`Upstream::next_answer`] in any order.
    fn submit(&mut self, request: Request);

    /// Waits for one answer; `None` when nothing was submitted that is not yet answered.
    fn next_answer(&mut self) -> Option<(Request, Answer)>;
}

/// What an ecosystem found out for one install.
#[derive(Debug, Default)]
pub struct Resolution {
    /// The closure, in any order.
    pub packages: Vec<LockedPackage>,
    /// Documents beside the requirements that decided it.
    pub inputs: Vec<LockedInput>,
    /// What index rendering will need.
    pub records: Records,
    /// What was noticed.
    pub findings: Vec<Finding>,
}

/// Resolves one install: is handed answers, says what to ask next. Holds no socket and reads no clock.
pub trait Resolver {
    /// Requests not yet handed out. Called after the start and after every answer.
    fn take_requests(&mut self) -> Vec<Request>;

    /// Takes in one answer. The order of answers must not change the result.
    fn answer(&mut self, request: &Request, answer: Answer) -> Result<(), Box<dyn Fault>>;

    /// The result, once every request is answered and no new one came.
    fn finish(self: Box<Self>) -> Result<Resolution, Box<dyn Fault>>;
}

#[cfg(test)]
mod tests {
    use super::SafeUrl;

    #[test]
    fn secrets_in_urls_are_masked() {
        let url = SafeUrl::new("https://u:S3CR3T@proxy.example:3128/x".parse().unwrap());
        assert_eq!(url.to_string(), "https://***:***@proxy.example:3128/x");
        assert!(!format!("{url:?}").contains("S3CR3T"));
    }
}
