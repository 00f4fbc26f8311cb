//! The mark for the paper log: five words that stand for all that a repository remembers.
//!
//! A repository that is set back to an older copy (a restored snapshot of its host) is consistent in itself; only what
//! is kept outside can show it. The words are derived from the journal's last line, which by its chain stands for every
//! line before and for the state, and from each channel's mark. They are the words that fingerprints are read aloud in
//! (see `trust::words`), 11 bits each.

use std::fmt;

use crate::base::digest::Digest;
use crate::import::state::Memory;
use crate::trust::words;

/// Words of a mark.
const WORDS: usize = 5;

/// Five words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(Digest);

impl Mark {
    /// The mark of a repository.
    pub fn of(memory: &Memory) -> Self {
        let last = memory.journal.last.map(|last| last.to_string());
        let marks = memory.state.channels.iter().map(|(channel, mark)| {
            let (epoch, serial, statement) = (mark.epoch, mark.serial, mark.statement);
            format!("{channel} {epoch} {serial} {statement}")
        });
        let lines = ["stage-mark-v1".to_owned()]
            .into_iter()
            .chain(last)
            .chain(marks);
        let text = lines.collect::<Vec<_>>().join("\n");
        Self(Digest::of(text.as_bytes()))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = words::words(&self.0);
        let words: Vec<&str> = words.into_iter().take(WORDS).collect();
        f.write_str(&words.join(" "))
    }
}
