//! How well upstreams vouch for what is carried, through the program: registries that sign, that sign wrongly, that stop
//! signing, and what lock, report and SBOM say of it.

use serde_json::{Value, json};

use crate::npm_signatures::{RegistryKey, keys};
use crate::schemas::assert_valid;
use crate::walk::Registry;
use crate::world::World;

/// Signs every version of a package.
fn sign(registry: &Registry, name: &str, key: &RegistryKey) {
    registry.change(name, |packument| {
        for (version, object) in packument["versions"].as_object_mut().unwrap() {
            let integrity = object["dist"]["integrity"].as_str().unwrap().to_owned();
            let signature = key.sign(&format!("{name}@{version}"), &integrity);
            object["dist"]["signatures"] = json!([signature]);
        }
    });
}

/// A world with a registry of two packages, and a manifest that asks for them.
fn site(name: &str, own: &RegistryKey) -> (World, Registry) {
    let (world, registry) = (World::new(name), Registry::new());
    registry.publish("app", "1.0.0", json!({"dependencies": {"lib": "^1.0.0"}}));
    registry.publish("lib", "1.0.0", json!({}));
    std::fs::write(world.path("keys.json"), keys(&[own.entry(None)])).unwrap();
    let manifest = format!(
        "[bundle]\nchannel = \"claw\"\n[target]\nplatforms = [\"linux/amd64\"]\nnode = \"24.21.0\"\n[npm]\nregistry = \
         \"{}/\"\npackages = [\"app\"]\n[evidence]\nnpm-keys = \"keys.json\"\n",
        registry.server.url()
    );
    std::fs::write(world.path("stage.toml"), manifest).unwrap();
    (world, registry)
}

fn resolve(world: &World, more: &[&str]) -> (i32, Value) {
    let mut all = vec!["resolve", "--format", "json"];
    all.extend(more);
    let output = world.stage(&all);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_valid("resolve-report.json", &report);
    (output.status.code().unwrap(), report)
}

fn codes(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let findings = findings.filter(|f| f["code"] != "interpreter-none-staged");
    let brief = |f: &Value| {
        format!(
            "{} {} {}",
            f["severity"].as_str().unwrap(),
            f["code"].as_str().unwrap(),
            f["subject"].as_str().unwrap()
        )
    };
    findings.map(brief).collect()
}

fn lock(world: &World) -> String {
    std::fs::read_to_string(world.path("stage.lock")).unwrap()
}

#[test]
fn a_registry_that_signs_lifts_its_packages_and_one_that_stops_is_noticed() {
    let own = RegistryKey::new();
    let (world, registry) = site("vouched-levels", &own);
    let (code, report) = resolve(&world, &[]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        codes(&report),
        ["note npm-signatures-stripped npm registry"]
    );
    assert_eq!(lock(&world).matches("evidence =").count(), 0);

    // Only one of them is signed.
    sign(&registry, "app", &own);
    let (code, report) = resolve(&world, &[]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(codes(&report), ["warn npm-signature-absent npm lib@1.0.0"]);
    assert_eq!(lock(&world).matches("evidence = \"L3\"").count(), 1);
    assert_eq!(resolve(&world, &["--locked"]).0, 0);

    sign(&registry, "lib", &own);
    let (code, report) = resolve(&world, &[]);
    assert_eq!((code, codes(&report)), (0, Vec::new()));
    let signed = lock(&world);
    assert_eq!(signed.matches("evidence = \"L3\"").count(), 2);

    // What is locked keeps its signature, whatever the registry sends now; what is new has none.
    for name in ["app", "lib"] {
        registry.change(name, |packument| {
            packument["versions"]["1.0.0"]["dist"]["signatures"].take();
        });
    }
    let (code, report) = resolve(&world, &[]);
    assert_eq!(code, 0, "{report:#}");
    let text = lock(&world);
    assert_eq!(text.matches("evidence = \"L3\"").count(), 2, "{report:#}");
    registry.publish("lib", "1.1.0", json!({}));
    let (code, report) = resolve(&world, &["--upgrade"]);
    assert_eq!(code, 0, "{report:#}");
    let told = codes(&report);
    assert!(
        told.contains(&"warn evidence-dropped npm lib@1.1.0".to_owned()),
        "{told:?}"
    );
    assert!(!told.iter().any(|t| t.contains("app@1.0.0")), "{told:?}");
}

/// Level and gap of each release.
fn levels(report: &Value) -> Vec<String> {
    let lines = report["evidence"].as_array().unwrap().iter();
    let brief = |line: &Value| {
        format!(
            "{} {} {}",
            line["release"].as_str().unwrap(),
            line["level"].as_str().unwrap(),
            line["gap"].as_str().unwrap_or("-")
        )
    };
    lines.map(brief).collect()
}

#[test]
fn report_inspect_and_sbom_say_how_well_each_file_is_vouched_for() {
    let own = RegistryKey::new();
    let (world, registry) = site("vouched-shown", &own);
    let (_, report) = resolve(&world, &[]);
    assert_eq!(
        levels(&report),
        ["app@1.0.0 L1 stripped", "lib@1.0.0 L1 stripped"]
    );
    // The second time, the lock's digests are what everything was held against.
    let (_, report) = resolve(&world, &[]);
    assert_eq!(
        levels(&report),
        ["app@1.0.0 L2 stripped", "lib@1.0.0 L2 stripped"]
    );
    sign(&registry, "app", &own);
    let output = world.ok(&["resolve"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("Evidence: npm 1 at L3, 1 at L2"), "{said}");

    let inspect = |more: &[&str]| {
        let all = [&["inspect", "stage.lock", "--evidence"], more].concat();
        String::from_utf8(world.ok(&all).stdout).unwrap()
    };
    let report: Value = serde_json::from_str(&inspect(&["--format", "json"])).unwrap();
    assert_valid("inspect-report.json", &report);
    assert_eq!(levels(&report), ["app@1.0.0 L3 -", "lib@1.0.0 L2 absent"]);
    let table = inspect(&[]);
    let rows = "L2    absent       npm       lib@1.0.0 lib-1.0.0.tgz\nL3                 npm       app@1.0.0 app-1.0.0.tgz\n";
    assert!(table.ends_with(rows), "{table}");

    world.ok(&["bundle", "--key", "k.pem", "-o", "claw.stage"]);
    let (code, said) = world.import(&world.path("claw.stage"));
    assert_eq!(code, 0, "{said}");
    let bundle = std::fs::read(world.path("claw.stage")).unwrap();
    let text = String::from_utf8_lossy(&bundle);
    for (level, count) in [("L3", 1), ("L2", 1)] {
        let property = format!("{{\"name\":\"stage:evidence\",\"value\":\"{level}\"}}");
        assert_eq!(text.matches(&property).count(), count, "{level}");
    }
}

#[test]
fn a_release_with_a_wrong_signature_is_not_locked() {
    let (own, other) = (RegistryKey::new(), RegistryKey::new());
    let (world, registry) = site("vouched-wrong", &own);
    sign(&registry, "app", &own);
    sign(&registry, "lib", &other);
    let (code, report) = resolve(&world, &[]);
    assert_eq!(code, 4, "{report:#}");
    let told = codes(&report);
    assert!(
        told.contains(&"deny npm-signature-unknown-key npm lib@1.0.0".to_owned()),
        "{told:?}"
    );
    assert_eq!(
        report["findings"][0]["chain"],
        json!(["app", "app@1.0.0", "lib@1.0.0"])
    );
    assert!(!world.path("stage.lock").exists());

    sign(&registry, "lib", &own);
    registry.change("lib", |packument| {
        let other = own.sign("lib@1.0.1", "sha512-x");
        packument["versions"]["1.0.0"]["dist"]["signatures"] = json!([other]);
    });
    let (code, report) = resolve(&world, &[]);
    assert_eq!(code, 4, "{report:#}");
    assert_eq!(report["findings"][0]["code"], "npm-signature-invalid");

    sign(&registry, "lib", &own);
    let ended = own.entry(Some("2025-12-31T00:00:00.000Z"));
    std::fs::write(world.path("keys.json"), keys(&[ended])).unwrap();
    let (code, report) = resolve(&world, &[]);
    assert_eq!(code, 4, "{report:#}");
    assert_eq!(report["findings"][0]["code"], "npm-signature-key-time");

    std::fs::write(world.path("keys.json"), "{}").unwrap();
    let output = world.stage(&["resolve"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("eco-registry-keys"));
}
