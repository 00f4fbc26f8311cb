//! Names that live in exactly one index. Who can publish under the name of an internal package elsewhere gets in where a
//! client asks both; that a name came from where the policy says is checked by the address that was asked.

use super::pattern::Match;
use super::{PackagePattern, Policy, codes};
use crate::base::finding::{Finding, Severity};
use crate::base::text::{escaped, quoted};
use crate::lock::chain::Chains;
use crate::lock::{Lock, LockedArtifact, LockedPackage};

/// Packages, and the only index that they may come from.
#[derive(Debug, Clone)]
pub(super) struct Pin {
    /// The packages.
    pub(super) pattern: PackagePattern,
    /// The address, with a slash at its end.
    pub(super) index: String,
}

impl Policy {
    /// The packages that come from another index than the one that the policy pins them to. `address` tells from where an
    /// artifact of a package is taken; what nobody knows counts as elsewhere.
    pub fn check_sources(
        &self,
        lock: &Lock,
        address: &dyn Fn(&LockedPackage, &LockedArtifact) -> Option<String>,
    ) -> Vec<Finding> {
        let mut found = Vec::new();
        if self.rules.pins.is_empty() {
            return found;
        }
        let chains = Chains::new(lock);
        for package in lock.packages.iter().filter(|p| p.is_carried()) {
            // A version that cannot be compared may be one that is meant.
            let covers = |pin: &&Pin| {
                let pattern = &pin.pattern;
                pattern.covers(&package.ecosystem, &package.name, &package.version) != Match::No
            };
            let Some(pin) = self.rules.pins.iter().find(covers) else {
                continue;
            };
            let from = package.artifacts.iter().map(|a| address(package, a));
            let elsewhere = |from: &Option<String>| {
                let inside = from.as_ref().map(|url| is_below(url, &pin.index));
                inside != Some(true)
            };
            let Some(from) = from.into_iter().find(elsewhere) else {
                continue;
            };
            let from = from.map_or_else(|| "nobody knows where".to_owned(), |url| quoted(&url));
            let release = package.id();
            let chain = chains.chain(&package.ecosystem, &release);
            found.push(Finding {
                code: &codes::INDEX_PIN,
                severity: self.weight(codes::INDEX_PIN.name, Severity::Deny),
                subject: format!("{} {}", package.ecosystem, escaped(&release.to_string())),
                message: format!(
                    "comes from {from}; the policy pins {} to {}",
                    quoted(pin.pattern.as_str()),
                    quoted(&pin.index)
                ),
                chain: chain.iter().map(|link| escaped(link)).collect(),
                fix: Some(
                    "send the name there: `[pypi] routes`, a scope in .npmrc, or the address of its section"
                        .to_owned(),
                ),
            });
        }
        found
    }
}

/// Whether an address is `index` or below it.
fn is_below(url: &str, index: &str) -> bool {
    url.starts_with(index) || url.strip_suffix('/').unwrap_or(url) == index.trim_end_matches('/')
}
