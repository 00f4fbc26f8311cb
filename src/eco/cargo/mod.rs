//! Crates: names, versions, package URLs, and where a registry keeps them. The other files of this folder: `index` (one
//! version as a sparse index describes it), `records` (what index rendering needs), `lockfile` and `archive`
//! (connected: `Cargo.lock` and what is inside a `.crate`), `pick`, `resolve`, `assemble`, `closure`, `repo` and `pins`
//! (enclave).
//!
//! Sources: The Cargo Book, chapters "Registry Index", "Cargo.toml vs Cargo.lock" and "Source Replacement".

#[cfg(feature = "connected")]
mod archive;
#[cfg(feature = "connected")]
mod assemble;
#[cfg(feature = "connected")]
pub mod closure;
#[cfg(feature = "connected")]
mod download;
mod ecosystem;
#[cfg(feature = "connected")]
pub mod fault;
pub mod index;
#[cfg(feature = "connected")]
pub mod lockfile;
#[cfg(feature = "connected")]
mod pick;
pub mod pins;
pub mod records;
pub mod repo;
#[cfg(feature = "connected")]
pub mod resolve;
#[cfg(feature = "connected")]
pub mod scripts;
#[cfg(feature = "connected")]
mod section;

use crate::base::package::{Purl, ReleaseId};

/// Name of the upstream in locks and requests: a sparse index, and the downloads that its `config.json` names.
pub const UPSTREAM: &str = "cargo";

/// Where a sparse index says how crates are downloaded.
pub const INDEX_CONFIG: &str = "config.json";

/// The crates ecosystem.
#[derive(Debug, Clone, Copy)]
pub struct Cargo;

/// Whether `name` may be the name of a crate in a registry: a letter, then letters, digits, `-` and `_`, at most 64
/// characters, all ASCII.
pub fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.len() <= 64
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Whether `version` has the characters of a version (Semantic Versioning 2.0): three numbers, then `-` and `+` parts.
pub fn is_version(version: &str) -> bool {
    let rest = version.split_once('+').map_or(version, |(core, _)| core);
    let core = rest.split_once('-').map_or(rest, |(core, _)| core);
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let tail = |text: &str| {
        let part = |part: &str| !part.is_empty();
        text.split('.').all(part)
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'+'))
    };
    let numbers: Vec<&str> = core.split('.').collect();
    version.len() <= 128
        && numbers.len() == 3
        && numbers.iter().all(|n| number(n))
        && version
            .get(core.len()..)
            .is_some_and(|rest| rest.is_empty() || rest.get(1..).is_some_and(tail))
}

/// A requirement such as `ripgrep`, `ripgrep@15.2.0` or `ripgrep@^15`: the name and what follows it.
pub fn split_requirement(text: &str) -> Option<(&str, Option<&str>)> {
    let (name, version) = match text.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    };
    let whole = version.is_none_or(|v| !v.is_empty());
    (is_name(name) && whole).then_some((name, version))
}

/// Package URL of a crate.
pub fn purl(release: &ReleaseId) -> Purl {
    Purl::new("cargo", &[&release.name], &release.version, &[])
}

/// The folder of a crate in an index: `1`, `2`, `3/r`, `ri/pg`. Of the name as it is; an index lowercases it.
pub fn index_folder(name: &str) -> String {
    let part = |from: usize, to: usize| name.get(from..to).unwrap_or(name);
    match name.len() {
        0..=2 => name.len().to_string(),
        3 => format!("3/{}", part(0, 1)),
        _ => format!("{}/{}", part(0, 2), part(2, 4)),
    }
}

/// Path of a crate's file in a sparse index, lowercase.
pub fn index_path(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    format!("{}/{name}", index_folder(&name))
}

/// File name of a crate.
pub fn crate_file(release: &ReleaseId) -> String {
    format!("{}-{}.crate", release.name, release.version)
}

/// Path of a crate in locks and in the internal repository, whatever its registry calls it.
pub fn crate_path(release: &ReleaseId) -> String {
    format!("{}/{}", release.name, crate_file(release))
}

#[cfg(test)]
mod tests {
    use super::{crate_path, index_path, is_name, is_version, purl, split_requirement};
    use crate::base::package::ReleaseId;

    #[test]
    fn index_paths_are_those_of_cargo() {
        for (name, path) in [
            ("a", "1/a"),
            ("nu", "2/nu"),
            ("Syn", "3/s/syn"),
            ("ripgrep", "ri/pg/ripgrep"),
            ("Inflector", "in/fl/inflector"),
            ("_a_b", "_a/_b/_a_b"),
        ] {
            assert_eq!(index_path(name), path);
        }
    }

    #[test]
    fn what_is_no_name_or_version_never_reaches_a_path() {
        for bad in [
            "", "..", "a/b", "1a", "-a", "a b", "é", "a.b", "a\\b", "a%2f",
        ] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(!is_name(&"a".repeat(65)));
        for good in [
            "1.0.0",
            "0.2.0-rc.1",
            "2.0.13+zstd.1.5.6",
            "1.0.0-a+b",
            "1.0.0+a-b",
        ] {
            assert!(is_version(good), "{good}");
        }
        for bad in [
            "", "1", "1.0", "1.0.0.0", "1.0.x", "1.0.0-", "1.0.0+", "1.0.0-..", "../1.0.0",
            "1.0.0-/", "1.0.0 ",
        ] {
            assert!(!is_version(bad), "{bad}");
        }
    }

    #[test]
    fn requirements_and_names_of_releases() {
        assert_eq!(split_requirement("nu"), Some(("nu", None)));
        assert_eq!(split_requirement("nu@^0.1"), Some(("nu", Some("^0.1"))));
        for bad in ["", "@1", "nu@", "../x@1"] {
            assert_eq!(split_requirement(bad), None, "{bad}");
        }
        let release = ReleaseId::new("zstd-sys", "2.0.13+zstd.1.5.6");
        assert_eq!(
            purl(&release).as_str(),
            "pkg:cargo/zstd-sys@2.0.13%2Bzstd.1.5.6"
        );
        assert_eq!(
            crate_path(&release),
            "zstd-sys/zstd-sys-2.0.13+zstd.1.5.6.crate"
        );
    }
}
