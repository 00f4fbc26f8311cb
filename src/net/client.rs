//! One request, from URL to answer: redirects, credentials, allowed hosts, retries. Everything that leaves the host
//! passes [`Engine::send`].

use std::collections::BTreeSet;
use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Identity, Method, Response, StatusCode};
use tokio::sync::Semaphore;
use url::Url;

use crate::base::egress::{Contact, Scheme};
use crate::base::runtime::Endpoint;
use crate::net::NetError;
use crate::net::cache::Cache;
use crate::net::credential::longest;
use crate::net::proxy::Authority;
use crate::net::settings::{Settings, shown, web_url};
use crate::net::upload::Outgoing;
use crate::upstream::{SafeUrl, UpstreamError};

/// Most redirects that are followed.
const REDIRECTS: usize = 5;
/// Further attempts after the first.
const RETRIES: usize = 3;
/// Flow-control windows of HTTP/2 in bytes (RFC 9113 §6.9.2): one stream, one connection. The default of 64 KiB would
/// make every large answer wait for round trips.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;

/// What all requests share.
pub(super) struct Engine {
    pub(super) settings: Settings,
    pub(super) cache: Cache,
    pub(super) permits: Arc<Semaphore>,
    client: Client,
    /// Clients that show a certificate, by the addresses that may see it.
    certified: Vec<(Url, Client)>,
    egress: Mutex<BTreeSet<Contact>>,
    /// Origins that did not answer and have mirrors: asked last from then on.
    down: Mutex<BTreeSet<String>>,
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Outgoing>,
}

impl Ask {
    pub(super) fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: None,
        }
    }

    /// Adds a header; a value that no header can have is left out.
    #[must_use]
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

/// An answer, and each `host:port` on the way to it.
pub(super) struct Answer {
    pub(super) response: Response,
    pub(super) hosts: Vec<String>,
}

/// Why an attempt failed.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) reason: String,
    pub(super) kind: TroubleKind,
    /// How long the server wants to be left alone.
    pub(super) after: Option<Duration>,
    /// Whether the request may have reached the server.
    pub(super) arrived: bool,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TroubleKind {
    /// Trying again may help.
    Transient,
    /// Trying again will not help.
    Permanent,
    /// There is no such thing.
    Missing,
    /// The server does not send parts of it.
    Whole,
}

impl Trouble {
    pub(super) fn permanent(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            kind: TroubleKind::Permanent,
            after: None,
            arrived: false,
        }
    }

    /// The server does not send parts of what was asked for.
    pub(super) fn no_ranges() -> Self {
        Self {
            kind: TroubleKind::Whole,
            ..Self::permanent("the server does not send the part that was asked for")
        }
    }

    pub(super) fn transient(reason: impl Into<String>) -> Self {
        Self {
            kind: TroubleKind::Transient,
            ..Self::permanent(reason)
        }
    }

    pub(super) fn is_transient(&self) -> bool {
        self.kind == TroubleKind::Transient
    }

    pub(super) fn is_missing(&self) -> bool {
        self.kind == TroubleKind::Missing
    }
}

impl Engine {
    pub(super) fn new(settings: Settings) -> Result<Self, NetError> {
        let mut certified = Vec::new();
        for (prefix, pem) in settings.certificates() {
            let identity = Identity::from_pem(pem.reveal().as_bytes());
            let identity = identity.map_err(|_secret| NetError::Certificate {
                prefix: shown(prefix).to_string(),
            })?;
            certified.push((prefix.clone(), client(&settings, Some(identity))?));
        }
        Ok(Self {
            client: client(&settings, None)?,
            certified,
            cache: Cache::new(&settings.cache),
            permits: Arc::new(Semaphore::new(settings.jobs.max(1))),
            egress: Mutex::new(BTreeSet::new()),
            down: Mutex::new(BTreeSet::new()),
            settings,
        })
    }

    /// Everything contacted so far, sorted.
    pub(super) fn egress(&self) -> Vec<Contact> {
        let seen = self.egress.lock().map(|seen| seen.clone());
        seen.unwrap_or_default().into_iter().collect()
    }

    /// `urls` with those last whose host has not answered before.
    pub(super) fn ordered(&self, mut urls: Vec<Url>) -> Vec<Url> {
        if urls.len() > 1
            && let Ok(down) = self.down.lock()
        {
            urls.sort_by_key(|url| down.contains(&url.origin().ascii_serialization()));
        }
        urls
    }

    /// Asks the host of `url` last from now on.
    pub(super) fn is_down(&self, url: &Url) {
        if let Ok(mut down) = self.down.lock() {
            down.insert(url.origin().ascii_serialization());
        }
    }

    /// One attempt that must end in success (200, 206 or 304).
    pub(super) async fn send_judged(&self, ask: &Ask) -> Result<Answer, Trouble> {
        let answer = self.send(ask).await?;
        judge(
            &answer.response,
            self.settings.credential(&ask.url).is_some(),
        )?;
        Ok(answer)
    }

    /// Repeats `attempt` as long as its trouble is transient: four times in all, or once when `quick`, because a mirror
    /// can be asked instead.
    pub(super) async fn retrying<T, F: Future<Output = Result<T, Trouble>>>(
        &self,
        url: &Url,
        quick: bool,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Trouble> {
        if quick {
            return attempt().await;
        }
        let longest = self.settings.timing.retry_after;
        attempt
            .retry(self.backoff())
            .sleep(tokio::time::sleep)
            .when(Trouble::is_transient)
            .adjust(|trouble: &Trouble, wait| {
                wait.map(|wait| trouble.after.map_or(wait, |after| after.min(longest)))
            })
            .notify(|trouble: &Trouble, wait| {
                self.settings.tell(|| {
                    format!(
                        "again in {} ms: <{}> {}",
                        wait.as_millis(),
                        shown(url),
                        trouble.reason
                    )
                });
            })
            .await
    }

    pub(super) fn backoff(&self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_min_delay(self.settings.timing.backoff)
            .with_max_times(RETRIES)
            .with_jitter()
    }

    /// One attempt, redirects followed. The answer may have any other status.
    pub(super) async fn send(&self, ask: &Ask) -> Result<Answer, Trouble> {
        let mut url = ask.url.clone();
        let mut hosts = Vec::new();
        let mut trusted = true;
        loop {
            self.admit(&url)?;
            hosts.push(Authority(&url).to_string());
            let response = self.send_once(ask, &url, trusted).await?;
            let Some(next) = redirect(&url, &response)? else {
                hosts.sort();
                hosts.dedup();
                return Ok(Answer { response, hosts });
            };
            if hosts.len() > REDIRECTS {
                return Err(Trouble::permanent(format!(
                    "more than {REDIRECTS} redirects"
                )));
            }
            // A credential is for the host it was configured for, however the way leads there.
            trusted = trusted && next.origin() == url.origin();
            url = next;
        }
    }

    /// One attempt to the host of the request itself, redirects not followed.
    pub(super) async fn send_direct(&self, ask: &Ask) -> Result<Response, Trouble> {
        self.admit(&ask.url)?;
        self.send_once(ask, &ask.url, true).await
    }

    async fn send_once(&self, ask: &Ask, url: &Url, trusted: bool) -> Result<Response, Trouble> {
        let client = if trusted {
            longest(&self.certified, url).unwrap_or(&self.client)
        } else {
            &self.client
        };
        let mut headers = ask.headers.clone();
        if let Some(credential) = self.settings.credential(url).filter(|_| trusted)
            && let Ok(mut value) = HeaderValue::from_str(&credential.header())
        {
            value.set_sensitive(true);
            headers.insert(credential.name(), value);
        }
        let mut request = client
            .request(ask.method.clone(), url.clone())
            .headers(headers);
        if let Some(outgoing) = &ask.body {
            request = request.body(outgoing.body());
        }
        let sent = request.send().await;
        self.settings.tell(|| {
            let result = match &sent {
                Ok(response) => format!("{} {:?}", response.status().as_u16(), response.version()),
                Err(_) => "failed".to_owned(),
            };
            format!("{} <{}> {result}", ask.method, shown(url))
        });
        sent.map_err(|error| self.explain(&error, url))
    }

    /// Refuses hosts that are not allowed; records the others.
    fn admit(&self, url: &Url) -> Result<(), Trouble> {
        if !self.settings.allows(url) {
            let host = crate::base::text::escaped(&Authority(url).to_string());
            return Err(Trouble::permanent(format!(
                "host {host} is not one of the allowed hosts"
            )));
        }
        let Some(contact) = self.contact(url) else {
            return Err(Trouble::permanent("its host is no name and no address"));
        };
        if let Ok(mut seen) = self.egress.lock() {
            seen.insert(contact);
        }
        Ok(())
    }

    /// Who is contacted for a URL, and through which proxy.
    fn contact(&self, url: &Url) -> Option<Contact> {
        let via = self.settings.proxy.for_url(url);
        let via = via.map(|proxy| endpoint(proxy.with_secrets()));
        let Endpoint { host, port } = endpoint(url)?;
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            _ => Scheme::Http,
        };
        Some(Contact {
            host,
            port,
            scheme,
            via: via.flatten(),
        })
    }

    /// What a transport error means, in words without secrets.
    pub(super) fn explain(&self, error: &reqwest::Error, url: &Url) -> Trouble {
        let timing = &self.settings.timing;
        let reason = if error.is_timeout() && error.is_connect() {
            format!("no connection within {} s", timing.connect.as_secs())
        } else if error.is_timeout() {
            format!("nothing came for {} s", timing.stall.as_secs())
        } else {
            chain(error)
        };
        let certificate = rejected(error);
        let advice = match &certificate {
            Some(
                rustls::CertificateError::UnknownIssuer | rustls::CertificateError::BadSignature,
            ) => {
                " (no certification authority that is configured here signed the server's certificate)"
            }
            _ => "",
        };
        let proxy = self.settings.proxy.for_url(url);
        let via = proxy
            .map(|p| format!(", through proxy {}", Authority(p.with_secrets())))
            .unwrap_or_default();
        let text = self.settings.masked(&format!("{reason}{advice}{via}"));
        if certificate.is_some() || error.is_builder() {
            return Trouble::permanent(text);
        }
        Trouble {
            arrived: !error.is_connect(),
            ..Trouble::transient(text)
        }
    }

    /// The error that the rest of the program sees.
    pub(super) fn failure(&self, url: &Url, trouble: &Trouble) -> UpstreamError {
        let url: SafeUrl = shown(url);
        match trouble.kind {
            TroubleKind::Missing => UpstreamError::NotFound { url },
            TroubleKind::Whole => UpstreamError::NoRanges { url },
            TroubleKind::Transient | TroubleKind::Permanent => UpstreamError::Failed {
                url,
                reason: self.settings.masked(&trouble.reason),
            },
        }
    }
}

fn client(settings: &Settings, identity: Option<Identity>) -> Result<Client, NetError> {
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        // One is installed already, which is as good.
    }
    let mut roots = Vec::new();
    for der in &settings.roots {
        roots.push(Certificate::from_der(der).map_err(|e| cannot_start(&e))?);
    }
    let timing = &settings.timing;
    let mut builder = Client::builder()
        .user_agent(concat!("stage/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(timing.connect)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .tls_certs_only(roots);
    // It would also count while a request is still being sent.
    if !settings.uploads {
        builder = builder.read_timeout(timing.stall);
    }
    if !settings.proxy.is_empty() {
        let rules = settings.proxy.clone();
        builder = builder.proxy(reqwest::Proxy::custom(move |url| {
            rules.for_url(url).map(|proxy| proxy.with_secrets().clone())
        }));
    }
    if let Some(identity) = identity {
        builder = builder.identity(identity);
    }
    builder.build().map_err(|e| cannot_start(&e))
}

/// Host and port of a URL.
fn endpoint(url: &Url) -> Option<Endpoint> {
    let host = url.host_str()?;
    let host = host.trim_start_matches('[').trim_end_matches([']', '.']);
    Some(Endpoint {
        host: host.parse().ok()?,
        port: url.port_or_known_default()?,
    })
}

fn cannot_start(error: &reqwest::Error) -> NetError {
    NetError::Start {
        reason: chain(error),
    }
}

/// Where an answer redirects to; `None` when it does not.
fn redirect(url: &Url, response: &Response) -> Result<Option<Url>, Trouble> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let target = response.headers().get(header::LOCATION);
    let target = target.and_then(|value| value.to_str().ok());
    let joined = target.and_then(|text| url.join(text).ok());
    let next = joined.and_then(|next| web_url(next.as_str()));
    let Some(mut next) = next else {
        return Err(Trouble::permanent("redirect to no usable address"));
    };
    if url.scheme() == "https" && next.scheme() != "https" {
        return Err(Trouble::permanent(format!(
            "redirect from https to http, at {}, is refused",
            crate::base::text::escaped(&Authority(&next).to_string())
        )));
    }
    // A server does not hand out user names; and ours stay with the host they are for.
    if next.origin() != url.origin()
        && (next.set_username("").is_err() || next.set_password(None).is_err())
    {
        return Err(Trouble::permanent("redirect to no usable address"));
    }
    Ok(Some(next))
}

/// Turns a status that is no success into trouble.
fn judge(response: &Response, authorized: bool) -> Result<(), Trouble> {
    let status = response.status();
    if matches!(status.as_u16(), 200 | 206 | 304) {
        return Ok(());
    }
    let reason = format!("the server answered {status}");
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        return Err(Trouble {
            kind: TroubleKind::Missing,
            ..Trouble::permanent(reason)
        });
    }
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        return Err(Trouble::no_ranges());
    }
    let again = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        );
    if again {
        return Err(Trouble {
            after: retry_after(response.headers()),
            ..Trouble::transient(reason)
        });
    }
    let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    Err(Trouble::permanent(match (refused, authorized) {
        (true, true) => format!("{reason}: it does not accept the configured credential"),
        (true, false) => format!("{reason}: no credential is configured for it"),
        (false, _) => reason,
    }))
}

/// `Retry-After` (RFC 9110 §10.2.3): seconds, or a date, which is compared with the server's own clock.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    let value = text(header::RETRY_AFTER)?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| {
        let form = time::format_description::well_known::Rfc2822;
        time::OffsetDateTime::parse(text, &form).ok()
    };
    let wait = date(value)? - date(text(header::DATE)?)?;
    u64::try_from(wait.whole_seconds())
        .ok()
        .map(Duration::from_secs)
}

/// The messages of an error and its causes, without the URL and without what says nothing.
fn chain(error: &reqwest::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = crate::base::text::escaped(&cause.to_string());
        let vague = text.starts_with("client error") || text == "connection error";
        let said = parts.last().is_some_and(|last| last.contains(&text));
        if !vague && !said {
            parts.push(text);
        }
        next = cause.source();
    }
    if parts.is_empty() {
        return "the request failed".to_owned();
    }
    parts.join(": ")
}

/// Why a server's certificate was rejected, if that is what happened.
fn rejected(error: &reqwest::Error) -> Option<rustls::CertificateError> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(rustls::Error::InvalidCertificate(reason)) = cause.downcast_ref() {
            return Some(reason.clone());
        }
        // What an I/O error wraps is not its source.
        let wrapped = cause.downcast_ref::<std::io::Error>();
        next = match wrapped.and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

    use super::retry_after;

    #[test]
    fn retry_after_is_seconds_or_a_date_by_the_servers_clock() {
        let wait = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            headers.insert(DATE, "Fri, 31 Dec 1999 23:59:00 GMT".parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        let date = "Fri, 31 Dec 1999 23:59:59 GMT";
        assert_eq!(wait(date), Some(Duration::from_secs(59)));
        assert_eq!(wait("Fri, 31 Dec 1999 23:58:00 GMT"), None);
        assert_eq!(wait("soon"), None);
    }
}
