//! The content-addressed store: bytes by digest, in the cache folder of a connected host.
//!
//! ```text
//! blobs/sha256/ab/<hex>     the bytes, mode 0444, immutable
//! index/sha256/ab/<hex>     what is known about them: canonical JSON {origins, sha256, sha512, size}
//! index/sha512/ab/<hex>     the same document under the other digest
//! incoming/                 files being written, each locked by its writer
//! ```
//!
//! Bytes get their name only after their checksum was confirmed. There is no sync per file, which would dominate the
//! time of hundreds of small files; instead damage after a power cut is detected and never accepted: [`Store::find`]
//! compares the size, and whoever writes a bundle hashes every byte again while it is written. Several processes may
//! use one store: each writes to files of its own, and a rename that replaces a blob replaces it with equal bytes.

mod incoming;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::base::digest::{Digest, Digests, Sha512, UpstreamChecksum};
use crate::base::fault::{Class, Code, Fault, Kind};
use crate::fs::{self, FsError};
pub use crate::store::incoming::Incoming;
use crate::store::incoming::validator_path;

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &FETCH_DIGEST_MISMATCH,
    &FETCH_WEAK_CHECKSUM,
    &FETCH_TOO_LARGE,
    &FETCH_INTERRUPTED,
];

static FETCH_DIGEST_MISMATCH: Code = Code::classed("fetch-digest-mismatch", Class::E51);
static FETCH_WEAK_CHECKSUM: Code = Code::classed("fetch-weak-checksum", Class::E51);
static FETCH_TOO_LARGE: Code = Code::classed("fetch-too-large", Class::E21);
static FETCH_INTERRUPTED: Code = Code::new("fetch-interrupted", Kind::Failed);

/// A partial file smaller than this is not worth resuming, in bytes.
pub const RESUME_FROM: u64 = 1 << 20;

/// Largest index document, in bytes.
const INDEX_LIMIT: u64 = 1 << 20;

/// Why bytes were not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The bytes are not the ones that were expected. Nothing was stored.
    #[error("content does not match its checksum")]
    Mismatch {
        /// What was expected.
        expected: UpstreamChecksum,
        /// What the bytes have.
        found: Box<Digests>,
        /// How many bytes came.
        size: u64,
    },
    /// SHA-1 cannot confirm anything.
    #[error("{checksum} is too weak to confirm any content")]
    Weak {
        /// The checksum.
        checksum: UpstreamChecksum,
    },
    /// More bytes came than allowed.
    #[error("content is longer than the allowed {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: u64,
    },
    /// The source of the bytes failed.
    #[error("content cannot be read to its end")]
    Read {
        /// What the source said.
        source: io::Error,
    },
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
}

#[cfg(feature = "connected")]
impl StoreError {
    /// Another process changed a partial file while it was in use.
    pub(crate) fn changed() -> Self {
        Self::Read {
            source: io::Error::other("the partial file was changed by another process"),
        }
    }
}

impl Fault for StoreError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Mismatch { .. } => &FETCH_DIGEST_MISMATCH,
            Self::Weak { .. } => &FETCH_WEAK_CHECKSUM,
            Self::TooLarge { .. } => &FETCH_TOO_LARGE,
            Self::Read { .. } => &FETCH_INTERRUPTED,
            Self::Fs(error) => error.code(),
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Mismatch {
                expected,
                found,
                size,
            } => {
                let same_kind = match expected {
                    UpstreamChecksum::Sha512(_) => found.sha512.to_string(),
                    UpstreamChecksum::Sha256(_) | UpstreamChecksum::Sha1(_) => {
                        found.sha256.to_string()
                    }
                };
                vec![
                    ("expected", expected.to_string()),
                    ("found", format!("{same_kind}, {size} bytes")),
                ]
            }
            Self::Fs(error) => error.facts(),
            Self::Weak { .. } | Self::TooLarge { .. } | Self::Read { .. } => Vec::new(),
        }
    }
}

/// A blob that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where its bytes are.
    pub path: PathBuf,
    /// Both digests.
    pub digests: Digests,
    /// Size in bytes.
    pub size: u64,
    /// Every `host:port` it was downloaded from, sorted. Empty when it came from elsewhere.
    pub origins: Vec<String>,
}

/// The index document.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    origins: Vec<String>,
    sha256: Digest,
    sha512: Sha512,
    size: u64,
}

/// The store.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store in `root`, created when missing. What killed runs left half written is removed, except large
    /// partial downloads, which [`Store::resume`] goes on with.
    pub fn open(root: &Path) -> Result<Self, FsError> {
        let store = Self {
            root: root.to_owned(),
        };
        fs::create_dir_all(&store.incoming(), 0o755)?;
        for path in fs::list(&store.incoming())? {
            sweep(&path)?;
        }
        Ok(store)
    }

    fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }

    fn sharded(&self, folder: &str, algorithm: &str, hex: &str) -> PathBuf {
        let shard = hex.get(..2).unwrap_or("00");
        self.root.join(folder).join(algorithm).join(shard).join(hex)
    }

    /// Where the blob with this digest is, or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.sharded("blobs", "sha256", &digest.hex())
    }

    /// The blob that a checksum means; `None` when it is not here. A blob of the wrong size or without readable index
    /// document is not here either. SHA-1 finds nothing.
    pub fn find(&self, checksum: &UpstreamChecksum) -> Result<Option<Stored>, FsError> {
        let index = match checksum {
            UpstreamChecksum::Sha256(d) => self.sharded("index", "sha256", &d.hex()),
            UpstreamChecksum::Sha512(d) => self.sharded("index", "sha512", &d.hex()),
            UpstreamChecksum::Sha1(_) => return Ok(None),
        };
        let Some(bytes) = fs::read_optional(&index, INDEX_LIMIT)? else {
            return Ok(None);
        };
        let Ok(record) = serde_json::from_slice::<Record>(&bytes) else {
            return Ok(None);
        };
        let digests = Digests {
            sha256: record.sha256,
            sha512: record.sha512,
        };
        let path = self.blob_path(&digests.sha256);
        let size = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => found.len(),
            Ok(_) => return Ok(None),
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let sound = size == record.size && checksum.confirms(&digests);
        Ok(sound.then_some(Stored {
            path,
            digests,
            size,
            origins: record.origins,
        }))
    }

    /// Stores what `reader` gives, at most `limit` bytes, if `expected` confirms it.
    pub fn put(
        &self,
        reader: impl Read,
        limit: u64,
        expected: Option<&UpstreamChecksum>,
    ) -> Result<Stored, StoreError> {
        let mut incoming = self.begin(limit, expected)?;
        incoming.read_from(reader, |_bytes| ())?;
        incoming.finish(&[])
    }

    /// A new file to write, which becomes a blob when `expected` confirms it.
    pub fn begin(
        &self,
        limit: u64,
        expected: Option<&UpstreamChecksum>,
    ) -> Result<Incoming<'_>, StoreError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        refuse_weak(expected)?;
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{count}.tmp", std::process::id());
            let path = self.incoming().join(name);
            let file = match fs::create_new(&path, 0o600) {
                Err(FsError::Io { source, .. })
                    if source.kind() == io::ErrorKind::AlreadyExists =>
                {
                    continue;
                }
                other => other?,
            };
            // Between the two calls a sweeping process may have taken the file away: then another one.
            if fs::try_lock(&file, &path)? && fs::is_at(&file, &path)? {
                return Ok(Incoming::new(self, file, path, limit, expected));
            }
        }
    }

    /// As [`Store::begin`], but goes on with what an interrupted run left of the same content, if that is large
    /// enough to be worth it: [`Incoming::size`] bytes are there and hashed.
    pub fn resume(
        &self,
        limit: u64,
        expected: &UpstreamChecksum,
    ) -> Result<Incoming<'_>, StoreError> {
        refuse_weak(Some(expected))?;
        let path = self
            .incoming()
            .join(format!("{}.part", part_name(expected)));
        let file = fs::open_read_append(&path, 0o600)?;
        if !fs::try_lock(&file, &path)? || !fs::is_at(&file, &path)? {
            return self.begin(limit, Some(expected));
        }
        let mut incoming = Incoming::new(self, file, path, limit, Some(expected));
        incoming.partial = true;
        incoming.take_over()?;
        Ok(incoming)
    }

    /// Writes both index documents.
    fn record(&self, stored: &Stored) -> Result<(), FsError> {
        let record = Record {
            origins: stored.origins.clone(),
            sha256: stored.digests.sha256,
            sha512: stored.digests.sha512,
            size: stored.size,
        };
        let bytes = crate::base::json::to_canonical(&record).unwrap_or_default();
        let by_sha256 = self.sharded("index", "sha256", &stored.digests.sha256.hex());
        let by_sha512 = self.sharded("index", "sha512", &stored.digests.sha512.hex());
        for path in [by_sha256, by_sha512] {
            fs::create_dir_all(fs::parent(&path), 0o755)?;
            fs::write_unsynced(&path, &bytes, 0o644)?;
        }
        Ok(())
    }
}

fn refuse_weak(expected: Option<&UpstreamChecksum>) -> Result<(), StoreError> {
    match expected {
        Some(checksum @ UpstreamChecksum::Sha1(_)) => Err(StoreError::Weak {
            checksum: checksum.clone(),
        }),
        _ => Ok(()),
    }
}

fn part_name(checksum: &UpstreamChecksum) -> String {
    checksum.to_string().replace(':', "-")
}

/// Removes one leftover, unless a living writer holds it or it is a partial file worth keeping.
fn sweep(path: &Path) -> Result<(), FsError> {
    let extension = path.extension().unwrap_or_default();
    if extension == "validator" {
        let orphan = !fs::exists(&path.with_extension("part"));
        return if orphan {
            fs::remove_file(path)
        } else {
            Ok(())
        };
    }
    let file = match fs::open(path) {
        Err(error) if error.is_not_found() => return Ok(()),
        other => other?,
    };
    let kept = extension == "part" && fs::size(path).is_ok_and(|size| size >= RESUME_FROM);
    if kept || !fs::try_lock(&file, path)? {
        return Ok(());
    }
    fs::remove_file(&validator_path(path))?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{RESUME_FROM, Store, StoreError};
    use crate::base::digest::{Digests, UpstreamChecksum};
    use crate::base::limits::LIMITS;
    use crate::fs;

    /// An empty folder that is removed again.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("stage-store-{name}-{}", std::process::id()));
            fs::remove_tree(&path).unwrap();
            Self(path)
        }

        fn leftovers(&self) -> usize {
            fs::list(&self.0.join("incoming")).unwrap().len()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_tree(&self.0).unwrap();
        }
    }

    fn checksums(bytes: &[u8]) -> [UpstreamChecksum; 2] {
        let digests = Digests::of(bytes);
        [
            UpstreamChecksum::Sha256(digests.sha256),
            UpstreamChecksum::Sha512(digests.sha512),
        ]
    }

    #[test]
    fn what_was_put_is_found_by_both_digests_and_read_only() {
        let folder = Folder::new("put");
        let store = Store::open(&folder.0).unwrap();
        for expected in checksums(b"abc") {
            let stored = store.put(&b"abc"[..], 3, Some(&expected)).unwrap();
            assert_eq!(store.find(&expected).unwrap(), Some(stored.clone()));
            assert_eq!(fs::read(&stored.path, 10).unwrap(), b"abc");
            let mode = std::os::unix::fs::PermissionsExt::mode(
                &fs::metadata(&stored.path).unwrap().permissions(),
            );
            assert_eq!(mode & 0o777, 0o444);
        }
        assert_eq!(folder.leftovers(), 0);
    }

    #[test]
    fn wrong_bytes_weak_checksums_and_too_many_bytes_store_nothing() {
        let folder = Folder::new("wrong");
        let store = Store::open(&folder.0).unwrap();
        let [expected, _] = checksums(b"abc");
        let wrong = store.put(&b"abd"[..], 9, Some(&expected));
        assert!(matches!(wrong, Err(StoreError::Mismatch { .. })));
        let weak = UpstreamChecksum::Sha1([0; 20]);
        let refused = store.put(&b"abc"[..], 9, Some(&weak));
        assert!(matches!(refused, Err(StoreError::Weak { .. })));
        let long = store.put(&b"abc"[..], 2, Some(&expected));
        assert!(matches!(long, Err(StoreError::TooLarge { limit: 2 })));
        assert_eq!(store.find(&expected).unwrap(), None);
        assert_eq!(folder.leftovers(), 0);
        assert!(!fs::exists(&folder.0.join("blobs")));
    }

    #[test]
    fn damaged_blobs_and_index_documents_are_not_there() {
        let folder = Folder::new("damage");
        let store = Store::open(&folder.0).unwrap();
        let [expected, other] = checksums(b"abc");
        let stored = store.put(&b"abc"[..], 9, Some(&expected)).unwrap();
        fs::write_atomic(&stored.path, b"ab", 0o444).unwrap();
        assert_eq!(store.find(&expected).unwrap(), None);
        store.put(&b"abc"[..], 9, Some(&expected)).unwrap();
        assert!(store.find(&other).unwrap().is_some());
        let (files, _) = fs::walk(&folder.0.join("index")).unwrap();
        for file in files {
            fs::write_atomic(&folder.0.join("index").join(file), b"{}", 0o644).unwrap();
        }
        assert_eq!(store.find(&other).unwrap(), None);
    }

    #[test]
    fn a_large_partial_file_is_resumed_and_small_ones_are_swept() {
        let folder = Folder::new("resume");
        let store = Store::open(&folder.0).unwrap();
        let half = vec![7_u8; usize::try_from(RESUME_FROM).unwrap()];
        let whole = [half.as_slice(), half.as_slice()].concat();
        let [expected, small] = checksums(&whole);
        let mut first = store.resume(LIMITS.artifact, &expected).unwrap();
        first.push(&half).unwrap();
        first.set_validator(Some("\"v1\"")).unwrap();
        // While one writes, another takes a file of its own, and opening the store sweeps neither.
        let second = store.resume(LIMITS.artifact, &expected).unwrap();
        assert_eq!(second.size(), 0);
        Store::open(&folder.0).unwrap();
        assert_eq!(folder.leftovers(), 3);
        drop(second);
        drop(first);
        let mut little = store.resume(LIMITS.artifact, &small).unwrap();
        little.push(b"x").unwrap();
        std::mem::forget(little);
        let store = Store::open(&folder.0).unwrap();
        let mut again = store.resume(LIMITS.artifact, &expected).unwrap();
        assert_eq!(again.size(), RESUME_FROM);
        assert_eq!(again.validator().unwrap().as_deref(), Some("\"v1\""));
        again.push(&half).unwrap();
        let stored = again.finish(&["a.example:443".to_owned()]).unwrap();
        assert_eq!(stored.origins, ["a.example:443"]);
        assert_eq!(store.find(&expected).unwrap(), Some(stored));
    }
}
