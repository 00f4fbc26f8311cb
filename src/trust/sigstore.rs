//! Sigstore bundles, version 0.3: one signature over a DSSE payload, to be verified with a public key that the reader has.

use serde_json::{Value, json};

use crate::trust::envelope::{SignatureEntry, envelope};

/// Media type of the format.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// The Sigstore bundle of one signature: the format takes no more. No transparency log knows of it, and the hint that names
/// the key is its id.
pub fn bundle(payload_type: &str, payload: &[u8], signature: &SignatureEntry) -> Value {
    json!({
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {
            "publicKey": {"hint": signature.keyid},
            "tlogEntries": [],
        },
        "dsseEnvelope": envelope(payload_type, payload, std::slice::from_ref(signature)),
    })
}
