//! What of a packet is sent, and the note that goes with it.

use bytes::Bytes;

use crate::base::digest::Digest;
use crate::packet::received::{Packet, ReceivedError};

/// The SBOM in a packet.
const SBOM: &str = "sbom/bundle.cdx.json";
/// The first page of a packet.
const PAGE: &str = "index.md";
/// Digits of a file's digest in the name that it gets: by its name it is found again and not sent twice.
const DIGITS: usize = 12;
/// Most verdicts that a note repeats, and most characters of one.
const MOST_VERDICTS: usize = 12;
const MOST_CHARACTERS: usize = 200;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The whole packet as a zip file.
    Packet,
    /// The SBOM.
    Sbom,
    /// The first page.
    Page,
}

/// A file to send.
#[derive(Debug, Clone)]
pub struct Item {
    /// What it is.
    pub role: Role,
    /// Name that it gets: channel, serial, the beginning of its SHA-256. Lower-case letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Its media type.
    pub media: &'static str,
    /// Its digest.
    pub sha256: Digest,
    /// Its content.
    pub bytes: Bytes,
}

impl Item {
    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// What is told besides the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its lines, of plain characters that no markup gives a meaning.
    pub lines: Vec<String>,
    /// What stands in it and in no other note: the digest of the list of files.
    pub mark: String,
}

impl Note {
    /// As one text.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }
}

/// Everything that is sent of a packet.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Id of the bundle.
    pub bundle: Digest,
    /// Digest of `manifest.json`.
    pub manifest: Digest,
    /// The zip file, then what the packet has of SBOM and first page.
    pub items: Vec<Item>,
    /// The note.
    pub note: Note,
}

impl Submission {
    /// What is sent of a packet whose zip file is `archive`.
    pub fn of(packet: &Packet, archive: Vec<u8>) -> Result<Self, ReceivedError> {
        let list = &packet.manifest;
        let start = format!("{}-{}", list.channel, list.serial);
        let item = |role, extension: &str, media, bytes: Vec<u8>| {
            let sha256 = Digest::of(&bytes);
            let digits: String = sha256.hex().chars().take(DIGITS).collect();
            Item {
                role,
                name: format!("{start}-{digits}.{extension}"),
                media,
                sha256,
                bytes: bytes.into(),
            }
        };
        let page = packet.read(PAGE)?;
        let manifest = Digest::of(&list.bytes);
        let mut lines = vec![
            format!("Change packet of bundle {} {}", list.channel, list.serial),
            format!("bundle: {}", list.bundle),
            format!("manifest.json: {manifest}"),
        ];
        lines.extend(page.as_deref().map(verdicts).unwrap_or_default());
        let mut items = vec![item(Role::Packet, "zip", "application/zip", archive)];
        if let Some(bytes) = packet.read(SBOM)? {
            items.push(item(Role::Sbom, "cdx.json", "application/json", bytes));
        }
        if let Some(bytes) = page {
            items.push(item(Role::Page, "md", "text/markdown", bytes));
        }
        lines.extend(
            items
                .iter()
                .map(|item| format!("{}: {}", item.name, item.sha256)),
        );
        Ok(Self {
            bundle: list.bundle,
            manifest,
            items,
            note: Note {
                lines,
                mark: manifest.hex(),
            },
        })
    }
}

/// The notices of a first page.
fn verdicts(page: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(page);
    let notice = |line: &str| {
        let (word, text) = line.strip_prefix("**")?.split_once(":** ")?;
        Some(plain(&format!("{word}: {text}")))
    };
    text.lines()
        .filter_map(notice)
        .take(MOST_VERDICTS)
        .collect()
}

/// A text that neither wiki markup nor HTML nor a mention can be made of.
fn plain(text: &str) -> String {
    let harmless = |c: &char| c.is_ascii_alphanumeric() || " .,:;/%-".contains(*c);
    text.chars()
        .filter(harmless)
        .take(MOST_CHARACTERS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::verdicts;

    #[test]
    fn a_note_repeats_verdicts_and_no_markup() {
        let page = "# t\n\n**OK:** all well; 3 of 4\n**x** y\n**Look:** \\[~admin\\] {color:red}!img! <b>\n";
        let expected = ["OK: all well; 3 of 4", "Look: admin color:redimg b"];
        assert_eq!(verdicts(page.as_bytes()), expected);
    }
}
