//! One certificate of a CA: whether it is one, whether it is valid now, and what it says.

use serde::Serialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

use super::CaError;
use crate::base::digest::Digest;
use crate::base::text::escaped;
use crate::base::time::Timestamp;

/// What a certificate says of itself. Texts are escaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaCertificate {
    /// File it was first found in.
    pub file: String,
    /// Subject.
    pub subject: String,
    /// Who issued it; the subject itself, when it is a root.
    pub issuer: String,
    /// Kind and size of its key, such as `RSA 4096`.
    pub key: String,
    /// Start of its validity.
    pub not_before: Timestamp,
    /// End of its validity.
    pub not_after: Timestamp,
    /// SHA-256 of its DER bytes: what a person compares.
    pub fingerprint: Digest,
    /// Its bytes.
    #[serde(skip)]
    pub der: Vec<u8>,
}

/// A certificate's DER bytes, parsed; nothing may follow them.
pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|e| match e {
        x509_parser::nom::Err::Incomplete(_) => "cut short".to_owned(),
        x509_parser::nom::Err::Error(e) | x509_parser::nom::Err::Failure(e) => {
            escaped(&e.to_string())
        }
    })?;
    if rest.is_empty() {
        Ok(certificate)
    } else {
        Err("bytes after the certificate".to_owned())
    }
}

/// The key identifiers of a certificate: its own, and that of its issuer.
pub(super) fn key_ids(certificate: &X509Certificate<'_>) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let (mut own, mut issuer) = (None, None);
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => own = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                issuer = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            _ => {}
        }
    }
    (own, issuer)
}

/// Kind and size of a key, such as `RSA 4096` or `EC P-384`.
pub(super) fn key_words(certificate: &X509Certificate<'_>) -> String {
    let info = certificate.public_key();
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        Ok(PublicKey::EC(_)) => match curve(certificate).as_deref() {
            Some("1.2.840.10045.3.1.7") => "EC P-256".to_owned(),
            Some("1.3.132.0.34") => "EC P-384".to_owned(),
            Some("1.3.132.0.35") => "EC P-521".to_owned(),
            Some(other) => format!("EC {other}"),
            None => "EC".to_owned(),
        },
        _ => match info.algorithm.algorithm.to_id_string().as_str() {
            "1.3.101.112" => "Ed25519".to_owned(),
            "1.3.101.113" => "Ed448".to_owned(),
            "1.2.840.10040.4.1" => "DSA".to_owned(),
            "1.2.840.113549.1.1.10" => "RSA-PSS".to_owned(),
            other => other.to_owned(),
        },
    }
}

/// The curve of an EC key, as an identifier.
pub(super) fn curve(certificate: &X509Certificate<'_>) -> Option<String> {
    let parameters = certificate.public_key().algorithm.parameters.as_ref()?;
    Some(parameters.as_oid().ok()?.to_id_string())
}

/// The facts of a parsed certificate.
pub(super) fn facts(
    file: &str,
    der: &[u8],
    certificate: &X509Certificate<'_>,
) -> Result<CaCertificate, String> {
    let time = |time: ASN1Time| {
        Timestamp::from_unix(time.timestamp())
            .map_err(|_range| "its validity is out of range".to_owned())
    };
    Ok(CaCertificate {
        file: file.to_owned(),
        subject: escaped(&certificate.subject().to_string()),
        issuer: escaped(&certificate.issuer().to_string()),
        key: key_words(certificate),
        not_before: time(certificate.validity().not_before)?,
        not_after: time(certificate.validity().not_after)?,
        fingerprint: Digest::of(der),
        der: der.to_vec(),
    })
}

/// Looks at one certificate.
pub(super) struct Reader<'a> {
    pub(super) file: &'a str,
    pub(super) number: usize,
    pub(super) now: Timestamp,
}

impl Reader<'_> {
    /// The certificate, if it is one of a CA that is valid now.
    pub(super) fn examine(&self, der: &[u8]) -> Result<CaCertificate, CaError> {
        let certificate = parse(der).map_err(|reason| self.unreadable(reason))?;
        let facts =
            facts(self.file, der, &certificate).map_err(|reason| self.unreadable(reason))?;
        self.check_authority(&certificate, &facts.subject)?;
        let invalid = |reason| CaError::NotValid {
            file: self.file.to_owned(),
            number: self.number,
            subject: facts.subject.clone(),
            reason,
        };
        if self.now > facts.not_after {
            return Err(invalid(format!("expired on {}", facts.not_after)));
        }
        if self.now < facts.not_before {
            return Err(invalid(format!("is not valid before {}", facts.not_before)));
        }
        Ok(facts)
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
        if certificate.version() != X509Version::V3 {
            return Err(not_ca(
                "it is not X.509 version 3 and has no basic constraints",
            ));
        }
        let is_server = certificate
            .extended_key_usage()
            .map_err(broken)?
            .is_some_and(|usage| usage.value.server_auth);
        match certificate.basic_constraints().map_err(broken)? {
            None if is_server => return Err(not_ca("it is the certificate of a server")),
            None => return Err(not_ca("it has no basic constraints")),
            Some(found) if !found.value.ca && is_server => {
                return Err(not_ca(
                    "it is the certificate of a server, and its basic constraints say so",
                ));
            }
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

    fn unreadable(&self, reason: String) -> CaError {
        CaError::Unreadable {
            file: self.file.to_owned(),
            number: self.number,
            reason,
        }
    }
}
