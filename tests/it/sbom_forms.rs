//! The forms of the SBOM that are made of the CycloneDX document, `stage sbom` and `stage sbom diff`.
//! `scripts/sbom-check` judges the same documents with the programs that read them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use stage::base::digest::{Digest, Digests};
use stage::lock::Lock;
use stage::sbom::document::Document;
use stage::sbom::{spdx, table};

use crate::approvals::{openssl_verifies, payload};
use crate::desk::Desk;
use crate::schemas::assert_valid;
use crate::walk::Registry;
use crate::{fixture, sbom};

/// The closure of the fixture, with a release of two files, and terms that SPDX has no identifier for.
fn lock() -> Lock {
    let mut lock = fixture::lock();
    for package in &mut lock.packages {
        if package.name == "@scope/lib" {
            let mut second = package.artifacts[0].clone();
            "lib-1.0.0-second file.whl".clone_into(&mut second.file);
            second.size = Some(12);
            package.artifacts.push(second);
        }
        if package.name == "native-arm64" {
            package.license = Some("MIT OR LicenseRef-own".to_owned());
        }
    }
    lock
}

fn cyclonedx() -> Vec<u8> {
    let lock = lock();
    sbom::sbom(
        &lock,
        &sbom::files(&lock),
        Some("Platform (team) <a@b.example>"),
    )
    .unwrap()
}

fn spdx_document() -> Value {
    let document = Document::read(&cyclonedx()).unwrap();
    serde_json::from_slice(&spdx::write(&document)).unwrap()
}

fn package<'a>(spdx: &'a Value, name: &str) -> &'a Value {
    let all = spdx["packages"].as_array().unwrap();
    all.iter().find(|p| p["name"] == name).unwrap()
}

#[test]
fn spdx_says_what_cyclonedx_says() {
    let spdx = spdx_document();
    let all = spdx["packages"].as_array().unwrap();
    let claw = all.iter().rfind(|p| p["name"] == "claw").unwrap();
    let digests = Digests::of(&fixture::bytes_of("claw-2026.9.6.tgz"));
    assert_eq!(
        claw["checksums"],
        json!([
            {"algorithm": "SHA256", "checksumValue": digests.sha256.hex()},
            {"algorithm": "SHA512", "checksumValue": digests.sha512.hex()},
        ])
    );
    assert_eq!(claw["licenseDeclared"], "MIT");
    assert_eq!(claw["licenseConcluded"], "NOASSERTION");
    assert_eq!(claw["downloadLocation"], "NOASSERTION");
    assert_eq!(claw["supplier"], "Organization: Claw Makers");
    assert_eq!(claw["packageFileName"], "claw-2026.9.6.tgz");
    let purl = &claw["externalRefs"][0]["referenceLocator"];
    assert_eq!(purl, "pkg:npm/claw@2026.9.6");
    assert_eq!(package(&spdx, "odd")["supplier"], "NOASSERTION");
    let creators = spdx["creationInfo"]["creators"].as_array().unwrap();
    assert_eq!(creators[1], "Organization: Platform [team] (a@b.example)");

    // Words that are no expression, and an own name: both are defined.
    let odd = package(&spdx, "odd")["licenseDeclared"].as_str().unwrap();
    let infos = spdx["hasExtractedLicensingInfos"].as_array().unwrap();
    let text = |id: &str| {
        let info = infos.iter().find(|info| info["licenseId"] == id).unwrap();
        info["extractedText"].as_str().unwrap()
    };
    assert_eq!(text(odd), sbom::ODD_TEXT);
    let info = infos.iter().find(|info| info["licenseId"] == odd).unwrap();
    assert_eq!(info["comment"], "Declared as: SEE LICENSE IN LICENSE.md");
    assert_eq!(text("LicenseRef-own"), "NOASSERTION");
}

#[test]
fn every_edge_of_spdx_ends_at_an_element_and_every_file_has_its_own_checksums() {
    let spdx = spdx_document();
    let packages = spdx["packages"].as_array().unwrap();
    let mut ids: BTreeSet<&str> = packages
        .iter()
        .map(|p| p["SPDXID"].as_str().unwrap())
        .collect();
    // The bundle, six releases and the two files of one of them.
    assert_eq!((packages.len(), ids.len()), (9, 9));
    ids.insert("SPDXRef-DOCUMENT");
    let mut related = BTreeSet::new();
    for relation in spdx["relationships"].as_array().unwrap() {
        let [from, kind, to] = ["spdxElementId", "relationshipType", "relatedSpdxElement"]
            .map(|key| relation[key].as_str().unwrap());
        assert!(ids.contains(from) && ids.contains(to), "{relation}");
        related.insert((from, kind, to));
    }
    let id = |name| package(&spdx, name)["SPDXID"].as_str().unwrap();
    // Two packages are called `claw`: what it is about, which comes first, and the release.
    let release = packages.iter().rfind(|p| p["name"] == "claw").unwrap();
    let release = release["SPDXID"].as_str().unwrap();
    let second = "lib-1.0.0-second file.whl";
    for expected in [
        ("SPDXRef-DOCUMENT", "DESCRIBES", id("claw")),
        (id("claw"), "DEPENDS_ON", release),
        (release, "DEPENDS_ON", id("@scope/lib")),
        (id("inside"), "CONTAINED_BY", release),
        (id("@scope/lib"), "CONTAINS", id("lib-1.0.0.tgz")),
        (id("@scope/lib"), "CONTAINS", id(second)),
    ] {
        assert!(related.contains(&expected), "{expected:?}");
    }
    let digest = Digest::of(&fixture::bytes_of("lib-1.0.0-second file.whl")).hex();
    let file = package(&spdx, "lib-1.0.0-second file.whl");
    assert_eq!(file["checksums"][0]["checksumValue"], digest);
    assert_eq!(package(&spdx, "@scope/lib").get("checksums"), None);
}

#[test]
fn the_table_has_a_row_for_each_component_and_no_formula() {
    let mut document = Document::read(&cyclonedx()).unwrap();
    document.parts[0].supplier = Some("=HYPERLINK(\"x\")".to_owned());
    let bytes = table::write(&document);
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[0].get(4), Some("'=HYPERLINK(\"x\")"));
    for cell in rows.iter().flatten() {
        assert!(!cell.starts_with(['=', '+', '-', '@']), "{cell}");
    }
    let claw = rows.iter().find(|row| &row[1] == "claw").unwrap();
    let digests = Digests::of(&fixture::bytes_of("claw-2026.9.6.tgz"));
    assert_eq!(claw[10], digests.sha256.hex());
    assert_eq!(claw[11], digests.sha512.hex());
    assert!(claw[15].contains("pkg:npm/%40scope/lib@1.0.0"));
}

/// Writes the documents where `scripts/sbom-check` picks them up.
#[test]
fn the_forms_are_left_for_the_programs_that_read_them() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let bytes = cyclonedx();
    let document = Document::read(&bytes).unwrap();
    std::fs::write(folder.join("forms.cdx.json"), bytes).unwrap();
    std::fs::write(folder.join("forms.spdx.json"), spdx::write(&document)).unwrap();
    std::fs::write(folder.join("forms.csv"), table::write(&document)).unwrap();
}

/// A desk with two bundles of the same channel and the lock of the second.
fn desk() -> Desk {
    let desk = Desk::new();
    let registry = Registry::new();
    let author = |name: &str| json!({"author": {"name": name}});
    registry.publish_with("stays", "1.0.0", author("Ann"), "");
    registry.publish_with("grows", "1.0.0", author("Ann"), "1");
    registry.publish_with("grows", "1.1.0", author("Bob"), "2");
    registry.publish_with("goes", "1.0.0", json!({}), "");
    registry.publish_with("comes", "1.0.0", json!({"license": "ISC"}), "");
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    let url = registry.server.url();
    for (bundle, packages) in [
        ("old", r#""stays@1.0.0", "grows@1.0.0", "goes@1.0.0""#),
        ("new", r#""stays@1.0.0", "grows@1.1.0", "comes@1.0.0""#),
    ] {
        let text = format!(
            "[bundle]\nchannel = \"demo\"\n[target]\nplatforms = [\"linux/amd64\"]\n[npm]\nregistry = \"{url}/\"\npackages = [{packages}]\n"
        );
        desk.write("stage.toml", text);
        desk.stage("resolve --upgrade").ok();
        desk.stage(&format!("bundle --key k.pem -o {bundle}.stage"))
            .ok();
    }
    desk
}

#[test]
fn a_bundle_gives_its_own_document_and_forms_that_are_the_same_each_time() {
    let desk = desk();
    let shown = desk.stage("sbom new.stage").ok();
    assert!(shown.stderr.contains("nobody verified"), "{}", shown.stderr);
    let bundle = desk.read("new.stage");
    let carried = shown.stdout.as_bytes();
    let found = bundle.windows(carried.len()).any(|w| w == carried);
    assert!(found, "byte for byte what the bundle carries");
    desk.stage("head new.stage -o new.head").ok();
    assert_eq!(desk.stage("sbom new.head").ok().stdout, shown.stdout);

    for name in ["a.spdx.json", "a.csv", "a.cdx.json"] {
        let words = format!("sbom new.stage --trust root.json -o {name} --format json");
        let report = desk.stage(&words).ok().json();
        assert_valid("sbom-report.json", &report);
        assert_eq!(report["digest"], Digest::of(&desk.read(name)).to_string());
        assert_eq!(report["components"], 3);
        let form = report["form"].as_str().unwrap();
        let again = desk.stage(&format!("sbom new.stage --format {form}")).ok();
        assert_eq!(again.stdout.as_bytes(), desk.read(name), "{name}");
    }
    let other = desk.stage("sbom old.stage --format spdx").ok().json();
    let own: Value = serde_json::from_slice(&desk.read("a.spdx.json")).unwrap();
    assert_ne!(own["documentNamespace"], other["documentNamespace"]);
}

#[test]
fn a_lock_gives_the_same_components_with_what_the_store_knows() {
    let desk = desk();
    let of = |words: &str| -> Vec<Value> {
        let document = desk.stage(words).ok().json();
        document["components"].as_array().unwrap().clone()
    };
    assert_eq!(of("sbom stage.lock"), of("sbom new.stage"));
    // Without the store, the lock's digests are what is left.
    std::fs::remove_dir_all(desk.path("cache")).unwrap();
    let ran = desk.stage("sbom stage.lock").ok();
    assert!(
        ran.stderr.contains("3 files not in the store"),
        "{}",
        ran.stderr
    );
    for component in ran.json()["components"].as_array().unwrap() {
        let hashes = component["hashes"].as_array().unwrap();
        assert_eq!(hashes.len(), 1, "{component}");
        assert_eq!(hashes[0]["alg"], "SHA-512");
    }
    let changes = desk.stage("sbom diff new.stage stage.lock --format json");
    assert_eq!(
        changes.ok().json()["changes"],
        json!([]),
        "no digest differs"
    );
}

#[test]
fn a_signature_is_over_the_file_and_by_the_key() {
    let desk = desk();
    desk.stage("sbom new.stage --trust root.json --key k.pem -o new.cdx.json")
        .ok()
        .says(&["signed in new.cdx.json.dsse"]);
    let envelope: Value = serde_json::from_slice(&desk.read("new.cdx.json.dsse")).unwrap();
    let statement: Value = serde_json::from_slice(&payload(&envelope)).unwrap();
    let digests = Digests::of(&desk.read("new.cdx.json"));
    let expected = json!([{"name": "new.cdx.json", "digest":
        {"sha256": digests.sha256.hex(), "sha512": digests.sha512.hex()}}]);
    assert_eq!(statement["subject"], expected);
    openssl_verifies(&desk, &envelope, "k").ok();
    desk.key("other");
    assert_ne!(openssl_verifies(&desk, &envelope, "other").code, 0);
    desk.stage("sbom new.stage --key k.pem")
        .refused(2, "--output");
}

#[test]
fn a_difference_is_named_with_both_values() {
    let desk = desk();
    let report = desk
        .stage("sbom diff old.stage new.stage --format json")
        .ok()
        .json();
    assert_valid("sbom-diff-report.json", &report);
    let of = |name: &str| {
        let all = report["changes"].as_array().unwrap();
        all.iter().find(|change| change["name"] == name).cloned()
    };
    assert_eq!(of("comes").unwrap()["kind"], "added");
    assert_eq!(of("goes").unwrap()["kind"], "removed");
    assert_eq!(of("stays"), None);
    let grows = of("grows").unwrap();
    let fields: Vec<&str> = grows["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["version", "digest", "supplier"]);
    desk.stage("sbom diff old.stage new.stage").ok().says(&[
        "added    npm comes 1.0.0  ISC",
        "removed  npm goes 1.0.0",
        "changed  npm grows 1.0.0 -> 1.1.0",
        "supplier: Ann -> Bob",
    ]);

    // Files of `stage sbom`, and those of others.
    desk.stage("sbom old.stage -o old.cdx.json").ok();
    let words = "sbom diff old.cdx.json new.stage --format json";
    assert_eq!(desk.stage(words).ok().json()["changes"], report["changes"]);
    let mut other: Value = serde_json::from_slice(&desk.read("old.cdx.json")).unwrap();
    for component in other["components"].as_array_mut().unwrap() {
        component["licenses"] = json!([{"license": {"id": "0BSD"}}]);
        component["hashes"][0]["content"] = json!("00");
        component.as_object_mut().unwrap().remove("properties");
    }
    desk.write("other.json", other.to_string());
    desk.stage("sbom diff old.cdx.json other.json").ok().says(&[
        "license: MIT -> 0BSD",
        "digest: ",
        "evidence: L",
    ]);
}

#[test]
fn what_is_no_sbom_is_refused() {
    let desk = desk();
    desk.stage("sbom stage.toml").refused(2, "lock");
    desk.stage("sbom new.stage --format purl")
        .refused(2, "only `stage inspect`");
    desk.stage("verify new.stage --trust root.json --format spdx")
        .refused(2, "only `stage sbom`");
    desk.stage("sbom new.stage --format json").refused(2, "-o");
    desk.key("other");
    desk.stage("trust init --key other.pem -o other.json").ok();
    desk.stage("sbom new.stage --trust other.json -o x.cdx.json")
        .refused(4, "");
    assert!(!desk.path("x.cdx.json").exists());
    for text in [
        "{}",
        "{\"bomFormat\":\"SPDX\",\"specVersion\":\"1.6\",\"metadata\":{\"component\":{\"type\":\"a\",\"name\":\"b\"}}}",
        "{",
    ] {
        desk.write("bad.json", text);
        desk.stage("sbom diff bad.json new.stage")
            .refused(4, "SBOM");
    }
}

#[test]
fn two_architectures_of_one_version_are_two_components() {
    let desk = Desk::new();
    let part = |arch: &str, digit: &str| {
        json!({"type": "library", "bom-ref": format!("libc6-{arch}"), "name": "libc6", "version": "2.36",
            "purl": format!("pkg:deb/debian/libc6@2.36?arch={arch}"),
            "hashes": [{"alg": "SHA-256", "content": digit.repeat(64)}],
            "properties": [{"name": "stage:file", "value": format!("{arch}.deb")}]})
    };
    let write = |file: &str, parts: Vec<Value>| {
        let mut document: Value = serde_json::from_slice(&cyclonedx()).unwrap();
        document["components"] = json!(parts);
        document["dependencies"] = json!([]);
        document["compositions"] = json!([]);
        desk.write(file, document.to_string());
    };
    write("old.json", vec![part("amd64", "a"), part("arm64", "b")]);
    write("bytes.json", vec![part("amd64", "c"), part("arm64", "b")]);
    write("gone.json", vec![part("arm64", "b")]);
    let summary = |new: &str| desk.stage(&format!("sbom diff old.json {new}")).ok();
    summary("bytes.json").says(&["0 components added, 0 removed, 1 changed"]);
    summary("gone.json").says(&["0 components added, 1 removed, 0 changed"]);
    summary("old.json").says(&["0 components added, 0 removed, 0 changed"]);
}

#[test]
fn what_other_programs_write_is_compared_too() {
    let desk = Desk::new();
    // As cyclonedx-py writes it: no component that it is about; as old programs do: a list of tools, no package URL.
    desk.write("a.json", r#"{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"tools":[{"name":"x"}]},"components":[{"type":"library","name":"one","version":"1"},{"type":"library","bom-ref":"two","name":"two","version":"1","purl":"pkg:pypi/two@1"}]}"#);
    desk.write("b.json", r#"{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{"type":"library","name":"one","version":"2"}]}"#);
    desk.stage("sbom diff a.json b.json")
        .ok()
        .says(&["0 components added, 1 removed, 1 changed", "one 1 -> 2"]);
}

#[test]
fn nobody_signs_the_sbom_of_a_bundle_that_nobody_verified() {
    let desk = desk();
    desk.key("s");
    desk.stage("sbom new.stage --key s.pem -o x.cdx.json")
        .refused(2, "--trust");
    assert!(!desk.path("x.cdx.json").exists());
    desk.stage("sbom new.stage --key s.pem --trust root.json -o x.cdx.json")
        .ok();
}
