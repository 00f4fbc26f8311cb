//! A file on its way into the store: hashed while it is written, confirmed, and only then given its name.

use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use crate::base::digest::{Hasher, UpstreamChecksum};
use crate::fs::{self, FsError, OpenFile};
use crate::store::{RESUME_FROM, Store, StoreError, Stored};

/// A file on its way into the store. Dropped without [`Incoming::finish`] it is removed, except a large partial one.
#[derive(Debug)]
pub struct Incoming<'a> {
    store: &'a Store,
    file: OpenFile,
    path: PathBuf,
    hasher: Hasher,
    size: u64,
    limit: u64,
    expected: Option<UpstreamChecksum>,
    /// Whether it has the name under which a later run finds it.
    pub(super) partial: bool,
    done: bool,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(
        store: &'a Store,
        file: OpenFile,
        path: PathBuf,
        limit: u64,
        expected: Option<&UpstreamChecksum>,
    ) -> Self {
        Self {
            store,
            file,
            path,
            hasher: Hasher::default(),
            size: 0,
            limit,
            expected: expected.cloned(),
            partial: false,
            done: false,
        }
    }

    /// Hashes what is there already; too little or too much of it is thrown away.
    pub(super) fn take_over(&mut self) -> Result<(), StoreError> {
        let size = fs::size(&self.path)?;
        if size < RESUME_FROM || size > self.limit {
            return self.restart();
        }
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = self
                .file
                .read(&mut buffer)
                .map_err(fs::context("read", &self.path))?;
            if read == 0 {
                return Ok(());
            }
            self.hasher.update(buffer.get(..read).unwrap_or_default());
            self.size += read as u64;
        }
    }

    /// Bytes so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The validator kept with [`Incoming::set_validator`] by the run that left these bytes.
    pub fn validator(&self) -> Result<Option<String>, FsError> {
        if self.size == 0 {
            return Ok(None);
        }
        let bytes = fs::read_optional(&validator_path(&self.path), 4096)?;
        Ok(bytes.and_then(|b| String::from_utf8(b).ok()))
    }

    /// Keeps the validator of the answer that these bytes come from, for a run that resumes.
    pub fn set_validator(&self, validator: Option<&str>) -> Result<(), FsError> {
        let path = validator_path(&self.path);
        match validator {
            Some(text) if self.partial => fs::write_unsynced(&path, text.as_bytes(), 0o600),
            _ if self.partial => fs::remove_file(&path),
            _ => Ok(()),
        }
    }

    /// Throws the bytes so far away.
    pub fn restart(&mut self) -> Result<(), StoreError> {
        self.file
            .set_len(0)
            .map_err(fs::context("truncate", &self.path))?;
        self.hasher = Hasher::default();
        self.size = 0;
        Ok(())
    }

    /// Takes in everything that `reader` gives; `seen` is told the length of each piece.
    pub fn read_from(
        &mut self,
        mut reader: impl Read,
        mut seen: impl FnMut(u64),
    ) -> Result<(), StoreError> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = match reader.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(StoreError::Read { source }),
            };
            if read == 0 {
                return Ok(());
            }
            self.push(buffer.get(..read).unwrap_or_default())?;
            seen(read as u64);
        }
    }

    /// Takes in more bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.size += bytes.len() as u64;
        if self.size > self.limit {
            // Nothing of it can be right.
            self.partial = false;
            return Err(StoreError::TooLarge { limit: self.limit });
        }
        self.hasher.update(bytes);
        self.file
            .write_all(bytes)
            .map_err(fs::context("write", &self.path))?;
        Ok(())
    }

    /// Confirms the checksum and gives the bytes their name. `origins`: each `host:port` they came from.
    pub fn finish(mut self, origins: &[String]) -> Result<Stored, StoreError> {
        let (digests, size) = std::mem::take(&mut self.hasher).finish();
        if let Some(expected) = self.expected.take()
            && !expected.confirms(&digests)
        {
            // Resuming it would fail for ever.
            self.partial = false;
            return Err(StoreError::Mismatch {
                expected,
                found: Box::new(digests),
                size,
            });
        }
        let known = self.store.find(&UpstreamChecksum::Sha256(digests.sha256))?;
        let mut origins: Vec<String> = origins.to_vec();
        origins.extend(known.into_iter().flat_map(|stored| stored.origins));
        origins.sort();
        origins.dedup();
        let stored = Stored {
            path: self.store.blob_path(&digests.sha256),
            digests,
            size,
            origins,
        };
        fs::create_dir_all(fs::parent(&stored.path), 0o755)?;
        fs::rename(&self.path, &stored.path)?;
        self.done = true;
        fs::set_file_mode(&self.file, &stored.path, 0o444)?;
        if self.partial {
            fs::remove_file(&validator_path(&self.path))?;
        }
        self.store.record(&stored)?;
        Ok(stored)
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        let worth_keeping = self.partial && self.size >= RESUME_FROM;
        if self.done || worth_keeping {
            return;
        }
        for path in [validator_path(&self.path), self.path.clone()] {
            if fs::remove_file(&path).is_err() {
                // The next run sweeps it.
            }
        }
    }
}

/// Beside a partial file: the validator (`ETag` or `Last-Modified`) of the answer it came from.
pub(super) fn validator_path(part: &Path) -> PathBuf {
    part.with_extension("validator")
}
