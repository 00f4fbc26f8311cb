//! Certificates of the keys in a trust root (`x5c`): evidence that an organisation's CA enrolled them, as CM-14 asks for.
//!
//! Evidence, and nothing else: what a key may do the root says, at import too, and no certificate is looked at there. So
//! revocation is a new root, and paths, times and CAs matter only to who runs `stage trust inspect --ca`.

pub mod proof;

use serde::Serialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use crate::base::digest::Digest;
use crate::base::fault::{Code, Fault, Kind};
use crate::base::text::{base64, escaped, quoted};
use crate::base::time::Timestamp;
use crate::trust::root::TrustedKey;

/// Codes of this module.
pub const CODES: &[&Code] = &[&UNREADABLE, &OTHER_KEY, &AUTHORITY];

static UNREADABLE: Code = Code::new("trust-certificates-unreadable", Kind::Usage);
static OTHER_KEY: Code = Code::new("trust-certificates-key", Kind::Usage);
static AUTHORITY: Code = Code::new("trust-certificates-ca", Kind::Usage);

/// Most certificates of one key, its own among them.
pub const MAX_CERTIFICATES: usize = 8;
/// Longest certificate, in bytes.
const MAX_CERTIFICATE: usize = 16 << 10;
/// Largest PEM file with certificates, in bytes.
pub const MAX_FILE: u64 = 1 << 20;

/// Why certificates cannot be used. Files are as the user named them, quoted.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentError {
    /// Not a PEM file with certificates only.
    #[error("{file} is not a PEM file of certificates: {reason}")]
    Pem {
        /// The file.
        file: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A certificate of a file cannot be read.
    #[error("certificate {number} of {file} {reason}")]
    Certificate {
        /// The file.
        file: String,
        /// Which one, from 1.
        number: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The chain is of a key that is not in the root.
    #[error("the first certificate of {file} is not for a key of the root")]
    OtherKey {
        /// The file.
        file: String,
        /// Subject of the first certificate.
        subject: String,
        /// Whether a later certificate is for a key of the root.
        reversed: bool,
    },
    /// No certificate of the CA file can vouch for anything.
    #[error("{file} has no CA certificate that can be used")]
    Authority {
        /// The file.
        file: String,
        /// Subject and reason of those that cannot.
        unused: Vec<String>,
    },
}

impl Fault for EnrolmentError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Pem { .. } | Self::Certificate { .. } => &UNREADABLE,
            Self::OtherKey { .. } => &OTHER_KEY,
            Self::Authority { .. } => &AUTHORITY,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::OtherKey {
                subject, reversed, ..
            } => {
                let mut facts = vec![("subject", quoted(subject))];
                if *reversed {
                    let order = "another one of the file is: the key's own must come first";
                    facts.push(("order", order.to_owned()));
                }
                facts
            }
            Self::Authority { unused, .. } => vec![("unused", unused.join("; "))],
            Self::Pem { .. } | Self::Certificate { .. } => Vec::new(),
        }
    }
}

/// What a person compares of a certificate. Texts are escaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Who it is about.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Serial number in hex.
    pub serial: String,
    /// Start of its validity.
    pub not_before: Timestamp,
    /// End of its validity.
    pub not_after: Timestamp,
    /// SHA-256 of its DER bytes.
    pub sha256: Digest,
}

/// A certificate and what stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    spki: Vec<u8>,
    facts: Facts,
}

impl Certificate {
    /// From DER bytes.
    fn parse(der: &[u8]) -> Result<Self, &'static str> {
        if der.len() > MAX_CERTIFICATE {
            return Err("is larger than 16 KiB");
        }
        let parsed = X509Certificate::from_der(der);
        let Ok((&[], certificate)) = parsed else {
            return Err("is not an X.509 certificate");
        };
        let time = |time: ASN1Time| {
            Timestamp::from_unix(time.timestamp()).map_err(|_range| "has no valid times")
        };
        Ok(Self {
            der: der.to_vec(),
            spki: certificate.public_key().raw.to_vec(),
            facts: Facts {
                subject: escaped(&certificate.subject().to_string()),
                issuer: escaped(&certificate.issuer().to_string()),
                serial: escaped(&data_encoding::HEXLOWER.encode(certificate.raw_serial())),
                not_before: time(certificate.validity().not_before)?,
                not_after: time(certificate.validity().not_after)?,
                sha256: Digest::of(der),
            },
        })
    }

    /// What stands in it.
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// The certificates of one key, its own first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    leaf: Certificate,
    issuers: Vec<Certificate>,
}

impl Chain {
    /// From the bytes of a PEM file named so.
    ///
    /// # Errors
    /// Anything but 1 to 8 certificates.
    pub fn from_pem(name: &str, bytes: &[u8]) -> Result<Self, EnrolmentError> {
        let mut certificates = from_pem(name, bytes)?.into_iter();
        let fail = |reason| EnrolmentError::Pem {
            file: quoted(name),
            reason,
        };
        let leaf = certificates.next().ok_or_else(|| fail("it has none"))?;
        let issuers: Vec<Certificate> = certificates.collect();
        if issuers.len() >= MAX_CERTIFICATES {
            return Err(fail("a key has at most 8"));
        }
        Ok(Self { leaf, issuers })
    }

    /// The chain that a root has for a key; `None` when it has none, and the reason when it makes no sense.
    pub fn of(key: &TrustedKey) -> Option<Result<Self, &'static str>> {
        let mut certificates = key.x5c.iter().map(|text| {
            let der = base64(text).ok_or("is not base64")?;
            Certificate::parse(&der)
        });
        let leaf = certificates.next()?;
        Some(leaf.and_then(|leaf| {
            let issuers = certificates.collect::<Result<Vec<_>, _>>()?;
            Ok(Self { leaf, issuers })
        }))
    }

    /// As the root has it: base64 of DER, the key's own first.
    pub fn to_x5c(&self) -> Vec<String> {
        let all = std::iter::once(&self.leaf).chain(&self.issuers);
        all.map(|certificate| data_encoding::BASE64.encode(&certificate.der))
            .collect()
    }

    /// The key's own certificate.
    pub const fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    /// Which of `keys`, each with its `SubjectPublicKeyInfo`, the chain is for.
    ///
    /// # Errors
    /// None of them.
    pub fn find<'a, K>(
        &self,
        name: &str,
        keys: impl Iterator<Item = (K, &'a [u8])>,
    ) -> Result<K, EnrolmentError> {
        let mut reversed = false;
        for (key, spki) in keys {
            if self.leaf.spki == spki {
                return Ok(key);
            }
            reversed |= self.issuers.iter().any(|issuer| issuer.spki == spki);
        }
        Err(EnrolmentError::OtherKey {
            file: quoted(name),
            subject: self.leaf.facts.subject.clone(),
            reversed,
        })
    }
}

/// The certificates of a PEM file, which may have nothing else in it.
fn from_pem(name: &str, bytes: &[u8]) -> Result<Vec<Certificate>, EnrolmentError> {
    let fail = |reason| EnrolmentError::Pem {
        file: quoted(name),
        reason,
    };
    let mut out = Vec::new();
    let mut rest = bytes;
    loop {
        match rustls_pemfile::read_one_from_slice(rest) {
            Ok(Some((rustls_pemfile::Item::X509Certificate(der), after))) => {
                let number = out.len() + 1;
                let parsed =
                    Certificate::parse(&der).map_err(|reason| EnrolmentError::Certificate {
                        file: quoted(name),
                        number,
                        reason,
                    });
                out.push(parsed?);
                rest = after;
            }
            Ok(Some(_key)) => return Err(fail("it has something else, such as a secret key")),
            Ok(None) if out.is_empty() => return Err(fail("it has none")),
            Ok(None) => return Ok(out),
            Err(_broken) => return Err(fail("a block is broken")),
        }
    }
}
