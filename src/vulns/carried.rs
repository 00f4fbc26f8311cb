//! The database as a bundle carries it: the records of the lock's ecosystems, one on each line, compressed. The enclave
//! reads it again for everything that was imported, so that names which are not in this lock stay in it.

use std::fmt;
use std::io::Write as _;

use serde_json::Value;

use super::VulnError;
use super::source::RawRecord;
use crate::base::text::escaped;

/// Where a bundle has the records.
pub const RECORDS: &str = "evidence/osv/records.jsonl.zst";
/// Where a bundle has what was found.
pub const EVIDENCE: &str = "evidence/vulnerabilities.json";

/// How hard it is compressed: what is made of the same records is the same bytes.
const COMPRESSION: i32 = 9;
/// Most bytes that are carried.
const MOST: usize = 2 << 30;

/// Writes the records.
pub struct CarriedWriter {
    encoder: zstd::Encoder<'static, Vec<u8>>,
}

impl fmt::Debug for CarriedWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CarriedWriter").finish_non_exhaustive()
    }
}

impl CarriedWriter {
    /// With nothing in it.
    pub fn new() -> Result<Self, VulnError> {
        let encoder = zstd::Encoder::new(Vec::new(), COMPRESSION);
        Ok(Self {
            encoder: encoder.map_err(|source| VulnError::Pack { source })?,
        })
    }

    /// Adds a record on a line of its own, without what is between its values.
    pub(super) fn add(&mut self, record: RawRecord<'_>) -> Result<(), VulnError> {
        let parsed: Value =
            serde_json::from_slice(record.bytes).map_err(|error| VulnError::Record {
                place: record.place.to_owned(),
                reason: escaped(&error.to_string()),
            })?;
        let line = format!("{parsed}\n");
        self.encoder
            .write_all(line.as_bytes())
            .map_err(|source| VulnError::Pack { source })?;
        if self.encoder.get_ref().len() > MOST {
            return Err(VulnError::TooLarge { most: MOST });
        }
        Ok(())
    }

    /// The bytes that travel.
    pub fn finish(self) -> Result<Vec<u8>, VulnError> {
        let packed = self.encoder.finish();
        packed.map_err(|source| VulnError::Pack { source })
    }
}
