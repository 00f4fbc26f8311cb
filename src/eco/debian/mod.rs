//! Debian packages: names, versions, package URLs. The other files of this folder: `version` (the order of versions),
//! `control` (stanzas), and for resolving `relation` (dependency fields), `pool` (what the archives offer), `status`
//! (what a host has), `solve` (what `apt-get install` would take) and `closure` (the check that nothing is missing).
//!
//! Sources: Debian Policy, chapters 3, 5 and 7; `deb-control(5)`, `apt_preferences(5)`.

#[cfg(feature = "connected")]
mod assemble;
#[cfg(feature = "connected")]
mod candidate;
#[cfg(feature = "connected")]
mod carry;
pub mod chain;
#[cfg(feature = "connected")]
pub mod closure;
pub mod control;
pub mod copyright;
mod ecosystem;
#[cfg(feature = "connected")]
mod edges;
#[cfg(feature = "connected")]
pub mod fault;
#[cfg(feature = "connected")]
mod index;
#[cfg(feature = "connected")]
mod names;
#[cfg(feature = "connected")]
pub mod offered;
mod osv;
mod packages;
pub mod pins;
#[cfg(feature = "connected")]
pub mod pool;
pub mod records;
#[cfg(feature = "connected")]
pub mod relation;
pub mod release;
pub mod repo;
#[cfg(feature = "connected")]
pub mod resolve;
#[cfg(feature = "connected")]
mod scan;
#[cfg(feature = "connected")]
mod section;
#[cfg(feature = "connected")]
mod security;
#[cfg(feature = "connected")]
pub mod solve;
#[cfg(feature = "connected")]
mod sources;
#[cfg(feature = "connected")]
pub mod status;
pub mod version;

use crate::base::package::{Purl, ReleaseId};
use crate::base::platform::Platform;
use crate::lock::{Lock, LockedPackage};

/// The Debian ecosystem.
#[derive(Debug, Clone, Copy)]
pub struct Debian;

/// Whether `name` may be the name of a package (Debian Policy 5.6.7): lowercase letters, digits, `+`, `-` and `.`,
/// starting with a letter or digit. One character will do, as it does for dpkg; upper case is refused, as in Debian's
/// archive.
pub fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.')
        })
}

/// Whether `version` is a version of a Debian package.
pub fn is_version(version: &str) -> bool {
    version::Version::parse(version).is_ok()
}

/// Debian's name of an architecture.
pub const fn architecture(platform: Platform) -> &'static str {
    match platform {
        Platform::LinuxAmd64 => "amd64",
        Platform::LinuxArm64 => "arm64",
    }
}

/// Package URL of a release. `vendor` is the distribution, such as `debian` or `ubuntu`.
pub fn purl(vendor: &str, release: &ReleaseId) -> Purl {
    Purl::new("deb", &[vendor, &release.name], &release.version, &[])
}

/// The architecture, where all files are of one, and the release of the distribution, where the lock has one (purl
/// specification, type `deb`).
pub fn purl_qualifiers(lock: &Lock, package: &LockedPackage) -> Vec<(&'static str, String)> {
    let mut archs: Vec<&str> = package
        .artifacts
        .iter()
        .filter_map(|artifact| artifact.file.strip_suffix(".deb")?.rsplit_once('_'))
        .map(|(_, arch)| arch)
        .collect();
    archs.sort_unstable();
    archs.dedup();
    let mut distros: Vec<&str> = lock
        .inputs
        .iter()
        .filter(|input| input.ecosystem == package.ecosystem)
        .filter_map(|input| input.name.split_once("dists/")?.1.split('/').next())
        .map(|suite| suite.split_once('-').map_or(suite, |(release, _)| release))
        .collect();
    distros.sort_unstable();
    distros.dedup();
    let one = |key, values: &[&str]| match values {
        [value] => Some((key, (*value).to_owned())),
        _ => None,
    };
    let found = [one("arch", &archs), one("distro", &distros)];
    found.into_iter().flatten().collect()
}

/// Name of an upstream in locks: archives are numbered in the order in which the manifest, or this host's apt, has them.
pub fn upstream_name(number: usize) -> String {
    match number {
        0 => "debian".to_owned(),
        number => format!("debian-{}", number + 1),
    }
}

/// File name of a package as apt writes it, with the epoch's colon escaped.
pub fn deb_file(name: &str, version: &str, arch: &str) -> String {
    format!("{name}_{}_{arch}.deb", version.replace(':', "%3a"))
}

/// `Filename` of an index entry as a path below the archive; `None` where it is not one.
pub fn file_path(filename: &str) -> Option<&str> {
    let path = filename.strip_prefix("./").unwrap_or(filename);
    let segment = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && segment.len() <= 255
            && segment
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~+%:@=,^".contains(&b))
    };
    (path.len() <= 1024 && path.split('/').all(segment)).then_some(path)
}

/// The same as part of a URL, percent-encoded.
pub fn url_path(filename: &str) -> Option<String> {
    let path = file_path(filename)?;
    let encode = |c: char| match c {
        '%' | '^' => format!("%{:02X}", u32::from(c)),
        c => c.to_string(),
    };
    Some(path.chars().map(encode).collect())
}

/// A source of this host's apt.
#[cfg(feature = "connected")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSource {
    /// Address of the archive, without a login.
    pub uri: String,
    /// Suites.
    pub suites: Vec<String>,
    /// Components.
    pub components: Vec<String>,
    /// Its keyring, if it is one file.
    pub keyring: Option<String>,
}

/// The sources in a text of deb822 form that can be used, in apt's order.
#[cfg(feature = "connected")]
pub fn host_sources(text: &str) -> Result<Vec<HostSource>, String> {
    let of = |source: sources::AptSource| HostSource {
        uri: sources::without_login(&source.uri),
        suites: source.suites,
        components: source.components,
        keyring: match source.signed_by {
            sources::SignedBy::Files(files) => files.into_iter().next(),
            sources::SignedBy::Inline(_) => None,
        },
    };
    Ok(sources::parse(text)?.into_iter().map(of).collect())
}

/// Addresses in such a text that apt uses and stage does not, such as `cdrom:` and `file:`; safe to print.
#[cfg(feature = "connected")]
pub fn skipped_sources(text: &str) -> Vec<String> {
    sources::skipped(text)
}

/// Addresses of the archives in such a text, each once; [`upstream_name`] of its place is an archive's name.
#[cfg(feature = "connected")]
pub fn host_upstreams(text: &str) -> Result<Vec<String>, String> {
    let mut found: Vec<String> = Vec::new();
    for source in sources::parse(text)? {
        if !found.contains(&source.uri) {
            found.push(source.uri);
        }
    }
    Ok(found)
}
