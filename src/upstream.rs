//! Asking a registry without naming a socket: requests, answers, and the state machine that resolves with them.
//! `net` implements [`Upstream`]; ecosystems implement [`Resolver`]; `resolve` drives one with the other.

use std::fmt;

use url::Url;

use crate::base::fault::{Code, Fault, Kind};
use crate::base::finding::Finding;
use crate::lock::{LockedPackage, Records};

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &UPSTREAM_NOT_FOUND,
    &UPSTREAM_FAILED,
    &UPSTREAM_OFFLINE,
    &UPSTREAM_ADDRESS,
];

static UPSTREAM_NOT_FOUND: Code = Code::new("upstream-not-found", Kind::Failed);
static UPSTREAM_FAILED: Code = Code::new("upstream-failed", Kind::Failed);
static UPSTREAM_OFFLINE: Code = Code::new("upstream-offline", Kind::Failed);
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

/// What may be answered from the on-disk HTTP cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheRule {
    /// Metadata that changes: kept, revalidated with the server every time (RFC 9111 `no-cache`).
    Revalidate,
    /// Content that never changes under its name, such as a tarball: kept, used without asking.
    Immutable,
}

/// One GET request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// Name of the upstream in locks and reports, such as `npm`.
    pub upstream: String,
    /// What is asked, relative to the upstream's address and already percent-encoded, such as `@scope%2fname`.
    pub path: String,
    /// Value of the `Accept` header.
    pub accept: Option<&'static str>,
    /// Largest body in bytes.
    pub limit: u64,
    /// What the cache may do.
    pub cache: CacheRule,
}

impl PartialOrd for CacheRule {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for CacheRule {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (*self as u8).cmp(&(*other as u8))
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
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
    /// No network may be used, and the cache does not have it.
    #[error("<{url}> is not in the cache, and the network may not be used")]
    Offline {
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
            Self::Offline { .. } => &UPSTREAM_OFFLINE,
            Self::NoAddress { .. } => &UPSTREAM_ADDRESS,
        }
    }
}

/// Something that answers requests, many at a time.
pub trait Upstream {
    /// Starts a request. Answers come from [`Upstream::next_answer`] in any order.
    fn submit(&mut self, request: Request);

    /// Waits for one answer; `None` when nothing was submitted that is not yet answered.
    fn next_answer(&mut self) -> Option<(Request, Result<Vec<u8>, UpstreamError>)>;
}

/// What an ecosystem found out for one install.
#[derive(Debug, Default)]
pub struct Resolution {
    /// The closure, in any order.
    pub packages: Vec<LockedPackage>,
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
    fn answer(
        &mut self,
        request: &Request,
        answer: Result<Vec<u8>, UpstreamError>,
    ) -> Result<(), Box<dyn Fault>>;

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
