//! Native needs on the command line: findings after a fetch, and the whole list for `stage inspect --native`.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use crate::base::digest::Digest;
use crate::base::limits::LIMITS;
use crate::base::package::EcosystemId;
use crate::base::platform::Platform;
use crate::base::text::{escaped, quoted};
use crate::cli::cmd::CommandResult;
use crate::cli::project::Project;
use crate::cli::subject::read_records;
use crate::cli::ui::{self, Failure, Outcome};
use crate::cli::{Context, connect};
use crate::eco::debian::offered;
use crate::eco::install::Inputs;
use crate::fs;
use crate::lock::Lock;
use crate::manifest;
use crate::native::{self, Known, Report};
use crate::store::Store;
use crate::upstream::{Request, Want};

/// The role under which an install names the package status of the target's image (dpkg(1), `status`).
const STATUS: &str = "baseline";

/// Looks into what is staged. The baseline is that of `project`.
pub(crate) fn check(
    ctx: &Context,
    project: Option<&Project>,
    lock: &Lock,
    store: &Store,
) -> Result<Report, Failure> {
    let mut baseline = BTreeSet::new();
    if let Some(project) = project {
        for (_, _, install) in &project.installs {
            let files = install.inputs(&Inputs::new())?;
            for file in files.iter().filter(|file| file.role == STATUS) {
                let path = manifest::beside(&project.manifest_path, &file.path);
                let status = fs::read(&path, file.limit)?;
                baseline.extend(installed(&String::from_utf8_lossy(&status)));
            }
        }
    }
    let offered = |platform| offered(ctx, project?, lock, platform);
    let known = Known {
        baseline: &baseline,
        offered: &offered,
    };
    Ok(native::check(lock, store, &known, &ctx.ui)?)
}

/// Names of the packages that the archives of the lock have for a platform, from indexes that resolving has left in the
/// cache: nobody is asked for a hint. `None` where an index is not there that packages of the lock come from.
fn offered(
    ctx: &Context,
    project: &Project,
    lock: &Lock,
    platform: Platform,
) -> Option<BTreeSet<String>> {
    let debian = EcosystemId::debian();
    let records = read_records(lock, &project.records_path).ok()?;
    let records = records.get(&debian)?;
    if lock.records.get(&debian) != Some(&Digest::of(records)) {
        return None;
    }
    let upstream = connect::open(ctx, project).ok()?.upstream;
    let mut found = None;
    for index in offered::indexes(records, platform).ok()? {
        let bytes = index.paths.iter().find_map(|path| {
            upstream.kept(&Request {
                upstream: index.upstream.clone(),
                path: path.clone(),
                accept: None,
                limit: LIMITS.metadata,
                want: Want::Document,
                link: None,
            })
        });
        match bytes.and_then(|bytes| index.names(bytes)) {
            Some(names) => found.get_or_insert_with(BTreeSet::new).extend(names),
            None if index.is_needed => return None,
            None => {}
        }
    }
    found
}

/// Names of the packages that a dpkg status file calls installed.
fn installed(status: &str) -> BTreeSet<String> {
    let stanzas = status.split("\n\n");
    let names = stanzas.filter_map(|stanza| {
        let field = |name: &str| {
            let mut lines = stanza.lines();
            lines
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
        };
        let state = field("Status:")?.split_whitespace().last()?;
        let there = ["installed", "triggers-pending", "triggers-awaited"].contains(&state);
        field("Package:").filter(|_| there).map(str::to_owned)
    });
    names.collect()
}

/// Adds the one line that closes all.
pub(crate) fn summarize(found: &Report, outcome: &mut Outcome) {
    if found.findings.len() > 1 && !found.packages.is_empty() {
        let packages: Vec<String> = found.packages.iter().map(|name| quoted(name)).collect();
        let probably = if found.is_probable { "probably " } else { "" };
        outcome.summary.push(format!(
            "Missing libraries would {probably}come with `[debian] packages = [{}]`",
            packages.join(", ")
        ));
    }
}

/// `stage inspect LOCK --native`. The baseline is that of the manifest beside the lock, if there is one.
pub(crate) fn list(
    ctx: &Context,
    path: &Path,
    lock: &Lock,
    platform: Option<Platform>,
) -> CommandResult {
    let manifest = path.with_extension("toml");
    let project = if fs::exists(&manifest) {
        Some(Project::load(&manifest)?)
    } else {
        None
    };
    let found = check(ctx, project.as_ref(), lock, &connect::store(ctx)?)?;
    ctx.ui.findings(&found.findings);
    if found.absent > 0 {
        ctx.ui.warn(&format!(
            "{} not in the store and not looked into; run `stage fetch` first",
            ui::plural(found.absent, "artifact")
        ));
    }
    let wanted = |need: &&native::Need| platform.is_none_or(|p| p == need.platform);
    let (mut lines, mut listed) = (Vec::new(), Vec::new());
    for need in found.needs.iter().filter(wanted) {
        let release = escaped(&need.release.to_string());
        lines.push(format!(
            "{} {} {release} {} needs {}: {}\n",
            need.platform,
            need.ecosystem,
            escaped(&need.file),
            escaped(&need.soname),
            need.provider
        ));
        listed.push(json!({
            "platform": need.platform,
            "ecosystem": need.ecosystem,
            "release": need.release,
            "file": escaped(&need.file),
            "soname": escaped(&need.soname),
            "provider": need.provider.to_string(),
        }));
    }
    let report = json!({
        "kind": "lock",
        "file": escaped(&path.to_string_lossy()),
        "verified": null,
        "bundle": null,
        "native": listed,
    });
    Ok(Outcome::new("stage/inspect-report/v1", report).data(lines.concat()))
}

#[cfg(test)]
mod tests {
    use super::installed;

    #[test]
    fn only_what_is_installed_counts() {
        let status = "Package: libx11-6\nStatus: install ok installed\n\nPackage: libxi6\nStatus: deinstall ok \
                      config-files\n\nPackage: libz\nVersion: 1\n";
        let names: Vec<_> = installed(status).into_iter().collect();
        assert_eq!(names, ["libx11-6"]);
    }
}
