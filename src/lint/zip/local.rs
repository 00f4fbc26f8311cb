//! Local headers, which stand before each member's data, and data descriptors after it.

use std::io::{Read, Seek, SeekFrom};

use crate::lint::zip::central::{ELSEWHERE, Entry, extra_fields};
use crate::lint::zip::{u16_at, u32_at, u64_at};
use crate::lint::{Problems, Rule, Stop, named};

/// Bytes of a local header without name and extra field.
const HEADER: usize = 30;
/// Sizes and checksum follow the data.
const DESCRIPTOR: u16 = 1 << 3;
/// Bytes of the longest data descriptor.
const LONGEST: u64 = 24;

/// Holds the local header against the directory's entry; where the data begins.
pub(super) fn header(
    file: &mut (impl Read + Seek),
    entry: &Entry,
    found: &mut Problems,
) -> Result<u64, Stop> {
    file.seek(SeekFrom::Start(entry.offset))?;
    let mut head = [0; HEADER];
    file.read_exact(&mut head)?;
    if !head.starts_with(b"PK\x03\x04") {
        return Err(Stop::damaged(format!(
            "{} has no local header where the directory says",
            named(&entry.name)
        )));
    }
    let (name_length, extra_length) = (u16_at(&head, 26), u16_at(&head, 28));
    let mut rest = Vec::new();
    let length = u64::from(name_length) + u64::from(extra_length);
    file.take(length).read_to_end(&mut rest)?;
    let (name, extra) = rest
        .split_at_checked(usize::from(name_length))
        .ok_or_else(|| Stop::damaged("it ends in the middle of a local header"))?;
    if name != entry.name {
        let message = format!(
            "{} is named {} in its local header",
            named(&entry.name),
            named(name)
        );
        found.deny(Rule::Header, message);
    }
    let wide = extra_fields(name, extra, found);
    let mut wide = wide.chunks_exact(8).map(|b| u64_at(b, 0));
    let mut size = |at: usize| match u64::from(u32_at(&head, at)) {
        ELSEWHERE => wide.next().unwrap_or(ELSEWHERE),
        stated => stated,
    };
    let (unpacked, packed) = (size(22), size(18));
    let later = entry.flags & DESCRIPTOR != 0;
    let same = |stated: u64, real: u64| stated == real || later && stated == 0;
    let agrees = u16_at(&head, 6) == entry.flags
        && u16_at(&head, 8) == entry.method
        && same(u64::from(u32_at(&head, 14)), u64::from(entry.crc))
        && same(packed, entry.packed)
        && same(unpacked, entry.unpacked);
    if !agrees {
        found.deny(
            Rule::Header,
            format!(
                "{} has another local header than directory entry",
                named(&entry.name)
            ),
        );
    }
    Ok(entry.offset + HEADER as u64 + length)
}

/// Where the member ends, its data descriptor with it.
pub(super) fn end(
    file: &mut (impl Read + Seek),
    entry: &Entry,
    data: u64,
    found: &mut Problems,
) -> Result<u64, Stop> {
    let end = data.saturating_add(entry.packed);
    if entry.flags & DESCRIPTOR == 0 {
        return Ok(end);
    }
    file.seek(SeekFrom::Start(end))?;
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    let marked = bytes.starts_with(b"PK\x07\x08");
    let (body, mark) = if marked {
        (bytes.get(4..).unwrap_or_default(), 4)
    } else {
        (bytes.as_slice(), 0)
    };
    let checksum = u32_at(body, 0) == entry.crc;
    let narrow =
        u64::from(u32_at(body, 4)) == entry.packed && u64::from(u32_at(body, 8)) == entry.unpacked;
    let wide = u64_at(body, 4) == entry.packed && u64_at(body, 12) == entry.unpacked;
    if checksum && body.len() >= 12 && narrow {
        return Ok(end + mark + 12);
    }
    if checksum && body.len() >= 20 && wide {
        return Ok(end + mark + 20);
    }
    found.deny(
        Rule::Header,
        format!(
            "{} has a data descriptor that says something else",
            named(&entry.name)
        ),
    );
    Err(Stop::Enough)
}
