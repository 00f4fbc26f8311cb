//! Whole answers, kept in the cache: what resolvers ask for.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use reqwest::header::{self, HeaderName};
use reqwest::{Response, StatusCode};
use url::Url;

use crate::net::cache::{Coding, Entry};
use crate::net::client::{Ask, Engine, Trouble};
use crate::net::settings::shown;
use crate::upstream::{Answer, Content, Part, Request, UpstreamError, Want};

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
    let located = engine.settings.url_for(&request);
    let urls = engine.settings.urls_for(&request);
    let (url, urls) = match located.and_then(|url| Ok((url, urls?))) {
        Ok(found) => found,
        Err(error) => {
            let reason = error.to_string();
            return reply(&answers, request, Err(UpstreamError::NoAddress { reason }));
        }
    };
    let (url, found) = find(&engine, url, urls, &request).await;
    let finish = move || {
        let (decoded, new) = match found {
            Ok(Found { entry, new }) => (
                decode(&engine, &url, &entry, request.limit),
                new.then_some(entry),
            ),
            Err(error) => (Err(error), None),
        };
        let form = form(&request);
        let keep = new.filter(|_| decoded.is_ok());
        reply(&answers, request, decoded);
        if let Some(entry) = keep
            && let Err(error) = engine.cache.keep(&url, form.as_deref(), &entry)
        {
            // The answer is good all the same; the next run asks again.
            engine.settings.tell(|| format!("cache: {error}"));
        }
    };
    if tokio::task::spawn_blocking(finish).await.is_err() {
        // It has panicked, which the panic hook has told.
    }
}

/// What the cache has for a request, uncompressed; nobody is asked.
pub(super) fn kept(engine: &Engine, request: &Request) -> Option<Vec<u8>> {
    let urls = engine.settings.urls_for(request).ok()?;
    urls.iter().find_map(|url| {
        let entry = engine
            .cache
            .load(url, form(request).as_deref(), request.limit)?;
        entry.decoded(request.limit).ok()
    })
}

/// Which of the answers that a URL may have was asked for: what the cache tells them apart by.
fn form(request: &Request) -> Option<String> {
    match &request.want {
        Want::Part(part) => Some(part.to_string()),
        Want::Document | Want::Immutable | Want::Artifact(_) => request.accept.map(str::to_owned),
    }
}

fn decode(engine: &Engine, url: &Url, entry: &Entry, limit: u64) -> Answer {
    let decoded = entry.decoded(limit).map_err(|error| {
        let reason = format!("the answer cannot be read: {error}");
        engine.failure(url, &Trouble::permanent(reason))
    })?;
    Ok(match entry.part {
        None => Content::Document(decoded),
        Some((first, total)) => Content::Part {
            bytes: decoded,
            first,
            total,
        },
    })
}

fn reply(answers: &Sender<Answered>, request: Request, answer: Answer) {
    if answers.send((request, answer)).is_err() {
        // Whoever asked is gone.
    }
}

/// What the cache has under one of the addresses, else what the first of them that answers says; with the address. A
/// document that does not exist at one is not looked for at the others: its absence is an answer. What is asked for by
/// its digest is: there is but one answer, which a mirror may still or already have.
async fn find(
    engine: &Arc<Engine>,
    primary: Url,
    urls: Vec<Url>,
    request: &Request,
) -> (Url, Result<Found, UpstreamError>) {
    if engine.settings.offline || request.want != Want::Document {
        for url in &urls {
            if let Some(entry) = load(engine, url, request).await {
                return (url.clone(), Ok(Found { entry, new: false }));
            }
        }
    }
    let mut urls = engine.ordered(urls).into_iter();
    let mut url = urls.next().unwrap_or_else(|| primary.clone());
    let mut first: Option<(Url, UpstreamError)> = None;
    loop {
        if engine.settings.offline {
            let error = UpstreamError::Offline {
                url: shown(&primary),
            };
            return (primary, Err(error));
        }
        let next = urls.next();
        let trouble = match ask(engine, &url, request, next.is_some()).await {
            Ok(found) => return (url, Ok(found)),
            Err(trouble) => trouble,
        };
        let said = (url.clone(), engine.failure(&url, &trouble));
        let told = first.take().unwrap_or(said);
        let elsewhere = request.want == Want::Immutable && trouble.is_missing();
        match next.filter(|_| trouble.is_transient() || elsewhere) {
            Some(next) => {
                if trouble.is_transient() {
                    engine.is_down(&url);
                }
                first = Some(told);
                url = next;
            }
            None => return (told.0, Err(told.1)),
        }
    }
}

async fn ask(
    engine: &Arc<Engine>,
    url: &Url,
    request: &Request,
    quick: bool,
) -> Result<Found, Trouble> {
    let kept = load(engine, url, request).await;
    // A closed semaphore would mean that the program is ending.
    let _permit = engine.permits.acquire().await.ok();
    let ask = conditional(url, request, kept.as_ref());
    let fetched = engine
        .retrying(url, quick, || fetch(engine, &ask, request))
        .await;
    match (fetched?, kept) {
        (Some(entry), _) => Ok(Found { entry, new: true }),
        (None, Some(entry)) => Ok(Found { entry, new: false }),
        (None, None) => Err(Trouble::permanent(
            "the server answered 304 to a request without condition",
        )),
    }
}

async fn load(engine: &Arc<Engine>, url: &Url, request: &Request) -> Option<Entry> {
    let (engine, url, form, limit) = (engine.clone(), url.clone(), form(request), request.limit);
    let load = move || engine.cache.load(&url, form.as_deref(), limit);
    tokio::task::spawn_blocking(load).await.ok().flatten()
}

/// A GET that asks for nothing new if what is kept is still right (RFC 9110 §13.1), or for a part.
fn conditional(url: &Url, request: &Request, kept: Option<&Entry>) -> Ask {
    if let Want::Part(part) = &request.want {
        return Ask::get(url.clone())
            .with(header::ACCEPT_ENCODING, "identity")
            .with(header::RANGE, &part.to_string());
    }
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
async fn fetch(engine: &Engine, ask: &Ask, request: &Request) -> Result<Option<Entry>, Trouble> {
    let answer = engine.send_judged(ask).await?;
    let response = answer.response;
    let part = match (&request.want, response.status()) {
        (Want::Part(part), StatusCode::PARTIAL_CONTENT) => Some(sent_part(&response, *part)?),
        // Dropping the answer spares the rest of it.
        (Want::Part(_), _) => return Err(Trouble::no_ranges()),
        (_, StatusCode::NOT_MODIFIED) => return Ok(None),
        (_, StatusCode::PARTIAL_CONTENT) => {
            return Err(Trouble::permanent("the server sent a part unasked"));
        }
        _ => None,
    };
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
    let body = collect(engine, response, &ask.url, request.limit).await?;
    if let Some((_, length, _)) = part
        && (body.len() as u64 != length || coding != Coding::Identity)
    {
        return Err(Trouble::permanent(
            "the server sent another part than it said",
        ));
    }
    Ok(Some(Entry {
        etag,
        modified,
        coding,
        part: part.map(|(first, _, total)| (first, total)),
        body,
    }))
}

/// Offset and length of the part that is coming, and the size of the file (RFC 9110 §14.4); it must be the part that was
/// asked for.
fn sent_part(response: &Response, asked: Part) -> Result<(u64, u64, u64), Trouble> {
    let header = text(response, header::CONTENT_RANGE).unwrap_or_default();
    let numbers = || {
        let (range, total) = header.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let total: u64 = total.parse().ok()?;
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        let length = last.checked_sub(first)?.checked_add(1)?;
        let expected = match asked {
            Part::Last(length) => (total.saturating_sub(length), length.min(total)),
            Part::From { first, length } => (first, length.min(total.checked_sub(first)?)),
        };
        (expected == (first, length)).then_some((first, length, total))
    };
    numbers().ok_or_else(|| Trouble::permanent("the server sent another part than asked"))
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
