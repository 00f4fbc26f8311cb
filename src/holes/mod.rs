//! Holes: what staged packages fetch by themselves and no package manager knows of. Install scripts that download,
//! programs and models that are fetched at first use, builds that download, catalogs of plugins inside of packages.
//!
//! What is known stands in rules (`rules/*.toml`, and a file of the user's own); this module holds them against the
//! packages of a lock and against what is in their artifacts. It reads artifacts from the store, so it runs where they
//! are: after a fetch. `docs/holes.md` has every rule and says how to write one.

mod catalog;
mod fact;
mod judge;
mod look;
mod prebuilt;
pub mod rule;
pub mod section;

use std::path::PathBuf;

use crate::base::fault::{Code, Fault, Kind, Place};
use crate::base::finding::{Finding, Severity};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::progress::{Progress, Unit};
use crate::base::text::quoted;
use crate::base::workers;
use crate::fs::{self, FsError};
pub use crate::holes::catalog::Entry;
use crate::holes::fact::{Fact, Facts};
use crate::holes::look::{Job, Seen};
use crate::holes::rule::{Rule, Rules};
use crate::holes::section::HoleClosed;
use crate::lock::{Lock, LockedArtifact, LockedPackage};
use crate::manifest::ManifestError;
use crate::policy::PackagePattern;
use crate::store::Store;

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &INSTALL_DOWNLOAD,
    &INSTALL_BUILD,
    &BUILD_DOWNLOAD,
    &RUN_DOWNLOAD,
    &FIRST_START,
    &MISSING_PART,
    &CATALOG,
    &UNREADABLE,
    &RULES,
];

static INSTALL_DOWNLOAD: Code = Code::new("hole-install-download", Kind::Denied);
static INSTALL_BUILD: Code = Code::new("hole-install-build", Kind::Denied);
static BUILD_DOWNLOAD: Code = Code::new("hole-build-download", Kind::Denied);
static RUN_DOWNLOAD: Code = Code::new("hole-run-download", Kind::Denied);
static FIRST_START: Code = Code::new("hole-first-start", Kind::Denied);
static MISSING_PART: Code = Code::new("hole-missing-part", Kind::Denied);
static CATALOG: Code = Code::new("hole-catalog", Kind::Denied);
static UNREADABLE: Code = Code::new("hole-unreadable", Kind::Denied);
static RULES: Code = Code::new("hole-rules", Kind::Usage);

/// Most artifacts that are looked into at the same time.
const MAX_WORKERS: usize = 4;
/// Largest file of rules, in bytes.
const MAX_RULES: u64 = 4 << 20;

/// What kind of hole it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HoleKind {
    /// An install script fetches something.
    InstallDownload,
    /// Something is compiled when it is installed.
    InstallBuild,
    /// Building it fetches something.
    BuildDownload,
    /// It fetches a program when it is used.
    RunDownload,
    /// It fetches models, browsers or data when it is first used.
    FirstStart,
    /// Its part for the platform is a package of its own, which is not staged.
    MissingPart,
    /// It lists what it can install.
    Catalog,
}

impl HoleKind {
    /// Every kind, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::InstallDownload,
        Self::InstallBuild,
        Self::BuildDownload,
        Self::RunDownload,
        Self::FirstStart,
        Self::MissingPart,
        Self::Catalog,
    ];

    /// Its name in rules and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InstallDownload => "install-download",
            Self::InstallBuild => "install-build",
            Self::BuildDownload => "build-download",
            Self::RunDownload => "run-download",
            Self::FirstStart => "first-start",
            Self::MissingPart => "missing-part",
            Self::Catalog => "catalog",
        }
    }

    /// What people read above a list of them.
    pub const fn title(self) -> &'static str {
        match self {
            Self::InstallDownload => "Scripts that download when a package is installed",
            Self::InstallBuild => "Code that is compiled when a package is installed",
            Self::BuildDownload => "Builds that download",
            Self::RunDownload => "Programs that are fetched when they are used",
            Self::FirstStart => "Models, browsers and data that are fetched at first use",
            Self::MissingPart => "Parts for the platform that are not staged",
            Self::Catalog => "Plugins and helpers that are installed when somebody asks for them",
        }
    }

    const fn code(self) -> &'static Code {
        match self {
            Self::InstallDownload => &INSTALL_DOWNLOAD,
            Self::InstallBuild => &INSTALL_BUILD,
            Self::BuildDownload => &BUILD_DOWNLOAD,
            Self::RunDownload => &RUN_DOWNLOAD,
            Self::FirstStart => &FIRST_START,
            Self::MissingPart => &MISSING_PART,
            Self::Catalog => &CATALOG,
        }
    }
}

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HolesError {
    /// The file cannot be read.
    #[error("cannot read the rules")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: FsError,
    },
    /// They are not rules.
    #[error(transparent)]
    Document(#[from] ManifestError),
}

impl Fault for HolesError {
    fn code(&self) -> &'static Code {
        &RULES
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Unreadable { path, .. } => vec![("file", quoted(&path.to_string_lossy()))],
            Self::Document(inner) => inner.facts(),
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            Self::Unreadable { .. } => None,
            Self::Document(inner) => inner.place(),
        }
    }
}

/// One hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// Its kind.
    pub kind: HoleKind,
    /// The rule that found it.
    pub rule: String,
    /// The file in the archive that shows it; not escaped.
    pub file: Option<String>,
    /// What is said of it.
    pub finding: Finding,
}

/// A hole that something staged closes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Closed {
    /// The rule that found it.
    pub rule: String,
    /// `npm name@version`, escaped.
    pub subject: String,
    /// What closes it, escaped.
    pub by: String,
}

/// What a package lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// `npm name@version`, escaped.
    pub subject: String,
    /// Its entries, sorted, each with whether a package for it is staged.
    pub entries: Vec<(Entry, bool)>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Holes, sorted by kind and subject.
    pub holes: Vec<Hole>,
    /// Holes that are closed, sorted.
    pub closed: Vec<Closed>,
    /// Catalogs inside of packages.
    pub catalogs: Vec<Catalog>,
    /// Artifacts that could not be read.
    pub unreadable: Vec<Finding>,
    /// Artifacts that were looked into.
    pub looked: usize,
    /// Carried artifacts that are not in the store.
    pub absent: usize,
}

impl Report {
    /// Everything that is to be said.
    pub fn findings(&self) -> Vec<Finding> {
        let holes = self.holes.iter().map(|hole| hole.finding.clone());
        let mut all: Vec<Finding> = holes.chain(self.unreadable.iter().cloned()).collect();
        all.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        all
    }
}

/// Whether a finding is one of a hole.
pub fn is_hole(finding: &Finding) -> bool {
    CODES.iter().any(|code| code.name == finding.code.name)
}

/// The shipped rules, and those of further files, which come after and may replace them.
pub fn rules(files: &[PathBuf]) -> Result<Rules, HolesError> {
    let mut rules = rule::shipped()?;
    for path in files {
        let bytes = fs::read(path, MAX_RULES).map_err(|source| HolesError::Unreadable {
            path: path.clone(),
            source,
        })?;
        let name = crate::base::text::escaped(&path.to_string_lossy());
        let text = std::str::from_utf8(&bytes).map_err(|_bytes| ManifestError::Syntax {
            reason: "not UTF-8".to_owned(),
            place: crate::manifest::table::place(&name, "", 0),
        })?;
        rule::add(&mut rules, &name, text)?;
    }
    Ok(rules)
}

/// Holds the rules against a lock and against every carried artifact that is in the store. `closed` is what the
/// manifest says is closed by what.
pub fn check(
    lock: &Lock,
    store: &Store,
    rules: &Rules,
    closed: &[HoleClosed],
    progress: &dyn Progress,
) -> Result<Report, FsError> {
    let mut report = Report::default();
    let mut jobs = Vec::new();
    for (package, artifact) in lock.carried_artifacts() {
        let of = rules_of(&rules.list, &package.ecosystem);
        let says =
            |fact: &&Fact| fact.is_about(&package.ecosystem, &package.name, &package.version);
        let facts: Vec<&Fact> = rules.facts.iter().filter(says).collect();
        if of.iter().all(|rule| rule.is_by_name()) && facts.is_empty() {
            continue;
        }
        match store.find(&artifact.checksum)? {
            Some(stored) => jobs.push((package, artifact, of, facts, stored.path)),
            None => report.absent += 1,
        }
    }
    report.looked = jobs.len();
    progress.begin("Looking for holes", jobs.len() as u64, Unit::Items);
    let results = workers::map(
        &jobs,
        MAX_WORKERS,
        |(package, artifact, of, facts, path)| {
            let job = Job {
                rules: of,
                facts,
                ecosystem: &package.ecosystem,
                name: &package.name,
                version: &package.version,
                file: &artifact.file,
            };
            let seen = look::look(&job, &|| fs::open(path));
            progress.advance(1);
            seen
        },
    );
    progress.end();
    let (mut looked, mut facts) = (Vec::new(), Facts::default());
    for ((package, artifact, rules, ..), seen) in jobs.into_iter().zip(results) {
        let seen = seen?;
        facts.add(&package.id(), &seen.facts);
        looked.push(Looked {
            package,
            artifact,
            rules,
            seen,
        });
    }
    let known = judge::Known { closed, facts };
    judge::judge(lock, &rules.list, &known, &looked, &mut report);
    Ok(report)
}

/// An artifact with what was seen in it.
struct Looked<'a> {
    package: &'a LockedPackage,
    artifact: &'a LockedArtifact,
    rules: Vec<&'a Rule>,
    seen: Seen,
}

/// The rules about packages of an ecosystem.
fn rules_of<'r>(rules: &'r [Rule], ecosystem: &EcosystemId) -> Vec<&'r Rule> {
    let all = rules.iter();
    all.filter(|rule| rule.is_of(ecosystem)).collect()
}

/// The first carried package that one of the patterns means for a platform.
fn staged<'l>(
    lock: &'l Lock,
    patterns: &[PackagePattern],
    platform: crate::base::platform::Platform,
) -> Option<&'l LockedPackage> {
    lock.packages.iter().find(|package| {
        package.platforms.contains(&platform)
            && PackagePattern::any(
                patterns,
                &package.ecosystem,
                &package.name,
                &package.version,
            )
    })
}

/// `npm name@version`.
fn subject(ecosystem: &EcosystemId, release: &ReleaseId) -> String {
    format!(
        "{ecosystem} {}",
        crate::base::text::escaped(&release.to_string())
    )
}

/// What could not be read of one artifact.
fn unreadable(looked: &Looked<'_>) -> Option<Finding> {
    let reason = looked.seen.unreadable.as_ref()?;
    Some(Finding {
        code: &UNREADABLE,
        severity: Severity::Note,
        subject: subject(&looked.package.ecosystem, &looked.package.id()),
        message: format!(
            "{} cannot be looked into for holes: {}",
            quoted(&looked.artifact.file),
            crate::base::text::escaped(reason)
        ),
        chain: Vec::new(),
        fix: None,
    })
}
