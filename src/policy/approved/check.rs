//! A closure against a list of approved software: what is denied, the table with which its approval is asked for, and the
//! document that says which approval each package came in under.

use serde_json::json;

use super::{Approval, ApprovedList};
use crate::base::finding::{Finding, Severity};
use crate::base::json;
use crate::base::sheet::sheet;
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::eco::{self, EcoError};
use crate::lock::chain::Chains;
use crate::lock::{Lock, LockedPackage, Records};
use crate::policy::codes;
use crate::policy::gates::{MOST_CHAINS, facts};

/// Most rows about a package that a message tells.
const MOST_TOLD: usize = 3;

/// What every column of a request holds.
const TITLES: [&str; 10] = [
    "ecosystem",
    "name",
    "version",
    "approval id",
    "license",
    "published",
    "needed by",
    "approved so far",
    "checksum",
    "purl",
];

impl ApprovedList {
    /// The carried packages that the list does not approve at `now`, and what of the list cannot be read.
    pub fn check(&self, lock: &Lock, now: Timestamp) -> Vec<Finding> {
        let chains = Chains::new(lock);
        let mut findings = Vec::new();
        for package in self.missing(lock, now) {
            let chain = if findings.len() < MOST_CHAINS {
                chains.chain(&package.ecosystem, &package.id())
            } else {
                Vec::new()
            };
            findings.push(Finding {
                code: &codes::PACKAGE_NOT_APPROVED,
                severity: Severity::Deny,
                subject: format!("{} {}", package.ecosystem, escaped(&package.id().to_string())),
                message: self.reason(package, now),
                chain: chain.iter().map(|link| escaped(link)).collect(),
                fix: Some(
                    "ask for its approval (`--approval-request FILE` writes the table), or take another version"
                        .to_owned(),
                ),
            });
        }
        if let Some(first) = self.unread().first() {
            let count = self.unread().len();
            let message = format!(
                "{count} of its rows approve nothing; the first is in line {}: {}",
                first.line, first.reason
            );
            findings.push(Finding {
                code: &codes::APPROVED_UNREAD,
                severity: Severity::Note,
                subject: "the list of approved software".to_owned(),
                message,
                chain: Vec::new(),
                fix: None,
            });
        }
        findings
    }

    fn missing<'a>(
        &'a self,
        lock: &'a Lock,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a LockedPackage> {
        let carried = lock.packages.iter().filter(|p| p.is_carried());
        carried.filter(move |p| {
            self.approval(&p.ecosystem, &p.name, &p.version, now)
                .is_none()
        })
    }

    fn reason(&self, package: &LockedPackage, now: Timestamp) -> String {
        let about: Vec<&Approval> = self.of_name(&package.ecosystem, &package.name).collect();
        let covering =
            |row: &&&Approval| row.covers(&package.ecosystem, &package.name, &package.version);
        if let Some(row) = about.iter().find(covering) {
            let at = row.expires.unwrap_or(now);
            return format!("its approval {} ended at {at}", quoted(&row.text()));
        }
        let told: Vec<String> = about
            .iter()
            .take(MOST_TOLD)
            .map(|row| quoted(&row.text()))
            .collect();
        match told.as_slice() {
            [] => "is not on the list of approved software".to_owned(),
            told => {
                let more = if about.len() > MOST_TOLD { ", …" } else { "" };
                format!(
                    "its version is not approved; the list has {}{more}",
                    told.join(", ")
                )
            }
        }
    }

    /// The table, as CSV, with which approval is asked for what the list does not have; `None` if it has everything. Once
    /// the ids are filled in, it is a list itself.
    ///
    /// # Errors
    /// Records cannot be read.
    pub fn request(
        &self,
        lock: &Lock,
        records: &Records,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, EcoError> {
        let facts = facts(records)?;
        let chains = Chains::new(lock);
        let mut rows = vec![TITLES.map(str::to_owned)];
        for package in self.missing(lock, now) {
            let of_package = facts
                .get(&package.ecosystem)
                .and_then(|f| f.get(&package.id()));
            let so_far: Vec<String> = self
                .of_name(&package.ecosystem, &package.name)
                .take(MOST_TOLD)
                .map(Approval::text)
                .collect();
            let license = package.license.clone();
            let license = license.or_else(|| of_package.and_then(|f| f.license.clone()));
            let published = of_package.and_then(|f| f.published);
            let purl = eco::by_id(&package.ecosystem).map(|e| e.purl(&package.id()).to_string());
            let checksum = package.artifacts.first().map(|a| a.checksum.to_string());
            rows.push([
                package.ecosystem.to_string(),
                package.name.clone(),
                package.version.clone(),
                String::new(),
                license.unwrap_or_default(),
                published.map(|at| at.to_string()).unwrap_or_default(),
                chains.chain(&package.ecosystem, &package.id()).join(" > "),
                so_far.join("; "),
                checksum.unwrap_or_default(),
                purl.unwrap_or_default(),
            ]);
        }
        if rows.len() == 1 {
            return Ok(None);
        }
        Ok(Some(sheet(rows)))
    }

    /// The document that travels in a bundle: the list's digest and the approval of every carried package.
    pub fn document(&self, lock: &Lock, now: Timestamp) -> Vec<u8> {
        let carried = lock.packages.iter().filter(|p| p.is_carried());
        let approvals: Vec<_> = carried
            .filter_map(|package| {
                let row =
                    self.approval(&package.ecosystem, &package.name, &package.version, now)?;
                let purl = eco::by_id(&package.ecosystem)?.purl(&package.id());
                Some(json!({
                    "purl": purl.as_str(),
                    "approval": escaped(&row.id),
                    "versions": escaped(&row.versions),
                    "expires": row.expires,
                }))
            })
            .collect();
        json::canonical(&json!({
            "schema": "stage/approved-evidence/v1",
            "list": self.digest,
            "approvals": approvals,
        }))
    }
}
