//! The policy of a project on the command line: read, asked, shown.

use serde_json::{Value, json};

use crate::base::finding::Finding;
use crate::base::time::Timestamp;
use crate::cli::Context;
use crate::cli::project::Project;
use crate::cli::ui::Failure;
use crate::lock::{Lock, LockedArtifact, Records};
use crate::manifest;
use crate::policy::{Judgement, Policy, Waived};

/// The policy that the manifest names.
pub(crate) fn of(project: &Project) -> Result<Option<Policy>, Failure> {
    let Some(file) = &project.manifest.policy else {
        return Ok(None);
    };
    let path = manifest::beside(&project.manifest_path, file);
    Ok(Some(Policy::load(&path)?))
}

/// What is said of a closure: by its policy, or without one by the findings alone.
pub(crate) fn judge(
    policy: Option<&Policy>,
    (lock, records): (&Lock, &Records),
    found: Vec<Finding>,
    size: &dyn Fn(&LockedArtifact) -> Option<u64>,
    now: Timestamp,
) -> Result<Judgement, Failure> {
    match policy {
        Some(policy) => Ok(policy.judge(lock, records, found, size, now)?),
        None => Ok(Judgement {
            findings: found,
            waived: Vec::new(),
        }),
    }
}

/// Prints findings, and what is waived with who waived it: that is never silent.
pub(crate) fn show(ctx: &Context, judgement: &Judgement) {
    ctx.ui.findings(&judgement.findings);
    ctx.ui.waived(&judgement.waived);
}

/// What a report says of the policy; `null` where there is none.
pub(crate) fn json(policy: Option<&Policy>, judgement: &Judgement) -> Value {
    let waived = judgement.waived.iter().map(Waived::json);
    policy.map_or(Value::Null, |policy| {
        json!({
            "digest": policy.digest,
            "profile": policy.profile,
            "waived": waived.collect::<Vec<_>>(),
        })
    })
}
