//! Closures of one ecosystem around files whose bytes the test decides.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use stage::base::digest::{Digest, UpstreamChecksum};
use stage::base::package::EcosystemId;
use stage::base::platform::{Libc, Platform, Target};
use stage::base::time::Timestamp;
use stage::eco::Ecosystem;
use stage::eco::cargo::{Cargo, index as cargo_index, records as cargo_records};
use stage::eco::debian::{Debian, records as debian_records};
use stage::eco::pypi::{PyPi, records as pypi_records};
use stage::lock::{Lock, LockedArtifact, LockedPackage};

use crate::packages::{Closure, Release};
use crate::world::Content;

/// The one file of a release.
pub(crate) struct Only {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// What a bundle is made of.
pub(crate) struct Made {
    ecosystem: &'static dyn Ecosystem,
    lock: Lock,
    records: Vec<u8>,
    blobs: BTreeMap<String, Vec<u8>>,
}

impl Made {
    pub(crate) fn content(&self) -> Content<'_> {
        Content {
            ecosystem: self.ecosystem,
            lock: &self.lock,
            records: &self.records,
            blobs: &self.blobs,
        }
    }

    fn new(
        ecosystem: &'static dyn Ecosystem,
        all: &[Only],
        file: impl Fn(&Only) -> String,
        records: Vec<u8>,
    ) -> Self {
        let id = ecosystem.id();
        let lock = Lock {
            target: Target {
                platforms: vec![Platform::LinuxAmd64],
                libc: Libc::Glibc("2.36".to_owned()),
                python: Some("3.11".to_owned()),
                node: None,
            },
            exclude_newer: None,
            inputs: Vec::new(),
            requirements: Vec::new(),
            records: BTreeMap::from([(id.clone(), Digest::of(&records))]),
            packages: all.iter().map(|one| package(&id, one, file(one))).collect(),
            findings: Vec::new(),
        };
        let blobs = all
            .iter()
            .map(|one| (Digest::of(&one.bytes).hex(), one.bytes.clone()));
        Self {
            ecosystem,
            lock,
            records,
            blobs: blobs.collect(),
        }
    }

    /// One npm release.
    pub(crate) fn npm(one: &Only) -> Self {
        let mut release = Release::new(one.name, one.version, json!({}), &[]);
        release.tarball = Some(one.bytes.clone());
        let requirement = format!("{}@{}", one.name, one.version);
        let closure = Closure::new(&[&requirement], vec![release]);
        Self {
            ecosystem: &stage::eco::npm::Npm,
            lock: closure.lock,
            records: closure.records,
            blobs: closure.blobs,
        }
    }

    /// Wheels for every platform, `NAME-VERSION-py3-none-any.whl`.
    pub(crate) fn wheels(all: &[Only]) -> Self {
        let file = |one: &Only| format!("{}-{}-py3-none-any.whl", one.name, one.version);
        let mut records = pypi_records::PypiRecords::default();
        for one in all {
            let about = pypi_records::PypiFile::new(Digest::of(&one.bytes));
            let project = one.name.parse().unwrap();
            let versions = records.projects.entry(project).or_default();
            let release = versions.entry(one.version.to_owned()).or_default();
            release.files.insert(file(one), about);
        }
        Self::new(&PyPi, all, file, pypi_records::write(&records))
    }

    /// Crates, `NAME-VERSION.crate`.
    pub(crate) fn crates(all: &[Only]) -> Self {
        let mut records = cargo_records::CargoRecords::default();
        for one in all {
            let line = json!({"name": one.name, "vers": one.version, "cksum": Digest::of(&one.bytes).hex(), "deps": [],
                "features": {}, "yanked": false});
            let wanted = BTreeSet::from([one.version.to_owned()]);
            let line = line.to_string();
            let mut found = cargo_index::read(one.name, line.as_bytes(), &wanted).unwrap();
            let about = cargo_records::CargoCrate {
                index: found.remove(one.version).unwrap(),
                about: None,
            };
            let versions = records.crates.entry(one.name.to_owned()).or_default();
            versions.insert(one.version.to_owned(), about);
        }
        let file = |one: &Only| format!("{}-{}.crate", one.name, one.version);
        Self::new(&Cargo, all, file, cargo_records::write(&records))
    }

    /// Debian packages, `NAME_VERSION_amd64.deb`.
    pub(crate) fn debs(all: &[Only]) -> Self {
        let file = |one: &Only| format!("{}_{}_amd64.deb", one.name, one.version);
        let mut records = debian_records::DebianRecords::default();
        let release = "debian dists/bookworm/InRelease".to_owned();
        for one in all {
            let about = debian_records::DebianPackage {
                stanza: format!(
                    "Package: {}\nVersion: {}\nArchitecture: amd64\nFilename: pool/{}\nSize: {}\nSHA256: {}",
                    one.name,
                    one.version,
                    file(one),
                    one.bytes.len(),
                    Digest::of(&one.bytes).hex()
                ),
                release: release.clone(),
                index: "main/binary-amd64/Packages".to_owned(),
            };
            let id = format!("{}@{}", one.name, one.version).parse().unwrap();
            records.put(&id, "amd64", about);
        }
        let signed = debian_records::SignedRelease {
            text: "x".to_owned(),
            signature: Some("y".to_owned()),
            date: Timestamp::from_unix(1_700_000_000).unwrap(),
            signers: vec!["AB".repeat(20)],
        };
        records.releases.insert(release, signed);
        Self::new(&Debian, all, file, debian_records::write(&records))
    }
}

fn package(ecosystem: &EcosystemId, one: &Only, file: String) -> LockedPackage {
    LockedPackage {
        ecosystem: ecosystem.clone(),
        name: one.name.to_owned(),
        version: one.version.to_owned(),
        platforms: vec![Platform::LinuxAmd64],
        license: None,
        deprecated: None,
        install_script: false,
        bundled_in: Vec::new(),
        places: Vec::new(),
        dependencies: Vec::new(),
        artifacts: vec![LockedArtifact {
            path: file.clone(),
            file,
            checksum: UpstreamChecksum::Sha256(Digest::of(&one.bytes)),
            upstream: "x".to_owned(),
            size: None,
            evidence: None,
            gap: None,
        }],
    }
}
