//! `records/file.json`: what is known of plain files beyond the lock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::base::package::EcosystemId;
use crate::eco::EcoError;
use crate::eco::attestation::Attested;

/// The document. Written as canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecords {
    /// Format version: 1.
    pub schema: u32,
    /// Files by their path in the enclave.
    pub files: BTreeMap<String, FileRecord>,
}

impl Default for FileRecords {
    fn default() -> Self {
        Self {
            schema: 1,
            files: BTreeMap::new(),
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
    Ok(records)
}

/// The canonical bytes of the document.
pub fn write(records: &FileRecords) -> Vec<u8> {
    crate::base::json::to_canonical(records).unwrap_or_default()
}
