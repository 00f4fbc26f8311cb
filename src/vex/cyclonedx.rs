//! CycloneDX 1.6 with vulnerabilities and no inventory: it points into the SBOM of a bundle by BOM-Link, or, where there
//! is none yet, has the packages that it is about as components of its own.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Issuer, Statement, Status};
use crate::base::digest::Digest;
use crate::base::json::canonical;
use crate::policy::Justification;
use crate::vulns::Vulnerability;

/// The SBOM that is pointed into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sbom {
    /// Its serial number without `urn:uuid:`.
    pub serial: String,
    /// Its version.
    pub version: u64,
}

impl Sbom {
    /// Reads what identifies an SBOM.
    pub fn of(document: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(document).ok()?;
        let serial = document.get("serialNumber")?.as_str()?;
        let serial = serial.strip_prefix("urn:uuid:")?;
        let fine = serial.len() == 36 && serial.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        let version = document.get("version").map_or(Some(1), Value::as_u64)?;
        fine.then(|| Self {
            serial: serial.to_owned(),
            version,
        })
    }
}

/// The document, in canonical JSON with a line end. The same statements at the same time give the same bytes.
pub fn write(statements: &[Statement<'_>], issuer: &Issuer<'_>, sbom: Option<&Sbom>) -> Vec<u8> {
    let (tool, version) = issuer.tool;
    let vulnerabilities: Vec<Value> = statements.iter().map(|s| vulnerability(s, sbom)).collect();
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": issuer.at,
            "authors": [{"name": issuer.author}],
            "tools": {"components": [{"type": "application", "name": tool, "version": version}]},
        },
        "vulnerabilities": vulnerabilities,
    });
    if let (Value::Object(fields), None) = (&mut document, sbom) {
        fields.insert("components".to_owned(), components(statements));
    }
    let serial = Digest::of(&canonical(&document)).urn_uuid();
    if let Value::Object(fields) = &mut document {
        fields.insert("serialNumber".to_owned(), serial.into());
    }
    let mut bytes = canonical(&document);
    bytes.push(b'\n');
    bytes
}

/// The packages, each once.
fn components(statements: &[Statement<'_>]) -> Value {
    let mut all = BTreeMap::new();
    for said in statements {
        let release = said.release;
        let purl = said.purl.as_str();
        let component = json!({
            "type": "library",
            "bom-ref": purl,
            "name": release.name,
            "version": release.version,
            "purl": purl,
        });
        all.insert(purl.to_owned(), component);
    }
    all.into_values().collect()
}

fn vulnerability(said: &Statement<'_>, sbom: Option<&Sbom>) -> Value {
    let purl = said.purl.as_str();
    let affects = match sbom {
        Some(sbom) => format!("urn:cdx:{}/{}#{purl}", sbom.serial, sbom.version),
        None => purl.to_owned(),
    };
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("id", json!(said.id));
    put("source", json!({"name": source(said.id)}));
    put("analysis", analysis(said));
    put("affects", json!([{"ref": affects}]));
    let Some(about) = said.about else {
        return Value::Object(fields);
    };
    let reference = |id: &String| json!({"id": id, "source": {"name": source(id)}});
    let references: Vec<Value> = about.aliases.iter().map(reference).collect();
    put("references", json!(references));
    put("ratings", ratings(about));
    put("updated", json!(about.modified));
    put("recommendation", json!(said.action));
    if !about.summary.is_empty() {
        put("description", json!(about.summary));
    }
    Value::Object(fields)
}

/// The database that gives ids of this kind: what stands before their first hyphen.
fn source(id: &str) -> &str {
    id.split('-').next().unwrap_or(id)
}

fn ratings(about: &Vulnerability) -> Value {
    let level = about.level.map_or("unknown", |level| level.as_str());
    let method = |vector: &String| match vector.as_str() {
        v if v.starts_with("CVSS:4.0/") => "CVSSv4",
        v if v.starts_with("CVSS:3.1/") => "CVSSv31",
        v if v.starts_with("CVSS:3.0/") => "CVSSv3",
        _ => "CVSSv2",
    };
    let of =
        |vector: &String| json!({"severity": level, "method": method(vector), "vector": vector});
    let vectors: Vec<Value> = about.vectors.iter().map(of).collect();
    if vectors.is_empty() {
        return json!([{"severity": level}]);
    }
    json!(vectors)
}

fn analysis(said: &Statement<'_>) -> Value {
    let state = match said.status {
        Status::Affected => "exploitable",
        Status::UnderInvestigation => "in_triage",
        Status::NotAffected(_) => "not_affected",
        Status::Fixed => "resolved",
    };
    let mut analysis = json!({"state": state, "detail": said.detail});
    if let (Value::Object(fields), Status::NotAffected(why)) = (&mut analysis, said.status) {
        let why = match why {
            Justification::ComponentNotPresent | Justification::VulnerableCodeNotPresent => {
                "code_not_present"
            }
            Justification::VulnerableCodeNotInExecutePath => "code_not_reachable",
            Justification::VulnerableCodeCannotBeControlledByAdversary => "requires_environment",
            Justification::InlineMitigationsAlreadyExist => "protected_by_mitigating_control",
        };
        fields.insert("justification".to_owned(), json!(why));
    }
    analysis
}
