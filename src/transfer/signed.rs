//! The signature over a record, and reading one back on the other side of the gap.
//!
//! An in-toto statement about the record and its pages, in a DSSE envelope with one signature. Where the trust root has
//! keys for the role `transfer`, one of them must have made it; else any key that it knows.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::base::digest::Digest;
use crate::base::json::{self, JsonError};
use crate::base::limits::LIMITS;
use crate::base::text::escaped;
use crate::transfer::{PAGES, RECORD, Record, SCHEMA, SIGNATURE, TransferError, Verdict};
use crate::trust::Role;
use crate::trust::attested::{self, AttestedError};
use crate::trust::envelope::{self, STATEMENT, Signable, SignatureEntry};
use crate::trust::root::TrustRoot;
use crate::trust::threshold::Signer;

const PREDICATE_TYPE: &str = "https://stage.invalid/attestation/transfer-record/v1";

/// The bytes to sign: a statement about these files.
pub fn payload(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let subjects: Vec<Value> = [RECORD]
        .into_iter()
        .chain(PAGES)
        .filter_map(|name| {
            let digest = Digest::of(files.get(name)?).hex();
            Some(json!({"name": name, "digest": {"sha256": digest}}))
        })
        .collect();
    json::canonical(&json!({
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": PREDICATE_TYPE,
        "predicate": {},
    }))
}

/// The file of the signature.
pub fn file(payload: &[u8], signature: &SignatureEntry) -> Vec<u8> {
    envelope::statement_file(payload, signature)
}

/// Whether a key of the trust root may sign records.
pub fn may_sign(root: &TrustRoot, signer: &Signer) -> bool {
    root.threshold(Role::Transfer).is_none() || signer.roles.contains(&Role::Transfer)
}

/// Reads a record and who signed it; `None` when nobody did. The signature is judged before anything is read.
///
/// # Errors
/// It is no record of a transfer, or the signature is not one that counts.
pub fn read(
    files: &BTreeMap<String, Vec<u8>>,
    root: &TrustRoot,
) -> Result<(Record, Option<Signer>), TransferError> {
    let signer = match files.get(SIGNATURE) {
        Some(bytes) => Some(judge(bytes, files, root)?),
        None if root.threshold(Role::Transfer).is_some() => return Err(TransferError::NotSigned),
        None => None,
    };
    let bytes = files.get(RECORD).map(Vec::as_slice).unwrap_or_default();
    let record: Record = serde_json::from_value(strict(bytes)?)
        .map_err(|bad| TransferError::format(escaped(&bad.to_string())))?;
    if record.schema != SCHEMA || record.result == Verdict::Found {
        return Err(TransferError::format("it is no record of a transfer"));
    }
    Ok((record, signer))
}

fn judge(
    bytes: &[u8],
    files: &BTreeMap<String, Vec<u8>>,
    root: &TrustRoot,
) -> Result<Signer, TransferError> {
    let judged = attested::judge(bytes, root, |record| Signable::transfer(record));
    let (signed, signer) = judged.map_err(|error| match error {
        AttestedError::Form => {
            TransferError::format("its signature is not the envelope of a statement")
        }
        AttestedError::Signature(source) => TransferError::Signature { source },
    })?;
    if !may_sign(root, &signer) {
        return Err(TransferError::NotSigned);
    }
    let expected = payload(files);
    if signed != expected {
        let digest = |bytes: &[u8]| Digest::of(bytes).to_string();
        return Err(TransferError::Differs {
            what: "record or pages were changed after they were signed".to_owned(),
            expected: digest(&signed),
            found: digest(&expected),
        });
    }
    Ok(signer)
}

/// Canonical JSON and a newline.
fn strict(bytes: &[u8]) -> Result<Value, TransferError> {
    let text = bytes.strip_suffix(b"\n");
    let text = text.ok_or_else(|| TransferError::format("it does not end with a newline"))?;
    json::strict(text, LIMITS.document)
        .map_err(|bad: JsonError| TransferError::format(escaped(&bad.to_string())))
}
