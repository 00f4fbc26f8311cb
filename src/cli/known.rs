//! What is known of a lock's vulnerabilities where bundles are made: asked, judged, packed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::text::quoted;
use crate::base::time::Timestamp;
use crate::cli::UsageError;
use crate::cli::project::Project;
use crate::cli::ui::Failure;
use crate::cli::vulns::OsvArgs;
use crate::fs;
use crate::lock::{Lock, Records};
use crate::manifest;
use crate::policy::{Judgement, Policy};
use crate::vulns::{self, CarriedWriter, Checked, Closure, EVIDENCE, Given, Query, RECORDS, Rules};

impl OsvArgs {
    /// What the command line, its variable or the manifest names; asked before any work is done.
    pub(crate) fn of(&self, project: &Project) -> Result<Option<PathBuf>, UsageError> {
        let manifest = &project.manifest;
        let named = manifest.osv.as_deref();
        let beside = || named.map(|path| manifest::beside(&project.manifest_path, path));
        let path = self.osv.clone().or_else(beside);
        if let Some(path) = path.as_deref().filter(|path| !fs::exists(path)) {
            let path = quoted(&path.to_string_lossy());
            let none = format!("there is no vulnerability database at {path}");
            let hint = "give an export of OSV: a folder with ECOSYSTEM/all.zip or .json files, or one zip file";
            return Err(UsageError::new(none).next(hint));
        }
        Ok(path)
    }
}

/// What the database says of a lock; without one, that there is none.
pub(crate) fn look_up(
    path: Option<&Path>,
    (lock, records): (&Lock, &Records),
    carry: Option<&mut CarriedWriter>,
) -> Result<Checked, Failure> {
    let Some(path) = path else {
        return Ok(Checked::nothing());
    };
    let closures = [Closure { lock, records }];
    Ok(vulns::check(&mut Query {
        database: Given::Path(path),
        closures: &closures,
        carry,
    })?)
}

/// What is said of that: by the policy, or without one as the standard profile has it. Without policy and database the
/// last line of the command says it, and no finding.
pub(crate) fn judge(
    policy: Option<&Policy>,
    known: &Checked,
    lock: &Lock,
    now: Timestamp,
) -> Judgement {
    if let Some(policy) = policy {
        return policy.judge_vulnerabilities(known, Some(lock), now);
    }
    let found = match known.database {
        Some(_) => vulns::found(known, Some(lock), &Rules::default(), now),
        None => Vec::new(),
    };
    Judgement {
        findings: found.into_iter().map(|one| one.finding).collect(),
        waived: Vec::new(),
    }
}

/// What is known of a lock, and what of it goes into the bundle.
pub(crate) struct Known {
    /// What is known.
    pub(crate) checked: Checked,
    /// Documents by their names in the folder of evidence.
    pub(crate) documents: BTreeMap<&'static str, Vec<u8>>,
}

impl Known {
    /// Looks up a lock, and packs the records if they are to travel.
    pub(crate) fn look_up(
        path: Option<&Path>,
        carry: bool,
        closure: (&Lock, &Records),
    ) -> Result<Self, Failure> {
        if carry && path.is_none() {
            let message = "`[bundle] carry-osv` is set, and no vulnerability database was given";
            return Err(UsageError::new(message)
                .next("give an export of OSV with --osv, or `[policy] osv`")
                .into());
        }
        let mut writer = carry.then(CarriedWriter::new).transpose()?;
        let checked = look_up(path, closure, writer.as_mut())?;
        let mut documents = BTreeMap::new();
        if checked.database.is_some() {
            documents.insert(name(EVIDENCE), checked.document(carry));
        }
        if let Some(writer) = writer {
            documents.insert(name(RECORDS), writer.finish()?);
        }
        Ok(Self { checked, documents })
    }
}

/// The name of a document in the folder of evidence.
fn name(path: &'static str) -> &'static str {
    path.split_once('/').map_or(path, |(_, name)| name)
}
