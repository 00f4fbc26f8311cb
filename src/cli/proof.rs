//! The proof beside a bundle, on the command line.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::base::fault::Fault;
use crate::base::limits::LIMITS;
use crate::fs;
use crate::trust::proof::ProofError;

/// What the name of a bundle's proof adds to its own.
const SUFFIX: &str = ".proof.json";

/// Where the proof of a bundle is, when it is not beside it.
#[derive(Debug, Clone, Args)]
pub struct ProofFile {
    /// The proof that came with the bundle [default: BUNDLE.proof.json, if it is there]
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
}

impl ProofFile {
    /// Reads it; `None` when none came with the bundle.
    pub fn load(&self, bundle: &Path) -> Result<Option<Vec<u8>>, Box<dyn Fault>> {
        match &self.proof {
            Some(file) => read(file).map(Some),
            None if bundle == Path::new("-") => Ok(None),
            None => read_beside(bundle),
        }
    }
}

/// The file of the proof beside a bundle.
pub fn beside(bundle: &Path) -> PathBuf {
    let mut name = bundle.as_os_str().to_owned();
    name.push(SUFFIX);
    PathBuf::from(name)
}

/// Reads the file beside; `None` when there is none.
pub fn read_beside(bundle: &Path) -> Result<Option<Vec<u8>>, Box<dyn Fault>> {
    let file = beside(bundle);
    if !fs::exists(&file) {
        return Ok(None);
    }
    read(&file).map(Some)
}

/// Too long a file is read far enough to be refused.
fn read(path: &Path) -> Result<Vec<u8>, Box<dyn Fault>> {
    if !fs::metadata(path)?.is_file() {
        let reason = "it is not in a regular file".to_owned();
        return Err(ProofError::Format { reason }.into());
    }
    let mut bytes = Vec::new();
    fs::open(path)?
        .take(LIMITS.proof + 1)
        .read_to_end(&mut bytes)
        .map_err(fs::context("read", path))?;
    Ok(bytes)
}

/// Removes the file beside a bundle that is made anew.
#[cfg(feature = "connected")]
pub fn remove_beside(bundle: &Path) -> Result<(), Box<dyn Fault>> {
    let file = beside(bundle);
    if fs::exists(&file) {
        fs::remove_file(&file)?;
    }
    Ok(())
}
