//! OpenVEX 0.2.0.

use serde_json::{Map, Value, json};

use super::{Issuer, Statement, Status};
use crate::base::digest::Digest;
use crate::base::json::canonical;

/// The document, in canonical JSON with a line end. The same statements at the same time give the same bytes.
pub fn write(statements: &[Statement<'_>], issuer: &Issuer<'_>) -> Vec<u8> {
    let listed: Vec<Value> = statements.iter().map(statement).collect();
    let (tool, version) = issuer.tool;
    let mut document = json!({
        "@context": "https://openvex.dev/ns/v0.2.0",
        "author": issuer.author,
        "timestamp": issuer.at,
        "tooling": format!("{tool} {version}"),
        "version": 1,
        "statements": listed,
    });
    let id = Digest::of(&canonical(&document)).urn_uuid();
    if let Value::Object(fields) = &mut document {
        fields.insert("@id".to_owned(), id.into());
    }
    let mut bytes = canonical(&document);
    bytes.push(b'\n');
    bytes
}

fn statement(said: &Statement<'_>) -> Value {
    let mut vulnerability = json!({"name": said.id});
    if let (Value::Object(fields), Some(about)) = (&mut vulnerability, said.about) {
        fields.insert("aliases".to_owned(), json!(about.aliases));
        if !about.summary.is_empty() {
            fields.insert("description".to_owned(), json!(about.summary));
        }
    }
    let purl = said.purl.as_str();
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("vulnerability", vulnerability);
    put(
        "products",
        json!([{"@id": purl, "identifiers": {"purl": purl}}]),
    );
    match said.status {
        Status::NotAffected(why) => {
            put("status", json!("not_affected"));
            put("justification", json!(why.as_str()));
            put("impact_statement", json!(said.detail));
        }
        Status::Affected => {
            put("status", json!("affected"));
            put("action_statement", json!(said.action));
        }
        Status::Fixed => {
            put("status", json!("fixed"));
            put("status_notes", json!(said.detail));
        }
        Status::UnderInvestigation => {
            put("status", json!("under_investigation"));
            put("status_notes", json!(said.detail));
        }
    }
    Value::Object(fields)
}
