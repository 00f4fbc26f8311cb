//! The one pass over a bundle's bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use serde_json::Value;

use crate::base::digest::{Digest, Digests};
use crate::base::json;
use crate::base::limits::LIMITS;
use crate::base::path::RelPath;
use crate::base::progress::{Progress, Unit};
use crate::base::time::Timestamp;
use crate::bundle::hash::{Answer, Depth, HashPool};
use crate::bundle::header::{MANIFEST, MARKER, Members, ROOTS, SIGNATURES, SLOT, STATEMENT, Size};
use crate::bundle::manifest::{Blob, BundleManifest};
use crate::bundle::statement::{Claims, Kind, Statement};
use crate::bundle::{BundleError, BundleId, slot};
use crate::trust::TrustError;
use crate::trust::approval::{Approvals, Approved};
use crate::trust::envelope::{STATEMENT_TYPE, Signable};
use crate::trust::proof::SignedProof;
use crate::trust::root::{MAX_ROOTS, TrustRoot};
use crate::trust::threshold::{self, Signer};
use crate::verify::{Bundle, Check, Judge, STEPS, Sink, VerifyError, contents};

/// What is said where nothing lies beside a bundle.
const NONE: &str = "none came with it";

/// Verifies a bundle; see `verify::bundle`.
pub(super) fn judge<R: Read>(
    reader: R,
    judge: &Judge<'_>,
    sink: &mut dyn Sink,
    progress: &dyn Progress,
) -> Result<Bundle, VerifyError> {
    let mut pass = Pass::new(reader, progress);
    let open = pass.open(MARKER, sink)?;
    let root = final_root(&open, judge)?;
    pass.note(sink, 3, root_detail(&root));
    let signers = signers(&open.signatures, &open.statement, &root, true)?;
    pass.note(sink, 4, signers_detail(&signers));
    let claims = Claims::parse(&open.statement)?;
    pass.note(
        sink,
        5,
        format!("channel {}, serial {}", claims.channel, claims.serial),
    );
    let id = BundleId::of(&open.statement);
    let already_imported = fresh(&claims, &open.roots, &root, judge, id)
        .map_err(|error| error.signed_by(signers_named(&signers)))?;
    pass.note(
        sink,
        6,
        format!("made {}, expires {}", claims.created, claims.expires),
    );
    let about = Approved {
        statement: id.0,
        channel: &claims.channel,
        serial: claims.serial,
    };
    let approvals = approvals(&about, judge, &root, &signers)?;
    pass.note(sink, 7, approvals_detail(&approvals));
    let proof = judge
        .proof
        .map(|bytes| SignedProof::judge(bytes, &about, &root));
    let proof = proof.transpose()?;
    let words = proof.as_ref().map(SignedProof::words);
    pass.note(sink, 8, words.unwrap_or_else(|| NONE.to_owned()));
    let statement = claims.finish((Digest::of(&open.roots), open.roots.len() as u64))?;
    let manifest = pass.manifest(&statement, judge.have)?;
    pass.note(sink, 9, format!("{} files", manifest.files.len()));
    sink.prepare(&manifest)?;
    let documents = pass.contents(&manifest, sink)?;
    let lock = contents::check(&manifest, &documents)?;
    pass.note(sink, 12, contents::detail(lock.as_ref()));
    Ok(Bundle {
        id,
        statement,
        statement_bytes: open.statement,
        manifest,
        root,
        documents,
        lock,
        signers,
        approvals,
        proof,
        checks: pass.checks,
        already_imported,
    })
}

/// What stands before the manifest, read but not judged.
pub(super) struct Open {
    pub(super) statement: Vec<u8>,
    pub(super) signatures: Value,
    pub(super) roots: Vec<u8>,
}

pub(super) struct Pass<'p, R> {
    members: Members<R>,
    progress: &'p dyn Progress,
    checks: Vec<Check>,
}

impl<'p, R: Read> Pass<'p, R> {
    pub(super) const fn new(reader: R, progress: &'p dyn Progress) -> Self {
        Self {
            members: Members::new(reader),
            progress,
            checks: Vec::new(),
        }
    }

    /// Notes that the check with this place in [`STEPS`] passed.
    fn note(&mut self, sink: &mut dyn Sink, step: usize, detail: String) {
        let name = STEPS.get(step).copied().unwrap_or_default();
        let check = Check { name, detail };
        sink.passed(&check);
        self.checks.push(check);
    }

    /// Reads what stands before the manifest of a file that begins with this marker.
    pub(super) fn open(
        &mut self,
        marker: (&'static str, &'static [u8]),
        sink: &mut dyn Sink,
    ) -> Result<Open, VerifyError> {
        let size = Size::Exactly(marker.1.len() as u64);
        if self.members.member(marker.0, size)? != marker.1 {
            return Err(BundleError::Marker.into());
        }
        self.note(sink, 0, "bundle format 1".to_owned());
        let statement = self
            .members
            .member(STATEMENT, Size::AtMost(LIMITS.statement))?;
        self.note(sink, 1, format!("{} bytes", statement.len()));
        let slot = self
            .members
            .member(SIGNATURES, Size::Exactly(SLOT as u64))?;
        let signatures = slot::parse(&slot)?;
        self.note(sink, 2, format!("{} bytes", slot.len()));
        let roots = self.members.member(ROOTS, Size::AtMost(LIMITS.roots))?;
        Ok(Open {
            statement,
            signatures,
            roots,
        })
    }

    pub(super) fn manifest(
        &mut self,
        statement: &Statement,
        have: &dyn Fn(&Digest) -> bool,
    ) -> Result<BundleManifest, VerifyError> {
        let size = Size::Exactly(statement.manifest_size);
        let bytes = self.members.member(MANIFEST, size)?;
        let found = Digests::of(&bytes);
        if found != statement.manifest {
            return Err(mismatch(MANIFEST.to_owned(), &statement.manifest, &found).into());
        }
        let manifest = BundleManifest::parse(&bytes)?;
        drop(bytes);
        let missing: Vec<Digest> = manifest
            .blobs()
            .iter()
            .map(|blob| blob.digests.sha256)
            .filter(|digest| manifest.carried.binary_search(digest).is_err())
            .collect();
        if statement.kind == Kind::Full && !missing.is_empty() {
            let reason = "a full bundle does not carry every blob";
            return Err(BundleError::fields(MANIFEST, reason).into());
        }
        let missing: Vec<Digest> = missing.into_iter().filter(|d| !have(d)).collect();
        match missing.first() {
            Some(example) => Err(VerifyError::BaseMissing {
                missing: missing.len(),
                example: *example,
            }),
            None => Ok(manifest),
        }
    }

    /// Blobs, end marker, end of file. Returns the documents of a lock bundle.
    pub(super) fn contents(
        &mut self,
        manifest: &BundleManifest,
        sink: &mut dyn Sink,
    ) -> Result<BTreeMap<RelPath, Vec<u8>>, VerifyError> {
        let blobs = manifest.carried_blobs();
        let total = blobs.iter().map(|b| b.size).sum();
        self.progress.begin("Verifying", total, Unit::Bytes);
        let documents = self.blobs(manifest, &blobs, total, sink);
        self.progress.end();
        let documents = documents?;
        self.note(sink, 10, format!("{} blobs, {total} bytes", blobs.len()));
        self.members.end()?;
        self.note(sink, 11, "nothing follows".to_owned());
        Ok(documents)
    }

    fn blobs(
        &mut self,
        manifest: &BundleManifest,
        blobs: &[Blob],
        total: u64,
        sink: &mut dyn Sink,
    ) -> Result<BTreeMap<RelPath, Vec<u8>>, VerifyError> {
        let wanted = contents::document_digests(manifest)?;
        sink.prepare(manifest)?;
        let mut kept = BTreeMap::new();
        let mut pool = HashPool::new(Depth::Both, total);
        let mut tally = Tally::default();
        let mut stopped = None;
        for (index, blob) in blobs.iter().enumerate() {
            let keep = wanted.contains(&blob.digests.sha256);
            match self.blob(&mut pool, index, blob, keep, sink) {
                Ok(Some(bytes)) => {
                    kept.insert(blob.digests.sha256, bytes);
                }
                Ok(None) => {}
                Err(error) => {
                    stopped = Some((index, error));
                    break;
                }
            }
            tally.take(blobs, &pool.ready());
            if tally.wrong.is_some() {
                break;
            }
        }
        tally.take(blobs, &pool.finish());
        tally.judge(blobs, stopped)?;
        Ok(contents::documents(manifest, &kept))
    }

    /// Reads one blob; returns its bytes when they are to be kept.
    fn blob(
        &mut self,
        pool: &mut HashPool,
        index: usize,
        blob: &Blob,
        keep: bool,
        sink: &mut dyn Sink,
    ) -> Result<Option<Vec<u8>>, VerifyError> {
        let name = format!("blobs/sha256/{}", blob.digests.sha256.hex());
        self.members.header(&name, Size::Exactly(blob.size))?;
        sink.begin(&blob.digests.sha256, blob.size)?;
        let mut kept = Vec::new();
        let (members, progress) = (&mut self.members, self.progress);
        pool.feed(
            index,
            blob.size,
            &mut |piece| Ok::<(), VerifyError>(members.fill(piece)?),
            &mut |piece| {
                sink.chunk(piece)?;
                if keep {
                    kept.extend_from_slice(piece);
                }
                progress.advance(piece.len() as u64);
                Ok(())
            },
        )?;
        self.members.padding(&name, blob.size)?;
        sink.end()?;
        Ok(keep.then_some(kept))
    }
}

/// Counts digests as they come in.
#[derive(Default)]
struct Tally {
    answers: usize,
    /// First blob in stream order that has other bytes.
    wrong: Option<usize>,
}

impl Tally {
    fn take(&mut self, blobs: &[Blob], answers: &[Answer]) {
        for answer in answers {
            let (index, right) = match answer {
                Answer::Sha256(index, found) => (
                    *index,
                    blobs.get(*index).map(|b| b.digests.sha256) == Some(*found),
                ),
                Answer::Sha512(index, found) => (
                    *index,
                    blobs.get(*index).map(|b| b.digests.sha512) == Some(*found),
                ),
            };
            self.answers += 1;
            if !right && self.wrong.is_none_or(|wrong| index < wrong) {
                self.wrong = Some(index);
            }
        }
    }

    /// The first failure in stream order wins, whenever it was noticed.
    fn judge(
        &self,
        blobs: &[Blob],
        stopped: Option<(usize, VerifyError)>,
    ) -> Result<(), VerifyError> {
        let at = stopped.as_ref().map(|(index, _)| *index);
        if let Some(wrong) = self.wrong
            && at.is_none_or(|at| wrong < at)
        {
            let expected = blobs.get(wrong).map(|b| b.digests.sha256.to_string());
            return Err(BundleError::Mismatch {
                member: format!("blob {} of {}", wrong + 1, blobs.len()),
                expected: expected.unwrap_or_default(),
                found: String::new(),
            }
            .into());
        }
        match stopped {
            Some((_, error)) => Err(error),
            None if self.answers == blobs.len() * 2 => Ok(()),
            None => Err(BundleError::HashingStopped.into()),
        }
    }
}

fn mismatch(member: String, expected: &Digests, found: &Digests) -> BundleError {
    let text = |d: &Digests| format!("{} {}", d.sha256, d.sha512);
    BundleError::Mismatch {
        member,
        expected: text(expected),
        found: text(found),
    }
}

/// The envelopes in `roots.json`.
pub(super) fn roots(bytes: &[u8]) -> Result<Vec<Value>, BundleError> {
    let value = json::strict(bytes, LIMITS.roots).map_err(|source| BundleError::Json {
        document: ROOTS,
        source,
    })?;
    match value {
        Value::Array(list) if list.len() <= MAX_ROOTS => Ok(list),
        _ => Err(BundleError::fields(
            ROOTS,
            format!("it is not a list of at most {MAX_ROOTS} roots"),
        )),
    }
}

/// Follows the carried roots from the trusted one.
pub(super) fn walk(trusted: &TrustRoot, envelopes: &[Value]) -> Result<TrustRoot, TrustError> {
    let mut root = trusted.clone();
    for envelope in envelopes {
        if let Some(newer) = root.updated_by(envelope)? {
            root = newer;
        }
    }
    Ok(root)
}

fn final_root(open: &Open, judge: &Judge<'_>) -> Result<TrustRoot, VerifyError> {
    let known = judge.state.map_or(0, |state| state.root_version);
    if known > judge.root.version() {
        return Err(VerifyError::RootOlder {
            known,
            given: judge.root.version(),
        });
    }
    let root = walk(judge.root, &roots(&open.roots)?)?;
    let floor = time_floor(judge)?;
    if root.expires() <= floor {
        return Err(VerifyError::RootExpired {
            version: root.version(),
            expires: root.expires(),
            now: floor,
        });
    }
    Ok(root)
}

/// The time to judge at: now, which must not be before a signed time that was accepted.
fn time_floor(judge: &Judge<'_>) -> Result<Timestamp, VerifyError> {
    match judge.state.and_then(|state| state.time_floor) {
        Some(floor) if judge.now < floor => Err(VerifyError::Clock {
            now: judge.now,
            floor,
        }),
        _ => Ok(judge.now),
    }
}

pub(super) fn signers(
    signatures: &Value,
    statement: &[u8],
    root: &TrustRoot,
    thresholds: bool,
) -> Result<Vec<Signer>, TrustError> {
    let list = signatures.as_array().ok_or(TrustError::SignatureFormat {
        reason: "`signatures` is not a list",
    })?;
    let needs = if thresholds {
        root.bundle_roles()
    } else {
        Vec::new()
    };
    threshold::count(list, Signable::new(STATEMENT_TYPE, statement), root, &needs)
}

/// Roots digest, epoch, serial, time. Returns whether this very bundle is the high-water mark.
fn fresh(
    claims: &Claims,
    roots: &[u8],
    root: &TrustRoot,
    judge: &Judge<'_>,
    id: BundleId,
) -> Result<bool, VerifyError> {
    claims.check_roots(roots)?;
    if claims.root_version > root.version() {
        return Err(VerifyError::RootNeeded {
            needed: claims.root_version,
            have: root.version(),
        });
    }
    let expected = root.epoch(&claims.channel);
    if expected != Some(claims.epoch) {
        return Err(VerifyError::Epoch {
            channel: claims.channel.clone(),
            expected,
            found: claims.epoch,
        });
    }
    let already_imported = not_rolled_back(claims, judge, id)?;
    let now = time_floor(judge)?;
    if claims.created > now {
        return Err(VerifyError::Future {
            created: claims.created,
            now,
        });
    }
    let allowed = judge
        .state
        .is_some_and(|seen| seen.allow_expired || seen.again.contains(&id.0));
    if claims.expires <= now && !allowed {
        return Err(VerifyError::Expired {
            expires: claims.expires,
            now,
        });
    }
    Ok(already_imported)
}

fn not_rolled_back(claims: &Claims, judge: &Judge<'_>, id: BundleId) -> Result<bool, VerifyError> {
    if judge.state.is_some_and(|seen| seen.again.contains(&id.0)) {
        return Ok(true);
    }
    let mark = judge.state.and_then(|s| s.channels.get(&claims.channel));
    let Some(mark) = mark else {
        return Ok(false);
    };
    let (known, found) = ((mark.epoch, mark.serial), (claims.epoch, claims.serial));
    if found < known {
        return Err(VerifyError::Rollback {
            channel: claims.channel.clone(),
            known,
            found,
        });
    }
    if found == known && mark.statement != id.0 {
        return Err(VerifyError::Equivocation {
            channel: claims.channel.clone(),
            serial: claims.serial,
            known: mark.statement,
            found: id.0,
            signers: Vec::new(),
        });
    }
    Ok(found == known)
}

/// What the signers said about the bundle, where a file of it came along.
fn approvals(
    about: &Approved<'_>,
    judge: &Judge<'_>,
    root: &TrustRoot,
    signers: &[Signer],
) -> Result<Approvals, VerifyError> {
    let Some(bytes) = judge.approvals else {
        return Ok(Approvals::default());
    };
    Ok(Approvals::judge(bytes, about, root, signers)?)
}

fn approvals_detail(approvals: &Approvals) -> String {
    let names: Vec<&str> = approvals
        .iter()
        .map(|signed| signed.approval().person.as_str())
        .collect();
    if names.is_empty() {
        return NONE.to_owned();
    }
    format!("{} by {}", names.len(), names.join(", "))
}

fn root_detail(root: &TrustRoot) -> String {
    format!("version {}, expires {}", root.version(), root.expires())
}

/// Each signer as `person (roles), key id`.
fn signers_named(signers: &[Signer]) -> Vec<String> {
    let name = |signer: &Signer| {
        let roles: Vec<&str> = signer.roles.iter().map(|role| role.as_str()).collect();
        format!(
            "{} ({}), key {}",
            signer.person,
            roles.join(", "),
            signer.keyid
        )
    };
    signers.iter().map(name).collect()
}

fn signers_detail(signers: &[Signer]) -> String {
    let names: BTreeSet<&str> = signers.iter().map(|s| s.person.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    format!("{} by {}", signers.len(), names.join(", "))
}
