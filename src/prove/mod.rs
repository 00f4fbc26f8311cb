//! The closure proof: a bundle is imported, served and installed by the real clients where there is no network but
//! loopback, an empty home and an unprivileged account; then the checks of the manifest run. What any of it reached for
//! and did not get is recorded.
//!
//! ```text
//! verify (by the caller) > import > serve > client configuration > bootstrap > npm, pip, uv, apt, cargo > checks
//! ```
//!
//! A proof finds what is missing by mistake. It runs code that nobody has reviewed, watched from outside of its namespaces
//! but under the same kernel: code that is made to deceive whoever tests it may behave otherwise elsewhere.

mod clients;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod observe;
mod place;
pub mod report;
mod said;
mod sandbox;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::base::check::{Check, Expect};
use crate::base::fault::{Class, Code, Fault, Kind};
use crate::base::package::EcosystemId;
use crate::base::platform::Platform;
use crate::base::text::visible;
use crate::base::time::Timestamp;
use crate::eco::EcoError;
use crate::fs::{self, FsError};
use crate::lock::{Lock, Records};
use crate::prove::clients::{BASE, SKIPPED, Task};
use crate::prove::observe::{Observer, Seen};
use crate::prove::said::{cut, last_words, missing_module, tail};
use crate::prove::sandbox::{HOME, Job, PROGRAM, Plan, Running, Sandbox};
use crate::trust::proof::{Checked, Client, Ended, Host, Proof, RootVersion, Step};

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &IMPOSSIBLE,
    &PROGRAM_MISSING,
    &NOT_FOR_HOST,
    &report::CONNECTS,
    &report::NAME,
    &report::MISSING,
    &report::DENIED,
];

static IMPOSSIBLE: Code = Code::classed("prove-impossible", Class::E41);
static PROGRAM_MISSING: Code = Code::new("prove-program-missing", Kind::Failed);
static NOT_FOR_HOST: Code = Code::new("prove-other-platform", Kind::Usage);

/// Most of a trace that is read, in bytes.
const MOST_TRACE: u64 = 8 << 30;
/// How often a check asks.
const PAUSE: Duration = Duration::from_millis(300);

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
    let clients::Tasks {
        list: tasks,
        path,
        files,
    } = clients::tasks(request)?;
    let plan = Plan {
        folder: request.folder,
        path: request.path,
        program: request.program,
        tools: request.tools,
        trace: request.trace,
    };
    let sandbox = Sandbox::open(&plan)?;
    let stage = sandbox.outside("/stage");
    fs::write_unsynced(&stage.join("root.json"), request.root.0, 0o644)?;
    for (name, text) in files {
        fs::write_unsynced(&stage.join(name), text.as_bytes(), 0o644)?;
    }
    let host = place::host(request, &sandbox)?;
    let mut run = Run {
        request,
        tell,
        sandbox,
        path,
        names: 0,
        steps: Vec::new(),
        clients: BTreeSet::new(),
        seen: Seen::default(),
    };
    // Ends with this function.
    let _server = run.serve()?;
    run.install(&tasks)?;
    let checks = run.checks()?;
    Ok(run.finish(host, checks))
}

/// A proof in the making.
struct Run<'a> {
    request: &'a Request<'a>,
    tell: &'a dyn Fn(&str),
    sandbox: Sandbox,
    path: String,
    /// Names that were asked for and are accounted for.
    names: usize,
    steps: Vec<Step>,
    clients: BTreeSet<Client>,
    seen: Seen,
}

impl Run<'_> {
    fn works(&self) -> bool {
        self.steps.iter().all(|step| step.result != Ended::Failed)
    }

    /// Imports the bundle and serves the repository; the server, if both worked.
    fn serve(&mut self) -> Result<Option<Running>, ProveError> {
        let fingerprint = &self.request.root.2;
        let import = format!(
            "set -e\n{PROGRAM} repo init -q --repo /stage/repo --trust /stage/root.json --fingerprint {fingerprint} --base-url {BASE}\n\
             {PROGRAM} import -q - --repo /stage/repo\n\
             {PROGRAM} repo client-config -q --repo /stage/repo --install-to {HOME}\n"
        );
        let input = fs::open(self.request.bundle)?;
        let job = self.job("import", &import, None);
        let began = Instant::now();
        let mut running = self.sandbox.start(&job, Some(input))?;
        let exit = running.wait()?;
        self.step(
            "import into a scratch repository",
            exit,
            began,
            &running,
            &[],
        );
        if !self.works() {
            return Ok(None);
        }
        let listen = BASE.trim_start_matches("http://");
        let serve = format!("exec {PROGRAM} repo serve -q --repo /stage/repo --listen {listen}");
        let job = Job {
            seconds: 7 * 86_400,
            ..self.job("serve", &serve, None)
        };
        let began = Instant::now();
        let mut server = self.sandbox.start(&job, None)?;
        let address = format!("{BASE}/repository.json");
        let answer = self.answer(&mut server, &address, 200, Duration::from_mins(1));
        let exit = answer.as_ref().err().map_or(Some(0), |_| Some(1));
        self.step("serve it on the loopback", exit, began, &server, &[]);
        Ok(Some(server).filter(|_| self.works()))
    }

    /// The clients' steps. After one that failed, the others of its ecosystem are not tried.
    fn install(&mut self, tasks: &[Task]) -> Result<(), ProveError> {
        if !self.works() {
            return Ok(());
        }
        let mut failed: BTreeSet<&EcosystemId> = BTreeSet::new();
        let mut alternatives: BTreeMap<&EcosystemId, (usize, bool)> = BTreeMap::new();
        let calls = observe::install_calls();
        for task in tasks {
            if failed.contains(&task.ecosystem) {
                self.skip(&task.name, "the step before it failed");
                continue;
            }
            let job = self.job(&task.name, &task.script, Some(&calls));
            let began = Instant::now();
            let mut running = self.sandbox.start(&job, None)?;
            let exit = running.wait()?;
            let lines = tail(&running.log);
            self.observe(&running, &task.name, &lines, exit == Some(0))?;
            self.take_clients(&lines);
            self.step(&task.name, exit, began, &running, &lines);
            let result = self.steps.last().map(|step| step.result);
            if result == Some(Ended::Failed) {
                failed.insert(&task.ecosystem);
            }
            if task.alternative {
                let at = self.steps.len().saturating_sub(1);
                let (_, passed) = alternatives
                    .get(&task.ecosystem)
                    .copied()
                    .unwrap_or_default();
                let passed = passed || result == Some(Ended::Passed);
                alternatives.insert(&task.ecosystem, (at, passed));
            }
        }
        // Of those who could have done it, one must.
        for (at, passed) in alternatives.into_values() {
            if let Some(step) = self.steps.get_mut(at).filter(|_| !passed) {
                step.result = Ended::Failed;
            }
        }
        Ok(())
    }

    /// The checks; none is tried if something could not be installed.
    fn checks(&mut self) -> Result<Vec<Checked>, ProveError> {
        let mut checked = Vec::new();
        for check in self.request.checks {
            let began = Instant::now();
            let (result, detail) = if self.works() {
                self.check(check)?
            } else {
                (Ended::Skipped, "a step before failed".to_owned())
            };
            let milliseconds = milliseconds(began);
            self.tell(&check.run, result, milliseconds, &detail);
            checked.push(Checked {
                check: check.clone(),
                result,
                milliseconds,
                detail,
            });
        }
        Ok(checked)
    }

    fn check(&mut self, check: &Check) -> Result<(Ended, String), ProveError> {
        let calls = observe::check_calls();
        let within = check.expect.within();
        let job = Job {
            env: &check.env,
            // Whoever asks ends it.
            seconds: within + check.expect.watch() + 60,
            ..self.job(&check.run, &check.run, Some(&calls))
        };
        let mut running = self.sandbox.start(&job, None)?;
        let limit = Duration::from_secs(within);
        let found = match &check.expect {
            Expect::Answer(answer) => self.answer(&mut running, &answer.http, answer.status, limit),
            Expect::End(end) => ended(&mut running, limit).and_then(|code| {
                let wanted = i32::from(end.exit);
                if code != wanted {
                    return Err(format!("exit {code} instead of {wanted}"));
                }
                let text = end.output.as_deref().unwrap_or_default();
                let log = fs::read(&running.log, 1 << 30).unwrap_or_default();
                if !contains(&log, text.as_bytes()) {
                    return Err("its output does not have what is expected".to_owned());
                }
                Ok(format!("exit {code}"))
            }),
        };
        if let (Expect::Answer(answer), Ok(_)) = (&check.expect, &found) {
            Self::watch(&mut running, answer.watch);
        }
        running.end();
        let lines = tail(&running.log);
        self.observe(&running, &check.run, &lines, found.is_ok())?;
        Ok(match found {
            Ok(detail) => (Ended::Passed, detail),
            Err(why) => (Ended::Failed, cut(&[why, last_words(&lines)].join("; "))),
        })
    }

    /// Asks until the answer is right; what was found.
    fn answer(
        &self,
        running: &mut Running,
        address: &str,
        wanted: u16,
        limit: Duration,
    ) -> Result<String, String> {
        let began = Instant::now();
        let mut last = "no answer".to_owned();
        loop {
            if let Some(status) = self.sandbox.ask(address) {
                last = format!("HTTP {status}");
                if status == wanted {
                    return Ok(last);
                }
            }
            if let Some(code) = running.ended() {
                return Err(format!(
                    "it ended with exit {code} before the answer was right: {last}"
                ));
            }
            if began.elapsed() >= limit {
                return Err(format!(
                    "{last} within {} s instead of HTTP {wanted}",
                    limit.as_secs()
                ));
            }
            std::thread::park_timeout(PAUSE);
        }
    }

    /// What runs goes on for so long: much is reached for only after the first answer.
    fn watch(running: &mut Running, seconds: u64) {
        let (began, limit) = (Instant::now(), Duration::from_secs(seconds));
        while began.elapsed() < limit && running.ended().is_none() {
            std::thread::park_timeout(PAUSE);
        }
    }

    /// Takes in what was recorded of a step.
    fn observe(
        &mut self,
        running: &Running,
        during: &str,
        lines: &[String],
        worked: bool,
    ) -> Result<(), ProveError> {
        let mut observer = Observer::new(HOME);
        if let Some(file) = &running.trace {
            let reader = BufReader::with_capacity(1 << 20, fs::open(file)?);
            let read = trace::read(reader, MOST_TRACE, &mut |call| observer.see(call));
            read.map_err(fs::context("read", file))?;
        }
        let asked = self.sandbox.asked(self.names);
        self.names += asked.len();
        for name in &asked {
            observer.asked(name);
        }
        if !worked {
            for name in lines.iter().filter_map(|line| missing_module(line)) {
                observer.module(name);
            }
        }
        let seen = observer.finish(during);
        self.seen.holes.extend(seen.holes);
        self.seen.flows.extend(seen.flows);
        self.seen.ports.extend(seen.ports);
        // What an install writes is its business: below the home.
        if self.request.checks.iter().any(|check| check.run == during) {
            self.seen.writes.extend(seen.writes);
        }
        Ok(())
    }

    fn take_clients(&mut self, lines: &[String]) {
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            if let ["client", name, version, source] = words.as_slice() {
                self.clients.insert(Client {
                    name: (*name).to_owned(),
                    version: cut(version),
                    source: (*source).to_owned(),
                });
            }
        }
    }

    fn job<'j>(&'j self, name: &'j str, shell: &'j str, trace: Option<&'j str>) -> Job<'j>
    where
        Self: 'j,
    {
        const NOTHING: &BTreeMap<String, String> = &BTreeMap::new();
        Job {
            name,
            shell,
            env: NOTHING,
            path: &self.path,
            seconds: self.request.seconds,
            trace,
        }
    }

    fn step(
        &mut self,
        name: &str,
        exit: Option<i32>,
        began: Instant,
        running: &Running,
        lines: &[String],
    ) {
        let result = match exit {
            Some(0) => Ended::Passed,
            Some(SKIPPED) => Ended::Skipped,
            _ => Ended::Failed,
        };
        let detail = match (result, exit) {
            (Ended::Passed, _) => String::new(),
            (Ended::Skipped, _) => cut(lines.last().map_or("", String::as_str)),
            (Ended::Failed, Some(124 | 137)) => {
                format!("it took longer than {} s", self.request.seconds)
            }
            (Ended::Failed, _) => last_words(&tail(&running.log)),
        };
        let milliseconds = milliseconds(began);
        self.tell(name, result, milliseconds, &detail);
        self.steps.push(Step {
            name: cut(name),
            result,
            exit,
            milliseconds,
            detail,
        });
    }

    fn skip(&mut self, name: &str, why: &str) {
        self.tell(name, Ended::Skipped, 0, why);
        self.steps.push(Step {
            name: cut(name),
            result: Ended::Skipped,
            exit: None,
            milliseconds: 0,
            detail: why.to_owned(),
        });
    }

    fn tell(&self, name: &str, result: Ended, milliseconds: u64, detail: &str) {
        let seconds = milliseconds / 1000;
        let tenth = milliseconds % 1000 / 100;
        let mut line = format!(
            "{:8}{} ({seconds}.{tenth} s)",
            result.as_str(),
            visible(name)
        );
        if !detail.is_empty() {
            line.extend([": ", &visible(detail)]);
        }
        (self.tell)(&line);
    }

    fn finish(self, host: Host, checks: Vec<Checked>) -> Proof {
        let passed = self.works() && checks.iter().all(|check| check.result == Ended::Passed);
        let mut seen = self.seen;
        seen.holes.sort();
        seen.flows.sort();
        seen.flows.dedup();
        seen.ports.sort();
        seen.ports.dedup();
        seen.writes.sort();
        seen.writes.dedup();
        Proof {
            channel: self.request.channel.to_owned(),
            serial: self.request.serial,
            result: if passed { Ended::Passed } else { Ended::Failed },
            proved_at: self.request.now,
            trust_root: RootVersion {
                version: self.request.root.1,
            },
            tool: self.request.tool.to_owned(),
            host,
            clients: self.clients.into_iter().collect(),
            steps: self.steps,
            checks,
            holes: seen.holes,
            flows: seen.flows,
            ports: seen.ports,
            writes: seen.writes,
        }
    }
}

/// Waits for an end, but not longer than that; the exit code.
fn ended(running: &mut Running, limit: Duration) -> Result<i32, String> {
    let began = Instant::now();
    loop {
        if let Some(code) = running.ended() {
            return Ok(code);
        }
        if began.elapsed() >= limit {
            return Err(format!("it did not end within {} s", limit.as_secs()));
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

fn milliseconds(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}
