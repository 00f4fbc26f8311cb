//! Lock, records, SBOM and files of a bundle name the same things, or the bundle is refused although every signature
//! and digest is right.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stage::base::digest::{Digest, Digests, UpstreamChecksum};
use stage::base::fault::{Class, Fault as _};
use stage::base::package::EcosystemId;
use stage::base::platform::{Libc, Platform, Target};
use stage::eco::npm::records::{self, NpmDist, NpmRecords, NpmVersion};
use stage::lock::{Lock, LockedArtifact, LockedPackage, format};

use crate::signed::{self, Parts, Person};

/// What a bundle with a lock is made of; each part may be changed before it is signed.
struct Contents {
    lock: Lock,
    records: Vec<u8>,
    sbom: Value,
    files: BTreeMap<String, Vec<u8>>,
}

const RELEASES: [(&str, &str); 2] = [("left", "1.0.0"), ("@scope/right", "2.0.0")];

fn tarball(name: &str) -> Vec<u8> {
    format!("tarball of {name}").into_bytes()
}

fn package(name: &str, version: &str) -> LockedPackage {
    let base = name.rsplit('/').next().unwrap();
    let file = format!("{base}-{version}.tgz");
    LockedPackage {
        ecosystem: EcosystemId::npm(),
        name: name.to_owned(),
        version: version.to_owned(),
        platforms: vec![Platform::LinuxAmd64],
        license: None,
        deprecated: None,
        install_script: false,
        bundled_in: Vec::new(),
        places: vec![format!("1:node_modules/{name}")],
        dependencies: Vec::new(),
        artifacts: vec![LockedArtifact {
            checksum: UpstreamChecksum::Sha512(Digests::of(&tarball(name)).sha512),
            upstream: "npm".to_owned(),
            path: format!("{name}/-/{file}"),
            size: None,
            file,
            evidence: None,
            gap: None,
        }],
    }
}

impl Contents {
    fn new() -> Self {
        let mut records = NpmRecords::default();
        let (mut files, mut components) = (BTreeMap::new(), Vec::new());
        let mut packages = Vec::new();
        for (name, version) in RELEASES {
            let bytes = tarball(name);
            let digests = Digests::of(&bytes);
            let record = NpmVersion {
                dist: Some(NpmDist {
                    integrity: Some(UpstreamChecksum::Sha512(digests.sha512).to_sri()),
                    ..NpmDist::default()
                }),
                ..NpmVersion::default()
            };
            let of = records.packages.entry(name.to_owned()).or_default();
            of.versions.insert(version.to_owned(), record);
            packages.push(package(name, version));
            components.push(json!({
                "name": name,
                "purl": format!("pkg:npm/{}@{version}", name.replace('@', "%40")),
                "hashes": [{"alg": "SHA-256", "content": digests.sha256.hex()}],
            }));
            files.insert(format!("artifacts/npm/{}", digests.sha256.hex()), bytes);
        }
        let mut lock = Lock {
            target: Target {
                platforms: vec![Platform::LinuxAmd64],
                libc: Libc::Glibc("2.36".to_owned()),
                python: None,
                node: None,
            },
            exclude_newer: None,
            inputs: Vec::new(),
            requirements: Vec::new(),
            records: BTreeMap::new(),
            packages,
            findings: Vec::new(),
        };
        lock.sort();
        let mut contents = Self {
            lock,
            records: records::write(&records),
            sbom: json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components}),
            files,
        };
        contents.name_records();
        contents
    }

    /// Puts the digest of the records into the lock.
    fn name_records(&mut self) {
        let digest = Digest::of(&self.records);
        self.lock.records.insert(EcosystemId::npm(), digest);
    }

    /// The verdict on the signed bundle.
    fn judge(&self) -> Result<usize, (Class, String)> {
        let mut files = self.files.clone();
        let mut add = |path: &str, bytes: Vec<u8>| {
            files.entry(path.to_owned()).or_insert(bytes);
        };
        add("lock/stage.lock", format::write(&self.lock));
        add("lock/records/npm.json", self.records.clone());
        add("sbom/bundle.cdx.json", self.sbom.to_string().into_bytes());
        // An empty file stands for one that is left out.
        let files: Vec<(&str, &[u8])> = files
            .iter()
            .filter(|(_, bytes)| !bytes.is_empty())
            .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
            .collect();
        let owner = Person::new("owner");
        let value = signed::root_value(1, &[("root", &[&owner], 1), ("builder", &[&owner], 1)]);
        let bundle = Parts::new(&files).signed(&[&owner]);
        match signed::judge(&bundle, &signed::root(&value), None) {
            Ok(bundle) => Ok(bundle.lock.as_ref().map_or(0, |lock| lock.packages.len())),
            Err(error) => Err((error.code().class.unwrap(), error.to_string())),
        }
    }

    fn artifact(&self) -> String {
        self.files.keys().next().unwrap().clone()
    }
}

#[test]
fn contents_that_agree_are_accepted() {
    let mut contents = Contents::new();
    assert_eq!(contents.judge(), Ok(2));
    contents
        .files
        .insert("docs/README".to_owned(), b"read".to_vec());
    contents
        .files
        .insert("ca/ca-bundle.pem".to_owned(), b"pem".to_vec());
    assert_eq!(contents.judge(), Ok(2));
}

#[test]
fn a_lock_for_another_platform_carries_nothing() {
    let mut contents = Contents::new();
    for package in &mut contents.lock.packages {
        package.platforms = Vec::new();
    }
    contents.files.clear();
    contents.sbom["components"] = json!([]);
    assert_eq!(contents.judge(), Ok(2));
}

#[test]
fn contents_that_differ_are_refused() {
    type Change = fn(&mut Contents);
    let changes: [(&str, Change); 17] = [
        ("has no bytes for", |c| {
            let path = c.artifact();
            c.files.insert(path, Vec::new());
        }),
        ("is not in the lock", |c| {
            let name = Digest::of(b"extra").hex();
            c.files
                .insert(format!("artifacts/npm/{name}"), b"extra".to_vec());
        }),
        ("is not named as an artifact", |c| {
            let path = c.artifact();
            c.files
                .insert(path, b"other bytes under this name".to_vec());
        }),
        ("is not named as an artifact", |c| {
            c.files
                .insert("artifacts/npm/left-1.0.0.tgz".to_owned(), b"x".to_vec());
        }),
        ("is not in the lock", |c| {
            let bytes = tarball("left");
            let path = format!("artifacts/file/{}", Digest::of(&bytes).hex());
            c.files.insert(path, bytes);
        }),
        ("is not in the lock", |c| {
            c.lock.packages.retain(|p| p.name != "left");
        }),
        ("is not the one that the lock names", |c| {
            c.records = c.records.to_ascii_uppercase();
        }),
        ("is missing", |c| {
            c.files
                .insert("lock/records/npm.json".to_owned(), Vec::new());
        }),
        ("is not in both the lock and", |c| {
            c.records = String::from_utf8_lossy(&c.records)
                .replace("1.0.0", "1.0.1")
                .into_bytes();
            c.name_records();
        }),
        ("has another checksum for", |c| {
            let (old, new) = (Digests::of(&tarball("left")), Digests::of(b"evil"));
            let sri = |d: Digests| UpstreamChecksum::Sha512(d.sha512).to_sri();
            let text = String::from_utf8_lossy(&c.records).replace(&sri(old), &sri(new));
            c.records = text.into_bytes();
            c.name_records();
        }),
        ("but no records", |c| {
            c.lock.records.clear();
            c.files
                .insert("lock/records/npm.json".to_owned(), Vec::new());
        }),
        ("the SBOM does not list", |c| {
            c.sbom["components"].as_array_mut().unwrap().pop();
        }),
        ("which the lock does not carry", |c| {
            let extra = json!({"name": "x", "purl": "pkg:npm/x@1", "hashes": [{"alg": "SHA-256", "content": Digest::of(b"x").hex()}]});
            c.sbom["components"].as_array_mut().unwrap().push(extra);
        }),
        ("the SBOM has other digests for", |c| {
            c.sbom["components"][0]["hashes"][0]["content"] = Digest::of(b"x").hex().into();
        }),
        ("is missing", |c| {
            c.files
                .insert("sbom/bundle.cdx.json".to_owned(), Vec::new());
        }),
        ("has no place in a bundle with a lock", |c| {
            c.files.insert("scripts/run".to_owned(), b"#!".to_vec());
        }),
        ("cannot be read", |c| {
            let mut bytes = format::write(&c.lock);
            bytes.extend(b"# a remark\n");
            c.files.insert("lock/stage.lock".to_owned(), bytes);
        }),
    ];
    for (index, (text, change)) in changes.into_iter().enumerate() {
        let mut contents = Contents::new();
        change(&mut contents);
        let (class, message) = contents.judge().unwrap_err();
        assert_eq!(class, Class::E20, "{index}: {message}");
        assert!(message.contains(text), "{index}: {message}");
    }
}

#[test]
fn a_large_file_comes_in_consecutive_parts() {
    let whole = Digest::of(b"one and two");
    let mut contents = Contents::new();
    let mut package = package("model.bin", &whole.hex());
    package.ecosystem = EcosystemId::file();
    package.artifacts[0].file = "model.bin".to_owned();
    package.artifacts[0].checksum = UpstreamChecksum::Sha256(whole);
    contents.lock.packages.push(package);
    contents.lock.sort();
    let component = json!({
        "name": "model.bin",
        "purl": stage::eco::by_id(&EcosystemId::file()).unwrap()
            .purl(&stage::base::package::ReleaseId::new("model.bin", whole.hex())).as_str(),
        "hashes": [{"alg": "SHA-256", "content": whole.hex()}],
    });
    contents.sbom["components"]
        .as_array_mut()
        .unwrap()
        .push(component);
    let part = |number: &str| format!("artifacts/file/{}/{number}", whole.hex());
    contents.files.insert(part("0001"), b"one".to_vec());
    contents.files.insert(part("0002"), b" and two".to_vec());
    assert_eq!(contents.judge(), Ok(3));
    let bytes = contents.files.remove(&part("0001")).unwrap();
    contents.judge().unwrap_err();
    contents.files.insert(part("0003"), bytes);
    contents.judge().unwrap_err();
}
