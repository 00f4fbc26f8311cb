//! The closure proof: a bundle is imported, served and installed by the real clients where there is no network but
//! loopback, an empty home and an unprivileged account; then the checks of the manifest run. What any of it reached for
//! and did not get is recorded.
//!
//! ```text
//! verify (by the caller) > import > serve > client configuration > bootstrap > npm, pip, uv, apt, cargo, files > checks
//! ```
//!
//! A proof finds what is missing by mistake. It runs code that nobody has reviewed, watched from outside of its namespaces
//! but under the same kernel: code that is made to deceive whoever tests it may behave otherwise elsewhere.

mod accounts;
mod check;
mod clients;
mod crates;
mod debian;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod holder;
pub mod janitor;
mod observe;
mod place;
pub mod report;
mod run;
mod said;
mod sandbox;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::base::check::Check;
use crate::base::fault::{Class, Code, Fault, Kind};
use crate::base::package::EcosystemId;
use crate::base::platform::Platform;
use crate::base::time::Timestamp;
use crate::eco::EcoError;
use crate::fs::{self, FsError};
use crate::lock::{Lock, Records};
use crate::prove::janitor::Janitor;
use crate::prove::run::Run;
use crate::prove::sandbox::{Plan, Sandbox};
use crate::trust::proof::Proof;

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &IMPOSSIBLE,
    &PROGRAM_MISSING,
    &NOT_FOR_HOST,
    &report::CONNECTS,
    &report::NAME,
    &report::MISSING,
    &report::DENIED,
    &report::UNOBSERVED,
    &report::NOT_RUN,
];

static IMPOSSIBLE: Code = Code::classed("prove-impossible", Class::E41);
static PROGRAM_MISSING: Code = Code::new("prove-program-missing", Kind::Failed);
static NOT_FOR_HOST: Code = Code::new("prove-other-platform", Kind::Usage);

pub use crate::prove::sandbox::find;

/// Why nothing could be proved.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// This host does not allow it.
    #[error("a bundle cannot be proved here: {reason}")]
    Impossible {
        /// What the system said, escaped.
        reason: String,
        /// What the administrator can do.
        hint: Option<String>,
    },
    /// A program is not installed.
    #[error("the program `{program}` is needed and not installed")]
    Program {
        /// Its name.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The bundle is for other hosts.
    #[error("the bundle carries nothing for this host, {host}")]
    OtherPlatform {
        /// This host's platform.
        host: String,
    },
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The records cannot be read.
    #[error(transparent)]
    Eco(#[from] EcoError),
}

impl Fault for ProveError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Impossible { .. } => &IMPOSSIBLE,
            Self::Program { .. } => &PROGRAM_MISSING,
            Self::OtherPlatform { .. } => &NOT_FOR_HOST,
            Self::Fs(inner) => inner.code(),
            Self::Eco(inner) => inner.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Impossible { hint, .. } => hint.clone(),
            Self::Program {
                program: "strace", ..
            } => Some("install the Debian package strace, or give --no-trace".to_owned()),
            Self::Program { package, .. } => Some(format!("install the Debian package {package}")),
            Self::OtherPlatform { .. } => {
                Some("prove it on a host of the target's platform".to_owned())
            }
            Self::Fs(_) | Self::Eco(_) => None,
        }
    }
}

/// What is proved, and how.
#[derive(Debug)]
pub struct Request<'a> {
    /// The bundle, which was verified.
    pub bundle: &'a Path,
    /// Its channel.
    pub channel: &'a str,
    /// Its serial.
    pub serial: u64,
    /// Its lock.
    pub lock: &'a Lock,
    /// Its records.
    pub records: &'a Records,
    /// The trust root that it was verified by: the file's bytes, its version and its fingerprint.
    pub root: (&'a [u8], u64, String),
    /// What shall work.
    pub checks: &'a [Check],
    /// Ecosystems to install; empty: all.
    pub only: &'a BTreeSet<EcosystemId>,
    /// Ecosystems that are left out on purpose, each with the reason.
    pub without: &'a BTreeMap<String, String>,
    /// The workspaces whose lock files the bundle has, by the number of the install.
    pub workspaces: &'a BTreeMap<u32, PathBuf>,
    /// This host's platform.
    pub host: Platform,
    /// An empty folder to work in.
    pub folder: &'a Path,
    /// The search path for programs of this host.
    pub path: &'a str,
    /// This program.
    pub program: &'a Path,
    /// Files and folders of this host that are shown inside, and where.
    pub tools: &'a [(PathBuf, PathBuf)],
    /// The Python that is used, as it is called inside; else the one of this host.
    pub python: Option<String>,
    /// Seconds that one step may take.
    pub seconds: u64,
    /// Whether system calls are recorded.
    pub trace: bool,
    /// Who tidies up if this process cannot.
    pub janitor: &'a Janitor,
    /// The time now.
    pub now: Timestamp,
    /// Name and version of this program.
    pub tool: &'a str,
}

/// Proves it; `tell` gets a line for each step that ended.
///
/// # Errors
/// It cannot be tried here. That something does not work is no error but a result.
pub fn run(request: &Request<'_>, tell: &dyn Fn(&str)) -> Result<Proof, ProveError> {
    if !request.lock.target.platforms.contains(&request.host) {
        let host = request.host.as_str().to_owned();
        return Err(ProveError::OtherPlatform { host });
    }
    let plan = Plan {
        folder: request.folder,
        path: request.path,
        program: request.program,
        tools: request.tools,
        trace: request.trace,
        janitor: request.janitor,
    };
    let sandbox = Sandbox::open(&plan)?;
    let clients::Tasks {
        list: tasks,
        path,
        files,
    } = clients::tasks(request, &sandbox)?;
    let stage = sandbox.outside("/stage");
    fs::write_unsynced(&stage.join("root.json"), request.root.0, 0o644)?;
    for (number, folder) in request.workspaces {
        crates::copy(folder, &sandbox.outside(&crates::workspace(*number)))?;
    }
    for (name, text) in files {
        fs::write_unsynced(&stage.join(name), text.as_bytes(), 0o644)?;
    }
    let host = place::host(request, &sandbox)?;
    let mut run = Run::new(request, tell, sandbox, path);
    // Ends with this function.
    let _server = run.serve()?;
    run.install(&tasks)?;
    let checks = run.checks()?;
    Ok(run.finish(host, checks))
}
