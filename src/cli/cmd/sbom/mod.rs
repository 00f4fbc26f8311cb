//! `stage sbom`.

pub mod diff;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::base::digest::Digest;
use crate::base::text::shown;
use crate::cli::cmd::CommandResult;
use crate::cli::sbom;
use crate::cli::secret::{PassphraseArgs, secret_key};
use crate::cli::subject::is_bundle;
use crate::cli::ui::{Failure, Format, Outcome, plural};
use crate::cli::{Context, UsageError};
use crate::fs;
use crate::sbom::document::Document;
use crate::sbom::{attest, spdx, table};
use crate::trust::envelope::{self, Signable};

/// Write the SBOM of a bundle or a lock: CycloneDX 1.6, SPDX 2.3 or a table.
///
/// Of a bundle, CycloneDX is the document that it carries, byte for byte, and the others are made of it and say the same.
/// Without --format, the ending of the output decides: .spdx.json, .csv, else CycloneDX. The SBOM of a lock is made by the
/// connected build, from the records beside it and the files in the store.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  stage sbom openclaw.stage --trust root.json --key k.pem -o openclaw.cdx.json\n  \
    stage sbom openclaw.stage --format spdx\n  stage sbom diff last.stage openclaw.stage"
)]
pub struct SbomArgs {
    #[command(subcommand)]
    command: Option<SbomCommand>,
    /// A bundle, a head or a lock
    #[arg(value_name = "LOCK|BUNDLE", required = true)]
    subject: Option<PathBuf>,
    /// The trust root to verify a bundle by
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// The file to write [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Sign it with this key, into OUTPUT.dsse: an in-toto statement with the digests of the file
    #[arg(long, value_name = "FILE|URI", requires = "output")]
    key: Option<PathBuf>,
    /// Its passphrase.
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// What else is done with SBOMs.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "the help of a command is the doc comment of its arguments; one here would hide it"
)]
pub enum SbomCommand {
    Diff(diff::SbomDiffArgs),
}

/// A form of an SBOM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Cyclonedx,
    Spdx,
    Csv,
}

impl Form {
    /// What was asked for, else what the name of the output says.
    fn of(ctx: &Context, output: Option<&Path>) -> Self {
        let name = output.map(|path| path.to_string_lossy().to_lowercase());
        let ends = |ending| name.as_ref().is_some_and(|name| name.ends_with(ending));
        match ctx.global.format {
            Format::Spdx => Self::Spdx,
            Format::Csv => Self::Csv,
            Format::Human | Format::Json if ends(".spdx.json") => Self::Spdx,
            Format::Human | Format::Json if ends(".csv") => Self::Csv,
            Format::Human | Format::Json | Format::Purl | Format::Cyclonedx => Self::Cyclonedx,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Cyclonedx => "cyclonedx",
            Self::Spdx => "spdx",
            Self::Csv => "csv",
        }
    }
}

pub(crate) fn run(ctx: &Context, args: &SbomArgs) -> CommandResult {
    match (&args.command, &args.subject) {
        (Some(SbomCommand::Diff(args)), _) => diff::run(ctx, args),
        (None, Some(subject)) => write(ctx, args, subject),
        (None, None) => Err(UsageError::new("name a bundle or a lock").into()),
    }
}

fn write(ctx: &Context, args: &SbomArgs, subject: &Path) -> CommandResult {
    let key = args.key.as_deref();
    if key.is_some() && args.trust.is_none() && is_bundle(subject)? {
        let message = "nobody verified this bundle, and a signature says that somebody did";
        return Err(UsageError::new(message)
            .next("name its trust root: --trust root.json")
            .into());
    }
    let key = key
        .map(|path| secret_key(ctx, path, &args.passphrase))
        .transpose()?;
    let carried = sbom::carried(ctx, subject, args.trust.as_deref())?;
    let document = Document::read(&carried)?;
    let form = Form::of(ctx, args.output.as_deref());
    let bytes = match form {
        Form::Cyclonedx => carried,
        Form::Spdx => spdx::write(&document),
        Form::Csv => table::write(&document),
    };
    let Some(output) = &args.output else {
        if ctx.global.format == Format::Json {
            return Err(UsageError::new("--format json reports what was written")
                .next("name the file to write with -o, or say --format cyclonedx")
                .into());
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        return Ok(Outcome::new("stage/sbom-report/v1", json!({})).content(text));
    };
    fs::write_atomic(output, &bytes, 0o644)?;
    let mut signature = None;
    if let Some(key) = &key {
        let path = beside(output);
        let name = output.file_name().unwrap_or_default().to_string_lossy();
        let payload = attest::payload(&name, &bytes);
        let signed = key.sign_signable(Signable::sbom(&payload))?;
        fs::write_atomic(&path, &envelope::statement_file(&payload, &signed), 0o644)?;
        signature = Some(path);
    }
    Ok(told(
        output,
        signature.as_deref(),
        (form, &bytes),
        &document,
    ))
}

/// The file of the signature.
fn beside(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(attest::SUFFIX);
    PathBuf::from(name)
}

fn told(
    output: &Path,
    signature: Option<&Path>,
    (form, bytes): (Form, &[u8]),
    document: &Document,
) -> Outcome {
    let report = json!({
        "written": shown(output),
        "signature": signature.map(shown),
        "form": form.as_str(),
        "digest": Digest::of(bytes),
        "serial_number": crate::base::text::escaped(&document.serial),
        "components": document.parts.len(),
    });
    let signed = signature.map(|path| format!(", signed in {}", shown(path)));
    let line = format!(
        "Wrote {}: {}{}",
        shown(output),
        plural(document.parts.len(), "component"),
        signed.unwrap_or_default()
    );
    Outcome::new("stage/sbom-report/v1", report).line(line)
}

/// The SBOM of something that an argument names: a bundle, a lock or a CycloneDX document.
fn open(ctx: &Context, path: &Path) -> Result<Document, Failure> {
    Ok(Document::read(&sbom::any(ctx, path)?)?)
}
