//! `records/debian.json`: the stanzas of a closure as the archives have them, the signed releases they come from, and
//! per install what was assumed to be there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::Platform;
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::eco::EcoError;
use crate::eco::debian::control::{self, Stanza};

/// The document. Written as canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebianRecords {
    /// Format version: 1.
    pub schema: u32,
    /// Packages by name, version and architecture (`all` or Debian's name of one).
    pub packages: BTreeMap<String, BTreeMap<String, BTreeMap<String, DebianPackage>>>,
    /// Signed releases by upstream and path, such as `debian dists/bookworm/InRelease`.
    pub releases: BTreeMap<String, SignedRelease>,
    /// The pinned certificates that signed them, by fingerprint: Base64 of their packets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<String, String>,
    /// Installs by number.
    pub installs: BTreeMap<u32, DebianInstall>,
}

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebianPackage {
    /// The index entry, verbatim.
    pub stanza: String,
    /// The signed release whose index has it; the key among the releases.
    pub release: String,
    /// Path of that index in the release, such as `main/binary-amd64/Packages`.
    pub index: String,
}

/// A signed release as it came, with what was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRelease {
    /// The text: with its signature inside (`InRelease`), or the bare `Release`.
    pub text: String,
    /// The armoured detached signature of a bare `Release`, or the Base64 of a binary one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Its `Date`.
    pub date: Timestamp,
    /// Fingerprints of the pinned certificates whose signatures were good, sorted.
    pub signers: Vec<String>,
}

/// One install: what is to be there on each platform, and what was assumed to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebianInstall {
    /// Whether `Recommends` were followed.
    pub recommends: bool,
    /// `none`, `essential` or `status`.
    pub baseline: String,
    /// Packages by platform, sorted: `name=version`.
    pub packages: BTreeMap<Platform, Vec<String>>,
    /// What the target has already: stanzas with the fields that relations need. Empty without a status file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
}

impl Default for DebianRecords {
    fn default() -> Self {
        Self {
            schema: 1,
            packages: BTreeMap::new(),
            releases: BTreeMap::new(),
            certificates: BTreeMap::new(),
            installs: BTreeMap::new(),
        }
    }
}

impl DebianPackage {
    /// Its stanza, read.
    pub fn read(&self) -> Option<Stanza<'_>> {
        control::stanzas(&self.stanza).next()?.ok()
    }

    /// A field of its stanza.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.read()?.field(name)
    }

    /// SHA-256 of its file, as the stanza states it.
    pub fn sha256(&self) -> Option<Digest> {
        Digest::from_hex(self.field("SHA256")?).ok()
    }
}

impl SignedRelease {
    /// What was signed, of a text whose signature was verified when it came into the records (RFC 9580 §7).
    pub(crate) fn signed(&self) -> String {
        if self.signature.is_some() {
            return self.text.clone();
        }
        let mut lines = self.text.lines();
        // Headers of the armour end with an empty line.
        lines.by_ref().find(|line| line.trim().is_empty());
        let mut text = String::with_capacity(self.text.len());
        for line in lines.take_while(|line| !line.starts_with("-----BEGIN")) {
            text.push_str(line.strip_prefix("- ").unwrap_or(line));
            text.push('\n');
        }
        text
    }
}

/// One record with its place.
pub type Entry<'a> = (ReleaseId, &'a str, &'a DebianPackage);

impl DebianRecords {
    /// Every file: release, architecture, record.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.packages.iter().flat_map(|(name, versions)| {
            versions.iter().flat_map(move |(version, archs)| {
                let id = ReleaseId::new(name, version);
                archs
                    .iter()
                    .map(move |(arch, package)| (id.clone(), arch.as_str(), package))
            })
        })
    }

    /// The files of a release by architecture.
    pub fn get(&self, release: &ReleaseId) -> Option<&BTreeMap<String, DebianPackage>> {
        self.packages.get(&release.name)?.get(&release.version)
    }

    /// Puts a file in.
    pub fn put(&mut self, release: &ReleaseId, arch: &str, package: DebianPackage) {
        let versions = self.packages.entry(release.name.clone()).or_default();
        let archs = versions.entry(release.version.clone()).or_default();
        archs.insert(arch.to_owned(), package);
    }
}

/// Reads the document. Every stanza is one stanza, of the package, version and architecture that it stands under.
pub fn parse(bytes: &[u8]) -> Result<DebianRecords, EcoError> {
    let records: DebianRecords = serde_json::from_slice(bytes).map_err(|e| unreadable(&e))?;
    if records.schema != 1 {
        let found = records.schema;
        return Err(unreadable(&format_args!("format {found} is newer than 1")));
    }
    for (id, arch, package) in records.entries() {
        let wrong =
            |what: &str| unreadable(&format_args!("{} {arch}: {what}", quoted(&id.to_string())));
        if !super::is_name(&id.name) || !super::is_version(&id.version) || !is_arch(arch) {
            return Err(wrong("is no package"));
        }
        let mut stanzas = control::stanzas(&package.stanza);
        let (first, more) = (stanzas.next(), stanzas.next());
        let (Some(Ok(stanza)), None) = (first, more) else {
            return Err(wrong("its entry is not one stanza"));
        };
        let own = [
            ("Package", id.name.as_str()),
            ("Version", &id.version),
            ("Architecture", arch),
        ];
        if own
            .iter()
            .any(|(field, value)| stanza.field(field) != Some(value))
        {
            return Err(wrong("its entry is of another package"));
        }
        if package.sha256().is_none() {
            return Err(wrong("its entry has no SHA-256"));
        }
        if stanza.text().len() != package.stanza.len() {
            return Err(wrong("its entry has empty lines"));
        }
    }
    Ok(records)
}

/// Whether `text` can be the name of an architecture: it becomes part of paths.
pub fn is_arch(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
}

/// The error of a document that is not what it should be.
pub(crate) fn unreadable(reason: &dyn std::fmt::Display) -> EcoError {
    EcoError::Records {
        ecosystem: EcosystemId::debian(),
        reason: escaped(&reason.to_string()),
    }
}

/// The canonical bytes of the document.
pub fn write(records: &DebianRecords) -> Vec<u8> {
    crate::base::json::to_canonical(records).unwrap_or_default()
}

/// One document for several installs: the union. A file that `kept` has with the same digest keeps its entry, and the
/// release that the entry names.
#[cfg(feature = "connected")]
pub fn merge(parts: &[Vec<u8>], kept: Option<&[u8]>) -> Result<Vec<u8>, EcoError> {
    let mut merged = DebianRecords::default();
    for part in parts {
        let part = parse(part)?;
        for (id, arch, package) in part.entries() {
            merged.put(&id, arch, package.clone());
        }
        for (name, release) in part.releases {
            let newer = |known: &SignedRelease| known.date < release.date;
            if merged.releases.get(&name).is_none_or(newer) {
                merged.releases.insert(name, release);
            }
        }
        for (fingerprint, certificate) in part.certificates {
            merged
                .certificates
                .entry(fingerprint)
                .or_insert(certificate);
        }
        merged.installs.extend(part.installs);
    }
    let old = kept.map(parse).transpose()?.unwrap_or_default();
    for (id, arch, was) in old.entries() {
        // An entry belongs to the release whose index has it.
        let release = old.releases.get(&was.release);
        let is_kept = release.is_some() && release == merged.releases.get(&was.release);
        let same = |new: &DebianPackage| is_kept && new.sha256() == was.sha256();
        if merged
            .get(&id)
            .and_then(|archs| archs.get(arch))
            .is_some_and(same)
        {
            merged.put(&id, arch, was.clone());
        }
    }
    Ok(write(&merged))
}

#[cfg(test)]
mod tests {
    use super::{DebianPackage, DebianRecords, parse, write};
    use crate::base::package::ReleaseId;

    fn records(stanza: &str) -> Vec<u8> {
        let mut records = DebianRecords::default();
        let package = DebianPackage {
            stanza: stanza.to_owned(),
            release: "debian dists/stable/InRelease".to_owned(),
            index: "main/binary-amd64/Packages".to_owned(),
        };
        records.put(&ReleaseId::new("hello", "1:2.0-1"), "amd64", package);
        write(&records)
    }

    #[test]
    fn an_entry_is_one_stanza_of_the_package_it_stands_under() {
        let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let good = format!("Package: hello\nVersion: 1:2.0-1\nArchitecture: amd64\nSHA256: {sum}");
        let read = parse(&records(&good)).unwrap();
        assert_eq!(read.entries().count(), 1);
        let bad = [
            good.replace("hello", "other"),
            good.replace("1:2.0-1", "2.0-1"),
            good.replace("amd64", "arm64"),
            good.replace(sum, "00"),
            format!("{good}\n\nPackage: evil\n"),
            format!("{good}\n"),
            format!("\n{good}"),
            String::new(),
        ];
        for stanza in bad {
            assert!(parse(&records(&stanza)).is_err(), "{stanza:?}");
        }
    }
}
