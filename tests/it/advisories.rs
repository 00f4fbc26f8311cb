//! Known vulnerabilities in both builds: the enclave asks the records that came with a bundle without a network, and says
//! so to others.

use std::io::Write as _;

use serde_json::{Value, json};
use stage::lock::{Records, format};
use stage::vulns::{self, CarriedWriter, Checked, Closure, Given, Query};

use crate::desk::Desk;
use crate::fixture;
use crate::schemas::assert_valid;

fn advisory(id: &str, name: &str, events: Value) -> Vec<u8> {
    json!({
        "id": id,
        "modified": "2026-11-20T00:00:00Z",
        "affected": [{"package": {"ecosystem": "npm", "name": name}, "ranges": [{"type": "SEMVER", "events": events}]}],
    })
    .to_string()
    .into_bytes()
}

fn look_up(desk: &Desk, name: &str, carry: Option<&mut CarriedWriter>) -> Checked {
    let (lock, records) = (fixture::lock(), Records::new());
    let closures = [Closure {
        lock: &lock,
        records: &records,
    }];
    let checked = vulns::check(&mut Query {
        database: Given::Path(&desk.path(name)),
        closures: &closures,
        carry,
    });
    checked.unwrap()
}

#[test]
fn the_records_that_came_with_a_bundle_say_what_the_export_said() {
    let desk = Desk::new();
    let bounds = json!([{"introduced": "2026.9.0"}, {"fixed": "2026.9.7"}]);
    desk.write("osv/A-1.json", advisory("A-1", "claw", bounds));
    // Build metadata is no part of the order (SemVer 2, 10): 1.0.0+build.5 is 1.0.0.
    let last = json!([{"introduced": "0"}, {"last_affected": "1.0.0"}]);
    desk.write("osv/A-2.json", advisory("A-2", "odd", last));
    // Inside the archive of another package, and carried with it.
    let all = json!([{"introduced": "0"}]);
    desk.write("osv/A-3.json", advisory("A-3", "inside", all.clone()));
    // In the tree for other platforms only: nothing of it is carried.
    desk.write("osv/A-4.json", advisory("A-4", "native-win32", all));
    let mut writer = CarriedWriter::new().unwrap();
    let exported = look_up(&desk, "osv", Some(&mut writer));
    desk.write("records.jsonl.zst", writer.finish().unwrap());
    let carried = look_up(&desk, "records.jsonl.zst", None);
    let ids: Vec<&str> = exported
        .vulnerabilities
        .iter()
        .map(|v| v.id.as_str())
        .collect();
    assert_eq!(ids, ["A-1", "A-3", "A-2"]);
    assert_eq!(exported.vulnerabilities, carried.vulnerabilities);
    assert_eq!(
        exported.vulnerabilities[0].fixed.as_deref(),
        Some("2026.9.7")
    );
    assert_eq!(exported.uncovered, []);
    // What is neither is no database.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&advisory("A-1", "claw", json!([]))).unwrap();
    desk.write("osv.gz", gzip.finish().unwrap());
    let (lock, records) = (fixture::lock(), Records::new());
    let closures = [Closure {
        lock: &lock,
        records: &records,
    }];
    let refused = vulns::check(&mut Query {
        database: Given::Path(&desk.path("osv.gz")),
        closures: &closures,
        carry: None,
    });
    refused.unwrap_err();
}

#[test]
fn vex_is_written_where_there_is_no_network() {
    let desk = Desk::new();
    desk.write("stage.lock", format::write(&fixture::lock()));
    let bounds = json!([{"introduced": "0"}, {"fixed": "2026.9.7"}]);
    desk.write("osv/A-1.json", advisory("A-1", "claw", bounds));
    let ran = desk
        .stage("vex stage.lock --osv osv --as openvex -o v.json --format json")
        .ok();
    assert_valid("vex-report.json", &ran.json());
    let document: Value = serde_json::from_slice(&desk.read("v.json")).unwrap();
    let said = &document["statements"][0];
    assert_eq!(said["products"][0]["@id"], "pkg:npm/claw@2026.9.6");
    assert_eq!(said["action_statement"], "take 2026.9.7 or later");
}
