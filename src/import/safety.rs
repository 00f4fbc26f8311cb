//! Whether a repository is a safe place to write to: its parts belong to the importing user, nobody else may write
//! there, and no part is a link. Everything else import does relies on this.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::fs::{self, FsError};
use crate::import::ImportError;
use crate::import::layout::Layout;

/// The administrator.
const ROOT_USER: u32 = 0;
/// Write permission of group and others.
const OTHERS_WRITE: u32 = 0o022;
/// Only an entry's owner may rename or remove it.
const STICKY: u32 = 0o1000;

/// Refuses to run as the administrator unless that was asked for.
pub fn check_user(allow_root: bool) -> Result<(), ImportError> {
    if fs::effective_user() == ROOT_USER && !allow_root {
        return Err(ImportError::AsRoot);
    }
    Ok(())
}

/// Checks the repository and everything above it.
pub fn check(layout: &Layout) -> Result<(), ImportError> {
    let user = fs::effective_user();
    check_parents(layout.root(), user)?;
    for (directory, _mode) in layout.directories() {
        check_part(&directory, user)?;
    }
    for directory in layout.later_directories() {
        if fs::exists(&directory) {
            check_part(&directory, user)?;
        }
    }
    check_current(layout)
}

/// Checks where a repository is about to be made.
pub fn check_place(root: &Path) -> Result<(), ImportError> {
    let user = fs::effective_user();
    check_parents(root, user)?;
    if fs::exists(root) {
        check_part(root, user)?;
    }
    Ok(())
}

/// A directory of this user's, not a link, writable by nobody else.
fn check_part(path: &Path, user: u32) -> Result<(), ImportError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.is_not_found() => return Err(refuse(path, "does not exist")),
        Err(error) => return Err(error.into()),
    };
    if found.file_type().is_symlink() {
        return Err(refuse(path, "is a symbolic link"));
    }
    if !found.is_dir() {
        return Err(refuse(path, "is not a directory"));
    }
    if found.uid() != user {
        return Err(refuse(
            path,
            format!("belongs to user {}, this is user {user}", found.uid()),
        ));
    }
    if found.mode() & OTHERS_WRITE != 0 {
        let mode = found.mode() & 0o7777;
        return Err(refuse(
            path,
            format!("has mode {mode:04o}: others may write to it"),
        ));
    }
    check_access_list(path)
}

/// No access control list that says more than the mode bits.
fn check_access_list(path: &Path) -> Result<(), ImportError> {
    if let Some(list) = fs::attribute(path, "system.posix_acl_access")?
        && has_named_entry(&list)
    {
        return Err(refuse(
            path,
            "has an access control list with extra entries",
        ));
    }
    if fs::attribute(path, "system.posix_acl_default")?.is_some() {
        return Err(refuse(path, "has a default access control list"));
    }
    Ok(())
}

/// Whether a list names a user or group (Linux's `struct posix_acl_xattr_entry`: 4 bytes of version, then 8 bytes per
/// entry, the tag first). A list of another form counts as one that does.
fn has_named_entry(list: &[u8]) -> bool {
    const VERSION: [u8; 4] = [2, 0, 0, 0];
    const USER: u16 = 0x02;
    const GROUP: u16 = 0x08;
    let Some(entries) = list.strip_prefix(&VERSION) else {
        return true;
    };
    let (entries, rest) = entries.as_chunks::<8>();
    let named = |entry: &[u8; 8]| {
        let [low, high, ..] = *entry;
        matches!(u16::from_le_bytes([low, high]), USER | GROUP)
    };
    !rest.is_empty() || entries.iter().any(named)
}

/// Every directory above `root`, and every link on the way there, belongs to this user or the administrator and is
/// not writable by others unless sticky.
fn check_parents(root: &Path, user: u32) -> Result<(), ImportError> {
    let above = fs::parent(root);
    let mut links: Vec<PathBuf> = above.ancestors().map(Path::to_owned).collect();
    links.retain(|path| !path.as_os_str().is_empty());
    for path in links {
        let found = examine(&path)?;
        if found.file_type().is_symlink()
            && !matches!(found.uid(), ROOT_USER)
            && found.uid() != user
        {
            return Err(refuse(&path, "is a link of another user"));
        }
    }
    for path in fs::canonicalize(above)?.ancestors() {
        let found = examine(path)?;
        if found.uid() != ROOT_USER && found.uid() != user {
            return Err(refuse(path, format!("belongs to user {}", found.uid())));
        }
        if found.mode() & OTHERS_WRITE != 0 && found.mode() & STICKY == 0 {
            return Err(refuse(path, "is writable by others and not sticky"));
        }
    }
    Ok(())
}

/// `current` is absent or a link to `gen/<number>`.
fn check_current(layout: &Layout) -> Result<(), ImportError> {
    let path = layout.current();
    if fs::exists(&path) {
        published(layout)?;
    }
    Ok(())
}

/// The number of the published generation; `None` when there is none yet.
pub fn published(layout: &Layout) -> Result<Option<u64>, ImportError> {
    let path = layout.current();
    match fs::symlink_metadata(&path) {
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
        Ok(found) if !found.file_type().is_symlink() => {
            return Err(refuse(&path, "is not a symbolic link"));
        }
        Ok(_link) => {}
    }
    let target = fs::read_link(&path)?;
    let number = target.to_str().and_then(|t| t.strip_prefix("gen/"));
    match number.and_then(|n| n.parse().ok().filter(|p: &u64| p.to_string() == n)) {
        Some(number) => Ok(Some(number)),
        None => Err(refuse(&path, "does not point to a generation")),
    }
}

fn examine(path: &Path) -> Result<fs::Metadata, FsError> {
    fs::symlink_metadata(path)
}

fn refuse(path: &Path, reason: impl Into<String>) -> ImportError {
    ImportError::UnsafeTarget {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::has_named_entry;

    #[test]
    fn only_lists_that_equal_the_mode_bits_pass() {
        let entry = |tag: u16| [&tag.to_le_bytes()[..], &[7, 0, 0, 0, 0, 0]].concat();
        let list = |tags: &[u16]| {
            let entries: Vec<u8> = tags.iter().flat_map(|t| entry(*t)).collect();
            [&[2, 0, 0, 0][..], &entries].concat()
        };
        assert!(!has_named_entry(&list(&[0x01, 0x04, 0x20])));
        assert!(has_named_entry(&list(&[0x01, 0x02, 0x04, 0x10, 0x20])));
        assert!(has_named_entry(&list(&[0x01, 0x04, 0x08, 0x10, 0x20])));
        assert!(has_named_entry(&[1, 0, 0, 0]));
        assert!(has_named_entry(&[2, 0, 0, 0, 1]));
    }
}
