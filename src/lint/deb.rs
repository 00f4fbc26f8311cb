//! `.deb` files (deb(5)): an ar(5) archive with exactly `debian-binary`, `control.tar` and `data.tar`, in this order.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use crate::lint::tar::{self, Kind};
use crate::lint::{Problems, Rule, Stop, named, stream};

const MAGIC: &[u8; 8] = b"!<arch>\n";
/// Bytes of a member's header.
const HEADER: usize = 60;

/// Reads a `.deb` from its beginning.
pub(super) fn read(file: &mut (impl Read + Seek), found: &mut Problems) -> Result<(), Stop> {
    file.seek(SeekFrom::Start(0))?;
    let mut stream = BufReader::with_capacity(1 << 16, file);
    let mut magic = [0; 8];
    stream.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(Stop::damaged("it is no ar archive"));
    }
    let mut number = 0;
    while !stream.fill_buf()?.is_empty() {
        let (name, size) = header(&mut stream, found)?;
        let expected = match number {
            0 => name == "debian-binary",
            1 => is_tar(&name, "control.tar"),
            2 => is_tar(&name, "data.tar"),
            _ => false,
        };
        if !expected {
            found.deny(
                Rule::Junk,
                format!(
                    "member {} is {}, which no .deb has there",
                    number + 1,
                    named(name.as_bytes())
                ),
            );
            return Err(Stop::Enough);
        }
        let mut member = BufReader::new(stream.by_ref().take(size));
        if number == 0 {
            version(&mut member, found)?;
        } else {
            stream::unpacked(&mut member, size, found, &mut |stream, found| {
                tar::read(stream, Kind::System, found)
            })?;
        }
        if size % 2 == 1 {
            padding(&mut stream, found)?;
        }
        number += 1;
    }
    if number < 3 {
        return Err(Stop::damaged(format!("it has {number} members, not 3")));
    }
    Ok(())
}

fn is_tar(name: &str, stem: &str) -> bool {
    name.strip_prefix(stem)
        .is_some_and(|rest| matches!(rest, "" | ".gz" | ".xz" | ".zst"))
}

fn header(stream: &mut impl Read, found: &mut Problems) -> Result<(String, u64), Stop> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header)?;
    let field = |from: usize, to: usize| header.get(from..to).unwrap_or_default();
    let text = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes)
            .trim_end_matches(' ')
            .to_owned()
    };
    let name = text(field(0, 16));
    // ar's GNU form ends a name with a slash; dpkg takes both.
    let name = name.strip_suffix('/').unwrap_or(&name).to_owned();
    if field(58, 60) != b"`\n" {
        found.deny(
            Rule::Header,
            format!("member {} has a damaged header", named(name.as_bytes())),
        );
        return Err(Stop::Enough);
    }
    let digits = text(field(48, 58));
    let size = digits
        .parse::<u64>()
        .ok()
        .filter(|n| n.to_string() == digits);
    let Some(size) = size else {
        found.deny(
            Rule::Header,
            format!("member {} has no readable size", named(name.as_bytes())),
        );
        return Err(Stop::Enough);
    };
    Ok((name, size))
}

fn version(member: &mut impl Read, found: &mut Problems) -> Result<(), Stop> {
    let mut text = Vec::new();
    member.take(64).read_to_end(&mut text)?;
    if !text.starts_with(b"2.") {
        found.deny(Rule::Header, "its format is not 2.x");
    }
    Ok(())
}

fn padding(stream: &mut impl BufRead, found: &mut Problems) -> Result<(), Stop> {
    let Some(byte) = stream.fill_buf()?.first().copied() else {
        return Ok(());
    };
    if byte != b'\n' {
        found.warn(Rule::Junk, "a padding byte is no newline");
    }
    stream.consume(1);
    Ok(())
}
