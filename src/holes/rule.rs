//! Rules: what packages fetch by themselves, how that is told, and what closes it. `docs/holes.md` explains the form.

use regex::bytes::{Regex, RegexBuilder};

use crate::base::finding::Severity;
use crate::base::glob::is_like;
use crate::base::package::EcosystemId;
use crate::base::platform::Platform;
use crate::holes::fact::Fact;
use crate::holes::prebuilt::Prebuilt;
use crate::holes::{HoleKind, HolesError};
use crate::manifest::ManifestError;
use crate::manifest::table::{Found, Source, Table};
use crate::policy::PackagePattern;

/// The rules that come with `stage`, one file for each ecosystem.
const SHIPPED: [(&str, &str); 4] = [
    ("npm.toml", include_str!("rules/npm.toml")),
    ("pypi.toml", include_str!("rules/pypi.toml")),
    ("cargo.toml", include_str!("rules/cargo.toml")),
    ("debian.toml", include_str!("rules/debian.toml")),
];

/// Most rules of one file.
const MOST: usize = 5_000;
/// Most memory that one regular expression may take, in bytes.
const REGEX_SIZE: usize = 1 << 20;

/// Rules, and the facts that their advice is filled in with.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The rules, those of later documents last.
    pub list: Vec<Rule>,
    /// The facts, those of later documents first.
    pub(super) facts: Vec<Fact>,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name, unique.
    pub id: String,
    /// What kind of hole it finds.
    pub kind: HoleKind,
    /// Packages it is about; more than one of them may cover a package.
    packages: Vec<PackagePattern>,
    /// The command of an install script of npm.
    pub(super) command: Option<Regex>,
    /// All of these in one file that an install script of npm runs.
    pub(super) runs: Vec<Regex>,
    /// Paths of files of the archive, in which `*` stands for anything.
    pub(super) files: Vec<String>,
    /// All of these in one of those files.
    pub(super) content: Vec<Regex>,
    /// None of a file, or of a command, that has this.
    pub(super) unless: Option<Regex>,
    /// Nothing, where the archive has a file of this path.
    absent: Vec<String>,
    /// What a file of that path lists.
    pub(super) catalog: Option<CatalogForm>,
    /// General rules that say nothing about the packages of this one.
    instead_of: Vec<String>,
    /// What it means: the end of a sentence that begins with the package.
    pub means: String,
    /// What closes it.
    pub fix: String,
    /// The same, for where every fact in it is known.
    pub(super) known: Option<String>,
    /// Packages that close it when they are staged.
    closed_by: Vec<String>,
    /// What it weighs.
    pub severity: Severity,
}

/// Forms of catalogs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatalogForm {
    /// JSON objects with a `name` and an `openclaw.install`.
    Plugins,
    /// A `SKILL.md` with a list `install`.
    Skills,
}

impl Rule {
    /// Whether it is about this package.
    pub fn is_about(&self, ecosystem: &EcosystemId, name: &str, version: &str) -> bool {
        PackagePattern::any(&self.packages, ecosystem, name, version)
    }

    /// Whether it is about packages of this ecosystem.
    pub(super) fn is_of(&self, ecosystem: &EcosystemId) -> bool {
        let mut packages = self.packages.iter();
        packages.any(|package| package.ecosystem() == ecosystem)
    }

    /// Whether it stands in the place of another rule, where both are about a package.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        self.instead_of.contains(&other.id)
    }

    /// Whether the package's name is all it asks for.
    pub(super) fn is_by_name(&self) -> bool {
        self.command.is_none() && self.runs.is_empty() && self.files.is_empty()
    }

    /// Whether it looks at the install scripts of npm packages.
    pub(super) fn looks_at_scripts(&self) -> bool {
        self.command.is_some() || !self.runs.is_empty()
    }

    /// Whether it wants to see the file at this path.
    pub(super) fn wants(&self, path: &str) -> bool {
        self.files.iter().any(|pattern| is_like(pattern, path))
    }

    /// Whether a file at this path says that there is no hole on a platform.
    pub(super) fn is_absent(&self, path: &str, platform: Platform) -> bool {
        let mut patterns = self.absent.iter();
        patterns.any(|pattern| is_like(&for_platform(pattern, platform), path))
    }

    /// Whether a file like this may matter for [`Rule::is_absent`].
    pub(super) fn has_absent(&self) -> bool {
        !self.absent.is_empty()
    }

    /// Packages that close it on a platform.
    pub(super) fn closers(&self, platform: Platform, fill: &Fill<'_>) -> Vec<PackagePattern> {
        let texts = self.closed_by.iter();
        let texts = texts.map(|text| fill.into_text(&for_platform(text, platform)));
        texts.filter_map(|text| text.parse().ok()).collect()
    }
}

/// What placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fill<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) url: Option<&'a str>,
    pub(super) file: Option<&'a str>,
    pub(super) node: Option<&'a str>,
    pub(super) prebuilt: Option<&'a Prebuilt>,
}

impl Fill<'_> {
    pub(super) fn into_text(self, text: &str) -> String {
        // Addresses in scripts are often templates themselves.
        text.replace("{url}", self.url.unwrap_or("https://…"))
            .replace("{name}", self.name)
            .replace("{version}", self.version)
            .replace("{file}", self.file.unwrap_or("…"))
            .replace("{node}", self.node.unwrap_or("VERSION"))
            .replace("{download}", self.prebuilt.map_or("{download}", |p| &p.url))
            .replace("{asset}", self.prebuilt.map_or("{asset}", |p| &p.file))
    }
}

/// `{cpu}` as Node.js writes it, `{machine}` as the kernel does, `{arch}` as Debian does.
pub(super) fn for_platform(text: &str, platform: Platform) -> String {
    let (cpu, machine, arch) = match platform {
        Platform::LinuxAmd64 => ("x64", "x86_64", "amd64"),
        Platform::LinuxArm64 => ("arm64", "aarch64", "arm64"),
    };
    text.replace("{cpu}", cpu)
        .replace("{machine}", machine)
        .replace("{arch}", arch)
}

/// The rules that come with `stage`.
pub fn shipped() -> Result<Rules, HolesError> {
    let mut rules = Rules::default();
    for (file, text) in SHIPPED {
        add(&mut rules, file, text)?;
    }
    Ok(rules)
}

/// Adds the rules and facts of a document to those that are there. A rule with the same id takes the place of the older.
pub fn add(rules: &mut Rules, file: &str, text: &str) -> Result<(), HolesError> {
    let mut top = Source::new(file, text).top_named("the rules")?;
    let facts = facts(top.take("fact"))?;
    let found = top.require("rule")?;
    let many = found.error(format!("at most {MOST} rules"));
    let tables = found.tables("[[rule]]")?;
    if tables.len() > MOST {
        return Err(many.into());
    }
    top.finish()?;
    let mut own: Vec<Rule> = Vec::new();
    for table in tables {
        let place = table.place();
        let rule = rule(table)?;
        if own.iter().any(|other| other.id == rule.id) {
            let error = ManifestError::Value {
                key: "id".to_owned(),
                expected: "a name that no other rule of the file has".to_owned(),
                place,
            };
            return Err(error.into());
        }
        own.push(rule);
    }
    let list = &mut rules.list;
    list.retain(|rule| own.iter().all(|other| other.id != rule.id));
    list.extend(own);
    rules.facts.splice(0..0, facts);
    Ok(())
}

/// `[[fact]]`.
fn facts(found: Option<Found<'_>>) -> Result<Vec<Fact>, ManifestError> {
    let Some(found) = found else {
        return Ok(Vec::new());
    };
    let many = found.error(format!("at most {MOST} facts"));
    let tables = found.tables("[[fact]]")?;
    if tables.len() > MOST {
        return Err(many);
    }
    tables.into_iter().map(fact).collect()
}

fn fact(mut table: Table<'_>) -> Result<Fact, ManifestError> {
    let only = table.take("platform").map(platform).transpose()?;
    let pattern = table.require("content")?;
    let mut content = Vec::new();
    for platform in Platform::ALL {
        if only.is_none_or(|only| only == platform) {
            let text = for_platform(pattern.text()?, platform);
            content.push((platform, regex(&pattern, &text)?));
        }
    }
    let fact = Fact {
        id: id(table.require("id")?)?,
        packages: packages(table.require("package")?)?,
        files: list(Some(table.require("files")?))?,
        content,
        value: match table.take("value") {
            Some(found) => found.string()?,
            None => "$1".to_owned(),
        },
        fill: table.take("fill").map(id).transpose()?,
    };
    table.finish()?;
    Ok(fact)
}

fn platform(found: Found<'_>) -> Result<Platform, ManifestError> {
    found.parsed("a platform such as \"linux/amd64\"")
}

fn rule(mut table: Table<'_>) -> Result<Rule, ManifestError> {
    let rule = Rule {
        id: id(table.require("id")?)?,
        kind: kind(table.require("kind")?)?,
        packages: packages(table.require("package")?)?,
        command: table.take("command").as_ref().map(one_regex).transpose()?,
        runs: regexes(table.take("runs"))?,
        files: list(table.take("files"))?,
        content: regexes(table.take("content"))?,
        unless: table.take("unless").as_ref().map(one_regex).transpose()?,
        absent: list(table.take("absent"))?,
        catalog: table.take("catalog").map(catalog).transpose()?,
        instead_of: list(table.take("instead-of"))?,
        means: table.require("means")?.string()?,
        fix: table.require("fix")?.string()?,
        known: table.take("known").map(Found::string).transpose()?,
        closed_by: closers(table.take("closed-by"))?,
        severity: match table.take("severity") {
            Some(found) => severity(found)?,
            None => Severity::Warn,
        },
    };
    let place = table.place();
    table.finish()?;
    let unless = rule.unless.is_some() && rule.command.is_none();
    let lacks =
        (!rule.content.is_empty() || unless || rule.catalog.is_some()) && rule.files.is_empty();
    if lacks {
        return Err(ManifestError::Value {
            key: "files".to_owned(),
            expected: "given where `content`, `unless` or `catalog` is".to_owned(),
            place,
        });
    }
    Ok(rule)
}

fn id(found: Found<'_>) -> Result<String, ManifestError> {
    let fail = found.error("lowercase letters, digits and `-`, at most 64");
    let text = found.string()?;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
        return Err(fail);
    }
    Ok(text)
}

fn kind(found: Found<'_>) -> Result<HoleKind, ManifestError> {
    let known: Vec<_> = HoleKind::ALL.iter().map(|k| k.as_str()).collect();
    let fail = found.error(format!("one of {}", known.join(", ")));
    let text = found.string()?;
    let mut all = HoleKind::ALL.into_iter();
    all.find(|kind| kind.as_str() == text).ok_or(fail)
}

fn severity(found: Found<'_>) -> Result<Severity, ManifestError> {
    let fail = found.error("\"warn\" or \"note\": only a policy denies");
    match found.string()?.as_str() {
        "warn" => Ok(Severity::Warn),
        "note" => Ok(Severity::Note),
        _ => Err(fail),
    }
}

fn catalog(found: Found<'_>) -> Result<CatalogForm, ManifestError> {
    let fail = found.error("\"plugins\" or \"skills\"");
    match found.string()?.as_str() {
        "plugins" => Ok(CatalogForm::Plugins),
        "skills" => Ok(CatalogForm::Skills),
        _ => Err(fail),
    }
}

/// One text or several.
fn list(found: Option<Found<'_>>) -> Result<Vec<String>, ManifestError> {
    match found {
        None => Ok(Vec::new()),
        Some(found) if found.text().is_ok() => Ok(vec![found.string()?]),
        Some(found) => found.strings(),
    }
}

/// One of these, or several.
fn each<'a, T>(
    found: Found<'a>,
    read: impl Fn(Found<'a>) -> Result<T, ManifestError>,
) -> Result<Vec<T>, ManifestError> {
    if found.text().is_ok() {
        return Ok(vec![read(found)?]);
    }
    found.array()?.into_iter().map(read).collect()
}

fn packages(found: Found<'_>) -> Result<Vec<PackagePattern>, ManifestError> {
    let fail = found.error("at least one package");
    let all = each(found, |found| {
        let text = found.text()?;
        let parsed = text.parse::<PackagePattern>();
        parsed.map_err(|bad| found.error(bad.to_string()))
    })?;
    if all.is_empty() { Err(fail) } else { Ok(all) }
}

/// Patterns with placeholders, tried with something in their place.
fn closers(found: Option<Found<'_>>) -> Result<Vec<String>, ManifestError> {
    let Some(found) = found else {
        return Ok(Vec::new());
    };
    let sample = Fill {
        name: "name",
        version: "1.0.0",
        url: None,
        file: None,
        node: Some("1.0.0"),
        prebuilt: None,
    };
    each(found, |found| {
        let text = for_platform(&sample.into_text(found.text()?), Platform::LinuxAmd64);
        let text = text.replace("{asset}", "file.tar.gz");
        match text.parse::<PackagePattern>() {
            Ok(_) => found.string(),
            Err(bad) => Err(found.error(bad.to_string())),
        }
    })
}

fn regexes(found: Option<Found<'_>>) -> Result<Vec<Regex>, ManifestError> {
    found.map_or_else(
        || Ok(Vec::new()),
        |found| each(found, |one| one_regex(&one)),
    )
}

/// Lines are lines: `^` and `$` match at theirs. Bytes are ASCII: nothing here is worth the tables of Unicode.
fn one_regex(found: &Found<'_>) -> Result<Regex, ManifestError> {
    regex(found, found.text()?)
}

fn regex(found: &Found<'_>, text: &str) -> Result<Regex, ManifestError> {
    let built = RegexBuilder::new(text)
        .multi_line(true)
        .unicode(false)
        .size_limit(REGEX_SIZE)
        .dfa_size_limit(REGEX_SIZE)
        .build();
    built.map_err(|bad| {
        let why = crate::base::text::visible(&bad.to_string());
        found.error(format!("a regular expression: {why}"))
    })
}
