//! Where bytes stay until the last byte of the medium was verified. A blob that the store has already is not written a
//! second time: the bytes that come in are compared with the ones there.
//!
//! A fresh blob has a name here (mode 0600 in a folder of mode 0700) and is linked from it into the store. Files without
//! a name (`O_TMPFILE`) would vanish by themselves when the process dies, but each would need a descriptor that stays
//! open until the last byte of the medium was verified, and a bundle may have more blobs than a process descriptors.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::time::SystemTime;

use crate::base::digest::Digest;
use crate::bundle::manifest::BundleManifest;
use crate::fs::{self, FsError};
use crate::import::cas::Cas;
use crate::import::layout::Layout;
use crate::verify::{Check, Sink};

/// Room that rendered files and directories may need beside the blobs.
pub const SLACK: u64 = 8 << 20;

/// How the store comes to a blob of the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It waits in quarantine.
    Fresh,
    /// The store's blob has the bytes that came in.
    Same,
    /// The store has a blob of that name and size; its bytes were not looked at.
    Unchecked,
}

/// The sink of an import.
#[derive(Debug)]
pub struct Quarantine {
    layout: Layout,
    cas: Cas,
    dir: PathBuf,
    /// Manifests of bundles that are in the store already.
    known: BTreeSet<Digest>,
    /// Whether the bundle that comes in has one of those manifests.
    again: bool,
    /// When `incoming` was modified before this import; `None` until the quarantine was made.
    before: Option<SystemTime>,
    arrived: BTreeMap<Digest, Arrival>,
    at: At,
    adopted: bool,
    passed: Vec<Check>,
}

/// What happens to the blob that is coming in.
#[derive(Debug)]
enum At {
    Nothing,
    Skip(Digest),
    Compare(Comparison),
    Write(Incoming),
}

#[derive(Debug)]
struct Comparison {
    digest: Digest,
    file: fs::OpenFile,
    equal: u64,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Incoming {
    digest: Digest,
    file: fs::OpenFile,
    path: PathBuf,
}

impl Quarantine {
    /// A quarantine for one import. Nothing is written before verification asks for it.
    pub fn new(layout: &Layout, known: BTreeSet<Digest>) -> Self {
        Self {
            layout: layout.clone(),
            cas: Cas::new(layout.cas()),
            dir: layout.incoming().join(std::process::id().to_string()),
            known,
            again: false,
            before: None,
            arrived: BTreeMap::new(),
            at: At::Nothing,
            adopted: false,
            passed: Vec::new(),
        }
    }

    /// How each blob of the stream arrived.
    pub const fn arrived(&self) -> &BTreeMap<Digest, Arrival> {
        &self.arrived
    }

    /// The checks that passed.
    pub fn passed(&self) -> &[Check] {
        &self.passed
    }

    /// Where a fresh blob waits.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.hex())
    }

    /// Removes the quarantine; what the store took over has another name there.
    pub fn finish(mut self) -> Result<(), FsError> {
        self.adopted = true;
        if self.before.is_some() {
            fs::remove_tree(&self.dir)?;
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), FsError> {
        if self.before.is_none() {
            self.before = Some(fs::modified(&self.layout.incoming())?);
            fs::create_dir_all(&self.dir, 0o700)?;
        }
        Ok(())
    }

    fn incoming(&mut self, digest: Digest) -> Result<Incoming, FsError> {
        self.open()?;
        let path = self.path(&digest);
        let file = fs::create_beneath(self.layout.root(), &path, 0o600)?;
        Ok(Incoming { digest, file, path })
    }

    /// Goes on in quarantine with a blob whose first `equal` bytes are those of the damaged one in the store.
    fn divert(&mut self, from: Comparison, bytes: &[u8]) -> Result<Incoming, FsError> {
        let mut incoming = self.incoming(from.digest)?;
        let mut old = from.file;
        let path = incoming.path.clone();
        old.rewind().map_err(fs::context("read", &path))?;
        io::copy(&mut old.take(from.equal), &mut incoming.file)
            .and_then(|_copied| incoming.file.write_all(bytes))
            .map_err(fs::context("write", &path))?;
        Ok(incoming)
    }
}

impl Comparison {
    /// Whether the store's next bytes are `bytes`.
    fn matches(&mut self, bytes: &[u8]) -> bool {
        self.buffer.resize(bytes.len(), 0);
        let same = self.file.read_exact(&mut self.buffer).is_ok() && self.buffer == bytes;
        if same {
            self.equal += bytes.len() as u64;
        }
        same
    }
}

impl Sink for Quarantine {
    fn prepare(&mut self, manifest: &BundleManifest) -> Result<(), FsError> {
        self.again = self.known.contains(&Digest::of(&manifest.canonical()));
        let carried: BTreeSet<&Digest> = manifest.carried.iter().collect();
        let mut sizes: BTreeMap<Digest, u64> = BTreeMap::new();
        for file in &manifest.files {
            let digest = file.digests.sha256;
            if carried.contains(&digest) && self.cas.size(&digest) != Some(file.size) {
                sizes.insert(digest, file.size);
            }
        }
        if sizes.is_empty() {
            return Ok(());
        }
        let needed = sizes
            .values()
            .fold(SLACK, |sum, size| sum.saturating_add(*size));
        let available = fs::available(self.layout.root())?;
        if needed > available {
            return Err(fs::no_room(self.layout.root(), needed, available));
        }
        Ok(())
    }

    fn passed(&mut self, check: &Check) {
        self.passed.push(check.clone());
    }

    fn begin(&mut self, digest: &Digest, size: u64) -> Result<(), FsError> {
        let there = self.cas.size(digest) == Some(size);
        self.at = if there && self.again {
            At::Skip(*digest)
        } else if there {
            At::Compare(Comparison {
                digest: *digest,
                file: self.cas.open(digest)?,
                equal: 0,
                buffer: Vec::new(),
            })
        } else {
            At::Write(self.incoming(*digest)?)
        };
        Ok(())
    }

    fn chunk(&mut self, bytes: &[u8]) -> Result<(), FsError> {
        self.at = match std::mem::replace(&mut self.at, At::Nothing) {
            At::Compare(mut comparison) => {
                if comparison.matches(bytes) {
                    At::Compare(comparison)
                } else {
                    At::Write(self.divert(comparison, bytes)?)
                }
            }
            At::Write(mut incoming) => {
                incoming
                    .file
                    .write_all(bytes)
                    .map_err(fs::context("write", &incoming.path))?;
                At::Write(incoming)
            }
            idle @ (At::Nothing | At::Skip(_)) => idle,
        };
        Ok(())
    }

    fn end(&mut self) -> Result<(), FsError> {
        match std::mem::replace(&mut self.at, At::Nothing) {
            At::Nothing => {}
            At::Skip(digest) => {
                self.arrived.insert(digest, Arrival::Unchecked);
            }
            At::Compare(comparison) => {
                self.arrived.insert(comparison.digest, Arrival::Same);
            }
            At::Write(incoming) => {
                fs::set_file_mode(&incoming.file, &incoming.path, 0o444)?;
                fs::sync(&incoming.file, &incoming.path)?;
                self.arrived.insert(incoming.digest, Arrival::Fresh);
            }
        }
        Ok(())
    }
}

impl Drop for Quarantine {
    fn drop(&mut self) {
        let Some(before) = self.before.filter(|_| !self.adopted) else {
            return;
        };
        let incoming = self.layout.incoming();
        let cleared = fs::remove_tree(&self.dir);
        if cleared
            .and_then(|()| fs::set_modified(&incoming, before))
            .is_err()
        {
            // Nothing to do: the next import sweeps what is left.
        }
    }
}
