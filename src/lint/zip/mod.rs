//! Zip files (PKWARE APPNOTE.TXT 6.3.10): the central directory, which most clients read, and the local headers, which
//! the others read, say the same; members follow each other from the first byte to the directory, and nothing else is there.

mod central;
mod local;
mod members;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use crate::base::digest::{Digest, Hasher};
use crate::lint::names::{Names, What};
use crate::lint::zip::central::Entry;
use crate::lint::{Problems, Rule, Stop, named, record, stream};

pub use crate::lint::zip::members::{Member, ZipError, members};

const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// Bytes read at a time.
const CHUNK: usize = 1 << 16;

/// Reads a zip file from its beginning; `wheel` has a RECORD as well.
pub(super) fn read(
    file: &mut (impl Read + Seek),
    wheel: bool,
    found: &mut Problems,
) -> Result<(), Stop> {
    let size = file.seek(SeekFrom::End(0))?;
    let (entries, end) = central::read(file, size, found)?;
    let unpacked = entries
        .iter()
        .fold(0_u64, |sum, e| sum.saturating_add(e.unpacked));
    if unpacked > stream::most(size) {
        found.deny(
            Rule::TooLarge,
            format!("{size} bytes unpack to {unpacked} bytes"),
        );
        return Err(Stop::Enough);
    }
    let mut names = Names::new(0);
    let mut content = Content::default();
    let mut expected = 0;
    for entry in &entries {
        if entry.offset != expected {
            found.deny(
                Rule::Junk,
                format!(
                    "{} does not begin where the member before it ends",
                    named(&entry.name)
                ),
            );
            return Err(Stop::Enough);
        }
        let data = local::header(file, entry, found)?;
        let path = place(entry, &mut names, found);
        content.member(file, entry, data, path, found)?;
        expected = local::end(file, entry, data, found)?;
    }
    if expected != end {
        found.deny(
            Rule::Junk,
            "there are bytes between the last member and the central directory",
        );
    }
    if wheel {
        content.judge(found);
    }
    Ok(())
}

/// The path of a member that is a file.
fn place(entry: &Entry, names: &mut Names, found: &mut Problems) -> Option<String> {
    let is_folder = entry.name.ends_with(b"/");
    let what = match entry.unix_type() {
        0xa000 => {
            found.deny(
                Rule::Link,
                format!("{} is a symbolic link", named(&entry.name)),
            );
            return None;
        }
        0x4000 if !is_folder => {
            found.deny(
                Rule::Header,
                format!("{} is a folder named like a file", named(&entry.name)),
            );
            return None;
        }
        0 | 0x8000 | 0x4000 if is_folder => What::Folder,
        0 | 0x8000 => What::File(None),
        _ => {
            found.deny(
                Rule::Special,
                format!("{} is a device or a pipe", named(&entry.name)),
            );
            return None;
        }
    };
    if what == What::Folder && entry.unpacked > 0 {
        found.deny(
            Rule::Header,
            format!("{} is a folder and has a size", named(&entry.name)),
        );
    }
    let path = names.add(&entry.name, what, found)?;
    (what != What::Folder).then_some(path)
}

/// What the members hold, as far as a wheel's RECORD is about it.
#[derive(Default)]
struct Content {
    digests: BTreeMap<String, Digest>,
    records: Vec<(String, Vec<u8>)>,
}

impl Content {
    /// Reads a member to its end and holds it against what its headers say.
    fn member(
        &mut self,
        file: &mut (impl Read + Seek),
        entry: &Entry,
        data: u64,
        path: Option<String>,
        found: &mut Problems,
    ) -> Result<(), Stop> {
        file.seek(SeekFrom::Start(data))?;
        let packed = BufReader::with_capacity(CHUNK, file.take(entry.packed));
        let is_record = path.as_deref().is_some_and(is_record) && entry.unpacked <= record::MAX;
        let mut kept = is_record.then(Vec::new);
        let digest = match entry.method {
            STORED => unpack(packed, entry, kept.as_mut(), found)?,
            DEFLATED => {
                let mut deflated = DeflateDecoder::new(packed);
                let digest = unpack(&mut deflated, entry, kept.as_mut(), found)?;
                if !deflated.into_inner().fill_buf()?.is_empty() {
                    found.deny(
                        Rule::Junk,
                        format!(
                            "{} has bytes after its compressed content",
                            named(&entry.name)
                        ),
                    );
                }
                digest
            }
            other => {
                let message = format!(
                    "{} is compressed by method {other}, which not every client knows",
                    named(&entry.name)
                );
                found.deny(Rule::Header, message);
                return Ok(());
            }
        };
        if let Some(path) = path {
            if let Some(kept) = kept {
                self.records.push((path.clone(), kept));
            }
            self.digests.insert(path, digest);
        }
        Ok(())
    }

    fn judge(&self, found: &mut Problems) {
        match self.records.as_slice() {
            [] => found.deny(Rule::Record, "it has no RECORD"),
            [(path, text)] => record::check(path, text, &self.digests, found),
            _ => found.deny(Rule::Record, "it has more than one RECORD"),
        }
    }
}

fn is_record(path: &str) -> bool {
    path.strip_suffix(".dist-info/RECORD")
        .is_some_and(|folder| !folder.contains('/'))
}

/// Reads what comes out, at most one byte more than the header says, and compares size and checksum.
fn unpack(
    mut stream: impl Read,
    entry: &Entry,
    mut kept: Option<&mut Vec<u8>>,
    found: &mut Problems,
) -> Result<Digest, Stop> {
    let mut buffer = vec![0; CHUNK];
    let (mut crc, mut hasher, mut size) = (Crc::new(), Hasher::default(), 0_u64);
    loop {
        let read = stream.read(&mut buffer)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        size += read as u64;
        if read == 0 || size > entry.unpacked {
            break;
        }
        crc.update(bytes);
        hasher.update(bytes);
        if let Some(kept) = &mut kept {
            kept.extend(bytes);
        }
    }
    if size != entry.unpacked {
        found.deny(
            Rule::Header,
            format!(
                "{} has another size than its header says",
                named(&entry.name)
            ),
        );
    } else if crc.sum() != entry.crc {
        found.deny(
            Rule::Damaged,
            format!(
                "{} has another checksum than its header says",
                named(&entry.name)
            ),
        );
    }
    Ok(hasher.finish().0.sha256)
}

/// A little-endian number of two bytes in a header; headers are read whole, so it is there.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let two = bytes.get(at..).and_then(<[u8]>::first_chunk::<2>);
    two.map_or(0, |b| u16::from_le_bytes(*b))
}

/// As [`u16_at`], four bytes.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>);
    four.map_or(0, |b| u32::from_le_bytes(*b))
}

/// As [`u16_at`], eight bytes.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let eight = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>);
    eight.map_or(0, |b| u64::from_le_bytes(*b))
}
