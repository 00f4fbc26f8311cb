//! `records/cargo.json`: the index lines of a closure, what is known of crates that were opened, and the lock files it
//! was made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::package::{EcosystemId, ReleaseId};
use crate::eco::EcoError;
use crate::eco::cargo::index::IndexVersion;

/// The document. Written as canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CargoRecords {
    /// Format version: 1.
    pub schema: u32,
    /// Crates by name and version.
    pub crates: BTreeMap<String, BTreeMap<String, CargoCrate>>,
    /// The lock files, sorted.
    pub lockfiles: Vec<CargoLockfile>,
}

/// One version of a crate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CargoCrate {
    /// What the index says.
    pub index: IndexVersion,
    /// What its `Cargo.toml` says; absent when the crate was not opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
}

/// What a crate says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Its first author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Declared license, an SPDX expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// A few words about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Home page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// Source repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

/// A `Cargo.lock` that decided a closure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CargoLockfile {
    /// Number of the install, from 1.
    pub install: u32,
    /// The crate whose own it is; absent for the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<ReleaseId>,
    /// Its text, verbatim.
    pub text: String,
}

impl Default for CargoRecords {
    fn default() -> Self {
        Self {
            schema: 1,
            crates: BTreeMap::new(),
            lockfiles: Vec::new(),
        }
    }
}

impl CargoRecords {
    /// What the records have of a release.
    pub fn get(&self, release: &ReleaseId) -> Option<&CargoCrate> {
        self.crates.get(&release.name)?.get(&release.version)
    }

    /// Every release.
    pub fn releases(&self) -> impl Iterator<Item = (ReleaseId, &CargoCrate)> {
        self.crates.iter().flat_map(|(name, versions)| {
            let id = move |version: &String| ReleaseId::new(name, version);
            versions
                .iter()
                .map(move |(version, found)| (id(version), found))
        })
    }
}

/// Reads the document.
pub fn parse(bytes: &[u8]) -> Result<CargoRecords, EcoError> {
    let records: CargoRecords = serde_json::from_slice(bytes).map_err(|e| unreadable(&e))?;
    if records.schema != 1 {
        let found = records.schema;
        return Err(unreadable(&format_args!("format {found} is newer than 1")));
    }
    let strange = |id: &ReleaseId| !super::is_name(&id.name) || !super::is_version(&id.version);
    if let Some((id, _)) = records.releases().find(|(id, _)| strange(id)) {
        return Err(unreadable(&format_args!("{id} is no crate")));
    }
    let mut owners = records.lockfiles.iter().filter_map(|l| l.of.as_ref());
    if let Some(id) = owners.find(|id| strange(id)) {
        return Err(unreadable(&format_args!("{id} is no crate")));
    }
    Ok(records)
}

/// The error of a document that is not what it should be.
pub(crate) fn unreadable(reason: &dyn std::fmt::Display) -> EcoError {
    EcoError::Records {
        ecosystem: EcosystemId::cargo(),
        reason: crate::base::text::escaped(&reason.to_string()),
    }
}

/// The canonical bytes of the document.
pub fn write(records: &CargoRecords) -> Vec<u8> {
    crate::base::json::to_canonical(records).unwrap_or_default()
}

/// One document for several installs: the union. A release that `kept` has with the same checksum keeps its entry.
#[cfg(feature = "connected")]
pub fn merge(parts: &[Vec<u8>], kept: Option<&[u8]>) -> Result<Vec<u8>, EcoError> {
    let mut merged = CargoRecords::default();
    for part in parts {
        let part = parse(part)?;
        for (name, versions) in part.crates {
            let known = merged.crates.entry(name).or_default();
            for (version, new) in versions {
                // A crate that one install has opened and another has not.
                let opened = known.get(&version).and_then(|old| old.about.clone());
                let about = new.about.or(opened);
                known.insert(version, CargoCrate { about, ..new });
            }
        }
        merged.lockfiles.extend(part.lockfiles);
    }
    merged.lockfiles.sort();
    merged.lockfiles.dedup();
    let old = kept.map(parse).transpose()?.unwrap_or_default();
    for (name, versions) in &mut merged.crates {
        for (version, new) in versions {
            let was = old.crates.get(name).and_then(|v| v.get(version));
            if let Some(was) = was.filter(|was| was.index.cksum == new.index.cksum) {
                new.index = was.index.clone();
                new.about = was.about.clone().or(new.about.take());
            }
        }
    }
    Ok(write(&merged))
}
