//! Whether lock, records, SBOM and manifest name the same things: nothing more, nothing less. A bundle without
//! `lock/stage.lock` is a plain one and has nothing to agree with. No archive is opened here.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::digest::{Digest, Digests, Sha512, UpstreamChecksum};
use crate::base::limits::LIMITS;
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::path::RelPath;
use crate::base::text::quoted;
use crate::bundle::BundleError;
use crate::bundle::manifest::{BundleManifest, LOCK};
use crate::eco::{self, Ecosystem};
use crate::lock::{Lock, LockedArtifact, LockedPackage, format};
use crate::sbom;
use crate::verify::VerifyError;

/// Path of the SBOM.
pub const SBOM: &str = "sbom/bundle.cdx.json";
/// Folders that a bundle with a lock may have.
const FOLDERS: [&str; 7] = [
    "lock",
    "artifacts",
    "sbom",
    "ca",
    "upstream",
    "evidence",
    "docs",
];

/// The blobs to keep: the documents of a bundle with a lock.
pub(super) fn document_digests(manifest: &BundleManifest) -> Result<BTreeSet<Digest>, VerifyError> {
    let mut total = 0;
    let mut digests = BTreeSet::new();
    for file in manifest.documents() {
        if digests.insert(file.digests.sha256) {
            total += file.size;
        }
    }
    if total > LIMITS.document {
        return Err(BundleError::Limit {
            what: "the documents together".to_owned(),
            found: total,
            limit: LIMITS.document,
        }
        .into());
    }
    Ok(digests)
}

/// Gives kept blobs their paths.
pub(super) fn documents(
    manifest: &BundleManifest,
    kept: &BTreeMap<Digest, Vec<u8>>,
) -> BTreeMap<RelPath, Vec<u8>> {
    manifest
        .documents()
        .filter_map(|file| {
            let bytes = kept.get(&file.digests.sha256)?;
            Some((file.path.clone(), bytes.clone()))
        })
        .collect()
}

fn folder(path: &RelPath) -> &str {
    path.segments().next().unwrap_or_default()
}

/// One line about the contents.
pub(super) fn detail(lock: Option<&Lock>) -> String {
    let Some(lock) = lock else {
        return "plain files, no lock".to_owned();
    };
    let packages = lock.packages.iter().filter(|p| p.is_carried()).count();
    format!("lock, records, SBOM and files agree on {packages} packages")
}

/// Checks the contents; returns the lock, `None` for a plain bundle.
pub fn check(
    manifest: &BundleManifest,
    documents: &BTreeMap<RelPath, Vec<u8>>,
) -> Result<Option<Lock>, VerifyError> {
    check_with(manifest, documents, &eco::by_id)
}

/// Finds the code of an ecosystem.
type Lookup<'a> = dyn Fn(&EcosystemId) -> Option<&'a dyn Ecosystem> + 'a;

fn check_with(
    manifest: &BundleManifest,
    documents: &BTreeMap<RelPath, Vec<u8>>,
    lookup: &Lookup<'_>,
) -> Result<Option<Lock>, VerifyError> {
    let Some(bytes) = document(documents, LOCK) else {
        return Ok(None);
    };
    let lock = format::parse_canonical(bytes).map_err(|error| {
        VerifyError::content(format!("{LOCK} cannot be read: {}", chain(&error)))
    })?;
    check_folders(manifest, &lock)?;
    let artifacts = Artifacts::find(manifest, &lock)?;
    for (ecosystem, digest) in &lock.records {
        let path = records_path(ecosystem);
        let bytes = document(documents, &path)
            .ok_or_else(|| VerifyError::content(format!("{path} is missing")))?;
        let found = Digest::of(bytes);
        if found != *digest {
            return Err(VerifyError::differs(
                format!("{path} is not the one that the lock names"),
                digest.to_string(),
                found.to_string(),
            ));
        }
        check_records(&lock, ecosystem, bytes, lookup)?;
    }
    check_recorded(&lock)?;
    let bom = document(documents, SBOM)
        .ok_or_else(|| VerifyError::content(format!("{SBOM} is missing")))?;
    check_sbom(&lock, &artifacts, bom, lookup)?;
    Ok(Some(lock))
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    crate::base::text::escaped(&text)
}

fn document<'a>(documents: &'a BTreeMap<RelPath, Vec<u8>>, path: &str) -> Option<&'a [u8]> {
    let path: RelPath = path.parse().ok()?;
    documents.get(&path).map(Vec::as_slice)
}

fn records_path(ecosystem: &EcosystemId) -> String {
    format!("lock/records/{ecosystem}.json")
}

/// Only known folders, and under `lock/` only the lock and the records it names.
fn check_folders(manifest: &BundleManifest, lock: &Lock) -> Result<(), VerifyError> {
    let records: BTreeSet<String> = lock.records.keys().map(records_path).collect();
    for file in &manifest.files {
        let path = file.path.as_str();
        let known = match folder(&file.path) {
            "lock" => path == LOCK || records.contains(path),
            folder => FOLDERS.contains(&folder),
        };
        if !known {
            return Err(VerifyError::content(format!(
                "{} has no place in a bundle with a lock",
                quoted(path)
            )));
        }
    }
    Ok(())
}

/// The carried bytes of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carried {
    /// One blob.
    Whole(Digests),
    /// Several, known together only by their SHA-256.
    Parts(Digest),
}

/// The files under `artifacts/`, by what the lock says about them.
struct Artifacts {
    by_checksum: BTreeMap<(EcosystemId, UpstreamChecksum), Carried>,
}

impl Artifacts {
    /// Matches files and lock: each carried artifact has its bytes, and each file is needed.
    fn find(manifest: &BundleManifest, lock: &Lock) -> Result<Self, VerifyError> {
        let files = artifact_files(manifest)?;
        let mut by_digest = BTreeMap::new();
        for (key, carried) in &files {
            let (ecosystem, sha256) = key;
            let sha512 = match carried {
                Carried::Whole(digests) => Some(digests.sha512),
                Carried::Parts(_) => None,
            };
            by_digest.insert((ecosystem, UpstreamChecksum::Sha256(*sha256)), key);
            if let Some(sha512) = sha512 {
                by_digest.insert((ecosystem, UpstreamChecksum::Sha512(sha512)), key);
            }
        }
        let (mut by_checksum, mut used) = (BTreeMap::new(), BTreeSet::new());
        for (package, artifact) in lock.carried_artifacts() {
            let key = by_digest
                .get(&(&package.ecosystem, artifact.checksum.clone()))
                .ok_or_else(|| not_carried(package, artifact))?;
            if let Some(carried) = files.get(*key) {
                let found = (package.ecosystem.clone(), artifact.checksum.clone());
                by_checksum.insert(found, *carried);
            }
            used.insert(*key);
        }
        match files.keys().find(|key| !used.contains(key)) {
            Some((ecosystem, sha256)) => Err(VerifyError::content(format!(
                "artifacts/{ecosystem}/{} is not in the lock",
                sha256.hex()
            ))),
            None => Ok(Self { by_checksum }),
        }
    }

    fn of(&self, package: &LockedPackage, artifact: &LockedArtifact) -> Option<Carried> {
        self.by_checksum
            .get(&(package.ecosystem.clone(), artifact.checksum.clone()))
            .copied()
    }
}

fn not_carried(package: &LockedPackage, artifact: &LockedArtifact) -> VerifyError {
    VerifyError::differs(
        format!(
            "the bundle has no bytes for {} of {} {}",
            quoted(&artifact.file),
            package.ecosystem,
            quoted(&package.id().to_string())
        ),
        artifact.checksum.to_string(),
        "no such file",
    )
}

/// Every file under `artifacts/`, by ecosystem and the SHA-256 that its name says.
fn artifact_files(
    manifest: &BundleManifest,
) -> Result<BTreeMap<(EcosystemId, Digest), Carried>, VerifyError> {
    let mut files = BTreeMap::new();
    let mut parts: BTreeMap<Digest, usize> = BTreeMap::new();
    for file in &manifest.files {
        if folder(&file.path) != "artifacts" {
            continue;
        }
        let misplaced = || {
            VerifyError::content(format!(
                "{} is not named as an artifact",
                quoted(file.path.as_str())
            ))
        };
        let segments: Vec<&str> = file.path.segments().skip(1).collect();
        let (ecosystem, name, part) = match segments.as_slice() {
            [ecosystem, name] => (*ecosystem, *name, None),
            [ecosystem, name, part] => (*ecosystem, *name, Some(*part)),
            _ => return Err(misplaced()),
        };
        let ecosystem: EcosystemId = ecosystem.parse().map_err(|_bad| misplaced())?;
        let sha256 = Digest::from_hex(name).map_err(|_bad| misplaced())?;
        let carried = match part {
            None if sha256 == file.digests.sha256 => Carried::Whole(file.digests),
            Some(number) if ecosystem == EcosystemId::file() => {
                // Files come sorted by path, so parts come in their order.
                let count = parts.entry(sha256).or_insert(0);
                *count += 1;
                if number != format!("{count:04}") {
                    return Err(misplaced());
                }
                Carried::Parts(sha256)
            }
            _ => return Err(misplaced()),
        };
        files.insert((ecosystem, sha256), carried);
    }
    Ok(files)
}

/// The records name exactly the lock's releases, and its artifacts with the lock's checksums.
fn check_records(
    lock: &Lock,
    ecosystem: &EcosystemId,
    bytes: &[u8],
    lookup: &Lookup<'_>,
) -> Result<(), VerifyError> {
    let path = records_path(ecosystem);
    let code = lookup(ecosystem)
        .ok_or_else(|| VerifyError::content(format!("this build does not know {ecosystem}")))?;
    let facts = code
        .facts(bytes)
        .map_err(|error| VerifyError::content(format!("{path}: {}", chain(&error))))?;
    let locked: BTreeSet<ReleaseId> = lock.of(ecosystem).map(LockedPackage::id).collect();
    let differing = facts
        .keys()
        .find(|release| !locked.contains(release))
        .or_else(|| locked.iter().find(|release| !facts.contains_key(release)));
    if let Some(release) = differing {
        return Err(VerifyError::content(format!(
            "{} is not in both the lock and {path}",
            quoted(&release.to_string())
        )));
    }
    for package in lock.of(ecosystem) {
        let files = facts.get(&package.id()).map(|f| &f.files);
        for artifact in &package.artifacts {
            let found = files.and_then(|files| files.get(&artifact.file));
            if found != Some(&artifact.checksum) {
                return Err(VerifyError::differs(
                    format!("{path} has another checksum for {}", quoted(&artifact.file)),
                    artifact.checksum.to_string(),
                    found.map_or("nothing".to_owned(), ToString::to_string),
                ));
            }
        }
    }
    Ok(())
}

/// Every ecosystem in the lock has records; plain files need none.
fn check_recorded(lock: &Lock) -> Result<(), VerifyError> {
    let missing = lock
        .packages
        .iter()
        .map(|package| &package.ecosystem)
        .find(|id| **id != EcosystemId::file() && !lock.records.contains_key(id));
    match missing {
        Some(ecosystem) => Err(VerifyError::content(format!(
            "the lock has packages of {ecosystem} but no records"
        ))),
        None => Ok(()),
    }
}

/// The SBOM has exactly the releases that cross the gap, with the digests of the bytes that are carried.
fn check_sbom(
    lock: &Lock,
    artifacts: &Artifacts,
    bytes: &[u8],
    lookup: &Lookup<'_>,
) -> Result<(), VerifyError> {
    let components = sbom::read::components(bytes)
        .map_err(|error| VerifyError::content(format!("{SBOM}: {}", chain(&error))))?;
    let mut expected = expected_components(lock, artifacts, lookup)?;
    for component in components {
        let Some((sha256, sha512)) = expected.remove(&component.purl) else {
            return Err(VerifyError::content(format!(
                "the SBOM lists {}, which the lock does not carry",
                quoted(&component.purl)
            )));
        };
        let same_sha512 = component.sha512.is_empty() || component.sha512 == sha512;
        if component.sha256 != sha256 || !same_sha512 {
            let list = |digests: &[Digest]| {
                let texts: Vec<String> = digests.iter().map(ToString::to_string).collect();
                texts.join(" ")
            };
            return Err(VerifyError::differs(
                format!("the SBOM has other digests for {}", quoted(&component.purl)),
                list(&sha256),
                list(&component.sha256),
            ));
        }
    }
    match expected.keys().next() {
        Some(purl) => Err(VerifyError::content(format!(
            "the SBOM does not list {}",
            quoted(purl)
        ))),
        None => Ok(()),
    }
}

/// Package URL to the sorted digests of its files; none for what lies inside another archive.
type Expected = BTreeMap<String, (Vec<Digest>, Vec<Sha512>)>;

fn expected_components(
    lock: &Lock,
    artifacts: &Artifacts,
    lookup: &Lookup<'_>,
) -> Result<Expected, VerifyError> {
    let mut expected = Expected::new();
    for ((ecosystem, release), member) in sbom::members(lock, None) {
        let code = lookup(ecosystem)
            .ok_or_else(|| VerifyError::content(format!("this build does not know {ecosystem}")))?;
        let (mut sha256, mut sha512) = (Vec::new(), Vec::new());
        for artifact in &member.package.artifacts {
            match artifacts.of(member.package, artifact) {
                Some(Carried::Whole(digests)) => {
                    sha256.push(digests.sha256);
                    sha512.push(digests.sha512);
                }
                Some(Carried::Parts(whole)) => sha256.push(whole),
                None => return Err(not_carried(member.package, artifact)),
            }
        }
        sha256.sort();
        sha512.sort();
        let purl = member.purl(lock, &code.purl(&release));
        expected.insert(purl.as_str().to_owned(), (sha256, sha512));
    }
    Ok(expected)
}
