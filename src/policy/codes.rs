//! The codes of policies, and the findings of other modules that a policy may weigh.

use crate::base::fault::{Class, Code, Kind};
use crate::base::finding::Severity;

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &MISSING,
    &SYNTAX,
    &UNKNOWN_KEY,
    &VALUE,
    &UNKNOWN_CODE,
    &PACKAGE_DENIED,
    &PACKAGE_NOT_ALLOWED,
    &EVIDENCE_LOW,
    &INDEX_PIN,
    &PACKAGE_NOT_APPROVED,
    &APPROVED_UNREAD,
    &TOO_NEW,
    &TIME_UNKNOWN,
    &LICENSE_DENIED,
    &LICENSE_UNKNOWN,
    &LICENSE_LATER,
    &ARTIFACT_TOO_LARGE,
    &TOTAL_TOO_LARGE,
    &SIZE_UNKNOWN,
    &NAME_SIMILAR,
    &PLAIN_NOT_ALLOWED,
    &LINT_MISSING,
    &LINT_NOT_CLEAN,
    &WAIVER_EXPIRED,
    &WAIVER_UNUSED,
];

pub(super) static MISSING: Code = Code::new("policy-missing", Kind::Usage);
pub(super) static SYNTAX: Code = Code::new("policy-syntax", Kind::Usage);
pub(super) static UNKNOWN_KEY: Code = Code::new("policy-unknown-key", Kind::Usage);
pub(super) static VALUE: Code = Code::new("policy-value", Kind::Usage);
pub(super) static UNKNOWN_CODE: Code = Code::new("policy-unknown-code", Kind::Usage);
pub(super) static PACKAGE_DENIED: Code = Code::classed("policy-package-denied", Class::E50);
pub(super) static PACKAGE_NOT_ALLOWED: Code =
    Code::classed("policy-package-not-allowed", Class::E50);
pub(super) static EVIDENCE_LOW: Code = Code::classed("policy-evidence-low", Class::E52);
pub(super) static INDEX_PIN: Code = Code::classed("policy-index-pin", Class::E50);
pub(super) static PACKAGE_NOT_APPROVED: Code =
    Code::classed("policy-package-not-approved", Class::E50);
pub(super) static APPROVED_UNREAD: Code = Code::classed("policy-approved-unread", Class::E50);
pub(super) static TOO_NEW: Code = Code::classed("policy-too-new", Class::E50);
pub(super) static TIME_UNKNOWN: Code = Code::classed("policy-time-unknown", Class::E50);
pub(super) static LICENSE_DENIED: Code = Code::classed("policy-license-denied", Class::E50);
pub(super) static LICENSE_UNKNOWN: Code = Code::classed("policy-license-unknown", Class::E50);
pub(super) static LICENSE_LATER: Code = Code::classed("policy-license-later", Class::E50);
pub(super) static ARTIFACT_TOO_LARGE: Code = Code::classed("policy-artifact-too-large", Class::E50);
pub(super) static TOTAL_TOO_LARGE: Code = Code::classed("policy-total-too-large", Class::E50);
pub(super) static SIZE_UNKNOWN: Code = Code::classed("policy-size-unknown", Class::E50);
pub(super) static NAME_SIMILAR: Code = Code::classed("policy-name-similar", Class::E50);
pub(super) static PLAIN_NOT_ALLOWED: Code = Code::classed("policy-plain-not-allowed", Class::E50);
pub(super) static LINT_MISSING: Code = Code::classed("lint-missing", Class::E52);
pub(super) static LINT_NOT_CLEAN: Code = Code::classed("lint-not-clean", Class::E50);
pub(super) static WAIVER_EXPIRED: Code = Code::classed("policy-waiver-expired", Class::E50);
pub(super) static WAIVER_UNUSED: Code = Code::classed("policy-waiver-unused", Class::E50);

/// What a policy may weigh: what gates find, with the weight it has unless the policy says otherwise.
pub(super) const GATES: &[(&Code, Severity)] = &[
    (&PACKAGE_DENIED, Severity::Deny),
    (&PACKAGE_NOT_ALLOWED, Severity::Deny),
    (&EVIDENCE_LOW, Severity::Deny),
    (&INDEX_PIN, Severity::Deny),
    (&PACKAGE_NOT_APPROVED, Severity::Deny),
    (&APPROVED_UNREAD, Severity::Note),
    (&TOO_NEW, Severity::Deny),
    (&TIME_UNKNOWN, Severity::Deny),
    (&LICENSE_DENIED, Severity::Deny),
    (&LICENSE_UNKNOWN, Severity::Deny),
    (&LICENSE_LATER, Severity::Note),
    (&ARTIFACT_TOO_LARGE, Severity::Deny),
    (&TOTAL_TOO_LARGE, Severity::Deny),
    (&SIZE_UNKNOWN, Severity::Note),
    (&NAME_SIMILAR, Severity::Note),
    (&PLAIN_NOT_ALLOWED, Severity::Deny),
    (&LINT_MISSING, Severity::Deny),
    (&LINT_NOT_CLEAN, Severity::Deny),
];

/// The codes under which a package runs code of its own when it is installed or built: those that `[install-scripts]
/// allow` is for.
pub(super) const SCRIPTS: [&str; 5] = [
    "cargo-build-script",
    "cargo-proc-macro",
    "debian-maintainer-script",
    "npm-install-script",
    "pypi-sdist",
];

/// Findings of resolving and of looking into files that a policy may weigh. What denies by itself is not among them: a
/// wheel that is not there, an edge that is open or bytes that nobody confirmed do not get better by being allowed. They
/// are repeated here because the enclave build reads them from locks and does not have the modules that make them; a
/// test holds them against those modules.
pub static WEIGHED: &[Code] = &[
    plain("cargo-build-script"),
    of_class("cargo-path-dependency"),
    plain("cargo-proc-macro"),
    plain("cargo-yanked"),
    plain("debian-held"),
    plain("debian-maintainer-script"),
    plain("debian-no-index"),
    plain("debian-no-publish-times"),
    plain("debian-security-update"),
    plain("debian-unmet-recommends"),
    required("evidence-dropped"),
    required("evidence-not-carried"),
    required("evidence-scripts-unread"),
    plain("hole-build-download"),
    plain("hole-catalog"),
    plain("hole-first-start"),
    plain("hole-install-build"),
    plain("hole-install-download"),
    plain("hole-missing-part"),
    plain("hole-run-download"),
    plain("hole-unreadable"),
    plain("interpreter-differs"),
    plain("interpreter-none-staged"),
    plain("interpreter-repacked"),
    plain("interpreter-unfit"),
    lint("lint-case"),
    lint("lint-duplicate"),
    lint("lint-header"),
    lint("lint-junk"),
    lint("lint-link"),
    lint("lint-path"),
    lint("lint-record"),
    lint("lint-special"),
    plain("lock-bundled-edge"),
    plain("native-glibc-too-old"),
    plain("native-missing-interpreter"),
    plain("native-missing-library"),
    plain("native-symbol-version"),
    plain("native-unreadable"),
    plain("npm-deprecated"),
    plain("npm-engines"),
    plain("npm-install-script"),
    plain("npm-install-script-downloads"),
    plain("npm-install-script-fails"),
    plain("npm-optional-missing"),
    plain("npm-overridden"),
    plain("npm-peer-conflict"),
    plain("npm-signature-absent"),
    plain("npm-signatures-stripped"),
    plain("npm-third-party-repack"),
    plain("policy-scripts-later"),
    plain("prove-asks-for-name"),
    plain("prove-connects-outside"),
    plain("prove-denied"),
    plain("prove-missing-file"),
    plain("prove-script-not-run"),
    plain("prove-unobserved"),
    plain("pypi-requires-python"),
    plain("pypi-sdist"),
    plain("pypi-yanked"),
];

const fn plain(name: &'static str) -> Code {
    Code::new(name, Kind::Denied)
}

const fn lint(name: &'static str) -> Code {
    Code::classed(name, Class::E40)
}

const fn of_class(name: &'static str) -> Code {
    Code::classed(name, Class::E50)
}

/// Whether findings of this code come from a policy itself.
pub(super) fn is_gate(name: &str) -> bool {
    GATES.iter().any(|(code, _)| code.name == name)
}

/// Evidence that a policy may require.
const fn required(name: &'static str) -> Code {
    Code::classed(name, Class::E52)
}

/// The code of this name, if a policy may weigh it.
pub(super) fn find(name: &str) -> Option<&'static Code> {
    all().find(|code| code.name == name)
}

/// Every code that a policy may weigh.
fn all() -> impl Iterator<Item = &'static Code> {
    let gates = GATES.iter().map(|(code, _)| *code);
    let vulnerabilities = crate::vulns::WEIGHED.iter().copied();
    WEIGHED.iter().chain(gates).chain(vulnerabilities)
}

/// Codes that may have been meant, the nearest first.
pub(super) fn near(name: &str) -> Vec<&'static str> {
    let distance = |code: &&'static str| strsim::osa_distance(code, name);
    let near = |code: &&'static str| {
        distance(code) <= 2 + code.len() / 4 || (name.len() > 2 && code.contains(name))
    };
    let mut found: Vec<_> = all().map(|code| code.name).filter(near).collect();
    found.sort_by_key(distance);
    found.truncate(3);
    found
}

#[cfg(test)]
mod tests {
    use super::{find, near};

    #[test]
    fn a_code_that_was_mistyped_is_found() {
        assert_eq!(
            near("npm-instal-script").first(),
            Some(&"npm-install-script")
        );
        assert!(near("yanked").contains(&"pypi-yanked"));
        assert!(near("zzzzzzzzzzzzzz").is_empty());
        assert_eq!(find("lock-open-edge"), None);
    }
}
