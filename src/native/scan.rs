//! One artifact: the ELF files in it and the links between them.

use std::io::{self, Read};

use crate::base::limits::Limited;
use crate::fs::OpenFile;
use crate::native::elf::{self, Elf};
use crate::unpack::{self, Container, Member, Part};

/// Largest ELF file that is looked at, in bytes.
const MAX_ELF: u64 = 1 << 30;
/// Most ELF files of one artifact.
const MAX_BINARIES: usize = 20_000;
/// Most links of one artifact.
const MAX_LINKS: usize = 50_000;

/// What an artifact holds.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// Whether its members go to the root of the file system.
    pub(super) system: bool,
    /// Dynamically linked files by their path in the archive; empty for a file that is no archive.
    pub(super) binaries: Vec<(String, Elf)>,
    /// Symbolic links that may be names of libraries, with their targets.
    pub(super) links: Vec<(String, String)>,
    /// What could not be read: path, and why.
    pub(super) unreadable: Vec<(String, String)>,
}

/// Looks into an artifact. What is damaged is remembered, not an error: an archive that no client can unpack is for
/// other checks to find.
pub(super) fn scan(file: OpenFile) -> Scanned {
    let mut found = Scanned::default();
    let walked = unpack::walk(file, Part::Data, &mut |path, member| match member {
        Member::Link(target) => {
            let library = path
                .rsplit('/')
                .next()
                .is_some_and(|name| name.contains(".so"));
            if library && found.links.len() < MAX_LINKS {
                found.links.push((path.to_owned(), target.to_owned()));
            }
            Ok(())
        }
        Member::File(bytes) => found.file(path, bytes),
    });
    match walked {
        Ok(container) => found.system = container == Container::Debian,
        Err(error) => found.unreadable.push((String::new(), error.to_string())),
    }
    found
}

impl Scanned {
    fn file(&mut self, path: &str, stream: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        stream
            .take(unpack::ELF_MAGIC.len() as u64)
            .read_to_end(&mut bytes)?;
        if bytes != unpack::ELF_MAGIC {
            return Ok(());
        }
        if self.binaries.len() + self.unreadable.len() >= MAX_BINARIES {
            return Err(io::Error::other(format!(
                "more than {MAX_BINARIES} programs"
            )));
        }
        if let Err(error) = Limited::new(stream, MAX_ELF).read_to_end(&mut bytes) {
            if error.kind() != io::ErrorKind::FileTooLarge {
                return Err(error);
            }
            self.unreadable.push((path.to_owned(), error.to_string()));
            return Ok(());
        }
        match elf::read(&bytes) {
            Ok(found) => self
                .binaries
                .extend(found.map(|elf| (path.to_owned(), elf))),
            Err(error) => self.unreadable.push((path.to_owned(), error.to_string())),
        }
        Ok(())
    }
}
