//! Indexes of packages as a signed release lists them: which file is fetched, and whether what came is it.

use std::io::Read as _;

use crate::base::digest::Digest;
use crate::base::limits::Limited;
use crate::eco::debian::fault::DebianError;
use crate::eco::debian::release::Release;

/// Most bytes of an index, unpacked.
const UNPACKED: u64 = 1 << 30;

/// How an index is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Packing {
    Xz,
    Gzip,
    Zstd,
    Plain,
}

impl Packing {
    const ALL: [Self; 4] = [Self::Xz, Self::Gzip, Self::Zstd, Self::Plain];

    const fn suffix(self) -> &'static str {
        match self {
            Self::Xz => ".xz",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
            Self::Plain => "",
        }
    }
}

/// One file of a release that is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    /// Path of the index without its packing, such as `main/binary-amd64/Packages`.
    pub(crate) path: String,
    /// SHA-256 of the packed file.
    pub(crate) digest: Digest,
    /// Size of the packed file in bytes.
    pub(crate) size: u64,
    /// Digest and size of the unpacked file, where the release lists it.
    plain: Option<(Digest, u64)>,
    packing: Packing,
}

impl Index {
    /// The smallest form of `<component>/binary-<arch>/Packages` that a release lists.
    pub(crate) fn choose(release: &Release, component: &str, arch: &str) -> Option<Self> {
        Self::listed(release, &format!("{component}/binary-{arch}/Packages"))
    }

    /// The smallest form of the index at a path without its packing.
    pub(crate) fn listed(release: &Release, path: &str) -> Option<Self> {
        let listed = Packing::ALL.into_iter().filter_map(|packing| {
            let (digest, size) = release.files.get(&format!("{path}{}", packing.suffix()))?;
            Some((*size, packing, *digest))
        });
        let (size, packing, digest) = listed.min()?;
        let plain = release.files.get(path).copied();
        Some(Self {
            path: path.to_owned(),
            digest,
            size,
            plain,
            packing,
        })
    }

    /// Its file below the release.
    pub(crate) fn file(&self) -> String {
        format!("{}{}", self.path, self.packing.suffix())
    }

    /// Its file below the release by digest.
    pub(crate) fn by_hash(&self) -> String {
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/by-hash/SHA256/{}", self.digest.hex())
    }

    /// The unpacked text, once the bytes that came are the ones the release lists.
    pub(crate) fn open(&self, release: &str, bytes: Vec<u8>) -> Result<Vec<u8>, DebianError> {
        let fail = |reason: &str, expected: String, found: String| DebianError::Index {
            index: format!("{} of {release}", self.file()),
            reason: reason.to_owned(),
            expected,
            found,
        };
        let sizes = (self.size, bytes.len() as u64);
        if sizes.0 != sizes.1 {
            return Err(fail(
                "its size differs",
                format!("{} bytes", sizes.0),
                format!("{} bytes", sizes.1),
            ));
        }
        let found = Digest::of(&bytes);
        if found != self.digest {
            return Err(fail(
                "its digest differs",
                self.digest.to_string(),
                found.to_string(),
            ));
        }
        let limit = self.plain.map_or(UNPACKED, |(_, size)| size.min(UNPACKED));
        let text = self.unpack(bytes, limit).map_err(|error| {
            let why = crate::base::text::escaped(&error.to_string());
            fail(
                "it cannot be unpacked",
                format!("at most {limit} bytes"),
                why,
            )
        })?;
        if let Some((digest, _)) = self.plain {
            let found = Digest::of(&text);
            if found != digest {
                return Err(fail(
                    "its unpacked digest differs",
                    digest.to_string(),
                    found.to_string(),
                ));
            }
        }
        Ok(text)
    }

    fn unpack(&self, bytes: Vec<u8>, limit: u64) -> std::io::Result<Vec<u8>> {
        let packed = bytes.as_slice();
        let mut text = Vec::new();
        match self.packing {
            Packing::Plain => return Ok(bytes),
            Packing::Xz => {
                let reader = xz2::read::XzDecoder::new_multi_decoder(packed);
                Limited::new(reader, limit).read_to_end(&mut text)?;
            }
            Packing::Gzip => {
                let reader = flate2::read::MultiGzDecoder::new(packed);
                Limited::new(reader, limit).read_to_end(&mut text)?;
            }
            Packing::Zstd => {
                let reader = zstd::stream::read::Decoder::new(packed)?;
                Limited::new(reader, limit).read_to_end(&mut text)?;
            }
        }
        Ok(text)
    }
}
