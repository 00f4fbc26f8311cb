//! `records/file.json`: what is known of plain files beyond the lock.

use std::collections::BTreeMap;
#[cfg(feature = "connected")]
use std::collections::BTreeSet;

#[cfg(feature = "connected")]
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::base::package::EcosystemId;
use crate::base::text::base64;
use crate::eco::EcoError;
use crate::eco::attestation::Attested;
use crate::eco::bare_key::KeySigned;

/// The document. Written as canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecords {
    /// Format version: 1.
    pub schema: u32,
    /// Files by their path in the enclave.
    pub files: BTreeMap<String, FileRecord>,
    /// Lists of checksums and their signatures by the SHA-256 of their bytes: Base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub documents: BTreeMap<String, String>,
    /// The pinned certificates that signed them, by fingerprint: Base64 of their packets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<String, String>,
}

impl Default for FileRecords {
    fn default() -> Self {
        Self {
            schema: 1,
            files: BTreeMap::new(),
            documents: BTreeMap::new(),
            certificates: BTreeMap::new(),
        }
    }
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// SHA-256 of its bytes, as the manifest demands it.
    pub sha256: Digest,
    /// Last segment of the URL it was downloaded from.
    pub source_name: String,
    /// Who signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested: Option<Attested>,
    /// Or which key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<KeySigned>,
    /// The publisher's list of checksums that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<Listed>,
}

/// A signed list of checksums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// The list: a key of [`FileRecords::documents`].
    pub checksums: String,
    /// Its signature, likewise; absent where the list is a signed text itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Fingerprints of the certificates that signed it, sorted: keys of [`FileRecords::certificates`].
    pub signers: Vec<String>,
}

impl FileRecords {
    /// Keeps a document; returns its key.
    #[cfg(feature = "connected")]
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> String {
        let key = Digest::of(bytes).hex();
        self.documents.insert(key.clone(), BASE64.encode(bytes));
        key
    }

    /// The bytes of a document; [`parse`] has seen to it that it is there.
    pub(crate) fn document(&self, key: &str) -> Vec<u8> {
        let text = self.documents.get(key);
        text.and_then(|text| base64(text)).unwrap_or_default()
    }

    /// The certificates that signed a list, one after the other.
    pub(crate) fn certificates_of(&self, listed: &Listed) -> Vec<u8> {
        let signers = listed.signers.iter();
        let texts = signers.filter_map(|signer| self.certificates.get(signer));
        texts.filter_map(|text| base64(text)).flatten().collect()
    }
}

/// Reads the document.
pub fn parse(bytes: &[u8]) -> Result<FileRecords, EcoError> {
    let fail = |reason: &dyn std::fmt::Display| EcoError::Records {
        ecosystem: EcosystemId::file(),
        reason: crate::base::text::escaped(&reason.to_string()),
    };
    let records: FileRecords = serde_json::from_slice(bytes).map_err(|e| fail(&e))?;
    if records.schema != 1 {
        return Err(fail(&format_args!(
            "format {} is newer than 1",
            records.schema
        )));
    }
    for (key, text) in &records.documents {
        let bytes = base64(text).ok_or_else(|| fail(&"a document is not Base64"))?;
        if Digest::of(&bytes).hex() != *key {
            return Err(fail(&"a document has another digest"));
        }
    }
    for listed in records.files.values().filter_map(|f| f.listed.as_ref()) {
        let mut named = std::iter::once(&listed.checksums).chain(&listed.signature);
        if !named.all(|key| records.documents.contains_key(key)) {
            return Err(fail(&"a list of checksums is missing"));
        }
    }
    Ok(records)
}

/// The canonical bytes of the document.
pub fn write(records: &FileRecords) -> Vec<u8> {
    crate::base::json::to_canonical(records).unwrap_or_default()
}

/// One document for several installs. Where `kept` has the same file by the same list of checksums, its signature stays:
/// it holds for good, and the publisher may sign again.
#[cfg(feature = "connected")]
pub(crate) fn merge(parts: &[Vec<u8>], kept: Option<&[u8]>) -> Result<Vec<u8>, EcoError> {
    let mut merged = FileRecords::default();
    for part in parts {
        let part = parse(part)?;
        merged.files.extend(part.files);
        merged.documents.extend(part.documents);
        merged.certificates.extend(part.certificates);
    }
    let old = kept.map(parse).transpose()?.unwrap_or_default();
    for (path, record) in &mut merged.files {
        let was = old.files.get(path);
        let was = was.filter(|was| was.sha256 == record.sha256);
        if let (Some(was), Some(now)) = (was.and_then(|w| w.listed.as_ref()), &mut record.listed)
            && was.checksums == now.checksums
        {
            now.clone_from(was);
        }
    }
    merged.documents.extend(old.documents);
    merged.certificates.extend(old.certificates);
    let listed = || merged.files.values().filter_map(|f| f.listed.as_ref());
    let documents: BTreeSet<String> = listed()
        .flat_map(|one| std::iter::once(&one.checksums).chain(&one.signature))
        .cloned()
        .collect();
    let signers: BTreeSet<String> = listed().flat_map(|one| &one.signers).cloned().collect();
    merged.documents.retain(|key, _| documents.contains(key));
    merged.certificates.retain(|key, _| signers.contains(key));
    Ok(write(&merged))
}
