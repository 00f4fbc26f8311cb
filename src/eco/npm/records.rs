//! `records/npm.json`: the npm version objects of a closure, a fixed set of fields, and dist-tags.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::package::EcosystemId;
use crate::eco::EcoError;
use crate::eco::attestation::Attested;

/// The document. Written as canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NpmRecords {
    /// Format version: 1.
    pub schema: u32,
    /// Packages by name.
    pub packages: BTreeMap<String, NpmPackage>,
}

impl Default for NpmRecords {
    fn default() -> Self {
        Self {
            schema: 1,
            packages: BTreeMap::new(),
        }
    }
}

/// One package name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NpmPackage {
    /// Tags that point at a version in this document.
    pub dist_tags: BTreeMap<String, String>,
    /// Version objects by version.
    pub versions: BTreeMap<String, NpmVersion>,
}

/// What a client reads of a version object, and what the SBOM needs. Field names are npm's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NpmVersion {
    /// Publication time as the registry states it (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Ordinary dependencies, without those that are also optional.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependencies: BTreeMap<String, String>,
    /// Optional dependencies.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub optional_dependencies: BTreeMap<String, String>,
    /// Peer dependencies.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub peer_dependencies: BTreeMap<String, String>,
    /// Names of peer dependencies that are optional (`peerDependenciesMeta.<name>.optional`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub optional_peers: Vec<String>,
    /// Names of dependencies inside the tarball, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bundle_dependencies: Vec<String>,
    /// Commands: name to path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bin: BTreeMap<String, String>,
    /// Engines: name to range.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub engines: BTreeMap<String, String>,
    /// Operating systems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub os: Vec<String>,
    /// Architectures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpu: Vec<String>,
    /// C libraries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub libc: Vec<String>,
    /// Deprecation message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
    /// Whether installing runs scripts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_install_script: bool,
    /// The lifecycle scripts that run on install (`preinstall`, `install`, `postinstall`): name to command line.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scripts: BTreeMap<String, String>,
    /// Declared license.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Author's name, else the first maintainer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// One line about the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Home page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// Source repository URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The tarball. Absent for a release that only exists inside another one's tarball.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dist: Option<NpmDist>,
    /// `true` when the tarball has an `npm-shrinkwrap.json` that npm honours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_shrinkwrap: bool,
}

/// The tarball of a version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NpmDist {
    /// Subresource Integrity text; only its SHA-512 counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<String>,
    /// SHA-1 in hex; remembered, never trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shasum: Option<String>,
    /// Bytes after unpacking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpacked_size: Option<u64>,
    /// Registry signatures, verbatim: `[{"keyid": …, "sig": …}]`; absent when the registry sent none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Value>,
    /// Which workflow built it, where the manifest expects one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Attested>,
}

/// Reads the document.
pub fn parse(bytes: &[u8]) -> Result<NpmRecords, EcoError> {
    let fail = |reason: &dyn std::fmt::Display| EcoError::Records {
        ecosystem: EcosystemId::npm(),
        reason: crate::base::text::escaped(&reason.to_string()),
    };
    let records: NpmRecords = serde_json::from_slice(bytes).map_err(|e| fail(&e))?;
    if records.schema != 1 {
        return Err(fail(&format_args!(
            "format {} is newer than 1",
            records.schema
        )));
    }
    if let Some(name) = records.packages.keys().find(|n| !super::is_name(n)) {
        return Err(fail(&format_args!("{name} is not a package name")));
    }
    Ok(records)
}

/// The canonical bytes of the document.
pub fn write(records: &NpmRecords) -> Vec<u8> {
    crate::base::json::to_canonical(records).unwrap_or_default()
}

/// One document for several installs: the union of their releases; a tag that two of them state goes to the one that
/// stands later. A release that `kept` has with the same tarball keeps its entry, and a package whose releases did not
/// change keeps its tags.
#[cfg(feature = "connected")]
pub fn merge(parts: &[Vec<u8>], kept: Option<&[u8]>) -> Result<Vec<u8>, EcoError> {
    let mut merged = NpmRecords::default();
    for part in parts {
        for (name, package) in parse(part)?.packages {
            let known = merged.packages.entry(name).or_default();
            known.versions.extend(package.versions);
            known.dist_tags.extend(package.dist_tags);
        }
    }
    let mut old = kept.map(parse).transpose()?.unwrap_or_default();
    for (name, package) in &mut merged.packages {
        let Some(mut before) = old.packages.remove(name) else {
            continue;
        };
        if before.versions.keys().eq(package.versions.keys()) {
            package.dist_tags = before.dist_tags;
        }
        for (number, version) in &mut package.versions {
            let integrity = |v: &NpmVersion| v.dist.as_ref().and_then(|d| d.integrity.clone());
            // What overrides replaced is not what it was, with the same tarball.
            let needs = |v: &NpmVersion| {
                let (all, optional) = (v.dependencies.clone(), v.optional_dependencies.clone());
                (all, optional, v.peer_dependencies.clone())
            };
            if let Some(mut was) = before.versions.remove(number)
                && integrity(&was) == integrity(version)
                && needs(&was) == needs(version)
            {
                // Signatures hold for good: those that a mirror no longer sends stay, those that come late are taken.
                if let (Some(was), Some(now)) = (&mut was.dist, &mut version.dist)
                    && was.signatures.is_empty()
                {
                    was.signatures = std::mem::take(&mut now.signatures);
                }
                *version = was;
            }
        }
    }
    Ok(write(&merged))
}
