//! From lock, store and CA to the files of a bundle: what goes in, under which path, and which release it is.
//! The format itself is `bundle`'s; signing is `sign`'s.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::base::digest::{Digest, Digests, Hashing};
use crate::base::fault::{Code, Fault, Kind};
use crate::base::json;
use crate::base::limits::LIMITS;
use crate::base::package::{EcosystemId, Purl, ReleaseId};
use crate::base::path::{PathError, RelPath, check_tree};
use crate::base::text::quoted;
use crate::base::time::Timestamp;
use crate::bundle::write::{PlannedFile, Source};
use crate::ca::pack::Packing;
use crate::eco::{self, EcoError};
use crate::fs::{self, FsError};
use crate::lock::{Lock, Records, format};
use crate::sbom::cyclonedx::{self, CarriedFile, Facts, Files, SbomInput};
use crate::sbom::{LicenseTexts, SbomError};
use crate::store::{Store, Stored};

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &BUNDLE_MISSING,
    &BUNDLE_NAMES,
    &BUNDLE_EMPTY,
    &BUNDLE_TOO_LARGE,
    &BUNDLE_SPECIAL,
];

static BUNDLE_MISSING: Code = Code::new("bundle-missing-artifact", Kind::Failed);
static BUNDLE_NAMES: Code = Code::new("bundle-names", Kind::Usage);
static BUNDLE_EMPTY: Code = Code::new("bundle-empty", Kind::Usage);
static BUNDLE_TOO_LARGE: Code = Code::new("bundle-artifact-too-large", Kind::Usage);
static BUNDLE_SPECIAL: Code = Code::new("bundle-special-file", Kind::Usage);

/// Why there is nothing to put into a bundle.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Artifacts of the lock that are not in the store.
    #[error("{} artifacts of the lock are not in the store", missing.len())]
    Missing {
        /// `ecosystem name@version file`, escaped.
        missing: Vec<String>,
    },
    /// File names of a plain folder that a bundle cannot carry.
    #[error("{} file names cannot be carried", names.len())]
    Names {
        /// Every such name, quoted and escaped.
        names: Vec<String>,
    },
    /// Two names that are one on some file systems.
    #[error("file names collide")]
    Collision {
        /// Which.
        source: PathError,
    },
    /// Links, sockets or devices in a plain folder.
    #[error("{} entries are neither files nor folders", names.len())]
    Special {
        /// Every such name, quoted and escaped.
        names: Vec<String>,
    },
    /// A plain folder without files, or a lock without artifacts.
    #[error("there is nothing to carry")]
    Empty,
    /// A file too large for one blob.
    #[error("{name} has {size} bytes, more than one blob can hold")]
    TooLarge {
        /// The file, quoted and escaped.
        name: String,
        /// Its size.
        size: u64,
    },
    /// Records or SBOM could not be made.
    #[error(transparent)]
    Eco(#[from] EcoError),
    /// The SBOM could not be made.
    #[error(transparent)]
    Sbom(#[from] SbomError),
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl Fault for PackError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Missing { .. } => &BUNDLE_MISSING,
            Self::Names { .. } | Self::Collision { .. } => &BUNDLE_NAMES,
            Self::Special { .. } => &BUNDLE_SPECIAL,
            Self::Empty => &BUNDLE_EMPTY,
            Self::TooLarge { .. } => &BUNDLE_TOO_LARGE,
            Self::Eco(inner) => inner.code(),
            Self::Sbom(inner) => inner.code(),
            Self::Fs(inner) => inner.code(),
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let (key, list) = match self {
            Self::Missing { missing } => ("missing", missing),
            Self::Names { names } | Self::Special { names } => ("name", names),
            Self::Collision { .. }
            | Self::Empty
            | Self::TooLarge { .. }
            | Self::Eco(_)
            | Self::Sbom(_)
            | Self::Fs(_) => return Vec::new(),
        };
        list.iter().map(|item| (key, item.clone())).collect()
    }
}

/// What a bundle of a lock is made from, before its serial is known.
pub struct Contents<'a> {
    /// The lock.
    pub lock: &'a Lock,
    /// Its records.
    pub records: &'a Records,
    /// What makes of the private CA what hosts take, in the folder `ca`; `None`: there is none.
    pub ca: Option<Packing>,
    /// Texts of licenses that have no identifier, for the SBOM.
    pub license_texts: LicenseTexts,
    /// The lock with licenses that only the files tell, for the SBOM; `None`: as it is.
    pub described: Option<Lock>,
    /// Who vouches for the SBOM.
    pub author: Option<String>,
    /// Documents that say what was checked before, by their name in the folder `evidence`.
    pub evidence: BTreeMap<&'static str, Vec<u8>>,
    /// What proves where packages are from.
    pub proofs: Vec<PlannedFile>,
    stored: BTreeMap<(EcosystemId, String), Stored>,
}

impl std::fmt::Debug for Contents<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contents")
            .field("artifacts", &self.stored.len())
            .finish_non_exhaustive()
    }
}

/// Bytes from which on a plain file is carried in parts.
const IN_PARTS: u64 = 4 << 30;
/// The folder of what was checked before.
const EVIDENCE: &str = "evidence";
/// Bytes of one part; the last one may be shorter.
const PART: u64 = 2 << 30;

impl<'a> Contents<'a> {
    /// Finds every carried artifact in the store.
    pub fn gather(lock: &'a Lock, records: &'a Records, store: &Store) -> Result<Self, PackError> {
        let (mut stored, mut missing) = (BTreeMap::new(), Vec::new());
        for (package, artifact) in lock.carried_artifacts() {
            match store.find(&artifact.checksum)? {
                Some(found)
                    if found.size > LIMITS.blob && package.ecosystem != EcosystemId::file() =>
                {
                    return Err(PackError::TooLarge {
                        name: quoted(&artifact.file),
                        size: found.size,
                    });
                }
                Some(found) => {
                    stored.insert(
                        (package.ecosystem.clone(), artifact.checksum.to_string()),
                        found,
                    );
                }
                None => missing.push(format!(
                    "{} {} {}",
                    package.ecosystem,
                    crate::base::text::escaped(&package.id().to_string()),
                    crate::base::text::escaped(&artifact.file)
                )),
            }
        }
        if !missing.is_empty() {
            return Err(PackError::Missing { missing });
        }
        if stored.is_empty() {
            return Err(PackError::Empty);
        }
        Ok(Self {
            lock,
            records,
            ca: None,
            license_texts: LicenseTexts::new(),
            described: None,
            author: None,
            evidence: BTreeMap::new(),
            proofs: Vec::new(),
            stored,
        })
    }

    /// Digest of everything that decides the bundle's content beside serial and time.
    ///
    /// # Errors
    /// What hosts take of the private CA cannot be made.
    pub fn inputs(&self, settings: &Settings<'_>) -> Result<Digest, PackError> {
        let records: BTreeMap<&str, Digest> = self
            .records
            .iter()
            .map(|(id, bytes)| (id.as_str(), Digest::of(bytes)))
            .collect();
        let evidence: BTreeMap<&str, Digest> = self
            .evidence
            .iter()
            .map(|(name, bytes)| (*name, Digest::of(bytes)))
            .collect();
        // Of a time that is always the same.
        let ca: BTreeMap<String, Digest> = self
            .private_ca(Timestamp::default())?
            .into_iter()
            .map(|(name, bytes)| (name, Digest::of(&bytes)))
            .collect();
        let mut content = json!({
            "lock": Digest::of(&format::write(self.lock)),
            "records": records,
            "ca": ca,
            "evidence": evidence,
        });
        if let (Some(author), Some(content)) = (&self.author, content.as_object_mut()) {
            content.insert("author".to_owned(), json!(author));
        }
        let proofs = self.proofs.iter();
        let proofs: BTreeMap<&str, Digest> = proofs
            .map(|file| (file.path.as_str(), file.digests.sha256))
            .collect();
        if let Some(content) = content.as_object_mut().filter(|_| !proofs.is_empty()) {
            content.insert("upstream".to_owned(), json!(proofs));
        }
        Ok(inputs_digest(settings, &content))
    }

    /// What hosts take of the private CA.
    fn private_ca(&self, at: Timestamp) -> Result<BTreeMap<String, Vec<u8>>, PackError> {
        let files = self.ca.as_ref().map(|packing| packing.files(at));
        let files = files
            .transpose()
            .map_err(fs::context("make", Path::new("ca")))?;
        Ok(files.unwrap_or_default())
    }

    /// Every file of the bundle.
    pub fn files(
        &self,
        settings: &Settings<'_>,
        serial: u64,
        created: Timestamp,
    ) -> Result<Vec<PlannedFile>, PackError> {
        let mut files = BTreeMap::new();
        let mut add = |path: String, file: PlannedFile| {
            files.insert(path, file);
        };
        for (id, bytes) in self.records {
            let path = format!("lock/records/{id}.json");
            add(path.clone(), document(&path, bytes.clone())?);
        }
        add(
            "lock/stage.lock".to_owned(),
            document("lock/stage.lock", format::write(self.lock))?,
        );
        for ((ecosystem, _), stored) in &self.stored {
            let whole = format!("artifacts/{ecosystem}/{}", stored.digests.sha256.hex());
            if *ecosystem == EcosystemId::file() && stored.size >= IN_PARTS {
                for part in parts(&whole, stored, PART)? {
                    add(part.path.to_string(), part);
                }
                continue;
            }
            let planned = PlannedFile {
                path: rel(&whole)?,
                source: Source::Path(stored.path.clone()),
                digests: stored.digests,
                size: stored.size,
            };
            add(whole, planned);
        }
        let sbom = self.sbom(settings, serial, created)?;
        add(
            "sbom/bundle.cdx.json".to_owned(),
            document("sbom/bundle.cdx.json", sbom)?,
        );
        for (name, bytes) in self.private_ca(created)? {
            let path = format!("ca/{name}");
            add(path.clone(), document(&path, bytes)?);
        }
        for (name, bytes) in &self.evidence {
            let path = format!("{EVIDENCE}/{name}");
            add(path.clone(), document(&path, bytes.clone())?);
        }
        for file in &self.proofs {
            add(file.path.to_string(), file.clone());
        }
        Ok(files.into_values().collect())
    }

    fn sbom(
        &self,
        settings: &Settings<'_>,
        serial: u64,
        created: Timestamp,
    ) -> Result<Vec<u8>, PackError> {
        let mut files = Files::new();
        for (package, artifact) in self.lock.carried_artifacts() {
            let key = (package.ecosystem.clone(), artifact.checksum.to_string());
            if let Some(stored) = self.stored.get(&key) {
                let file = CarriedFile::read(&artifact.file, stored.digests, stored.size);
                let key = (package.ecosystem.clone(), package.id());
                files.entry(key).or_default().push(file);
            }
        }
        let about = About {
            name: settings.channel,
            version: &serial.to_string(),
            created,
            author: self.author.as_deref(),
            license_texts: &self.license_texts,
        };
        let lock = self.described.as_ref().unwrap_or(self.lock);
        let digest = Digest::of(&format::write(self.lock));
        written((lock, digest), self.records, &files, &about)
    }
}

/// What an SBOM is about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The name of it all.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// When the SBOM is made.
    pub created: Timestamp,
    /// Who vouches for it.
    pub author: Option<&'a str>,
    /// Texts of licenses that have no identifier.
    pub license_texts: &'a LicenseTexts,
}

/// The SBOM of a lock of which there is no bundle. A file that is not in the store has the digest that the lock has.
///
/// `described` is the lock with licenses that only the files tell.
pub fn sbom(
    (lock, described): (&Lock, &Lock),
    records: &Records,
    store: &Store,
    about: &About<'_>,
) -> Result<Vec<u8>, PackError> {
    let mut files = Files::new();
    for (package, artifact) in lock.carried_artifacts() {
        let file = match store.find(&artifact.checksum)? {
            Some(found) => CarriedFile::read(&artifact.file, found.digests, found.size),
            None => CarriedFile::locked(artifact),
        };
        let key = (package.ecosystem.clone(), package.id());
        files.entry(key).or_default().push(file);
    }
    let digest = Digest::of(&format::write(lock));
    written((described, digest), records, &files, about)
}

fn written(
    (lock, lock_digest): (&Lock, Digest),
    records: &Records,
    files: &Files,
    about: &About<'_>,
) -> Result<Vec<u8>, PackError> {
    let mut facts = Facts::new();
    for (id, bytes) in records {
        if let Some(ecosystem) = eco::by_id(id) {
            facts.insert(id.clone(), ecosystem.facts(bytes)?);
        }
    }
    let purl = |id: &EcosystemId, release: &ReleaseId| match eco::by_id(id) {
        Some(ecosystem) => ecosystem.purl(release),
        None => Purl::new("generic", &[&release.name], &release.version, &[]),
    };
    Ok(cyclonedx::write(&SbomInput {
        lock,
        lock_digest,
        facts: &facts,
        files,
        name: about.name,
        version: about.version,
        created: about.created,
        tool_version: env!("CARGO_PKG_VERSION"),
        author: about.author,
        license_texts: about.license_texts,
        purl: &purl,
    })?)
}

/// What the manifest and the trust root add to the inputs.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// The channel.
    pub channel: &'a str,
    /// Seconds from `created` to `expires`.
    pub expires_after: i64,
    /// The channel's epoch.
    pub epoch: u64,
    /// Version of the trust root the bundle needs.
    pub root_version: u64,
    /// The bytes of `roots.json`.
    pub roots: &'a [u8],
}

fn inputs_digest(settings: &Settings<'_>, content: &serde_json::Value) -> Digest {
    Digest::of(&json::canonical(&json!({
        "channel": settings.channel,
        "content": content,
        "epoch": settings.epoch,
        "expires_after": settings.expires_after,
        "roots": Digest::of(settings.roots),
        "root_version": settings.root_version,
        "stage": env!("CARGO_PKG_VERSION"),
    })))
}

/// A stored file as consecutive parts of `length` bytes, `<whole>/0001` and so on.
fn parts(whole: &str, stored: &Stored, length: u64) -> Result<Vec<PlannedFile>, PackError> {
    let mut parts = Vec::new();
    let mut offset = 0;
    while offset < stored.size {
        let size = length.min(stored.size - offset);
        let mut hashing = Hashing::new(fs::open_at(&stored.path, offset)?.take(size));
        std::io::copy(&mut hashing, &mut std::io::sink())
            .map_err(fs::context("read", &stored.path))?;
        let (_, digests, size) = hashing.finish();
        parts.push(PlannedFile {
            path: rel(&format!("{whole}/{:04}", parts.len() + 1))?,
            source: Source::Part {
                path: stored.path.clone(),
                offset,
            },
            digests,
            size,
        });
        offset += length;
    }
    Ok(parts)
}

fn rel(path: &str) -> Result<RelPath, PackError> {
    path.parse()
        .map_err(|source| PackError::Collision { source })
}

fn document(path: &str, bytes: Vec<u8>) -> Result<PlannedFile, PackError> {
    let (digests, size) = (Digests::of(&bytes), bytes.len() as u64);
    Ok(PlannedFile {
        path: rel(path)?,
        source: Source::Bytes(bytes),
        digests,
        size,
    })
}

/// The files of a plain folder, with every name that cannot be carried listed before anything is read.
pub fn plain_folder(folder: &Path) -> Result<Vec<(RelPath, PathBuf)>, PackError> {
    let (files, others) = fs::walk(folder)?;
    if !others.is_empty() {
        let names = others
            .iter()
            .map(|p| quoted(&p.to_string_lossy()))
            .collect();
        return Err(PackError::Special { names });
    }
    let (mut out, mut bad) = (Vec::new(), Vec::new());
    for file in files {
        match file.to_str().and_then(|text| text.parse::<RelPath>().ok()) {
            Some(path) => out.push((path, folder.join(&file))),
            None => bad.push(quoted(&file.to_string_lossy())),
        }
    }
    if !bad.is_empty() {
        return Err(PackError::Names { names: bad });
    }
    check_tree(out.iter().map(|(path, _)| path))
        .map_err(|source| PackError::Collision { source })?;
    if out.is_empty() {
        return Err(PackError::Empty);
    }
    out.sort();
    for (path, source) in &out {
        let size = fs::size(source)?;
        if size > LIMITS.blob {
            return Err(PackError::TooLarge {
                name: quoted(path.as_str()),
                size,
            });
        }
    }
    Ok(out)
}

/// Digest of everything that decides a plain bundle's content.
pub fn plain_inputs(settings: &Settings<'_>, files: &[PlannedFile]) -> Digest {
    let listed: BTreeMap<&str, Digest> = files
        .iter()
        .map(|f| (f.path.as_str(), f.digests.sha256))
        .collect();
    inputs_digest(settings, &json!({ "plain": listed }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::parts;
    use crate::base::digest::Digests;
    use crate::bundle::write::Source;
    use crate::store::Stored;

    #[test]
    fn parts_follow_each_other_and_cover_the_file() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let bytes = crate::fs::read(&path, 1 << 20).unwrap();
        let stored = Stored {
            path,
            digests: Digests::of(&bytes),
            size: bytes.len() as u64,
            origins: Vec::new(),
        };
        let parts = parts("artifacts/file/ab", &stored, 1000).unwrap();
        assert_eq!(parts[0].path.as_str(), "artifacts/file/ab/0001");
        assert_eq!(parts.len(), bytes.len().div_ceil(1000));
        for (part, chunk) in parts.iter().zip(bytes.chunks(1000)) {
            assert_eq!(
                (part.digests, part.size),
                (Digests::of(chunk), chunk.len() as u64)
            );
            assert!(matches!(part.source, Source::Part { .. }));
        }
    }
}
