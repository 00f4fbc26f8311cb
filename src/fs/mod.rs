//! The only user of `std::fs`. Every error names the operation and the path; every replacement of a file is a
//! temporary file in the same directory, synced and renamed.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this module is where std::fs is used"
)]

mod beneath;
mod host;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::fault::{Class, Code, Fault};
use crate::base::limits::Limited;

pub use crate::fs::beneath::{
    append_beneath, create_beneath, open_beneath, open_inside, read_beneath,
};
pub use crate::fs::host::{FileSystem, available, effective_user, file_system, no_room};

/// An open file, for structs that keep one.
pub type OpenFile = File;

/// What is known of a file without reading it.
pub type Metadata = fs::Metadata;

/// Codes of this module.
pub const CODES: &[&Code] = &[&FS_IO, &FS_LOCKED];

static FS_IO: Code = Code::classed("fs-io", Class::E10);
static FS_LOCKED: Code = Code::classed("fs-locked", Class::E11);

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    /// The operation, the path and what the system said.
    #[error("cannot {operation} {}", crate::base::text::quoted(&path.to_string_lossy()))]
    Io {
        /// For example `read` or `rename to`.
        operation: &'static str,
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds the lock.
    #[error("another process works on {}", crate::base::text::quoted(&path.to_string_lossy()))]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
}

impl Fault for FsError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Io { .. } => &FS_IO,
            Self::Locked { .. } => &FS_LOCKED,
        }
    }
}

impl FsError {
    /// Whether the file was simply not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Names an I/O error's operation and path.
pub fn context(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FsError {
    let path = path.to_owned();
    move |source| FsError::Io {
        operation,
        path,
        source,
    }
}

/// Reads a whole file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FsError> {
    let file = File::open(path).map_err(context("open", path))?;
    let mut bytes = Vec::new();
    Limited::new(file, limit)
        .read_to_end(&mut bytes)
        .map_err(context("read", path))?;
    Ok(bytes)
}

/// As [`read`], `None` when the file does not exist.
pub fn read_optional(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FsError> {
    match read(path, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<File, FsError> {
    File::open(path).map_err(context("open", path))
}

/// Opens a file for reading from byte `offset` on.
pub fn open_at(path: &Path, offset: u64) -> Result<File, FsError> {
    let mut file = open(path)?;
    file.seek(io::SeekFrom::Start(offset))
        .map_err(context("seek in", path))?;
    Ok(file)
}

/// Opens a file for reading and writing in place.
pub fn open_read_write(path: &Path) -> Result<File, FsError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(context("open", path))
}

/// Takes the exclusive advisory lock of an open file without waiting; closing the file frees it.
pub fn lock(file: &File, path: &Path) -> Result<(), FsError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(fs::TryLockError::WouldBlock) => Err(FsError::Locked {
            path: path.to_owned(),
        }),
        Err(fs::TryLockError::Error(source)) => Err(context("lock", path)(source)),
    }
}

/// Opens a file for appending, created with `mode` when missing.
pub fn open_append(path: &Path, mode: u32) -> Result<File, FsError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(mode)
        .open(path)
        .map_err(context("open", path))
}

/// Creates a new file with `mode`; an existing one is an error.
pub fn create_new(path: &Path, mode: u32) -> Result<File, FsError> {
    OpenOptions::new()
        .write(true)
        .read(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(context("create", path))
}

/// Opens a file for reading and appending, created with `mode` when missing.
pub fn open_read_append(path: &Path, mode: u32) -> Result<File, FsError> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(mode)
        .open(path)
        .map_err(context("open", path))
}

/// Takes an exclusive advisory lock on an open file without waiting; `false` when another holds it. The kernel
/// frees it when the file is closed or the process dies.
pub fn try_lock(file: &File, path: &Path) -> Result<bool, FsError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(source)) => Err(context("lock", path)(source)),
    }
}

/// Whether the open file is still the one at `path`.
pub fn is_at(file: &File, path: &Path) -> Result<bool, FsError> {
    let open = file.metadata().map_err(context("examine", path))?;
    match symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Device and inode of what is at `path`, links not followed: two names of one file have the same.
pub fn node(path: &Path) -> Result<(u64, u64), FsError> {
    let found = symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// Whether anything, even a dangling link, is at `path`.
pub fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// What is at `path`, links not followed.
pub fn symlink_metadata(path: &Path) -> Result<fs::Metadata, FsError> {
    fs::symlink_metadata(path).map_err(context("examine", path))
}

/// What is at `path`, links followed.
pub fn metadata(path: &Path) -> Result<fs::Metadata, FsError> {
    fs::metadata(path).map_err(context("examine", path))
}

/// Size of the file at `path` in bytes.
pub fn size(path: &Path) -> Result<u64, FsError> {
    Ok(metadata(path)?.size())
}

/// Creates a directory and its parents with `mode`.
pub fn create_dir_all(path: &Path, mode: u32) -> Result<(), FsError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(context("create directory", path))
}

/// The names in a directory, sorted.
pub fn list(path: &Path) -> Result<Vec<PathBuf>, FsError> {
    let mut out = Vec::new();
    for entry in fs::read_dir(path).map_err(context("list", path))? {
        out.push(entry.map_err(context("list", path))?.path());
    }
    out.sort();
    Ok(out)
}

/// All regular files below `root`, as paths relative to it, sorted. Links and special files are returned apart.
pub fn walk(root: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), FsError> {
    let (mut files, mut others, mut todo) = (Vec::new(), Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = todo.pop() {
        for path in list(&directory)? {
            let kind = symlink_metadata(&path)?.file_type();
            let relative = path.strip_prefix(root).unwrap_or(&path).to_owned();
            if kind.is_dir() {
                todo.push(path);
            } else if kind.is_file() {
                files.push(relative);
            } else {
                others.push(relative);
            }
        }
    }
    files.sort();
    others.sort();
    Ok((files, others))
}

/// Removes a file; it is fine when there is none.
pub fn remove_file(path: &Path) -> Result<(), FsError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(context("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Removes a directory tree; it is fine when there is none. Directories made read-only by `stage` are opened up first.
pub fn remove_tree(path: &Path) -> Result<(), FsError> {
    if !exists(path) {
        return Ok(());
    }
    let mut todo = vec![path.to_owned()];
    while let Some(directory) = todo.pop() {
        if !symlink_metadata(&directory)?.is_dir() {
            continue;
        }
        set_mode(&directory, 0o755)?;
        for child in list(&directory)? {
            if symlink_metadata(&child)?.is_dir() {
                todo.push(child);
            }
        }
    }
    fs::remove_dir_all(path).map_err(context("remove", path))
}

/// Removes a directory if there is nothing in it; it is fine when there is none or something is in it.
pub fn remove_empty_dir(path: &Path) -> Result<(), FsError> {
    match fs::remove_dir(path) {
        Err(e)
            if !matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Err(context("remove", path)(e))
        }
        _ => Ok(()),
    }
}

/// Renames within one file system.
pub fn rename(from: &Path, to: &Path) -> Result<(), FsError> {
    fs::rename(from, to).map_err(context("rename to", to))
}

/// Makes `new` another name of the file `existing`.
pub fn hard_link(existing: &Path, new: &Path) -> Result<(), FsError> {
    fs::hard_link(existing, new).map_err(context("link", new))
}

/// Where the symbolic link at `path` points.
pub fn read_link(path: &Path) -> Result<PathBuf, FsError> {
    fs::read_link(path).map_err(context("read link", path))
}

/// Makes a symbolic link at `path`.
pub fn symlink(target: &Path, path: &Path) -> Result<(), FsError> {
    std::os::unix::fs::symlink(target, path).map_err(context("make link", path))
}

/// The absolute path with links resolved.
pub fn canonicalize(path: &Path) -> Result<PathBuf, FsError> {
    fs::canonicalize(path).map_err(context("resolve", path))
}

/// Sets permission bits, whatever the umask.
pub fn set_mode(path: &Path, mode: u32) -> Result<(), FsError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(context("set mode of", path))
}

/// Sets permission bits of an open file, whatever the umask.
pub fn set_file_mode(file: &File, path: &Path, mode: u32) -> Result<(), FsError> {
    file.set_permissions(fs::Permissions::from_mode(mode))
        .map_err(context("set mode of", path))
}

/// Makes a file's bytes durable. A failure is final: it is never tried again.
pub fn sync(file: &File, path: &Path) -> Result<(), FsError> {
    file.sync_all().map_err(context("sync", path))
}

/// Makes the names in a directory durable.
pub fn sync_dir(path: &Path) -> Result<(), FsError> {
    let directory = File::open(path).map_err(context("open", path))?;
    directory.sync_all().map_err(context("sync", path))
}

/// The directory of `path`, `.` for a bare name.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// Replaces the file at `path`, all or nothing: what is there stays until the new bytes are on disk.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FsError> {
    let mut draft = Draft::new(path, mode)?;
    draft.write_all(bytes).map_err(context("write", path))?;
    draft.commit()
}

/// Replaces the file at `path` in one step, but without waiting for the disk: after a power cut the file may be the
/// old one, the new one, or damaged. For caches whose readers check what they read.
pub fn write_unsynced(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FsError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary = parent(path).join(format!(".{name}.{}-{count}.tmp", std::process::id()));
    remove_file(&temporary)?;
    let written = create_new(&temporary, mode)
        .and_then(|mut file| file.write_all(bytes).map_err(context("write", path)))
        .and_then(|()| rename(&temporary, path));
    if written.is_err() {
        remove_file(&temporary)?;
    }
    written
}

/// Whether this is the name of a [`Draft`].
pub fn is_draft(name: &str) -> bool {
    let extension = Path::new(name).extension();
    name.starts_with('.') && extension.is_some_and(|extension| extension == "tmp")
}

/// A file being written beside its final place; removed again when dropped without [`Draft::commit`].
#[derive(Debug)]
pub struct Draft {
    file: io::BufWriter<File>,
    temporary: PathBuf,
    target: PathBuf,
    mode: u32,
    done: bool,
}

impl Draft {
    /// Starts a file that will become `target` with `mode`.
    pub fn new(target: &Path, mode: u32) -> Result<Self, FsError> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = parent(target).join(format!(".{name}.{}.tmp", std::process::id()));
        remove_file(&temporary)?;
        let file = OpenOptions::new()
            .write(true)
            .read(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            // The user asked for this name and knows nothing of the other one.
            .map_err(context("create", target))?;
        let file = io::BufWriter::with_capacity(1 << 20, file);
        Ok(Self {
            file,
            temporary,
            target: target.to_owned(),
            mode,
            done: false,
        })
    }

    /// Makes the bytes durable and gives the file its name, replacing what was there.
    pub fn commit(mut self) -> Result<(), FsError> {
        self.file.flush().map_err(context("write", &self.target))?;
        set_file_mode(self.file.get_ref(), &self.temporary, self.mode)?;
        sync(self.file.get_ref(), &self.target)?;
        rename(&self.temporary, &self.target)?;
        self.done = true;
        sync_dir(parent(&self.target))
    }
}

impl Write for Draft {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.done && fs::remove_file(&self.temporary).is_err() {
            // Nothing to do: the name says what it is, and the next run removes it.
        }
    }
}

/// An exclusive advisory lock on a file, held until dropped; the kernel frees it when the process dies.
#[derive(Debug)]
pub struct LockFile(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

impl LockFile {
    /// Takes the lock without waiting; the file is created when missing.
    pub fn try_exclusive(path: &Path) -> Result<Self, FsError> {
        let file = open_append(path, 0o600)?;
        lock(&file, path)?;
        Ok(Self(file))
    }
}

/// Whether another process holds the lock on the file; `false` when there is no such file.
pub fn is_locked(path: &Path) -> Result<bool, FsError> {
    match open(path) {
        Ok(file) => Ok(!try_lock(&file, path)?),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// An extended attribute of `path` itself (links not followed); `None` when it has none of that name or the file
/// system keeps none.
pub fn attribute(path: &Path, name: &str) -> Result<Option<Vec<u8>>, FsError> {
    use rustix::io::Errno;
    let mut value = vec![0_u8; 64 << 10];
    match rustix::fs::lgetxattr(path, name, &mut value) {
        Ok(size) => {
            value.truncate(size);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::NOTSUP | Errno::NOSYS) => Ok(None),
        Err(errno) => Err(context("read attributes of", path)(errno.into())),
    }
}

/// Gives `path` a modification time, so that work that came to nothing leaves no trace.
pub fn set_modified(path: &Path, time: std::time::SystemTime) -> Result<(), FsError> {
    let file = File::open(path).map_err(context("open", path))?;
    file.set_modified(time)
        .map_err(context("set times of", path))
}

/// When `path` was modified last.
pub fn modified(path: &Path) -> Result<std::time::SystemTime, FsError> {
    metadata(path)?.modified().map_err(context("examine", path))
}

/// Cuts a file to `size` bytes and makes that durable.
pub fn truncate(path: &Path, size: u64) -> Result<(), FsError> {
    let file = open_read_write(path)?;
    file.set_len(size).map_err(context("cut", path))?;
    sync(&file, path)
}

/// Gives a folder and everything in it to another account; links are not followed.
pub fn chown_tree(path: &Path, uid: u32, gid: u32) -> Result<(), FsError> {
    std::os::unix::fs::lchown(path, Some(uid), Some(gid))
        .map_err(context("change owner of", path))?;
    if symlink_metadata(path)?.is_dir() {
        for child in list(path)? {
            chown_tree(&child, uid, gid)?;
        }
    }
    Ok(())
}

/// Makes a new, empty folder `<name>.<process id>.<number>` in `parent`; the caller removes it.
pub fn temporary_folder(parent: &Path, name: &str) -> Result<PathBuf, FsError> {
    for number in 0..1000 {
        let path = parent.join(format!("{name}.{}.{number}", std::process::id()));
        match fs::DirBuilder::new().mode(0o755).create(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(context("create directory", &path)(e)),
        }
    }
    let full = io::Error::from(io::ErrorKind::AlreadyExists);
    Err(context("create directory", parent)(full))
}

/// Writes a new folder with these files: beside its place, and moved there whole.
///
/// # Errors
/// Nothing is left behind then.
pub fn write_folder(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<(), FsError> {
    let parent = parent(folder);
    create_dir_all(parent, 0o755)?;
    let draft = temporary_folder(parent, ".stage-folder")?;
    let written = (|| {
        let mut inner = BTreeSet::new();
        for (path, bytes) in files {
            let file = draft.join(path);
            create_dir_all(self::parent(&file), 0o755)?;
            write_atomic(&file, bytes, 0o644)?;
            let above = file.ancestors().skip(1);
            inner.extend(above.take_while(|at| *at != draft).map(Path::to_owned));
        }
        // Whatever the umask is: others are to read it.
        for at in inner.iter().map(PathBuf::as_path).chain([draft.as_path()]) {
            set_mode(at, 0o755)?;
        }
        rename(&draft, folder)
    })();
    if written.is_err() {
        remove_tree(&draft)?;
    }
    written
}
