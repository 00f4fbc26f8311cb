//! Signatures over files by a bare key, as `cosign sign-blob --key` makes them: nobody but whoever has the key says who
//! that is, so the site names the key. What a log may know of the signature is not asked: the key alone decides.

use serde::{Deserialize, Serialize};
use sigstore_verify::crypto::{
    KeyAlgorithm, SigningScheme, verify_signature, verify_signature_prehashed,
};
use sigstore_verify::types::bundle::VerificationMaterialContent;
use sigstore_verify::types::{
    Bundle, DerPublicKey, DsseEnvelope, HashAlgorithm, MessageSignature, SignatureBytes,
    SignatureContent, Statement,
};

use crate::base::digest::Digest;
use crate::base::text::{base64, escaped};

/// Most bytes of a key.
pub const KEY_LIMIT: u64 = 64 << 10;
/// Most bytes of a file that a key of Ed25519 can have signed: they are needed in memory, all at once.
pub const BYTES_LIMIT: u64 = 256 << 20;

/// Kind of the payload that says what it is about.
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// A signature, and the key that should have made it: what records keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySigned {
    /// The text of the signature as it came: Base64, or a Sigstore bundle.
    pub signature: String,
    /// The key in PEM.
    pub key: String,
}

/// A public key: ECDSA P-256, or Ed25519.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BareKey {
    der: DerPublicKey,
    scheme: SigningScheme,
}

impl BareKey {
    /// Reads a `PUBLIC KEY` in PEM. The error is safe to print.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_bad| "it is not UTF-8".to_owned())?;
        let der = DerPublicKey::from_pem(text).map_err(|e| escaped(&e.to_string()))?;
        let scheme = match KeyAlgorithm::from_spki(&der) {
            Ok(KeyAlgorithm::EcdsaP256) => SigningScheme::EcdsaP256Sha256,
            Ok(KeyAlgorithm::Ed25519) => SigningScheme::Ed25519,
            Ok(_) => return Err("it is neither ECDSA P-256 nor Ed25519".to_owned()),
            Err(e) => return Err(escaped(&e.to_string())),
        };
        Ok(Self { der, scheme })
    }

    /// Its name: the SHA-256 of its `SubjectPublicKeyInfo`.
    pub(crate) fn id(&self) -> String {
        format!("key {}", Digest::of(self.der.as_bytes()))
    }

    /// Whether a signature is over the bytes of the file, so that its digest alone proves nothing.
    pub(crate) fn needs_bytes(&self, signature: &str) -> bool {
        let envelope = matches!(read(signature), Ok(Read::Envelope(_)));
        self.scheme == SigningScheme::Ed25519 && !envelope
    }

    /// Whether a signature is this key's over a file. `bytes` are those of the file, where [`BareKey::needs_bytes`];
    /// they must have that SHA-256. The error says what does not hold, safe to print.
    pub(crate) fn verify(
        &self,
        signature: &str,
        sha256: Digest,
        bytes: Option<&[u8]>,
    ) -> Result<(), String> {
        match read(signature)? {
            Read::Envelope(envelope) => self.verify_envelope(&envelope, sha256),
            Read::Signature(signature) => {
                let stated = signature.message_digest.as_ref();
                let other = stated.is_some_and(|stated| {
                    stated.algorithm != HashAlgorithm::Sha2256
                        || stated.digest.as_bytes() != sha256.bytes()
                });
                if other {
                    return Err("it is about a file with another digest".to_owned());
                }
                self.verify_bytes(&signature.signature, sha256, bytes)
            }
        }
    }

    fn verify_bytes(
        &self,
        signature: &SignatureBytes,
        sha256: Digest,
        bytes: Option<&[u8]>,
    ) -> Result<(), String> {
        let held = match (self.scheme, bytes) {
            (SigningScheme::Ed25519, None) => {
                return Err("it can only be held against the bytes of the file".to_owned());
            }
            (SigningScheme::Ed25519, Some(bytes)) => {
                verify_signature(&self.der, bytes, signature, self.scheme)
            }
            (scheme, _) => verify_signature_prehashed(&self.der, sha256.bytes(), signature, scheme),
        };
        held.map_err(|_bad| "the signature is not over this file by this key".to_owned())
    }

    fn verify_envelope(&self, envelope: &DsseEnvelope, sha256: Digest) -> Result<(), String> {
        verify_signature(
            &self.der,
            &envelope.pae(),
            &envelope.signature.sig,
            self.scheme,
        )
        .map_err(|_bad| "the signature is not over this statement by this key".to_owned())?;
        if envelope.payload_type != IN_TOTO {
            return Err("what is signed is no statement about files".to_owned());
        }
        let statement: Statement = serde_json::from_slice(envelope.payload.as_bytes())
            .map_err(|e| escaped(&e.to_string()))?;
        let mut digests = statement.subject.iter().filter_map(|s| s.digest.sha256);
        if digests.any(|digest| digest.as_bytes() == sha256.bytes()) {
            Ok(())
        } else {
            Err("it is about files with other digests".to_owned())
        }
    }
}

/// What is signed: the file, or a statement about it.
enum Read {
    Signature(MessageSignature),
    Envelope(DsseEnvelope),
}

fn read(text: &str) -> Result<Read, String> {
    let text = text.trim();
    if !text.starts_with('{') {
        let bytes = base64(text);
        let bytes = bytes.ok_or_else(|| "it is neither Base64 nor a Sigstore bundle".to_owned())?;
        let signature = SignatureBytes::from_bytes(&bytes);
        return Ok(Read::Signature(MessageSignature::new(signature)));
    }
    let bundle = Bundle::from_json(text).map_err(|e| escaped(&e.to_string()))?;
    if !matches!(
        bundle.verification_material.content,
        VerificationMaterialContent::PublicKey(_)
    ) {
        return Err("it is a bundle with a certificate; name its `signer`".to_owned());
    }
    match bundle.content {
        SignatureContent::MessageSignature(signature) => Ok(Read::Signature(signature)),
        SignatureContent::DsseEnvelope(envelope) => Ok(Read::Envelope(envelope)),
        _ => Err("it is a bundle of a kind that is not known".to_owned()),
    }
}
