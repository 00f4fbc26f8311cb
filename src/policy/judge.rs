//! The judgement: findings weighed, gates asked, waivers applied.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::pattern::Match;
use super::{PackagePattern, Policy, Waiver, codes, gates};
use crate::base::finding::{Finding, Severity};
use crate::base::json;
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::text::{escaped, quoted, visible};
use crate::base::time::Timestamp;
use crate::eco::EcoError;
use crate::lock::chain::Chains;
use crate::lock::{Lock, LockedArtifact, Records};

/// What is to be said of a closure.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// What was found and stands, weightiest first.
    pub findings: Vec<Finding>,
    /// What was found and is waived, in the same order.
    pub waived: Vec<Waived>,
}

/// A finding that somebody waived.
#[derive(Debug, Clone)]
pub struct Waived {
    /// What was found, with the weight it would have had.
    pub finding: Finding,
    /// By what it is waived.
    pub waiver: Waiver,
}

impl Waived {
    /// For reports.
    pub fn json(&self) -> Value {
        json!({"finding": self.finding.json(), "waiver": self.waiver.json()})
    }
}

impl Waiver {
    /// For reports.
    pub fn json(&self) -> Value {
        let mut waiver = json!({
            "code": self.code,
            "package": self.package.as_str(),
            "reason": visible(&self.reason),
            "approver": visible(&self.approver),
            "expires": self.expires,
        });
        if let (Value::Object(fields), Some(id)) = (&mut waiver, &self.vulnerability) {
            fields.insert("vulnerability".to_owned(), json!(visible(id)));
        }
        waiver
    }
}

/// The findings of a lock that a policy may weigh, with the weight they have by themselves.
pub fn recorded(lock: &Lock) -> Vec<Finding> {
    let chains = Chains::new(lock);
    let known = lock.findings.iter().enumerate().filter_map(|(at, found)| {
        let mut finding = Finding {
            code: codes::find(&found.code)?,
            severity: found.severity,
            subject: visible(&found.subject),
            message: visible(&found.message),
            chain: Vec::new(),
            fix: None,
        };
        if let Some((id, release)) = release_of(&finding).filter(|_| at < gates::MOST_CHAINS) {
            let chain = chains.chain(&id, &release);
            finding.chain = chain.iter().map(|link| escaped(link)).collect();
        }
        Some(finding)
    });
    known.collect()
}

impl Policy {
    /// Judges a closure: what others found in it, and what the gates find. `size` knows what an artifact weighs, where
    /// the lock does not.
    pub fn judge(
        &self,
        lock: &Lock,
        records: &Records,
        found: Vec<Finding>,
        size: &dyn Fn(&LockedArtifact) -> Option<u64>,
        now: Timestamp,
    ) -> Result<Judgement, EcoError> {
        let mut all: Vec<(Finding, bool)> = found.into_iter().map(|one| self.weigh(one)).collect();
        let gates = gates::check(self, lock, records, size, now)?;
        all.extend(gates.into_iter().map(|finding| (finding, true)));
        let (mut judgement, used) = self.waive(all, now);
        let of_codes = |waiver: &Waiver| waiver.vulnerability.is_none();
        judgement
            .findings
            .extend(self.waivers_to_look_at(&used, now, &of_codes));
        judgement.sort();
        Ok(judgement)
    }

    /// Judges findings alone, of what only some commands look into: no gate is asked, and no waiver called unused.
    pub fn judge_found(&self, found: Vec<Finding>, now: Timestamp) -> Judgement {
        let all = found.into_iter().map(|one| self.weigh(one)).collect();
        let (mut judgement, _used) = self.waive(all, now);
        judgement.sort();
        judgement
    }

    /// Takes out what is waived; with the waivers that were needed.
    fn waive(&self, all: Vec<(Finding, bool)>, now: Timestamp) -> (Judgement, BTreeSet<usize>) {
        let mut used = BTreeSet::new();
        let (mut findings, mut waived) = (Vec::new(), Vec::new());
        for (finding, may_be_waived) in all {
            let weighs = finding.severity != Severity::Note;
            match self
                .waiver_of(&finding, now)
                .filter(|_| may_be_waived && weighs)
            {
                Some((at, waiver)) => {
                    used.insert(at);
                    let waiver = waiver.clone();
                    waived.push(Waived { finding, waiver });
                }
                None => findings.push(finding),
            }
        }
        (Judgement { findings, waived }, used)
    }

    /// The finding with the weight that the policy gives it, and whether it may be waived: what denies by itself stays.
    fn weigh(&self, mut finding: Finding) -> (Finding, bool) {
        let code = finding.code.name;
        let is_weighed = codes::is_gate(code)
            || (finding.severity != Severity::Deny && codes::find(code).is_some());
        if !is_weighed {
            return (finding, false);
        }
        finding.severity = self.weight(finding.code.name, finding.severity);
        let allowed = codes::SCRIPTS.contains(&code) && covers(&self.rules.scripts, &finding);
        if allowed {
            finding.severity = Severity::Note;
            finding.message.push_str(" (the policy allows it)");
        }
        (finding, true)
    }

    fn waiver_of(&self, finding: &Finding, now: Timestamp) -> Option<(usize, &Waiver)> {
        let mut all = self.waivers.iter().enumerate();
        all.find(|(_, waiver)| {
            let here = waiver.code == finding.code.name
                && waiver.expires > now
                && waiver.vulnerability.is_none();
            here && covers(std::slice::from_ref(&waiver.package), finding)
        })
    }

    /// Waivers that are void, used or not, and those that nothing needs.
    pub(super) fn waivers_to_look_at(
        &self,
        used: &BTreeSet<usize>,
        now: Timestamp,
        which: &dyn Fn(&Waiver) -> bool,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        let waivers = self.waivers.iter().enumerate();
        for (at, waiver) in waivers.filter(|(_, waiver)| which(waiver)) {
            let (code, severity, message, fix) = if waiver.expires <= now {
                let message = format!(
                    "the waiver of {} ended at {}; it was approved by {}",
                    waiver.code,
                    waiver.expires,
                    quoted(&waiver.approver)
                );
                let fix = "ask for it again, or take it out of the policy";
                (&codes::WAIVER_EXPIRED, Severity::Deny, message, fix)
            } else if used.contains(&at) {
                continue;
            } else {
                let message = format!("nothing needs the waiver of {}", waiver.code);
                let fix = "take it out of the policy";
                (&codes::WAIVER_UNUSED, Severity::Note, message, fix)
            };
            findings.push(Finding {
                code,
                severity,
                // Not the file: its path would be another one for whoever makes the same bundle again.
                subject: format!("policy line {}", waiver.place.line),
                message: format!("{message} ({})", escaped(waiver.package.as_str())),
                chain: Vec::new(),
                fix: Some(fix.to_owned()),
            });
        }
        findings
    }
}

/// Whether one of the patterns means the package that a finding is about.
pub(super) fn covers(patterns: &[PackagePattern], finding: &Finding) -> bool {
    let Some((id, release)) = release_of(finding) else {
        return false;
    };
    patterns
        .iter()
        .any(|p| p.covers(&id, &release.name, &release.version) == Match::Yes)
}

/// `npm name@version`.
fn release_of(finding: &Finding) -> Option<(EcosystemId, ReleaseId)> {
    let (id, release) = finding.subject.split_once(' ')?;
    Some((id.parse().ok()?, release.parse().ok()?))
}

impl Judgement {
    /// With what is said elsewhere of the same closure.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.findings.extend(other.findings);
        self.waived.extend(other.waived);
        self.sort();
        self
    }

    /// Every finding, waived or not.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Finding> {
        let waived = self.waived.iter_mut();
        self.findings
            .iter_mut()
            .chain(waived.map(|one| &mut one.finding))
    }

    fn sort(&mut self) {
        self.findings
            .sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        self.findings.dedup();
        self.waived
            .sort_by(|a, b| a.finding.sort_key().cmp(&b.finding.sort_key()));
    }

    /// The document that travels in a bundle without policy: what was found beside what its lock says. `None`: nothing.
    pub fn found_document(&self) -> Option<Vec<u8>> {
        let findings: Vec<Value> = self.findings.iter().map(brief).collect();
        (!findings.is_empty()).then(|| {
            json::canonical(&json!({
                "schema": "stage/findings-evidence/v1",
                "findings": findings,
            }))
        })
    }

    /// The document that travels in a bundle: what stands, what is waived, and by which policy.
    pub fn document(&self, policy: &Policy) -> Vec<u8> {
        let waived = self.waived.iter();
        let waived =
            waived.map(|one| json!({"finding": brief(&one.finding), "waiver": one.waiver.json()}));
        json::canonical(&json!({
            "schema": "stage/policy-evidence/v1",
            "policy": policy.digest,
            "profile": policy.profile,
            "findings": self.findings.iter().map(brief).collect::<Vec<_>>(),
            "waived": waived.collect::<Vec<_>>(),
        }))
    }
}

/// A finding as bundles carry it.
fn brief(finding: &Finding) -> Value {
    json!({
        "code": finding.code.name,
        "severity": finding.severity,
        "subject": finding.subject,
        "message": finding.message,
    })
}
