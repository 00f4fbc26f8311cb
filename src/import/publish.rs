//! Writing a generation and making it the published one.
//!
//! A tree is built under `gen/<n>.tmp`, every file and directory is made durable bottom-up, then it gets its name. It is
//! visible only when `current` is renamed over: one system call, so readers see the old tree or the new one.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::base::digest::{Digest, Hashing};
use crate::eco::RepoContent;
use crate::fs;
use crate::import::ImportError;
use crate::import::cas::Cas;
use crate::import::generation::Tree;
use crate::import::layout::Layout;
use crate::import::listing;
use crate::import::safety;
use crate::import::state::State;
use crate::import::undo::Undo;

/// Mode of published files.
const FILE_MODE: u32 = 0o444;
/// Mode of published directories.
const DIRECTORY_MODE: u32 = 0o755;

/// Writes generation `number` and the list of its files. Nothing shows it yet. Returns the digest of the list.
pub fn build(
    layout: &Layout,
    number: u64,
    tree: &Tree,
    undo: &mut Undo,
) -> Result<Digest, ImportError> {
    let list = keep_list(layout, number, tree, undo)?;
    let temporary = layout.generations().join(format!("{number}.tmp"));
    fs::remove_tree(&temporary)?;
    undo.tree(&temporary);
    undo.tree(&layout.generation(number));
    let mut writer = Writer {
        root: layout.root().to_owned(),
        cas: Cas::new(layout.cas()),
        undo,
        directories: BTreeSet::new(),
        touched: BTreeSet::new(),
    };
    writer.directory(&temporary)?;
    for (path, content) in tree {
        writer.file(&temporary.join(path), content)?;
    }
    for directory in writer.touched.iter().chain(writer.directories.iter().rev()) {
        fs::sync_dir(directory)?;
    }
    fs::rename(&temporary, &layout.generation(number))?;
    fs::sync_dir(&layout.generations())?;
    Ok(list)
}

/// Writes the list of a generation's files, by which an audit finds one that has changed.
fn keep_list(
    layout: &Layout,
    number: u64,
    tree: &Tree,
    undo: &mut Undo,
) -> Result<Digest, ImportError> {
    let folder = layout.trees();
    if !fs::exists(&folder) {
        undo.folder(&folder);
        fs::create_dir_all(&folder, DIRECTORY_MODE)?;
        fs::set_mode(&folder, DIRECTORY_MODE)?;
        fs::sync_dir(&layout.state_dir())?;
    }
    let list = listing::write(tree);
    let path = layout.tree(number);
    undo.file(&path);
    fs::write_atomic(&path, &list, FILE_MODE)?;
    Ok(Digest::of(&list))
}

/// Makes generation `number` the published one.
pub fn switch(layout: &Layout, number: u64) -> Result<(), ImportError> {
    let temporary = layout.root().join("current.tmp");
    fs::remove_file(&temporary)?;
    fs::symlink(&PathBuf::from(format!("gen/{number}")), &temporary)?;
    fs::rename(&temporary, &layout.current())?;
    fs::sync_dir(layout.root())?;
    Ok(())
}

/// Removes what a killed process left: quarantines, drafts, half-written generations, and whole ones and documents of
/// bundles that `state` does not record.
pub fn sweep(layout: &Layout, state: &State) -> Result<(), ImportError> {
    for path in fs::list(&layout.incoming())? {
        remove(&path)?;
    }
    for path in fs::list(&layout.generations())? {
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        let recorded = name
            .parse()
            .is_ok_and(|number: u64| state.generations.contains_key(&number));
        if !recorded {
            remove(&path)?;
        }
    }
    for path in fs::list(&layout.bundles())? {
        let name = path.file_name().and_then(|n| n.to_str());
        let recorded = name.and_then(|n| Digest::from_hex(n).ok());
        if !recorded.is_some_and(|id| state.bundles.contains_key(&id)) {
            remove(&path)?;
        }
    }
    if fs::exists(&layout.trees()) {
        for path in fs::list(&layout.trees())? {
            let number = path.file_stem().and_then(|n| n.to_str()?.parse().ok());
            if !number.is_some_and(|n: u64| state.generations.contains_key(&n)) {
                remove(&path)?;
            }
        }
    }
    for folder in [layout.state_dir(), layout.receipts()] {
        for path in fs::list(&folder)? {
            let name = path.file_name().and_then(|n| n.to_str());
            if name.is_some_and(fs::is_draft) {
                remove(&path)?;
            }
        }
    }
    let link = layout.root().join("current.tmp");
    if fs::exists(&link) {
        fs::remove_file(&link)?;
    }
    Ok(())
}

/// Publishes what the state already records, if a killed import did not come to it. Whether there was anything to do.
pub fn complete(layout: &Layout, generation: u64) -> Result<bool, ImportError> {
    if generation == 0 || safety::published(layout)? == Some(generation) {
        return Ok(false);
    }
    switch(layout, generation)?;
    Ok(true)
}

fn remove(path: &Path) -> Result<(), fs::FsError> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_tree(path)
    } else {
        fs::remove_file(path)
    }
}

struct Writer<'u> {
    root: PathBuf,
    cas: Cas,
    undo: &'u mut Undo,
    directories: BTreeSet<PathBuf>,
    touched: BTreeSet<PathBuf>,
}

impl Writer<'_> {
    /// Makes `path` and what is missing above it, with published modes whatever the umask.
    fn directory(&mut self, path: &Path) -> Result<(), ImportError> {
        if self.directories.contains(path) {
            return Ok(());
        }
        if !fs::exists(path) {
            self.directory(fs::parent(path))?;
            fs::create_dir_all(path, DIRECTORY_MODE)?;
            fs::set_mode(path, DIRECTORY_MODE)?;
        }
        self.directories.insert(path.to_owned());
        Ok(())
    }

    fn file(&mut self, path: &Path, content: &RepoContent) -> Result<(), ImportError> {
        self.directory(fs::parent(path))?;
        match content {
            RepoContent::Blob(digest) => {
                if self.cas.size(digest).is_none() {
                    return Err(ImportError::Blob { digest: *digest });
                }
                fs::hard_link(&self.cas.path(digest), path)?;
            }
            RepoContent::Bytes(bytes) => {
                let mut file = fs::create_beneath(&self.root, path, 0o600)?;
                file.write_all(bytes).map_err(fs::context("write", path))?;
                fs::set_file_mode(&file, path, FILE_MODE)?;
                fs::sync(&file, path)?;
            }
            RepoContent::Joined { whole, parts } => self.join(path, whole, parts)?,
        }
        Ok(())
    }

    /// Joins parts once; the result is a blob of its own from then on.
    fn join(&mut self, path: &Path, whole: &Digest, parts: &[Digest]) -> Result<(), ImportError> {
        if self.cas.rehash(whole) {
            fs::hard_link(&self.cas.path(whole), path)?;
            return Ok(());
        }
        let mut joined = Hashing::new(fs::create_beneath(&self.root, path, 0o600)?);
        for part in parts {
            let mut bytes = self.cas.open(part)?;
            io::copy(&mut bytes, &mut joined).map_err(fs::context("write", path))?;
        }
        let (file, digests, _size) = joined.finish();
        if digests.sha256 != *whole {
            return Err(ImportError::Blob { digest: *whole });
        }
        fs::set_file_mode(&file, path, FILE_MODE)?;
        fs::sync(&file, path)?;
        self.cas.adopt(path, whole, &mut self.touched, self.undo)?;
        Ok(())
    }
}
