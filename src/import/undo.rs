//! Taking back what a change of the repository has made, when it comes to nothing.
//!
//! Until its line is in the journal a change has only *added* names: blobs and their folders in the store, documents of
//! a bundle, a tree under `gen/`, the state that waits beside the old one. Each is noted here, and all are removed again
//! when the change fails, so that the repository has exactly the files it had. From the moment the line is durable the
//! change has happened, and nothing is taken back any more: what is left to do is done by the next writer.
//!
//! Two things are not taken back. A damaged blob that was replaced by a whole one stays replaced. And where the journal
//! cannot be cut back to its length of before (a disk that fails even then), everything stays in place: the next writer
//! finds either no such line, and removes what belongs to it, or the whole line and with it all that it names.
//!
//! A killed process takes nothing back. What it leaves is never reachable: no state names it. The next writer removes
//! quarantines, trees, documents and drafts; blobs that nothing names wait for `stage repo gc`. Such a blob has its
//! digest as its name, was durable and whole before it was linked, and is hashed again before a delta relies on it.

use std::path::{Path, PathBuf};

use crate::fs::{self, FsError};

/// Names that a change has added so far. Dropping it takes them back, unless [`Undo::keep`] came before.
#[derive(Debug, Default)]
pub struct Undo {
    added: Vec<Added>,
}

#[derive(Debug)]
enum Added {
    File(PathBuf),
    Tree(PathBuf),
    /// Removed when nothing is in it.
    Folder(PathBuf),
}

impl Undo {
    /// Notes a file that was not there before; it may be noted before it is made.
    pub fn file(&mut self, path: &Path) {
        self.added.push(Added::File(path.to_owned()));
    }

    /// Notes a folder that was not there before and belongs to this change with everything in it.
    pub fn tree(&mut self, path: &Path) {
        self.added.push(Added::Tree(path.to_owned()));
    }

    /// Notes a shared folder that was not there before.
    pub fn folder(&mut self, path: &Path) {
        self.added.push(Added::Folder(path.to_owned()));
    }

    /// The change has happened.
    pub fn keep(&mut self) {
        self.added.clear();
    }

    /// Removes what was added, the latest first; goes on after a failure and reports the first one.
    fn take_back(&mut self) -> Result<(), FsError> {
        let mut result = Ok(());
        for added in self.added.drain(..).rev() {
            let removed = match &added {
                Added::File(path) => fs::remove_file(path),
                Added::Tree(path) => fs::remove_tree(path),
                Added::Folder(path) => fs::remove_empty_dir(path),
            };
            if result.is_ok() {
                result = removed;
            }
        }
        result
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if self.take_back().is_err() {
            // The failure that led here is what is reported. The next writer sweeps what is left.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Undo;
    use crate::fs;

    #[test]
    fn what_was_added_goes_and_what_was_there_stays() {
        let dir = std::env::temp_dir().join(format!("stage-undo-{}", std::process::id()));
        fs::remove_tree(&dir).unwrap();
        let (shared, tree) = (dir.join("shared"), dir.join("tree"));
        for folder in [&shared, &tree] {
            fs::create_dir_all(folder, 0o755).unwrap();
        }
        for file in [shared.join("old"), shared.join("new"), tree.join("a")] {
            fs::write_atomic(&file, b"x", 0o444).unwrap();
        }
        let noted = || {
            let mut undo = Undo::default();
            undo.folder(&shared);
            undo.file(&shared.join("never made"));
            undo.file(&shared.join("new"));
            undo.tree(&tree);
            undo
        };
        noted().keep();
        assert!(tree.join("a").exists() && shared.join("new").exists());
        drop(noted());
        assert!(!tree.exists() && !shared.join("new").exists());
        assert!(shared.join("old").exists(), "its folder is not empty");
        fs::remove_tree(&dir).unwrap();
    }
}
