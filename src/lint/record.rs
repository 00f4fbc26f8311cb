//! A wheel's RECORD (PyPA "Recording installed projects"): lists every file with its digest.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;

use crate::base::digest::Digest;
use crate::lint::{Problems, Rule, named};

/// Largest RECORD, in bytes.
pub(super) const MAX: u64 = 64 << 20;

/// Whether RECORD need not list a file: itself and its signatures.
fn is_exempt(path: &str, record: &str) -> bool {
    path.strip_prefix(record)
        .is_some_and(|rest| matches!(rest, "" | ".jws" | ".p7s"))
}

/// Holds the files of a wheel, by path, against its RECORD at `record`.
pub(super) fn check(
    record: &str,
    text: &[u8],
    files: &BTreeMap<String, Digest>,
    found: &mut Problems,
) {
    let mut listed = BTreeMap::new();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text);
    for row in reader.byte_records() {
        let Ok(row) = row else {
            found.deny(Rule::Record, "RECORD is not the table that it should be");
            return;
        };
        let path = String::from_utf8_lossy(row.get(0).unwrap_or_default()).into_owned();
        let digest = row.get(1).unwrap_or_default().to_vec();
        if listed.insert(path.clone(), digest).is_some() {
            found.deny(
                Rule::Record,
                format!("RECORD lists {} twice", named(path.as_bytes())),
            );
        }
    }
    for (path, digest) in files {
        if is_exempt(path, record) {
            continue;
        }
        match listed.get(path).map(Vec::as_slice) {
            None => found.deny(
                Rule::Record,
                format!("RECORD does not list {}", named(path.as_bytes())),
            ),
            Some(stated) => compare(path, stated, digest, found),
        }
    }
    for path in listed.keys().filter(|path| !files.contains_key(*path)) {
        // Nothing is installed for it; pip says nothing, uv says nothing.
        found.warn(
            Rule::Record,
            format!(
                "RECORD lists {}, which is not there",
                named(path.as_bytes())
            ),
        );
    }
}

fn compare(path: &str, stated: &[u8], digest: &Digest, found: &mut Problems) {
    let Some(stated) = stated.strip_prefix(b"sha256=") else {
        let message = format!("RECORD has no SHA-256 of {}", named(path.as_bytes()));
        found.warn(Rule::Record, message);
        return;
    };
    // Some writers pad, which the specification does not.
    let end = stated
        .iter()
        .rposition(|b| *b != b'=')
        .map_or(0, |at| at + 1);
    let bytes = BASE64URL_NOPAD.decode(stated.get(..end).unwrap_or_default());
    if bytes.ok().as_deref() != Some(digest.bytes().as_slice()) {
        found.deny(
            Rule::Record,
            format!("RECORD has another digest of {}", named(path.as_bytes())),
        );
    }
}
