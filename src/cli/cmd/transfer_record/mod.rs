//! `stage transfer-record`.

mod check;
mod medium;
mod record;
mod scan;

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use crate::base::text::{quoted, shown};
use crate::base::time::Span;
use crate::cli::approval::ApprovalsFile;
use crate::cli::cmd::CommandResult;
use crate::cli::proof::ProofFile;
use crate::cli::secret::PassphraseArgs;
use crate::cli::ui::{Failure, Outcome, plural};
use crate::cli::{Context, UsageError};
use crate::fs;
use crate::transfer::Line;
use crate::verify::Bundle;

/// Have a scanner look at a bundle and write the record of its medium, which a data-transfer agent keeps.
///
/// Verifies the bundle, unpacks each file of it into a private folder (in TMPDIR, which needs the room), has a scanner look at
/// every one of them and at the bundle as it lies on the medium, and writes what was seen: bundle id, SHA-256 of every file, medium, label, scanner with version
/// and definitions, result of each file, two persons. As JSON, and as a page to print and sign. What a limit of the scanner
/// left unseen, what is encrypted and what cannot be read is shown and not called clean. There is no record of a medium on
/// which something was found (exit 4), or that was looked at with old definitions (exit 3).
///
/// On the other side of the gap, --check holds a medium against its record. Needs no network.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("work").required(true).args(["scan", "scan_report", "unpack", "check"])),
    after_help = "Examples:\n  stage transfer-record openclaw.stage --trust root.json --scan clamav --medium DVD-R --medium-serial 0042 \\\n    \
    --label UNCLASSIFIED --from build-net --to enclave --operator 'Erin Vale' --witness 'Sam Ode' --key dta.pem -o record-0042\n  \
    stage transfer-record openclaw.stage --trust root.json --check record-0042"
)]
pub struct TransferArgs {
    /// The bundle, or its volumes in their order
    #[arg(value_name = "BUNDLE", required = true)]
    volumes: Vec<PathBuf>,
    /// The trust root: document or envelope
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// The folder to write
    #[arg(short, long, value_name = "DIR", required_unless_present_any = ["unpack", "check"])]
    output: Option<PathBuf>,
    /// Run this scanner
    #[arg(long, value_enum, value_name = "SCANNER")]
    scan: Option<scan::Engine>,
    /// Folder of the scanner's definitions
    #[arg(long, value_name = "DIR", default_value = scan::DATABASE)]
    database: PathBuf,
    /// Take what another scanner said, in the form of stage/scan-report/v1; it must name every file that --unpack writes, and
    /// every file of the medium
    #[arg(long, value_name = "FILE")]
    scan_report: Option<PathBuf>,
    /// Write every file of the bundle, verified, to this new folder by its SHA-256, for another scanner, and end
    #[arg(long, value_name = "DIR")]
    unpack: Option<PathBuf>,
    /// Hold the medium against the record in this folder
    #[arg(long, value_name = "DIR")]
    check: Option<PathBuf>,
    /// Refuse definitions that are older than this
    #[arg(long, value_name = "TIME", default_value = "7d")]
    max_definitions_age: Span,
    /// Refuse (exit 3) what was not looked at whole
    #[arg(long)]
    require_whole: bool,
    /// Where something is found, write what was seen to this folder, as evidence; it is no record
    #[arg(long, value_name = "DIR")]
    keep_refused: Option<PathBuf>,
    /// What people say.
    #[command(flatten)]
    told: Told,
    /// Sign the record with this key, which must have the role transfer where the trust root gives it to anybody
    #[arg(long, value_name = "FILE|URI")]
    key: Option<PathBuf>,
    /// Its passphrase.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// What came with it.
    #[command(flatten)]
    approvals: ApprovalsFile,
    /// And that it works.
    #[command(flatten)]
    proof: ProofFile,
}

/// What people say of a medium.
#[derive(Debug, Clone, Args)]
struct Told {
    /// Kind of the medium, such as DVD-R
    #[arg(long, value_name = "KIND", required_unless_present_any = ["unpack", "check"])]
    medium: Option<Line>,
    /// The number on the medium
    #[arg(long, value_name = "NUMBER", required_unless_present_any = ["unpack", "check"])]
    medium_serial: Option<Line>,
    /// The classification on its label
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["unpack", "check"])]
    label: Option<Line>,
    /// The system or network that it comes from
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["unpack", "check"])]
    from: Option<Line>,
    /// Where it goes
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["unpack", "check"])]
    to: Option<Line>,
    /// Who does it
    #[arg(long, value_name = "NAME", required_unless_present_any = ["unpack", "check"])]
    operator: Option<Line>,
    /// Who watches: another person
    #[arg(long, value_name = "NAME", required_unless_present_any = ["unpack", "check"])]
    witness: Option<Line>,
    /// What else there is to say, one line
    #[arg(long, value_name = "TEXT")]
    remarks: Option<Line>,
}

impl TransferArgs {
    fn asked(&self) -> medium::Asked<'_> {
        medium::Asked {
            volumes: self.volumes.as_slice(),
            trust: self.trust.as_path(),
            approvals: &self.approvals,
            proof: &self.proof,
        }
    }
}

pub(crate) fn run(ctx: &Context, args: &TransferArgs) -> CommandResult {
    if let Some(folder) = &args.unpack {
        return unpack(ctx, args, folder);
    }
    if let Some(folder) = &args.check {
        return check::run(ctx, &args.asked(), folder, args.require_whole);
    }
    record::run(ctx, args)
}

/// Every file of the bundle in a folder that appears when the bundle was verified.
fn unpack(ctx: &Context, args: &TransferArgs, folder: &Path) -> CommandResult {
    free(folder)?;
    let parent = fs::parent(folder);
    fs::create_dir_all(parent, 0o755)?;
    let draft = fs::temporary_folder(parent, ".stage-folder")?;
    let read = medium::read(ctx, &args.asked(), &mut medium::Blobs::new(&draft));
    let moved = read.and_then(|(bundle, _)| {
        fs::rename(&draft, folder)?;
        Ok(bundle)
    });
    if moved.is_err() {
        fs::remove_tree(&draft)?;
    }
    let bundle = moved?;
    let count = bundle.manifest.carried_blobs().len();
    let line = format!("Wrote {} to {}", plural(count, "file"), shown(folder));
    Ok(outcome("unpacked", &bundle, folder, &json!({"files": count})).line(line))
}

/// The report with what is the same in all of them.
fn outcome(action: &str, bundle: &Bundle, folder: &Path, more: &Value) -> Outcome {
    let mut report = json!({
        "action": action,
        "bundle_id": bundle.id.to_string(),
        "channel": bundle.statement.channel,
        "serial": bundle.statement.serial,
        "folder": shown(folder),
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut report, more) {
        all.extend(more.clone());
    }
    Outcome::new("stage/transfer-record-report/v1", report)
}

/// Nothing is overwritten: somebody may have signed it.
fn free(path: &Path) -> Result<(), Failure> {
    if !fs::exists(path) {
        return Ok(());
    }
    let message = format!("{} is there already", quoted(&path.to_string_lossy()));
    let refused = UsageError::new(message).next("remove it, or name another folder");
    Err(refused.into())
}
