//! Request Tracker 5: REST 2.0. Files and note are one comment (`multipart/form-data`: `JSON` and any number of
//! `Attachments`), which requestors do not see; what was attached is read back.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::base::json;
use crate::base::text::base64;
use crate::net::upload::{Call, Verb};
use crate::submit::item::Note;
use crate::submit::multipart::{self, Part};
use crate::submit::service::{self, Service};
use crate::submit::tracker::{Held, Listing, Named, Tracker};

/// Attachments on one page: the most that RT gives.
const PAGE: &str = "100";

/// A ticket in Request Tracker.
#[derive(Debug)]
pub(super) struct Rt {
    pub(super) service: Service,
    pub(super) ticket: String,
}

/// The number of a ticket.
pub(super) fn is_ticket(text: &str) -> bool {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits && !text.starts_with('0') && (1..=18).contains(&text.len())
}

impl Rt {
    fn path<'p>(&'p self, last: &[&'p str]) -> Vec<&'p str> {
        let mut path = vec!["REST", "2.0", "ticket", &self.ticket];
        path.extend(last);
        path
    }
}

impl Tracker for Rt {
    fn find(&self) -> Call {
        self.service.get(&self.path(&[]), &[])
    }

    fn found(&self, answer: &Value) -> Option<Option<String>> {
        service::id(answer, "id").map(|_| Some(self.ticket.clone()))
    }

    fn assumed(&self) -> String {
        self.ticket.clone()
    }

    fn list(&self, _ticket: &str, page: usize) -> Call {
        let page = (page + 1).to_string();
        let query = [
            ("fields", "Filename"),
            ("per_page", PAGE),
            ("page", page.as_str()),
        ];
        self.service.get(&self.path(&["attachments"]), &query)
    }

    fn listed(&self, answer: &Value, page: usize) -> Option<Listing> {
        let items = answer.get("items")?.as_array()?;
        let held = |one: &Value| {
            Some(Held {
                id: service::id(one, "id")?,
                name: service::text(one, "Filename").unwrap_or_default(),
                size: None,
            })
        };
        let pages = service::number(answer, "pages")?;
        Some(Listing {
            held: items.iter().map(held).collect::<Option<_>>()?,
            more: (page as u64).saturating_add(1) < pages,
        })
    }

    fn together(&self) -> bool {
        true
    }

    fn attach(&self, _ticket: &str, items: &[Named<'_>], note: &Note) -> Call {
        let said = json!({
            "Subject": note.lines.first(),
            "Content": note.text(),
            "ContentType": "text/plain",
        });
        let mut parts = vec![Part {
            name: "JSON",
            file: None,
            media: Some("application/json"),
            bytes: Bytes::from(json::canonical(&said)),
        }];
        parts.extend(items.iter().map(|named| Part {
            name: "Attachments",
            file: Some(&named.name),
            media: Some(named.media),
            bytes: named.item.bytes.clone(),
        }));
        let body = multipart::encode(&parts);
        self.service
            .send(Verb::Post, &self.path(&["comment"]), &[], body)
    }

    fn attached(&self, _answer: &Value) -> Option<String> {
        None
    }

    fn read_back(&self, id: &str, size: u64) -> Option<Call> {
        let mut call = self.service.get(&["REST", "2.0", "attachment", id], &[]);
        // Base64 in lines, escaped.
        call.limit = call.limit.saturating_add(size.saturating_mul(2));
        Some(call)
    }

    fn content(&self, answer: &Value) -> Option<Vec<u8>> {
        let mut text = service::text(answer, "Content")?;
        text.retain(|c| !matches!(c, '\n' | '\r'));
        base64(&text)
    }

    fn notes(&self, _ticket: &str) -> Call {
        self.find()
    }

    fn note(&self, ticket: &str, note: &Note) -> Call {
        self.attach(ticket, &[], note)
    }

    fn noted(&self, _answer: &Value) -> Option<String> {
        None
    }
}
