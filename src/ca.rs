//! The private CA of the enclave: reads root certificates from PEM files, looks at each, and packs them into one
//! bundle of canonical PEM.
//!
//! Everything that would make the enclave trust the wrong thing, or nothing, is an error here, on the connected side,
//! where it can be repaired: no certificate, a private key, text that is not PEM, a certificate that is no CA, is
//! expired or not yet valid. What is only unwise (a short RSA key, an intermediate as anchor) is a finding.
//!
//! Text between certificates is allowed as RFC 7468 section 5.2 has it and is not carried; what looks like a piece of
//! a broken block is refused. The content of a refused line is never repeated: it may be part of a key.

use std::collections::BTreeSet;

use data_encoding::BASE64;
use serde::Serialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

use crate::base::digest::Digest;
use crate::base::fault::{Code, Fault, Kind, Place};
use crate::base::finding::{Finding, Severity};
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &PRIVATE_KEY,
    &NOT_PEM,
    &EMPTY,
    &UNREADABLE,
    &NOT_CA,
    &NOT_VALID,
    &WEAK_KEY,
    &INTERMEDIATE,
];

static PRIVATE_KEY: Code = Code::new("manifest-ca-private-key", Kind::Usage);
static NOT_PEM: Code = Code::new("manifest-ca-not-pem", Kind::Usage);
static EMPTY: Code = Code::new("manifest-ca-empty", Kind::Usage);
static UNREADABLE: Code = Code::new("manifest-ca-unreadable", Kind::Usage);
static NOT_CA: Code = Code::new("manifest-ca-not-a-ca", Kind::Usage);
static NOT_VALID: Code = Code::new("manifest-ca-not-valid", Kind::Usage);
static WEAK_KEY: Code = Code::new("manifest-ca-weak-key", Kind::Denied);
static INTERMEDIATE: Code = Code::new("manifest-ca-intermediate", Kind::Denied);

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// Shortest RSA modulus that raises no finding, in bits (NIST SP 800-131A).
const RSA_BITS: usize = 2048;
/// A line of base64 at least this long outside a block is taken for a piece of a broken one.
const STRAY_BASE64: usize = 40;

/// Why CA files cannot be packed. `file` is as the user named it, escaped.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The file has a private key.
    #[error("CA file {file} has a private key; only certificates may cross the gap")]
    PrivateKey {
        /// The file.
        file: String,
        /// Where the key begins.
        line: usize,
    },
    /// The file is not PEM, or something in it is not.
    #[error("CA file {file} {reason}")]
    NotPem {
        /// The file.
        file: String,
        /// The line.
        line: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The file has no certificate.
    #[error("CA file {file} has no certificate")]
    Empty {
        /// The file.
        file: String,
    },
    /// A certificate cannot be read.
    #[error("certificate {number} of CA file {file} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// Which certificate of the file, from 1.
        number: usize,
        /// What the parser said, escaped.
        reason: String,
    },
    /// A certificate that may not issue others.
    #[error("certificate {number} of CA file {file} is not a CA: {reason}")]
    NotCa {
        /// The file.
        file: String,
        /// Which certificate of the file, from 1.
        number: usize,
        /// Its subject, escaped.
        subject: String,
        /// What is missing.
        reason: &'static str,
    },
    /// A certificate outside its validity.
    #[error("certificate {number} of CA file {file} {reason}")]
    NotValid {
        /// The file.
        file: String,
        /// Which certificate of the file, from 1.
        number: usize,
        /// Its subject, escaped.
        subject: String,
        /// `expired on …` or `is not valid before …`.
        reason: String,
    },
}

impl Fault for CaError {
    fn code(&self) -> &'static Code {
        match self {
            Self::PrivateKey { .. } => &PRIVATE_KEY,
            Self::NotPem { .. } => &NOT_PEM,
            Self::Empty { .. } => &EMPTY,
            Self::Unreadable { .. } => &UNREADABLE,
            Self::NotCa { .. } => &NOT_CA,
            Self::NotValid { .. } => &NOT_VALID,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NotCa { subject, .. } | Self::NotValid { subject, .. } => {
                vec![("subject", format!("\"{subject}\""))]
            }
            _ => Vec::new(),
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            Self::PrivateKey { file, line } | Self::NotPem { file, line, .. } => Some(Place {
                file: file.clone(),
                line: *line,
                column: 1,
            }),
            _ => None,
        }
    }
}

/// Root certificates ready to be carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaBundle {
    /// The certificates as canonical PEM (RFC 7468, 64 columns, LF), in the order given, without repetition. Only
    /// certificates, no text between them.
    pub pem: Vec<u8>,
    /// What they are.
    pub certificates: Vec<CaCertificate>,
    /// What is unwise about them; never [`Severity::Deny`].
    pub findings: Vec<Finding>,
}

/// One root certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaCertificate {
    /// File it was first found in, escaped.
    pub file: String,
    /// Subject, escaped.
    pub subject: String,
    /// Start of its validity.
    pub not_before: Timestamp,
    /// End of its validity.
    pub not_after: Timestamp,
    /// SHA-256 of its DER bytes: what a person compares.
    pub fingerprint: Digest,
}

/// Reads and examines PEM `files`, named as the user knows them, as of `now`.
pub fn read_roots(files: &[(String, Vec<u8>)], now: Timestamp) -> Result<CaBundle, CaError> {
    let mut bundle = CaBundle {
        pem: Vec::new(),
        certificates: Vec::new(),
        findings: Vec::new(),
    };
    let mut seen = BTreeSet::new();
    for (name, bytes) in files {
        let file = escaped(name);
        let expected = check_text(&file, bytes)?;
        for (index, der) in certificates(&file, bytes, expected)?.iter().enumerate() {
            let read = Reader {
                file: &file,
                number: index + 1,
                now,
            };
            let (certificate, findings) = read.examine(der)?;
            if seen.insert(certificate.fingerprint) {
                push_pem(&mut bundle.pem, der);
                bundle.certificates.push(certificate);
                bundle.findings.extend(findings);
            }
        }
    }
    Ok(bundle)
}

/// Refuses what must not be in the file, line by line; counts the certificates.
fn check_text(file: &str, bytes: &[u8]) -> Result<usize, CaError> {
    let refuse = |line: usize, reason| CaError::NotPem {
        file: file.to_owned(),
        line: line + 1,
        reason,
    };
    let private = |line: &[u8]| line.windows(11).any(|w| w == b"PRIVATE KEY");
    if let Some(line) = bytes.split(|b| *b == b'\n').position(private) {
        return Err(CaError::PrivateKey {
            file: file.to_owned(),
            line: line + 1,
        });
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(refuse(0, "is not PEM text"));
    };
    let (mut opened, mut count) = (None, 0);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        let inside = opened.is_some();
        match line {
            BEGIN if inside => return Err(refuse(number, "begins a certificate inside another")),
            BEGIN => opened = Some(number),
            END if !inside => return Err(refuse(number, "ends a certificate that never began")),
            END => {
                opened = None;
                count += 1;
            }
            _ if line.starts_with("-----") => {
                return Err(refuse(number, "has a PEM block that is not a certificate"));
            }
            _ if !inside && is_stray(line) => {
                return Err(refuse(number, "has data outside a PEM block"));
            }
            _ => {}
        }
    }
    match opened {
        Some(number) => Err(refuse(number, "has a certificate without end")),
        None => Ok(count),
    }
}

/// Whether a line between certificates is more than an explanation for people.
fn is_stray(line: &str) -> bool {
    let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    let body = line.trim_end_matches('=');
    line.chars().any(|c| c.is_control() && c != '\t')
        || (body.len() >= STRAY_BASE64 && body.bytes().all(base64))
}

/// The certificates as DER; exactly as many as the lines said.
fn certificates(file: &str, bytes: &[u8], expected: usize) -> Result<Vec<Vec<u8>>, CaError> {
    let mut out = Vec::new();
    let mut rest = bytes;
    loop {
        let number = out.len() + 1;
        let unreadable = |reason: String| CaError::Unreadable {
            file: file.to_owned(),
            number,
            reason,
        };
        match rustls_pemfile::read_one_from_slice(rest) {
            Ok(Some((rustls_pemfile::Item::X509Certificate(der), after))) => {
                out.push(der.to_vec());
                rest = after;
            }
            Ok(Some(_)) => return Err(unreadable("not a certificate".to_owned())),
            Ok(None) if out.len() < expected => {
                return Err(unreadable("broken PEM block".to_owned()));
            }
            Ok(None) if out.is_empty() => {
                return Err(CaError::Empty {
                    file: file.to_owned(),
                });
            }
            Ok(None) => return Ok(out),
            Err(rustls_pemfile::Error::Base64Decode(_)) => {
                return Err(unreadable("not base64".to_owned()));
            }
            Err(_section) => return Err(unreadable("broken PEM block".to_owned())),
        }
    }
}

/// Looks at one certificate.
struct Reader<'a> {
    file: &'a str,
    number: usize,
    now: Timestamp,
}

impl Reader<'_> {
    fn examine(&self, der: &[u8]) -> Result<(CaCertificate, Vec<Finding>), CaError> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|e| {
            let reason = match e {
                x509_parser::nom::Err::Incomplete(_) => "cut short".to_owned(),
                x509_parser::nom::Err::Error(e) | x509_parser::nom::Err::Failure(e) => {
                    escaped(&e.to_string())
                }
            };
            self.unreadable(reason)
        })?;
        if !rest.is_empty() {
            return Err(self.unreadable("bytes after the certificate".to_owned()));
        }
        let subject = escaped(&certificate.subject().to_string());
        self.check_authority(&certificate, &subject)?;
        let not_before = self.time(certificate.validity().not_before)?;
        let not_after = self.time(certificate.validity().not_after)?;
        let invalid = |reason| CaError::NotValid {
            file: self.file.to_owned(),
            number: self.number,
            subject: subject.clone(),
            reason,
        };
        if self.now > not_after {
            return Err(invalid(format!("expired on {not_after}")));
        }
        if self.now < not_before {
            return Err(invalid(format!("is not valid before {not_before}")));
        }
        let findings = findings(&certificate, &subject);
        let certificate = CaCertificate {
            file: self.file.to_owned(),
            subject,
            not_before,
            not_after,
            fingerprint: Digest::of(der),
        };
        Ok((certificate, findings))
    }

    /// Basic constraints and key usage as RFC 5280 sections 4.2.1.3 and 4.2.1.9 demand of a CA.
    fn check_authority(
        &self,
        certificate: &X509Certificate<'_>,
        subject: &str,
    ) -> Result<(), CaError> {
        let not_ca = |reason| CaError::NotCa {
            file: self.file.to_owned(),
            number: self.number,
            subject: subject.to_owned(),
            reason,
        };
        let broken = |_error| self.unreadable("an extension is malformed".to_owned());
        match certificate.basic_constraints().map_err(broken)? {
            None => return Err(not_ca("it has no basic constraints")),
            Some(found) if !found.value.ca => {
                return Err(not_ca("its basic constraints say that it is none"));
            }
            Some(_) => {}
        }
        match certificate.key_usage().map_err(broken)? {
            Some(found) if !found.value.key_cert_sign() => {
                Err(not_ca("its key usage does not allow signing certificates"))
            }
            _ => Ok(()),
        }
    }

    fn time(&self, time: ASN1Time) -> Result<Timestamp, CaError> {
        Timestamp::from_unix(time.timestamp())
            .map_err(|_range| self.unreadable("its validity is out of range".to_owned()))
    }

    fn unreadable(&self, reason: String) -> CaError {
        CaError::Unreadable {
            file: self.file.to_owned(),
            number: self.number,
            reason,
        }
    }
}

/// What is unwise about a certificate that is otherwise a CA.
fn findings(certificate: &X509Certificate<'_>, subject: &str) -> Vec<Finding> {
    let mut out = Vec::new();
    let finding = |code, message, fix: &str| Finding {
        code,
        severity: Severity::Warn,
        subject: format!("CA \"{subject}\""),
        message,
        chain: Vec::new(),
        fix: Some(fix.to_owned()),
    };
    if let Ok(PublicKey::RSA(key)) = certificate.public_key().parsed()
        && key.key_size() < RSA_BITS
    {
        let bits = key.key_size();
        let message = format!("has an RSA key of {bits} bits, less than {RSA_BITS}");
        out.push(finding(
            &WEAK_KEY,
            message,
            "ask the agency for a newer root",
        ));
    }
    if certificate.subject().as_raw() != certificate.issuer().as_raw() {
        let issuer = quoted(&certificate.issuer().to_string());
        let message = format!("was issued by {issuer}: an intermediate as trust anchor");
        let fix = "carry the root; servers send intermediates themselves";
        out.push(finding(&INTERMEDIATE, message, fix));
    }
    out
}

fn push_pem(out: &mut Vec<u8>, der: &[u8]) {
    out.extend_from_slice(BEGIN.as_bytes());
    out.push(b'\n');
    for line in BASE64.encode(der).as_bytes().chunks(64) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.extend_from_slice(END.as_bytes());
    out.push(b'\n');
}
