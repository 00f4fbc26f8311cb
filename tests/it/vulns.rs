//! Known vulnerabilities: from databases in every layout to what they say of a lock, and what policies make of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use stage::base::digest::Digest;
use stage::base::fault::Fault as _;
use stage::base::package::EcosystemId;
use stage::eco::debian::records as debian_records;
use stage::lock::{Lock, Records};
use stage::policy::{Policy, Profile, starter};
use stage::vulns::{self, CarriedWriter, Checked, Closure, Given, Level, Query, VulnError};

use crate::closures::{Made, Only};
use crate::debian_archive::{Archive, Deb, Suite, key};
use crate::debian_chain::{BOTH, debian, manifest, resolve, resolved};
use crate::desk::Desk;
use crate::fixture;
use crate::osv::{
    CRATES, CRITICAL, HIGH, LOW, all_zip, also, flat, found, rated, record, text, with, zip,
};
use crate::schemas::{assert_refused, assert_valid, from_toml};
use crate::walk::Registry;
use crate::world::World;

/// A lock of npm packages.
fn npm(packages: &[(&str, &str)]) -> Lock {
    let mut lock = fixture::lock();
    lock.packages = packages
        .iter()
        .map(|(name, version)| fixture::package(name, version, &[]))
        .collect();
    lock.sort();
    lock
}

fn look_up(lock: &Lock, records: &Records, path: &Path) -> Result<Checked, VulnError> {
    vulns::check(&mut Query {
        database: Given::Path(path),
        closures: &[Closure { lock, records }],
        carry: None,
    })
}

fn ids(checked: &Checked) -> Vec<String> {
    found(&checked.json())
}

#[test]
fn every_layout_of_an_export_says_the_same() {
    let desk = Desk::new();
    let records = [
        record("GHSA-aaaa-aaaa-aaaa", "npm", "a", "1.2.0"),
        record("GHSA-bbbb-bbbb-bbbb", "npm", "b", "9.0.0"),
        with(
            record("PYSEC-2026-1", "PyPI", "a", "9"),
            "/modified",
            json!("2026-11-29T10:11:12.123456Z"),
        ),
    ];
    let lock = npm(&[("a", "1.1.9"), ("c", "1.0.0")]);
    let npm_only = &records[..2];
    flat(&desk, "flat", &records);
    flat(&desk, "folders/npm", npm_only);
    flat(&desk, "folders/PyPI", &records[2..]);
    let zipped = all_zip(&records);
    desk.write("one.zip", &zipped);
    desk.write("zips/npm/all.zip", all_zip(npm_only));
    desk.write("zips/PyPI/all.zip", "not read: the lock has no Python");
    // The export has the files beside the zip file as well: they are not read twice.
    flat(&desk, "zips/npm", npm_only);
    desk.write("top/all.zip", &zipped);
    for (layout, count, files) in [
        ("flat", 3, 3),
        ("folders", 2, 2),
        ("one.zip", 3, 1),
        ("zips", 2, 1),
        ("top", 3, 1),
    ] {
        let checked = look_up(&lock, &Records::new(), &desk.path(layout)).unwrap();
        assert_eq!(ids(&checked), ["a@1.1.9 GHSA-aaaa-aaaa-aaaa"], "{layout}");
        let database = checked.database.unwrap();
        assert_eq!(
            (database.records, database.files),
            (count, files),
            "{layout}"
        );
        assert_eq!(database.ecosystems, BTreeMap::from([("npm".to_owned(), 2)]));
        let newest = if count == 3 {
            "2026-11-29T10:11:12Z"
        } else {
            "2026-11-20T00:00:00Z"
        };
        assert_eq!(database.date.unwrap().to_string(), newest, "{layout}");
    }
    let digest = |path: &str| {
        let checked = look_up(&lock, &Records::new(), &desk.path(path)).unwrap();
        checked.database.unwrap().sha256
    };
    assert_eq!(digest("one.zip"), Digest::of(&zipped));
    let list: Vec<String> = npm_only
        .iter()
        .map(|r| {
            let name = format!("npm/{}.json", r["id"].as_str().unwrap());
            let bytes = desk.read(&format!("folders/{name}"));
            format!("{}  {name}\n", Digest::of(&bytes).hex())
        })
        .collect();
    assert_eq!(digest("folders"), Digest::of(list.concat().as_bytes()));
}

#[test]
fn what_is_known_under_several_ids_is_one_vulnerability() {
    let desk = Desk::new();
    let records = [
        // A chain: the first and the last have no id in common.
        also(
            rated(record("GHSA-aaaa-aaaa-aaaa", "npm", "a", "1.5.0"), LOW),
            &["CVE-2026-1"],
        ),
        also(
            rated(record("OTHER-1", "npm", "a", "1.4.0"), CRITICAL),
            &["CVE-2026-1", "XX-1"],
        ),
        also(record("THIRD-1", "npm", "a", "1.3.0"), &["XX-1"]),
        // Not the same, although it is about the same package.
        with(
            record("GHSA-bbbb-bbbb-bbbb", "npm", "a", "2.0.0"),
            "/modified",
            json!("2026-11-21T00:00:00Z"),
        ),
        // Withdrawn: it never was one; nor does it tie others together.
        also(
            with(
                also(record("GONE-1", "npm", "a", "9.0.0"), &[]),
                "/published",
                json!(null),
            ),
            &["CVE-2026-1", "GHSA-bbbb-bbbb-bbbb"],
        ),
        // Clear of it.
        also(
            record("GHSA-cccc-cccc-cccc", "npm", "a", "1.0.0"),
            &["CVE-2026-1"],
        ),
    ];
    let mut records = records.to_vec();
    records[4]["withdrawn"] = json!("2026-11-01T00:00:00Z");
    let path = flat(&desk, "osv", &records);
    let lock = npm(&[("a", "1.0.0")]);
    let checked = look_up(&lock, &Records::new(), &path).unwrap();
    let of = |at: usize| {
        let v = &checked.vulnerabilities[at];
        (v.id.as_str(), v.aliases.join(" "), v.level, v.fixed.clone())
    };
    assert_eq!(
        of(0),
        (
            "CVE-2026-1",
            "GHSA-aaaa-aaaa-aaaa OTHER-1 THIRD-1 XX-1".to_owned(),
            Some(Level::Critical),
            Some("1.5.0".to_owned())
        )
    );
    assert_eq!(
        of(1),
        (
            "GHSA-bbbb-bbbb-bbbb",
            String::new(),
            None,
            Some("2.0.0".to_owned())
        )
    );
    assert_eq!(checked.vulnerabilities.len(), 2);
    // The newer one of two records of an id counts.
    let mut older = records[3].clone();
    older["modified"] = json!("2026-11-01T00:00:00Z");
    older["affected"][0]["ranges"][0]["events"][1]["fixed"] = json!("0.1.0");
    desk.write("osv/zz-copy.json", older.to_string());
    assert_eq!(
        look_up(&lock, &Records::new(), &path)
            .unwrap()
            .vulnerabilities
            .len(),
        2
    );
    older["modified"] = json!("2026-11-22T00:00:00Z");
    desk.write("osv/zz-copy.json", older.to_string());
    assert_eq!(
        look_up(&lock, &Records::new(), &path)
            .unwrap()
            .vulnerabilities
            .len(),
        1
    );
}

#[test]
fn names_are_those_of_each_ecosystem() {
    let desk = Desk::new();
    let only = |name: &'static str, version: &'static str| Only {
        name,
        version,
        bytes: b"x".to_vec(),
    };
    let path = flat(
        &desk,
        "osv",
        &[
            record("PYSEC-1", "PyPI", "Zope.Interface", "5.0"),
            record("RUSTSEC-1", CRATES, "some_crate", "2.0.0"),
            record("GHSA-1", "npm", "JSONStream", "2.0.0"),
            record("GO-1", "Go", "some-crate", "2.0.0"),
            record(
                "DEBIAN-CVE-2026-5",
                "Debian:12",
                "openssl",
                "3.0.15-1~deb12u1",
            ),
            record("DEBIAN-CVE-2026-6", "Debian:13", "openssl", "3.5.1-1"),
            record("DEBIAN-CVE-2026-7", "Debian:12", "libssl3", "9"),
        ],
    );
    let of = |made: &Made, records: Option<Vec<u8>>| {
        let content = made.content();
        let records = records.unwrap_or_else(|| content.records.to_vec());
        let all = Records::from([(content.ecosystem.id(), records)]);
        look_up(content.lock, &all, &path).unwrap()
    };
    let pypi = of(&Made::wheels(&[only("zope-interface", "4.9.post1")]), None);
    assert_eq!(ids(&pypi), ["zope-interface@4.9.post1 PYSEC-1"]);
    assert_eq!(
        ids(&of(&Made::crates(&[only("some-crate", "1.9.9")]), None)).len(),
        1
    );
    // Two packages of npm that differ in case only.
    assert_eq!(
        ids(&of(&Made::npm(&only("JSONStream", "1.0.0")), None)).len(),
        1
    );
    assert!(ids(&of(&Made::npm(&only("jsonstream", "1.0.0")), None)).is_empty());

    let debs = Made::debs(&[only("libssl3", "3.0.14-1~deb12u2")]);
    // The archive is not Debian's: nothing is known of it, and that is said.
    let nobody = of(&debs, None);
    assert!(ids(&nobody).is_empty());
    assert_eq!(nobody.uncovered, [EcosystemId::debian()]);
    let source = |stanza: &str| {
        let mut records = debian_records::parse(debs.content().records).unwrap();
        for release in records.releases.values_mut() {
            "Origin: Debian\nSuite: stable-security\nVersion: 12\n".clone_into(&mut release.text);
        }
        let versions = records.packages.get_mut("libssl3").unwrap();
        let about = versions
            .values_mut()
            .next()
            .unwrap()
            .get_mut("amd64")
            .unwrap();
        about.stanza.push_str(stanza);
        debian_records::write(&records)
    };
    let bare = of(&debs, Some(source("\nSource: openssl")));
    assert_eq!(ids(&bare), ["libssl3@3.0.14-1~deb12u2 CVE-2026-5"]);
    let one = &bare.vulnerabilities[0];
    assert_eq!(one.aliases, ["DEBIAN-CVE-2026-5"]);
    assert_eq!(one.source.as_deref(), Some("openssl@3.0.14-1~deb12u2"));
    assert_eq!(one.fixed.as_deref(), Some("3.0.15-1~deb12u1"));
    assert!(bare.uncovered.is_empty());
    // A binary package may have another version than its source.
    let other = of(&debs, Some(source("\nSource: openssl (3.0.15-1~deb12u1)")));
    assert!(ids(&other).is_empty());
}

#[test]
fn what_is_not_in_the_database_is_said() {
    let desk = Desk::new();
    let lock = npm(&[("a", "1.0.0")]);
    let path = flat(&desk, "osv", &[record("PYSEC-1", "PyPI", "a", "2")]);
    let checked = look_up(&lock, &Records::new(), &path).unwrap();
    assert_eq!(checked.uncovered, [EcosystemId::npm()]);
    let policy = Policy::parse("p", b"profile = \"strict\"").unwrap();
    let now = "2026-11-21T00:00:00Z".parse().unwrap();
    let codes = |checked: &Checked, now| -> Vec<String> {
        let judged = policy.judge_vulnerabilities(checked, Some(&lock), now);
        let text = |f: &stage::base::finding::Finding| {
            format!("{} {} {}", f.severity, f.code.name, f.subject)
        };
        judged.findings.iter().map(text).collect()
    };
    assert_eq!(codes(&checked, now), ["deny vuln-database-none npm"]);
    assert_eq!(
        codes(&Checked::nothing(), now),
        ["deny vuln-database-none the closure"]
    );
    let path = flat(&desk, "osv", &[record("GHSA-1", "npm", "z", "2.0.0")]);
    let checked = look_up(&lock, &Records::new(), &path).unwrap();
    assert!(codes(&checked, now).is_empty());
    assert!(codes(&checked, "2026-11-27T00:00:00Z".parse().unwrap()).is_empty());
    let old = ["deny vuln-database-old the vulnerability database"];
    assert_eq!(
        codes(&checked, "2026-11-27T00:00:01Z".parse().unwrap()),
        old
    );
    // A record from the future does not keep a database young.
    assert_eq!(
        codes(&checked, "2026-11-18T00:00:00Z".parse().unwrap()),
        old
    );
    assert_eq!(
        Checked::nothing().json()["said"],
        "no vulnerability database was given"
    );
    assert!(
        !Checked::nothing()
            .json()
            .to_string()
            .contains("no vulnerabilities")
    );
}

/// A zip file whose one member unpacks to `size` zeros.
fn bomb(size: usize) -> Vec<u8> {
    zip(&[("GHSA-1.json", &vec![b' '; size])])
}

#[test]
fn hostile_databases_are_refused_and_nothing_is_skipped() {
    let desk = Desk::new();
    let lock = npm(&[("a", "1.0.0")]);
    let good = record("GHSA-1", "npm", "a", "2.0.0");
    let member = |bytes: &[u8]| zip(&[("GHSA-1.json", bytes)]);
    let deep = |times: usize| {
        let nested = format!("{}1{}", "[".repeat(times), "]".repeat(times));
        good.to_string()
            .replacen('{', &format!("{{\"database_specific\":{nested},"), 1)
    };
    let mut twice = member(good.to_string().as_bytes());
    let end = twice.clone();
    twice.extend(end);
    let mut flipped = all_zip(std::slice::from_ref(&good));
    flipped[60] ^= 1;
    let strange = |key: &str, value: Value| {
        let mut record = good.clone();
        record[key] = value;
        member(record.to_string().as_bytes())
    };
    let event =
        |event: Value| with(good.clone(), "/affected/0/ranges/0/events/0", event).to_string();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("a bomb", bomb(200 << 20), "vuln-database"),
        (
            "a large record",
            member(&vec![b' '; 17 << 20]),
            "vuln-database",
        ),
        ("two zip files", twice, "vuln-database"),
        ("a flipped bit", flipped, "vuln-database"),
        (
            "half a file",
            all_zip(std::slice::from_ref(&good))[..90].to_vec(),
            "vuln-database",
        ),
        (
            "deep",
            strange_bytes(
                &good,
                &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
            ),
            "vuln-record",
        ),
        ("no JSON", member(b"{\"id\":"), "vuln-record"),
        ("not UTF-8", member(b"{\"id\":\"\xff\"}"), "vuln-record"),
        ("no object", member(b"[]"), "vuln-record"),
        ("empty", member(b""), "vuln-record"),
        (
            "no id",
            member(b"{\"modified\":\"2026-01-01T00:00:00Z\"}"),
            "vuln-record",
        ),
        (
            "two ids",
            member(
                good.to_string()
                    .replacen('{', "{\"id\":\"GHSA-2\",", 1)
                    .as_bytes(),
            ),
            "vuln-record",
        ),
        (
            "an odd id",
            strange("id", json!("GHSA 1\u{1b}")),
            "vuln-record",
        ),
        (
            "an odd alias",
            strange("aliases", json!(["\u{202e}"])),
            "vuln-record",
        ),
        (
            "aliases of another type",
            strange("aliases", json!("CVE-1")),
            "vuln-record",
        ),
        (
            "no time",
            strange("modified", json!("yesterday")),
            "vuln-record",
        ),
        (
            "affected of another type",
            strange("affected", json!({})),
            "vuln-record",
        ),
        (
            "a package of another type",
            strange("affected", json!([{"package": "a"}])),
            "vuln-record",
        ),
        (
            "an event of another type",
            member(event(json!("0")).as_bytes()),
            "vuln-record",
        ),
        (
            "a version of another type",
            member(event(json!({"introduced": 0})).as_bytes()),
            "vuln-record",
        ),
        ("no database", b"PK".to_vec(), "vuln-database"),
        ("no zstd", b"\x28\xb5\x2f\xfdxxxx".to_vec(), "fs-io"),
        ("text", b"hello".to_vec(), "vuln-record"),
    ];
    for (name, bytes, code) in cases {
        desk.write("osv.bin", bytes);
        let error = look_up(&lock, &Records::new(), &desk.path("osv.bin")).unwrap_err();
        assert_eq!(error.code().name, code, "{name}: {error}");
        let said = format!("{error} {:?}", error.facts());
        assert!(
            !said.contains('\u{1b}') && !said.contains('\u{202e}'),
            "{name}: {said}"
        );
    }
    let bytes = good.to_string().into_bytes();
    let names = |names: &[&str]| {
        let members: Vec<(&str, &[u8])> = names.iter().map(|n| (*n, bytes.as_slice())).collect();
        let mut zip = zip(&members);
        // The writer refuses two equal names, so one is renamed where it stands.
        let text: Vec<usize> = zip
            .windows(6)
            .enumerate()
            .filter(|(_, w)| *w == b"b.json")
            .map(|(at, _)| at)
            .collect();
        for at in text {
            zip[at] = b'a';
        }
        zip
    };
    desk.write("osv.bin", names(&["a.json", "b.json"]));
    let error = look_up(&lock, &Records::new(), &desk.path("osv.bin")).unwrap_err();
    assert!(
        error.to_string().contains("two members are named"),
        "{error}"
    );
    for empty in ["empty", "none"] {
        desk.write(&format!("{empty}/readme.txt"), "x");
        let error = look_up(&lock, &Records::new(), &desk.path(empty)).unwrap_err();
        assert_eq!(error.code().name, "vuln-database");
    }
    look_up(&lock, &Records::new(), &desk.path("missing")).unwrap_err();
    // What is deep, large or odd where nobody looks does no harm.
    for fine in [deep(100), deep(100_000), strange_text(&good)] {
        desk.write("osv.bin", member(fine.as_bytes()));
        assert_eq!(
            ids(&look_up(&lock, &Records::new(), &desk.path("osv.bin")).unwrap()).len(),
            1
        );
    }
}

/// A zip file with the record, whose aliases are this text.
fn strange_bytes(good: &Value, aliases: &str) -> Vec<u8> {
    let text = good.to_string();
    let text = text.replacen('{', &format!("{{\"aliases\":{aliases},"), 1);
    zip(&[("GHSA-1.json", text.as_bytes())])
}

/// The record with fields of unexpected types where nothing is read.
fn strange_text(good: &Value) -> String {
    let mut record = good.clone();
    record["references"] = json!(7);
    record["credits"] = json!({"a": [1.5e300]});
    record["severity"] = json!(null);
    record["summary"] = json!("\u{1b}[31mred\u{202e} ".repeat(200));
    record.to_string()
}

#[test]
fn records_that_travel_are_the_same_bytes_and_say_the_same() {
    let desk = Desk::new();
    let records = [
        record("GHSA-1", "npm", "a", "2.0.0"),
        record("GHSA-2", "npm", "not-in-this-lock", "2.0.0"),
        record("PYSEC-1", "PyPI", "a", "2"),
    ];
    let path = flat(&desk, "osv", &records);
    let lock = npm(&[("a", "1.0.0")]);
    let none = Records::new();
    let closures = [Closure {
        lock: &lock,
        records: &none,
    }];
    let pack = || {
        let mut writer = CarriedWriter::new().unwrap();
        let checked = vulns::check(&mut Query {
            database: Given::Path(&path),
            closures: &closures,
            carry: Some(&mut writer),
        });
        checked.unwrap();
        writer.finish().unwrap()
    };
    let packed = pack();
    assert_eq!(pack(), packed);
    desk.write("records.jsonl.zst", &packed);
    let again = look_up(&lock, &none, &desk.path("records.jsonl.zst")).unwrap();
    assert_eq!(ids(&again), ["a@1.0.0 GHSA-1"]);
    let database = again.database.unwrap();
    assert_eq!(
        (database.records, database.sha256),
        (2, Digest::of(&packed))
    );
    let text = zstd::decode_all(packed.as_slice()).unwrap();
    let bad: Vec<Vec<u8>> = vec![
        packed[..packed.len() - 4].to_vec(),
        [packed.clone(), packed.clone()].concat(),
        zstd::encode_all(&text[..text.len() - 1], 1).unwrap(),
        zstd::encode_all(&[text.as_slice(), b"\n"].concat()[..], 1).unwrap(),
        zstd::encode_all(&vec![b' '; 40 << 20][..], 1).unwrap(),
    ];
    for bytes in bad {
        desk.write("records.jsonl.zst", &bytes);
        look_up(&lock, &none, &desk.path("records.jsonl.zst")).unwrap_err();
    }
}

/// A desk whose manifest names a policy, with two packages resolved.
fn desk(registry: &Registry) -> Desk {
    let desk = Desk::new();
    let url = registry.server.url();
    registry.publish("app", "1.0.0", json!({"dependencies": {"dep": "1.0.0"}}));
    registry.publish("dep", "1.0.0", json!({}));
    desk.write(
        "stage.toml",
        format!(
            "[bundle]\nchannel = \"walk\"\n[target]\nnode = \"24.21.0\"\n[policy]\nfile = \"policy.toml\"\n[npm]\n\
             registry = \"{url}/\"\npackages = [\"app@1.0.0\"]\n"
        ),
    );
    desk.write("policy.toml", "");
    desk.stage("resolve").ok();
    desk
}

fn of(report: &Value, severity: &str) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let text = |f: &Value, key: &str| f[key].as_str().unwrap().to_owned();
    findings
        .filter(|f| f["severity"] == severity && f["code"].as_str().unwrap().starts_with("vuln-"))
        .map(|f| format!("{} {}", text(f, "code"), text(f, "subject")))
        .collect()
}

fn waiver(id: &str, package: &str, expires: &str) -> String {
    format!(
        "[[waiver]]\ncode = \"vuln-known\"\npackage = \"{package}\"\nvulnerability = \"{id}\"\nreason = \"known\"\n\
         approver = \"Ann, T-1\"\nexpires = {expires}\n"
    )
}

/// Today, so that no test gets old.
fn today() -> Value {
    let ran = std::process::Command::new("date")
        .args(["-u", "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    json!(String::from_utf8(ran.stdout).unwrap().trim())
}

#[test]
fn a_policy_says_from_which_level_on_and_waivers_name_the_vulnerability() {
    let registry = Registry::new();
    let desk = desk(&registry);
    let known = also(
        rated(record("GHSA-1", "npm", "dep", "1.0.1"), HIGH),
        &["CVE-2026-1"],
    );
    let known = with(known, "/modified", today());
    flat(
        &desk,
        "osv",
        &[known, record("GHSA-2", "npm", "app", "1.0.1")],
    );
    let subject = "vuln-known npm dep@1.0.0";
    let app = "vuln-known npm app@1.0.0";
    let cases = [
        ("", vec![], vec![app, subject]),
        ("[vuln]\nfail-on = \"critical\"", vec![], vec![app, subject]),
        ("[vuln]\nfail-on = \"high\"", vec![subject], vec![app]),
        (
            "[vuln]\nfail-on = \"high\"\nunrated = \"high\"",
            vec![app, subject],
            vec![],
        ),
        ("[vuln]\nfail-on = \"medium\"", vec![app, subject], vec![]),
        (
            "[vuln]\nfail-on = \"medium\"\nunrated = \"low\"",
            vec![subject],
            vec![app],
        ),
        (
            "[severity]\nvuln-known = \"deny\"",
            vec![app, subject],
            vec![],
        ),
    ];
    for (policy, denied, warned) in cases {
        desk.write("policy.toml", policy);
        assert_valid("policy.json", &from_toml(policy));
        let ran = desk.stage("policy check --osv osv --format json");
        assert_eq!(
            ran.code,
            if denied.is_empty() { 0 } else { 3 },
            "{policy}: {}",
            ran.stderr
        );
        let report = ran.json();
        assert_valid("policy-report.json", &report);
        assert_eq!(
            (of(&report, "deny"), of(&report, "warn")),
            (strings(&denied), strings(&warned)),
            "{policy}"
        );
        assert_eq!(report["vulnerabilities"]["found"][1]["id"], "CVE-2026-1");
    }
    let strict = "[vuln]\nfail-on = \"high\"\n";
    let id_cases = [
        (waiver("CVE-2026-1", "npm:dep", "2090-01-01"), vec![], 1),
        (waiver("ghsa-1", "npm:*", "2090-01-01"), vec![], 1),
        (
            waiver("CVE-2026-2", "npm:dep", "2090-01-01"),
            vec![subject],
            0,
        ),
        (
            waiver("CVE-2026-1", "npm:dep@<1.0.0", "2090-01-01"),
            vec![subject],
            0,
        ),
        (
            waiver("CVE-2026-1", "pypi:dep", "2090-01-01"),
            vec![subject],
            0,
        ),
        (
            waiver("CVE-2026-1", "npm:dep", "2026-01-01"),
            vec![subject],
            0,
        ),
    ];
    for (waivers, denied, waived) in id_cases {
        desk.write("policy.toml", format!("{strict}{waivers}"));
        let report = desk.stage("policy check --osv osv --format json").json();
        assert_eq!(of(&report, "deny"), strings(&denied), "{waivers}");
        assert_eq!(
            report["policy"]["waived"].as_array().unwrap().len(),
            waived,
            "{waivers}"
        );
        assert_valid("policy-report.json", &report);
        let codes: Vec<_> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["code"].as_str().unwrap())
            .collect();
        let unused =
            codes.contains(&"policy-waiver-unused") || codes.contains(&"policy-waiver-expired");
        assert_eq!(unused, waived == 0, "{waivers}: {codes:?}");
        // Without a database nobody knows whether a waiver is needed.
        let report = desk.stage("policy check --format json").json();
        assert!(
            !report.to_string().contains("policy-waiver-unused"),
            "{report:#}"
        );
    }
    let ran = desk.stage("policy check --osv osv");
    ran.says(&[
        "needed by: app@1.0.0 > dep@1.0.0",
        "take 1.0.1 or later",
        "CVE-2026-1 (GHSA-1), high: something in dep",
    ]);
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| (*t).to_owned()).collect()
}

#[test]
fn waivers_of_vulnerabilities_are_checked_and_nothing_waives_what_is_malicious() {
    let whole = waiver("CVE-2026-1", "npm:a", "\"2090-01-01\"");
    Policy::parse("p", whole.as_bytes()).unwrap();
    assert_valid("policy.json", &from_toml(&whole));
    let vex = |line: &str| format!("{whole}{line}\n");
    for good in [
        "status = \"affected\"",
        "status = \"under_investigation\"",
        "justification = \"component_not_present\"",
        "status = \"not_affected\"\njustification = \"inline_mitigations_already_exist\"",
    ] {
        Policy::parse("p", vex(good).as_bytes()).unwrap();
        assert_valid("policy.json", &from_toml(&vex(good)));
    }
    for bad in [
        whole.replace("vulnerability = \"CVE-2026-1\"\n", ""),
        whole.replace("CVE-2026-1", "*"),
        whole.replace("CVE-2026-1", "CVE-*"),
        whole.replace("CVE-2026-1", "all of them"),
        vex("status = \"fixed\""),
        vex("justification = \"because\""),
        whole.replace("vuln-known", "npm-deprecated"),
        "[vuln]\nfail-on = \"severe\"".to_owned(),
        "[vuln]\nmax-db-age = \"a week\"".to_owned(),
        "[vuln]\nignore = [\"CVE-2026-1\"]".to_owned(),
        "[severity]\nvuln-malicious = \"note\"".to_owned(),
    ] {
        assert!(Policy::parse("p", bad.as_bytes()).is_err(), "{bad}");
        if !bad.contains("vuln-malicious") {
            assert_refused("policy.json", &from_toml(&bad));
        }
    }
    Policy::parse("p", vex("status = \"not_affected\"").as_bytes()).unwrap_err();
    Policy::parse(
        "p",
        vex("status = \"affected\"\njustification = \"component_not_present\"").as_bytes(),
    )
    .unwrap_err();

    let registry = Registry::new();
    let desk = desk(&registry);
    let malicious = [
        with(
            record("MAL-2026-1", "npm", "dep", "9.0.0"),
            "/affected/0/ranges",
            json!([]),
        ),
        // Said of commits only: it cannot be told to be another version.
        with(
            record("MAL-2026-2", "npm", "app", "9.0.0"),
            "/affected/0/ranges/0/type",
            json!("GIT"),
        ),
    ];
    let mut malicious = malicious.to_vec();
    malicious[0]["affected"][0]["versions"] = json!(["1.0.0"]);
    flat(&desk, "osv", &malicious);
    let waived = waiver("MAL-2026-1", "npm:*", "2090-01-01");
    desk.write(
        "policy.toml",
        format!("profile = \"lenient\"\n[vuln]\nfail-on = \"none\"\n{waived}"),
    );
    let both = [
        "vuln-malicious npm app@1.0.0",
        "vuln-malicious npm dep@1.0.0",
    ];
    let ran = desk.stage("policy check --osv osv --format json");
    assert_eq!(
        (ran.code, of(&ran.json(), "deny")),
        (3, strings(&both)),
        "{}",
        ran.stderr
    );
    // Nor is a policy needed.
    let manifest = String::from_utf8(desk.read("stage.toml")).unwrap();
    desk.write(
        "stage.toml",
        manifest.replace("[policy]\nfile = \"policy.toml\"\n", ""),
    );
    let before = desk.read("stage.lock");
    desk.write("stage.lock", "");
    std::fs::remove_file(desk.path("stage.lock")).unwrap();
    let ran = desk.stage("resolve --osv osv --format json");
    assert_eq!(
        (ran.code, of(&ran.json(), "deny")),
        (3, strings(&both)),
        "{}",
        ran.stderr
    );
    assert!(!desk.path("stage.lock").exists());
    // A lock knows nothing of vulnerabilities: the same one is resolved with a database and without.
    flat(&desk, "clean", &[record("GHSA-1", "npm", "dep", "1.0.1")]);
    desk.stage("resolve --osv clean").ok().says(&["vuln-known"]);
    assert_eq!(desk.read("stage.lock"), before);
    let mut flags = BTreeMap::new();
    flags.insert("unread", desk.stage("resolve --locked").ok().stderr);
    assert!(
        flags["unread"].contains("no vulnerability database was given"),
        "{flags:?}"
    );
}

#[test]
fn the_database_is_named_by_flag_variable_or_manifest_in_this_order() {
    let registry = Registry::new();
    let desk = desk(&registry);
    for name in ["flag", "variable", "file"] {
        flat(
            &desk,
            &format!("dbs/{name}"),
            &[record(&format!("GHSA-{name}"), "npm", "dep", "1.0.1")],
        );
    }
    let manifest = String::from_utf8(desk.read("stage.toml")).unwrap();
    let named = manifest.replace("[policy]\n", "[policy]\nosv = \"dbs/file\"\n");
    assert_valid("manifest.json", &from_toml(&named));
    desk.write("stage.toml", &named);
    let ran = |words: &str, variable: Option<&str>| {
        let mut command = desk.command(env!("CARGO_BIN_EXE_stage"), words);
        command.envs(variable.map(|path| ("STAGE_OSV", path)));
        crate::desk::ran(command).json()["vulnerabilities"]["found"][0]["id"].clone()
    };
    let check = "policy check --format json";
    assert_eq!(
        ran(&format!("{check} --osv dbs/flag"), Some("dbs/variable")),
        "GHSA-flag"
    );
    assert_eq!(ran(check, Some("dbs/variable")), "GHSA-variable");
    assert_eq!(ran(check, None), "GHSA-file");
    assert_eq!(ran("resolve --format json", None), "GHSA-file");
    // The database alone, without a policy.
    let alone = named.replace("file = \"policy.toml\"\n", "");
    assert_valid("manifest.json", &from_toml(&alone));
    desk.write("stage.toml", alone);
    assert_eq!(ran("resolve --format json", None), "GHSA-file");
    desk.write(
        "stage.toml",
        manifest.replace("file = \"policy.toml\"\n", ""),
    );
    desk.stage("resolve").refused(2, "`file` must be given");
    desk.write("stage.toml", &manifest);
    let report = desk.stage("resolve --format json").ok().json();
    assert_valid("resolve-report.json", &report);
    assert_eq!(report["vulnerabilities"]["database"], Value::Null);
    assert_eq!(of(&report, "warn"), ["vuln-database-none the closure"]);
    desk.write("policy.toml", starter(Profile::Lenient));
    assert_eq!(
        of(&desk.stage("resolve --format json").ok().json(), "note").len(),
        1
    );
}

#[test]
fn the_database_travels_and_is_asked_again_in_the_enclave() {
    let registry = Registry::new();
    let desk = desk(&registry);
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    desk.stage("repo init --repo repo --trust root.json --accept-unchecked-root")
        .ok();
    let rules = "[vuln]\nfail-on = \"critical\"\nmax-db-age = \"36500d\"\n";
    desk.write("policy.toml", rules);
    flat(
        &desk,
        "osv",
        &[
            rated(record("GHSA-1", "npm", "dep", "1.0.1"), HIGH),
            rated(record("GHSA-9", "npm", "not-here", "1.0.1"), HIGH),
        ],
    );
    let bundle = "bundle --key k.pem -o x.stage --format json";
    let manifest = String::from_utf8(desk.read("stage.toml")).unwrap();
    let carrying = manifest.replace("[bundle]\n", "[bundle]\ncarry-osv = true\n");
    assert_valid("manifest.json", &from_toml(&carrying));
    desk.write("stage.toml", &carrying);
    desk.stage("bundle --key k.pem -o x.stage")
        .refused(2, "carry-osv");
    let report = desk.stage(&format!("{bundle} --osv osv")).ok().json();
    assert_valid("bundle-report.json", &report);
    assert_eq!(found(&report["vulnerabilities"]), ["dep@1.0.0 GHSA-1"]);
    let bytes = desk.read("x.stage");
    let document = evidence(&bytes);
    assert_valid("vulnerabilities.json", &document);
    assert_eq!(document["carried"], "evidence/osv/records.jsonl.zst");
    assert_eq!(document["found"], report["vulnerabilities"]["found"]);
    assert_eq!(document["database"]["date"], "2026-11-20T00:00:00Z");
    assert!(
        !document.to_string().contains(text(&desk.path(""))),
        "a path of this host"
    );
    desk.stage("bundle --key k.pem -o y.stage --osv osv")
        .ok()
        .says(&["made before from the same inputs"]);
    assert_eq!(desk.read("y.stage"), bytes);

    let vulns = "repo vulns --repo repo --format json";
    let report = desk.stage(vulns).ok().json();
    assert_valid("vulns-report.json", &report);
    assert_eq!(
        report["vulnerabilities"]["said"],
        "no vulnerability database was given"
    );
    desk.stage("repo vulns --repo repo")
        .ok()
        .says(&["no vulnerability database was given"]);
    desk.stage("import x.stage --repo repo").ok();
    let report = desk.stage(vulns).ok().json();
    assert_valid("vulns-report.json", &report);
    assert_eq!(found(&report["vulnerabilities"]), ["dep@1.0.0 GHSA-1"]);
    assert_eq!(report["carried_by"]["serial"], 1);
    assert_eq!(report["held"][0]["bundles"][0]["generations"], json!([1]));
    desk.stage("repo vulns --repo repo").ok().says(&[
        "GHSA-1",
        "fixed in 1.0.1",
        "walk 1",
        "came with walk 1",
    ]);

    // A later database knows more, and the repository's policy denies.
    flat(
        &desk,
        "newer",
        &[
            rated(record("GHSA-1", "npm", "dep", "1.0.1"), HIGH),
            rated(record("GHSA-2", "npm", "app", "1.0.1"), CRITICAL),
        ],
    );
    let newer = "repo vulns --repo repo --osv newer --format json";
    let ran = desk.stage(newer).ok();
    assert_eq!(ran.json()["carried_by"], Value::Null);
    assert_eq!(found(&ran.json()["vulnerabilities"]).len(), 2);
    desk.stage(
        "repo init --repo repo --trust root.json --accept-unchecked-root --policy policy.toml",
    )
    .ok();
    let ran = desk.stage(newer);
    assert_eq!(
        (ran.code, of(&ran.json(), "deny")),
        (3, strings(&["vuln-known npm app@1.0.0"])),
        "{}",
        ran.stderr
    );
    assert_valid("vulns-report.json", &ran.json());
    assert_eq!(desk.stage(vulns).code, 0);
    // What is blocked is not offered any more.
    desk.stage("repo block pkg:npm/app@1.0.0 --reason CVE --repo repo")
        .ok();
    let report = desk.stage(newer).ok().json();
    assert_eq!(report["held"][0]["blocked"], true);
    assert_eq!(found(&report["vulnerabilities"]).len(), 2);
}

#[test]
fn a_site_judges_a_bundle_by_the_records_that_it_carries() {
    let registry = Registry::new();
    let desk = desk(&registry);
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    flat(
        &desk,
        "osv",
        &[rated(record("GHSA-1", "npm", "dep", "1.0.1"), HIGH)],
    );
    let manifest = String::from_utf8(desk.read("stage.toml")).unwrap();
    desk.write(
        "stage.toml",
        manifest.replace("[bundle]\n", "[bundle]\ncarry-osv = true\n"),
    );
    desk.stage("bundle --key k.pem -o x.stage --osv osv").ok();
    let init = "repo init --trust root.json --accept-unchecked-root";
    let rules = "[vuln]\nmax-db-age = \"36500d\"\nfail-on = ";
    for (repo, level, code) in [("strict", "\"high\"", 3), ("other", "\"critical\"", 0)] {
        desk.write("site.toml", format!("{rules}{level}\n"));
        desk.stage(&format!("{init} --repo {repo} --policy site.toml"))
            .ok();
        let ran = desk.stage(&format!("import x.stage --repo {repo} --dry-run"));
        assert_eq!(ran.code, code, "{repo}: {}{}", ran.stdout, ran.stderr);
        let ran = desk.stage(&format!("import x.stage --repo {repo}"));
        assert_eq!(ran.code, code, "{repo}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("GHSA-1"), "{}", ran.stderr);
    }
    assert!(!desk.path("strict/current").exists());
    // A bundle without records, for a site that wants to know.
    desk.write("stage.toml", manifest);
    desk.stage("bundle --key k.pem -o z.stage --osv osv").ok();
    desk.write("site.toml", "[severity]\nvuln-database-none = \"deny\"\n");
    desk.stage(&format!("{init} --repo third --policy site.toml"))
        .ok();
    desk.stage("import z.stage --repo third")
        .refused(3, "no vulnerability database was given");
}

/// `evidence/vulnerabilities.json` of a bundle.
fn evidence(bundle: &[u8]) -> Value {
    let start = br#"{"carried":"evidence/osv/"#;
    let at = bundle
        .windows(start.len())
        .position(|window| window == start)
        .unwrap();
    let mut documents = serde_json::Deserializer::from_slice(&bundle[at..]).into_iter::<Value>();
    let document = documents.next().unwrap().unwrap();
    let written = stage::base::json::canonical(&document);
    assert_eq!(&bundle[at..at + written.len()], written);
    document
}

#[test]
fn whole_exports_are_read_in_seconds() {
    // 20,000 records, of which three name a package of the lock; an export of npm has some 200,000.
    let mut records = Vec::new();
    for number in 0..20_000 {
        records.push(record(
            &format!("MAL-2026-{number}"),
            "npm",
            &format!("package-{number}"),
            "9.0.0",
        ));
    }
    let desk = Desk::new();
    desk.write("all.zip", all_zip(&records));
    let lock = npm(&[
        ("package-7", "1.0.0"),
        ("package-777", "1.0.0"),
        ("package-19999", "1.0.0"),
    ]);
    let started = std::time::Instant::now();
    let checked = look_up(&lock, &Records::new(), &desk.path("all.zip")).unwrap();
    assert_eq!(ids(&checked).len(), 3);
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    eprintln!("20,000 records in {:?}", started.elapsed());
}

#[test]
fn a_security_update_that_the_lock_leaves_aside_is_said() {
    let world = World::new("debian-security-update");
    let [main, security] = debian();
    let without = Suite {
        components: Vec::new(),
        ..security.clone()
    };
    let without = without.with("main", &[Deb::new("other", "9-1", "amd64")]);
    let archive = Archive::new(&[main.clone(), without], &key(1));
    manifest(&world, &archive, BOTH, "packages = [\"app\"]");
    let updates = |report: &Value| -> Vec<String> {
        let findings = report["findings"].as_array().unwrap().iter();
        findings
            .filter(|f| f["code"] == "debian-security-update")
            .map(|f| {
                ["severity", "subject", "message"]
                    .map(|key| f[key].as_str().unwrap())
                    .join(" ")
            })
            .collect()
    };
    assert!(updates(&resolved(&world, &[])).is_empty());
    // The suite of security updates gets a newer version; the lock keeps its own, and says so.
    let later = |suite: &Suite| Suite {
        date: "2026-02-05T00:00:00Z".parse().unwrap(),
        ..suite.clone()
    };
    archive.publish(&[later(&main), later(&security)], &key(1));
    assert_eq!(
        updates(&resolved(&world, &[])),
        ["warn debian libone@1.0-1 has a security update, \"1.0-1+deb12u1\""]
    );
    // A policy weighs it, and a waiver names the package.
    let text = std::fs::read_to_string(world.path("stage.toml")).unwrap();
    let named = format!("{text}[policy]\nfile = \"policy.toml\"\n");
    std::fs::write(world.path("stage.toml"), &named).unwrap();
    let rule = "[severity]\ndebian-security-update = \"deny\"\n";
    std::fs::write(world.path("policy.toml"), rule).unwrap();
    assert_eq!(resolve(&world, &[]).0, 3);
    let waived = waiver("X-1", "debian:libone", "2090-01-01")
        .replace("vuln-known", "debian-security-update")
        .replace("vulnerability = \"X-1\"\n", "");
    std::fs::write(world.path("policy.toml"), format!("{rule}{waived}")).unwrap();
    resolved(&world, &[]);
    std::fs::write(world.path("policy.toml"), rule).unwrap();
    assert!(updates(&resolved(&world, &["--upgrade=debian:libone"])).is_empty());
    // A newer version in a suite of another kind is no security update.
    let [main, _] = debian();
    let backports = Suite::new("bookworm-backports", "bookworm-backports").with(
        "main",
        &[Deb::new("libone", "2.0-1", "amd64").field("Multi-Arch", "same")],
    );
    let archive = Archive::new(&[main, backports], &key(1));
    let world = World::new("debian-no-security-update");
    let suites = "\"bookworm\", \"bookworm-backports\"";
    manifest(
        &world,
        &archive,
        suites,
        "packages = [\"app\", \"libone=1.0-1\"]",
    );
    assert!(updates(&resolved(&world, &[])).is_empty());
}
