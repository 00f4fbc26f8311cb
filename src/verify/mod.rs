//! Deciding whether a bundle is authentic, whole and fresh. One function does it, in one pass over any reader, and
//! writes nothing itself: `verify::bundle`. Its result is a [`Verified`] bundle, which cannot be made in any other way.
//!
//! Order (any failure ends it): marker · statement bytes · signature slot · trust roots · signatures · statement ·
//! roots digest, epoch, serial, time · approvals and proof, where some came with it · manifest · blobs · end marker and end of file ·
//! contents. Bytes of blobs reach the [`Sink`] only after the signatures passed; nothing is parsed before its digest or
//! signature was checked, except the slot, the carried roots and the envelopes of approvals and proof, which are what is needed to
//! check.
//!
//! ```compile_fail,E0423
//! // A bundle cannot be declared verified from outside.
//! fn forge(bundle: stage::verify::Bundle) -> stage::verify::Verified<stage::verify::Bundle> {
//!     stage::verify::Verified(bundle)
//! }
//! ```

pub mod contents;
pub mod error;
mod intact;
pub mod report;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::Deref;

use crate::base::digest::Digest;
use crate::base::path::RelPath;
use crate::base::progress::Progress;
use crate::base::time::Timestamp;
use crate::bundle::BundleId;
use crate::bundle::manifest::BundleManifest;
use crate::bundle::statement::Statement;
use crate::fs::FsError;
use crate::lock::Lock;
use crate::trust::approval::Approvals;
use crate::trust::proof::SignedProof;
use crate::trust::root::TrustRoot;
use crate::trust::threshold::Signer;

pub use crate::verify::error::{CODES, VerifyError};
pub use crate::verify::intact::{Intact, begins_like_head, head, integrity};

/// A value that passed every check. Only this module makes one.
#[derive(Debug, Clone)]
pub struct Verified<T>(T);

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Receives the bytes of blobs in stream order, only after the signatures passed. A blob's `end` may come before its
/// digests are confirmed: a sink keeps everything in quarantine until [`bundle`] returned `Ok`.
pub trait Sink {
    /// The manifest was checked; blobs follow. Called once: the place to refuse for want of room.
    fn prepare(&mut self, _manifest: &BundleManifest) -> Result<(), FsError> {
        Ok(())
    }
    /// A blob of `size` bytes begins.
    fn begin(&mut self, digest: &Digest, size: u64) -> Result<(), FsError>;
    /// More of its bytes.
    fn chunk(&mut self, bytes: &[u8]) -> Result<(), FsError>;
    /// The blob is complete.
    fn end(&mut self) -> Result<(), FsError>;
    /// A check passed. For reports; the default does nothing.
    fn passed(&mut self, _check: &Check) {}
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullSink;

impl Sink for NullSink {
    fn begin(&mut self, _digest: &Digest, _size: u64) -> Result<(), FsError> {
        Ok(())
    }
    fn chunk(&mut self, _bytes: &[u8]) -> Result<(), FsError> {
        Ok(())
    }
    fn end(&mut self) -> Result<(), FsError> {
        Ok(())
    }
}

/// What a repository has seen before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenState {
    /// Newest trust root that was accepted.
    pub root_version: u64,
    /// Newest signed `created` that was accepted.
    pub time_floor: Option<Timestamp>,
    /// High-water mark of each channel.
    pub channels: BTreeMap<String, HighWater>,
    /// Statements of bundles that were accepted before and may come in again, to repair what they brought, although
    /// newer ones were accepted or they have expired by now. Nothing new is published by that.
    pub again: BTreeSet<Digest>,
    /// Whether a bundle that has expired is accepted all the same. Somebody gave a reason for it, and the repository was
    /// made to allow that.
    pub allow_expired: bool,
}

/// The newest bundle of a channel that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HighWater {
    /// Its epoch.
    pub epoch: u64,
    /// Its serial.
    pub serial: u64,
    /// Digest of its statement.
    pub statement: Digest,
}

/// What a bundle is judged by.
#[expect(
    missing_debug_implementations,
    reason = "holds a function that cannot be shown"
)]
pub struct Judge<'a> {
    /// The trusted root.
    pub root: &'a TrustRoot,
    /// The repository's memory, where there is a repository.
    pub state: Option<&'a SeenState>,
    /// The time now.
    pub now: Timestamp,
    /// The file of approvals that came with the bundle.
    pub approvals: Option<&'a [u8]>,
    /// The proof that came with the bundle.
    pub proof: Option<&'a [u8]>,
    /// Whether the repository has the blob, hashed again just now.
    pub have: &'a dyn Fn(&Digest) -> bool,
}

impl<'a> Judge<'a> {
    /// By a root alone: no repository remembers anything, and nothing came with the bundle.
    pub fn alone(root: &'a TrustRoot, now: Timestamp) -> Self {
        Self {
            root,
            state: None,
            now,
            approvals: None,
            proof: None,
            have: &|_digest| false,
        }
    }
}

/// A check that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// One of [`STEPS`].
    pub name: &'static str,
    /// What was found, one line, safe to print.
    pub detail: String,
}

/// The checks in their order.
pub const STEPS: [&str; 13] = [
    "marker",
    "statement",
    "signature-slot",
    "trust-root",
    "signatures",
    "claims",
    "freshness",
    "approvals",
    "proof",
    "manifest",
    "blobs",
    "end",
    "contents",
];

/// A bundle's statement, manifest and documents.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Its identity.
    pub id: BundleId,
    /// What it says about itself.
    pub statement: Statement,
    /// The signed bytes.
    pub statement_bytes: Vec<u8>,
    /// Its files.
    pub manifest: BundleManifest,
    /// The trust root after walking the carried roots.
    pub root: TrustRoot,
    /// Everything under `lock/`, `sbom/` and `ca/`; empty for a plain bundle.
    pub documents: BTreeMap<RelPath, Vec<u8>>,
    /// The lock; `None` for a plain bundle.
    pub lock: Option<Lock>,
    /// Who signed.
    pub signers: Vec<Signer>,
    /// What they said about it; empty when nothing came with the bundle.
    pub approvals: Approvals,
    /// What was proved of it; `None` when nothing came with the bundle.
    pub proof: Option<SignedProof>,
    /// What was checked.
    pub checks: Vec<Check>,
    /// Whether the repository's high-water mark is this very bundle.
    pub already_imported: bool,
}

impl Bundle {
    /// Those whose signature counts for the bundle, and who said nothing about it.
    pub fn not_approved(&self) -> impl Iterator<Item = &Signer> {
        let counted = self.root.bundle_roles();
        let counts = move |signer: &&Signer| counted.iter().any(|role| signer.roles.contains(role));
        let silent = move |signer: &&Signer| !self.approvals.has(signer.keyid);
        self.signers.iter().filter(counts).filter(silent)
    }
}

/// Verifies a bundle while reading it once. Nothing is written; `sink` gets the blobs.
///
/// # Errors
/// The first check that fails. What the sink received by then must be thrown away.
pub fn bundle<R: Read>(
    reader: R,
    judge: &Judge<'_>,
    sink: &mut dyn Sink,
    progress: &dyn Progress,
) -> Result<Verified<Bundle>, VerifyError> {
    stream::judge(reader, judge, sink, progress).map(Verified)
}
