//! What signatures say of plain files: a Sigstore bundle by who should have signed, a signature by a key that the site
//! names, and a publisher's signed list of checksums.
//!
//! ```text
//! upstream/file/<path>/checksums      the list, as it came: the records' once more, for gpgv
//! upstream/file/<path>/signature      its signature; the list may be a signed text itself
//! upstream/file/<path>/keyring.pgp    the certificates that counted
//! ```

use std::collections::BTreeMap;
use std::io::Read as _;

use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::evidence::Level;
use crate::base::fault::Fault as _;
use crate::base::package::ReleaseId;
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::eco::attestation::refused;
use crate::eco::bare_key::{BYTES_LIMIT, BareKey, KeySigned};
use crate::eco::file::checksums::Documents;
use crate::eco::file::records::{FileRecord, FileRecords, Listed};
use crate::eco::vouched::{Anchors, CarriedFiles, UpstreamKeys, Verdict, Vouched};
use crate::openpgp::keyring::Keyring;

/// Folder of everything that travels beside the records.
const FOLDER: &str = "upstream/file";

/// What the records say, right after the resolver has verified lists of checksums and what needed the bytes of files.
pub(super) fn vouched(records: &FileRecords, keys: &UpstreamKeys) -> Vouched {
    each(records, keys, |record| {
        let listed = record.listed.as_ref();
        let listed = listed.map_or(Verdict::Unsigned, |listed| Verdict::Signed {
            level: Level::L4,
            by: listed.signers.clone(),
        });
        let signed = match &record.signed {
            None => Verdict::Unsigned,
            Some(signed) => match BareKey::parse(signed.key.as_bytes()) {
                Err(reason) => refused(&reason),
                Ok(key) if key.needs_bytes(&signed.signature) => by_key(&key),
                Ok(key) => by_signature(&key, signed, record.sha256, None),
            },
        };
        listed.and(signed)
    })
}

/// The same with nothing taken on trust.
pub(super) fn prove(records: &FileRecords, files: &dyn CarriedFiles, anchors: &Anchors) -> Vouched {
    let mut found = each(records, &anchors.keys, |record| {
        let list = record.listed.as_ref();
        let list = list.map_or(Verdict::Unsigned, |listed| {
            prove_list(records, record, listed, anchors)
        });
        let signed = record.signed.as_ref();
        let signed = signed.map_or(Verdict::Unsigned, |signed| {
            prove_key(record.sha256, signed, files, &anchors.file_keys)
        });
        list.and(signed)
    });
    // What stands beside the records for other programs must be the same.
    for (path, bytes) in documents(records) {
        if files.digest(&path).is_some_and(|d| d != Digest::of(&bytes)) {
            for verdict in found.values_mut() {
                *verdict = refused(&format!("{} is not the one of the records", quoted(&path)));
            }
        }
    }
    found
}

/// What travels beside the records for other programs, by path.
pub(super) fn documents(records: &FileRecords) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for (path, record) in &records.files {
        let Some(listed) = &record.listed else {
            continue;
        };
        let mut put = |name: &str, bytes: Vec<u8>| {
            found.insert(format!("{FOLDER}/{path}/{name}"), bytes);
        };
        put("checksums", records.document(&listed.checksums));
        if let Some(signature) = &listed.signature {
            put("signature", records.document(signature));
        }
        put("keyring.pgp", records.certificates_of(listed));
    }
    found
}

/// Judges every file by its Sigstore bundle and by `more`.
fn each(
    records: &FileRecords,
    keys: &UpstreamKeys,
    more: impl Fn(&FileRecord) -> Verdict,
) -> Vouched {
    let one = |(path, record): (&String, &FileRecord)| {
        let checksum = UpstreamChecksum::Sha256(record.sha256);
        let attested = record.attested.as_ref();
        let attested = attested.map_or(Verdict::Unsigned, |attested| {
            keys.sigstore.judge(attested, &checksum)
        });
        let release = ReleaseId::new(path, record.sha256.hex());
        ((release, path.clone()), attested.and(more(record)))
    };
    records.files.iter().map(one).collect()
}

fn by_key(key: &BareKey) -> Verdict {
    Verdict::Signed {
        level: Level::L3,
        by: vec![key.id()],
    }
}

fn by_signature(
    key: &BareKey,
    signed: &KeySigned,
    sha256: Digest,
    bytes: Option<&[u8]>,
) -> Verdict {
    match key.verify(&signed.signature, sha256, bytes) {
        Ok(()) => by_key(key),
        Err(reason) => refused(&reason),
    }
}

/// A signature by the key of the records, or by one of the reader's.
fn prove_key(
    sha256: Digest,
    signed: &KeySigned,
    files: &dyn CarriedFiles,
    own: &[BareKey],
) -> Verdict {
    let key = match BareKey::parse(signed.key.as_bytes()) {
        Ok(key) => key,
        Err(reason) => return refused(&reason),
    };
    if !own.is_empty() && !own.contains(&key) {
        return refused(&format!("it is by {}, which is not the reader's", key.id()));
    }
    if !key.needs_bytes(&signed.signature) {
        return by_signature(&key, signed, sha256, None);
    }
    match bytes(sha256, files) {
        Err(reason) => Verdict::Missing { reason },
        Ok(bytes) if Digest::of(&bytes) != sha256 => {
            refused("the file was changed while it was read")
        }
        Ok(bytes) => by_signature(&key, signed, sha256, Some(&bytes)),
    }
}

/// The bytes of a carried file.
fn bytes(sha256: Digest, files: &dyn CarriedFiles) -> Result<Vec<u8>, String> {
    let path = format!("artifacts/file/{}", sha256.hex());
    if files.digest(&path).is_none() {
        return Err("the bytes that are signed do not travel as one file".to_owned());
    }
    let said = |e: &dyn std::fmt::Display| {
        format!(
            "the signed bytes cannot be read: {}",
            escaped(&e.to_string())
        )
    };
    let mut bytes = Vec::new();
    let read = files.open(&path).map_err(|e| said(&e))?;
    let mut read = read.take(BYTES_LIMIT + 1);
    read.read_to_end(&mut bytes).map_err(|e| said(&e))?;
    if bytes.len() as u64 > BYTES_LIMIT {
        return Err("the file is too large to hold such a signature against it".to_owned());
    }
    Ok(bytes)
}

/// A list of checksums by the certificates of the records, or by a keyring of the reader.
fn prove_list(
    records: &FileRecords,
    record: &FileRecord,
    listed: &Listed,
    anchors: &Anchors,
) -> Verdict {
    let keyring = match &anchors.publishers {
        Some(keyring) => Ok(keyring.clone()),
        None => Keyring::parse(&records.certificates_of(listed)),
    };
    match keyring {
        Err(error) => Verdict::Refused {
            code: error.code(),
            reason: error.to_string(),
        },
        Ok(keyring) => judge_list(records, record, listed, &keyring, anchors.at),
    }
}

fn judge_list(
    records: &FileRecords,
    record: &FileRecord,
    listed: &Listed,
    keyring: &Keyring,
    at: Timestamp,
) -> Verdict {
    let signature = listed.signature.as_ref();
    let signature = signature.map(|key| records.document(key));
    let documents = Documents {
        path: &record.source_name,
        checksums: &records.document(&listed.checksums),
        signature: signature.as_deref(),
        keyring,
        now: at,
    };
    match documents.digest(&record.source_name) {
        Err(error) => Verdict::Refused {
            code: error.code(),
            reason: error.reason(),
        },
        Ok((digest, _)) if digest != record.sha256 => {
            refused("the signed list of checksums has another digest of it")
        }
        Ok((_, by)) => Verdict::Signed {
            level: Level::L4,
            by,
        },
    }
}
