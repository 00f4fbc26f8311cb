//! Attestations of Python packages (PEP 740) from an index to the enclave: what an index passes on is asked for where the
//! manifest says who should have signed, and everything else is told apart.

use serde_json::{Value, json};
use stage::base::digest::Digest;

use crate::attested::{denied, run};

use crate::schemas::{assert_refused, assert_valid, from_toml};
use crate::sigstore::{Instance, provenance};
use crate::upstreams::{BUILT, PUBLISH, publisher};
use crate::walk::Registry;
use crate::wheels::Wheel;
use crate::world::World;

/// An index of two projects, one of which needs the other, and what may be attested of them.
struct Site {
    world: World,
    registry: Registry,
    instance: Instance,
    dists: [Wheel; 2],
}

/// What the index says of a file's attestations.
#[derive(Clone, Copy, PartialEq)]
enum Says {
    /// Where they are.
    Listed,
    /// That there are none.
    Null,
    /// Nothing.
    Nothing,
}

impl Site {
    fn new(name: &str) -> Self {
        let (world, instance) = (World::new(name), Instance::new());
        std::fs::write(world.path("trusted.json"), instance.root()).unwrap();
        let site = Self {
            world,
            registry: Registry::new(),
            instance,
            dists: [
                Wheel::new("app", "1.0").header("Requires-Dist: lib-b"),
                Wheel::new("lib-b", "2.0"),
            ],
        };
        site.show("1.4", [Says::Listed, Says::Listed]);
        for dist in &site.dists {
            site.attest(dist, |object| object);
        }
        site
    }

    /// Puts up the pages of an index that speaks this version.
    fn show(&self, version: &str, says: [Says; 2]) {
        for (dist, says) in self.dists.iter().zip(says) {
            let (file, bytes) = (dist.file(), dist.pack());
            let mut entry = json!({"filename": file, "url": format!("/files/{file}"), "size": bytes.len(),
                "hashes": {"sha256": Digest::of(&bytes).hex()}, "upload-time": "2026-01-01T00:00:00Z"});
            match says {
                Says::Listed => entry["provenance"] = format!("../../integrity/{file}").into(),
                Says::Null => entry["provenance"] = Value::Null,
                Says::Nothing => {}
            }
            let name = file.split('-').next().unwrap().replace('_', "-");
            let page = json!({"meta": {"api-version": version}, "name": name, "files": [entry]});
            self.registry
                .put(&format!("simple/{name}/"), page.to_string());
            self.registry.put(&format!("files/{file}"), bytes);
        }
    }

    /// Puts up the provenance object of a file, changed.
    fn attest(&self, dist: &Wheel, change: impl Fn(Value) -> Value) {
        let (file, sha256) = (dist.file(), Digest::of(&dist.pack()));
        let state = |kind| {
            let files = [(file.as_str(), sha256)];
            self.instance
                .state(&publisher(), &files, kind)
                .attestation()
        };
        let object = change(provenance(&[state(PUBLISH), state(BUILT)]));
        self.registry
            .put(&format!("integrity/{file}"), object.to_string());
    }

    fn manifest(&self, package: &str, signer: &str) {
        let expected = format!(
            "[[pypi.attestation]]\npackage = \"{package}\"\nsigner = {{ issuer = \"https://token.example\", {signer} }}\n"
        );
        self.manifest_with(if package.is_empty() { "" } else { &expected });
    }

    fn manifest_with(&self, expected: &str) {
        let text = format!(
            "[bundle]\nchannel = \"claw\"\n[target]\nplatforms = [\"linux/amd64\"]\npython = \"3.12\"\n[evidence]\n\
             trusted-root = \"trusted.json\"\n[pypi]\nindex = \"{}/simple/\"\nrequirements = [\"app\"]\n{expected}",
            self.registry.server.url()
        );
        assert_valid("manifest.json", &from_toml(&text));
        std::fs::write(self.world.path("stage.toml"), text).unwrap();
    }

    /// Level and gap of `app` and `lib-b` in the report of a resolution, which must say the same as the lock.
    fn resolved(&self) -> [(String, Value); 2] {
        let (code, report) = run(&self.world, &["resolve"]);
        assert_eq!(code, 0, "{report:#}");
        let records = std::fs::read(self.world.path("stage.records/pypi.json")).unwrap();
        let records = serde_json::from_slice(&records).unwrap();
        assert_valid("records-pypi.json", &records);
        let read = |line: &Value| {
            (
                line["level"].as_str().unwrap().to_owned(),
                line["gap"].clone(),
            )
        };
        let (code, shown) = run(&self.world, &["inspect", "stage.lock", "--evidence"]);
        assert_eq!(code, 0, "{shown:#}");
        let lines = report["evidence"].as_array().unwrap();
        let gaps = |report: &Value| -> Vec<Value> {
            let lines = report["evidence"].as_array().unwrap();
            lines.iter().map(|line| line["gap"].clone()).collect()
        };
        assert_eq!(gaps(&report), gaps(&shown));
        [read(&lines[0]), read(&lines[1])]
    }

    /// Code and message of what denies.
    fn denied(&self, code: i32) -> (String, String) {
        drop(std::fs::remove_file(self.world.path("stage.lock")));
        let (found, report) = run(&self.world, &["resolve"]);
        assert_eq!(found, code, "{report:#}");
        assert!(!self.world.path("stage.lock").exists());
        denied(&report)
    }
}

const OWN: &str = "repository = \"https://forge.example/acme/app\", workflow = \".ci/release.yml\"";

#[test]
fn what_a_publisher_attested_travels_and_is_proved_in_the_enclave() {
    let site = Site::new("pypi-attested");
    let world = &site.world;
    site.manifest("*", OWN);
    assert_eq!(
        site.resolved(),
        [
            ("L3".to_owned(), Value::Null),
            ("L3".to_owned(), Value::Null)
        ]
    );
    assert_eq!(run(world, &["resolve", "--locked"]).0, 0);
    world.ok(&["bundle", "--key", "k.pem", "-o", "claw.stage"]);
    let verify = ["verify", "claw.stage", "--trust", "root.json", "--upstream"];
    let by_own = [&verify[..], &["--trusted-root", "trusted.json"]].concat();
    let (code, report) = run(world, &by_own);
    assert_eq!(code, 0, "{report:#}");
    assert_valid("verify-report.json", &report);
    assert_eq!(report["upstream"]["levels"], json!({"pypi": {"L3": 2}}));
    assert_eq!(
        report["upstream"]["files"][0]["by"],
        json!([publisher().identity])
    );
    // By the public instance it does not hold.
    let (code, report) = run(world, &verify);
    let invalid = json!("evidence-attestation-invalid");
    assert_eq!(
        (code, &report["refused"]["code"]),
        (4, &invalid),
        "{report:#}"
    );
    let (code, said) = world.import(&world.path("claw.stage"));
    assert_eq!(code, 0, "{said}");

    // An index that stops passing it on: what is locked stays. Who expects it no more is told.
    site.show("1.1", [Says::Nothing, Says::Nothing]);
    assert_eq!(run(world, &["resolve", "--locked"]).0, 0);
    site.manifest("app", OWN);
    let (code, report) = run(world, &["resolve"]);
    assert_eq!(code, 0, "{report:#}");
    let findings = report["findings"].as_array().unwrap();
    let dropped: Vec<&Value> = findings
        .iter()
        .filter(|finding| finding["code"] == "evidence-dropped")
        .map(|finding| &finding["subject"])
        .collect();
    assert_eq!(dropped, ["pypi lib-b@2.0"]);
    assert_eq!(report["evidence"][0]["level"], "L3");
}

#[test]
fn absent_stripped_unreachable_and_unsupported_are_told_apart() {
    let site = Site::new("pypi-unattested");
    site.manifest("", "");
    let gaps = |version: &str, says: [Says; 2]| {
        site.show(version, says);
        drop(std::fs::remove_file(site.world.path("stage.lock")));
        site.resolved().map(|(level, gap)| {
            assert_eq!(level, "L1");
            gap.as_str().unwrap().to_owned()
        })
    };
    let (listed, nothing, null) = (Says::Listed, Says::Nothing, Says::Null);
    assert_eq!(gaps("1.3", [null, nothing]), ["absent", "absent"]);
    assert_eq!(gaps("1.1", [nothing, nothing]), ["stripped", "stripped"]);
    // There is one, and nobody says who should have signed.
    assert_eq!(gaps("1.4", [listed, null]), ["unsupported", "absent"]);

    // The same, where one is expected: nothing is locked, and the reason is told.
    site.manifest("App", OWN);
    let missing = |word: &str| {
        let (code, message) = site.denied(3);
        assert_eq!(code, "evidence-attestation-missing");
        assert!(message.contains(word), "{word} not in {message}");
    };
    site.show("1.4", [null, null]);
    missing("the index lists no attestation of it");
    site.show("1.1", [nothing, nothing]);
    missing("the index passes on no attestations");
    site.show("1.4", [listed, null]);
    let file = format!("integrity/{}", site.dists[0].file());
    site.attest(&site.dists[0], |mut object| {
        object["version"] = 2.into();
        object
    });
    missing("of a later version than 1");
    site.attest(&site.dists[0], |_| provenance(&[]));
    missing("no attestation of a known kind");
    site.registry.put(&file, vec![0xff]);
    missing("not UTF-8");
    site.registry.put(&file, vec![b' '; (1 << 20) + 1]);
    missing("unreachable");
    site.registry.remove(&file);
    missing("does not exist");
    // Names in the manifest are those of projects, however they are written.
    site.show("1.4", [listed, listed]);
    site.attest(&site.dists[0], |object| object);
    site.manifest("Lib_*", OWN);
    assert_eq!(site.resolved()[1].0, "L3");
}

#[test]
fn a_file_that_somebody_else_attested_is_not_locked() {
    let site = Site::new("pypi-attested-wrong");
    let invalid = |word: &str| {
        let (code, message) = site.denied(4);
        assert_eq!(code, "evidence-attestation-invalid");
        assert!(message.contains(word), "{word} not in {message}");
    };
    for signer in [
        "repository = \"https://forge.example/acme/apt\"",
        "repository = \"https://forge.example/acme/app\", workflow = \".ci/other.yml\"",
        "identity = \"https://forge.example/acme/app\"",
    ] {
        site.manifest("app", signer);
        invalid("not by");
    }
    site.manifest("app", OWN);
    let text = std::fs::read_to_string(site.world.path("stage.toml")).unwrap();
    let other = text.replace("https://token.example", "https://issuer.example");
    std::fs::write(site.world.path("stage.toml"), other).unwrap();
    invalid("is vouched for by");
    std::fs::write(site.world.path("stage.toml"), text).unwrap();
    // The attestation of another file, and what is none.
    site.registry.put(
        &format!("integrity/{}", site.dists[0].file()),
        provenance(&[site
            .instance
            .state(
                &publisher(),
                &[(&site.dists[0].file(), Digest::of(b"other"))],
                PUBLISH,
            )
            .attestation()])
        .to_string(),
    );
    invalid("does not match any subject");
    site.attest(&site.dists[0], |_| json!({"version": 1}));
    invalid("no provenance object");
    site.attest(&site.dists[0], |object| object);
    std::fs::write(site.world.path("trusted.json"), Instance::new().root()).unwrap();
    invalid("does not hold");
    // The key words of the manifest.
    for expected in [
        "[[pypi.attestation]]\npackage = \"app\"\n",
        "[[pypi.attestation]]\npackage = \"app\"\nsigner = { issuer = \"https://token.example\" }\nmore = 1\n",
    ] {
        let text = std::fs::read_to_string(site.world.path("stage.toml")).unwrap();
        let (head, _) = text.split_once("[[pypi.attestation]]").unwrap();
        let text = format!("{head}{expected}");
        assert_refused("manifest.json", &from_toml(&text));
        std::fs::write(site.world.path("stage.toml"), text).unwrap();
        assert_eq!(run(&site.world, &["resolve"]).0, 2);
        site.manifest("app", OWN);
    }
}
