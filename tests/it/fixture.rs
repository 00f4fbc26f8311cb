//! A small closure that shows every case: scope, platform package, bundled copy, missing license, several edges.

use stage::base::digest::{Digests, UpstreamChecksum};
use stage::base::package::{EcosystemId, ReleaseId};
use stage::base::platform::{Libc, Platform, Target};
use stage::lock::{Lock, LockedArtifact, LockedPackage, LockedRequirement};

/// The bytes that a file of the closure has.
pub(crate) fn bytes_of(file: &str) -> Vec<u8> {
    format!("content of {file}").into_bytes()
}

pub(crate) fn package(name: &str, version: &str, edges: &[&str]) -> LockedPackage {
    let base = name.rsplit('/').next().unwrap();
    let file = format!("{base}-{version}.tgz");
    let bytes = bytes_of(&file);
    LockedPackage {
        ecosystem: EcosystemId::npm(),
        name: name.to_owned(),
        version: version.to_owned(),
        platforms: Platform::ALL.to_vec(),
        license: None,
        deprecated: None,
        install_script: false,
        bundled_in: Vec::new(),
        places: vec![format!("1:node_modules/{name}")],
        dependencies: edges.iter().map(|e| e.parse().unwrap()).collect(),
        artifacts: vec![LockedArtifact {
            checksum: UpstreamChecksum::Sha512(Digests::of(&bytes).sha512),
            upstream: "npm".to_owned(),
            path: format!("{name}/-/{file}"),
            size: Some(bytes.len() as u64),
            file,
            evidence: None,
            gap: None,
        }],
    }
}

/// Seven releases of npm and one plain file.
pub(crate) fn lock() -> Lock {
    let mut app = package(
        "claw",
        "2026.9.6",
        &["@scope/lib@1.0.0", "native-arm64@1.0.0", "inside@3.0.0"],
    );
    app.license = Some("MIT".to_owned());
    app.install_script = true;
    let mut lib = package("@scope/lib", "1.0.0", &["odd@1.0.0+build.5"]);
    lib.license = Some("(MIT OR Apache-2.0)".to_owned());
    let mut odd = package("odd", "1.0.0+build.5", &["@scope/lib@1.0.0"]);
    odd.license = Some("SEE LICENSE IN LICENSE.md".to_owned());
    odd.deprecated = Some("use\u{1b}[31m\tsomething else".to_owned());
    let mut native = package("native-arm64", "1.0.0", &[]);
    native.platforms = vec![Platform::LinuxArm64];
    let mut inside = package("inside", "3.0.0", &[]);
    inside.artifacts = Vec::new();
    inside.bundled_in = vec![ReleaseId::new("claw", "2026.9.6")];
    let mut elsewhere = package("native-win32", "1.0.0", &[]);
    elsewhere.platforms = Vec::new();
    let mut file = package("python/python.tar.zst", "3.11.9", &[]);
    file.ecosystem = EcosystemId::file();
    file.places = Vec::new();
    let requirement = |ecosystem: EcosystemId, spec: &str| LockedRequirement {
        ecosystem,
        install: 1,
        spec: spec.to_owned(),
    };
    let mut lock = Lock {
        target: Target {
            platforms: Platform::ALL.to_vec(),
            libc: Libc::Glibc("2.36".to_owned()),
            python: None,
            node: Some("24.21.0".to_owned()),
        },
        exclude_newer: Some("2026-11-15T00:00:00Z".parse().unwrap()),
        inputs: Vec::new(),
        requirements: vec![
            requirement(EcosystemId::npm(), "claw@2026.9.6"),
            requirement(EcosystemId::file(), "python/python.tar.zst"),
        ],
        records: std::collections::BTreeMap::new(),
        packages: vec![app, lib, odd, native, inside, elsewhere, file],
        findings: Vec::new(),
    };
    lock.sort();
    lock
}

/// What one run of the program gave.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program with an environment that holds nothing but a home.
#[must_use = "assert what the program said"]
pub(crate) fn stage(arguments: &[&str]) -> Ran {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_stage"))
        .args(arguments)
        .env_clear()
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A file in this binary's temporary folder, with these bytes.
pub(crate) fn file(name: &str, bytes: &[u8]) -> String {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The plan of a bundle with these files.
pub(crate) fn plan(files: &[(&str, &[u8])]) -> stage::bundle::write::BundlePlan {
    use stage::bundle::write::{BundlePlan, NO_ROOTS, PlannedFile, Release};
    let release = Release {
        channel: "claw".to_owned(),
        epoch: 1,
        serial: 7,
        created: "2026-11-22T00:00:00Z".parse().unwrap(),
        expires: "2027-05-21T00:00:00Z".parse().unwrap(),
        root_version: 1,
        previous: None,
    };
    let files = files
        .iter()
        .map(|(path, bytes)| PlannedFile::from_bytes(path.parse().unwrap(), bytes.to_vec()))
        .collect();
    BundlePlan::new(release, files, NO_ROOTS.to_vec()).unwrap()
}

/// A bundle with these files that nobody signed.
pub(crate) fn unsigned_bundle(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let progress = stage::base::progress::NoProgress;
    stage::bundle::write::write(&mut out, &plan(files), &[], &progress).unwrap();
    out
}

/// A trust root with one person, in a file. Nobody has the key: it is the base point of edwards25519.
pub(crate) fn trust_root(name: &str) -> String {
    let mut point = [0x66; 32];
    point[0] = 0x58;
    let key = stage::trust::key::PublicKey::from_ed25519(&point).unwrap();
    let keyid = stage::base::digest::Digest::of(key.spki()).hex();
    let role = serde_json::json!({"keyids": [keyid], "threshold": 1});
    let root = serde_json::json!({
        "_type": "stage-root", "version": 1, "expires": "2090-01-01T00:00:00Z", "epochs": {"*": 1, "claw": 1},
        "keys": [{"keyid": keyid, "scheme": "ed25519", "person": "alice",
            "spki": data_encoding::BASE64.encode(key.spki())}],
        "roles": {"root": role, "builder": role},
    });
    file(name, root.to_string().as_bytes())
}
