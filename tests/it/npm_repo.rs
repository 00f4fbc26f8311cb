//! The rendered npm registry, pins and bootstrap against the real clients, over loopback.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use stage::base::time::Timestamp;
use stage::eco::npm::{bootstrap, pins, records, repo};
use stage::eco::{BundleView, EcoError, RepoContent, RepoFile, RepoView};

use crate::packages::{Closure, Folder, Release, claw};
use crate::served::Served;

const BASE: &str = "http://repo.example:8080";

fn view<'a>(closure: &'a Closure, serial: u64, created: &str) -> BundleView<'a> {
    BundleView {
        channel: "claw",
        epoch: 1,
        serial,
        created: created.parse::<Timestamp>().unwrap(),
        lock: &closure.lock,
        records: &closure.records,
        artifacts: &closure.artifacts,
    }
}

fn packument(files: &[RepoFile], name: &str) -> Value {
    let path = format!("npm/{name}/index.html");
    let file = files.iter().find(|f| f.path == path).unwrap();
    let RepoContent::Bytes(bytes) = &file.content else {
        panic!()
    };
    serde_json::from_slice(bytes).unwrap()
}

/// Writes the tree as generation 1 of a repository that has nothing else.
fn publish(root: &Path, closure: &Closure, base: &str) {
    let bundles = [view(closure, 1, "2026-11-01T00:00:00Z")];
    let whole = RepoView {
        bundles: &bundles,
        base_url: base,
    };
    let mut files = repo::render(&whole).unwrap();
    let below = |folder: &str, list: Vec<RepoFile>| {
        list.into_iter()
            .map(|f| RepoFile {
                path: format!("{folder}/{}", f.path),
                content: f.content,
            })
            .collect::<Vec<_>>()
    };
    files.extend(below("pins/claw/1", pins::pins(&bundles[0], base).unwrap()));
    files.extend(below("bootstrap", bootstrap::bootstrap(&whole).unwrap()));
    for file in files {
        let path = root.join("gen/1").join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let bytes = match file.content {
            RepoContent::Bytes(bytes) => bytes,
            RepoContent::Blob(digest) => closure.blobs[&digest.hex()].clone(),
            RepoContent::Joined { .. } => panic!(),
        };
        std::fs::write(path, bytes).unwrap();
    }
    let about = json!({"base_url": base}).to_string();
    std::fs::write(root.join("gen/1/repository.json"), about).unwrap();
    std::os::unix::fs::symlink("gen/1", root.join("current")).unwrap();
}

/// A client with an empty home and nothing of this process's environment but the path.
fn client(program: &str, home: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("HOME", home);
    command
}

fn ok(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[test]
fn npm_installs_by_range_and_by_pins_and_everything_runs() {
    let folder = Folder::new("npm-install");
    let closure = claw();
    publish(&folder.0, &closure, BASE);
    let served = Served::start(&folder.0, 64);
    let home = folder.join("home");
    std::fs::create_dir_all(&home).unwrap();
    let npmrc = &repo::client_files(&served.url())[0];
    std::fs::write(home.join(&npmrc.path), &npmrc.text).unwrap();

    let open = folder.join("open");
    std::fs::create_dir_all(&open).unwrap();
    ok(&client("npm", &home, &open)
        .args(["install", "claw@^1"])
        .output()
        .unwrap());
    let pinned = folder.join("pinned");
    std::fs::create_dir_all(&pinned).unwrap();
    for name in ["package.json", "package-lock.json"] {
        let (status, _, body) = served.get(&format!("/pins/claw/1/npm/{name}"));
        assert_eq!(status, 200);
        std::fs::write(pinned.join(name), body).unwrap();
    }
    ok(&client("npm", &home, &pinned).arg("ci").output().unwrap());
    for place in [&open, &pinned] {
        let printed = ok(&client("node_modules/.bin/claw", &home, place)
            .output()
            .unwrap());
        assert_eq!(printed, "claw one two inside\n");
        assert!(place.join("node_modules/claw/ran").exists());
        assert!(!place.join("node_modules/native-win32").exists());
    }
    // What npm writes itself for the same tree says the same of every place.
    let read = |path: &Path| -> Value {
        serde_json::from_slice(&std::fs::read(path.join("package-lock.json")).unwrap()).unwrap()
    };
    let (ours, theirs) = (read(&pinned), read(&open));
    let places = |lock: &Value| lock["packages"].as_object().unwrap().clone();
    for (path, entry) in places(&ours).iter().filter(|(path, _)| !path.is_empty()) {
        assert_eq!(&theirs["packages"][path], entry, "{path}");
    }
    assert_eq!(places(&ours).len(), places(&theirs).len());
}

#[test]
fn a_foreign_lock_file_works_at_the_root_of_the_host() {
    let folder = Folder::new("npm-foreign");
    let closure = claw();
    publish(&folder.0, &closure, BASE);
    let served = Served::start(&folder.0, 64);
    let records = records::parse(&closure.records).unwrap();
    let (package, lock) = pins::package_lock(&closure.lock, &records, 1, None).unwrap();
    assert!(!lock.to_string().contains("resolved"));
    let place = folder.join("app");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("package.json"), pins::pretty(&package)).unwrap();
    std::fs::write(place.join("package-lock.json"), pins::pretty(&lock)).unwrap();
    let registry = format!("--registry={}/npm/", served.url());
    ok(&client("npm", &place, &place)
        .args(["ci", "--audit=false", &registry])
        .output()
        .unwrap());
    let (status, _, _) = served.get("/claw/-/claw-1.0.0.tgz");
    assert_eq!(status, 200);
}

#[test]
fn packuments_merge_and_tags_point_at_what_is_there() {
    let one = Closure::new(
        &["left@1.0.0"],
        vec![
            Release::new("left", "1.0.0", json!({"license": "MIT"}), &[]),
            Release::new("other", "1.0.0", json!({}), &[]),
        ],
    );
    let mut two = Closure::new(
        &["left@2.0.0"],
        vec![
            Release::new("left", "2.0.0", json!({}), &[]),
            Release::new("left", "10.0.0-beta.1", json!({}), &[]).elsewhere(),
        ],
    );
    let mut changed = records::parse(&two.records).unwrap();
    changed.packages.get_mut("left").unwrap().dist_tags = BTreeMap::from([
        ("latest".to_owned(), "9.9.9".to_owned()),
        ("next".to_owned(), "10.0.0-beta.1".to_owned()),
    ]);
    two.records = records::write(&changed);
    let bundles = [
        view(&one, 1, "2026-11-01T00:00:00Z"),
        view(&two, 2, "2026-11-02T00:00:00Z"),
    ];
    let files = repo::render(&RepoView {
        bundles: &bundles,
        base_url: BASE,
    })
    .unwrap();
    let left = packument(&files, "left");
    let versions: Vec<&String> = left["versions"].as_object().unwrap().keys().collect();
    assert_eq!(versions, ["1.0.0", "10.0.0-beta.1", "2.0.0"]);
    assert_eq!(
        left["dist-tags"],
        json!({"latest": "2.0.0", "next": "10.0.0-beta.1"})
    );
    let url = format!("{BASE}/npm/left/-/left-1.0.0.tgz");
    assert_eq!(left["versions"]["1.0.0"]["dist"]["tarball"], url);
    assert_eq!(left["versions"]["1.0.0"]["license"], "MIT");
    assert!(files.iter().any(|f| f.path == "npm/left/-/left-2.0.0.tgz"));
    assert!(!files.iter().any(|f| f.path.contains("beta")));
    assert_eq!(packument(&files, "other")["dist-tags"]["latest"], "1.0.0");
}

#[test]
fn the_same_file_with_other_bytes_is_a_conflict() {
    let make = |text: &str| {
        Closure::new(
            &["left@1.0.0"],
            vec![Release::new("left", "1.0.0", json!({}), &[("x", text)])],
        )
    };
    let (one, two) = (make("1"), make("2"));
    let bundles = [
        view(&one, 1, "2026-11-01T00:00:00Z"),
        view(&two, 2, "2026-11-02T00:00:00Z"),
    ];
    let result = repo::render(&RepoView {
        bundles: &bundles,
        base_url: BASE,
    });
    assert!(matches!(result, Err(EcoError::Conflict { .. })));
}

#[test]
fn bundled_copies_and_odd_file_names_are_not_published() {
    let closure = claw();
    let bundles = [view(&closure, 1, "2026-11-01T00:00:00Z")];
    let whole = RepoView {
        bundles: &bundles,
        base_url: BASE,
    };
    let files = repo::render(&whole).unwrap();
    assert!(!files.iter().any(|f| f.path.starts_with("npm/inside")));
    assert_eq!(
        packument(&files, "claw")["versions"]["1.0.0"]["hasInstallScript"],
        true
    );
    let mut odd = claw();
    for package in &mut odd.lock.packages {
        for artifact in &mut package.artifacts {
            artifact.file = "../../x.tgz".to_owned();
        }
    }
    let bundles = [view(&odd, 1, "2026-11-01T00:00:00Z")];
    let odd = RepoView {
        bundles: &bundles,
        ..whole
    };
    repo::render(&odd).unwrap_err();
}

#[test]
fn bootstrap_gives_an_empty_home_node_and_npm() {
    let folder = Folder::new("npm-bootstrap");
    let node = ok(&Command::new("node")
        .args(["-p", "process.execPath"])
        .output()
        .unwrap());
    let version = ok(&Command::new("node")
        .args(["-p", "process.versions.node"])
        .output()
        .unwrap());
    let program = format!("#!/bin/sh\nexec {} \"$@\"\n", node.trim());
    let machine = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x64"
    };
    let cli = "console.log('npm', process.argv.slice(2).join(' '))\n";
    let closure = Closure::new(
        &["npm@1.2.3"],
        vec![
            Release::new(
                &format!("node-linux-{machine}"),
                version.trim(),
                json!({}),
                &[("bin/node", &program)],
            ),
            Release::new(
                "npm",
                "1.2.3",
                json!({}),
                &[("bin/npm-cli.js", cli), ("bin/npx-cli.js", cli)],
            ),
        ],
    );
    publish(&folder.0, &closure, BASE);
    let served = Served::start(&folder.0, 64);
    let home = folder.join("a home");
    std::fs::create_dir_all(&home).unwrap();
    let (_, _, script) = served.get("/bootstrap/node.sh");
    std::fs::write(home.join("node.sh"), &script).unwrap();
    let run = || {
        client("dash", &home, &home)
            .arg("node.sh")
            .output()
            .unwrap()
    };
    assert!(ok(&run()).contains("Installed npm 1.2.3"));
    let again = ok(&run());
    assert!(
        again.contains("npm 1.2.3 is there") && !again.contains("Installed"),
        "{again}"
    );
    let npm = home.join(".local/bin/npm");
    let printed = ok(&client(npm.to_str().unwrap(), &home, &home)
        .arg("hello")
        .output()
        .unwrap());
    assert_eq!(printed, "npm hello\n");
    let npmrc = std::fs::read_to_string(home.join(".local/etc/npmrc")).unwrap();
    assert!(npmrc.starts_with(&format!("registry={}/npm/\n", served.url())));
    let page = String::from_utf8(served.get("/bootstrap/").2).unwrap();
    assert!(page.contains(&format!("{}/pins/claw/1/npm/$f", served.url())));

    // Other bytes than the script pins: refused, nothing installed.
    let bad = String::from_utf8(script)
        .unwrap()
        .replace("npm_sha256=", "npm_sha256=0");
    std::fs::write(home.join("node.sh"), bad).unwrap();
    let prefix = folder.join("elsewhere");
    let refused = client("dash", &home, &home)
        .arg("node.sh")
        .env("PREFIX", &prefix)
        .output()
        .unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("other bytes"));
    assert!(!prefix.join("bin/npm").exists());
}
