//! What a server sends, judged by the roots: whether it is complete and in order, whether every certificate of it holds,
//! and whether it is for the name that clients use.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};
use x509_parser::certificate::X509Certificate;

use super::certificate::{CaCertificate, facts, key_ids, parse};
use super::codes::{self, finding};
use super::signature::{Made, made};
use super::{CaError, constraints, judge, pem};
use crate::base::finding::{Finding, Severity};
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;

/// Most certificates that are looked at; TLS stacks stop earlier.
const MOST: usize = 16;

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The certificates in the order sent: the server's own first.
    pub certificates: Vec<CaCertificate>,
}

/// When and for whom a chain is judged.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The time.
    pub now: Timestamp,
    /// Certificates that end in less than these days are named.
    pub days: i64,
    /// The name that clients use.
    pub host: Option<&'a str>,
}

impl Served {
    /// From the text of a PEM file.
    ///
    /// # Errors
    /// Anything but certificates is in it.
    pub fn from_pem(name: &str, bytes: &[u8]) -> Result<Self, CaError> {
        let file = escaped(name);
        Self::from_der(name, &pem::read(&file, bytes)?)
    }

    /// From certificates as they were sent by `name`.
    ///
    /// # Errors
    /// One of them cannot be read, or there is none.
    pub fn from_der(name: &str, sent: &[Vec<u8>]) -> Result<Self, CaError> {
        let file = escaped(name);
        let mut certificates = Vec::new();
        for (index, der) in sent.iter().take(MOST).enumerate() {
            let read = parse(der).and_then(|certificate| facts(&file, der, &certificate));
            certificates.push(read.map_err(|reason| CaError::Unreadable {
                file: file.clone(),
                number: index + 1,
                reason,
            })?);
        }
        if certificates.is_empty() {
            return Err(CaError::Empty { file });
        }
        Ok(Self { certificates })
    }

    /// What is found about it.
    pub fn judge(&self, roots: &[CaCertificate], question: &Question<'_>) -> Vec<Finding> {
        let mut out = Vec::new();
        for (index, one) in self.certificates.iter().enumerate() {
            out.extend(judge_one(index, one, question));
        }
        out.extend(self.order());
        match self.missing(roots) {
            Some(missing) => out.push(missing),
            None => out.extend(self.path(roots, question.now)),
        }
        out.extend(question.host.and_then(|host| self.for_host(host)));
        out
    }

    /// Each certificate after the first issued the one before it (RFC 5246, section 7.4.2).
    fn order(&self) -> Option<Finding> {
        let mut pairs = self
            .certificates
            .iter()
            .zip(self.certificates.iter().skip(1));
        let (one, next) = pairs.find(|(one, next)| !issued(one, next))?;
        Some(finding(
            (&codes::CHAIN_ORDER, Severity::Warn),
            ("certificate", &next.subject),
            format!("stands after \"{}\", which it did not issue", one.subject),
            "sort the file of the chain: the server's own first, then each one's issuer",
        ))
    }

    /// The certificate that is missing between the server's and the roots; `None`: none is.
    fn missing(&self, roots: &[CaCertificate]) -> Option<Finding> {
        let mut current = self.certificates.first()?;
        for _step in 0..=self.certificates.len() {
            let is_root = |root: &CaCertificate| root.der == current.der || issued(current, root);
            if roots.iter().any(is_root) {
                return None;
            }
            let mut others = self
                .certificates
                .iter()
                .filter(|one| one.der != current.der);
            match others.find(|one| issued(current, one)) {
                Some(next) => current = next,
                None => break,
            }
        }
        let whose = ("certificate", current.subject.as_str());
        if current.subject == current.issuer {
            return Some(finding(
                (&codes::CHAIN_OTHER_ROOT, Severity::Deny),
                whose,
                format!(
                    "ends the chain and is none of the roots; its fingerprint is {}",
                    current.fingerprint
                ),
                "give the server a certificate of the private CA, or carry this root too",
            ));
        }
        Some(finding(
            (&codes::CHAIN_INCOMPLETE, Severity::Deny),
            whose,
            format!(
                "the server does not send the certificate of its issuer: \"{}\"{}",
                current.issuer,
                issuer_key(current)
            ),
            "append that certificate to the file of the server's chain; if it is a root, it is none of those given",
        ))
    }

    /// The path by `webpki`, and what that leaves out.
    fn path(&self, roots: &[CaCertificate], now: Timestamp) -> Option<Finding> {
        let leaf = self.certificates.first()?;
        let reason = self.verify(leaf, roots, now).err()?;
        Some(finding(
            (&codes::CHAIN_REFUSED, Severity::Deny),
            ("certificate", &leaf.subject),
            reason,
            "have the certificate issued anew, or the chain put right; no client accepts it as it is",
        ))
    }

    fn verify(
        &self,
        leaf: &CaCertificate,
        roots: &[CaCertificate],
        now: Timestamp,
    ) -> Result<(), String> {
        let roots_der: Vec<CertificateDer<'_>> = roots.iter().map(der).collect();
        // What webpki cannot read as an anchor, clients that use it cannot either.
        let anchors: Vec<TrustAnchor<'_>> = roots_der
            .iter()
            .filter_map(|der| webpki::anchor_from_trusted_cert(der).ok())
            .collect();
        let sent: Vec<CertificateDer<'_>> = self.certificates.iter().skip(1).map(der).collect();
        let own = der(leaf);
        let own = EndEntityCert::try_from(&own).map_err(|error| said(&error))?;
        let seconds = u64::try_from(now.unix()).unwrap_or_default();
        let lengths = |path: &VerifiedPath<'_>| issuers_hold(path, roots);
        own.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &sent,
            UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            KeyUsage::server_auth(),
            None,
            Some(&lengths),
        )
        .map_err(|error| said(&error))?;
        if parse(&leaf.der).is_ok_and(|certificate| may_serve(&certificate)) {
            Ok(())
        } else {
            Err("its key usage is that of no server: it allows neither to sign a handshake nor to agree on keys".to_owned())
        }
    }

    /// Whether the server's certificate is for the name that clients use.
    fn for_host(&self, host: &str) -> Option<Finding> {
        let leaf = self.certificates.first()?;
        let own = der(leaf);
        let own = EndEntityCert::try_from(&own).ok()?;
        let name = ServerName::try_from(host).ok()?;
        own.verify_is_valid_for_subject_name(&name).err()?;
        let names = parse(&leaf.der).map(|certificate| constraints::names(&certificate));
        let names = names.unwrap_or_default();
        let message = if names.is_empty() {
            "has no subject alternative name; clients do not look at its common name".to_owned()
        } else {
            format!("is not for {} but for {}", quoted(host), names.join(", "))
        };
        Some(finding(
            (&codes::CHAIN_HOST, Severity::Deny),
            ("certificate", &leaf.subject),
            message,
            "have it issued with that name as subject alternative name, or use a name that it has",
        ))
    }
}

/// What is found about one certificate by itself; the first is the server's own.
fn judge_one(index: usize, one: &CaCertificate, question: &Question<'_>) -> Vec<Finding> {
    let Ok(certificate) = parse(&one.der) else {
        return Vec::new();
    };
    let whose = ("certificate", one.subject.as_str());
    let mut out = Vec::new();
    if index > 0 && one.subject == one.issuer {
        let kind = (&codes::CHAIN_ROOT, Severity::Note);
        let message =
            "is a root: the server need not send it, and clients do not trust it for that";
        out.push(finding(
            kind,
            whose,
            message,
            "leave it out of the file of the chain",
        ));
        return out;
    }
    out.extend(judge::key(&certificate, whose));
    out.extend(judge::weak_signature(&certificate, whose, false));
    out.extend(judge::ends_soon(one, whose, question.now, question.days));
    out
}

fn der(certificate: &CaCertificate) -> CertificateDer<'_> {
    CertificateDer::from(certificate.der.as_slice())
}

/// Whether `issuer` issued `one`: by name, key identifiers and signature.
fn issued(one: &CaCertificate, issuer: &CaCertificate) -> bool {
    let (Ok(one), Ok(issuer)) = (parse(&one.der), parse(&issuer.der)) else {
        return false;
    };
    let fits = match (key_ids(&one).1, key_ids(&issuer).0) {
        (Some(named), Some(own)) => named == own,
        _ => true,
    };
    one.issuer().as_raw() == issuer.subject().as_raw() && fits && made(&one, &issuer) != Made::No
}

/// The key identifier of a certificate's issuer, in brackets.
fn issuer_key(one: &CaCertificate) -> String {
    let id = parse(&one.der).ok().and_then(|one| key_ids(&one).1);
    let id = id.map(|id| data_encoding::HEXUPPER.encode(&id));
    id.map(|id| format!(" (key {id})")).unwrap_or_default()
}

/// What `webpki` does not ask of issuers: that they may sign certificates, and the path length of the root itself.
fn issuers_hold(path: &VerifiedPath<'_>, roots: &[CaCertificate]) -> Result<(), webpki::Error> {
    let mut between = 0;
    for issuer in path.intermediate_certificates() {
        let issuer_der = issuer.der();
        let usable = parse(&issuer_der).is_ok_and(|certificate| may_certify(&certificate));
        if !usable {
            return Err(webpki::Error::EndEntityUsedAsCa);
        }
        // Certificates that a CA issued to itself do not count (RFC 5280, section 4.2.1.9).
        between += u32::from(issuer.issuer() != issuer.subject());
    }
    let length = roots.iter().find_map(|root| {
        let bytes = der(root);
        let same = webpki::anchor_from_trusted_cert(&bytes).is_ok_and(|a| a == *path.anchor());
        let certificate = parse(&root.der).ok().filter(|_| same)?;
        certificate
            .basic_constraints()
            .ok()??
            .value
            .path_len_constraint
    });
    if length.is_some_and(|most| between > most) {
        return Err(webpki::Error::PathLenConstraintViolated);
    }
    Ok(())
}

fn may_certify(certificate: &X509Certificate<'_>) -> bool {
    match certificate.key_usage() {
        Ok(None) => true,
        Ok(Some(found)) => found.value.key_cert_sign(),
        Err(_malformed) => false,
    }
}

/// What `webpki` does not ask of the server's own certificate: that its key may be used in a handshake (RFC 8446 section
/// 4.4.2.2 and RFC 5246 section 7.4.2).
fn may_serve(certificate: &X509Certificate<'_>) -> bool {
    match certificate.key_usage() {
        Ok(None) => true,
        Ok(Some(found)) => {
            let usage = found.value;
            usage.digital_signature() || usage.key_encipherment() || usage.key_agreement()
        }
        Err(_malformed) => false,
    }
}

/// A refusal of `webpki` in words.
fn said(error: &webpki::Error) -> String {
    use webpki::Error as E;
    let time = |time: &UnixTime| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_unix(seconds).map_or_else(|e| e.found, |time| time.to_string())
    };
    match error {
        E::UnknownIssuer => "no path of valid certificates leads to a root".to_owned(),
        E::CertExpired { not_after, .. } => {
            format!("a certificate of the chain expired on {}", time(not_after))
        }
        E::CertNotValidYet { not_before, .. } => {
            format!(
                "a certificate of the chain is not valid before {}",
                time(not_before)
            )
        }
        E::CaUsedAsEndEntity => {
            "the first certificate is that of a CA, not of the server".to_owned()
        }
        E::EndEntityUsedAsCa => {
            "a certificate of the chain issued another and is not a CA".to_owned()
        }
        E::PathLenConstraintViolated => "the chain is longer than a CA of it allows".to_owned(),
        E::NameConstraintViolation => {
            "a CA of the chain may not issue for a name of the server's certificate".to_owned()
        }
        E::InvalidSignatureForPublicKey => "a signature of the chain does not verify".to_owned(),
        E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => {
            "its extended key usage does not name servers".to_owned()
        }
        E::UnsupportedCriticalExtension => {
            "a critical extension of the chain is known to no client".to_owned()
        }
        E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            "a signature of the chain is of a kind that clients refuse, such as one with SHA-1"
                .to_owned()
        }
        other => format!("it is refused: {}", escaped(&other.to_string())),
    }
}
