//! Whatever becomes of `stage prove` (an interrupt, a kill, a closed terminal), nothing of it is left: a process of its own
//! waits for its end, kills what still runs in the namespaces, and removes the scratch folder.
//!
//! ```text
//! what it reads: `holder PID`, who holds the namespaces; the end, when it is time
//! ```

use std::io::{BufRead, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::fs::{self, FsError, OpenFile};
use crate::prove::ProveError;
use crate::prove::sandbox::failed;

/// How often it looks for processes, and how many times in a row there must be none.
const ROUNDS: usize = 200;
const QUIET: usize = 3;
const PAUSE: Duration = Duration::from_millis(50);

/// The process, seen from who is watched.
#[derive(Debug, Clone)]
pub struct Janitor {
    child: Arc<Mutex<Child>>,
}

impl Janitor {
    /// Starts it for a scratch folder; with `keep`, the folder stays.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(
        program: &Path,
        path: &str,
        folder: &Path,
        keep: bool,
    ) -> Result<Self, ProveError> {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", path);
        command.args(["prove-inside", "tidy"]);
        if keep {
            command.arg("--keep");
        }
        command.arg(folder);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // An interrupt at the terminal is for everybody in the foreground, but not for it.
        command.process_group(0);
        let child = command.spawn().map_err(|e| failed(&e.to_string()))?;
        let child = Arc::new(Mutex::new(child));
        Ok(Self { child })
    }

    /// Tells it who holds the namespaces.
    pub(super) fn watch(&self, holder: u32) {
        self.tell(&format!("holder {holder}\n"));
    }

    /// Has it do its work now, and waits until it is done.
    pub fn tidy(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        drop(child.stdin.take());
        drop(child.wait());
    }

    fn tell(&self, line: &str) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let input = child.stdin.as_mut();
        // One that is gone has nothing to be told.
        drop(input.map(|input| input.write_all(line.as_bytes())));
    }
}

/// The process itself: waits until who started it ends.
///
/// # Errors
/// The folder cannot be removed.
pub fn tidy(input: &mut dyn BufRead, folder: &Path, keep: bool) -> Result<(), FsError> {
    let (mut network, mut accounts) = (None, None);
    let mut line = String::new();
    while let Ok(1..) = input.read_line(&mut line) {
        if let Some(("holder", pid)) = line.trim_end().split_once(' ') {
            let pid = pid.parse().ok();
            network = pid.and_then(Network::of);
            accounts = pid.and_then(|pid| fs::open(&link(pid, "user")).ok());
        }
        line.clear();
    }
    if let Some(network) = network {
        network.empty();
    }
    if keep {
        return Ok(());
    }
    // Installed roots belong to accounts that only their namespace has.
    if let Some(accounts) = accounts {
        let user = format!(
            "--user=/proc/{}/fd/{}",
            std::process::id(),
            accounts.as_raw_fd()
        );
        let mut command = Command::new("nsenter");
        command.args([&user, "--", "rm", "-rf"]).arg(folder);
        command.stdin(Stdio::null());
        // What it left is removed, or told, below.
        drop(command.status());
    }
    fs::remove_tree(folder)
}

/// Kills everything that is in the network namespace of a process.
pub(super) fn empty(holder: u32) {
    if let Some(network) = Network::of(holder) {
        network.empty();
    }
}

/// A network namespace.
struct Network {
    /// What `/proc` calls it. Another one may be called so once it is gone.
    name: PathBuf,
    /// As long as it is open, it is not gone.
    _open: OpenFile,
}

impl Network {
    /// That of a process, unless it is this process's own.
    fn of(pid: u32) -> Option<Self> {
        let open = fs::open(&link(pid, "net")).ok()?;
        let name = name(pid)?;
        let own = self::name(std::process::id())?;
        (own != name).then_some(Self { name, _open: open })
    }

    fn empty(&self) {
        let mut quiet = 0;
        for _round in 0..ROUNDS {
            let found = self.inhabitants();
            quiet = if found.is_empty() { quiet + 1 } else { 0 };
            if quiet == QUIET {
                return;
            }
            for pid in found {
                // It may have ended by itself.
                if kill_process(pid, Signal::KILL).is_err() {}
            }
            std::thread::park_timeout(PAUSE);
        }
    }

    fn inhabitants(&self) -> Vec<Pid> {
        let all = fs::list(Path::new("/proc")).unwrap_or_default();
        let numbers = all
            .iter()
            .filter_map(|path| path.file_name()?.to_str()?.parse::<u32>().ok());
        let inside = numbers.filter(|pid| name(*pid).as_ref() == Some(&self.name));
        inside
            .filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
            .collect()
    }
}

fn link(pid: u32, kind: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/ns/{kind}"))
}

fn name(pid: u32) -> Option<PathBuf> {
    fs::read_link(&link(pid, "net")).ok()
}
