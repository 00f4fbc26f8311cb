//! Calls with a body: one question to a service, with bytes that it is to keep, and its whole answer.
//!
//! What may have arrived is not sent again from here: a request that adds something is repeated only when it did not reach
//! the server, or the server said that it did nothing (429, or 503 with a time to come again). Redirects are not followed:
//! a body goes to the address that it is for.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::task::{Context, Poll};
use std::time::Duration;

use backon::BackoffBuilder as _;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response};
use url::Url;

use crate::base::progress::Progress;
use crate::net::client::{Ask, Engine, Trouble, retry_after};
use crate::net::{Command, HttpUpstream};

/// Bytes of a body that are handed on at a time.
const PIECE: usize = 64 << 10;
/// How often a progress display is brought up to date.
const TICK: Duration = Duration::from_millis(100);
/// So many times as long as between two pieces, an answer may take after everything was sent: services look into files.
const PATIENCE: u32 = 10;

/// What is done to the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Adds.
    Post,
    /// Changes.
    Patch,
}

impl Verb {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
        }
    }
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// What is done.
    pub verb: Verb,
    /// To what.
    pub url: Url,
    /// Headers besides those of the transport and the credential.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent, in pieces; none = no body.
    pub body: Vec<Bytes>,
    /// Most bytes of an answer.
    pub limit: u64,
    /// How long to wait before it is made.
    pub pause: Duration,
}

impl Call {
    /// Bytes of the body.
    pub fn size(&self) -> u64 {
        self.body.iter().map(|piece| piece.len() as u64).sum()
    }
}

/// An answer, whatever it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Where it redirects to.
    pub location: Option<String>,
    /// Its content.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// What happened, escaped and without secrets.
    pub reason: String,
    /// Whether the server may have done what it was asked.
    pub arrived: bool,
}

/// A body on its way.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pieces: Vec<Bytes>,
    sent: Arc<AtomicU64>,
}

impl Outgoing {
    /// The body for one attempt.
    pub(super) fn body(&self) -> reqwest::Body {
        let mut pieces = self.pieces.clone();
        pieces.reverse();
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        self.sent.store(0, Ordering::Relaxed);
        reqwest::Body::wrap(Pieces {
            next: pieces,
            left,
            sent: self.sent.clone(),
        })
    }
}

/// What is left of a body, its next piece last.
struct Pieces {
    next: Vec<Bytes>,
    left: u64,
    sent: Arc<AtomicU64>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(mut piece) = self.next.pop() else {
            return Poll::Ready(None);
        };
        if piece.len() > PIECE {
            let rest = piece.split_off(PIECE);
            self.next.push(rest);
        }
        let size = piece.len() as u64;
        self.left = self.left.saturating_sub(size);
        self.sent.fetch_add(size, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A call to make.
pub(super) struct Start {
    call: Call,
    sent: Arc<AtomicU64>,
    reply: Sender<Result<Reply, Unanswered>>,
}

impl HttpUpstream {
    /// Makes a call and waits for its answer. What was sent of the body is told to `progress`.
    pub fn exchange(&self, call: Call, progress: &dyn Progress) -> Result<Reply, Unanswered> {
        let ended = || Unanswered {
            reason: "the network client has ended".to_owned(),
            arrived: true,
        };
        let (reply, answer) = channel();
        let sent = Arc::new(AtomicU64::new(0));
        let start = Start {
            call,
            sent: sent.clone(),
            reply,
        };
        self.commands
            .send(Command::Exchange(start))
            .map_err(|_gone| ended())?;
        let mut told = 0;
        loop {
            let came = answer.recv_timeout(TICK);
            // A further attempt begins at nothing again; what was told once stays.
            let now = sent.load(Ordering::Relaxed);
            progress.advance(now.saturating_sub(told));
            told = told.max(now);
            match came {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
            }
        }
    }
}

/// Makes one call.
pub(super) async fn run(engine: Arc<Engine>, start: Start) {
    let Start { call, sent, reply } = start;
    let answer = answer(&engine, &call, sent).await;
    if reply.send(answer).is_err() {
        // Whoever asked is gone.
    }
}

async fn answer(engine: &Engine, call: &Call, sent: Arc<AtomicU64>) -> Result<Reply, Unanswered> {
    if engine.settings.offline {
        return Err(Unanswered {
            reason: "the network may not be used".to_owned(),
            arrived: false,
        });
    }
    let ask = ask(call, &sent);
    tokio::time::sleep(call.pause).await;
    let mut waits = engine.backoff().build();
    loop {
        let attempt = attempt(engine, call, &ask, &sent).await;
        let (again, after) = match &attempt {
            Ok((reply, after)) => (may_repeat(call.verb, reply.status, *after), *after),
            Err(trouble) => {
                let harmless = call.verb == Verb::Get || !trouble.arrived;
                (trouble.is_transient() && harmless, None)
            }
        };
        let next = if again { waits.next() } else { None };
        let Some(wait) = next else {
            return attempt
                .map(|(reply, _)| reply)
                .map_err(|trouble| Unanswered {
                    reason: engine.settings.masked(&trouble.reason),
                    arrived: trouble.arrived,
                });
        };
        let longest = engine.settings.timing.retry_after;
        tokio::time::sleep(after.map_or(wait, |after| after.min(longest))).await;
    }
}

/// Whether an answer says that nothing was done and that it may be asked again.
fn may_repeat(verb: Verb, status: u16, after: Option<Duration>) -> bool {
    match status {
        429 => true,
        503 => verb == Verb::Get || after.is_some(),
        408 | 500 | 502 | 504 => verb == Verb::Get,
        _ => false,
    }
}

fn ask(call: &Call, sent: &Arc<AtomicU64>) -> Ask {
    let mut headers = HeaderMap::new();
    for (name, value) in &call.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    let body = (!call.body.is_empty()).then(|| Outgoing {
        pieces: call.body.clone(),
        sent: sent.clone(),
    });
    Ask {
        method: match call.verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Patch => Method::PATCH,
        },
        url: call.url.clone(),
        headers,
        body,
    }
}

/// Sends it once and reads the answer; with it, how long the server wants to be left alone.
async fn attempt(
    engine: &Engine,
    call: &Call,
    ask: &Ask,
    sent: &AtomicU64,
) -> Result<(Reply, Option<Duration>), Trouble> {
    let mut response = patient(engine, call.size(), sent, engine.send_direct(ask)).await??;
    let after = retry_after(response.headers());
    let location = response.headers().get(header::LOCATION);
    let location = location.and_then(|value| value.to_str().ok());
    let mut reply = Reply {
        status: response.status().as_u16(),
        location: location.map(str::to_owned),
        body: Vec::new(),
    };
    while let Some(chunk) = chunk(engine, &call.url, &mut response).await? {
        if (reply.body.len() + chunk.len()) as u64 > call.limit {
            return Err(Trouble {
                arrived: true,
                ..Trouble::permanent(format!(
                    "the answer has more than the allowed {} bytes",
                    call.limit
                ))
            });
        }
        reply.body.extend_from_slice(&chunk);
    }
    Ok((reply, after))
}

/// Waits as long as something is going out, and then for the answer.
async fn patient<T>(
    engine: &Engine,
    size: u64,
    sent: &AtomicU64,
    work: impl Future<Output = T>,
) -> Result<T, Trouble> {
    let stall = engine.settings.timing.stall;
    let mut work = pin!(work);
    let mut before = sent.load(Ordering::Relaxed);
    loop {
        let all = before >= size;
        let wait = if all { stall * PATIENCE } else { stall };
        if let Ok(done) = tokio::time::timeout(wait, work.as_mut()).await {
            return Ok(done);
        }
        let now = sent.load(Ordering::Relaxed);
        if now == before {
            return Err(stalled(wait));
        }
        before = now;
    }
}

async fn chunk(
    engine: &Engine,
    url: &Url,
    response: &mut Response,
) -> Result<Option<Bytes>, Trouble> {
    let stall = engine.settings.timing.stall;
    let came = tokio::time::timeout(stall, response.chunk()).await;
    came.map_err(|_late| stalled(stall))?
        .map_err(|error| engine.explain(&error, url))
}

fn stalled(wait: Duration) -> Trouble {
    Trouble {
        arrived: true,
        ..Trouble::transient(format!("nothing came for {} s", wait.as_secs()))
    }
}
