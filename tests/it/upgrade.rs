//! `stage resolve --upgrade=PKG` and what `stage diff` says about its outcome: through the program, against a registry
//! of the test that publishes newer versions of everything.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use stage::base::digest::{Digests, UpstreamChecksum};

use crate::loopback::{Reply, Server};
use crate::packages::{Folder, tarball};

/// A version with the ranges that it needs.
type Version = (&'static str, &'static str, Value);

const OLD: [(&str, &str); 4] = [
    ("app", "1.0.0"),
    ("lib", "1.0.0"),
    ("lone", "1.0.0"),
    ("deep", "1.0.0"),
];

/// Every version there is: those of the first day, then the newer ones.
fn versions(newer: bool) -> Vec<Version> {
    let needs = |range: &str| json!({"lib": range, "deep": "^1.0.0"});
    let mut all = vec![
        ("app", "1.0.0", needs("^1.0.0")),
        ("lib", "1.0.0", json!({})),
        ("deep", "1.0.0", json!({})),
        ("lone", "1.0.0", json!({})),
    ];
    if newer {
        all.extend([
            ("app", "1.1.0", needs("^1.1.0")),
            ("lib", "1.1.0", json!({})),
            ("deep", "1.1.0", json!({})),
            ("lone", "1.1.0", json!({})),
        ]);
    }
    all
}

fn packument(name: &str, newer: bool) -> Value {
    let mut all = serde_json::Map::new();
    let mut times = serde_json::Map::new();
    let mut latest = "";
    let found = versions(newer)
        .into_iter()
        .filter(|(known, ..)| *known == name);
    for (name, version, needs) in found {
        let bytes = tarball(&[(
            "package.json",
            &format!("{{\"name\":\"{name}\",\"version\":\"{version}\"}}"),
        )]);
        let integrity = UpstreamChecksum::Sha512(Digests::of(&bytes).sha512).to_sri();
        let license = if version == "1.0.0" {
            "MIT"
        } else {
            "GPL-3.0-only"
        };
        let object = json!({"name": name, "version": version, "dependencies": needs, "license": license,
            "dist": {"tarball": format!("http://x.example/{name}/-/{name}-{version}.tgz"), "integrity": integrity}});
        all.insert(version.to_owned(), object);
        times.insert(version.to_owned(), "2026-01-01T00:00:00.000Z".into());
        latest = version;
    }
    json!({"name": name, "dist-tags": {"latest": latest}, "versions": all, "time": times})
}

struct Site {
    folder: Folder,
    newer: Arc<AtomicBool>,
    _server: Server,
}

impl Site {
    fn new(name: &str) -> Self {
        let newer = Arc::new(AtomicBool::new(false));
        let seen = newer.clone();
        let server = Server::new(move |asked| {
            let name = asked.target.trim_start_matches('/');
            if OLD.iter().any(|(known, _)| *known == name) {
                return Reply::ok(packument(name, seen.load(Ordering::SeqCst)).to_string());
            }
            Reply::status(404)
        });
        let folder = Folder::new(name);
        let manifest = format!(
            "[bundle]\nchannel = \"t\"\n[target]\nplatforms = [\"linux/amd64\"]\nglibc = \"2.36\"\nnode = \
             \"24.21.0\"\n[npm]\npackages = [\"app@^1\", \"lone@^1\"]\nregistry = \"{}\"\n",
            server.url()
        );
        std::fs::write(folder.join("stage.toml"), manifest).unwrap();
        let site = Self {
            folder,
            newer,
            _server: server,
        };
        let output = site.stage(&["resolve"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        std::fs::copy(site.folder.join("stage.lock"), site.folder.join("old.lock")).unwrap();
        site.newer.store(true, Ordering::SeqCst);
        site
    }

    fn stage(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_stage"))
            .args(arguments)
            .current_dir(&self.folder.0)
            .env_clear()
            .env("HOME", &self.folder.0)
            .output()
            .unwrap()
    }

    /// What changed since the beginning: name, kind, new version.
    fn changes(&self, arguments: &[&str]) -> Vec<String> {
        std::fs::copy(self.folder.join("old.lock"), self.folder.join("stage.lock")).unwrap();
        let mut all = vec!["resolve"];
        all.extend(arguments);
        let output = self.stage(&all);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let report = self.diff();
        let changes = report["changes"].as_array().unwrap().iter();
        changes
            .map(|c| {
                format!(
                    "{} {} {}",
                    c["kind"].as_str().unwrap(),
                    c["name"].as_str().unwrap(),
                    c["new"]["version"].as_str().unwrap()
                )
            })
            .collect()
    }

    fn diff(&self) -> Value {
        let output = self.stage(&["diff", "old.lock", "stage.lock", "--format", "json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let report = serde_json::from_slice(&output.stdout).unwrap();
        crate::schemas::assert_valid("diff-report.json", &report);
        report
    }
}

#[test]
fn only_the_named_packages_and_what_they_force_are_upgraded() {
    let site = Site::new("upgrade");
    assert_eq!(site.changes(&[]), Vec::<String>::new());
    assert_eq!(
        site.changes(&["--upgrade=app"]),
        ["version app 1.1.0", "version lib 1.1.0"]
    );
    assert_eq!(
        site.changes(&["--upgrade=npm:deep"]),
        ["version deep 1.1.0"]
    );
    assert_eq!(
        site.changes(&["--upgrade=deep", "--upgrade=npm:lone"]),
        ["version deep 1.1.0", "version lone 1.1.0"]
    );
    assert_eq!(site.changes(&["--upgrade"]).len(), 4);
}

#[test]
fn a_name_that_the_lock_does_not_have_is_an_error() {
    let site = Site::new("upgrade-unknown");
    let refused = |argument: &str, text: &str| {
        let before = std::fs::read(site.folder.join("stage.lock")).unwrap();
        let output = site.stage(&["resolve", argument]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(talk.contains(text), "{talk}");
        assert_eq!(
            std::fs::read(site.folder.join("stage.lock")).unwrap(),
            before
        );
    };
    refused(
        "--upgrade=aap",
        "the lock has no package \"aap\"\n  did you mean: \"app\"\n",
    );
    refused(
        "--upgrade=cargo:app",
        "the lock has no package \"app\" of cargo\nhint: it is there as `--upgrade=npm:app`",
    );
    refused(
        "--upgrade=left-pad",
        "the lock has no package \"left-pad\"\nhint: `stage inspect` lists",
    );
    std::fs::remove_file(site.folder.join("stage.lock")).unwrap();
    let output = site.stage(&["resolve", "--upgrade=app"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(!site.folder.join("stage.lock").exists());
}

#[test]
fn diff_says_why_a_release_is_there_and_what_its_license_and_size_become() {
    let site = Site::new("upgrade-diff");
    site.changes(&["--upgrade=app"]);
    let path = site.folder.join("stage.lock");
    // Sizes as an index that states them would give.
    for (file, size) in [("old.lock", 1_000_000), ("stage.lock", 2_500_000)] {
        let path = site.folder.join(file);
        let mut lock = stage::lock::format::parse(&std::fs::read(&path).unwrap()).unwrap();
        for package in &mut lock.packages {
            package.artifacts[0].size = Some(if package.name == "lib" { size } else { 7 });
        }
        std::fs::write(&path, stage::lock::format::write(&lock)).unwrap();
    }
    let output = site.stage(&["diff", "old.lock", "stage.lock"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text,
        "~ npm app 1.0.0 -> 1.1.0\n    license: MIT -> GPL-3.0-only\n    needed by: the requirement app@^1\n~ npm lib \
         1.0.0 -> 1.1.0\n    license: MIT -> GPL-3.0-only\n    size: 1.0 MB -> 2.5 MB (+1.5 MB)\n    needed by: app@^1 > \
         app@1.1.0 > lib@1.1.0\n"
    );
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(
        talk.contains("2 other version, 2 unchanged; +1.5 MB to carry"),
        "{talk}"
    );
    let report = site.diff();
    assert_eq!(report["size_change"], 1_500_000);
    assert_eq!(report["changes"][1]["size_change"], 1_500_000);
    assert_eq!(report["changes"][1]["license_changed"], true);
    assert_eq!(
        report["changes"][1]["reason"],
        json!(["app@^1", "app@1.1.0", "lib@1.1.0"])
    );
    // The other way round something goes.
    let mut lock = stage::lock::format::parse(&std::fs::read(&path).unwrap()).unwrap();
    lock.packages.retain(|package| package.name != "lone");
    std::fs::write(&path, stage::lock::format::write(&lock)).unwrap();
    let output = site.stage(&["diff", "old.lock", "stage.lock"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.ends_with("- npm lone 1.0.0\n    was needed by: the requirement lone@^1\n"),
        "{text}"
    );
}
