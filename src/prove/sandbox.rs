//! The place a bundle is proved in: namespaces of its own, with loopback and nothing else, a root of its own (see
//! `enter.sh`) and an account that may do nothing special.
//!
//! One process holds the namespaces; every step enters them, gets namespaces of processes and mounts of its own on top, so
//! that whatever it leaves running ends with it, and is watched from outside: the log, the exit code and the trace are
//! where the programs under test cannot reach them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::fs::{self, OpenFile};
use crate::prove::ProveError;

/// What builds the root.
const ENTER: &str = include_str!("enter.sh");
/// The account when the administrator proves.
const NOBODY: u32 = 65534;
/// The home inside.
pub(super) const HOME: &str = "/home/prove";
/// This program, inside.
pub(super) const PROGRAM: &str = "/tools/stage";
/// Programs that are needed, with the Debian packages that have them.
const NEEDED: [(&str, &str); 10] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("findmnt", "util-linux"),
    ("pivot_root", "util-linux"),
    ("mount", "mount"),
    ("hostname", "hostname"),
    ("ip", "iproute2"),
    ("timeout", "coreutils"),
    ("env", "coreutils"),
];
/// Where the kernel says whether accounts may make user namespaces, the value that forbids it, and how to allow it.
const SWITCHES: [(&str, &str, &str); 3] = [
    (
        "kernel.unprivileged_userns_clone",
        "0",
        "sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        "user.max_user_namespaces",
        "0",
        "sysctl user.max_user_namespaces=10000",
    ),
    (
        "kernel.apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
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
}

/// The place.
#[derive(Debug)]
pub(super) struct Sandbox {
    folder: PathBuf,
    path: String,
    program: PathBuf,
    trace: bool,
    account: Account,
    holder: Child,
    names: Option<Child>,
    steps: Cell<u32>,
}

/// Whom the steps run as.
#[derive(Debug, Clone, Copy)]
enum Account {
    /// The administrator makes the namespaces and drops to this account.
    Dropped(u32),
    /// An account with a user namespace, in which it is itself again.
    Mapped(u32, u32),
}

/// One step.
#[derive(Debug)]
pub(super) struct Job<'a> {
    /// For the names of its files.
    pub(super) name: &'a str,
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
        let account = account();
        prepare(plan.folder, account)?;
        let holder = hold(plan, account)?;
        let mut sandbox = Self {
            folder: plan.folder.to_owned(),
            path: plan.path.to_owned(),
            program: plan.program.to_owned(),
            trace: plan.trace,
            account,
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
        match self.account {
            Account::Dropped(_) => "namespaces",
            Account::Mapped(..) => "user-namespace",
        }
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
        if matches!(self.account, Account::Mapped(..)) {
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
        if matches!(self.account, Account::Mapped(..)) {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args(["--net", "--mount", "--ipc", "--uts", "--", "unshare"]);
        if let Account::Mapped(user, group) = self.account {
            command.arg("--user");
            command.args([format!("--map-user={user}"), format!("--map-group={group}")]);
        }
        command.args([
            "--mount",
            "--pid",
            "--ipc",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
        command.args(["--", "setpriv", "--no-new-privs"]);
        if let Account::Dropped(user) = self.account {
            command.arg("--clear-groups");
            command.args([format!("--reuid={user}"), format!("--regid={user}")]);
        }
        command.args(["--", "env", "-i", "-C", HOME]);
        command.args(["LANG=C.UTF-8", "USER=prove", "LOGNAME=prove"]);
        command
            .arg(format!("HOME={HOME}"))
            .arg(format!("PATH={}", job.path));
        for (name, value) in job.env {
            command.arg(format!("{name}={value}"));
        }
        command.args(["timeout", "--kill-after=5", &job.seconds.to_string()]);
        command.args(["sh", "-c", job.shell]);
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
        Err(impossible(&String::from_utf8_lossy(&said), self.account))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for child in self.names.iter_mut().chain([&mut self.holder]) {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
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

fn account() -> Account {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    if user.is_root() {
        Account::Dropped(NOBODY)
    } else {
        Account::Mapped(user.as_raw(), group.as_raw())
    }
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

/// The folders, and the few files of `/etc` that are not this host's.
fn prepare(folder: &Path, account: Account) -> Result<(), ProveError> {
    let (user, group) = match account {
        Account::Dropped(user) => (user, user),
        Account::Mapped(user, group) => (user, group),
    };
    for name in [
        "root",
        "etc",
        "logs",
        "inside/home/prove",
        "inside/tmp",
        "inside/stage",
    ] {
        fs::create_dir_all(&folder.join(name), 0o755)?;
    }
    let passwd = format!(
        "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\nprove:x:{user}:{group}:prove:{HOME}:/bin/sh\n"
    );
    let files = [
        ("passwd", passwd),
        ("group", format!("root:x:0:\nprove:x:{group}:\n")),
        ("hostname", "enclave\n".to_owned()),
        (
            "hosts",
            "127.0.0.1 localhost enclave\n::1 localhost enclave\n".to_owned(),
        ),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\n".to_owned(),
        ),
        (
            "resolv.conf",
            "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n".to_owned(),
        ),
    ];
    for (name, text) in files {
        fs::write_unsynced(&folder.join("etc").join(name), text.as_bytes(), 0o644)?;
    }
    fs::write_unsynced(&folder.join("enter.sh"), ENTER.as_bytes(), 0o644)?;
    fs::set_mode(&folder.join("inside/tmp"), 0o1777)?;
    if matches!(account, Account::Dropped(_)) {
        fs::chown_tree(&folder.join("inside"), user, group)?;
    }
    Ok(())
}

/// Starts the process that holds the namespaces, and waits until the root is there.
fn hold(plan: &Plan<'_>, account: Account) -> Result<Child, ProveError> {
    let mut command = Command::new("unshare");
    command
        .env_clear()
        .env("PATH", plan.path)
        .env("LC_ALL", "C.UTF-8");
    if matches!(account, Account::Mapped(..)) {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--mount", "--ipc", "--uts", "--", "sh"]);
    command.arg(plan.folder.join("enter.sh")).arg(plan.folder);
    command.arg(plan.program).arg(PROGRAM);
    for (path, place) in plan.tools {
        command.arg(path).arg(place);
    }
    // It ends when this process does: its input ends then.
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| failed(&e.to_string()))?;
    let mut line = String::new();
    if let Some(out) = child.stdout.as_mut() {
        let mut out = BufReader::new(out.take(64));
        if out.read_line(&mut line).is_err() {
            line.clear();
        }
    }
    if line == "ready\n" {
        return Ok(child);
    }
    let mut said = String::new();
    if let Some(err) = child.stderr.take()
        && err.take(1 << 16).read_to_string(&mut said).is_err()
    {
        said.clear();
    }
    drop(child.kill());
    drop(child.wait());
    Err(impossible(&said, account))
}

fn failed(reason: &str) -> ProveError {
    ProveError::Impossible {
        reason: crate::base::text::escaped(reason),
        hint: None,
    }
}

/// Why namespaces cannot be made, and what the administrator could do about it.
fn impossible(said: &str, account: Account) -> ProveError {
    let line = said.lines().find(|line| !line.trim().is_empty());
    let reason = crate::base::text::escaped(line.unwrap_or("the namespaces could not be made"));
    let forbids = |(name, value, _): &&(&str, &str, &str)| {
        let file = Path::new("/proc/sys").join(name.replace('.', "/"));
        let found = fs::read_optional(&file, 64).ok().flatten();
        found.is_some_and(|text| text.trim_ascii() == value.as_bytes())
    };
    let switch = SWITCHES.iter().find(forbids);
    let hint = match (account, switch) {
        (Account::Dropped(_), _) => None,
        (Account::Mapped(..), Some((name, value, command))) => Some(format!(
            "{name} is {value}, which forbids it to accounts; the administrator may allow it (`{command}`), or run this as root"
        )),
        (Account::Mapped(..), None) => Some(
            "user namespaces may be forbidden here (container, seccomp, AppArmor); run this as root or on another host"
                .to_owned(),
        ),
    };
    ProveError::Impossible { reason, hint }
}
