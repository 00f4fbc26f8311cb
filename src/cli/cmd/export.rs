//! `stage export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::base::limits::LIMITS;
use crate::base::package::EcosystemId;
use crate::base::text::quoted;
use crate::cli::cmd::CommandResult;
use crate::cli::subject::read_records;
use crate::cli::ui::Outcome;
use crate::cli::{Context, UsageError};
use crate::eco::npm::{pins, records};
use crate::fs;
use crate::lock::format;
use crate::manifest;

/// A client lock format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClientLock {
    /// npm's package.json and package-lock.json (version 3), for `npm ci`.
    PackageLock,
}

/// Write the exact pins of a lock for a real client.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage export stage.lock --as package-lock > package-lock.json\n  \
    stage export stage.lock --as package-lock -o app/    # package.json too"
)]
pub struct ExportArgs {
    /// The lock; its records must be beside it
    #[arg(value_name = "LOCK", default_value = "stage.lock")]
    lock: PathBuf,
    /// Form of the pins
    #[arg(long = "as", value_enum, value_name = "FORMAT")]
    form: ClientLock,
    /// Folder to write package.json and package-lock.json into; without it package-lock.json goes to stdout
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Number of the install, where the manifest has several
    #[arg(long, value_name = "N", default_value_t = 1)]
    install: u32,
    /// Address of a stage repository, to name where each tarball is; without it npm asks its configured registry
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
}

pub(crate) fn run(_ctx: &Context, args: &ExportArgs) -> CommandResult {
    let bytes = fs::read(&args.lock, LIMITS.document)?;
    let lock = format::parse_named(&args.lock.to_string_lossy(), &bytes)?;
    let records = read_records(&lock, &manifest::records_path(&args.lock))?;
    let ClientLock::PackageLock = args.form;
    let Some(document) = records.get(&EcosystemId::npm()) else {
        let path = quoted(&args.lock.to_string_lossy());
        return Err(UsageError::new(format!("{path} has no npm records beside it")).into());
    };
    let base = args
        .base_url
        .as_deref()
        .map(|url| url.trim_end_matches('/'));
    let (package, locked) =
        pins::package_lock(&lock, &records::parse(document)?, args.install, base)?;
    let (package, locked) = (pretty(&package), pretty(&locked));
    let Some(folder) = &args.output else {
        return Ok(
            Outcome::new("stage/export-report/v1", json!({"package_lock": locked})).data(locked),
        );
    };
    fs::create_dir_all(folder, 0o755)?;
    let written = ["package.json", "package-lock.json"].map(|name| folder.join(name));
    for (path, text) in written.iter().zip([package, locked]) {
        fs::write_atomic(path, text.as_bytes(), 0o644)?;
    }
    let names: Vec<String> = written.iter().map(|p| p.display().to_string()).collect();
    Ok(
        Outcome::new("stage/export-report/v1", json!({"written": names}))
            .line(format!("Wrote {}", names.join(" and "))),
    )
}

/// JSON as npm writes it: two spaces, a newline at the end.
fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
