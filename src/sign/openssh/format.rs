//! The file format of OpenSSH's secret keys (PROTOCOL.key): what stands around the key, its encryption, and the key itself.
//!
//! Only bcrypt and the ciphers come from the crate. Its own reader wants a curve's full length for the private number of
//! an ECDSA key, which OpenSSH writes as an integer without leading zeros.

use data_encoding::BASE64;
use ssh_key::{Cipher, Kdf};

use crate::sign::{SecretBytes, SignError};
use crate::trust::sshsig::{public_key, take};

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";
const ED25519: &[u8] = b"ssh-ed25519";
/// Most rounds of bcrypt: `ssh-keygen` makes 16 or 24, and each takes some milliseconds.
const MOST_ROUNDS: u32 = 1024;

/// Whether a text is such a secret key.
pub(in crate::sign) fn is_secret(text: &str) -> bool {
    text.starts_with(BEGIN)
}

/// Whether it is encrypted.
pub(in crate::sign) fn is_encrypted(text: &str) -> bool {
    let bytes = armoured(text);
    let file = bytes.as_ref().and_then(|bytes| File::parse(&bytes.0));
    file.is_some_and(|file| file.cipher.is_some())
}

/// The secret part of a key.
pub(super) enum Secret {
    /// The seed.
    Ed25519(SecretBytes),
    /// The private number, as long as the curve's.
    Ecdsa(SecretBytes),
}

/// A key as it stands in the file.
pub(super) struct Key {
    /// `SubjectPublicKeyInfo` in DER.
    pub(super) spki: Vec<u8>,
    pub(super) secret: Secret,
}

/// Reads the one key of a file.
pub(super) fn read(text: &str, passphrase: Option<&[u8]>) -> Result<Key, SignError> {
    let bytes = armoured(text).ok_or(SignError::Unreadable)?;
    let file = File::parse(&bytes.0).ok_or(SignError::Unreadable)?;
    let spki = public_key(file.public).ok_or(SignError::Scheme)?;
    let section = file.decrypt(passphrase)?;
    // The two equal numbers in front are how a wrong passphrase shows.
    let body = checked(&section.0).ok_or(if file.cipher.is_some() {
        SignError::PassphraseWrong
    } else {
        SignError::Unreadable
    })?;
    let secret = secret(body, file.public, file.cipher.block_size());
    Ok(Key {
        secret: secret.ok_or(SignError::Unreadable)?,
        spki,
    })
}

/// The bytes inside the armour.
fn armoured(text: &str) -> Option<SecretBytes> {
    let body = text.trim_end().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let body = SecretBytes(body.bytes().filter(|b| !b.is_ascii_whitespace()).collect());
    BASE64.decode(&body.0).ok().map(SecretBytes)
}

/// A file with exactly one key.
struct File<'a> {
    cipher: Cipher,
    kdf: Kdf,
    public: &'a [u8],
    /// The section with the secret part, encrypted unless the cipher is `none`.
    section: &'a [u8],
    /// What authenticates the section, for ciphers that do.
    tag: Option<[u8; 16]>,
}

impl<'a> File<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut input = bytes.strip_prefix(MAGIC)?;
        let cipher = std::str::from_utf8(take(&mut input)?).ok()?;
        let cipher = cipher.parse::<Cipher>().ok()?;
        let kdf = kdf(take(&mut input)?, take(&mut input)?)?;
        input = input.strip_prefix(&1_u32.to_be_bytes())?;
        let (public, section) = (take(&mut input)?, take(&mut input)?);
        let tag = if cipher.has_tag() {
            Some(std::mem::take(&mut input).try_into().ok()?)
        } else {
            None
        };
        let fits = input.is_empty() && cipher.is_some() == kdf.is_some();
        fits.then_some(Self {
            cipher,
            kdf,
            public,
            section,
            tag,
        })
    }

    fn decrypt(&self, passphrase: Option<&[u8]>) -> Result<SecretBytes, SignError> {
        let mut section = SecretBytes(self.section.to_vec());
        if self.cipher.is_some() {
            let passphrase = passphrase.ok_or(SignError::PassphraseMissing)?;
            let (key, iv) = self
                .kdf
                .derive_key_and_iv(self.cipher, passphrase)
                .map_err(|_parameters| SignError::Unreadable)?;
            self.cipher
                .decrypt(&key, &iv, &mut section.0, self.tag)
                .map_err(|_wrong| SignError::PassphraseWrong)?;
        }
        Ok(section)
    }
}

/// How the key of the cipher comes from the passphrase.
fn kdf(name: &[u8], mut options: &[u8]) -> Option<Kdf> {
    match name {
        b"none" => options.is_empty().then_some(Kdf::None),
        b"bcrypt" => {
            let salt = take(&mut options)?.to_vec();
            let rounds = u32::from_be_bytes(options.try_into().ok()?);
            let known = (1..=MOST_ROUNDS).contains(&rounds);
            known.then_some(Kdf::Bcrypt { salt, rounds })
        }
        _ => None,
    }
}

/// The section behind its two check numbers, when they are equal.
fn checked(section: &[u8]) -> Option<&[u8]> {
    let (one, rest) = section.split_first_chunk::<4>()?;
    let (two, rest) = rest.split_first_chunk::<4>()?;
    (one == two).then_some(rest)
}

/// The secret part, which must name the public key of the file, and be followed by a comment and by padding.
fn secret(mut input: &[u8], public: &[u8], block: usize) -> Option<Secret> {
    let mut outer = public;
    let kind = take(&mut input)?;
    if kind != take(&mut outer)? {
        return None;
    }
    let secret = if kind == ED25519 {
        let point = take(&mut outer)?;
        let (seed, again) = take(&mut input)
            .filter(|inner| *inner == point)
            .and_then(|_inner| take(&mut input)?.split_first_chunk::<32>())?;
        (again == point).then(|| Secret::Ed25519(SecretBytes(seed.to_vec())))?
    } else {
        let (curve, point) = (take(&mut outer)?, take(&mut outer)?);
        let same = take(&mut input)? == curve && take(&mut input)? == point;
        let number = take(&mut input).filter(|_number| same)?;
        Secret::Ecdsa(full_length(number, scalar(point))?)
    };
    take(&mut input)?;
    let padded = input.len() < block && input.iter().zip(1..).all(|(byte, at)| *byte == at);
    padded.then_some(secret)
}

/// Bytes of a curve's private number, from an uncompressed point on it.
const fn scalar(point: &[u8]) -> usize {
    point.len() / 2
}

/// A number in as many bytes as its curve's have. A zero in front that only says that it is positive goes.
fn full_length(number: &[u8], length: usize) -> Option<SecretBytes> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let digits = number.get(zeros..)?;
    let missing = length.checked_sub(digits.len())?;
    // Of full size at once: a vector that grows leaves a copy behind.
    let mut out = SecretBytes(vec![0; length]);
    out.0.get_mut(missing..)?.copy_from_slice(digits);
    Some(out)
}
