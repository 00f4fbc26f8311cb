//! `records/pypi.json`: the files of a closure as their index describes them, and core metadata texts, each kept once
//! under its SHA-256.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::base::evidence::Gap;
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::text::quoted;
use crate::eco::EcoError;
use crate::eco::pypi::attestation::PypiAttested;
use crate::eco::pypi::filename::Filename;
use crate::eco::pypi::is_version;
use crate::eco::pypi::metadata::Metadata;
use crate::eco::pypi::name::Name;

/// The document. Written as canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PypiRecords {
    /// Format version: 1.
    pub schema: u32,
    /// Releases by normalized project name and version as published.
    pub projects: BTreeMap<Name, BTreeMap<String, PypiRelease>>,
    /// Core metadata texts, verbatim, by the SHA-256 of their bytes in lowercase hexadecimal digits.
    pub metadata: BTreeMap<String, String>,
}

/// One version of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PypiRelease {
    /// Its files by name.
    pub files: BTreeMap<String, PypiFile>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PypiFile {
    /// SHA-256 of its bytes, in hexadecimal digits.
    #[serde(with = "hex")]
    pub sha256: Digest,
    /// Size in bytes, as the index states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Pythons that it is for, as the index states them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_python: Option<String>,
    /// Taken back by the publisher (PEP 592), with the reason; empty when none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yanked: Option<String>,
    /// When it was published, as the index states it (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_time: Option<String>,
    /// SHA-256 of its core metadata text, in hexadecimal digits: a key of [`PypiRecords::metadata`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// What its publisher attested, where the manifest expects it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested: Option<PypiAttested>,
    /// Else why there is no attestation that was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unattested: Option<Gap>,
}

impl PypiFile {
    /// A file of which only the digest is known.
    pub const fn new(sha256: Digest) -> Self {
        Self {
            sha256,
            size: None,
            requires_python: None,
            yanked: None,
            upload_time: None,
            metadata: None,
            attested: None,
            unattested: None,
        }
    }
}

/// A digest as bare hexadecimal digits.
mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::base::digest::Digest;

    pub(super) fn serialize<S: Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&digest.hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(from)?;
        Digest::from_hex(&text).map_err(de::Error::custom)
    }
}

impl Default for PypiRecords {
    fn default() -> Self {
        Self {
            schema: 1,
            projects: BTreeMap::new(),
            metadata: BTreeMap::new(),
        }
    }
}

impl PypiRecords {
    /// What the records have of a release, whose name is normalized.
    pub fn get(&self, release: &ReleaseId) -> Option<&PypiRelease> {
        let name: Name = release.name.parse().ok()?;
        self.projects.get(&name)?.get(&release.version)
    }

    /// Every release.
    pub fn releases(&self) -> impl Iterator<Item = (&Name, &String, &PypiRelease)> {
        let versions = |(name, versions)| std::iter::repeat(name).zip(versions);
        let all = self.projects.iter().flat_map(versions);
        all.map(|(name, (version, release))| (name, version, release))
    }

    /// The core metadata text of a file.
    pub fn metadata_of(&self, file: &PypiFile) -> Option<&str> {
        let text = self.metadata.get(file.metadata.as_ref()?)?;
        Some(text.as_str())
    }

    /// The core metadata of a release: that of its first file which has any.
    pub fn about(&self, release: &PypiRelease) -> Option<Metadata> {
        let texts = release.files.values().filter_map(|f| self.metadata_of(f));
        texts.map(Metadata::parse).find_map(Result::ok)
    }

    /// Keeps a core metadata text; returns its key for [`PypiFile::metadata`].
    pub fn keep_metadata(&mut self, text: &str) -> String {
        let key = Digest::of(text.as_bytes()).hex();
        self.metadata
            .entry(key.clone())
            .or_insert_with(|| text.to_owned());
        key
    }
}

/// Reads the document: every name, version and file name is one, every metadata text is there and has its digest.
pub fn parse(bytes: &[u8]) -> Result<PypiRecords, EcoError> {
    let records: PypiRecords = serde_json::from_slice(bytes).map_err(|e| unreadable(&e))?;
    if records.schema != 1 {
        let found = records.schema;
        return Err(unreadable(&format_args!("format {found} is newer than 1")));
    }
    for (key, text) in &records.metadata {
        if Digest::of(text.as_bytes()).hex() != *key {
            let key = quoted(key);
            return Err(unreadable(&format_args!(
                "metadata {key} has another digest"
            )));
        }
    }
    for (name, version, release) in records.releases() {
        if !is_version(version) {
            let version = quoted(version);
            return Err(unreadable(&format_args!(
                "{version} is no version of {name}"
            )));
        }
        for (file, about) in &release.files {
            Filename::parse(file, name).map_err(|e| unreadable(&e))?;
            let known = |key: &String| records.metadata.contains_key(key);
            if !about.metadata.as_ref().is_none_or(known) {
                let file = quoted(file);
                return Err(unreadable(&format_args!(
                    "the metadata of {file} is missing"
                )));
            }
        }
    }
    Ok(records)
}

/// The error of a document that is not what it should be.
pub(crate) fn unreadable(reason: &dyn std::fmt::Display) -> EcoError {
    EcoError::Records {
        ecosystem: EcosystemId::pypi(),
        reason: crate::base::text::visible(&reason.to_string()),
    }
}

/// The canonical bytes of the document.
pub fn write(records: &PypiRecords) -> Vec<u8> {
    crate::base::json::to_canonical(records).unwrap_or_default()
}

/// One document for several installs: the union of their files. A file that `kept` has with the same bytes keeps its
/// entry, and metadata that no file names is dropped.
#[cfg(feature = "connected")]
pub fn merge(parts: &[Vec<u8>], kept: Option<&[u8]>) -> Result<Vec<u8>, EcoError> {
    let mut merged = PypiRecords::default();
    for part in parts {
        let part = parse(part)?;
        merged.metadata.extend(part.metadata);
        for (name, versions) in part.projects {
            let known = merged.projects.entry(name).or_default();
            for (version, release) in versions {
                let files = &mut known.entry(version).or_default().files;
                for (file, new) in release.files {
                    put(files, file, new)?;
                }
            }
        }
    }
    let old = kept.map(parse).transpose()?.unwrap_or_default();
    for (name, versions) in &mut merged.projects {
        for (version, release) in versions {
            let was = old.projects.get(name).and_then(|v| v.get(version));
            for (file, new) in &mut release.files {
                let was = was.and_then(|w| w.files.get(file));
                if let Some(was) = was.filter(|was| was.sha256 == new.sha256) {
                    let metadata = was.metadata.clone().or(new.metadata.take());
                    *new = was.clone();
                    new.metadata = metadata;
                }
            }
        }
    }
    merged.metadata.extend(old.metadata);
    let files = merged.projects.values().flat_map(BTreeMap::values);
    let named: std::collections::BTreeSet<String> = files
        .flat_map(|release| release.files.values())
        .filter_map(|file| file.metadata.clone())
        .collect();
    merged.metadata.retain(|key, _| named.contains(key));
    Ok(write(&merged))
}

/// Adds a file; one install may know its metadata where another does not.
#[cfg(feature = "connected")]
fn put(
    files: &mut BTreeMap<String, PypiFile>,
    file: String,
    mut new: PypiFile,
) -> Result<(), EcoError> {
    if let Some(old) = files.get(&file) {
        if old.sha256 != new.sha256 {
            let file = quoted(&file);
            return Err(unreadable(&format_args!("{file} has two digests")));
        }
        new.metadata = new.metadata.or_else(|| old.metadata.clone());
    }
    files.insert(file, new);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Digest, PypiFile, PypiRecords, parse, write};

    /// Records of one wheel with metadata.
    fn one() -> PypiRecords {
        let mut records = PypiRecords::default();
        let mut file = PypiFile::new(Digest::of(b"wheel"));
        file.size = Some(5);
        file.metadata = Some(records.keep_metadata("Name: a\nVersion: 1\n"));
        let versions = records.projects.entry("a".parse().unwrap()).or_default();
        let release = versions.entry("1".to_owned()).or_default();
        release
            .files
            .insert("a-1-py3-none-any.whl".to_owned(), file);
        records
    }

    #[test]
    fn what_is_written_is_read_back() {
        let records = one();
        let bytes = write(&records);
        assert_eq!(parse(&bytes).unwrap(), records);
        let release = records.get(&"A@1".parse().unwrap()).unwrap();
        assert_eq!(records.about(release).unwrap().version, "1");
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(&format!("\"sha256\":\"{}\"", Digest::of(b"wheel").hex())));
    }

    #[test]
    fn damaged_records_are_refused() {
        let text = String::from_utf8(write(&one())).unwrap();
        for (from, to) in [
            ("\"schema\":1", "\"schema\":2"),
            ("\"schema\":1", "\"schema\":1,\"more\":1"),
            ("{\"a\":{\"1\"", "{\"A\":{\"1\""),
            ("{\"a\":{\"1\"", "{\"../a\":{\"1\""),
            ("{\"a\":{\"1\"", "{\"b\":{\"1\""),
            ("{\"a\":{\"1\"", "{\"a\":{\"1/2\""),
            ("a-1-py3-none-any.whl", "a-1-py3-none-any/../x.whl"),
            ("Version: 1", "Version: 2"),
            ("\"size\":5", "\"size\":-5"),
        ] {
            let bad = text.replacen(from, to, 1);
            assert_ne!(bad, text, "{from}");
            parse(bad.as_bytes()).unwrap_err();
        }
        let mut lost = one();
        lost.metadata.clear();
        parse(&write(&lost)).unwrap_err();
    }

    #[cfg(feature = "connected")]
    #[test]
    fn merging_keeps_what_was_known_of_the_same_bytes() {
        let file = |records: &PypiRecords| {
            records.projects.values().next().unwrap()["1"]
                .files
                .values()
                .next()
                .unwrap()
                .clone()
        };
        let mut newer = one();
        for release in newer.projects.values_mut().flat_map(|v| v.values_mut()) {
            for file in release.files.values_mut() {
                file.yanked = Some("bad".to_owned());
                file.metadata = None;
            }
        }
        let both = parse(&super::merge(&[write(&one()), write(&newer)], None).unwrap()).unwrap();
        assert_eq!(file(&both).yanked.as_deref(), Some("bad"));
        assert_eq!(both.metadata.len(), 1);
        let kept = super::merge(&[write(&newer)], Some(&write(&one()))).unwrap();
        assert_eq!(parse(&kept).unwrap(), one());
        let mut other = one();
        other
            .projects
            .values_mut()
            .next()
            .unwrap()
            .get_mut("1")
            .unwrap()
            .files
            .values_mut()
            .next()
            .unwrap()
            .sha256 = Digest::of(b"other");
        super::merge(&[write(&one()), write(&other)], None).unwrap_err();
        let changed = super::merge(&[write(&other)], Some(&write(&one()))).unwrap();
        assert_eq!(file(&parse(&changed).unwrap()).sha256, Digest::of(b"other"));
    }
}
