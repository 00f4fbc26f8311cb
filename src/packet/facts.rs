//! What a packet is made of: a verified bundle, the documents of evidence in it, and what came before.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use crate::base::egress::Contact;
use crate::base::evidence::Level;
use crate::base::json;
use crate::base::limits::LIMITS;
use crate::base::runtime::{self, Runtime};
use crate::ca::{self, CaBundle};
use crate::evidence::{self, Line};
use crate::hids::Baseline;
use crate::licenses::{self, Licenses};
use crate::lock::{Lock, LockedFinding};
use crate::sbom::document::Document;
use crate::verify::Bundle;

/// The SBOM in a bundle.
const SBOM: &str = "sbom/bundle.cdx.json";
/// Folder of the documents of evidence in a bundle.
pub const EVIDENCE: &str = "evidence/";
/// The roots of the private CA in a bundle.
const PRIVATE_CA: &str = "ca/ca-bundle.pem";

/// What a packet is made of.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The bundle.
    pub bundle: &'a Bundle,
    /// Its documents below [`EVIDENCE`], by path.
    pub evidence: &'a BTreeMap<String, Vec<u8>>,
    /// The last bundle that was approved: its lock and what to call it.
    pub previous: Option<(&'a Lock, String)>,
    /// What is installed, by platform; none where nobody said where.
    pub baselines: &'a [Baseline],
    /// What is said of known vulnerabilities.
    pub vex: &'a Vex,
    /// What was contacted to make the bundle, where that was kept.
    pub egress: Option<&'a [Contact]>,
    /// The host that the checklist is for, as its reader knows it.
    pub host: &'a str,
    /// Name and version of this program.
    pub tool: &'a str,
}

/// What is said of known vulnerabilities; nothing without a database.
#[derive(Debug, Clone, Default)]
pub struct Vex {
    /// Id, package URL, status, why, what to do.
    pub rows: Vec<Vec<String>>,
    /// The statements as OpenVEX and CycloneDX, by path in the packet.
    pub documents: BTreeMap<String, Vec<u8>>,
}

/// A finding as a bundle has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// `deny`, `warn` or `note`.
    pub severity: String,
    /// Its code.
    pub code: String,
    /// What it is about.
    pub subject: String,
    /// What was found.
    pub message: String,
}

/// A finding that somebody waived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waived {
    /// What was found.
    pub found: Found,
    /// Why it may be.
    pub reason: String,
    /// Who said so.
    pub approver: String,
    /// Until when.
    pub expires: String,
}

impl Facts<'_> {
    /// A version 5 UUID (RFC 9562 section 5.5) of a part of the packet of this bundle. OSCAL takes versions 4 and 5 only.
    pub(super) fn uuid(&self, part: &str) -> String {
        let space = Uuid::new_v5(&Uuid::NAMESPACE_URL, self.bundle.id.to_string().as_bytes());
        Uuid::new_v5(&space, part.as_bytes()).to_string()
    }

    /// A document of evidence.
    pub fn document(&self, name: &str) -> Option<Value> {
        let bytes = self.evidence.get(&format!("{EVIDENCE}{name}"))?;
        json::parse(bytes, LIMITS.document).ok()
    }

    /// Who runs the runtime and what it needs, where the manifest said so.
    pub fn runtime(&self) -> Option<Runtime> {
        runtime::parse(self.evidence.get(runtime::DOCUMENT)?)
    }

    /// The private CA, as it was when the bundle was made.
    pub fn private_ca(&self) -> Option<CaBundle> {
        let files = [(PRIVATE_CA.to_owned(), self.carried(PRIVATE_CA)?.to_vec())];
        ca::read_roots(&files, self.bundle.statement.created).ok()
    }

    /// The SBOM, which verifying the bundle held against what it carries.
    pub fn sbom(&self) -> Option<Document> {
        Document::read(self.carried(SBOM)?).ok()
    }

    /// A document of the bundle that its verification read.
    fn carried(&self, path: &str) -> Option<&[u8]> {
        let mut documents = self.bundle.documents.iter();
        let (_, bytes) = documents.find(|(at, _)| at.as_str() == path)?;
        Some(bytes)
    }

    /// The lock with the licenses that were read from files.
    pub fn described_lock(&self) -> Option<Lock> {
        let lock = self.bundle.lock.as_ref()?;
        let path = format!("{EVIDENCE}{}", licenses::DOCUMENT);
        let read = self.evidence.get(&path).map(|bytes| Licenses::parse(bytes));
        Some(read.map_or_else(|| lock.clone(), |licenses| licenses.described(lock)))
    }

    /// What was found when the bundle was made: as the builder's policy says it, or without one what the lock holds and what
    /// was found in the archives.
    pub fn findings(&self) -> Vec<Found> {
        let listed = |name: &str| -> Option<Vec<Found>> {
            let document = self.document(name)?;
            let listed = document.get("findings")?.as_array()?;
            Some(listed.iter().map(found).collect())
        };
        let unjudged = || {
            let locked = self.bundle.lock.iter().flat_map(|lock| &lock.findings);
            let mut out: Vec<Found> = locked.map(kept).collect();
            out.extend(listed("findings.json").unwrap_or_default());
            out
        };
        let mut out = listed("policy.json").unwrap_or_else(unjudged);
        out.sort();
        out.dedup();
        out
    }

    /// What the builder's policy waived.
    pub fn waived(&self) -> Vec<Waived> {
        let judged = self.document("policy.json");
        let listed = judged.as_ref().and_then(|document| document.get("waived"));
        let listed = listed.and_then(Value::as_array);
        let one = |entry: &Value| {
            let waiver = entry.get("waiver");
            let of = |key| waiver.map(|waiver| text(waiver, key)).unwrap_or_default();
            Waived {
                found: found(entry.get("finding").unwrap_or(entry)),
                reason: of("reason"),
                approver: of("approver"),
                expires: of("expires"),
            }
        };
        listed.into_iter().flatten().map(one).collect()
    }

    /// Every carried file with how well its upstream vouches for it.
    pub fn vouched(&self) -> Vec<Line<'_>> {
        self.bundle
            .lock
            .as_ref()
            .map(evidence::lines)
            .unwrap_or_default()
    }

    /// Carried files over whose bytes no upstream signed anything.
    pub fn unsigned(&self) -> Vec<Line<'_>> {
        let mut lines = self.vouched();
        lines.retain(|line| line.level < Level::L3);
        lines
    }
}

/// A finding as a lock keeps it.
fn kept(finding: &LockedFinding) -> Found {
    Found {
        severity: finding.severity.to_string(),
        code: finding.code.clone(),
        subject: finding.subject.clone(),
        message: finding.message.clone(),
    }
}

fn found(entry: &Value) -> Found {
    Found {
        severity: text(entry, "severity"),
        code: text(entry, "code"),
        subject: text(entry, "subject"),
        message: text(entry, "message"),
    }
}

pub(super) fn text(value: &Value, key: &str) -> String {
    let found = value.get(key);
    found.and_then(Value::as_str).unwrap_or_default().to_owned()
}
