//! A database of advisories on disk, and its records one after the other: a folder of an OSV export, a zip file, or the
//! records that a bundle carried. Sizes are bounded; memory holds one record.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use super::{Given, VulnError};
use crate::base::digest::{Digest, Hasher, Hashing};
use crate::base::limits::Limited;
use crate::base::text::{escaped, quoted};
use crate::fs;
use crate::lint::zip::{ZipError, members};

/// Largest record, in bytes.
const RECORD: u64 = 16 << 20;
/// Most records.
const MOST_RECORDS: u64 = 5_000_000;
/// Most bytes of all records of carried ones, unpacked.
const UNPACKED: u64 = 64 << 30;
/// Largest file that is unpacked, in bytes.
const PACKED: u64 = 64 << 30;
/// Memory that the decompressor may ask for, in bytes.
const MEMORY: u64 = 256 << 20;

/// A file that records were read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceFile {
    /// Its path below the folder that was given, or its name.
    pub(super) name: String,
    /// Digest of its bytes.
    pub(super) digest: Digest,
}

/// A record as it stands in the database.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawRecord<'r> {
    /// The file, and the member in it, safe to print.
    pub(super) place: &'r str,
    /// Its JSON.
    pub(super) bytes: &'r [u8],
}

/// Gets records.
pub(super) type Each<'e> = dyn FnMut(RawRecord<'_>) -> Result<(), VulnError> + 'e;

/// Reads every record of a database, but for what lies in folders of other ecosystems than those wanted. Returns what was
/// read, by name.
pub(super) fn read(
    given: &mut Given<'_>,
    ecosystems: &BTreeSet<&str>,
    each: &mut Each<'_>,
) -> Result<Vec<SourceFile>, VulnError> {
    let (Given::Path(path) | Given::Carried(path, _)) = &*given;
    let path: &Path = path;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut count = 0_u64;
    let mut each = |record: RawRecord<'_>| {
        count += 1;
        if count > MOST_RECORDS {
            return Err(wrong(
                path,
                format!("it has more than {MOST_RECORDS} records"),
            ));
        }
        each(record)
    };
    if let Given::Carried(_, reader) = given {
        let digest = carried(reader, path, &mut each)?;
        return Ok(vec![SourceFile {
            name: name.into_owned(),
            digest,
        }]);
    }
    let there =
        fs::metadata(path).map_err(|_gone| wrong(path, "there is nothing to read there"))?;
    if !there.is_dir() {
        return Ok(vec![file(path, &name, &mut each)?]);
    }
    let mut files = Vec::new();
    for (path, name) in listed(path, ecosystems)? {
        files.push(file(&path, &name, &mut each)?);
    }
    if files.is_empty() {
        let reason = "it has no all.zip and no .json file, neither itself nor in folders of the lock's ecosystems";
        return Err(wrong(path, reason));
    }
    Ok(files)
}

/// The files of a folder that hold records: `all.zip` where it is, else every `.json`; and likewise of the folders that
/// are named like an ecosystem.
fn listed(folder: &Path, ecosystems: &BTreeSet<&str>) -> Result<Vec<(PathBuf, String)>, VulnError> {
    let mut found = records_of(folder, "")?;
    for path in fs::list(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if ecosystems.contains(name.as_ref()) && fs::metadata(&path)?.is_dir() {
            found.extend(records_of(&path, &format!("{name}/"))?);
        }
    }
    Ok(found)
}

fn records_of(folder: &Path, prefix: &str) -> Result<Vec<(PathBuf, String)>, VulnError> {
    let all = folder.join("all.zip");
    if fs::exists(&all) {
        return Ok(vec![(all, format!("{prefix}all.zip"))]);
    }
    let mut found = Vec::new();
    for path in fs::list(folder)? {
        let is_record = path.extension().is_some_and(|e| e == "json");
        if is_record && fs::metadata(&path)?.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            found.push((path.clone(), format!("{prefix}{name}")));
        }
    }
    Ok(found)
}

/// Reads the records of one file, which says itself what it is.
fn file(path: &Path, name: &str, each: &mut Each<'_>) -> Result<SourceFile, VulnError> {
    let mut start = Vec::new();
    let opened = fs::open(path)?;
    opened
        .take(4)
        .read_to_end(&mut start)
        .map_err(fs::context("read", path))?;
    let digest = match start.as_slice() {
        [b'P', b'K', ..] => zipped(path, each)?,
        [0x28, 0xb5, 0x2f, 0xfd] => carried(fs::open(path)?, path, each)?,
        _ => single(path, each)?,
    };
    Ok(SourceFile {
        name: name.to_owned(),
        digest,
    })
}

fn single(path: &Path, each: &mut Each<'_>) -> Result<Digest, VulnError> {
    let bytes = fs::read(path, RECORD)?;
    let place = quoted(&path.to_string_lossy());
    each(RawRecord {
        place: &place,
        bytes: &bytes,
    })?;
    Ok(Digest::of(&bytes))
}

fn zipped(path: &Path, each: &mut Each<'_>) -> Result<Digest, VulnError> {
    let mut opened = fs::open(path)?;
    let digest = hash(&mut opened, path)?;
    let shown = escaped(&path.to_string_lossy());
    let result = members(&mut opened, RECORD, &mut |member| {
        if Path::new(member.path)
            .extension()
            .is_none_or(|e| e != "json")
        {
            return Ok(());
        }
        let place = format!("\"{shown}\", member {}", quoted(member.path));
        each(RawRecord {
            place: &place,
            bytes: member.content,
        })
    });
    match result {
        Ok(()) => Ok(digest),
        Err(ZipError::Problem(reason)) => Err(wrong(path, reason)),
        Err(ZipError::Io(source)) => Err(fs::context("read", path)(source).into()),
        Err(ZipError::Stopped(error)) => Err(error),
    }
}

/// Digest of an open file, from its first byte to its last.
fn hash(file: &mut (impl Read + Seek), path: &Path) -> Result<Digest, VulnError> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut buffer).map_err(fs::context("read", path))?;
        if read == 0 {
            return Ok(hasher.finish().0.sha256);
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
}

/// Reads what [`super::carried`] wrote: a record on each line, compressed.
fn carried(reader: impl Read, path: &Path, each: &mut Each<'_>) -> Result<Digest, VulnError> {
    let failed = |source| VulnError::from(fs::context("unpack", path)(source));
    let mut hashing = Hashing::new(Limited::new(reader, PACKED));
    let buffered = BufReader::with_capacity(1 << 18, &mut hashing);
    let mut decoder = zstd::Decoder::with_buffer(buffered)
        .map_err(failed)?
        .single_frame();
    decoder.window_log_max(MEMORY.ilog2()).map_err(failed)?;
    lines(&mut decoder, path, each)?;
    let mut rest = decoder.finish();
    if !rest.fill_buf().map_err(failed)?.is_empty() {
        return Err(wrong(path, "bytes follow the end of its records"));
    }
    drop(rest);
    Ok(hashing.finish().1.sha256)
}

fn lines(reader: impl Read, path: &Path, each: &mut Each<'_>) -> Result<(), VulnError> {
    let mut lines = BufReader::with_capacity(1 << 18, Limited::new(reader, UNPACKED));
    let (mut line, mut number) = (Vec::new(), 0_u64);
    loop {
        line.clear();
        let mut bounded = lines.by_ref().take(RECORD + 1);
        let read = bounded
            .read_until(b'\n', &mut line)
            .map_err(fs::context("unpack", path))?;
        number += 1;
        match line.pop() {
            None if read == 0 => return Ok(()),
            Some(b'\n') => {}
            _ => return Err(wrong(path, format!("line {number} is too long, or is cut"))),
        }
        let place = format!("{}, line {number}", quoted(&path.to_string_lossy()));
        each(RawRecord {
            place: &place,
            bytes: &line,
        })?;
    }
}

fn wrong(path: &Path, reason: impl Into<String>) -> VulnError {
    VulnError::Database {
        path: path.to_owned(),
        reason: reason.into(),
    }
}
