//! A change of the repository that fails leaves it as it was; one that was killed leaves nothing that the next one does
//! not remove.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::packages::{Closure, Release, claw};
use crate::world::World;

/// Every name with its size and mode, as `find -printf '%p %s %m'` shows them.
fn names(root: &Path) -> BTreeMap<PathBuf, (u64, u32)> {
    let (mut found, mut todo) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(path) = todo.pop() {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            todo.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        }
        // The size of a folder says nothing about what is in it.
        let size = if meta.is_dir() { 0 } else { meta.size() };
        found.insert(path, (size, meta.mode()));
    }
    found
}

fn left() -> Closure {
    let release = Release::new("left", "1.0.0", json!({}), &[("index.js", "1")]);
    Closure::new(&["left@1.0.0"], vec![release])
}

fn talk(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether this host can make system calls of a child fail.
#[expect(clippy::print_stderr, reason = "a test that did not run must be seen")]
fn has_strace() -> bool {
    let tried = Command::new("strace")
        .args(["-o", "/dev/null", "-e", "trace=none", "true"])
        .stderr(Stdio::null())
        .status();
    let works = tried.is_ok_and(|status| status.success());
    if !works {
        eprintln!("skipped: this host has no strace that works");
    }
    works
}

/// The import under strace, which makes the `nth` call of `call` fail with `error` (and every later one, if `lasting`).
fn failing(world: &World, bundle: &Path, (call, error): (&str, &str), nth: u32) -> Output {
    let importing = world.importing(bundle);
    let mut command = Command::new("strace");
    command
        .args(["-f", "-o", "/dev/null", "-e"])
        .arg(format!("inject={call}:error={error}:when={nth}"))
        .arg(importing.get_program())
        .args(importing.get_args())
        .current_dir(&world.folder.0)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap());
    command.output().unwrap()
}

#[test]
fn whatever_call_fails_the_repository_is_as_it_was_or_has_the_bundle() {
    if !has_strace() {
        return;
    }
    let world = World::new("undo-calls");
    let first = world.plain("docs", 1, &[("a.txt", b"one")]);
    assert_eq!(world.import(&first).0, 0);
    let bundle = world.plain("docs", 2, &[("a.txt", b"two"), ("b/c.txt", b"three")]);
    let pristine = world.path("pristine");
    let copy = |from: &Path, to: &Path| {
        let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
        assert!(copied.unwrap().success());
    };
    copy(&world.repo(), &pristine);
    let before = names(&world.repo());
    let (mut undone, mut accepted) = (0, 0);
    for call in [
        ("linkat", "ENOSPC"),
        ("mkdir", "EDQUOT"),
        ("rename", "EIO"),
        ("fsync", "EIO"),
        ("symlink", "ENOSPC"),
    ] {
        for nth in 1..200 {
            std::fs::remove_dir_all(world.repo()).unwrap();
            copy(&pristine, &world.repo());
            let output = failing(&world, &bundle, call, nth);
            if output.status.success() {
                assert!(nth > 1, "{call:?} is never made");
                break;
            }
            let what = format!("{call:?} {nth}: {}", talk(&output));
            assert_eq!(output.status.code(), Some(1), "{what}");
            assert!(what.contains("E10"), "{what}");
            let journal = std::fs::read_to_string(world.repo().join("state/journal.jsonl"));
            if journal.unwrap().lines().count() == 2 {
                assert_eq!(names(&world.repo()), before, "{what}");
                undone += 1;
            } else {
                // The mark was set before the call failed: the same bundle completes it.
                accepted += 1;
            }
            let (code, said) = world.import(&bundle);
            assert_eq!(code, 0, "{what}\nthen {said}");
            assert_eq!(world.current().as_deref(), Some("gen/2"), "{what}");
        }
    }
    assert!(undone > 20 && accepted > 2, "{undone} {accepted}");
}

/// A file system that has room for bytes but for one name more in each round, until there are enough.
#[test]
fn a_file_system_without_room_for_names_leaves_no_half_import() {
    let world = World::new("undo-inodes");
    let mount = world.path("small");
    std::fs::create_dir(&mount).unwrap();
    let bundle = world.bundle(&claw(), "claw", 1);
    let (repo, trust) = (world.text("small/repo"), world.text("root.json"));
    let mounted = |size: &str| {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", size, "tmpfs"])
            .arg(&mount)
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success())
    };
    if !mounted("size=64m,mode=0755") {
        eprintln!("skipped: this account cannot mount");
        return;
    }
    world.ok(&[
        "repo",
        "init",
        "--accept-unchecked-root",
        "--repo",
        &repo,
        "--trust",
        &trust,
    ]);
    let before = names(&mount);
    let (mut refused, mut done) = (0, false);
    for more in 2..400 {
        let room = format!("remount,nr_inodes={}", before.len() + more);
        assert!(mounted(&room));
        let output = world
            .command(&[
                "import",
                bundle.to_str().unwrap(),
                "--allow-root",
                "--repo",
                &repo,
            ])
            .output()
            .unwrap();
        done = output.status.success();
        if done {
            break;
        }
        assert!(talk(&output).contains("E10"), "{more}: {}", talk(&output));
        assert_eq!(names(&mount), before, "{more}");
        refused += 1;
    }
    assert!(
        Command::new("umount")
            .arg(&mount)
            .status()
            .unwrap()
            .success()
    );
    assert!(done && refused > 20, "{done} {refused}");
}

#[test]
fn what_a_killed_import_left_is_removed_by_the_next_writer() {
    let world = World::new("undo-swept");
    assert_eq!(world.import(&world.bundle(&left(), "left", 1)).0, 0);
    let repo = world.repo();
    let before = names(&repo);
    let plant = |path: &str| {
        let path = repo.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    };
    plant("incoming/99/blob");
    plant("gen/2.tmp/npm/x");
    plant("gen/2/npm/x");
    plant(&format!("state/bundles/{}/statement.json", "ab".repeat(32)));
    plant("state/.state.json.99.tmp");
    plant("state/receipts/.x.json.99.tmp");
    plant("state/next-state.json");
    let (code, said) = world.import(&world.path("left-1.stage"));
    assert_eq!(code, 0, "{said}");
    assert_eq!(names(&repo), before);
}

/// A name that is not durable yet, or a file whose bytes are not.
#[derive(Default)]
struct Disk {
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Disk {
    fn moved(&mut self, from: &Path, to: &Path) {
        for set in [&mut self.files, &mut self.folders] {
            let inside: Vec<PathBuf> = set
                .iter()
                .filter(|p| p.starts_with(from))
                .cloned()
                .collect();
            for path in inside {
                set.remove(&path);
                set.insert(
                    to.join(path.strip_prefix(from).unwrap())
                        .components()
                        .collect(),
                );
            }
        }
        self.folders.insert(to.parent().unwrap().to_owned());
    }

    /// What is below `path` and not durable.
    fn open(&self, path: &Path) -> Vec<&PathBuf> {
        let all = self.files.iter().chain(&self.folders);
        all.filter(|p| p.starts_with(path)).collect()
    }
}

/// The paths of a system call as strace -y prints them, each whole.
fn paths(line: &str, root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (at, quoted) in line.split('"').enumerate() {
        if at % 2 == 1 {
            // `openat2(3</repo/gen>, "a/b"`: the folder stands in front.
            let before: String = line.split('"').take(at).collect::<Vec<_>>().join("\"");
            let folder = before
                .rsplit_once('<')
                .map(|(_, f)| f.split('>').next().unwrap());
            let folder = folder.filter(|_| !quoted.starts_with('/'));
            found.push(root.join(folder.unwrap_or("")).join(quoted));
        }
    }
    found
}

/// The order of writes as the kernel sees it: nothing gets into view before its bytes are on disk, and no name is relied
/// on before its folder is.
#[test]
fn everything_is_on_disk_before_it_is_seen() {
    if !has_strace() {
        return;
    }
    let world = World::new("undo-order");
    assert_eq!(world.import(&world.bundle(&left(), "left", 1)).0, 0);
    let bundle = world.bundle(&claw(), "claw", 1);
    let importing = world.importing(&bundle);
    let log = world.path("calls");
    let output = Command::new("strace")
        .args(["-f", "-y", "-s", "4096", "-e"])
        .arg("trace=openat,openat2,link,linkat,rename,renameat,renameat2,fsync,fdatasync,mkdir,mkdirat,symlink,symlinkat,write")
        .arg("-o")
        .arg(&log)
        .arg(importing.get_program())
        .args(importing.get_args())
        .current_dir(&world.folder.0)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", talk(&output));
    let (repo, mut disk) = (world.repo().canonicalize().unwrap(), Disk::default());
    let (mut linked, mut journal, mut switched) = (0, 0, false);
    for line in std::fs::read_to_string(&log).unwrap().lines() {
        let call = line.split_once(' ').unwrap().1.trim_start();
        let name = call.split('(').next().unwrap();
        if call.contains(") = -1 ") {
            continue;
        }
        let named = paths(call, &world.folder.0);
        let first = named.first().filter(|p| p.starts_with(&repo)).cloned();
        match (name, first) {
            ("openat" | "openat2", Some(path)) if call.contains("O_CREAT") => {
                disk.folders.insert(path.parent().unwrap().to_owned());
                disk.files.insert(path);
            }
            ("mkdir" | "mkdirat", Some(path)) => {
                disk.folders.insert(path.parent().unwrap().to_owned());
                disk.folders.insert(path);
            }
            ("symlink" | "symlinkat", _) => {
                disk.folders.insert(named[1].parent().unwrap().to_owned());
            }
            ("fsync" | "fdatasync", _) => {
                let path = Path::new(call.split('<').nth(1).unwrap().split('>').next().unwrap());
                disk.files.remove(path);
                disk.folders.remove(path);
            }
            ("link" | "linkat", Some(from)) => {
                assert!(
                    !disk.files.contains(&from),
                    "linked before it was durable: {call}"
                );
                disk.folders.insert(named[1].parent().unwrap().to_owned());
                linked += 1;
            }
            ("rename" | "renameat" | "renameat2", Some(from)) => {
                assert_eq!(disk.open(&from), Vec::<&PathBuf>::new(), "{call}");
                if named[1] == repo.join("current") {
                    let open: Vec<_> = disk.open(&repo);
                    let own = [repo.join("incoming"), repo.clone()];
                    let open: Vec<_> = open
                        .into_iter()
                        .filter(|p| !own.contains(p) && !p.starts_with(&own[0]))
                        .filter(|p| !p.ends_with("state/lock"))
                        .collect();
                    assert_eq!(open, Vec::<&PathBuf>::new(), "before the switch");
                    switched = true;
                }
                disk.moved(&from, &named[1]);
            }
            ("write", _) if call.contains("state/journal.jsonl>") => {
                // What the line makes valid is durable: blobs, documents, the tree, the state beside the old one.
                for part in ["cas", "gen", "state/bundles", "state/trees"] {
                    assert_eq!(
                        disk.open(&repo.join(part)),
                        Vec::<&PathBuf>::new(),
                        "{call}"
                    );
                }
                disk.files.insert(repo.join("state/journal.jsonl"));
                journal += 1;
            }
            _ => {}
        }
    }
    assert!(
        linked > 4 && switched && journal == 1,
        "{linked} {switched} {journal}"
    );
    assert!(!disk.folders.contains(&repo), "the switch itself");
}
