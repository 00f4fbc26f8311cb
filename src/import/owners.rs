//! Which packages and bundles a blob or a published file belongs to.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::base::digest::{Digest, Digests};
use crate::base::limits::LIMITS;
use crate::base::package::Purl;
use crate::bundle::manifest::{BundleManifest, ManifestFile};
use crate::eco;
use crate::import::ImportError;
use crate::import::cas::Cas;
use crate::import::generation::stored_manifest;
use crate::import::layout::Layout;
use crate::import::state::{BundleEntry, State};
use crate::lock::{Lock, LockedArtifact, LockedPackage};

/// One bundle that holds it, and as what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Owner {
    /// Channel of the bundle.
    pub channel: String,
    /// Serial of the bundle.
    pub serial: u64,
    /// Identity of the bundle.
    pub bundle: Digest,
    /// Path in the bundle; for a rendered file its path in the generation.
    pub path: String,
    /// The package it is of, where it is an artifact.
    pub purl: Option<String>,
    /// Name of the artifact in its registry.
    pub file: Option<String>,
}

/// A bundle with what says whose its blobs are.
#[derive(Debug)]
pub struct Shelved {
    /// Digest of its statement.
    pub id: Digest,
    /// Channel, serial and times.
    pub entry: BundleEntry,
    /// Its files.
    pub manifest: BundleManifest,
    /// Its lock; `None` for a plain bundle, or when the lock is damaged itself.
    pub lock: Option<Lock>,
}

/// Every bundle whose documents can be read.
#[derive(Debug, Default)]
pub struct Shelf {
    /// The bundles by channel, epoch and serial.
    pub bundles: Vec<Shelved>,
}

impl Shelf {
    /// Reads the documents of every bundle that `state` records; what is damaged is left out, and an audit says so.
    pub fn read(layout: &Layout, state: &State) -> Self {
        let mut bundles = Vec::new();
        for (id, entry) in &state.bundles {
            let Ok(manifest) = stored_manifest(layout, *id, entry) else {
                continue;
            };
            let lock = lock_of(layout, &manifest).ok().flatten();
            bundles.push(Shelved {
                id: *id,
                entry: entry.clone(),
                manifest,
                lock,
            });
        }
        bundles.sort_by_key(|b| (b.entry.channel.clone(), b.entry.epoch, b.entry.serial));
        Self { bundles }
    }

    /// The owners of each of these blobs.
    pub fn of_blobs(&self, wanted: &BTreeSet<Digest>) -> BTreeMap<Digest, Vec<Owner>> {
        let mut owners: BTreeMap<Digest, Vec<Owner>> = BTreeMap::new();
        for bundle in &self.bundles {
            let held = bundle.manifest.files.iter();
            for file in held.filter(|f| wanted.contains(&f.digests.sha256)) {
                let list = owners.entry(file.digests.sha256).or_default();
                list.extend(bundle.owners_of(file));
            }
        }
        owners
    }

    /// The owners of a file that was rendered into a generation of these bundles: the packages that its path names, else
    /// the bundles.
    pub fn of_path(&self, path: &str, shown: &[Digest]) -> Vec<Owner> {
        let shown = || self.bundles.iter().filter(|b| shown.contains(&b.id));
        let mut named: Vec<Owner> = shown().flat_map(|b| b.named_by(path)).collect();
        if named.is_empty() {
            named.extend(shown().map(|b| b.owner(path, None, None)));
        }
        named.sort();
        named.dedup();
        named
    }
}

impl Shelved {
    fn owner(&self, path: &str, purl: Option<Purl>, file: Option<&str>) -> Owner {
        Owner {
            channel: self.entry.channel.clone(),
            serial: self.entry.serial,
            bundle: self.id,
            path: path.to_owned(),
            purl: purl.map(|p| p.to_string()),
            file: file.map(str::to_owned),
        }
    }

    fn owners_of(&self, file: &ManifestFile) -> Vec<Owner> {
        let path = file.path.as_str();
        let artifacts = self.lock.iter().flat_map(Lock::carried_artifacts);
        let mut owners: Vec<Owner> = artifacts
            .filter(|(_, artifact)| is_of(artifact, path, &file.digests))
            .map(|(package, artifact)| self.owner(path, purl_of(package), Some(&artifact.file)))
            .collect();
        if owners.is_empty() {
            owners.push(self.owner(path, None, None));
        }
        owners
    }

    fn named_by(&self, path: &str) -> Vec<Owner> {
        let key = match path.split('/').next().unwrap_or_default() {
            "files" => "file",
            other => other,
        };
        let packages = self.lock.iter().flat_map(|lock| &lock.packages);
        packages
            .filter(|p| p.is_carried() && p.ecosystem.as_str() == key && names(path, &p.name))
            .map(|p| self.owner(path, purl_of(p), None))
            .collect()
    }
}

/// Package URL of a locked package.
pub fn purl_of(package: &LockedPackage) -> Option<Purl> {
    eco::by_id(&package.ecosystem).map(|ecosystem| ecosystem.purl(&package.id()))
}

/// Whether the blob with these digests, at `path` in the bundle, is the artifact or a part of it.
pub fn is_of(artifact: &LockedArtifact, path: &str, digests: &Digests) -> bool {
    let part = || match &artifact.checksum {
        crate::base::digest::UpstreamChecksum::Sha256(whole) => {
            path.contains(&format!("/{}/", whole.hex()))
        }
        _ => false,
    };
    path.starts_with("artifacts/") && (artifact.checksum.confirms(digests) || part())
}

/// Whether a segment of the path, or several for a name with slashes, is the name.
fn names(path: &str, name: &str) -> bool {
    format!("/{path}/").contains(&format!("/{name}/"))
}

/// The lock of a bundle; `None` for a plain one.
pub fn lock_of(layout: &Layout, manifest: &BundleManifest) -> Result<Option<Lock>, ImportError> {
    let Some(file) = manifest.file("lock/stage.lock") else {
        return Ok(None);
    };
    let bytes = Cas::new(layout.cas()).read(&file.digests.sha256, LIMITS.document)?;
    Ok(Some(crate::lock::format::parse(&bytes)?))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_path_names_whole_segments_only() {
        assert!(names("npm/@a/b/index.html", "@a/b"));
        assert!(names("cargo/index/ri/pg/ripgrep", "ripgrep"));
        assert!(!names("npm/left-pad/index.html", "left"));
    }
}
