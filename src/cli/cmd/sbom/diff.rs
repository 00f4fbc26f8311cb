//! `stage sbom diff`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::base::text::{escaped, shown};
use crate::cli::cmd::CommandResult;
use crate::cli::ui::{Format, Outcome, plural};
use crate::cli::{Context, UsageError};
use crate::sbom::diff::{self, Change, Kind};
use crate::sbom::document::Part;

/// Compare two SBOMs: what came, what went, and whose version, bytes, license, supplier or evidence changed.
///
/// Each is a bundle, a head, a lock, or a CycloneDX file of `stage sbom` or of another program. Nothing is verified.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage sbom diff last.stage openclaw.stage\n  \
    stage sbom diff last.cdx.json openclaw.cdx.json --format json"
)]
pub struct SbomDiffArgs {
    /// The older one
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The newer one
    #[arg(value_name = "NEW")]
    new: PathBuf,
}

pub(crate) fn run(ctx: &Context, args: &SbomDiffArgs) -> CommandResult {
    let format = ctx.global.format;
    if !matches!(format, Format::Human | Format::Json) {
        let message = "`stage sbom diff` knows --format human and json";
        return Err(UsageError::new(message).into());
    }
    let old = super::open(ctx, &args.old)?;
    let new = super::open(ctx, &args.new)?;
    let changes = diff::between(&old, &new);
    let count = |kind| changes.iter().filter(|change| change.kind == kind).count();
    let (added, removed) = (count(Kind::Added), count(Kind::Removed));
    let changed = count(Kind::Changed);
    let report = json!({
        "old": shown(&args.old),
        "new": shown(&args.new),
        "added": added,
        "removed": removed,
        "changed": changed,
        "changes": changes.iter().map(change_json).collect::<Vec<_>>(),
    });
    let text: String = changes.iter().map(lines).collect();
    let line = format!(
        "{} added, {removed} removed, {changed} changed",
        plural(added, "component")
    );
    Ok(Outcome::new("stage/sbom-diff-report/v1", report)
        .data(text)
        .line(line))
}

fn change_json(change: &Change<'_>) -> Value {
    let fields = change.fields.iter();
    json!({
        "kind": change.kind.as_str(),
        "ecosystem": escaped(change.ecosystem),
        "name": escaped(change.name),
        "old": change.old.map(part_json),
        "new": change.new.map(part_json),
        "fields": fields
            .map(|field| {
                json!({"field": field.name, "old": escaped(&field.old), "new": escaped(&field.new)})
            })
            .collect::<Vec<_>>(),
    })
}

fn part_json(part: &Part) -> Value {
    json!({
        "purl": escaped(&part.purl),
        "version": escaped(&part.version),
        "license": escaped(&diff::license(part)),
        "supplier": part.supplier.as_deref().map(escaped),
        "evidence": part.evidence().map(escaped),
    })
}

/// `added   npm  name 1.0.0  MIT`, or what changed, a line each.
fn lines(change: &Change<'_>) -> String {
    let name = format!("{} {}", escaped(change.ecosystem), escaped(change.name));
    let version = |part: Option<&Part>| part.map(|part| escaped(&part.version));
    let (old, new) = (version(change.old), version(change.new));
    let versions = match (&old, &new) {
        (Some(old), Some(new)) if old != new => format!("{old} -> {new}"),
        _ => new.or(old).unwrap_or_default(),
    };
    let license = match (change.old, change.new) {
        (None, Some(part)) | (Some(part), None) => {
            format!("  {}", escaped(&diff::license(part)))
        }
        _ => String::new(),
    };
    let head = format!("{:8} {name} {versions}{license}\n", change.kind.as_str());
    let fields = change.fields.iter().filter(|field| field.name != "version");
    let fields: Vec<String> = fields
        .map(|field| {
            let (old, new) = (escaped(&field.old), escaped(&field.new));
            format!("         {}: {old} -> {new}\n", field.name)
        })
        .collect();
    head + &fields.concat()
}
