//! Where everything is in a repository.

use std::path::{Path, PathBuf};

use crate::base::digest::Digest;

/// The secret key of the apt index.
pub const APT_KEY: &str = "apt-key.asc";
/// The command that signs the apt index instead.
pub const APT_SIGNING: &str = "apt-signing.json";
/// Digests of both.
const SIGNING_LIST: &str = "signing.sha256";

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

    /// The files that the apt index is signed with, if this build or a command of the site made them: the secret key, or
    /// what the command is; only their owner reads them.
    pub fn signing(&self) -> [PathBuf; 2] {
        [APT_KEY, APT_SIGNING].map(|name| self.state_dir().join(name))
    }

    /// What those files are: a line `<sha256>  <name>` for each, as `sha256sum -c` reads it. Not in the state, which
    /// everybody may read: a command may hold a PIN that is short enough to be guessed by its digest.
    pub fn signing_list(&self) -> PathBuf {
        self.state_dir().join(SIGNING_LIST)
    }

    /// Whether stage puts something of this name into the repository itself.
    pub fn is_known(&self, name: &str) -> bool {
        ["cas", "incoming", "gen", "state", "current", "current.tmp"].contains(&name)
    }

    /// Whether stage puts something of this name into the folder of the state.
    pub fn is_state(&self, name: &str) -> bool {
        let known = [
            self.state(),
            self.next_state(),
            self.trust_root(),
            self.next_trust_root(),
            self.journal(),
            self.lock(),
            self.receipts(),
            self.next_receipt(),
            self.bundles(),
            self.trees(),
            self.signing_list(),
        ];
        let signing = self.signing();
        let mut known = known.iter().chain(&signing);
        known.any(|path| path.file_name().is_some_and(|n| n == name))
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
