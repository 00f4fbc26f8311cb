//! Reading a `Cargo.lock`, versions 1 to 4: which crates of the registry it names, with checksums and edges, and what
//! in it cannot be carried. The text itself is kept for the pins.

use std::collections::{BTreeMap, BTreeSet};

use cargo_lock::package::SourceKind;
use cargo_lock::{Lockfile, Package, SourceId};

use crate::base::digest::Digest;
use crate::base::finding::{Finding, Severity};
use crate::base::package::ReleaseId;
use crate::base::text::{escaped, quoted};
use crate::eco::cargo::fault::{self, CargoError};

/// Largest `Cargo.lock`, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// Most packages in one.
const MAX_PACKAGES: usize = 5_000;

/// A crate of the registry, as a lock file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// SHA-256 of its file; `None` when the lock file does not say.
    pub checksum: Option<Digest>,
    /// Crates of the registry that its edges lead to.
    pub dependencies: BTreeSet<ReleaseId>,
}

/// A lock file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedCrates {
    /// Its text.
    pub text: String,
    /// Crates of the registry.
    pub crates: BTreeMap<ReleaseId, Pinned>,
    /// Packages without a source, which come with the project: itself and the members of its workspace, each with the
    /// crates of the registry that its edges lead to.
    pub own: BTreeMap<ReleaseId, BTreeSet<ReleaseId>>,
    /// Packages without a source that others depend on.
    pub needed: BTreeSet<ReleaseId>,
    /// What cannot be carried: packages from git, from another registry, from a folder.
    foreign: BTreeMap<ReleaseId, SourceId>,
}

/// Reads a lock file. `of` says whose it is, for errors.
pub fn parse(of: &str, bytes: &[u8]) -> Result<LockedCrates, CargoError> {
    let unusable = |reason: &dyn std::fmt::Display| CargoError::Lockfile {
        of: escaped(of),
        reason: escaped(&reason.to_string()),
    };
    if bytes.len() > MAX_BYTES {
        return Err(unusable(&format_args!(
            "it is longer than {MAX_BYTES} bytes"
        )));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| unusable(&e))?;
    // Counted before it is parsed: what follows takes the square of it.
    if text.matches("[package]").count() + text.matches("\"checksum ").count() > 2 * MAX_PACKAGES {
        return Err(unusable(&format_args!(
            "it has more than {MAX_PACKAGES} packages"
        )));
    }
    let lock: Lockfile = text.parse().map_err(|e| unusable(&e))?;
    if lock.packages.len() > MAX_PACKAGES {
        return Err(unusable(&format_args!(
            "it has more than {MAX_PACKAGES} packages"
        )));
    }
    let mut read = LockedCrates {
        text: text.to_owned(),
        crates: BTreeMap::new(),
        own: BTreeMap::new(),
        needed: BTreeSet::new(),
        foreign: BTreeMap::new(),
    };
    // Version 1 kept the project itself apart.
    for package in lock.packages.iter().chain(&lock.root) {
        let id = release(package.name.as_str(), &package.version.to_string());
        if !super::is_name(&id.name) || !super::is_version(&id.version) {
            return Err(unusable(&format_args!("{id} is no crate")));
        }
        read.add(id, package);
    }
    if read.crates.len() + read.own.len() + read.foreign.len() < lock.packages.len() {
        return Err(unusable(&"a package stands in it twice"));
    }
    read.check_edges()
        .map_err(|id| unusable(&format_args!("{id} is needed, but not in it")))?;
    Ok(read)
}

fn release(name: &str, version: &str) -> ReleaseId {
    ReleaseId::new(name, version)
}

impl LockedCrates {
    fn add(&mut self, id: ReleaseId, package: &Package) {
        let (mut from_registry, mut from_here) = (BTreeSet::new(), BTreeSet::new());
        for dependency in &package.dependencies {
            let to = release(dependency.name.as_str(), &dependency.version.to_string());
            match &dependency.source {
                Some(source) if source.is_default_registry() => {
                    from_registry.insert(to);
                }
                Some(_) => {}
                None => {
                    from_here.insert(to);
                }
            }
        }
        self.needed.extend(from_here);
        match &package.source {
            None => {
                self.own.insert(id, from_registry);
            }
            Some(source) if source.is_default_registry() => {
                let raw = package
                    .checksum
                    .as_ref()
                    .and_then(cargo_lock::Checksum::as_sha256);
                let pinned = Pinned {
                    checksum: raw.map(Digest::from_bytes),
                    dependencies: from_registry,
                };
                self.crates.insert(id, pinned);
            }
            Some(source) => {
                self.foreign.insert(id, source.clone());
            }
        }
    }

    /// Every edge leads to a package in the file; the first that does not is the error.
    fn check_edges(&self) -> Result<(), ReleaseId> {
        let of_crates = self.crates.values().map(|pinned| &pinned.dependencies);
        for to in of_crates.chain(self.own.values()).flatten() {
            if !self.crates.contains_key(to) {
                return Err(to.clone());
            }
        }
        for to in &self.needed {
            if !self.own.contains_key(to) {
                return Err(to.clone());
            }
        }
        Ok(())
    }

    /// What denies or is worth knowing. `project`: the release whose own lock file this is; `None` for a user's, whose
    /// workspace may have several members.
    pub(crate) fn findings(&self, project: Option<&ReleaseId>) -> Vec<Finding> {
        let mut found: Vec<Finding> = self
            .foreign
            .iter()
            .map(|(id, source)| foreign(id, source))
            .collect();
        for (id, _) in self.crates.iter().filter(|(_, p)| p.checksum.is_none()) {
            found.push(Finding {
                code: &fault::NO_CHECKSUM,
                severity: Severity::Deny,
                subject: subject(id),
                message: "has no SHA-256 checksum in Cargo.lock".to_owned(),
                chain: Vec::new(),
                fix: Some("run `cargo generate-lockfile` on a connected host".to_owned()),
            });
        }
        for id in self.needed.iter().filter(|id| Some(*id) != project) {
            found.push(Finding {
                code: &fault::PATH_DEPENDENCY,
                severity: if project.is_some() {
                    Severity::Deny
                } else {
                    Severity::Warn
                },
                subject: subject(id),
                message:
                    "comes from a folder of the project, not from a registry, and is not carried"
                        .to_owned(),
                chain: Vec::new(),
                fix: Some(
                    "carry the project's own sources another way, or publish the crate".to_owned(),
                ),
            });
        }
        found
    }
}

/// `cargo name@version`.
pub(crate) fn subject(id: &ReleaseId) -> String {
    format!("cargo {}", escaped(&id.to_string()))
}

fn foreign(id: &ReleaseId, source: &SourceId) -> Finding {
    let host = quoted(source.url().host_str().unwrap_or(source.url().path()));
    let (code, message, fix) = match source.kind() {
        SourceKind::Git(_) => (
            &fault::GIT_DEPENDENCY,
            format!("comes from a git repository at {host}"),
            "use a published version, or vendor it into the project's sources",
        ),
        SourceKind::Path | SourceKind::LocalRegistry | SourceKind::Directory => (
            &fault::PATH_DEPENDENCY,
            "comes from a folder, not from a registry".to_owned(),
            "use a published version",
        ),
        _ => (
            &fault::OTHER_REGISTRY,
            format!("comes from another registry, at {host}"),
            "mirror it into the registry that cargo replaces the default one by",
        ),
    };
    Finding {
        code,
        severity: Severity::Deny,
        subject: subject(id),
        message,
        chain: Vec::new(),
        fix: Some(fix.to_owned()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{MAX_BYTES, parse};
    use crate::base::finding::Severity;
    use crate::base::package::ReleaseId;

    /// The source that a lock file names for crates of the default registry.
    pub(crate) fn registry() -> String {
        format!("registry+{}", tame_index::CRATES_IO_INDEX)
    }

    fn lock(text: &str) -> String {
        text.replace("REGISTRY", &registry())
            .replace("SUM", &"ab".repeat(32))
    }

    #[test]
    fn all_four_versions_say_the_same() {
        let new = lock(
            "[[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"REGISTRY\"\nchecksum = \"SUM\"\n\
             [[package]]\nname = \"a\"\nversion = \"0.1.0\"\ndependencies = [\"b\"]\n",
        );
        let old = lock(
            "[root]\nname = \"a\"\nversion = \"0.1.0\"\ndependencies = [\"b 1.0.0 (REGISTRY)\"]\n\
             [[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"REGISTRY\"\n\
             [metadata]\n\"checksum b 1.0.0 (REGISTRY)\" = \"SUM\"\n",
        );
        let first = parse("x", new.as_bytes()).unwrap();
        for text in [
            format!("version = 3\n{new}"),
            format!("version = 4\n{new}"),
            old,
        ] {
            let mut read = parse("x", text.as_bytes()).unwrap();
            assert!(read.findings(None).is_empty());
            read.text.clone_from(&first.text);
            assert_eq!(read, first);
        }
        let b = ReleaseId::new("b", "1.0.0");
        assert!(first.crates[&b].checksum.is_some());
        assert!(first.own[&ReleaseId::new("a", "0.1.0")].contains(&b));
    }

    #[test]
    fn what_cannot_be_carried_denies() {
        let text = lock(
            "version = 4\n\
             [[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"git+https://git.example/a?rev=1#0123456789012345678901234567890123456789\"\n\
             [[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"registry+https://other.example/index\"\nchecksum = \"SUM\"\n\
             [[package]]\nname = \"c\"\nversion = \"1.0.0\"\nsource = \"REGISTRY\"\n\
             [[package]]\nname = \"d\"\nversion = \"1.0.0\"\n\
             [[package]]\nname = \"e\"\nversion = \"1.0.0\"\ndependencies = [\"d\"]\n\
             [[package]]\nname = \"f\"\nversion = \"1.0.0\"\nsource = \"sparse+https://other.example/\"\nchecksum = \"SUM\"\n",
        );
        let read = parse("x", text.as_bytes()).unwrap();
        let codes = |project| -> Vec<(String, Severity)> {
            let found = read.findings(project);
            found
                .iter()
                .map(|f| (f.code.name.to_owned(), f.severity))
                .collect()
        };
        let deny = |code: &str| (code.to_owned(), Severity::Deny);
        let mut expected = vec![
            deny("cargo-git-dependency"),
            deny("cargo-other-registry"),
            deny("cargo-other-registry"),
            deny("cargo-no-checksum"),
            ("cargo-path-dependency".to_owned(), Severity::Warn),
        ];
        assert_eq!(codes(None), expected);
        expected.pop();
        expected.push(deny("cargo-path-dependency"));
        assert_eq!(codes(Some(&ReleaseId::new("e", "1.0.0"))), expected);
    }

    #[test]
    fn hostile_lock_files_are_errors() {
        let twice = lock(
            "[[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"REGISTRY\"\nchecksum = \"SUM\"\n",
        );
        let open = lock(
            "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\ndependencies = [\"b 1.0.0 (REGISTRY)\"]\n",
        );
        for bad in [
            "{".to_owned(),
            "version = 9\n".to_owned(),
            "[[package]]\nname = \"../x\"\nversion = \"1.0.0\"\n".to_owned(),
            "[[package]]\nname = \"x\"\nversion = \"1\"\n".to_owned(),
            format!("{twice}{twice}"),
            open,
            "[[package]]\n".repeat(20_000),
            " ".repeat(MAX_BYTES + 1),
        ] {
            parse("x", bad.as_bytes()).expect_err(bad.get(..40).unwrap_or(&bad));
        }
        parse("x", b"\xff").unwrap_err();
        assert!(parse("x", b"version = 4\n").unwrap().crates.is_empty());
    }
}
