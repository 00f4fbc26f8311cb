//! The crates registry of the internal repository, as files: a sparse index below `cargo/index/`, crates at
//! `cargo/crates/<name>/<name>-<version>.crate`. Everything comes from verified records; no archive is opened.
//!
//! `dl` in the index's `config.json` must be an absolute address (cargo resolves no relative one) and names the file by
//! markers, since cargo would append `/<name>/<version>/download` otherwise.

use std::collections::BTreeMap;

use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::text::quoted;
use crate::eco::cargo::index::IndexVersion;
use crate::eco::cargo::records;
use crate::eco::cargo::{INDEX_CONFIG, crate_file, crate_path, index_path};
use crate::eco::{BundleView, ClientFile, EcoError, RepoContent, RepoFile, RepoView};

/// The registry tree for the union of bundles. Lines are merged by name and version; where two bundles describe the
/// same version, the newer bundle wins. The same crate with other bytes is [`EcoError::Conflict`].
pub fn render(view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError> {
    let mut union = Union::default();
    for bundle in view.bundles {
        union.add(bundle)?;
    }
    if union.0.is_empty() {
        return Ok(Vec::new());
    }
    let config = serde_json::json!({
        "dl": format!("{}/cargo/crates/{{crate}}/{{crate}}-{{version}}.crate", view.base_url),
    });
    let mut files = vec![RepoFile {
        path: format!("cargo/index/{INDEX_CONFIG}"),
        content: RepoContent::Bytes(crate::base::json::canonical(&config)),
    }];
    let mut index: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (id, found) in union.0 {
        let lines = index.entry(index_path(&id.name)).or_default();
        lines.extend(found.line.line(&id));
        lines.push(b'\n');
        files.push(RepoFile {
            path: format!("cargo/crates/{}", crate_path(&id)),
            content: RepoContent::Blob(found.digest),
        });
    }
    files.extend(index.into_iter().map(|(path, lines)| RepoFile {
        path: format!("cargo/index/{path}"),
        content: RepoContent::Bytes(lines),
    }));
    Ok(files)
}

/// `config.toml` for a repository at `base_url`: source replacement, so that lock files stay as they are.
pub fn client_files(base_url: &str) -> Vec<ClientFile> {
    let mut text = format!(
        "[source.crates-io]\nreplace-with = \"stage\"\n\n[source.stage]\nregistry = \"sparse+{base_url}/cargo/index/\"\n"
    );
    if base_url.starts_with("https:") {
        text.push_str(
            "\n# When the repository's certificate comes from a private CA, name its PEM file:\n\
             # [http]\n# cainfo = \"/etc/ssl/certs/ca-certificates.crt\"\n",
        );
    }
    vec![ClientFile {
        client: "cargo".to_owned(),
        path: ".cargo/config.toml".to_owned(),
        text,
    }]
}

/// A release and the bundle that brought its bytes first.
struct Found {
    line: IndexVersion,
    digest: Digest,
    from: String,
}

#[derive(Default)]
struct Union(BTreeMap<ReleaseId, Found>);

impl Union {
    fn add(&mut self, bundle: &BundleView<'_>) -> Result<(), EcoError> {
        if bundle.records.is_empty() {
            return Ok(());
        }
        let records = records::parse(bundle.records)?;
        let from = format!("{} {}", bundle.channel, bundle.serial);
        let cargo = EcosystemId::cargo();
        for package in bundle.lock.of(&cargo).filter(|p| p.is_carried()) {
            let id = package.id();
            let shown = || quoted(&id.to_string());
            let record = records
                .get(&id)
                .ok_or_else(|| records::unreadable(&format_args!("{} is missing", shown())))?;
            // The index line's checksum is what cargo compares: it must be the blob's own.
            let stated = record.index.checksum();
            let carried = package.artifacts.iter().any(|a| {
                a.file == crate_file(&id)
                    && stated.map(UpstreamChecksum::Sha256).as_ref() == Some(&a.checksum)
            });
            let digest = stated
                .filter(|d| carried && bundle.artifacts.contains_key(&d.hex()))
                .ok_or_else(|| records::unreadable(&format_args!("{} has no file", shown())))?;
            let new = Found {
                line: record.index.clone(),
                digest,
                from: from.clone(),
            };
            self.put(id, new)?;
        }
        Ok(())
    }

    fn put(&mut self, id: ReleaseId, new: Found) -> Result<(), EcoError> {
        match self.0.get_mut(&id) {
            None => {
                self.0.insert(id, new);
            }
            Some(old) if old.digest == new.digest => old.line = new.line,
            Some(old) => {
                return Err(EcoError::Conflict {
                    ecosystem: EcosystemId::cargo(),
                    file: quoted(&crate_file(&id)),
                    older: old.from.clone(),
                    newer: new.from,
                });
            }
        }
        Ok(())
    }
}
