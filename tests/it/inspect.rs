//! `stage inspect`, `stage diff` and `stage generate` on the command line.

use serde_json::Value;
use stage::base::digest::{Sha512, UpstreamChecksum};
use stage::lock::{Lock, format};

use crate::fixture::{self, stage};

fn lock_file(name: &str, lock: &Lock) -> String {
    fixture::file(name, &format::write(lock))
}

/// What `stage diff` sees changed: one release each of every kind.
pub(crate) fn newer() -> Lock {
    let mut lock = fixture::lock();
    for package in &mut lock.packages {
        match package.name.as_str() {
            "odd" => {
                package.artifacts[0].checksum = UpstreamChecksum::Sha512(Sha512::of(b"evil"));
            }
            "native-arm64" => package.install_script = true,
            _ => {}
        }
    }
    lock.packages.retain(|p| p.name != "inside");
    lock.packages.push(fixture::package("fresh", "0.1.0", &[]));
    for package in &mut lock.packages {
        if package.name == "@scope/lib" {
            package.dependencies.push("fresh@0.1.0".parse().unwrap());
        }
    }
    lock.sort();
    lock
}

#[test]
fn purls_are_sorted_unique_and_only_what_is_carried() {
    let lock = lock_file("inspect/purl.lock", &fixture::lock());
    let all = stage(&["inspect", &lock, "--format", "purl"]);
    assert_eq!((all.code, all.stderr.as_str()), (0, ""), "{}", all.stderr);
    let lines: Vec<&str> = all.stdout.lines().collect();
    assert_eq!(lines.len(), 6);
    assert!(lines.is_sorted() && lines.contains(&"pkg:npm/inside@3.0.0"));
    let amd64 = stage(&[
        "inspect",
        &lock,
        "--format",
        "purl",
        "--platform",
        "linux/amd64",
    ]);
    assert!(!amd64.stdout.contains("native-arm64") && !amd64.stdout.contains("win32"));
    assert_eq!(amd64.stdout.lines().count(), 5);
}

#[test]
fn purl_is_a_form_of_inspect_only() {
    let lock = lock_file("inspect/only.lock", &fixture::lock());
    let ran = stage(&["diff", &lock, &lock, "--format", "purl"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("error[cli-usage]"), "{}", ran.stderr);
}

#[test]
fn inspect_sums_up_a_lock() {
    let lock = lock_file("inspect/sum.lock", &fixture::lock());
    let ran = stage(&["inspect", &lock]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stdout
            .contains("linux/amd64, linux/arm64, glibc 2.36, node 24.21.0")
    );
    let row = ran.stdout.lines().find(|l| l.starts_with("npm ")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[1..4], ["5", "1", "4"], "{row}");
    assert!(
        ran.stdout
            .contains("Install scripts (1): npm claw@2026.9.6")
    );
    let ran = stage(&["inspect", &lock, "--format", "json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["lock"]["ecosystems"]["npm"]["bundled"], 1);
    assert!(!ran.stdout.contains('\u{1b}'));
}

#[test]
fn what_cannot_be_inspected_is_named() {
    let bundle = fixture::file("inspect/x.stage", b"STAGE-BUNDLE\0rest");
    assert_eq!(stage(&["inspect", &bundle]).code, 4);
    let lock = lock_file("inspect/one.lock", &{
        let mut lock = fixture::lock();
        lock.target.platforms.truncate(1);
        lock
    });
    assert_eq!(
        stage(&["inspect", &lock, "--platform", "linux/arm64"]).code,
        2
    );
    assert_eq!(
        stage(&["inspect", &lock, "--platform", "plan9/mips"]).code,
        2
    );
    assert_eq!(stage(&["inspect", "/nowhere/stage.lock"]).code, 2);
    assert_eq!(stage(&["inspect", "/nowhere/x.stage"]).code, 1);
    let broken = fixture::file("inspect/broken.lock", b"version = 1\nwhat = 1\n");
    let ran = stage(&["inspect", &broken]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("broken.lock:2:1"), "{}", ran.stderr);
}

#[test]
fn a_bundle_is_looked_at_and_said_to_be_unverified() {
    let lock = format::write(&fixture::lock());
    let bytes =
        fixture::unsigned_bundle(&[("artifacts/x", &[7; 5000]), ("lock/stage.lock", &lock)]);
    let bundle = fixture::file("inspect/good.stage", &bytes);
    let ran = stage(&["inspect", &bundle]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stdout.contains("NOT VERIFIED") && ran.stdout.contains("serial 7"),
        "{}",
        ran.stdout
    );
    assert!(ran.stderr.contains("is not verified"), "{}", ran.stderr);
    let of_lock = stage(&[
        "inspect",
        &lock_file("inspect/same.lock", &fixture::lock()),
        "--format",
        "purl",
    ]);
    let of_bundle = stage(&["inspect", &bundle, "--format", "purl"]);
    assert_eq!(of_bundle.stdout, of_lock.stdout);
    let diff = stage(&["diff", &bundle, &lock_file("inspect/next.lock", &newer())]);
    assert_eq!(diff.code, 0, "{}", diff.stderr);
    assert!(diff.stderr.contains("is not verified") && diff.stdout.contains("npm fresh 0.1.0"));
    let root = fixture::trust_root("inspect/root.json");
    let judged = stage(&["inspect", &bundle, "--trust", &root]);
    assert_eq!((judged.code, judged.stdout.as_str()), (4, ""));
    let plain = fixture::file(
        "inspect/plain.stage",
        &fixture::unsigned_bundle(&[("docs/a.txt", b"a")]),
    );
    assert!(stage(&["inspect", &plain]).stdout.contains("docs/a.txt"));
    assert_eq!(stage(&["diff", &plain, &plain]).code, 2);
}

#[test]
fn a_damaged_bundle_is_not_looked_into() {
    let lock = format::write(&fixture::lock());
    let bytes = fixture::unsigned_bundle(&[("lock/stage.lock", &lock)]);
    for at in [0, 600, 1100, 34_400, 35_000, bytes.len() - 1100 - 512] {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        let bundle = fixture::file("inspect/bad.stage", &bad);
        let ran = stage(&["inspect", &bundle]);
        assert!(
            ran.code == 4 || (at == 0 && ran.code == 2),
            "byte {at}: {}",
            ran.stderr
        );
        assert_eq!(ran.stdout, "");
    }
    for length in [13, 511, 1024, 34_000, bytes.len() - 2000] {
        let bundle = fixture::file("inspect/cut.stage", &bytes[..length]);
        assert_eq!(stage(&["inspect", &bundle]).code, 4, "{length}");
    }
}

#[test]
fn diff_shows_what_a_reviewer_must_see() {
    let old = lock_file("diff/old.lock", &fixture::lock());
    let new = lock_file("diff/new.lock", &newer());
    let ran = stage(&["diff", &old, &new]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for line in [
        "! npm odd 1.0.0+build.5 has other bytes under the same version",
        "    now has an install script",
        "- npm inside 3.0.0",
        "    needed by: claw@2026.9.6 > @scope/lib@1.0.0 > fresh@0.1.0",
    ] {
        assert!(ran.stdout.contains(line), "{line}\n{}", ran.stdout);
    }
    assert!(
        ran.stderr
            .contains("Compared 1 added, 1 removed, 1 other bytes, 1 other facts, 3 unchanged"),
        "{}",
        ran.stderr
    );
    let same = stage(&["diff", &old, &old]);
    assert_eq!((same.code, same.stdout.as_str()), (0, ""));
}

#[test]
fn every_option_may_be_given_as_a_variable() {
    fn unnamed(command: &clap::Command, out: &mut Vec<String>) {
        let options = command.get_arguments().filter_map(|arg| {
            let name = arg.get_long()?;
            (arg.get_env().is_none() && !["help", "version"].contains(&name)).then_some(name)
        });
        out.extend(options.map(|name| format!("{} --{name}", command.get_name())));
        for child in command.get_subcommands() {
            unnamed(child, out);
        }
    }
    let mut out = Vec::new();
    unnamed(&stage::cli::command(), &mut out);
    assert_eq!(out, Vec::<String>::new());
    let lock = lock_file("variables/stage.lock", &fixture::lock());
    let ran = |variables: &[(&str, &str)], args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stage"));
        command
            .args(args)
            .env_clear()
            .envs(variables.iter().copied());
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let plain = ran(&[("STAGE_FORMAT", "")], &["inspect", &lock]);
    assert_eq!(plain.0, Some(0), "{}", plain.2);
    let purl = ran(&[("STAGE_FORMAT", "purl")], &["inspect", &lock]);
    assert!(purl.1.starts_with("pkg:"), "{}", purl.1);
    let over = ran(
        &[("STAGE_FORMAT", "purl")],
        &["inspect", &lock, "--format", "human"],
    );
    assert_eq!(over.1, plain.1);
    let quiet = ran(&[("STAGE_QUIET", "2")], &["inspect", "none"]);
    assert_eq!((quiet.0, quiet.2.as_str()), (Some(1), ""));
    let wrong = ran(&[("STAGE_JOBS", "many")], &["inspect", &lock]);
    assert_eq!(wrong.0, Some(2));
}

#[test]
fn every_command_has_a_man_page_and_every_shell_a_script() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("man");
    let ran = stage(&["generate", "man", "-o", folder.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let page = std::fs::read_to_string(folder.join("stage-inspect.1")).unwrap();
    assert!(page.contains("stage\\-inspect"), "{page}");
    let shown = stage::cli::command();
    for command in shown.get_subcommands().filter(|c| !c.is_hide_set()) {
        let name = command.get_name();
        assert!(folder.join(format!("stage-{name}.1")).exists(), "{name}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = stage(&["generate", "completions", shell]);
        assert!(
            script.code == 0 && script.stdout.contains("inspect"),
            "{shell}"
        );
    }
}
