//! `manifest.json`: every file of the bundle's tree. It may be 256 MiB, so it is read straight into typed entries and
//! compared with its canonical bytes piece by piece, without a second copy of the text.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::base::digest::{Digest, Digests, Sha512, UpstreamChecksum};
use crate::base::json::{JsonError, MAX_INTEGER};
use crate::base::limits::LIMITS;
use crate::base::package::EcosystemId;
use crate::base::path::{RelPath, check_tree};
use crate::bundle::BundleError;
use crate::bundle::header::{BLOCK, END, MANIFEST, padding};

/// Path of the lock; a bundle that has it is not a plain one.
pub const LOCK: &str = "lock/stage.lock";
/// Folders of a bundle with a lock whose files are documents: what a person reviews and a head holds.
const DOCUMENTS: [&str; 3] = ["lock", "sbom", "ca"];

/// Which files there are and which of their blobs the bundle carries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BundleManifest {
    /// Digests of the carried blobs, ascending.
    pub carried: Vec<Digest>,
    /// Every file, ascending by path.
    pub files: Vec<ManifestFile>,
}

/// One file of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// Where it is in the tree.
    pub path: RelPath,
    /// Digests of its bytes.
    pub digests: Digests,
    /// Size in bytes.
    pub size: u64,
}

/// A blob: bytes that one or more files have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// Digests of the bytes.
    pub digests: Digests,
    /// Size in bytes.
    pub size: u64,
}

impl BundleManifest {
    /// The canonical bytes.
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.files.len() * 320 + self.carried.len() * 70 + 64);
        match self.write_canonical(&mut out) {
            Ok(()) => out,
            // Writing to a vector does not fail.
            Err(_never) => Vec::new(),
        }
    }

    /// Writes the canonical bytes. No text in it needs escapes: paths and digests are printable ASCII without quotes.
    fn write_canonical(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(br#"{"carried":["#)?;
        for (index, digest) in self.carried.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(out, "{comma}\"{}\"", digest.hex())?;
        }
        out.write_all(br#"],"files":["#)?;
        for (index, file) in self.files.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(
                out,
                r#"{comma}{{"path":"{}","sha256":"{}","sha512":"{}","size":{}}}"#,
                file.path,
                file.digests.sha256.hex(),
                file.digests.sha512.hex(),
                file.size
            )?;
        }
        out.write_all(br#"],"schema":1}"#)
    }

    /// Parses and checks a manifest: canonical bytes, sorted unique safe paths, limits, one size and SHA-512 per
    /// SHA-256, carried blobs sorted and named by a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let raw: Raw = parse_json(bytes)?;
        if raw.files.len() as u64 > LIMITS.files {
            return Err(BundleError::Limit {
                what: "the number of files".to_owned(),
                found: raw.files.len() as u64,
                limit: LIMITS.files,
            });
        }
        raw.files.iter().try_for_each(RawFile::check)?;
        check_one_size(&raw.files)?;
        if !raw.files.is_sorted_by(|a, b| a.path < b.path) {
            return Err(fields("files are not sorted by path"));
        }
        let manifest = raw.typed()?;
        let mut compare = Compare { rest: bytes };
        if manifest.write_canonical(&mut compare).is_err() || !compare.rest.is_empty() {
            return Err(json(JsonError::NotCanonical));
        }
        check_tree(manifest.files.iter().map(|f| &f.path))
            .map_err(|source| BundleError::UnsafePath { source })?;
        manifest.check_carried()?;
        Ok(manifest)
    }

    fn check_carried(&self) -> Result<(), BundleError> {
        let named: BTreeSet<Digest> = self.files.iter().map(|f| f.digests.sha256).collect();
        let sorted = self.carried.is_sorted_by(|a, b| a < b);
        if sorted && self.carried.iter().all(|digest| named.contains(digest)) {
            Ok(())
        } else {
            Err(fields(
                "the carried blobs are not sorted or not named by a file",
            ))
        }
    }

    /// Every blob that a file names, ascending by SHA-256, once each.
    pub fn blobs(&self) -> Vec<Blob> {
        let mut blobs: Vec<Blob> = self
            .files
            .iter()
            .map(|file| Blob {
                digests: file.digests,
                size: file.size,
            })
            .collect();
        blobs.sort_unstable_by_key(|blob| blob.digests.sha256);
        blobs.dedup_by_key(|blob| blob.digests.sha256);
        blobs
    }

    /// The blobs that the bundle carries, in stream order.
    pub fn carried_blobs(&self) -> Vec<Blob> {
        let mut blobs = self.blobs();
        blobs.retain(|blob| self.carried.binary_search(&blob.digests.sha256).is_ok());
        blobs
    }

    /// The documents of a bundle with a lock; a plain bundle has none.
    pub fn documents(&self) -> impl Iterator<Item = &ManifestFile> {
        let has_lock = self.file(LOCK).is_some();
        let is_document = |file: &&ManifestFile| {
            let folder = file.path.segments().next();
            folder.is_some_and(|folder| DOCUMENTS.contains(&folder))
        };
        self.files
            .iter()
            .filter(move |_| has_lock)
            .filter(is_document)
    }

    /// Where the carried blobs are in a whole bundle of `size` bytes, at its end: the start and the length of each.
    pub fn offsets(&self, size: u64) -> BTreeMap<Digest, (u64, u64)> {
        let mut end = size.saturating_sub(END as u64);
        let mut offsets = BTreeMap::new();
        for blob in self.carried_blobs().into_iter().rev() {
            let padded = blob.size.saturating_add(padding(blob.size) as u64);
            let start = end.saturating_sub(padded);
            offsets.insert(blob.digests.sha256, (start, blob.size));
            end = start.saturating_sub(BLOCK as u64);
        }
        offsets
    }

    /// The digest of each artifact's bytes, by its ecosystem and either checksum of it.
    pub fn artifacts(&self) -> BTreeMap<(EcosystemId, UpstreamChecksum), Digest> {
        let mut artifacts = BTreeMap::new();
        for file in &self.files {
            let inside = file.path.as_str().strip_prefix("artifacts/");
            let Some((ecosystem, _name)) = inside.and_then(|path| path.split_once('/')) else {
                continue;
            };
            let Ok(ecosystem) = ecosystem.parse::<EcosystemId>() else {
                continue;
            };
            let digests = file.digests;
            for checksum in [
                UpstreamChecksum::Sha256(digests.sha256),
                UpstreamChecksum::Sha512(digests.sha512),
            ] {
                artifacts.insert((ecosystem.clone(), checksum), digests.sha256);
            }
        }
        artifacts
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> Option<&ManifestFile> {
        let index = self
            .files
            .binary_search_by(|file| file.path.as_str().cmp(path));
        index.ok().and_then(|index| self.files.get(index))
    }
}

fn fields(reason: &str) -> BundleError {
    BundleError::fields(MANIFEST, reason)
}

const fn json(source: JsonError) -> BundleError {
    BundleError::Json {
        document: MANIFEST,
        source,
    }
}

fn parse_json(bytes: &[u8]) -> Result<Raw, BundleError> {
    if bytes.len() as u64 > LIMITS.manifest {
        return Err(json(JsonError::TooLarge {
            size: bytes.len() as u64,
            limit: LIMITS.manifest,
        }));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        json(JsonError::Syntax {
            reason: crate::base::text::escaped(&error.to_string()),
        })
    })
}

/// Equal SHA-256 must come with equal SHA-512 and size.
fn check_one_size(files: &[RawFile]) -> Result<(), BundleError> {
    let mut order: Vec<&RawFile> = files.iter().collect();
    order.sort_unstable_by_key(|file| file.sha256);
    let differ = order.windows(2).any(|pair| match pair {
        [a, b] => a.sha256 == b.sha256 && (a.sha512, a.size) != (b.sha512, b.size),
        _ => false,
    });
    if differ {
        return Err(fields("one sha256 has two sizes or two sha512"));
    }
    Ok(())
}

/// Compares what is written with bytes that are there.
struct Compare<'a> {
    rest: &'a [u8],
}

impl Write for Compare<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.rest = self
            .rest
            .strip_prefix(buf)
            .ok_or(io::ErrorKind::InvalidData)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The manifest as written. Field order and spelling are judged by the comparison with the canonical bytes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    carried: Vec<Hex<Digest>>,
    files: Vec<RawFile>,
    schema: Schema,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    path: RawPath,
    sha256: Hex<Digest>,
    sha512: Hex<Sha512>,
    size: u64,
}

impl RawFile {
    fn check(&self) -> Result<(), BundleError> {
        if self.size > MAX_INTEGER {
            return Err(fields("a size is not a number below 2^53"));
        }
        if matches!(self.path, RawPath::Other) {
            return Err(BundleError::UnsafePath {
                source: crate::base::path::PathError::Segment {
                    path: "not a text".to_owned(),
                },
            });
        }
        if self.size > LIMITS.blob {
            return Err(BundleError::Limit {
                what: "a blob".to_owned(),
                found: self.size,
                limit: LIMITS.blob,
            });
        }
        Ok(())
    }
}

impl Raw {
    fn typed(self) -> Result<BundleManifest, BundleError> {
        let Schema = self.schema;
        let files = self.files.into_iter().map(|file| {
            let RawPath::Text(path) = file.path else {
                return Err(fields("a path is not a text"));
            };
            Ok(ManifestFile {
                path: path
                    .parse()
                    .map_err(|source| BundleError::UnsafePath { source })?,
                digests: Digests {
                    sha256: file.sha256.0,
                    sha512: file.sha512.0,
                },
                size: file.size,
            })
        });
        Ok(BundleManifest {
            files: files.collect::<Result<_, _>>()?,
            carried: self.carried.into_iter().map(|hex| hex.0).collect(),
        })
    }
}

/// The number 1.
struct Schema;

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(Self),
            other => Err(de::Error::custom(format!("schema {other} is not 1"))),
        }
    }
}

/// A digest in bare hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Hex<T>(T);

impl<'de> Deserialize<'de> for Hex<Digest> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        Digest::from_hex(text).map(Self).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Hex<Sha512> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        Sha512::from_hex(text).map(Self).map_err(de::Error::custom)
    }
}

/// A path, or something that is not even a text (which is an unsafe path, not a malformed document).
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum RawPath {
    Text(String),
    Other,
}

impl<'de> Deserialize<'de> for RawPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PathVisitor)
    }
}

struct PathVisitor;

impl<'de> Visitor<'de> for PathVisitor {
    type Value = RawPath;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a path")
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<RawPath, E> {
        Ok(RawPath::Text(v.to_owned()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<RawPath, E> {
        Ok(RawPath::Other)
    }

    fn visit_bool<E: de::Error>(self, _v: bool) -> Result<RawPath, E> {
        Ok(RawPath::Other)
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<RawPath, E> {
        self.visit_u64(v.unsigned_abs())
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<RawPath, E> {
        if v > MAX_INTEGER {
            return Err(E::custom("integer out of range"));
        }
        Ok(RawPath::Other)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<RawPath, A::Error> {
        while seq.next_element::<RawPath>()?.is_some() {}
        Ok(RawPath::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawPath, A::Error> {
        while map.next_entry::<IgnoredAny, RawPath>()?.is_some() {}
        Ok(RawPath::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::{BundleManifest, ManifestFile};
    use crate::base::digest::Digests;
    use crate::base::fault::{Class, Fault as _};

    fn manifest() -> BundleManifest {
        let file = |path: &str, bytes: &[u8]| ManifestFile {
            path: path.parse().unwrap(),
            digests: Digests::of(bytes),
            size: bytes.len() as u64,
        };
        let files = vec![file("a", b"one"), file("b/c", b"two"), file("d", b"one")];
        let mut carried: Vec<_> = files.iter().map(|f| f.digests.sha256).collect();
        carried.sort();
        carried.dedup();
        BundleManifest { carried, files }
    }

    #[test]
    fn a_manifest_is_its_bytes() {
        let bytes = manifest().canonical();
        assert_eq!(BundleManifest::parse(&bytes).unwrap(), manifest());
        assert_eq!(manifest().blobs().len(), 2);
        assert_eq!(manifest().file("b/c").unwrap().size, 3);
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(crate::base::json::canonical(&value), bytes);
        let empty = BundleManifest::default();
        assert_eq!(BundleManifest::parse(&empty.canonical()).unwrap(), empty);
    }

    #[test]
    fn what_is_not_exactly_a_manifest_has_its_class() {
        let good = String::from_utf8(manifest().canonical()).unwrap();
        let one = manifest().files[0].digests.sha256.hex();
        let cases = [
            (r#""schema":1"#, r#""schema":2"#, Class::E20),
            (r#""schema":1"#, r#""schema":1,"hooks":[]"#, Class::E20),
            (r#""schema":1"#, r#""schema":1.0"#, Class::E20),
            (r#""path":"a""#, r#""path": "a""#, Class::E20),
            (r#""path":"a""#, r#""path":"\u0061""#, Class::E20),
            (r#""path":"a""#, r#""path":"a","path":"a""#, Class::E20),
            (r#""path":"a""#, r#""path":"z""#, Class::E20),
            (r#""path":"a""#, r#""path":"../a""#, Class::E40),
            (r#""path":"a""#, r#""path":"b""#, Class::E40),
            (r#""path":"a""#, r#""path":null"#, Class::E40),
            (r#""path":"a""#, r#""path":["a"]"#, Class::E40),
            (r#""path":"a""#, r#""path":7"#, Class::E40),
            (r#""path":"a""#, r#""path":9007199254740992"#, Class::E20),
            (r#""path":"a""#, r#""path":[-9007199254740992]"#, Class::E20),
            (r#""path":"a""#, r#""path":0.5"#, Class::E20),
            (r#""path":"d""#, r#""path":"b/C""#, Class::E20),
            (r#""size":3"#, r#""size":-3"#, Class::E20),
            (r#""size":3"#, r#""size":"3""#, Class::E20),
            (r#""size":3"#, r#""size":8589934592"#, Class::E21),
            (r#""size":3"#, r#""size":9007199254740992"#, Class::E20),
            (&one, &"0".repeat(63), Class::E20),
            (&one, &"F".repeat(64), Class::E20),
        ];
        for (from, to, class) in cases {
            let text = good.replace(from, to);
            assert_ne!(text, good);
            let error = BundleManifest::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.code().class, Some(class), "{to}: {error}");
        }
        let other = good.replacen(r#""size":3"#, r#""size":4"#, 1);
        // Two files with one digest and two sizes.
        BundleManifest::parse(other.as_bytes()).unwrap_err();
        let mut unnamed = manifest();
        unnamed.files.truncate(1);
        BundleManifest::parse(&unnamed.canonical()).unwrap_err();
    }
}
