//! The on-disk HTTP cache for metadata.
//!
//! One file per URL and `Accept` value (or range of bytes): a line with the SHA-256 of the rest, a line of JSON (validators, coding), the
//! body. A body that came compressed is kept as it came, any other is compressed with zstd, so keeping costs hardly
//! any time. A damaged file is as good as none. The names are digests of the URL without its secrets.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::base::digest::Digest;
use crate::base::limits::Limited;
use crate::fs::{self, FsError};

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Coding {
    /// As a server sent it (RFC 1952).
    Gzip,
    /// As the cache keeps what came uncompressed (RFC 8878).
    Zstd,
    /// Not at all.
    Identity,
}

/// An answer as it is kept.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) etag: Option<String>,
    pub(super) modified: Option<String>,
    pub(super) coding: Coding,
    /// Where the body begins in its file, and the file's size, if it is a part of one.
    pub(super) part: Option<(u64, u64)>,
    pub(super) body: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    etag: Option<String>,
    modified: Option<String>,
    coding: Coding,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<(u64, u64)>,
}

impl Entry {
    /// The body uncompressed, at most `limit` bytes.
    pub(super) fn decoded(&self, limit: u64) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(self.guess(limit));
        let body = self.body.as_slice();
        match self.coding {
            Coding::Gzip => {
                let decoder = flate2::bufread::MultiGzDecoder::new(body);
                Limited::new(decoder, limit).read_to_end(&mut out)?
            }
            Coding::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(body)?;
                Limited::new(decoder, limit).read_to_end(&mut out)?
            }
            Coding::Identity => Limited::new(body, limit).read_to_end(&mut out)?,
        };
        Ok(out)
    }

    /// The size that gzip's trailer claims, as far as it can be believed.
    fn guess(&self, limit: u64) -> usize {
        let claimed = match (self.coding, self.body.last_chunk::<4>()) {
            (Coding::Gzip, Some(tail)) => u32::from_le_bytes(*tail) as usize,
            _ => self.body.len(),
        };
        let ceiling = self.body.len().saturating_mul(32);
        claimed
            .min(ceiling)
            .min(usize::try_from(limit).unwrap_or(usize::MAX))
    }
}

/// The cache.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    root: PathBuf,
}

impl Cache {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.join("http"),
        }
    }

    fn path(&self, url: &Url, accept: Option<&str>) -> PathBuf {
        let mut plain = url.clone();
        if plain.set_username("").is_err() || plain.set_password(None).is_err() {
            // Only URLs without host refuse this, and those are not asked for.
        }
        let key = format!("{plain}\n{}", accept.unwrap_or_default());
        let hex = Digest::of(key.as_bytes()).hex();
        self.root.join(hex.get(..2).unwrap_or("00")).join(hex)
    }

    /// The answer kept for `url`; `None` when there is none or it is damaged.
    pub(super) fn load(&self, url: &Url, accept: Option<&str>, limit: u64) -> Option<Entry> {
        let bytes = fs::read_optional(&self.path(url, accept), limit.saturating_add(1 << 16));
        let bytes = bytes.ok().flatten()?;
        let (digest, rest) = split_line(&bytes)?;
        let digest: Digest = std::str::from_utf8(digest).ok()?.parse().ok()?;
        if Digest::of(rest) != digest {
            return None;
        }
        let (header, body) = split_line(rest)?;
        let header: Header = serde_json::from_slice(header).ok()?;
        Some(Entry {
            etag: header.etag,
            modified: header.modified,
            coding: header.coding,
            part: header.part,
            body: body.to_vec(),
        })
    }

    /// Keeps an answer.
    pub(super) fn keep(
        &self,
        url: &Url,
        accept: Option<&str>,
        entry: &Entry,
    ) -> Result<(), FsError> {
        let path = self.path(url, accept);
        let (coding, body) = match entry.coding {
            Coding::Identity => {
                let packed = zstd::bulk::compress(&entry.body, 1)
                    .map_err(fs::context("compress into", &path))?;
                (Coding::Zstd, packed)
            }
            Coding::Gzip | Coding::Zstd => (entry.coding, entry.body.clone()),
        };
        let header = Header {
            etag: entry.etag.clone(),
            modified: entry.modified.clone(),
            coding,
            part: entry.part,
        };
        let mut rest = serde_json::to_vec(&header).unwrap_or_default();
        rest.push(b'\n');
        rest.extend_from_slice(&body);
        let mut bytes = format!("{}\n", Digest::of(&rest)).into_bytes();
        bytes.append(&mut rest);
        // Answers of registries that want credentials are nobody else's business.
        fs::create_dir_all(fs::parent(&path), 0o700)?;
        fs::write_unsynced(&path, &bytes, 0o600)
    }
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{Cache, Coding, Entry};
    use crate::fs;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn entries_come_back_whole_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("stage-cache-{}", std::process::id()));
        let cache = Cache::new(&folder);
        let url = "https://u:p@a.example/x".parse().unwrap();
        let plain = "https://a.example/x".parse().unwrap();
        for (coding, body) in [
            (Coding::Identity, b"hello".to_vec()),
            (Coding::Gzip, gzip(b"hello")),
        ] {
            let entry = Entry {
                etag: Some("\"1\"".to_owned()),
                modified: None,
                coding,
                part: Some((1, 7)),
                body,
            };
            cache.keep(&url, Some("a/b"), &entry).unwrap();
            let found = cache.load(&plain, Some("a/b"), 100).unwrap();
            assert_eq!((&found.etag, found.part), (&entry.etag, entry.part));
            assert_eq!(found.decoded(5).unwrap(), b"hello");
            found.decoded(4).unwrap_err();
            assert!(cache.load(&plain, None, 100).is_none());
        }
        let path = cache.path(&url, Some("a/b"));
        let good = fs::read(&path, 10_000).unwrap();
        for at in [0, 80, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write_atomic(&path, &bad, 0o600).unwrap();
            assert!(cache.load(&plain, Some("a/b"), 100).is_none(), "{at}");
        }
        fs::write_atomic(&path, b"", 0o600).unwrap();
        assert!(cache.load(&plain, Some("a/b"), 100).is_none());
        fs::remove_tree(&folder).unwrap();
    }
}
