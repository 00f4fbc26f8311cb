//! Hints and explanations by error code. The texts stand in `explain.txt`; a test holds them against every code.

use crate::base::fault::Code;

const TEXT: &str = include_str!("explain.txt");

/// What there is to say about a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The code.
    pub code: &'static str,
    /// The one thing to do, if there is one.
    pub hint: Option<&'static str>,
    /// What happened and why it matters.
    pub text: &'static str,
}

/// Every explanation, in the order of the codes.
pub fn all() -> impl Iterator<Item = Explanation> {
    TEXT.split("\n\n").filter_map(|block| {
        let (code, rest) = block.trim_end().split_once('\n')?;
        let (hint, text) = match rest.strip_prefix("hint: ").and_then(|r| r.split_once('\n')) {
            Some((hint, text)) => (Some(hint), text),
            None => (None, rest),
        };
        Some(Explanation { code, hint, text })
    })
}

/// The explanation of a code.
pub fn find(code: &str) -> Option<Explanation> {
    all().find(|e| e.code == code)
}

/// The one thing to do about an error, if there is one.
pub fn hint(code: &str) -> Option<&'static str> {
    find(code)?.hint
}

/// Every code of the program.
pub fn all_codes() -> Vec<&'static Code> {
    let shared: &[&[&Code]] = &[
        crate::bundle::CODES,
        crate::ca::CODES,
        crate::cli::CODES,
        crate::cli::apt_signer::CODES,
        crate::cli::cmd::repo::CODES,
        crate::eco::CODES,
        crate::eco::attestation::CODES,
        crate::eco::debian::chain::CODES,
        crate::eco::file::fault::CODES,
        crate::eco::npm::signatures::CODES,
        crate::eco::registry_keys::CODES,
        crate::enrolment::CODES,
        crate::evidence::CODES,
        crate::flows::CODES,
        crate::fs::CODES,
        crate::import::CODES,
        crate::lint::CODES,
        crate::lock::format::CODES,
        crate::manifest::CODES,
        crate::openpgp::CODES,
        crate::packet::received::CODES,
        crate::packet::signed::CODES,
        crate::permissions::CODES,
        crate::policy::CODES,
        crate::release::CODES,
        crate::sbom::CODES,
        crate::scripts::CODES,
        crate::serve::CODES,
        crate::sign::CODES,
        crate::store::CODES,
        crate::transfer::CODES,
        crate::trust::CODES,
        crate::verify::error::CODES,
        crate::vulns::CODES,
    ];
    let mut codes: Vec<_> = shared.iter().copied().flatten().copied().collect();
    #[cfg(feature = "connected")]
    for module in CONNECTED {
        codes.extend_from_slice(module);
    }
    codes.sort_by_key(|code| code.name);
    codes
}

/// Codes of the modules that only the connected build has.
#[cfg(feature = "connected")]
const CONNECTED: &[&[&Code]] = &[
    crate::cli::cmd::bundle::CODES,
    crate::cli::cmd::resolve::CODES,
    crate::cli::service::CODES,
    crate::eco::cargo::fault::CODES,
    crate::eco::debian::fault::CODES,
    crate::eco::debian::solve::CODES,
    crate::eco::interpreter::CODES,
    crate::eco::npm::fault::CODES,
    crate::holes::CODES,
    crate::native::CODES,
    crate::eco::pypi::fault::CODES,
    crate::eco::pypi::foreign::CODES,
    crate::net::CODES,
    crate::pack::CODES,
    crate::prove::CODES,
    crate::resolve::CODES,
    crate::submit::CODES,
    crate::trial::CODES,
    crate::upstream::CODES,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{all, all_codes};

    #[test]
    fn every_code_is_unique_and_explained_and_nothing_else_is() {
        let names: Vec<&str> = all_codes().iter().map(|code| code.name).collect();
        let unique: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(unique.len(), names.len(), "a code stands twice");
        let explained: BTreeSet<&str> = all().map(|e| e.code).collect();
        let silent: Vec<_> = unique.difference(&explained).collect();
        assert!(silent.is_empty(), "not explained: {silent:?}");
        if cfg!(feature = "connected") {
            let stale: Vec<_> = explained.difference(&unique).collect();
            assert!(stale.is_empty(), "explained, but no code: {stale:?}");
        }
    }
}
