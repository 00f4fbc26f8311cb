//! Holes on the command line: the check with the manifest's rules, and the few words that other commands say about it.

use std::collections::BTreeMap;

use crate::base::finding::{Finding, Severity};
use crate::cli::Context;
use crate::cli::project::Project;
use crate::cli::ui::{Failure, Outcome};
use crate::holes::{self, HoleKind, Report};
use crate::lock::Lock;
use crate::manifest;
use crate::store::Store;

/// Holds the shipped rules and those of the manifest against what is staged.
pub(crate) fn check(
    ctx: &Context,
    project: &Project,
    lock: &Lock,
    store: &Store,
) -> Result<Report, Failure> {
    let section = holes::section::read(&project.manifest)?;
    let files = section.rules.iter();
    let files: Vec<_> = files
        .map(|path| manifest::beside(&project.manifest_path, path))
        .collect();
    let rules = holes::rules(&files)?;
    Ok(holes::check(lock, store, &rules, &section.closed, &ctx.ui)?)
}

/// Findings without those of holes that deny nothing: `stage holes` shows them, other commands count them.
pub(crate) fn without(findings: &[Finding]) -> Vec<Finding> {
    let shown = |f: &&Finding| f.severity == Severity::Deny || !holes::is_hole(f);
    findings.iter().filter(shown).cloned().collect()
}

/// Adds one line that counts the holes.
pub(crate) fn summarize(found: &Report, option: &str, outcome: &mut Outcome) {
    let mut kinds: BTreeMap<HoleKind, usize> = BTreeMap::new();
    for hole in &found.holes {
        *kinds.entry(hole.kind).or_default() += 1;
    }
    let kinds: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| format!("{count} {}", kind.as_str()))
        .collect();
    if !kinds.is_empty() {
        outcome.summary.push(format!(
            "Holes: {}; `stage holes{option}` lists each with what closes it",
            kinds.join(", ")
        ));
    }
}
