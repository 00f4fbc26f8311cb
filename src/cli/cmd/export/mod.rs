//! `stage export`: the pins of a lock or the signatures of a bundle, in the forms of other tools.

mod signatures;

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use serde_json::json;

use crate::base::limits::LIMITS;
use crate::base::platform::Platform;
use crate::base::text::{self, escaped, quoted};
use crate::cli::cmd::CommandResult;
use crate::cli::subject::{no_lock, read_records};
use crate::cli::ui::{Failure, Outcome};
use crate::cli::{Context, UsageError};
use crate::eco::{self, Ecosystem, ExportRequest, ExportedFile};
use crate::fs;
use crate::lock::{Lock, format};
use crate::manifest;

/// Write the exact pins of a lock for a real client, or a bundle's signatures for tools that know DSSE or Sigstore.
///
/// `dsse` is one envelope with all signatures of a bundle or a head over its statement; `sigstore` is one Sigstore bundle for
/// each signer, to be verified with that signer's public key. Nothing is judged: that is for the tool that reads it. SSH
/// signatures fit into neither.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage export stage.lock --as package-lock > package-lock.json\n  \
    stage export stage.lock --as package-lock -o app/    # package.json too\n  stage export openclaw.stage --as dsse > \
    openclaw.dsse.json\n  stage export openclaw.stage --as sigstore -o evidence/"
)]
pub struct ExportArgs {
    /// The lock, whose records must be beside it; for `dsse` and `sigstore` a bundle or a head
    #[arg(value_name = "FILE", default_value = "stage.lock")]
    file: PathBuf,
    /// Form of the pins or signatures
    #[arg(long = "as", value_name = "FORMAT", value_parser = forms())]
    form: String,
    /// Folder to write every file of the form into; without it the one that the client needs goes to stdout
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Number of the install, where the manifest has several
    #[arg(long, value_name = "N", default_value_t = 1)]
    install: u32,
    /// Platform, where pins differ between platforms and the lock has several
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Address of a stage repository, to name where each file is; without it the client asks where it is configured to
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
}

/// The forms of every ecosystem.
fn forms() -> PossibleValuesParser {
    let all = eco::ALL
        .iter()
        .flat_map(|ecosystem| ecosystem.export_forms());
    let pins = all.map(|form| (form.name, form.about));
    let values = pins
        .chain(signatures::FORMS)
        .map(|(name, about)| PossibleValue::new(name).help(about));
    PossibleValuesParser::new(values)
}

pub(crate) fn run(ctx: &Context, args: &ExportArgs) -> CommandResult {
    let form = args.form.as_str();
    let is_of_bundle = signatures::FORMS.iter().any(|(name, _)| *name == form);
    let files = if is_of_bundle {
        signatures::export(ctx, form, &args.file)?
    } else {
        pins(args)?
    };
    let Some(folder) = &args.output else {
        return shown(form, &files);
    };
    let mut names = Vec::new();
    for file in &files {
        let path = folder.join(&file.name);
        fs::create_dir_all(fs::parent(&path), 0o755)?;
        fs::write_atomic(&path, file.text.as_bytes(), 0o644)?;
        names.push(path);
    }
    let written: Vec<_> = names.iter().map(|path| path.to_string_lossy()).collect();
    let report = json!({"form": form, "written": written});
    let names: Vec<String> = names.iter().map(|path| text::shown(path)).collect();
    Ok(Outcome::new("stage/export-report/v1", report)
        .line(format!("Wrote {}", names.join(" and "))))
}

/// The pins of a lock.
fn pins(args: &ExportArgs) -> Result<Vec<ExportedFile>, Failure> {
    if !fs::exists(&args.file) {
        return Err(no_lock(&args.file).into());
    }
    let bytes = fs::read(&args.file, LIMITS.document)?;
    let lock = format::parse_named(&args.file.to_string_lossy(), &bytes)?;
    let records = read_records(&lock, &manifest::records_path(&args.file))?;
    let form = args.form.as_str();
    let ecosystem = eco::by_form(form).ok_or_else(|| UsageError::new("no such form"))?;
    let Some(document) = records.get(&ecosystem.id()) else {
        return Err(nothing_to_export(args, &lock, ecosystem).into());
    };
    Ok(ecosystem.export(&ExportRequest {
        form,
        lock: &lock,
        records: document,
        install: args.install,
        platform: args.platform,
        base_url: args
            .base_url
            .as_deref()
            .map(|url| url.trim_end_matches('/')),
    })?)
}

/// Why there is nothing to export: the lock has no such packages, or it was copied without its records.
fn nothing_to_export(args: &ExportArgs, lock: &Lock, ecosystem: &dyn Ecosystem) -> UsageError {
    let path = quoted(&args.file.to_string_lossy());
    let key = ecosystem.key();
    let has: BTreeSet<&str> = lock.packages.iter().map(|p| p.ecosystem.as_str()).collect();
    if has.contains(key) {
        let records = manifest::records_path(&args.file).join(format!("{key}.json"));
        let records = quoted(&records.to_string_lossy());
        return UsageError::new(format!("the records of {path} are not there: {records}"))
            .next("copy the lock together with the folder of its records, or run `stage resolve`");
    }
    let fits = |e: &&&dyn Ecosystem| has.contains(e.key());
    let forms = eco::ALL.iter().filter(fits).flat_map(|e| e.export_forms());
    let forms: Vec<&str> = forms.map(|form| form.name).collect();
    let listed = |words: &[&str]| match words {
        [] => "none".to_owned(),
        words => words.join(", "),
    };
    let kinds: Vec<&str> = has.into_iter().collect();
    let error = UsageError::new(format!(
        "{path} has no packages of {key}, which {} is for",
        args.form
    ))
    .fact("ecosystems of the lock", escaped(&listed(&kinds)))
    .fact("forms for them", listed(&forms));
    error.next(match forms.first() {
        Some(form) => format!("ask for one of these forms, such as `--as {form}`"),
        None => format!("add a [{key}] table to the manifest and run `stage resolve`"),
    })
}

/// The one file that the client needs, on stdout.
fn shown(form: &str, files: &[ExportedFile]) -> CommandResult {
    let mut needed = files.iter().filter(|file| !file.optional);
    let (Some(only), None) = (needed.next(), needed.next()) else {
        let several = format!("{form} is several files here; give --output");
        return Err(UsageError::new(several).into());
    };
    let report = json!({"form": form, "files": files});
    Ok(Outcome::new("stage/export-report/v1", report).content(only.text.clone()))
}
