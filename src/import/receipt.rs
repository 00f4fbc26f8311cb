//! Receipts: what one import checked and did, one JSON document each.

use std::path::Path;

use serde_json::{Value, json};

use crate::base::digest::Digest;
use crate::base::time::Timestamp;
use crate::fs;
use crate::import::layout::Layout;
use crate::import::{ImportError, ImportRequest};
use crate::trust::crypto;
use crate::verify::Bundle;

/// What one import did.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Channel of the bundle.
    pub channel: String,
    /// Serial of the bundle.
    pub serial: u64,
    /// Identity of the bundle.
    pub bundle: Digest,
    /// Files of the bundle.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The generation that shows it.
    pub generation: u64,
    /// Digest of the journal's line about it.
    pub journal: Option<Digest>,
    /// Whether it had been imported before.
    pub already_imported: bool,
    time: Timestamp,
    fields: Value,
}

impl Receipt {
    /// About `bundle`, shown by `generation`.
    pub fn new(bundle: &Bundle, request: &ImportRequest<'_>, generation: u64) -> Self {
        let statement = &bundle.statement;
        let signers: Vec<Value> = bundle
            .signers
            .iter()
            .map(|s| {
                let roles: Vec<&str> = s.roles.iter().map(|r| r.as_str()).collect();
                json!({"keyid": s.keyid.hex(), "person": s.person, "roles": roles})
            })
            .collect();
        let checks: Vec<Value> = bundle
            .checks
            .iter()
            .map(|c| json!({"name": c.name, "detail": c.detail}))
            .collect();
        let bytes = bundle.manifest.files.iter().map(|f| f.size).sum();
        Self {
            channel: statement.channel.clone(),
            serial: statement.serial,
            bundle: bundle.id.0,
            files: bundle.manifest.files.len(),
            bytes,
            generation,
            journal: None,
            already_imported: false,
            time: request.now,
            fields: json!({
                "epoch": statement.epoch,
                "kind": statement.kind.as_str(),
                "created": statement.created,
                "expires": statement.expires,
                "manifest": statement.manifest.sha256,
                "root": {"version": bundle.root.version(), "fingerprint": bundle.root.fingerprint()},
                "signers": signers,
                "checks": checks,
                "tool": request.tool,
                "crypto": crypto::receipt(request.fips_host),
            }),
        }
    }

    /// The document, without `schema`.
    pub fn json(&self) -> Value {
        let mut value = self.fields.clone();
        if let Value::Object(map) = &mut value {
            let more = json!({
                "action": "import",
                "already_imported": self.already_imported,
                "bundle": self.bundle,
                "channel": self.channel,
                "serial": self.serial,
                "files": self.files,
                "bytes": self.bytes,
                "generation": self.generation,
                "journal": self.journal,
                "time": self.time,
            });
            if let Value::Object(more) = more {
                map.extend(more);
            }
        }
        value
    }

    /// Writes the document to a file of the caller's choice, all or nothing.
    pub fn write(&self, path: &Path) -> Result<(), ImportError> {
        let mut value = self.json();
        if let Value::Object(map) = &mut value {
            map.insert("schema".to_owned(), "stage/import-receipt/v1".into());
        }
        let mut text = format!("{value:#}");
        text.push('\n');
        Ok(fs::write_atomic(path, text.as_bytes(), 0o644)?)
    }

    /// Keeps the document in the repository.
    pub fn store(&self, layout: &Layout) -> Result<(), ImportError> {
        let time: String = self
            .time
            .to_string()
            .chars()
            .filter(|c| !matches!(c, '-' | ':'))
            .collect();
        let name = format!("{time}-{}-{}.json", self.channel, self.serial);
        self.write(&layout.receipts().join(name))
    }
}
