//! A change packet to the system where its change is decided: Jira, ServiceNow, Request Tracker; and its SBOM to
//! Dependency-Track.
//!
//! ```text
//! packet --item--> files, note --jira, servicenow, rt--> calls --flow--> net
//!                        \------dependency_track-----> calls --hand_over--> net     each step --> receipt
//! ```
//!
//! What a call looks like and what its answer means is said by pure functions, one file for each system; `flow` makes the
//! calls. What is there is not sent again: a file's name on a ticket holds the beginning of its digest.

mod dependency_track;
pub mod fault;
mod flow;
pub mod item;
mod jira;
pub mod line;
mod multipart;
pub mod receipt;
mod rt;
mod service;
mod servicenow;
mod tracker;

use std::time::Duration;

use url::Url;

use crate::base::fault::Code;
use crate::net::settings::shown;
use crate::net::upload::Call;
use crate::submit::dependency_track::{DependencyTrack, Project};
use crate::submit::fault::SubmitError;
use crate::submit::flow::Flow;
use crate::submit::item::{Item, Role, Submission};
use crate::submit::jira::Jira;
use crate::submit::line::{Line, document, misread};
use crate::submit::receipt::{Book, State};
use crate::submit::rt::Rt;
use crate::submit::service::Service;
use crate::submit::servicenow::ServiceNow;
use crate::submit::tracker::{Named, Tracker};

pub use crate::submit::jira::Api;

/// Codes of this module.
pub const CODES: &[&Code] = fault::CODES;

/// The longest wait between two questions whether an SBOM was read.
const LONGEST: Duration = Duration::from_secs(10);

/// A kind of system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Jira, by which interface.
    Jira(Api),
    /// ServiceNow.
    ServiceNow,
    /// Request Tracker 5.
    Rt,
    /// Dependency-Track; whether it may make the project.
    DependencyTrack {
        /// Whether it may.
        create: bool,
    },
}

impl System {
    /// As it is named on the command line and in receipts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jira(_) => "jira",
            Self::ServiceNow => "servicenow",
            Self::Rt => "rt",
            Self::DependencyTrack { .. } => "dependency-track",
        }
    }

    /// What a ticket's name looks like there.
    const fn form(self) -> &'static str {
        match self {
            Self::Jira(_) => "an issue of Jira, such as CHG-42",
            Self::ServiceNow => "the number of a change in ServiceNow, such as CHG0030001",
            Self::Rt => "the number of a ticket in Request Tracker, such as 42",
            Self::DependencyTrack { .. } => "a project's UUID, or NAME@VERSION",
        }
    }
}

/// A ticket, or a project, in a system.
#[derive(Debug)]
pub struct Destination {
    name: String,
    desk: Desk,
}

#[derive(Debug)]
enum Desk {
    Jira(Jira),
    ServiceNow(ServiceNow),
    Rt(Rt),
    DependencyTrack(DependencyTrack),
}

/// A call that would be made.
#[derive(Debug)]
pub struct Planned {
    /// What for, in a few words.
    pub what: String,
    /// It.
    pub call: Call,
}

impl Destination {
    /// Where `ticket` is, in the system at `base`.
    ///
    /// # Errors
    /// What a ticket's name looks like there, when this is none.
    pub fn new(system: System, base: Url, ticket: &str) -> Result<Self, &'static str> {
        let service = Service::new(base);
        let name = ticket.to_owned();
        let desk = match system {
            System::Jira(api) if jira::is_issue(ticket) => Desk::Jira(Jira {
                service,
                api,
                issue: name.clone(),
            }),
            System::ServiceNow if servicenow::is_number(ticket) => Desk::ServiceNow(ServiceNow {
                service,
                number: name.clone(),
            }),
            System::Rt if rt::is_ticket(ticket) => Desk::Rt(Rt {
                service,
                ticket: name.clone(),
            }),
            System::DependencyTrack { create } => {
                let project = Project::parse(ticket).ok_or_else(|| system.form())?;
                Desk::DependencyTrack(DependencyTrack {
                    service,
                    project,
                    create,
                })
            }
            _ => return Err(system.form()),
        };
        Ok(Self { name, desk })
    }

    fn tracker(&self) -> Result<&dyn Tracker, &DependencyTrack> {
        match &self.desk {
            Desk::Jira(jira) => Ok(jira),
            Desk::ServiceNow(servicenow) => Ok(servicenow),
            Desk::Rt(rt) => Ok(rt),
            Desk::DependencyTrack(track) => Err(track),
        }
    }

    /// Every call that is made when nothing is there yet and all goes well. Contacts nobody.
    pub fn plan(&self, submission: &Submission) -> Result<Vec<Planned>, SubmitError> {
        let planned = |what: &str, call| Planned {
            what: what.to_owned(),
            call,
        };
        let tracker = match self.tracker() {
            Ok(tracker) => tracker,
            Err(track) => {
                return Ok(vec![
                    planned("hand over the SBOM", track.upload(sbom(submission)?)),
                    planned("ask whether it was read", track.ask("TOKEN")),
                ]);
            }
        };
        let ticket = tracker.assumed();
        let note = &submission.note;
        let mut out = vec![
            planned("find the ticket", tracker.find()),
            planned("see what is attached", tracker.list(&ticket, 0)),
        ];
        let all: Vec<Named<'_>> = submission.items.iter().map(Named::own).collect();
        if tracker.together() {
            out.push(planned(
                "attach the files with a note",
                tracker.attach(&ticket, &all, note),
            ));
        } else {
            for named in all {
                let what = format!("attach {}", named.name);
                out.push(planned(&what, tracker.attach(&ticket, &[named], note)));
            }
            out.push(planned(
                "see whether the note is there",
                tracker.notes(&ticket),
            ));
            out.push(planned("leave the note", tracker.note(&ticket, note)));
        }
        for item in &submission.items {
            if let Some(call) = tracker.read_back("ID", item.size()) {
                out.push(planned(&format!("read {} back", item.name), call));
            }
        }
        Ok(out)
    }

    /// Sends what is not there yet. `wait` is for a service that does its work afterwards.
    pub fn submit(
        &self,
        submission: &Submission,
        line: Line<'_>,
        wait: Duration,
        book: &mut Book,
    ) -> Result<(), SubmitError> {
        match self.tracker() {
            Ok(tracker) => Flow {
                line,
                tracker,
                submission,
                name: &self.name,
            }
            .run(book),
            Err(track) => self.hand_over(track, sbom(submission)?, line, wait, book),
        }
    }

    /// Hands over the SBOM, unless an earlier run did, and waits until it is read.
    fn hand_over(
        &self,
        track: &DependencyTrack,
        sbom: &Item,
        line: Line<'_>,
        wait: Duration,
        book: &mut Book,
    ) -> Result<(), SubmitError> {
        let digest = sbom.sha256.hex();
        let before = book.file(&digest).map(|entry| entry.sent.clone());
        let before = before.filter(|sent| sent.state.is_done());
        let token = match before.and_then(|sent| sent.remote_id) {
            Some(token) if book.receipt.note.state.is_done() => {
                book.set_file(&digest, None, State::There, Some(token))?;
                return book.keep();
            }
            Some(token) => token,
            None => {
                let call = track.upload(sbom);
                // The same SBOM once more changes nothing.
                let reply = line.add(&call, "Sending the SBOM", &mut || Ok(false))?;
                let reply = reply.ok_or_else(|| misread(&call))?;
                match reply.status {
                    200..=299 => {}
                    404 => {
                        return Err(SubmitError::Ticket {
                            url: shown(&call.url),
                            ticket: self.name.clone(),
                        });
                    }
                    _ => return Err(line.refused(&call, &reply)),
                }
                let token = DependencyTrack::token(&document(&call, &reply)?);
                let token = token.ok_or_else(|| misread(&call))?;
                book.set_file(&digest, None, State::Sent, Some(token.clone()))?;
                token
            }
        };
        let mut waited = Duration::ZERO;
        for round in 0.. {
            let mut call = track.ask(&token);
            call.pause = line.pause(round).min(LONGEST);
            waited += call.pause;
            let reply = line.ask(call.clone(), &self.name)?;
            let processing = DependencyTrack::is_processing(&document(&call, &reply)?);
            if !processing.ok_or_else(|| misread(&call))? {
                break;
            }
            if waited >= wait {
                return Err(SubmitError::Pending {
                    seconds: wait.as_secs(),
                });
            }
        }
        book.set_note(State::Sent, None)
    }
}

fn sbom(submission: &Submission) -> Result<&Item, SubmitError> {
    let mut items = submission.items.iter();
    items
        .find(|item| item.role == Role::Sbom)
        .ok_or(SubmitError::NoSbom)
}
