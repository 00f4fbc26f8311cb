//! `stage import`.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::approval::ApprovalsFile;
use crate::cli::apt_signer::AptSigner;
use crate::cli::cmd::{CommandResult, import_preview};
use crate::cli::receipt::{self, ReceiptArgs};
use crate::cli::ui::{self, Outcome};
use crate::cli::{Context, TOOL, VERSION};
use crate::fs;
use crate::import::layout::Layout;
use crate::import::receipt::Receipt;
use crate::import::{self, ImportError, ImportRequest, Imported, state};
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
    /// Import although the bundle has expired, for this reason; only in a repository that was made with
    /// `stage repo init --allow-expired-imports`. The reason goes into journal and receipt
    #[arg(long, value_name = "REASON")]
    allow_expired: Option<String>,
    /// What came with it.
    #[command(flatten)]
    approvals: ApprovalsFile,
    /// The receipt.
    #[command(flatten)]
    receipt: ReceiptArgs,
}

pub(crate) fn run(ctx: &Context, args: &ImportArgs) -> CommandResult {
    let passed = RefCell::default();
    let receipt_file = args.receipt.prepare(ctx)?;
    let signer = AptSigner::new(&Layout::new(&args.repo).state_dir(), ctx.now);
    let approvals = args.approvals.load(&args.bundle)?;
    let request = ImportRequest {
        approvals: approvals.as_deref(),
        fips_host: ctx.fips_host(),
        repository: &args.repo,
        now: ctx.now,
        allow_root: args.allow_root,
        repair: args.repair,
        allow_expired: args.allow_expired.as_deref(),
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
    if let (Err(ImportError::Verify(error)), Some(file)) = (&imported, &receipt_file) {
        let floor = state::read(&Layout::new(&args.repo)).ok();
        let floor = floor.and_then(|memory| memory.state.time_floor);
        let report = VerifyReport::refused(&passed.borrow(), error, ctx.now, false);
        let json = receipt::of_verification(&report, floor, ctx.fips_host());
        file.write(format!("{json}\n").as_bytes())?;
    }
    let imported = imported?;
    let receipt = match &imported {
        Imported::Published(receipt) | Imported::Already { receipt, .. } => receipt,
    };
    if let Some(file) = &receipt_file {
        file.write(&receipt.text())?;
    }
    Ok(told(args, &imported, receipt))
}

/// What was done, in words.
fn told(args: &ImportArgs, imported: &Imported, receipt: &Receipt) -> Outcome {
    let name = format!("{} {}", receipt.channel, receipt.serial);
    let outcome = Outcome::new(import::receipt::SCHEMA, receipt.json());
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
            let mut outcome = outcome.line(format!("Bundle {name} is already imported"));
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

fn shown(path: &Path) -> String {
    crate::base::text::escaped(&path.to_string_lossy())
}
