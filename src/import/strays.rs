//! What lies in a repository and belongs to nothing. What a killed process may leave is no stray: the next writer sweeps
//! it. The store and the published trees are looked through where their files are compared.

use std::path::{Path, PathBuf};

use crate::base::digest::Digest;
use crate::fs::{self, FsError};
use crate::import::layout::Layout;
use crate::import::state::State;

/// What a bundle's folder holds.
const DOCUMENTS: [&str; 2] = ["statement.json", "manifest.json"];

/// Whether stage puts something of a name into a folder.
type IsOurs<'a> = dyn Fn(&str) -> bool + 'a;

/// Every path that stage puts nothing at, sorted.
pub fn find(layout: &Layout, state: &State) -> Result<Vec<PathBuf>, FsError> {
    let newest = state.generation.saturating_add(1);
    let is_generation = |name: &str| {
        let number: Option<u64> = name.strip_suffix(".tmp").unwrap_or(name).parse().ok();
        number.is_some_and(|n| n <= newest)
    };
    let is_list = |name: &str| name.strip_suffix(".sha256").is_some_and(is_generation);
    let is_bundle = |name: &str| Digest::from_hex(name).is_ok();
    let mut found = Vec::new();
    let places: [(PathBuf, &IsOurs<'_>); 6] = [
        (layout.root().to_owned(), &|name| {
            // A repository may be the root of a file system of its own.
            layout.is_known(name) || name == "lost+found"
        }),
        (fs::parent(&layout.cas()).to_owned(), &|name| {
            name == "sha256"
        }),
        (layout.generations(), &is_generation),
        (layout.state_dir(), &|name| layout.is_state(name)),
        (layout.bundles(), &is_bundle),
        (layout.trees(), &is_list),
    ];
    for (folder, is_ours) in places {
        strays(&folder, is_ours, &mut found)?;
    }
    for id in state.bundles.keys() {
        strays(
            &layout.bundle(id),
            &|name| DOCUMENTS.contains(&name),
            &mut found,
        )?;
    }
    found.sort();
    Ok(found)
}

fn strays(folder: &Path, is_ours: &IsOurs<'_>, found: &mut Vec<PathBuf>) -> Result<(), FsError> {
    if !fs::exists(folder) {
        return Ok(());
    }
    for path in fs::list(folder)? {
        let name = path.file_name().and_then(|name| name.to_str());
        let is_ours = name.is_some_and(|name| is_ours(name) || fs::is_draft(name));
        if !is_ours {
            found.push(path);
        }
    }
    Ok(())
}
