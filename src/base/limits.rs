//! Limits on everything that comes from outside, and the reader that keeps them.

use std::io::{self, Read};

/// Limits of the bundle format and of foreign documents, in bytes unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `statement.json`.
    pub statement: u64,
    /// `roots.json`.
    pub roots: u64,
    /// The approvals beside a bundle.
    pub approvals: u64,
    /// The proof beside a bundle.
    pub proof: u64,
    /// `manifest.json`.
    pub manifest: u64,
    /// One blob: the largest size a ustar header can say.
    pub blob: u64,
    /// Number of files in a bundle.
    pub files: u64,
    /// A metadata answer of a registry.
    pub metadata: u64,
    /// One artifact downloaded from an upstream.
    pub artifact: u64,
    /// A lock, records or other document of ours that is read whole.
    pub document: u64,
}

/// The limits of bundle format 1 and the defaults for downloads.
pub const LIMITS: Limits = Limits {
    statement: 65_536,
    roots: 262_144,
    approvals: 262_144,
    proof: 4 << 20,
    manifest: 256 << 20,
    blob: (8 << 30) - 1,
    files: 2_000_000,
    metadata: 256 << 20,
    artifact: 64 << 30,
    document: 1 << 30,
};

/// A reader that fails, rather than stops, when more than `limit` bytes come.
#[derive(Debug)]
pub struct Limited<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R> Limited<R> {
    /// Wraps `inner`.
    pub const fn new(inner: R, limit: u64) -> Self {
        Self {
            inner,
            left: limit,
            limit,
        }
    }

    /// How many bytes may still come.
    pub const fn left(&self) -> u64 {
        self.left
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => {
                self.left = left;
                Ok(read)
            }
            None => Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("more than the allowed {} bytes", self.limit),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::Limited;

    #[test]
    fn one_byte_too_many_is_an_error_and_not_a_short_read() {
        let mut out = Vec::new();
        assert_eq!(
            Limited::new(&b"abc"[..], 3).read_to_end(&mut out).unwrap(),
            3
        );
        Limited::new(&b"abcd"[..], 3)
            .read_to_end(&mut out)
            .unwrap_err();
    }
}
