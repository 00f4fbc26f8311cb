//! `stage repo gc`, `remove`, `query`, `block`: what a repository shows and keeps.

use serde_json::{Value, json};
use stage::base::digest::Digest;

use crate::closures::{Made, Only};
use crate::packages::{Closure, Release, claw};
use crate::schemas::assert_valid;
use crate::world::World;

fn left(version: &str) -> Closure {
    let requirement = format!("left@{version}");
    let release = Release::new("left", version, json!({}), &[("index.js", version)]);
    Closure::new(&[&requirement], vec![release])
}

impl World {
    /// `stage repo …` on the world's repository; its JSON and exit code.
    fn repo_json(&self, args: &[&str]) -> (Value, i32) {
        let repo = self.text("repo");
        let all = [&["repo"], args, &["--format", "json", "--repo", &repo]].concat();
        let ran = self.stage(&all);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        let report = serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{said}"));
        (report, ran.status.code().unwrap())
    }

    fn audited(&self) {
        let (report, code) = self.repo_json(&["audit"]);
        assert_eq!(code, 0, "{report:#}");
    }

    fn last_event(&self) -> Value {
        let journal = std::fs::read_to_string(self.repo().join("state/journal.jsonl")).unwrap();
        serde_json::from_str(journal.lines().last().unwrap()).unwrap()
    }
}

#[test]
fn gc_keeps_what_a_kept_generation_needs_and_nothing_else() {
    let world = World::new("gc");
    for serial in 1..=7 {
        let closure = left(&format!("{serial}.0.0"));
        assert_eq!(world.import(&world.bundle(&closure, "left", serial)).0, 0);
    }
    let repo = world.repo();
    // Only the newest serial from now on; a plain channel that is gone; a blob that nothing names.
    let (report, code) = world.repo_json(&["rollback", "--to", "1", "--channel", "left"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        world.import(&world.plain("docs", 1, &[("x", b"docs")])).0,
        0
    );
    assert_eq!(world.repo_json(&["remove", "--channel", "docs"]).1, 0);
    let orphan = Digest::of(b"orphan").hex();
    let orphan = repo.join("cas/sha256").join(&orphan[..2]).join(&orphan);
    std::fs::create_dir_all(orphan.parent().unwrap()).unwrap();
    std::fs::write(&orphan, b"orphan").unwrap();
    let draft = orphan.with_extension("tmp");
    std::fs::write(&draft, b"x").unwrap();
    let (report, _) = world.repo_json(&["audit"]);
    assert_eq!(report["orphans"], 1);

    let before = world.snapshot();
    let (planned, code) = world.repo_json(&["gc", "--dry-run", "--keep", "2"]);
    assert_valid("gc-report.json", &planned);
    assert_eq!((code, &planned["dry_run"]), (0, &json!(true)));
    assert_eq!(world.snapshot(), before, "a dry run changes nothing");
    // Generation 10 shows left 1; generation 9 that and docs 1. The newest five: 6 to 10.
    let (five, _) = world.repo_json(&["gc"]);
    assert_eq!(five["generations"], json!([1, 2, 3, 4, 5]));
    assert_eq!(five["bundles"], json!([]), "generation 7 shows all of them");
    assert_eq!(five["blobs"], 1, "{five:#}");
    assert!(!orphan.exists() && !draft.exists());
    world.audited();
    let (two, _) = world.repo_json(&["gc", "--keep", "2"]);
    assert_eq!(two["generations"], json!([6, 7, 8]));
    let serials: Vec<_> = two["bundles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| &b["serial"])
        .collect();
    assert_eq!(serials, [2, 3, 4, 5, 6, 7]);
    assert!(two["blobs"].as_u64().unwrap() >= 6 && two["bytes"].as_u64().unwrap() > 1000);
    world.audited();
    assert_eq!(world.last_event()["event"], "gc");
    assert!(world.published("npm/left/-/left-1.0.0.tgz").is_some());

    let before = world.snapshot();
    let (nothing, _) = world.repo_json(&["gc", "--keep", "2"]);
    assert_eq!(nothing["blobs"], 0);
    assert_eq!(world.snapshot(), before, "nothing to remove writes nothing");
    // Generation 9 still has all that it shows: it can be published again.
    assert_eq!(world.repo_json(&["rollback", "--to", "9"]).1, 0);
    assert_eq!(world.published("files/docs/x").unwrap(), b"docs");
    assert_eq!(world.repo_json(&["rollback", "--to", "7"]).1, 2);

    // The mark did not move; the bundle that is the mark comes in again although its files were removed.
    let (code, said) = world.import(&world.path("left-6.stage"));
    assert!(code == 4 && said.contains("E32"), "{said}");
    let (code, said) = world.import(&world.path("left-7.stage"));
    assert!(
        code == 0 && said.contains("Imported bundle left 7"),
        "{said}"
    );
    assert!(world.published("npm/left/-/left-7.0.0.tgz").is_some());
    world.audited();
}

#[test]
fn a_damaged_document_ends_gc_before_anything_is_removed() {
    let world = World::new("gc-damaged");
    for serial in 1..=3 {
        let closure = left(&format!("{serial}.0.0"));
        assert_eq!(world.import(&world.bundle(&closure, "left", serial)).0, 0);
    }
    let list = world.repo().join("state/trees/3.sha256");
    std::fs::remove_file(&list).unwrap();
    let before = world.snapshot();
    let (report, code) = world.repo_json(&["gc", "--keep", "1"]);
    assert_eq!(
        (code, &report["errors"][0]["class"]),
        (5, &json!("E42")),
        "{report:#}"
    );
    assert_eq!(world.snapshot(), before);
}

#[test]
fn a_removed_bundle_is_out_of_the_union_and_its_mark_stays() {
    let world = World::new("remove");
    for serial in 1..=2 {
        let closure = left(&format!("{serial}.0.0"));
        assert_eq!(world.import(&world.bundle(&closure, "left", serial)).0, 0);
    }
    assert_eq!(world.import(&world.bundle(&claw(), "claw", 1)).0, 0);
    let (report, code) = world.repo_json(&["remove", "--channel", "left", "--serial", "2"]);
    assert_eq!((code, &report["removed"]), (0, &json!(1)), "{report:#}");
    assert!(world.published("npm/left/-/left-1.0.0.tgz").is_some());
    assert!(world.published("npm/left/-/left-2.0.0.tgz").is_none());
    let (status, _) = world.repo_json(&["status"]);
    assert_eq!(status["channels"]["left"]["serial"], 2);
    assert_eq!(status["channels"]["left"]["published"], 1);
    assert_eq!(
        world
            .repo_json(&["remove", "--channel", "left", "--serial", "2"])
            .1,
        2
    );
    for (words, there) in [
        (
            &["remove", "--channel", "nobody"][..],
            ("published", "claw 1, left 1"),
        ),
        (
            &["remove", "--channel", "left", "--serial", "2"],
            ("published", "claw 1, left 1"),
        ),
        (
            &["rollback", "--channel", "left", "--to", "7"],
            ("imported", "claw 1, left 1 2"),
        ),
    ] {
        let (report, code) = world.repo_json(words);
        let error = &report["errors"][0];
        assert_eq!(
            (code, &error["code"]),
            (2, &json!("import-no-such-bundle")),
            "{error:#}"
        );
        assert_eq!(error["facts"][there.0], there.1, "{error:#}");
        assert!(
            error["hint"].as_str().unwrap().contains("stage repo list"),
            "{error:#}"
        );
    }
    let (report, _) = world.repo_json(&["rollback", "--to", "77"]);
    assert_eq!(report["errors"][0]["code"], "import-no-such-generation");
    assert_eq!(world.repo_json(&["remove", "--channel", "left"]).1, 0);
    assert!(world.published("npm/left/index.html").is_none());
    assert!(world.published("npm/claw/index.html").is_some());
    assert_eq!(world.last_event()["channel"], "left");
    let (code, said) = world.import(&world.path("left-2.stage"));
    assert!(code == 0 && said.contains("not published"), "{said}");
    assert_eq!(world.repo_json(&["rollback", "--to", "3"]).1, 0);
    assert!(world.published("npm/left/-/left-2.0.0.tgz").is_some());
    world.audited();
}

#[test]
fn a_package_is_found_by_purl_name_and_digest() {
    let world = World::new("query");
    for serial in 1..=2 {
        let closure = left(&format!("{serial}.0.0"));
        assert_eq!(world.import(&world.bundle(&closure, "left", serial)).0, 0);
    }
    assert_eq!(world.import(&world.bundle(&claw(), "claw", 1)).0, 0);
    assert_eq!(
        world
            .import(&world.plain("docs", 1, &[("a/x.txt", b"text")]))
            .0,
        0
    );
    assert_eq!(
        world
            .repo_json(&["remove", "--channel", "left", "--serial", "2"])
            .1,
        0
    );
    let hits = |what: &str| {
        let (report, code) = world.repo_json(&["query", what]);
        assert_eq!(code, 0);
        assert_valid("query-report.json", &report);
        report["hits"].as_array().unwrap().clone()
    };
    let all = hits("pkg:npm/left");
    assert_eq!(all.len(), 2);
    assert_eq!(
        (&all[0]["published"], &all[1]["published"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(all[0]["generations"], json!([1, 2, 3, 4, 5]));
    assert_eq!(all[1]["generations"], json!([2, 3, 4]));
    assert_eq!(all[0]["pins"], "pins/left/1");
    assert_eq!(hits("left"), all);
    assert_eq!(hits("pkg:npm/left@2.0.0"), all[1..]);
    assert_eq!(hits("left-2.0.0.tgz"), all[1..]);
    assert_eq!(hits(all[1]["blobs"][0].as_str().unwrap()), all[1..]);
    assert_eq!(hits("pkg:npm/@scope/lib").len(), 2);
    assert_eq!(hits("x.txt")[0]["channel"], "docs");
    assert_eq!(
        hits(&Digest::of(b"text").to_string())[0]["files"],
        json!(["a/x.txt"])
    );
    assert!(hits("pkg:npm/nothing").is_empty());
    assert_eq!(world.repo_json(&["query", "pkg:bad"]).1, 2);
}

#[test]
fn a_blocked_package_is_out_at_once_and_stays_out() {
    let world = World::new("block");
    let repo = world.text("repo");
    let stay = "pkg:npm/left@2.0.0";
    // Also before anything is imported.
    let (early, code) = world.repo_json(&["block", stay, "--reason", "known bad"]);
    assert_valid("block-report.json", &early);
    assert_eq!((code, &early["packages"]), (0, &json!([])));
    for serial in 1..=2 {
        let closure = left(&format!("{serial}.0.0"));
        assert_eq!(world.import(&world.bundle(&closure, "left", serial)).0, 0);
    }
    let versions = |world: &World| -> Vec<String> {
        let packument = world.published_json("npm/left/index.html");
        packument["versions"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(versions(&world), ["1.0.0"]);
    assert_eq!(
        world.published_json("npm/left/index.html")["dist-tags"]["latest"],
        "1.0.0"
    );
    assert!(world.published("npm/left/-/left-2.0.0.tgz").is_none());
    assert!(
        world
            .published("pins/left/2/npm/package-lock.json")
            .is_some()
    );
    assert_eq!(world.import(&world.bundle(&claw(), "claw", 1)).0, 0);

    let ran = world.stage(&[
        "repo",
        "block",
        "pkg:npm/@scope/lib",
        "--reason",
        "CVE",
        "--repo",
        &repo,
    ]);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(
        ran.status.success() && said.contains("pins name it") && said.contains("claw/1"),
        "{said}"
    );
    for gone in [
        "npm/@scope/lib/index.html",
        "npm/@scope/lib/-/lib-1.2.0.tgz",
        "npm/@scope/lib/-/lib-2.0.0.tgz",
    ] {
        assert!(world.published(gone).is_none(), "{gone}");
    }
    assert!(world.published("npm/claw/-/claw-1.0.0.tgz").is_some());
    let line = world.last_event();
    assert_eq!(line["event"], "block");
    assert_eq!(line["detail"], "pkg:npm/%40scope/lib: CVE");
    let (status, _) = world.repo_json(&["status"]);
    assert_eq!(status["blocks"]["pkg:npm/%40scope/lib"]["reason"], "CVE");
    let shown = world.ok(&["repo", "status", "--repo", &repo]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("pkg:npm/left@2.0.0 since"));
    let (found, _) = world.repo_json(&["query", "pkg:npm/@scope/lib@2.0.0"]);
    assert_eq!(found["hits"][0]["blocked"], "CVE");
    world.audited();

    let listed = world.ok(&["inspect", "--format", "purl", "--repo", &repo]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains("pkg:npm/claw@1.0.0") && !listed.contains("lib@"),
        "{listed}"
    );

    // A later import and a rollback keep it out; a second block of it is refused, as is a reason with a line break.
    assert_eq!(world.import(&world.bundle(&left("3.0.0"), "left", 3)).0, 0);
    assert_eq!(world.repo_json(&["rollback", "--to", "2"]).1, 0);
    assert_eq!(versions(&world), ["1.0.0"]);
    assert_eq!(world.repo_json(&["block", stay, "--reason", "again"]).1, 2);
    assert_eq!(
        world
            .repo_json(&["block", "pkg:npm/x", "--reason", "a\nb"])
            .1,
        2
    );
    assert_eq!(world.repo_json(&["block", "left", "--reason", "a"]).1, 2);
    assert_eq!(world.repo_json(&["unblock", "pkg:npm/left"]).1, 2);
    let (report, code) = world.repo_json(&["unblock", stay]);
    assert_eq!(
        (code, &report["packages"]),
        (0, &json!([stay])),
        "{report:#}"
    );
    assert_eq!(versions(&world), ["1.0.0", "2.0.0"]);
    assert!(world.published("npm/left/-/left-2.0.0.tgz").is_some());
}

#[test]
fn a_block_reaches_every_kind_of_index() {
    let world = World::new("block-all");
    let one = |name, version| Only {
        name,
        version,
        bytes: format!("bytes of {name} {version}").into_bytes(),
    };
    for made in [
        Made::wheels(&[one("bot", "1.0"), one("bot", "2.0")]),
        Made::crates(&[one("claw", "1.0.0"), one("claw", "2.0.0")]),
        Made::debs(&[one("aa", "1.0"), one("bb", "1.0")]),
    ] {
        let content = made.content();
        let channel = content.ecosystem.key();
        let (code, said) = world.import(&world.bundle_of(&content, channel, 1));
        assert_eq!(code, 0, "{said}");
    }

    let indexes = [
        ("pypi/simple/bot/index.html", "bot-2.0-py3"),
        ("pypi/simple/bot/index.json", "bot-2.0-py3"),
        ("cargo/index/cl/aw/claw", "2.0.0"),
        (
            "debian/dists/debian/main/binary-amd64/Packages",
            "Package: bb",
        ),
    ];
    let files = [
        "pypi/files/bot/bot-2.0-py3-none-any.whl",
        "cargo/crates/claw/claw-2.0.0.crate",
        "debian/pool/bb_1.0_amd64.deb",
    ];
    let text = |path: &str| String::from_utf8(world.published(path).unwrap()).unwrap();
    for (index, word) in indexes {
        assert!(text(index).contains(word), "{index}: {}", text(index));
    }
    let (found, _) = world.repo_json(&["query", "bb"]);
    let deb = found["hits"][0]["purl"].as_str().unwrap().to_owned();
    for purl in [
        "pkg:pypi/Bot@2.0",
        "pkg:cargo/claw@2.0.0",
        deb.split('?').next().unwrap(),
    ] {
        for path in files.iter().filter(|p| p.contains(&purl[4..6])) {
            assert!(world.published(path).is_some(), "{path}");
        }
        let (report, code) = world.repo_json(&["block", purl, "--reason", "bad"]);
        assert_eq!(
            (code, report["packages"].as_array().map(Vec::len)),
            (0, Some(1)),
            "{report:#}"
        );
    }
    for (index, word) in indexes {
        assert!(!text(index).contains(word), "{index}: {}", text(index));
    }
    for file in files {
        assert!(world.published(file).is_none(), "{file}");
    }
    for kept in [
        "pypi/files/bot/bot-1.0-py3-none-any.whl",
        "cargo/crates/claw/claw-1.0.0.crate",
        "debian/pool/aa_1.0_amd64.deb",
    ] {
        assert!(world.published(kept).is_some(), "{kept}");
    }
    world.audited();
}
