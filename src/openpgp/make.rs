//! The key with which a repository signs its apt index. Ed25519 in the form that `GnuPG` 2.2 reads (public-key algorithm
//! 22, version 4 packets), since RFC 9580's algorithm 27 is unknown to the `gpgv` of Debian 12 and Ubuntu 24.04.

use std::fmt;

use pgp::armor::BlockType;
use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, Deserializable as _, SignedKeyDetails, SignedPublicKey,
    SignedSecretKey,
};
use pgp::crypto::ed25519::{Mode, SecretKey as Ed25519};
use pgp::crypto::eddsa_legacy::SecretKey as EddsaLegacy;
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{
    KeyFlags, PubKeyInner, PublicKey, SecretKey, Signature, SignatureConfig, SignatureType,
    Subpacket, SubpacketData, UserId,
};
use pgp::ser::Serialize as _;
use pgp::types::{
    KeyDetails as _, KeyVersion, Password, PlainSecretParams, PublicParams, SecretParams, Tag,
};

use crate::base::text::escaped;
use crate::base::time::Timestamp;
use crate::openpgp::{Fingerprint, OpenpgpError};

/// A signing key of ours. `Debug` shows the fingerprint only.
pub struct RepositoryKey {
    key: SignedSecretKey,
}

impl fmt::Debug for RepositoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RepositoryKey")
            .field(&self.fingerprint())
            .finish()
    }
}

impl RepositoryKey {
    /// The key of these 32 secret bytes. The same seed, time and name give the same certificate.
    pub fn from_seed(seed: [u8; 32], created: Timestamp, name: &str) -> Result<Self, OpenpgpError> {
        make(seed, created, name).map_err(|e| OpenpgpError::internal(&e))
    }

    /// A new key from the system's random bytes.
    pub fn generate(created: Timestamp, name: &str) -> Result<Self, OpenpgpError> {
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed)
            .map_err(|_rng| OpenpgpError::internal(&"the system gave no random bytes"))?;
        Self::from_seed(seed, created, name)
    }

    /// Reads an armoured secret key without a passphrase, as [`Self::armored_secret`] writes it.
    pub fn parse(armored: &[u8]) -> Result<Self, OpenpgpError> {
        let bad = |reason: &str| OpenpgpError::SecretKey {
            reason: reason.to_owned(),
        };
        let (key, _headers) = SignedSecretKey::from_armor_single_buf(armored)
            .map_err(|e| bad(&escaped(&e.to_string())))?;
        if key.primary_key.secret_params().is_encrypted() {
            return Err(bad("it is encrypted"));
        }
        if key.version() != KeyVersion::V4 || key.algorithm() != PublicKeyAlgorithm::EdDSALegacy {
            return Err(bad("it is not an Ed25519 key of version 4"));
        }
        Ok(Self { key })
    }

    /// The whole key, armoured. Secret.
    pub fn armored_secret(&self) -> Result<String, OpenpgpError> {
        let armored = self.key.to_armored_string(ArmorOptions::default());
        armored.map_err(|e| OpenpgpError::internal(&e))
    }

    /// The certificate, armoured.
    pub fn armored_certificate(&self) -> Result<String, OpenpgpError> {
        let armored = self
            .certificate()
            .to_armored_string(ArmorOptions::default());
        armored.map_err(|e| OpenpgpError::internal(&e))
    }

    /// The certificate as packets.
    pub fn binary_certificate(&self) -> Result<Vec<u8>, OpenpgpError> {
        self.certificate()
            .to_bytes()
            .map_err(|e| OpenpgpError::internal(&e))
    }

    /// Fingerprint of the key.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.key.primary_key)
    }

    /// `text` as a cleartext signed message. Lines keep their content except blanks at their end.
    pub fn sign_cleartext(&self, text: &str, at: Timestamp) -> Result<String, OpenpgpError> {
        let sign = || {
            let config = self.config(SignatureType::Text, at)?;
            // The line break before the armour is not part of the text (RFC 4880 §7.1).
            let text = text.strip_suffix('\n').unwrap_or(text);
            CleartextSignedMessage::new(text, config, &self.key.primary_key, &Password::empty())?
                .to_armored_string(ArmorOptions::default())
        };
        sign().map_err(|e| OpenpgpError::internal(&e))
    }

    /// A detached, armoured signature over `data`.
    pub fn sign_detached(&self, data: &[u8], at: Timestamp) -> Result<String, OpenpgpError> {
        let sign = || -> pgp::errors::Result<Vec<u8>> {
            let config = self.config(SignatureType::Binary, at)?;
            let signature = config.sign(&self.key.primary_key, &Password::empty(), data)?;
            let signature = pgp::composed::DetachedSignature::new(signature);
            let mut out = Vec::new();
            pgp::armor::write(&signature, BlockType::Signature, &mut out, None, true)?;
            Ok(out)
        };
        let bytes = sign().map_err(|e| OpenpgpError::internal(&e))?;
        String::from_utf8(bytes).map_err(|e| OpenpgpError::internal(&e))
    }

    fn certificate(&self) -> SignedPublicKey {
        self.key.to_public_key()
    }

    fn config(&self, typ: SignatureType, at: Timestamp) -> pgp::errors::Result<SignatureConfig> {
        config(typ, self.key.primary_key.public_key(), at)
    }
}

fn make(seed: [u8; 32], created: Timestamp, name: &str) -> pgp::errors::Result<RepositoryKey> {
    let secret = Ed25519::try_from_bytes(seed, Mode::EdDSALegacy)?;
    let public = PublicParams::EdDSALegacy((&secret).into());
    let secret = PlainSecretParams::EdDSALegacy(EddsaLegacy::Ed25519(secret));
    let inner = PubKeyInner::new(
        KeyVersion::V4,
        PublicKeyAlgorithm::EdDSALegacy,
        time(created),
        None,
        public,
    )?;
    let primary = SecretKey::new(PublicKey::from_inner(inner)?, SecretParams::Plain(secret))?;
    let user = UserId::from_str(pgp::types::PacketHeaderVersion::New, name)?;
    let signature = certify(&primary, &user, created)?;
    let details = SignedKeyDetails::new(
        Vec::new(),
        Vec::new(),
        vec![user.into_signed(signature)],
        Vec::new(),
    );
    Ok(RepositoryKey {
        key: SignedSecretKey::new(primary, details, Vec::new(), Vec::new()),
    })
}

/// The self-signature over the user id: certify and sign, without an end.
fn certify(key: &SecretKey, user: &UserId, at: Timestamp) -> pgp::errors::Result<Signature> {
    let mut config = config(SignatureType::CertPositive, key.public_key(), at)?;
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    flags.set_sign(true);
    let hashes = [HashAlgorithm::Sha512, HashAlgorithm::Sha256];
    config.hashed_subpackets.extend([
        Subpacket::regular(SubpacketData::KeyFlags(flags))?,
        Subpacket::regular(SubpacketData::IsPrimary(true))?,
        Subpacket::regular(SubpacketData::PreferredHashAlgorithms(
            hashes.into_iter().collect(),
        ))?,
    ]);
    config.sign_certification(key, key.public_key(), &Password::empty(), Tag::UserId, user)
}

fn config(
    typ: SignatureType,
    key: &PublicKey,
    at: Timestamp,
) -> pgp::errors::Result<SignatureConfig> {
    let mut config = SignatureConfig::v4(typ, key.algorithm(), HashAlgorithm::Sha512);
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::SignatureCreationTime(time(at)))?,
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint()))?,
    ];
    let id = SubpacketData::IssuerKeyId(key.legacy_key_id());
    config.unhashed_subpackets = vec![Subpacket::regular(id)?];
    Ok(config)
}

/// OpenPGP counts seconds in 32 bits.
fn time(at: Timestamp) -> pgp::types::Timestamp {
    let seconds = u32::try_from(at.unix()).unwrap_or(u32::MAX);
    pgp::types::Timestamp::from_secs(seconds)
}
