//! `stage inspect`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::base::package::EcosystemId;
use crate::base::platform::{Libc, Platform, Target};
use crate::base::text::{escaped, quoted};
use crate::cli::cmd::CommandResult;
use crate::cli::evidence::{lines_json, lines_table};
use crate::cli::subject::{BundleView, Subject};
use crate::cli::ui::{self, Format, Outcome};
use crate::cli::{Context, UsageError, subject};
use crate::evidence;
use crate::import::generation::Loaded;
use crate::import::layout::Layout;
use crate::import::state;
use crate::lock::Lock;
use crate::sbom::{self, Member, Members};
use crate::trust::proof::SignedProof;

/// Look inside a lock, a bundle or a repository: what is carried, for which platforms, how much.
///
/// A bundle is only looked at, not verified, unless --trust is given; the output says so. `--format purl` prints one
/// package URL a line, sorted and unique: every release that is carried, and every one that lies inside the archive of
/// a carried one.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage inspect stage.lock\n  stage inspect openclaw.stage --trust root.json\n  \
    stage inspect stage.lock --format purl --platform linux/arm64\n  stage inspect stage.lock --native"
)]
pub struct InspectArgs {
    /// A lock or a bundle
    #[arg(value_name = "LOCK|BUNDLE", required_unless_present = "repo")]
    subject: Option<PathBuf>,
    /// What a repository publishes now, instead
    #[arg(long, value_name = "DIR", conflicts_with_all = ["subject", "trust"])]
    repo: Option<PathBuf>,
    /// Only what is carried for this platform, such as linux/amd64
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Every shared library that staged files need from elsewhere, and who has it; looks into the artifacts in the store
    #[cfg(feature = "connected")]
    #[arg(long, conflicts_with_all = ["repo", "trust"])]
    native: bool,
    /// How well upstreams vouch for every carried file: L4 a chain of signatures, L3 a registry's signature, L2 the digest
    /// in the lock; and why there is no signature
    #[arg(long, conflicts_with = "repo")]
    evidence: bool,
    /// The trust root to verify a bundle by
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
}

pub(crate) fn run(ctx: &Context, args: &InspectArgs) -> CommandResult {
    match (&args.subject, &args.repo) {
        (Some(path), _) => file(ctx, args, path),
        (None, Some(path)) => repository(ctx, args, path),
        (None, None) => Err(UsageError::new("name a lock, a bundle or a --repo").into()),
    }
}

/// What the newest generation of a repository is made of.
fn repository(ctx: &Context, args: &InspectArgs, path: &Path) -> CommandResult {
    let layout = Layout::new(path);
    let state = state::read(&layout)?.state;
    let mut bundles = Vec::new();
    for id in &state.active {
        if let Some(entry) = state.bundles.get(id) {
            bundles.push(Loaded::stored(&layout, *id, entry)?);
        }
    }
    let mut purls = BTreeSet::new();
    for lock in bundles.iter().filter_map(Loaded::lock) {
        for (ecosystem, release) in sbom::members(lock, args.platform).keys() {
            let purl = subject::purl(ecosystem, release)?;
            if !state.is_blocked(&purl) {
                purls.insert(purl.to_string());
            }
        }
    }
    let lines: Vec<String> = purls.iter().map(|purl| format!("{purl}\n")).collect();
    if ctx.global.format == Format::Purl {
        return Ok(Outcome::new("stage/inspect-report/v1", json!({})).data(lines.concat()));
    }
    let (mut shown, mut listed) = (Vec::new(), Vec::new());
    for bundle in &bundles {
        let entry = &bundle.entry;
        let files = bundle.manifest().files.len();
        let head = format!("{} {}, made {}", entry.channel, entry.serial, entry.created);
        shown.push(format!(
            "Bundle        {head}, {}\n",
            ui::plural(files, "file")
        ));
        listed.push(json!({
            "bundle_id": bundle.id.to_string(),
            "channel": entry.channel,
            "serial": entry.serial,
            "files": files,
        }));
    }
    let about = format!(
        "Repository    {}, generation {}\n",
        escaped(&path.to_string_lossy()),
        state.generation
    );
    let count = format!("Releases      {}\n", purls.len());
    let report = json!({
        "kind": "repository",
        "file": escaped(&path.to_string_lossy()),
        "verified": true,
        "bundle": null,
        "generation": state.generation,
        "bundles": listed,
        "purls": purls,
    });
    Ok(Outcome::new("stage/inspect-report/v1", report)
        .data(format!("{about}{}{count}", shown.concat())))
}

fn file(ctx: &Context, args: &InspectArgs, path: &Path) -> CommandResult {
    let name = path.to_string_lossy();
    let subject = subject::open(ctx, path, args.trust.as_deref())?;
    if subject.is_unverified() {
        ctx.ui.warn(&format!("{} is not verified", quoted(&name)));
    }
    if let (Some(platform), Some(lock)) = (args.platform, subject.lock())
        && !lock.target.platforms.contains(&platform)
    {
        let message = format!("{} is not made for {platform}", quoted(&name));
        return Err(UsageError::new(message).into());
    }
    let members = subject
        .lock()
        .map(|lock| sbom::members(lock, args.platform));
    let members = members.unwrap_or_default();
    if ctx.global.format == Format::Purl {
        return purls(&members);
    }
    #[cfg(feature = "connected")]
    if args.native {
        let Subject::Lock(lock) = &subject else {
            return Err(UsageError::new("--native needs a lock: it looks into the store")
                .next("give the stage.lock that the bundle was made of, on the host that fetched it")
                .into());
        };
        return crate::cli::native::list(ctx, path, lock, args.platform);
    }
    let mut lines = Vec::new();
    let (kind, verified, bundle) = match &subject {
        Subject::Lock(_) => {
            lines.push(format!("Lock          {}", escaped(&name)));
            ("lock", Value::Null, Value::Null)
        }
        Subject::Bundle(view) => {
            bundle_lines(&mut lines, &name, view);
            ("bundle", view.verified.into(), bundle_json(view))
        }
    };
    let mut report = json!({
        "kind": kind,
        "file": escaped(&name),
        "verified": verified,
        "bundle": bundle,
    });
    if let (Some(lock), Value::Object(report)) = (subject.lock(), &mut report) {
        report.insert("lock".to_owned(), lock_json(lock, &members)?);
        lock_lines(&mut lines, lock, &members);
        if args.evidence {
            report.insert("evidence".to_owned(), vouched(&mut lines, args, lock));
        }
    }
    let text: String = lines
        .iter()
        .map(|l| l.trim_end().to_owned() + "\n")
        .collect();
    Ok(Outcome::new("stage/inspect-report/v1", report).data(text))
}

/// Adds the table of how well each file is vouched for, and returns it for the report.
fn vouched(lines: &mut Vec<String>, args: &InspectArgs, lock: &Lock) -> Value {
    let mut found = evidence::lines(lock);
    found.retain(|line| {
        let platforms = &line.package.platforms;
        args.platform.is_none_or(|only| platforms.contains(&only))
    });
    lines.push(String::new());
    lines.extend(lines_table(&found));
    lines_json(&found)
}

fn bundle_json(view: &BundleView) -> Value {
    let statement = &view.statement;
    json!({
        "bundle_id": view.id.to_string(),
        "channel": statement.channel,
        "epoch": statement.epoch,
        "serial": statement.serial,
        "kind": statement.kind.as_str(),
        "created": statement.created,
        "expires": statement.expires,
        "root_version": statement.root_version,
        "keyids": view.keyids,
        "proof": view.proof.as_ref().map(SignedProof::json),
        "files": view.manifest.files.len(),
        "bytes": view.manifest.carried_blobs().iter().map(|b| b.size).sum::<u64>(),
    })
}

fn bundle_lines(lines: &mut Vec<String>, name: &str, view: &BundleView) {
    let statement = &view.statement;
    let verdict = if view.verified {
        "verified"
    } else {
        "NOT VERIFIED"
    };
    lines.push(format!("Bundle        {}, {verdict}", escaped(name)));
    lines.push(format!("Bundle id     {}", view.id));
    lines.push(format!(
        "Channel       {}, epoch {}, serial {}, {}",
        statement.channel,
        statement.epoch,
        statement.serial,
        statement.kind.as_str()
    ));
    lines.push(format!("Created       {}", statement.created));
    lines.push(format!("Expires       {}", statement.expires));
    let judged = if view.verified { "" } else { " (not judged)" };
    for keyid in &view.keyids {
        lines.push(format!("Signature     key {keyid}{judged}"));
    }
    if let Some(proof) = &view.proof {
        lines.push(format!("Proof         {}", proof.words()));
    }
    let bytes = view.manifest.carried_blobs().iter().map(|b| b.size).sum();
    let files = view.manifest.files.len();
    lines.push(format!("Files         {files}, {}", ui::bytes(bytes)));
    if view.lock.is_none() {
        let paths = view.manifest.files.iter();
        lines.push(String::new());
        lines.extend(paths.map(|file| format!("{:>10} {}", ui::bytes(file.size), file.path)));
    }
}

fn purls(members: &Members<'_>) -> CommandResult {
    let mut lines = Vec::with_capacity(members.len());
    for (ecosystem, release) in members.keys() {
        lines.push(format!("{}\n", subject::purl(ecosystem, release)?));
    }
    lines.sort();
    lines.dedup();
    Ok(Outcome::new("stage/inspect-report/v1", json!({})).data(lines.concat()))
}

/// What one ecosystem's releases add up to.
#[derive(Default)]
struct Sum {
    releases: usize,
    bundled: usize,
    files: usize,
    bytes: u64,
    unknown_sizes: usize,
}

fn sums<'a>(members: &Members<'a>) -> BTreeMap<&'a EcosystemId, Sum> {
    let mut out: BTreeMap<&EcosystemId, Sum> = BTreeMap::new();
    for ((ecosystem, _), member) in members {
        let sum = out.entry(ecosystem).or_default();
        sum.releases += 1;
        sum.bundled += usize::from(member.is_bundled_only());
        for artifact in &member.package.artifacts {
            sum.files += 1;
            match artifact.size {
                Some(size) => sum.bytes = sum.bytes.saturating_add(size),
                None => sum.unknown_sizes += 1,
            }
        }
    }
    out
}

fn lock_json(lock: &Lock, members: &Members<'_>) -> Result<Value, UsageError> {
    let mut releases = Vec::with_capacity(members.len());
    for ((ecosystem, release), member) in members {
        let purl = subject::purl(ecosystem, release)?;
        releases.push(release_json(&purl.to_string(), member));
    }
    let ecosystems: serde_json::Map<String, Value> = sums(members)
        .into_iter()
        .map(|(id, sum)| {
            let value = json!({"releases": sum.releases, "bundled": sum.bundled, "files": sum.files,
                "bytes": sum.bytes, "unknown_sizes": sum.unknown_sizes});
            (id.to_string(), value)
        })
        .collect();
    Ok(json!({
        "target": target_json(&lock.target),
        "exclude_newer": lock.exclude_newer,
        "requirements": lock.requirements,
        "ecosystems": ecosystems,
        "releases": releases,
        "findings": lock.findings,
    }))
}

fn target_json(target: &Target) -> Value {
    let (glibc, musl) = match &target.libc {
        Libc::Glibc(version) => (Some(version), None),
        Libc::Musl(version) => (None, Some(version)),
    };
    json!({"platforms": target.platforms, "glibc": glibc, "musl": musl,
        "python": target.python, "node": target.node})
}

fn release_json(purl: &str, member: &Member<'_>) -> Value {
    let package = member.package;
    let files: Vec<Value> = package
        .artifacts
        .iter()
        .map(|a| json!({"file": escaped(&a.file), "checksum": a.checksum.to_sri(), "size": a.size}))
        .collect();
    json!({
        "ecosystem": package.ecosystem,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "platforms": member.platforms,
        "license": package.license.as_deref().map(escaped),
        "deprecated": package.deprecated.as_deref().map(escaped),
        "install_script": package.install_script,
        "bundled_in": member.bundled_in,
        "files": files,
    })
}

fn lock_lines(lines: &mut Vec<String>, lock: &Lock, members: &Members<'_>) {
    lines.push(format!("Target        {}", target_text(&lock.target)));
    if let Some(at) = lock.exclude_newer {
        lines.push(format!("Exclude newer {at}"));
    }
    for (number, requirement) in lock.requirements.iter().enumerate() {
        let head = if number == 0 { "Requirements" } else { "" };
        let spec = escaped(&requirement.spec);
        lines.push(format!("{head:13} {} {spec}", requirement.ecosystem));
    }
    lines.push(String::new());
    let head = format!(
        "{:10} {:>8} {:>8} {:>7} {:>10}",
        "Ecosystem", "Releases", "Bundled", "Files", "Size"
    );
    lines.push(head);
    for (id, sum) in sums(members) {
        let more = if sum.unknown_sizes > 0 { "+" } else { "" };
        let size = format!("{}{more}", ui::bytes(sum.bytes));
        lines.push(format!(
            "{:10} {:>8} {:>8} {:>7} {size:>10}",
            id.as_str(),
            sum.releases,
            sum.bundled,
            sum.files
        ));
    }
    lines.extend(noted(members, "Install scripts", |m| {
        m.package.install_script
    }));
    lines.extend(noted(members, "Deprecated", |m| {
        m.package.deprecated.is_some()
    }));
}

/// A line that names the releases a property holds for; none when there are none.
fn noted(members: &Members<'_>, head: &str, holds: impl Fn(&Member<'_>) -> bool) -> Option<String> {
    let names: Vec<String> = members
        .iter()
        .filter(|(_, member)| holds(member))
        .map(|((ecosystem, release), _)| format!("{ecosystem} {}", escaped(&release.to_string())))
        .collect();
    (!names.is_empty()).then(|| format!("\n{head} ({}): {}", names.len(), names.join(", ")))
}

fn target_text(target: &Target) -> String {
    let mut parts: Vec<String> = target.platforms.iter().map(ToString::to_string).collect();
    parts.push(match &target.libc {
        Libc::Glibc(version) => format!("glibc {}", escaped(version)),
        Libc::Musl(version) => format!("musl {}", escaped(version)),
    });
    parts.extend(
        target
            .python
            .iter()
            .map(|v| format!("python {}", escaped(v))),
    );
    parts.extend(target.node.iter().map(|v| format!("node {}", escaped(v))));
    parts.join(", ")
}
