//! What a policy says of vulnerabilities: its table `[vuln]`, waivers that name one, and the judgement.

use std::collections::BTreeSet;

use super::judge::covers;
use super::{Judgement, Justification, Policy, Vex, Waived, Waiver};
use crate::base::finding::Severity;
use crate::base::time::Timestamp;
use crate::lock::Lock;
use crate::manifest::ManifestError;
use crate::manifest::table::{Found, Table};
use crate::vulns::{self, Checked, Level, OF_ONE, Rules};

const LEVEL: &str = "\"low\", \"medium\", \"high\" or \"critical\"";

/// Puts what `[vuln]` says in the place of what was said before.
pub(super) fn rules(rules: &mut Rules, mut table: Table<'_>) -> Result<(), ManifestError> {
    if let Some(found) = table.take("fail-on") {
        rules.fail_on = match found.text()? {
            "none" => None,
            _ => Some(level(&found, &format!("{LEVEL}, or \"none\""))?),
        };
    }
    if let Some(found) = table.take("unrated") {
        rules.unrated = level(&found, LEVEL)?;
    }
    if let Some(found) = table.take("max-db-age") {
        rules.max_age = found.parsed("a duration such as \"7d\"")?;
    }
    table.finish()
}

fn level(found: &Found<'_>, expected: &str) -> Result<Level, ManifestError> {
    let parsed = found.text()?.parse();
    parsed.map_err(|()| found.error(expected))
}

/// What a waiver says of a vulnerability; a waiver of one must name it, and others may not.
pub(super) fn waived(
    table: &mut Table<'_>,
    code: &'static str,
) -> Result<(Option<String>, Option<Vex>), ManifestError> {
    if !OF_ONE.iter().any(|known| known.name == code) {
        return Ok((None, None));
    }
    let named = table.require("vulnerability")?;
    let fail = named.error("an id such as \"CVE-2026-1234\" or \"GHSA-xxxx-xxxx-xxxx\"");
    let id = named.string()?;
    let fine = (3..=100).contains(&id.len())
        && id.contains('-')
        && id.bytes().all(|b| b.is_ascii_graphic() && b != b'*');
    if !fine {
        return Err(fail);
    }
    let justification = table.take("justification").map(justification).transpose()?;
    let vex = match table.take("status") {
        None => justification.map(Vex::NotAffected),
        Some(found) => {
            let fail = found.error(
                "\"affected\", \"under_investigation\", or \"not_affected\" with a `justification`",
            );
            match (found.text()?, justification) {
                ("affected", None) => Some(Vex::Affected),
                ("under_investigation", None) => Some(Vex::UnderInvestigation),
                ("not_affected", Some(why)) => Some(Vex::NotAffected(why)),
                (_, _) => return Err(fail),
            }
        }
    };
    Ok((Some(id), vex))
}

fn justification(found: Found<'_>) -> Result<Justification, ManifestError> {
    let all: Vec<&str> = Justification::ALL.iter().map(|j| j.as_str()).collect();
    let fail = found.error(format!("one of {}", all.join(", ")));
    let text = found.string()?;
    let named = |one: &Justification| one.as_str() == text;
    Justification::ALL.into_iter().find(named).ok_or(fail)
}

impl Policy {
    /// Judges what is known of the vulnerabilities of a closure. What is malicious is denied, whatever the policy says.
    pub fn judge_vulnerabilities(
        &self,
        checked: &Checked,
        lock: Option<&Lock>,
        now: Timestamp,
    ) -> Judgement {
        let mut used = BTreeSet::new();
        let (mut findings, mut waived) = (Vec::new(), Vec::new());
        for found in vulns::found(checked, lock, &self.rules.vulns, now) {
            let mut finding = found.finding;
            let is_weighed = vulns::WEIGHED.contains(&finding.code);
            if is_weighed {
                finding.severity = self.weight(finding.code.name, finding.severity);
            }
            let mut waivers = self.waivers.iter().enumerate();
            let waiver = waivers.find(|(_, waiver)| {
                let id = waiver.vulnerability.as_deref();
                let named = found.about.zip(id).is_some_and(|(v, id)| v.is(id));
                let meant = match found.about {
                    Some(_) => named,
                    None => id.is_none() && waiver.code == finding.code.name,
                };
                meant
                    && waiver.expires > now
                    && covers(std::slice::from_ref(&waiver.package), &finding)
            });
            match waiver.filter(|_| is_weighed && finding.severity != Severity::Note) {
                Some((at, waiver)) => {
                    used.insert(at);
                    let waiver = waiver.clone();
                    waived.push(Waived { finding, waiver });
                }
                None => findings.push(finding),
            }
        }
        // Without a database nobody knows which of them are needed.
        let asked = checked.database.is_some();
        let which =
            |waiver: &Waiver| waiver.vulnerability.is_some() && (asked || waiver.expires <= now);
        findings.extend(self.waivers_to_look_at(&used, now, &which));
        findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        Judgement { findings, waived }
    }

    /// The waiver that is said of a vulnerability at the time `now`.
    pub fn waiver_of_vulnerability(
        &self,
        vulnerability: &vulns::Vulnerability,
        now: Timestamp,
    ) -> Option<&Waiver> {
        let release = &vulnerability.release;
        self.waivers.iter().find(|waiver| {
            let id = waiver.vulnerability.as_deref();
            let covered =
                waiver
                    .package
                    .covers(&vulnerability.ecosystem, &release.name, &release.version);
            id.is_some_and(|id| vulnerability.is(id))
                && waiver.expires > now
                && covered == super::pattern::Match::Yes
        })
    }
}
