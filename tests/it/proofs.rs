//! `stage verify --upstream`: what travels proves where packages are from, and a builder who carries something else, or
//! says more than was signed, is caught by it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stage::base::digest::{Digest, UpstreamChecksum};
use stage::base::evidence::Level;
use stage::base::package::EcosystemId;
use stage::eco::debian::Debian;
use stage::eco::debian::records::{self, DebianRecords};
use stage::eco::npm::Npm;
use stage::lock::{Lock, format};

use crate::debian_archive::{Archive, Suite, key};
use crate::debian_chain::{self, BOTH, debian, resolved};
use crate::npm_signatures::RegistryKey;
use crate::packages::{Closure, Release};
use crate::schemas::assert_valid;
use crate::world::{Content, World};

/// What a bundle of Debian packages is made of, so that a test can lie about it.
#[derive(Clone)]
struct Parts {
    lock: Lock,
    records: DebianRecords,
    blobs: BTreeMap<String, Vec<u8>>,
    proofs: BTreeMap<String, Vec<u8>>,
}

/// The archive, signed before any bundle of [`World`] is made.
fn early() -> [Suite; 2] {
    debian().map(|suite| Suite {
        date: "2026-01-01T12:00:00Z".parse().unwrap(),
        ..suite
    })
}

/// A world that has resolved and bundled, with the bundle's parts.
fn carried(name: &str) -> (World, Archive, Parts) {
    let world = World::new(name);
    let archive = Archive::new(&early(), &key(1));
    debian_chain::manifest(&world, &archive, BOTH, "packages = [\"app\"]");
    resolved(&world, &[]);
    world.ok(&["bundle", "--key", "k.pem", "-o", "claw.stage"]);
    let lock = format::parse(&std::fs::read(world.path("stage.lock")).unwrap()).unwrap();
    let records = std::fs::read(world.path("stage.records/debian.json")).unwrap();
    let records = records::parse(&records).unwrap();
    let files = archive.files.lock().unwrap().clone();
    let wanted = |bytes: &Vec<u8>| {
        let sum = UpstreamChecksum::Sha256(Digest::of(bytes));
        lock.carried_artifacts().any(|(_, a)| a.checksum == sum)
    };
    let blobs = files.values().filter(|bytes| wanted(bytes));
    let blobs = blobs
        .map(|bytes| (Digest::of(bytes).hex(), bytes.clone()))
        .collect();
    let proofs = files
        .iter()
        .filter(|(path, _)| path.ends_with("amd64/Packages.gz"))
        .map(|(path, bytes)| (format!("upstream/debian/debian/{path}"), bytes.clone()))
        .collect();
    let parts = Parts {
        lock,
        records,
        blobs,
        proofs,
    };
    (world, archive, parts)
}

/// A bundle of these parts, signed by the builder, whatever they are.
fn bundle(world: &World, parts: &Parts, serial: u64) -> String {
    let mut lock = parts.lock.clone();
    let records = records::write(&parts.records);
    lock.records
        .insert(EcosystemId::debian(), Digest::of(&records));
    lock.sort();
    let content = Content {
        ecosystem: &Debian,
        lock: &lock,
        records: &records,
        blobs: &parts.blobs,
    };
    let proofs: Vec<(&str, &[u8])> = parts
        .proofs
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
        .collect();
    let path = world.bundle_with(&content, ("claw", serial), &proofs);
    path.to_str().unwrap().to_owned()
}

/// Exit code and report of a verification.
fn verify(world: &World, bundle: &str, more: &[&str]) -> (i32, Value) {
    let mut all = vec!["verify", bundle, "--trust", "root.json", "--format", "json"];
    all.extend(more);
    let output = world.stage(&all);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_valid("verify-report.json", &report);
    (output.status.code().unwrap(), report)
}

#[track_caller]
fn refused(world: &World, bundle: &str, code: &str, part: &str) {
    // Authentic it is: its builder signed it.
    assert_eq!(verify(world, bundle, &[]).0, 0);
    let (exit, report) = verify(world, bundle, &["--upstream"]);
    assert_eq!(exit, 4, "{report:#}");
    assert_eq!(report["refused"]["check"], "upstream");
    assert_eq!(report["refused"]["class"], "E51");
    assert_eq!(report["bundle"], Value::Null);
    let errors = report["errors"].as_array().unwrap();
    assert!(errors.iter().any(|e| e["code"] == code), "{report:#}");
    let told = serde_json::to_string(errors).unwrap();
    assert!(told.contains(part), "{told}");
}

#[test]
fn a_carried_chain_is_proved_by_the_records_or_by_the_readers_own_keyring() {
    let (world, _archive, _) = carried("proofs");
    let lock = debian_chain::lock(&world);
    assert_eq!(lock.matches("evidence = \"L4\"").count(), 3, "{lock}");
    let (code, report) = verify(&world, "claw.stage", &["--upstream"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["upstream"]["levels"], json!({"debian": {"L4": 3}}));
    let first = &report["upstream"]["files"][0];
    assert_eq!(first["by"], json!([key(1).fingerprint().as_str()]));
    assert_eq!(first["stated"], "L4");
    let own = ["--upstream", "--debian-keyring", "archive.asc"];
    assert_eq!(verify(&world, "claw.stage", &own).0, 0);
    let other = key(2).armored_certificate().unwrap();
    std::fs::write(world.path("other.asc"), other).unwrap();
    let foreign = ["--upstream", "--debian-keyring", "other.asc"];
    let (code, report) = verify(&world, "claw.stage", &foreign);
    assert_eq!(code, 4, "{report:#}");
    assert_eq!(report["refused"]["code"], "openpgp-no-valid-signature");

    // What travels is what gpgv and people can read, and the receipt says what was proved.
    let shown = world.ok(&[
        "inspect",
        "claw.stage",
        "--trust",
        "root.json",
        "--format",
        "json",
    ]);
    assert!(!shown.stdout.is_empty());
    let receipt = ["--upstream", "--receipt", "receipt.json"];
    verify(&world, "claw.stage", &receipt);
    let receipt: Value =
        serde_json::from_slice(&std::fs::read(world.path("receipt.json")).unwrap()).unwrap();
    assert_eq!(receipt["upstream"]["levels"]["debian"]["L4"], 3);
    let human = world.ok(&["verify", "claw.stage", "--trust", "root.json", "--upstream"]);
    let human = String::from_utf8_lossy(&human.stdout).into_owned();
    assert!(human.contains("upstream   debian  3 at L4; by "), "{human}");

    // A pipe cannot be read twice.
    let piped = world.stage(&["verify", "-", "--trust", "root.json", "--upstream"]);
    assert_eq!(piped.status.code(), Some(2));
    // The same lock and archive give the same bytes, and an import takes what is new in it.
    let before = std::fs::read(world.path("claw.stage")).unwrap();
    world.ok(&["bundle", "--key", "k.pem", "-o", "claw.stage"]);
    assert_eq!(std::fs::read(world.path("claw.stage")).unwrap(), before);
    let (code, said) = world.import(&world.path("claw.stage"));
    assert_eq!(code, 0, "{said}");
}

#[test]
fn what_travels_is_the_archives_own_and_is_left_out_when_nobody_wants_it() {
    let (world, archive, _) = carried("proofs-files");
    let bytes = std::fs::read(world.path("claw.stage")).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    for path in [
        "upstream/debian/certificates.pgp",
        "upstream/debian/debian/dists/bookworm/InRelease",
        "upstream/debian/debian/dists/bookworm/main/binary-amd64/Packages.gz",
        "upstream/debian/debian/dists/bookworm-security/main/binary-amd64/Packages.gz",
    ] {
        assert!(text.contains(path), "{path}");
    }
    let manifest = std::fs::read_to_string(world.path("stage.toml")).unwrap();
    let without = manifest.replace(
        "channel = \"claw\"",
        "channel = \"claw\"\ncarry-indexes = false",
    );
    std::fs::write(world.path("stage.toml"), without).unwrap();
    world.ok(&["bundle", "--key", "k.pem", "-o", "small.stage"]);
    assert!(
        !String::from_utf8_lossy(&std::fs::read(world.path("small.stage")).unwrap())
            .contains("upstream/debian")
    );
    let (code, report) = verify(&world, "small.stage", &["--upstream"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["upstream"]["levels"], json!({"debian": {"L2": 3}}));
    assert_eq!(report["upstream"]["files"][0]["gap"], "unreachable");

    // Another host has no cache, and the archive may have moved on: that is said, and does not stop the bundle.
    std::fs::write(world.path("stage.toml"), &manifest).unwrap();
    std::fs::remove_dir_all(world.path("home")).unwrap();
    for path in archive.asked() {
        if path.contains("Packages") || path.contains("by-hash") {
            archive
                .files
                .lock()
                .unwrap()
                .remove(path.trim_start_matches('/'));
        }
    }
    archive
        .files
        .lock()
        .unwrap()
        .retain(|path, _| !path.contains("Packages"));
    let output = world.ok(&[
        "bundle",
        "--key",
        "k.pem",
        "-o",
        "late.stage",
        "--format",
        "json",
    ]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("evidence-not-carried") || talk.contains("evidence-not-carried"),
        "{said}\n{talk}"
    );
    let (code, report) = verify(&world, "late.stage", &["--upstream"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["upstream"]["files"][0]["proven"], "L2");
}

#[test]
fn a_builder_who_carries_something_else_is_refused() {
    let (world, _archive, parts) = carried("proofs-lies");
    let good = bundle(&world, &parts, 2);
    let (code, report) = verify(&world, &good, &["--upstream"]);
    assert_eq!(
        (code, &report["upstream"]["levels"]),
        (0, &json!({"debian": {"L4": 3}}))
    );

    // An index that the archive never signed.
    let mut lie = parts.clone();
    let index = lie.proofs.values_mut().next().unwrap();
    *index = gzip(b"Package: app\n");
    refused(
        &world,
        &bundle(&world, &lie, 3),
        "debian-chain",
        "is not the one that the release lists",
    );

    // A release with another line in it, or one of another suite under its name.
    let mut lie = parts.clone();
    let label = "debian dists/bookworm/InRelease";
    let release = lie.records.releases.get_mut(label).unwrap();
    release.text = release.text.replacen("Origin: Test", "Origin: Tost", 1);
    refused(
        &world,
        &bundle(&world, &lie, 4),
        "openpgp-bad-signature",
        "was changed after it was signed",
    );
    let mut lie = parts.clone();
    let security = lie.records.releases["debian dists/bookworm-security/InRelease"].clone();
    lie.records.releases.insert(label.to_owned(), security);
    refused(
        &world,
        &bundle(&world, &lie, 5),
        "debian-chain",
        "it is of another suite",
    );

    // A package that the index does not have: the lock, the records and the bytes agree, and only the chain tells.
    let mut lie = parts.clone();
    let evil = b"not from the archive".to_vec();
    let package = lie.records.packages.get_mut("libone").unwrap();
    let package = package
        .values_mut()
        .next()
        .unwrap()
        .get_mut("amd64")
        .unwrap();
    let was = package.sha256().unwrap();
    package.stanza = package.stanza.replace(&was.hex(), &Digest::of(&evil).hex());
    for artifact in lie.lock.packages.iter_mut().flat_map(|p| &mut p.artifacts) {
        if artifact.checksum == UpstreamChecksum::Sha256(was) {
            artifact.checksum = UpstreamChecksum::Sha256(Digest::of(&evil));
        }
    }
    lie.blobs.remove(&was.hex());
    lie.blobs.insert(Digest::of(&evil).hex(), evil);
    refused(
        &world,
        &bundle(&world, &lie, 6),
        "debian-chain",
        "has no such entry",
    );

    // No certificates, and files for gpgv that are not those of the records.
    let mut lie = parts.clone();
    lie.records.certificates.clear();
    refused(
        &world,
        &bundle(&world, &lie, 7),
        "debian-chain",
        "have no certificates",
    );
    let mut lie = parts.clone();
    let shown = "upstream/debian/debian/dists/bookworm/InRelease";
    lie.proofs.insert(
        shown.to_owned(),
        b"-----BEGIN PGP SIGNED MESSAGE-----\n".to_vec(),
    );
    refused(
        &world,
        &bundle(&world, &lie, 8),
        "debian-chain",
        "is not the one of the records",
    );
}

/// Keys of the builder's own make a chain that agrees with itself, and only a reader who brings the archive's notices.
#[test]
fn a_forged_archive_does_not_stand_against_the_readers_keyring() {
    let (world, archive, _) = carried("proofs-forged");
    archive.publish(&debian(), &key(9));
    let forged = key(9).armored_certificate().unwrap();
    std::fs::copy(world.path("archive.asc"), world.path("real.asc")).unwrap();
    std::fs::write(world.path("archive.asc"), forged).unwrap();
    std::fs::remove_file(world.path("stage.lock")).unwrap();
    resolved(&world, &[]);
    world.ok(&["bundle", "--key", "k.pem", "-o", "forged.stage"]);
    assert_eq!(verify(&world, "forged.stage", &["--upstream"]).0, 0);
    let own = ["--upstream", "--debian-keyring", "real.asc"];
    let (code, report) = verify(&world, "forged.stage", &own);
    assert_eq!(code, 4, "{report:#}");
    assert_eq!(report["refused"]["code"], "openpgp-no-valid-signature");
}

#[test]
fn signatures_of_a_registry_are_proved_again() {
    let world = World::new("proofs-npm");
    let own = RegistryKey::new();
    std::fs::write(
        world.path("keys.json"),
        crate::npm_signatures::keys(&[own.entry(None)]),
    )
    .unwrap();
    let release = |name: &str| Release::new(name, "1.0.0", json!({}), &[("index.js", "1")]);
    let closure = Closure::new(&["app@1.0.0"], vec![release("app"), release("lib")]);
    let signed =
        |signatures: &dyn Fn(&str, &str) -> Vec<Value>, stated: Option<Level>, serial: u64| {
            let mut records = stage::eco::npm::records::parse(&closure.records).unwrap();
            for (name, package) in &mut records.packages {
                let dist = package
                    .versions
                    .get_mut("1.0.0")
                    .unwrap()
                    .dist
                    .as_mut()
                    .unwrap();
                dist.signatures = signatures(name, dist.integrity.as_deref().unwrap());
            }
            let records = stage::eco::npm::records::write(&records);
            let mut lock = closure.lock.clone();
            lock.records
                .insert(EcosystemId::npm(), Digest::of(&records));
            for artifact in lock.packages.iter_mut().flat_map(|p| &mut p.artifacts) {
                artifact.evidence = stated;
            }
            let content = Content {
                ecosystem: &Npm,
                lock: &lock,
                records: &records,
                blobs: &closure.blobs,
            };
            let path = world.bundle_of(&content, "claw", serial);
            path.to_str().unwrap().to_owned()
        };
    let right = |name: &str, integrity: &str| vec![own.sign(&format!("{name}@1.0.0"), integrity)];
    let given = ["--upstream", "--npm-keys", "keys.json"];
    let good = signed(&right, Some(Level::L3), 1);
    let (code, report) = verify(&world, &good, &given);
    assert_eq!(
        (code, &report["upstream"]["levels"]),
        (0, &json!({"npm": {"L3": 2}})),
        "{report:#}"
    );
    assert_eq!(report["upstream"]["files"][0]["by"], json!([own.id()]));
    // By the keys of the public registry it is signed by nobody.
    refused(
        &world,
        &good,
        "npm-signature-unknown-key",
        "nobody knows the key",
    );

    let wrong = |name: &str, integrity: &str| vec![own.sign(&format!("{name}@1.0.1"), integrity)];
    let (code, report) = verify(&world, &signed(&wrong, Some(Level::L3), 2), &given);
    assert_eq!(code, 4, "{report:#}");
    assert_eq!(report["refused"]["code"], "npm-signature-invalid");
    assert_eq!(report["errors"].as_array().unwrap().len(), 2, "{report:#}");
    let none = |_: &str, _: &str| Vec::new();
    refused(
        &world,
        &signed(&none, Some(Level::L3), 3),
        "evidence-contradicted",
        "the records have no signature",
    );
    // Less may be stated than holds: an older lock, or a registry that signed later.
    let (code, report) = verify(&world, &signed(&right, None, 4), &given);
    assert_eq!(
        (code, &report["upstream"]["levels"]),
        (0, &json!({"npm": {"L3": 2}}))
    );
    let (code, report) = verify(&world, &signed(&none, None, 5), &given);
    assert_eq!(
        (code, &report["upstream"]["levels"]),
        (0, &json!({"npm": {"L2": 2}}))
    );
    assert_eq!(report["upstream"]["files"][0]["gap"], "stripped");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}
