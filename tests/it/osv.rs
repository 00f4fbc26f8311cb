//! Self-made records of the OSV schema, and the layouts in which exports have them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::desk::Desk;

/// What the schema calls the ecosystem of crates: a name, and no host.
pub(crate) const CRATES: &str = concat!("crates", ".io");
/// CVSS 3.1 vectors of each level.
pub(crate) const CRITICAL: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
pub(crate) const HIGH: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H";
pub(crate) const LOW: &str = "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N";

/// A record about one package: its versions from the first on, up to the one in which it is fixed.
pub(crate) fn record(id: &str, ecosystem: &str, name: &str, fixed: &str) -> Value {
    let range = if ecosystem == "npm" || ecosystem == CRATES {
        "SEMVER"
    } else {
        "ECOSYSTEM"
    };
    json!({
        "schema_version": "1.7.0",
        "id": id,
        "modified": "2026-11-20T00:00:00Z",
        "published": "2026-01-01T00:00:00Z",
        "summary": format!("something in {name}"),
        "affected": [{
            "package": {"ecosystem": ecosystem, "name": name},
            "ranges": [{"type": range, "events": [{"introduced": "0"}, {"fixed": fixed}]}],
        }],
    })
}

/// The same with other ids.
pub(crate) fn also(mut record: Value, aliases: &[&str]) -> Value {
    record["aliases"] = json!(aliases);
    record
}

/// The same with a vector.
pub(crate) fn rated(mut record: Value, vector: &str) -> Value {
    record["severity"] = json!([{"type": "CVSS_V3", "score": vector}]);
    record
}

/// The same with one field set.
pub(crate) fn with(mut record: Value, pointer: &str, value: Value) -> Value {
    *record.pointer_mut(pointer).unwrap() = value;
    record
}

/// A zip file with these members.
pub(crate) fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated);
    for (name, bytes) in members {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A zip file as an export has it: `ID.json` for each record.
pub(crate) fn all_zip(records: &[Value]) -> Vec<u8> {
    let named: Vec<(String, Vec<u8>)> = records
        .iter()
        .map(|r| {
            (
                format!("{}.json", r["id"].as_str().unwrap()),
                r.to_string().into_bytes(),
            )
        })
        .collect();
    let members: Vec<(&str, &[u8])> = named
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    zip(&members)
}

/// Writes records as flat files into a folder of a desk.
pub(crate) fn flat(desk: &Desk, folder: &str, records: &[Value]) -> PathBuf {
    for record in records {
        let name = record["id"].as_str().unwrap();
        // As people keep them: with line breaks.
        desk.write(&format!("{folder}/{name}.json"), format!("{record:#}\n"));
    }
    desk.path(folder)
}

/// The ids in a list of vulnerabilities, with the packages that they are of.
pub(crate) fn found(vulnerabilities: &Value) -> Vec<String> {
    let all = vulnerabilities["found"].as_array().unwrap().iter();
    all.map(|v| {
        format!(
            "{} {}",
            v["release"].as_str().unwrap(),
            v["id"].as_str().unwrap()
        )
    })
    .collect()
}

/// The path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
