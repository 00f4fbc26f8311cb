//! What staged programs need from the system that was not staged: shared libraries and symbol versions of every ELF file
//! in wheels, npm tarballs, `.deb` files and plain files, against the staged Debian packages, the baseline and the
//! target's C library.
//!
//! Reads artifacts from the store, so it runs where they are: after a fetch. Only files for the target's machine and
//! C library count: a tarball may carry builds for many systems.

mod elf;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hint;
mod judge;
mod scan;
mod soname;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::base::fault::{Code, Kind};
use crate::base::finding::{Finding, Severity};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::{Libc, Platform};
use crate::base::progress::{Progress, Unit};
use crate::base::text::{escaped, quoted};
use crate::base::workers;
use crate::eco;
use crate::fs::{self, FsError};
use crate::lock::chain::Chains;
use crate::lock::{Lock, LockedArtifact, LockedPackage};
use crate::native::elf::Flavour;
pub use crate::native::hint::Offered;
use crate::native::scan::Scanned;
use crate::native::tree::{Binary, Tree, normal};
use crate::store::Store;

/// Codes of this module.
pub const CODES: &[&Code] = &[&MISSING, &GLIBC, &SYMBOL, &INTERPRETER, &UNREADABLE];

static MISSING: Code = Code::new("native-missing-library", Kind::Denied);
static GLIBC: Code = Code::new("native-glibc-too-old", Kind::Denied);
static SYMBOL: Code = Code::new("native-symbol-version", Kind::Denied);
static INTERPRETER: Code = Code::new("native-missing-interpreter", Kind::Denied);
static UNREADABLE: Code = Code::new("native-unreadable", Kind::Denied);

/// Most artifacts that are looked into at the same time.
const MAX_WORKERS: usize = 4;

/// Who provides a library.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provider {
    /// A staged release, which may be the one that needs it.
    Staged(EcosystemId, ReleaseId),
    /// The target's C library.
    Libc,
    /// A package of the baseline, by its name alone.
    Baseline(String),
    /// Nobody.
    Missing,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Staged(ecosystem, release) => {
                write!(f, "{ecosystem} {}", escaped(&release.to_string()))
            }
            Self::Libc => f.write_str("C library of the target"),
            Self::Baseline(package) => write!(f, "baseline {}", escaped(package)),
            Self::Missing => f.write_str("missing"),
        }
    }
}

/// One library that one file needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// Ecosystem of the release.
    pub ecosystem: EcosystemId,
    /// The release whose file needs it.
    pub release: ReleaseId,
    /// The platform.
    pub platform: Platform,
    /// The file that needs it, as a path in its archive; not escaped.
    pub file: String,
    /// The name that it asks for; not escaped.
    pub soname: String,
    /// Who has it.
    pub provider: Provider,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Every library that a file needs from outside its own release, sorted.
    pub needs: Vec<Need>,
    /// What is missing, sorted.
    pub findings: Vec<Finding>,
    /// Debian packages that would provide everything that is missing, by the naming rule of Debian Policy §8.1; empty
    /// for a target without glibc.
    pub packages: BTreeSet<String>,
    /// Whether the archives have all of these, as far as is known: not every platform could be looked up.
    pub is_probable: bool,
    /// Artifacts that were looked into.
    pub looked: usize,
    /// Carried artifacts that are not in the store.
    pub absent: usize,
}

/// What is known beside the lock.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Names of the packages that the target's image has.
    pub baseline: &'a BTreeSet<String>,
    /// What the install's Debian archives have.
    pub offered: &'a Offered<'a>,
}

impl fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Known({} in the baseline)", self.baseline.len())
    }
}

/// Looks into every carried artifact that is in the store.
pub fn check(
    lock: &Lock,
    store: &Store,
    known: &Known<'_>,
    progress: &dyn Progress,
) -> Result<Report, FsError> {
    let mut report = Report::default();
    let mut jobs = Vec::new();
    for (package, artifact) in lock.carried_artifacts() {
        let Some(unpacked) = eco::unpacked(package) else {
            continue;
        };
        match store.find(&artifact.checksum)? {
            Some(stored) => jobs.push((package, artifact, unpacked, stored.path)),
            None => report.absent += 1,
        }
    }
    report.looked = jobs.len();
    progress.begin("Looking for native needs", jobs.len() as u64, Unit::Items);
    let results = workers::map(&jobs, MAX_WORKERS, |(_, _, _, path)| {
        let scanned = fs::open(path).map(scan::scan);
        progress.advance(1);
        scanned
    });
    progress.end();
    let mut held = Vec::new();
    for ((package, artifact, unpacked, _), scanned) in jobs.into_iter().zip(results) {
        held.push(Held {
            package,
            artifact,
            unpacked,
            scanned: scanned?,
        });
    }
    judge_all(lock, &held, known, &mut report);
    Ok(report)
}

/// An artifact with what is in it.
struct Held<'a> {
    package: &'a LockedPackage,
    artifact: &'a LockedArtifact,
    unpacked: eco::Unpacked,
    scanned: Scanned,
}

impl Held<'_> {
    /// Absolute paths of a member once it is installed.
    fn places(&self, member: &str) -> Vec<String> {
        if self.scanned.system {
            return vec![normal(member)];
        }
        let rest = self.shown(member);
        let roots = self.unpacked.roots.iter();
        roots
            .map(|root| normal(&format!("{root}/{rest}")))
            .collect()
    }

    /// How messages call a member: without the folder that unpacking takes off. A file that is no archive has its own
    /// name.
    fn shown(&self, member: &str) -> String {
        if member.is_empty() {
            return self.artifact.file.clone();
        }
        let mut rest = member.trim_start_matches("./");
        if !self.scanned.system {
            for _ in 0..self.unpacked.strip {
                rest = rest.split_once('/').map_or(rest, |(_, rest)| rest);
            }
        }
        rest.to_owned()
    }
}

fn judge_all(lock: &Lock, held: &[Held<'_>], known: &Known<'_>, report: &mut Report) {
    let chains = Chains::new(lock);
    for platform in &lock.target.platforms {
        let wanted = match lock.target.libc {
            Libc::Glibc(_) => Flavour::Glibc,
            Libc::Musl(_) => Flavour::Musl,
        };
        let (mut binaries, mut links) = (Vec::new(), Vec::new());
        for item in held
            .iter()
            .filter(|h| h.package.platforms.contains(platform))
        {
            for (path, target) in &item.scanned.links {
                let places = item.places(path).into_iter();
                links.extend(places.map(|place| (place, target.clone())));
            }
            for (path, elf) in &item.scanned.binaries {
                let fits = elf.platform == Some(*platform)
                    && (elf.flavour == wanted || elf.flavour == Flavour::Any);
                if fits {
                    binaries.push(Binary {
                        ecosystem: &item.package.ecosystem,
                        release: item.package.id(),
                        file: item.shown(path),
                        places: item.places(path),
                        system: item.scanned.system,
                        elf,
                    });
                }
            }
        }
        let tree = Tree::new(&binaries, &links, *platform);
        let judge = judge::Judge::new(lock, *platform, known, &tree);
        let (needs, findings) = judge.run(&binaries, &chains);
        let hint = judge.hint(&needs);
        report.is_probable |= !hint.is_certain;
        report.packages.extend(hint.packages);
        report.needs.extend(needs);
        report.findings.extend(findings);
    }
    report.findings.extend(held.iter().filter_map(unreadable));
    report.needs.sort();
    report.needs.dedup();
    report
        .findings
        .sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
}

/// What could not be read of one artifact.
fn unreadable(held: &Held<'_>) -> Option<Finding> {
    let (path, reason) = held.scanned.unreadable.first()?;
    let more = match held.scanned.unreadable.len() - 1 {
        0 => String::new(),
        count => format!(", and {count} more"),
    };
    let message = format!(
        "{} cannot be looked into for native needs: {}{more}",
        quoted(&held.shown(path)),
        escaped(reason)
    );
    Some(Finding {
        code: &UNREADABLE,
        severity: Severity::Note,
        subject: subject(&held.package.ecosystem, &held.package.id()),
        message,
        chain: Vec::new(),
        fix: None,
    })
}

fn subject(ecosystem: &EcosystemId, release: &ReleaseId) -> String {
    format!("{ecosystem} {}", escaped(&release.to_string()))
}

/// Releases with what is said of each.
type PerRelease<'a, T> = BTreeMap<(&'a EcosystemId, &'a ReleaseId), T>;
