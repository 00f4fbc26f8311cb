//! The proof beside a bundle, on the command line.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::base::fault::Fault;
use crate::base::limits::LIMITS;
use crate::cli::beside::Beside;
#[cfg(feature = "connected")]
use crate::fs;
use crate::trust::proof::ProofError;

/// How a proof lies beside a bundle.
const PROOF: Beside = Beside {
    suffix: ".proof.json",
    limit: LIMITS.proof,
    irregular: || {
        let reason = "it is not in a regular file".to_owned();
        ProofError::Format { reason }.into()
    },
};

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
        PROOF.load(self.proof.as_deref(), bundle)
    }

    /// Where it is, if it is there.
    pub fn path(&self, bundle: &Path) -> PathBuf {
        self.proof.clone().unwrap_or_else(|| beside(bundle))
    }
}

/// The file of the proof beside a bundle.
pub fn beside(bundle: &Path) -> PathBuf {
    PROOF.path(bundle)
}

/// Reads the file beside; `None` when there is none.
pub fn read_beside(bundle: &Path) -> Result<Option<Vec<u8>>, Box<dyn Fault>> {
    PROOF.read_beside(bundle)
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
