//! One artifact from its upstream into the store: continued where an earlier run stopped, hashed while it is written.

use crate::base::digest::UpstreamChecksum;
use crate::base::fault::Fault;
use crate::net::{Downloader, Resume};
use crate::store::{RESUME_FROM, Store, StoreError, Stored};
use crate::upstream::{Request, SafeUrl};

/// Is told how a download goes on, from any thread.
pub(super) trait Meter {
    /// The size of the whole file in bytes, if the server says it, and how much of it is there already.
    fn expect(&self, size: Option<u64>, have: u64);

    /// So many bytes more.
    fn advance(&self, bytes: u64);
}

/// Looks at nothing.
impl Meter for () {
    fn expect(&self, _size: Option<u64>, _have: u64) {}

    fn advance(&self, _bytes: u64) {}
}

/// Why an artifact is not in the store.
#[derive(Debug)]
pub(super) struct NotStored {
    /// Where it was asked for; `None` when no address is configured.
    pub(super) url: Option<SafeUrl>,
    /// Why.
    pub(super) cause: Box<dyn Fault>,
}

impl NotStored {
    /// Why, with all causes, in one line.
    pub(super) fn chain(cause: &dyn Fault) -> String {
        let mut text = cause.to_string();
        let mut next = cause.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&crate::base::text::visible(&cause.to_string()));
            next = cause.source();
        }
        text
    }
}

/// What became of a download.
enum Outcome {
    Stored(Stored),
    Spoiled,
}

/// Downloads what `request` names, if `checksum` confirms it.
pub(super) fn download(
    store: &Store,
    downloader: &Downloader,
    request: &Request,
    checksum: &UpstreamChecksum,
    meter: &dyn Meter,
) -> Result<Stored, NotStored> {
    let urls = downloader.locate_all(request).map_err(|error| NotStored {
        url: None,
        cause: error.into(),
    })?;
    let mut urls = urls.into_iter().peekable();
    let mut first = None;
    while let Some(url) = urls.next() {
        let way = Way {
            url,
            limit: request.limit,
            quick: urls.peek().is_some(),
        };
        let failed = match whole(store, downloader, &way, checksum, meter) {
            Ok(stored) => return Ok(stored),
            Err(failed) => failed,
        };
        // Other bytes are an answer, and the last one: nobody is asked for better ones.
        if !ELSEWHERE.contains(&failed.cause.code().name) {
            return Err(failed);
        }
        first.get_or_insert(failed);
    }
    Err(first.unwrap_or_else(|| NotStored {
        url: None,
        cause: StoreError::changed().into(),
    }))
}

/// Codes of failures after which a mirror is asked: no answer, no such artifact, an answer that broke off.
const ELSEWHERE: [&str; 3] = ["upstream-failed", "upstream-not-found", "fetch-interrupted"];

/// One address to download from.
struct Way {
    url: SafeUrl,
    limit: u64,
    /// Whether one attempt is enough, because there is another address.
    quick: bool,
}

/// The artifact from one address.
fn whole(
    store: &Store,
    downloader: &Downloader,
    way: &Way,
    checksum: &UpstreamChecksum,
    meter: &dyn Meter,
) -> Result<Stored, NotStored> {
    let url = &way.url;
    let attempt = || {
        attempt(store, downloader, way, checksum, meter).map_err(|cause| NotStored {
            url: Some(url.clone()),
            cause,
        })
    };
    // What an earlier run left may be to blame, and is gone then: once more, from the beginning.
    for _ in 0..2 {
        if let Outcome::Stored(stored) = attempt()? {
            return Ok(stored);
        }
    }
    Err(NotStored {
        url: Some(url.clone()),
        cause: StoreError::changed().into(),
    })
}

/// One download. [`Outcome::Spoiled`]: it went on with bytes of an earlier run and came out wrong.
fn attempt(
    store: &Store,
    downloader: &Downloader,
    way: &Way,
    checksum: &UpstreamChecksum,
    meter: &dyn Meter,
) -> Result<Outcome, Box<dyn Fault>> {
    let mut incoming = store.resume(way.limit, checksum)?;
    let resume = incoming.validator()?.map(|validator| Resume {
        offset: incoming.size(),
        validator,
    });
    let body = downloader.open(&way.url, way.limit, resume, way.quick)?;
    if !body.resumed {
        incoming.restart()?;
    }
    if body.size.is_none_or(|size| size >= RESUME_FROM) {
        incoming.set_validator(body.validator.as_deref())?;
    }
    meter.expect(body.size, incoming.size());
    let (resumed, hosts) = (body.resumed, body.hosts.clone());
    incoming.read_from(body, |read| meter.advance(read))?;
    match incoming.finish(&hosts) {
        Err(StoreError::Mismatch { .. }) if resumed => Ok(Outcome::Spoiled),
        other => Ok(Outcome::Stored(other?)),
    }
}
