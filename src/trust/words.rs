//! Fingerprints for the eye and the ear: hex, hex in groups, and 24 English words of BIP-39, whose last one holds a
//! checksum, so that a word that was misheard is noticed before anything is compared.

use bip39::{Language, Mnemonic};
use data_encoding::HEXLOWER;

use crate::base::digest::Digest;
use crate::base::text::quoted;

/// Words of a fingerprint.
pub const WORDS: usize = 24;

/// Why a text is no fingerprint.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// Neither hex digits nor words.
    #[error("it is neither 64 hex digits nor {WORDS} words: {found} words or groups")]
    Shape {
        /// Words or groups found.
        found: usize,
    },
    /// A word that is not in the list.
    #[error("word {place}, {word}, is not in the list: it was misread or misspelt")]
    Word {
        /// Its place, from 1.
        place: usize,
        /// The word, quoted and escaped.
        word: String,
    },
    /// The words are known, but not together.
    #[error("the words do not fit together: one was misread, or two changed places")]
    Checksum,
}

/// The fingerprint as words.
pub fn words(fingerprint: &Digest) -> Vec<&'static str> {
    let bytes = HEXLOWER
        .decode(fingerprint.hex().as_bytes())
        .unwrap_or_default();
    Mnemonic::from_entropy_in(Language::English, &bytes)
        .map(|mnemonic| mnemonic.words().collect())
        .unwrap_or_default()
}

/// The fingerprint in 16 groups of 4 hex digits.
pub fn groups(fingerprint: &Digest) -> Vec<String> {
    let hex: Vec<char> = fingerprint.hex().chars().collect();
    hex.chunks(4).map(|group| group.iter().collect()).collect()
}

/// Reads a fingerprint as people write it down: hex digits, with `sha256:`, spaces or colons, or the words.
pub fn parse(text: &str) -> Result<Digest, FingerprintError> {
    let text = text.trim().to_ascii_lowercase();
    let bare = text.strip_prefix("sha256:").unwrap_or(&text);
    let hex: String = bare
        .chars()
        .filter(|c| !c.is_whitespace() && *c != ':')
        .collect();
    if let Ok(digest) = Digest::from_hex(&hex) {
        return Ok(digest);
    }
    let said: Vec<&str> = bare.split_whitespace().collect();
    if said.len() != WORDS {
        return Err(FingerprintError::Shape { found: said.len() });
    }
    let sentence = said.join(" ");
    let mnemonic =
        Mnemonic::parse_in_normalized(Language::English, &sentence).map_err(|e| match e {
            bip39::Error::UnknownWord(index) => FingerprintError::Word {
                place: index + 1,
                word: quoted(said.get(index).copied().unwrap_or_default()),
            },
            _ => FingerprintError::Checksum,
        })?;
    let (bytes, length) = mnemonic.to_entropy_array();
    let bytes = bytes.get(..length).unwrap_or_default();
    Digest::from_hex(&HEXLOWER.encode(bytes)).map_err(|_length| FingerprintError::Checksum)
}

#[cfg(test)]
mod tests {
    use super::{FingerprintError, groups, parse, words};
    use crate::base::digest::Digest;

    #[test]
    fn words_are_those_of_bip_39() {
        // Test vectors of the proposal.
        let zero = Digest::from_hex(&"00".repeat(32)).unwrap();
        let expected = format!("{}art", "abandon ".repeat(23));
        assert_eq!(words(&zero).join(" "), expected);
        let ones = Digest::from_hex(&"7f".repeat(32)).unwrap();
        assert!(
            words(&ones)
                .join(" ")
                .ends_with("legal winner thank year wave sausage worth title")
        );
        assert_eq!(groups(&ones), vec!["7f7f"; 16]);
    }

    #[test]
    fn what_is_shown_is_what_is_read() {
        let digest = Digest::of(b"root");
        let mut said = words(&digest);
        for text in [
            digest.hex(),
            digest.to_string(),
            digest.hex().to_uppercase(),
            groups(&digest).join(" "),
            groups(&digest).join(":"),
            format!("sha256:{}", groups(&digest).join(" ")),
            said.join(" "),
            format!("  {}\n", said.join("\n").to_uppercase()),
        ] {
            assert_eq!(parse(&text), Ok(digest), "{text}");
        }
        let first = said[0];
        said.swap(0, 5);
        assert_eq!(parse(&said.join(" ")), Err(FingerprintError::Checksum));
        said.swap(0, 5);
        said[0] = "horze";
        assert_eq!(
            parse(&said.join(" ")),
            Err(FingerprintError::Word {
                place: 1,
                word: "\"horze\"".to_owned()
            })
        );
        said[0] = first;
        for bad in [
            "",
            "sha256:",
            "abcd",
            &"zz".repeat(32),
            &"ab".repeat(33),
            &said[..23].join(" "),
        ] {
            assert!(
                matches!(parse(bad), Err(FingerprintError::Shape { .. })),
                "{bad}"
            );
        }
    }
}
