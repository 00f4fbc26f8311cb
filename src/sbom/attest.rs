//! What is signed of an SBOM that is handed to others: an in-toto statement with the digests of its file. The document
//! stays as it is, and who cannot read the signature reads the document.

use serde_json::json;

use crate::base::digest::Digests;
use crate::base::json::canonical;

/// What the name of the signature's file adds to that of the document.
pub const SUFFIX: &str = ".dsse";

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "https://stage.invalid/attestation/sbom/v1";

/// The bytes to sign for a file of this name.
pub fn payload(name: &str, file: &[u8]) -> Vec<u8> {
    let digests = Digests::of(file);
    canonical(&json!({
        "_type": STATEMENT,
        "subject": [{
            "name": name,
            "digest": {"sha256": digests.sha256.hex(), "sha512": digests.sha512.hex()},
        }],
        "predicateType": PREDICATE_TYPE,
        "predicate": {},
    }))
}
