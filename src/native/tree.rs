//! Where files are once everything is installed, and which library the loader finds for a name (ld.so(8)): in the
//! folders that the file itself names, in its own package, which loads such libraries itself where it names no folder,
//! then in the system's folders.

use std::collections::BTreeMap;

use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::Platform;
use crate::native::elf::Elf;

/// A dynamically linked file of a staged release.
#[derive(Debug)]
pub(super) struct Binary<'a> {
    /// The release it is in.
    pub(super) ecosystem: &'a EcosystemId,
    /// The release it is in.
    pub(super) release: ReleaseId,
    /// Its path in the artifact, or the artifact's name.
    pub(super) file: String,
    /// Absolute paths that it gets.
    pub(super) places: Vec<String>,
    /// Whether it is part of the system: from a `.deb`.
    pub(super) system: bool,
    /// What it says about itself.
    pub(super) elf: &'a Elf,
}

impl Binary<'_> {
    fn name(&self) -> &str {
        self.places.first().map_or("", |path| split(path).1)
    }
}

/// Folder and name of an absolute path.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// `path` without `.`, `..` and double slashes, as an absolute path.
pub(super) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The installed files of one platform.
pub(super) struct Tree<'t> {
    binaries: &'t [Binary<'t>],
    folders: BTreeMap<String, BTreeMap<String, usize>>,
    releases: BTreeMap<(&'t EcosystemId, &'t ReleaseId), BTreeMap<&'t str, usize>>,
    system: BTreeMap<String, usize>,
    defaults: Vec<String>,
}

impl<'t> Tree<'t> {
    /// From the files and from links, which are absolute paths with their targets.
    pub(super) fn new(
        binaries: &'t [Binary<'t>],
        links: &[(String, String)],
        platform: Platform,
    ) -> Self {
        let triplet = match platform {
            Platform::LinuxAmd64 => "x86_64-linux-gnu",
            Platform::LinuxArm64 => "aarch64-linux-gnu",
        };
        let mut defaults = Vec::new();
        for folder in ["/lib", "/usr/lib", "/usr/local/lib"] {
            defaults.extend([format!("{folder}/{triplet}"), folder.to_owned()]);
        }
        defaults.extend(["/lib64".to_owned(), "/usr/lib64".to_owned()]);
        let mut tree = Self {
            binaries,
            folders: BTreeMap::new(),
            releases: BTreeMap::new(),
            system: BTreeMap::new(),
            defaults,
        };
        for (at, binary) in binaries.iter().enumerate() {
            let own = tree
                .releases
                .entry((binary.ecosystem, &binary.release))
                .or_default();
            own.entry(binary.name()).or_insert(at);
            own.extend(binary.elf.soname.as_deref().map(|name| (name, at)));
            for place in &binary.places {
                let (folder, name) = split(place);
                let names = tree.folders.entry(folder.to_owned()).or_default();
                names.insert(name.to_owned(), at);
                // The package manager makes the link from the soname when it installs (ldconfig(8)).
                if let Some(soname) = &binary.elf.soname {
                    names.entry(soname.clone()).or_insert(at);
                }
            }
            if binary.system {
                let soname = binary.elf.soname.as_deref().unwrap_or(binary.name());
                tree.system.entry(soname.to_owned()).or_insert(at);
            }
        }
        tree.follow(links);
        tree
    }

    /// Gives files the names that links give them; links may lead to links.
    fn follow(&mut self, links: &[(String, String)]) {
        const DEPTH: usize = 4;
        for _ in 0..DEPTH {
            for (path, target) in links {
                let (folder, name) = split(path);
                let target = if target.starts_with('/') {
                    normal(target)
                } else {
                    normal(&format!("{folder}/{target}"))
                };
                if let Some(at) = self.at(&target) {
                    let names = self.folders.entry(folder.to_owned()).or_default();
                    names.entry(name.to_owned()).or_insert(at);
                }
            }
        }
    }

    fn at(&self, path: &str) -> Option<usize> {
        let (folder, name) = split(path);
        self.folders.get(folder)?.get(name).copied()
    }

    /// The file that is loaded when `binary` asks for `name`.
    pub(super) fn find(&self, binary: &Binary<'_>, name: &str) -> Option<&'t Binary<'t>> {
        let named = || {
            let mut places = binary.places.iter();
            places.find_map(|place| {
                let origin = split(place).0;
                let folders = binary.elf.search.iter();
                let mut folders = folders.map(|folder| {
                    folder
                        .replace("${ORIGIN}", origin)
                        .replace("$ORIGIN", origin)
                });
                folders.find_map(|folder| self.at(&normal(&format!("{folder}/{name}"))))
            })
        };
        let own = || {
            let key = (binary.ecosystem, &binary.release);
            self.releases.get(&key)?.get(name).copied()
        };
        let defaults = || {
            let mut folders = self.defaults.iter();
            folders.find_map(|folder| self.at(&format!("{folder}/{name}")))
        };
        // Debian's own packages depend on each other by name; their private folders are their own business.
        let anywhere = || {
            binary
                .system
                .then(|| self.system.get(name).copied())
                .flatten()
        };
        let found = named().or_else(own).or_else(defaults).or_else(anywhere)?;
        self.binaries.get(found)
    }

    /// Any file with this name or soname, wherever it is: for what is loaded already when it is asked for.
    pub(super) fn loaded(&self, name: &str) -> Option<&'t Binary<'t>> {
        let mut all = self.binaries.iter();
        all.find(|b| b.elf.soname.as_deref() == Some(name) || b.name() == name)
    }
}
