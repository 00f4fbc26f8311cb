//! Bundles of plain files. No lock says where they are from, so a policy can say little of them: whether they may come in
//! at all, under which names, how large, and that nobody but the builder vouches for them. Their licenses, times and
//! vulnerabilities are not known.

use std::collections::BTreeSet;

use super::{Judgement, Policy, codes, gates};
use crate::base::digest::Digest;
use crate::base::evidence::Level;
use crate::base::fault::Code;
use crate::base::finding::{Finding, Severity};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::text::escaped;
use crate::base::time::Timestamp;

/// Findings about single files after which no more are told.
const MOST_FILES: usize = 1_000;

/// A file of such a bundle.
#[derive(Debug, Clone, Copy)]
pub struct PlainFile<'a> {
    /// Its path, which is its name.
    pub path: &'a str,
    /// Digest of its bytes, which is its version.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Policy {
    /// Judges a bundle of plain files. No waiver is called unused: others may need it.
    pub fn judge_plain(&self, files: &[PlainFile<'_>], now: Timestamp) -> Judgement {
        let mut found = Vec::new();
        if self.rules.refuses_plain {
            let message = "carries plain files, of which no lock says where they are from";
            let fix = "carry them as [[file]] in a manifest, with their digests";
            found.push(whole(&codes::PLAIN_NOT_ALLOWED, message.to_owned(), fix));
        }
        let floor = self.rules.floors.get(&EcosystemId::file());
        if let Some(floor) = floor.filter(|floor| **floor > Level::L0) {
            let message = format!(
                "has plain files, for which nobody but the builder vouches (L0), and the policy asks for {floor}"
            );
            let fix = "carry them as [[file]] in a manifest, with `checksums` and `signature`";
            found.push(whole(&codes::EVIDENCE_LOW, message, fix));
        }
        let mut of_files = Vec::new();
        for file in files {
            self.names_and_size(file, &mut of_files);
            if of_files.len() > MOST_FILES {
                break;
            }
        }
        found.extend(of_files);
        found.extend(self.total(files));
        self.judge_found(found, now)
    }

    fn names_and_size(&self, file: &PlainFile<'_>, found: &mut Vec<Finding>) {
        let (id, version) = (EcosystemId::file(), file.digest.hex());
        let mut add = |code, message, fix: &str| {
            let release = ReleaseId::new(file.path, version.as_str());
            let subject = format!("{id} {}", escaped(&release.to_string()));
            found.push(finding(code, subject, message, fix));
        };
        for (code, message, fix) in gates::names(&self.rules, &id, file.path, &version) {
            add(code, message, fix);
        }
        if let Some(most) = self.rules.most_artifact.filter(|most| file.size > *most) {
            let message = format!("has {} bytes, more than {most}", file.size);
            add(&codes::ARTIFACT_TOO_LARGE, message, gates::WAIVE);
        }
    }

    /// What all of them weigh, each content once.
    fn total(&self, files: &[PlainFile<'_>]) -> Option<Finding> {
        let most = self.rules.most_total?;
        let contents: BTreeSet<_> = files.iter().map(|file| (file.digest, file.size)).collect();
        let sizes = contents.iter().map(|(_, size)| *size);
        let total = sizes.fold(0_u64, u64::saturating_add);
        let message = format!("has {total} bytes, more than {most}");
        let fix = "raise `[size] total`, or carry less in one bundle";
        (total > most).then(|| whole(&codes::TOTAL_TOO_LARGE, message, fix))
    }
}

/// A finding about all of it.
fn whole(code: &'static Code, message: String, fix: &str) -> Finding {
    finding(code, "the bundle".to_owned(), message, fix)
}

fn finding(code: &'static Code, subject: String, message: String, fix: &str) -> Finding {
    Finding {
        code,
        severity: Severity::Deny,
        subject,
        message,
        chain: Vec::new(),
        fix: Some(fix.to_owned()),
    }
}
