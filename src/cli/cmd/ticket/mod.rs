//! `stage ticket`.

pub mod check;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::base::egress::Contact;
use crate::base::runtime;
use crate::base::text::{is_plain, quoted, shown};
use crate::base::time::Timestamp;
use crate::cli::approval::ApprovalsFile;
use crate::cli::baseline;
use crate::cli::carried::Carried;
use crate::cli::cmd::CommandResult;
use crate::cli::egress;
use crate::cli::proof::ProofFile;
use crate::cli::said;
use crate::cli::secret::{PassphraseArgs, secret_key};
use crate::cli::subject::{self, Subject};
use crate::cli::ui::{Failure, Outcome, plural};
use crate::cli::{Context, TOOL, UsageError};
use crate::fs;
use crate::hids::Baseline;
use crate::packet::{self, EVIDENCE, Facts, Files, SIGNATURE};
use crate::policy::Policy;
use crate::trust::envelope::{self, Signable};
use crate::trust::root::TrustRoot;
use crate::verify::{self, Bundle, Judge, Verified};

/// Write the change packet of a bundle: what a change board, an ISSO and the teams of firewalls and hosts need to know.
///
/// Verifies the bundle with its approvals and its proof, and makes a folder and one zip file: a first page that needs
/// nothing else to be read (HTML, and Markdown), tables for spreadsheets, the SBOM, network flows with the rules that let
/// them through, what was found and waived, who signed, which control each part is evidence for. The same bundle gives the
/// same bytes. A part whose source the bundle does not have is left out: `[runtime]` of the manifest, `stage prove`,
/// `--osv` bring them.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  stage ticket openclaw.stage --trust root.json -o packet\n  \
    stage ticket openclaw.stage --trust root.json --previous last.stage --key alice.pem -o CHG0012345\n  \
    stage ticket check CHG0012345.zip --trust root.json"
)]
pub struct TicketArgs {
    #[command(subcommand)]
    command: Option<TicketCommand>,
    /// The bundle
    #[arg(value_name = "BUNDLE", required = true)]
    bundle: Option<PathBuf>,
    /// The trust root: document or envelope
    #[arg(long, value_name = "FILE", required = true)]
    trust: Option<PathBuf>,
    /// The folder to write; the zip file gets its name and `.zip`
    #[arg(short, long, value_name = "DIR", required = true)]
    output: Option<PathBuf>,
    /// The last approved bundle, or its lock, to tell what changed; it is looked at, not verified
    #[arg(long, value_name = "LOCK|BUNDLE")]
    previous: Option<PathBuf>,
    /// What was contacted to make the bundle [default: stage.egress.json in the bundle's folder, if it is there]
    #[arg(long, value_name = "FILE")]
    egress: Option<PathBuf>,
    /// Name of the host in the checklist (CKLB), as its reader knows it [default: the channel]
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    host: Option<String>,
    /// The policy whose waivers the VEX documents say
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Sign the list of files with this key
    #[arg(long, value_name = "FILE|URI")]
    key: Option<PathBuf>,
    /// Its passphrase.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Judge the bundle as of this time instead of now, such as 2026-11-22T00:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// What came with it.
    #[command(flatten)]
    approvals: ApprovalsFile,
    /// And that it works.
    #[command(flatten)]
    proof: ProofFile,
}

/// What else is done with packets.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "the help of a command is the doc comment of its arguments; one here would hide it"
)]
pub enum TicketCommand {
    Check(check::TicketCheckArgs),
}

pub(crate) fn run(ctx: &Context, args: &TicketArgs) -> CommandResult {
    if let Some(TicketCommand::Check(args)) = &args.command {
        return check::run(ctx, args);
    }
    match (&args.bundle, &args.trust, &args.output) {
        (Some(bundle), Some(trust), Some(output)) => make(
            ctx,
            args,
            &Named {
                bundle,
                trust,
                output,
            },
        ),
        _ => Err(UsageError::new("name a bundle, its trust root and the folder to write").into()),
    }
}

/// What a packet cannot be made without.
#[derive(Clone, Copy)]
struct Named<'a> {
    bundle: &'a Path,
    trust: &'a Path,
    output: &'a Path,
}

fn make(ctx: &Context, args: &TicketArgs, named: &Named<'_>) -> CommandResult {
    let archive = archive(named.output)?;
    free(named.output)?;
    free(&archive)?;
    let key = args.key.as_deref();
    let key = key
        .map(|path| secret_key(ctx, path, &args.passphrase))
        .transpose()?;
    let before = args
        .previous
        .as_deref()
        .map(|path| subject::open(ctx, path, None))
        .transpose()?;
    let (bundle, evidence) = verified(ctx, args, named)?;
    let baselines = baselines(ctx, named, &bundle, &evidence)?;
    let policy = args.policy.as_deref().map(Policy::load).transpose()?;
    let vex = said::of(named.bundle, &bundle, policy.as_ref())?;
    let contacts = contacts(args, named)?;
    let facts = Facts {
        bundle: &bundle,
        evidence: &evidence,
        baselines: &baselines,
        previous: before.as_ref().map(previous).transpose()?,
        vex: &vex,
        egress: contacts.as_deref(),
        host: args.host.as_deref().unwrap_or(&bundle.statement.channel),
        tool: TOOL,
    };
    let mut files = packet::files(&facts);
    if let (Some(key), Some(manifest)) = (&key, files.get(packet::MANIFEST)) {
        let payload = packet::payload(manifest);
        let signature = key.sign_signable(Signable::packet(&payload))?;
        files.insert(
            SIGNATURE.to_owned(),
            envelope::statement_file(&payload, &signature),
        );
    }
    write(named.output, &archive, &files)?;
    let statement = &bundle.statement;
    let report = json!({
        "bundle_id": bundle.id.to_string(),
        "channel": statement.channel,
        "serial": statement.serial,
        "folder": shown(named.output),
        "archive": shown(&archive),
        "signed": key.is_some(),
        "files": files.keys().collect::<Vec<_>>(),
    });
    let line = format!(
        "Wrote the packet of {} {}: {} in {}, and {}",
        statement.channel,
        statement.serial,
        plural(files.len(), "file"),
        shown(named.output),
        shown(&archive)
    );
    Ok(Outcome::new("stage/ticket-report/v1", report).line(line))
}

/// What a checklist may call a host: STIG Manager takes no longer name.
fn host_name(text: &str) -> Result<String, String> {
    const LONGEST: usize = 255;
    if text.trim().is_empty() || text.len() > LONGEST || !text.chars().all(is_plain) {
        return Err(format!("a name of at most {LONGEST} visible characters"));
    }
    Ok(text.to_owned())
}

/// The zip file beside a folder.
fn archive(folder: &Path) -> Result<PathBuf, UsageError> {
    let name = folder
        .file_name()
        .ok_or_else(|| UsageError::new("the folder has no name").next("name one: -o packet"))?;
    let mut name = name.to_owned();
    name.push(".zip");
    Ok(folder.with_file_name(name))
}

/// Nothing is overwritten: somebody may have signed it.
fn free(path: &Path) -> Result<(), UsageError> {
    if !fs::exists(path) {
        return Ok(());
    }
    let message = format!("{} is there already", quoted(&path.to_string_lossy()));
    Err(UsageError::new(message).next("remove it, or name another folder"))
}

/// The lock to compare with, and what to call it.
fn previous(subject: &Subject) -> Result<(&crate::lock::Lock, String), UsageError> {
    let name = match subject {
        Subject::Lock(_) => "the lock before".to_owned(),
        Subject::Bundle(view) => format!("{} {}", view.statement.channel, view.statement.serial),
    };
    let lock = subject.lock();
    let lock = lock.ok_or_else(|| UsageError::new("a plain bundle has no lock to compare with"))?;
    Ok((lock, name))
}

/// Who was contacted, where that was kept.
fn contacts(args: &TicketArgs, named: &Named<'_>) -> Result<Option<Vec<Contact>>, Failure> {
    let read = match &args.egress {
        Some(path) => Some(egress::read(path)?),
        None => egress::beside(named.bundle)?,
    };
    Ok(read.map(|contacts| contacts.into_iter().collect()))
}

/// The bundle, and its documents of evidence.
fn verified(
    ctx: &Context,
    args: &TicketArgs,
    named: &Named<'_>,
) -> Result<(Verified<Bundle>, Files), Failure> {
    let root = TrustRoot::load(named.trust)?;
    let approvals = args.approvals.load(named.bundle)?;
    let proof = args.proof.load(named.bundle)?;
    let judge = Judge {
        approvals: approvals.as_deref(),
        proof: proof.as_deref(),
        ..Judge::alone(&root, args.at.unwrap_or(ctx.now))
    };
    let mut kept = Carried::new(EVIDENCE);
    let bundle = verify::bundle(fs::open(named.bundle)?, &judge, &mut kept, &ctx.ui)?;
    Ok((bundle, kept.documents()))
}

/// What is installed, where the manifest said where.
fn baselines(
    ctx: &Context,
    named: &Named<'_>,
    bundle: &Bundle,
    evidence: &Files,
) -> Result<Vec<Baseline>, Failure> {
    let runtime = match evidence.get(runtime::DOCUMENT) {
        Some(bytes) => Some(runtime::parse(bytes).ok_or_else(unreadable)?),
        None => None,
    };
    match (runtime, &bundle.lock) {
        (Some(runtime), Some(lock)) => {
            let folder = fs::parent(named.output);
            baseline::of(ctx, named.bundle, bundle, lock, &runtime, folder)
        }
        _ => Ok(Vec::new()),
    }
}

/// A part that the bundle has and this version cannot read is not left out without a word.
fn unreadable() -> UsageError {
    UsageError::new("what the bundle says of its runtime cannot be used by this version of stage")
        .fact("document", runtime::DOCUMENT.to_owned())
        .next("make the bundle again, or use the version that made it")
}

/// Writes the folder, then the zip file.
fn write(folder: &Path, archive: &Path, files: &Files) -> Result<(), Failure> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    fs::write_folder(folder, files)?;
    let zipped = packet::zip(&name, files).map_err(fs::context("write", archive))?;
    Ok(fs::write_atomic(archive, &zipped, 0o644)?)
}
