//! npm: package names, requirement texts, package URLs. The other files of this folder: `records` (what index
//! rendering needs), `packument`, `pick`, `tree`, `resolve`, `lockfile` (connected: Arborist's ideal tree), `repo`
//! and `pins` (enclave).

#[cfg(feature = "connected")]
mod assemble;
pub mod bootstrap;
#[cfg(feature = "connected")]
mod catalog;
#[cfg(feature = "connected")]
pub mod closure;
mod ecosystem;
#[cfg(feature = "connected")]
mod engines;
#[cfg(feature = "connected")]
pub mod fault;
#[cfg(all(any(test, fuzzing), feature = "connected"))]
pub(crate) mod fuzz;
#[cfg(feature = "connected")]
pub mod lockfile;
#[cfg(feature = "connected")]
mod manifest;
#[cfg(feature = "connected")]
mod order;
#[cfg(feature = "connected")]
mod packument;
#[cfg(feature = "connected")]
mod pick;
pub mod pins;
pub mod placed;
#[cfg(feature = "connected")]
mod provenance;
pub mod records;
pub mod repo;
#[cfg(feature = "connected")]
pub mod resolve;
#[cfg(feature = "connected")]
mod scan;
#[cfg(feature = "connected")]
pub mod scripts;
#[cfg(feature = "connected")]
mod section;
pub mod signatures;
#[cfg(feature = "connected")]
mod spec;
#[cfg(feature = "connected")]
mod tarball;
#[cfg(feature = "connected")]
mod tree;

use crate::base::fault::{Code, Kind};
use crate::base::package::{Purl, ReleaseId};

/// Installing a package runs code of its own: its registry says so, or its archive.
pub(crate) static INSTALL_SCRIPT: Code = Code::new("npm-install-script", Kind::Denied);

/// The npm ecosystem.
#[derive(Debug, Clone, Copy)]
pub struct Npm;

/// The file that a declared license of `SEE LICENSE IN <file>` names, as the documentation of package.json has it.
pub fn license_file(declared: &str) -> Option<&str> {
    let head = "SEE LICENSE IN ";
    let is_one = declared.get(..head.len())?.eq_ignore_ascii_case(head);
    let file = declared.get(head.len()..)?.trim();
    is_one.then(|| file.strip_prefix("./").unwrap_or(file))
}

/// Whether `name` may be an npm package name: at most 214 characters, an optional `@scope/`, each part made of URL-safe
/// characters and not starting with a dot (validate-npm-package-name, old packages: upper case allowed).
pub fn is_name(name: &str) -> bool {
    let part = |text: &str| {
        !text.is_empty()
            && !text.starts_with('.')
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~!'()*".contains(&b))
    };
    let shape = match name.strip_prefix('@') {
        Some(scoped) => scoped
            .split_once('/')
            .is_some_and(|(scope, rest)| part(scope) && part(rest)),
        None => part(name),
    };
    shape && name.len() <= 214 && !matches!(name, "node_modules" | "favicon.ico")
}

/// A requirement such as `openclaw@2026.9.6`, `@scope/name`, `name@^1` or `alias@npm:real@1.2`: the name it is
/// installed under and the rest, `*` when nothing follows the name.
pub fn split_requirement(text: &str) -> Option<(&str, &str)> {
    let from = usize::from(text.starts_with('@'));
    let at = text.get(from..)?.find('@').map(|at| at + from);
    let (name, range) = match at {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?),
        None => (text, ""),
    };
    is_name(name).then_some((name, if range.is_empty() { "*" } else { range }))
}

/// Package URL of an npm release: the scope is the namespace.
pub fn purl(release: &ReleaseId) -> Purl {
    match release.name.split_once('/') {
        Some((scope, name)) => Purl::new("npm", &[scope, name], &release.version, &[]),
        None => Purl::new("npm", &[&release.name], &release.version, &[]),
    }
}

/// Path of a package's metadata below the registry: a scope's slash is encoded, as npm does.
pub fn packument_path(name: &str) -> String {
    name.replace('/', "%2f")
}

/// The last part of a name, which registries use in file names.
pub fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Canonical path of a release's tarball below a registry.
pub fn tarball_path(name: &str, version: &str) -> String {
    format!("{name}/-/{}-{version}.tgz", base_name(name))
}

#[cfg(test)]
mod tests {
    use super::{is_name, split_requirement};

    #[test]
    fn requirement_texts() {
        assert_eq!(
            split_requirement("openclaw@2026.9.6"),
            Some(("openclaw", "2026.9.6"))
        );
        assert_eq!(split_requirement("@a/b"), Some(("@a/b", "*")));
        assert_eq!(split_requirement("@a/b@^1"), Some(("@a/b", "^1")));
        assert_eq!(split_requirement("x@npm:@a/b@1"), Some(("x", "npm:@a/b@1")));
        assert_eq!(split_requirement("../x"), None);
    }

    #[test]
    fn names_that_are_paths_are_no_names() {
        for bad in [
            "",
            "..",
            "a/b",
            "@a",
            "@a/",
            "@/b",
            "@a/../b",
            "a b",
            ".x",
            "node_modules",
            "é",
            "a\\b",
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
