//! ServiceNow: Table API and Attachment API. A change is found by its number; each file is one call with the file as its
//! body. Which extensions are taken is a property of the instance (`glide.attachment.extensions`), so what is refused is
//! sent again as text, and the zip file holds everything.

use serde_json::{Value, json};

use crate::net::upload::{Call, Verb};
use crate::submit::item::{Item, Note, Role};
use crate::submit::service::{self, Service};
use crate::submit::tracker::{Held, Listing, Named, Tracker};

/// The table of changes.
const TABLE: &str = "change_request";
/// Attachments on one page.
const PAGE: usize = 1000;

/// A change in ServiceNow.
#[derive(Debug)]
pub(super) struct ServiceNow {
    pub(super) service: Service,
    pub(super) number: String,
}

/// The number of a change: capital letters, then digits.
pub(super) fn is_number(text: &str) -> bool {
    let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
    let digits = text.bytes().skip(letters).all(|b| b.is_ascii_digit());
    (1..=10).contains(&letters) && digits && text.len() > letters && text.len() <= 40
}

impl Tracker for ServiceNow {
    fn find(&self) -> Call {
        let by = format!("number={}", self.number);
        let query = [
            ("sysparm_query", by.as_str()),
            ("sysparm_fields", "sys_id,number"),
            ("sysparm_limit", "2"),
        ];
        self.service.get(&["api", "now", "table", TABLE], &query)
    }

    fn found(&self, answer: &Value) -> Option<Option<String>> {
        let rows = answer.get("result")?.as_array()?;
        match rows.as_slice() {
            [] => Some(None),
            [row] if service::text(row, "number")? == self.number => {
                service::id(row, "sys_id").map(Some)
            }
            _ => None,
        }
    }

    fn assumed(&self) -> String {
        "SYS_ID".to_owned()
    }

    fn list(&self, ticket: &str, page: usize) -> Call {
        let of = format!("table_name={TABLE}^table_sys_id={ticket}");
        let (limit, offset) = (PAGE.to_string(), (PAGE * page).to_string());
        let query = [
            ("sysparm_query", of.as_str()),
            ("sysparm_limit", &limit),
            ("sysparm_offset", &offset),
        ];
        self.service.get(&["api", "now", "attachment"], &query)
    }

    fn listed(&self, answer: &Value, _page: usize) -> Option<Listing> {
        let rows = answer.get("result")?.as_array()?;
        let held = |row: &Value| {
            Some(Held {
                id: service::id(row, "sys_id")?,
                name: service::text(row, "file_name")?,
                size: Some(service::number(row, "size_bytes")?),
            })
        };
        Some(Listing {
            held: rows.iter().map(held).collect::<Option<_>>()?,
            more: rows.len() >= PAGE,
        })
    }

    fn attach(&self, ticket: &str, items: &[Named<'_>], _note: &Note) -> Call {
        let first = items.first();
        let name = first.map(|named| named.name.as_str()).unwrap_or_default();
        let media = first.map_or("application/octet-stream", |named| named.media);
        let body = first.map(|named| named.item.bytes.clone());
        let query = [
            ("table_name", TABLE),
            ("table_sys_id", ticket),
            ("file_name", name),
        ];
        let body = (media.to_owned(), body.into_iter().collect());
        let path = ["api", "now", "attachment", "file"];
        self.service.send(Verb::Post, &path, &query, body)
    }

    fn attached(&self, answer: &Value) -> Option<String> {
        service::id(answer.get("result")?, "sys_id")
    }

    fn bars(&self, status: u16) -> bool {
        matches!(status, 400 | 403 | 413 | 415 | 422)
    }

    fn other_name(&self, item: &Item) -> Option<String> {
        (item.role != Role::Packet).then(|| format!("{}.txt", item.name))
    }

    fn notes(&self, ticket: &str) -> Call {
        let query = [
            ("sysparm_fields", "work_notes"),
            ("sysparm_display_value", "true"),
        ];
        self.service
            .get(&["api", "now", "table", TABLE, ticket], &query)
    }

    fn note(&self, ticket: &str, note: &Note) -> Call {
        let document = json!({"work_notes": note.text()});
        self.service.send_json(
            Verb::Patch,
            &["api", "now", "table", TABLE, ticket],
            &document,
        )
    }

    fn noted(&self, answer: &Value) -> Option<String> {
        service::id(answer.get("result")?, "sys_id")
    }
}
