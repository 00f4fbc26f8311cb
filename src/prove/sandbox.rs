//! The place a bundle is proved in: namespaces of its own, with loopback and nothing else, a root of its own (see
//! `enter.sh`) and an account that may do nothing special.
//!
//! One process holds the namespaces; every step enters them, gets namespaces of processes and mounts of its own on top, so
//! that whatever it leaves running ends with it, and is watched from outside: the log, the exit code and the trace are
//! where the programs under test cannot reach them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::fs::{self, OpenFile};
use crate::prove::ProveError;
use crate::prove::accounts::{Account, Accounts, Others};
use crate::prove::holder::{end, hold, impossible, prepare};
use crate::prove::janitor::{self, Janitor};

/// What makes somebody root of many accounts.
const ADMINISTRATOR: &str = include_str!("administrator.sh");
/// What enters an installed root.
const ROOT: &str = include_str!("root.sh");
/// The folder of installed roots, inside.
pub(super) const ROOTS: &str = "/roots";
/// The home inside.
pub(super) const HOME: &str = "/home/prove";
/// This program, inside.
pub(super) const PROGRAM: &str = "/tools/stage";
/// A bound for what multiplies.
const PROCESSES: &str = "--nproc=8192";
/// Programs that are needed, with the Debian packages that have them.
const NEEDED: [(&str, &str); 11] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("prlimit", "util-linux"),
    ("setpriv", "util-linux"),
    ("findmnt", "util-linux"),
    ("pivot_root", "util-linux"),
    ("mount", "mount"),
    ("hostname", "hostname"),
    ("ip", "iproute2"),
    ("timeout", "coreutils"),
    ("env", "coreutils"),
];
/// How to make the place.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// A folder that is empty.
    pub(super) folder: &'a Path,
    /// The search path for programs of this host.
    pub(super) path: &'a str,
    /// This program.
    pub(super) program: &'a Path,
    /// Files and folders of this host that are shown, and where.
    pub(super) tools: &'a [(PathBuf, PathBuf)],
    /// Whether system calls are recorded.
    pub(super) trace: bool,
    /// Who tidies up if this process cannot.
    pub(super) janitor: &'a Janitor,
}

/// The place.
#[derive(Debug)]
pub(super) struct Sandbox {
    folder: PathBuf,
    path: String,
    program: PathBuf,
    trace: bool,
    accounts: Accounts,
    /// Folders that are shown at their own places.
    places: String,
    holder: Child,
    names: Option<Child>,
    steps: Cell<u32>,
}

/// Who does a step, and where.
#[derive(Debug, Clone, Copy)]
pub(super) enum Who<'a> {
    /// The unprivileged account, among the programs of this host.
    Account,
    /// The same, in this installed root.
    Within(&'a str),
    /// Root of many accounts, which installs a root.
    Administrator,
}

/// One step.
#[derive(Debug)]
pub(super) struct Job<'a> {
    /// For the names of its files.
    pub(super) name: &'a str,
    /// Who does it.
    pub(super) who: Who<'a>,
    /// What is run, by `sh`.
    pub(super) shell: &'a str,
    /// Its variables besides the usual ones.
    pub(super) env: &'a BTreeMap<String, String>,
    /// The search path inside.
    pub(super) path: &'a str,
    /// Seconds until it is ended.
    pub(super) seconds: u64,
    /// The calls to record.
    pub(super) trace: Option<&'a str>,
}

/// A step that is running.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    traced: bool,
    /// What it writes.
    pub(super) log: PathBuf,
    /// What is recorded.
    pub(super) trace: Option<PathBuf>,
}

impl Sandbox {
    /// Makes the namespaces and the root, and tries both out.
    pub(super) fn open(plan: &Plan<'_>) -> Result<Self, ProveError> {
        check_programs(plan)?;
        let mut accounts = Accounts::find(plan.path);
        prepare(plan.folder, &accounts)?;
        let holder = match hold(plan, &accounts) {
            Err(ProveError::Impossible { reason, .. }) if accounts.given().is_some() => {
                accounts.others = Others::None(format!("many accounts cannot be had: {reason}"));
                hold(plan, &accounts)?
            }
            held => held?,
        };
        plan.janitor.watch(holder.id());
        let places = plan.tools.iter().filter(|(path, place)| path == place);
        let places: Vec<_> = places.map(|(_, place)| place.to_string_lossy()).collect();
        let places = places.join("\n");
        let mut sandbox = Self {
            folder: plan.folder.to_owned(),
            path: plan.path.to_owned(),
            program: plan.program.to_owned(),
            trace: plan.trace,
            accounts,
            places,
            holder,
            names: None,
            steps: Cell::new(0),
        };
        sandbox.try_out()?;
        sandbox.answer_names()?;
        Ok(sandbox)
    }

    /// Who made the namespaces, for the proof.
    pub(super) const fn kind(&self) -> &'static str {
        match self.accounts.own {
            Account::Dropped(_) => "namespaces",
            Account::Mapped(..) => "user-namespace",
        }
    }

    /// Why no root can be installed here, if so.
    pub(super) fn no_root(&self) -> Option<&str> {
        match &self.accounts.others {
            Others::None(why) => Some(why),
            Others::Free | Others::Given(..) => None,
        }
    }

    /// User and group of the steps.
    pub(super) const fn ids(&self) -> (u32, u32) {
        self.accounts.ids()
    }

    /// The folder that is `path` inside, seen from outside.
    pub(super) fn outside(&self, path: &str) -> PathBuf {
        self.folder
            .join("inside")
            .join(path.trim_start_matches('/'))
    }

    /// A command inside the network namespace, but with the files of this host; as administrator of the namespaces.
    fn beside(&self) -> Command {
        let mut command = self.host("nsenter");
        command.arg(format!("--target={}", self.holder.id()));
        if matches!(self.accounts.own, Account::Mapped(..)) {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--net");
        command
    }

    /// A program of this host, with nothing but a search path.
    fn host(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", &self.path)
            .env("LC_ALL", "C.UTF-8");
        command.stdin(Stdio::null());
        command
    }

    /// Starts a step; what it reads comes from `input`.
    pub(super) fn start(
        &self,
        job: &Job<'_>,
        input: Option<OpenFile>,
    ) -> Result<Running, ProveError> {
        let number = self.steps.get() + 1;
        self.steps.set(number);
        let stem: String = job.name.chars().map(plain).take(40).collect();
        let stem = format!("{number:02}-{stem}");
        let log = self.folder.join("logs").join(format!("{stem}.log"));
        let trace = job.trace.filter(|_| self.trace);
        let trace_file = trace.map(|_| self.folder.join("logs").join(format!("{stem}.strace")));
        let mut command = match (trace, &trace_file) {
            (Some(calls), Some(file)) => {
                let mut command = self.host("strace");
                command.args(["-f", "-q", "-Y", "-y", "-s", "256", "--seccomp-bpf"]);
                // What a program does by io_uring is no system call: it is told that there is none, and does without.
                command.arg("--inject=io_uring_setup:error=ENOSYS");
                command
                    .arg(format!("--trace={calls}"))
                    .arg("-o")
                    .arg(file)
                    .arg("nsenter");
                command
            }
            _ => self.host("nsenter"),
        };
        self.inner(&mut command, job);
        let out = fs::create_new(&log, 0o644)?;
        let err = out.try_clone().map_err(fs::context("open", &log))?;
        command.stdout(out).stderr(err);
        command.stdin(input.map_or_else(Stdio::null, Stdio::from));
        let child = command.spawn().map_err(|e| failed(&e.to_string()))?;
        Ok(Running {
            child,
            traced: trace.is_some(),
            log,
            trace: trace_file,
        })
    }

    /// The words from entering the namespaces to the shell.
    fn inner(&self, command: &mut Command, job: &Job<'_>) {
        command.arg(format!("--target={}", self.holder.id()));
        if matches!(self.accounts.own, Account::Mapped(..)) {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args(["--net", "--mount", "--ipc", "--uts", "--"]);
        let (home, user) = match job.who {
            Who::Account => {
                self.drop_rights(command, &["--mount", "--ipc", "--pid", "--mount-proc"]);
                (HOME, "prove")
            }
            Who::Within(root) => {
                let alone = ["--mount", "--pid", "--ipc", "--fork", "--kill-child"];
                command.arg("unshare").args(alone);
                command.args(["--", "sh", "-c", ROOT, "sh", root, &self.places]);
                self.drop_rights(command, &[]);
                (HOME, "prove")
            }
            Who::Administrator => {
                let map = self.accounts.map().unwrap_or_default();
                command.args(["sh", "-c", ADMINISTRATOR, "sh", &map, "unshare"]);
                command.args(["--mount", "--pid", "--ipc", "--fork", "--kill-child"]);
                command.args(["--mount-proc", "--", "prlimit", PROCESSES]);
                command.args(["setpriv", "--no-new-privs"]);
                (ROOTS, "root")
            }
        };
        command.args(["--", "env", "-i", "-C", home, "LANG=C.UTF-8"]);
        command.args([format!("USER={user}"), format!("LOGNAME={user}")]);
        command.args([format!("HOME={home}"), format!("PATH={}", job.path)]);
        for (name, value) in job.env {
            command.arg(format!("{name}={value}"));
        }
        command.args(["timeout", "--kill-after=5", &job.seconds.to_string()]);
        command.args(["sh", "-c", job.shell]);
    }

    /// The words to the unprivileged account, with these namespaces of its own.
    fn drop_rights(&self, command: &mut Command, own: &[&str]) {
        let mapped = match self.accounts.own {
            Account::Mapped(user, group) => vec![
                "--user".to_owned(),
                format!("--map-user={user}"),
                format!("--map-group={group}"),
            ],
            Account::Dropped(_) => Vec::new(),
        };
        if !own.is_empty() || !mapped.is_empty() {
            command.arg("unshare").args(mapped).args(own);
            if !own.is_empty() {
                command.args(["--fork", "--kill-child"]);
            }
            command.arg("--");
        }
        command.args(["prlimit", PROCESSES, "setpriv", "--no-new-privs"]);
        if let Account::Dropped(user) = self.accounts.own {
            command.arg("--clear-groups");
            command.args([format!("--reuid={user}"), format!("--regid={user}")]);
        }
    }

    /// The status that an address inside answers with; `None` when it does not.
    pub(super) fn ask(&self, address: &str) -> Option<u16> {
        let mut command = self.beside();
        command
            .arg("--")
            .arg(&self.program)
            .args(["prove-inside", "ask", address]);
        let output = command.stderr(Stdio::null()).output().ok()?;
        std::str::from_utf8(&output.stdout)
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// Names that were asked for after the first `known` ones.
    pub(super) fn asked(&self, known: usize) -> Vec<String> {
        let bytes = fs::read(&self.names_log(), 16 << 20).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        text.lines()
            .skip(known)
            .take(10_000)
            .map(str::to_owned)
            .collect()
    }

    fn names_log(&self) -> PathBuf {
        self.folder.join("logs").join("names.log")
    }

    fn answer_names(&mut self) -> Result<(), ProveError> {
        let log = self.names_log();
        let out = fs::create_new(&log, 0o644)?;
        let mut command = self.beside();
        command
            .arg("--")
            .arg(&self.program)
            .args(["prove-inside", "names"]);
        command.stdout(out).stderr(Stdio::null());
        self.names = Some(command.spawn().map_err(|e| failed(&e.to_string()))?);
        Ok(())
    }

    /// Runs a step that does nothing, to say early what is not allowed here.
    fn try_out(&self) -> Result<(), ProveError> {
        let job = Job {
            name: "try",
            who: Who::Account,
            shell: "true",
            env: &BTreeMap::new(),
            path: "/usr/bin:/bin",
            seconds: 30,
            trace: Some("execve"),
        };
        let mut running = self.start(&job, None)?;
        if running.wait()? == Some(0) {
            return Ok(());
        }
        let said = fs::read(&running.log, 1 << 20).unwrap_or_default();
        Err(impossible(
            &String::from_utf8_lossy(&said),
            self.accounts.own,
        ))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // With whatever a step that was given up has left.
        janitor::empty(self.holder.id());
        for child in self.names.iter_mut().chain([&mut self.holder]) {
            end(child);
        }
    }
}

impl Running {
    /// Waits for the end; the exit code, `None` when it was killed.
    pub(super) fn wait(&mut self) -> Result<Option<i32>, ProveError> {
        let status = self.child.wait().map_err(|e| failed(&e.to_string()))?;
        Ok(status.code())
    }

    /// The exit code, if it ended.
    pub(super) fn ended(&mut self) -> Option<i32> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(status.code().unwrap_or(-1))
    }

    /// Ends it, with everything that it started: the first process of its namespace, and so all.
    pub(super) fn end(&mut self) {
        let above = if self.traced { 2 } else { 1 };
        let mut pid = Some(self.child.id());
        for _ in 0..above {
            pid = pid.and_then(first_child);
        }
        let first = pid.and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?));
        let killed =
            first.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
        if !matches!(killed, Some(Ok(()))) {
            drop(self.child.kill());
        }
        drop(self.child.wait());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

/// The first child of a process.
fn first_child(pid: u32) -> Option<u32> {
    let file = PathBuf::from(format!("/proc/{pid}/task/{pid}/children"));
    let bytes = fs::read(&file, 4096).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn plain(c: char) -> char {
    if c.is_ascii_alphanumeric() { c } else { '-' }
}

fn check_programs(plan: &Plan<'_>) -> Result<(), ProveError> {
    let strace = plan.trace.then_some(("strace", "strace"));
    for (program, package) in NEEDED.into_iter().chain(strace) {
        if find(plan.path, program).is_none() {
            return Err(ProveError::Program { program, package });
        }
    }
    Ok(())
}

/// A program on a search path.
pub fn find(path: &str, program: &str) -> Option<PathBuf> {
    let folders = path.split(':').filter(|folder| folder.starts_with('/'));
    let mut files = folders.map(|folder| Path::new(folder).join(program));
    files.find(|file| fs::metadata(file).is_ok_and(|found| found.is_file()))
}

pub(super) fn failed(reason: &str) -> ProveError {
    ProveError::Impossible {
        reason: crate::base::text::escaped(reason),
        hint: None,
    }
}
