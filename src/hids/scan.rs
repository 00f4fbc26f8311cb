//! What an archive holds: every regular file with its digests, symbolic links with their targets.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::Kind;
use crate::base::digest::{Digests, Hasher};
use crate::fs::OpenFile;
use crate::unpack::{self, Container, ELF_MAGIC, Member, Part};

/// Bytes read at a time.
const BUFFER: usize = 1 << 16;
/// Bytes at the beginning of a file that tell what it is; npm looks at as many for the end of the first line.
const HEAD: usize = 2048;

/// A regular file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Its path as the archive has it.
    pub(super) path: String,
    /// Its mode as the archive has it.
    pub(super) mode: Option<u32>,
    /// Its digests.
    pub(super) digests: Digests,
    /// Its size.
    pub(super) size: u64,
    /// What it is.
    pub(super) kind: Kind,
    /// What npm makes of it where it is a command whose first line ends as on Windows: digests and size.
    pub(super) corrected: Option<(Digests, u64)>,
    /// Its first line begins with `#!python`, which pip replaces in scripts.
    pub(super) python: bool,
    /// The archive has a hard link here.
    pub(super) hard_link: bool,
}

/// What an archive holds, in its order.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Regular files; a hard link is the file that it names.
    pub(super) files: Vec<Scanned>,
    /// Symbolic links: their paths and targets.
    pub(super) links: Vec<(String, String)>,
}

/// Everything in an archive.
pub(super) fn scan(file: OpenFile) -> io::Result<Members> {
    let mut out = Members::default();
    let mut by_path: BTreeMap<String, usize> = BTreeMap::new();
    let walked = unpack::walk_whole(file, Part::Data, &mut |path, header, member| {
        let found = match (member, header.same_as) {
            (Member::File(bytes), _) => read(path, header.mode, bytes)?,
            (Member::Link(_), Some(same)) => {
                let original = by_path.get(same).and_then(|at| out.files.get(*at));
                let Some(original) = original.cloned() else {
                    return Ok(());
                };
                Scanned {
                    path: path.to_owned(),
                    hard_link: true,
                    ..original
                }
            }
            (Member::Link(target), None) => {
                out.links.push((path.to_owned(), target.to_owned()));
                return Ok(());
            }
        };
        by_path.insert(path.to_owned(), out.files.len());
        out.files.push(found);
        Ok(())
    })?;
    match walked {
        Container::Other | Container::Single => Err(io::Error::other("it is no archive")),
        Container::Debian | Container::Zip | Container::Tar => Ok(out),
    }
}

fn read(path: &str, mode: Option<u32>, bytes: &mut dyn Read) -> io::Result<Scanned> {
    let mut head = Vec::with_capacity(HEAD);
    bytes.take(HEAD as u64).read_to_end(&mut head)?;
    let mut hasher = Hasher::default();
    hasher.update(&head);
    let mut corrected = without_return(&head).map(|(before, after)| {
        let mut hasher = Hasher::default();
        hasher.update(before);
        hasher.update(after);
        hasher
    });
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = bytes.read(&mut buffer)?;
        let part = buffer.get(..read).unwrap_or_default();
        if part.is_empty() {
            break;
        }
        hasher.update(part);
        if let Some(corrected) = &mut corrected {
            corrected.update(part);
        }
    }
    let (digests, size) = hasher.finish();
    Ok(Scanned {
        path: path.to_owned(),
        mode,
        digests,
        size,
        kind: match head.starts_with(b"#!") {
            true => Kind::Script,
            false if head.starts_with(ELF_MAGIC) => Kind::Native,
            false => Kind::Data,
        },
        corrected: corrected.map(Hasher::finish),
        python: head.starts_with(b"#!python"),
        hard_link: false,
    })
}

/// What is before and after the carriage return that ends a first line with `#!`, if it ends so.
fn without_return(head: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = head.iter().position(|byte| *byte == b'\n')?;
    let (line, after) = head.split_at_checked(end)?;
    let before = line.strip_suffix(b"\r")?;
    (before.len() > 2 && before.starts_with(b"#!")).then_some((before, after))
}
