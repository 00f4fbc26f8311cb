//! A change packet that somebody else holds: a folder or a zip file, read as hostile input. Once it is open, every file in
//! it is one that `manifest.json` lists, and has the bytes that are listed. Who signed the list is another question.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::base::digest::{Digest, Hashing};
use crate::base::fault::{Class, Code, Fault};
use crate::base::json::{self, JsonError};
use crate::base::limits::{LIMITS, Limited};
use crate::base::path::{RelPath, check_tree};
use crate::base::text::quoted;
use crate::fs::{self, FsError};
use crate::lint::zip::{self, ZipError};
use crate::packet::{MANIFEST, SCHEMA, SIGNATURE};
use crate::trust::root::is_channel;

/// Codes of this module.
pub const CODES: &[&Code] = &[&FORMAT, &FILES, &DIGEST];

static FORMAT: Code = Code::classed("packet-format", Class::E20);
static FILES: Code = Code::classed("packet-files", Class::E20);
static DIGEST: Code = Code::classed("packet-digest", Class::E22);

/// Largest list of files and largest signature that are read, in bytes.
const MAX_LIST: u64 = 16 << 20;
/// Most files of a packet.
const MAX_FILES: usize = 10_000;

/// Why a packet is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReceivedError {
    /// The list of files, or the zip file, is not as it should be.
    #[error("{} of the packet is not as it should be: {reason}", quoted(file))]
    Format {
        /// Which file.
        file: String,
        /// Why, safe to print.
        reason: String,
    },
    /// A file too many.
    #[error("the packet has {}, which its list does not name", quoted(file))]
    Unknown {
        /// Which.
        file: String,
    },
    /// A file too few.
    #[error("the packet does not have {}, which its list names", quoted(file))]
    Missing {
        /// Which.
        file: String,
    },
    /// Other bytes.
    #[error(
        "{} of the packet does not have the bytes that its list names",
        quoted(file)
    )]
    Digest {
        /// Which.
        file: String,
        /// As listed.
        expected: Digest,
        /// As found.
        found: Digest,
    },
    /// It cannot be read.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl Fault for ReceivedError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Format { .. } => &FORMAT,
            Self::Unknown { .. } | Self::Missing { .. } => &FILES,
            Self::Digest { .. } => &DIGEST,
            Self::Fs(error) => error.code(),
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Digest {
                expected, found, ..
            } => vec![
                ("expected", expected.to_string()),
                ("found", found.to_string()),
            ],
            Self::Fs(error) => error.facts(),
            Self::Format { .. } | Self::Unknown { .. } | Self::Missing { .. } => Vec::new(),
        }
    }
}

/// `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketManifest {
    /// Its bytes, which a signature is about.
    pub bytes: Vec<u8>,
    /// Id of the bundle that the packet is about.
    pub bundle: Digest,
    /// Channel of the bundle.
    pub channel: String,
    /// Its serial.
    pub serial: u64,
    /// Digest and size of every file by its path.
    pub files: BTreeMap<RelPath, (Digest, u64)>,
}

impl PacketManifest {
    fn find(&self, path: &str) -> Option<(Digest, u64)> {
        let path: RelPath = path.parse().ok()?;
        self.files.get(&path).copied()
    }
}

/// Where the files of a packet are.
#[derive(Debug)]
enum Source {
    Folder(PathBuf),
    Zip(Vec<u8>),
}

/// A packet of which every file was held against the list.
#[derive(Debug)]
pub struct Packet {
    /// The list.
    pub manifest: PacketManifest,
    /// The signature of the list, as it is; nobody has looked at it.
    pub signature: Option<Vec<u8>>,
    source: Source,
}

/// Reads a packet: the folder that `stage ticket` writes, or its zip file. All of it is read once, nothing of it is kept but
/// the list and the signature; a zip file is kept whole.
pub fn open(path: &Path) -> Result<Packet, ReceivedError> {
    let source = if fs::metadata(path)?.is_dir() {
        Source::Folder(path.to_owned())
    } else {
        Source::Zip(fs::read(path, LIMITS.document)?)
    };
    let list = source.find(MANIFEST, MAX_LIST)?;
    let bytes = list.ok_or_else(|| ReceivedError::Missing {
        file: MANIFEST.to_owned(),
    })?;
    let manifest = parse(bytes).map_err(|reason| malformed(MANIFEST, reason))?;
    let signature = source.find(SIGNATURE, MAX_LIST)?;
    source.hold_against(&manifest)?;
    Ok(Packet {
        manifest,
        signature,
        source,
    })
}

impl Packet {
    /// The bytes of a listed file; `None` when the list does not have it. They are held against the list again.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReceivedError> {
        let Some((expected, size)) = self.manifest.find(path) else {
            return Ok(None);
        };
        let bytes = self.source.find(path, size)?;
        let bytes = bytes.ok_or_else(|| ReceivedError::Missing {
            file: path.to_owned(),
        })?;
        compare(path, expected, Digest::of(&bytes))?;
        Ok(Some(bytes))
    }

    /// The zip file itself, when it was read from one.
    pub fn archive(&self) -> Option<&[u8]> {
        match &self.source {
            Source::Zip(bytes) => Some(bytes),
            Source::Folder(_) => None,
        }
    }
}

impl Source {
    /// The bytes of one file of at most `limit` bytes.
    fn find(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, ReceivedError> {
        match self {
            Self::Folder(folder) => {
                let whole = folder.join(path);
                let found = fs::read_beneath(folder, &whole, limit);
                found.map_err(|error| unreadable(path, error))
            }
            Self::Zip(bytes) => {
                let mut found = None;
                members(bytes, &mut |name, content| {
                    if name == path {
                        if content.len() as u64 > limit {
                            return Err(malformed(path, format!("more than {limit} bytes")));
                        }
                        found = Some(content.to_vec());
                    }
                    Ok(())
                })?;
                Ok(found)
            }
        }
    }

    /// Every file is listed, everything listed is there, and has the listed bytes.
    fn hold_against(&self, manifest: &PacketManifest) -> Result<(), ReceivedError> {
        let mut missing: BTreeSet<&str> = manifest.files.keys().map(RelPath::as_str).collect();
        let mut check = |path: &str, found: &mut dyn FnMut(u64) -> Found| {
            if path == MANIFEST || path == SIGNATURE {
                return Ok(());
            }
            let (expected, size) = manifest.find(path).ok_or_else(|| ReceivedError::Unknown {
                file: path.to_owned(),
            })?;
            missing.remove(path);
            compare(path, expected, found(size)?)
        };
        match self {
            Self::Folder(folder) => {
                let (files, others) = fs::walk(folder)?;
                if let Some(other) = others.first() {
                    return Err(ReceivedError::Unknown {
                        file: other.to_string_lossy().into_owned(),
                    });
                }
                for file in files {
                    let path = file.to_string_lossy();
                    check(&path, &mut |size| digest(folder, &path, size))?;
                }
            }
            Self::Zip(bytes) => members(bytes, &mut |path, content| {
                check(path, &mut |_| Ok(Digest::of(content)))
            })?,
        }
        missing.first().map_or(Ok(()), |path| {
            Err(ReceivedError::Missing {
                file: (*path).to_owned(),
            })
        })
    }
}

type Found = Result<Digest, ReceivedError>;

/// Digest of a file in a folder, of which no more than its listed size is read.
fn digest(folder: &Path, path: &str, size: u64) -> Found {
    let file = fs::open_beneath(folder, path).map_err(|error| unreadable(path, error))?;
    let mut hashing = Hashing::new(Limited::new(file, size));
    let read = io::copy(&mut hashing.by_ref(), &mut io::sink());
    match read {
        Ok(_) => Ok(hashing.finish().1.sha256),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(malformed(path, format!("more than its {size} bytes")))
        }
        Err(error) => Err(fs::context("read", &folder.join(path))(error).into()),
    }
}

fn compare(path: &str, expected: Digest, found: Digest) -> Result<(), ReceivedError> {
    if expected == found {
        return Ok(());
    }
    Err(ReceivedError::Digest {
        file: path.to_owned(),
        expected,
        found,
    })
}

/// What is no file of its own, such as a link, is not there; anything else is trouble of this host.
fn unreadable(path: &str, error: FsError) -> ReceivedError {
    if error.is_not_found() {
        return ReceivedError::Missing {
            file: path.to_owned(),
        };
    }
    ReceivedError::Fs(error)
}

/// Is handed a path and its content.
type Each<'e> = dyn FnMut(&str, &[u8]) -> Result<(), ReceivedError> + 'e;

/// Hands the files of a zip file on, by their path below its one folder.
fn members(bytes: &[u8], each: &mut Each<'_>) -> Result<(), ReceivedError> {
    let mut folder: Option<String> = None;
    let read = zip::members(
        &mut io::Cursor::new(bytes),
        LIMITS.document,
        &mut |member| {
            let (above, path) =
                member
                    .path
                    .split_once('/')
                    .ok_or_else(|| ReceivedError::Unknown {
                        file: member.path.to_owned(),
                    })?;
            if folder.get_or_insert_with(|| above.to_owned()) != above {
                return Err(ReceivedError::Unknown {
                    file: member.path.to_owned(),
                });
            }
            each(path, member.content)
        },
    );
    read.map_err(|error| match error {
        ZipError::Stopped(error) => error,
        ZipError::Problem(reason) => malformed("the zip file", reason),
        ZipError::Io(_) => malformed("the zip file", "it is cut short"),
    })
}

fn malformed(file: &str, reason: impl Into<String>) -> ReceivedError {
    ReceivedError::Format {
        file: file.to_owned(),
        reason: reason.into(),
    }
}

/// Reads the list.
fn parse(bytes: Vec<u8>) -> Result<PacketManifest, String> {
    let text = bytes.strip_suffix(b"\n").ok_or("no newline at its end")?;
    let value = json::strict(text, MAX_LIST).map_err(|error: JsonError| error.to_string())?;
    let map = value.as_object().ok_or("not an object")?;
    let keys = ["bundle", "channel", "files", "schema", "serial", "tool"];
    if !map.keys().eq(keys) || map.get("schema") != Some(&Value::from(SCHEMA)) {
        return Err(format!("not a list of schema {SCHEMA}"));
    }
    let channel = text_of(map, "channel")?;
    if !is_channel(channel) {
        return Err("the channel is none".to_owned());
    }
    let listed = map.get("files").and_then(Value::as_array);
    let listed = listed.filter(|listed| !listed.is_empty() && listed.len() <= MAX_FILES);
    let mut files = BTreeMap::new();
    for entry in listed.ok_or("no list of files, or too long a list")? {
        let (path, file) = listed_file(entry)?;
        if files.insert(path, file).is_some() {
            return Err("a file is listed twice".to_owned());
        }
    }
    check_tree(files.keys()).map_err(|error| error.to_string())?;
    let reserved = |path: &RelPath| [MANIFEST, SIGNATURE].contains(&path.as_str());
    if files.keys().any(reserved) {
        return Err("it lists itself or its signature".to_owned());
    }
    Ok(PacketManifest {
        bundle: text_of(map, "bundle")?
            .parse()
            .map_err(|_bad| "the bundle has no id")?,
        channel: channel.to_owned(),
        serial: map
            .get("serial")
            .and_then(Value::as_u64)
            .ok_or("no serial")?,
        files,
        bytes,
    })
}

fn listed_file(entry: &Value) -> Result<(RelPath, (Digest, u64)), String> {
    let map = entry.as_object().ok_or("a file is no object")?;
    if !map.keys().eq(["path", "sha256", "size"]) {
        return Err("a file has other keys than path, sha256 and size".to_owned());
    }
    let path = text_of(map, "path")?;
    let path = path
        .parse()
        .map_err(|_bad| format!("{} is no path", quoted(path)))?;
    let digest = Digest::from_hex(text_of(map, "sha256")?).map_err(|error| error.to_string())?;
    let size = map.get("size").and_then(Value::as_u64);
    let size = size.filter(|size| *size <= LIMITS.document);
    Ok((
        path,
        (
            digest,
            size.ok_or("a file has no size, or too large a one")?,
        ),
    ))
}

fn text_of<'m>(map: &'m Map<String, Value>, key: &str) -> Result<&'m str, String> {
    let found = map.get(key).and_then(Value::as_str);
    found.ok_or_else(|| format!("no {key}"))
}
