//! From lock to store: every artifact that crosses the gap is downloaded, hashed while it is written, and kept only
//! if it is what the lock says. What is there already is not asked for; what was cut off is continued. In the end the
//! store is held against the records, as far as no digest confirmed what they say.

mod artifact;
mod confirm;
mod locate;
mod proofs;
mod supply;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use url::Url;

use crate::base::digest::UpstreamChecksum;
use crate::base::fault::{Code, Fault};
use crate::base::limits::LIMITS;
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::progress::{Progress, Unit};
use crate::eco::EcoError;
use crate::fetch::artifact::{Meter, NotStored};
pub use crate::fetch::proofs::{Proofs, proofs};
pub use crate::fetch::supply::Supply;
use crate::fs::FsError;
use crate::lock::{Lock, LockedArtifact, LockedPackage, Records};
use crate::net::settings::shown;
use crate::net::{Downloader, HttpUpstream, NetError};
use crate::store::{Store, Stored};
use crate::upstream::{Link, Request, SafeUrl, Want};

/// Why nothing could be fetched at all.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] FsError),
    /// The network cannot be used, or a host that is needed cannot be reached.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The records of the lock cannot be read.
    #[error(transparent)]
    Records(#[from] EcoError),
}

impl Fault for FetchError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Store(error) => error.code(),
            Self::Net(error) => error.code(),
            Self::Records(error) => error.code(),
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Store(error) => error.facts(),
            Self::Net(error) => error.facts(),
            Self::Records(error) => error.facts(),
        }
    }
}

/// An artifact that could not be fetched, or is not what the records say.
#[derive(Debug, thiserror::Error)]
#[error("artifact `{file}` of {ecosystem} `{package}` {}: {cause}", self.outcome())]
pub struct FetchFailure {
    /// Its ecosystem.
    pub ecosystem: EcosystemId,
    /// Its release.
    pub package: ReleaseId,
    /// Its file name, escaped.
    pub file: String,
    /// Where it was asked for; `None` when no address is configured.
    pub url: Option<SafeUrl>,
    /// Whether its bytes are in the store all the same: they are what the lock names.
    pub stored: bool,
    /// Why.
    pub cause: Box<dyn Fault>,
}

impl FetchFailure {
    const fn outcome(&self) -> &'static str {
        if self.stored {
            "cannot be used"
        } else {
            "was not stored"
        }
    }

    /// Why, with all causes, in one line.
    pub fn reason(&self) -> String {
        NotStored::chain(self.cause.as_ref())
    }
}

impl Fault for FetchFailure {
    fn code(&self) -> &'static Code {
        self.cause.code()
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let from = self.url.iter().map(|url| ("from", format!("<{url}>")));
        let because =
            std::error::Error::source(self.cause.as_ref()).map(|_| ("reason", self.reason()));
        from.chain(self.cause.facts()).chain(because).collect()
    }
}

/// What was done.
#[derive(Debug, Default)]
pub struct FetchReport {
    /// Artifacts downloaded and stored.
    pub fetched: usize,
    /// Artifacts that were in the store.
    pub reused: usize,
    /// Bytes of the stored downloads.
    pub bytes: u64,
    /// What could not be fetched or is not what the records say, by ecosystem, release and file.
    pub failures: Vec<FetchFailure>,
}

/// One artifact to fetch.
struct Item<'a> {
    package: &'a LockedPackage,
    artifact: &'a LockedArtifact,
    /// Where it is, if not below its upstream's address.
    link: Option<Link>,
}

impl Item<'_> {
    fn request(&self) -> Request {
        Request {
            upstream: self.artifact.upstream.clone(),
            path: self.artifact.path.clone(),
            accept: None,
            limit: self.artifact.size.unwrap_or(LIMITS.artifact),
            want: Want::Artifact(self.artifact.checksum.clone()),
            link: self.link.clone(),
        }
    }

    fn failure(&self, failed: NotStored) -> Box<FetchFailure> {
        Box::new(FetchFailure {
            ecosystem: self.package.ecosystem.clone(),
            package: self.package.id(),
            file: crate::base::text::escaped(&self.artifact.file),
            url: failed.url.map(|url| shown(url.with_secrets())),
            stored: false,
            cause: failed.cause,
        })
    }
}

/// Fetches every carried artifact of `lock` that is not in `store`, as many at a time as the upstream's settings say.
/// Before that, every host that is needed must answer. Artifacts that fail do not stop the others. Then everything that
/// is stored is held against `records`, the lock's records, as its ecosystem wants it.
pub fn run(
    lock: &Lock,
    records: &Records,
    store: &Store,
    upstream: &mut HttpUpstream,
    progress: &dyn Progress,
) -> Result<FetchReport, FetchError> {
    let mut report = download(lock, store, upstream, progress)?;
    report
        .failures
        .extend(confirm::confirm(lock, records, store)?);
    report.failures.sort_by(|a, b| {
        (&a.ecosystem, &a.package, &a.file).cmp(&(&b.ecosystem, &b.package, &b.file))
    });
    Ok(report)
}

/// Fetches what is missing.
fn download(
    lock: &Lock,
    store: &Store,
    upstream: &mut HttpUpstream,
    progress: &dyn Progress,
) -> Result<FetchReport, FetchError> {
    let (items, reused) = missing(lock, store)?;
    let mut report = FetchReport {
        reused,
        ..FetchReport::default()
    };
    if items.is_empty() {
        return Ok(report);
    }
    let items = locate::locate(items, upstream, &mut report.failures)?;
    let downloader = upstream.downloader();
    let requests = items.iter().map(Item::request);
    upstream.preflight(&addresses(requests, &downloader))?;
    let known: u64 = items.iter().filter_map(|item| item.artifact.size).sum();
    let noun = if items.len() == 1 {
        "artifact"
    } else {
        "artifacts"
    };
    progress.begin(
        &format!("Fetching {} {noun}", items.len()),
        known,
        Unit::Bytes,
    );
    let work = Work {
        store,
        downloader,
        progress,
        total: AtomicU64::new(known),
        queue: Mutex::new(items.into_iter()),
        report: Mutex::new(&mut report),
    };
    let workers = upstream.settings().jobs.max(1);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| work.run());
        }
    });
    progress.end();
    Ok(report)
}

/// The artifacts that are not in the store, each content once, and how many are.
fn missing<'a>(lock: &'a Lock, store: &Store) -> Result<(Vec<Item<'a>>, usize), FsError> {
    let (mut items, mut reused) = (Vec::new(), 0);
    let mut seen: BTreeSet<&UpstreamChecksum> = BTreeSet::new();
    for (package, artifact) in lock.carried_artifacts() {
        if !seen.insert(&artifact.checksum) {
            continue;
        }
        if store.find(&artifact.checksum)?.is_some() {
            reused += 1;
        } else {
            items.push(Item {
                package,
                artifact,
                link: None,
            });
        }
    }
    Ok((items, reused))
}

/// One URL of each host. What has no URL fails later, by name.
fn addresses(requests: impl Iterator<Item = Request>, downloader: &Downloader) -> Vec<Url> {
    let mut origins = BTreeSet::new();
    requests
        .filter_map(|request| downloader.locate(&request).ok())
        .map(|url| url.with_secrets().clone())
        .filter(|url| origins.insert(url.origin().ascii_serialization()))
        .collect()
}

/// What the workers share.
struct Work<'a, 'r> {
    store: &'a Store,
    downloader: Downloader,
    progress: &'a dyn Progress,
    total: AtomicU64,
    queue: Mutex<std::vec::IntoIter<Item<'a>>>,
    report: Mutex<&'r mut FetchReport>,
}

impl Work<'_, '_> {
    fn run(&self) {
        while let Some(item) = self.queue.lock().ok().and_then(|mut queue| queue.next()) {
            let result = self.fetch(&item);
            let Ok(mut report) = self.report.lock() else {
                return;
            };
            match result {
                Ok(stored) => {
                    report.fetched += 1;
                    report.bytes += stored.size;
                }
                Err(failure) => report.failures.push(*failure),
            }
        }
    }

    fn fetch(&self, item: &Item<'_>) -> Result<Stored, Box<FetchFailure>> {
        let meter = Meters {
            progress: self.progress,
            total: &self.total,
            known: item.artifact.size.is_some(),
        };
        let (request, checksum) = (item.request(), &item.artifact.checksum);
        artifact::download(self.store, &self.downloader, &request, checksum, &meter)
            .map_err(|failed| item.failure(failed))
    }
}

/// One download's part of the display.
struct Meters<'a> {
    progress: &'a dyn Progress,
    total: &'a AtomicU64,
    /// Whether the total counts its size already.
    known: bool,
}

impl Meter for Meters<'_> {
    fn expect(&self, size: Option<u64>, have: u64) {
        if let Some(size) = size.filter(|_| !self.known) {
            let before = self.total.fetch_add(size, Ordering::Relaxed);
            self.progress.total(before + size);
        }
        if have > 0 {
            self.progress.advance(have);
        }
    }

    fn advance(&self, bytes: u64) {
        self.progress.advance(bytes);
    }
}
