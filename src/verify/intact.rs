//! What must hold before anybody signs: a bundle that is whole in itself, and its head, which is all of it but the
//! artifacts. Nothing here says who made it.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use serde_json::Value;

use crate::base::digest::Digest;
use crate::base::path::RelPath;
use crate::base::progress::Progress;
use crate::base::time::Timestamp;
use crate::bundle::header::{BLOCK, HEAD_MARKER, MARKER, header};
use crate::bundle::manifest::BundleManifest;
use crate::bundle::statement::{Claims, Statement};
use crate::bundle::write::Head;
use crate::bundle::{BundleError, BundleId, slot};
use crate::lock::Lock;
use crate::trust::TrustError;
use crate::trust::approval::Approved;
use crate::trust::envelope::SignatureEntry;
use crate::trust::root::TrustRoot;
use crate::trust::threshold::Signer;
use crate::verify::stream::{self, Pass};
use crate::verify::{NullSink, VerifyError, contents};

/// A bundle or a head that is whole in itself; nothing is known about who made it.
#[derive(Debug, Clone)]
pub struct Intact {
    /// Its statement.
    pub statement: Statement,
    /// The bytes to sign.
    pub statement_bytes: Vec<u8>,
    /// The signatures in its slot, not judged.
    pub signatures: Value,
    /// Its files.
    pub manifest: BundleManifest,
    /// Its lock; `None` for a plain bundle.
    pub lock: Option<Lock>,
    /// Everything under `lock/`, `sbom/` and `ca/`; empty for a plain bundle.
    documents: BTreeMap<RelPath, Vec<u8>>,
    /// The carried trust roots, not judged.
    roots: Vec<Value>,
    roots_bytes: Vec<u8>,
}

impl Intact {
    /// The bundle's identity.
    pub fn id(&self) -> BundleId {
        BundleId::of(&self.statement_bytes)
    }

    /// Everything under `lock/`, `sbom/` and `ca/`.
    pub const fn documents(&self) -> &BTreeMap<RelPath, Vec<u8>> {
        &self.documents
    }

    /// What an approval of it is about.
    pub fn approved(&self) -> Approved<'_> {
        Approved {
            statement: self.id().0,
            channel: &self.statement.channel,
            serial: self.statement.serial,
        }
    }

    /// Judges the signatures that are there, without asking for a threshold: each must be by a key of `root` (or of
    /// the newer root that the bundle carries) and verify. Returns that root and who signed.
    pub fn check_signatures(
        &self,
        root: &TrustRoot,
    ) -> Result<(TrustRoot, Vec<Signer>), TrustError> {
        let root = stream::walk(root, &self.roots)?;
        let signers = stream::signers(&self.signatures, &self.statement_bytes, &root, false)?;
        Ok((root, signers))
    }

    /// Whether a bundle with this statement would be taken at `now` under `root`, signatures and repository aside.
    pub fn check_current(&self, root: &TrustRoot, now: Timestamp) -> Result<(), VerifyError> {
        let statement = &self.statement;
        if root.expires() <= now {
            return Err(VerifyError::RootExpired {
                version: root.version(),
                expires: root.expires(),
                now,
            });
        }
        if statement.root_version > root.version() {
            return Err(VerifyError::RootNeeded {
                needed: statement.root_version,
                have: root.version(),
            });
        }
        let expected = root.epoch(&statement.channel);
        if expected != Some(statement.epoch) {
            return Err(VerifyError::Epoch {
                channel: statement.channel.clone(),
                expected,
                found: statement.epoch,
            });
        }
        if statement.created > now {
            return Err(VerifyError::Future {
                created: statement.created,
                now,
            });
        }
        if statement.expires <= now {
            return Err(VerifyError::Expired {
                expires: statement.expires,
                now,
            });
        }
        Ok(())
    }

    /// The signatures as entries.
    pub fn entries(&self) -> Result<Vec<SignatureEntry>, BundleError> {
        slot::entries(&self.signatures)
    }

    /// Writes the head: statement, slot, roots, manifest and documents. The caller makes it durable.
    pub fn write_head(&self, out: &mut dyn Write) -> Result<(), BundleError> {
        let documents: BTreeMap<Digest, &[u8]> = self
            .documents
            .iter()
            .filter_map(|(path, bytes)| {
                let file = self.manifest.file(path.as_str())?;
                Some((file.digests.sha256, bytes.as_slice()))
            })
            .filter(|(digest, _)| self.manifest.carried.binary_search(digest).is_ok())
            .collect();
        let head = Head {
            statement: &self.statement_bytes,
            signatures: &self.entries()?,
            roots: &self.roots_bytes,
            manifest: &self.manifest.canonical(),
            documents,
        };
        head.write(out)
    }
}

/// Reads a whole bundle and checks everything that needs neither trust root nor clock: what must hold before anybody
/// signs it.
pub fn integrity<R: Read>(reader: R, progress: &dyn Progress) -> Result<Intact, VerifyError> {
    read(reader, MARKER, progress)
}

/// The same for a head: every digest in it is checked, and that lock, records, SBOM and manifest agree. The artifacts
/// are not there; the manifest names them by their digests.
pub fn head<R: Read>(reader: R, progress: &dyn Progress) -> Result<Intact, VerifyError> {
    read(reader, HEAD_MARKER, progress)
}

/// Whether a file that begins with these bytes says that it is a head.
pub fn begins_like_head(start: &[u8]) -> bool {
    start.get(..BLOCK) == Some(&header(HEAD_MARKER.0, HEAD_MARKER.1.len() as u64)[..])
}

fn read<R: Read>(
    reader: R,
    marker: (&'static str, &'static [u8]),
    progress: &dyn Progress,
) -> Result<Intact, VerifyError> {
    let mut pass = Pass::new(reader, progress);
    let open = pass.open(marker, &mut NullSink)?;
    let claims = Claims::parse(&open.statement)?;
    let statement = claims.finish_with(&open.roots)?;
    let manifest = pass.manifest(&statement, &|_digest| true)?;
    let present = if marker == MARKER {
        manifest.clone()
    } else {
        documents_only(&manifest)?
    };
    let documents = pass.contents(&present, &mut NullSink)?;
    let lock = contents::check(&manifest, &documents)?;
    Ok(Intact {
        statement,
        signatures: open.signatures,
        roots: stream::roots(&open.roots)?,
        roots_bytes: open.roots,
        statement_bytes: open.statement,
        manifest,
        lock,
        documents,
    })
}

/// The manifest as if nothing but its documents were carried.
fn documents_only(manifest: &BundleManifest) -> Result<BundleManifest, VerifyError> {
    let wanted = contents::document_digests(manifest)?;
    let mut present = manifest.clone();
    present.carried.retain(|digest| wanted.contains(digest));
    Ok(present)
}
