//! Signatures over certificates: whether a key made one, and whether its hash is still one to rely on. Roots of old are
//! judged too, so that short keys and SHA-1 are computed here; whether they are accepted is decided elsewhere.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA1_ASN1, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1,
    ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA1_ASN1,
    ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519,
    RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    UnparsedPublicKey, VerificationAlgorithm,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::public_key::PublicKey;

use super::certificate::curve;

/// NIST P-256, P-384 and P-521: what every client takes.
pub(super) const CURVES: [&str; 3] = ["1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35"];

/// Whether a key made a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// It did.
    Yes,
    /// It did not.
    No,
    /// The algorithm is none that can be computed here.
    Unknown,
}

/// Whether the key of `issuer` signed `certificate`.
pub(super) fn made(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Made {
    let algorithms = algorithms(&certificate.signature_algorithm.algorithm.to_id_string());
    if algorithms.is_empty() {
        return Made::Unknown;
    }
    let key = issuer.public_key().subject_public_key.data.as_ref();
    let (signed, signature) = (
        certificate.tbs_certificate.as_ref(),
        certificate.signature_value.data.as_ref(),
    );
    let fits = algorithms.iter().any(|algorithm| {
        UnparsedPublicKey::new(*algorithm, key)
            .verify(signed, signature)
            .is_ok()
    });
    if fits {
        Made::Yes
    } else if is_strange(issuer) {
        Made::Unknown
    } else {
        Made::No
    }
}

/// Whether a key is on a curve that is not computed with here.
fn is_strange(certificate: &X509Certificate<'_>) -> bool {
    let known = curve(certificate).is_some_and(|id| CURVES.contains(&id.as_str()));
    matches!(certificate.public_key().parsed(), Ok(PublicKey::EC(_))) && !known
}

/// The algorithms that an identifier may stand for: of a curve's key, the one that fits verifies.
fn algorithms(id: &str) -> &'static [&'static dyn VerificationAlgorithm] {
    match id {
        "1.2.840.113549.1.1.5" => &[&RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY],
        "1.2.840.113549.1.1.11" => &[&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY],
        "1.2.840.113549.1.1.12" => &[&RSA_PKCS1_2048_8192_SHA384],
        "1.2.840.113549.1.1.13" => &[&RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY],
        "1.2.840.113549.1.1.10" => &[
            &RSA_PSS_2048_8192_SHA256,
            &RSA_PSS_2048_8192_SHA384,
            &RSA_PSS_2048_8192_SHA512,
        ],
        "1.2.840.10045.4.1" => &[&ECDSA_P256_SHA1_ASN1, &ECDSA_P521_SHA1_ASN1],
        "1.2.840.10045.4.3.2" => &[
            &ECDSA_P256_SHA256_ASN1,
            &ECDSA_P384_SHA256_ASN1,
            &ECDSA_P521_SHA256_ASN1,
        ],
        "1.2.840.10045.4.3.3" => &[
            &ECDSA_P256_SHA384_ASN1,
            &ECDSA_P384_SHA384_ASN1,
            &ECDSA_P521_SHA384_ASN1,
        ],
        "1.2.840.10045.4.3.4" => &[
            &ECDSA_P256_SHA512_ASN1,
            &ECDSA_P384_SHA512_ASN1,
            &ECDSA_P521_SHA512_ASN1,
        ],
        "1.3.101.112" => &[&ED25519],
        _ => &[],
    }
}

/// The hash of a signature, when it is one that collisions are known of.
pub(super) fn broken_hash(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    match certificate
        .signature_algorithm
        .algorithm
        .to_id_string()
        .as_str()
    {
        "1.2.840.113549.1.1.2" => Some("MD2"),
        "1.2.840.113549.1.1.4" => Some("MD5"),
        "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" | "1.2.840.10040.4.3" | "1.3.14.3.2.29" => {
            Some("SHA-1")
        }
        _ => None,
    }
}
