//! `stage repo`: the repository in the enclave.

mod audit;
mod gc;
mod packages;
mod vulns;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::base::digest::Digest;
use crate::base::fault::{Class, Code, Fault};
use crate::base::limits::LIMITS;
use crate::base::text::shown;
use crate::base::time::{Span, Timestamp};
use crate::cli::apt_signer::AptSigner;
use crate::cli::cmd::{CommandResult, client_config};
use crate::cli::ui::{self, Failure, Outcome};
use crate::cli::{Context, UsageError};
use crate::fs;
use crate::import::init::{self, BaseUrl, Made, Settings};
use crate::import::layout::Layout;
use crate::import::mark::Mark;
use crate::import::rollback::RollbackTarget;
use crate::import::state::{self, Memory, State};
use crate::import::{ImportError, Repository, generation, safety};
use crate::openpgp::keyring::Keyring;
use crate::policy::Policy;
use crate::serve::{Options, Server};
use crate::trust::root::TrustRoot;
use crate::trust::words;

/// Codes of this command.
pub const CODES: &[&Code] = &[&FREEZE, &audit::DAMAGED];

static FREEZE: Code = Code::classed("import-freeze", Class::E33);

/// The newest bundle is older than `--max-age` allows.
#[derive(Debug, thiserror::Error)]
#[error("nothing newer than {age} was imported")]
struct FreezeError {
    age: String,
    newest: Option<Timestamp>,
}

impl Fault for FreezeError {
    fn code(&self) -> &'static Code {
        &FREEZE
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let newest = self
            .newest
            .map_or_else(|| "none".to_owned(), |t| t.to_string());
        vec![("newest bundle", newest)]
    }
}

/// The repository in the enclave: make it, look at it, audit it, change what it shows, serve it.
#[derive(Debug, Args)]
pub struct RepoArgs {
    #[command(subcommand)]
    command: RepoCommand,
}

#[derive(Debug, Subcommand)]
enum RepoCommand {
    /// Make a repository and pin its trust root
    Init(InitArgs),
    /// Channels, serials, generation, trust root
    Status(StatusArgs),
    /// The imported bundles
    List(RepoDir),
    /// Publish an older bundle set again, as a new generation
    Rollback(RollbackArgs),
    /// Take a bundle or a whole channel out of what is published
    Remove(gc::RemoveArgs),
    /// Remove what no kept generation needs
    Gc(gc::GcArgs),
    /// Read everything again and compare it with what was imported and published
    Audit(audit::AuditArgs),
    /// Find a package: which bundles, generations and pins hold it
    Query(packages::QueryArgs),
    /// Look up known vulnerabilities of everything that was imported, without a network
    Vulns(vulns::VulnsArgs),
    /// Take a package out of every index at once, without a new bundle
    Block(packages::BlockArgs),
    /// Let a blocked package in again
    Unblock(packages::UnblockArgs),
    /// Serve the repository over plain HTTP, read-only
    Serve(ServeArgs),
    /// Print or write the configuration of the clients
    ClientConfig(client_config::ClientConfigArgs),
}

/// The repository.
#[derive(Debug, Args)]
pub(crate) struct RepoDir {
    /// The repository
    #[arg(long, value_name = "DIR")]
    pub(crate) repo: PathBuf,
}

#[derive(Debug, Args)]
struct InitArgs {
    #[command(flatten)]
    dir: RepoDir,
    /// The trust root
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// Its fingerprint, which came by another path than the medium: 64 hex digits, with or without `sha256:`, spaces and
    /// colons, or the 24 words of `stage trust fingerprint --words`
    #[arg(long, value_name = "FINGERPRINT")]
    fingerprint: Option<String>,
    /// Pin the root without comparing a fingerprint; the journal says so for good
    #[arg(long, conflicts_with = "fingerprint")]
    accept_unchecked_root: bool,
    /// Where the tree will be served; on an existing repository, changes it [default: `http://127.0.0.1:8080`]
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Let `stage import --allow-expired` import expired bundles for a stated reason; only when the repository is made
    #[arg(long)]
    allow_expired_imports: bool,
    /// Import only what has an approval (person, role, time) for every signature that counts, as `stage bundle` and `stage sign`
    /// write them beside the bundle; on an existing repository, demands it from now on
    #[arg(long)]
    require_approvals: bool,
    /// Import only what comes with a proof of `stage prove` that it installs and works, by a builder or releaser; on an
    /// existing repository, demands it from now on
    #[arg(long)]
    require_proof: bool,
    /// Let every import read the archives and refuse what clients would read differently, as `stage import --lint` does;
    /// on an existing repository, from now on. It is not taken back
    #[arg(long)]
    lint: bool,
    /// Judge every bundle by this policy before anything of it is published, whatever its builder let through (exit 3); on an
    /// existing repository, from now on and in the place of the one before. The repository keeps a copy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Sign the apt index with this command instead of the repository's own key, for RSA keys and HSMs: it gets the
    /// Release on stdin and prints it clear-signed, or a detached armoured signature, or both after each other
    #[arg(long, value_name = "CMD", requires = "apt_certificate")]
    apt_sign_command: Option<String>,
    /// The armoured OpenPGP certificate that what the command prints must verify with
    #[arg(long, value_name = "FILE", requires = "apt_sign_command")]
    apt_certificate: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct StatusArgs {
    #[command(flatten)]
    dir: RepoDir,
    /// Print only the mark: five words for the paper log. They stand for the journal's last line and every channel's
    /// mark; other words than those on paper mean that the repository changed, or was set back to an older copy
    #[arg(long)]
    print_mark: bool,
    /// Exit 4 when the newest bundle is older than this, such as `30d`
    #[arg(long, value_name = "AGE")]
    max_age: Option<String>,
}

#[derive(Debug, Args)]
struct RollbackArgs {
    #[command(flatten)]
    dir: RepoDir,
    /// A generation; with --channel, a serial of that channel
    #[arg(long, value_name = "NUMBER")]
    to: u64,
    /// Roll back this channel only; other channels stay as they are
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
}

#[derive(Debug, Args)]
struct ServeArgs {
    #[command(flatten)]
    dir: RepoDir,
    /// Address to listen on; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Most connections at a time
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
    threads: u16,
}

pub(crate) fn run(ctx: &Context, args: &RepoArgs) -> CommandResult {
    match &args.command {
        RepoCommand::Init(args) => make(ctx, args),
        RepoCommand::Status(args) => status(ctx, args),
        RepoCommand::List(args) => list(&args.repo),
        RepoCommand::Rollback(args) => roll_back(ctx, args),
        RepoCommand::Remove(args) => gc::remove(ctx, args),
        RepoCommand::Gc(args) => gc::run(ctx, args),
        RepoCommand::Audit(args) => audit::run(ctx, args),
        RepoCommand::Query(args) => packages::query(args),
        RepoCommand::Vulns(args) => vulns::run(ctx, args),
        RepoCommand::Block(args) => packages::block(ctx, args),
        RepoCommand::Unblock(args) => packages::unblock(ctx, args),
        RepoCommand::Serve(args) => serve(ctx, args),
        RepoCommand::ClientConfig(args) => client_config::run(ctx, args),
    }
}

/// Before anything is made: a repository without its certificate would be half of one, and a command that does not sign
/// would be noticed at the first import.
fn check_signing(ctx: &Context, args: &InitArgs, certificate: &[u8]) -> Result<(), Failure> {
    Keyring::parse(certificate)?;
    if let Some(command) = &args.apt_sign_command {
        AptSigner::try_out(command, certificate, ctx.now)?;
    }
    Ok(())
}

fn make(ctx: &Context, args: &InitArgs) -> CommandResult {
    let fingerprint = args.fingerprint.as_deref().map(fingerprint).transpose()?;
    if fingerprint.is_none() && !args.accept_unchecked_root {
        return Err(UsageError::new(
            "give --fingerprint, as it came by another path than the medium (or --accept-unchecked-root)",
        )
        .into());
    }
    let root = TrustRoot::load(&args.trust)?;
    if fingerprint.is_none() {
        ctx.ui.warn(
            "the trust root was not compared with anything; whoever made the medium decides what is trusted",
        );
    }
    let base_url = args.base_url.as_deref().map(BaseUrl::parse).transpose()?;
    let path = &args.dir.repo;
    let certificate = args.apt_certificate.as_ref();
    let certificate = certificate
        .map(|file| fs::read(file, LIMITS.metadata))
        .transpose()?;
    if let Some(certificate) = &certificate {
        check_signing(ctx, args, certificate)?;
    }
    let policy = args.policy.as_deref().map(Policy::load_text).transpose()?;
    let layout = Layout::new(path);
    let signer = AptSigner::new(&layout.state_dir(), ctx.now);
    let settings = Settings {
        policy: policy.as_deref(),
        base_url: base_url.as_ref(),
        allow_expired_imports: args.allow_expired_imports,
        require_approvals: args.require_approvals,
        require_proof: args.require_proof,
        lint_imports: args.lint,
    };
    let made = init::init(path, &root, fingerprint, settings, ctx.now, &signer)?;
    match (&args.apt_sign_command, certificate) {
        (Some(command), Some(certificate)) => signer.configure(command, &certificate)?,
        (_, _) => signer.prepare()?,
    }
    let memory = state::read(&layout)?;
    let report = json!({
        "repository": path,
        "root": {"version": root.version(), "fingerprint": root.fingerprint()},
        "base_url": memory.state.base_url,
        "created": made == Made::New,
        "require_approvals": memory.state.require_approvals,
        "require_proof": memory.state.require_proof,
        "lint_imports": memory.state.lint_imports,
        "policy": policy_digest(&memory.state),
        "generation": memory.state.generation,
    });
    Ok(Outcome::new("stage/repository-init/v1", report).line(told(path, made, &root)))
}

/// What `repo init` did, in words.
fn told(path: &Path, made: Made, root: &TrustRoot) -> String {
    let path = shown(path);
    match made {
        Made::New => format!(
            "Made repository {path}, pinned to trust root version {} ({})",
            root.version(),
            root.fingerprint()
        ),
        Made::Unchanged => format!("Repository {path} exists already"),
        Made::Stricter => format!("Repository {path} demands more of every import from now on"),
        Made::Judged => {
            format!("Repository {path} judges every import by the given policy from now on")
        }
        Made::Moved(0) => format!("Changed the address of repository {path}"),
        Made::Moved(n) => format!("Changed the address of repository {path} (generation {n})"),
    }
}

/// Reads a fingerprint as people write it down.
fn fingerprint(text: &str) -> Result<Digest, UsageError> {
    words::parse(text).map_err(|bad| UsageError::new(format!("--fingerprint: {bad}")))
}

fn status(ctx: &Context, args: &StatusArgs) -> CommandResult {
    let max_age: Option<Span> = match args.max_age.as_deref().map(str::parse) {
        Some(Ok(span)) => Some(span),
        None => None,
        Some(Err(bad)) => {
            let bad: crate::base::time::TimeError = bad;
            return Err(UsageError::new(bad.to_string()).into());
        }
    };
    let layout = Layout::new(&args.dir.repo);
    let memory = state::read(&layout)?;
    let published = safety::published(&layout)?;
    let mut outcome = describe(&args.dir.repo, &memory, published);
    if args.print_mark {
        outcome.data = format!("{}\n", Mark::of(&memory));
    }
    let state = &memory.state;
    let newest = state
        .active
        .iter()
        .filter_map(|id| Some(state.bundles.get(id)?.created))
        .max();
    let oldest_allowed = max_age.map(|span| ctx.now.plus_seconds(-span.seconds()));
    if oldest_allowed.is_some_and(|limit| newest.is_none_or(|newest| newest < limit)) {
        let error = FreezeError {
            age: crate::base::text::escaped(args.max_age.as_deref().unwrap_or_default()),
            newest,
        };
        return Err(Failure {
            faults: vec![error.into()],
            report: Some(outcome.report),
        });
    }
    Ok(outcome)
}

/// The line about a repository that was made with `--lint`.
const LINTED: &str = "archives:    read by every import\n";

/// Digest of the policy that imports are judged by.
fn policy_digest(state: &State) -> Option<Digest> {
    let text = state.policy.as_deref()?;
    Some(Digest::of(text.as_bytes()))
}

fn describe(path: &Path, memory: &Memory, published: Option<u64>) -> Outcome {
    let Memory { state, root, .. } = memory;
    let mark = Mark::of(memory);
    let floor = state.time_floor.map(|t| t.to_string());
    let mut lines = vec![format!(
        "repository:  {}\naddress:     {}\ngeneration:  {}\ntrust root:  version {}, expires {}\n\
         fingerprint: {}\ntime floor:  {}\nmark:        {mark}\n",
        shown(path),
        state.base_url,
        published.map_or_else(|| "none".to_owned(), |n| n.to_string()),
        state.root_version,
        root.expires(),
        state.root,
        floor.as_deref().unwrap_or("none"),
    )];
    lines.extend(state.lint_imports.then(|| LINTED.to_owned()));
    let policy = policy_digest(state);
    lines.extend(policy.map(|digest| format!("policy:      {digest}\n")));
    let (told, channels) = channels(state);
    lines.extend(told);
    for (purl, block) in &state.blocks {
        lines.push(format!(
            "blocked:     {purl} since {}: {}\n",
            block.since,
            crate::base::text::escaped(&block.reason)
        ));
    }
    let report = json!({
        "repository": path,
        "base_url": state.base_url,
        "blocks": state.blocks,
        "allow_expired_imports": state.allow_expired_imports,
        "require_approvals": state.require_approvals,
        "require_proof": state.require_proof,
        "lint_imports": state.lint_imports,
        "policy": policy,
        "mark": mark.to_string(),
        "generation": published,
        "root": {"version": state.root_version, "fingerprint": state.root, "expires": root.expires()},
        "time_floor": floor,
        "channels": channels,
        "journal": {"lines": memory.journal.entries.len(), "last": memory.journal.last},
    });
    Outcome::new("stage/repository-status/v1", report).data(lines.concat())
}

/// The channels, in words and for the report.
fn channels(state: &State) -> (Vec<String>, Map<String, Value>) {
    let (mut lines, mut channels) = (Vec::new(), Map::new());
    for (channel, mark) in &state.channels {
        let shown = state
            .active
            .iter()
            .filter_map(|id| state.bundles.get(id))
            .filter(|b| b.channel == *channel)
            .max_by_key(|b| (b.epoch, b.serial));
        let serial = shown.map_or_else(|| "none".to_owned(), |b| b.serial.to_string());
        lines.push(format!(
            "channel:     {channel}: epoch {}, serial {}, published {serial}\n",
            mark.epoch, mark.serial
        ));
        channels.insert(
            channel.clone(),
            json!({
                "epoch": mark.epoch,
                "serial": mark.serial,
                "statement": mark.statement,
                "published": shown.map(|b| b.serial),
                "created": shown.map(|b| b.created),
            }),
        );
    }
    (lines, channels)
}

fn list(path: &Path) -> CommandResult {
    let layout = Layout::new(path);
    let memory = state::read(&layout)?;
    let state = &memory.state;
    let mut bundles: Vec<_> = state.bundles.iter().collect();
    bundles.sort_by_key(|(_, b)| (b.channel.clone(), b.epoch, b.serial));
    let (mut lines, mut rows) = (Vec::new(), Vec::new());
    for (id, bundle) in &bundles {
        let is_shown = state.active.contains(id);
        let word = if is_shown {
            "published"
        } else {
            "not published"
        };
        let manifest = generation::stored_manifest(&layout, **id, bundle)?;
        let artifacts = manifest.files.iter();
        let artifacts = artifacts.filter(|f| f.path.as_str().starts_with("artifacts/"));
        let (files, artifacts) = (manifest.files.len(), artifacts.count());
        lines.push(format!(
            "{} {} {} {word} {} {id}\n",
            bundle.channel,
            bundle.serial,
            bundle.created,
            ui::plural(files, "file")
        ));
        rows.push(json!({
            "channel": bundle.channel,
            "epoch": bundle.epoch,
            "serial": bundle.serial,
            "created": bundle.created,
            "expires": bundle.expires,
            "statement": id,
            "files": files,
            "artifacts": artifacts,
            "published": is_shown,
        }));
    }
    let generations: Vec<_> = state
        .generations
        .iter()
        .map(|(number, g)| json!({"generation": number, "published": g.published, "bundles": g.bundles}))
        .collect();
    let report = json!({
        "repository": path,
        "bundles": rows,
        "generations": generations,
        "blocks": state.blocks,
    });
    Ok(Outcome::new("stage/repository-list/v1", report)
        .data(lines.concat())
        .line(match state.blocks.len() {
            0 => ui::plural(bundles.len(), "bundle"),
            count => format!(
                "{}, {} blocked (see `stage repo status`)",
                ui::plural(bundles.len(), "bundle"),
                ui::plural(count, "package")
            ),
        }))
}

fn roll_back(ctx: &Context, args: &RollbackArgs) -> CommandResult {
    let target = match &args.channel {
        Some(channel) => RollbackTarget::Serial {
            channel: channel.clone(),
            serial: args.to,
        },
        None => RollbackTarget::Generation(args.to),
    };
    let mut repository = Repository::open(&args.dir.repo)?;
    let signer = AptSigner::new(&Layout::new(&args.dir.repo).state_dir(), ctx.now);
    let (generation, bundles) = repository.roll_back(&target, ctx.now, &signer)?;
    let report = json!({"repository": args.dir.repo, "generation": generation, "bundles": bundles});
    Ok(
        Outcome::new("stage/repository-rollback/v1", report).line(format!(
            "Rolled back: generation {generation} shows {}; marks did not move",
            ui::plural(bundles, "bundle")
        )),
    )
}

fn serve(ctx: &Context, args: &ServeArgs) -> CommandResult {
    let repository = args.dir.repo.clone();
    if !fs::exists(&repository) {
        return Err(UsageError::new(format!("{} does not exist", shown(&repository))).into());
    }
    match state::read(&Layout::new(&repository)) {
        // A server of another account need not be able to read the state; a folder of trees alone can be served too.
        Ok(_) | Err(ImportError::NoRepository { .. } | ImportError::Fs(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let options = Options {
        repository,
        connections: usize::from(args.threads),
    };
    let server = Server::bind(&args.listen, options)?;
    ctx.ui.talk(&format!(
        "Serving {} on http://{}",
        shown(&args.dir.repo),
        server.address()
    ));
    server.run()?;
    Ok(Outcome::new("stage/repository-serve/v1", json!({})))
}
