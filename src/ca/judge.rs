//! What is unwise, or will not work, about certificates that are those of a CA and valid now.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::public_key::PublicKey;

use super::certificate::{CaCertificate, curve, key_ids, key_words, parse};
use super::codes::{self, finding};
use super::constraints;
use super::signature::{CURVES, Made, broken_hash, made};
use crate::base::digest::Digest;
use crate::base::finding::{Finding, Severity};
use crate::base::text::quoted;
use crate::base::time::Timestamp;

/// Shortest RSA modulus that clients accept, in bits (NIST SP 800-131A, and OpenSSL's security level 2).
const RSA_BITS: usize = 2048;
/// Shortest RSA modulus for what is to last (CNSA 1.0).
const RSA_LASTING: usize = 3072;
/// Longest serial number, in octets (RFC 5280, section 4.1.2.2).
const SERIAL: usize = 20;
/// Seconds of a day.
const DAY: i64 = 86_400;
/// Days of a life that is longer than that of any key.
const LONG_LIFE: i64 = 30 * 366;

/// What is found about one of the roots, as of `now`; one that ends in less than `days` is named.
pub(super) fn root(facts: &CaCertificate, now: Timestamp, days: i64) -> Vec<Finding> {
    let Ok(certificate) = parse(&facts.der) else {
        return Vec::new();
    };
    let whose = ("CA", facts.subject.as_str());
    let is_root = certificate.subject().as_raw() == certificate.issuer().as_raw();
    let mut out = Vec::new();
    out.extend(key(&certificate, whose));
    if is_root {
        out.extend(self_signed(&certificate, whose));
    } else {
        let message = format!(
            "was issued by {}: an intermediate as trust anchor",
            quoted(&certificate.issuer().to_string())
        );
        let fix = "carry the root; servers send intermediates themselves";
        out.push(finding(
            (&codes::INTERMEDIATE, Severity::Warn),
            whose,
            message,
            fix,
        ));
    }
    out.extend(weak_signature(&certificate, whose, is_root));
    out.extend(usage(&certificate, whose));
    out.extend(identifiers(&certificate, whose, is_root));
    out.extend(extensions(&certificate, whose));
    out.extend(ends_soon(facts, whose, now, days));
    out.extend(oddities(&certificate, facts, whose));
    out
}

/// The key: long enough, on a curve that clients know.
pub(super) fn key(certificate: &X509Certificate<'_>, whose: (&str, &str)) -> Option<Finding> {
    let newer = "ask the agency for a newer one";
    let weak = (&codes::WEAK_KEY, Severity::Deny);
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() < RSA_BITS => {
            let bits = key.key_size();
            let message = format!("has an RSA key of {bits} bits, less than {RSA_BITS}");
            Some(finding(weak, whose, message, newer))
        }
        Ok(PublicKey::RSA(key)) if key.key_size() < RSA_LASTING => {
            let bits = key.key_size();
            let message = format!("has an RSA key of {bits} bits; CNSA asks for {RSA_LASTING}");
            let kind = (&codes::SHORT_KEY, Severity::Warn);
            Some(finding(kind, whose, message, newer))
        }
        Ok(PublicKey::DSA(_)) => {
            let message = "has a DSA key, which no client of today takes";
            Some(finding(weak, whose, message, newer))
        }
        Ok(PublicKey::EC(_)) => {
            let curve = curve(certificate);
            let known = curve.as_deref().is_some_and(|id| CURVES.contains(&id));
            let message = format!(
                "has a key that many clients refuse: {}",
                key_words(certificate)
            );
            let kind = (&codes::CURVE, Severity::Warn);
            (!known).then(|| {
                finding(
                    kind,
                    whose,
                    message,
                    "take P-256, P-384 or P-521, or RSA of 3072 bits",
                )
            })
        }
        _ => None,
    }
}

/// A root signs itself.
fn self_signed(certificate: &X509Certificate<'_>, whose: (&str, &str)) -> Option<Finding> {
    match made(certificate, certificate) {
        Made::Yes => None,
        Made::No => Some(finding(
            (&codes::SELF_SIGNATURE, Severity::Deny),
            whose,
            "its own key did not make its signature: it is damaged, or not what it says",
            "get the file again, and compare its fingerprint with the agency's",
        )),
        Made::Unknown => Some(finding(
            (&codes::SELF_SIGNATURE, Severity::Warn),
            whose,
            "its signature is of a kind that cannot be checked here",
            "compare its fingerprint with the agency's; test every client that is to trust it",
        )),
    }
}

/// MD5 and SHA-1: of no weight on a root, whose signature nobody checks; refused on everything else.
pub(super) fn weak_signature(
    certificate: &X509Certificate<'_>,
    whose: (&str, &str),
    is_root: bool,
) -> Option<Finding> {
    let hash = broken_hash(certificate)?;
    let (severity, message) = if is_root {
        let message = format!("is signed with {hash}, which does not weaken a root");
        (Severity::Note, message)
    } else {
        let message = format!("is signed with {hash}, which clients refuse");
        (Severity::Deny, message)
    };
    let fix = "have it issued anew, signed with SHA-256 or better";
    Some(finding(
        (&codes::WEAK_SIGNATURE, severity),
        whose,
        message,
        fix,
    ))
}

/// Basic constraints, key usage and purposes.
fn usage(certificate: &X509Certificate<'_>, whose: (&str, &str)) -> Vec<Finding> {
    let mut out = Vec::new();
    let anew = "have it issued anew; strict clients (OpenSSL's x509_strict, Go, Java) refuse it";
    let critical = |found: bool, what: &str| {
        let kind = (&codes::NOT_CRITICAL, Severity::Warn);
        let message = format!("its {what} is not critical, as RFC 5280 demands");
        (!found).then(|| finding(kind, whose, message, anew))
    };
    if let Ok(Some(constraints)) = certificate.basic_constraints() {
        out.extend(critical(constraints.critical, "basic constraints"));
    }
    match certificate.key_usage() {
        Ok(Some(found)) => out.extend(critical(found.critical, "key usage")),
        _ => out.push(finding(
            (&codes::KEY_USAGE, Severity::Warn),
            whose,
            "has no key usage, so that it may be used for anything",
            anew,
        )),
    }
    if let Ok(Some(purpose)) = certificate.extended_key_usage()
        && !purpose.value.server_auth
        && !purpose.value.any
    {
        out.push(finding(
            (&codes::PURPOSE, Severity::Warn),
            whose,
            "its extended key usage does not name servers: clients may refuse what it issued for them",
            "ask the agency for the CA of its servers",
        ));
    }
    out
}

/// Key identifiers, by which clients find issuers.
fn identifiers(
    certificate: &X509Certificate<'_>,
    whose: (&str, &str),
    is_root: bool,
) -> Option<Finding> {
    let kind = (&codes::KEY_ID, Severity::Warn);
    let anew = "have it issued anew with key identifiers that fit";
    match key_ids(certificate) {
        (None, _) => Some(finding(kind, whose, "has no subject key identifier", anew)),
        (Some(own), Some(issuer)) if is_root && own != issuer => Some(finding(
            kind,
            whose,
            "names another key as its issuer's than its own",
            anew,
        )),
        _ => None,
    }
}

/// Name constraints, and critical extensions that clients do not know.
fn extensions(certificate: &X509Certificate<'_>, whose: (&str, &str)) -> Vec<Finding> {
    let mut out = Vec::new();
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::NameConstraints(found) => {
                let (severity, word) = if extension.critical {
                    (Severity::Note, "")
                } else {
                    (
                        Severity::Warn,
                        ", and the constraint is not critical: clients that do not know it ignore it",
                    )
                };
                let message = format!("may issue only for {}{word}", constraints::words(found));
                let kind = (&codes::NAME_CONSTRAINTS, severity);
                let fix = "check that the repository's name is among them: --host NAME";
                out.push(finding(kind, whose, message, fix));
            }
            ParsedExtension::UnsupportedExtension { .. } | ParsedExtension::Unparsed
                if extension.critical =>
            {
                let id = extension.oid.to_id_string();
                let message = format!("has the critical extension {id}, which clients do not know");
                let kind = (&codes::CRITICAL_EXTENSION, Severity::Warn);
                let fix = "test every client that is to trust it, or have it issued without";
                out.push(finding(kind, whose, message, fix));
            }
            _ => {}
        }
    }
    out
}

/// Less than `days` left.
pub(super) fn ends_soon(
    facts: &CaCertificate,
    whose: (&str, &str),
    now: Timestamp,
    days: i64,
) -> Option<Finding> {
    let left = facts.not_after.unix().saturating_sub(now.unix()) / DAY;
    let message = format!("ends in {left} days, on {}", facts.not_after);
    (left >= 0 && left < days).then(|| {
        finding(
            (&codes::EXPIRES_SOON, Severity::Warn),
            whose,
            message,
            "ask for its successor now: it must be trusted everywhere before it is used",
        )
    })
}

/// What hints at a certificate that was made by hand.
fn oddities(
    certificate: &X509Certificate<'_>,
    facts: &CaCertificate,
    whose: (&str, &str),
) -> Vec<Finding> {
    let mut out = Vec::new();
    let serial = certificate.raw_serial();
    let negative = serial.first().is_some_and(|byte| byte & 0x80 != 0);
    let zero = serial.iter().all(|byte| *byte == 0);
    if negative || zero || serial.len() > SERIAL + 1 {
        out.push(finding(
            (&codes::SERIAL, Severity::Warn),
            whose,
            "its serial number is zero, negative or longer than 20 octets; newer clients refuse that",
            "have it issued anew with a random serial number",
        ));
    }
    let life = facts
        .not_after
        .unix()
        .saturating_sub(facts.not_before.unix())
        / DAY;
    if life > LONG_LIFE {
        out.push(finding(
            (&codes::VALIDITY, Severity::Note),
            whose,
            format!("is valid for {} years", life / 365),
            "agree on when it will be replaced",
        ));
    }
    out
}

/// What is found about the roots together: one key twice, one CA under two issuers.
pub(super) fn together(all: &[CaCertificate]) -> Vec<Finding> {
    let mut out = Vec::new();
    for (index, one) in all.iter().enumerate() {
        for other in all.iter().take(index) {
            let (Ok(this), Ok(that)) = (parse(&one.der), parse(&other.der)) else {
                continue;
            };
            if this.public_key().raw != that.public_key().raw {
                continue;
            }
            let whose = ("CA", one.subject.as_str());
            let crossed = this.subject().as_raw() == that.subject().as_raw()
                && this.issuer().as_raw() != that.issuer().as_raw();
            out.push(if crossed {
                finding(
                    (&codes::CROSS_SIGNED, Severity::Warn),
                    whose,
                    format!(
                        "is there twice: issued by \"{}\" and by \"{}\"",
                        other.issuer, one.issuer
                    ),
                    "carry the self-signed one; the other is an intermediate that servers send",
                )
            } else {
                finding(
                    (&codes::SAME_KEY, Severity::Warn),
                    whose,
                    format!(
                        "has the key of \"{}\", {}",
                        other.subject, other.fingerprint
                    ),
                    "carry the newer one, unless old servers still need the other",
                )
            });
        }
    }
    out
}

/// What is found when fingerprints were told: one that is not there, and a certificate that nobody named.
pub(super) fn expected(all: &[CaCertificate], told: &[Digest]) -> Vec<Finding> {
    let kind = (&codes::FINGERPRINT, Severity::Deny);
    let fix = "ask the agency for the fingerprint by another way than the file came";
    let strangers = all.iter().filter(|one| !told.contains(&one.fingerprint));
    let mut out: Vec<Finding> = strangers
        .map(|one| {
            let message = format!(
                "has the fingerprint {}, which was not expected",
                one.fingerprint
            );
            finding(kind, ("CA", &one.subject), message, fix)
        })
        .collect();
    let there = |digest: &Digest| all.iter().any(|one| one.fingerprint == *digest);
    for digest in told.iter().filter(|digest| !there(digest)) {
        let message = "is the fingerprint of no certificate in the files";
        out.push(finding(
            kind,
            ("expected", &digest.to_string()),
            message,
            fix,
        ));
    }
    out
}

/// What is found about the host that the CA is to vouch for.
pub(super) fn host(all: &[CaCertificate], host: &str) -> Vec<Finding> {
    let one = |facts: &CaCertificate| {
        let certificate = parse(&facts.der).ok()?;
        let found = certificate.name_constraints().ok()??;
        let why = constraints::refuses(found.value, host)?;
        let message = format!("may not issue for {}: {why}", quoted(host));
        let fix = "give the server a name that the CA may vouch for, or ask for another CA";
        let kind = (&codes::HOST, Severity::Deny);
        Some(finding(kind, ("CA", &facts.subject), message, fix))
    };
    all.iter().filter_map(one).collect()
}
