//! Approvals on the command line: the file beside a bundle or its head, and what a signer says.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::base::fault::Fault;
use crate::base::limits::LIMITS;
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::cli::UsageError;
use crate::cli::beside::Beside;
use crate::cli::ui::Failure;
use crate::fs;
use crate::sign::SecretKey;
use crate::trust::Role;
use crate::trust::approval::{
    Approval, ApprovalError, Approvals, Approved, Remark, SignedApproval,
};
use crate::trust::envelope::Signable;
use crate::trust::root::TrustRoot;

/// How approvals lie beside a bundle.
const APPROVALS: Beside = Beside {
    suffix: ".approvals.json",
    limit: LIMITS.approvals,
    irregular: || {
        let reason = "they are not in a regular file";
        ApprovalError::Format { reason }.into()
    },
};

/// What a signer says.
#[derive(Debug, Clone, Args)]
pub struct ApprovalArgs {
    /// The change that the signature belongs to, for the approval beside the bundle, such as CHG0012345
    #[arg(long, value_name = "TICKET")]
    pub ticket: Option<String>,
    /// What else the approval shall say, one line
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

impl ApprovalArgs {
    /// Whether anything is said.
    pub const fn is_given(&self) -> bool {
        self.ticket.is_some() || self.note.is_some()
    }

    /// The approval of a bundle by a key that the root knows; without a role, in every role in which it signs bundles.
    pub fn sign(
        &self,
        key: &SecretKey,
        root: &TrustRoot,
        role: Option<Role>,
        bundle: &Approved<'_>,
        at: Timestamp,
    ) -> Result<SignedApproval, Failure> {
        let keyid = key.public()?.id();
        let known = root
            .key(keyid)
            .ok_or_else(|| UsageError::new(format!("the trust root does not know key {keyid}")))?;
        let mut roles = root.bundle_roles();
        roles.retain(|role| root.is_in_role(keyid, *role));
        let approval = Approval {
            keyid,
            person: known.person.clone(),
            roles: role.map_or(roles, |role| vec![role]),
            signed_at: at,
            ticket: remark("--ticket", self.ticket.as_deref())?,
            note: remark("--note", self.note.as_deref())?,
            root_version: root.version(),
        };
        let payload = approval.payload(bundle);
        let signature = key.sign_signable(Signable::approval(&payload))?;
        Ok(SignedApproval::new(approval, bundle, &signature))
    }
}

fn remark(option: &str, text: Option<&str>) -> Result<Option<Remark>, UsageError> {
    let parsed = text.map(|text| text.trim().parse()).transpose();
    parsed.map_err(|bad| UsageError::new(format!("{option}: {bad}")))
}

/// Where the approvals of a bundle are, when they are not beside it.
#[derive(Debug, Clone, Args)]
pub struct ApprovalsFile {
    /// The approvals that came with the bundle [default: BUNDLE.approvals.json, if it is there]
    #[arg(long, value_name = "FILE")]
    approvals: Option<PathBuf>,
}

impl ApprovalsFile {
    /// Reads them; `None` when none came with the bundle.
    pub fn load(&self, bundle: &Path) -> Result<Option<Vec<u8>>, Box<dyn Fault>> {
        APPROVALS.load(self.approvals.as_deref(), bundle)
    }

    /// Where they are, if they are there.
    pub fn path(&self, bundle: &Path) -> PathBuf {
        self.approvals.clone().unwrap_or_else(|| beside(bundle))
    }
}

/// The file of approvals beside a bundle or a head.
pub fn beside(bundle: &Path) -> PathBuf {
    APPROVALS.path(bundle)
}

/// Reads the file beside; `None` when there is none.
pub fn read_beside(bundle: &Path) -> Result<Option<Vec<u8>>, Box<dyn Fault>> {
    APPROVALS.read_beside(bundle)
}

/// Writes the file beside, all or nothing; returns its name.
pub fn write_beside(bundle: &Path, approvals: &Approvals) -> Result<PathBuf, Box<dyn Fault>> {
    let file = beside(bundle);
    fs::write_atomic(&file, &approvals.to_bytes(), 0o644)?;
    Ok(file)
}

/// Copies the file beside one bundle or head beside another, as it is; removes the other's where there is none. Returns the
/// name of the copy.
pub fn copy_beside(from: &Path, to: &Path) -> Result<Option<PathBuf>, Box<dyn Fault>> {
    let Some(bytes) = read_beside(from)? else {
        remove_beside(to)?;
        return Ok(None);
    };
    let file = beside(to);
    fs::write_atomic(&file, &bytes, 0o644)?;
    Ok(Some(file))
}

/// What to do with the file.
pub fn carry(file: &Path) -> String {
    let file = escaped(&file.to_string_lossy());
    format!("Carry the approvals along: {file}")
}

/// Removes the file beside a bundle that is made anew.
pub fn remove_beside(bundle: &Path) -> Result<(), Box<dyn Fault>> {
    let file = beside(bundle);
    if fs::exists(&file) {
        fs::remove_file(&file)?;
    }
    Ok(())
}

/// An approval in words: person, roles, time, ticket, note.
pub fn said(approval: &Approval) -> String {
    let roles: Vec<&str> = approval.roles.iter().map(|role| role.as_str()).collect();
    let mut text = format!(
        "{} ({}) at {}",
        approval.person,
        roles.join(", "),
        approval.signed_at
    );
    for (word, remark) in [("ticket", &approval.ticket), ("note", &approval.note)] {
        if let Some(remark) = remark {
            text.extend([", ", word, " ", &quoted(remark.as_str())]);
        }
    }
    text
}
