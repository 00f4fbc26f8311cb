//! Public keys: how they are written, what identifies them, and checking one signature. Nothing here decides what a
//! key may do; that is `root`'s part. Secret keys live in `sign`.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ParsedPublicKey,
    VerificationAlgorithm,
};
use pkcs8::der::Decode as _;

use crate::base::digest::Digest;
use crate::trust::TrustError;
use crate::trust::envelope::{Signable, pae};
use crate::trust::sshsig;

/// What stands before the 32 key bytes in an Ed25519 `SubjectPublicKeyInfo` (RFC 8410).
pub(crate) const ED25519_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// What stands before the 97 bytes of an uncompressed point in a P-384 `SubjectPublicKeyInfo` (RFC 5480, named curve).
const P384_PREFIX: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];
/// Object identifiers of the key types that an SSH signature can come from.
const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";
const ED25519: &str = "1.3.101.112";

/// How a key signs. The trust root fixes it; a signature never names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// Ed25519 over the message (RFC 8032).
    Ed25519,
    /// ECDSA on P-384 over the SHA-384 of the message, signature in DER (FIPS 186-5).
    EcdsaP384,
    /// An SSH signature over the payload; Ed25519 and ECDSA keys. RSA keys may stand in roots and are not verified.
    SshSig,
    /// ML-DSA-87 (FIPS 204). Known in roots, not verified by this build.
    MlDsa87,
}

impl Scheme {
    /// The word in the trust root.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP384 => "ecdsa-p384-sha384",
            Self::SshSig => "sshsig",
            Self::MlDsa87 => "ml-dsa-87",
        }
    }

    /// The scheme a trust root calls so.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Ed25519, Self::EcdsaP384, Self::SshSig, Self::MlDsa87]
            .into_iter()
            .find(|s| s.as_str() == word)
    }

    /// Whether this build can verify such signatures.
    pub const fn is_verifiable(self) -> bool {
        matches!(self, Self::Ed25519 | Self::EcdsaP384 | Self::SshSig)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// SHA-256 of a public key's `SubjectPublicKeyInfo` in DER, written as 64 hex digits. Always computed from the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(Digest);

impl KeyId {
    /// 64 lowercase hex digits, the form in roots and signatures.
    pub fn hex(&self) -> String {
        self.0.hex()
    }

    /// Parses 64 lowercase hex digits: a *claim* about a key, to be compared with a computed id.
    pub fn from_hex(hex: &str) -> Option<Self> {
        Digest::from_hex(hex).ok().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A public key whose bytes fit its scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    scheme: Scheme,
    spki: Vec<u8>,
    id: KeyId,
}

impl PublicKey {
    /// From a `SubjectPublicKeyInfo` in DER. Ed25519 and P-384 (named curve, uncompressed point on the curve) have
    /// exactly one accepted encoding; an SSH key is an RSA, EC or Ed25519 key; ML-DSA bytes are not looked into.
    pub fn from_spki(scheme: Scheme, spki: &[u8]) -> Result<Self, TrustError> {
        let fits = match scheme {
            Scheme::Ed25519 => ed25519_bytes(spki).is_some(),
            Scheme::EcdsaP384 => p384_key(spki).is_some(),
            Scheme::SshSig => is_ssh_key(spki),
            Scheme::MlDsa87 => true,
        };
        if !fits {
            return Err(TrustError::key(format!("the key is not an {scheme} key")));
        }
        Ok(Self {
            scheme,
            spki: spki.to_vec(),
            id: KeyId(Digest::of(spki)),
        })
    }

    /// From the 32 bytes of an Ed25519 key.
    pub fn from_ed25519(bytes: &[u8; 32]) -> Result<Self, TrustError> {
        Self::from_spki(Scheme::Ed25519, &[&ED25519_PREFIX[..], bytes].concat())
    }

    /// From an uncompressed point of P-384 (97 bytes).
    pub fn from_p384(point: &[u8]) -> Result<Self, TrustError> {
        Self::from_spki(Scheme::EcdsaP384, &[&P384_PREFIX[..], point].concat())
    }

    /// From PEM (`BEGIN PUBLIC KEY`), or from an SSH public key file; the scheme follows from the key.
    pub fn from_pem(pem: &str) -> Result<Self, TrustError> {
        if sshsig::is_public_line(pem) {
            let spki = sshsig::parse_public(pem).ok_or_else(|| {
                TrustError::key("the file is not one SSH public key of type Ed25519 or ECDSA")
            })?;
            return Self::from_spki(Scheme::SshSig, &spki);
        }
        let (label, document) = pkcs8::Document::from_pem(pem)
            .map_err(|_pem| TrustError::key("the file is not a PEM public key"))?;
        if label != "PUBLIC KEY" {
            return Err(TrustError::key(format!(
                "the file holds a PEM {} and not a PUBLIC KEY",
                crate::base::text::quoted(label)
            )));
        }
        let scheme = match document.as_bytes() {
            der if ed25519_bytes(der).is_some() => Scheme::Ed25519,
            der if der.starts_with(&P384_PREFIX) => Scheme::EcdsaP384,
            _ => {
                return Err(TrustError::key(
                    "the key is neither Ed25519 nor ECDSA P-384",
                ));
            }
        };
        Self::from_spki(scheme, document.as_bytes())
    }

    /// PEM (`BEGIN PUBLIC KEY`), as `openssl pkey -pubin` reads it; an SSH key as the line of its public key file.
    pub fn to_pem(&self) -> Result<String, TrustError> {
        if self.scheme == Scheme::SshSig {
            return sshsig::public_line(&self.spki)
                .ok_or_else(|| TrustError::key("the key has no SSH form"));
        }
        pkcs8::Document::try_from(self.spki.as_slice())
            .and_then(|d| d.to_pem("PUBLIC KEY", pkcs8::LineEnding::LF))
            .map_err(|_der| TrustError::key("the key has no PEM form"))
    }

    /// How it signs.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its id, computed from its bytes.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// `SubjectPublicKeyInfo` in DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Whether `signature` over a payload of this DSSE type is by this key.
    ///
    /// # Errors
    /// When this build cannot verify the scheme at all.
    pub fn verifies_payload(
        &self,
        payload_type: &str,
        payload: &[u8],
        signature: &[u8],
    ) -> Result<bool, TrustError> {
        self.verifies_signable(Signable::new(payload_type, payload), signature)
    }

    /// As [`Self::verifies_payload`], of a payload that says what it is signed as.
    ///
    /// # Errors
    /// When this build cannot verify the scheme at all.
    pub fn verifies_signable(
        &self,
        signed: Signable<'_>,
        signature: &[u8],
    ) -> Result<bool, TrustError> {
        if self.scheme != Scheme::SshSig {
            return self.verifies(&pae(signed.payload_type, signed.payload), signature);
        }
        signed
            .namespace
            .and_then(|name| sshsig::verifies(&self.spki, name, signed.payload, signature))
            .ok_or(TrustError::SchemeUnsupported {
                scheme: self.scheme,
                key: self.id,
            })
    }

    /// Whether `signature` over the bytes of `message` is by this key.
    ///
    /// # Errors
    /// When this build cannot verify the scheme at all.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> Result<bool, TrustError> {
        match self.scheme {
            Scheme::Ed25519 => Ok(ed25519_verifies(&self.spki, message, signature)),
            Scheme::EcdsaP384 => {
                Ok(p384_key(&self.spki)
                    .is_some_and(|key| key.verify_sig(message, signature).is_ok()))
            }
            Scheme::SshSig | Scheme::MlDsa87 => Err(TrustError::SchemeUnsupported {
                scheme: self.scheme,
                key: self.id,
            }),
        }
    }
}

fn ed25519_bytes(spki: &[u8]) -> Option<&[u8; 32]> {
    spki.strip_prefix(&ED25519_PREFIX)?.try_into().ok()
}

/// `verify_strict` refuses small-order keys and non-canonical encodings beyond RFC 8032; every signature made by an
/// honest key passes both it and other implementations.
pub(crate) fn ed25519_verifies(spki: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = ed25519_bytes(spki).and_then(|b| ed25519_dalek::VerifyingKey::from_bytes(b).ok());
    let signature = ed25519_dalek::Signature::from_slice(signature).ok();
    match (key, signature) {
        (Some(key), Some(signature)) => key.verify_strict(message, &signature).is_ok(),
        _ => false,
    }
}

fn p384_key(spki: &[u8]) -> Option<ParsedPublicKey> {
    let point = spki.strip_prefix(&P384_PREFIX)?;
    let uncompressed = point.len() == 97 && point.first() == Some(&4);
    if !uncompressed {
        return None;
    }
    ParsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, point).ok()
}

fn is_ssh_key(spki: &[u8]) -> bool {
    let Ok(info) = pkcs8::SubjectPublicKeyInfoRef::from_der(spki) else {
        return false;
    };
    let oid = info.algorithm.oid.to_string();
    let curves: [&'static dyn VerificationAlgorithm; 3] = [
        &ECDSA_P256_SHA256_ASN1,
        &ECDSA_P384_SHA384_ASN1,
        &ECDSA_P521_SHA512_ASN1,
    ];
    match oid.as_str() {
        RSA => true,
        ED25519 => ed25519_bytes(spki).is_some(),
        EC => curves
            .into_iter()
            .any(|curve| ParsedPublicKey::new(curve, spki).is_ok()),
        _ => false,
    }
}

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Signs the next trust root.
    Root,
    /// Signs that the bundle is what was resolved and built.
    Builder,
    /// Countersigns for release; never the same person as the builder.
    Releaser,
    /// Signs transfer records.
    Transfer,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Root, Self::Builder, Self::Releaser, Self::Transfer];

    /// The word in the trust root.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Builder => "builder",
            Self::Releaser => "releaser",
            Self::Transfer => "transfer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = TrustError;
    fn from_str(text: &str) -> Result<Self, TrustError> {
        Self::ALL
            .into_iter()
            .find(|r| r.as_str() == text)
            .ok_or_else(|| {
                TrustError::root(format!("{} is not a role", crate::base::text::quoted(text)))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::{ED25519_PREFIX, P384_PREFIX, PublicKey, Scheme};

    /// RFC 8032, section 7.1, test 2: key, signature of the one byte 0x72.
    const KEY: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const SIGNATURE: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

    fn hex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_rfc_vector_verifies_and_its_neighbours_do_not() {
        let key = PublicKey::from_ed25519(&hex(KEY).try_into().unwrap()).unwrap();
        let signature = hex(SIGNATURE);
        assert!(key.verifies(b"\x72", &signature).unwrap());
        assert!(!key.verifies(b"\x73", &signature).unwrap());
        for index in 0..signature.len() {
            let mut bad = signature.clone();
            bad[index] ^= 1;
            assert!(!key.verifies(b"\x72", &bad).unwrap(), "{index}");
        }
        assert!(!key.verifies(b"\x72", &signature[..63]).unwrap());
        assert!(!key.verifies(b"\x72", b"").unwrap());
    }

    #[test]
    fn small_order_keys_verify_nothing() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let key = PublicKey::from_ed25519(&identity).unwrap();
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!key.verifies(b"anything", &signature).unwrap());
    }

    #[test]
    fn one_encoding_per_key() {
        let good = [&ED25519_PREFIX[..], &hex(KEY)].concat();
        PublicKey::from_spki(Scheme::Ed25519, &good).unwrap();
        let long = [&good[..], b"\0"].concat();
        for bad in [&good[..43], &long, &hex(KEY), b""] {
            PublicKey::from_spki(Scheme::Ed25519, bad).unwrap_err();
        }
        PublicKey::from_spki(Scheme::EcdsaP384, &good).unwrap_err();
        let off_curve = [&P384_PREFIX[..], &[4], &[7; 96]].concat();
        PublicKey::from_spki(Scheme::EcdsaP384, &off_curve).unwrap_err();
    }

    #[test]
    fn pem_round_trip() {
        let key = PublicKey::from_ed25519(&hex(KEY).try_into().unwrap()).unwrap();
        let pem = key.to_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n"));
        assert_eq!(PublicKey::from_pem(&pem).unwrap(), key);
        PublicKey::from_pem("hello").unwrap_err();
    }
}
