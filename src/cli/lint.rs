//! Looking at the archives of a lock before they are carried.

use crate::archives::{self, Archive, Carried};
use crate::base::finding::Finding;
use crate::cli::Context;
use crate::cli::ui::Failure;
use crate::fs;
use crate::lock::{Lock, LockedArtifact, LockedPackage};
use crate::policy::Policy;
use crate::scripts;
use crate::store::Store;

/// What was found.
#[derive(Debug)]
pub(crate) struct Linted {
    /// One per problem, sorted.
    pub(crate) findings: Vec<Finding>,
    /// What of it runs code of its own, and what the policy demands of archives.
    pub(crate) asked: Vec<Finding>,
    /// The documents that travel, by name.
    pub(crate) documents: [(&'static str, Vec<u8>); 2],
}

/// Reads every carried archive of `lock` that is in the store. Problems of the releases in `accepted`
/// (`ecosystem:name@version`) are notes.
pub(crate) fn check(
    ctx: &Context,
    lock: &Lock,
    store: &Store,
    accepted: &[String],
    policy: Option<&Policy>,
) -> Result<Linted, Failure> {
    let mut found = Vec::new();
    for (package, artifact) in lock.carried_artifacts() {
        if let Some(stored) = store.find(&artifact.checksum)? {
            let digest = stored.digests.sha256;
            found.extend(Archive::of(package, artifact, digest, stored.path));
        }
    }
    let scripts = scripts::read(&found, &ctx.ui)?;
    let digest = |_: &LockedPackage, artifact: &LockedArtifact| {
        Some(store.find(&artifact.checksum).ok()??.digests.sha256)
    };
    // All of them: the document is the same whatever the order in which they are read.
    let open = |archive: &Archive<'_>| fs::open(&archive.path);
    let judged = archives::read(found, open, usize::MAX, &ctx.ui)?;
    let document = archives::document(&judged);
    let mut asked = scripts.findings(lock, &digest);
    if let Some(policy) = policy {
        asked.extend(policy.check_lint(lock, &Carried::parse(&document), &digest));
    }
    Ok(Linted {
        documents: [
            ("lint.json", document),
            (scripts::DOCUMENT, scripts.document()),
        ],
        asked,
        findings: archives::findings(lock, &judged, accepted, "take another version", None),
    })
}
