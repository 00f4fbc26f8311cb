//! Whether the certificates of a key lead to a CA: path, signatures, constraints and times by `webpki`; what it leaves out,
//! the key usages and what must hold of the CA's own certificate, is checked here.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter, KeyUsage,
    RequiredEkuNotFoundContext, VerifiedPath,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::KeyUsage as KeyUsageBits;
use x509_parser::prelude::FromDer as _;

use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::enrolment::{Certificate, Chain, EnrolmentError, Facts, from_pem};
use crate::trust::root::TrustedKey;

/// Code signing, the purpose that is asked for (RFC 5280, section 4.2.1.12).
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
/// Purposes that a certificate may name, if it names any: code signing, signed mail, document signing (RFC 9336), any.
const PURPOSES: [&[u8]; 4] = [
    CODE_SIGNING,
    &[0x2b, 6, 1, 5, 5, 7, 3, 4],
    &[0x2b, 6, 1, 5, 5, 7, 3, 36],
    &[0x55, 0x1d, 0x25, 0],
];

/// How a key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The root has no certificate of it.
    NoChain,
    /// Its certificates lead to the CA.
    Proven {
        /// Its own certificate.
        leaf: Facts,
        /// The issuers, up to the CA's.
        path: Vec<Facts>,
    },
    /// They do not.
    Unproven {
        /// Its own certificate, if that can be read.
        leaf: Option<Facts>,
        /// Why, escaped.
        reason: String,
    },
}

/// The certificates of a CA that vouch at some time.
#[derive(Debug)]
pub struct Authority {
    anchors: Vec<Certificate>,
    unused: Vec<String>,
    at: Timestamp,
}

impl Authority {
    /// From the bytes of a PEM file named so. Certificates that are no CA's, or not valid at `at`, are not used.
    ///
    /// # Errors
    /// Not PEM, or no certificate is left.
    pub fn from_pem(name: &str, bytes: &[u8], at: Timestamp) -> Result<Self, EnrolmentError> {
        let (mut anchors, mut unused) = (Vec::new(), Vec::new());
        for certificate in from_pem(name, bytes)? {
            match authority(&certificate, at) {
                Ok(()) => anchors.push(certificate),
                Err(why) => unused.push(format!("{} {why}", quote(&certificate))),
            }
        }
        if anchors.is_empty() {
            let file = quoted(name);
            return Err(EnrolmentError::Authority { file, unused });
        }
        Ok(Self {
            anchors,
            unused,
            at,
        })
    }

    /// The certificates that vouch.
    pub fn anchors(&self) -> impl Iterator<Item = &Facts> {
        self.anchors.iter().map(Certificate::facts)
    }

    /// Those that do not, and why.
    pub fn unused(&self) -> &[String] {
        &self.unused
    }

    /// Whether the certificates of a key lead here.
    pub fn judge(&self, key: &TrustedKey) -> Standing {
        let unproven = |leaf, reason| Standing::Unproven { leaf, reason };
        let chain = match Chain::of(key) {
            None => return Standing::NoChain,
            Some(Err(why)) => return unproven(None, format!("a certificate {why}")),
            Some(Ok(chain)) => chain,
        };
        let leaf = chain.leaf.facts.clone();
        if chain.leaf.spki != key.key.spki() {
            return unproven(Some(leaf), "the certificate is for another key".to_owned());
        }
        match self.path(&chain) {
            Ok(path) => Standing::Proven { leaf, path },
            Err(reason) => unproven(Some(leaf), reason),
        }
    }

    /// The issuers from the leaf's to the CA's, which all hold.
    fn path(&self, chain: &Chain) -> Result<Vec<Facts>, String> {
        if !may_sign(&chain.leaf.der) {
            return Err("its key usage does not allow digital signatures".to_owned());
        }
        let ders: Vec<CertificateDer<'_>> = self.anchors.iter().map(der).collect();
        let anchors = ders
            .iter()
            .map(webpki::anchor_from_trusted_cert)
            .collect::<Result<Vec<TrustAnchor<'_>>, _>>()
            .map_err(|error| said(&error))?;
        let leaf = der(&chain.leaf);
        let leaf = EndEntityCert::try_from(&leaf).map_err(|error| said(&error))?;
        let issuers: Vec<CertificateDer<'_>> = chain.issuers.iter().map(der).collect();
        let anchor_of = |path: &VerifiedPath<'_>| {
            let place = anchors.iter().position(|a| a == path.anchor());
            place.and_then(|place| self.anchors.get(place))
        };
        let holds = |path: &VerifiedPath<'_>| issuers_hold(path, anchor_of(path));
        let seconds = u64::try_from(self.at.unix()).unwrap_or_default();
        let path = leaf
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &anchors,
                &issuers,
                UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
                Purposes,
                None,
                Some(&holds),
            )
            .map_err(|error| said(&error))?;
        let between = path.intermediate_certificates().filter_map(|used| {
            let same = |c: &&Certificate| c.der == used.der().as_ref();
            chain.issuers.iter().find(same)
        });
        let path = between.chain(anchor_of(&path));
        Ok(path.map(|c| c.facts.clone()).collect())
    }
}

fn der(certificate: &Certificate) -> CertificateDer<'_> {
    CertificateDer::from(certificate.der.as_slice())
}

fn quote(certificate: &Certificate) -> String {
    format!("\"{}\"", certificate.facts.subject)
}

/// Accepts certificates that name no purpose, or one that fits.
struct Purposes;

impl ExtendedKeyUsageValidator for Purposes {
    fn validate(&self, iter: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let mut present = Vec::new();
        for id in iter {
            let id = id?;
            if PURPOSES.iter().any(|fits| KeyPurposeId::new(fits) == id) {
                return Ok(());
            }
            present.push(id.to_decoded_oid());
        }
        if present.is_empty() {
            return Ok(());
        }
        let required = KeyUsage::required_if_present(CODE_SIGNING);
        Err(webpki::Error::RequiredEkuNotFoundContext(
            RequiredEkuNotFoundContext { required, present },
        ))
    }
}

/// What `webpki` does not ask of issuers: that they may sign certificates, and the path length of the CA itself.
fn issuers_hold(
    path: &VerifiedPath<'_>,
    anchor: Option<&Certificate>,
) -> Result<(), webpki::Error> {
    let mut between = 0;
    for issuer in path.intermediate_certificates() {
        if !may_certify(&issuer.der()) {
            return Err(webpki::Error::EndEntityUsedAsCa);
        }
        // Certificates that a CA issued to itself do not count (RFC 5280, section 4.2.1.9).
        between += u32::from(issuer.issuer() != issuer.subject());
    }
    let anchor = anchor.ok_or(webpki::Error::UnknownIssuer)?;
    if path_length(&anchor.der).is_some_and(|most| between > most) {
        return Err(webpki::Error::PathLenConstraintViolated);
    }
    Ok(())
}

/// Whether a certificate is that of a CA and valid.
fn authority(certificate: &Certificate, at: Timestamp) -> Result<(), String> {
    let facts = &certificate.facts;
    let is_ca = parsed(&certificate.der).is_some_and(|c| {
        let constraints = c.basic_constraints().ok().flatten();
        constraints.is_some_and(|found| found.value.ca)
    });
    if !is_ca || !may_certify(&certificate.der) {
        return Err("is not the certificate of a CA".to_owned());
    }
    if at > facts.not_after {
        return Err(format!("expired on {}", facts.not_after));
    }
    if at < facts.not_before {
        return Err(format!("is not valid before {}", facts.not_before));
    }
    Ok(())
}

fn parsed(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().map(|(_rest, c)| c)
}

/// Whether the key usage, if there is one, allows signing certificates.
fn may_certify(der: &[u8]) -> bool {
    key_usage(der, KeyUsageBits::key_cert_sign)
}

/// Whether the key usage, if there is one, allows digital signatures.
fn may_sign(der: &[u8]) -> bool {
    key_usage(der, KeyUsageBits::digital_signature)
}

fn key_usage(der: &[u8], allows: impl Fn(&KeyUsageBits) -> bool) -> bool {
    parsed(der).is_some_and(|certificate| match certificate.key_usage() {
        Ok(None) => true,
        Ok(Some(found)) => allows(found.value),
        Err(_malformed) => false,
    })
}

fn path_length(der: &[u8]) -> Option<u32> {
    let certificate = parsed(der)?;
    let constraints = certificate.basic_constraints().ok()??;
    constraints.value.path_len_constraint
}

/// A refusal of `webpki` in words.
fn said(error: &webpki::Error) -> String {
    use webpki::Error as E;
    let time = |time: &UnixTime| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_unix(seconds).map_or_else(|e| e.found, |time| time.to_string())
    };
    match error {
        E::UnknownIssuer => {
            "no path leads to the CA: an intermediate certificate is missing, or another CA issued it"
                .to_owned()
        }
        E::CertExpired { not_after, .. } => {
            format!("a certificate of the chain expired on {}", time(not_after))
        }
        E::CertNotValidYet { not_before, .. } => format!(
            "a certificate of the chain is not valid before {}",
            time(not_before)
        ),
        E::CaUsedAsEndEntity => "the key's own certificate is that of a CA".to_owned(),
        E::EndEntityUsedAsCa => "an issuer of the chain is not a CA".to_owned(),
        E::PathLenConstraintViolated => "the chain is longer than a CA of it allows".to_owned(),
        E::NameConstraintViolation => "a CA of the chain may not issue for this name".to_owned(),
        E::InvalidSignatureForPublicKey => "a signature of the chain does not verify".to_owned(),
        E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => {
            "its extended key usage names neither code signing, signed mail, document signing nor any purpose"
                .to_owned()
        }
        E::UnsupportedCriticalExtension => {
            "a critical extension of the chain is not known here".to_owned()
        }
        E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            "a signature of the chain is of a kind that is not taken, such as one with SHA-1".to_owned()
        }
        other => format!("it is refused: {}", escaped(&other.to_string())),
    }
}
