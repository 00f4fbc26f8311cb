//! The change packet: what a change board, an ISSO, and the teams of firewalls, hosts and platforms need to know of a
//! bundle, made of what the bundle, its approvals and its proof say. The same input gives the same bytes.
//!
//! ```text
//! index.html  index.md                     the first page: what it is, what changed, what was found, who signed
//! rollback.md                              how the change is taken back
//! checklist.cklb                           rules of a STIG with where their evidence is
//! oscal/      component-definition.json    controls with what shows them
//! sbom/       bundle.cdx.json bundle.spdx.json components.csv licenses.md dependencies.dot
//! vex/        openvex.json vex.cdx.json statements.csv
//! findings/   findings.csv waivers.csv upstream.csv changes.csv
//! hids/       linux-amd64/ baseline.csv aide.conf aide.db … what is installed
//! network/    flows.csv flows.md flows.svg … rules of firewalls and proxies
//! permissions/ directories.csv tmpfiles.conf ansible.yml … what the host needs
//! proof/      proof.json
//! ca/         ca-bundle.pem, a Debian package and settings of clients
//! evidence/   the documents of the bundle, as they are
//! controls.csv  signatures.csv
//! SHA256SUMS                               for `sha256sum -c`, of every file above
//! manifest.json                            SHA-256 and size of every file above
//! manifest.json.dsse                       its signature, when it is signed
//! ```
//!
//! A part whose source the bundle does not have is left out.

mod controls;
mod facts;
mod graph;
mod licensing;
mod oscal;
pub mod received;
mod rollback;
mod sections;
pub mod signed;
mod stig;
mod tables;

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use serde_json::json;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::base::digest::Digest;
use crate::base::json;
use crate::flows;
use crate::hids;
use crate::packet::graph::Graph;
use crate::page::{Page, html, markdown};
use crate::permissions;
use crate::sbom::{spdx, table};
use crate::trust::envelope::STATEMENT;

pub use facts::{EVIDENCE, Facts, Found, Vex, Waived};

/// Name of the list of files.
pub const MANIFEST: &str = "manifest.json";
/// Name of the same for `sha256sum -c`.
const SUMS: &str = "SHA256SUMS";
/// Name of its signature.
pub const SIGNATURE: &str = "manifest.json.dsse";
const SCHEMA: &str = "stage/packet/v1";
const PREDICATE_TYPE: &str = "https://stage.invalid/attestation/packet/v1";

/// Files of a packet by their path in it.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Every file but the signature.
pub fn files(facts: &Facts<'_>) -> Files {
    let mut files = Files::new();
    let page = first_page(facts);
    files.insert("index.html".to_owned(), html::write(&page).into_bytes());
    files.insert("index.md".to_owned(), markdown::write(&page).into_bytes());
    let rollback = markdown::write(&rollback::page(facts));
    files.insert(rollback::PATH.to_owned(), rollback.into_bytes());
    let checklist = stig::checklist(facts);
    files.extend(checklist.map(|bytes| (stig::PATH.to_owned(), bytes)));
    for (name, table) in tables::all(facts) {
        files.insert(name.to_owned(), table);
    }
    for (path, bytes) in &facts.bundle.documents {
        let path = path.as_str();
        if path.starts_with("sbom/") || path.starts_with("ca/") {
            files.insert(path.to_owned(), bytes.clone());
        }
    }
    if let Some(document) = facts.sbom() {
        files.insert("sbom/bundle.spdx.json".to_owned(), spdx::write(&document));
        files.insert("sbom/components.csv".to_owned(), table::write(&document));
    }
    if let Some(lock) = &facts.bundle.lock {
        let graph = Graph::of(lock).dot(&facts.bundle.statement.channel);
        files.insert("sbom/dependencies.dot".to_owned(), graph.into_bytes());
        let licenses = markdown::write(&licensing::page(facts));
        files.insert(licensing::PATH.to_owned(), licenses.into_bytes());
    }
    let carried = facts.evidence.iter().chain(&facts.vex.documents);
    files.extend(carried.map(|(path, bytes)| (path.clone(), bytes.clone())));
    files.extend(of_host(facts));
    if let Some(proof) = &facts.bundle.proof {
        let mut bytes = json::to_canonical(&proof.proof).unwrap_or_default();
        bytes.push(b'\n');
        files.insert("proof/proof.json".to_owned(), bytes);
    }
    let oscal = oscal::write(facts, &files);
    files.insert(oscal::PATH.to_owned(), oscal);
    let sums = sums(&files);
    files.insert(SUMS.to_owned(), sums.into_bytes());
    let manifest = manifest(facts, &files);
    files.insert(MANIFEST.to_owned(), manifest);
    files
}

/// For `sha256sum -c`, where there is no `stage`: every file above.
fn sums(files: &Files) -> String {
    let lines = files
        .iter()
        .map(|(path, bytes)| format!("{}  {path}\n", Digest::of(bytes).hex()));
    lines.collect()
}

/// What firewalls, directories and the watch over files need.
fn of_host(facts: &Facts<'_>) -> Files {
    let mut files = Files::new();
    let channel = &facts.bundle.statement.channel;
    for made in facts
        .egress
        .iter()
        .flat_map(|contacts| flows::staging::files(channel, contacts))
    {
        files.insert(format!("network/{}", made.name), made.bytes);
    }
    if let Some(runtime) = facts.runtime() {
        for made in flows::files(channel, &runtime) {
            files.insert(format!("network/{}", made.name), made.bytes);
        }
        for made in permissions::files(channel, &runtime) {
            files.insert(format!("permissions/{}", made.name), made.bytes);
        }
        for baseline in facts.baselines {
            for made in hids::files(channel, &runtime, baseline) {
                let path = format!("hids/{}/{}", baseline.folder(), made.name);
                files.insert(path, made.bytes);
            }
        }
    }
    files
}

fn first_page(facts: &Facts<'_>) -> Page {
    let statement = &facts.bundle.statement;
    Page {
        title: format!("{} {}: change packet", statement.channel, statement.serial),
        subtitle: format!("Bundle {}, made {}", facts.bundle.id, statement.created),
        sections: sections::all(facts),
    }
}

/// The bytes to sign: an in-toto statement about `manifest.json`.
pub fn payload(manifest: &[u8]) -> Vec<u8> {
    json::canonical(&json!({
        "_type": STATEMENT,
        "subject": [{"name": MANIFEST, "digest": {"sha256": Digest::of(manifest).hex()}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {},
    }))
}

/// Everything as one zip file below a folder of this name, sorted, without times.
///
/// # Errors
/// The packet is larger than a zip file can be.
pub fn zip(folder: &str, files: &Files) -> io::Result<Vec<u8>> {
    let mut writer = ZipWriter::new(io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    for (path, bytes) in files {
        let started = writer.start_file(format!("{folder}/{path}"), options);
        started.map_err(io::Error::other)?;
        writer.write_all(bytes)?;
    }
    Ok(writer.finish().map_err(io::Error::other)?.into_inner())
}

/// `{"bundle":…,"files":[{"path":…,"sha256":…,"size":…}],"schema":…,"tool":…}`, canonical, and a newline.
fn manifest(facts: &Facts<'_>, files: &Files) -> Vec<u8> {
    let listed: Vec<_> = files
        .iter()
        .map(|(path, bytes)| {
            json!({"path": path, "sha256": Digest::of(bytes).hex(), "size": bytes.len()})
        })
        .collect();
    let statement = &facts.bundle.statement;
    let mut bytes = json::canonical(&json!({
        "schema": SCHEMA,
        "bundle": facts.bundle.id.to_string(),
        "channel": statement.channel,
        "serial": statement.serial,
        "tool": facts.tool,
        "files": listed,
    }));
    bytes.push(b'\n');
    bytes
}
