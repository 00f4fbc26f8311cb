//! What a policy asks of a lock and its records.

use std::collections::{BTreeMap, BTreeSet};

use super::license::{self, Verdict};
use super::pattern::Match;
use super::{PackagePattern, Policy, Rules, codes, similar};
use crate::base::fault::Code;
use crate::base::finding::{Finding, Severity};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::text::{escaped, quoted};
use crate::base::time::{Span, Timestamp};
use crate::eco::{self, EcoError, ReleaseFacts};
use crate::lock::chain::Chains;
use crate::lock::{Lock, LockedArtifact, LockedPackage, Records};

/// Who has an exception for want of a better way.
pub(super) const WAIVE: &str =
    "take another version or package, or add a [[waiver]] with reason, expires and approver";

/// Findings after which no more chains are told.
pub(super) const MOST_CHAINS: usize = 1_000;

/// What the records say, by ecosystem and release.
pub(super) type Facts<'a> = BTreeMap<&'a EcosystemId, BTreeMap<ReleaseId, ReleaseFacts>>;

/// What is looked at.
pub(super) struct Gates<'a> {
    policy: &'a Policy,
    lock: &'a Lock,
    facts: Facts<'a>,
    chains: Chains<'a>,
    now: Timestamp,
    found: Vec<Finding>,
    /// Packages whose licenses only their files tell.
    unread_licenses: usize,
}

/// Everything that the gates of `policy` find. `size` knows what an artifact weighs, where the lock does not.
pub(super) fn check(
    policy: &Policy,
    lock: &Lock,
    records: &Records,
    size: &dyn Fn(&LockedArtifact) -> Option<u64>,
    now: Timestamp,
) -> Result<Vec<Finding>, EcoError> {
    let facts = facts(records)?;
    let mut gates = Gates {
        policy,
        lock,
        facts,
        chains: Chains::new(lock),
        now,
        found: Vec::new(),
        unread_licenses: 0,
    };
    for package in lock.packages.iter().filter(|p| p.is_carried()) {
        gates.names(package);
        gates.age(package);
        gates.license(package);
        gates.evidence(package);
    }
    gates.licenses_to_read();
    gates.sizes(size);
    gates.look_alikes();
    Ok(gates.found)
}

impl Gates<'_> {
    fn names(&mut self, package: &LockedPackage) {
        let (id, name, version) = (&package.ecosystem, &package.name, &package.version);
        for (code, message, fix) in names(&self.policy.rules, id, name, version) {
            self.add(code, package, message, fix);
        }
    }

    /// Times are what a registry says and nobody signs: a cache that dates a release too late delays it only.
    fn age(&mut self, package: &LockedPackage) {
        let Some(least) = self.policy.rules.min_age.filter(|span| span.seconds() > 0) else {
            return;
        };
        // A copy in another release's archive is as old as that archive, which is judged itself.
        if package.artifacts.is_empty() || is_in(&self.policy.rules.ageless, package) {
            return;
        }
        let span = words(least);
        match self.facts(package).and_then(|facts| facts.published) {
            None => {
                let message =
                    "the records have no time of publication, which counts as too new".to_owned();
                let fix = "add the package to `[age] exempt`, or take a registry that tells times";
                self.add(&codes::TIME_UNKNOWN, package, message, fix);
            }
            Some(at) if at.plus_seconds(least.seconds()) > self.now => {
                let message = format!("was published at {at}, less than {span} ago");
                let fix = format!("wait, or resolve with `[resolve] min-age = \"{span}\"`");
                self.add(&codes::TOO_NEW, package, message, &fix);
            }
            Some(_) => {}
        }
    }

    fn license(&mut self, package: &LockedPackage) {
        let Some(allowed) = &self.policy.rules.licenses else {
            return;
        };
        if is_in(&self.policy.rules.unlicensed, package) {
            return;
        }
        let recorded = self
            .facts(package)
            .and_then(|facts| facts.license.as_deref());
        let declared = package.license.as_deref().or(recorded);
        if declared.is_none() && package.ecosystem == EcosystemId::debian() {
            self.unread_licenses += 1;
            return;
        }
        let Some(declared) = declared.filter(|text| !text.is_empty()) else {
            let message = "declares no license that could be read".to_owned();
            let fix = "read its license, then add a [[waiver]], or `[license] exempt`";
            self.add(&codes::LICENSE_UNKNOWN, package, message, fix);
            return;
        };
        let (code, message) = match license::judge(declared, allowed) {
            Verdict::Allowed => return,
            Verdict::Denied => (
                &codes::LICENSE_DENIED,
                format!(
                    "is under {}, which the policy does not allow",
                    quoted(declared)
                ),
            ),
            Verdict::Unknown => (
                &codes::LICENSE_UNKNOWN,
                format!(
                    "declares its license as {}, which is no SPDX expression",
                    quoted(declared)
                ),
            ),
        };
        self.add(code, package, message, WAIVE);
    }

    /// What the lock states of the signatures that were verified when it was resolved; `verify --upstream` proves it.
    fn evidence(&mut self, package: &LockedPackage) {
        let floor = self.policy.rules.floors.get(&package.ecosystem);
        let weakest = package.artifacts.iter().map(LockedArtifact::level).min();
        if let (Some(floor), Some(level)) = (floor, weakest)
            && level < *floor
        {
            let message = format!("is vouched for at {level}, and the policy asks for {floor}");
            let fix = "take it from a registry that passes signatures on, another version, or add a [[waiver]]";
            self.add(&codes::EVIDENCE_LOW, package, message, fix);
        }
    }

    /// Licenses that `stage bundle` reads before it judges again.
    fn licenses_to_read(&mut self) {
        if self.unread_licenses == 0 {
            return;
        }
        let message = format!(
            "has {} Debian packages whose licenses only their files tell",
            self.unread_licenses
        );
        let fix = "`stage bundle` reads them and judges again";
        self.add_about(
            &codes::LICENSE_LATER,
            "the closure".to_owned(),
            message,
            fix,
        );
    }

    fn sizes(&mut self, size: &dyn Fn(&LockedArtifact) -> Option<u64>) {
        let rules = &self.policy.rules;
        let (one, all) = (rules.most_artifact, rules.most_total);
        if one.is_none() && all.is_none() {
            return;
        }
        let (mut total, mut unknown, mut large) = (0_u64, 0_usize, Vec::new());
        let mut seen = BTreeSet::new();
        for (package, artifact) in self.lock.carried_artifacts() {
            if !seen.insert((&package.ecosystem, artifact.checksum.to_string())) {
                continue;
            }
            let Some(bytes) = artifact.size.or_else(|| size(artifact)) else {
                unknown += 1;
                continue;
            };
            total = total.saturating_add(bytes);
            if let Some(most) = one.filter(|most| bytes > *most) {
                let file = quoted(&artifact.file);
                large.push((
                    package,
                    format!("{file} has {bytes} bytes, more than {most}"),
                ));
            }
        }
        for (package, message) in large {
            self.add(&codes::ARTIFACT_TOO_LARGE, package, message, WAIVE);
        }
        if let Some(most) = all.filter(|most| total > *most) {
            let message = format!("has {total} bytes, more than {most}");
            let fix = "raise `[size] total`, or carry less in one bundle";
            self.add_about(
                &codes::TOTAL_TOO_LARGE,
                "the closure".to_owned(),
                message,
                fix,
            );
        }
        if unknown > 0 {
            let message =
                format!("has {unknown} artifacts whose size is not known before they are fetched");
            let fix = "`stage bundle` knows every size and judges again";
            self.add_about(&codes::SIZE_UNKNOWN, "the closure".to_owned(), message, fix);
        }
    }

    fn look_alikes(&mut self) {
        let mut names: BTreeMap<&EcosystemId, BTreeMap<String, &LockedPackage>> = BTreeMap::new();
        for package in self.lock.packages.iter().filter(|p| p.is_carried()) {
            if let Some(ecosystem) = eco::by_id(&package.ecosystem) {
                let name = ecosystem.normalized(&package.name);
                names
                    .entry(&package.ecosystem)
                    .or_default()
                    .insert(name, package);
            }
        }
        for packages in names.values().filter(|_| self.lock.packages.len() > 1) {
            let listed = packages.keys().map(String::as_str).collect();
            for (left, right) in similar::pairs(&listed) {
                let Some(package) = packages.get(right) else {
                    continue;
                };
                let message = format!("its name looks like {}, which is carried too", quoted(left));
                let fix = "look at both: who publishes them, and what needs them";
                self.add(&codes::NAME_SIMILAR, package, message, fix);
            }
        }
    }

    fn facts(&self, package: &LockedPackage) -> Option<&ReleaseFacts> {
        self.facts.get(&package.ecosystem)?.get(&package.id())
    }

    fn add(&mut self, code: &'static Code, package: &LockedPackage, message: String, fix: &str) {
        let release = package.id();
        let subject = format!("{} {}", package.ecosystem, escaped(&release.to_string()));
        self.add_about(code, subject, message, fix);
        // Chains may be as long as there are packages: whoever has so many findings does not read them all.
        if self.found.len() > MOST_CHAINS {
            return;
        }
        let chain = self.chains.chain(&package.ecosystem, &release);
        if let Some(finding) = self.found.last_mut() {
            finding.chain = chain.iter().map(|link| escaped(link)).collect();
        }
    }

    fn add_about(&mut self, code: &'static Code, subject: String, message: String, fix: &str) {
        let known = codes::GATES.iter().find(|(gate, _)| *gate == code);
        let by_itself = known.map_or(Severity::Deny, |(_, severity)| *severity);
        self.found.push(Finding {
            code,
            severity: self.policy.weight(code.name, by_itself),
            subject,
            message,
            chain: Vec::new(),
            fix: Some(fix.to_owned()),
        });
    }
}

/// What the lists of packages say of one: code, message and what to do.
pub(super) fn names(
    rules: &Rules,
    ecosystem: &EcosystemId,
    name: &str,
    version: &str,
) -> Vec<(&'static Code, String, &'static str)> {
    let covers = |p: &PackagePattern| p.covers(ecosystem, name, version);
    // A version that cannot be compared may be one that is meant.
    let denied = rules.denied.iter().find(|p| covers(p) != Match::No);
    let allowed = rules.allowed.as_ref();
    let outside = allowed.is_some_and(|list| !list.iter().any(|p| covers(p) == Match::Yes));
    let denied = denied.map(|pattern| {
        let pattern = quoted(pattern.as_str());
        let message = format!("is on the policy's deny list as {pattern}");
        (&codes::PACKAGE_DENIED, message, WAIVE)
    });
    let outside = outside.then(|| {
        let message = "is not on the policy's allow list".to_owned();
        let fix = "have it approved and added to `[packages] allow`, or take it out";
        (&codes::PACKAGE_NOT_ALLOWED, message, fix)
    });
    denied.into_iter().chain(outside).collect()
}

/// What the records say of each release.
pub(super) fn facts(records: &Records) -> Result<Facts<'_>, EcoError> {
    let mut facts = BTreeMap::new();
    for (id, document) in records {
        if let Some(ecosystem) = eco::by_id(id) {
            facts.insert(id, ecosystem.facts(document)?);
        }
    }
    Ok(facts)
}

/// A span as a policy writes it.
fn words(span: Span) -> String {
    let seconds = span.seconds();
    match (seconds % 86_400, seconds % 3_600) {
        (0, _) => format!("{}d", seconds / 86_400),
        (_, 0) => format!("{}h", seconds / 3_600),
        _ => format!("{seconds}s"),
    }
}

fn is_in(patterns: &[PackagePattern], package: &LockedPackage) -> bool {
    PackagePattern::any(
        patterns,
        &package.ecosystem,
        &package.name,
        &package.version,
    )
}
