//! Digests and upstream checksums. A [`Digest`] (SHA-256) identifies bytes; an [`UpstreamChecksum`] is what a
//! registry published about them and may only confirm.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use aws_lc_rs::digest as lc;
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};

/// A text that is not the digest or checksum it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {expected}: {found}")]
pub struct DigestError {
    /// The form that was expected, for example `sha256:<64 hex digits>`.
    pub expected: &'static str,
    /// The text that was found, quoted and escaped.
    pub found: String,
}

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident, $len:literal, $prefix:literal, $form:literal, $algorithm:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// The digest of `bytes`.
            pub fn of(bytes: &[u8]) -> Self {
                Self::from_ring(&lc::digest(&lc::$algorithm, bytes))
            }

            fn from_ring(value: &lc::Digest) -> Self {
                let mut out = [0; $len];
                out.copy_from_slice(value.as_ref());
                Self(out)
            }

            /// From raw bytes.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// From lowercase hexadecimal digits without prefix.
            pub fn from_hex(hex: &str) -> Result<Self, DigestError> {
                let fail = || DigestError { expected: $form, found: crate::base::text::quoted(hex) };
                let raw = HEXLOWER.decode(hex.as_bytes()).map_err(|_bad| fail())?;
                Ok(Self(raw.try_into().map_err(|_bad: Vec<u8>| fail())?))
            }

            /// The raw bytes.
            pub const fn bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Lowercase hexadecimal digits without prefix.
            pub fn hex(&self) -> String {
                HEXLOWER.encode(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, ":{}"), self.hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = DigestError;
            fn from_str(text: &str) -> Result<Self, DigestError> {
                match text.strip_prefix(concat!($prefix, ":")) {
                    Some(hex) => Self::from_hex(hex),
                    None => Err(DigestError { expected: $form, found: crate::base::text::quoted(text) }),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

digest_type!(
    /// SHA-256 of bytes, written `sha256:<64 lowercase hex digits>`: the identity of a blob (FIPS 180-4).
    Digest, 32, "sha256", "sha256:<64 lowercase hex digits>", SHA256
);
digest_type!(
    /// SHA-512 of bytes, written `sha512:<128 lowercase hex digits>`, carried beside every [`Digest`] (FIPS 180-4).
    Sha512, 64, "sha512", "sha512:<128 lowercase hex digits>", SHA512
);

impl Digest {
    /// A version 8 UUID (RFC 9562 section 5.8) of what has this digest, as a URN.
    pub fn urn_uuid(&self) -> String {
        let first = self.0.first_chunk::<16>().copied().unwrap_or_default();
        let bits = u128::from_be_bytes(first);
        let version = 0xf_u128 << 76;
        let variant = 0b11_u128 << 62;
        let bits = (bits & !version & !variant) | (8 << 76) | (0b10 << 62);
        format!(
            "urn:uuid:{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            bits >> 96,
            (bits >> 80) & 0xffff,
            (bits >> 64) & 0xffff,
            (bits >> 48) & 0xffff,
            bits & 0xffff_ffff_ffff
        )
    }
}

/// Both digests of the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digests {
    /// SHA-256: the identity.
    pub sha256: Digest,
    /// SHA-512: the second opinion, and what npm publishes.
    pub sha512: Sha512,
}

impl Digests {
    /// Both digests of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            sha256: Digest::of(bytes),
            sha512: Sha512::of(bytes),
        }
    }
}

/// Computes both digests while bytes pass.
#[derive(Clone)]
pub struct Hasher {
    sha256: lc::Context,
    sha512: lc::Context,
    size: u64,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self {
            sha256: lc::Context::new(&lc::SHA256),
            sha512: lc::Context::new(&lc::SHA512),
            size: 0,
        }
    }
}

impl Hasher {
    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.sha512.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// The digests of all bytes so far, and their number.
    pub fn finish(self) -> (Digests, u64) {
        let digests = Digests {
            sha256: Digest::from_ring(&self.sha256.finish()),
            sha512: Sha512::from_ring(&self.sha512.finish()),
        };
        (digests, self.size)
    }
}

/// A reader or writer that hashes what passes through it.
#[derive(Debug)]
pub struct Hashing<T> {
    inner: T,
    hasher: Hasher,
}

impl<T> Hashing<T> {
    /// Wraps `inner`.
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            hasher: Hasher::default(),
        }
    }

    /// The wrapped value, the digests and the number of bytes that passed.
    pub fn finish(self) -> (T, Digests, u64) {
        let (digests, size) = self.hasher.finish();
        (self.inner, digests, size)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.hasher.update(buf.get(..read).unwrap_or_default());
        Ok(read)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buf)?;
        self.hasher.update(buf.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// What an upstream states about a file's bytes. It confirms, it never identifies; SHA-1 alone is not accepted
/// as confirmation, it is only remembered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum UpstreamChecksum {
    /// SHA-512, what npm calls `integrity`.
    Sha512(Sha512),
    /// SHA-256, what PyPI, Debian and crates publish.
    Sha256(Digest),
    /// SHA-1, what old npm versions have as their only `shasum`.
    Sha1([u8; 20]),
}

impl UpstreamChecksum {
    /// The strongest hash of a W3C Subresource Integrity text such as `sha512-<base64>` (several are separated
    /// by spaces; options after `?` are ignored).
    pub fn from_sri(text: &str) -> Result<Self, DigestError> {
        let mut best: Option<Self> = None;
        for part in text.split_ascii_whitespace() {
            let hash = part.split('?').next().unwrap_or(part);
            if let Some(found) = Self::one_sri(hash)
                && best.as_ref().is_none_or(|b| found < *b)
            {
                best = Some(found);
            }
        }
        best.ok_or_else(|| DigestError {
            expected: "Subresource Integrity text",
            found: crate::base::text::quoted(text),
        })
    }

    fn one_sri(hash: &str) -> Option<Self> {
        let (algorithm, base64) = hash.split_once('-')?;
        let raw = crate::base::text::base64(base64)?;
        match algorithm {
            "sha512" => Some(Self::Sha512(Sha512(raw.try_into().ok()?))),
            "sha256" => Some(Self::Sha256(Digest(raw.try_into().ok()?))),
            "sha1" => Some(Self::Sha1(raw.try_into().ok()?)),
            _ => None,
        }
    }

    /// From the 40 hex digits of npm's `shasum`.
    pub fn from_sha1_hex(hex: &str) -> Result<Self, DigestError> {
        let fail = || DigestError {
            expected: "40 hex digits",
            found: crate::base::text::quoted(hex),
        };
        let raw = HEXLOWER.decode(hex.as_bytes()).map_err(|_bad| fail())?;
        Ok(Self::Sha1(raw.try_into().map_err(|_bad: Vec<u8>| fail())?))
    }

    /// As Subresource Integrity text.
    pub fn to_sri(&self) -> String {
        match self {
            Self::Sha512(d) => format!("sha512-{}", BASE64.encode(d.bytes())),
            Self::Sha256(d) => format!("sha256-{}", BASE64.encode(d.bytes())),
            Self::Sha1(d) => format!("sha1-{}", BASE64.encode(d)),
        }
    }

    /// Whether the bytes with these digests are the ones the upstream means. Always `false` for SHA-1.
    pub fn confirms(&self, digests: &Digests) -> bool {
        match self {
            Self::Sha512(d) => *d == digests.sha512,
            Self::Sha256(d) => *d == digests.sha256,
            Self::Sha1(_) => false,
        }
    }
}

impl fmt::Display for UpstreamChecksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha512(d) => fmt::Display::fmt(d, f),
            Self::Sha256(d) => fmt::Display::fmt(d, f),
            Self::Sha1(d) => write!(f, "sha1:{}", HEXLOWER.encode(d)),
        }
    }
}

impl FromStr for UpstreamChecksum {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text.split_once(':') {
            Some(("sha512", _)) => Ok(Self::Sha512(text.parse()?)),
            Some(("sha256", _)) => Ok(Self::Sha256(text.parse()?)),
            Some(("sha1", hex)) => Self::from_sha1_hex(hex),
            _ => Err(DigestError {
                expected: "sha512:, sha256: or sha1: and hex digits",
                found: crate::base::text::quoted(text),
            }),
        }
    }
}

impl Serialize for UpstreamChecksum {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UpstreamChecksum {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{Digest, Digests, UpstreamChecksum};

    #[test]
    fn digest_text_round_trips_and_refuses_other_forms() {
        let digest = Digest::of(b"abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse::<Digest>(), Ok(digest));
        for bad in [
            "",
            "sha256:",
            "ba78",
            &text.to_uppercase(),
            text.get(..70).unwrap(),
            "sha512:00",
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn strongest_integrity_wins_and_sha1_confirms_nothing() {
        let digests = Digests::of(b"x");
        let sri = format!(
            "sha1-qvTGHdzF6KLavt4PO0gs2a6pQ00= {}",
            UpstreamChecksum::Sha512(digests.sha512).to_sri()
        );
        let strong = UpstreamChecksum::from_sri(&sri).unwrap();
        assert!(strong.confirms(&digests));
        assert!(!strong.confirms(&Digests::of(b"y")));
        let weak = UpstreamChecksum::from_sri("sha1-qvTGHdzF6KLavt4PO0gs2a6pQ00=").unwrap();
        assert!(!weak.confirms(&Digests::of(b"hello")));
    }
}
