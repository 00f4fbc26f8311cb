//! `stage diff`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::base::text::escaped;
use crate::cli::cmd::CommandResult;
use crate::cli::subject::Subject;
use crate::cli::ui::{self, Outcome};
use crate::cli::{Context, UsageError, subject};
use crate::lock::diff::{ChangeKind, LockDiff, ReleaseChange, Side};

/// Compare two locks or bundles: what came, what went, what changed, and why it is there.
///
/// Bundles are only looked at, not verified; the output says so.
/// Made for the second person who reads before signing: new install scripts, changed licenses and files whose bytes
/// changed without a new version stand out.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage diff approved.lock stage.lock\n  stage diff last.stage stage.lock"
)]
pub struct DiffArgs {
    /// The older lock or bundle
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The newer lock or bundle
    #[arg(value_name = "NEW")]
    new: PathBuf,
}

pub(crate) fn run(ctx: &Context, args: &DiffArgs) -> CommandResult {
    let subjects = [open(ctx, &args.old)?, open(ctx, &args.new)?];
    let names = [&args.old, &args.new];
    let unverified: Vec<String> = names
        .into_iter()
        .zip(&subjects)
        .filter(|(_, subject)| subject.is_unverified())
        .map(|(path, _)| escaped(&path.to_string_lossy()))
        .collect();
    for name in &unverified {
        ctx.ui.warn(&format!("\"{name}\" is not verified"));
    }
    let [old, new] = [0, 1].map(|at| subjects.get(at).and_then(Subject::lock));
    let (Some(old), Some(new)) = (old, new) else {
        return Err(UsageError::new("a plain bundle has no lock to compare").into());
    };
    let diff = LockDiff::between(old, new);
    let report = json!({
        "old": escaped(&args.old.to_string_lossy()),
        "new": escaped(&args.new.to_string_lossy()),
        "not_verified": unverified,
        "target_changed": diff.target_changed,
        "requirements_added": diff.requirements_added,
        "requirements_removed": diff.requirements_removed,
        "changes": diff.changes.iter().map(change_json).collect::<Vec<_>>(),
        "unchanged": diff.unchanged,
        "size_change": diff.size_change(),
    });
    Ok(Outcome::new("stage/diff-report/v1", report)
        .data(text(&diff))
        .line(summary(&diff)))
}

fn open(ctx: &Context, path: &Path) -> Result<Subject, ui::Failure> {
    subject::open(ctx, path, None)
}

fn change_json(change: &ReleaseChange) -> Value {
    json!({
        "kind": change.kind,
        "ecosystem": change.ecosystem,
        "name": escaped(&change.name),
        "size_change": change.size_change(),
        "license_changed": change.license_changed(),
        "old": change.old.as_ref().map(side_json),
        "new": change.new.as_ref().map(side_json),
        "reason": change.reason.iter().map(|r| escaped(r)).collect::<Vec<_>>(),
    })
}

fn side_json(side: &Side) -> Value {
    let files: Vec<Value> = side
        .files
        .iter()
        .map(|(file, checksum)| json!({"file": escaped(file), "checksum": checksum}))
        .collect();
    json!({
        "version": escaped(&side.version),
        "license": side.license.as_deref().map(escaped),
        "platforms": side.platforms,
        "install_script": side.install_script,
        "deprecated": side.deprecated,
        "size": side.size,
        "files": files,
    })
}

pub(crate) fn summary(diff: &LockDiff) -> String {
    let counts = [
        (ChangeKind::Added, "added"),
        (ChangeKind::Removed, "removed"),
        (ChangeKind::Version, "other version"),
        (ChangeKind::Bytes, "other bytes"),
        (ChangeKind::Facts, "other facts"),
    ];
    let mut parts: Vec<String> = counts
        .into_iter()
        .map(|(kind, word)| (diff.count(kind), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    parts.push(format!("{} unchanged", diff.unchanged));
    let size = match diff.size_change() {
        None | Some(0) => String::new(),
        Some(change) => {
            let sign = if change > 0 { '+' } else { '-' };
            format!("; {sign}{} to carry", ui::bytes(change.unsigned_abs()))
        }
    };
    format!("Compared {}{size}", parts.join(", "))
}

pub(crate) fn text(diff: &LockDiff) -> String {
    let mut lines = Vec::new();
    if diff.target_changed {
        lines.push("! the target or exclude-newer changed".to_owned());
    }
    for (sign, list) in [
        ('+', &diff.requirements_added),
        ('-', &diff.requirements_removed),
    ] {
        for requirement in list {
            let spec = escaped(&requirement.spec);
            lines.push(format!("{sign} required: {} {spec}", requirement.ecosystem));
        }
    }
    for change in &diff.changes {
        change_lines(&mut lines, change);
    }
    let mut out = String::new();
    for line in lines {
        // Writing to a String cannot fail.
        if writeln!(out, "{line}").is_err() {}
    }
    out
}

fn change_lines(lines: &mut Vec<String>, change: &ReleaseChange) {
    let name = format!("{} {}", change.ecosystem, escaped(&change.name));
    let version = |side: &Option<Side>| {
        side.as_ref()
            .map(|s| escaped(&s.version))
            .unwrap_or_default()
    };
    let (old, new) = (version(&change.old), version(&change.new));
    lines.push(match change.kind {
        ChangeKind::Added => format!("+ {name} {new}{}", about(change.new.as_ref())),
        ChangeKind::Removed => format!("- {name} {old}"),
        ChangeKind::Version => format!("~ {name} {old} -> {new}"),
        ChangeKind::Bytes => format!("! {name} {new} has other bytes under the same version"),
        ChangeKind::Facts => format!("~ {name} {new}"),
    });
    if let (Some(old), Some(new)) = (&change.old, &change.new) {
        lines.extend(
            differences(old, new)
                .into_iter()
                .map(|d| format!("    {d}")),
        );
    }
    let word = match change.kind {
        ChangeKind::Removed => "was needed by",
        _ => "needed by",
    };
    let chain: Vec<String> = change.reason.iter().map(|r| escaped(r)).collect();
    match chain.as_slice() {
        [] | [_] => {}
        // The requirement asks for the release itself.
        [requirement, _] => lines.push(format!("    {word}: the requirement {requirement}")),
        _ => lines.push(format!("    {word}: {}", chain.join(" > "))),
    }
}

/// License, size and warnings of an added release, in brackets.
fn about(side: Option<&Side>) -> String {
    let Some(side) = side else {
        return String::new();
    };
    let mut parts = vec![
        side.license
            .as_deref()
            .map_or("no license".to_owned(), escaped),
    ];
    parts.extend(side.size.map(ui::bytes));
    if side.install_script {
        parts.push("runs an install script".to_owned());
    }
    if side.deprecated {
        parts.push("deprecated".to_owned());
    }
    format!(" ({})", parts.join(", "))
}

/// `1.0 MB -> 1.5 MB (+0.5 MB)`.
fn change_of_size(before: u64, after: u64) -> String {
    let sign = if after >= before { '+' } else { '-' };
    format!(
        "{} -> {} ({sign}{})",
        ui::bytes(before),
        ui::bytes(after),
        ui::bytes(after.abs_diff(before))
    )
}

fn differences(old: &Side, new: &Side) -> Vec<String> {
    let mut out = Vec::new();
    if old.license != new.license {
        let word = |side: &Side| side.license.as_deref().map_or("none".to_owned(), escaped);
        out.push(format!("license: {} -> {}", word(old), word(new)));
    }
    if let (Some(before), Some(after)) = (old.size, new.size)
        && before != after
    {
        out.push(format!("size: {}", change_of_size(before, after)));
    }
    if old.platforms != new.platforms {
        let list = |side: &Side| {
            let names: Vec<&str> = side.platforms.iter().map(|p| p.as_str()).collect();
            names.join(" ")
        };
        out.push(format!("platforms: {} -> {}", list(old), list(new)));
    }
    for (before, after, word) in [
        (old.install_script, new.install_script, "an install script"),
        (old.deprecated, new.deprecated, "a deprecation"),
    ] {
        match (before, after) {
            (false, true) => out.push(format!("now has {word}")),
            (true, false) => out.push(format!("no longer has {word}")),
            _ => {}
        }
    }
    if old.version == new.version {
        for (file, checksum) in &new.files {
            let before = old.files.get(file);
            if before != Some(checksum) {
                let before = before.map_or("none", String::as_str);
                out.push(format!("{}: {before} -> {checksum}", escaped(file)));
            }
        }
        for file in old.files.keys().filter(|f| !new.files.contains_key(*f)) {
            out.push(format!("{}: no longer carried", escaped(file)));
        }
    }
    out
}
