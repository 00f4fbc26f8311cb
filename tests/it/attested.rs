//! Sigstore through the program: a real provenance of the public npm registry and a real attestation of a file, verified by
//! the public instance's trusted root, held against who should have signed, and proved again.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use stage::base::digest::Digest;
use stage::base::package::EcosystemId;
use stage::eco::vouched::{Anchors, CarriedFiles, UpstreamKeys};
use stage::evidence::prove::{Proof, prove};
use stage::lock::{Records, format};

use crate::loopback::{Reply, Server};
use crate::schemas::{assert_refused, assert_valid, from_toml};
use crate::walk::Registry;
use crate::world::World;

const PROVENANCE: &str = include_str!("../data/sigstore/npm-provenance.sigstore.json");
const INTEGRITY: &str = "sha512-RtTi90xIdzFmQAAKb9+Ki1nx4IR2Z5c+mFn3dN0xuPHgk3gTt3f7ZqKsZ9UFQP40ZAlm7un8LMyjhwgrTIXNPA==";
const FILE: &[u8] = include_bytes!("../data/sigstore/file.bin");
const BUNDLE: &str = include_str!("../data/sigstore/file.sigstore.json");
const OTHER_ROOT: &str = include_str!("../data/sigstore/other-root.json");

const ISSUER: &str = "https://token.actions.githubusercontent.com";
const NPM_SIGNER: &str = "repository = \"https://github.com/sigstore/sigstore-js\", workflow = \".github/workflows/release.yml\"";
const NPM_IDENTITY: &str =
    "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main";
const FILE_IDENTITY: &str =
    "https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main";

const HEAD: &str =
    "[bundle]\nchannel = \"claw\"\n[target]\nplatforms = [\"linux/amd64\"]\nnode = \"24.21.0\"\n";

pub(crate) fn run(world: &World, arguments: &[&str]) -> (i32, Value) {
    let all = [arguments, &["--format", "json"]].concat();
    let output = world.stage(&all);
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), report)
}

/// Code and message of what denies.
pub(crate) fn denied(report: &Value) -> (String, String) {
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|f| f["severity"] == "deny").unwrap();
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    (text("code"), text("message"))
}

fn npm_manifest(world: &World, registry: &Registry, signer: &str) {
    let text = format!(
        "{HEAD}[npm]\nregistry = \"{}/\"\npackages = [\"sigstore\"]\n[[npm.provenance]]\npackage = \"sig*\"\nsigner = {{ \
         issuer = \"{ISSUER}\", {signer} }}\n",
        registry.server.url()
    );
    assert_valid("manifest.json", &from_toml(&text));
    std::fs::write(world.path("stage.toml"), text).unwrap();
}

/// A registry with the release that was attested, and its list of attestations.
fn registry() -> Registry {
    let registry = Registry::new();
    registry.publish("sigstore", "2.0.0", json!({}));
    registry.change("sigstore", |packument| {
        packument["versions"]["2.0.0"]["dist"]["integrity"] = INTEGRITY.into();
    });
    attest(&registry, PROVENANCE);
    registry
}

fn attest(registry: &Registry, bundle: &str) {
    let bundle: Value = serde_json::from_str(bundle).unwrap();
    let publish = json!({"predicateType": "https://registry.example/publish/v0.1", "bundle": {"of": "another kind"}});
    let list = json!({"attestations": [publish, {"predicateType": "https://slsa.dev/provenance/v1", "bundle": bundle}]});
    registry.put("-/npm/v1/attestations/sigstore@2.0.0", list.to_string());
}

struct NoFiles;

impl CarriedFiles for NoFiles {
    fn digest(&self, _path: &str) -> Option<Digest> {
        None
    }

    fn open(&self, _path: &str) -> io::Result<Box<dyn Read + '_>> {
        Err(io::Error::from(io::ErrorKind::NotFound))
    }
}

/// What can be proved of the world's lock and records by these keys.
fn proved(world: &World, keys: UpstreamKeys, change: impl Fn(String) -> String) -> Proof {
    let lock = format::parse(&std::fs::read(world.path("stage.lock")).unwrap()).unwrap();
    let text = std::fs::read_to_string(world.path("stage.records/npm.json")).unwrap();
    let records = Records::from([(EcosystemId::npm(), change(text).into_bytes())]);
    let anchors = Anchors {
        keys,
        archives: None,
        publishers: None,
        file_keys: Vec::new(),
        at: "2026-11-01T00:00:00Z".parse().unwrap(),
    };
    prove(&lock, &records, &NoFiles, &anchors).unwrap()
}

#[test]
fn a_release_is_held_against_the_workflow_that_should_have_built_it() {
    let (world, registry) = (World::new("attested-npm"), registry());
    npm_manifest(&world, &registry, NPM_SIGNER);
    let (code, report) = run(&world, &["resolve"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["evidence"][0]["level"], "L3");
    let records = std::fs::read(world.path("stage.records/npm.json")).unwrap();
    assert_valid(
        "records-npm.json",
        &serde_json::from_slice(&records).unwrap(),
    );
    assert_eq!(run(&world, &["resolve", "--locked"]).0, 0);

    let shipped = || UpstreamKeys::shipped().unwrap();
    let proof = proved(&world, shipped(), |text| text);
    assert!(proof.contradictions().is_empty());
    assert_eq!(proof.files[0].proven.as_str(), "L3");
    assert_eq!(proof.files[0].by, [NPM_IDENTITY]);
    // Another release, another bundle, another signer, another instance.
    let lies: [&dyn Fn(String) -> String; 4] = [
        &|text| text.replace("RtTi90xIdzFmQAAKb9", "StTi90xIdzFmQAAKb9"),
        &|text| text.replacen("MIIGtzCCBjygAwIBAgIUfd", "MIIGtzCCBjygAwIBAgIUfe", 1),
        &|text| {
            text.replace(
                "sigstore/sigstore-js\",\"workflow",
                "sigstore/sigstore-jt\",\"workflow",
            )
        },
        &|text| {
            text.replace(
                ".github/workflows/release.yml\"}",
                ".github/workflows/release.yaml\"}",
            )
        },
    ];
    for (at, lie) in lies.into_iter().enumerate() {
        let proof = proved(&world, shipped(), lie);
        assert_eq!(proof.contradictions().len(), 1, "{at}");
        assert_eq!(proof.files[0].proven.as_str(), "L0", "{at}");
    }
    let mut keys = shipped();
    keys.sigstore = stage::eco::attestation::SigstoreRoot::parse(OTHER_ROOT.as_bytes()).unwrap();
    assert_eq!(proved(&world, keys, |text| text).contradictions().len(), 1);

    // A registry that does not pass it on any more: what is locked stays, what is new is not taken.
    registry.put("-/npm/v1/attestations/sigstore@2.0.0", "{}");
    assert_eq!(run(&world, &["resolve", "--locked"]).0, 0);
    std::fs::remove_file(world.path("stage.lock")).unwrap();
    let (code, report) = run(&world, &["resolve"]);
    assert_eq!(code, 3, "{report:#}");
    assert_eq!(denied(&report).0, "evidence-attestation-missing");
}

#[test]
fn a_release_that_somebody_else_built_is_not_locked() {
    let (world, registry) = (World::new("attested-wrong"), registry());
    for (signer, part) in [
        (
            "repository = \"https://github.com/sigstore/sigstore\"",
            "not by \\\"https://github.com/sigstore/sigstore\\\"",
        ),
        (
            "identity = \"https://github.com/sigstore/sigstore-js\"",
            "not by",
        ),
    ] {
        npm_manifest(&world, &registry, signer);
        let (code, report) = run(&world, &["resolve"]);
        assert_eq!(code, 4, "{report:#}");
        let (code, message) = denied(&report);
        assert_eq!(code, "evidence-attestation-invalid");
        assert!(json!(message).to_string().contains(part), "{message}");
    }
    npm_manifest(&world, &registry, NPM_SIGNER);
    // Other bytes than those that were attested.
    registry.publish("sigstore", "2.0.0", json!({}));
    let (code, report) = run(&world, &["resolve"]);
    assert_eq!(
        (code, denied(&report).0.as_str()),
        (4, "evidence-attestation-invalid")
    );
    // Signed by the same, with an issuer that nobody expects.
    let text = std::fs::read_to_string(world.path("stage.toml")).unwrap();
    std::fs::write(
        world.path("stage.toml"),
        text.replace("token.actions", "token.reactions"),
    )
    .unwrap();
    registry.change("sigstore", |packument| {
        packument["versions"]["2.0.0"]["dist"]["integrity"] = INTEGRITY.into();
    });
    let (code, report) = run(&world, &["resolve"]);
    assert_eq!(
        (code, denied(&report).0.as_str()),
        (4, "evidence-attestation-invalid")
    );
    assert!(!world.path("stage.lock").exists());
}

/// A world, and a server of files.
pub(crate) struct Site {
    pub(crate) world: World,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    pub(crate) server: Server,
}

impl Site {
    pub(crate) fn new(name: &str) -> Self {
        let files: Arc<Mutex<BTreeMap<String, Vec<u8>>>> = Arc::default();
        let shown = files.clone();
        let server = Server::new(move |asked| {
            let shown = shown.lock().unwrap();
            match shown.get(asked.target.trim_start_matches('/')) {
                Some(bytes) => Reply::ok(bytes.clone()),
                None => Reply::status(404),
            }
        });
        let site = Self {
            world: World::new(name),
            files,
            server,
        };
        site.put("tool.bin", FILE);
        site.put("tool.sigstore.json", BUNDLE.as_bytes());
        site
    }

    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        self.files
            .lock()
            .unwrap()
            .insert(name.to_owned(), bytes.to_vec());
    }

    fn manifest(&self, bytes: &[u8], signer: &str, more: &str) {
        let base = self.server.url();
        let text = format!(
            "{HEAD}[[file]]\nurl = \"{base}/tool.bin\"\nsha256 = \"{}\"\npath = \"tool/tool.bin\"\nsigstore = \
             \"{base}/tool.sigstore.json\"\nsigner = {{ issuer = \"{ISSUER}\", {signer} }}\n{more}",
            Digest::of(bytes).hex()
        );
        assert_valid("manifest.json", &from_toml(&text));
        std::fs::write(self.world.path("stage.toml"), text).unwrap();
    }
}

#[test]
fn a_file_with_a_bundle_is_proved_from_the_store_to_the_enclave() {
    let site = Site::new("attested-file");
    let world = &site.world;
    site.manifest(FILE, &format!("identity = \"{FILE_IDENTITY}\""), "");
    let (code, report) = run(world, &["resolve"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        (
            &report["evidence"][0]["level"],
            &report["evidence"][0]["gap"]
        ),
        (&json!("L3"), &Value::Null)
    );
    let records = std::fs::read(world.path("stage.records/file.json")).unwrap();
    assert_valid(
        "records-file.json",
        &serde_json::from_slice(&records).unwrap(),
    );
    world.ok(&["bundle", "--key", "k.pem", "-o", "claw.stage"]);
    let verify = ["verify", "claw.stage", "--trust", "root.json", "--upstream"];
    let (code, report) = run(world, &verify);
    assert_eq!(code, 0, "{report:#}");
    assert_valid("verify-report.json", &report);
    assert_eq!(report["upstream"]["levels"], json!({"file": {"L3": 1}}));
    assert_eq!(report["upstream"]["files"][0]["by"], json!([FILE_IDENTITY]));
    std::fs::write(world.path("other.json"), OTHER_ROOT).unwrap();
    let by_other = [&verify[..], &["--trusted-root", "other.json"]].concat();
    let (code, report) = run(world, &by_other);
    assert_eq!(
        (code, &report["refused"]["code"]),
        (4, &json!("evidence-attestation-invalid"))
    );
    let (code, said) = world.import(&world.path("claw.stage"));
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_file_that_somebody_else_signed_is_not_locked() {
    let site = Site::new("attested-file-wrong");
    let world = &site.world;
    let own = format!("identity = \"{FILE_IDENTITY}\"");
    let refused = |code: i32, expected: &str| {
        let (exit, report) = run(world, &["resolve"]);
        assert_eq!(exit, code, "{report:#}");
        let errors = report["errors"].as_array();
        let code = match errors.filter(|e| !e.is_empty()) {
            Some(errors) => errors[0]["code"].as_str().unwrap().to_owned(),
            None => denied(&report).0,
        };
        assert_eq!(code, expected);
        assert!(!world.path("stage.lock").exists());
    };
    let invalid = "evidence-attestation-invalid";
    site.manifest(
        FILE,
        "identity = \"https://github.com/prefix-dev/sigstore-example\"",
        "",
    );
    refused(4, invalid);
    site.manifest(b"other bytes", &own, "");
    refused(4, invalid);
    site.manifest(FILE, &own, "[evidence]\ntrusted-root = \"other.json\"\n");
    std::fs::write(world.path("other.json"), OTHER_ROOT).unwrap();
    refused(4, invalid);
    std::fs::write(world.path("other.json"), "{}").unwrap();
    refused(2, "eco-trusted-root");
    site.manifest(FILE, &own, "");
    for bundle in ["", "{}", "\u{fffd}", &BUNDLE.replacen("MII", "MIJ", 1)] {
        site.put("tool.sigstore.json", bundle.as_bytes());
        refused(4, invalid);
    }
    site.files.lock().unwrap().remove("tool.sigstore.json");
    refused(1, "upstream-not-found");
    // The key words belong together.
    let text = std::fs::read_to_string(world.path("stage.toml")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("signer"));
    let without = lines.collect::<Vec<_>>().join("\n");
    assert_refused("manifest.json", &from_toml(&without));
    std::fs::write(world.path("stage.toml"), without).unwrap();
    refused(2, "manifest-value");
}
