//! `state/journal.jsonl`: one canonical JSON line per accepted change, each with the digest of the line before it. The
//! last line says which state is the right one. A line also holds the digest of its own other fields (`seal`), since no
//! line after it vouches for the last one, and that of the receipt of the import it is about. Lines that older versions
//! of `stage` wrote have neither.

use std::io::Write as _;

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::base::limits::LIMITS;
use crate::base::time::Timestamp;
use crate::fs;
use crate::import::ImportError;
use crate::import::layout::Layout;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The repository was made, with a trust root whose fingerprint was compared.
    Init,
    /// The repository was made, with a trust root that nobody compared with anything.
    InitUncheckedRoot,
    /// A bundle was accepted.
    Import,
    /// An older bundle set was published again.
    Rollback,
    /// The address of the tree was changed.
    BaseUrl,
    /// Bundles left the union.
    Remove,
    /// A package was taken out of every index.
    Block,
    /// A package was let in again.
    Unblock,
    /// What no kept generation needs was removed.
    Gc,
    /// Damaged blobs were replaced.
    Repair,
    /// Something more is demanded of every import from now on.
    Stricter,
    /// Every import is judged by another policy from now on.
    Policy,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Number of the line, from 1.
    pub sequence: u64,
    /// Digest of the line before, without its newline; `None` for the first.
    pub previous: Option<Digest>,
    /// When, by the local clock.
    pub time: Timestamp,
    /// What.
    pub event: Event,
    /// The bundle that was imported.
    pub bundle: Option<Digest>,
    /// The channel that was imported or rolled back.
    pub channel: Option<String>,
    /// The serial that was imported or rolled back to.
    pub serial: Option<u64>,
    /// The generation that shows the result; 0 before the first.
    pub generation: u64,
    /// Digest of `state.json` afterwards.
    pub state: Digest,
    /// Digest of the receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Digest>,
    /// What else there is to say: the reason that was given, or what was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Digest of this line without this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<Digest>,
}

impl Entry {
    /// The line without its newline, sealed.
    fn line(&self) -> Result<Vec<u8>, ImportError> {
        let canonical = |entry: &Self| {
            crate::base::json::to_canonical(entry).map_err(|e| ImportError::encoding(&e))
        };
        let mut entry = Self {
            seal: None,
            ..self.clone()
        };
        entry.seal = Some(Digest::of(&canonical(&entry)?));
        canonical(&entry)
    }

    /// Name of the receipt's file.
    pub fn receipt_name(&self) -> String {
        let time = self.time.to_string();
        let time: String = time.chars().filter(|c| !matches!(c, '-' | ':')).collect();
        let channel = self.channel.as_deref().unwrap_or("repository");
        let serial = self.serial.unwrap_or_default();
        format!("{time}-{}-{channel}-{serial}.json", self.sequence)
    }
}

/// The journal as read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    /// Every whole line.
    pub entries: Vec<Entry>,
    /// Digest of the last whole line.
    pub last: Option<Digest>,
    /// Bytes of whole lines; what follows is the rest of a line whose writing was cut short.
    pub whole: u64,
    /// Whether such a rest follows.
    pub torn: bool,
}

/// Reads the journal and checks its chain.
pub fn read(layout: &Layout) -> Result<Journal, ImportError> {
    let bytes =
        fs::read_beneath(layout.root(), &layout.journal(), LIMITS.document)?.unwrap_or_default();
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Journal, ImportError> {
    let mut journal = Journal::default();
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let number = journal.entries.len() as u64 + 1;
        let Some(text) = line.strip_suffix(b"\n") else {
            journal.torn = true;
            break;
        };
        let value = crate::base::json::strict(text, LIMITS.statement)
            .map_err(|bad| contradiction(number, &bad.to_string()))?;
        let entry: Entry = serde_json::from_value(value)
            .map_err(|bad| contradiction(number, &crate::base::text::escaped(&bad.to_string())))?;
        if entry.sequence != number || entry.previous != journal.last {
            return Err(contradiction(number, "does not follow the line before it"));
        }
        if entry.seal.is_some() && entry.line()? != text {
            return Err(contradiction(number, "is not as it was written"));
        }
        journal.last = Some(Digest::of(text));
        journal.whole += line.len() as u64;
        journal.entries.push(entry);
    }
    Ok(journal)
}

/// Appends `entry` and makes it durable. Returns the digest of its line.
pub fn append(layout: &Layout, entry: &Entry) -> Result<Digest, ImportError> {
    let path = layout.journal();
    let mut line = entry.line()?;
    let digest = Digest::of(&line);
    line.push(b'\n');
    let mut file = fs::append_beneath(layout.root(), &path, 0o644)?;
    fs::set_file_mode(&file, &path, 0o644)?;
    file.write_all(&line).map_err(fs::context("write", &path))?;
    fs::sync(&file, &path)?;
    fs::sync_dir(&layout.state_dir())?;
    Ok(digest)
}

/// Makes durable what the journal has now: a line that was cut off must not come back after what it needs was removed.
pub fn settle(layout: &Layout) -> Result<(), ImportError> {
    let path = layout.journal();
    Ok(fs::sync(&fs::open(&path)?, &path)?)
}

/// Cuts the journal back to its first `whole` bytes after an [`append`] that failed. That the line was not made durable
/// is not tried again: what is made durable is that it is gone.
pub fn retract(layout: &Layout, whole: u64) -> Result<(), ImportError> {
    let path = layout.journal();
    if whole == 0 {
        fs::remove_file(&path)?;
        return Ok(fs::sync_dir(&layout.state_dir())?);
    }
    Ok(fs::truncate(&path, whole)?)
}

fn contradiction(line: u64, reason: &str) -> ImportError {
    ImportError::State {
        reason: format!("line {line} of the journal: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Event, parse};
    use crate::base::digest::Digest;
    use crate::base::time::Timestamp;

    fn lines(count: u64, sealed: bool) -> Vec<Vec<u8>> {
        let mut previous = None;
        (1..=count)
            .map(|sequence| {
                let entry = Entry {
                    sequence,
                    previous,
                    time: Timestamp::default(),
                    event: Event::Import,
                    bundle: None,
                    channel: None,
                    serial: None,
                    generation: sequence,
                    state: Digest::of(b"s"),
                    receipt: None,
                    detail: None,
                    seal: None,
                };
                let line = if sealed {
                    entry.line().unwrap()
                } else {
                    crate::base::json::to_canonical(&entry).unwrap()
                };
                previous = Some(Digest::of(&line));
                line
            })
            .collect()
    }

    fn joined(lines: &[Vec<u8>]) -> Vec<u8> {
        lines
            .iter()
            .flat_map(|l| [l.as_slice(), b"\n"].concat())
            .collect()
    }

    #[test]
    fn a_changed_missing_or_moved_line_breaks_the_chain() {
        let good = lines(4, false);
        assert_eq!(parse(&joined(&good)).unwrap().entries.len(), 4);
        let mut changed = good.clone();
        changed[1] = String::from_utf8(changed[1].clone())
            .unwrap()
            .replace("\"generation\":2", "\"generation\":9")
            .into_bytes();
        parse(&joined(&changed)).unwrap_err();
        let mut missing = good.clone();
        missing.remove(1);
        parse(&joined(&missing)).unwrap_err();
        let mut moved = good;
        moved.swap(1, 2);
        parse(&joined(&moved)).unwrap_err();
    }

    /// No line stands after the last one to vouch for it.
    #[test]
    fn no_bit_of_a_sealed_last_line_can_change() {
        let good = joined(&lines(2, true));
        let last = good.len() / 2..good.len() - 1;
        for at in last {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                let read = parse(&bytes);
                assert!(
                    read.is_err() || read.unwrap().torn,
                    "byte {at}, bit {bit}: {}",
                    String::from_utf8_lossy(&bytes)
                );
            }
        }
    }

    #[test]
    fn the_rest_of_a_line_cut_short_is_told_apart() {
        let mut bytes = joined(&lines(2, true));
        let whole = bytes.len() as u64;
        bytes.extend_from_slice(b"{\"bundle\":nu");
        let journal = parse(&bytes).unwrap();
        assert!(journal.torn);
        assert_eq!((journal.whole, journal.entries.len()), (whole, 2));
    }
}
