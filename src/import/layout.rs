//! Where everything is in a repository.

use std::path::{Path, PathBuf};

use crate::base::digest::Digest;

/// Paths of one repository.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The repository at `root`.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The repository itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Immutable blobs.
    pub fn cas(&self) -> PathBuf {
        self.root.join("cas").join("sha256")
    }

    /// Quarantine of running imports.
    pub fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }

    /// Generations.
    pub fn generations(&self) -> PathBuf {
        self.root.join("gen")
    }

    /// One generation.
    pub fn generation(&self, number: u64) -> PathBuf {
        self.generations().join(number.to_string())
    }

    /// The link to the published generation.
    pub fn current(&self) -> PathBuf {
        self.root.join("current")
    }

    /// Everything the repository remembers.
    pub fn state_dir(&self) -> PathBuf {
        self.root.join("state")
    }

    /// The state.
    pub fn state(&self) -> PathBuf {
        self.state_dir().join("state.json")
    }

    /// The state that is being committed.
    pub fn next_state(&self) -> PathBuf {
        self.state_dir().join("next-state.json")
    }

    /// The trust root, canonical.
    pub fn trust_root(&self) -> PathBuf {
        self.state_dir().join("root.json")
    }

    /// The trust root that is being committed.
    pub fn next_trust_root(&self) -> PathBuf {
        self.state_dir().join("next-root.json")
    }

    /// The journal.
    pub fn journal(&self) -> PathBuf {
        self.state_dir().join("journal.jsonl")
    }

    /// The lock that writers hold.
    pub fn lock(&self) -> PathBuf {
        self.state_dir().join("lock")
    }

    /// Receipts.
    pub fn receipts(&self) -> PathBuf {
        self.state_dir().join("receipts")
    }

    /// Statement and manifest of the imported bundles.
    pub fn bundles(&self) -> PathBuf {
        self.state_dir().join("bundles")
    }

    /// Statement and manifest of one bundle, by the digest of its statement.
    pub fn bundle(&self, statement: &Digest) -> PathBuf {
        self.bundles().join(statement.hex())
    }

    /// The receipt that is being committed.
    pub fn next_receipt(&self) -> PathBuf {
        self.state_dir().join("next-receipt.json")
    }

    /// Lists of the files of each generation.
    pub fn trees(&self) -> PathBuf {
        self.state_dir().join("trees")
    }

    /// What is in one generation: a line `<sha256>  <path>` per file, as `sha256sum -c` reads it.
    pub fn tree(&self, number: u64) -> PathBuf {
        self.trees().join(format!("{number}.sha256"))
    }

    /// The directories that repositories of older versions of `stage` may not have; made when they are needed.
    pub fn later_directories(&self) -> Vec<PathBuf> {
        vec![self.trees()]
    }

    /// The directories that exist from the start, parents first, with their modes.
    pub fn directories(&self) -> Vec<(PathBuf, u32)> {
        vec![
            (self.root.clone(), 0o755),
            (self.root.join("cas"), 0o755),
            (self.cas(), 0o755),
            (self.incoming(), 0o700),
            (self.generations(), 0o755),
            (self.state_dir(), 0o755),
            (self.receipts(), 0o755),
            (self.bundles(), 0o755),
        ]
    }
}
