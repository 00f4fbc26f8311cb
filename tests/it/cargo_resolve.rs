//! Resolving crates against a registry in memory: what is taken, what denies, what is an error.

use stage::base::digest::Digest;
use stage::base::finding::Severity;
use stage::base::package::{EcosystemId, ReleaseId};
use stage::eco::Ecosystem as _;
use stage::eco::cargo::{Cargo, records};
use stage::resolve::{Closure, check_closure};

use crate::crates::{Crate, Registry, World, request, source};

fn denied(closure: &Closure) -> Vec<String> {
    let denies = closure
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Deny);
    denies
        .map(|f| format!("{} {}", f.code.name, f.subject))
        .collect()
}

fn ids(closure: &Closure) -> Vec<String> {
    closure
        .lock
        .packages
        .iter()
        .map(|p| p.id().to_string())
        .collect()
}

#[test]
fn a_crate_brings_its_whole_lock_file_in_any_order_of_answers() {
    let first = World::new()
        .registry
        .resolve(request(&["tiny-app"]))
        .unwrap();
    assert!(first.findings.is_empty(), "{:?}", first.findings);
    let all = [
        "Tiny_Win@0.3.0",
        "t3b@1.0.0",
        "tiny-app@1.0.0",
        "tiny-lib@0.1.0+one",
        "tiny-lib@0.2.0",
    ];
    assert_eq!(ids(&first), all);
    let app = first
        .lock
        .packages
        .iter()
        .find(|p| p.name == "tiny-app")
        .unwrap();
    assert_eq!(app.license.as_deref(), Some("MIT"));
    assert_eq!(app.places, ["1:tiny-app"]);
    assert_eq!(app.platforms.len(), 2);
    assert_eq!(app.artifacts[0].path, "tiny-app/tiny-app-1.0.0.crate");
    let to: Vec<String> = app.dependencies.iter().map(ToString::to_string).collect();
    assert_eq!(to, ["Tiny_Win@0.3.0", "t3b@1.0.0", "tiny-lib@0.1.0+one"]);
    for seed in 1..20 {
        let mut world = World::new();
        world.registry.seed = seed;
        let again = world.registry.resolve(request(&["tiny-app"])).unwrap();
        assert_eq!(
            (again.lock, again.records),
            (first.lock.clone(), first.records.clone())
        );
    }
    let document = &first.records[&EcosystemId::cargo()];
    let facts = Cargo.facts(document).unwrap();
    let app = &facts[&ReleaseId::new("tiny-app", "1.0.0")];
    assert_eq!(app.license.as_deref(), Some("MIT"));
    assert_eq!(facts[&ReleaseId::new("t3b", "1.0.0")].license, None);
    assert_eq!(facts.len(), 5);
    let merged = Cargo
        .merge_records(&[document.clone(), document.clone()], Some(document))
        .unwrap();
    assert_eq!(&merged, document);
}

#[test]
fn the_user_s_lock_file_decides_and_may_stand_for_a_crate_without_one() {
    let bare = World::new().registry.resolve(request(&["bare"])).unwrap();
    assert_eq!(denied(&bare), ["cargo-no-lockfile cargo bare@1.0.0"]);
    assert!(
        bare.findings[0]
            .fix
            .as_ref()
            .unwrap()
            .contains("cargo generate-lockfile")
    );
    let mut world = World::new();
    let mut with = request(&["bare"]);
    with.lockfile =
        Some(b"version = 4\n[[package]]\nname = \"bare\"\nversion = \"1.0.0\"\n".to_vec());
    let closure = world.registry.resolve(with.clone()).unwrap();
    assert_eq!(ids(&closure), ["bare@1.0.0"]);
    assert_eq!(
        closure.lock.inputs[0].digest,
        Digest::of(with.lockfile.as_ref().unwrap())
    );
    with.packages = vec!["tiny-lib".to_owned()];
    let error = world.registry.resolve(with).unwrap_err().into_fault();
    assert_eq!(error.code().name, "upstream-cargo-no-version");
    let mut alone = request(&[]);
    alone.lockfile = Some(world.lockfile.clone().into_bytes());
    let closure = world.registry.resolve(alone).unwrap();
    assert_eq!(
        ids(&closure),
        [
            "Tiny_Win@0.3.0",
            "t3b@1.0.0",
            "tiny-lib@0.1.0+one",
            "tiny-lib@0.2.0"
        ]
    );
}

#[test]
fn checksums_yanked_versions_and_times_are_judged() {
    let good = Crate::new("dep", "1.0.0").yanked();
    let late = Crate::new("late", "1.0.0").published(Some("2026-06-01T00:00:00Z"));
    let other = Crate::new("changed", "1.0.0");
    let lockfile = format!(
        "version = 4\n{}{}{}",
        good.locked(&[]),
        late.locked(&[]),
        other.locked(&[])
    );
    let replaced = Crate::new("changed", "1.0.0").file("x", "other bytes");
    let mut registry = Registry::new(&[&good, &late, &replaced]);
    let mut wanted = request(&[]);
    wanted.lockfile = Some(lockfile.into_bytes());
    wanted.exclude_newer = Some("2026-02-01T00:00:00Z".parse().unwrap());
    let closure = registry.resolve(wanted).unwrap();
    let denied = denied(&closure);
    assert_eq!(
        denied[..2],
        [
            "cargo-checksum-mismatch cargo changed@1.0.0",
            "cargo-too-new cargo late@1.0.0"
        ]
    );
    let mismatch = closure
        .findings
        .iter()
        .find(|f| f.code.name == "cargo-checksum-mismatch")
        .unwrap();
    assert_eq!(mismatch.code.class.unwrap().to_string(), "E51");
    let warned = closure
        .lock
        .findings
        .iter()
        .map(|f| f.code.as_str())
        .collect::<Vec<_>>();
    assert_eq!(warned, ["cargo-yanked"]);
}

#[test]
fn what_the_registry_does_not_have_is_an_error() {
    let lib = Crate::new("lib", "1.0.0");
    let gone = Crate::new("gone", "1.0.0");
    let lock = |of: &Crate| format!("version = 4\n{}", of.locked(&[])).into_bytes();
    let mut registry = Registry::new(&[&lib, &Crate::new("gone", "2.0.0")]);
    for (packages, lockfile, code) in [
        (&["nothing"][..], None, "upstream-cargo-not-found"),
        (&["lib@2.0.0"][..], None, "upstream-cargo-no-version"),
        (&["lib@1"][..], None, "manifest-cargo-requirement"),
        (&["../lib"][..], None, "manifest-cargo-requirement"),
        (&[][..], Some(lock(&gone)), "upstream-cargo-no-version"),
        (
            &[][..],
            Some(lock(&Crate::new("never", "1.0.0"))),
            "upstream-cargo-not-found",
        ),
        (&[][..], Some(b"[".to_vec()), "manifest-cargo-lockfile"),
    ] {
        let mut wanted = request(packages);
        wanted.lockfile = lockfile;
        let error = registry.resolve(wanted).unwrap_err().into_fault();
        assert_eq!(error.code().name, code, "{packages:?}: {error}");
    }
    registry
        .files
        .insert("3/l/lib".to_owned(), b"<html>".to_vec());
    let error = registry
        .resolve(request(&["lib"]))
        .unwrap_err()
        .into_fault();
    assert_eq!(error.code().name, "upstream-cargo-index");
}

#[test]
fn a_lock_file_of_another_crate_is_refused_and_git_denies() {
    let strange = Crate::new("strange", "1.0.0").file(
        "Cargo.lock",
        "version = 4\n[[package]]\nname = \"strange\"\nversion = \"0.9.0\"\n",
    );
    let git = Crate::new("uses-git", "1.0.0").file(
        "Cargo.lock",
        "version = 4\n[[package]]\nname = \"uses-git\"\nversion = \"1.0.0\"\ndependencies = [\"g\"]\n\
         [[package]]\nname = \"g\"\nversion = \"1.0.0\"\nsource = \"git+https://git.example/g#0123456789012345678901234567890123456789\"\n",
    );
    let mut registry = Registry::new(&[&strange, &git]);
    let error = registry
        .resolve(request(&["strange"]))
        .unwrap_err()
        .into_fault();
    assert_eq!(error.code().name, "manifest-cargo-lockfile");
    let closure = registry.resolve(request(&["uses-git"])).unwrap();
    assert_eq!(denied(&closure), ["cargo-git-dependency cargo g@1.0.0"]);
    assert!(source().starts_with("registry+"));
}

#[test]
fn the_closure_check_finds_what_is_taken_out() {
    let closure = World::new()
        .registry
        .resolve(request(&["tiny-app"]))
        .unwrap();
    let open = |change: &dyn Fn(&mut stage::lock::Lock)| {
        let mut lock = closure.lock.clone();
        change(&mut lock);
        let findings = check_closure(&lock, &closure.records).unwrap();
        findings.into_iter().map(|f| f.message).collect::<Vec<_>>()
    };
    assert!(open(&|_| ()).is_empty());
    let without = open(&|lock| lock.packages.retain(|p| p.name != "t3b"));
    assert!(
        without
            .iter()
            .any(|m| m.starts_with("build dependency \"t3b\" \"^1\"")),
        "{without:?}"
    );
    let elsewhere = open(&|lock| lock.packages[0].platforms.truncate(1));
    assert!(
        elsewhere.iter().all(|m| m.ends_with("for linux/arm64")),
        "{elsewhere:?}"
    );
    assert!(!elsewhere.is_empty());
    let no_edges = open(&|lock| {
        lock.packages
            .iter_mut()
            .for_each(|p| p.dependencies.clear());
    });
    assert_eq!(no_edges.len(), 5, "{no_edges:?}");
    let swapped = open(&|lock| {
        for package in &mut lock.packages {
            for to in &mut package.dependencies {
                if to.name == "tiny-lib" {
                    to.version = if to.version == "0.2.0" {
                        "0.1.0+one"
                    } else {
                        "0.2.0"
                    }
                    .to_owned();
                }
            }
        }
    });
    assert!(
        swapped
            .iter()
            .any(|m| m.starts_with("locked dependency \"tiny-lib\"")),
        "{swapped:?}"
    );
    let mut changed = records::parse(&closure.records[&EcosystemId::cargo()]).unwrap();
    changed.lockfiles[0].text =
        changed.lockfiles[0]
            .text
            .replacen("checksum = \"", "checksum = \"0", 1);
    let bytes = records::write(&changed);
    let lost = Cargo.check_closure(&closure.lock, &bytes, closure.lock.target.platforms[0]);
    lost.unwrap_err();
}
