//! The files of one project: manifest, lock, records. Commands that work on them share this.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::base::limits::LIMITS;
use crate::base::package::EcosystemId;
use crate::base::text::visible;
use crate::cli::clients::apt;
use crate::cli::subject::{no_lock, read_records};
use crate::cli::ui::Failure;
use crate::cli::{Context, UsageError};
use crate::eco::install::{Address, HOST_SOURCES, Inputs, Install};
use crate::eco::{self, NumberedInstall};
use crate::fs;
use crate::lock::{Lock, Records, format};
use crate::manifest::{self, Manifest};

/// A manifest and where its lock and records are.
#[derive(Debug)]
pub struct Project {
    /// The manifest.
    pub manifest: Manifest,
    /// What it asks for.
    pub installs: Vec<NumberedInstall>,
    /// Its path as given.
    pub manifest_path: PathBuf,
    /// `stage.lock` beside it.
    pub lock_path: PathBuf,
    /// `stage.records` beside it.
    pub records_path: PathBuf,
}

/// The lock's path for a manifest.
pub fn lock_path(manifest: &Path) -> PathBuf {
    manifest::lock_path(manifest)
}

impl Project {
    /// Reads the manifest at `path`.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let manifest = Manifest::load(path, &eco::sections())?;
        let installs = eco::installs(&manifest)?;
        let lock_path = lock_path(path);
        let records_path = manifest::records_path(&lock_path);
        Ok(Self {
            manifest,
            installs,
            manifest_path: path.to_owned(),
            lock_path,
            records_path,
        })
    }

    /// Every address that the installs need.
    pub fn addresses(&self) -> BTreeSet<Address> {
        let installs = self.installs.iter();
        installs
            .flat_map(|(_, _, install)| install.addresses())
            .collect()
    }

    /// The files that an install names, read; and this host's apt sources, if it asks for them.
    pub fn inputs(&self, ctx: &Context, install: &dyn Install) -> Result<Inputs, Failure> {
        let mut inputs = Inputs::new();
        loop {
            let named = install.inputs(&inputs)?;
            let missing: Vec<_> = named
                .into_iter()
                .filter(|file| !inputs.contains_key(&file.role))
                .collect();
            if missing.is_empty() {
                return Ok(inputs);
            }
            for file in missing {
                if file.role == HOST_SOURCES {
                    let sources = apt::sources(ctx)?;
                    apt::name_skipped(ctx, &sources);
                    inputs.insert(file.role, sources);
                    continue;
                }
                let path = manifest::beside(&self.manifest_path, &file.path);
                let bytes = fs::read(&path, file.limit).map_err(|error| {
                    let why = std::error::Error::source(&error).map(ToString::to_string);
                    let why = visible(&why.unwrap_or_default());
                    UsageError::new(format!(
                        "{error}, which the manifest names as `{}`: {why}",
                        file.role
                    ))
                })?;
                inputs.insert(file.role, bytes);
            }
        }
    }

    /// Reads the lock beside the manifest at `path`, without the manifest.
    pub fn load_lock_only(path: &Path) -> Result<Lock, Failure> {
        let path = lock_path(path);
        match fs::read_optional(&path, LIMITS.document)? {
            Some(bytes) => Ok(format::parse_named(&path.to_string_lossy(), &bytes)?),
            None => Err(no_lock(&path).into()),
        }
    }

    /// The lock and its records, which must be there.
    pub fn lock(&self) -> Result<(Lock, Vec<u8>, Records), Failure> {
        let Some(bytes) = fs::read_optional(&self.lock_path, LIMITS.document)? else {
            return Err(no_lock(&self.lock_path).into());
        };
        let lock = format::parse_named(&self.lock_path.to_string_lossy(), &bytes)?;
        let records = read_records(&lock, &self.records_path)?;
        Ok((lock, bytes, records))
    }

    /// The lock that is being resolved again, if there is one, with those of its records that are whole.
    pub fn previous(&self) -> Result<Option<(Lock, Records)>, Failure> {
        match fs::read_optional(&self.lock_path, LIMITS.document)? {
            None => Ok(None),
            Some(bytes) => {
                let lock = format::parse_named(&self.lock_path.to_string_lossy(), &bytes)?;
                let mut records = read_records(&lock, &self.records_path)?;
                records.retain(|id, bytes| {
                    lock.records.get(id) == Some(&crate::base::digest::Digest::of(bytes))
                });
                Ok(Some((lock, records)))
            }
        }
    }

    /// Whether the records on disk are exactly these.
    pub fn records_are(&self, records: &Records) -> Result<bool, Failure> {
        for (id, bytes) in records {
            let path = self.records_path.join(format!("{id}.json"));
            if fs::read_optional(&path, LIMITS.document)?.as_ref() != Some(bytes) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes records, then the lock: a lock never names records that are not there.
    pub fn write(&self, lock: &[u8], records: &Records) -> Result<(), Failure> {
        fs::create_dir_all(&self.records_path, 0o755)?;
        for (id, bytes) in records {
            fs::write_atomic(&self.records_path.join(format!("{id}.json")), bytes, 0o644)?;
        }
        fs::write_atomic(&self.lock_path, lock, 0o644)?;
        for path in fs::list(&self.records_path)? {
            let stem = path
                .file_stem()
                .and_then(|s| s.to_str())
                .and_then(|s| s.parse::<EcosystemId>().ok());
            if stem.is_some_and(|id| !records.contains_key(&id)) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}
