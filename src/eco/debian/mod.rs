//! Debian packages: names, versions, package URLs. The other files of this folder: `version` (the order of versions),
//! `control` (stanzas), and for resolving `relation` (dependency fields), `pool` (what the archives offer), `status`
//! (what a host has), `solve` (what `apt-get install` would take) and `closure` (the check that nothing is missing).
//!
//! Sources: Debian Policy, chapters 3, 5 and 7; `deb-control(5)`, `apt_preferences(5)`.

#[cfg(feature = "connected")]
mod candidate;
#[cfg(feature = "connected")]
pub mod closure;
pub mod control;
#[cfg(feature = "connected")]
mod names;
#[cfg(feature = "connected")]
pub mod pool;
#[cfg(feature = "connected")]
pub mod relation;
#[cfg(feature = "connected")]
mod scan;
#[cfg(feature = "connected")]
pub mod solve;
#[cfg(feature = "connected")]
pub mod status;
pub mod version;

use crate::base::package::{Purl, ReleaseId};
use crate::base::platform::Platform;

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
