//! The way of a packet to a ticket: look what is there, send what is missing, make sure, leave a note. Run again, it does
//! what is left.

use crate::base::digest::Digest;
use crate::net::settings::shown;
use crate::net::upload::{Call, Reply};
use crate::submit::fault::SubmitError;
use crate::submit::item::{Item, Submission};
use crate::submit::line::{Line, document, misread};
use crate::submit::receipt::{Book, State};
use crate::submit::tracker::{Held, Named, Tracker};

/// Most pages of attachments that are read.
const MOST_PAGES: usize = 50;

/// One way.
pub(super) struct Flow<'f> {
    pub(super) line: Line<'f>,
    pub(super) tracker: &'f dyn Tracker,
    pub(super) submission: &'f Submission,
    /// As the user calls it.
    pub(super) name: &'f str,
}

impl Flow<'_> {
    /// All of it.
    pub(super) fn run(&self, book: &mut Book) -> Result<(), SubmitError> {
        let ticket = self.find()?;
        let mut missing = Vec::new();
        let held = self.held(&ticket)?;
        for item in &self.submission.items {
            match self.matching(&held, item) {
                Some(found) => there(book, item, found, State::There)?,
                None => missing.push(item),
            }
        }
        let mut barred = None;
        if self.tracker.together() {
            if !missing.is_empty() {
                let all: Vec<Named<'_>> = missing.into_iter().map(Named::own).collect();
                self.send(book, &ticket, &all)?;
                book.set_note(State::Sent, None)?;
            }
        } else {
            for item in missing {
                match self.send_one(book, &ticket, item) {
                    Err(error @ SubmitError::Barred { .. }) => {
                        book.set_file(&item.sha256.hex(), None, State::Failed, None)?;
                        barred = barred.or(Some(error));
                    }
                    result => result?,
                }
            }
        }
        self.read_back(book)?;
        if let Some(error) = barred {
            return Err(error);
        }
        self.note(book, &ticket)
    }

    /// What the system calls the ticket.
    fn find(&self) -> Result<String, SubmitError> {
        let call = self.tracker.find();
        let reply = self.line.ask(call.clone(), self.name)?;
        let answer = document(&call, &reply)?;
        let found = self.tracker.found(&answer).ok_or_else(|| misread(&call))?;
        found.ok_or_else(|| SubmitError::Ticket {
            url: shown(&call.url),
            ticket: self.name.to_owned(),
        })
    }

    /// Everything that is attached.
    fn held(&self, ticket: &str) -> Result<Vec<Held>, SubmitError> {
        let mut all = Vec::new();
        for page in 0..MOST_PAGES {
            let call = self.tracker.list(ticket, page);
            let reply = self.line.ask(call.clone(), self.name)?;
            let answer = document(&call, &reply)?;
            let listed = self.tracker.listed(&answer, page);
            let listed = listed.ok_or_else(|| misread(&call))?;
            all.extend(listed.held);
            if !listed.more {
                break;
            }
        }
        Ok(all)
    }

    /// The attachment that is this file. Its name holds the beginning of its digest.
    fn matching<'h>(&self, held: &'h [Held], item: &Item) -> Option<&'h Held> {
        let other = self.tracker.other_name(item);
        let mut held = held.iter();
        held.find(|held| {
            let named = held.name == item.name || Some(&held.name) == other.as_ref();
            named && held.size.is_none_or(|size| size == item.size())
        })
    }

    /// Sends one file; under another name where the system does not take files of its own.
    fn send_one(&self, book: &mut Book, ticket: &str, item: &Item) -> Result<(), SubmitError> {
        let refused = match self.send(book, ticket, &[Named::own(item)]) {
            Err(error @ SubmitError::Barred { .. }) => error,
            result => return result,
        };
        let Some(name) = self.tracker.other_name(item) else {
            return Err(refused);
        };
        match self.send(book, ticket, &[Named::text(item, name)]) {
            Err(SubmitError::Barred { .. }) => Err(refused),
            result => result,
        }
    }

    /// Sends files in one call.
    fn send(&self, book: &mut Book, ticket: &str, files: &[Named<'_>]) -> Result<(), SubmitError> {
        let call = self.tracker.attach(ticket, files, &self.submission.note);
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        let what = format!("Sending {}", names.join(", "));
        let reply = self.line.add(&call, &what, &mut || {
            let held = self.held(ticket)?;
            let mut files = files.iter();
            Ok(files.all(|file| self.matching(&held, file.item).is_some()))
        })?;
        let id = match &reply {
            Some(reply) => {
                self.accept(&call, reply, files)?;
                self.id_of(&call, reply)?
            }
            None => None,
        };
        match (id, files) {
            (Some(id), [file]) => {
                let digest = file.item.sha256.hex();
                book.set_file(&digest, Some(&file.name), State::Sent, Some(id))
            }
            _ => self.sent(book, ticket, files),
        }
    }

    /// Whether files were taken.
    fn accept(&self, call: &Call, reply: &Reply, files: &[Named<'_>]) -> Result<(), SubmitError> {
        match files {
            _ if (200..=299).contains(&reply.status) => Ok(()),
            // The zip file is the first, and the largest.
            [file, ..] if self.tracker.bars(reply.status) => Err(SubmitError::Barred {
                file: file.name.clone(),
                status: reply.status,
                said: self.line.said(reply),
            }),
            _ => Err(self.line.refused(call, reply)),
        }
    }

    /// The id in the answer of systems that attach one file at a time.
    fn id_of(&self, call: &Call, reply: &Reply) -> Result<Option<String>, SubmitError> {
        if self.tracker.together() {
            return Ok(None);
        }
        let id = self.tracker.attached(&document(call, reply)?);
        id.map(Some).ok_or_else(|| misread(call))
    }

    /// Looks up what was just attached.
    fn sent(&self, book: &mut Book, ticket: &str, files: &[Named<'_>]) -> Result<(), SubmitError> {
        let held = self.held(ticket)?;
        for file in files {
            let found = self.matching(&held, file.item);
            let found = found.ok_or_else(|| differs(file.item, None))?;
            there(book, file.item, found, State::Sent)?;
        }
        Ok(())
    }

    /// Holds what the system has against what was sent, where it can be asked for it.
    fn read_back(&self, book: &mut Book) -> Result<(), SubmitError> {
        for item in &self.submission.items {
            let digest = item.sha256.hex();
            let entry = book.file(&digest).map(|entry| entry.sent.clone());
            let id = entry.filter(|sent| sent.state.is_done());
            let Some(id) = id.and_then(|sent| sent.remote_id) else {
                continue;
            };
            let Some(call) = self.tracker.read_back(&id, item.size()) else {
                continue;
            };
            let reply = self.line.ask(call.clone(), self.name)?;
            let content = self.tracker.content(&document(&call, &reply)?);
            let found = Digest::of(&content.ok_or_else(|| misread(&call))?);
            if found != item.sha256 {
                book.set_file(&digest, None, State::Failed, Some(id))?;
                return Err(differs(item, Some(found)));
            }
            book.set_read_back(&digest)?;
        }
        Ok(())
    }

    /// Leaves the note, unless it is there.
    fn note(&self, book: &mut Book, ticket: &str) -> Result<(), SubmitError> {
        if self.tracker.together() {
            return book.set_note(State::There, None);
        }
        if self.has_note(ticket)? {
            return book.set_note(State::There, None);
        }
        let call = self.tracker.note(ticket, &self.submission.note);
        let there = &mut || self.has_note(ticket);
        let Some(reply) = self.line.add(&call, "Leaving the note", there)? else {
            return book.set_note(State::Sent, None);
        };
        if !(200..=299).contains(&reply.status) {
            return Err(self.line.refused(&call, &reply));
        }
        let id = self.tracker.noted(&document(&call, &reply)?);
        book.set_note(State::Sent, Some(id.ok_or_else(|| misread(&call))?))
    }

    fn has_note(&self, ticket: &str) -> Result<bool, SubmitError> {
        let reply = self.line.ask(self.tracker.notes(ticket), self.name)?;
        let text = String::from_utf8_lossy(&reply.body);
        Ok(text.contains(&self.submission.note.mark))
    }
}

fn differs(item: &Item, found: Option<Digest>) -> SubmitError {
    SubmitError::Differs {
        file: item.name.clone(),
        expected: item.sha256,
        found,
    }
}

/// Puts down what the system has as a file.
fn there(book: &mut Book, item: &Item, held: &Held, state: State) -> Result<(), SubmitError> {
    let id = Some(held.id.clone());
    book.set_file(&item.sha256.hex(), Some(&held.name), state, id)
}
