//! The install-script trial: lays out one npm install from stored tarballs and runs its install scripts in a network
//! namespace that has nothing, to see which of them reach for the network. Runs third-party code, so only when asked.

mod layout;
mod sandbox;

use std::path::{Path, PathBuf};

use crate::base::digest::UpstreamChecksum;
use crate::base::fault::{Code, Fault, Kind};
use crate::base::finding::{Finding, Severity};
use crate::base::package::EcosystemId;
use crate::base::platform::Platform;
use crate::base::progress::{Progress, Unit};
use crate::eco::EcoError;
use crate::eco::npm::records::{self, NpmRecords};
use crate::fs::FsError;
use crate::lock::{Lock, LockedPackage};

/// Codes of this module.
pub const CODES: &[&Code] = &[&TRIAL_IMPOSSIBLE, &SCRIPT_DOWNLOADS, &SCRIPT_FAILS];

static TRIAL_IMPOSSIBLE: Code = Code::new("npm-trial-impossible", Kind::Failed);
static SCRIPT_DOWNLOADS: Code = Code::new("npm-install-script-downloads", Kind::Denied);
static SCRIPT_FAILS: Code = Code::new("npm-install-script-fails", Kind::Denied);

/// Why there was no trial.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// This host cannot run it.
    #[error("install scripts cannot be tried here: {reason}")]
    Impossible {
        /// Why, escaped.
        reason: String,
    },
    /// A tarball cannot be laid out.
    #[error("the tarball of {release} cannot be unpacked: {reason}")]
    Tarball {
        /// `name@version`.
        release: String,
        /// Why, escaped.
        reason: String,
    },
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The records cannot be read.
    #[error(transparent)]
    Records(#[from] EcoError),
}

impl Fault for TrialError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Impossible { .. } | Self::Tarball { .. } => &TRIAL_IMPOSSIBLE,
            Self::Fs(inner) => inner.code(),
            Self::Records(inner) => inner.code(),
        }
    }
}

/// What a trial needs.
pub struct Trial<'a> {
    /// The closure.
    pub lock: &'a Lock,
    /// Its npm records.
    pub records: &'a [u8],
    /// Where the tarball with this checksum is.
    pub blob: &'a dyn Fn(&UpstreamChecksum) -> Result<Option<PathBuf>, FsError>,
    /// The platform of this host.
    pub host: Platform,
    /// An empty folder to work in; removed afterwards.
    pub folder: &'a Path,
    /// The search path for programs.
    pub path: &'a str,
}

impl std::fmt::Debug for Trial<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// One script that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// `name@version`.
    pub release: String,
    /// Lifecycle event, such as `postinstall`.
    pub event: String,
    /// The command line.
    pub command: String,
    /// Hosts it reached for, sorted.
    pub hosts: Vec<String>,
    /// Whether it ended well without network.
    pub succeeded: bool,
}

/// The lifecycle events that run on install, in order.
const EVENTS: [&str; 3] = ["preinstall", "install", "postinstall"];

/// Runs every install script of every install; returns what was run and a finding for each script that reached for
/// the network or failed.
pub fn run(
    trial: &Trial<'_>,
    progress: &dyn Progress,
) -> Result<(Vec<Tried>, Vec<Finding>), TrialError> {
    if !trial.lock.target.platforms.contains(&trial.host) {
        return Err(TrialError::Impossible {
            reason: format!("the lock is not for {}", trial.host),
        });
    }
    let records = records::parse(trial.records)?;
    let sandbox = sandbox::Sandbox::prepare(trial)?;
    let mut tried = Vec::new();
    for install in layout::installs(trial.lock) {
        let scripted = scripted(trial, &records, install);
        if scripted.is_empty() {
            continue;
        }
        let root = trial.folder.join(format!("install-{install}"));
        layout::unpack(trial, &records, install, &root)?;
        sandbox.hand_over(&root)?;
        progress.begin(
            "Trying install scripts offline",
            scripted.len() as u64,
            Unit::Items,
        );
        for (package, place) in scripted {
            tried.extend(run_package(&sandbox, &records, package, &root, place)?);
            progress.advance(1);
        }
        progress.end();
    }
    let findings = tried.iter().filter_map(finding).collect();
    Ok((tried, findings))
}

/// Places of an install whose package has install scripts, deepest first, as npm runs dependencies before dependents.
fn scripted<'a>(
    trial: &Trial<'a>,
    records: &NpmRecords,
    install: u32,
) -> Vec<(&'a LockedPackage, &'a str)> {
    let npm = EcosystemId::npm();
    let lock: &'a Lock = trial.lock;
    let mut out = Vec::new();
    for package in lock
        .packages
        .iter()
        .filter(|p| p.ecosystem == npm && p.platforms.contains(&trial.host))
    {
        let version = records
            .packages
            .get(&package.name)
            .and_then(|p| p.versions.get(&package.version));
        if version.is_some_and(|v| !v.scripts.is_empty() || v.has_install_script) {
            out.extend(layout::places(package, install).map(|place| (package, place)));
        }
    }
    out.sort_by_key(|(_, place)| {
        std::cmp::Reverse((place.matches("node_modules/").count(), *place))
    });
    out
}

fn run_package(
    sandbox: &sandbox::Sandbox,
    records: &NpmRecords,
    package: &LockedPackage,
    root: &Path,
    place: &str,
) -> Result<Vec<Tried>, TrialError> {
    let version = records
        .packages
        .get(&package.name)
        .and_then(|p| p.versions.get(&package.version));
    let scripts = version.map(|v| v.scripts.clone()).unwrap_or_default();
    let mut tried = Vec::new();
    for event in EVENTS {
        let Some(command) = scripts.get(event) else {
            continue;
        };
        let (succeeded, hosts) = sandbox.run(root, place, event, command)?;
        tried.push(Tried {
            release: package.id().to_string(),
            event: event.to_owned(),
            command: command.clone(),
            hosts,
            succeeded,
        });
    }
    Ok(tried)
}

fn finding(tried: &Tried) -> Option<Finding> {
    let command = crate::base::text::quoted(&tried.command);
    let (code, message, fix) = if !tried.hosts.is_empty() {
        let hosts: Vec<String> = tried
            .hosts
            .iter()
            .map(|h| crate::base::text::escaped(h))
            .collect();
        let end = if tried.succeeded {
            "and goes on without it"
        } else {
            "and fails without it"
        };
        let message = format!(
            "{} script {command} reaches for {} {end}",
            tried.event,
            hosts.join(", ")
        );
        (
            &SCRIPT_DOWNLOADS,
            message,
            "stage what it downloads as a [[file]], or install with --ignore-scripts",
        )
    } else if tried.succeeded {
        return None;
    } else {
        let message = format!("{} script {command} fails offline", tried.event);
        (
            &SCRIPT_FAILS,
            message,
            "try it on a host like the target; it may need build tools that are not staged",
        )
    };
    Some(Finding {
        code,
        severity: Severity::Warn,
        subject: format!("npm {}", tried.release),
        message,
        chain: Vec::new(),
        fix: Some(fix.to_owned()),
    })
}
