//! What systems of tickets have in common: a ticket is found, says what is attached to it, takes files and a note.

use serde_json::Value;

use crate::net::upload::Call;
use crate::submit::item::{Item, Note};

/// Something that is attached to a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// Its id there.
    pub(super) id: String,
    /// Its name.
    pub(super) name: String,
    /// Its size, where the system counts as we do.
    pub(super) size: Option<u64>,
}

/// A part of what is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    /// It.
    pub(super) held: Vec<Held>,
    /// Whether there is more.
    pub(super) more: bool,
}

/// How a system is asked, and how its answers are read. Nothing here talks to anybody. `None` from a reader means that the
/// answer is not the documented one.
pub(super) trait Tracker {
    /// Asks for the ticket.
    fn find(&self) -> Call;
    /// What the system calls the ticket; `Some(None)` when there is none.
    #[expect(
        clippy::option_option,
        reason = "no such ticket is an answer, an unreadable one is none"
    )]
    fn found(&self, answer: &Value) -> Option<Option<String>>;
    /// What it is called while nobody was asked.
    fn assumed(&self) -> String;
    /// Asks what is attached; pages are counted from 0.
    fn list(&self, ticket: &str, page: usize) -> Call;
    /// What is.
    fn listed(&self, answer: &Value, page: usize) -> Option<Listing>;
    /// Whether all files and the note go in one call.
    fn together(&self) -> bool {
        false
    }
    /// Attaches files, under their names or others that the system is known to take.
    fn attach(&self, ticket: &str, items: &[Named<'_>], note: &Note) -> Call;
    /// The id of what was attached, where the answer has one.
    fn attached(&self, answer: &Value) -> Option<String>;
    /// Whether this status means that a file is too large or of a kind that is not taken.
    fn bars(&self, status: u16) -> bool {
        matches!(status, 400 | 413 | 415 | 422)
    }
    /// The name to try when the system does not take files of such a name.
    fn other_name(&self, _item: &Item) -> Option<String> {
        None
    }
    /// Asks for an attachment's content of about `size` bytes, where that is how it is made sure of.
    fn read_back(&self, _id: &str, _size: u64) -> Option<Call> {
        None
    }
    /// The content.
    fn content(&self, _answer: &Value) -> Option<Vec<u8>> {
        None
    }
    /// Asks for the notes.
    fn notes(&self, ticket: &str) -> Call;
    /// Adds a note.
    fn note(&self, ticket: &str, note: &Note) -> Call;
    /// Its id.
    fn noted(&self, answer: &Value) -> Option<String>;
}

/// A file and the name that it goes under.
#[derive(Debug, Clone)]
pub(super) struct Named<'i> {
    /// It.
    pub(super) item: &'i Item,
    /// Its name.
    pub(super) name: String,
    /// Its media type.
    pub(super) media: &'static str,
}

impl<'i> Named<'i> {
    /// Under its own name.
    pub(super) fn own(item: &'i Item) -> Self {
        Self {
            item,
            name: item.name.clone(),
            media: item.media,
        }
    }

    /// As plain text, under another name.
    pub(super) fn text(item: &'i Item, name: String) -> Self {
        Self {
            item,
            name,
            media: "text/plain",
        }
    }
}
