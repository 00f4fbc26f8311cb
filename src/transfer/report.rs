//! What another scanner said, as whoever ran it writes it down:
//!
//! ```text
//! {"schema": "stage/scan-report/v1",
//!  "scanner": {"name": "uvscan", "version": "7.0", "definitions": {"version": "10801", "date": "2026-11-29T00:00:00Z"},
//!              "limits": {}},
//!  "started": "2026-11-30T09:00:00Z", "ended": "2026-11-30T09:10:00Z",
//!  "files": [{"path": "blobs/<sha256>", "result": "clean"},
//!            {"path": "x.stage", "result": "limit", "detail": "larger than 4 GB"}]}
//! ```
//!
//! The last part of a path is the digest of what was looked at, as `--unpack` names the files, or the name of a file of
//! the medium. Results are `clean`, `limit`, `encrypted`, `unreadable`, `found`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::base::json;
use crate::base::text::{escaped, quoted};
use crate::base::time::{Span, Timestamp};
use crate::transfer::{Scan, Scanner, TransferError, Verdict};

const SCHEMA: &str = "stage/scan-report/v1";
/// Most bytes of a report.
pub const LIMIT: u64 = 256 << 20;

/// How far the clock of the other host may be ahead.
const AHEAD: Span = Span::days(1);

/// A report.
#[derive(Debug, Clone)]
pub struct Report {
    /// Who made it.
    pub scanner: Scanner,
    /// When the scan began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    files: BTreeMap<String, Scan>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: String,
    scanner: Scanner,
    started: Timestamp,
    ended: Timestamp,
    files: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: String,
    result: Verdict,
    #[serde(default)]
    detail: String,
}

fn unusable(reason: impl Into<String>) -> TransferError {
    TransferError::Report {
        reason: reason.into(),
        missing: Vec::new(),
    }
}

/// Reads a report.
///
/// # Errors
/// It is not written as said above, says two things of one file, or comes from the future.
pub fn parse(bytes: &[u8], now: Timestamp) -> Result<Report, TransferError> {
    let value = json::parse(bytes, LIMIT).map_err(|bad| unusable(escaped(&bad.to_string())))?;
    let document: Document =
        serde_json::from_value(value).map_err(|bad| unusable(escaped(&bad.to_string())))?;
    if document.schema != SCHEMA {
        return Err(unusable(format!("its schema is not {SCHEMA}")));
    }
    if document.ended < document.started {
        return Err(unusable("it ended before it began"));
    }
    let newest = document.ended.max(document.scanner.definitions.date);
    if newest > now.plus_seconds(AHEAD.seconds()) {
        return Err(unusable("its times are in the future"));
    }
    let mut files = BTreeMap::new();
    for entry in document.files {
        let name = entry.path.rsplit(['/', '\\']).next().unwrap_or_default();
        let mut scan = Scan::default();
        if entry.result != Verdict::Clean {
            scan.add(entry.result, entry.detail);
        }
        if files.insert(name.to_owned(), scan).is_some() {
            return Err(unusable(format!("it says two things of {}", quoted(name))));
        }
    }
    Ok(Report {
        scanner: document.scanner,
        started: document.started,
        ended: document.ended,
        files,
    })
}

impl Report {
    /// What it says of each of these files.
    ///
    /// # Errors
    /// It says nothing of some.
    pub fn scans<'a>(
        &self,
        wanted: impl Iterator<Item = &'a String>,
    ) -> Result<BTreeMap<String, Scan>, TransferError> {
        let (mut scans, mut missing) = (BTreeMap::new(), Vec::new());
        for name in wanted {
            match self.files.get(name) {
                Some(scan) => drop(scans.insert(name.clone(), scan.clone())),
                None => missing.push(name.clone()),
            }
        }
        if missing.is_empty() {
            return Ok(scans);
        }
        Err(TransferError::Report {
            reason: format!("it says nothing of {} files", missing.len()),
            missing,
        })
    }
}
