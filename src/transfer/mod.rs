//! Records of transfers: which bundle went across on which medium, what a scanner said of each byte of it, who stood by.
//! A data-transfer agent keeps them, on a host that has no network.
//!
//! ```text
//! record.json        one document, canonical, and a newline: [`Record`]
//! record.html .md    the same to read, print and sign by hand
//! record.json.dsse   a signature over the digests of all three, when it is signed
//! ```
//!
//! There is no record of a medium on which something was found, or that was looked at with old definitions: what was not
//! clean would lie there looking like what was. What was not looked at whole is in the record, and is not called clean.

pub mod clamav;
mod error;
pub mod inside;
mod page;
pub mod report;
pub mod signed;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::base::json;
use crate::base::text::is_plain;
use crate::base::time::Timestamp;
use crate::lock::Lock;
use crate::page::{html, markdown};
use crate::verify::Bundle;

pub use error::{CODES, INCOMPLETE, NOT_TOLD, TransferError};

/// Name of the record.
pub const RECORD: &str = "record.json";
/// Name of its signature.
pub const SIGNATURE: &str = "record.json.dsse";
/// Names of the pages.
pub const PAGES: [&str; 2] = ["record.html", "record.md"];
/// What it says it is.
pub const SCHEMA: &str = "stage/transfer-record/v1";
/// And what one of a medium says that was refused.
pub const REFUSED: &str = "stage/transfer-refused/v1";
/// Most bytes of a text that somebody gives.
const MOST: usize = 500;

/// A transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What it is.
    pub schema: String,
    /// The bundle.
    pub bundle: About,
    /// The trust root by which it was verified.
    pub trust_root: Root,
    /// What carries it.
    pub medium: Medium,
    /// The files of the bundle on the medium.
    pub files: Vec<MediumFile>,
    /// Everything inside, ascending by digest.
    pub blobs: Vec<CarriedBlob>,
    /// What looked at it.
    pub scanner: Scanner,
    /// Who stood by.
    pub persons: Persons,
    /// Where it comes from.
    pub source: Line,
    /// Where it goes.
    pub destination: Line,
    /// What else there is to say.
    pub remarks: Option<Line>,
    /// When the scan began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The worst of all results.
    pub result: Verdict,
    /// What somebody should look at.
    pub findings: Vec<Noted>,
    /// What wrote it.
    pub tool: String,
}

/// The bundle of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Its identity.
    pub id: Digest,
    /// Its channel.
    pub channel: String,
    /// Its serial.
    pub serial: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Who signed it.
    pub signed_by: Vec<String>,
}

/// A trust root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Its version.
    pub version: u64,
    /// Its fingerprint.
    pub fingerprint: Digest,
}

/// A medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Medium {
    /// Its kind, such as `DVD-R`.
    pub kind: Line,
    /// The number on it.
    pub serial: Line,
    /// The classification on its label.
    pub label: Line,
}

/// What a file on the medium is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// The bundle, whole.
    Bundle,
    /// A part of it.
    Volume,
    /// What its signers said.
    Approvals,
    /// That it works.
    Proof,
}

impl FileKind {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Volume => "volume",
            Self::Approvals => "approvals",
            Self::Proof => "proof",
        }
    }
}

/// A file on the medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediumFile {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
    /// What the scanner said of it.
    pub scan: Scan,
}

/// Something that the bundle carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CarriedBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
    /// Which files of which packages have these bytes.
    pub names: Vec<String>,
    /// What the scanner said of it.
    pub scan: Scan,
}

/// How a scan of one file ended, best first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Looked at whole, and nothing was found.
    #[default]
    Clean,
    /// A limit of the scanner left some of it unseen.
    Limit,
    /// It, or something in it, is encrypted.
    Encrypted,
    /// The scanner could not read it, or something in it.
    Unreadable,
    /// Something was found.
    Found,
}

impl Verdict {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Limit => "limit",
            Self::Encrypted => "encrypted",
            Self::Unreadable => "unreadable",
            Self::Found => "found",
        }
    }

    /// Some of it was not looked at.
    pub const fn is_incomplete(self) -> bool {
        matches!(self, Self::Limit | Self::Encrypted | Self::Unreadable)
    }
}

/// What a scanner said of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// The worst of it.
    pub result: Verdict,
    /// In its words; empty for what is clean. Foreign text.
    pub said: Vec<String>,
}

impl Scan {
    /// Whether something was found.
    pub fn is_found(&self) -> bool {
        self.result == Verdict::Found
    }

    /// Adds what was said.
    pub fn add(&mut self, result: Verdict, said: impl Into<String>) {
        self.result = self.result.max(result);
        self.said.push(said.into());
    }
}

/// A scanner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scanner {
    /// Its name.
    pub name: Line,
    /// The version of its engine.
    pub version: Line,
    /// What it knows.
    pub definitions: Definitions,
    /// The limits it was told; none where another program ran it.
    pub limits: BTreeMap<String, String>,
}

/// What a scanner knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definitions {
    /// Their version.
    pub version: Line,
    /// How new they are.
    pub date: Timestamp,
}

/// Two persons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persons {
    /// Who did it.
    pub operator: Line,
    /// Who watched.
    pub witness: Line,
}

impl Persons {
    /// Two different ones; letter case and spaces make no other person.
    ///
    /// # Errors
    /// They are one person.
    pub fn new(operator: Line, witness: Line) -> Result<Self, TransferError> {
        let same = |name: &Line| {
            let words = name.0.to_lowercase();
            words.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        if same(&operator) == same(&witness) {
            return Err(TransferError::OnePerson { name: operator.0 });
        }
        Ok(Self { operator, witness })
    }
}

/// A finding in a record. Not one of [`crate::base::finding`]: it is read back, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noted {
    /// Its code.
    pub code: String,
    /// What it is about.
    pub subject: String,
    /// One sentence.
    pub message: String,
}

/// A text that somebody gave: one line, not empty, at most 500 bytes, without characters that hide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Line(String);

impl Line {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no [`Line`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be one line of at most {MOST} bytes, not empty, and without characters that hide")]
pub struct LineError;

impl TryFrom<String> for Line {
    type Error = LineError;
    fn try_from(text: String) -> Result<Self, LineError> {
        let fits = !text.is_empty()
            && text.trim() == text
            && text.len() <= MOST
            && text.chars().all(is_plain);
        fits.then_some(Self(text)).ok_or(LineError)
    }
}

impl std::str::FromStr for Line {
    type Err = LineError;
    fn from_str(text: &str) -> Result<Self, LineError> {
        Self::try_from(text.trim().to_owned())
    }
}

impl From<Line> for String {
    fn from(line: Line) -> Self {
        line.0
    }
}

impl Record {
    /// Takes what the scanner said into the result and the findings.
    pub fn conclude(&mut self) {
        let files = self.files.iter();
        let files = files.map(|file| (format!("{} {}", file.kind.as_str(), file.name), &file.scan));
        let blobs = self.blobs.iter();
        let blobs = blobs.map(|blob| (blob.names.join(", "), &blob.scan));
        let all: Vec<(String, &Scan)> = files.chain(blobs).collect();
        self.result = all
            .iter()
            .map(|(_, scan)| scan.result)
            .max()
            .unwrap_or_default();
        let noted = all.iter().filter(|(_, scan)| scan.result.is_incomplete());
        let noted: Vec<Noted> = noted
            .map(|(subject, scan)| Noted {
                code: INCOMPLETE.name.to_owned(),
                subject: subject.clone(),
                message: format!("{}: {}", scan.result.as_str(), scan.said.join(", ")),
            })
            .collect();
        self.findings.extend(noted);
    }

    /// Every file of the record but the signature.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let page = page::of(self);
        let mut document = json::to_canonical(self).unwrap_or_default();
        document.push(b'\n');
        let [html_name, markdown_name] = PAGES.map(str::to_owned);
        BTreeMap::from([
            (RECORD.to_owned(), document),
            (html_name, html::write(&page).into_bytes()),
            (markdown_name, markdown::write(&page).into_bytes()),
        ])
    }
}

/// The files of packages, or of the bundle itself, that have the bytes of each blob that it carries.
pub fn names(bundle: &Bundle) -> BTreeMap<Digest, Vec<String>> {
    let mut names: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    let known = bundle.manifest.artifacts();
    for (package, artifact) in bundle.lock.iter().flat_map(Lock::carried_artifacts) {
        let key = (package.ecosystem.clone(), artifact.checksum.clone());
        if let Some(digest) = known.get(&key) {
            let name = format!("{} {}: {}", package.ecosystem, package.id(), artifact.file);
            names.entry(*digest).or_default().push(name);
        }
    }
    for file in &bundle.manifest.files {
        let own = names.entry(file.digests.sha256).or_default();
        if own.is_empty() || !file.path.as_str().starts_with("artifacts/") {
            own.push(file.path.as_str().to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::{Line, Persons};

    fn line(text: &str) -> Line {
        text.parse().unwrap()
    }

    #[test]
    fn two_persons_are_two() {
        Persons::new(line("Erin Vale"), line("Mallory Quist")).unwrap();
        for other in ["Erin Vale", "erin  vale", " ERIN VALE "] {
            Persons::new(line("Erin Vale"), line(other)).unwrap_err();
        }
        for bad in ["", " ", "a\nb", "a\u{202e}b", &"x".repeat(501)] {
            bad.parse::<Line>().unwrap_err();
        }
    }
}
