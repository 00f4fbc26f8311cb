//! `stage prove`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde_json::json;

use crate::base::check::{self, Check};
use crate::base::package::EcosystemId;
use crate::base::platform::Platform;
use crate::base::text::{quoted, shown};
use crate::base::time::Span;
use crate::cli::carried::Carried;
use crate::cli::cmd::CommandResult;
use crate::cli::cmd::resolve::denied;
use crate::cli::exit::Exit;
use crate::cli::policy::{self, Rules};
use crate::cli::project::Project;
use crate::cli::proof;
use crate::cli::secret::{PassphraseArgs, secret_key};
use crate::cli::ui::{Failure, Outcome, plural};
use crate::cli::{Context, TOOL, UsageError, interrupt};
use crate::eco::install::Inputs;
use crate::fs::{self, FsError};
use crate::lock::{Lock, Records};
use crate::manifest;
use crate::prove::janitor::Janitor;
use crate::prove::{self, Request, report};
use crate::sign::SecretKey;
use crate::trust::Role;
use crate::trust::envelope::{self, Signable};
use crate::trust::proof::{Ended, Proof};
use crate::trust::root::TrustRoot;
use crate::verify::{self, Bundle, Judge, Verified};

/// What is said of a proof that did not try everything.
const INCOMPLETE: &str = "not everything was tried (`skipped` above), and `stage verify --require-proof` refuses such a proof; \
    prove it where it can be tried, or give the reason in the manifest: [proof] without = { cargo = \"…\" }";

/// Install and run a bundle from itself alone, with no network, before it travels.
///
/// In namespaces with nothing but loopback, an empty home and an unprivileged account: imports it into a scratch repository,
/// serves it, lets npm, pip, uv, apt and cargo install from the published pins, and runs every [[prove]] of the manifest. What
/// any of it reached for and did not get is named: addresses, host names, files, refused paths. As root it drops to an
/// unprivileged account; otherwise it needs user namespaces.
///
/// Debian packages that are a whole root (baseline "essential") are installed with their maintainer scripts, and the checks
/// run in that root: as root, or with newuidmap and 65536 ids in /etc/subuid and /etc/subgid. Others are unpacked onto the
/// search path, and it is said which scripts were not run. What could not be tried makes the result `incomplete`, unless the
/// manifest says why it need not be: [proof] without = { cargo = "built in the enclave" }.
///
/// With --key the result is signed as BUNDLE.proof.json, which `stage verify --require-proof` and repositories of
/// `stage repo init --require-proof` ask for. Carry it along. It runs the code that is staged.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage prove openclaw.stage --trust root.json\n  stage prove openclaw.stage --trust root.json --key alice.pem"
)]
pub struct ProveArgs {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// The trust root: document or envelope
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// The manifest whose [[prove]] is run [default: the list in the bundle; else stage.toml beside it, if it is there]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Sign the result with this key of a builder or releaser, and write it beside the bundle
    #[arg(long, value_name = "FILE|URI")]
    key: Option<PathBuf>,
    /// Its passphrase.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Where the signed result goes [default: BUNDLE.proof.json]
    #[arg(short, long, value_name = "FILE", requires = "key")]
    output: Option<PathBuf>,
    /// Install these only, such as `npm,pypi`, to look for a fault; such a result is not signed
    #[arg(
        long,
        value_name = "ECOSYSTEM",
        value_delimiter = ',',
        conflicts_with = "key"
    )]
    only: Vec<EcosystemId>,
    /// The Python to install with; its folder is shown inside [default: this host's]
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
    /// How long one step may take
    #[arg(long, value_name = "TIME", default_value = "30m")]
    timeout: Span,
    /// Record no system calls: what it reaches for is not seen then, but for host names; the result says so
    #[arg(long)]
    no_trace: bool,
    /// Leave the scratch folder with every log, trace, the repository and the home, and say where it is
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(ctx: &Context, args: &ProveArgs) -> CommandResult {
    let host = Platform::of_host()
        .ok_or_else(|| UsageError::new("this host is no target that bundles are made for"))?;
    let root = TrustRoot::load(&args.trust)?;
    let key = signer(ctx, args, &root)?;
    let (bundle, listed) = verified(ctx, args, &root)?;
    let lock = bundle.lock.as_ref().ok_or_else(|| {
        UsageError::new("the bundle carries plain files, of which there is nothing to prove")
    })?;
    let project = project(args)?;
    let rules = project.as_ref().map(Rules::of).transpose()?;
    let rules = rules.unwrap_or_default();
    let checks = checks(ctx, args, project.as_ref(), &listed)?;
    let tools = tools(ctx, args.python.as_deref())?;
    let workspaces = workspaces(project.as_ref())?;
    let path = search_path(ctx);
    let program = std::env::current_exe().map_err(|e| UsageError::new(e.to_string()))?;
    let folder = scratch(ctx)?;
    let janitor = Janitor::start(&program, &path, &folder, args.keep)?;
    interrupt::first({
        let janitor = janitor.clone();
        move || janitor.tidy()
    });
    let nothing = BTreeMap::new();
    let request = Request {
        bundle: &args.bundle,
        channel: &bundle.statement.channel,
        serial: bundle.statement.serial,
        lock,
        records: &records(&bundle, lock),
        root: (
            root.canonical(),
            root.version(),
            root.fingerprint().to_string(),
        ),
        checks: &checks,
        only: &args.only.iter().cloned().collect::<BTreeSet<_>>(),
        without: project.as_ref().map_or(&nothing, |p| &p.manifest.without),
        workspaces: &workspaces,
        host,
        folder: &folder,
        path: &path,
        program: &program,
        tools: &tools.shown,
        python: tools.python,
        seconds: u64::try_from(args.timeout.seconds())
            .unwrap_or_default()
            .max(1),
        trace: !args.no_trace,
        janitor: &janitor,
        now: ctx.now,
        tool: TOOL,
    };
    let result = prove::run(&request, &|line| ctx.ui.talk(line));
    leave(ctx, args, &folder, &janitor)?;
    conclude(ctx, args, &bundle, result?, (&rules, key.as_ref()))
}

/// Weighs what was seen, signs the result where there is a key, and tells it.
fn conclude(
    ctx: &Context,
    args: &ProveArgs,
    bundle: &Bundle,
    mut proof: Proof,
    (rules, key): (&Rules, Option<&SecretKey>),
) -> CommandResult {
    let judgement = rules.judge_found(report::findings(&proof), ctx.stamp()?);
    if denied(&judgement.findings) != Exit::Ok {
        proof.result = Ended::Failed;
    }
    if proof.result == Ended::Incomplete {
        ctx.ui.warn(INCOMPLETE);
    }
    let written = match key {
        Some(key) => Some(write(args, bundle, &proof, key)?),
        None => None,
    };
    policy::show(ctx, &judgement);
    let outcome = told(bundle, &proof, written.as_deref());
    Ok(policy::judged(outcome, rules, &judgement))
}

/// A folder of its own to work in.
fn scratch(ctx: &Context) -> Result<PathBuf, FsError> {
    let parent = PathBuf::from(ctx.env("TMPDIR").unwrap_or_else(|| "/tmp".to_owned()));
    fs::canonicalize(&fs::temporary_folder(&parent, "stage-prove")?)
}

/// Removes it, or says where it is.
fn leave(ctx: &Context, args: &ProveArgs, folder: &Path, janitor: &Janitor) -> Result<(), FsError> {
    janitor.tidy();
    if args.keep {
        ctx.ui
            .talk(&format!("Everything is left in {}", shown(folder)));
        return Ok(());
    }
    fs::remove_tree(folder)
}

/// The key that will sign, which must be one that is accepted.
fn signer(ctx: &Context, args: &ProveArgs, root: &TrustRoot) -> Result<Option<SecretKey>, Failure> {
    let Some(path) = &args.key else {
        return Ok(None);
    };
    let key = secret_key(ctx, path, &args.passphrase)?;
    let id = key.public()?.id();
    let may = [Role::Builder, Role::Releaser]
        .iter()
        .any(|role| root.is_in_role(id, *role));
    if !may {
        let message = format!("key {id} is neither builder nor releaser in the trust root");
        return Err(UsageError::new(message).into());
    }
    Ok(Some(key))
}

/// The bundle, and the bytes of its list of checks.
fn verified(
    ctx: &Context,
    args: &ProveArgs,
    root: &TrustRoot,
) -> Result<(Verified<Bundle>, Vec<u8>), Failure> {
    let judge = Judge::alone(root, ctx.now);
    let mut sink = Carried::new(check::DOCUMENT);
    let bundle = verify::bundle(fs::open(&args.bundle)?, &judge, &mut sink, &ctx.ui)?;
    let listed = sink.documents().remove(check::DOCUMENT);
    Ok((bundle, listed.unwrap_or_default()))
}

/// The manifest that was named; else the one beside the bundle, if it is there.
fn project(args: &ProveArgs) -> Result<Option<Project>, Failure> {
    let beside = fs::parent(&args.bundle).join("stage.toml");
    match &args.file {
        Some(file) => Project::load(file).map(Some),
        None if fs::exists(&beside) => Project::load(&beside).map(Some),
        None => Ok(None),
    }
}

/// What is run: the list of the manifest that was named, else of the bundle, else of the manifest beside it.
fn checks(
    ctx: &Context,
    args: &ProveArgs,
    project: Option<&Project>,
    listed: &[u8],
) -> Result<Vec<Check>, Failure> {
    let checks = match project {
        Some(project) if args.file.is_some() || listed.is_empty() => project.manifest.prove.clone(),
        _ if listed.is_empty() => Vec::new(),
        _ => check::parse(listed).ok_or_else(|| {
            UsageError::new(format!("{} in the bundle cannot be read", check::DOCUMENT))
        })?,
    };
    if checks.is_empty() {
        ctx.ui
            .warn("there is no [[prove]]: it is installed, but nothing of it is run");
    }
    Ok(checks)
}

fn records(bundle: &Bundle, lock: &Lock) -> Records {
    let mut records = Records::new();
    for id in lock.records.keys() {
        let path = format!("lock/records/{id}.json");
        let found = bundle.documents.iter().find(|(at, _)| at.as_str() == path);
        if let Some((_, bytes)) = found {
            records.insert(id.clone(), bytes.clone());
        }
    }
    records
}

/// The search path, with the folders of administrators, which accounts may lack.
fn search_path(ctx: &Context) -> String {
    let own = ctx.env("PATH").unwrap_or_default();
    format!("{own}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

/// Programs of this host that are shown inside.
struct Tools {
    shown: Vec<(PathBuf, PathBuf)>,
    python: Option<String>,
}

/// `uv` and the Rust toolchain where they are on the search path but not below `/usr`, and the Python that was named.
fn tools(ctx: &Context, python: Option<&Path>) -> Result<Tools, Failure> {
    let path = search_path(ctx);
    let find = |name: &str| prove::find(&path, name).filter(|found| !found.starts_with("/usr"));
    let mut shown: Vec<(PathBuf, PathBuf)> = Vec::new();
    if let Some(uv) = find("uv") {
        shown.push((fs::canonicalize(&uv)?, PathBuf::from("/tools/uv")));
    }
    if find("cargo").is_some()
        && let Some(sysroot) = said(&path, "rustc", &["--print", "sysroot"])
    {
        shown.push((PathBuf::from(sysroot), PathBuf::from("/tools/rust")));
    }
    let Some(python) = python else {
        return Ok(Tools {
            shown,
            python: None,
        });
    };
    let unusable = |why: &str| {
        let name = quoted(&python.to_string_lossy());
        UsageError::new(format!("{name} cannot be used as Python: {why}"))
    };
    let script =
        "import os, sys; print(sys.base_prefix + '\\n' + os.path.realpath(sys.executable))";
    let answer = said(&path, &python.to_string_lossy(), &["-I", "-c", script]);
    let answer = answer.ok_or_else(|| unusable("it does not run"))?;
    let (prefix, program) = answer
        .split_once('\n')
        .ok_or_else(|| unusable("it says nothing"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if !program.starts_with('/') || !program.chars().all(plain) {
        return Err(unusable("its path has characters that a shell takes otherwise").into());
    }
    // At its own place, where it finds its libraries.
    let prefix = PathBuf::from(prefix);
    if !prefix.starts_with("/usr") {
        if !Path::new(program).starts_with(&prefix) || prefix.parent().is_none() {
            return Err(unusable("its program is not below its folder").into());
        }
        shown.push((prefix.clone(), prefix));
    }
    let python = Some(program.to_owned());
    Ok(Tools { shown, python })
}

/// The folders of the workspaces whose lock files the manifest names, by the numbers of their installs.
fn workspaces(project: Option<&Project>) -> Result<BTreeMap<u32, PathBuf>, Failure> {
    let mut found = BTreeMap::new();
    for (id, number, install) in project.iter().flat_map(|project| &project.installs) {
        let lockfile = install.inputs(&Inputs::new())?.into_iter().next();
        let (Some(project), Some(lockfile)) = (project, lockfile) else {
            continue;
        };
        let path = manifest::beside(&project.manifest_path, &lockfile.path);
        if *id == EcosystemId::cargo() && fs::exists(&fs::parent(&path).join("Cargo.toml")) {
            found.insert(*number, fs::canonicalize(fs::parent(&path))?);
        }
    }
    Ok(found)
}

/// What a program of this host prints.
fn said(path: &str, program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", path);
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// Signs the result and writes it; the name of the file.
fn write(
    args: &ProveArgs,
    bundle: &Bundle,
    proof: &Proof,
    key: &SecretKey,
) -> Result<PathBuf, Failure> {
    let payload = proof.payload(bundle.id.0);
    let signature = key.sign_signable(Signable::proof(&payload))?;
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| proof::beside(&args.bundle));
    fs::write_atomic(
        &path,
        &envelope::statement_file(&payload, &signature),
        0o644,
    )?;
    Ok(path)
}

fn told(bundle: &Bundle, proof: &Proof, written: Option<&Path>) -> Outcome {
    let (verb, exit) = match proof.result {
        Ended::Passed => ("Proved", Exit::Ok),
        Ended::Incomplete => ("Not all of it proved:", Exit::Ok),
        Ended::Failed | Ended::Skipped => ("Not proved:", Exit::Denied),
    };
    let fields = json!({
        "bundle_id": bundle.id.to_string(),
        "proof": proof,
        "file": written.map(|path| path.to_string_lossy()),
        "findings": [],
    });
    let line = format!(
        "{verb} channel {} serial {}: {}, {}, {}",
        proof.channel,
        proof.serial,
        plural(proof.steps.len(), "step"),
        plural(proof.checks.len(), "check"),
        plural(proof.holes.len(), "hole"),
    );
    let mut outcome = Outcome::new("stage/prove-report/v1", fields)
        .data(report::table(proof))
        .line(line);
    if let Some(path) = written {
        outcome = outcome.line(format!("Carry the proof along: {}", shown(path)));
    }
    outcome.exit(exit)
}
