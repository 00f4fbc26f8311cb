//! The JSON Schemas in `schemas/` against real output: what the program writes is valid, and a key that nobody
//! specified is not.

use std::collections::BTreeMap;

use jsonschema::{Registry, Validator};
use serde_json::{Value, json};
use stage::base::digest::Digest;
use stage::base::platform::Platform;
use stage::base::time::Timestamp;
use stage::eco::cargo::{index as cargo_index, records as cargo_records};
use stage::eco::debian::records as debian_records;
use stage::eco::npm::records as npm_records;
use stage::eco::pypi::records as pypi_records;
use stage::lock::format;
use stage::release::{Release, Releases};
use stage::trust::key::PublicKey;
use stage::trust::root::TrustRoot;
#[cfg(feature = "connected")]
use stage::{
    base::runtime,
    eco,
    manifest::{Manifest, starter},
};

use crate::fixture::{self, stage};
use crate::{inspect, source};

const BASE: &str = "https://stage.invalid/schemas/";

fn schemas() -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    for path in source::files("schemas") {
        let text = std::fs::read_to_string(source::root().join(&path)).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        out.insert(name, serde_json::from_str(&text).unwrap());
    }
    out
}

fn validator(name: &str) -> Validator {
    let schemas = schemas();
    let registry = Registry::new()
        .add(format!("{BASE}common.json"), schemas["common.json"].clone())
        .unwrap()
        .prepare()
        .unwrap();
    let schema = schemas
        .get(name)
        .unwrap_or_else(|| panic!("no schema {name}"));
    jsonschema::options()
        .with_registry(&registry)
        .build(schema)
        .unwrap()
}

/// Asserts that `document` fits the schema, and does not with one more key.
#[track_caller]
pub(crate) fn assert_valid(schema: &str, document: &Value) {
    let validator = validator(schema);
    let errors: Vec<String> = validator
        .iter_errors(document)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert!(
        errors.is_empty(),
        "{schema}:\n{}\n{document:#}",
        errors.join("\n")
    );
    let mut more = document.clone();
    more.as_object_mut()
        .unwrap()
        .insert("zz-unknown".to_owned(), Value::Null);
    assert!(!validator.is_valid(&more), "{schema} accepts unknown keys");
}

#[track_caller]
pub(crate) fn assert_refused(schema: &str, document: &Value) {
    assert!(
        !validator(schema).is_valid(document),
        "{schema} accepts {document:#}"
    );
}

pub(crate) fn from_toml(text: &str) -> Value {
    let table: toml::Table = toml::from_str(text).unwrap();
    serde_json::to_value(table).unwrap()
}

/// Runs the program with `--format json`; the document and the exit code.
fn report(arguments: &[&str]) -> (Value, i32) {
    let mut all = arguments.to_vec();
    all.extend(["--format", "json"]);
    let ran = stage(&all);
    let document =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {}", ran.stdout));
    (document, ran.code)
}

#[test]
fn every_schema_is_a_schema_with_title_description_and_its_own_address() {
    let all = schemas();
    assert!(all.len() >= 15);
    for (name, schema) in &all {
        assert!(jsonschema::meta::is_valid(schema), "{name}");
        assert_eq!(schema["$id"], format!("{BASE}{name}"));
        for key in ["title", "description"] {
            assert!(
                schema[key].as_str().is_some_and(|t| !t.is_empty()),
                "{name}: no {key}"
            );
        }
        if name.ends_with("-report.json") {
            let id = format!("stage/{}/v1", name.trim_end_matches(".json"));
            assert_eq!(schema["properties"]["schema"]["const"], id.as_str());
            assert_eq!(schema["unevaluatedProperties"], false, "{name}");
        } else if name != "common.json" {
            assert_eq!(schema["additionalProperties"], false, "{name}");
        }
    }
}

/// Whether the manifest and what its ecosystems read of it is accepted.
#[cfg(feature = "connected")]
fn is_manifest(text: &str) -> bool {
    let parsed = Manifest::parse("stage.toml", text.as_bytes(), &eco::sections());
    parsed.is_ok_and(|manifest| eco::installs(&manifest).is_ok())
}

#[cfg(feature = "connected")]
#[test]
fn manifests() {
    for runtime in ["openclaw", "nanobot", "zeroclaw", "blank"] {
        let text = starter::starter(&starter::for_runtime(runtime).unwrap());
        assert_valid("manifest.json", &from_toml(&text));
    }
    let everything = r#"
        [bundle]
        channel = "claw"
        expires-after = "90d"
        [target]
        platforms = ["linux/amd64", "linux/arm64"]
        musl = "1.2"
        python = "3.11"
        node = "24.21.0"
        [resolve]
        min-age = "7d"
        [[npm]]
        packages = ["claw@1", { spec = "@scope/native", platforms = ["linux/arm64"] }]
        include = ["prod", "dev"]
        registry = "https://npm.mirror.example/"
        mirror = ["https://npm.second.example/", "http://npm.third.example/x"]
        [[npm]]
        lockfile = "package-lock.json"
        [[pypi]]
        requirements = ["bot[x]>=1 ; python_version > '3.8'", { spec = "b", platforms = ["linux/arm64"] }]
        file = "requirements.txt"
        index = "https://pypi.mirror.example/simple/"
        sdist = ["b"]
        [[pypi]]
        lockfile = "locks/pylock.bot.toml"
        extras = ["x"]
        groups = ["dev"]
        [cargo]
        packages = ["ripgrep@15.2.0"]
        index = "https://crates.mirror.example/"
        mirror = ["https://crates.second.example/"]
        [[file]]
        url = "https://node.example/v1/node-v24.21.0.tar.xz"
        checksums = "https://node.example/v1/SHASUMS256.txt"
        signature = "https://node.example/v1/SHASUMS256.txt.sig"
        keyring = "keys/node.gpg"
        path = "node/node-v24.21.0.tar.xz"
        [[file]]
        url = "https://files.example/a.tar.gz"
        sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
        path = "tools/a.tar.gz"
        platforms = ["linux/amd64"]
        [ca]
        roots = ["ca/root.pem"]
        [network]
        proxy = "http://proxy.example:3128"
        ca = ["ca/mirror.pem"]
        allow-hosts = ["npm.mirror.example"]
        credentials = [
            { host = "npm.mirror.example", token-file = "/run/secrets/npm" },
            { host = "crates.mirror.example:8443", user = "me", password-env = "WORD" },
        ]
        [runtime]
        account = "create"
        user = "svc-claw"
        group = "claws"
        prefix = "/opt/claw"
        home = "/var/lib/claw"
        proxy = "http://proxy.enclave.example:3128"
        repository = "https://repo.enclave.example/"
        [[runtime.flow]]
        to = "*.models.example"
        port = 443
        via = "proxy"
        purpose = "the model"
        [[runtime.flow]]
        listen = "0.0.0.0:18789"
        protocol = "udp"
        from = "192.0.2.0/24"
        purpose = "gateway"
        [[runtime.directory]]
        path = "/var/lib/claw"
        owner = "svc-claw"
        group = "claws"
        mode = "2750"
        selinux = "var_lib_t"
        why = "state"
    "#;
    assert!(is_manifest(everything));
    let manifest = Manifest::parse("stage.toml", everything.as_bytes(), &eco::sections()).unwrap();
    let travels = runtime::document(&manifest.runtime.unwrap()).unwrap();
    assert_valid("runtime.json", &serde_json::from_slice(&travels).unwrap());
    assert_valid("manifest.json", &from_toml(everything));
    for (from, to) in [
        ("\"claw\"", "\"Claw\""),
        ("90d", "90 days"),
        ("linux/arm64", "windows/amd64"),
        ("*.models.example", "models example"),
        ("2750", "4750"),
        ("/var/lib/claw", "/var/../claw"),
        ("port = 443", "port = 0"),
        (
            "min-age",
            "exclude-newer = \"2026-01-01T00:00:00Z\"\nmin-age",
        ),
        ("https://files", "ftp://files"),
        ("https://crates", "sparse+https://crates"),
        ("packages = [\"ripgrep@15.2.0\"]", ""),
        ("pylock.bot.toml", "poetry.toml"),
        ("sdist = [\"b\"]", "extras = [\"b\"]"),
        ("sdist = [\"b\"]", "lockfile = \"uv.lock\""),
        ("https://pypi", "pypi"),
        ("tools/a", "../a"),
        ("keyring = \"keys/node.gpg\"", ""),
        ("checksums =", "sha256 ="),
        ("\"http://npm.third.example/x\"", "\"npm.third.example\""),
        ("token-file", "token"),
        ("user = \"me\", ", ""),
        ("token-file", "password-file"),
        ("\"dev\"", "\"development\""),
        ("lockfile =", "packages = [\"a\"]\nlockfile ="),
        ("/opt/claw", "opt/claw"),
    ] {
        let bad = everything.replacen(from, to, 1);
        assert!(!is_manifest(&bad), "{to}");
        assert_refused("manifest.json", &from_toml(&bad));
    }
}

#[test]
fn locks() {
    let mut lock = fixture::lock();
    lock.records
        .insert("npm".parse().unwrap(), Digest::of(b"records"));
    lock.findings.push(stage::lock::LockedFinding {
        severity: stage::base::finding::Severity::Warn,
        code: "npm-deprecated".to_owned(),
        subject: "npm odd@1.0.0".to_owned(),
        message: "is deprecated".to_owned(),
    });
    let text = String::from_utf8(format::write(&lock)).unwrap();
    assert_valid("lock.json", &from_toml(&text));
    assert_refused(
        "lock.json",
        &from_toml(&text.replacen("version = 1", "version = 2", 1)),
    );
    assert_refused(
        "lock.json",
        &from_toml(&text.replacen("sha512:", "md5:", 1)),
    );
}

#[test]
fn records() {
    let mut version = npm_records::NpmVersion {
        time: Some("2026-11-01T00:00:00.000Z".to_owned()),
        has_install_script: true,
        license: Some("MIT".to_owned()),
        optional_peers: vec!["b".to_owned()],
        dist: Some(npm_records::NpmDist {
            integrity: Some("sha512-AA==".to_owned()),
            shasum: Some("0".repeat(40)),
            unpacked_size: Some(7),
            signatures: vec![json!({"keyid": "SHA256:x", "sig": "MEU="})],
            provenance: None,
        }),
        ..npm_records::NpmVersion::default()
    };
    version
        .scripts
        .insert("postinstall".to_owned(), "node x.js".to_owned());
    version.dependencies.insert("a".to_owned(), "^1".to_owned());
    let mut npm = npm_records::NpmRecords::default();
    let package = npm.packages.entry("claw".to_owned()).or_default();
    package
        .dist_tags
        .insert("latest".to_owned(), "1.0.0".to_owned());
    package.versions.insert("1.0.0".to_owned(), version);
    let document = serde_json::from_slice(&npm_records::write(&npm)).unwrap();
    assert_valid("records-npm.json", &document);

    let line = json!({"name": "a", "vers": "1.0.0+b", "cksum": "ab".repeat(32), "features": {"f": ["dep:x"]}, "yanked": true,
        "deps": [{"name": "x", "req": "^1", "features": [], "optional": true, "default_features": false,
            "target": "cfg(unix)", "kind": "build", "package": "y"}], "features2": {"g": []}, "links": "z", "v": 2,
        "rust_version": "1.70", "pubtime": "2026-01-01T00:00:00Z"});
    let wanted = std::collections::BTreeSet::from(["1.0.0+b".to_owned()]);
    let mut found = cargo_index::read("a", line.to_string().as_bytes(), &wanted).unwrap();
    let about = cargo_records::About {
        license: Some("MIT".to_owned()),
        ..cargo_records::About::default()
    };
    let one = cargo_records::CargoCrate {
        index: found.remove("1.0.0+b").unwrap(),
        about: Some(about),
    };
    let mut crates = cargo_records::CargoRecords::default();
    let versions = BTreeMap::from([("1.0.0+b".to_owned(), one)]);
    crates.crates.insert("a".to_owned(), versions);
    crates.lockfiles.push(cargo_records::CargoLockfile {
        install: 1,
        of: Some("a@1.0.0+b".parse().unwrap()),
        text: "version = 4\n".to_owned(),
    });
    let document = serde_json::from_slice(&cargo_records::write(&crates)).unwrap();
    assert_valid("records-cargo.json", &document);

    let mut debian = debian_records::DebianRecords::default();
    let sum = Digest::of(b"x").hex();
    let package = debian_records::DebianPackage {
        stanza: format!("Package: aa\nVersion: 1:1\nArchitecture: all\nSHA256: {sum}"),
        release: "debian dists/bookworm/InRelease".to_owned(),
        index: "main/binary-amd64/Packages".to_owned(),
    };
    debian.put(&"aa@1:1".parse().unwrap(), "all", package);
    debian.releases.insert(
        "debian dists/bookworm/InRelease".to_owned(),
        debian_records::SignedRelease {
            text: "x".to_owned(),
            signature: Some("y".to_owned()),
            date: Timestamp::from_unix(1_800_000_000).unwrap(),
            signers: vec!["AB".repeat(20)],
        },
    );
    debian.installs.insert(
        1,
        debian_records::DebianInstall {
            recommends: false,
            baseline: "status".to_owned(),
            packages: BTreeMap::from([(Platform::LinuxAmd64, vec!["aa=1:1".to_owned()])]),
            status: "Package: bb\n".to_owned(),
        },
    );
    let written = debian_records::write(&debian);
    debian_records::parse(&written).unwrap();
    assert_valid(
        "records-debian.json",
        &serde_json::from_slice(&written).unwrap(),
    );

    let document = json!({"schema": 1, "files": {"tools/a.tar.gz":
        {"sha256": Digest::of(b"x"), "source_name": "a.tar.gz"}}});
    assert_valid("records-file.json", &document);
}

#[test]
fn records_of_python_packages() {
    let mut pypi = pypi_records::PypiRecords::default();
    let mut wheel = pypi_records::PypiFile::new(Digest::of(b"x"));
    wheel.size = Some(1);
    wheel.requires_python = Some(">=3.8".to_owned());
    wheel.yanked = Some(String::new());
    wheel.upload_time = Some("2026-01-01T00:00:00Z".to_owned());
    wheel.metadata = Some(pypi.keep_metadata("Name: a\nVersion: 1!1.0+b\n"));
    let versions = pypi.projects.entry("a-b".parse().unwrap()).or_default();
    let release = versions.entry("1!1.0+b".to_owned()).or_default();
    let file = "a_b-1!1.0+b-py3-none-any.whl".to_owned();
    release.files.insert(file, wheel);
    let document = serde_json::from_slice(&pypi_records::write(&pypi)).unwrap();
    assert_valid("records-pypi.json", &document);
}

#[test]
fn releases() {
    let mut releases = Releases::default();
    for serial in 1..=2 {
        let entry = Release {
            channel: "claw".to_owned(),
            serial,
            created: Timestamp::from_unix(1_800_000_000).unwrap(),
            inputs: Digest::of(&[u8::try_from(serial).unwrap()]),
            statement: Digest::of(b"s"),
        };
        releases.record(entry).unwrap();
    }
    let text = String::from_utf8(releases.canonical()).unwrap();
    assert_valid("releases.json", &from_toml(&text));
    assert_valid("releases.json", &from_toml("version = 1"));
}

#[test]
fn trust_roots() {
    // The base point of edwards25519: a well-formed key that nobody needs the secret of.
    let mut point = [0x66; 32];
    point[0] = 0x58;
    let key = PublicKey::from_ed25519(&point).unwrap();
    let keyid = Digest::of(key.spki()).hex();
    let spki = data_encoding::BASE64.encode(key.spki());
    let role = json!({"keyids": [keyid], "threshold": 1});
    let root = json!({
        "_type": "stage-root", "version": 1, "expires": "2030-01-01T00:00:00Z", "epochs": {"*": 1, "claw": 2},
        "keys": [{"keyid": keyid, "scheme": "ed25519", "person": "alice", "spki": spki}],
        "roles": {"root": role, "builder": role},
    });
    let parsed = TrustRoot::from_value(&root).unwrap();
    assert_valid(
        "trust-root.json",
        &serde_json::from_slice(parsed.canonical()).unwrap(),
    );
    for (pointer, value) in [
        ("/version", json!(0)),
        ("/epochs", json!({})),
        ("/epochs", json!({"Claw": 1})),
        ("/keys/0/scheme", json!("rsa")),
        ("/keys/0/person", json!("-x")),
        ("/roles/builder/threshold", json!("1")),
        ("/roles", json!({"root": role})),
    ] {
        let mut bad = root.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert!(TrustRoot::from_value(&bad).is_err(), "{pointer}");
        assert_refused("trust-root.json", &bad);
    }
}

#[test]
fn statements_and_bundle_manifests() {
    let plan = fixture::plan(&[("lock/stage.lock", b"lock"), ("docs/a.txt", b"a")]);
    let statement = serde_json::from_slice(&plan.statement_bytes()).unwrap();
    assert_valid("statement.json", &statement);
    let manifest: Value = serde_json::from_slice(&plan.manifest().canonical()).unwrap();
    assert_valid("bundle-manifest.json", &manifest);
    for path in [
        "/etc/passwd",
        "a/../b",
        "a//b",
        ".hidden",
        "a b",
        "a\\b",
        "a/",
    ] {
        let mut bad = manifest.clone();
        bad["files"][0]["path"] = path.into();
        assert_refused("bundle-manifest.json", &bad);
    }
}

#[test]
fn reports_of_inspect_and_diff() {
    let old = fixture::file("schemas/old.lock", &format::write(&fixture::lock()));
    let new = fixture::file("schemas/new.lock", &format::write(&inspect::newer()));
    let (document, code) = report(&["inspect", &old]);
    assert_eq!(code, 0, "{document:#}");
    assert_valid("inspect-report.json", &document);
    let (document, code) = report(&["diff", &old, &new]);
    assert_eq!(code, 0);
    assert_eq!(document["changes"].as_array().unwrap().len(), 4);
    assert_valid("diff-report.json", &document);
}

#[test]
fn reports_about_bundles() {
    let lock = format::write(&fixture::lock());
    let bytes = fixture::unsigned_bundle(&[("lock/stage.lock", &lock)]);
    let bundle = fixture::file("schemas/x.stage", &bytes);
    let bytes = fixture::unsigned_bundle(&[("docs/a", b"a")]);
    let plain = fixture::file("schemas/plain.stage", &bytes);
    for bundle in [&bundle, &plain] {
        let (document, code) = report(&["inspect", bundle]);
        let found = (code, &document["verified"]);
        assert_eq!(found, (0, &json!(false)), "{document:#}");
        assert_valid("inspect-report.json", &document);
    }
    let root = fixture::trust_root("schemas/root.json");
    let (document, code) = report(&["verify", &bundle, "--trust", &root]);
    let found = (code, &document["refused"]["check"]);
    assert_eq!(found, (4, &json!("signatures")), "{document:#}");
    assert_valid("verify-report.json", &document);
}

#[test]
fn reports_of_errors() {
    for (arguments, code) in [
        (&["inspect", "/nowhere.stage"][..], 1),
        (&["inspect", "/nowhere.lock"], 2),
        (&["diff", "/nowhere.lock", "/nowhere.lock"], 2),
        (&["explain", "no-such-code"], 2),
    ] {
        let (document, found) = report(arguments);
        assert_eq!(found, code, "{document:#}");
        assert_eq!(document["exit"], code);
        assert_valid("error-report.json", &document);
    }
    let broken = fixture::file("schemas/broken.lock", b"version = 1\nnonsense = 1\n");
    let (document, _) = report(&["inspect", &broken]);
    assert_eq!(document["errors"][0]["place"]["line"], 2);
    assert_valid("error-report.json", &document);
}
