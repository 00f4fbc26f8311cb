//! The rules of a project on the command line: its policy and its list of approved software; read, asked, shown.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::base::finding::{Finding, Severity};
use crate::base::package::EcosystemId;
use crate::base::time::Timestamp;
use crate::bundle::write::PlannedFile;
use crate::cli::cmd::resolve::denied;
use crate::cli::connect::Connection;
use crate::cli::project::Project;
use crate::cli::ui::{self, Failure, Outcome};
use crate::cli::{Context, UsageError, holes};
use crate::eco;
use crate::fs;
use crate::lock::{Lock, LockedArtifact, LockedPackage, Records};
use crate::manifest;
use crate::policy::{ApprovedList, Judgement, PlainFile, Policy, Waived, approved};
use crate::scripts;

/// What a project's closure is judged by.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// `[policy] file`.
    pub(crate) policy: Option<Policy>,
    /// `[resolve] prefer`: as the manifest names it, and what it says.
    pub(crate) approved: Option<(PathBuf, ApprovedList)>,
}

impl Rules {
    /// Those that the manifest names.
    pub(crate) fn of(project: &Project) -> Result<Self, Failure> {
        let manifest = &project.manifest;
        let beside = |file: &PathBuf| manifest::beside(&project.manifest_path, file);
        let policy = manifest.policy.as_ref().map(beside);
        let approved = match &manifest.approved {
            None => None,
            Some(file) => Some((file.clone(), ApprovedList::load(&beside(file))?)),
        };
        Ok(Self {
            policy: policy.map(|path| Policy::load(&path)).transpose()?,
            approved,
        })
    }

    /// The list of approved software.
    pub(crate) fn list(&self) -> Option<&ApprovedList> {
        self.approved.as_ref().map(|(_, list)| list)
    }

    /// What is said of a closure: by its rules, or without any by the findings alone.
    pub(crate) fn judge(
        &self,
        (lock, records): (&Lock, &Records),
        mut found: Vec<Finding>,
        size: &dyn Fn(&LockedArtifact) -> Option<u64>,
        now: Timestamp,
    ) -> Result<Judgement, Failure> {
        if let Some(list) = self.list() {
            found.extend(list.check(lock, now));
        }
        if let Some(policy) = &self.policy {
            return Ok(policy.judge(lock, records, found, size, now)?);
        }
        found.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        Ok(Judgement {
            findings: found,
            waived: Vec::new(),
        })
    }

    /// What is said of plain files.
    pub(crate) fn judge_plain(&self, files: &[PlannedFile], now: Timestamp) -> Judgement {
        let files = files.iter().map(|file| PlainFile {
            path: file.path.as_str(),
            digest: file.digests.sha256,
            size: file.size,
        });
        let files: Vec<PlainFile<'_>> = files.collect();
        let policy = self.policy.as_ref();
        policy.map_or_else(Judgement::default, |policy| policy.judge_plain(&files, now))
    }

    /// What is said of what only some commands look into.
    pub(crate) fn judge_found(&self, found: Vec<Finding>, now: Timestamp) -> Judgement {
        if let Some(policy) = &self.policy {
            return policy.judge_found(found, now);
        }
        Judgement {
            findings: found,
            waived: Vec::new(),
        }
    }

    /// What is to be said of a lock whose archives are not looked into yet.
    pub(crate) fn of_archives(&self, lock: &Lock) -> Option<Finding> {
        let asks = self.policy.as_ref().is_some_and(Policy::asks_for_scripts);
        asks.then(|| scripts::later(lock)).flatten()
    }

    /// What comes from another index than the policy pins it to.
    pub(crate) fn check_sources(&self, lock: &Lock, connection: &Connection) -> Vec<Finding> {
        let settings = connection.upstream.settings();
        let address = |package: &LockedPackage, artifact: &LockedArtifact| {
            let ecosystem = eco::by_id(&package.ecosystem)?;
            let located = ecosystem.locator(artifact);
            let (upstream, path) = match &located {
                Some(request) => (request.upstream.as_str(), request.path.as_str()),
                None => (artifact.upstream.as_str(), artifact.path.as_str()),
            };
            if *ecosystem.key() == *EcosystemId::file().as_str() {
                return settings.file(path).map(ToString::to_string);
            }
            settings.base(upstream, path).ok().map(ToString::to_string)
        };
        let policy = self.policy.as_ref();
        policy.map_or_else(Vec::new, |policy| policy.check_sources(lock, &address))
    }

    /// Writes the table with which approval is asked for, if anything needs one; a line about it for the summary.
    pub(crate) fn write_request(
        &self,
        path: Option<&Path>,
        (lock, records): (&Lock, &Records),
        now: Timestamp,
    ) -> Result<Option<String>, Failure> {
        let (Some(path), Some(list)) = (path, self.list()) else {
            return Ok(None);
        };
        let shown = crate::base::text::shown(path);
        Ok(Some(match list.request(lock, records, now)? {
            None => format!("Everything is approved; {shown} was not written"),
            Some(table) => {
                fs::write_atomic(path, &table, 0o644)?;
                format!("{shown} has the table for the approval request")
            }
        }))
    }

    /// The documents that travel in a bundle, by name.
    pub(crate) fn evidence(
        &self,
        judgement: &Judgement,
        lock: &Lock,
        now: Timestamp,
    ) -> Vec<(&'static str, Vec<u8>)> {
        let policy = self.policy.as_ref();
        let said = match policy {
            Some(policy) => Some(("policy.json", judgement.document(policy))),
            None => judgement
                .found_document()
                .map(|found| ("findings.json", found)),
        };
        let list = self
            .list()
            .map(|list| ("approved.json", list.document(lock, now)));
        said.into_iter().chain(list).collect()
    }

    /// What a report says of the policy; `null` where there is none.
    pub(crate) fn json(&self, judgement: &Judgement) -> Value {
        let waived = judgement.waived.iter().map(Waived::json);
        self.policy.as_ref().map_or(Value::Null, |policy| {
            json!({
                "digest": policy.digest,
                "profile": policy.profile,
                "waived": waived.collect::<Vec<_>>(),
            })
        })
    }

    /// What a report says of the list of approved software; `null` where there is none.
    pub(crate) fn approved_json(&self) -> Value {
        let list = self.approved.as_ref();
        list.map_or(Value::Null, |(path, list)| approved::json(path, list))
    }
}

/// An outcome with what was said of findings that came up on the way: in its report, and in its exit if one denies.
pub(crate) fn judged(mut outcome: Outcome, rules: &Rules, judgement: &Judgement) -> Outcome {
    if let Value::Object(report) = &mut outcome.report {
        let waived = judgement.waived.iter().map(Waived::json);
        match report.get_mut("policy").and_then(|p| p.get_mut("waived")) {
            Some(Value::Array(listed)) => listed.extend(waived),
            _ => drop(report.insert("policy".to_owned(), rules.json(judgement))),
        }
        if let Some(Value::Array(listed)) = report.get_mut("findings") {
            listed.extend(judgement.findings.iter().map(ui::finding_json));
        }
    }
    let denying = judgement.findings.iter();
    let count = denying.filter(|f| f.severity == Severity::Deny).count();
    if count == 0 {
        return outcome;
    }
    let line = format!("Denied by {}", ui::plural(count, "finding"));
    let exit = denied(&judgement.findings);
    outcome.line(line).exit(exit)
}

/// A table of what a list does not have needs the list.
pub(crate) fn needs_list(asked: bool, rules: &Rules) -> Result<(), UsageError> {
    if asked && rules.approved.is_none() {
        let none =
            "the manifest names no list of approved software, so nothing can be missing on it";
        return Err(
            UsageError::new(none).next("name it with `[resolve] prefer = \"approved.csv\"`")
        );
    }
    Ok(())
}

/// Prints findings, and what is waived with who waived it: that is never silent. Holes that deny nothing are counted
/// elsewhere.
pub(crate) fn show(ctx: &Context, judgement: &Judgement) {
    ctx.ui.findings(&holes::without(&judgement.findings));
    ctx.ui.waived(&judgement.waived);
}
