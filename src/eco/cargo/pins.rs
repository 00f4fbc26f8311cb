//! Exact pins of crates: the lock files that the closure was made from, as they are. `cargo build --locked` and
//! `cargo install --locked` take them.

use std::collections::BTreeSet;

use crate::base::package::EcosystemId;
use crate::eco::cargo::records::{self, CargoRecords};
use crate::eco::{
    BundleView, EcoError, ExportForm, ExportRequest, ExportedFile, RepoContent, RepoFile,
};

/// The pins of one bundle, relative to `pins/<channel>/<serial>/`: `cargo/<name>-<version>/Cargo.lock` for a crate that
/// brings its own, `cargo/Cargo.lock` for the user's; below `cargo/<install>/` when there are several installs.
pub fn pins(bundle: &BundleView<'_>) -> Result<Vec<RepoFile>, EcoError> {
    if bundle.records.is_empty() {
        return Ok(Vec::new());
    }
    let records = records::parse(bundle.records)?;
    let files = lockfiles(&records)
        .into_iter()
        .map(|(path, text)| RepoFile {
            path: format!("cargo/{path}"),
            content: RepoContent::Bytes(text.as_bytes().to_vec()),
        });
    Ok(files.collect())
}

/// Forms that `stage export` knows.
pub const FORMS: &[ExportForm] = &[ExportForm {
    name: "cargo-lock",
    about: "Cargo.lock of each crate that brings one, or the user's, for `cargo build --locked`",
}];

/// What `stage export` writes: the lock files of one install. Several stand in a folder each.
pub fn export(request: &ExportRequest<'_>) -> Result<Vec<ExportedFile>, EcoError> {
    let mut records = records::parse(request.records)?;
    records
        .lockfiles
        .retain(|lockfile| lockfile.install == request.install);
    let found = lockfiles(&records);
    if found.is_empty() {
        return Err(EcoError::Export {
            ecosystem: EcosystemId::cargo(),
            reason: format!("install {} has no lock file", request.install),
        });
    }
    let only = found.len() == 1;
    let files = found.into_iter().map(|(path, text)| ExportedFile {
        name: if only { "Cargo.lock".to_owned() } else { path },
        text: text.to_owned(),
        optional: false,
    });
    Ok(files.collect())
}

/// Every lock file with the path that it gets.
pub fn lockfiles(records: &CargoRecords) -> Vec<(String, &str)> {
    let installs: BTreeSet<u32> = records.lockfiles.iter().map(|l| l.install).collect();
    let all = records.lockfiles.iter().map(|lockfile| {
        let folder = if installs.len() > 1 {
            format!("{}/", lockfile.install)
        } else {
            String::new()
        };
        let path = match &lockfile.of {
            Some(id) => format!("{folder}{}-{}/Cargo.lock", id.name, id.version),
            None => format!("{folder}Cargo.lock"),
        };
        (path, lockfile.text.as_str())
    });
    all.collect()
}
