//! What the host is like: its user, its file systems and their room.

use std::io;
use std::path::Path;

use crate::fs::{FsError, context};

/// The effective user id of this process.
pub fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Bytes that this user may still write to the file system of `path`.
pub fn available(path: &Path) -> Result<u64, FsError> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|errno| context("examine the file system of", path)(errno.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The error for a file system that has too little room.
pub fn no_room(path: &Path, needed: u64, available: u64) -> FsError {
    context("find room in", path)(io::Error::new(
        io::ErrorKind::StorageFull,
        format!("{needed} bytes are needed, {available} are free"),
    ))
}

/// A file system, as far as a repository cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// Its name, or its number where the name is not known.
    pub name: String,
    /// Whether it is mounted read-only.
    pub read_only: bool,
    /// Whether one file can have several names.
    pub has_links: bool,
    /// Whether it is on another host.
    pub is_remote: bool,
}

/// The file system of `path`; numbers and names are those of Linux' `statfs(2)`.
pub fn file_system(path: &Path) -> Result<FileSystem, FsError> {
    const KNOWN: [(u64, &str); 14] = [
        (0xef53, "ext4"),
        (0x5846_5342, "xfs"),
        (0x9123_683e, "btrfs"),
        (0x2fc1_2fc1, "zfs"),
        (0x0102_1994, "tmpfs"),
        (0x794c_7630, "overlayfs"),
        (0xf2f5_2010, "f2fs"),
        (0x6969, "nfs"),
        (0xff53_4d42, "cifs"),
        (0xfe53_4d42, "smb2"),
        (0x6573_5546, "fuse"),
        (0x4d44, "vfat"),
        (0x2011_bab0, "exfat"),
        (0x0187, "autofs"),
    ];
    let failed =
        |errno: rustix::io::Errno| context("examine the file system of", path)(errno.into());
    let number = rustix::fs::statfs(path).map_err(failed)?.f_type;
    // Its low 32 bits are what counts, signed or not.
    let number = u64::try_from(number & 0xffff_ffff).unwrap_or_default();
    let flags = rustix::fs::statvfs(path).map_err(failed)?.f_flag;
    let known = KNOWN.iter().find(|(known, _)| *known == number);
    let name = known.map_or_else(
        || format!("type {number:#x}"),
        |(_, name)| (*name).to_owned(),
    );
    Ok(FileSystem {
        read_only: flags.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        has_links: !matches!(name.as_str(), "vfat" | "exfat"),
        is_remote: matches!(name.as_str(), "nfs" | "cifs" | "smb2"),
        name,
    })
}
