//! `stage prove` that is ended from outside: nothing of it is left.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::desk::Desk;
use crate::prove::{check, desk};

const SERVES: &str = "http = \"http://127.0.0.1:18999/never\", within = \"10m\"";

/// Starts a proof whose check would go on for long, and waits until it runs.
fn started(desk: &Desk, words: &str) -> (Child, PathBuf) {
    let scratch = desk.path("tmp");
    std::fs::create_dir_all(&scratch).unwrap();
    let words = format!("prove demo.stage --trust root.json {words}");
    let mut command = desk.command(env!("CARGO_BIN_EXE_stage"), &words);
    command.env("TMPDIR", &scratch);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("npm ci of npm")));
    let folder = std::fs::read_dir(&scratch).unwrap().next().unwrap();
    let folder = folder.unwrap().path();
    let began = Instant::now();
    // The program under test runs once it has made its folder.
    while !folder.join("inside/home/prove/.demo/state/a.json").exists() {
        assert!(began.elapsed() < Duration::from_mins(1));
        std::thread::sleep(Duration::from_millis(50));
    }
    (child, folder)
}

/// Command lines of processes that name a folder or have it mounted.
fn processes(folder: &Path) -> Vec<String> {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let mounts = String::from_utf8_lossy(&read("mountinfo")).into_owned();
        if line.contains(&name) || mounts.contains(&name) {
            found.push(line);
        }
    }
    found
}

/// The same after a while: what was killed is gone when its parent has taken note.
fn left(folder: &Path) -> Vec<String> {
    let began = Instant::now();
    loop {
        let found = processes(folder);
        if found.is_empty() || began.elapsed() > Duration::from_secs(20) {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn kill(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn an_interrupt_and_a_termination_leave_nothing() {
    let desk = desk(&check("demo serve", SERVES));
    for signal in [Signal::INT, Signal::TERM] {
        let (mut child, folder) = started(&desk, "");
        assert!(processes(&folder).len() > 4);
        kill(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal:?}");
        assert!(!folder.exists(), "{signal:?}");
        assert_eq!(left(&folder), [""; 0], "{signal:?}");
    }
    // What is kept is kept, but nothing of it runs.
    let (mut child, folder) = started(&desk, "--keep");
    kill(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(folder.join("logs").exists());
    assert_eq!(left(&folder), [""; 0]);
}

#[test]
fn a_kill_leaves_nothing() {
    let desk = desk(&check("demo serve", SERVES));
    let (mut child, folder) = started(&desk, "");
    kill(&child, Signal::KILL);
    child.wait().unwrap();
    assert_eq!(left(&folder), [""; 0]);
    assert!(!folder.exists());
}
