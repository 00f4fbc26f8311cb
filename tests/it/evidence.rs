//! What a repository can show afterwards: receipts, marks on paper, reasons; and what a dry run says before.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use stage::base::digest::Digest;
use stage::trust::envelope::pae;

use crate::packages::{Closure, Release, claw};
use crate::schemas::assert_valid;
use crate::world::World;

/// In the past of every clock that runs this.
const PAST: &str = "2026-02-01T00:00:00Z";

fn left(text: &str) -> Closure {
    let release = Release::new("left", "1.0.0", json!({}), &[("index.js", text)]);
    Closure::new(&["left@1.0.0"], vec![release])
}

fn journal(world: &World) -> Vec<Value> {
    let text = std::fs::read_to_string(world.repo().join("state/journal.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn an_expired_bundle_needs_a_reason_and_a_repository_that_allows_it() {
    let world = World::new("expired");
    let bundle = world.expiring("docs", 1, PAST);
    let with_reason = |repo: &str, reason: &str| {
        let mut command = world.command(&[
            "import",
            bundle.to_str().unwrap(),
            "--repo",
            repo,
            "--allow-expired",
            reason,
            "--format",
            "json",
        ]);
        if rustix::process::geteuid().is_root() {
            command.arg("--allow-root");
        }
        let output = command.output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), report)
    };
    let (code, said) = world.import(&bundle);
    assert!(code == 4 && said.contains("E33"), "{said}");
    let before = world.snapshot();
    let (code, report) = with_reason(&world.text("repo"), "the courier was late");
    assert_eq!(code, 3, "{report:#}");
    assert_eq!(report["errors"][0]["code"], "import-expired-not-allowed");
    assert_eq!(world.snapshot(), before);

    let (other, root) = (world.text("other"), world.text("root.json"));
    let init = [
        "repo",
        "init",
        "--repo",
        &other,
        "--trust",
        &root,
        "--accept-unchecked-root",
    ];
    let allowing = [&init[..], &["--allow-expired-imports"]].concat();
    world.ok(&allowing);
    let (code, report) = with_reason(&other, " ");
    assert_eq!(code, 2, "{report:#}");
    let (code, report) = with_reason(&other, "the courier was late");
    assert_eq!(
        (code, &report["expired_allowed"]),
        (0, &json!("the courier was late"))
    );
    assert_valid("import-receipt.json", &report);
    let text = std::fs::read_to_string(world.path("other/state/journal.jsonl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].contains("expired bundles may be imported"),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].contains("it had expired: the courier was late"),
        "{}",
        lines[1]
    );
    // What was decided when it was made stays.
    let repo = world.text("repo");
    let late = [
        "repo",
        "init",
        "--repo",
        &repo,
        "--trust",
        &root,
        "--accept-unchecked-root",
        "--allow-expired-imports",
    ];
    assert_eq!(world.stage(&late).status.code(), Some(3));
    world.ok(&allowing);
    // A bundle that has not expired needs no reason, and none is written down.
    let good = world.plain("docs", 2, &[("a.txt", b"x")]);
    let mut command = world.command(&[
        "import",
        good.to_str().unwrap(),
        "--repo",
        &other,
        "--allow-expired",
        "x",
        "--format",
        "json",
        "--allow-root",
    ]);
    let report: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    assert_eq!(report["expired_allowed"], Value::Null);
}

#[test]
fn the_mark_on_paper_changes_with_every_change_and_with_nothing_else() {
    let world = World::new("mark");
    let repo = world.text("repo");
    let mark = || {
        let shown = world.ok(&["repo", "status", "--print-mark", "--repo", &repo]);
        let text = String::from_utf8(shown.stdout).unwrap();
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words.len(), 5, "{text}");
        assert!(
            words
                .iter()
                .all(|w| w.bytes().all(|b| b.is_ascii_lowercase())),
            "{text}"
        );
        text
    };
    let mut seen = vec![mark()];
    let one = world.bundle(&left("1"), "left", 1);
    assert_eq!(world.import(&one).0, 0);
    let saved = world.path("saved");
    let copy = |from: &Path, to: &Path| {
        let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
        assert!(copied.unwrap().success());
    };
    copy(&world.repo(), &saved);
    seen.push(mark());
    assert_eq!(world.import(&one).0, 0);
    assert_eq!(mark(), seen[1], "nothing changed");
    assert_eq!(world.import(&world.bundle(&claw(), "claw", 1)).0, 0);
    seen.push(mark());
    world.ok(&[
        "repo",
        "block",
        "pkg:npm/left",
        "--reason",
        "x",
        "--repo",
        &repo,
    ]);
    seen.push(mark());
    // Set back to an older copy, the repository is consistent; the paper is not.
    std::fs::remove_dir_all(world.repo()).unwrap();
    copy(&saved, &world.repo());
    assert_eq!(mark(), seen[1]);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4);

    // Only the state set back: what is published is newer than what it knows.
    assert_eq!(world.import(&world.bundle(&claw(), "claw", 1)).0, 0);
    std::fs::remove_dir_all(world.repo().join("state")).unwrap();
    copy(&saved.join("state"), &world.repo().join("state"));
    let (code, said) = world.import(&world.path("claw-1.stage"));
    assert!(
        code == 5 && said.contains("E42") && said.contains("set back"),
        "{said}"
    );
    assert!(world.published("npm/claw/index.html").is_some());
}

#[test]
fn two_bundles_of_one_serial_name_both_and_who_signed() {
    let world = World::new("equivocation");
    assert_eq!(world.import(&world.bundle(&left("1"), "left", 1)).0, 0);
    let first = journal(&world)[1]["bundle"].as_str().unwrap().to_owned();
    let before = world.snapshot();
    let (code, said) = world.import(&world.bundle(&left("2"), "left", 1));
    assert!(
        code == 4 && said.contains("verify-equivocation E32"),
        "{said}"
    );
    assert!(said.contains(&first), "{said}");
    assert!(
        said.contains("signed by:") && said.contains("owner (root, builder), key "),
        "{said}"
    );
    assert!(said.contains("state/receipts"), "{said}");
    assert_eq!(world.snapshot(), before);
}

#[test]
fn a_receipt_is_bound_to_its_journal_line_and_can_be_signed() {
    let world = World::new("receipt");
    let bundle = world.bundle(&claw(), "claw", 1);
    let (receipt, key) = (world.text("receipt.json"), world.text("k.pem"));
    let signing = ["--receipt", &receipt, "--receipt-key", &key];
    let output = world.importing(&bundle).args(signing).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let bytes = std::fs::read(&receipt).unwrap();
    let document: Value = serde_json::from_slice(&bytes).unwrap();
    assert_valid("import-receipt.json", &document);
    assert_eq!(document["time_source"], "system-clock");
    let lines = journal(&world);
    assert_eq!(document["journal"]["sequence"], 2);
    assert_eq!(lines[1]["receipt"], Digest::of(&bytes).to_string());
    assert_eq!(lines[1]["previous"], document["journal"]["previous"]);
    let kept: Vec<_> = std::fs::read_dir(world.repo().join("state/receipts"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        std::fs::read(&kept[0]).unwrap(),
        bytes,
        "the repository keeps the same bytes"
    );
    checked_envelope(&world, &receipt);

    // `verify` writes one whatever the result, and says when the time was given.
    let root = world.text("root.json");
    let verify = |bundle: &str| {
        let more = [
            "verify",
            bundle,
            "--trust",
            &root,
            "--at",
            "2026-03-01T00:00:00Z",
        ];
        world
            .stage(&[&more[..], &signing[..]].concat())
            .status
            .code()
    };
    assert_eq!(verify(bundle.to_str().unwrap()), Some(0));
    let report: Value = serde_json::from_slice(&std::fs::read(&receipt).unwrap()).unwrap();
    assert_eq!(
        (&report["time_source"], &report["verified"]),
        (&json!("argument"), &json!(true))
    );
    assert!(report["tool"].as_str().unwrap().starts_with("stage "));
    checked_envelope(&world, &receipt);
    let mut broken = std::fs::read(&bundle).unwrap();
    *broken.last_mut().unwrap() ^= 1;
    std::fs::write(world.path("broken.stage"), broken).unwrap();
    assert_eq!(verify(&world.text("broken.stage")), Some(4));
    let report: Value = serde_json::from_slice(&std::fs::read(&receipt).unwrap()).unwrap();
    assert_eq!(report["verified"], false);
    checked_envelope(&world, &receipt);
    // So does an import that is refused.
    let output = world
        .importing(&world.path("broken.stage"))
        .args(signing)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    let report: Value = serde_json::from_slice(&std::fs::read(&receipt).unwrap()).unwrap();
    assert_eq!(report["schema"], "stage/verify-report/v1");
    assert_eq!(report["checks"][0]["verdict"], "passed");
    let checks = report["checks"].as_array().unwrap();
    let failed: Vec<_> = checks.iter().filter(|c| c["verdict"] == "failed").collect();
    assert!(
        failed.len() == 1 && failed[0]["name"] == "end",
        "{failed:?}"
    );
    assert_eq!(report["time_floor"], "2026-01-01T00:00:00Z");
    checked_envelope(&world, &receipt);
    // Without a file there is nothing to sign; a key that cannot be read is found before anything is done.
    assert_eq!(
        world
            .stage(&["verify", "x", "--trust", &root, "--receipt-key", &key])
            .status
            .code(),
        Some(2)
    );
    let before = world.snapshot();
    let output = world
        .importing(&world.bundle(&left("1"), "left", 1))
        .args(["--receipt", &receipt, "--receipt-key", "/nowhere.pem"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(world.snapshot(), before);
}

/// The envelope beside a receipt holds its bytes, and openssl verifies the signature with the public key.
#[expect(clippy::print_stderr, reason = "a test that did not run must be seen")]
fn checked_envelope(world: &World, receipt: &str) {
    let bytes = std::fs::read(receipt).unwrap();
    let envelope: Value =
        serde_json::from_slice(&std::fs::read(format!("{receipt}.dsse")).unwrap()).unwrap();
    let kind = "application/vnd.stage.receipt+json";
    assert_eq!(envelope["payloadType"], kind);
    let decode = |value: &Value| {
        data_encoding::BASE64
            .decode(value.as_str().unwrap().as_bytes())
            .unwrap()
    };
    assert_eq!(decode(&envelope["payload"]), bytes);
    std::fs::write(world.path("pae"), pae(kind, &bytes)).unwrap();
    std::fs::write(world.path("sig"), decode(&envelope["signatures"][0]["sig"])).unwrap();
    let checked = Command::new("openssl")
        .args(["pkeyutl", "-verify", "-pubin", "-rawin", "-inkey"])
        .arg(world.path("k.pub"))
        .arg("-sigfile")
        .arg(world.path("sig"))
        .arg("-in")
        .arg(world.path("pae"))
        .output();
    match checked {
        Ok(output) => assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        ),
        Err(_none) => eprintln!("skipped: this host has no openssl"),
    }
}

impl World {
    /// `stage import --dry-run`: exit code, the answer to each question, the report.
    fn preview(
        &self,
        bundle: &Path,
        repo: &str,
        more: &[&str],
    ) -> (i32, impl Fn(&str) -> String + use<>, Value) {
        let mut command = self.command(&["import", bundle.to_str().unwrap(), "--dry-run"]);
        command
            .args(["--format", "json", "--repo", repo])
            .args(more);
        if rustix::process::geteuid().is_root() {
            command.arg("--allow-root");
        }
        let output = command.output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_valid("preview-report.json", &report);
        let rows = report["checks"].clone();
        let answer = move |name: &str| {
            let row = rows.as_array().unwrap().iter().find(|r| r["name"] == name);
            row.map_or_else(String::new, |r| {
                format!(
                    "{}: {}",
                    r["answer"].as_str().unwrap(),
                    r["value"].as_str().unwrap()
                )
            })
        };
        (output.status.code().unwrap(), answer, report)
    }
}

#[test]
fn a_dry_run_answers_every_question_and_writes_nothing() {
    let world = World::new("preview");
    let (bundle, root) = (world.bundle(&claw(), "claw", 1), world.text("root.json"));
    let (repo, none) = (world.text("repo"), world.text("new/deep/repo"));
    // Where there is no repository yet.
    let (code, answer, report) = world.preview(&bundle, &none, &[]);
    assert_eq!(code, 0, "{report:#}");
    assert!(answer("repository").starts_with("note: not there yet"));
    assert!(
        answer("bundle").contains("no signature was judged"),
        "{}",
        answer("bundle")
    );
    assert!(answer("rights").starts_with("ok"), "{}", answer("rights"));
    let (code, answer, report) = world.preview(&bundle, &none, &["--trust", &root]);
    assert_eq!((code, &report["generation"]), (0, &json!(1)), "{report:#}");
    assert!(answer("trust root").contains("given, not pinned yet: sha256:"));
    assert!(answer("space").starts_with("ok") && report["needed"].as_u64() > Some(8 << 20));
    assert!(!world.path("new").exists());

    let before = world.snapshot();
    let (code, answer, report) = world.preview(&bundle, &repo, &[]);
    assert_eq!((code, &report["generation"]), (0, &json!(1)), "{report:#}");
    for (name, found) in [
        ("user", "ok: uid "),
        ("umask", "ok: 0"),
        ("repository", "ok: generation 0, journal of 1 lines"),
        ("lock", "ok"),
        ("clock", "note: 20"),
        ("bundle", "ok: verified: channel claw, serial 1"),
        ("conflicts", "ok"),
    ] {
        assert!(answer(name).starts_with(found), "{name}: {}", answer(name));
    }
    assert!(
        answer("file system").contains(" at "),
        "{}",
        answer("file system")
    );
    assert_eq!(world.snapshot(), before);
    let table = world.command(&[
        "import",
        bundle.to_str().unwrap(),
        "--dry-run",
        "--repo",
        &repo,
        "--allow-root",
    ]);
    let table = { table }.output().unwrap();
    assert!(String::from_utf8_lossy(&table.stdout).contains("ok       conflicts"));

    // Each problem is found, and does not hide the next.
    assert_eq!(world.import(&bundle).0, 0);
    let (code, answer, _) = world.preview(&bundle, &repo, &[]);
    assert!(code == 0 && answer("generation").contains("imported already"));
    assert!(
        answer("clock").contains("not before"),
        "{}",
        answer("clock")
    );
    let lib = Release::new("claw", "1.0.0", json!({}), &[("index.js", "other bytes")]);
    let conflict = world.bundle(&Closure::new(&["claw@1"], vec![lib]), "other", 1);
    let (code, answer, report) = world.preview(&conflict, &repo, &[]);
    assert_eq!(
        (code, &report["generation"]),
        (3, &Value::Null),
        "{report:#}"
    );
    assert!(answer("conflicts").starts_with("problem"));
    let lock = stage::fs::LockFile::try_exclusive(&world.repo().join("state/lock")).unwrap();
    let (code, answer, _) = world.preview(&bundle, &repo, &[]);
    assert!(code == 1 && answer("lock").starts_with("problem"));
    drop(lock);
    let mut bytes = std::fs::read(&bundle).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(world.path("bad.stage"), bytes).unwrap();
    let mode = |mode| {
        let path = world.repo().join("gen");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o777);
    let (code, answer, report) = world.preview(&world.path("bad.stage"), &repo, &[]);
    mode(0o755);
    assert_eq!(code, 4, "{report:#}");
    assert!(answer("rights").starts_with("problem") && answer("bundle").starts_with("problem"));
    assert_eq!(report["errors"].as_array().unwrap().len(), 2);
    symlink(world.repo(), world.path("link")).unwrap();
    let (code, answer, _) = world.preview(&bundle, &world.text("link"), &[]);
    assert!(
        code == 5 && answer("rights").contains("symbolic link"),
        "{}",
        answer("rights")
    );
    assert_eq!(
        world
            .preview(&world.expiring("docs", 1, PAST), &repo, &[])
            .0,
        4
    );
}
