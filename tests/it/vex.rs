//! What is said to others of known vulnerabilities. `scripts/vex-check` judges the same documents with the reference
//! implementations of OpenVEX and CycloneDX.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde_json::{Value, json};

use crate::debian_archive::{Archive, Deb, Suite, key};
use crate::debian_chain::{manifest, resolved};
use crate::desk::Desk;
use crate::osv::{CRITICAL, HIGH, also, flat, rated, record, with};
use crate::schemas::assert_valid;
use crate::walk::Registry;
use crate::world::World;

/// A desk with a lock of six packages, a bundle of it and a database that knows something of five of them.
fn desk() -> Desk {
    let registry = Registry::new();
    let names = ["b", "c", "d", "e", "f"];
    let needs: BTreeMap<&str, &str> = names.iter().map(|name| (*name, "1.0.0")).collect();
    registry.publish("app", "1.0.0", json!({"dependencies": needs}));
    for name in names {
        registry.publish(name, "1.0.0", json!({}));
    }
    let desk = Desk::new();
    desk.write(
        "stage.toml",
        format!(
            "[bundle]\nchannel = \"walk\"\ncarry-osv = true\n[target]\nnode = \"24.21.0\"\n[policy]\nosv = \"osv\"\n[npm]\n\
             registry = \"{}/\"\npackages = [\"app@1.0.0\"]\n",
            registry.server.url()
        ),
    );
    let git = with(
        record("GHSA-3", "npm", "d", "1.0.1"),
        "/affected/0/ranges/0/type",
        json!("GIT"),
    );
    flat(
        &desk,
        "osv",
        &[
            also(
                rated(record("GHSA-1", "npm", "b", "1.0.1"), HIGH),
                &["CVE-2026-1"],
            ),
            rated(record("GHSA-2", "npm", "c", "1.0.1"), CRITICAL),
            git,
            record("GHSA-4", "npm", "e", "1.0.1"),
            record("GHSA-5", "npm", "f", "1.0.1"),
        ],
    );
    let waiver = |id: &str, package: &str, more: &str, expires: &str| {
        format!(
            "[[waiver]]\ncode = \"vuln-known\"\npackage = \"npm:{package}\"\nvulnerability = \"{id}\"\nreason = \"never called\"\n\
             approver = \"Ann, T-1\"\nexpires = {expires}\n{more}\n"
        )
    };
    desk.write(
        "policy.toml",
        [
            waiver(
                "CVE-2026-1",
                "b",
                "justification = \"vulnerable_code_not_in_execute_path\"",
                "2090-01-01",
            ),
            waiver(
                "GHSA-4",
                "e",
                "status = \"under_investigation\"",
                "2090-01-01",
            ),
            waiver("GHSA-5", "f", "", "2090-01-01"),
            // Ended: it says nothing any more.
            waiver(
                "GHSA-2",
                "c",
                "justification = \"component_not_present\"",
                "2026-01-01",
            ),
        ]
        .concat(),
    );
    desk.stage("resolve").ok();
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    desk.stage("bundle --key k.pem -o x.stage").ok();
    desk
}

/// A document that `stage vex` writes from these words.
fn vex(desk: &Desk, words: &str) -> (Vec<u8>, Value) {
    let mut command = desk.command(
        env!("CARGO_BIN_EXE_stage"),
        &format!("vex {words} -o vex.json --format json"),
    );
    command.env("SOURCE_DATE_EPOCH", "1780000000");
    let ran = crate::desk::ran(command).ok();
    assert_valid("vex-report.json", &ran.json());
    let bytes = desk.read("vex.json");
    let document = serde_json::from_slice(&bytes).unwrap();
    (bytes, document)
}

#[test]
fn statements_come_from_waivers_and_else_from_the_database() {
    let desk = desk();
    let words = "stage.lock --osv osv --policy policy.toml --as openvex --author Platform";
    let (bytes, document) = vex(&desk, words);
    assert_eq!(vex(&desk, words).0, bytes);
    let said: Vec<(String, String)> = document["statements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| {
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            let why = ["justification", "action_statement", "status_notes"];
            let why: Vec<String> = why
                .iter()
                .map(|key| text(&s[*key]))
                .filter(|t| !t.is_empty())
                .collect();
            (
                format!("{} {}", text(&s["products"][0]["@id"]), text(&s["status"])),
                why.concat(),
            )
        })
        .collect();
    let expected = [
        (
            "pkg:npm/b@1.0.0 not_affected",
            "vulnerable_code_not_in_execute_path",
        ),
        ("pkg:npm/c@1.0.0 affected", "take 1.0.1 or later"),
        (
            "pkg:npm/d@1.0.0 under_investigation",
            "whether this version is affected cannot be told from the record: it names commits of a git repository only",
        ),
        (
            "pkg:npm/e@1.0.0 under_investigation",
            "accepted until 2090-01-02T00:00:00Z by Ann, T-1: never called",
        ),
        (
            "pkg:npm/f@1.0.0 affected",
            "accepted until 2090-01-02T00:00:00Z by Ann, T-1: never called",
        ),
    ];
    let expected = expected.map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(said, expected);
    let first = &document["statements"][0];
    assert_eq!(first["vulnerability"]["name"], "CVE-2026-1");
    assert_eq!(first["vulnerability"]["aliases"], json!(["GHSA-1"]));
    assert_eq!(first["impact_statement"], "never called");
    assert_eq!(
        (&document["author"], &document["timestamp"]),
        (&json!("Platform"), &json!("2026-05-28T20:26:40Z"))
    );
    // Without a policy nothing is waived; without a database nothing is said.
    let (_, document) = vex(&desk, "stage.lock --osv osv --as openvex");
    assert_eq!(document["statements"][0]["status"], "affected");
    desk.stage("vex stage.lock --as openvex -o y.json")
        .refused(2, "no vulnerability database was given");
    flat(&desk, "none", &[record("GHSA-9", "npm", "other", "1.0.1")]);
    desk.stage("vex stage.lock --osv none --as openvex -o y.json")
        .refused(2, "at least one statement");
    assert!(!desk.path("y.json").exists());
    desk.stage("vex stage.lock --osv none --as cyclonedx -o y.json")
        .ok();
}

#[test]
fn a_bundle_is_asked_with_its_own_records_and_its_sbom_is_pointed_into() {
    let desk = desk();
    let (_, document) = vex(&desk, "x.stage --policy policy.toml --as cyclonedx");
    let bundle = desk.read("x.stage");
    let key = b"\"serialNumber\":\"urn:uuid:";
    let at = bundle.windows(key.len()).position(|w| w == key).unwrap() + key.len();
    let serial = std::str::from_utf8(&bundle[at..at + 36]).unwrap();
    let all = document["vulnerabilities"].as_array().unwrap();
    let link = |name: &str| format!("urn:cdx:{serial}/1#pkg:npm/{name}@1.0.0");
    assert_eq!(all.len(), 5);
    assert_eq!(all[0]["affects"][0]["ref"], link("b"));
    assert_eq!(all[0]["analysis"]["state"], "not_affected");
    assert_eq!(all[0]["analysis"]["justification"], "code_not_reachable");
    assert_eq!(all[1]["analysis"]["state"], "exploitable");
    assert_eq!(all[1]["ratings"][0]["severity"], "critical");
    assert_eq!(all[2]["analysis"]["state"], "in_triage");
    assert!(document.get("components").is_none());
    // A lock has no SBOM yet: its packages are in the document.
    let (_, alone) = vex(&desk, "stage.lock --osv osv --as cyclonedx");
    assert_eq!(alone["components"].as_array().unwrap().len(), 5);
    assert_eq!(
        alone["vulnerabilities"][0]["affects"][0]["ref"],
        "pkg:npm/b@1.0.0"
    );
    // Bytes that were changed are noticed before anything is said.
    let mut damaged = bundle.clone();
    let at = damaged.len() - 3000;
    damaged[at] ^= 1;
    desk.write("y.stage", damaged);
    let ran = desk.stage("vex y.stage --as cyclonedx -o z.json");
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(!desk.path("z.json").exists());
}

#[test]
fn what_changelogs_mention_is_said_to_be_no_more_than_that() {
    let gzip = |text: &str| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    };
    let log = "libone (1.0-1+deb12u1) bookworm-security; urgency=high\n\n  * CVE-2026-0001, CVE-2026-0002\n\n -- T <t@debs.example>  \
               Thu, 01 Jan 2026 00:00:00 +0000\n\nlibone (1.0-1) unstable; urgency=low\n\n  * CVE-2025-1234\u{1b}[31m\n";
    let path = "./usr/share/doc/libone/changelog.Debian.gz";
    let debs = [
        Deb::new("libone", "1.0-1+deb12u1", "amd64").installs(path, gzip(log)),
        Deb::new("silent", "1-1", "amd64"),
        Deb::new("damaged", "1-1", "amd64").installs(
            "./usr/share/doc/damaged/changelog.Debian.gz",
            b"\x1f\x8b\x08".to_vec(),
        ),
    ];
    let mut suite = Suite::new("bookworm", "bookworm").with("main", &debs);
    suite.fields = format!("{}Version: 12.1\n", suite.fields);
    let archive = Archive::new(&[suite], &key(1));
    let world = World::new("vex-changelogs");
    manifest(
        &world,
        &archive,
        "\"bookworm\"",
        "packages = [\"libone\", \"silent\", \"damaged\"]",
    );
    resolved(&world, &[]);
    world.ok(&["fetch"]);
    // What a scanner recognises a Debian package by.
    let sbom: Value = serde_json::from_slice(&world.ok(&["sbom", "stage.lock"]).stdout).unwrap();
    let parts = sbom["components"].as_array().unwrap();
    let libone = parts.iter().find(|part| part["name"] == "libone").unwrap();
    assert_eq!(
        libone["purl"],
        "pkg:deb/debian/libone@1.0-1%2Bdeb12u1?arch=amd64&distro=bookworm"
    );
    let folder = world.path("osv");
    std::fs::create_dir_all(&folder).unwrap();
    let ask = |form: &str| {
        let osv = folder.to_str().unwrap();
        let words = [
            "vex",
            "stage.lock",
            "--osv",
            osv,
            "--changelogs",
            "--as",
            form,
            "-o",
            "v.json",
        ];
        let output = world.ok(&words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("no changelog was read of 2 Debian packages"),
            "{said}"
        );
        let document: Value =
            serde_json::from_slice(&std::fs::read(world.path("v.json")).unwrap()).unwrap();
        document
    };
    // Nobody's archive: the database has nothing of it, and what the changelog mentions is said all the same.
    let other = record("GHSA-9", "npm", "other", "1.0.1");
    std::fs::write(folder.join("a.json"), other.to_string()).unwrap();
    let document = ask("openvex");
    let said = document["statements"].as_array().unwrap();
    let ids: Vec<_> = said
        .iter()
        .map(|s| s["vulnerability"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["CVE-2025-1234", "CVE-2026-0001", "CVE-2026-0002"]);
    assert!(said.iter().all(|s| s["status"] == "fixed"));
    assert_eq!(
        said[0]["status_notes"],
        "mentioned in the changelog of the package, in the entry of 1.0-1; nobody checked what was done"
    );
    let document = ask("cyclonedx");
    assert_eq!(
        document["vulnerabilities"][1]["analysis"]["state"],
        "resolved"
    );
    crate::fixture::file(
        "sample-debian.vex.cdx.json",
        &std::fs::read(world.path("v.json")).unwrap(),
    );
    ask("openvex");
    crate::fixture::file(
        "sample-debian.openvex.json",
        &std::fs::read(world.path("v.json")).unwrap(),
    );
}

/// The documents for `scripts/vex-check`.
#[test]
fn documents_are_left_for_the_reference_validators() {
    let desk = desk();
    for (name, words) in [
        (
            "sample.openvex.json",
            "stage.lock --osv osv --policy policy.toml --as openvex",
        ),
        (
            "sample.vex.cdx.json",
            "x.stage --policy policy.toml --as cyclonedx",
        ),
        (
            "sample-lock.vex.cdx.json",
            "stage.lock --osv osv --as cyclonedx",
        ),
    ] {
        let (bytes, _) = vex(&desk, words);
        crate::fixture::file(name, &bytes);
    }
}

#[test]
fn a_change_packet_says_what_the_database_in_the_bundle_knows() {
    let desk = desk();
    desk.stage("ticket x.stage --trust root.json --policy policy.toml -o packet")
        .ok();
    let open: Value = serde_json::from_slice(&desk.read("packet/vex/openvex.json")).unwrap();
    let said = open["statements"].as_array().unwrap();
    let status: Vec<&str> = said
        .iter()
        .map(|one| one["status"].as_str().unwrap())
        .collect();
    assert_eq!(status.len(), 5);
    assert!(status.contains(&"not_affected") && status.contains(&"affected"));
    let cyclonedx: Value = serde_json::from_slice(&desk.read("packet/vex/vex.cdx.json")).unwrap();
    assert_eq!(cyclonedx["vulnerabilities"].as_array().unwrap().len(), 5);
    let table = String::from_utf8(desk.read("packet/vex/statements.csv")).unwrap();
    assert!(
        table.contains("CVE-2026-1,pkg:npm/b@1.0.0,not_affected,never called,"),
        "{table}"
    );
    let controls = String::from_utf8(desk.read("packet/controls.csv")).unwrap();
    assert!(controls.contains("SI-2"));

    // Without the waivers everything is open.
    desk.stage("ticket x.stage --trust root.json -o bare").ok();
    let table = String::from_utf8(desk.read("bare/vex/statements.csv")).unwrap();
    assert!(!table.contains("not_affected"), "{table}");
}
