//! What a command is pointed at: a lock or a bundle, told apart by content and not by name.

use std::io::Read;
use std::path::Path;

use crate::base::digest::{Digest, Digests};
use crate::base::limits::LIMITS;
use crate::base::package::{EcosystemId, Purl, ReleaseId};
use crate::base::text::{escaped, quoted};
use crate::bundle::header::{
    BLOCK, HEAD_MARKER, MANIFEST, MARKER, Members, ROOTS, SIGNATURES, SLOT, STATEMENT, Size,
};
use crate::bundle::manifest::{BundleManifest, LOCK};
use crate::bundle::statement::{Claims, Statement};
use crate::bundle::{BundleError, BundleId, slot};
use crate::cli::proof;
use crate::cli::ui::Failure;
use crate::cli::{Context, UsageError};
use crate::eco;
use crate::fs::{self, OpenFile};
use crate::lock::{Lock, Records, format};
use crate::trust::envelope::SignatureEntry;
use crate::trust::proof::SignedProof;
use crate::trust::root::TrustRoot;
use crate::verify::{self, Judge, NullSink};

/// Name of a bundle's first entry, which stands at the start of the file.
const BUNDLE_START: &[u8] = b"STAGE-BUNDLE\0";

/// What the user pointed at.
#[derive(Debug)]
pub enum Subject {
    /// A lock.
    Lock(Box<Lock>),
    /// A bundle.
    Bundle(Box<BundleView>),
}

impl Subject {
    /// The lock, or the bundle's lock; a plain bundle has none.
    pub fn lock(&self) -> Option<&Lock> {
        match self {
            Self::Lock(lock) => Some(lock),
            Self::Bundle(view) => view.lock.as_ref(),
        }
    }

    /// Whether it is a bundle that nobody verified.
    pub fn is_unverified(&self) -> bool {
        matches!(self, Self::Bundle(view) if !view.verified)
    }
}

/// A bundle as far as looking inside needs it.
#[derive(Debug)]
pub struct BundleView {
    /// Its identity.
    pub id: BundleId,
    /// What it says about itself.
    pub statement: Statement,
    /// Ids of the keys that its signatures name; judged only when `verified`.
    pub keyids: Vec<String>,
    /// Its files.
    pub manifest: BundleManifest,
    /// Its lock; `None` for a plain bundle.
    pub lock: Option<Lock>,
    /// Whether it passed every check of `stage verify`. Otherwise only the digests on the way from the statement to
    /// the lock were compared, and nobody knows who made it.
    pub verified: bool,
    /// The proof that lies beside it, where it was verified.
    pub proof: Option<SignedProof>,
}

/// Opens a lock, a bundle or a head; a bundle is verified when there is a trust root to judge it by.
pub fn open(ctx: &Context, path: &Path, trust: Option<&Path>) -> Result<Subject, Failure> {
    let start = start(path)?;
    if verify::begins_like_head(&start) {
        return Ok(Subject::Bundle(Box::new(head(ctx, path)?)));
    }
    if !start.starts_with(BUNDLE_START) {
        return Ok(Subject::Lock(Box::new(lock(path)?)));
    }
    let view = match trust {
        Some(root) => verified(ctx, path, &TrustRoot::load(root)?)?,
        None => peek(fs::open(path)?)?,
    };
    Ok(Subject::Bundle(Box::new(view)))
}

/// Whether a file says that it is a whole bundle.
pub fn is_bundle(path: &Path) -> Result<bool, Failure> {
    Ok(start(path)?.starts_with(BUNDLE_START))
}

/// Whether a file says that it is a bundle's head.
pub fn is_head(path: &Path) -> Result<bool, Failure> {
    Ok(verify::begins_like_head(&start(path)?))
}

/// What is wrong where a lock is to be read that is not there.
pub(crate) fn no_lock(path: &Path) -> UsageError {
    UsageError::new(format!(
        "there is no lock at {}",
        quoted(&path.to_string_lossy())
    ))
    .next("run `stage resolve` first")
}

/// Opens a lock, a bundle or a head. A lock that is not there is an unreadable input, by its name.
fn open_file(path: &Path) -> Result<OpenFile, Failure> {
    fs::open(path).map_err(|error| {
        let is_lock = path.extension().is_some_and(|end| end == "lock");
        if is_lock && error.is_not_found() {
            return no_lock(path).into();
        }
        error.into()
    })
}

/// The first bytes of a file, as many as tell what it is.
fn start(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut start = Vec::new();
    open_file(path)?
        .take(BLOCK as u64)
        .read_to_end(&mut start)
        .map_err(fs::context("read", path))?;
    Ok(start)
}

/// What of a bundle or a head is signed, and the signatures. Nothing is judged, and no artifact is read.
#[derive(Debug)]
pub struct Signed {
    /// The statement's bytes.
    pub statement: Vec<u8>,
    /// The signatures in the slot.
    pub signatures: Vec<SignatureEntry>,
}

/// Reads a bundle, or a head, as far as its signatures.
pub fn signed(path: &Path) -> Result<Signed, Failure> {
    let start = start(path)?;
    let (marker, content) = match start.starts_with(BUNDLE_START) {
        true => MARKER,
        false if verify::begins_like_head(&start) => HEAD_MARKER,
        false => {
            let path = quoted(&path.to_string_lossy());
            return Err(UsageError::new(format!("{path} is neither a bundle nor a head")).into());
        }
    };
    let mut members = Members::new(fs::open(path)?);
    if members.member(marker, Size::Exactly(content.len() as u64))? != content {
        return Err(BundleError::Marker.into());
    }
    let statement = members.member(STATEMENT, Size::AtMost(LIMITS.statement))?;
    Claims::parse(&statement)?;
    let slot = members.member(SIGNATURES, Size::Exactly(SLOT as u64))?;
    Ok(Signed {
        statement,
        signatures: slot::entries(&slot::parse(&slot)?)?,
    })
}

/// A head, which is never verified: what it leaves out could be anything.
fn head(ctx: &Context, path: &Path) -> Result<BundleView, Failure> {
    let intact = verify::head(fs::open(path)?, &ctx.ui)?;
    let entries = intact.entries()?;
    Ok(BundleView {
        id: intact.id(),
        keyids: entries.iter().map(|entry| escaped(&entry.keyid)).collect(),
        statement: intact.statement,
        manifest: intact.manifest,
        lock: intact.lock,
        verified: false,
        proof: None,
    })
}

fn lock(path: &Path) -> Result<Lock, Failure> {
    let bytes = fs::read(path, LIMITS.document)?;
    Ok(format::parse_named(&path.to_string_lossy(), &bytes)?)
}

fn verified(ctx: &Context, path: &Path, root: &TrustRoot) -> Result<BundleView, Failure> {
    let proof = proof::read_beside(path)?;
    let judge = Judge {
        proof: proof.as_deref(),
        ..Judge::alone(root, ctx.now)
    };
    let bundle = verify::bundle(fs::open(path)?, &judge, &mut NullSink, &ctx.ui)?;
    Ok(BundleView {
        id: bundle.id,
        statement: bundle.statement.clone(),
        keyids: bundle.signers.iter().map(|s| s.keyid.hex()).collect(),
        manifest: bundle.manifest.clone(),
        lock: bundle.lock.clone(),
        verified: true,
        proof: bundle.proof.clone(),
    })
}

/// Reads a bundle up to its lock, strictly, without asking who made it.
fn peek<R: Read>(reader: R) -> Result<BundleView, Failure> {
    let mut members = Members::new(reader);
    let (marker, content) = MARKER;
    if members.member(marker, Size::Exactly(content.len() as u64))? != content {
        return Err(BundleError::Marker.into());
    }
    let bytes = members.member(STATEMENT, Size::AtMost(LIMITS.statement))?;
    let signatures = slot::parse(&members.member(SIGNATURES, Size::Exactly(SLOT as u64))?)?;
    let roots = members.member(ROOTS, Size::AtMost(LIMITS.roots))?;
    let statement = Claims::parse(&bytes)?.finish_with(&roots)?;
    let document = members.member(MANIFEST, Size::Exactly(statement.manifest_size))?;
    expect(MANIFEST, statement.manifest, &document)?;
    let manifest = BundleManifest::parse(&document)?;
    let lock = match manifest.file(LOCK).map(|file| file.digests.sha256) {
        Some(digest) => find(&mut members, &manifest, digest)?,
        None => None,
    };
    let entries = slot::entries(&signatures)?;
    Ok(BundleView {
        id: BundleId::of(&bytes),
        statement,
        keyids: entries.iter().map(|entry| escaped(&entry.keyid)).collect(),
        manifest,
        lock: lock
            .map(|bytes| format::parse_canonical(&bytes))
            .transpose()?,
        verified: false,
        proof: None,
    })
}

/// Reads blobs until the wanted one; `None` when the bundle does not carry it.
fn find<R: Read>(
    members: &mut Members<R>,
    manifest: &BundleManifest,
    wanted: Digest,
) -> Result<Option<Vec<u8>>, Failure> {
    let mut buffer = vec![0; 1 << 16];
    for blob in manifest.carried_blobs() {
        let name = format!("blobs/sha256/{}", blob.digests.sha256.hex());
        if blob.digests.sha256 == wanted {
            if blob.size > LIMITS.document {
                return Err(BundleError::Limit {
                    what: LOCK.to_owned(),
                    found: blob.size,
                    limit: LIMITS.document,
                }
                .into());
            }
            let bytes = members.member(&name, Size::Exactly(blob.size))?;
            expect(LOCK, blob.digests, &bytes)?;
            return Ok(Some(bytes));
        }
        let mut left = members.header(&name, Size::Exactly(blob.size))?;
        while left > 0 {
            let length = usize::try_from(left).map_or(buffer.len(), |l| l.min(buffer.len()));
            members.fill(buffer.get_mut(..length).unwrap_or_default())?;
            left -= length as u64;
        }
        members.padding(&name, blob.size)?;
    }
    Ok(None)
}

fn expect(member: &str, expected: Digests, bytes: &[u8]) -> Result<(), BundleError> {
    let found = Digests::of(bytes);
    if found == expected {
        return Ok(());
    }
    Err(BundleError::Mismatch {
        member: member.to_owned(),
        expected: expected.sha256.to_string(),
        found: found.sha256.to_string(),
    })
}

/// The records documents that a lock names, as far as they are there.
pub fn read_records(lock: &Lock, folder: &Path) -> Result<Records, Failure> {
    let mut records = Records::new();
    for id in lock.records.keys() {
        if let Some(bytes) = fs::read_optional(&folder.join(format!("{id}.json")), LIMITS.document)?
        {
            records.insert(id.clone(), bytes);
        }
    }
    Ok(records)
}

/// Package URL of a release.
pub fn purl(ecosystem: &EcosystemId, release: &ReleaseId) -> Result<Purl, UsageError> {
    match eco::by_id(ecosystem) {
        Some(known) => Ok(known.purl(release)),
        None => Err(UsageError::new(format!(
            "this version of stage does not know the ecosystem {}",
            quoted(ecosystem.as_str())
        ))),
    }
}
