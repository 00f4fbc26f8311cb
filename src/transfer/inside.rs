//! What is inside of a blob, where the scanner does not look by itself, or to say in which member something was found.
//!
//! Tried with `ClamAV` 1.4: it does not open `.deb` files (ar) and nothing that is compressed with zstd, and calls both
//! clean; these are unpacked here, and their members are scanned. Of a member of a zip file it reads as much as its limit
//! allows, and calls the rest clean; such members are told.

use std::io::{self, Read as _};
use std::path::Path;

use crate::base::limits::Limited;
use crate::fs::{self, FsError};
use crate::unpack::{self, Container, Member, Part};

/// Most bytes that are written of one archive, and most members.
const MOST: u64 = 8 << 30;
const MEMBERS: usize = 200_000;
/// Bytes that tell what a file is.
const HEAD: u64 = 8;
/// Memory that a decompressor may ask for, as a power of two: what `zstd --ultra` needs.
const WINDOW: u32 = 28;

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The scanner does not open it.
    Closed,
    /// A zip file.
    Zip,
    /// Anything else, which the scanner knows or which is no archive.
    Other,
}

/// Members that were written, by number.
#[derive(Debug, Default)]
pub struct Members {
    /// Their names.
    pub names: Vec<String>,
    /// Whether these are all of them.
    pub is_whole: bool,
}

/// What a file is.
///
/// # Errors
/// It cannot be read.
pub fn kind(path: &Path) -> Result<Kind, FsError> {
    let mut head = Vec::new();
    let mut start = fs::open(path)?.take(HEAD);
    start
        .read_to_end(&mut head)
        .map_err(fs::context("read", path))?;
    Ok(match head.as_slice() {
        b"!<arch>\n" => Kind::Closed,
        head if is_zstd(head) => Kind::Closed,
        head if head.starts_with(b"PK\x03\x04") => Kind::Zip,
        _ => Kind::Other,
    })
}

fn is_zstd(head: &[u8]) -> bool {
    head.starts_with(b"\x28\xb5\x2f\xfd")
}

/// The members of a zip file of more than `most` bytes; `None` where its list of members cannot be read.
///
/// # Errors
/// It cannot be opened.
pub fn larger(path: &Path, most: u64) -> Result<Option<Vec<String>>, FsError> {
    let Ok(mut archive) = zip::ZipArchive::new(io::BufReader::new(fs::open(path)?)) else {
        return Ok(None);
    };
    let mut names = Vec::new();
    for number in 0..archive.len() {
        let Ok(member) = archive.by_index_raw(number) else {
            return Ok(None);
        };
        if member.size() > most {
            names.push(member.name().to_owned());
        }
    }
    Ok(Some(names))
}

/// Writes each member into a folder by its number. An archive that breaks off has no more members, and is not whole.
///
/// # Errors
/// The folder cannot be written.
pub fn members(archive: &Path, folder: &Path) -> Result<Members, FsError> {
    let mut out = Writer {
        folder,
        names: Vec::new(),
        left: MOST,
        failed: None,
    };
    let mut is_whole = true;
    for part in [Part::Data, Part::Control] {
        let walked =
            unpack::walk_whole(
                fs::open(archive)?,
                part,
                &mut |name, _, member| match member {
                    Member::File(bytes) => out.write(name, bytes),
                    Member::Link(_) => Ok(()),
                },
            );
        is_whole &= walked.is_ok();
        // Only these have two parts.
        if !matches!(walked, Ok(Container::Debian)) {
            break;
        }
    }
    if is_whole && out.names.is_empty() {
        is_whole = single(archive, &mut out)?;
    }
    match out.failed {
        Some(error) => Err(error),
        None => Ok(Members {
            names: out.names,
            is_whole,
        }),
    }
}

/// A file that is compressed with zstd, and no tarball.
fn single(path: &Path, out: &mut Writer<'_>) -> Result<bool, FsError> {
    let mut head = Vec::new();
    let mut start = fs::open(path)?.take(HEAD);
    start
        .read_to_end(&mut head)
        .map_err(fs::context("read", path))?;
    if !is_zstd(&head) {
        return Ok(true);
    }
    let unpacked = zstd::Decoder::new(fs::open(path)?).and_then(|mut bytes| {
        bytes.window_log_max(WINDOW)?;
        out.write("what it unpacks to", &mut bytes)
    });
    Ok(unpacked.is_ok())
}

struct Writer<'a> {
    folder: &'a Path,
    names: Vec<String>,
    left: u64,
    /// The folder cannot be written: not the archive's fault.
    failed: Option<FsError>,
}

impl Writer<'_> {
    fn write(&mut self, name: &str, bytes: &mut dyn io::Read) -> io::Result<()> {
        if self.names.len() >= MEMBERS {
            return Err(io::Error::other("there are more members"));
        }
        let path = self.folder.join(self.names.len().to_string());
        let mut file = fs::create_new(&path, 0o600).map_err(|error| self.fail(error))?;
        self.names.push(name.to_owned());
        let mut bytes = Limited::new(bytes, self.left);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = bytes.read(&mut buffer)?;
            let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else {
                break;
            };
            io::Write::write_all(&mut file, chunk)
                .map_err(fs::context("write", &path))
                .map_err(|error| self.fail(error))?;
        }
        self.left = bytes.left();
        Ok(())
    }

    fn fail(&mut self, error: FsError) -> io::Error {
        self.failed = Some(error);
        io::Error::other("the folder cannot be written")
    }
}
