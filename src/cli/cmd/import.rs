//! `stage import`.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::base::fault::Fault as _;
use crate::base::text::shown;
use crate::base::time::Timestamp;
use crate::cli::approval::ApprovalsFile;
use crate::cli::apt_signer::AptSigner;
use crate::cli::cmd::{CommandResult, import_preview};
use crate::cli::proof::ProofFile;
use crate::cli::receipt::{self, ReceiptArgs};
use crate::cli::ui::{self, Failure, Outcome};
use crate::cli::{Context, TOOL, VERSION};
use crate::fs;
use crate::import::layout::Layout;
use crate::import::receipt::Receipt;
use crate::import::{self, ImportError, ImportRequest, Imported, archives, state};
use crate::verify::Check;
use crate::verify::report::VerifyReport;

/// Verify a bundle while reading it and publish it in a repository.
///
/// One pass over the medium; nothing is published before its last byte was verified, then one switch shows the new tree.
/// Importing the same bundle again verifies it and writes nothing.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage import openclaw.stage --repo /srv/repo\n  \
    zstd -dc openclaw.stage.zst | stage import - --repo /srv/repo --receipt receipt.json"
)]
pub struct ImportArgs {
    /// The bundle; `-` reads it from stdin
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// The repository
    #[arg(long, value_name = "DIR")]
    repo: PathBuf,
    /// Write nothing: verify the bundle and say in one table what an import would meet: user, rights, file system, free
    /// space, clock, trust root, the generation it would make, conflicts. Works before `stage repo init`
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run where there is no repository yet: the trust root to judge the bundle by
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    trust: Option<PathBuf>,
    /// Run even as root; the repository then belongs to root
    #[arg(long)]
    allow_root: bool,
    /// Compare every blob that is there already with the bundle's and replace what is damaged, as an audit finds it; works
    /// with every bundle that was imported, also an older one
    #[arg(long)]
    repair: bool,
    /// Read every wheel, tarball, crate and .deb before anything is published, and refuse what clients would read
    /// differently (exit 4), as `stage bundle` does on the other side. A repository that was made with
    /// `stage repo init --lint` always does
    #[arg(long)]
    lint: bool,
    /// Let the archives of this release in although they are read differently by different clients, such as
    /// `pypi:demo@1.0`; may be repeated. That the builder accepted them does not count here. Goes into journal and receipt
    #[arg(long, value_name = "RELEASE")]
    accept_archive: Vec<String>,
    /// Import although the bundle has expired, for this reason; only in a repository that was made with
    /// `stage repo init --allow-expired-imports`. The reason goes into journal and receipt
    #[arg(long, value_name = "REASON")]
    allow_expired: Option<String>,
    /// What came with it.
    #[command(flatten)]
    approvals: ApprovalsFile,
    /// And that it works.
    #[command(flatten)]
    proof: ProofFile,
    /// The receipt.
    #[command(flatten)]
    receipt: ReceiptArgs,
}

pub(crate) fn run(ctx: &Context, args: &ImportArgs) -> CommandResult {
    let passed = RefCell::default();
    let receipt_file = args.receipt.prepare(ctx)?;
    let signer = AptSigner::new(&Layout::new(&args.repo).state_dir(), ctx.now);
    let approvals = args.approvals.load(&args.bundle)?;
    let proof = args.proof.load(&args.bundle)?;
    let request = ImportRequest {
        approvals: approvals.as_deref(),
        proof: proof.as_deref(),
        fips_host: ctx.fips_host(),
        repository: &args.repo,
        now: ctx.now,
        allow_root: args.allow_root,
        repair: args.repair,
        allow_expired: args.allow_expired.as_deref(),
        lint: args.lint,
        accept_archives: &args.accept_archive,
        refused_after: Some(&passed),
        tool: TOOL,
        signer: &signer,
    };
    ctx.ui.detail(&format!(
        "stage {VERSION} imports into {}",
        shown(&args.repo)
    ));
    if args.dry_run {
        return import_preview::run(ctx, &args.bundle, args.trust.as_deref(), &request);
    }
    let imported = read(ctx, &args.bundle, &request);
    if let (Err(error), Some(file)) = (&imported, &receipt_file)
        && let Some(report) = refusal(&passed.borrow(), error, ctx.now)
    {
        let floor = state::read(&Layout::new(&args.repo)).ok();
        let floor = floor.and_then(|memory| memory.state.time_floor);
        let json = receipt::of_verification(&report, floor, ctx.fips_host());
        file.write(format!("{json}\n").as_bytes())?;
    }
    let imported = imported.map_err(failure)?;
    let receipt = match &imported {
        Imported::Published(receipt) | Imported::Already { receipt, .. } => receipt,
    };
    if let Some(file) = &receipt_file {
        file.write(&receipt.text())?;
    }
    if let Some(linted) = &receipt.lint {
        ctx.ui.findings(&linted.findings);
    }
    if let Some(judged) = &receipt.policy {
        ctx.ui.findings(&judged.findings);
        ctx.ui.waived(&judged.waived);
    }
    Ok(told(args, &imported, receipt))
}

/// The receipt of a bundle that was refused; `None` where the reason is not the bundle.
fn refusal(passed: &[Check], error: &ImportError, now: Timestamp) -> Option<VerifyReport> {
    match error {
        ImportError::Verify(error) => Some(VerifyReport::refused(passed, error, now, false)),
        ImportError::Archives { .. } => {
            Some(VerifyReport::denied(passed, "archives", error.code(), now))
        }
        ImportError::Policy { .. } => {
            Some(VerifyReport::denied(passed, "policy", error.code(), now))
        }
        _ => None,
    }
}

/// One error for each archive that clients would read differently, and for each finding that the policy denies.
fn failure(error: ImportError) -> Failure {
    match error {
        ImportError::Archives { findings } | ImportError::Policy { findings } => Failure {
            faults: archives::faults(&findings),
            report: None,
        },
        other => other.into(),
    }
}

/// What was done, in words.
fn told(args: &ImportArgs, imported: &Imported, receipt: &Receipt) -> Outcome {
    let name = format!("{} {}", receipt.channel, receipt.serial);
    let mut outcome = Outcome::new(import::receipt::SCHEMA, receipt.json());
    if let Some(linted) = &receipt.lint {
        outcome = outcome.line(match linted.accepted.len() {
            0 => format!(
                "Read {}: nothing denied",
                ui::plural(linted.archives, "archive")
            ),
            n => format!(
                "Read {}; problems of {} were accepted",
                ui::plural(linted.archives, "archive"),
                ui::plural(n, "release")
            ),
        });
    }
    match imported {
        Imported::Published(receipt) => outcome.line(format!(
            "Imported bundle {name} into {} (generation {}, {}, {})",
            shown(&args.repo),
            receipt.generation,
            ui::plural(receipt.files, "file"),
            ui::bytes(receipt.bytes)
        )),
        Imported::Already {
            completed,
            shown,
            repaired,
            ..
        } => {
            outcome = outcome.line(format!("Bundle {name} is already imported"));
            if *completed {
                outcome = outcome.line("Published it, which an interrupted import had left to do");
            }
            if *repaired > 0 {
                outcome = outcome.line(format!(
                    "Replaced {}",
                    ui::plural(*repaired, "damaged or missing file")
                ));
            } else if args.repair {
                outcome = outcome.line("Nothing of it was damaged or missing");
            }
            if !*shown {
                outcome = outcome.line("It is not published: it was removed, or rolled back");
            }
            outcome
        }
    }
}

fn read(
    ctx: &Context,
    bundle: &Path,
    request: &ImportRequest<'_>,
) -> Result<Imported, ImportError> {
    if bundle.as_os_str() == "-" {
        return import::run(io::stdin().lock(), request, &ctx.ui);
    }
    import::run(fs::open(bundle)?, request, &ctx.ui)
}
