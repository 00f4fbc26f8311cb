//! The store of a repository: immutable blobs by digest. Nothing gets in that was not verified to the last byte of its
//! medium, and what was there before is hashed again before it is relied on.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::base::digest::{Digest, Hasher};
use crate::base::progress::{NoProgress, Progress};
use crate::fs;
use crate::import::ImportError;
use crate::import::undo::Undo;

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// A file on disk: device and inode.
pub type Node = (u64, u64);

/// The blobs of a repository.
#[derive(Debug, Clone)]
pub struct Cas {
    root: PathBuf,
}

impl Cas {
    /// The blobs under `root`, which is `REPO/cas/sha256`.
    pub const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where the blob is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let shard = hex.get(..2).unwrap_or_default();
        self.root.join(shard).join(&hex)
    }

    /// Size of the blob; `None` when there is no regular file of that name.
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        let found = fs::symlink_metadata(&self.path(digest)).ok()?;
        found.is_file().then_some(found.len())
    }

    /// Whether the blob is there and has the bytes its name says.
    pub fn rehash(&self, digest: &Digest) -> bool {
        self.size(digest).is_some() && matches!(self.hash(digest), Ok(found) if found == *digest)
    }

    /// Opens the blob for reading; no link is followed on the way.
    pub fn open(&self, digest: &Digest) -> Result<fs::OpenFile, fs::FsError> {
        fs::open_inside(&self.root, &self.path(digest))
    }

    fn hash(&self, digest: &Digest) -> Result<Digest, fs::FsError> {
        hash(self.open(digest)?, &self.path(digest), &NoProgress)
    }

    /// The whole of a blob that is a document, checked.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, ImportError> {
        let bytes = fs::read_beneath(&self.root, &self.path(digest), limit)?;
        let whole = bytes.filter(|bytes| Digest::of(bytes) == *digest);
        whole.ok_or(ImportError::Blob { digest: *digest })
    }

    /// Takes in the verified file at `quarantined`. A blob that is there already is used if it is whole and replaced if
    /// it is not, which returns the damaged file: it may have other names. `touched` collects the directories to make
    /// durable, `undo` the names that are new.
    pub fn adopt(
        &self,
        quarantined: &Path,
        digest: &Digest,
        touched: &mut BTreeSet<PathBuf>,
        undo: &mut Undo,
    ) -> Result<Option<Node>, ImportError> {
        let target = self.path(digest);
        let shard = fs::parent(&target);
        if !fs::exists(shard) {
            undo.folder(shard);
            fs::create_dir_all(shard, 0o755)?;
            fs::set_mode(shard, 0o755)?;
            touched.insert(self.root.clone());
        }
        let mut damaged = None;
        if fs::exists(&target) {
            if self.rehash(digest) {
                return Ok(None);
            }
            damaged = Some(fs::node(&target)?);
            let fresh = target.with_extension("tmp");
            fs::remove_file(&fresh)?;
            fs::hard_link(quarantined, &fresh)?;
            fs::rename(&fresh, &target)?;
        } else {
            fs::hard_link(quarantined, &target)?;
            undo.file(&target);
        }
        touched.insert(shard.to_owned());
        Ok(damaged)
    }
}

/// SHA-256 of a file, read once with bounded memory.
pub(super) fn hash(
    mut file: fs::OpenFile,
    path: &Path,
    progress: &dyn Progress,
) -> Result<Digest, fs::FsError> {
    let mut buffer = vec![0; CHUNK];
    let mut hasher = Hasher::default();
    loop {
        let read = file.read(&mut buffer).map_err(fs::context("read", path))?;
        if read == 0 {
            return Ok(hasher.finish().0.sha256);
        }
        progress.advance(read as u64);
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Cas;
    use crate::base::digest::Digest;
    use crate::fs;
    use crate::import::ImportError;
    use crate::import::undo::Undo;

    #[test]
    fn a_damaged_blob_is_replaced_and_a_whole_one_kept() {
        let dir = std::env::temp_dir().join(format!("stage-cas-{}", std::process::id()));
        fs::remove_tree(&dir).unwrap();
        fs::create_dir_all(&dir.join("cas"), 0o755).unwrap();
        let cas = Cas::new(dir.join("cas"));
        let digest = Digest::of(b"good");
        let fresh = dir.join("fresh");
        let (mut touched, mut undo) = (BTreeSet::new(), Undo::default());
        fs::write_atomic(&fresh, b"good", 0o444).unwrap();
        cas.adopt(&fresh, &digest, &mut touched, &mut undo).unwrap();
        assert!(cas.rehash(&digest));
        fs::remove_file(&cas.path(&digest)).unwrap();
        fs::write_atomic(&cas.path(&digest), b"goad", 0o444).unwrap();
        assert!(!cas.rehash(&digest));
        assert!(matches!(
            cas.read(&digest, 10),
            Err(ImportError::Blob { .. })
        ));
        cas.adopt(&fresh, &digest, &mut touched, &mut undo).unwrap();
        assert_eq!(cas.read(&digest, 10).unwrap(), b"good");
        drop(undo);
        assert!(
            !cas.path(&digest).exists(),
            "the first adoption was taken back"
        );
        fs::remove_tree(&dir).unwrap();
    }
}
