//! `stage resolve`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::fault::{Code, Fault, Kind};
use crate::base::finding::{Finding, Severity};
use crate::base::limits::LIMITS;
use crate::base::package::EcosystemId;
use crate::base::platform::Platform;
use crate::base::text::{escaped, quoted, shown};
use crate::cli::cmd::CommandResult;
use crate::cli::cmd::fetch::fetch_missing;
use crate::cli::connect;
use crate::cli::evidence;
use crate::cli::exit::Exit;
use crate::cli::known;
use crate::cli::policy::{self, Rules};
use crate::cli::project::Project;
use crate::cli::ui::{self, Failure, Outcome};
use crate::cli::vulns::{self, OsvArgs};
use crate::cli::{Context, UsageError};
use crate::eco;
use crate::eco::preference::Preference;
use crate::evidence::Line;
use crate::fetch::Supply;
use crate::fs;
use crate::lock::chain::Chains;
use crate::lock::{Lock, LockedPackage, Records, format};
use crate::manifest::ExcludeNewer;
use crate::policy::{ApprovedList, Judgement};
use crate::resolve::{self, Closure, Input, PlannedInstall, ResolveError};
use crate::trial::{self, Trial, Tried};

/// Codes of this module.
pub const CODES: &[&Code] = &[&LOCK_STALE];

/// Most changes of letters in a name that is taken for a slip of the pen.
const NEAR: usize = 2;

static LOCK_STALE: Code = Code::new("lock-stale", Kind::Stale);

/// The lock would change, but `--locked` forbids it.
#[derive(Debug, thiserror::Error)]
#[error("{} is not what resolving gives now", crate::base::text::quoted(lock))]
pub struct StaleError {
    lock: String,
    expected: Digest,
    found: Option<Digest>,
}

impl Fault for StaleError {
    fn code(&self) -> &'static Code {
        &LOCK_STALE
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let found = self
            .found
            .map_or_else(|| "no lock".to_owned(), |d| d.to_string());
        vec![("expected", self.expected.to_string()), ("found", found)]
    }
}

/// Find everything the manifest's requirements need on the target, and write it down in stage.lock.
///
/// The lock and its records (NAME.lock, NAME.records/) are made to be reviewed and committed. Resolving again keeps the
/// locked versions as long as the requirements allow them; --upgrade looks for newer ones.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage resolve\n  stage resolve --locked        # for CI: exit 6 if the lock would \
    change\n  stage resolve --why undici    # who needs it\n  stage resolve --upgrade=npm:undici --upgrade=certifi   # these two, nothing else\n  stage resolve --plan          # hosts, sizes, disk; \
    nothing is resolved"
)]
pub struct ResolveArgs {
    /// The manifest
    #[arg(short, long, value_name = "FILE", default_value = "stage.toml")]
    file: PathBuf,
    /// Write nothing; exit 6 if the lock would change
    #[arg(long)]
    locked: bool,
    /// Look for newer versions of everything, or of one package (`name`, or `npm:name`) and what that forces; may be
    /// given several times
    #[arg(long, value_name = "PKG", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    upgrade: Vec<String>,
    /// Print the chain that needs PKG (`name` or `name@version`) from the lock; no network
    #[arg(long, value_name = "PKG", conflicts_with_all = ["locked", "upgrade", "plan"])]
    why: Option<String>,
    /// Say which hosts will be asked and how much disk is needed, then stop
    #[arg(long, conflicts_with = "locked")]
    plan: bool,
    /// Resolve and report, but write nothing
    #[arg(long)]
    dry_run: bool,
    /// Then fetch everything and run the install scripts in a namespace without a network, as an unprivileged account:
    /// any that reaches for the network is named. Runs code of the packages on this host
    #[arg(long, conflicts_with_all = ["locked", "plan", "dry_run"])]
    trial: bool,
    /// Write the table, as CSV, with which approval is asked for: every package that the list of `[resolve] prefer` does
    /// not approve. Also when it is denied for that
    #[arg(long, value_name = "FILE", conflicts_with_all = ["plan", "why"])]
    approval_request: Option<PathBuf>,
    /// The vulnerability database.
    #[command(flatten)]
    osv: OsvArgs,
}

pub(crate) fn run(ctx: &Context, args: &ResolveArgs) -> CommandResult {
    if let Some(package) = &args.why {
        return why(&Project::load_lock_only(&args.file)?, package);
    }
    let started = Instant::now();
    let project = Project::load(&args.file)?;
    let rules = Rules::of(&project)?;
    policy::needs_list(args.approval_request.is_some(), &rules)?;
    let osv = args.osv.of(&project)?;
    let previous = project.previous()?;
    let mut connection = connect::open(ctx, &project)?;
    let before = previous.as_ref().map(|(lock, _)| lock);
    let input = input(ctx, args, &project, (before, rules.list()))?;
    connection.preflight()?;
    if args.plan {
        return Ok(plan(&connection, previous.as_ref()));
    }
    let kept = previous.as_ref().map(|(lock, records)| (lock, records));
    let mut supply = Supply::new(&mut connection.upstream, connect::store(ctx)?);
    let closure =
        resolve::run(&input, kept, &mut supply, &ctx.ui).map_err(ResolveError::into_fault)?;
    drop(supply);
    let (lock, records) = (&closure.lock, &closure.records);
    let mut found = closure.findings.clone();
    found.extend(rules.check_sources(lock, &connection));
    found.extend(rules.of_archives(lock));
    let judgement = rules.judge((lock, records), found, &|_| None, ctx.now)?;
    let checked = known::look_up(osv.as_deref(), (lock, records), None)?;
    let of_known = known::judge(rules.policy.as_ref(), &checked, lock, ctx.now);
    let judgement = judgement.with(of_known);
    let table = args.approval_request.as_deref();
    let asked = rules.write_request(table, (lock, records), ctx.now)?;
    let vouched = evidence::resolved(lock, previous.as_ref().map(|(lock, _)| lock));
    let egress = connection.egress();
    let fields = report(&closure, &project, &rules, &judgement, &egress, &vouched);
    let mut outcome = finish(ctx, args, &project, &closure, started, (&judgement, fields))?;
    if outcome.exit == Exit::Ok && !args.dry_run && !args.locked {
        connection.record_egress(&project)?;
    }
    outcome.summary.extend(asked);
    vulns::tell(&mut outcome, &checked);
    if outcome.exit == Exit::Ok {
        outcome = outcome.line(format!("Evidence: {}", evidence::lines_summary(&vouched)));
    }
    if args.trial && outcome.exit == Exit::Ok {
        return trial(ctx, &project, &closure, &rules, outcome);
    }
    Ok(outcome)
}

/// Runs the install scripts offline and adds what they did to the outcome.
fn trial(
    ctx: &Context,
    project: &Project,
    closure: &Closure,
    rules: &Rules,
    mut outcome: Outcome,
) -> CommandResult {
    for line in std::mem::take(&mut outcome.summary) {
        ctx.ui.talk(&line);
    }
    let Some(records) = closure.records.get(&EcosystemId::npm()) else {
        return Ok(outcome);
    };
    let Some(host) = Platform::of_host() else {
        return Err(UsageError::new("install scripts can be tried on Linux only").into());
    };
    let store = connect::store(ctx)?;
    fetch_missing(ctx, project, &closure.lock, &closure.records, &store)?;
    let parent = PathBuf::from(ctx.env("TMPDIR").unwrap_or_else(|| "/tmp".to_owned()));
    let folder = fs::temporary_folder(&parent, "stage-trial")?;
    let path = ctx
        .env("PATH")
        .unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
    let blob = |checksum: &UpstreamChecksum| Ok(store.find(checksum)?.map(|stored| stored.path));
    let job = Trial {
        lock: &closure.lock,
        records,
        blob: &blob,
        host,
        folder: &folder,
        path: &path,
    };
    let result = trial::run(&job, &ctx.ui);
    fs::remove_tree(&folder)?;
    let (tried, findings) = result?;
    let judgement = rules.judge_found(findings, ctx.now);
    policy::show(ctx, &judgement);
    if let Value::Object(report) = &mut outcome.report {
        report.insert("trial".to_owned(), tried.iter().map(tried_json).collect());
    }
    let reaching = tried.iter().filter(|t| !t.hosts.is_empty()).count();
    let failing = tried.iter().filter(|t| !t.succeeded).count();
    let scripts = ui::plural(tried.len(), "install script");
    let outcome = outcome.line(format!(
        "Tried {scripts} offline: {reaching} reached for the network, {failing} failed"
    ));
    Ok(policy::judged(outcome, rules, &judgement))
}

fn tried_json(tried: &Tried) -> Value {
    json!({
        "release": tried.release,
        "event": tried.event,
        "command": tried.command,
        "hosts": tried.hosts,
        "succeeded": tried.succeeded,
    })
}

fn input<'a>(
    ctx: &Context,
    args: &ResolveArgs,
    project: &'a Project,
    (previous, approved): (Option<&Lock>, Option<&ApprovedList>),
) -> Result<Input<'a>, Failure> {
    let exclude_newer = match project.manifest.exclude_newer {
        None => None,
        Some(ExcludeNewer::At(at)) => Some(at),
        Some(ExcludeNewer::MinAge(age)) => {
            let kept = previous
                .filter(|_| args.upgrade.is_empty())
                .and_then(|lock| lock.exclude_newer);
            Some(kept.unwrap_or_else(|| ctx.now.plus_seconds(-age.seconds())))
        }
    };
    let upgrade = Upgrade::new(&args.upgrade, previous)?;
    let mut installs = Vec::new();
    for (ecosystem, number, install) in &project.installs {
        let of_ecosystem = |list: &ApprovedList| list.of(ecosystem, ctx.now);
        let inputs = project.inputs(ctx, install.as_ref())?;
        installs.push(PlannedInstall {
            requirements: install.requirements(&inputs)?,
            prefer: prefer(&upgrade, ecosystem, previous).approving(approved.map(of_ecosystem)),
            ecosystem: ecosystem.clone(),
            number: *number,
            install: install.as_ref(),
            inputs,
        });
    }
    if installs.is_empty() {
        return Err(UsageError::new("the manifest asks for nothing: it names no install").into());
    }
    Ok(Input {
        target: project.manifest.target.clone(),
        exclude_newer,
        installs,
        keys: evidence::upstream_keys(project)?,
        now: ctx.now,
    })
}

/// Packages that are to be upgraded: those named, of any ecosystem or of the one before the colon. Names that the lock
/// does not have are errors: nothing would happen.
struct Upgrade<'a>(Vec<(Option<EcosystemId>, &'a str)>);

impl<'a> Upgrade<'a> {
    fn new(named: &'a [String], previous: Option<&Lock>) -> Result<Self, UsageError> {
        let parse = |text: &'a String| match text.split_once(':') {
            Some((id, name)) if eco::ALL.iter().any(|e| e.key() == id) => (id.parse().ok(), name),
            _ => (None, text.as_str()),
        };
        let upgrade = Self(named.iter().map(parse).collect());
        for (id, name) in upgrade.0.iter().filter(|(_, name)| !name.is_empty()) {
            let Some(lock) = previous else {
                let none = "there is no lock yet in which a package could be upgraded";
                return Err(UsageError::new(none).next("run `stage resolve` to make one"));
            };
            let of = |p: &&LockedPackage| id.as_ref().is_none_or(|id| *id == p.ecosystem);
            let names = lock.packages.iter().filter(of).map(|p| p.name.as_str());
            let names: BTreeSet<&str> = names.collect();
            if !names.contains(name) {
                return Err(not_locked(lock, id.as_ref(), name, &names));
            }
        }
        Ok(upgrade)
    }

    /// Whether this package is to be upgraded; an empty name means every one.
    fn covers(&self, package: &LockedPackage) -> bool {
        self.0.iter().any(|(id, name)| {
            let here = id.as_ref().is_none_or(|id| *id == package.ecosystem);
            here && (name.is_empty() || *name == package.name)
        })
    }
}

/// A package that is to be upgraded and is not there, with names that may have been meant.
fn not_locked(
    lock: &Lock,
    id: Option<&EcosystemId>,
    name: &str,
    names: &BTreeSet<&str>,
) -> UsageError {
    let of = id.map_or_else(String::new, |id| format!(" of {id}"));
    let error = UsageError::new(format!("the lock has no package {}{of}", quoted(name)));
    let elsewhere = lock.packages.iter().filter(|p| p.name == name);
    let elsewhere: BTreeSet<&str> = elsewhere.map(|p| p.ecosystem.as_str()).collect();
    if let Some(other) = elsewhere.first() {
        let other = escaped(&format!("{other}:{name}"));
        return error.next(format!("it is there as `--upgrade={other}`"));
    }
    let distance = |known: &&str| strsim::osa_distance(known, name);
    let near = |known: &&str| distance(known) <= NEAR || known.contains(name);
    let mut near: Vec<&str> = names.iter().copied().filter(near).collect();
    near.sort_by_key(distance);
    near.truncate(3);
    let near: Vec<String> = near.into_iter().map(quoted).collect();
    let error = match near.as_slice() {
        [] => error,
        near => error.fact("did you mean", near.join(", ")),
    };
    error.next("`stage inspect` lists the packages of the lock")
}

/// Versions that stay: those of the lock, but for what is to be upgraded.
fn prefer(upgrade: &Upgrade<'_>, ecosystem: &EcosystemId, previous: Option<&Lock>) -> Preference {
    let mut prefer: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in previous.iter().flat_map(|lock| lock.of(ecosystem)) {
        if !upgrade.covers(package) {
            prefer
                .entry(package.name.clone())
                .or_default()
                .insert(package.version.clone());
        }
    }
    Preference::keeping(prefer)
}

fn finish(
    ctx: &Context,
    args: &ResolveArgs,
    project: &Project,
    closure: &Closure,
    started: Instant,
    (judgement, fields): (&Judgement, Value),
) -> CommandResult {
    policy::show(ctx, judgement);
    let denied = denied(&judgement.findings);
    let bytes = format::write(&closure.lock);
    if denied != Exit::Ok {
        let count = judgement
            .findings
            .iter()
            .filter(|f| f.severity == Severity::Deny)
            .count();
        return Ok(Outcome::new("stage/resolve-report/v1", fields)
            .line(format!(
                "Denied by {}; nothing was written",
                ui::plural(count, "finding")
            ))
            .exit(denied));
    }
    let current = fs::read_optional(&project.lock_path, LIMITS.document)?;
    let same =
        current.as_deref() == Some(bytes.as_slice()) && project.records_are(&closure.records)?;
    if args.locked && !same {
        return Err(StaleError {
            lock: project.lock_path.to_string_lossy().into_owned(),
            expected: Digest::of(&bytes),
            found: current.map(|bytes| Digest::of(&bytes)),
        }
        .into());
    }
    if !same && !args.dry_run {
        project.write(&bytes, &closure.records)?;
    }
    let carried = closure
        .lock
        .packages
        .iter()
        .filter(|p| p.is_carried())
        .count();
    let platforms: Vec<&str> = closure
        .lock
        .target
        .platforms
        .iter()
        .map(|p| p.as_str())
        .collect();
    let verb = if same {
        "unchanged"
    } else if args.dry_run {
        "not written"
    } else {
        "written"
    };
    Ok(Outcome::new("stage/resolve-report/v1", fields)
        .line(format!(
            "Resolved {} for {} in {:.1}s ({} in the tree, the others are for other platforms)",
            ui::plural(carried, "package"),
            platforms.join(" and "),
            started.elapsed().as_secs_f64(),
            closure.lock.packages.len(),
        ))
        .line(format!("{} {verb}", shown(&project.lock_path))))
}

/// The exit that denying findings demand.
pub(crate) fn denied(findings: &[Finding]) -> Exit {
    Exit::of(findings)
}

fn report(
    closure: &Closure,
    project: &Project,
    rules: &Rules,
    judgement: &Judgement,
    egress: &[String],
    vouched: &[Line<'_>],
) -> Value {
    let lock = format::write(&closure.lock);
    let records: BTreeMap<&str, Digest> = closure
        .records
        .iter()
        .map(|(id, bytes)| (id.as_str(), Digest::of(bytes)))
        .collect();
    json!({
        "lock": project.lock_path.to_string_lossy(),
        "lock_digest": Digest::of(&lock),
        "records": records,
        "platforms": closure.lock.target.platforms,
        "packages": closure.lock.packages.len(),
        "carried": closure.lock.packages.iter().filter(|p| p.is_carried()).count(),
        "policy": rules.json(judgement),
        "approved": rules.approved_json(),
        "findings": judgement.findings.iter().map(ui::finding_json).collect::<Vec<_>>(),
        "egress": egress,
        "evidence": evidence::lines_json(vouched),
    })
}

fn why(lock: &Lock, package: &str) -> CommandResult {
    let chains = Chains::new(lock);
    let found: Vec<_> = lock
        .packages
        .iter()
        .filter(|p| p.name == package || p.id().to_string() == package)
        .map(|p| (&p.ecosystem, p.id(), chains.chain(&p.ecosystem, &p.id())))
        .collect();
    if found.is_empty() {
        return Err(UsageError::new(format!("the lock has no package {}", quoted(package))).into());
    }
    let mut text = Vec::new();
    for (ecosystem, release, chain) in &found {
        let chain: Vec<String> = chain.iter().map(|c| escaped(c)).collect();
        let shown = if chain.is_empty() {
            "nothing in the lock leads to it".to_owned()
        } else {
            chain.join(" > ")
        };
        let release = escaped(&release.to_string());
        text.push(format!(
            "{ecosystem} {release}
  {shown}
"
        ));
    }
    let found: Vec<Value> = found
        .iter()
        .map(|(ecosystem, release, chain)| json!({"ecosystem": ecosystem, "release": release, "chain": chain}))
        .collect();
    Ok(Outcome::new(
        "stage/why-report/v1",
        json!({"package": package, "found": found}),
    )
    .data(text.concat()))
}

/// What resolving and fetching will touch.
fn plan(connection: &connect::Connection, previous: Option<&(Lock, Records)>) -> Outcome {
    let hosts = connection.hosts();
    let mut text = vec!["Hosts that will be asked:\n".to_owned()];
    for host in &hosts {
        text.push(format!("  {host}\n"));
    }
    let known = previous.map(|(lock, _)| {
        let sizes: Vec<Option<u64>> = lock.carried_artifacts().map(|(_, a)| a.size).collect();
        (
            sizes.len(),
            sizes.iter().flatten().sum::<u64>(),
            sizes.iter().filter(|s| s.is_none()).count(),
        )
    });
    match known {
        Some((count, bytes, unknown)) => text.push(format!(
            "Artifacts in the lock: {count}, {} known, {unknown} of unknown size\n",
            ui::bytes(bytes)
        )),
        None => text.push("Artifacts: known after the first resolve\n".to_owned()),
    }
    let cache = connection.cache.to_string_lossy();
    text.push(format!("Cache: {}\n", shown(&connection.cache)));
    let sizes = known.map(
        |(count, bytes, unknown)| json!({"artifacts": count, "bytes": bytes, "unknown": unknown}),
    );
    Outcome::new(
        "stage/plan-report/v1",
        json!({"hosts": hosts, "proxy": connection.proxy(), "sizes": sizes, "cache": cache}),
    )
    .data(text.concat())
}
