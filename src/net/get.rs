//! Whole answers, kept in the cache: what resolvers ask for.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use reqwest::header::{self, HeaderName};
use reqwest::{Response, StatusCode};
use url::Url;

use crate::net::cache::{Coding, Entry};
use crate::net::client::{Ask, Engine, Trouble};
use crate::net::settings::shown;
use crate::upstream::{Answer, Content, Request, UpstreamError, Want};

/// A request and its answer.
pub type Answered = (Request, Answer);

/// What is to be done with the bytes once the network has done its part.
struct Found {
    entry: Entry,
    /// Whether the cache does not have it yet.
    new: bool,
}

/// Answers one request. Decoding and keeping happen on another thread, after the answer is on its way.
pub(super) async fn answer(engine: Arc<Engine>, request: Request, answers: Sender<Answered>) {
    let url = match engine.settings.url_for(&request) {
        Ok(url) => url,
        Err(error) => {
            let reason = error.to_string();
            return reply(&answers, request, Err(UpstreamError::NoAddress { reason }));
        }
    };
    let found = find(&engine, &url, &request).await;
    let finish = move || {
        let (decoded, new) = match found {
            Ok(Found { entry, new }) => (
                decode(&engine, &url, &entry, request.limit),
                new.then_some(entry),
            ),
            Err(error) => (Err(error), None),
        };
        let accept = request.accept;
        let keep = new.filter(|_| decoded.is_ok());
        reply(&answers, request, decoded.map(Content::Document));
        if let Some(entry) = keep
            && let Err(error) = engine.cache.keep(&url, accept, &entry)
        {
            // The answer is good all the same; the next run asks again.
            engine.settings.tell(|| format!("cache: {error}"));
        }
    };
    if tokio::task::spawn_blocking(finish).await.is_err() {
        // It has panicked, which the panic hook has told.
    }
}

fn decode(engine: &Engine, url: &Url, entry: &Entry, limit: u64) -> Result<Vec<u8>, UpstreamError> {
    entry.decoded(limit).map_err(|error| {
        let reason = format!("the answer cannot be read: {error}");
        engine.failure(url, &Trouble::permanent(reason))
    })
}

fn reply(answers: &Sender<Answered>, request: Request, answer: Answer) {
    if answers.send((request, answer)).is_err() {
        // Whoever asked is gone.
    }
}

async fn find(engine: &Arc<Engine>, url: &Url, request: &Request) -> Result<Found, UpstreamError> {
    let kept = load(engine, url, request).await;
    if let Some(entry) = &kept
        && (engine.settings.offline || request.want != Want::Document)
    {
        return Ok(Found {
            entry: entry.clone(),
            new: false,
        });
    }
    if engine.settings.offline {
        return Err(UpstreamError::Offline { url: shown(url) });
    }
    // A closed semaphore would mean that the program is ending.
    let _permit = engine.permits.acquire().await.ok();
    let fail = |trouble: Trouble| engine.failure(url, &trouble);
    let ask = conditional(url, request, kept.as_ref());
    let fetched = engine
        .retrying(url, || fetch(engine, &ask, request.limit))
        .await;
    match (fetched.map_err(fail)?, kept) {
        (Some(entry), _) => Ok(Found { entry, new: true }),
        (None, Some(entry)) => Ok(Found { entry, new: false }),
        (None, None) => Err(fail(Trouble::permanent(
            "the server answered 304 to a request without condition",
        ))),
    }
}

async fn load(engine: &Arc<Engine>, url: &Url, request: &Request) -> Option<Entry> {
    let (engine, url, accept, limit) = (engine.clone(), url.clone(), request.accept, request.limit);
    let load = move || engine.cache.load(&url, accept, limit);
    tokio::task::spawn_blocking(load).await.ok().flatten()
}

/// A GET that asks for nothing new if what is kept is still right (RFC 9110 §13.1).
fn conditional(url: &Url, request: &Request, kept: Option<&Entry>) -> Ask {
    let mut ask = Ask::get(url.clone()).with(header::ACCEPT_ENCODING, "gzip");
    if let Some(accept) = request.accept {
        ask = ask.with(header::ACCEPT, accept);
    }
    let etag = kept.and_then(|entry| entry.etag.as_deref());
    let modified = kept.and_then(|entry| entry.modified.as_deref());
    match (etag, modified) {
        (Some(etag), _) => ask.with(header::IF_NONE_MATCH, etag),
        (None, Some(modified)) => ask.with(header::IF_MODIFIED_SINCE, modified),
        (None, None) => ask,
    }
}

/// One attempt; `None` when what is kept is still right.
async fn fetch(engine: &Engine, ask: &Ask, limit: u64) -> Result<Option<Entry>, Trouble> {
    let answer = engine.send_judged(ask).await?;
    let response = answer.response;
    if response.status() == StatusCode::NOT_MODIFIED {
        return Ok(None);
    }
    let coding = match text(&response, header::CONTENT_ENCODING).as_deref() {
        None | Some("identity") => Coding::Identity,
        Some("gzip" | "x-gzip") => Coding::Gzip,
        Some(other) => {
            return Err(Trouble::permanent(format!(
                "content coding {} was not asked for",
                crate::base::text::quoted(other)
            )));
        }
    };
    let etag = text(&response, header::ETAG);
    let modified = text(&response, header::LAST_MODIFIED);
    let body = collect(engine, response, &ask.url, limit).await?;
    Ok(Some(Entry {
        etag,
        modified,
        coding,
        body,
    }))
}

/// Reads a body of at most `limit` bytes as sent.
async fn collect(
    engine: &Engine,
    mut response: Response,
    url: &Url,
    limit: u64,
) -> Result<Vec<u8>, Trouble> {
    let too_large = || Trouble::permanent(format!("more than the allowed {limit} bytes"));
    let announced = response.content_length().unwrap_or(0);
    if announced > limit {
        return Err(too_large());
    }
    let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| engine.explain(&error, url))?
    {
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A header's value, if it has one that is text.
pub(super) fn text(response: &Response, name: HeaderName) -> Option<String> {
    let value = response.headers().get(name)?;
    value.to_str().ok().map(str::to_owned)
}
