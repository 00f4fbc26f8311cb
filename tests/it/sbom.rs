//! The SBOM, written from a lock and read back. `scripts/sbom-check` judges the same document with the reference
//! implementation of CycloneDX.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use stage::base::digest::{Digest, Digests};
use stage::base::package::{EcosystemId, Purl, ReleaseId};
use stage::eco::ReleaseFacts;
use stage::lock::Lock;
use stage::sbom::cyclonedx::{CarriedFile, Facts, Files, SbomInput, write};
use stage::sbom::{SbomError, read};

use crate::fixture;

pub(crate) fn files(lock: &Lock) -> Files {
    let mut out = Files::new();
    for (package, artifact) in lock.carried_artifacts() {
        let bytes = fixture::bytes_of(&artifact.file);
        out.entry((package.ecosystem.clone(), package.id()))
            .or_default()
            .push(CarriedFile::read(
                &artifact.file,
                Digests::of(&bytes),
                bytes.len() as u64,
            ));
    }
    out
}

fn facts() -> Facts {
    let claw = ReleaseFacts {
        supplier: Some("Claw Makers".to_owned()),
        description: Some("An agent\nwith claws".to_owned()),
        homepage: Some("https://claw.example/".to_owned()),
        repository: Some("git+https://git.claw.example/claw.git".to_owned()),
        ..ReleaseFacts::default()
    };
    let odd = ReleaseFacts {
        homepage: Some("javascript://claw.example/%0aalert(1)".to_owned()),
        repository: Some("git@claw.example:odd".to_owned()),
        ..ReleaseFacts::default()
    };
    let of_npm = BTreeMap::from([
        (ReleaseId::new("claw", "2026.9.6"), claw),
        (ReleaseId::new("odd", "1.0.0+build.5"), odd),
    ]);
    BTreeMap::from([(EcosystemId::npm(), of_npm)])
}

fn purl(ecosystem: &EcosystemId, release: &ReleaseId) -> Purl {
    if *ecosystem == EcosystemId::npm() {
        stage::eco::npm::purl(release)
    } else {
        let segments: Vec<&str> = release.name.split('/').collect();
        Purl::new("generic", &segments, &release.version, &[])
    }
}

/// What the license file of `odd` says.
pub(crate) const ODD_TEXT: &str = "The odd license\n\nDo as you like.";

pub(crate) fn sbom(lock: &Lock, files: &Files, author: Option<&str>) -> Result<Vec<u8>, SbomError> {
    let odd = (EcosystemId::npm(), ReleaseId::new("odd", "1.0.0+build.5"));
    write(&SbomInput {
        lock,
        facts: &facts(),
        files,
        lock_digest: Digest::of(b"the lock"),
        name: "claw",
        version: "7",
        created: "2026-11-22T00:00:00Z".parse().unwrap(),
        tool_version: "0.1.0",
        author,
        license_texts: &BTreeMap::from([(odd, ODD_TEXT.to_owned())]),
        purl: &purl,
    })
}

fn document() -> (Vec<u8>, Value) {
    let lock = fixture::lock();
    let bytes = sbom(&lock, &files(&lock), Some("Platform team")).unwrap();
    let value = serde_json::from_slice(&bytes).unwrap();
    (bytes, value)
}

fn component<'a>(document: &'a Value, name: &str) -> &'a Value {
    let all = document["components"].as_array().unwrap();
    all.iter().find(|c| c["name"] == name).unwrap()
}

#[test]
fn every_carried_release_is_a_component_with_both_digests() {
    let (bytes, document) = document();
    let found = read::components(&bytes).unwrap();
    let purls: Vec<&str> = found.iter().map(|c| c.purl.as_str()).collect();
    assert_eq!(
        purls,
        [
            "pkg:generic/python/python.tar.zst@3.11.9",
            "pkg:npm/%40scope/lib@1.0.0",
            "pkg:npm/claw@2026.9.6",
            "pkg:npm/inside@3.0.0",
            "pkg:npm/native-arm64@1.0.0",
            "pkg:npm/odd@1.0.0%2Bbuild.5",
        ]
    );
    for component in &found {
        let files = usize::from(component.purl != "pkg:npm/inside@3.0.0");
        assert_eq!(
            (component.sha256.len(), component.sha512.len()),
            (files, files)
        );
        assert_eq!(component.bundled, files == 0);
    }
    let digests = Digests::of(&fixture::bytes_of("claw-2026.9.6.tgz"));
    assert_eq!(found[2].sha256, [digests.sha256]);
    assert_eq!(document["specVersion"], "1.6");
    assert_eq!(
        component(&document, "python/python.tar.zst")["type"],
        "file"
    );
}

#[test]
fn unknown_is_declared_and_declared_is_marked() {
    let (_, document) = document();
    let license = |name| component(&document, name)["licenses"][0].clone();
    let expected =
        serde_json::json!({"expression": "(MIT OR Apache-2.0)", "acknowledgement": "declared"});
    assert_eq!(license("@scope/lib"), expected);
    let text = "SEE LICENSE IN LICENSE.md";
    let expected = serde_json::json!({"license": {"name": text, "acknowledgement": "declared",
        "text": {"contentType": "text/plain", "content": ODD_TEXT}}});
    assert_eq!(license("odd"), expected);
    let expected = serde_json::json!({"license": {"name": "NOASSERTION"}});
    assert_eq!(license("native-arm64"), expected);
    assert_eq!(
        component(&document, "claw")["supplier"]["name"],
        "Claw Makers"
    );
    assert_eq!(
        component(&document, "odd")["supplier"]["name"],
        "NOASSERTION"
    );
    // What is no address is not given out as one; git has a short form of its own.
    let references = component(&document, "odd")["externalReferences"].as_array();
    let references = references.unwrap().iter();
    let said: Vec<String> = references
        .filter(|one| one["type"] != "distribution")
        .map(|one| format!("{} {}", one["type"], one["url"]))
        .collect();
    assert_eq!(said, ["\"vcs\" \"ssh://git@claw.example/odd\""]);
}

#[test]
fn every_component_is_in_the_graph_and_every_edge_ends_at_one() {
    let (_, document) = document();
    let root = document["metadata"]["component"]["bom-ref"]
        .as_str()
        .unwrap();
    let mut refs: BTreeSet<&str> = BTreeSet::from([root]);
    for component in document["components"].as_array().unwrap() {
        refs.insert(component["bom-ref"].as_str().unwrap());
    }
    let mut graph = BTreeMap::new();
    for entry in document["dependencies"].as_array().unwrap() {
        let to: Vec<&str> = entry["dependsOn"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|v| v.as_str().unwrap())
            .collect();
        assert!(to.iter().all(|t| refs.contains(t)), "{to:?}");
        assert_eq!(graph.insert(entry["ref"].as_str().unwrap(), to), None);
    }
    assert_eq!(graph.keys().copied().collect::<BTreeSet<_>>(), refs);
    assert_eq!(
        graph[root],
        [
            "pkg:generic/python/python.tar.zst@3.11.9",
            "pkg:npm/claw@2026.9.6"
        ]
    );
    assert_eq!(graph["pkg:npm/claw@2026.9.6"].len(), 3);
}

#[test]
fn the_same_input_gives_the_same_bytes_and_any_change_another_serial_number() {
    let lock = fixture::lock();
    let given = files(&lock);
    let one = sbom(&lock, &given, None).unwrap();
    assert_eq!(one, sbom(&lock, &given, None).unwrap());
    assert!(one.ends_with(b"}\n"));
    let number = |bytes: &[u8]| -> String {
        let value: Value = serde_json::from_slice(bytes).unwrap();
        value["serialNumber"].as_str().unwrap().to_owned()
    };
    let other = sbom(&lock, &given, Some("Someone")).unwrap();
    assert_ne!(number(&one), number(&other));
    assert_eq!(number(&one).as_bytes()[23], b'8', "{}", number(&one));
}

#[test]
fn a_release_in_several_installs_is_one_component() {
    let mut lock = fixture::lock();
    let mut again = lock
        .packages
        .iter()
        .find(|p| p.name == "claw")
        .unwrap()
        .clone();
    again.dependencies = vec![ReleaseId::new("odd", "1.0.0+build.5")];
    lock.packages.push(again);
    lock.sort();
    let bytes = sbom(&lock, &files(&lock), None).unwrap();
    assert_eq!(read::components(&bytes).unwrap().len(), 6);
}

#[test]
fn a_carried_file_without_digest_is_a_bug_that_is_named() {
    let lock = fixture::lock();
    let mut given = files(&lock);
    given.remove(&(EcosystemId::npm(), ReleaseId::new("odd", "1.0.0+build.5")));
    let error = sbom(&lock, &given, None).unwrap_err().to_string();
    assert!(error.contains("odd-1.0.0+build.5.tgz"), "{error}");
}

#[test]
fn the_document_says_how_it_came_to_be_and_what_it_does_not_know() {
    let mut lock = fixture::lock();
    for package in &mut lock.packages {
        if package.name == "@scope/lib" {
            // Only for another platform: not carried.
            let edge = ReleaseId::new("native-win32", "1.0.0");
            package.dependencies.push(edge);
        }
    }
    let author = "Platform team <platform@agency.example>";
    let bytes = sbom(&lock, &files(&lock), Some(author)).unwrap();
    let document: Value = serde_json::from_slice(&bytes).unwrap();
    let metadata = &document["metadata"];
    assert_eq!(metadata["authors"][0]["name"], "Platform team");
    assert_eq!(metadata["authors"][0]["email"], "platform@agency.example");
    assert_eq!(metadata["manufacturer"]["name"], "Platform team");
    assert_eq!(metadata["licenses"][0]["expression"], "CC0-1.0");
    assert_eq!(metadata["component"]["copyright"], "NOASSERTION");

    let workflow = &document["formulation"][0]["workflows"][0];
    assert_eq!(workflow["uid"], Digest::of(b"the lock").to_string());
    let parameters = workflow["inputs"][0]["parameters"].as_array().unwrap();
    for (name, value) in [
        ("platform", "linux/arm64"),
        ("libc", "glibc 2.36"),
        ("node", "24.21.0"),
        ("requirement", "npm claw@2026.9.6"),
    ] {
        let expected = serde_json::json!({"name": name, "value": value});
        assert!(parameters.contains(&expected), "{expected}");
    }

    let of = |aggregate: &str| -> Vec<&str> {
        let all = document["compositions"].as_array().unwrap();
        let found = all.iter().find(|c| c["aggregate"] == aggregate).unwrap();
        let references = found["dependencies"].as_array().unwrap().iter();
        references.map(|r| r.as_str().unwrap()).collect()
    };
    assert_eq!(of("incomplete"), ["pkg:npm/%40scope/lib@1.0.0"]);
    assert_eq!(of("unknown"), ["pkg:npm/inside@3.0.0"]);
    assert!(of("complete").contains(&"pkg:npm/claw@2026.9.6"));

    // Where the file is, without the address of the upstream; and what it is, without looking inside.
    let claw = component(&document, "claw");
    let references = claw["externalReferences"].as_array().unwrap();
    let found = references.iter().find(|r| r["type"] == "distribution");
    let found = found.unwrap();
    assert_eq!(found["url"], "claw/-/claw-2026.9.6.tgz");
    let digests = Digests::of(&fixture::bytes_of("claw-2026.9.6.tgz"));
    assert_eq!(found["hashes"][1]["content"], digests.sha512.hex());
    let archive = serde_json::json!({"name": "bsi:component:archive", "value": "archive"});
    let is_archive = |name| {
        component(&document, name)["properties"]
            .as_array()
            .unwrap()
            .contains(&archive)
    };
    assert!(is_archive("claw") && !is_archive("inside"));
}

#[test]
fn what_was_read_from_files_is_concluded() {
    let mut lock = fixture::lock();
    for package in &mut lock.packages {
        if package.name == "claw" {
            package.ecosystem = EcosystemId::debian();
        }
    }
    lock.sort();
    let bytes = sbom(&lock, &files(&lock), None).unwrap();
    let document: Value = serde_json::from_slice(&bytes).unwrap();
    let of = |name| component(&document, name)["licenses"][0]["acknowledgement"].clone();
    assert_eq!((of("claw"), of("odd")), ("concluded".into(), Value::Null));
    assert_eq!(of("@scope/lib"), "declared");
}

/// Writes the document where `scripts/sbom-check` picks it up.
#[test]
fn the_document_is_left_for_the_reference_validator() {
    let (bytes, _) = document();
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("sample.cdx.json");
    std::fs::write(&path, bytes).unwrap();
    assert!(path.exists());
}
