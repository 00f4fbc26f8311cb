//! Decompression that says when a stream unpacks to more than can be meant, and what follows its end.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

use crate::lint::{Problems, Rule, Stop};

/// Unpacked bytes below which the ratio does not matter.
const FREE: u64 = 64 << 20;
/// Most unpacked bytes per packed byte.
const MAX_RATIO: u64 = 200;
/// Most unpacked bytes of one artifact.
const MAX_UNPACKED: u64 = 32 << 30;
/// Memory that a decompressor may ask for, in bytes.
const MAX_MEMORY: u64 = 256 << 20;
/// The same in KiB.
const MAX_MEMORY_KIB: u32 = 256 << 10;

/// How a stream is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Xz,
    Zstd,
}

impl Packing {
    /// By the first bytes.
    pub(super) fn of(head: &[u8]) -> Self {
        if head.starts_with(b"\x1f\x8b") {
            Self::Gzip
        } else if head.starts_with(b"\xfd7zXZ\0") {
            Self::Xz
        } else if head.starts_with(b"\x28\xb5\x2f\xfd") {
            Self::Zstd
        } else {
            Self::Plain
        }
    }
}

/// A reader that stops where more comes out than `packed` bytes can mean.
#[derive(Debug)]
pub(super) struct Bounded<R> {
    inner: R,
    most: u64,
    /// Whether the limit was reached.
    pub(super) burst: bool,
}

impl<R> Bounded<R> {
    pub(super) fn new(inner: R, packed: u64) -> Self {
        Self {
            inner,
            most: most(packed),
            burst: false,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        let Some(left) = self.most.checked_sub(read as u64) else {
            self.burst = true;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        };
        self.most = left;
        Ok(read)
    }
}

/// Most bytes that `packed` bytes may unpack to.
pub(super) fn most(packed: u64) -> u64 {
    packed.saturating_mul(MAX_RATIO).clamp(FREE, MAX_UNPACKED)
}

/// Unpacks `stream` of `packed` bytes and hands it to `read`; then looks at what follows.
pub(super) fn unpacked(
    mut stream: impl BufRead,
    packed: u64,
    found: &mut Problems,
    read: &mut dyn FnMut(&mut dyn Read, &mut Problems) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let packing = Packing::of(stream.fill_buf()?);
    let result = match packing {
        Packing::Plain => bounded(&mut stream, packed, found, read),
        Packing::Gzip => {
            let mut gzip = GzDecoder::new(stream);
            let result = bounded(&mut gzip, packed, found, read);
            stream = gzip.into_inner();
            result
        }
        Packing::Xz => {
            let mut xz = lzma_rust2::XzReader::new_mem_limit(&mut stream, false, MAX_MEMORY_KIB);
            bounded(&mut xz, packed, found, read)
        }
        Packing::Zstd => {
            let mut zstd = zstd::Decoder::with_buffer(&mut stream)?.single_frame();
            zstd.window_log_max(MAX_MEMORY.ilog2())?;
            bounded(&mut zstd, packed, found, read)
        }
    };
    result?;
    let rest = io::copy(&mut stream, &mut io::sink())?;
    if rest > 0 {
        found.deny(
            Rule::Junk,
            format!("{rest} bytes follow the end of the compressed stream"),
        );
    }
    Ok(())
}

fn bounded(
    stream: &mut dyn Read,
    packed: u64,
    found: &mut Problems,
    read: &mut dyn FnMut(&mut dyn Read, &mut Problems) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut bounded = Bounded::new(stream, packed);
    let result = read(&mut bounded, found);
    if bounded.burst {
        found.deny(
            Rule::TooLarge,
            format!("{packed} bytes unpack to more than {} bytes", most(packed)),
        );
        return Err(Stop::Enough);
    }
    result
}
