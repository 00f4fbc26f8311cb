//! Reading the members of a zip file that means one thing, for who wants what is in it: the same strict reading as for
//! artifacts, so that nobody else sees other members.

use std::io::{Read, Seek, SeekFrom};

use flate2::{Decompress, FlushDecompress, Status};

use crate::base::finding::Severity;
use crate::lint::names::Names;
use crate::lint::zip::central::Entry;
use crate::lint::zip::{DEFLATED, STORED, central, local, place};
use crate::lint::{Problems, Stop, named, stream};

/// A file in a zip file.
#[derive(Debug)]
pub struct Member<'m> {
    /// Its path: relative, without `.` and `..`.
    pub path: &'m str,
    /// Its content.
    pub content: &'m [u8],
}

/// Why a zip file is not read.
#[derive(Debug, thiserror::Error)]
pub enum ZipError<E> {
    /// What is wrong with it, safe to print.
    #[error("{0}")]
    Problem(String),
    /// It cannot be read.
    #[error("it cannot be read")]
    Io(#[from] std::io::Error),
    /// Who was given a member stopped.
    #[error(transparent)]
    Stopped(E),
}

impl<E> From<Stop> for ZipError<E> {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Enough => Self::Problem("it is read differently by different readers".to_owned()),
            Stop::Damaged(reason) => Self::Problem(reason),
            Stop::Io(error) => Self::Io(error),
        }
    }
}

/// Hands every file in it, in the order of their data, to `each`. A file of more than `most` bytes is a problem, as is a
/// whole that unpacks to more than can be meant. Memory holds the directory and one member.
///
/// # Errors
/// The first problem, or what `each` fails with.
pub fn members<E>(
    file: &mut (impl Read + Seek),
    most: u64,
    each: &mut dyn FnMut(&Member<'_>) -> Result<(), E>,
) -> Result<(), ZipError<E>> {
    let mut found = Problems::default();
    let result = read(file, most, &mut found, each);
    match (denied(&found), result) {
        (Some(problem), Err(ZipError::Problem(_)) | Ok(())) => Err(ZipError::Problem(problem)),
        (_, result) => result,
    }
}

fn read<E>(
    file: &mut (impl Read + Seek),
    most: u64,
    found: &mut Problems,
    each: &mut dyn FnMut(&Member<'_>) -> Result<(), E>,
) -> Result<(), ZipError<E>> {
    let size = file.seek(SeekFrom::End(0))?;
    let (entries, end) = central::read(file, size, found)?;
    let unpacked = entries.iter();
    let unpacked = unpacked.fold(0_u64, |sum, e| sum.saturating_add(e.unpacked));
    if unpacked > stream::most(size) {
        let problem = format!("{size} bytes unpack to {unpacked} bytes");
        return Err(ZipError::Problem(problem));
    }
    let mut names = Names::new(0);
    let mut unpacker = Unpacker::default();
    let mut expected = 0;
    for entry in &entries {
        if entry.offset != expected {
            let name = named(&entry.name);
            let problem = format!("{name} does not begin where the member before it ends");
            return Err(ZipError::Problem(problem));
        }
        let data = local::header(file, entry, found)?;
        let path = place(entry, &mut names, found);
        unpacker.unpack(file, entry, data, most)?;
        expected = local::end(file, entry, data, found)?;
        if let Some(problem) = denied(found) {
            return Err(ZipError::Problem(problem));
        }
        if let Some(path) = path {
            let content = unpacker.content.as_slice();
            let member = Member {
                path: &path,
                content,
            };
            each(&member).map_err(ZipError::Stopped)?;
        }
    }
    if expected == end {
        return Ok(());
    }
    let problem = "there are bytes between the last member and the central directory";
    Err(ZipError::Problem(problem.to_owned()))
}

/// What is wrong, if something is that matters.
fn denied(found: &Problems) -> Option<String> {
    let mut all = found.found.iter();
    all.find(|p| p.severity == Severity::Deny)
        .map(|p| p.message.clone())
}

/// Buffers that are used again for each member: archives of advisories have hundreds of thousands.
struct Unpacker {
    packed: Vec<u8>,
    content: Vec<u8>,
    inflate: Decompress,
}

impl Default for Unpacker {
    fn default() -> Self {
        Self {
            packed: Vec::new(),
            content: Vec::new(),
            inflate: Decompress::new(false),
        }
    }
}

impl Unpacker {
    /// Puts the content of a member into the buffer.
    fn unpack(
        &mut self,
        file: &mut (impl Read + Seek),
        entry: &Entry,
        data: u64,
        most: u64,
    ) -> Result<(), Stop> {
        let wrong = |what: &str| Stop::damaged(format!("{} {what}", named(&entry.name)));
        if entry.unpacked > most || entry.packed > most {
            return Err(wrong(&format!("has more than {most} bytes")));
        }
        file.seek(SeekFrom::Start(data))?;
        self.packed.clear();
        file.by_ref()
            .take(entry.packed)
            .read_to_end(&mut self.packed)?;
        if self.packed.len() as u64 != entry.packed {
            return Err(wrong("is cut"));
        }
        match entry.method {
            STORED => self.content.clone_from(&self.packed),
            DEFLATED => {
                let room = usize::try_from(entry.unpacked).unwrap_or(usize::MAX);
                self.content.clear();
                // One byte more than is said: too much is noticed.
                self.content.reserve_exact(room.saturating_add(1));
                self.inflate.reset(false);
                let end = FlushDecompress::Finish;
                let ended = self
                    .inflate
                    .decompress_vec(&self.packed, &mut self.content, end);
                let whole = matches!(ended, Ok(Status::StreamEnd));
                if !whole || self.inflate.total_in() != entry.packed {
                    return Err(wrong("cannot be unpacked, or has bytes after its content"));
                }
            }
            _ => return Err(wrong("is compressed by a method that is not known")),
        }
        let mut crc = flate2::Crc::new();
        crc.update(&self.content);
        if self.content.len() as u64 != entry.unpacked || crc.sum() != entry.crc {
            return Err(wrong("has another size or checksum than its header says"));
        }
        Ok(())
    }
}
