//! `stage holes`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use crate::base::finding::{Finding, Severity};
use crate::base::text::escaped;
use crate::cli::cmd::CommandResult;
use crate::cli::cmd::resolve::denied;
use crate::cli::policy::Rules;
use crate::cli::project::Project;
use crate::cli::ui::{self, Failure, Outcome};
use crate::cli::{Context, connect, explain, holes, native};
use crate::eco::interpreter;
use crate::holes::{Catalog, Hole, HoleKind, Report};
use crate::lock::{Lock, Records};
use crate::policy::recorded;

/// List what staged packages fetch by themselves or lack, each with the line for stage.toml that closes it.
///
/// Looks into every artifact in the store: install scripts that download or compile, programs, models and browsers that
/// are fetched at first use, builds that download, catalogs of plugins inside of packages. With them stand what resolving
/// and fetching found already: shared libraries that nobody staged, interpreters, packages that come as source, what was
/// left out. `stage fetch` first: what is not in the store cannot be looked into.
///
/// Rules say what is looked for; the manifest may name further ones with `[holes] rules`, and with `[[holes.closed]]` what
/// is staged in the place of what would be fetched. Exit 3 if the policy denies one.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage holes\n  stage holes --catalogs      # every plugin and helper, with its line\n  \
    stage holes --format json"
)]
pub struct HolesArgs {
    /// The manifest
    #[arg(short, long, value_name = "FILE", default_value = "stage.toml")]
    file: PathBuf,
    /// Also list every entry of the catalogs inside of packages
    #[arg(long)]
    catalogs: bool,
}

/// What other checks found and belongs on the list: the beginning of a code, the word for reports, the title.
const OTHERS: [(&str, &str, &str); 5] = [
    ("native-", "native", "Native needs"),
    ("interpreter-", "interpreter", "Interpreters"),
    (
        "pypi-sdist",
        "source",
        "Packages that are built from source",
    ),
    ("npm-optional-missing", "left-out", "Left out"),
    ("debian-unmet-recommends", "left-out", "Left out"),
];

/// Most packages that are named for one note.
const ALSO: usize = 20;

/// One line of the list.
struct Listed<'a> {
    kind: &'static str,
    title: &'static str,
    hole: Option<&'a Hole>,
    finding: Finding,
}

pub(crate) fn run(ctx: &Context, args: &HolesArgs) -> CommandResult {
    let started = Instant::now();
    let project = Project::load(&args.file)?;
    let rules = Rules::of(&project)?;
    let (lock, _, records) = project.lock()?;
    let store = connect::store(ctx)?;
    let found = holes::check(ctx, &project, &lock, &store)?;
    let mut all = found.findings();
    all.extend(native::check(ctx, Some(&project), &lock, &store)?.findings);
    all.extend(known(&lock, &records)?);
    let judgement = rules.judge_found(all, ctx.stamp()?);
    let listed = list(&found, &judgement.findings);
    ctx.ui.waived(&judgement.waived);
    if found.absent > 0 {
        ctx.ui.warn(&format!(
            "{} not in the store and not looked into; run `stage fetch` first",
            ui::plural(found.absent, "artifact")
        ));
    }
    let standing: Vec<Finding> = listed.iter().map(|one| one.finding.clone()).collect();
    let exit = denied(&standing);
    let mut text = table(&listed);
    if args.catalogs {
        text.push_str(&catalogs(&found.catalogs));
    }
    let report = json!({
        "lock": project.lock_path.to_string_lossy(),
        "looked": found.looked,
        "absent": found.absent,
        "policy": rules.json(&judgement),
        "holes": listed.iter().map(listed_json).collect::<Vec<_>>(),
        "closed": found.closed.iter().map(|one| json!({
            "rule": one.rule,
            "subject": one.subject,
            "by": one.by,
        })).collect::<Vec<_>>(),
        "catalogs": found.catalogs.iter().map(|one| catalog_json(one, args.catalogs)).collect::<Vec<_>>(),
    });
    let closed = match found.closed.len() {
        0 => String::new(),
        count => format!(", {count} closed by what is staged"),
    };
    Ok(Outcome::new("stage/holes-report/v1", report)
        .data(text)
        .line(format!(
            "Looked into {} in {:.1}s: {}{closed}",
            ui::plural(found.looked, "artifact"),
            started.elapsed().as_secs_f64(),
            ui::plural(listed.len(), "hole"),
        ))
        .exit(exit))
}

/// What resolving found. The lock keeps no advice, which the checks that can be made again give anew.
fn known(lock: &Lock, records: &Records) -> Result<Vec<Finding>, Failure> {
    let mut found = interpreter::check(lock, records)?;
    let kept = recorded(lock).into_iter().filter(|finding| {
        let code = finding.code.name;
        title_of(code).is_some() && !code.starts_with("interpreter-")
    });
    found.extend(kept.map(|mut finding| {
        finding.fix = Some(advice(finding.code.name).to_owned());
        finding
    }));
    Ok(found)
}

/// What to do about a finding that the lock keeps without advice.
fn advice(code: &str) -> &'static str {
    match code {
        "pypi-sdist" => {
            "take a version that has a wheel for the target, or build the wheel and serve it from an index that \
             `[pypi] index` names"
        }
        "npm-optional-missing" => {
            "nothing, where the program does without it; else name a version of it in `[npm] packages`"
        }
        "debian-unmet-recommends" => "name the package in `[debian] packages`, where it is wanted",
        code => explain::hint(code).unwrap_or("see `stage explain`"),
    }
}

fn title_of(code: &str) -> Option<(&'static str, &'static str)> {
    let mut all = OTHERS.iter();
    let found = all.find(|(begin, _, _)| code.starts_with(begin));
    found.map(|(_, kind, title)| (*kind, *title))
}

/// What stands after the judgement, in the order of the kinds.
fn list<'a>(found: &'a Report, standing: &[Finding]) -> Vec<Listed<'a>> {
    let mut listed = Vec::new();
    for finding in standing {
        let mut all = found.holes.iter();
        let hole = all.find(|hole| {
            let of = &hole.finding;
            of.code.name == finding.code.name
                && of.subject == finding.subject
                && of.message == finding.message
        });
        let (kind, title) = match (hole, title_of(finding.code.name)) {
            (Some(hole), _) => (hole.kind.as_str(), hole.kind.title()),
            (None, Some(known)) => known,
            (None, None) if finding.code.name == "hole-unreadable" => {
                ("unreadable", "Could not be looked into")
            }
            // Nothing else was judged.
            (None, None) => continue,
        };
        listed.push(Listed {
            kind,
            title,
            hole,
            finding: finding.clone(),
        });
    }
    let order = |one: &Listed<'_>| {
        let kinds = HoleKind::ALL.iter().map(|kind| kind.as_str());
        let mut order = kinds.chain(OTHERS.iter().map(|(_, kind, _)| *kind));
        order.position(|kind| kind == one.kind)
    };
    listed.sort_by(|a, b| {
        let key = |one: &Listed<'_>| (order(one).is_none(), order(one), one.weight());
        key(a).cmp(&key(b)).then_with(|| a.name().cmp(b.name()))
    });
    listed
}

/// Groups with their titles, each hole with what closes it. Notes of one kind are shown once, with the packages that they
/// are about.
fn table(listed: &[Listed<'_>]) -> String {
    let mut text = Vec::new();
    let mut title = "";
    let alike = |a: &Listed<'_>, b: &Listed<'_>| a.name() == b.name() && a.weight() == b.weight();
    for group in listed.chunk_by(alike) {
        let is_note = group.iter().all(|one| one.weight() == Severity::Note);
        let shown = if is_note { 1 } else { group.len() };
        for one in group.iter().take(shown) {
            if one.title != title {
                let gap = if title.is_empty() { "" } else { "\n" };
                title = one.title;
                text.push(format!("{gap}{title}\n"));
            }
            text.push(one.text());
        }
        text.extend(also(group.get(shown..).unwrap_or_default()));
    }
    text.concat()
}

/// The packages of notes that are not shown each.
fn also(others: &[Listed<'_>]) -> Option<String> {
    let subjects: BTreeSet<&str> = others.iter().map(|o| o.finding.subject.as_str()).collect();
    let names: Vec<&str> = subjects.iter().take(ALSO).copied().collect();
    let more = match subjects.len() - names.len() {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    (!names.is_empty()).then(|| format!("        likewise: {}{more}\n", names.join(", ")))
}

impl Listed<'_> {
    /// The rule, or the code of another check.
    fn name(&self) -> &str {
        let rule = self.hole.map(|hole| hole.rule.as_str());
        rule.unwrap_or(self.finding.code.name)
    }

    const fn weight(&self) -> Severity {
        self.finding.severity
    }

    fn text(&self) -> String {
        let (finding, name) = (&self.finding, self.name());
        let chain = match finding.chain.as_slice() {
            [] | [_] => String::new(),
            chain => format!("        needed by: {}\n", chain.join(" > ")),
        };
        let fix = finding.fix.as_ref();
        let fix = fix.map_or_else(String::new, |fix| {
            format!("        close: {fix}\n{}", tables(fix))
        });
        format!(
            "  {:<4}  {}  [{name}]\n        {}\n{chain}{fix}",
            finding.severity.to_string(),
            finding.subject,
            finding.message
        )
    }
}

/// The `[[file]]` tables of an advice as they stand in stage.toml.
fn tables(fix: &str) -> String {
    let mut text = String::new();
    for part in fix.split("[[file]] ").skip(1) {
        let mut lines = Vec::new();
        let mut rest = part;
        while let Some((key, after)) = rest.split_once(" = \"")
            && let Some((value, after)) = after.split_once('"')
            && key
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        {
            lines.push(format!("            {key} = \"{value}\"\n"));
            rest = after.strip_prefix(", ").unwrap_or_default();
        }
        text.extend(["            [[file]]\n".to_owned(), lines.concat()]);
    }
    text
}

fn catalogs(all: &[Catalog]) -> String {
    let mut text = Vec::new();
    for catalog in all {
        text.push(format!("\nCatalog of {}\n", catalog.subject));
        for (entry, is_staged) in &catalog.entries {
            let there = if *is_staged { "  (staged)" } else { "" };
            let about = match entry.about.as_str() {
                "" => String::new(),
                about => format!(": {about}"),
            };
            text.push(format!(
                "  {:<8}  {}{about}{there}\n            {} {}: {}\n",
                entry.kind, entry.name, entry.via, entry.what, entry.line
            ));
        }
    }
    text.concat()
}

fn listed_json(one: &Listed<'_>) -> Value {
    json!({
        "kind": one.kind,
        "rule": one.hole.map(|hole| &hole.rule),
        "file": one.hole.and_then(|hole| hole.file.as_ref()).map(|file| escaped(file)),
        "finding": one.finding.json(),
    })
}

fn catalog_json(catalog: &Catalog, whole: bool) -> Value {
    let entries = catalog.entries.iter().map(|(entry, is_staged)| {
        json!({
            "kind": entry.kind,
            "name": entry.name,
            "via": entry.via,
            "what": entry.what,
            "about": entry.about,
            "line": entry.line,
            "staged": is_staged,
        })
    });
    json!({
        "subject": catalog.subject,
        "count": catalog.entries.len(),
        "entries": whole.then(|| entries.collect::<Vec<_>>()),
    })
}

#[cfg(test)]
mod tests {
    use super::title_of;

    #[test]
    fn other_findings_have_a_place_on_the_list() {
        assert_eq!(title_of("native-missing-library").unwrap().0, "native");
        assert_eq!(title_of("npm-optional-missing").unwrap().0, "left-out");
        assert!(title_of("policy-too-new").is_none());
    }
}
