//! What is said to others of known vulnerabilities: one statement for each, from what a database knows and from what
//! people wrote into waivers. Written as OpenVEX ([`openvex`]) or as CycloneDX ([`cyclonedx`]), beside the SBOM and never
//! in it: it changes while the SBOM stays.

pub mod cyclonedx;
pub mod openvex;

use crate::base::package::{EcosystemId, Purl, ReleaseId};
use crate::base::text::escaped;
use crate::base::time::Timestamp;
use crate::eco;
use crate::policy::{Justification, Policy, Vex, Waiver};
use crate::vulns::{Checked, Vulnerability};

/// What holds for a package and a vulnerability (OpenVEX 0.2.0, "Status Labels").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The vulnerability does not affect what is carried.
    NotAffected(Justification),
    /// It does.
    Affected,
    /// Nobody knows yet.
    UnderInvestigation,
    /// What is carried has something done about it, as its maintainer wrote down.
    Fixed,
}

impl Status {
    /// As people and OpenVEX have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAffected(_) => "not_affected",
            Self::Affected => "affected",
            Self::UnderInvestigation => "under_investigation",
            Self::Fixed => "fixed",
        }
    }
}

/// One statement. Texts are safe to print.
#[derive(Debug, Clone)]
pub struct Statement<'s> {
    /// Id of the vulnerability.
    pub id: &'s str,
    /// The package.
    pub release: &'s ReleaseId,
    /// What the database says of it; `None`: it is known from elsewhere.
    pub about: Option<&'s Vulnerability>,
    /// Package URL.
    pub purl: Purl,
    /// What holds.
    pub status: Status,
    /// Why, in the words of a waiver or of the database.
    pub detail: String,
    /// What is to be done.
    pub action: String,
}

/// Who says it, when, and with what.
#[derive(Debug, Clone, Copy)]
pub struct Issuer<'i> {
    /// Who.
    pub author: &'i str,
    /// When.
    pub at: Timestamp,
    /// Name and version of the program.
    pub tool: (&'i str, &'i str),
}

/// A statement for each vulnerability that is known.
pub fn statements<'s>(
    checked: &'s Checked,
    policy: Option<&Policy>,
    now: Timestamp,
) -> Vec<Statement<'s>> {
    let known = checked.vulnerabilities.iter();
    known
        .filter_map(|about| {
            let waiver = policy
                .filter(|_| !about.malicious)
                .and_then(|policy| policy.waiver_of_vulnerability(about, now));
            let purl = eco::by_id(&about.ecosystem)?.purl(&about.release);
            let (status, detail, action) = match waiver {
                Some(waiver) => waived(about, waiver),
                None => open(about),
            };
            Some(Statement {
                id: &about.id,
                release: &about.release,
                about: Some(about),
                purl,
                status,
                detail,
                action,
            })
        })
        .collect()
}

/// A statement for a vulnerability that the changelog of a package mentions in the entry of `version`, if nothing is said
/// of it already.
pub fn mentioned<'s>(
    known: &[Statement<'_>],
    (ecosystem, release): (&EcosystemId, &'s ReleaseId),
    id: &'s str,
    version: &str,
) -> Option<Statement<'s>> {
    let purl = eco::by_id(ecosystem)?.purl(release);
    let is_it = |s: &Statement<'_>| {
        s.purl == purl && (s.id == id || s.about.is_some_and(|about| about.is(id)))
    };
    if known.iter().any(is_it) {
        return None;
    }
    Some(Statement {
        id,
        release,
        about: None,
        purl,
        status: Status::Fixed,
        detail: format!(
            "mentioned in the changelog of the package, in the entry of {}; nobody checked what was done",
            escaped(version)
        ),
        action: String::new(),
    })
}

fn waived(about: &Vulnerability, waiver: &Waiver) -> (Status, String, String) {
    let reason = escaped(&waiver.reason);
    let accepted = format!(
        "accepted until {} by {}: {reason}",
        waiver.expires,
        escaped(&waiver.approver)
    );
    match waiver.vex {
        Some(Vex::NotAffected(why)) => (Status::NotAffected(why), reason, action(about)),
        Some(Vex::UnderInvestigation) => (Status::UnderInvestigation, accepted, action(about)),
        Some(Vex::Affected) | None => (Status::Affected, accepted.clone(), accepted),
    }
}

fn open(about: &Vulnerability) -> (Status, String, String) {
    let status = match about.not_compared {
        Some(_) if !about.malicious => Status::UnderInvestigation,
        _ => Status::Affected,
    };
    let why = about.not_compared.as_ref();
    let detail = why.map_or_else(
        || "the vulnerability database says that this version is affected".to_owned(),
        |why| format!("whether this version is affected cannot be told from the record: {why}"),
    );
    (status, detail, action(about))
}

fn action(about: &Vulnerability) -> String {
    match &about.fixed {
        _ if about.malicious => {
            "remove it, and treat every host that installed it as compromised".to_owned()
        }
        Some(fixed) => format!("take {fixed} or later"),
        None => "no fixed version is known".to_owned(),
    }
}
