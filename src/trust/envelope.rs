//! DSSE 1.0: the bytes that are signed, signatures beside them, and envelopes around them. The key id in a signature
//! is a hint that selects a key of the root; it decides nothing.

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::base::json;
use crate::base::text::base64;
use crate::trust::TrustError;
use crate::trust::key::KeyId;
use crate::trust::sshsig;

/// Payload type of in-toto statements: a bundle's, and approvals of it.
pub const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";
/// Type of an in-toto statement (in-toto attestation framework, v1).
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// Payload type of a trust root.
pub const ROOT_TYPE: &str = "application/vnd.stage.root+json";

/// The pre-authentication encoding: what a signature is made over.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    out.extend_from_slice(payload);
    out
}

/// The file of a signed in-toto statement that lies beside what it is about: its envelope with one signature, canonical
/// JSON and a newline.
pub fn statement_file(payload: &[u8], signature: &SignatureEntry) -> Vec<u8> {
    let signatures = std::slice::from_ref(signature);
    let mut bytes = json::canonical(&envelope(STATEMENT_TYPE, payload, signatures));
    bytes.push(b'\n');
    bytes
}

/// A payload and what it is signed as.
#[derive(Debug, Clone, Copy)]
pub struct Signable<'a> {
    /// Its DSSE payload type, which is part of what most keys sign.
    pub payload_type: &'a str,
    /// What SSH keys sign instead; `None`: they do not sign this.
    pub namespace: Option<&'static str>,
    /// The bytes.
    pub payload: &'a [u8],
}

impl<'a> Signable<'a> {
    /// A payload of this DSSE type.
    pub fn new(payload_type: &'a str, payload: &'a [u8]) -> Self {
        Self {
            payload_type,
            namespace: sshsig::namespace(payload_type),
            payload,
        }
    }

    /// An approval. It is an in-toto statement as a bundle's is; its predicate tells them apart, and for SSH keys, whose
    /// users see it, the namespace does.
    pub const fn approval(payload: &'a [u8]) -> Self {
        Self {
            payload_type: STATEMENT_TYPE,
            namespace: Some(sshsig::APPROVAL_NAMESPACE),
            payload,
        }
    }

    /// A proof, an in-toto statement likewise.
    pub const fn proof(payload: &'a [u8]) -> Self {
        Self {
            payload_type: STATEMENT_TYPE,
            namespace: Some(sshsig::PROOF_NAMESPACE),
            payload,
        }
    }

    /// The list of files of a change packet, an in-toto statement likewise.
    pub const fn packet(payload: &'a [u8]) -> Self {
        Self {
            payload_type: STATEMENT_TYPE,
            namespace: Some(sshsig::PACKET_NAMESPACE),
            payload,
        }
    }

    /// An SBOM that is handed to others, an in-toto statement likewise.
    pub const fn sbom(payload: &'a [u8]) -> Self {
        Self {
            payload_type: STATEMENT_TYPE,
            namespace: Some(sshsig::SBOM_NAMESPACE),
            payload,
        }
    }

    /// A record of a transfer, an in-toto statement likewise.
    pub const fn transfer(payload: &'a [u8]) -> Self {
        Self {
            payload_type: STATEMENT_TYPE,
            namespace: Some(sshsig::TRANSFER_NAMESPACE),
            payload,
        }
    }
}

/// One signature as it is written, not yet judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureEntry {
    /// The key it claims to be by, as text.
    pub keyid: String,
    /// Base64 of the signature, as text.
    pub sig: String,
}

impl SignatureEntry {
    /// A new signature.
    pub fn new(key: KeyId, signature: &[u8]) -> Self {
        Self {
            keyid: key.hex(),
            sig: BASE64.encode(signature),
        }
    }

    /// From `{"keyid", "sig"}`, exactly these two texts; `None` for anything else.
    pub fn from_value(value: &Value) -> Option<Self> {
        let map = value.as_object().filter(|m| m.len() == 2)?;
        Some(Self {
            keyid: map.get("keyid")?.as_str()?.to_owned(),
            sig: map.get("sig")?.as_str()?.to_owned(),
        })
    }

    /// As JSON.
    pub fn to_value(&self) -> Value {
        json!({"keyid": self.keyid, "sig": self.sig})
    }
}

/// A DSSE envelope: a payload of this type and the signatures over it.
pub fn envelope(payload_type: &str, payload: &[u8], signatures: &[SignatureEntry]) -> Value {
    let signatures: Vec<Value> = signatures.iter().map(SignatureEntry::to_value).collect();
    json!({
        "payloadType": payload_type,
        "payload": BASE64.encode(payload),
        "signatures": signatures,
    })
}

/// The payload, still in base64, and the signatures of an envelope's JSON: exactly `payloadType`, which must be this one,
/// `payload` and `signatures`.
pub(crate) fn open<'a>(value: &'a Value, payload_type: &str) -> Option<(&'a str, &'a Vec<Value>)> {
    let map = value.as_object().filter(|m| m.len() == 3)?;
    if map.get("payloadType")?.as_str()? != payload_type {
        return None;
    }
    Some((
        map.get("payload")?.as_str()?,
        map.get("signatures")?.as_array()?,
    ))
}

/// An envelope around a trust root. Its signatures are not judged yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootEnvelope {
    /// The root document's bytes.
    pub payload: Vec<u8>,
    /// The signatures as they stand in the envelope.
    pub signatures: Vec<Value>,
}

impl RootEnvelope {
    /// From an envelope's JSON: exactly `payloadType`, `payload` and `signatures`.
    pub fn from_value(value: &Value) -> Result<Self, TrustError> {
        let shape = || TrustError::root("the envelope is not a trust root's");
        let (payload, signatures) = open(value, ROOT_TYPE).ok_or_else(shape)?;
        Ok(Self {
            payload: base64(payload).ok_or(TrustError::Base64)?,
            signatures: signatures.clone(),
        })
    }

    /// The canonical bytes of an envelope.
    pub fn canonical(payload: &[u8], signatures: &[SignatureEntry]) -> Vec<u8> {
        json::canonical(&envelope(ROOT_TYPE, payload, signatures))
    }
}

#[cfg(test)]
mod tests {
    use super::{SignatureEntry, pae};
    use serde_json::json;

    #[test]
    fn pae_is_the_specification_s() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn signatures_have_two_texts_and_nothing_else() {
        let good = json!({"keyid": "a", "sig": "b"});
        assert_eq!(SignatureEntry::from_value(&good).unwrap().to_value(), good);
        for bad in [
            json!({"keyid": "a"}),
            json!({"keyid": "a", "sig": 1}),
            json!({"keyid": "a", "sig": "b", "alg": "none"}),
            json!([]),
            json!(null),
        ] {
            assert!(SignatureEntry::from_value(&bad).is_none(), "{bad}");
        }
    }
}
