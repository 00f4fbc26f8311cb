//! Public keys that registries sign with, and until when. They are dated data: a file that
//! travels with `stage` and that a site may replace, never something that a registry sends along with its signatures.
//!
//! The form is that of npm's `/-/npm/v1/keys`, so that a registry's own answer can be saved, reviewed and named in the
//! manifest; `dated` is an addition to it. A key's end is held against the time of publication, as npm does: what was
//! published after it cannot have been signed by that key. A beginning would say nothing, since registries sign old
//! releases again when they change keys.
//!
//! ```json
//! {"dated": "2026-11-30", "keys": [{"keyid": "SHA256:…", "keytype": "ecdsa-sha2-nistp256",
//!   "scheme": "ecdsa-sha2-nistp256", "key": "<SubjectPublicKeyInfo, Base64>", "expires": null}]}
//! ```

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use data_encoding::BASE64_NOPAD;
use serde::Deserialize;

use crate::base::digest::Digest;
use crate::base::fault::{Code, Fault, Kind};
use crate::base::text::{base64, escaped, quoted};
use crate::base::time::Timestamp;

/// Codes of this module.
pub const CODES: &[&Code] = &[&KEYS];

static KEYS: Code = Code::new("eco-registry-keys", Kind::Usage);

/// The keys of the public npm registry.
const NPM: &[u8] = include_bytes!("../../keys/npm-registry.json");
/// Most bytes of a file of keys.
pub const LIMIT: u64 = 1 << 20;
/// Most keys of a file.
const MOST_KEYS: usize = 256;
/// The only kind of key and signature that registries use.
const P256: &str = "ecdsa-sha2-nistp256";
/// Name of the curve in OpenSSH's form of a key (RFC 5656 §3.1).
const CURVE: &str = "nistp256";
/// What stands before the 65 bytes of an uncompressed point in a P-256 `SubjectPublicKeyInfo` (RFC 5480, named curve).
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A file of keys that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the keys of a registry cannot be used: {reason}")]
pub struct KeysError {
    /// What is wrong, safe to print.
    reason: String,
}

impl Fault for KeysError {
    fn code(&self) -> &'static Code {
        &KEYS
    }
}

fn fail(reason: impl Into<String>) -> KeysError {
    KeysError {
        reason: reason.into(),
    }
}

/// Keys of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryKeys {
    keys: Vec<RegistryKey>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryKey {
    id: String,
    spki: Vec<u8>,
    expires: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "dated")]
    _dated: Option<String>,
    keys: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    keyid: String,
    keytype: String,
    scheme: String,
    key: String,
    #[serde(default)]
    expires: Option<String>,
}

impl RegistryKeys {
    /// The keys of the public npm registry, as of this version of `stage`.
    pub fn npm() -> Self {
        // A test reads the file.
        Self::parse(NPM).unwrap_or(Self { keys: Vec::new() })
    }

    /// Reads a file of keys. The id of a key is computed from it; one that differs is an error.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeysError> {
        let file: File =
            serde_json::from_slice(bytes).map_err(|e| fail(escaped(&e.to_string())))?;
        if file.keys.is_empty() || file.keys.len() > MOST_KEYS {
            return Err(fail(format!("it has not 1 to {MOST_KEYS} keys")));
        }
        let mut keys: Vec<RegistryKey> = Vec::new();
        for entry in file.keys {
            let key = RegistryKey::read(entry)?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(fail(format!("key {} stands in it twice", quoted(&key.id))));
            }
            keys.push(key);
        }
        Ok(Self { keys })
    }

    /// The key of this id.
    pub fn find(&self, id: &str) -> Option<&RegistryKey> {
        self.keys.iter().find(|key| key.id == id)
    }
}

impl RegistryKey {
    fn read(entry: Entry) -> Result<Self, KeysError> {
        let shown = quoted(&entry.keyid);
        let wrong = |what: &str| fail(format!("key {shown} {what}"));
        if entry.keytype != P256 || entry.scheme != P256 {
            return Err(wrong(&format!("is not of type {P256}")));
        }
        let spki = base64(&entry.key).ok_or_else(|| wrong("is not Base64"))?;
        let point = spki.strip_prefix(&P256_PREFIX).filter(|point| {
            point.len() == 65 && ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &**point).is_ok()
        });
        let point = point.ok_or_else(|| wrong("is not a public key of the curve P-256"))?;
        if fingerprint(point) != entry.keyid {
            let own = fingerprint(point);
            return Err(wrong(&format!("has another fingerprint: {own}")));
        }
        let expires = entry.expires.as_deref().map(Timestamp::from_rfc3339);
        let expires = expires.transpose();
        Ok(Self {
            id: entry.keyid,
            spki,
            expires: expires.map_err(|_bad| wrong("has a time that is not one of RFC 3339"))?,
        })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Why it did not sign what was published at this time; `None` when it may have.
    pub fn unfit(&self, published: Option<Timestamp>) -> Option<String> {
        let until = self.expires?;
        match published {
            None => Some(format!(
                "it ended at {until}, and nobody says when the version was published"
            )),
            Some(at) if at > until => {
                Some(format!("it ended at {until}, and the version is of {at}"))
            }
            Some(_) => None,
        }
    }

    /// Whether `signature` (ECDSA over SHA-256, in DER) over `message` is by this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.spki);
        key.is_ok_and(|key| key.verify_sig(message, signature).is_ok())
    }
}

/// OpenSSH's fingerprint of a key of this curve: SHA-256 over its wire form, Base64 without padding.
fn fingerprint(point: &[u8]) -> String {
    let mut wire = Vec::new();
    for part in [P256.as_bytes(), CURVE.as_bytes(), point] {
        let length = u32::try_from(part.len()).unwrap_or_default();
        wire.extend_from_slice(&length.to_be_bytes());
        wire.extend_from_slice(part);
    }
    format!("SHA256:{}", BASE64_NOPAD.encode(Digest::of(&wire).bytes()))
}

#[cfg(test)]
mod tests {
    use super::{NPM, RegistryKeys};

    #[test]
    fn the_keys_that_travel_with_the_program_are_read_and_have_their_fingerprints() {
        let keys = RegistryKeys::parse(NPM).unwrap();
        assert_eq!(keys, RegistryKeys::npm());
        assert_eq!(keys.keys.len(), 2);
        let old = &keys.keys[0];
        let at = |text: &str| text.parse().unwrap();
        assert_eq!(old.unfit(Some(at("2024-01-01T00:00:00Z"))), None);
        assert!(old.unfit(Some(at("2025-01-29T00:00:01Z"))).is_some());
        assert!(old.unfit(None).is_some());
        let new = &keys.keys[1];
        assert_eq!(new.unfit(None), None);
        assert_eq!(new.unfit(Some(at("2026-01-01T00:00:00Z"))), None);
    }

    #[test]
    fn what_is_no_key_or_another_one_is_refused() {
        let text = String::from_utf8(NPM.to_vec()).unwrap();
        RegistryKeys::parse(text.as_bytes()).unwrap();
        let bad = [
            text.replace("SHA256:jl3b", "SHA256:jl3c"),
            text.replace("MFkwEwYH", "MFkwEwYI"),
            text.replacen("nistp256", "nistp384", 1),
            text.replace("2025-01-29T", "2025-02-30T"),
            text.replace("\"dated\"", "\"date\""),
            text.replace("VnkhBktUgg==", "VnkhBktUgg="),
            "{\"keys\": []}".to_owned(),
            "[]".to_owned(),
        ];
        for (at, text) in bad.iter().enumerate() {
            let refused = RegistryKeys::parse(text.as_bytes());
            assert!(refused.is_err(), "{at}: {text}");
        }
        let one = text.replace(
            "SHA256:DhQ8wR5APBvFHLF/+Tc+AYvPOdTpcIDqOhxsBHRwC7U",
            "SHA256:jl3bwswu80PjjokCgh0o2w5c2U4LhQAE57gj9cz1kzA",
        );
        RegistryKeys::parse(one.as_bytes()).unwrap_err();
    }
}
