//! Addresses of a service, and the calls that every system makes in the same form.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use url::Url;

use crate::base::json;
use crate::net::upload::{Call, Verb};

/// Most bytes of an answer that holds no file.
const ANSWER: u64 = 16 << 20;

/// Where a service is.
#[derive(Debug, Clone)]
pub(super) struct Service {
    base: Url,
}

impl Service {
    pub(super) const fn new(base: Url) -> Self {
        Self { base }
    }

    /// An address below the service's. Every segment and value is encoded.
    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Reads.
    pub(super) fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Call {
        Call {
            verb: Verb::Get,
            url: self.url(path, query),
            headers: vec![("Accept", "application/json".to_owned())],
            body: Vec::new(),
            limit: ANSWER,
            pause: Duration::ZERO,
        }
    }

    /// Sends pieces of a body of this media type.
    pub(super) fn send(
        &self,
        verb: Verb,
        path: &[&str],
        query: &[(&str, &str)],
        (media, body): (String, Vec<Bytes>),
    ) -> Call {
        let mut call = self.get(path, query);
        call.verb = verb;
        call.headers.push(("Content-Type", media));
        call.body = body;
        call
    }

    /// Sends a document.
    pub(super) fn send_json(&self, verb: Verb, path: &[&str], document: &Value) -> Call {
        let body = vec![json::canonical(document).into()];
        self.send(verb, path, &[], ("application/json".to_owned(), body))
    }
}

/// The text of a key.
pub(super) fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

/// A number, which some services write as text.
pub(super) fn number(value: &Value, key: &str) -> Option<u64> {
    let found = value.get(key)?;
    found.as_u64().or_else(|| found.as_str()?.parse().ok())
}

/// A text or a number as text: ids.
pub(super) fn id(value: &Value, key: &str) -> Option<String> {
    let found = value.get(key)?;
    let number = found.as_u64().map(|number| number.to_string());
    let id = number.or_else(|| found.as_str().map(str::to_owned))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (!id.is_empty() && id.len() <= 64 && id.chars().all(plain)).then_some(id)
}
