//! What `stage verify` reports: every check by name, passed or not, and what the bundle says.

use serde::Serialize;

use crate::base::fault::{Class, Code, Fault as _};
use crate::base::text::visible;
use crate::base::time::Timestamp;
use crate::fs::FsError;
use crate::trust::approval::{Approval, Remark};
use crate::trust::proof::SignedProof;
use crate::verify::{Bundle, Check, STEPS, Sink, VerifyError};

/// Schema of the report.
pub const SCHEMA: &str = "stage/verify-report/v1";

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It failed: the bundle is refused.
    Failed,
    /// An earlier one failed.
    NotReached,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckLine {
    /// Name of the check, one of [`STEPS`].
    pub name: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found, or what is wrong; empty when not reached. Safe to print.
    pub detail: String,
}

/// Why the bundle is refused, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Name of the check that failed.
    pub check: &'static str,
    /// Error code.
    pub code: &'static str,
    /// Error class, such as `E30`.
    pub class: Option<Class>,
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignerLine {
    /// Key id.
    pub keyid: String,
    /// Person.
    pub person: String,
    /// Roles of the key.
    pub roles: Vec<&'static str>,
}

/// What a signer said about the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApprovalLine {
    /// Key id.
    pub keyid: String,
    /// Person.
    pub person: String,
    /// Roles that the key was used in.
    pub roles: Vec<&'static str>,
    /// When, by the signer's clock.
    pub signed_at: Timestamp,
    /// The change; safe to print.
    pub ticket: Option<String>,
    /// What else was said; safe to print.
    pub note: Option<String>,
    /// Version of the trust root that named person and roles.
    pub root_version: u64,
}

impl ApprovalLine {
    /// About one approval.
    pub fn of(approval: &Approval) -> Self {
        let shown = |remark: &Option<Remark>| remark.as_ref().map(|r| visible(r.as_str()));
        Self {
            keyid: approval.keyid.hex(),
            person: approval.person.clone(),
            roles: approval.roles.iter().map(|role| role.as_str()).collect(),
            signed_at: approval.signed_at,
            ticket: shown(&approval.ticket),
            note: shown(&approval.note),
            root_version: approval.root_version,
        }
    }

    /// About every approval of a bundle.
    pub fn all(bundle: &Bundle) -> Vec<Self> {
        let approvals = bundle.approvals.iter();
        approvals
            .map(|signed| Self::of(signed.approval()))
            .collect()
    }
}

/// The bundle as its statement describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BundleLines {
    /// The bundle's identity.
    pub bundle_id: String,
    /// Channel.
    pub channel: String,
    /// Epoch.
    pub epoch: u64,
    /// Serial.
    pub serial: u64,
    /// `full` or `delta`.
    pub kind: &'static str,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is refused.
    pub expires: Timestamp,
    /// Version of the trust root it was judged with.
    pub root_version: u64,
    /// Fingerprint of that root.
    pub root_fingerprint: String,
    /// Number of files.
    pub files: usize,
    /// Bytes of the carried blobs.
    pub bytes: u64,
    /// Whether it carries a lock (else plain files).
    pub has_lock: bool,
    /// Whether the repository judged against has imported this very bundle already.
    pub already_imported: bool,
    /// Who signed.
    pub signers: Vec<SignerLine>,
    /// What they said about it.
    pub approvals: Vec<ApprovalLine>,
    /// What was proved of it.
    pub proof: Option<serde_json::Value>,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// Whether every check passed.
    pub verified: bool,
    /// The time it was judged at.
    pub judged_at: Timestamp,
    /// Whether that time was given by `--at` instead of the clock.
    pub at_given: bool,
    /// Every check in order.
    pub checks: Vec<CheckLine>,
    /// What the bundle is; only when verified.
    pub bundle: Option<BundleLines>,
    /// Why it is refused.
    pub refused: Option<Refusal>,
}

impl VerifyReport {
    /// For a bundle that passed.
    pub fn passed(bundle: &Bundle, judged_at: Timestamp, at_given: bool) -> Self {
        let checks = bundle.checks.iter().map(line).collect();
        Self {
            schema: SCHEMA,
            verified: true,
            judged_at,
            at_given,
            checks,
            bundle: Some(BundleLines::of(bundle)),
            refused: None,
        }
    }

    /// For a bundle that passed all of `checks` and is refused for another reason: what `refused` failed, and the code.
    pub fn denied(
        checks: &[Check],
        refused: &'static str,
        code: &'static Code,
        judged_at: Timestamp,
    ) -> Self {
        Self {
            schema: SCHEMA,
            verified: true,
            judged_at,
            at_given: false,
            checks: checks.iter().map(line).collect(),
            bundle: None,
            refused: Some(Refusal {
                check: refused,
                code: code.name,
                class: code.class,
            }),
        }
    }

    /// Every check passed, and it is refused for something else: what that was, and the code.
    pub fn refused_for(&mut self, what: &'static str, code: &'static Code) {
        self.bundle = None;
        self.refused = Some(Refusal {
            check: what,
            code: code.name,
            class: code.class,
        });
    }

    /// For a bundle that was refused after `passed` checks.
    pub fn refused(
        passed: &[Check],
        error: &VerifyError,
        judged_at: Timestamp,
        at_given: bool,
    ) -> Self {
        let mut checks: Vec<CheckLine> = passed.iter().map(line).collect();
        let failed = STEPS.get(passed.len()).copied().unwrap_or_default();
        for name in STEPS.iter().skip(passed.len()) {
            let is_failed = *name == failed;
            checks.push(CheckLine {
                name,
                verdict: if is_failed {
                    Verdict::Failed
                } else {
                    Verdict::NotReached
                },
                detail: if is_failed {
                    error.to_string()
                } else {
                    String::new()
                },
            });
        }
        let code = error.code();
        Self {
            schema: SCHEMA,
            verified: false,
            judged_at,
            at_given,
            checks,
            bundle: None,
            refused: Some(Refusal {
                check: failed,
                code: code.name,
                class: code.class,
            }),
        }
    }
}

fn line(check: &Check) -> CheckLine {
    CheckLine {
        name: check.name,
        verdict: Verdict::Passed,
        detail: check.detail.clone(),
    }
}

impl BundleLines {
    fn of(bundle: &Bundle) -> Self {
        let statement = &bundle.statement;
        let signers = bundle.signers.iter().map(|signer| SignerLine {
            keyid: signer.keyid.hex(),
            person: signer.person.clone(),
            roles: signer.roles.iter().map(|role| role.as_str()).collect(),
        });
        Self {
            bundle_id: bundle.id.to_string(),
            channel: statement.channel.clone(),
            epoch: statement.epoch,
            serial: statement.serial,
            kind: statement.kind.as_str(),
            created: statement.created,
            expires: statement.expires,
            root_version: bundle.root.version(),
            root_fingerprint: bundle.root.fingerprint().to_string(),
            files: bundle.manifest.files.len(),
            bytes: bundle.manifest.carried_blobs().iter().map(|b| b.size).sum(),
            has_lock: bundle.lock.is_some(),
            already_imported: bundle.already_imported,
            signers: signers.collect(),
            approvals: ApprovalLine::all(bundle),
            proof: bundle.proof.as_ref().map(SignedProof::json),
        }
    }
}

/// A sink that keeps no bytes and remembers the checks that passed.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    /// The checks that passed, in order.
    pub passed: Vec<Check>,
}

impl Sink for Recorder {
    fn begin(&mut self, _digest: &crate::base::digest::Digest, _size: u64) -> Result<(), FsError> {
        Ok(())
    }

    fn chunk(&mut self, _bytes: &[u8]) -> Result<(), FsError> {
        Ok(())
    }

    fn end(&mut self) -> Result<(), FsError> {
        Ok(())
    }

    fn passed(&mut self, check: &Check) {
        self.passed.push(check.clone());
    }
}
