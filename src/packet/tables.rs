//! Every table of the packet, whole, for spreadsheets.

use super::facts::Facts;
use crate::base::finding::Finding;
use crate::base::sheet::titled;
use crate::flows;
use crate::lock::diff::{ChangeKind, LockDiff, ReleaseChange, Side};
use crate::permissions;

/// Tables by their path in the packet.
pub(super) fn all(facts: &Facts<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let mut out = vec![
        ("findings/findings.csv", titled(&FINDINGS, findings(facts))),
        ("findings/waivers.csv", titled(&WAIVERS, waivers(facts))),
        ("signatures.csv", titled(&SIGNATURES, signatures(facts))),
        (
            "controls.csv",
            titled(&super::controls::TITLES, super::controls::rows(facts)),
        ),
    ];
    if facts.bundle.lock.is_some() {
        out.push(("findings/upstream.csv", titled(&UPSTREAM, upstream(facts))));
    }
    if !facts.vex.documents.is_empty() {
        let rows = facts.vex.rows.clone();
        out.push(("vex/statements.csv", titled(&VEX, rows)));
    }
    if facts.previous.is_some() {
        out.push(("findings/changes.csv", titled(&CHANGES, changes(facts))));
    }
    if facts.runtime().is_some() {
        out.push((
            "network/findings.csv",
            titled(&FINDINGS, flow_findings(facts)),
        ));
        out.push((
            "permissions/findings.csv",
            titled(&FINDINGS, permission_findings(facts)),
        ));
    }
    out
}

pub(super) const FINDINGS: [&str; 4] = ["severity", "code", "subject", "message"];

pub(super) fn findings(facts: &Facts<'_>) -> Vec<Vec<String>> {
    let found = facts.findings().into_iter();
    found
        .map(|f| vec![f.severity, f.code, f.subject, f.message])
        .collect()
}

pub(super) fn flow_findings(facts: &Facts<'_>) -> Vec<Vec<String>> {
    let Some(runtime) = facts.runtime() else {
        return Vec::new();
    };
    let proof = facts.bundle.proof.as_ref().map(|signed| &signed.proof);
    found(flows::findings(&runtime, proof))
}

pub(super) fn permission_findings(facts: &Facts<'_>) -> Vec<Vec<String>> {
    let Some(runtime) = facts.runtime() else {
        return Vec::new();
    };
    let proof = facts.bundle.proof.as_ref().map(|signed| &signed.proof);
    found(permissions::findings(&runtime, proof))
}

pub(super) fn ca_findings(facts: &Facts<'_>) -> Vec<Vec<String>> {
    facts
        .private_ca()
        .map(|ca| found(ca.findings))
        .unwrap_or_default()
}

fn found(findings: Vec<Finding>) -> Vec<Vec<String>> {
    findings
        .into_iter()
        .map(|f| {
            vec![
                f.severity.to_string(),
                f.code.name.to_owned(),
                f.subject,
                f.message,
            ]
        })
        .collect()
}

pub(super) const VEX: [&str; 5] = ["vulnerability", "package", "status", "why", "what to do"];

pub(super) const WAIVERS: [&str; 6] = [
    "code", "subject", "message", "reason", "approver", "expires",
];

pub(super) fn waivers(facts: &Facts<'_>) -> Vec<Vec<String>> {
    let waived = facts.waived().into_iter();
    waived
        .map(|w| {
            vec![
                w.found.code,
                w.found.subject,
                w.found.message,
                w.reason,
                w.approver,
                w.expires,
            ]
        })
        .collect()
}

pub(super) const SIGNATURES: [&str; 6] = ["person", "key", "roles", "signed at", "ticket", "note"];

pub(super) fn signatures(facts: &Facts<'_>) -> Vec<Vec<String>> {
    let bundle = facts.bundle;
    let signers = bundle.signers.iter();
    signers
        .map(|signer| {
            let approval = bundle
                .approvals
                .iter()
                .find(|said| said.approval().keyid == signer.keyid)
                .map(crate::trust::approval::SignedApproval::approval);
            let roles: Vec<&str> = signer.roles.iter().map(|role| role.as_str()).collect();
            let remark = |remark: Option<&crate::trust::approval::Remark>| {
                remark.map(|r| r.as_str().to_owned()).unwrap_or_default()
            };
            vec![
                signer.person.clone(),
                signer.keyid.to_string(),
                roles.join(" "),
                approval
                    .map(|a| a.signed_at.to_string())
                    .unwrap_or_default(),
                remark(approval.and_then(|a| a.ticket.as_ref())),
                remark(approval.and_then(|a| a.note.as_ref())),
            ]
        })
        .collect()
}

pub(super) const UPSTREAM: [&str; 6] = [
    "ecosystem",
    "release",
    "file",
    "checksum",
    "level",
    "why not better",
];

pub(super) fn upstream(facts: &Facts<'_>) -> Vec<Vec<String>> {
    facts.vouched().iter().map(upstream_row).collect()
}

pub(super) fn upstream_row(line: &crate::evidence::Line<'_>) -> Vec<String> {
    vec![
        line.package.ecosystem.to_string(),
        line.package.id().to_string(),
        line.artifact.file.clone(),
        line.artifact.checksum.to_string(),
        line.level.as_str().to_owned(),
        line.gap
            .map(|gap| gap.as_str().to_owned())
            .unwrap_or_default(),
    ]
}

pub(super) const CHANGES: [&str; 7] = [
    "change",
    "ecosystem",
    "name",
    "before",
    "after",
    "license",
    "needed by",
];

/// What changed since the last approved bundle.
pub(super) fn changes(facts: &Facts<'_>) -> Vec<Vec<String>> {
    let (Some((old, _)), Some(new)) = (&facts.previous, &facts.bundle.lock) else {
        return Vec::new();
    };
    LockDiff::between(old, new)
        .changes
        .iter()
        .map(change)
        .collect()
}

fn change(change: &ReleaseChange) -> Vec<String> {
    let version =
        |side: &Option<Side>| side.as_ref().map(|s| s.version.clone()).unwrap_or_default();
    let license = |side: &Option<Side>| side.as_ref().and_then(|s| s.license.clone());
    let word = match change.kind {
        ChangeKind::Added => "added",
        ChangeKind::Removed => "removed",
        ChangeKind::Version => "other version",
        ChangeKind::Bytes => "other bytes under the same version",
        ChangeKind::Facts => "other facts",
    };
    let licenses = match (license(&change.old), license(&change.new)) {
        (Some(old), Some(new)) if old != new => format!("{old} -> {new}"),
        (old, new) => new.or(old).unwrap_or_default(),
    };
    vec![
        word.to_owned(),
        change.ecosystem.to_string(),
        change.name.clone(),
        version(&change.old),
        version(&change.new),
        licenses,
        change.reason.join(" > "),
    ]
}
