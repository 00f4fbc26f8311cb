//! Security updates that a closure leaves aside: a suite of security updates has a newer version of a package than the
//! one that is taken, because the lock or a requirement keeps the older one.

use std::collections::BTreeMap;

use crate::base::finding::{Finding, Severity};
use crate::base::package::ReleaseId;
use crate::base::text::{escaped, quoted};
use crate::eco::debian::fault::SECURITY_UPDATE;
use crate::eco::debian::resolve::Suite;
use crate::eco::debian::version::Version;
use crate::eco::debian::{architecture, control};
use crate::lock::LockedPackage;

/// A finding for each package of which a suite of security updates has a newer version on one of its platforms.
pub(crate) fn updates(
    suites: &[Suite],
    packages: &BTreeMap<ReleaseId, LockedPackage>,
) -> Vec<Finding> {
    let mut newest: BTreeMap<(&str, &str), (Version<'_>, &str)> = BTreeMap::new();
    let archs = packages.values().flat_map(|p| &p.platforms);
    let mut archs: Vec<&str> = archs.map(|platform| architecture(*platform)).collect();
    archs.sort_unstable();
    archs.dedup();
    for suite in suites.iter().filter(|suite| suite.is_security()) {
        for arch in &archs {
            let texts = suite.texts(arch).filter_map(|(_, t)| control::text(t).ok());
            for stanza in texts.flat_map(control::stanzas).flatten() {
                let (name, text) = (stanza.field("Package"), stanza.field("Version"));
                let (Some(name), Some(text)) = (name, text) else {
                    continue;
                };
                let Ok(version) = Version::parse(text) else {
                    continue;
                };
                let known = newest.entry((arch, name)).or_insert((version, text));
                if known.0 < version {
                    *known = (version, text);
                }
            }
        }
    }
    let left = |id: &ReleaseId, package: &LockedPackage| {
        let own = Version::parse(&id.version).ok()?;
        let platforms = package.platforms.iter();
        let offered = platforms.filter_map(|p| newest.get(&(architecture(*p), id.name.as_str())));
        let newer = offered.filter(|(version, _)| *version > own);
        Some(newer.max_by_key(|(version, _)| *version)?.1)
    };
    let found = packages
        .iter()
        .filter_map(|(id, package)| Some((id, left(id, package)?)));
    found.map(|(id, newer)| finding(id, newer)).collect()
}

fn finding(id: &ReleaseId, newer: &str) -> Finding {
    Finding {
        code: &SECURITY_UPDATE,
        severity: Severity::Warn,
        subject: format!("debian {}", escaped(&id.to_string())),
        message: format!("has a security update, {}", quoted(newer)),
        chain: Vec::new(),
        fix: Some(format!(
            "`stage resolve --upgrade=debian:{}` takes it, unless a requirement names the version",
            escaped(&id.name)
        )),
    }
}
