//! Receipts: what one import checked and did, one JSON document each. A kept receipt names the journal line before its
//! own, and its own line holds the digest of the receipt: neither can change unseen.

use serde::Serialize;
use serde_json::{Value, json};

use crate::base::digest::Digest;
use crate::base::time::Timestamp;
use crate::import::ImportRequest;
use crate::import::archives::Linted;
use crate::import::policy::Judged;
use crate::trust::crypto;
use crate::trust::proof::SignedProof;
use crate::verify::Bundle;
use crate::verify::report::ApprovalLine;

/// The schema.
pub const SCHEMA: &str = "stage/import-receipt/v2";

/// A place in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Number of the line about the import; `None` when nothing was written.
    pub sequence: Option<u64>,
    /// Digest of the line before it, which is the last one when nothing was written.
    pub previous: Option<Digest>,
}

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
    /// Where it stands in the journal.
    pub journal: Place,
    /// Whether it had been imported before.
    pub already_imported: bool,
    /// What was found in the archives, if they were read.
    pub lint: Option<Linted>,
    /// What the repository's policy says, if it has one.
    pub policy: Option<Judged>,
    time: Timestamp,
    fields: Value,
}

impl Receipt {
    /// About `bundle`, shown by `generation`. `floor` is the newest signed time that had been seen before.
    pub fn new(
        bundle: &Bundle,
        request: &ImportRequest<'_>,
        floor: Option<Timestamp>,
        generation: u64,
        journal: Place,
    ) -> Self {
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
            journal,
            already_imported: false,
            lint: None,
            policy: None,
            time: request.now,
            fields: json!({
                "epoch": statement.epoch,
                "kind": statement.kind.as_str(),
                "created": statement.created,
                "expires": statement.expires,
                "manifest": statement.manifest.sha256,
                "root": {"version": bundle.root.version(), "fingerprint": bundle.root.fingerprint()},
                "signers": signers,
                "approvals": ApprovalLine::all(bundle),
                "proof": bundle.proof.as_ref().map(SignedProof::json),
                "checks": checks,
                "tool": request.tool,
                "time_source": "system-clock",
                "time_floor": floor,
                "expired_allowed": request.reason_for(bundle),
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
                "lint": self.lint.as_ref().map(Linted::summary),
                "policy": self.policy.as_ref().map(Judged::summary),
                "journal": self.journal,
                "time": self.time,
            });
            if let Value::Object(more) = more {
                map.extend(more);
            }
        }
        value
    }

    /// The bytes of the document.
    pub fn text(&self) -> Vec<u8> {
        let mut value = self.json();
        if let Value::Object(map) = &mut value {
            map.insert("schema".to_owned(), SCHEMA.into());
        }
        format!("{value:#}\n").into_bytes()
    }
}
