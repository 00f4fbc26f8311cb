//! `stage bundle`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::base::check;
use crate::base::digest::Digest;
use crate::base::fault::{Code, Fault, Kind};
use crate::base::finding::{Finding, Severity};
use crate::base::json;
use crate::base::limits::LIMITS;
use crate::base::runtime;
use crate::base::text::{quoted, shown};
use crate::base::time::{Span, Timestamp};
use crate::bundle::hash;
use crate::bundle::write::{self, BundlePlan, PlannedFile, Source};
use crate::cli::approval::{self, ApprovalArgs};
use crate::cli::cmd::CommandResult;
use crate::cli::cmd::fetch::fetch_missing;
use crate::cli::cmd::init::file_option;
use crate::cli::cmd::resolve::denied;
use crate::cli::connect;
use crate::cli::evidence;
use crate::cli::exit::Exit;
use crate::cli::holes;
use crate::cli::known::{self, Known};
use crate::cli::last;
use crate::cli::lint;
use crate::cli::native;
use crate::cli::policy::{self, Rules};
use crate::cli::private_ca;
use crate::cli::project::Project;
use crate::cli::proof;
use crate::cli::secret::KeyArgs;
use crate::cli::ui::{self, Failure, Outcome};
use crate::cli::vulns::{self, OsvArgs};
use crate::cli::{Context, UsageError};
use crate::fs::{self, Draft};
use crate::licenses::{self, Licenses};
use crate::lock::{Lock, LockedArtifact, Records};
use crate::manifest;
use crate::pack::{self, Contents, Settings};
use crate::policy::{Judgement, recorded};
use crate::release::{Decision, Release, Releases};
use crate::resolve::{self, ResolveError};
use crate::sign::SecretKey;
use crate::trust::Role;
use crate::trust::approval::{Approvals, Approved};
use crate::trust::chain::RootChain;
use crate::trust::root::TrustRoot;

/// Codes of this module.
pub const CODES: &[&Code] = &[&BUNDLE_TIME, &BUNDLE_KEY_ROLE];

static BUNDLE_TIME: Code = Code::new("bundle-time", Kind::Failed);
static BUNDLE_KEY_ROLE: Code = Code::new("bundle-key-role", Kind::Usage);

/// Why a bundle must not be made.
#[derive(Debug, thiserror::Error)]
pub enum BundleRefused {
    /// It would be expired already, or made in the future.
    #[error("the bundle would be refused: made {created}, expires {expires}, and now is {now}")]
    Time {
        /// When it would be made.
        created: Timestamp,
        /// When it would expire.
        expires: Timestamp,
        /// The time now.
        now: Timestamp,
    },
    /// The key may not sign as builder.
    #[error("key {key} is not in role builder of the trust root")]
    KeyRole {
        /// The key's id.
        key: String,
    },
}

impl Fault for BundleRefused {
    fn code(&self) -> &'static Code {
        match self {
            Self::Time { .. } => &BUNDLE_TIME,
            Self::KeyRole { .. } => &BUNDLE_KEY_ROLE,
        }
    }
}

/// Write one signed, reproducible bundle of the lock, or of a folder of plain files.
///
/// Fetches what is missing, names shared libraries that nobody staged (as `stage fetch` does), adds the SBOM and the private CA, and signs as builder. releases.toml beside the manifest
/// remembers every bundle: the same inputs give the same bytes again, changed inputs give the next serial.
///
/// Beside the bundle, BUNDLE.approvals.json says which person signed in which role and when, with the ticket and note that
/// are given. Carry it along.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage bundle --key k.pem -o openclaw.stage\n  stage bundle --plain models/ \
    --channel models --key k.pem -o models.stage"
)]
pub struct BundleArgs {
    /// The manifest
    #[arg(short, long, value_name = "FILE", default_value = "stage.toml")]
    file: PathBuf,
    /// The bundle to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The trust root the bundle will be judged by [default: root.json beside the manifest]; of a file with several
    /// roots, the newest, and the bundle carries the others for repositories that pinned an older one
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// The builder's key.
    #[command(flatten)]
    key: KeyArgs,
    /// What is said in the approval.
    #[command(flatten)]
    approval: ApprovalArgs,
    /// Carry the files of this folder instead of a lock: models, documents, data
    #[arg(long, value_name = "DIR")]
    plain: Option<PathBuf>,
    /// Channel [default: the manifest's]; required with --plain when there is no manifest
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// How long it may be imported [default: the manifest's, else 180d]
    #[arg(long, value_name = "TIME")]
    expires_after: Option<Span>,
    /// Carry the archives of this release although they are read differently by different clients, such as
    /// `pypi:demo@1.0`; may be repeated
    #[arg(long, value_name = "RELEASE")]
    accept_archive: Vec<String>,
    /// Do everything but write the bundle and the release
    #[arg(long)]
    dry_run: bool,
    /// The vulnerability database.
    #[command(flatten)]
    osv: OsvArgs,
}

/// What all kinds of bundles have in common.
struct Job<'a> {
    ctx: &'a Context,
    args: &'a BundleArgs,
    root: TrustRoot,
    roots: Vec<u8>,
    key: SecretKey,
    releases: Releases,
    releases_path: PathBuf,
    channel: String,
    expires_after: Span,
}

pub(crate) fn run(ctx: &Context, args: &BundleArgs) -> CommandResult {
    let project = match &args.plain {
        Some(_) if !fs::exists(&args.file) => None,
        _ => Some(Project::load(&args.file)?),
    };
    let job = job(ctx, args, project.as_ref())?;
    match (&args.plain, &project) {
        (Some(folder), project) => plain(&job, folder, project.as_ref()),
        (None, Some(project)) => locked(&job, project),
        (None, None) => Err(UsageError::new("there is no manifest").into()),
    }
}

fn job<'a>(
    ctx: &'a Context,
    args: &'a BundleArgs,
    project: Option<&Project>,
) -> Result<Job<'a>, Failure> {
    let folder = fs::parent(&args.file);
    let trust = args
        .trust
        .clone()
        .unwrap_or_else(|| folder.join("root.json"));
    let (root, roots) = trust_root(ctx, &trust)?;
    let key = args.key.load(ctx)?;
    let id = key.public()?.id();
    let builders = root.roles().get(&Role::Builder);
    if !builders.is_some_and(|role| role.keyids.contains(&id)) {
        return Err(BundleRefused::KeyRole {
            key: id.to_string(),
        }
        .into());
    }
    let channel = match (&args.channel, project) {
        (Some(channel), _) => channel.clone(),
        (None, Some(project)) => project.manifest.bundle.channel.clone(),
        (None, None) => {
            return Err(UsageError::new("--plain without a manifest needs --channel NAME").into());
        }
    };
    if !manifest::is_channel(&channel) {
        return Err(UsageError::new(format!("{} is not a channel name", quoted(&channel))).into());
    }
    let own = project.map_or(Span::days(180), |p| p.manifest.bundle.expires_after);
    let releases_path = folder.join("releases.toml");
    Ok(Job {
        ctx,
        args,
        root,
        roots,
        key,
        releases: Releases::load(&releases_path)?,
        releases_path,
        channel,
        expires_after: args.expires_after.unwrap_or(own),
    })
}

/// The trust root, and what `roots.json` of the bundle must hold so that a site that pinned an older root can follow.
fn trust_root(ctx: &Context, path: &Path) -> Result<(TrustRoot, Vec<u8>), Failure> {
    if !fs::exists(path) {
        let path = quoted(&path.to_string_lossy());
        let message = format!(
            "there is no trust root at {path}; make one with `stage trust init`, or give --trust"
        );
        return Err(UsageError::new(message).into());
    }
    let chain = RootChain::load(path)?;
    let root = chain.newest()?.clone();
    let mut carried = chain.carried();
    let total = carried.len();
    let mut roots = json::canonical(&Value::Array(carried.clone()));
    while roots.len() as u64 > LIMITS.roots {
        carried.remove(0);
        roots = json::canonical(&Value::Array(carried.clone()));
    }
    if carried.len() < total {
        ctx.ui.warn(&format!(
            "a bundle carries no more than {} bytes of trust roots: only repositories that know root {} can import this one",
            LIMITS.roots,
            root.version() - carried.len() as u64
        ));
    }
    Ok((root, roots))
}

fn locked(job: &Job<'_>, project: &Project) -> CommandResult {
    let ctx = job.ctx;
    let rules = Rules::of(project)?;
    let (lock, _, records) = project.lock()?;
    let closure = (&lock, &records);
    let findings = resolve::check_closure(&lock, &records).map_err(ResolveError::into_fault)?;
    if let Some(refused) = refused(ctx, &findings) {
        return Ok(refused);
    }
    let at = ctx.stamp()?;
    let osv = job.args.osv.of(project)?;
    let known = Known::look_up(osv.as_deref(), project.manifest.bundle.carry_osv, closure)?;
    let of_known = known::judge(rules.policy.as_ref(), &known.checked, &lock, at);
    // Before anything is fetched, and again with what only the files say.
    let misplaced = rules.check_sources(&lock, &connect::open(ctx, project)?);
    let early = judge(&rules, closure, misplaced.clone(), &|_| None, at)?.with(of_known.clone());
    if let Some(refused) = denied_by(ctx, &rules, &early) {
        return Ok(refused);
    }
    let (ca, found) = private_ca::packing(ctx, project, &job.channel)?;
    if let Some(refused) = refused(ctx, &found) {
        return Ok(refused);
    }
    let store = connect::store(ctx)?;
    fetch_missing(ctx, project, &lock, &records, &store)?;
    let accepted = &job.args.accept_archive;
    let linted = lint::check(ctx, &lock, &store, accepted, rules.policy.as_ref())?;
    if denied(&linted.findings) != Exit::Ok
        && let Some(refused) = refused(ctx, &linted.findings)
    {
        return Ok(refused);
    }
    let native = native::check(ctx, Some(project), &lock, &store)?;
    let holes = holes::check(ctx, project, &lock, &store)?;
    let size = |artifact: &LockedArtifact| Some(store.find(&artifact.checksum).ok()??.size);
    let (proofs, missing) = evidence::proofs(ctx, project, &records, &store)?;
    let seen = [native.findings.clone(), holes.findings(), linted.findings];
    let found = [seen.concat(), linted.asked, misplaced, missing].concat();
    let licenses = licenses::read(&lock, &store, &ctx.ui)?;
    let described = licenses.described(&lock);
    let mut judgement = judge(&rules, (&described, &records), found, &size, at)?.with(of_known);
    licenses.tell(judgement.all_mut());
    if let Some(refused) = denied_by(ctx, &rules, &judgement) {
        return Ok(refused);
    }
    let mut contents = Contents::gather(&lock, &records, &store)?;
    contents.ca = ca;
    contents.proofs = proofs;
    contents.license_texts = licenses.texts();
    contents.described = Some(described);
    contents.author.clone_from(&project.manifest.bundle.author);
    contents.evidence = documents(project, &licenses, linted.documents);
    let said = rules.evidence(&judgement, &lock, at);
    contents.evidence.extend(said);
    contents.evidence.extend(known.documents);
    let mut outcome = job.release(&contents)?;
    policy::show(ctx, &judgement);
    add(&mut outcome, &rules, &judgement);
    native::summarize(&native, &mut outcome);
    holes::summarize(&holes, &file_option(&job.args.file), &mut outcome);
    vulns::tell(&mut outcome, &known.checked);
    Ok(outcome)
}

/// Documents that travel whatever is said of a closure: what the archives and the manifest hold.
fn documents(
    project: &Project,
    licenses: &Licenses,
    of_archives: [(&'static str, Vec<u8>); 2],
) -> BTreeMap<&'static str, Vec<u8>> {
    let mut documents = BTreeMap::from(of_archives);
    if !licenses.is_empty() {
        documents.insert(licenses::DOCUMENT, licenses.document());
    }
    let checks = check::document(&project.manifest.prove);
    documents.extend(checks.map(|list| (check::NAME, list)));
    let runtime = project.manifest.runtime.as_ref();
    let runtime = runtime.and_then(runtime::document);
    documents.extend(runtime.map(|document| (runtime::NAME, document)));
    documents
}

/// What the policy says of a closure: of what resolving found and the lock kept, and of `more`.
fn judge(
    rules: &Rules,
    closure: (&Lock, &Records),
    more: Vec<Finding>,
    size: &dyn Fn(&LockedArtifact) -> Option<u64>,
    now: Timestamp,
) -> Result<Judgement, Failure> {
    let policy = rules.policy.as_ref();
    let mut found = policy.map_or_else(Vec::new, |_| recorded(closure.0));
    found.extend(more);
    rules.judge(closure, found, size, now)
}

/// Shows what is said of a closure, if it is denied; the outcome then.
fn denied_by(ctx: &Context, rules: &Rules, judgement: &Judgement) -> Option<Outcome> {
    let exit = denied(&judgement.findings);
    if exit == Exit::Ok {
        return None;
    }
    policy::show(ctx, judgement);
    let denying = judgement.findings.iter();
    let count = denying.filter(|f| f.severity == Severity::Deny).count();
    let line = format!(
        "Denied by {}; nothing was written",
        ui::plural(count, "finding")
    );
    let mut outcome = Outcome::new("stage/bundle-report/v1", json!({"findings": []}));
    add(&mut outcome, rules, judgement);
    Some(outcome.line(line).exit(exit))
}

/// Adds what the policy says to a report.
fn add(outcome: &mut Outcome, rules: &Rules, judgement: &Judgement) {
    if let Value::Object(report) = &mut outcome.report {
        report.insert("policy".to_owned(), rules.json(judgement));
        report.insert("approved".to_owned(), rules.approved_json());
        if let Some(Value::Array(listed)) = report.get_mut("findings") {
            listed.extend(judgement.findings.iter().map(Finding::json));
        }
    }
}

/// Shows the findings of a check; the outcome, if one of them denies.
fn refused(ctx: &Context, findings: &[Finding]) -> Option<Outcome> {
    ctx.ui.findings(findings);
    let exit = denied(findings);
    if exit == Exit::Ok {
        return None;
    }
    let listed: Vec<_> = findings.iter().map(ui::finding_json).collect();
    let line = format!(
        "Denied by {}; nothing was written",
        ui::plural(findings.len(), "finding")
    );
    let outcome = Outcome::new("stage/bundle-report/v1", json!({"findings": listed}));
    Some(outcome.line(line).exit(exit))
}

fn plain(job: &Job<'_>, folder: &Path, project: Option<&Project>) -> CommandResult {
    let rules = project.map(Rules::of).transpose()?.unwrap_or_default();
    if !fs::exists(folder) {
        let none = format!(
            "there is no folder at {}",
            quoted(&folder.to_string_lossy())
        );
        return Err(UsageError::new(none)
            .next("name the folder whose files are to be carried")
            .into());
    }
    let listed = pack::plain_folder(folder)?;
    let paths: Vec<PathBuf> = listed.iter().map(|(_, path)| path.clone()).collect();
    let digests = hash::digest_files(&paths, &job.ctx.ui)?;
    let files: Vec<PlannedFile> = listed
        .into_iter()
        .zip(digests)
        .map(|((path, source), (digests, size))| PlannedFile {
            path,
            source: Source::Path(source),
            digests,
            size,
        })
        .collect();
    let judgement = rules.judge_plain(&files, job.ctx.stamp()?);
    if let Some(refused) = denied_by(job.ctx, &rules, &judgement) {
        return Ok(refused);
    }
    let inputs = pack::plain_inputs(&job.settings()?, &files);
    let decision = job.decide(inputs)?;
    let what = ui::plural(files.len(), "file");
    let mut outcome = job.finish(files, inputs, decision, &what)?;
    policy::show(job.ctx, &judgement);
    add(&mut outcome, &rules, &judgement);
    Ok(outcome)
}

impl Job<'_> {
    fn settings(&self) -> Result<Settings<'_>, Failure> {
        let epoch = self.root.epoch(&self.channel).ok_or_else(|| {
            UsageError::new(format!(
                "the trust root knows no channel {}",
                quoted(&self.channel)
            ))
        })?;
        Ok(Settings {
            channel: &self.channel,
            expires_after: self.expires_after.seconds(),
            epoch,
            root_version: self.root.version(),
            roots: &self.roots,
        })
    }

    /// Writes the bundle of a lock.
    fn release(&self, contents: &Contents<'_>) -> CommandResult {
        let settings = self.settings()?;
        let inputs = contents.inputs(&settings)?;
        let decision = self.decide(inputs)?;
        let files = contents.files(&settings, decision.serial, decision.created)?;
        let packages = &contents.lock.packages;
        let carried = packages.iter().filter(|p| p.is_carried()).count();
        self.finish(files, inputs, decision, &ui::plural(carried, "package"))
    }

    fn decide(&self, inputs: Digest) -> Result<Decision, Failure> {
        let decision = self
            .releases
            .decide(&self.channel, inputs, self.ctx.stamp()?)?;
        let expires = decision.created.plus_seconds(self.expires_after.seconds());
        if decision.created > self.ctx.now || expires <= self.ctx.now {
            return Err(BundleRefused::Time {
                created: decision.created,
                expires,
                now: self.ctx.now,
            }
            .into());
        }
        Ok(decision)
    }

    /// Plans, signs, writes and records the bundle.
    fn finish(
        &self,
        files: Vec<PlannedFile>,
        inputs: Digest,
        decision: Decision,
        what: &str,
    ) -> CommandResult {
        let settings = self.settings()?;
        let release = write::Release {
            channel: self.channel.clone(),
            epoch: settings.epoch,
            serial: decision.serial,
            created: decision.created,
            expires: decision.created.plus_seconds(settings.expires_after),
            root_version: settings.root_version,
            previous: None,
        };
        let plan = BundlePlan::new(release, files, self.roots.clone())?;
        let signature = self.key.sign_statement(&plan.statement_bytes())?;
        let approvals = self.approvals(&plan)?;
        let mut releases = self.releases.clone();
        releases.record(Release {
            channel: self.channel.clone(),
            serial: decision.serial,
            created: decision.created,
            inputs,
            statement: plan.id().0,
        })?;
        if !self.args.dry_run {
            let mut draft = Draft::new(&self.args.output, 0o644)?;
            write::write(&mut draft, &plan, &[signature], &self.ctx.ui)?;
            // Recorded before the bundle gets its name: a crash in between gives the same serial and bytes next time.
            releases.write(&self.releases_path)?;
            // What was said about another bundle of this name goes first: a bundle with none is not refused.
            approval::remove_beside(&self.args.output)?;
            proof::remove_beside(&self.args.output)?;
            draft.commit()?;
            approval::write_beside(&self.args.output, &approvals)?;
            last::keep(self.ctx, plan.statement(), |out| plan.write_head(out));
        }
        Ok(self.report(&plan, decision, what))
    }

    /// What the builder says about it.
    fn approvals(&self, plan: &BundlePlan) -> Result<Approvals, Failure> {
        let bundle = Approved {
            statement: plan.id().0,
            channel: &self.channel,
            serial: plan.statement().serial,
        };
        let (role, at) = (Some(Role::Builder), self.ctx.stamp()?);
        let said = &self.args.approval;
        let mut approvals = Approvals::default();
        approvals.extend([said.sign(&self.key, &self.root, role, &bundle, at)?]);
        Ok(approvals)
    }

    fn report(&self, plan: &BundlePlan, decision: Decision, what: &str) -> Outcome {
        let statement = plan.statement();
        let output = shown(&self.args.output);
        let verb = if self.args.dry_run {
            "Would write"
        } else {
            "Wrote"
        };
        let again = if decision.reused {
            ", made before from the same inputs"
        } else {
            ""
        };
        let outcome = Outcome::new(
            "stage/bundle-report/v1",
            json!({
                "bundle": self.args.output.to_string_lossy(),
                "bundle_id": plan.id().to_string(),
                "channel": statement.channel,
                "serial": statement.serial,
                "epoch": statement.epoch,
                "created": statement.created,
                "expires": statement.expires,
                "reused_release": decision.reused,
                "files": plan.manifest().files.len(),
                "bytes": plan.blob_bytes(),
                "findings": [],
            }),
        )
        .line(format!(
            "{verb} {output}: channel {}, serial {}{again}, {what}, {}",
            statement.channel,
            statement.serial,
            ui::bytes(plan.blob_bytes())
        ))
        .line(format!("Bundle id {}", plan.id()));
        if self.args.dry_run {
            return outcome;
        }
        outcome.line(approval::carry(&approval::beside(&self.args.output)))
    }
}
