//! Opening files below a folder and nowhere else: no link is followed on the way, no `..`, no magic link of `/proc`.
//!
//! The kernel resolves such a path in one step (`openat2` with `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS` and
//! `RESOLVE_NO_MAGICLINKS`, Linux 5.6). Where it cannot (an older kernel, a filter that knows no such call), each segment
//! is opened from the one before with `O_NOFOLLOW`, which refuses the same.

#![expect(
    clippy::disallowed_types,
    reason = "part of the module where std::fs is used"
)]

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::base::limits::Limited;
use crate::fs::{FsError, context};

/// Opens a regular file below `directory` for reading. `relative` has segments that are neither empty nor `.` nor `..`;
/// anything else, a path that leads over a link, and anything that is not a regular file, is "not found".
pub fn open_beneath(directory: &Path, relative: &str) -> Result<File, FsError> {
    let target = directory.join(relative);
    // A pipe would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let opened = resolve(directory, relative, flags, Mode::empty());
    let file = opened.map_err(|errno| refused("open", &target, errno))?;
    let found = file.metadata().map_err(context("examine", &target))?;
    if found.is_file() {
        Ok(file)
    } else {
        Err(context("open", &target)(io::ErrorKind::NotFound.into()))
    }
}

/// As [`open_beneath`], for a whole path that lies below `root`.
pub fn open_inside(root: &Path, path: &Path) -> Result<File, FsError> {
    open_beneath(root, relative(root, path)?)
}

/// Reads a whole file of at most `limit` bytes at `path`, which lies below `root`; `None` when there is none.
pub fn read_beneath(root: &Path, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FsError> {
    let file = match open_inside(root, path) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    Limited::new(file, limit)
        .read_to_end(&mut bytes)
        .map_err(context("read", path))?;
    Ok(Some(bytes))
}

/// Creates a new file at `path`, which lies below `root`; an existing one is an error.
pub fn create_beneath(root: &Path, path: &Path, mode: u32) -> Result<File, FsError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    let opened = resolve(root, relative(root, path)?, flags, mode.into());
    opened.map_err(|errno| refused("create", path, errno))
}

/// Opens a file at `path`, which lies below `root`, for appending; created with `mode` when missing.
pub fn append_beneath(root: &Path, path: &Path, mode: u32) -> Result<File, FsError> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
    let opened = resolve(root, relative(root, path)?, flags, mode.into());
    opened.map_err(|errno| refused("open", path, errno))
}

fn relative<'p>(root: &Path, path: &'p Path) -> Result<&'p str, FsError> {
    let inside = path.strip_prefix(root).ok().and_then(Path::to_str);
    inside.ok_or_else(|| context("open", path)(io::ErrorKind::InvalidInput.into()))
}

fn refused(operation: &'static str, path: &Path, errno: Errno) -> FsError {
    let source = match errno {
        // Over a link, out of the folder, or through a file.
        Errno::LOOP | Errno::XDEV | Errno::NOTDIR => io::ErrorKind::NotFound.into(),
        other => other.into(),
    };
    context(operation, path)(source)
}

fn resolve(directory: &Path, relative: &str, flags: OFlags, mode: Mode) -> Result<File, Errno> {
    if relative.split('/').any(|s| matches!(s, "" | "." | "..")) {
        return Err(Errno::XDEV);
    }
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let at = rustix::fs::open(directory, folder, Mode::empty())?;
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let rules = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(&at, relative, flags, mode, rules) {
        Err(Errno::NOSYS | Errno::PERM) => step_by_step(at, relative, flags, mode),
        opened => opened.map(File::from),
    }
}

/// The same with one call per segment.
fn step_by_step(
    mut at: rustix::fd::OwnedFd,
    relative: &str,
    flags: OFlags,
    mode: Mode,
) -> Result<File, Errno> {
    let (folders, name) = relative.rsplit_once('/').unwrap_or(("", relative));
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    for segment in folders.split('/').filter(|s| !s.is_empty()) {
        at = rustix::fs::openat(&at, segment, folder, Mode::empty())?;
    }
    rustix::fs::openat(&at, name, flags, mode).map(File::from)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::path::Path;

    use rustix::fs::{Mode, OFlags};

    use super::{append_beneath, create_beneath, open_beneath, read_beneath, step_by_step};
    use crate::fs;

    #[test]
    fn nothing_outside_is_reached_by_either_way() {
        let dir = std::env::temp_dir().join(format!("stage-beneath-{}", std::process::id()));
        fs::remove_tree(&dir).unwrap();
        let root = dir.join("root");
        fs::create_dir_all(&root.join("a"), 0o755).unwrap();
        fs::write_atomic(&dir.join("secret"), b"secret", 0o644).unwrap();
        fs::write_atomic(&root.join("a/x"), b"x", 0o644).unwrap();
        fs::symlink(Path::new("../../secret"), &root.join("a/link")).unwrap();
        fs::symlink(Path::new(".."), &root.join("up")).unwrap();
        fs::symlink(Path::new("a"), &root.join("inside")).unwrap();
        let mut text = String::new();
        let mut file = open_beneath(&root, "a/x").unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        for outside in [
            "a/link",
            "up/secret",
            "inside/x",
            "../secret",
            "a/../../secret",
            "a",
            "a/x/y",
            "",
            "/",
            "./a/x",
            "a//x",
        ] {
            let error = open_beneath(&root, outside).unwrap_err();
            assert!(error.is_not_found(), "{outside}: {error}");
            let folder = OFlags::RDONLY | OFlags::DIRECTORY;
            let at = rustix::fs::open(&root, folder, Mode::empty()).unwrap();
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
            if outside.contains("link") || outside.contains("up") || outside.contains("inside") {
                step_by_step(at, outside, flags, Mode::empty()).unwrap_err();
            }
        }
        for link in ["a/link", "up/new", "inside/new"] {
            create_beneath(&root, &root.join(link), 0o600).unwrap_err();
            append_beneath(&root, &root.join(link), 0o600).unwrap_err();
        }
        create_beneath(&root, &dir.join("elsewhere"), 0o600).unwrap_err();
        let new = root.join("a/new");
        create_beneath(&root, &new, 0o600)
            .unwrap()
            .write_all(b"1")
            .unwrap();
        create_beneath(&root, &new, 0o600).unwrap_err();
        append_beneath(&root, &new, 0o600)
            .unwrap()
            .write_all(b"2")
            .unwrap();
        assert_eq!(read_beneath(&root, &new, 9).unwrap().unwrap(), b"12");
        assert_eq!(read_beneath(&root, &root.join("b"), 9).unwrap(), None);
        read_beneath(&root, &new, 1).unwrap_err();
        fs::remove_tree(&dir).unwrap();
    }
}
