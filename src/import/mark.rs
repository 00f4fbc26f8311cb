//! The mark for the paper log: five words that stand for all that a repository remembers.
//!
//! A repository that is set back to an older copy (a restored snapshot of its host) is consistent in itself; only what
//! is kept outside can show it. The words are derived from the journal's last line, which by its chain stands for every
//! line before and for the state, and from each channel's mark. Each word is a proquint: 16 bits as five letters,
//! consonants and vowels in turn, which can be read aloud in any language; five of them are 80 bits.

use std::fmt;

use crate::base::digest::Digest;
use crate::import::state::Memory;

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
        let hex = self.0.hex();
        let (digits, _rest) = hex.as_bytes().as_chunks::<4>();
        for (index, digits) in digits.iter().take(WORDS).enumerate() {
            let text = std::str::from_utf8(digits).unwrap_or_default();
            let bits = u16::from_str_radix(text, 16).unwrap_or_default();
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}", word(bits))?;
        }
        Ok(())
    }
}

/// A proquint (D. S. Wilkerson, "A proposal for proquints: identifiers that are readable, spellable, and pronounceable").
fn word(bits: u16) -> String {
    const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
    const VOWELS: &[u8; 4] = b"aiou";
    let consonant = |shift: u16| CONSONANTS.get(usize::from(bits >> shift & 0xf));
    let vowel = |shift: u16| VOWELS.get(usize::from(bits >> shift & 0x3));
    let letters = [
        consonant(12),
        vowel(10),
        consonant(6),
        vowel(4),
        consonant(0),
    ];
    letters
        .into_iter()
        .flatten()
        .map(|l| char::from(*l))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn words_are_those_of_the_proposal() {
        // 127.0.0.1 and 63.84.220.193 in the proposal's table.
        assert_eq!(
            (word(0x7f00), word(0x0001)),
            ("lusab".to_owned(), "babad".to_owned())
        );
        assert_eq!(
            (word(0x3f54), word(0xdcc1)),
            ("gutih".to_owned(), "tugad".to_owned())
        );
    }
}
