//! What OSV calls Debian's and Ubuntu's packages: the sources that they are built from, in a release of a vendor.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::package::ReleaseId;
use crate::eco::EcoError;
use crate::eco::debian::control;
use crate::eco::debian::records::{self, DebianRecords, SignedRelease};
use crate::eco::osv::OsvName;
use crate::lock::LockedPackage;

/// The sources of these packages. One that comes from an archive of neither vendor has no ecosystem.
pub(crate) fn names(packages: &[&LockedPackage], records: &[u8]) -> Result<Vec<OsvName>, EcoError> {
    let records = records::parse(records)?;
    let releases = &records.releases;
    let vendors: BTreeMap<&str, Vec<String>> = releases
        .iter()
        .map(|(label, signed)| (label.as_str(), ecosystems(signed)))
        .collect();
    let mut found = Vec::new();
    for package in packages {
        found.extend(sources(&records, &package.id(), &vendors));
    }
    Ok(found)
}

/// One for each source that the files of a release name: they may differ between architectures.
fn sources(
    records: &DebianRecords,
    release: &ReleaseId,
    vendors: &BTreeMap<&str, Vec<String>>,
) -> Vec<OsvName> {
    let mut found: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for package in records.get(release).into_iter().flat_map(BTreeMap::values) {
        let source = package.field("Source").unwrap_or(&release.name);
        let (name, version) = match source.split_once('(') {
            Some((name, version)) => (name.trim(), version.trim_end_matches(')').trim()),
            None => (source.trim(), release.version.as_str()),
        };
        let known = found.entry((name.to_owned(), version.to_owned()));
        let vendor = vendors.get(package.release.as_str());
        known
            .or_default()
            .extend(vendor.into_iter().flatten().cloned());
    }
    let names = found.into_iter();
    names
        .map(|((name, version), ecosystems)| OsvName {
            release: release.clone(),
            ecosystems: ecosystems.into_iter().collect(),
            name,
            version,
        })
        .collect()
}

/// `Debian:12` and `Debian` of a release whose `Version` is `12.11`, or `12` in the suite of security updates; Ubuntu's
/// two numbers, with and without what marks long support.
fn ecosystems(signed: &SignedRelease) -> Vec<String> {
    let text = signed.signed();
    let Some(Ok(stanza)) = control::stanzas(&text).next() else {
        return Vec::new();
    };
    let version = stanza.field("Version").unwrap_or_default();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mut parts = version.split(|c: char| !c.is_ascii_digit());
    let (major, minor) = (parts.next(), parts.next());
    match (stanza.field("Origin"), major, minor) {
        (Some("Debian"), Some(major), _) if digits(major) => {
            vec![format!("Debian:{major}"), "Debian".to_owned()]
        }
        (Some("Ubuntu"), Some(major), Some(minor)) if digits(major) && digits(minor) => {
            let own = format!("Ubuntu:{major}.{minor}");
            vec![format!("{own}:LTS"), own, "Ubuntu".to_owned()]
        }
        (_, _, _) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{SignedRelease, ecosystems};

    fn of(text: &str) -> Vec<String> {
        ecosystems(&SignedRelease {
            text: text.to_owned(),
            signature: Some(String::new()),
            date: "2026-11-30T00:00:00Z".parse().unwrap(),
            signers: Vec::new(),
        })
    }

    #[test]
    fn the_signed_release_says_whose_packages_they_are() {
        assert_eq!(
            of("Origin: Debian\nVersion: 12.11\n"),
            ["Debian:12", "Debian"]
        );
        assert_eq!(
            of("Origin: Debian\nLabel: Debian-Security\nVersion: 12\n"),
            ["Debian:12", "Debian"]
        );
        assert_eq!(of("Origin: Debian\nVersion: 12-updates\n").len(), 2);
        assert_eq!(
            of("Origin: Ubuntu\nVersion: 22.04\n"),
            ["Ubuntu:22.04:LTS", "Ubuntu:22.04", "Ubuntu"]
        );
        for other in [
            "Origin: Debian\nCodename: sid\n",
            "Origin: Example\nVersion: 12.1\n",
            "Origin: Ubuntu\nVersion: 22\n",
            "",
        ] {
            assert!(of(other).is_empty(), "{other}");
        }
    }
}
