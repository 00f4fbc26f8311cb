//! Whether the archives were read and had one reading: a policy may demand that whoever bundled did it (`[lint] require`).
//! Who reads them himself, as `stage import --lint` does, need not be told.

use super::{Policy, codes};
use crate::archives::Carried;
use crate::base::digest::Digest;
use crate::base::finding::{Finding, Severity};
use crate::base::text::{escaped, quoted};
use crate::lint::Form;
use crate::lock::chain::Chains;
use crate::lock::{Lock, LockedArtifact, LockedPackage};

/// Names that are listed where many are meant.
const MOST_NAMED: usize = 3;

impl Policy {
    /// Whether it asks what was found in archives.
    pub const fn requires_lint(&self) -> bool {
        self.rules.requires_lint
    }

    /// Holds what the builder found in the archives of a lock, which have these digests, against `[lint] require`: each
    /// was read, and none is read differently by different clients.
    pub fn check_lint(
        &self,
        lock: &Lock,
        carried: &Carried,
        digest: &dyn Fn(&LockedPackage, &LockedArtifact) -> Option<Digest>,
    ) -> Vec<Finding> {
        let (mut found, mut unread) = (Vec::new(), Vec::new());
        if !self.requires_lint() {
            return found;
        }
        let chains = Chains::new(lock);
        for (package, artifact) in lock.carried_artifacts() {
            if Form::of(package.ecosystem.as_str(), &artifact.file).is_none() {
                continue;
            }
            let release = package.id();
            let subject = format!("{} {}", package.ecosystem, escaped(&release.to_string()));
            let denied = digest(package, artifact).and_then(|digest| carried.denied(&digest));
            let Some(denied) = denied else {
                unread.push(subject);
                continue;
            };
            let chain = chains.chain(&package.ecosystem, &release);
            for (code, message) in denied {
                let file = quoted(&artifact.file);
                found.push(Finding {
                    code: &codes::LINT_NOT_CLEAN,
                    severity: Severity::Deny,
                    subject: subject.clone(),
                    message: format!("{file} was let through by the builder: {message} ({code})"),
                    chain: chain.iter().map(|link| escaped(link)).collect(),
                    fix: Some(
                        "look at it, then add a [[waiver]]; or take another version".to_owned(),
                    ),
                });
            }
        }
        found.extend(missing(&unread));
        found
    }
}

/// Archives that nobody read: one finding, since there may be as many as there are packages.
fn missing(unread: &[String]) -> Option<Finding> {
    let named = unread.get(..MOST_NAMED).unwrap_or(unread).join(", ");
    (!unread.is_empty()).then(|| Finding {
        code: &codes::LINT_MISSING,
        severity: Severity::Deny,
        subject: "the closure".to_owned(),
        message: format!(
            "has {} archives of which nothing says that they were read, such as {named}",
            unread.len()
        ),
        chain: Vec::new(),
        fix: Some(
            "import with --lint, which reads them here; or have the bundle made again".to_owned(),
        ),
    })
}
