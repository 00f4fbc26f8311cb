//! Going through what an artifact holds, without unpacking it: wheels and other zip files, tarballs of any of the usual
//! compressions, `.deb` files (deb(5)), single files. The kind is told by the first bytes, not by the name. Number and
//! size of members are bounded, and only a `.deb` may hold an archive of its own.
//!
//! What is found is up to who asks: `native` looks for programs, `holes` for scripts and texts, `hids` hashes all of it.

use std::io::{self, BufRead as _, BufReader, Cursor, Read, Seek as _, SeekFrom};

use flate2::read::MultiGzDecoder;

use crate::base::limits::Limited;
use crate::fs::OpenFile;

/// Most bytes of one artifact after unpacking.
const MAX_UNPACKED: u64 = 32 << 30;
/// Most members of one artifact.
const MAX_MEMBERS: usize = 500_000;
/// Most members of the outer archive of a `.deb`; deb(5) has three.
const MAX_OUTER: usize = 16;
/// Memory that a decompressor may ask for, in bytes: what `xz -9` and `zstd --ultra` need.
const MAX_MEMORY: u64 = 256 << 20;
/// The same in KiB.
const MAX_MEMORY_KIB: u32 = 256 << 10;
/// Bytes read at a time.
const BUFFER: usize = 1 << 16;
/// Bytes that tell what a stream is; the magic of tar stands at 257.
const HEAD: usize = 512;
/// How an ELF file begins, the only single file that is gone into.
pub(crate) const ELF_MAGIC: &[u8] = b"\x7fELF";
/// Longest target of a symbolic link, in bytes.
const MAX_LINK: usize = 4096;

/// How an artifact was packed, as far as that decides where its members go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    /// A `.deb`: members go to the root of the file system.
    Debian,
    /// A zip file, such as a wheel.
    Zip,
    /// A tarball.
    Tar,
    /// One file, as it is.
    Single,
    /// Nothing that can be gone through.
    Other,
}

/// Which part of a `.deb` is gone through; other archives have one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// What is installed.
    Data,
    /// What dpkg reads and runs: maintainer scripts, shown below `DEBIAN/`.
    Control,
}

/// One member.
pub(crate) enum Member<'a> {
    /// A regular file with its bytes.
    File(&'a mut dyn Read),
    /// A symbolic link with its target.
    Link(&'a str),
}

/// What an archive says of a member beside its bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Header<'a> {
    /// Its mode; `None` where the archive has none.
    pub(crate) mode: Option<u32>,
    /// The member that a hard link is.
    pub(crate) same_as: Option<&'a str>,
}

/// Is handed each member with its path as the archive has it.
#[cfg(feature = "connected")]
pub(crate) type Visit<'v> = dyn FnMut(&str, Member<'_>) -> io::Result<()> + 'v;
/// Is handed what the archive says of it, too.
pub(crate) type VisitWhole<'v> = dyn FnMut(&str, Header<'_>, Member<'_>) -> io::Result<()> + 'v;

/// Goes through `file` from its beginning.
#[cfg(feature = "connected")]
pub(crate) fn walk(file: OpenFile, part: Part, visit: &mut Visit<'_>) -> io::Result<Container> {
    walk_whole(file, part, &mut |path, _header, member| visit(path, member))
}

/// Goes through `file` from its beginning, for those who ask what the archive says of each member, too.
pub(crate) fn walk_whole(
    mut file: OpenFile,
    part: Part,
    visit: &mut VisitWhole<'_>,
) -> io::Result<Container> {
    let head = head(&mut file)?;
    file.seek(SeekFrom::Start(0))?;
    if head.starts_with(b"PK\x03\x04") {
        zip(file, visit)?;
        return Ok(Container::Zip);
    }
    if head.starts_with(b"!<arch>\n") {
        debian(&mut BufReader::with_capacity(BUFFER, file), part, visit)?;
        return Ok(Container::Debian);
    }
    unpacked(Box::new(file), visit)
}

/// The first bytes of a stream.
fn head(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    stream.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// A tarball or a single file, compressed or not.
fn unpacked(mut stream: Box<dyn Read + '_>, visit: &mut VisitWhole<'_>) -> io::Result<Container> {
    let first = head(&mut stream)?;
    let stream = Cursor::new(first.clone()).chain(stream);
    let Some(plain) = decoder(&first, Box::new(stream))? else {
        return Ok(Container::Other);
    };
    let mut plain = Limited::new(plain, MAX_UNPACKED);
    let first = head(&mut plain)?;
    let is_tar = first.get(257..262) == Some(b"ustar");
    let mut stream = Cursor::new(first.clone()).chain(plain);
    if is_tar {
        tar(stream, visit)?;
        return Ok(Container::Tar);
    }
    if first.starts_with(ELF_MAGIC) {
        visit("", Header::default(), Member::File(&mut stream))?;
        return Ok(Container::Single);
    }
    Ok(Container::Other)
}

/// What undoes the compression that `head` shows; `None` when it is nothing that is known.
fn decoder<'r>(head: &[u8], stream: Box<dyn Read + 'r>) -> io::Result<Option<Box<dyn Read + 'r>>> {
    if head.starts_with(b"\x1f\x8b") {
        return Ok(Some(Box::new(MultiGzDecoder::new(stream))));
    }
    if head.starts_with(b"\xfd7zXZ\0") {
        let xz = lzma_rust2::XzReader::new_mem_limit(stream, true, MAX_MEMORY_KIB);
        return Ok(Some(Box::new(xz)));
    }
    if head.starts_with(b"\x28\xb5\x2f\xfd") {
        let mut zstd = zstd::Decoder::new(stream)?;
        zstd.window_log_max(MAX_MEMORY.ilog2())?;
        return Ok(Some(Box::new(zstd)));
    }
    let known = head.get(257..262) == Some(b"ustar") || head.starts_with(ELF_MAGIC);
    Ok(known.then_some(stream))
}

fn tar(stream: impl Read, visit: &mut VisitWhole<'_>) -> io::Result<()> {
    let mut archive = tar::Archive::new(BufReader::with_capacity(BUFFER, stream));
    for (number, entry) in archive.entries()?.enumerate() {
        bounded(number, MAX_MEMBERS)?;
        let mut entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        let mode = entry.header().mode().ok();
        let mut header = Header {
            mode,
            same_as: None,
        };
        if kind.is_file() {
            visit(&path, header, Member::File(&mut entry))?;
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name_bytes().unwrap_or_default().into_owned();
            let target = String::from_utf8_lossy(target.get(..MAX_LINK).unwrap_or(&target));
            header.same_as = kind.is_hard_link().then_some(&*target);
            // A hard link names a member, which for our purpose is a file of that name.
            let name = if kind.is_symlink() {
                target.as_ref()
            } else {
                target.rsplit('/').next().unwrap_or_default()
            };
            visit(&path, header, Member::Link(name))?;
        }
    }
    Ok(())
}

fn zip(file: OpenFile, visit: &mut VisitWhole<'_>) -> io::Result<()> {
    let mut archive =
        zip::ZipArchive::new(BufReader::with_capacity(BUFFER, file)).map_err(io::Error::other)?;
    bounded(archive.len(), MAX_MEMBERS + 1)?;
    let mut left = MAX_UNPACKED;
    for number in 0..archive.len() {
        let member = archive.by_index(number).map_err(io::Error::other)?;
        if !member.is_file() {
            continue;
        }
        let path = member.name().to_owned();
        let header = Header {
            mode: member.unix_mode(),
            same_as: None,
        };
        let mut member = Limited::new(member, left);
        visit(&path, header, Member::File(&mut member))?;
        left = member.left();
    }
    Ok(())
}

/// One part of a `.deb`: an `ar` archive with `debian-binary`, `control.tar*` and `data.tar*`.
fn debian(
    file: &mut BufReader<OpenFile>,
    part: Part,
    visit: &mut VisitWhole<'_>,
) -> io::Result<()> {
    let mut magic = [0; 8];
    file.read_exact(&mut magic)?;
    for number in 0.. {
        bounded(number, MAX_OUTER)?;
        if file.fill_buf()?.is_empty() {
            break;
        }
        let mut header = [0; 60];
        file.read_exact(&mut header)?;
        let field = |range: std::ops::Range<usize>| {
            let text = header.get(range).and_then(|b| std::str::from_utf8(b).ok());
            text.map(str::trim).unwrap_or_default()
        };
        let name = field(0..16).trim_end_matches('/').to_owned();
        let size: u64 = field(48..58)
            .parse()
            .map_err(|_number| io::Error::other("a member of the .deb has no size"))?;
        let mut member = file.by_ref().take(size);
        if part == Part::Data && name.starts_with("data.tar") {
            unpacked(Box::new(member), visit)?;
            return Ok(());
        }
        if part == Part::Control && name.starts_with("control.tar") {
            unpacked(Box::new(member), &mut |path, header, member| {
                let path = path.trim_start_matches("./");
                visit(&format!("DEBIAN/{path}"), header, member)
            })?;
            return Ok(());
        }
        let padded = size.checked_add(size % 2).unwrap_or(size);
        member.set_limit(padded);
        io::copy(&mut member, &mut io::sink())?;
    }
    let missing = match part {
        Part::Data => "the .deb has no data archive",
        Part::Control => "the .deb has no control archive",
    };
    Err(io::Error::other(missing))
}

fn bounded(number: usize, most: usize) -> io::Result<()> {
    if number < most {
        return Ok(());
    }
    Err(io::Error::other(format!("more than {most} members")))
}
