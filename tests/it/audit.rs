//! `stage repo audit` finds one changed bit wherever it is, and what it says to do brings the bytes back.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::packages::{Closure, Release, claw};
use crate::schemas::assert_valid;
use crate::world::{World, snapshot};

fn left(version: &str) -> Closure {
    let requirement = format!("left@{version}");
    let release = Release::new("left", version, json!({}), &[("index.js", version)]);
    Closure::new(&[&requirement], vec![release])
}

/// The report and the exit code of an audit.
fn audit(world: &World) -> (Value, i32) {
    let repo = world.text("repo");
    let ran = world.stage(&["repo", "audit", "--format", "json", "--repo", &repo]);
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_valid("audit-report.json", &report);
    (report, ran.status.code().unwrap())
}

/// Changes one bit of a file where it is, so that every name of the file sees it.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x10;
    rewrite(path, &bytes);
}

fn rewrite(path: &Path, bytes: &[u8]) {
    let mode = std::fs::metadata(path).unwrap().permissions();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, mode).unwrap();
}

fn files(root: &Path) -> Vec<PathBuf> {
    let all = snapshot(root).into_keys();
    all.filter(|path| std::fs::symlink_metadata(path).unwrap().is_file())
        .collect()
}

#[test]
fn one_changed_bit_is_found_wherever_it_is() {
    let world = World::new("audit-bit");
    assert_eq!(world.import(&world.bundle(&claw(), "claw", 1)).0, 0);
    assert_eq!(
        world
            .import(&world.plain("docs", 1, &[("a/x.txt", b"text")]))
            .0,
        0
    );
    let before = world.snapshot();
    let (report, code) = audit(&world);
    assert_eq!((code, &report["damaged"]), (0, &json!([])), "{report:#}");
    assert_eq!(world.snapshot(), before, "an audit changes nothing");
    assert_eq!(report["unchecked_files"], 0);
    assert_eq!(
        (&report["generations"], &report["receipts"]),
        (&json!(2), &json!(2))
    );

    // Every file; the lock is empty, and has no bit to change.
    let repo = world.repo();
    let mut tried = 0;
    for path in files(&repo) {
        let good = std::fs::read(&path).unwrap();
        if path.ends_with("state/lock") {
            rewrite(&path, b"1");
        } else {
            flip(&path);
        }
        let (report, code) = audit(&world);
        assert_eq!(code, 5, "{}: {report:#}", path.display());
        assert_eq!(report["errors"][0]["class"], "E42");
        let named = report["damaged"].as_array().unwrap();
        let relative = path.strip_prefix(&repo).unwrap().to_str().unwrap();
        // What the state vouches for is named with it; a blob with every name that it has.
        let is_named = |d: &Value| {
            let shown = d["shown_as"].as_array().unwrap();
            d["path"] == relative || shown.contains(&json!(relative)) || d["part"] == "state"
        };
        assert!(named.iter().any(is_named), "{relative}: {report:#}");
        rewrite(&path, &good);
        tried += 1;
    }
    assert!(tried > 40, "{tried}");
    assert_eq!(audit(&world).1, 0);

    // What is gone or was put there is found too.
    let page = repo.join("gen/2/npm/claw/index.html");
    let good = std::fs::read(&page).unwrap();
    std::fs::remove_file(&page).unwrap();
    assert_eq!(audit(&world).0["damaged"][0]["reason"], "is missing");
    std::fs::write(&page, &good).unwrap();
    assert_eq!(
        audit(&world).0["damaged"][0]["reason"],
        "has another mode than 0444"
    );
    std::fs::set_permissions(&page, std::fs::Permissions::from_mode(0o444)).unwrap();
    let planted = repo.join("gen/2/npm/claw/evil.html");
    std::fs::write(&planted, b"x").unwrap();
    let (report, code) = audit(&world);
    assert_eq!(code, 5);
    assert_eq!(report["damaged"][0]["path"], "gen/2/npm/claw/evil.html");
    std::fs::remove_file(&planted).unwrap();
    assert_eq!(audit(&world).1, 0);
    planted_anywhere(&world);
}

/// What stage puts nowhere is named; what a killed import may leave is not.
fn planted_anywhere(world: &World) {
    let repo = world.repo();
    let bundle = std::fs::read_dir(repo.join("state/bundles"))
        .unwrap()
        .next();
    let bundle = bundle.unwrap().unwrap().file_name().into_string().unwrap();
    for path in [
        "index.html".to_owned(),
        "cas/md5".to_owned(),
        "gen/99".to_owned(),
        "gen/1.bak".to_owned(),
        "state/apt-key.asc.orig".to_owned(),
        "state/bundles/x".to_owned(),
        format!("state/bundles/{bundle}/notes.txt"),
        "state/trees/99.sha256".to_owned(),
    ] {
        std::fs::write(repo.join(&path), b"x").unwrap();
        let (report, code) = audit(world);
        assert_eq!(code, 5, "{path}");
        let found = &report["damaged"][0];
        assert_eq!(
            (&found["part"], &found["path"]),
            (&json!("stray"), &json!(path))
        );
        assert!(found["fix"].as_str().unwrap().contains("remove it"));
        std::fs::remove_file(repo.join(&path)).unwrap();
    }
    for path in [
        "gen/3.tmp",
        "state/.state.json.77.tmp",
        "state/next-receipt.json",
        "lost+found",
    ] {
        std::fs::write(repo.join(path), b"x").unwrap();
        assert_eq!(audit(world).1, 0, "{path}");
        std::fs::remove_file(repo.join(path)).unwrap();
    }
    // Without its list, as an older version left it, the key of the apt index is vouched for by nothing.
    let list = repo.join("state/signing.sha256");
    let kept = std::fs::read(&list).unwrap();
    std::fs::remove_file(&list).unwrap();
    let (report, code) = audit(world);
    assert_eq!(
        (code, &report["unchecked_files"]),
        (0, &json!(1)),
        "{report:#}"
    );
    std::fs::write(&list, kept).unwrap();
    assert_eq!(audit(world).1, 0);
}

#[test]
fn a_finding_names_the_package_and_what_to_do_brings_it_back() {
    let world = World::new("audit-repair");
    let (one, two) = (
        world.bundle(&left("1.0.0"), "left", 1),
        world.bundle(&left("2.0.0"), "left", 2),
    );
    for bundle in [&one, &two, &world.bundle(&claw(), "claw", 1)] {
        assert_eq!(world.import(bundle).0, 0);
    }
    let tarball = world.repo().join("current/npm/left/-/left-1.0.0.tgz");
    let good = std::fs::read(&tarball).unwrap();
    flip(&tarball);
    let (report, code) = audit(&world);
    assert_eq!(code, 5);
    let damaged = report["damaged"].as_array().unwrap();
    assert_eq!(
        damaged.len(),
        1,
        "one file on disk is one finding: {report:#}"
    );
    let owner = &damaged[0]["owners"][0];
    assert_eq!(owner["purl"], "pkg:npm/left@1.0.0");
    assert_eq!(owner["file"], "left-1.0.0.tgz");
    assert_eq!(
        (&owner["channel"], &owner["serial"]),
        (&json!("left"), &json!(1))
    );
    let shown = damaged[0]["shown_as"].as_array().unwrap();
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert!(shown.contains(&json!("gen/3/npm/left/-/left-1.0.0.tgz")));
    assert!(damaged[0]["fix"].as_str().unwrap().contains("--repair"));

    // Without the word nothing is compared, and an older bundle is a rollback.
    let (code, said) = world.import(&one);
    assert!(code == 4 && said.contains("E32"), "{said}");
    let repair = |bundle: &Path| {
        let output = world.importing(bundle).arg("--repair").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), said)
    };
    let (code, said) = repair(&two);
    assert!(
        code == 0 && said.contains("Nothing of it was damaged"),
        "{said}"
    );
    assert_eq!(audit(&world).1, 5);
    let (code, said) = repair(&one);
    assert!(code == 0 && said.contains("Replaced 1 damaged"), "{said}");
    assert_eq!(
        std::fs::read(&tarball).unwrap(),
        good,
        "the published file as well"
    );
    let (report, code) = audit(&world);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        world.current().unwrap(),
        "gen/3",
        "nothing new was published"
    );
    let journal = std::fs::read_to_string(world.repo().join("state/journal.jsonl")).unwrap();
    assert!(
        journal
            .lines()
            .last()
            .unwrap()
            .contains("\"event\":\"repair\"")
    );

    // One that is gone comes back, and every generation shows the new one.
    let digest = damaged[0]["expected"]
        .as_str()
        .unwrap()
        .trim_start_matches("sha256:");
    let blob = world
        .repo()
        .join("cas/sha256")
        .join(&digest[..2])
        .join(digest);
    std::fs::remove_file(&blob).unwrap();
    flip(&tarball);
    let (report, _) = audit(&world);
    let found = report["damaged"].as_array().unwrap();
    assert!(
        found
            .iter()
            .any(|d| d["reason"] == "is missing" && d["part"] == "blob")
    );
    assert_eq!(
        found.len(),
        4,
        "and three generations show other bytes: {report:#}"
    );
    let (code, said) = repair(&one);
    assert!(
        code == 0 && said.contains("Replaced 1 damaged or missing file"),
        "{said}"
    );
    assert_eq!(std::fs::read(&tarball).unwrap(), good);
    assert_eq!(audit(&world).1, 0);

    // A document of a bundle.
    let id = owner["bundle"]
        .as_str()
        .unwrap()
        .trim_start_matches("sha256:")
        .to_owned();
    flip(
        &world
            .repo()
            .join(format!("state/bundles/{id}/manifest.json")),
    );
    let (report, _) = audit(&world);
    assert_eq!(report["damaged"][0]["owners"][0]["serial"], 1);
    assert_eq!(repair(&one).0, 0);
    assert_eq!(audit(&world).1, 0);

    // A rendered file is rendered again; the old generation stays damaged until it is removed.
    let page = world.repo().join("current/npm/left/index.html");
    let good = std::fs::read(&page).unwrap();
    flip(&page);
    let (report, _) = audit(&world);
    let damaged = &report["damaged"][0];
    assert_eq!(damaged["path"], "gen/3/npm/left/index.html");
    assert_eq!(damaged["owners"][0]["purl"], "pkg:npm/left@1.0.0");
    assert!(damaged["fix"].as_str().unwrap().contains("rollback --to 3"));
    let repo = world.text("repo");
    world.ok(&["repo", "rollback", "--to", "3", "--repo", &repo]);
    assert_eq!(
        std::fs::read(world.repo().join("current/npm/left/index.html")).unwrap(),
        good
    );
    let (report, _) = audit(&world);
    assert!(
        report["damaged"][0]["fix"]
            .as_str()
            .unwrap()
            .contains("gc --keep"),
        "{report:#}"
    );
    world.ok(&["repo", "gc", "--keep", "1", "--repo", &repo]);
    assert_eq!(audit(&world).1, 0);
}

/// A repository as the version before this one left it: no lists, no seals, no receipts in the journal.
#[test]
fn a_repository_of_the_version_before_is_read_and_goes_on() {
    use stage::base::digest::Digest;
    let world = World::new("audit-old");
    assert_eq!(world.import(&world.bundle(&left("1.0.0"), "left", 1)).0, 0);
    let state = world.repo().join("state");
    let (document, journal) = (state.join("state.json"), state.join("journal.jsonl"));
    let mut old: Value = serde_json::from_slice(&std::fs::read(&document).unwrap()).unwrap();
    old["schema"] = json!("stage/repository-state/v1");
    let generation = old["generations"]["1"].as_object_mut().unwrap();
    assert!(generation.remove("tree").is_some());
    let old = stage::base::json::canonical(&old);
    std::fs::write(&document, &old).unwrap();
    let mut previous = Value::Null;
    let mut lines = Vec::new();
    for line in std::fs::read_to_string(&journal).unwrap().lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let map = line.as_object_mut().unwrap();
        assert!(map.remove("seal").is_some());
        map.remove("receipt");
        map.insert("previous".to_owned(), previous);
        if map["event"] == "import" {
            map.insert("state".to_owned(), Digest::of(&old).to_string().into());
        }
        let bytes = stage::base::json::canonical(&line);
        previous = Digest::of(&bytes).to_string().into();
        lines.extend_from_slice(&bytes);
        lines.push(b'\n');
    }
    std::fs::write(&journal, lines).unwrap();
    std::fs::remove_dir_all(state.join("trees")).unwrap();

    let (report, code) = audit(&world);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        (&report["generations"], &report["unchecked_receipts"]),
        (&json!(0), &json!(1))
    );
    assert!(report["unchecked_files"].as_u64().unwrap() > 1);
    flip(&world.repo().join("current/npm/left/-/left-1.0.0.tgz"));
    let (report, code) = audit(&world);
    assert_eq!(code, 5);
    assert_eq!(
        report["damaged"][0]["shown_as"].as_array().unwrap().len(),
        1
    );
    let output = world
        .importing(&world.path("left-1.stage"))
        .arg("--repair")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(audit(&world).1, 0);
    assert_eq!(world.import(&world.bundle(&left("2.0.0"), "left", 2)).0, 0);
    let (report, code) = audit(&world);
    assert_eq!((code, &report["generations"]), (0, &json!(1)), "{report:#}");
    let now: Value = serde_json::from_slice(&std::fs::read(&document).unwrap()).unwrap();
    assert_eq!(now["schema"], "stage/repository-state/v2");

    // One that a later version wrote is refused with words for it.
    let text = std::fs::read_to_string(&document).unwrap();
    let later = text.replace("repository-state/v2", "repository-state/v3");
    let line = std::fs::read_to_string(&journal).unwrap();
    let (kept, last) = line.trim_end().rsplit_once('\n').unwrap();
    let mut last: Value = serde_json::from_str(last).unwrap();
    last["state"] = Digest::of(later.as_bytes()).to_string().into();
    last.as_object_mut().unwrap().remove("seal");
    let last = String::from_utf8(stage::base::json::canonical(&last)).unwrap();
    std::fs::write(&journal, format!("{kept}\n{last}\n")).unwrap();
    std::fs::write(&document, later).unwrap();
    let (code, said) = world.import(&world.path("left-2.stage"));
    assert!(
        code == 5 && said.contains("newer one that wrote it"),
        "{said}"
    );
}
