//! Python packages: names, versions, package URLs, and where the internal repository keeps them. The other files of
//! this folder, for the enclave: `name`, `filename` (wheels and sdists), `metadata` (core metadata), `records`, `attestation` (PEP 740), `repo`,
//! `pins`, `clients` (configuration of pip and uv) and `bootstrap`.
//!
//! Connected: `foreign` is what another tool's lock file says, as [`foreign::ForeignLock`]; it is read by `uv_lock` (of
//! uv) and `pylock` (PEP 751). `requirements_txt` reads pip's requirements into [`requirements_txt::Requirements`].
//!
//! Sources: PyPA specifications "Names and normalization", "Binary distribution format", "Source distribution format",
//! "Core metadata specifications", "Simple repository API", "pylock.toml specification".

#[cfg(feature = "connected")]
mod assemble;
pub mod attestation;
pub mod bootstrap;
mod classifiers;
pub mod clients;
#[cfg(feature = "connected")]
mod closure;
#[cfg(feature = "connected")]
mod confirm;
mod ecosystem;
#[cfg(feature = "connected")]
pub mod fault;
pub mod filename;
#[cfg(feature = "connected")]
pub mod foreign;
#[cfg(all(any(test, fuzzing), feature = "connected"))]
pub(crate) mod fuzz;
#[cfg(feature = "connected")]
mod listing;
#[cfg(feature = "connected")]
pub mod marker;
#[cfg(feature = "connected")]
mod markers;
pub mod metadata;
pub mod name;
#[cfg(feature = "connected")]
mod peek;
pub mod pins;
#[cfg(feature = "connected")]
mod provenance;
#[cfg(feature = "connected")]
pub mod pylock;
#[cfg(feature = "connected")]
mod python;
pub mod records;
pub mod repo;
#[cfg(feature = "connected")]
pub mod request;
#[cfg(feature = "connected")]
pub mod requirements_txt;
#[cfg(feature = "connected")]
pub mod resolve;
#[cfg(feature = "connected")]
mod sdist;
#[cfg(feature = "connected")]
mod section;
#[cfg(feature = "connected")]
mod shelf;
#[cfg(feature = "connected")]
mod simple;
#[cfg(feature = "connected")]
mod solve;
#[cfg(feature = "connected")]
mod tags;
#[cfg(feature = "connected")]
mod track;
#[cfg(feature = "connected")]
pub mod uv_lock;
#[cfg(feature = "connected")]
mod wanted;

use crate::base::package::{Purl, ReleaseId};

/// Name of the upstream in locks and requests: a simple index, and the files that its pages lead to.
pub const UPSTREAM: &str = "pypi";

/// The ecosystem of Python packages.
#[derive(Debug, Clone, Copy)]
pub struct PyPi;

/// Package URL of a release.
pub fn purl(release: &ReleaseId) -> Purl {
    let name = name::normalized(&release.name);
    Purl::new("pypi", &[&name], &release.version, &[])
}

/// Path of a file in locks and, below `pypi/files/`, in the internal repository, whatever its index calls it. `name` is
/// normalized.
pub fn file_path(name: &name::Name, file: &str) -> String {
    format!("{name}/{file}")
}

/// Whether `text` has the characters of a version (PEP 440, legacy ones included) and may stand in a path: ASCII
/// letters, digits and `.-_+!`, with a letter or digit first, at most 128.
pub fn is_version(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-_+!".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::{file_path, is_version, name::Name, purl};
    use crate::base::package::ReleaseId;

    #[test]
    fn package_urls_and_paths() {
        let release = ReleaseId::new("Zope.Interface", "1.0+cpu.1");
        assert_eq!(
            purl(&release).as_str(),
            "pkg:pypi/zope-interface@1.0%2Bcpu.1"
        );
        let name: Name = "Zope.Interface".parse().unwrap();
        let file = "zope.interface-1.0.tar.gz";
        assert_eq!(
            file_path(&name, file),
            "zope-interface/zope.interface-1.0.tar.gz"
        );
    }

    #[test]
    fn what_is_no_version_never_reaches_a_path() {
        for good in ["1", "1!2.0rc1.post3.dev4+local.1", "2004d", "1.0-1", "v1.0"] {
            assert!(is_version(good), "{good}");
        }
        for bad in ["", ".", "..", "../1", "1/2", "1 0", "1*", "é", "-1", "1%2f"] {
            assert!(!is_version(bad), "{bad}");
        }
        assert!(!is_version(&"1".repeat(129)));
    }
}
