//! Evidence on the command line: keys of registries.

use std::path::Path;

use crate::cli::project::Project;
use crate::cli::ui::Failure;
use crate::eco::registry_keys::{self, RegistryKeys};
use crate::fs;
use crate::manifest;

/// The keys that the npm registry signs with: those of the manifest, else those that travel with the program.
#[cfg(feature = "connected")]
pub(crate) fn registry_keys(project: &Project) -> Result<RegistryKeys, Failure> {
    match &project.manifest.npm_keys {
        None => Ok(RegistryKeys::npm()),
        Some(file) => load(&manifest::beside(&project.manifest_path, file)),
    }
}

/// Reads a file of keys.
pub(crate) fn load(path: &Path) -> Result<RegistryKeys, Failure> {
    let bytes = fs::read(path, registry_keys::LIMIT)?;
    Ok(RegistryKeys::parse(&bytes)?)
}
