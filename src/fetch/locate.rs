//! Asking upstreams where their artifacts are, for ecosystems in which that does not follow from names: one document
//! answers for many artifacts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::fault::{Code, Fault};
use crate::eco;
use crate::fetch::artifact::NotStored;
use crate::fetch::{FetchError, FetchFailure, Item, addresses};
use crate::net::HttpUpstream;
use crate::upstream::{Answer, Link, Request, Upstream as _, UpstreamError};

/// The document that many artifacts are looked up in cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NoDocument(Arc<UpstreamError>);

impl Fault for NoDocument {
    fn code(&self) -> &'static Code {
        self.0.code()
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        self.0.facts()
    }
}

/// The items with their links. Those that cannot be found are added to `failures`.
pub(super) fn locate<'a>(
    items: Vec<Item<'a>>,
    upstream: &mut HttpUpstream,
    failures: &mut Vec<FetchFailure>,
) -> Result<Vec<Item<'a>>, FetchError> {
    let mut ready = Vec::new();
    let mut waiting: BTreeMap<(String, String), (Request, Vec<Item<'a>>)> = BTreeMap::new();
    for item in items {
        let ecosystem = eco::by_id(&item.package.ecosystem);
        match ecosystem.and_then(|ecosystem| ecosystem.locator(item.artifact)) {
            None => ready.push(item),
            Some(request) => {
                let key = (request.upstream.clone(), request.path.clone());
                let (_, items) = waiting.entry(key).or_insert_with(|| (request, Vec::new()));
                items.push(item);
            }
        }
    }
    let requests = waiting.values().map(|(request, _)| request.clone());
    upstream.preflight(&addresses(requests, &upstream.downloader()))?;
    for (request, _) in waiting.values() {
        upstream.submit(request.clone());
    }
    while let Some((request, answer)) = upstream.next_answer() {
        let key = (request.upstream.clone(), request.path.clone());
        let Some((_, items)) = waiting.remove(&key) else {
            continue;
        };
        place(items, &request, answer, &mut ready, failures);
    }
    Ok(ready)
}

/// Looks the items of one document up in it.
fn place<'a>(
    items: Vec<Item<'a>>,
    request: &Request,
    answer: Answer,
    ready: &mut Vec<Item<'a>>,
    failures: &mut Vec<FetchFailure>,
) {
    let document = answer.and_then(|content| {
        let unreadable = |error: std::io::Error| UpstreamError::NoAddress {
            reason: crate::base::text::escaped(&error.to_string()),
        };
        content.into_bytes().map_err(unreadable)
    });
    let document = document.map_err(Arc::new);
    for mut item in items {
        let ecosystem = eco::by_id(&item.package.ecosystem);
        let found = document.as_ref().map(|document| {
            ecosystem.and_then(|ecosystem| ecosystem.locate(document, item.artifact))
        });
        let cause: Box<dyn Fault> = match found {
            Ok(Some(href)) => {
                let page = request.path.clone();
                item.link = Some(Link { page, href });
                ready.push(item);
                continue;
            }
            Ok(None) => Box::new(UpstreamError::NotListed {
                upstream: crate::base::text::escaped(&request.upstream),
                file: item.artifact.file.clone(),
            }),
            Err(error) => Box::new(NoDocument(error.clone())),
        };
        failures.push(*item.failure(NotStored { url: None, cause }));
    }
}
