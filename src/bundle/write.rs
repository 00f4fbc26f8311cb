//! Writing a bundle: plan first (everything but the blobs' bytes is known), then one pass over the sources. Every blob
//! is hashed again while it is copied, so a file that changed after planning never ends up under its old digest.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::PathBuf;

use crate::base::digest::{Digest, Digests};
use crate::base::limits::LIMITS;
use crate::base::path::{RelPath, check_tree};
use crate::base::progress::{Progress, Unit};
use crate::base::time::Timestamp;
use crate::bundle::hash::{Answer, Depth, HashPool};
use crate::bundle::header::{
    END, HEAD_MARKER, MANIFEST, MARKER, ROOTS, SIGNATURES, STATEMENT, header, write_member,
    write_padding,
};
use crate::bundle::manifest::{BundleManifest, ManifestFile};
use crate::bundle::statement::{Kind, Previous, Statement};
use crate::bundle::{BundleError, BundleId, slot};
use crate::trust::envelope::SignatureEntry;

/// Where a file's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file on disk, which must have exactly the planned bytes.
    Path(PathBuf),
    /// Consecutive bytes of a file on disk: one part of an artifact that is too large for one blob.
    Part {
        /// The file.
        path: PathBuf,
        /// Where the part begins.
        offset: u64,
    },
    /// Bytes in memory.
    Bytes(Vec<u8>),
}

/// A file that the bundle will carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Where it goes in the tree.
    pub path: RelPath,
    /// Where its bytes come from.
    pub source: Source,
    /// Digests of its bytes.
    pub digests: Digests,
    /// Size in bytes.
    pub size: u64,
}

impl PlannedFile {
    /// A file made of bytes in memory.
    pub fn from_bytes(path: RelPath, bytes: Vec<u8>) -> Self {
        Self {
            path,
            digests: Digests::of(&bytes),
            size: bytes.len() as u64,
            source: Source::Bytes(bytes),
        }
    }
}

/// What a statement says beyond the contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Channel.
    pub channel: String,
    /// Epoch of the channel.
    pub epoch: u64,
    /// Serial within the channel.
    pub serial: u64,
    /// When the bundle is made.
    pub created: Timestamp,
    /// From when on it is refused.
    pub expires: Timestamp,
    /// Lowest version of the trust root to judge it with.
    pub root_version: u64,
    /// The bundle before, for a delta.
    pub previous: Option<Previous>,
}

/// A bundle that is ready to be signed and written.
#[derive(Debug)]
pub struct BundlePlan {
    statement: Statement,
    manifest: BundleManifest,
    manifest_bytes: Vec<u8>,
    roots: Vec<u8>,
    sources: BTreeMap<Digest, (u64, Source)>,
}

/// `roots.json` of a bundle that carries no newer roots.
pub const NO_ROOTS: &[u8] = b"[]";

impl BundlePlan {
    /// Plans a full bundle of `files`, in any order. `roots` are the bytes of `roots.json`, [`NO_ROOTS`] for none.
    pub fn new(
        release: Release,
        mut files: Vec<PlannedFile>,
        roots: Vec<u8>,
    ) -> Result<Self, BundleError> {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        check_tree(files.iter().map(|f| &f.path))
            .map_err(|source| BundleError::UnsafePath { source })?;
        check_limits(&files, &roots)?;
        let mut manifest = BundleManifest::default();
        let mut sources = BTreeMap::new();
        for file in files {
            sources.insert(file.digests.sha256, (file.size, file.source));
            manifest.files.push(ManifestFile {
                path: file.path,
                digests: file.digests,
                size: file.size,
            });
        }
        manifest.carried = sources.keys().copied().collect();
        let manifest_bytes = manifest.canonical();
        let size = manifest_bytes.len() as u64;
        limit(MANIFEST, size, LIMITS.manifest)?;
        let statement = Statement {
            channel: release.channel,
            epoch: release.epoch,
            serial: release.serial,
            kind: Kind::Full,
            created: release.created,
            expires: release.expires,
            root_version: release.root_version,
            manifest_size: size,
            manifest: Digests::of(&manifest_bytes),
            roots: (Digest::of(&roots), roots.len() as u64),
            previous: release.previous,
        };
        // Reading the statement back applies every rule of the format to the caller's fields.
        let statement = Statement::parse(&statement.canonical())?;
        Ok(Self {
            statement,
            manifest,
            manifest_bytes,
            roots,
            sources,
        })
    }

    /// The statement.
    pub const fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The statement's bytes: what is signed (see `trust::envelope::pae`).
    pub fn statement_bytes(&self) -> Vec<u8> {
        self.statement.canonical()
    }

    /// The bundle's identity.
    pub fn id(&self) -> BundleId {
        BundleId::of(&self.statement_bytes())
    }

    /// The manifest.
    pub const fn manifest(&self) -> &BundleManifest {
        &self.manifest
    }

    /// Writes the bundle's head, not signed.
    ///
    /// # Errors
    /// [`BundleError::Changed`] when a document does not have the planned bytes.
    pub fn write_head(&self, out: &mut dyn Write) -> Result<(), BundleError> {
        let mut documents = BTreeMap::new();
        for file in self.manifest.documents() {
            let digest = file.digests.sha256;
            if let Some((size, source)) = self.sources.get(&digest) {
                let mut bytes = Vec::new();
                open(source)?
                    .take(*size)
                    .read_to_end(&mut bytes)
                    .map_err(|error| short(source, &digest, error))?;
                if Digest::of(&bytes) != digest {
                    return Err(changed(source, &digest));
                }
                documents.insert(digest, bytes);
            }
        }
        let head = Head {
            statement: &self.statement_bytes(),
            signatures: &[],
            roots: &self.roots,
            manifest: &self.manifest_bytes,
            documents: documents.iter().map(|(d, b)| (*d, b.as_slice())).collect(),
        };
        head.write(out)
    }

    /// Bytes of all blobs together.
    pub fn blob_bytes(&self) -> u64 {
        self.sources.values().map(|(size, _)| size).sum()
    }
}

fn limit(what: &str, found: u64, limit: u64) -> Result<(), BundleError> {
    if found > limit {
        return Err(BundleError::TooLarge {
            what: what.to_owned(),
            found,
            limit,
        });
    }
    Ok(())
}

fn check_limits(files: &[PlannedFile], roots: &[u8]) -> Result<(), BundleError> {
    limit("the number of files", files.len() as u64, LIMITS.files)?;
    limit(ROOTS, roots.len() as u64, LIMITS.roots)?;
    files
        .iter()
        .try_for_each(|file| limit(file.path.as_str(), file.size, LIMITS.blob))
}

/// What the head of a bundle holds: all but its artifacts.
#[derive(Debug)]
pub struct Head<'a> {
    /// The statement's bytes.
    pub statement: &'a [u8],
    /// The signatures so far.
    pub signatures: &'a [SignatureEntry],
    /// The bytes of `roots.json`.
    pub roots: &'a [u8],
    /// The manifest's bytes.
    pub manifest: &'a [u8],
    /// The carried documents by digest.
    pub documents: BTreeMap<Digest, &'a [u8]>,
}

impl Head<'_> {
    /// Writes it to `out`, which the caller makes durable afterwards.
    pub fn write(&self, out: &mut dyn Write) -> Result<(), BundleError> {
        let failed = |source| BundleError::Write { source };
        write_member(out, HEAD_MARKER.0, HEAD_MARKER.1).map_err(failed)?;
        write_member(out, STATEMENT, self.statement).map_err(failed)?;
        write_member(out, SIGNATURES, &slot::write(self.signatures)?).map_err(failed)?;
        write_member(out, ROOTS, self.roots).map_err(failed)?;
        write_member(out, MANIFEST, self.manifest).map_err(failed)?;
        for (digest, bytes) in &self.documents {
            let name = format!("blobs/sha256/{}", digest.hex());
            write_member(out, &name, bytes).map_err(failed)?;
        }
        out.write_all(&[0; END]).map_err(failed)?;
        out.flush().map_err(failed)
    }
}

/// Writes the bundle to `out`, which the caller makes durable afterwards.
///
/// # Errors
/// [`BundleError::Changed`] when a source does not have the planned bytes: `out` must then be thrown away.
pub fn write(
    out: &mut dyn Write,
    plan: &BundlePlan,
    signatures: &[SignatureEntry],
    progress: &dyn Progress,
) -> Result<(), BundleError> {
    let failed = |source| BundleError::Write { source };
    write_member(out, MARKER.0, MARKER.1).map_err(failed)?;
    write_member(out, STATEMENT, &plan.statement_bytes()).map_err(failed)?;
    write_member(out, SIGNATURES, &slot::write(signatures)?).map_err(failed)?;
    write_member(out, ROOTS, &plan.roots).map_err(failed)?;
    write_member(out, MANIFEST, &plan.manifest_bytes).map_err(failed)?;
    progress.begin("Writing", plan.blob_bytes(), Unit::Bytes);
    let written = write_blobs(out, plan, progress);
    progress.end();
    written?;
    out.write_all(&[0; END]).map_err(failed)?;
    out.flush().map_err(failed)
}

/// Copies the blobs in ascending order. SHA-256 alone decides here whether bytes are the planned ones: equal SHA-256
/// means equal bytes, and their SHA-512 is known.
fn write_blobs(
    out: &mut dyn Write,
    plan: &BundlePlan,
    progress: &dyn Progress,
) -> Result<(), BundleError> {
    let mut pool = HashPool::new(Depth::Sha256, plan.blob_bytes());
    let order: Vec<(&Digest, &(u64, Source))> = plan.sources.iter().collect();
    let mut answers = 0;
    for (index, (digest, (size, source))) in order.iter().enumerate() {
        let failed = |source| BundleError::Write { source };
        let name = format!("blobs/sha256/{}", digest.hex());
        out.write_all(&header(&name, *size)).map_err(failed)?;
        let mut reader = open(source)?;
        pool.feed(
            index,
            *size,
            &mut |piece| {
                reader
                    .read_exact(piece)
                    .map_err(|e| short(source, digest, e))
            },
            &mut |piece| {
                progress.advance(piece.len() as u64);
                out.write_all(piece).map_err(failed)
            },
        )?;
        write_padding(out, *size).map_err(failed)?;
        answers += check(&order, &pool.ready())?;
    }
    answers += check(&order, &pool.finish())?;
    if answers != order.len() {
        return Err(BundleError::HashingStopped);
    }
    Ok(())
}

fn open(source: &Source) -> Result<Box<dyn Read + '_>, BundleError> {
    Ok(match source {
        Source::Path(path) => Box::new(crate::fs::open(path)?),
        Source::Part { path, offset } => Box::new(crate::fs::open_at(path, *offset)?),
        Source::Bytes(bytes) => Box::new(bytes.as_slice()),
    })
}

/// A source that is shorter than planned has changed; anything else is the system's error.
fn short(source: &Source, digest: &Digest, error: std::io::Error) -> BundleError {
    match source {
        Source::Path(path) | Source::Part { path, .. }
            if error.kind() != std::io::ErrorKind::UnexpectedEof =>
        {
            crate::fs::context("read", path)(error).into()
        }
        _ => changed(source, digest),
    }
}

fn changed(source: &Source, digest: &Digest) -> BundleError {
    BundleError::Changed {
        source_path: match source {
            Source::Path(path) | Source::Part { path, .. } => path.clone(),
            Source::Bytes(_) => PathBuf::new(),
        },
        expected: *digest,
    }
}

/// Compares digests with the plan; returns how many there were.
fn check(order: &[(&Digest, &(u64, Source))], answers: &[Answer]) -> Result<usize, BundleError> {
    for answer in answers {
        if let Answer::Sha256(index, found) = answer
            && let Some((expected, (_, source))) = order.get(*index)
            && found != *expected
        {
            return Err(changed(source, expected));
        }
    }
    Ok(answers.len())
}
