//! Pinned certificates, and which of their keys may sign when.

use std::io::Cursor;

use pgp::composed::{Deserializable as _, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SignatureVersion, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{Duration, KeyDetails, KeyVersion, PublicParams, Tag, VerifyingKey};

use crate::base::text::escaped;
use crate::base::time::Timestamp;
use crate::openpgp::{Fingerprint, KEYRING_LIMIT, OpenpgpError, armor};

/// Fewest bits of an RSA modulus.
const RSA_BITS: usize = 2048;

/// Certificates whose signatures are believed.
#[derive(Debug, Clone)]
pub struct Keyring {
    certificates: Vec<SignedPublicKey>,
}

/// One key of a certificate that a signature says it is by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    certificate: &'a SignedPublicKey,
    /// `None`: the primary key.
    subkey: Option<&'a SignedPublicSubKey>,
}

impl Keyring {
    /// Reads certificates, binary or armoured, several after each other. Keys of versions that nobody should use any
    /// more are left out.
    pub fn parse(bytes: &[u8]) -> Result<Self, OpenpgpError> {
        if bytes.len() > KEYRING_LIMIT {
            return Err(OpenpgpError::keyring("it is too large"));
        }
        let mut certificates = Vec::new();
        if armor::is_armored(bytes) {
            let text = std::str::from_utf8(bytes)
                .map_err(|_bad| OpenpgpError::keyring("it is neither OpenPGP packets nor text"))?;
            for block in armor::key_blocks(text)? {
                let (found, _headers) = SignedPublicKey::from_armor_many_buf(Cursor::new(block))
                    .map_err(|e| unreadable(&e))?;
                collect(found, &mut certificates)?;
            }
        } else {
            collect(
                SignedPublicKey::from_bytes_many(bytes).map_err(|e| unreadable(&e))?,
                &mut certificates,
            )?;
        }
        if certificates.is_empty() {
            return Err(OpenpgpError::keyring("it holds no certificate"));
        }
        Ok(Self { certificates })
    }

    /// One keyring of several files.
    pub fn parse_all(files: &[Vec<u8>]) -> Result<Self, OpenpgpError> {
        let mut certificates = Vec::new();
        for bytes in files {
            certificates.extend(Self::parse(bytes)?.certificates);
        }
        if certificates.is_empty() {
            return Err(OpenpgpError::keyring("it holds no certificate"));
        }
        Ok(Self { certificates })
    }

    /// Fingerprints of the certificates, sorted.
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        let mut all: Vec<_> = self
            .certificates
            .iter()
            .map(|c| Fingerprint::of(&c.primary_key))
            .collect();
        all.sort();
        all.dedup();
        all
    }

    /// The packets of the certificate with this fingerprint. One that stands several times, each time with other
    /// signatures on it, comes as often.
    pub fn certificate(&self, fingerprint: &str) -> Option<Vec<u8>> {
        let same = |c: &&SignedPublicKey| Fingerprint::of(&c.primary_key).as_str() == fingerprint;
        let mut packets = Vec::new();
        for certificate in self.certificates.iter().filter(same) {
            packets.extend(certificate.to_bytes().ok()?);
        }
        (!packets.is_empty()).then_some(packets)
    }

    /// The keys that a signature says it is by; it names at least a key id.
    pub(super) fn candidates(&self, signature: &Signature) -> Vec<Candidate<'_>> {
        let mut found = Vec::new();
        for certificate in &self.certificates {
            if names(signature, &certificate.primary_key) {
                found.push(Candidate {
                    certificate,
                    subkey: None,
                });
            }
            for subkey in &certificate.public_subkeys {
                if is_modern(&subkey.key) && names(signature, &subkey.key) {
                    found.push(Candidate {
                        certificate,
                        subkey: Some(subkey),
                    });
                }
            }
        }
        found
    }
}

fn unreadable(error: &pgp::errors::Error) -> OpenpgpError {
    OpenpgpError::Keyring {
        reason: escaped(&error.to_string()),
    }
}

fn collect<'a>(
    found: Box<dyn Iterator<Item = pgp::errors::Result<SignedPublicKey>> + 'a>,
    certificates: &mut Vec<SignedPublicKey>,
) -> Result<(), OpenpgpError> {
    for certificate in found {
        let certificate = certificate.map_err(|e| unreadable(&e))?;
        if is_modern(&certificate.primary_key) {
            certificates.push(certificate);
        }
    }
    Ok(())
}

/// The library panics on fingerprints of other versions, and MD5 identifies nothing.
fn is_modern(key: &impl KeyDetails) -> bool {
    matches!(key.version(), KeyVersion::V4 | KeyVersion::V6)
}

/// Whether a signature says that `key` made it: by fingerprint, or by key id where it states no fingerprint.
fn names(signature: &Signature, key: &impl KeyDetails) -> bool {
    let fingerprints = signature.issuer_fingerprint();
    if !fingerprints.is_empty() {
        return fingerprints.contains(&&key.fingerprint());
    }
    signature.issuer_key_id().contains(&&key.legacy_key_id())
}

impl Candidate<'_> {
    /// Whether the signature is this key's over `data`.
    pub(super) fn made(&self, signature: &Signature, data: &[u8]) -> bool {
        match self.subkey {
            None => signature.verify(&self.certificate.primary_key, data),
            Some(subkey) => signature.verify(&subkey.key, data),
        }
        .is_ok()
    }

    /// Fingerprints of the key and of its certificate.
    pub(super) fn fingerprints(&self) -> (Fingerprint, Fingerprint) {
        let certificate = Fingerprint::of(&self.certificate.primary_key);
        let key = self
            .subkey
            .map_or_else(|| certificate.clone(), |s| Fingerprint::of(&s.key));
        (key, certificate)
    }

    /// Why the key may not make signatures: `Err` says it.
    pub(super) fn may_sign(&self, made_at: Timestamp, now: Timestamp) -> Result<(), &'static str> {
        let certificate = self.certificate;
        let primary = &certificate.primary_key;
        strong(primary)?;
        if certificate
            .details
            .revocation_signatures
            .iter()
            .any(|r| r.typ() == Some(SignatureType::KeyRevocation) && r.verify_key(primary).is_ok())
        {
            return Err("the key is revoked");
        }
        let own = self_signature(certificate, now)
            .ok_or("the certificate has no valid self-signature with SHA-256 or better")?;
        lives(primary, own, made_at, now)?;
        match self.subkey {
            // A certificate that says nothing of its purpose may do everything its algorithm can (RFC 4880 §5.2.3.21).
            None if says_flags(own) && !own.key_flags().sign() => Err("the key is not for signing"),
            None => Ok(()),
            Some(subkey) => subkey_may_sign(certificate, subkey, made_at, now),
        }
    }
}

fn subkey_may_sign(
    certificate: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    made_at: Timestamp,
    now: Timestamp,
) -> Result<(), &'static str> {
    let primary = &certificate.primary_key;
    strong(&subkey.key)?;
    let bound = |s: &&Signature| s.verify_subkey_binding(primary, &subkey.key).is_ok();
    let of = |typ| {
        subkey
            .signatures
            .iter()
            .filter(move |s| s.typ() == Some(typ))
    };
    if of(SignatureType::SubkeyRevocation).any(|s| bound(&s)) {
        return Err("the subkey is revoked");
    }
    let binding = of(SignatureType::SubkeyBinding)
        .filter(|s| is_sound(s, now))
        .filter(bound)
        .max_by_key(|s| s.created())
        .ok_or("the subkey has no valid binding with SHA-256 or better")?;
    if !binding.key_flags().sign() {
        return Err("the subkey is not for signing");
    }
    let back = binding.embedded_signature().filter(|b| is_sound(b, now));
    let agrees = |b: &Signature| b.verify_primary_key_binding(&subkey.key, primary).is_ok();
    if !back.is_some_and(agrees) {
        return Err("the subkey has not signed that it belongs to the certificate");
    }
    lives(&subkey.key, binding, made_at, now)
}

/// The newest sound self-signature of a certificate: over the key itself or over a user id that is not revoked.
fn self_signature(certificate: &SignedPublicKey, now: Timestamp) -> Option<&Signature> {
    let primary = &certificate.primary_key;
    let direct = certificate
        .details
        .direct_signatures
        .iter()
        .filter(|s| s.typ() == Some(SignatureType::Key) && names(s, primary) && is_sound(s, now))
        .filter(|s| s.verify_key(primary).is_ok());
    let users = certificate.details.users.iter().filter_map(|user| {
        let own = || {
            user.signatures
                .iter()
                .filter(|s| names(s, primary))
                .filter(|s| {
                    s.verify_certification(primary, Tag::UserId, &user.id)
                        .is_ok()
                })
        };
        let revokes = |s: &&Signature| s.typ() == Some(SignatureType::CertRevocation);
        let newest = own()
            .filter(|s| !revokes(s) && is_sound(s, now))
            .max_by_key(|s| s.created())?;
        let revoked = own()
            .filter(revokes)
            .any(|r| r.created() >= newest.created());
        (!revoked).then_some(newest)
    });
    direct.chain(users).max_by_key(|s| s.created())
}

/// Whether a signature is of a version, hash and time that is accepted at all, and has no part that would have to be
/// understood but is not.
pub(super) fn is_sound(signature: &Signature, now: Timestamp) -> bool {
    unsound(signature, now).is_none()
}

/// Why a signature is not accepted whatever key made it.
pub(super) fn unsound(signature: &Signature, now: Timestamp) -> Option<&'static str> {
    let Some(config) = signature.config() else {
        return Some("it is of an unknown version");
    };
    if !matches!(
        config.version(),
        SignatureVersion::V4 | SignatureVersion::V6
    ) {
        return Some("it is of an old version");
    }
    let strong = matches!(
        config.hash_alg,
        HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512
    );
    if !strong {
        return Some("its hash is weaker than SHA-256");
    }
    let foreign = |data: &SubpacketData| {
        matches!(
            data,
            SubpacketData::Experimental(..) | SubpacketData::Other(..)
        )
    };
    if config
        .hashed_subpackets()
        .any(|s| s.is_critical && foreign(&s.data))
    {
        return Some("it has a critical part that is not known");
    }
    let Some(created) = config.created().map(seconds) else {
        return Some("it does not say when it was made");
    };
    if created > now.unix() {
        return Some("it was made in the future");
    }
    let ends = signature
        .signature_expiration_time()
        .and_then(|d| end(created, d));
    ends.is_some_and(|end| end <= now.unix())
        .then_some("it has expired")
}

fn says_flags(signature: &Signature) -> bool {
    signature.config().is_some_and(|config| {
        config
            .hashed_subpackets()
            .any(|s| matches!(s.data, SubpacketData::KeyFlags(_)))
    })
}

/// The key is there when it signs, and has not expired since.
fn lives(
    key: &impl KeyDetails,
    says: &Signature,
    made_at: Timestamp,
    now: Timestamp,
) -> Result<(), &'static str> {
    let created = seconds(key.created_at());
    if created > made_at.unix() {
        return Err("the key is younger than its signature");
    }
    let ends = says.key_expiration_time().and_then(|d| end(created, d));
    if ends.is_some_and(|end| end <= now.unix() || end <= made_at.unix()) {
        return Err("the key has expired");
    }
    Ok(())
}

/// When something ends; a length of zero means never.
fn end(from: i64, length: Duration) -> Option<i64> {
    (length.as_secs() > 0).then(|| from.saturating_add(i64::from(length.as_secs())))
}

fn seconds(time: pgp::types::Timestamp) -> i64 {
    i64::from(time.as_secs())
}

/// Algorithms and sizes that signatures are accepted of.
fn strong(key: &impl VerifyingKey) -> Result<(), &'static str> {
    match key.public_params() {
        // The modulus and an exponent of one byte or more, each behind a length of two bytes.
        params @ PublicParams::RSA(_) if params.write_len() < RSA_BITS / 8 + 5 => {
            Err("the key is too short")
        }
        PublicParams::RSA(_)
        | PublicParams::ECDSA(_)
        | PublicParams::EdDSALegacy(_)
        | PublicParams::Ed25519(_)
        | PublicParams::Ed448(_) => Ok(()),
        _ => Err("the key's algorithm is not accepted"),
    }
}
