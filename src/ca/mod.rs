//! The private CA of the enclave: reads root certificates from PEM files, looks at each, and packs them into one
//! bundle of canonical PEM.
//!
//! Everything that would make the enclave trust the wrong thing, or nothing, is an error here, on the connected side,
//! where it can be repaired: no certificate, a private key, text that is not PEM, a certificate that is no CA, is
//! expired or not yet valid. What is only unwise, or works with some clients only, is a finding.
//!
//! Text between certificates is allowed as RFC 7468 section 5.2 has it and is not carried; what looks like a piece of
//! a broken block is refused. The content of a refused line is never repeated: it may be part of a key.
//!
//! `pem` reads files, `certificate` one certificate, `judge` says what is unwise about the roots, `chain` judges what a
//! server sends, `pack` makes what hosts need to trust the roots.

mod certificate;
pub mod chain;
mod codes;
mod constraints;
mod judge;
pub mod pack;
mod pem;
mod signature;

use std::collections::BTreeSet;

use certificate::Reader;

use crate::base::digest::Digest;
use crate::base::fault::{Code, Fault, Place};
use crate::base::finding::{Finding, Severity};
use crate::base::text::escaped;
use crate::base::time::Timestamp;

pub use certificate::CaCertificate;
pub use codes::CODES;

/// Days before its end from which on a certificate is named.
pub const DAYS: i64 = 90;

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
            Self::PrivateKey { .. } => &codes::PRIVATE_KEY,
            Self::NotPem { .. } => &codes::NOT_PEM,
            Self::Empty { .. } => &codes::EMPTY,
            Self::Unreadable { .. } => &codes::UNREADABLE,
            Self::NotCa { .. } => &codes::NOT_CA,
            Self::NotValid { .. } => &codes::NOT_VALID,
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
    /// What is unwise about them, or will not work.
    pub findings: Vec<Finding>,
}

/// Reads and examines PEM `files`, named as the user knows them, as of `now`.
///
/// # Errors
/// They are no certificates, or no CA's, or have a key.
pub fn read_roots(files: &[(String, Vec<u8>)], now: Timestamp) -> Result<CaBundle, CaError> {
    check_roots(files, now, DAYS)
}

/// As [`read_roots`]; certificates that end in less than `days` are named.
///
/// # Errors
/// As [`read_roots`].
pub fn check_roots(
    files: &[(String, Vec<u8>)],
    now: Timestamp,
    days: i64,
) -> Result<CaBundle, CaError> {
    let mut bundle = CaBundle {
        pem: Vec::new(),
        certificates: Vec::new(),
        findings: Vec::new(),
    };
    let mut seen = BTreeSet::new();
    for (name, bytes) in files {
        let file = escaped(name);
        for (index, der) in pem::read(&file, bytes)?.iter().enumerate() {
            let number = index + 1;
            let read = Reader {
                file: &file,
                number,
                now,
            };
            let found = read.examine(der)?;
            if seen.insert(found.fingerprint) {
                pem::push(&mut bundle.pem, der);
                bundle.findings.extend(judge::root(&found, now, days));
                bundle.certificates.push(found);
            } else {
                bundle.findings.push(codes::finding(
                    (&codes::DUPLICATE, Severity::Note),
                    ("CA", &found.subject),
                    format!("is there again: certificate {number} of {file}"),
                    "it is carried once",
                ));
            }
        }
    }
    bundle
        .findings
        .extend(judge::together(&bundle.certificates));
    Ok(bundle)
}

impl CaBundle {
    /// What is found when somebody told the fingerprints of all certificates.
    pub fn expected(&self, told: &[Digest]) -> Vec<Finding> {
        judge::expected(&self.certificates, told)
    }

    /// What is found about vouching for a host: a name or an address.
    pub fn for_host(&self, host: &str) -> Vec<Finding> {
        judge::host(&self.certificates, host)
    }
}
