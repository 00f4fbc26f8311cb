//! The files of a bundle on a medium: verified and hashed in one reading, volumes in their order.

use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use crate::base::digest::{Digest, Hashing};
use crate::base::text::quoted;
use crate::cli::approval::ApprovalsFile;
use crate::cli::proof::ProofFile;
use crate::cli::ui::Failure;
use crate::cli::{Context, UsageError};
use crate::fs::{self, FsError, OpenFile};
use crate::transfer::{FileKind, MediumFile, Scan, TransferError};
use crate::trust::root::TrustRoot;
use crate::verify::{self, Bundle, Judge, Sink, Verified};

/// A file on the medium, and where it is here.
pub(super) struct OnMedium {
    pub(super) path: PathBuf,
    pub(super) file: MediumFile,
}

/// What is asked of a medium.
pub(super) struct Asked<'a> {
    pub(super) volumes: &'a [PathBuf],
    pub(super) trust: &'a Path,
    pub(super) approvals: &'a ApprovalsFile,
    pub(super) proof: &'a ProofFile,
}

/// Reads everything once: the bundle, verified, whose blobs go to `sink`, and the files that it is.
pub(super) fn read(
    ctx: &Context,
    asked: &Asked<'_>,
    sink: &mut dyn Sink,
) -> Result<(Verified<Bundle>, Vec<OnMedium>), Failure> {
    let root = TrustRoot::load(asked.trust)?;
    for path in asked.volumes {
        regular(path)?;
    }
    let first = asked.volumes.first().map(PathBuf::as_path);
    let first = first.unwrap_or_else(|| Path::new(""));
    let approvals = asked.approvals.load(first)?;
    let proof = asked.proof.load(first)?;
    let judge = Judge {
        approvals: approvals.as_deref(),
        proof: proof.as_deref(),
        ..Judge::alone(&root, ctx.now)
    };
    let mut chain = Chain::new(asked.volumes);
    let bundle = verify::bundle(&mut chain, &judge, sink, &ctx.ui)?;
    let mut files = chain.files()?;
    let beside = [
        (asked.approvals.path(first), approvals, FileKind::Approvals),
        (asked.proof.path(first), proof, FileKind::Proof),
    ];
    for (path, bytes, kind) in beside {
        if let Some(bytes) = bytes {
            let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
            files.push(on_medium(path, kind, digest, size)?);
        }
    }
    Ok((bundle, files))
}

/// Whether every file still has the bytes that were verified.
pub(super) fn unchanged(files: &[OnMedium]) -> Result<(), Failure> {
    for OnMedium { path, file } in files {
        let mut hashing = Hashing::new(io::sink());
        let mut from = fs::open(path)?;
        io::copy(&mut from, &mut hashing).map_err(fs::context("read", path))?;
        let (_, digests, _) = hashing.finish();
        if digests.sha256 != file.digest {
            let differs = TransferError::Differs {
                what: format!("{} changed while it was scanned", quoted(&file.name)),
                expected: file.digest.to_string(),
                found: digests.sha256.to_string(),
            };
            return Err(differs.into());
        }
    }
    Ok(())
}

fn regular(path: &Path) -> Result<(), Failure> {
    let known = fs::metadata(path).map_err(|error| UsageError::unreadable(&error))?;
    if known.is_file() {
        return Ok(());
    }
    let message = format!("{} is not a file", quoted(&path.to_string_lossy()));
    Err(UsageError::new(message)
        .next("name the bundle, or its volumes in their order")
        .into())
}

fn on_medium(
    path: PathBuf,
    kind: FileKind,
    digest: Digest,
    size: u64,
) -> Result<OnMedium, UsageError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let unnamed = || UsageError::new("a file's name on the medium is not UTF-8");
    let name = name.ok_or_else(unnamed)?.to_owned();
    let file = MediumFile {
        name,
        kind,
        digest,
        size,
        scan: Scan::default(),
    };
    Ok(OnMedium { path, file })
}

/// Files read as one, each hashed.
struct Chain<'a> {
    paths: &'a [PathBuf],
    open: Option<Hashing<OpenFile>>,
    done: Vec<(Digest, u64)>,
}

impl<'a> Chain<'a> {
    const fn new(paths: &'a [PathBuf]) -> Self {
        Self {
            paths,
            open: None,
            done: Vec::new(),
        }
    }

    /// What was read.
    fn files(mut self) -> Result<Vec<OnMedium>, Failure> {
        // Nothing is left to read, but the end of the last one may not have been seen.
        let last = self.paths.last().map(PathBuf::as_path);
        let last = last.unwrap_or_else(|| Path::new(""));
        io::copy(&mut self, &mut io::sink()).map_err(fs::context("read", last))?;
        let kind = match self.paths {
            [_] => FileKind::Bundle,
            _ => FileKind::Volume,
        };
        let files = self.paths.iter().zip(self.done);
        let files = files.map(|(path, (digest, size))| on_medium(path.clone(), kind, digest, size));
        Ok(files.collect::<Result<_, _>>()?)
    }
}

impl Read for Chain<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while !buf.is_empty() {
            if self.open.is_none() {
                let Some(path) = self.paths.get(self.done.len()) else {
                    return Ok(0);
                };
                let file = fs::open(path).map_err(io::Error::other)?;
                self.open = Some(Hashing::new(file));
            }
            let read = match &mut self.open {
                Some(file) => file.read(buf)?,
                None => 0,
            };
            if read > 0 {
                return Ok(read);
            }
            if let Some(file) = self.open.take() {
                let (_, digests, size) = file.finish();
                self.done.push((digests.sha256, size));
            }
        }
        Ok(0)
    }
}

/// Writes each blob into a folder, by its digest.
pub(super) struct Blobs<'a> {
    folder: &'a Path,
    open: Option<(PathBuf, OpenFile)>,
}

impl<'a> Blobs<'a> {
    /// Into this folder, which is there and empty.
    pub(super) const fn new(folder: &'a Path) -> Self {
        Self { folder, open: None }
    }
}

impl Sink for Blobs<'_> {
    fn begin(&mut self, digest: &Digest, _size: u64) -> Result<(), FsError> {
        let path = self.folder.join(digest.hex());
        let file = fs::create_new(&path, 0o600)?;
        self.open = Some((path, file));
        Ok(())
    }

    fn chunk(&mut self, bytes: &[u8]) -> Result<(), FsError> {
        match &mut self.open {
            Some((path, file)) => file.write_all(bytes).map_err(fs::context("write", path)),
            None => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), FsError> {
        self.open = None;
        Ok(())
    }
}
