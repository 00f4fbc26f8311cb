//! The codes of errors and findings about certificates.

use crate::base::fault::{Code, Kind};
use crate::base::finding::{Finding, Severity};

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
    &CHAIN_HOST,
    &CHAIN_INCOMPLETE,
    &CHAIN_ORDER,
    &CHAIN_OTHER_ROOT,
    &CHAIN_REFUSED,
    &CHAIN_ROOT,
    &CRITICAL_EXTENSION,
    &CROSS_SIGNED,
    &CURVE,
    &DUPLICATE,
    &EXPIRES_SOON,
    &FINGERPRINT,
    &HOST,
    &KEY_ID,
    &KEY_USAGE,
    &NAME_CONSTRAINTS,
    &NOT_CRITICAL,
    &PURPOSE,
    &SAME_KEY,
    &SELF_SIGNATURE,
    &SERIAL,
    &SHORT_KEY,
    &VALIDITY,
    &WEAK_SIGNATURE,
];

pub(super) static PRIVATE_KEY: Code = Code::new("manifest-ca-private-key", Kind::Usage);
pub(super) static NOT_PEM: Code = Code::new("manifest-ca-not-pem", Kind::Usage);
pub(super) static EMPTY: Code = Code::new("manifest-ca-empty", Kind::Usage);
pub(super) static UNREADABLE: Code = Code::new("manifest-ca-unreadable", Kind::Usage);
pub(super) static NOT_CA: Code = Code::new("manifest-ca-not-a-ca", Kind::Usage);
pub(super) static NOT_VALID: Code = Code::new("manifest-ca-not-valid", Kind::Usage);
pub(super) static WEAK_KEY: Code = Code::new("manifest-ca-weak-key", Kind::Denied);
pub(super) static INTERMEDIATE: Code = Code::new("manifest-ca-intermediate", Kind::Denied);
pub(super) static CHAIN_HOST: Code = Code::new("ca-chain-host", Kind::Denied);
pub(super) static CHAIN_INCOMPLETE: Code = Code::new("ca-chain-incomplete", Kind::Denied);
pub(super) static CHAIN_ORDER: Code = Code::new("ca-chain-order", Kind::Denied);
pub(super) static CHAIN_OTHER_ROOT: Code = Code::new("ca-chain-other-root", Kind::Denied);
pub(super) static CHAIN_REFUSED: Code = Code::new("ca-chain-refused", Kind::Denied);
pub(super) static CHAIN_ROOT: Code = Code::new("ca-chain-root", Kind::Denied);
pub(super) static CRITICAL_EXTENSION: Code = Code::new("ca-critical-extension", Kind::Denied);
pub(super) static CROSS_SIGNED: Code = Code::new("ca-cross-signed", Kind::Denied);
pub(super) static CURVE: Code = Code::new("ca-curve", Kind::Denied);
pub(super) static DUPLICATE: Code = Code::new("ca-duplicate", Kind::Denied);
pub(super) static EXPIRES_SOON: Code = Code::new("ca-expires-soon", Kind::Denied);
pub(super) static FINGERPRINT: Code = Code::new("ca-fingerprint", Kind::Denied);
pub(super) static HOST: Code = Code::new("ca-host", Kind::Denied);
pub(super) static KEY_ID: Code = Code::new("ca-key-id", Kind::Denied);
pub(super) static KEY_USAGE: Code = Code::new("ca-key-usage", Kind::Denied);
pub(super) static NAME_CONSTRAINTS: Code = Code::new("ca-name-constraints", Kind::Denied);
pub(super) static NOT_CRITICAL: Code = Code::new("ca-not-critical", Kind::Denied);
pub(super) static PURPOSE: Code = Code::new("ca-purpose", Kind::Denied);
pub(super) static SAME_KEY: Code = Code::new("ca-same-key", Kind::Denied);
pub(super) static SELF_SIGNATURE: Code = Code::new("ca-self-signature", Kind::Denied);
pub(super) static SERIAL: Code = Code::new("ca-serial", Kind::Denied);
pub(super) static SHORT_KEY: Code = Code::new("ca-short-key", Kind::Denied);
pub(super) static VALIDITY: Code = Code::new("ca-validity", Kind::Denied);
pub(super) static WEAK_SIGNATURE: Code = Code::new("ca-weak-signature", Kind::Denied);

/// A finding about a certificate of this kind (`CA` or `certificate`) and this subject, which is escaped.
pub(super) fn finding(
    (code, severity): (&'static Code, Severity),
    (kind, subject): (&str, &str),
    message: impl Into<String>,
    fix: &str,
) -> Finding {
    Finding {
        code,
        severity,
        subject: format!("{kind} \"{subject}\""),
        message: message.into(),
        chain: Vec::new(),
        fix: Some(fix.to_owned()),
    }
}
