//! What a command is pointed at: a lock or a bundle, told apart by content and not by name.

use std::io::Read as _;
use std::path::Path;

use crate::base::limits::LIMITS;
use crate::base::package::{EcosystemId, Purl, ReleaseId};
use crate::base::text::quoted;
use crate::cli::UsageError;
use crate::cli::ui::Failure;
use crate::eco;
use crate::fs;
use crate::lock::{Lock, format};

/// Name of a bundle's first entry, which stands at the start of the file.
const BUNDLE_START: &[u8] = b"STAGE-BUNDLE\0";

/// Whether the file begins like a bundle.
pub fn is_bundle(path: &Path) -> Result<bool, Failure> {
    let mut start = Vec::new();
    fs::open(path)?
        .take(BUNDLE_START.len() as u64)
        .read_to_end(&mut start)
        .map_err(fs::context("read", path))?;
    Ok(start == BUNDLE_START)
}

/// Reads the lock at `path`.
pub fn lock(path: &Path) -> Result<Lock, Failure> {
    let bytes = fs::read(path, LIMITS.document)?;
    Ok(format::parse_named(&path.to_string_lossy(), &bytes)?)
}

/// Package URL of a release.
pub fn purl(ecosystem: &EcosystemId, release: &ReleaseId) -> Result<Purl, UsageError> {
    match eco::by_id(ecosystem) {
        Some(known) => Ok(known.purl(release)),
        None => Err(UsageError::new(format!(
            "this version of stage does not know the ecosystem {}",
            quoted(ecosystem.as_str())
        ))),
    }
}
