//! Streams: a file of any size, piece by piece, to a blocking reader. An interrupted answer is continued where it
//! stopped; the reader notices nothing but the wait.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use backon::BackoffBuilder as _;
use reqwest::header;
use reqwest::{Response, StatusCode};
use tokio::sync::mpsc;
use url::Url;

use crate::net::client::{Answer, Ask, Engine, Trouble};
use crate::net::get::text;
use crate::net::settings::shown;
use crate::upstream::UpstreamError;

/// Pieces that may wait for the reader; each is at most some tens of KiB.
const QUEUE: usize = 32;
/// So many bytes without trouble, and the attempts are counted anew.
const PROGRESS: u64 = 1 << 20;

/// Where to go on with a file of which the beginning is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// Bytes that are there.
    pub offset: u64,
    /// The [`Body::validator`] of the answer they came from.
    pub validator: String,
}

/// A stream to start.
pub(super) struct Start {
    pub(super) url: Url,
    pub(super) limit: u64,
    pub(super) resume: Option<Resume>,
    pub(super) reply: Sender<Result<Body, UpstreamError>>,
    /// Whether one attempt is enough, because another address can be asked.
    pub(super) quick: bool,
}

/// An answer being received. Reading blocks; an error means that all attempts failed.
#[derive(Debug)]
pub struct Body {
    /// Whether the answer goes on at [`Resume::offset`]; else it begins at the beginning.
    pub resumed: bool,
    /// Size of the whole file in bytes, where the server says it.
    pub size: Option<u64>,
    /// What identifies this state of the file at the server: a strong `ETag`, else `Last-Modified`.
    pub validator: Option<String>,
    /// Each `host:port` on the way, sorted.
    pub hosts: Vec<String>,
    pieces: mpsc::Receiver<Result<Vec<u8>, String>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buf)?;
            if read > 0 || buf.is_empty() {
                return Ok(read);
            }
            match self.pieces.blocking_recv() {
                Some(Ok(piece)) => self.piece = io::Cursor::new(piece),
                Some(Err(reason)) => return Err(io::Error::other(reason)),
                None => return Ok(0),
            }
        }
    }
}

/// The state of one stream.
struct Stream {
    engine: Arc<Engine>,
    url: Url,
    limit: u64,
    /// Bytes of the file that the reader has or is about to get.
    position: u64,
    validator: Option<String>,
    pieces: mpsc::Sender<Result<Vec<u8>, String>>,
}

/// Runs one stream to its end.
pub(super) async fn run(engine: Arc<Engine>, start: Start) {
    let Start {
        url,
        limit,
        resume,
        quick,
        reply,
    } = start;
    if engine.settings.offline {
        let url = shown(&url);
        return refuse(&reply, UpstreamError::Offline { url });
    }
    let _permit = engine.permits.acquire().await.ok();
    let (pieces, receiver) = mpsc::channel(QUEUE);
    let mut stream = Stream {
        engine: engine.clone(),
        url: url.clone(),
        limit,
        position: resume.as_ref().map_or(0, |r| r.offset),
        validator: resume.map(|r| r.validator),
        pieces,
    };
    match stream.open(quick).await {
        Ok((response, resumed, hosts)) => {
            let left = response.content_length();
            let body = Body {
                resumed,
                size: left.map(|left| left + stream.position),
                validator: stream.validator.clone(),
                hosts,
                pieces: receiver,
                piece: io::Cursor::default(),
            };
            if reply.send(Ok(body)).is_ok() {
                stream.pump(response).await;
            }
        }
        Err(trouble) => {
            if quick && trouble.is_transient() {
                engine.is_down(&url);
            }
            refuse(&reply, engine.failure(&url, &trouble));
        }
    }
}

fn refuse(reply: &Sender<Result<Body, UpstreamError>>, error: UpstreamError) {
    if reply.send(Err(error)).is_err() {
        // Whoever asked is gone.
    }
}

impl Stream {
    /// Gets the first answer. Sets the position to where it begins.
    async fn open(&mut self, quick: bool) -> Result<(Response, bool, Vec<String>), Trouble> {
        let engine = self.engine.clone();
        let url = self.url.clone();
        let opened = engine.retrying(&url, quick, || self.ask()).await;
        let (answer, from) = match opened {
            Err(_) if self.position > 0 => {
                // Whatever the trouble with the range is, the whole file may be had.
                self.position = 0;
                self.validator = None;
                engine.retrying(&url, quick, || self.ask()).await?
            }
            other => other?,
        };
        let resumed = from > 0;
        self.position = from;
        let strong = text(&answer.response, header::ETAG).filter(|tag| !tag.starts_with("W/"));
        self.validator = strong.or_else(|| text(&answer.response, header::LAST_MODIFIED));
        Ok((answer.response, resumed, answer.hosts))
    }

    /// One attempt to get the file from the position on; says where the answer really begins.
    async fn ask(&self) -> Result<(Answer, u64), Trouble> {
        let mut ask = Ask::get(self.url.clone()).with(header::ACCEPT_ENCODING, "identity");
        if let Some(validator) = self.validator.as_ref().filter(|_| self.position > 0) {
            let range = format!("bytes={}-", self.position);
            ask = ask
                .with(header::RANGE, &range)
                .with(header::IF_RANGE, validator);
        }
        let answer = self.engine.send_judged(&ask).await?;
        let response = &answer.response;
        if text(response, header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Err(Trouble::permanent(
                "the server sent a content coding unasked",
            ));
        }
        let from = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if begins_at(response, self.position) => self.position,
            _ => {
                return Err(Trouble::permanent(
                    "the server sent another range than asked",
                ));
            }
        };
        let announced = response.content_length().unwrap_or(0).saturating_add(from);
        if announced > self.limit {
            return Err(self.too_large());
        }
        Ok((answer, from))
    }

    fn too_large(&self) -> Trouble {
        Trouble::permanent(format!("more than the allowed {} bytes", self.limit))
    }

    /// Hands on the answer, and what completes it when it breaks off.
    async fn pump(&mut self, mut response: Response) {
        let mut skip = 0;
        let mut waits = self.engine.backoff().build();
        let mut counted_from = self.position;
        loop {
            let Err(trouble) = self.receive(response, skip).await else {
                return;
            };
            if self.position.saturating_sub(counted_from) >= PROGRESS {
                waits = self.engine.backoff().build();
            }
            counted_from = self.position;
            match self.again(trouble, &mut waits).await {
                Ok((answer, from)) => {
                    skip = self.position - from;
                    response = answer.response;
                }
                Err(trouble) => {
                    let reason = self.engine.settings.masked(&trouble.reason);
                    if self.pieces.send(Err(reason)).await.is_err() {
                        // The reader is gone.
                    }
                    return;
                }
            }
        }
    }

    /// Waits and asks for the rest, as long as there are waits left.
    async fn again(
        &self,
        mut trouble: Trouble,
        waits: &mut impl Iterator<Item = Duration>,
    ) -> Result<(Answer, u64), Trouble> {
        while trouble.is_transient() {
            let Some(wait) = waits.next() else { break };
            let longest = self.engine.settings.timing.retry_after;
            tokio::time::sleep(trouble.after.map_or(wait, |after| after.min(longest))).await;
            match self.ask().await {
                Ok(found) => return Ok(found),
                Err(next) => trouble = next,
            }
        }
        Err(trouble)
    }

    /// Hands on one answer without its first `skip` bytes.
    async fn receive(&mut self, mut response: Response, mut skip: u64) -> Result<(), Trouble> {
        loop {
            let chunk = response.chunk().await;
            let Some(chunk) = chunk.map_err(|error| self.engine.explain(&error, &self.url))? else {
                return Ok(());
            };
            let dropped = skip.min(chunk.len() as u64);
            skip -= dropped;
            let rest = chunk.slice(usize::try_from(dropped).unwrap_or(chunk.len())..);
            if rest.is_empty() {
                continue;
            }
            self.position += rest.len() as u64;
            if self.position > self.limit {
                return Err(self.too_large());
            }
            if self.pieces.send(Ok(Vec::from(rest))).await.is_err() {
                // The reader has seen enough.
                return Ok(());
            }
        }
    }
}

/// Whether a partial answer begins at `offset` (RFC 9110 §14.4).
fn begins_at(response: &Response, offset: u64) -> bool {
    let range = text(response, header::CONTENT_RANGE).unwrap_or_default();
    let begin = range
        .strip_prefix("bytes ")
        .and_then(|rest| rest.split('-').next());
    begin.and_then(|begin| begin.parse().ok()) == Some(offset)
}
