//! A store with artifacts, and the lock that names them: what is looked into after a fetch.

use std::collections::BTreeMap;

use stage::base::digest::{Digest, UpstreamChecksum};
use stage::base::package::EcosystemId;
use stage::base::platform::{Libc, Platform, Target};
use stage::lock::{Lock, LockedArtifact, LockedPackage};
use stage::store::Store;

use crate::packages::Folder;
use crate::programs::{gzip, tar};

/// A store, and a lock of what was put into it.
pub(crate) struct Staged {
    pub(crate) folder: Folder,
    pub(crate) store: Store,
    pub(crate) lock: Lock,
}

impl Staged {
    pub(crate) fn new(name: &str, libc: Libc) -> Self {
        let folder = Folder::new(name);
        let store = Store::open(&folder.join("store")).unwrap();
        let lock = Lock {
            target: Target {
                platforms: vec![Platform::LinuxAmd64],
                libc,
                python: None,
                node: None,
            },
            exclude_newer: None,
            requirements: Vec::new(),
            inputs: Vec::new(),
            records: BTreeMap::new(),
            packages: Vec::new(),
            findings: Vec::new(),
        };
        Self {
            folder,
            store,
            lock,
        }
    }

    pub(crate) fn glibc(name: &str) -> Self {
        Self::new(name, Libc::Glibc("2.36".to_owned()))
    }

    /// Adds a release with one artifact; npm releases are placed at `node_modules/<name>`.
    pub(crate) fn add(&mut self, ecosystem: &str, name: &str, bytes: &[u8]) {
        self.put(ecosystem, (name, "1"), name, bytes);
    }

    /// The same, with a version and a file name.
    pub(crate) fn put(
        &mut self,
        ecosystem: &str,
        (name, version): (&str, &str),
        file: &str,
        bytes: &[u8],
    ) {
        let ecosystem: EcosystemId = ecosystem.parse().unwrap();
        let checksum = UpstreamChecksum::Sha256(Digest::of(bytes));
        self.store.put(bytes, 1 << 30, Some(&checksum)).unwrap();
        let places = if ecosystem == EcosystemId::npm() {
            vec![format!("1:node_modules/{name}")]
        } else {
            Vec::new()
        };
        self.lock.packages.push(LockedPackage {
            ecosystem,
            name: name.to_owned(),
            version: version.to_owned(),
            platforms: self.lock.target.platforms.clone(),
            license: None,
            deprecated: None,
            install_script: false,
            bundled_in: Vec::new(),
            places,
            dependencies: Vec::new(),
            artifacts: vec![LockedArtifact {
                file: file.to_owned(),
                checksum,
                upstream: "x".to_owned(),
                path: name.to_owned(),
                size: None,
                evidence: None,
                gap: None,
            }],
        });
        self.lock.sort();
    }

    pub(crate) fn npm(&mut self, name: &str, members: &[(&str, Vec<u8>)]) {
        let members: Vec<_> = members
            .iter()
            .map(|(path, bytes)| (format!("package/{path}"), bytes.clone()))
            .collect();
        let members: Vec<_> = members
            .iter()
            .map(|(p, b)| (p.as_str(), b.clone()))
            .collect();
        self.add("npm", name, &gzip(&tar(&members)));
    }
}
