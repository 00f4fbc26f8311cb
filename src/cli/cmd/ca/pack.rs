//! `stage ca pack`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::base::finding::Finding;
use crate::base::path::RelPath;
use crate::base::runtime::HostPath;
use crate::base::text::{quoted, shown};
use crate::base::time::Timestamp;
use crate::ca::pack::{BUNDLE, Name, Packing};
use crate::ca::{self, CaBundle};
use crate::cli::cmd::CommandResult;
use crate::cli::exit::Exit;
use crate::cli::ui::{Failure, Outcome, plural};
use crate::cli::{Context, UsageError};
use crate::fs;
use crate::trust::root::TrustRoot;
use crate::verify::{self, Judge};

/// Make what hosts need to trust the private CA: a Debian package, and settings for clients with stores of their own.
///
/// From root certificates, or from the ones that a bundle carries. Writes the roots as one PEM file and each by itself, a
/// package that adds them to the system's store and takes them out again, a file of environment variables, and settings of
/// Node, npm, Python, pip, uv, cargo, git, curl, Java and systemd with what goes wrong otherwise. The version of the package
/// begins with the time: that of the bundle, else `SOURCE_DATE_EPOCH`, else now; the same roots and time give the same bytes.
/// Bundles with `[ca]` carry these files under `ca/`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage ca pack agency-root.pem --name agency --prefix /opt/claw -o ca\n  \
    stage ca pack openclaw.stage --trust root.json -o ca"
)]
pub(super) struct PackArgs {
    /// Root certificates, PEM; or one bundle, with --trust
    #[arg(value_name = "FILE|BUNDLE", required = true)]
    files: Vec<PathBuf>,
    /// The trust root by which the bundle is verified
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// The folder to write; it may not exist
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Whose CA it is, in names of files and of the package
    #[arg(long, value_name = "NAME", default_value = "agency")]
    name: Name,
    /// Where the files go on the hosts: the folder `ca` in it
    #[arg(long, value_name = "DIR", default_value = "/opt/claw")]
    prefix: HostPath,
}

pub(super) fn run(ctx: &Context, args: &PackArgs) -> CommandResult {
    if fs::exists(&args.output) {
        let message = format!(
            "{} is there already",
            quoted(&args.output.to_string_lossy())
        );
        let hint = "remove it, or name another folder";
        return Err(UsageError::new(message).next(hint).into());
    }
    let (files, at) = match &args.trust {
        Some(trust) => of_bundle(ctx, args, trust)?,
        None => (super::read(&args.files)?, ctx.stamp()?),
    };
    let roots = ca::read_roots(&files, ctx.now)?;
    ctx.ui.findings(&roots.findings);
    let exit = Exit::of(&roots.findings);
    if exit != Exit::Ok {
        let outcome = report(&roots, &args.output, &[]);
        return Ok(outcome.line("Denied; nothing was written").exit(exit));
    }
    let packing = Packing {
        roots,
        name: args.name.clone(),
        prefix: args.prefix.clone(),
    };
    let made = packing.files(at);
    let files = made.map_err(fs::context("make", &args.output))?;
    fs::write_folder(&args.output, &files)?;
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let line = format!(
        "Wrote {} in {}: {}",
        plural(names.len(), "file"),
        shown(&args.output),
        plural(packing.roots.certificates.len(), "root")
    );
    Ok(report(&packing.roots, &args.output, &names).line(line))
}

fn report(roots: &CaBundle, folder: &Path, files: &[&str]) -> Outcome {
    let findings: Vec<_> = roots.findings.iter().map(Finding::json).collect();
    let report = json!({
        "folder": shown(folder),
        "files": files,
        "certificates": roots.certificates,
        "findings": findings,
    });
    Outcome::new("stage/ca-pack-report/v1", report)
}

/// Files by what they are called, and when they were made.
type Given = (Vec<(String, Vec<u8>)>, Timestamp);

/// The roots that a verified bundle carries, and when it was made.
fn of_bundle(ctx: &Context, args: &PackArgs, trust: &Path) -> Result<Given, Failure> {
    let [path] = args.files.as_slice() else {
        let error = UsageError::new("--trust is for one bundle, and several files were given");
        return Err(error.into());
    };
    let root = TrustRoot::load(trust)?;
    let judge = Judge::alone(&root, ctx.now);
    let bundle = verify::bundle(fs::open(path)?, &judge, &mut verify::NullSink, &ctx.ui)?;
    let wanted = format!("ca/{BUNDLE}");
    let is_wanted = |path: &RelPath| path.as_str() == wanted;
    let mut documents = bundle.documents.iter();
    let found = documents.find(|(path, _)| is_wanted(path));
    let (_, bytes) = found.ok_or_else(|| {
        UsageError::new("the bundle carries no private CA").next("give the PEM files instead")
    })?;
    let name = path.to_string_lossy().into_owned();
    Ok((vec![(name, bytes.clone())], bundle.statement.created))
}
