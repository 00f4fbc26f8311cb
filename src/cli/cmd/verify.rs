//! `stage verify`.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::base::fault::Fault;
use crate::base::time::Timestamp;
use crate::bundle::BundleError;
use crate::cli::Context;
use crate::cli::approval::{self, ApprovalsFile};
use crate::cli::cmd::CommandResult;
use crate::cli::evidence::{self, UpstreamArgs};
use crate::cli::proof::ProofFile;
use crate::cli::receipt::{self, ReceiptArgs};
use crate::cli::ui::{Failure, Outcome, bytes, plural};
use crate::evidence::prove::Proof;
use crate::fs::FsError;
use crate::import::ImportError;
use crate::import::cas::Cas;
use crate::import::layout::Layout;
use crate::import::state::{self, Memory};
use crate::trust::root::TrustRoot;
use crate::verify::report::{CheckLine, Recorder, Verdict, VerifyReport};
use crate::verify::{self, Bundle, Judge, Verified, VerifyError};

/// Check a bundle: signatures, freshness, every byte, and that its contents agree.
///
/// Reads it once, from a file or a pipe, and writes nothing but the receipt. Approvals that came with it are checked, too:
/// who signed when, in which role, under which ticket.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage verify openclaw.stage --trust root.json\n  \
    zstd -dc openclaw.stage.zst | stage verify - --trust root.json\n  \
    stage verify openclaw.stage --trust root.json --upstream --debian-keyring keys/debian.gpg"
)]
pub struct VerifyArgs {
    /// The bundle; `-` reads stdin
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// The trust root: document or envelope
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// Judge as of this time instead of now, such as 2026-11-22T00:00:00Z; the report says so
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Judge against what this repository has seen as well: newer roots, serials, times; nothing in it is changed
    #[arg(long, value_name = "DIR")]
    repo: Option<PathBuf>,
    /// What its upstreams signed.
    #[command(flatten)]
    upstream: UpstreamArgs,
    /// What came with it.
    #[command(flatten)]
    approvals: ApprovalsFile,
    /// And that it works.
    #[command(flatten)]
    proof: ProofFile,
    /// Refuse it (exit 3) unless a proof came with it that says that it installs and works, as `stage prove` makes one
    #[arg(long)]
    require_proof: bool,
    /// Accept a proof that did not try everything, such as one from a host without cargo
    #[arg(long, requires = "require_proof")]
    allow_incomplete: bool,
    /// The receipt.
    #[command(flatten)]
    receipt: ReceiptArgs,
}

pub(crate) fn run(ctx: &Context, args: &VerifyArgs) -> CommandResult {
    let receipt_file = args.receipt.prepare(ctx)?;
    let anchors = evidence::anchors(&args.upstream, &args.bundle)?;
    let root = TrustRoot::load(&args.trust)?;
    let layout = args.repo.as_deref().map(Layout::new);
    let memory = layout.as_ref().map(state::read).transpose()?;
    let seen = memory.as_ref().map(|memory| memory.state.seen());
    let approvals = args.approvals.load(&args.bundle)?;
    let proof = args.proof.load(&args.bundle)?;
    let cas = layout.as_ref().map(|layout| Cas::new(layout.cas()));
    let now = args.at.unwrap_or(ctx.now);
    let judge = Judge {
        root: &root,
        state: seen.as_ref(),
        now,
        approvals: approvals.as_deref(),
        proof: proof.as_deref(),
        have: &|digest| cas.as_ref().is_some_and(|cas| cas.rehash(digest)),
    };
    let mut recorder = Recorder::default();
    let result = open(&args.bundle)
        .and_then(|reader| verify::bundle(reader, &judge, &mut recorder, &ctx.ui));
    let at_given = args.at.is_some();
    let mut report = match &result {
        Ok(bundle) => VerifyReport::passed(bundle, now, at_given),
        Err(error) => VerifyReport::refused(&recorder.passed, error, now, at_given),
    };
    let upstream = match (&result, anchors) {
        (Ok(bundle), Some(anchors)) => {
            evidence::prove(bundle, &args.bundle, cas.as_ref(), anchors)?
        }
        _ => None,
    };
    if let Some(first) = upstream.as_ref().and_then(|u| u.contradictions().first()) {
        report.refused_for("upstream", first.code());
    }
    let floor = seen.as_ref().and_then(|seen| seen.time_floor);
    let mut json = receipt::of_verification(&report, floor, ctx.fips_host());
    if let (Value::Object(map), Some(upstream)) = (&mut json, &upstream) {
        map.insert("upstream".to_owned(), json!(upstream));
    }
    if let Some(file) = &receipt_file {
        file.write(format!("{json}\n").as_bytes())?;
    }
    let faults = match accepted(args, result, upstream.as_ref(), memory.as_ref()) {
        Ok(bundle) => {
            return Ok(Outcome::new(report.schema, json)
                .data(data(&report, &bundle, upstream.as_ref()))
                .line(summary(&bundle)));
        }
        Err(faults) => faults,
    };
    for line in report.checks.iter().take(recorder.passed.len()) {
        ctx.ui.talk(&check_line(line));
    }
    Err(Failure {
        faults,
        report: Some(json),
    })
}

/// Refuses a bundle whose proof is demanded on the command line and is not there, or says that it does not work.
fn proved(args: &VerifyArgs, bundle: &Bundle) -> Result<(), ImportError> {
    match state::check_proved(bundle) {
        Err(ImportError::ProofIncomplete { .. }) if args.allow_incomplete => Ok(()),
        checked if args.require_proof => checked,
        _ => Ok(()),
    }
}

/// The bundle, if nothing speaks against it.
fn accepted(
    args: &VerifyArgs,
    result: Result<Verified<Bundle>, VerifyError>,
    upstream: Option<&Proof>,
    memory: Option<&Memory>,
) -> Result<Verified<Bundle>, Vec<Box<dyn Fault>>> {
    let bundle = result.map_err(|error| vec![error.into()])?;
    let contradicted = upstream.map_or(&[][..], Proof::contradictions);
    if !contradicted.is_empty() {
        let all = contradicted.iter().cloned();
        return Err(all.map(|one| Box::new(one) as Box<dyn Fault>).collect());
    }
    // Authentic, and all the same not what the repository would import.
    let allowed = memory.map_or(Ok(()), |m| m.state.check_demands(&bundle));
    let allowed = allowed.and_then(|()| proved(args, &bundle));
    allowed.map_err(|denied| vec![denied.into()])?;
    Ok(bundle)
}

/// Opens the bundle; `-` is stdin. A directory is no bundle.
fn open(path: &Path) -> Result<Box<dyn Read>, VerifyError> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let failed = |error: FsError| VerifyError::from(BundleError::from(error));
    let file = crate::fs::open(path).map_err(failed)?;
    if crate::fs::metadata(path).map_err(failed)?.is_dir() {
        return Err(BundleError::Directory.into());
    }
    Ok(Box::new(file))
}

fn check_line(line: &CheckLine) -> String {
    let word = match line.verdict {
        Verdict::Passed => "ok",
        Verdict::Failed => "FAILED",
        Verdict::NotReached => "-",
    };
    let text = format!("{word:7}{:15}{}", line.name, line.detail);
    text.trim_end().to_owned()
}

/// The human report: checks, identity, what the statement says, who signed.
fn data(report: &VerifyReport, bundle: &Bundle, upstream: Option<&Proof>) -> String {
    let mut lines: Vec<String> = report.checks.iter().map(check_line).collect();
    let statement = &bundle.statement;
    let root = &bundle.root;
    let at = if report.at_given {
        " (given by --at, not the clock)"
    } else {
        ""
    };
    lines.push(String::new());
    lines.push(format!("bundle id  {}", bundle.id));
    lines.push(format!("           {}", bundle.id.grouped()));
    lines.push(format!(
        "channel    {}, epoch {}, serial {}, {}",
        statement.channel,
        statement.epoch,
        statement.serial,
        statement.kind.as_str()
    ));
    lines.push(format!("created    {}", statement.created));
    lines.push(format!("expires    {}", statement.expires));
    lines.push(format!(
        "root       version {}, {}",
        root.version(),
        root.fingerprint()
    ));
    lines.push(format!("judged at  {}{at}", report.judged_at));
    for signer in &bundle.signers {
        let roles: Vec<&str> = signer.roles.iter().map(|r| r.as_str()).collect();
        lines.push(format!(
            "signed by  {} ({}), key {}",
            signer.person,
            roles.join(", "),
            signer.keyid
        ));
    }
    for signed in bundle.approvals.iter() {
        lines.push(format!("approved   {}", approval::said(signed.approval())));
    }
    if let Some(proof) = &bundle.proof {
        lines.push(format!("proof      {}", proof.words()));
    }
    lines.extend(upstream.map(evidence::proof_lines).unwrap_or_default());
    lines.join("\n") + "\n"
}

fn summary(bundle: &Bundle) -> String {
    let size = bundle.manifest.carried_blobs().iter().map(|b| b.size).sum();
    format!(
        "Verified channel {} serial {}: {}, {}, {}",
        bundle.statement.channel,
        bundle.statement.serial,
        plural(bundle.manifest.files.len(), "file"),
        bytes(size),
        plural(bundle.signers.len(), "signature")
    )
}
