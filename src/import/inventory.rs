//! The blobs of a repository as an audit sees them: each file on disk is read once, however many names it has.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::base::digest::Digest;
use crate::base::progress::Progress;
use crate::fs::{self, FsError};
use crate::import::cas::{self, Cas, Node};
use crate::import::layout::Layout;

/// The blobs by digest, and what was read so far.
#[derive(Debug)]
pub struct Blobs {
    root: PathBuf,
    cas: Cas,
    named: BTreeMap<Digest, u64>,
    strays: Vec<PathBuf>,
    drafts: Vec<PathBuf>,
    /// The blob that a file is.
    nodes: BTreeMap<Node, Digest>,
    /// What was read.
    hashed: BTreeMap<Node, Digest>,
}

/// A file of a generation.
#[derive(Debug, Clone, Copy)]
pub struct Hashed {
    /// Its digest.
    pub digest: Digest,
    /// The blob that it is a link to.
    pub blob: Option<Digest>,
    /// Whether its mode is that of published files.
    pub read_only: bool,
    /// Bytes that were read for it now.
    pub read: u64,
}

impl Blobs {
    /// Every blob by its name.
    pub fn list(layout: &Layout) -> Result<Self, FsError> {
        let mut blobs = Self {
            root: layout.root().to_owned(),
            cas: Cas::new(layout.cas()),
            named: BTreeMap::new(),
            strays: Vec::new(),
            drafts: Vec::new(),
            nodes: BTreeMap::new(),
            hashed: BTreeMap::new(),
        };
        for shard in fs::list(&layout.cas())? {
            if !fs::symlink_metadata(&shard)?.is_dir() {
                blobs.strays.push(shard);
                continue;
            }
            for path in fs::list(&shard)? {
                blobs.add(path)?;
            }
        }
        Ok(blobs)
    }

    fn add(&mut self, path: PathBuf) -> Result<(), FsError> {
        let name = path.file_name().and_then(|n| n.to_str());
        if path.extension().is_some_and(|e| e == "tmp") {
            // Left by a process that was killed; the store does not see it.
            self.drafts.push(path);
            return Ok(());
        }
        let digest = name.and_then(|n| Digest::from_hex(n).ok());
        let found = fs::symlink_metadata(&path)?;
        match digest.filter(|d| found.is_file() && self.cas.path(d) == path) {
            Some(digest) => {
                self.nodes.insert((found.dev(), found.ino()), digest);
                self.named.insert(digest, found.len());
            }
            None => self.strays.push(path),
        }
        Ok(())
    }

    /// Bytes of all blobs.
    pub fn bytes(&self) -> u64 {
        self.named.values().sum()
    }

    /// What is in the store and is no blob.
    pub fn strays(&self) -> &[PathBuf] {
        &self.strays
    }

    /// What killed processes left in the store.
    pub fn drafts(&self) -> &[PathBuf] {
        &self.drafts
    }

    /// The blobs, sorted.
    pub fn digests(&self) -> Vec<Digest> {
        self.named.keys().copied().collect()
    }

    /// Whether there is such a blob, damaged or not.
    pub fn has(&self, digest: &Digest) -> bool {
        self.named.contains_key(digest)
    }

    /// Size of a blob.
    pub fn size(&self, digest: &Digest) -> u64 {
        self.named.get(digest).copied().unwrap_or_default()
    }

    /// Where a blob is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.cas.path(digest)
    }

    /// Reads a blob: its digest and size.
    pub fn hash(
        &mut self,
        digest: &Digest,
        progress: &dyn Progress,
    ) -> Result<(Digest, u64), FsError> {
        let hashed = self.hash_file(&self.path(digest), progress)?;
        Ok((hashed.digest, hashed.read))
    }

    /// Reads a file unless it is one that was read already.
    pub fn hash_file(&mut self, path: &Path, progress: &dyn Progress) -> Result<Hashed, FsError> {
        let found = fs::symlink_metadata(path)?;
        let node = (found.dev(), found.ino());
        let (digest, read) = if let Some(known) = self.hashed.get(&node) {
            (*known, 0)
        } else {
            let digest = cas::hash(fs::open_inside(&self.root, path)?, path, progress)?;
            self.hashed.insert(node, digest);
            (digest, found.len())
        };
        Ok(Hashed {
            digest,
            blob: self.nodes.get(&node).copied(),
            read_only: found.mode() & 0o7777 == 0o444,
            read,
        })
    }

    /// The blob that the file at `path` is a link to.
    pub fn blob_at(&self, path: &Path) -> Result<Option<Digest>, FsError> {
        Ok(self.nodes.get(&fs::node(path)?).copied())
    }
}
