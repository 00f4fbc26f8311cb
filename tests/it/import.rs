//! `stage import` and `stage repo` on real bundles: all or nothing, whatever happens.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::packages::{Closure, Release, claw};
use crate::served::Served;
use crate::world::{World, snapshot};

fn left(version: &str, text: &str) -> Closure {
    let requirement = format!("left@{version}");
    Closure::new(
        &[&requirement],
        vec![Release::new(
            "left",
            version,
            json!({}),
            &[("index.js", text)],
        )],
    )
}

fn status(world: &World) -> Value {
    let repo = world.text("repo");
    let ran = world.stage(&["repo", "status", "--format", "json", "--repo", &repo]);
    serde_json::from_slice(&ran.stdout).unwrap()
}

#[test]
fn a_bundle_is_published_and_again_is_a_no_op() {
    let world = World::new("import-once");
    let bundle = world.bundle(&claw(), "claw", 1);
    let (code, talk) = world.import(&bundle);
    assert_eq!(code, 0, "{talk}");
    assert!(talk.contains("Imported bundle claw 1"));
    assert_eq!(world.current().unwrap(), "gen/1");
    for path in [
        "npm/claw/index.html",
        "npm/@scope/lib/-/lib-1.2.0.tgz",
        "pins/claw/1/npm/package-lock.json",
        "sbom/claw/1/bundle.cdx.json",
        "ca/claw/ca-bundle.pem",
        "repository.json",
    ] {
        assert!(world.published(path).is_some(), "{path}");
    }
    let before = world.snapshot();
    for (path, _) in before
        .iter()
        .filter(|(p, _)| p.starts_with(world.repo().join("gen")))
    {
        let meta = std::fs::symlink_metadata(path).unwrap();
        let expected = if meta.is_dir() { 0o755 } else { 0o444 };
        assert_eq!(
            meta.permissions().mode() & 0o7777,
            expected,
            "{}",
            path.display()
        );
    }
    let tarball = world.repo().join("gen/1/npm/claw/-/claw-1.0.0.tgz");
    assert!(
        std::fs::metadata(tarball).unwrap().nlink() == 2,
        "a hard link into the store"
    );

    let receipt = world.text("receipt.json");
    let output = world
        .importing(&bundle)
        .args(["--receipt", &receipt])
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("already imported"));
    assert_eq!(world.snapshot(), before);
    let receipt: Value = serde_json::from_slice(&std::fs::read(receipt).unwrap()).unwrap();
    assert_eq!(receipt["already_imported"], true);
    assert_eq!(receipt["signers"][0]["person"], "owner");
    assert!(receipt["checks"].as_array().unwrap().len() > 5);

    // The same from a pipe.
    let input = std::fs::File::open(&bundle).unwrap();
    let status = world
        .importing(std::path::Path::new("-"))
        .stdin(input)
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(world.snapshot(), before);
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    for umask in ["0000", "0077"] {
        let world = World::new(&format!("import-umask-{umask}"));
        let bundle = world.bundle(&claw(), "claw", 1);
        let importing = world.importing(&bundle);
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!("umask {umask}; exec \"$0\" \"$@\""));
        shell
            .arg(importing.get_program())
            .args(importing.get_args());
        assert!(shell.status().unwrap().success());
        for path in snapshot(&world.repo().join("gen"))
            .keys()
            .chain(snapshot(&world.repo().join("cas")).keys())
        {
            let meta = std::fs::symlink_metadata(path).unwrap();
            let expected = if meta.is_dir() { 0o755 } else { 0o444 };
            assert_eq!(
                meta.permissions().mode() & 0o7777,
                expected,
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn bundles_unite_and_rolling_back_shows_exactly_the_old_set() {
    let world = World::new("import-union");
    for (closure, channel, serial) in [
        (left("1.0.0", "1"), "left", 1),
        (left("2.0.0", "2"), "left", 2),
        (claw(), "claw", 1),
        (left("1.5.0", "3"), "left", 3),
    ] {
        assert_eq!(world.import(&world.bundle(&closure, channel, serial)).0, 0);
    }
    let receipts = std::fs::read_dir(world.repo().join("state/receipts")).unwrap();
    assert_eq!(receipts.count(), 4);
    let versions = |world: &World| -> Vec<String> {
        let packument = world.published_json("npm/left/index.html");
        packument["versions"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(versions(&world), ["1.0.0", "1.5.0", "2.0.0"]);
    assert_eq!(
        world.published("ca/left/ca-bundle.pem").unwrap(),
        b"no real CA 3\n"
    );
    let mark = status(&world);

    world.ok(&[
        "repo",
        "rollback",
        "--to",
        "1",
        "--channel",
        "left",
        "--repo",
        &world.text("repo"),
    ]);
    assert_eq!(world.current().unwrap(), "gen/5");
    assert_eq!(versions(&world), ["1.0.0"]);
    assert!(world.published("pins/left/1/npm/package.json").is_some());
    for gone in [
        "pins/left/2/npm/package.json",
        "pins/left/3/npm/package.json",
        "sbom/left/3/bundle.cdx.json",
    ] {
        assert!(world.published(gone).is_none(), "{gone}");
    }
    assert!(world.published("pins/claw/1/npm/package.json").is_some());
    assert_eq!(
        world.published("ca/left/ca-bundle.pem").unwrap(),
        b"no real CA 1\n"
    );
    let after = status(&world);
    assert_eq!(
        after["channels"]["left"]["serial"],
        mark["channels"]["left"]["serial"]
    );
    assert_eq!(after["channels"]["left"]["published"], 1);

    // Marks did not move: release 2 is still older than 3.
    let (code, talk) = world.import(&world.path("left-2.stage"));
    assert!(code == 4 && talk.contains("E32"), "{code} {talk}");
    assert!(
        world
            .import(&world.path("left-3.stage"))
            .1
            .contains("rolled back")
    );
    world.ok(&[
        "repo",
        "rollback",
        "--to",
        "4",
        "--repo",
        &world.text("repo"),
    ]);
    assert_eq!(versions(&world), ["1.0.0", "1.5.0", "2.0.0"]);
    let missing = world.stage(&[
        "repo",
        "rollback",
        "--to",
        "99",
        "--repo",
        &world.text("repo"),
    ]);
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn conflicts_and_tampering_leave_everything_as_it_was() {
    let world = World::new("import-refused");
    assert_eq!(
        world
            .import(&world.bundle(&left("1.0.0", "one"), "left", 1))
            .0,
        0
    );
    let before = world.snapshot();
    let conflict = world.bundle(&left("1.0.0", "other bytes"), "other", 1);
    let (code, talk) = world.import(&conflict);
    assert!(
        code == 3 && talk.contains("import-conflict"),
        "{code} {talk}"
    );
    assert_eq!(world.snapshot(), before);

    let good = std::fs::read(world.bundle(&claw(), "claw", 1)).unwrap();
    let bad = world.path("bad.stage");
    for step in 0..40 {
        let mut bytes = good.clone();
        let at = bytes.len() * step / 40 + 3;
        bytes[at] ^= 1;
        std::fs::write(&bad, &bytes).unwrap();
        let (code, talk) = world.import(&bad);
        assert_eq!(code, 4, "{talk}");
        assert_eq!(world.snapshot(), before, "byte {at}");
    }
    for length in [0, 1, 512, good.len() / 2, good.len() - 1] {
        std::fs::write(&bad, &good[..length]).unwrap();
        assert_eq!(world.import(&bad).0, 4);
        assert_eq!(world.snapshot(), before, "cut at {length}");
    }
    assert_eq!(world.import(&world.path("missing.stage")).0, 1);
    assert_eq!(world.snapshot(), before);
}

#[test]
fn plain_files_are_those_of_the_newest_serial() {
    let world = World::new("import-plain");
    let one = world.plain("docs", 1, &[("a/x.txt", b"one"), ("old.txt", b"old")]);
    let two = world.plain("docs", 2, &[("a/x.txt", b"two")]);
    assert_eq!(world.import(&one).0, 0);
    assert_eq!(world.import(&two).0, 0);
    assert_eq!(world.published("files/docs/a/x.txt").unwrap(), b"two");
    assert!(world.published("files/docs/old.txt").is_none());
}

#[test]
fn killed_anywhere_the_tree_is_old_or_new_and_the_next_import_completes() {
    let world = World::new("import-kill");
    assert_eq!(
        world
            .import(&world.bundle(&left("1.0.0", "1"), "left", 1))
            .0,
        0
    );
    let bundle = world.bundle(&claw(), "claw", 1);
    // The first round runs undisturbed and says how long an import takes; the others are killed all along that time.
    let (mut killed, mut whole_time) = (0, Duration::MAX);
    for round in 0..25_u32 {
        let trial = world.path(&format!("trial-{round}"));
        assert!(
            Command::new("cp")
                .arg("-a")
                .arg(world.repo())
                .arg(&trial)
                .status()
                .unwrap()
                .success()
        );
        let trial_text = trial.to_str().unwrap().to_owned();
        let import = |stderr: Stdio| {
            let mut command =
                world.command(&["import", bundle.to_str().unwrap(), "--repo", &trial_text]);
            if rustix::process::geteuid().is_root() {
                command.arg("--allow-root");
            }
            command.stderr(stderr);
            command
        };
        let began = Instant::now();
        let mut child = import(Stdio::null()).spawn().unwrap();
        if round == 0 {
            assert!(child.wait().unwrap().success());
            whole_time = began.elapsed();
        } else {
            std::thread::sleep(whole_time * round / 25);
        }
        if round > 0 && child.kill().is_ok() && child.wait().unwrap().signal().is_some() {
            killed += 1;
        }
        let now = std::fs::read_link(trial.join("current")).unwrap();
        let whole = trial.join("current/npm/claw/-/claw-1.0.0.tgz").exists();
        assert_eq!(now == std::path::Path::new("gen/2"), whole);
        assert!(trial.join("current/npm/left/-/left-1.0.0.tgz").exists());
        let next = import(Stdio::piped()).output().unwrap();
        assert!(
            next.status.success(),
            "{}",
            String::from_utf8_lossy(&next.stderr)
        );
        assert!(trial.join("current/npm/claw/-/claw-1.0.0.tgz").exists());
        assert!(
            std::fs::read_dir(trial.join("incoming"))
                .unwrap()
                .next()
                .is_none()
        );
        std::fs::remove_dir_all(&trial).unwrap();
    }
    assert!(killed > 3, "{killed}");
}

#[test]
fn a_mark_without_its_switch_is_completed_by_the_same_bundle() {
    let world = World::new("import-complete");
    let bundle = world.bundle(&claw(), "claw", 1);
    assert_eq!(world.import(&bundle).0, 0);
    std::fs::remove_file(world.repo().join("current")).unwrap();
    let (code, talk) = world.import(&bundle);
    assert!(code == 0 && talk.contains("interrupted"), "{talk}");
    assert_eq!(world.current().unwrap(), "gen/1");
}

#[test]
fn unsafe_places_are_refused_and_nothing_is_followed() {
    let world = World::new("import-unsafe");
    let bundle = world.bundle(&claw(), "claw", 1);
    let repo = world.repo();
    let refused = |what: &str| {
        let (code, talk) = world.import(&bundle);
        assert!(code == 5 && talk.contains("E41"), "{what}: {code} {talk}");
    };
    for part in ["incoming", "cas", "gen", "state"] {
        let (real, moved) = (repo.join(part), world.path("moved"));
        std::fs::rename(&real, &moved).unwrap();
        symlink(&moved, &real).unwrap();
        refused(part);
        std::fs::remove_file(&real).unwrap();
        std::fs::rename(&moved, &real).unwrap();
    }
    let set = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for part in ["", "state", "gen", "cas/sha256"] {
        set(&repo.join(part), 0o777);
        refused("mode 0777");
        set(&repo.join(part), 0o755);
    }
    set(&repo.join("incoming"), 0o700);
    set(&world.folder.0, 0o777);
    refused("parent 0777");
    set(&world.folder.0, 0o755);
    std::fs::create_dir(repo.join("current")).unwrap();
    refused("current is a directory");
    std::fs::remove_dir(repo.join("current")).unwrap();
    symlink("/etc", repo.join("current")).unwrap();
    refused("current points elsewhere");
    std::fs::remove_file(repo.join("current")).unwrap();
    symlink(&repo, world.path("link")).unwrap();
    let link = world.text("link");
    let mut command = world.command(&[
        "import",
        bundle.to_str().unwrap(),
        "--repo",
        &link,
        "--allow-root",
    ]);
    assert_eq!(command.output().unwrap().status.code(), Some(5));
    // user::rwx, user:65534:rwx, group::r-x, mask::r-x, other::r-x
    let list: Vec<u8> = [
        (1_u16, 7_u16, u32::MAX),
        (2, 7, 65534),
        (4, 5, u32::MAX),
        (16, 5, u32::MAX),
        (32, 5, u32::MAX),
    ]
    .iter()
    .flat_map(|(tag, permission, id)| {
        [
            &tag.to_le_bytes()[..],
            &permission.to_le_bytes()[..],
            &id.to_le_bytes()[..],
        ]
        .concat()
    })
    .collect();
    let list = [&[2, 0, 0, 0][..], &list].concat();
    let name = "system.posix_acl_access";
    if rustix::fs::setxattr(
        repo.join("gen"),
        name,
        &list,
        rustix::fs::XattrFlags::empty(),
    )
    .is_ok()
    {
        refused("access control list");
        rustix::fs::removexattr(repo.join("gen"), name).unwrap();
    }
    let (code, talk) = world.import(&bundle);
    assert_eq!(code, 0, "{talk}");
}

#[test]
fn a_state_that_contradicts_its_journal_is_refused() {
    let world = World::new("import-state");
    let state = world.repo().join("state/state.json");
    let (one, two) = (
        world.bundle(&left("1.0.0", "1"), "left", 1),
        world.bundle(&left("2.0.0", "2"), "left", 2),
    );
    assert_eq!(world.import(&one).0, 0);
    let old = std::fs::read(&state).unwrap();
    assert_eq!(world.import(&two).0, 0);
    let good = std::fs::read(&state).unwrap();
    let journal = world.repo().join("state/journal.jsonl");
    let lines = std::fs::read_to_string(&journal).unwrap();
    let refused = |what: &str| {
        let (code, talk) = world.import(&two);
        assert!(code == 5 && talk.contains("E42"), "{what}: {code} {talk}");
        let status = world.stage(&["repo", "status", "--repo", &world.text("repo")]);
        assert_eq!(status.status.code(), Some(5));
    };
    std::fs::write(&state, &old).unwrap();
    refused("the state of before");
    let edited = String::from_utf8(good.clone())
        .unwrap()
        .replace("\"serial\":2", "\"serial\":1");
    std::fs::write(&state, edited).unwrap();
    refused("an edited state");
    std::fs::remove_file(&state).unwrap();
    refused("no state");
    std::fs::write(&state, &good).unwrap();
    std::fs::write(&journal, lines.lines().next().unwrap().to_owned() + "\n").unwrap();
    refused("a shortened journal");
    std::fs::write(&journal, &lines).unwrap();
    let root = world.repo().join("state/root.json");
    let pinned = std::fs::read(&root).unwrap();
    std::fs::write(&root, b"{}").unwrap();
    refused("another root");
    std::fs::write(&root, pinned).unwrap();
    // The rest of a line that a power cut left is no contradiction.
    std::fs::write(&journal, format!("{lines}{{\"bundle\":nu")).unwrap();
    assert_eq!(world.import(&two).0, 0);
    assert_eq!(std::fs::read_to_string(&journal).unwrap(), lines);
}

#[test]
fn one_writer_at_a_time() {
    let world = World::new("import-lock");
    let bundle = world.bundle(&claw(), "claw", 1);
    let lock = stage::fs::LockFile::try_exclusive(&world.repo().join("state/lock")).unwrap();
    let (code, talk) = world.import(&bundle);
    assert!(code == 1 && talk.contains("E11"), "{code} {talk}");
    drop(lock);
    let running: Vec<_> = (0..8)
        .map(|_| {
            world
                .importing(&bundle)
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    let codes: Vec<_> = running
        .into_iter()
        .map(|mut c| c.wait().unwrap().code())
        .collect();
    assert!(codes.contains(&Some(0)), "{codes:?}");
    assert!(codes.iter().all(|c| matches!(c, Some(0 | 1))), "{codes:?}");
    assert_eq!(world.import(&bundle).0, 0);
}

#[test]
fn the_administrator_is_refused_and_an_ordinary_account_is_not() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::new("import-root");
    let bundle = world.bundle(&claw(), "claw", 1);
    let repo = world.text("repo");
    let output = world.stage(&["import", bundle.to_str().unwrap(), "--repo", &repo]);
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains("E41"));
    let change = Command::new("chown")
        .args(["-R", "65534:65534"])
        .arg(&world.folder.0)
        .status();
    assert!(change.unwrap().success());
    // As root the repository now belongs to somebody else.
    assert_eq!(world.import(&bundle).0, 5);
    let program = world.path("stage");
    std::fs::copy(env!("CARGO_BIN_EXE_stage"), &program).unwrap();
    let output = Command::new(&program)
        .args(["import", bundle.to_str().unwrap(), "--repo", &repo])
        .current_dir(&world.folder.0)
        .env_clear()
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_full_disk_leaves_the_repository_as_it_was() {
    let world = World::new("import-full");
    let mount = world.path("small");
    std::fs::create_dir(&mount).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=9m,mode=0755", "tmpfs"])
        .arg(&mount)
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        return;
    }
    let repo = mount.join("repo");
    let repo_text = repo.to_str().unwrap();
    let (trust, init) = (
        world.text("root.json"),
        ["repo", "init", "--accept-unchecked-root", "--repo"],
    );
    world.ok(&[&init[..], &[repo_text, "--trust", &trust]].concat());
    let large = vec![7; 12 << 20];
    let bundle = world.plain("docs", 1, &[("large.bin", &large)]);
    let before = snapshot(&repo);
    let output = world
        .command(&[
            "import",
            bundle.to_str().unwrap(),
            "--allow-root",
            "--repo",
            repo_text,
        ])
        .output()
        .unwrap();
    let after = snapshot(&repo);
    assert!(
        Command::new("umount")
            .arg(&mount)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("E10"));
    assert_eq!(after, before);
}

#[test]
fn init_pins_the_root_it_was_told_and_no_other() {
    let world = World::new("import-init");
    let (repo, root) = (world.text("repo"), world.text("root.json"));
    let code = |args: &[&str]| world.stage(args).status.code().unwrap();
    let other = world.text("other");
    assert_eq!(
        code(&["repo", "init", "--repo", &other, "--trust", &root]),
        2
    );
    let wrong = "00".repeat(32);
    assert_eq!(
        code(&[
            "repo",
            "init",
            "--repo",
            &other,
            "--trust",
            &root,
            "--fingerprint",
            &wrong
        ]),
        4
    );
    assert!(!world.path("other").exists());
    let again = [
        "repo",
        "init",
        "--repo",
        &repo,
        "--trust",
        &root,
        "--accept-unchecked-root",
    ];
    assert_eq!(code(&again), 0);
    world.ok(&["key", "generate", "-o", &world.text("k2.pem")]);
    world.ok(&[
        "trust",
        "init",
        "--key",
        &world.text("k2.pem"),
        "-o",
        &world.text("root2.json"),
    ]);
    let second = world.text("root2.json");
    assert_eq!(
        code(&[
            "repo",
            "init",
            "--repo",
            &repo,
            "--trust",
            &second,
            "--accept-unchecked-root"
        ]),
        4
    );
    assert_eq!(code(&["repo", "status", "--repo", &other]), 2);

    assert_eq!(world.import(&world.bundle(&claw(), "claw", 1)).0, 0);
    let moved = [&again[..], &["--base-url", "https://repo.example/stage"]].concat();
    world.ok(&moved);
    assert_eq!(world.current().unwrap(), "gen/2");
    let packument = world.published_json("npm/claw/index.html");
    let tarball = &packument["versions"]["1.0.0"]["dist"]["tarball"];
    assert_eq!(
        tarball,
        "https://repo.example/stage/npm/claw/-/claw-1.0.0.tgz"
    );
    assert_eq!(
        code(&["repo", "status", "--max-age", "1d", "--repo", &repo]),
        4
    );
    assert_eq!(
        code(&["repo", "status", "--max-age", "36000d", "--repo", &repo]),
        0
    );
    let nginx = world.ok(&["repo", "client-config", "--for", "nginx", "--repo", &repo]);
    assert!(
        String::from_utf8(nginx.stdout)
            .unwrap()
            .contains("location /stage/npm/")
    );
    let home = world.text("home");
    world.ok(&[
        "repo",
        "client-config",
        "--install-to",
        &home,
        "--repo",
        &repo,
    ]);
    let npmrc = std::fs::read_to_string(world.path("home/.npmrc")).unwrap();
    assert!(npmrc.starts_with("registry=https://repo.example/stage/npm/\n"));
}

/// `client-config --check` with the real npm: the file is right and npm reaches the repository, or exit 6.
#[test]
fn a_check_asks_the_real_client() {
    let world = World::new("check");
    assert_eq!(world.import(&world.bundle(&claw(), "claw", 1)).0, 0);
    let served = Served::start(&world.repo(), 8);
    let (repo, root, home) = (
        world.text("repo"),
        world.text("root.json"),
        world.text("home"),
    );
    world.ok(&[
        "repo",
        "init",
        "--repo",
        &repo,
        "--trust",
        &root,
        "--accept-unchecked-root",
        "--base-url",
        &served.url(),
    ]);
    let config = [
        "repo",
        "client-config",
        "--repo",
        &repo,
        "--install-to",
        &home,
    ];
    let check = || {
        let ran = world.stage(&[&config[..], &["--check"]].concat());
        (ran.status.code(), String::from_utf8(ran.stdout).unwrap())
    };
    let (code, said) = check();
    assert!(
        code == Some(6) && said.contains("is missing or says something else"),
        "{said}"
    );
    world.ok(&config);
    let (code, said) = check();
    assert!(
        code == Some(0) && said.contains("npm reaches the repository"),
        "{said}"
    );
    drop(served);
    let (code, said) = check();
    assert!(
        code == Some(6) && said.contains("npm does not reach the repository"),
        "{said}"
    );
}
