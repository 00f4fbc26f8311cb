//! The container: strict ustar in which every header byte follows from name and size. The reader builds the header it
//! expects and compares 512 bytes; it never interprets one.

use std::io::{self, Read, Write};

use crate::bundle::BundleError;

/// Size of a header and of the unit that contents are padded to.
pub const BLOCK: usize = 512;
/// Zero bytes that end a bundle.
pub const END: usize = 1024;
/// Name and whole content of the first member.
pub const MARKER: (&str, &[u8]) = ("STAGE-BUNDLE", b"stage-bundle 1\n");
/// The same of a head: what a second person reviews and signs without the artifacts. It begins as a bundle does, so that
/// the signature slot has the same place.
pub const HEAD_MARKER: (&str, &[u8]) = ("STAGE-HEAD", b"stage-head 1\n");
/// Name of the statement.
pub const STATEMENT: &str = "statement.json";
/// Name of the signature slot.
pub const SIGNATURES: &str = "signatures.json";
/// Size of the signature slot.
pub const SLOT: usize = 32_768;
/// Name of the carried trust roots.
pub const ROOTS: &str = "roots.json";
/// Name of the manifest.
pub const MANIFEST: &str = "manifest.json";

/// The largest size that 11 octal digits can say.
const MAX_SIZE: u64 = (8 << 30) - 1;

/// The one header for `name` (at most 100 bytes) and `size` (below 8 GiB): a regular file, mode 0644, owner 0, time 0.
pub fn header(name: &str, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block, 0, name.as_bytes());
    put(&mut block, 100, b"0000644\0");
    put(&mut block, 108, b"0000000\0");
    put(&mut block, 116, b"0000000\0");
    put(&mut block, 124, format!("{size:011o}\0").as_bytes());
    put(&mut block, 136, b"00000000000\0");
    put(&mut block, 148, b"        ");
    put(&mut block, 156, b"0");
    put(&mut block, 257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
    block
}

fn put(block: &mut [u8; BLOCK], offset: usize, bytes: &[u8]) {
    for (to, from) in block.iter_mut().skip(offset).zip(bytes) {
        *to = *from;
    }
}

/// The size a header states: 11 octal digits and a NUL.
fn stated_size(block: &[u8; BLOCK]) -> Option<u64> {
    let digits = block.get(124..135)?;
    let ends = block.get(135) == Some(&0);
    digits
        .iter()
        .try_fold(0_u64, |size, digit| match digit {
            b'0'..=b'7' => Some(size * 8 + u64::from(digit - b'0')),
            _ => None,
        })
        .filter(|_| ends)
}

/// Bytes of padding after `size` bytes of content.
pub fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    (BLOCK - over) % BLOCK
}

/// Writes header, content and padding.
pub fn write_member(out: &mut dyn Write, name: &str, content: &[u8]) -> io::Result<()> {
    out.write_all(&header(name, content.len() as u64))?;
    out.write_all(content)?;
    write_padding(out, content.len() as u64)
}

/// Writes the zero bytes after `size` bytes of content.
pub fn write_padding(out: &mut dyn Write, size: u64) -> io::Result<()> {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    out.write_all(ZEROS.get(..padding(size)).unwrap_or_default())
}

/// How large a member may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Exactly so many bytes.
    Exactly(u64),
    /// At most so many bytes.
    AtMost(u64),
}

/// Reads members in the one order they may have.
#[derive(Debug)]
pub struct Members<R> {
    input: R,
}

impl<R: Read> Members<R> {
    /// Reads from the first byte of a bundle.
    pub const fn new(input: R) -> Self {
        Self { input }
    }

    /// Fills `buffer`; fewer bytes are a truncated bundle.
    pub fn fill(&mut self, buffer: &mut [u8]) -> Result<(), BundleError> {
        self.input.read_exact(buffer).map_err(|source| {
            if source.kind() == io::ErrorKind::UnexpectedEof {
                BundleError::Truncated
            } else {
                BundleError::Read { source }
            }
        })
    }

    /// Reads the header of `name`; returns its size.
    pub fn header(&mut self, name: &str, size: Size) -> Result<u64, BundleError> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        let malformed = |reason| BundleError::Header {
            member: name.to_owned(),
            reason,
        };
        let stated = stated_size(&block).filter(|stated| *stated <= MAX_SIZE);
        let stated = stated.ok_or_else(|| malformed("its size is not 11 octal digits"))?;
        if block != header(name, stated) {
            return Err(malformed("it is not the one header of this name and size"));
        }
        match size {
            Size::Exactly(expected) if stated != expected => Err(BundleError::MemberSize {
                member: name.to_owned(),
                expected,
                found: stated,
            }),
            Size::AtMost(limit) if stated > limit => Err(BundleError::Limit {
                what: name.to_owned(),
                found: stated,
                limit,
            }),
            _ => Ok(stated),
        }
    }

    /// Reads a whole member: header, content, padding. `size` must bound it.
    pub fn member(&mut self, name: &str, size: Size) -> Result<Vec<u8>, BundleError> {
        let size = self.header(name, size)?;
        let mut content = Vec::new();
        let read = (&mut self.input)
            .take(size)
            .read_to_end(&mut content)
            .map_err(|source| BundleError::Read { source })?;
        if read as u64 != size {
            return Err(BundleError::Truncated);
        }
        self.padding(name, size)?;
        Ok(content)
    }

    /// Reads the zero bytes after `size` bytes of `name`.
    pub fn padding(&mut self, name: &str, size: u64) -> Result<(), BundleError> {
        let mut block = [0; BLOCK];
        let buffer = block.get_mut(..padding(size)).unwrap_or_default();
        self.fill(buffer)?;
        if buffer.iter().any(|b| *b != 0) {
            return Err(BundleError::Padding {
                member: name.to_owned(),
            });
        }
        Ok(())
    }

    /// Reads the end marker and checks that nothing follows.
    pub fn end(&mut self) -> Result<(), BundleError> {
        let mut block = [0; END];
        self.fill(&mut block)?;
        if block.iter().any(|b| *b != 0) {
            return Err(BundleError::EndMarker);
        }
        match self.fill(&mut [0; 1]) {
            Err(BundleError::Truncated) => Ok(()),
            Ok(()) => Err(BundleError::Trailing),
            Err(other) => Err(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, MARKER, Members, Size, header, padding, stated_size, write_member};
    use crate::bundle::BundleError;

    #[test]
    fn the_header_is_the_one_other_tools_read() {
        let mut bytes = Vec::new();
        write_member(&mut bytes, MARKER.0, MARKER.1).unwrap();
        bytes.extend([0; 1024]);
        let mut archive = tar::Archive::new(&bytes[..]);
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        let head = entry.header();
        assert_eq!(entry.path().unwrap().to_str(), Some(MARKER.0));
        assert_eq!((entry.size(), head.mode().unwrap()), (15, 0o644));
        assert_eq!((head.uid().unwrap(), head.mtime().unwrap()), (0, 0));
    }

    #[test]
    fn sizes_are_eleven_octal_digits() {
        for size in [0, 1, 511, 512, (8 << 30) - 1] {
            assert_eq!(stated_size(&header("x", size)), Some(size));
        }
        assert_eq!(stated_size(&[0; BLOCK]), None);
        assert_eq!((padding(0), padding(1), padding(512)), (0, 511, 0));
    }

    #[test]
    fn every_changed_header_bit_is_refused() {
        let mut good = Vec::new();
        write_member(&mut good, "x", b"abc").unwrap();
        for bit in 0..BLOCK * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let error = Members::new(&bad[..])
                .member("x", Size::AtMost(100))
                .unwrap_err();
            assert!(
                matches!(error, BundleError::Header { .. }),
                "{bit}: {error}"
            );
        }
        for cut in 0..good.len() {
            let error = Members::new(&good[..cut])
                .member("x", Size::AtMost(100))
                .unwrap_err();
            assert!(matches!(error, BundleError::Truncated), "{cut}: {error}");
        }
    }
}
