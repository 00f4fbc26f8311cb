//! Tarballs: every header read as POSIX.1-1988 says, with the extensions of pax and GNU as far as they have one reading.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use crate::base::digest::{Digest, Hasher};
use crate::lint::names::{self, Names, What};
use crate::lint::pax::{self, Extended};
use crate::lint::{Problems, Rule, Stop, named, stream};

/// Bytes of a block.
const BLOCK: usize = 512;
/// Bytes read at a time.
const CHUNK: usize = 1 << 16;
/// Most members.
const MAX_MEMBERS: usize = 500_000;
/// Longest GNU long name, in bytes.
const MAX_LONG: u64 = 1 << 16;

/// What the tarball is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// An npm package: clients drop the first folder and every link.
    Package,
    /// A source distribution.
    Source,
    /// A crate: everything is below this folder.
    Crate(&'a str),
    /// A part of a `.deb`: absolute links and special modes are usual.
    System,
}

/// Reads a compressed tarball from its beginning.
pub(super) fn packed(
    file: &mut (impl Read + Seek),
    kind: Kind<'_>,
    found: &mut Problems,
) -> Result<(), Stop> {
    let size = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let stream = BufReader::with_capacity(1 << 16, file);
    stream::unpacked(stream, size, found, &mut |stream, found| {
        read(stream, kind, found)
    })
}

/// Reads a tarball.
pub(super) fn read(
    stream: &mut dyn Read,
    kind: Kind<'_>,
    found: &mut Problems,
) -> Result<(), Stop> {
    let mut reader = Reader {
        stream,
        kind,
        names: Names::new(usize::from(kind == Kind::Package)),
        extended: None,
        long_name: None,
        long_link: None,
        members: 0,
    };
    while let Some(header) = reader.header(found)? {
        reader.member(&header, found)?;
    }
    if reader.extended.is_some() || reader.long_name.is_some() || reader.long_link.is_some() {
        found.deny(
            Rule::Header,
            "the last extended header belongs to no member",
        );
    }
    reader.end(found)
}

struct Reader<'a, 's> {
    stream: &'s mut dyn Read,
    kind: Kind<'a>,
    names: Names,
    /// What waits for the next member.
    extended: Option<Extended>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    members: usize,
}

/// One header block, read.
struct Header {
    name: Vec<u8>,
    link: Vec<u8>,
    size: u64,
    mode: u64,
    kind: u8,
}

impl Reader<'_, '_> {
    /// The next header; `None` at a block of zeros or at the end.
    fn header(&mut self, found: &mut Problems) -> Result<Option<Header>, Stop> {
        let mut block = [0; BLOCK];
        let got = fill(self.stream, &mut block)?;
        if got == 0 {
            found.warn(
                Rule::Damaged,
                "it ends without the blocks that mark the end",
            );
            return Ok(None);
        }
        if got < BLOCK {
            return Err(Stop::damaged("it ends in the middle of a header"));
        }
        if block.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        self.members += 1;
        if self.members > MAX_MEMBERS {
            found.deny(
                Rule::TooLarge,
                format!("it has more than {MAX_MEMBERS} members"),
            );
            return Err(Stop::Enough);
        }
        Header::parse(&block, found).map(Some)
    }

    fn member(&mut self, header: &Header, found: &mut Problems) -> Result<(), Stop> {
        match header.kind {
            b'x' | b'g' => {
                let global = header.kind == b'g';
                let bytes = self.content(header.size, pax::MAX, found)?;
                let extended = Extended::parse(&bytes, global, found);
                if !global && self.extended.replace(extended).is_some() {
                    found.deny(Rule::Header, "two extended headers stand before one member");
                }
                Ok(())
            }
            b'L' | b'K' => {
                let mut text = self.content(header.size, MAX_LONG, found)?;
                while text.last() == Some(&0) {
                    text.pop();
                }
                let slot = if header.kind == b'L' {
                    &mut self.long_name
                } else {
                    &mut self.long_link
                };
                if slot.replace(text).is_some() {
                    found.deny(Rule::Header, "two long names stand before one member");
                }
                Ok(())
            }
            _ => self.ordinary(header, found),
        }
    }

    fn ordinary(&mut self, header: &Header, found: &mut Problems) -> Result<(), Stop> {
        let extended = self.extended.take().unwrap_or_default();
        let name = one_of(self.long_name.take(), extended.path, &header.name, found);
        let link = one_of(
            self.long_link.take(),
            extended.linkpath,
            &header.link,
            found,
        );
        if extended.size.is_some_and(|size| size != header.size) {
            let message = format!(
                "{} has one size in its header and another in its extended header",
                named(&name)
            );
            found.deny(Rule::Header, message);
            return Err(Stop::Enough);
        }
        let what = self.what(header, &name, found);
        let has_content = matches!(header.kind, b'0' | 0 | b'7');
        if !has_content && header.size > 0 {
            found.deny(
                Rule::Header,
                format!("{} is no file and has a size", named(&name)),
            );
            return Err(Stop::Enough);
        }
        let digest = self.digest(header.size)?;
        match what {
            Some(What::File(_)) if has_content => {
                self.place(&name, &link, What::File(Some(digest)), header, found);
            }
            Some(what) => self.place(&name, &link, what, header, found),
            None => {}
        }
        Ok(())
    }

    /// What a member is by its type; `None` for what nobody should unpack.
    fn what(&self, header: &Header, name: &[u8], found: &mut Problems) -> Option<What> {
        let system = self.kind == Kind::System;
        match header.kind {
            b'0' | 0 if name.ends_with(b"/") && header.kind == b'0' => {
                found.deny(
                    Rule::Header,
                    format!("{} is a file named like a folder", named(name)),
                );
                None
            }
            0 if name.ends_with(b"/") => Some(What::Folder),
            b'0' | 0 | b'1' => Some(What::File(None)),
            b'5' => Some(What::Folder),
            b'2' => Some(What::Link),
            b'3' | b'4' | b'6' if system => Some(What::File(None)),
            b'3' | b'4' | b'6' => {
                found.deny(
                    Rule::Special,
                    format!("{} is a device or a pipe", named(name)),
                );
                None
            }
            other => {
                let message = format!(
                    "{} is of type {}, which clients read differently",
                    named(name),
                    named(&[other])
                );
                found.deny(Rule::Header, message);
                None
            }
        }
    }

    fn place(
        &mut self,
        name: &[u8],
        link: &[u8],
        what: What,
        header: &Header,
        found: &mut Problems,
    ) {
        let linked = matches!(header.kind, b'1' | b'2');
        if linked && self.kind == Kind::Package {
            // npm drops links before it unpacks, so nothing is there and nothing can lie below it.
            found.warn(
                Rule::Link,
                format!("{} is a link, which npm leaves out", named(name)),
            );
            names::path(name, found);
            return;
        }
        let Some(path) = self.names.add(name, what, found) else {
            return;
        };
        let depth = match self.kind {
            Kind::Crate(folder) => {
                if path != folder && !path.starts_with(&format!("{folder}/")) {
                    found.deny(
                        Rule::Path,
                        format!("{} is not below {}", named(name), named(folder.as_bytes())),
                    );
                }
                1
            }
            Kind::Package | Kind::Source | Kind::System => 0,
        };
        if header.mode & 0o6000 != 0 && self.kind != Kind::System {
            found.warn(
                Rule::Special,
                format!(
                    "{} would run as its owner (mode {:04o})",
                    named(name),
                    header.mode
                ),
            );
        }
        match header.kind {
            b'1' => self.hard_link(name, link, found),
            b'2' if self.kind != Kind::System && !stays_inside(&path, link, depth) => {
                found.deny(
                    Rule::Link,
                    format!(
                        "{} is a link to {}, outside of its folder",
                        named(name),
                        named(link)
                    ),
                );
            }
            _ => {}
        }
    }

    fn hard_link(&self, name: &[u8], link: &[u8], found: &mut Problems) {
        let target = names::path(link, &mut Problems::default());
        if !target.is_some_and(|target| self.names.has_file(&target)) {
            found.deny(
                Rule::Link,
                format!(
                    "{} is a hard link to {}, which is no member before it",
                    named(name),
                    named(link)
                ),
            );
        }
    }

    /// Content of at most `limit` bytes, with its padding gone.
    fn content(&mut self, size: u64, limit: u64, found: &mut Problems) -> Result<Vec<u8>, Stop> {
        if size > limit {
            found.deny(Rule::Header, format!("an extended header has {size} bytes"));
            return Err(Stop::Enough);
        }
        let mut bytes = Vec::new();
        let padded = padded(size);
        (&mut *self.stream).take(padded).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < padded {
            return Err(Stop::damaged("it ends in the middle of an extended header"));
        }
        bytes.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(bytes)
    }

    /// Reads a member's content.
    fn digest(&mut self, size: u64) -> Result<Digest, Stop> {
        let mut content = (&mut *self.stream).take(size);
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(CHUNK).clamp(1, CHUNK)];
        let mut left = size;
        loop {
            let read = content.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hasher.update(buffer.get(..read).unwrap_or_default());
            left -= read as u64;
        }
        if left > 0 {
            return Err(Stop::damaged("it ends in the middle of a member"));
        }
        // Some writers leave out the padding of the last member.
        io::copy(
            &mut (&mut *self.stream).take(padded(size) - size),
            &mut io::sink(),
        )?;
        Ok(hasher.finish().0.sha256)
    }

    /// After the first block of zeros there is nothing but zeros: clients that go on reading see no more either.
    fn end(&mut self, found: &mut Problems) -> Result<(), Stop> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = self.stream.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            if buffer.iter().take(read).any(|b| *b != 0) {
                found.deny(Rule::Junk, "data follows the end of the archive");
                return Err(Stop::Enough);
            }
        }
    }
}

fn padded(size: u64) -> u64 {
    size.saturating_add(BLOCK as u64 - 1) / BLOCK as u64 * BLOCK as u64
}

/// The name that counts: GNU's, pax's, or the header's; the first two together are read differently.
fn one_of(
    gnu: Option<Vec<u8>>,
    pax: Option<Vec<u8>>,
    header: &[u8],
    found: &mut Problems,
) -> Vec<u8> {
    match (gnu, pax) {
        (Some(gnu), Some(pax)) => {
            if gnu != pax {
                found.deny(
                    Rule::Header,
                    format!("a member is named {} and {}", named(&gnu), named(&pax)),
                );
            }
            pax
        }
        (Some(name), None) | (None, Some(name)) => name,
        (None, None) => header.to_vec(),
    }
}

fn stays_inside(path: &str, link: &[u8], depth: usize) -> bool {
    std::str::from_utf8(link).is_ok_and(|link| names::stays_inside(path, link, depth))
}

impl Header {
    fn parse(block: &[u8; BLOCK], found: &mut Problems) -> Result<Self, Stop> {
        let field = |from: usize, to: usize| block.get(from..to).unwrap_or_default();
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(at, b)| {
                if (148..156).contains(&at) {
                    32
                } else {
                    u64::from(*b)
                }
            })
            .sum();
        if number(field(148, 156)) != Some(sum) {
            return Err(Stop::damaged("a header has a wrong checksum"));
        }
        let mut name = until_zero(field(0, 100)).to_vec();
        let magic = field(257, 263);
        let posix = magic == b"ustar\0";
        if !posix && magic != b"ustar " && magic.iter().any(|b| *b != 0) {
            found.deny(
                Rule::Header,
                format!("{} has an unknown header", named(&name)),
            );
        }
        // In a POSIX header the name goes on in the prefix; GNU's has times there.
        let prefix = until_zero(field(345, 500));
        if posix && !prefix.is_empty() {
            name = [prefix, b"/", &name].concat();
        }
        let (size, mode) = (field(124, 136), field(100, 108));
        if size.first().is_some_and(|b| b & 0x80 != 0) {
            found.deny(
                Rule::Header,
                format!(
                    "{} has a binary size, which clients read differently",
                    named(&name)
                ),
            );
            return Err(Stop::Enough);
        }
        let Some(size) = number(size) else {
            found.deny(
                Rule::Header,
                format!("{} has no readable size", named(&name)),
            );
            return Err(Stop::Enough);
        };
        Ok(Self {
            link: until_zero(field(157, 257)).to_vec(),
            size,
            mode: number(mode).unwrap_or(0),
            kind: block.get(156).copied().unwrap_or(0),
            name,
        })
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

/// An octal number, with spaces before it and a space or a zero byte after it, as all clients read it.
fn number(field: &[u8]) -> Option<u64> {
    let start = field.iter().position(|b| *b != b' ').unwrap_or(field.len());
    let digits = field.get(start..)?;
    let end = digits
        .iter()
        .position(|b| matches!(b, b' ' | 0))
        .unwrap_or(digits.len());
    let (digits, after) = digits.split_at_checked(end)?;
    if !after.iter().all(|b| matches!(b, b' ' | 0)) {
        return None;
    }
    if digits.is_empty() {
        return Some(0);
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 8)
        .ok()
        .filter(|_| digits.iter().all(u8::is_ascii_digit))
}

/// Reads until `block` is full or the stream ends; how much was read.
fn fill(stream: &mut dyn Read, block: &mut [u8]) -> io::Result<usize> {
    let mut at = 0;
    while let Some(rest) = block.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest)? {
            0 => break,
            read => at += read,
        }
    }
    Ok(at)
}
