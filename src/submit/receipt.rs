//! The receipt: what was sent where, what it is called there, and what was not sent. It is written again after each step, so
//! that it is right whenever the program ends, and the next run reads it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::json;
use crate::base::text::shown;
use crate::base::time::Timestamp;
use crate::fs;
use crate::submit::fault::SubmitError;
use crate::submit::item::{Role, Submission};

const SCHEMA: &str = "stage/submit-receipt/v1";
/// Largest receipt that is read, in bytes.
const LIMIT: u64 = 1 << 20;

/// How far something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It was not sent yet.
    Waiting,
    /// It was sent, and the system has it.
    Sent,
    /// The system had it already.
    There,
    /// The system does not take it, or has something else.
    Failed,
}

impl State {
    /// Whether the system has it.
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Sent | Self::There)
    }
}

/// One file, or the note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// How far it is.
    pub state: State,
    /// Its id there, where the system tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_id: Option<String>,
    /// Since when it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// What it is.
    pub role: Role,
    /// Its name there.
    pub name: String,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it was read back and is the same.
    pub read_back: bool,
    /// How far it is.
    pub sent: Entry,
}

/// What the receipt is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The system: `jira`, `servicenow`, `rt`, `dependency-track`.
    pub system: String,
    /// Its address.
    pub url: String,
    /// The ticket or project.
    pub ticket: String,
    /// Id of the bundle.
    pub bundle: String,
    /// SHA-256 of the packet's `manifest.json`, in hex.
    pub manifest: String,
}

/// The receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Always `stage/submit-receipt/v1`.
    pub schema: String,
    /// Name and version of the program.
    pub tool: String,
    /// What it is about.
    pub about: About,
    /// Whether everything is there.
    pub complete: bool,
    /// The files.
    pub files: Vec<FileEntry>,
    /// The note on a ticket, or the processing of an SBOM.
    pub note: Entry,
}

const WAITING: Entry = Entry {
    state: State::Waiting,
    remote_id: None,
    time: None,
};

/// A receipt and the file that it is kept in.
#[derive(Debug)]
pub struct Book {
    /// The receipt as it is now.
    pub receipt: Receipt,
    /// Files that were sent since it was opened.
    pub sent: usize,
    file: PathBuf,
    now: Timestamp,
}

impl Book {
    /// Begins a receipt in `file`, or goes on with the one that is there.
    ///
    /// # Errors
    /// The file is there and holds something else, or the receipt of something else: it is not overwritten.
    pub fn open(
        file: &Path,
        about: About,
        submission: &Submission,
        tool: &str,
        now: Timestamp,
    ) -> Result<Self, SubmitError> {
        let mut receipt = begin(about, submission, tool);
        if let Some(bytes) = fs::read_optional(file, LIMIT)? {
            let other = || SubmitError::Receipt { file: shown(file) };
            let value = json::parse(&bytes, LIMIT).map_err(|_bad| other())?;
            let before: Receipt = serde_json::from_value(value).map_err(|_bad| other())?;
            if before.schema != SCHEMA || before.about != receipt.about {
                return Err(other());
            }
            receipt.note = before.note;
            for entry in &mut receipt.files {
                let mut same = before.files.iter();
                if let Some(found) = same.find(|found| found.sha256 == entry.sha256) {
                    *entry = found.clone();
                }
            }
        }
        receipt.complete = false;
        Ok(Self {
            receipt,
            sent: 0,
            file: file.to_owned(),
            now,
        })
    }

    /// What is known of a file.
    pub(super) fn file(&self, sha256: &str) -> Option<&FileEntry> {
        self.receipt
            .files
            .iter()
            .find(|entry| entry.sha256 == sha256)
    }

    /// Says how far a file is.
    pub(super) fn set_file(
        &mut self,
        sha256: &str,
        name: Option<&str>,
        state: State,
        id: Option<String>,
    ) -> Result<(), SubmitError> {
        let now = self.now;
        let mut files = self.receipt.files.iter_mut();
        if let Some(entry) = files.find(|entry| entry.sha256 == sha256) {
            if let Some(name) = name {
                name.clone_into(&mut entry.name);
            }
            update(&mut entry.sent, state, id, now);
        }
        self.sent += usize::from(state == State::Sent);
        self.keep()
    }

    /// Says that a file was read back and is the same.
    pub(super) fn set_read_back(&mut self, sha256: &str) -> Result<(), SubmitError> {
        let mut files = self.receipt.files.iter_mut();
        if let Some(entry) = files.find(|entry| entry.sha256 == sha256) {
            entry.read_back = true;
        }
        self.keep()
    }

    /// Says how far the note is.
    pub(super) fn set_note(&mut self, state: State, id: Option<String>) -> Result<(), SubmitError> {
        update(&mut self.receipt.note, state, id, self.now);
        self.keep()
    }

    /// Writes it as it is now.
    pub fn keep(&mut self) -> Result<(), SubmitError> {
        let files = self.receipt.files.iter();
        let mut all = files.map(|entry| &entry.sent).chain([&self.receipt.note]);
        self.receipt.complete = all.all(|entry| entry.state.is_done());
        let mut bytes = json::to_canonical(&self.receipt).unwrap_or_default();
        bytes.push(b'\n');
        Ok(fs::write_atomic(&self.file, &bytes, 0o644)?)
    }
}

/// What was sent by an earlier run keeps its time.
fn update(entry: &mut Entry, state: State, id: Option<String>, now: Timestamp) {
    if state == State::There && entry.state.is_done() {
        entry.remote_id = id.or_else(|| entry.remote_id.take());
        return;
    }
    *entry = Entry {
        state,
        remote_id: id,
        time: Some(now),
    };
}

fn begin(about: About, submission: &Submission, tool: &str) -> Receipt {
    let only_sbom = about.system == "dependency-track";
    let items = submission.items.iter();
    let items = items.filter(|item| !only_sbom || item.role == Role::Sbom);
    Receipt {
        schema: SCHEMA.to_owned(),
        tool: tool.to_owned(),
        about,
        complete: false,
        files: items
            .map(|item| FileEntry {
                role: item.role,
                name: item.name.clone(),
                sha256: item.sha256.hex(),
                size: item.size(),
                read_back: false,
                sent: WAITING,
            })
            .collect(),
        note: WAITING,
    }
}
