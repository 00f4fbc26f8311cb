//! The central directory and its end.

use std::io::{Read, Seek, SeekFrom};

use crate::lint::zip::{u16_at, u32_at, u64_at};
use crate::lint::{Problems, Rule, Stop, named};

/// Bytes of the end record without its comment.
const END: usize = 22;
/// Bytes of the locator of the zip64 end record.
const LOCATOR: usize = 20;
/// Bytes of the zip64 end record.
const END_64: usize = 56;
/// Bytes of a directory entry without name, extra field and comment.
const ENTRY: usize = 46;
/// Longest comment.
const MAX_COMMENT: u64 = 0xffff;
/// Largest central directory, in bytes.
const MAX_DIRECTORY: u64 = 256 << 20;
/// Most members.
const MAX_MEMBERS: u64 = 500_000;
/// A number that stands in the zip64 field instead.
pub(super) const ELSEWHERE: u64 = 0xffff_ffff;

/// A member as the central directory has it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) crc: u32,
    pub(super) packed: u64,
    pub(super) unpacked: u64,
    pub(super) offset: u64,
    made_by: u16,
    attributes: u32,
}

impl Entry {
    /// The type bits of a Unix mode; 0 where the archive was made by another system or says nothing.
    pub(super) fn unix_type(&self) -> u32 {
        if self.made_by >> 8 == 3 {
            (self.attributes >> 16) & 0xf000
        } else {
            0
        }
    }
}

/// Where the directory is.
struct Directory {
    entries: u64,
    size: u64,
    offset: u64,
}

/// The members in the order of their data, and where the directory begins.
pub(super) fn read(
    file: &mut (impl Read + Seek),
    size: u64,
    found: &mut Problems,
) -> Result<(Vec<Entry>, u64), Stop> {
    let directory = directory(file, size, found)?;
    if directory.size > MAX_DIRECTORY || directory.entries > MAX_MEMBERS {
        found.deny(
            Rule::TooLarge,
            format!("it has {} members", directory.entries),
        );
        return Err(Stop::Enough);
    }
    file.seek(SeekFrom::Start(directory.offset))?;
    let mut bytes = Vec::new();
    file.take(directory.size).read_to_end(&mut bytes)?;
    let (mut rest, mut entries) = (bytes.as_slice(), Vec::new());
    while !rest.is_empty() {
        let (entry, after) = entry(rest, found)?;
        entries.push(entry);
        rest = after;
    }
    if entries.len() as u64 != directory.entries {
        found.deny(
            Rule::Header,
            format!(
                "its end says {} members, its directory has {}",
                directory.entries,
                entries.len()
            ),
        );
    }
    entries.sort_by_key(|e| e.offset);
    Ok((entries, directory.offset))
}

fn directory(
    file: &mut (impl Read + Seek),
    size: u64,
    found: &mut Problems,
) -> Result<Directory, Stop> {
    let length = size.min(MAX_COMMENT + (END + LOCATOR + END_64) as u64);
    let from = size - length;
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(length).read_to_end(&mut tail)?;
    let ends: Vec<usize> = (0..tail.len().saturating_sub(END - 1))
        .filter(|at| {
            let rest = tail.get(*at..).unwrap_or_default();
            rest.starts_with(b"PK\x05\x06") && usize::from(u16_at(rest, 20)) + END == rest.len()
        })
        .collect();
    let at = match ends.as_slice() {
        [at] => *at,
        [] => {
            return Err(Stop::damaged(
                "it has no end record at its end: it is no zip file, is cut, or data follows it",
            ));
        }
        _ => {
            found.deny(Rule::Header, "it has two end records");
            return Err(Stop::Enough);
        }
    };
    let end = tail.get(at..).unwrap_or_default();
    if end.len() > END {
        found.warn(
            Rule::Junk,
            format!("it has a comment of {} bytes", end.len() - END),
        );
    }
    let mut directory = Directory {
        entries: u64::from(u16_at(end, 10)),
        size: u64::from(u32_at(end, 12)),
        offset: u64::from(u32_at(end, 16)),
    };
    let mut begins = from + at as u64;
    let locator = at
        .checked_sub(LOCATOR)
        .and_then(|at| tail.get(at..))
        .filter(|l| l.starts_with(b"PK\x06\x07"));
    if let Some(locator) = locator {
        begins = begins.saturating_sub((LOCATOR + END_64) as u64);
        if u64_at(locator, 8) != begins {
            found.deny(
                Rule::Header,
                "its zip64 end record is not where it should be",
            );
            return Err(Stop::Enough);
        }
        let at = at - LOCATOR - END_64;
        directory = wide(tail.get(at..).unwrap_or_default(), &directory, found)?;
    }
    let ends_at = directory.offset.checked_add(directory.size);
    if ends_at != Some(begins) || u16_at(end, 4) != 0 && u16_at(end, 4) != 0xffff {
        found.deny(Rule::Junk, "its central directory does not end where its end record begins: bytes before it or between");
        return Err(Stop::Enough);
    }
    Ok(directory)
}

/// The zip64 end record; what the short one says as well is the same.
fn wide(record: &[u8], short: &Directory, found: &mut Problems) -> Result<Directory, Stop> {
    let wide = Directory {
        entries: u64_at(record, 32),
        size: u64_at(record, 40),
        offset: u64_at(record, 48),
    };
    let same = |short: u64, elsewhere: u64, wide: u64| short == elsewhere || short == wide;
    let right = record.starts_with(b"PK\x06\x06")
        && u64_at(record, 4) == (END_64 - 12) as u64
        && same(short.entries, 0xffff, wide.entries)
        && same(short.size, ELSEWHERE, wide.size)
        && same(short.offset, ELSEWHERE, wide.offset);
    if !right {
        found.deny(
            Rule::Header,
            "its zip64 end record says something else than its end record",
        );
        return Err(Stop::Enough);
    }
    Ok(wide)
}

/// The first entry of a directory, and what follows it.
fn entry<'b>(bytes: &'b [u8], found: &mut Problems) -> Result<(Entry, &'b [u8]), Stop> {
    let cut = || Stop::damaged("its central directory is cut or damaged");
    let head = bytes
        .get(..ENTRY)
        .filter(|h| h.starts_with(b"PK\x01\x02"))
        .ok_or_else(cut)?;
    let length = |at: usize| usize::from(u16_at(head, at));
    let (name_end, extra_end) = (ENTRY + length(28), ENTRY + length(28) + length(30));
    let name = bytes.get(ENTRY..name_end).ok_or_else(cut)?;
    let extra = bytes.get(name_end..extra_end).ok_or_else(cut)?;
    let after = bytes.get(extra_end + length(32)..).ok_or_else(cut)?;
    let mut entry = Entry {
        name: name.to_vec(),
        made_by: u16_at(head, 4),
        flags: u16_at(head, 8),
        method: u16_at(head, 10),
        crc: u32_at(head, 16),
        packed: u64::from(u32_at(head, 20)),
        unpacked: u64::from(u32_at(head, 24)),
        attributes: u32_at(head, 38),
        offset: u64::from(u32_at(head, 42)),
    };
    let wide = extra_fields(name, extra, found);
    let mut wide = wide.chunks_exact(8).map(|b| u64_at(b, 0));
    for value in [&mut entry.unpacked, &mut entry.packed, &mut entry.offset] {
        if *value == ELSEWHERE
            && let Some(found) = wide.next()
        {
            *value = found;
        }
    }
    if entry.flags & 0x2041 != 0 {
        found.deny(Rule::Header, format!("{} is encrypted", named(name)));
        return Err(Stop::Enough);
    }
    if !name.is_ascii() && entry.flags & 0x800 == 0 {
        found.deny(
            Rule::Header,
            format!(
                "{} does not say which characters its name is made of",
                named(name)
            ),
        );
    }
    Ok((entry, after))
}

/// The zip64 field among extra fields; others that change the name are problems.
pub(super) fn extra_fields<'e>(name: &[u8], mut extra: &'e [u8], found: &mut Problems) -> &'e [u8] {
    const WIDE: u16 = 0x0001;
    const UNICODE_PATH: u16 = 0x7075;
    let mut wide: Option<&[u8]> = None;
    while !extra.is_empty() {
        let length = usize::from(u16_at(extra, 2));
        let Some(field) = extra.get(4..4 + length) else {
            // Aligned archives fill up with fewer bytes than a field has.
            if extra.iter().any(|b| *b != 0) {
                found.deny(
                    Rule::Header,
                    format!("{} has a damaged extra field", named(name)),
                );
            }
            break;
        };
        match u16_at(extra, 0) {
            WIDE if wide.replace(field).is_some() => {
                found.deny(
                    Rule::Header,
                    format!("{} has two zip64 fields", named(name)),
                );
            }
            UNICODE_PATH => found.deny(
                Rule::Header,
                format!("{} has a second name in an extra field", named(name)),
            ),
            _ => {}
        }
        extra = extra.get(4 + length..).unwrap_or_default();
    }
    wide.unwrap_or_default()
}
