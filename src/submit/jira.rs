//! Jira: REST API v3 of Cloud, v2 of Data Center. Attachments are `multipart/form-data` with the field `file` and the
//! header `X-Atlassian-Token: no-check`; comments are a document (ADF) in v3 and wiki text in v2.

use serde_json::{Value, json};

use crate::net::upload::{Call, Verb};
use crate::submit::item::Note;
use crate::submit::multipart::{self, Part};
use crate::submit::service::{self, Service};
use crate::submit::tracker::{Held, Listing, Named, Tracker};

/// Which interface is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// Data Center.
    V2,
    /// Cloud.
    V3,
}

/// An issue in Jira.
#[derive(Debug)]
pub(super) struct Jira {
    pub(super) service: Service,
    pub(super) api: Api,
    pub(super) issue: String,
}

/// `KEY-1`, as Jira writes it: a project's key, then a number; or the number of the issue alone.
pub(super) fn is_issue(text: &str) -> bool {
    let digits = |text: &str| {
        !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit())
    };
    match text.rsplit_once('-') {
        None => digits(text),
        Some((key, number)) => {
            let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
            let first = key.bytes().next().is_some_and(|b| b.is_ascii_uppercase());
            first && key.len() <= 64 && key.bytes().all(plain) && digits(number)
        }
    }
}

impl Jira {
    fn path<'p>(&'p self, last: &[&'p str]) -> Vec<&'p str> {
        let version = match self.api {
            Api::V2 => "2",
            Api::V3 => "3",
        };
        let mut path = vec!["rest", "api", version, "issue", &self.issue];
        path.extend(last);
        path
    }

    /// The text of a comment as the interface wants it.
    fn document(&self, note: &Note) -> Value {
        match self.api {
            Api::V2 => json!(format!("{{noformat}}\n{}\n{{noformat}}", note.text())),
            Api::V3 => {
                let paragraph = |line: &String| json!({"type": "paragraph", "content": [{"type": "text", "text": line}]});
                let content: Vec<Value> = note.lines.iter().map(paragraph).collect();
                json!({"type": "doc", "version": 1, "content": content})
            }
        }
    }
}

impl Tracker for Jira {
    fn find(&self) -> Call {
        self.service
            .get(&self.path(&[]), &[("fields", "attachment")])
    }

    fn found(&self, answer: &Value) -> Option<Option<String>> {
        service::id(answer, "id").map(|_| Some(self.issue.clone()))
    }

    fn assumed(&self) -> String {
        self.issue.clone()
    }

    fn list(&self, _ticket: &str, _page: usize) -> Call {
        self.find()
    }

    fn listed(&self, answer: &Value, _page: usize) -> Option<Listing> {
        let listed = answer.get("fields")?.get("attachment")?.as_array()?;
        let held = |one: &Value| {
            Some(Held {
                id: service::id(one, "id")?,
                name: service::text(one, "filename")?,
                size: Some(service::number(one, "size")?),
            })
        };
        Some(Listing {
            held: listed.iter().map(held).collect::<Option<_>>()?,
            more: false,
        })
    }

    fn attach(&self, _ticket: &str, items: &[Named<'_>], _note: &Note) -> Call {
        let part =
            |named: &'_ Named<'_>| (named.name.clone(), named.media, named.item.bytes.clone());
        let files: Vec<_> = items.iter().map(part).collect();
        let parts: Vec<Part<'_>> = files
            .iter()
            .map(|(name, media, bytes)| Part {
                name: "file",
                file: Some(name),
                media: Some(media),
                bytes: bytes.clone(),
            })
            .collect();
        let body = multipart::encode(&parts);
        let path = self.path(&["attachments"]);
        let mut call = self.service.send(Verb::Post, &path, &[], body);
        call.headers
            .push(("X-Atlassian-Token", "no-check".to_owned()));
        call
    }

    fn attached(&self, answer: &Value) -> Option<String> {
        service::id(answer.as_array()?.first()?, "id")
    }

    fn notes(&self, _ticket: &str) -> Call {
        let newest = [("orderBy", "-created"), ("maxResults", "100")];
        self.service.get(&self.path(&["comment"]), &newest)
    }

    fn note(&self, _ticket: &str, note: &Note) -> Call {
        let document = json!({"body": self.document(note)});
        self.service
            .send_json(Verb::Post, &self.path(&["comment"]), &document)
    }

    fn noted(&self, answer: &Value) -> Option<String> {
        service::id(answer, "id")
    }
}
