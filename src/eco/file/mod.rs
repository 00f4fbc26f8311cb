//! Plain files: a URL in the manifest with a SHA-256 or a signed list of checksums, a path in the enclave. Interpreters, binaries, models.
//!
//! In locks a file's name is its path in the enclave and its version the SHA-256 of its bytes in hex. A file of 4 GiB
//! or more is carried as consecutive parts `artifacts/file/<sha256>/0001` and joined at import.

mod checksums;
pub mod fault;
mod judge;
pub mod records;
#[cfg(feature = "connected")]
mod resolve;
#[cfg(feature = "connected")]
mod section;

use std::collections::BTreeMap;

use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::package::{EcosystemId, Purl, ReleaseId};
use crate::base::path::RelPath;
use crate::eco::vouched::{Anchors, CarriedFiles, UpstreamKeys, Vouched};
use crate::eco::{
    BundleView, ClientFile, EcoError, Ecosystem, ReleaseFacts, RepoContent, RepoFile, RepoView,
};
use crate::lock::LockedArtifact;
#[cfg(feature = "connected")]
use crate::{
    base::platform::{Platform, Target},
    base::time::Timestamp,
    eco::install::Install,
    eco::interpreter::{StagedInterpreter, in_file_name},
    eco::vouched::{Proof, ProofSource},
    eco::{OpenEdge, Unpacked},
    lock::{Lock, LockedPackage},
    manifest::{ManifestError, table::Table},
};

/// The ecosystem of plain files.
#[derive(Debug, Clone, Copy)]
pub struct PlainFile;

impl Ecosystem for PlainFile {
    fn id(&self) -> EcosystemId {
        EcosystemId::file()
    }

    fn key(&self) -> &'static str {
        "file"
    }

    fn purl(&self, release: &ReleaseId) -> Purl {
        purl(release)
    }

    fn facts(&self, records: &[u8]) -> Result<BTreeMap<ReleaseId, ReleaseFacts>, EcoError> {
        let files = records::parse(records)?.files;
        Ok(files
            .into_iter()
            .map(|(path, record)| {
                let checksum = UpstreamChecksum::Sha256(record.sha256);
                let facts = ReleaseFacts {
                    files: BTreeMap::from([(path.clone(), checksum)]),
                    ..ReleaseFacts::default()
                };
                (ReleaseId::new(path, record.sha256.hex()), facts)
            })
            .collect())
    }

    fn vouched(&self, records: &[u8], keys: &UpstreamKeys) -> Result<Vouched, EcoError> {
        Ok(judge::vouched(&records::parse(records)?, keys))
    }

    fn prove(
        &self,
        records: &[u8],
        files: &dyn CarriedFiles,
        anchors: &Anchors,
    ) -> Result<Vouched, EcoError> {
        Ok(judge::prove(&records::parse(records)?, files, anchors))
    }

    #[cfg(feature = "connected")]
    fn proofs(&self, records: &[u8], _at: Timestamp) -> Result<Vec<Proof>, EcoError> {
        let documents = judge::documents(&records::parse(records)?);
        let proof = |(path, bytes)| Proof {
            path,
            source: ProofSource::Document(bytes),
        };
        Ok(documents.into_iter().map(proof).collect())
    }

    #[cfg(feature = "connected")]
    fn merge_records(&self, parts: &[Vec<u8>], kept: Option<&[u8]>) -> Result<Vec<u8>, EcoError> {
        records::merge(parts, kept)
    }

    fn render(&self, view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError> {
        render(view)
    }

    /// A plain file is its own pin.
    fn pins(&self, _bundle: &BundleView<'_>, _base_url: &str) -> Result<Vec<RepoFile>, EcoError> {
        Ok(Vec::new())
    }

    /// Plain files need no client.
    fn client_files(&self, _base_url: &str) -> Vec<ClientFile> {
        Vec::new()
    }

    fn bootstrap(&self, _view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError> {
        Ok(Vec::new())
    }

    /// Files whose names say that they are a release of Node.js or Python.
    #[cfg(feature = "connected")]
    fn interpreters(&self, lock: &Lock) -> Vec<StagedInterpreter> {
        let id = EcosystemId::file();
        let found = lock
            .of(&id)
            .filter(|p| p.is_carried())
            .filter_map(|package| {
                let name = package.name.rsplit('/').next()?;
                let (interpreter, version) = in_file_name(name)?;
                Some(StagedInterpreter {
                    interpreter,
                    version,
                    release: package.id(),
                    platforms: package.platforms.clone(),
                    repacked: false,
                })
            });
        found.collect()
    }

    /// Each file is alone.
    #[cfg(feature = "connected")]
    fn unpacked(&self, package: &LockedPackage) -> Option<Unpacked> {
        Some(Unpacked {
            roots: vec![format!("file/{}", package.name)],
            strip: 0,
        })
    }

    /// Plain files have no edges.
    #[cfg(feature = "connected")]
    fn check_closure(
        &self,
        _lock: &Lock,
        _records: &[u8],
        _platform: Platform,
    ) -> Result<Vec<OpenEdge>, EcoError> {
        Ok(Vec::new())
    }

    #[cfg(feature = "connected")]
    fn installs(
        &self,
        tables: Vec<Table<'_>>,
        target: &Target,
    ) -> Result<Vec<Box<dyn Install>>, ManifestError> {
        if tables.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![Box::new(section::read(tables, target)?)])
    }
}

/// Package URL of a file: its path, and its checksum as qualifier.
pub fn purl(release: &ReleaseId) -> Purl {
    let segments: Vec<&str> = release.name.split('/').collect();
    let checksum = format!("sha256:{}", release.version);
    Purl::new(
        "generic",
        &segments,
        &release.version,
        &[("checksum", &checksum)],
    )
}

/// `files/<channel>/<path>` for the newest bundle of each channel.
pub fn render(view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError> {
    let mut newest: BTreeMap<&str, &BundleView<'_>> = BTreeMap::new();
    for bundle in view.bundles {
        let later = |old: &&BundleView<'_>| (bundle.epoch, bundle.serial) > (old.epoch, old.serial);
        if newest.get(bundle.channel).is_none_or(later) {
            newest.insert(bundle.channel, bundle);
        }
    }
    let mut files = Vec::new();
    for (channel, bundle) in newest {
        for (_package, artifact) in bundle
            .lock
            .carried_artifacts()
            .filter(|(p, _)| p.ecosystem == EcosystemId::file())
        {
            files.push(RepoFile {
                path: format!("files/{channel}/{}", path_of(artifact)?),
                content: content(bundle, artifact)?,
            });
        }
    }
    Ok(files)
}

fn path_of(artifact: &LockedArtifact) -> Result<RelPath, EcoError> {
    artifact
        .file
        .parse()
        .map_err(|bad: crate::base::path::PathError| broken(bad.to_string()))
}

/// The blob of a file, or its parts.
fn content(bundle: &BundleView<'_>, artifact: &LockedArtifact) -> Result<RepoContent, EcoError> {
    let UpstreamChecksum::Sha256(whole) = artifact.checksum else {
        return Err(broken(format!(
            "{} has no SHA-256",
            crate::base::text::quoted(&artifact.file)
        )));
    };
    if let Some(digests) = bundle.artifacts.get(&whole.hex()) {
        return Ok(RepoContent::Blob(digests.sha256));
    }
    let prefix = format!("{}/", whole.hex());
    let parts: Vec<Digest> = bundle
        .artifacts
        .range(prefix.clone()..)
        .take_while(|(path, _)| path.starts_with(&prefix))
        .map(|(_, digests)| digests.sha256)
        .collect();
    if parts.is_empty() {
        return Err(broken(format!(
            "{} is carried, but its bytes are not there",
            crate::base::text::quoted(&artifact.file)
        )));
    }
    Ok(RepoContent::Joined { whole, parts })
}

fn broken(reason: String) -> EcoError {
    EcoError::Records {
        ecosystem: EcosystemId::file(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{purl, render};
    use crate::base::digest::{Digest, Digests, UpstreamChecksum};
    use crate::base::package::{EcosystemId, ReleaseId};
    use crate::base::platform::{Libc, Platform, Target};
    use crate::base::time::Timestamp;
    use crate::eco::{BundleView, RepoContent, RepoView};
    use crate::lock::{Lock, LockedArtifact, LockedPackage};

    fn lock(files: &[(&str, Digest)]) -> Lock {
        let package = |(path, digest): &(&str, Digest)| LockedPackage {
            ecosystem: EcosystemId::file(),
            name: (*path).to_owned(),
            version: digest.hex(),
            platforms: vec![Platform::LinuxAmd64],
            license: None,
            deprecated: None,
            install_script: false,
            bundled_in: Vec::new(),
            places: Vec::new(),
            dependencies: Vec::new(),
            artifacts: vec![LockedArtifact {
                file: (*path).to_owned(),
                checksum: UpstreamChecksum::Sha256(*digest),
                upstream: "file".to_owned(),
                path: "x".to_owned(),
                size: None,
                evidence: None,
                gap: None,
            }],
        };
        Lock {
            inputs: Vec::new(),
            target: Target {
                platforms: vec![Platform::LinuxAmd64],
                libc: Libc::Glibc("2.36".to_owned()),
                python: None,
                node: None,
            },
            exclude_newer: None,
            requirements: Vec::new(),
            records: BTreeMap::new(),
            packages: files.iter().map(package).collect(),
            findings: Vec::new(),
        }
    }

    #[test]
    fn the_newest_bundle_of_a_channel_decides_and_parts_are_joined() {
        let (one, two, whole) = (Digests::of(b"1"), Digests::of(b"2"), Digest::of(b"12"));
        let old_lock = lock(&[("a/x.bin", one.sha256), ("old", one.sha256)]);
        let new_lock = lock(&[("a/x.bin", whole)]);
        let old_blobs = BTreeMap::from([(one.sha256.hex(), one)]);
        let new_blobs = BTreeMap::from([
            (format!("{}/0001", whole.hex()), one),
            (format!("{}/0002", whole.hex()), two),
        ]);
        let view = |serial, lock, artifacts| BundleView {
            channel: "docs",
            epoch: 1,
            serial,
            created: Timestamp::default(),
            lock,
            records: &[],
            artifacts,
        };
        let bundles = [
            view(2, &new_lock, &new_blobs),
            view(1, &old_lock, &old_blobs),
        ];
        let files = render(&RepoView {
            bundles: &bundles,
            base_url: "http://repo.example",
        })
        .unwrap();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].path, "files/docs/a/x.bin");
        let parts = vec![one.sha256, two.sha256];
        assert_eq!(files[0].content, RepoContent::Joined { whole, parts });
    }

    #[test]
    fn a_path_that_leaves_is_refused() {
        let one = Digests::of(b"1");
        let lock = lock(&[("../x", one.sha256)]);
        let artifacts = BTreeMap::from([(one.sha256.hex(), one)]);
        let bundles = [BundleView {
            channel: "docs",
            epoch: 1,
            serial: 1,
            created: Timestamp::default(),
            lock: &lock,
            records: &[],
            artifacts: &artifacts,
        }];
        let view = RepoView {
            bundles: &bundles,
            base_url: "http://repo.example",
        };
        render(&view).unwrap_err();
    }

    #[test]
    fn the_purl_says_the_checksum() {
        let release = ReleaseId::new("a/x.bin", Digest::of(b"1").hex());
        assert!(purl(&release).as_str().starts_with("pkg:generic/a/x.bin@"));
        assert!(purl(&release).as_str().contains("?checksum=sha256:"));
    }
}
