//! What a policy demands of a bundle as a whole: that archives were read, and what it says of plain files.

use std::path::PathBuf;

use serde_json::{Value, json};
use stage::base::digest::Digest;

use crate::closures::{Made, Only};
use crate::desk::Desk;
use crate::lint::samples;
use crate::schemas::{assert_refused, assert_valid, from_toml};
use crate::world::World;

impl World {
    /// A repository that judges by this policy.
    fn judging(&self, name: &str, policy: &str) {
        assert_valid("policy.json", &from_toml(policy));
        let file = self.text(&format!("{name}.toml"));
        std::fs::write(&file, policy).unwrap();
        self.another(name, &["--policy", &file]);
    }
}

/// Code and message of every error.
fn errors(report: &Value) -> Vec<(String, String)> {
    let text = |error: &Value, key: &str| error[key].as_str().unwrap().to_owned();
    let errors = report["errors"].as_array().unwrap().iter();
    errors
        .map(|error| (text(error, "code"), text(error, "message")))
        .collect()
}

/// A bundle of one wheel whose builder wrote this about its archives.
fn wheel(world: &World, bytes: &[u8], serial: u64, document: Option<&[u8]>) -> PathBuf {
    let demo = Only {
        name: "demo",
        version: "1.0.0",
        bytes: bytes.to_vec(),
    };
    let more: Vec<(&str, &[u8])> = document
        .iter()
        .map(|bytes| ("evidence/lint.json", *bytes))
        .collect();
    let made = Made::wheels(&[demo]);
    world.bundle_with(&made.content(), ("python", serial), &more)
}

#[test]
fn a_site_may_ask_that_archives_were_read_or_read_them_itself() {
    let world = World::new("demanded-lint");
    let required = "[lint]\nrequire = true\n";
    world.judging("asking", required);
    let sample = samples().remove(0);
    let said = |bytes: &[u8], problems: Value| {
        let archives = json!({Digest::of(bytes).hex(): problems});
        let document =
            json!({"schema": "stage/lint/v1", "tool": "stage 0.1.0", "archives": archives});
        stage::base::json::canonical(&document)
    };
    let problem = |severity: &str| json!([{"code": "lint-duplicate", "severity": severity, "message": "x \u{1b}[31m"}]);
    let (good, bad) = (sample.good.as_slice(), sample.bad.as_slice());
    let (missing, not_clean) = (Some("lint-missing"), Some("lint-not-clean"));
    for (serial, bytes, document, code) in [
        (1, good, None, missing),
        (2, good, Some(b"nonsense".to_vec()), missing),
        (3, good, Some(said(bad, json!([]))), missing),
        (4, good, Some(said(good, json!(["unreadable"]))), missing),
        (5, bad, Some(said(bad, problem("deny"))), not_clean),
        (6, bad, Some(said(bad, problem("fatal"))), not_clean),
        (7, good, Some(said(good, problem("warn"))), None),
        (8, good, Some(said(good, json!([]))), None),
    ] {
        let file = wheel(&world, bytes, serial, document.as_deref());
        let (report, exit) = world.look(&file, "asking", &["--dry-run"]);
        assert_eq!(
            exit,
            if code.is_some() { 3 } else { 0 },
            "{serial}: {report:#}"
        );
        let (report, exit) = world.look(&file, "asking", &[]);
        let Some(code) = code else {
            assert_eq!(exit, 0, "{serial}: {report:#}");
            continue;
        };
        assert_eq!(exit, 3, "{serial}: {report:#}");
        let errors = errors(&report);
        assert_eq!(
            (errors.len(), errors[0].0.as_str()),
            (1, code),
            "{errors:?}"
        );
        assert!(!errors[0].1.contains('\u{1b}'));
    }
    // Who looks himself need not be told; what he finds is what counts.
    let silent = wheel(&world, good, 9, None);
    assert_eq!(world.look(&silent, "asking", &["--lint"]).1, 0);
    let lying = wheel(&world, bad, 10, Some(&said(bad, json!([]))));
    world.judging("looking", required);
    assert_eq!(world.look(&lying, "looking", &["--lint"]).1, 4);
    // What was let through is let through here by a waiver, and by nothing else.
    let waiver = "[[waiver]]\ncode = \"lint-not-clean\"\npackage = \"pypi:demo@1.0.0\"\nreason = \"looked at\"\napprover \
                  = \"Ann\"\nexpires = \"2090-01-01\"\n";
    world.judging("waiving", &format!("{required}{waiver}"));
    let accepted = wheel(&world, bad, 11, Some(&said(bad, problem("deny"))));
    let (report, exit) = world.look(&accepted, "waiving", &[]);
    assert_eq!(exit, 0, "{report:#}");
    assert_eq!(
        report["policy"]["waived"][0]["finding"]["code"],
        "lint-not-clean"
    );
    world.judging("careless", "[lint]\nrequire = false\n");
    assert_eq!(
        world.look(&wheel(&world, bad, 12, None), "careless", &[]).1,
        0
    );
    assert_refused("policy.json", &from_toml("[lint]\nrequire = \"yes\"\n"));
}

#[test]
fn plain_files_are_judged_by_what_is_known_of_them() {
    let world = World::new("demanded-plain");
    let files: [(&str, &[u8]); 3] = [
        ("docs/a.txt", b"0123456789"),
        ("docs/same.txt", b"0123456789"),
        ("tools/b.sh", b"01234"),
    ];
    let file = world.plain("files", 1, &files);
    let digest = Digest::of(b"01234").hex();
    let only = |code: &str, message: &str| vec![(code.to_owned(), message.to_owned())];
    for (name, policy, expected) in [
        (
            "refusing",
            "[plain]\nallow = false\n",
            only(
                "policy-plain-not-allowed",
                "the bundle: carries plain files",
            ),
        ),
        (
            "denying",
            "[packages]\ndeny = [\"file:tools/*\"]\n",
            only("policy-package-denied", "file tools/b.sh@"),
        ),
        (
            "one",
            &format!("[packages]\ndeny = [\"file:*@{digest}\"]\n"),
            only("policy-package-denied", "file tools/b.sh@"),
        ),
        (
            "listing",
            "[packages]\nallow = [\"npm:*\", \"file:docs/*\"]\n",
            only("policy-package-not-allowed", "file tools/b.sh@"),
        ),
        (
            "small",
            "[size]\nartifact = \"9B\"\n",
            [
                only("policy-artifact-too-large", "file docs/a.txt@"),
                only("policy-artifact-too-large", "file docs/same.txt@"),
            ]
            .concat(),
        ),
        (
            "few",
            "[size]\ntotal = \"14B\"\n",
            only("policy-total-too-large", "the bundle: has 15 bytes"),
        ),
        (
            "proving",
            "[evidence]\nfile = 1\n",
            only(
                "policy-evidence-low",
                "the bundle: has plain files, for which nobody but the builder",
            ),
        ),
    ] {
        world.judging(name, policy);
        let before = world.snapshot();
        let (report, exit) = world.look(&file, name, &[]);
        assert_eq!(exit, 3, "{name}: {report:#}");
        let found = errors(&report);
        assert_eq!(found.len(), expected.len(), "{name}: {found:?}");
        for ((code, message), (wanted, start)) in found.iter().zip(&expected) {
            assert!(
                code == wanted && message.starts_with(start),
                "{name}: {code} {message}"
            );
        }
        assert_eq!(world.snapshot(), before, "{name}");
        assert_eq!(world.look(&file, name, &["--dry-run"]).1, 3, "{name}");
    }
    let waiver = "[[waiver]]\ncode = \"policy-artifact-too-large\"\npackage = \"file:docs/*\"\nreason = \"r\"\napprover = \
                  \"Ann\"\nexpires = \"2090-01-01\"\n";
    for (name, policy) in [
        ("standard", "profile = \"standard\"\n".to_owned()),
        ("exact", "[size]\ntotal = \"15B\"\nartifact = \"10B\"\n[plain]\nallow = true\n[evidence]\nfile = 0\n".to_owned()),
        ("waiving", format!("[size]\nartifact = \"9B\"\n{waiver}")),
        ("weighing", "[plain]\nallow = false\n[severity]\npolicy-plain-not-allowed = \"warn\"\n".to_owned()),
    ] {
        world.judging(name, &policy);
        let (report, exit) = world.look(&file, name, &[]);
        assert_eq!(exit, 0, "{name}: {report:#}");
        assert_valid("import-receipt.json", &report);
        let waived = report["policy"]["waived"].as_array().unwrap().len();
        assert_eq!(waived, if name == "waiving" { 2 } else { 0 });
    }
}

#[test]
fn plain_files_are_judged_where_the_bundle_is_made() {
    let desk = Desk::new();
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    desk.write(
        "stage.toml",
        "[bundle]\nchannel = \"files\"\n[policy]\nfile = \"policy.toml\"\n",
    );
    desk.write("models/a.bin", b"0123456789");
    desk.write("policy.toml", "[size]\ntotal = \"9B\"\n");
    let bundle = "bundle --plain models --key k.pem -o x.stage --format json";
    let ran = desk.stage(bundle);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_valid("bundle-report.json", &ran.json());
    assert_eq!(ran.json()["findings"][0]["code"], "policy-total-too-large");
    assert!(!desk.path("x.stage").exists() && !desk.path("releases.toml").exists());
    desk.write("policy.toml", "[size]\ntotal = \"10B\"\n");
    let report = desk.stage(bundle).ok().json();
    assert_valid("bundle-report.json", &report);
    assert_eq!(report["findings"], json!([]));
}
