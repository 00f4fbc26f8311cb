//! The signature slot: 32 KiB that always have the same place and size, so that a second person can sign without
//! moving anything. It holds `{"signatures":[…]}` in canonical JSON, spaces, and a newline.

use std::io::{Seek, SeekFrom, Write};

use serde_json::{Value, json};

use crate::base::json;
use crate::bundle::BundleError;
use crate::bundle::header::{BLOCK, MARKER, SIGNATURES, SLOT, padding};
use crate::trust::envelope::SignatureEntry;
use crate::trust::threshold::MAX_SIGNATURES;

/// The bytes of a slot with these signatures.
pub fn write(signatures: &[SignatureEntry]) -> Result<Vec<u8>, BundleError> {
    let values: Vec<Value> = signatures.iter().map(SignatureEntry::to_value).collect();
    let mut slot = json::canonical(&json!({"signatures": values}));
    if slot.len() >= SLOT || signatures.len() > MAX_SIGNATURES {
        return Err(BundleError::SlotFull);
    }
    slot.resize(SLOT - 1, b' ');
    slot.push(b'\n');
    Ok(slot)
}

/// The signatures in a slot, not yet judged one by one. `signatures` must be the only field; what it holds is looked
/// at when the signatures are counted.
pub fn parse(slot: &[u8]) -> Result<Value, BundleError> {
    let fields = |reason: &str| BundleError::fields(SIGNATURES, reason);
    let text = slot
        .strip_suffix(b"\n")
        .filter(|_| slot.len() == SLOT)
        .ok_or_else(|| fields("it does not end with a newline"))?;
    let text = without_spaces(text);
    if !text.ends_with(b"}") {
        return Err(fields("something stands after the signatures"));
    }
    let value = json::strict(text, SLOT as u64).map_err(|source| BundleError::Json {
        document: SIGNATURES,
        source,
    })?;
    let signatures = value.as_object().filter(|map| map.len() == 1);
    signatures
        .and_then(|map| map.get("signatures"))
        .cloned()
        .ok_or_else(|| fields("its only field is not `signatures`"))
}

/// `text` without the spaces at its end. Whole runs first: almost all of a slot is spaces.
fn without_spaces(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_suffix(&[b' '; 512]) {
        text = rest;
    }
    while let Some(rest) = text.strip_suffix(b" ") {
        text = rest;
    }
    text
}

/// The signatures of a slot as entries; an error when one is not two texts.
pub fn entries(signatures: &Value) -> Result<Vec<SignatureEntry>, BundleError> {
    let fail = || BundleError::fields(SIGNATURES, "a signature is not exactly `keyid` and `sig`");
    let list = signatures.as_array().ok_or_else(fail)?;
    list.iter()
        .map(|value| SignatureEntry::from_value(value).ok_or_else(fail))
        .collect()
}

/// Where the slot's bytes begin in a bundle whose statement has this size.
fn offset(statement_size: u64) -> u64 {
    let member = |size: u64| BLOCK as u64 + size + padding(size) as u64;
    member(MARKER.1.len() as u64) + member(statement_size) + BLOCK as u64
}

/// Replaces the slot of a bundle whose statement has this size, in one write; the caller makes it durable. Nothing else
/// is touched, and a torn slot is noticed by every reader.
pub fn replace(
    bundle: &mut (impl Write + Seek),
    statement_size: u64,
    signatures: &[SignatureEntry],
) -> Result<(), BundleError> {
    let slot = write(signatures)?;
    bundle
        .seek(SeekFrom::Start(offset(statement_size)))
        .and_then(|_at| bundle.write_all(&slot))
        .map_err(|source| BundleError::Write { source })
}

#[cfg(test)]
mod tests {
    use super::{entries, parse, write};
    use crate::bundle::BundleError;
    use crate::bundle::header::SLOT;
    use crate::trust::envelope::SignatureEntry;

    fn entry(sig: &str) -> SignatureEntry {
        SignatureEntry {
            keyid: "k".to_owned(),
            sig: sig.to_owned(),
        }
    }

    #[test]
    fn slots_have_one_size_and_one_spelling() {
        let slot = write(&[entry("s")]).unwrap();
        assert_eq!(slot.len(), SLOT);
        assert_eq!(entries(&parse(&slot).unwrap()).unwrap(), [entry("s")]);
        for (at, byte) in [(SLOT - 1, b' '), (SLOT - 2, b'\n'), (100, b'x'), (0, b' ')] {
            let mut bad = slot.clone();
            bad[at] = byte;
            assert!(parse(&bad).is_err(), "{at}");
        }
        parse(&slot[1..]).unwrap_err();
    }

    #[test]
    fn a_full_slot_takes_no_more() {
        let many = vec![entry("s"); 33];
        assert!(matches!(write(&many), Err(BundleError::SlotFull)));
        let long = [entry(&"s".repeat(SLOT))];
        assert!(matches!(write(&long), Err(BundleError::SlotFull)));
    }
}
