//! `stage import --lint`: a signer who let an archive with two readings through does not get it past a site that looks
//! again; nothing of it is published.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::closures::{Made, Only};
use crate::lint::{Sample, samples};
use crate::schemas::assert_valid;
use crate::world::World;

/// A closure of `demo` 1.0.0 with these bytes.
fn made(ecosystem: &str, bytes: &[u8]) -> Made {
    let demo = Only {
        name: "demo",
        version: "1.0.0",
        bytes: bytes.to_vec(),
    };
    match ecosystem {
        "npm" => Made::npm(&demo),
        "pypi" => Made::wheels(&[demo]),
        "cargo" => Made::crates(&[demo]),
        _ => Made::debs(&[demo]),
    }
}

fn bundle(world: &World, ecosystem: &str, channel: &str, bytes: &[u8]) -> PathBuf {
    world.bundle_of(&made(ecosystem, bytes).content(), channel, 1)
}

fn wheel() -> Sample {
    samples().remove(0)
}

impl World {
    /// An import into `repo` with further options: its JSON and exit code.
    pub(crate) fn look(&self, bundle: &Path, repo: &str, more: &[&str]) -> (Value, i32) {
        let (bundle, repo) = (bundle.to_str().unwrap(), self.text(repo));
        let mut command = self.command(&["import", bundle, "--repo", &repo, "--format", "json"]);
        if rustix::process::geteuid().is_root() {
            command.arg("--allow-root");
        }
        let output = command.args(more).output().unwrap();
        let report = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|bad| panic!("{bad}: {}", String::from_utf8_lossy(&output.stderr)));
        (report, output.status.code().unwrap())
    }

    /// Another repository, made with these options.
    pub(crate) fn another(&self, name: &str, more: &[&str]) {
        let (repo, root) = (self.text(name), self.text("root.json"));
        let words = ["repo", "init", "--repo", &repo, "--trust", &root];
        self.ok(&[&words[..], &["--accept-unchecked-root"], more].concat());
    }

    fn journal(&self, repo: &str) -> String {
        std::fs::read_to_string(self.path(repo).join("state/journal.jsonl")).unwrap()
    }
}

#[test]
fn a_bad_archive_of_each_kind_is_refused_and_nothing_is_published() {
    let world = World::new("linted");
    world.another("trusting", &[]);
    let before = world.snapshot();
    for sample in samples() {
        let (name, bad) = (sample.ecosystem, sample.bad.as_slice());
        let file = bundle(&world, name, &format!("bad-{name}"), bad);
        // The bundle itself is good: whoever does not look takes it.
        let (report, code) = world.look(&file, "trusting", &[]);
        assert_eq!((code, &report["lint"]), (0, &Value::Null), "{report:#}");
        let (report, code) = world.look(&file, "repo", &["--lint"]);
        assert_eq!(code, 4, "{name}: {report:#}");
        let error = &report["errors"][0];
        assert_eq!(error["code"], sample.code, "{name}: {error:#}");
        assert_eq!(error["class"], "E40");
        let said = error["message"].as_str().unwrap();
        assert!(
            said.starts_with(&format!("{name} demo@1.0.0: demo")),
            "{said}"
        );
        let hint = error["hint"].as_str().unwrap();
        assert!(
            hint.contains(&format!("--accept-archive {name}:demo@1.0.0")),
            "{hint}"
        );
        assert_eq!(world.snapshot(), before, "{name}");
    }
    for sample in samples() {
        let name = sample.ecosystem;
        let file = bundle(&world, name, &format!("good-{name}"), &sample.good);
        let (report, code) = world.look(&file, "repo", &["--lint"]);
        assert_eq!(code, 0, "{name}: {report:#}");
        assert_valid("import-receipt.json", &report);
        let expected = json!({"archives": 1, "accepted": [], "found": 0, "findings": []});
        assert_eq!(report["lint"], expected, "{name}");
    }
    // Plain files are not unpacked by anybody.
    let plain = world.plain("docs", 1, &[("a.whl", &wheel().bad)]);
    let (report, code) = world.look(&plain, "repo", &["--lint"]);
    assert_eq!(
        (code, &report["lint"]["archives"]),
        (0, &json!(0)),
        "{report:#}"
    );
}

#[test]
fn what_is_accepted_is_named_here_and_written_down() {
    let world = World::new("linted-accept");
    let bad = wheel().bad;
    let file = bundle(&world, "pypi", "python", &bad);
    let others = ["--lint", "--accept-archive", "pypi:demo@1.0.1"];
    assert_eq!(world.look(&file, "repo", &others).1, 4);
    let accepting = ["--lint", "--accept-archive", "pypi:demo@1.0.0"];
    let (report, code) = world.look(&file, "repo", &accepting);
    assert_eq!(code, 0, "{report:#}");
    assert_valid("import-receipt.json", &report);
    let lint = &report["lint"];
    assert_eq!(lint["accepted"], json!(["pypi:demo@1.0.0"]));
    assert_eq!(lint["findings"][0]["severity"], "note");
    assert_eq!(lint["findings"][0]["code"], "lint-duplicate");
    let journal = world.journal("repo");
    let last = journal.lines().last().unwrap();
    assert!(
        last.contains("archives were accepted: pypi:demo@1.0.0"),
        "{last}"
    );
    // What is there already is looked at when that is asked for, and stays.
    let before = world.snapshot();
    assert_eq!(world.look(&file, "repo", &[]).1, 0);
    assert_eq!(world.look(&file, "repo", &["--lint"]).1, 4);
    assert_eq!(world.look(&file, "repo", &accepting).1, 0);
    // The same bytes in another bundle: they are not in quarantine, the store has them.
    let second = bundle(&world, "pypi", "second", &bad);
    assert_eq!(world.look(&second, "repo", &["--lint"]).1, 4);
    assert_eq!(world.snapshot(), before);
}

#[test]
fn what_the_builder_found_is_shown() {
    let world = World::new("linted-evidence");
    let bad = wheel().bad;
    let made = made("pypi", &bad);
    let digest = stage::base::digest::Digest::of(&bad).hex();
    let document = |code: &str| {
        let problem = json!({"code": code, "severity": "deny", "message": "x"});
        let archives = json!({&digest: [problem]});
        stage::base::json::canonical(
            &json!({"schema": "stage/lint/v1", "tool": "stage 0.1.0", "archives": archives}),
        )
    };
    for (serial, document, word) in [
        (1, document("lint-duplicate"), "(the builder accepted it)"),
        (2, document("lint-case"), "(the builder did not find it)"),
        (3, b"nonsense".to_vec(), "(the builder did not find it)"),
    ] {
        let more = [("evidence/lint.json", document.as_slice())];
        let file = world.bundle_with(&made.content(), ("python", serial), &more);
        let (report, code) = world.look(&file, "repo", &["--lint"]);
        assert_eq!(code, 4);
        let said = report["errors"][0]["message"].as_str().unwrap();
        assert!(said.ends_with(word), "{said}");
    }
}

#[test]
fn a_repository_may_demand_it() {
    let world = World::new("linted-always");
    world.another("strict", &["--lint"]);
    let sample = wheel();
    let (bad, good) = (
        bundle(&world, "pypi", "bad", &sample.bad),
        bundle(&world, "pypi", "good", &sample.good),
    );
    assert_eq!(world.look(&bad, "strict", &[]).1, 4);
    let (report, code) = world.look(&good, "strict", &[]);
    assert_eq!(
        (code, &report["lint"]["archives"]),
        (0, &json!(1)),
        "{report:#}"
    );
    let state = std::fs::read(world.path("strict/state/state.json")).unwrap();
    let state: Value = serde_json::from_slice(&state).unwrap();
    assert_eq!(state["lint_imports"], true);
    assert_valid("repository-state.json", &state);
    assert!(
        world
            .journal("strict")
            .contains("every import reads the archives")
    );
    let status = world.ok(&["repo", "status", "--repo", &world.text("strict")]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("read by every import"));
    // From now on, and for good: without the option nothing changes.
    assert_eq!(world.look(&bad, "repo", &["--dry-run"]).1, 0);
    world.another("repo", &["--lint"]);
    world.another("repo", &[]);
    assert_eq!(world.look(&bad, "repo", &[]).1, 4);
    assert!(world.journal("repo").contains("\"event\":\"stricter\""));
    world.another("repo", &["--lint", "--base-url", "https://repo.example"]);
    assert_eq!(world.look(&good, "repo", &[]).1, 0);
    world.ok(&["repo", "audit", "--repo", &world.text("repo")]);
}

#[test]
fn a_dry_run_looks_into_the_bundle_and_a_refusal_has_a_receipt() {
    let world = World::new("linted-dry");
    let sample = wheel();
    let (bad, good) = (
        bundle(&world, "pypi", "bad", &sample.bad),
        bundle(&world, "pypi", "good", &sample.good),
    );
    let before = world.snapshot();
    let row = |report: &Value| {
        assert_valid("preview-report.json", report);
        let rows = report["checks"].as_array().unwrap();
        rows.iter().find(|row| row["name"] == "archives").cloned()
    };
    let (report, code) = world.look(&bad, "repo", &["--dry-run"]);
    assert_eq!((code, row(&report)), (0, None));
    let (report, code) = world.look(&bad, "repo", &["--dry-run", "--lint"]);
    assert_eq!(code, 4, "{report:#}");
    assert_eq!(row(&report).unwrap()["answer"], "problem");
    assert_eq!(report["errors"][0]["code"], "lint-duplicate");
    let (report, code) = world.look(&good, "repo", &["--dry-run", "--lint"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(row(&report).unwrap()["value"], "1 read, nothing denied");
    // A pipe is gone once it was verified.
    let mut command = world.command(&["import", "-", "--dry-run", "--lint", "--repo"]);
    command
        .arg(world.repo())
        .args(["--format", "json", "--allow-root"]);
    command.stdin(Stdio::from(std::fs::File::open(&bad).unwrap()));
    let report: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    assert_eq!(row(&report).unwrap()["answer"], "note");

    let receipt = world.text("receipt.json");
    let (_, code) = world.look(&bad, "repo", &["--lint", "--receipt", &receipt]);
    assert_eq!(code, 4);
    let receipt: Value = serde_json::from_slice(&std::fs::read(receipt).unwrap()).unwrap();
    assert_eq!(receipt["verified"], true);
    assert_eq!(receipt["refused"]["check"], "archives");
    assert_eq!(receipt["refused"]["code"], "lint-duplicate");
    assert_eq!(receipt["checks"].as_array().unwrap().len(), 13);
    assert_eq!(world.snapshot(), before);
}
