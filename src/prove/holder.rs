//! The process that holds the namespaces: its folders, its start, and why it may not be had.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::fs;
use crate::prove::ProveError;
use crate::prove::accounts::{Account, Accounts};
use crate::prove::sandbox::{HOME, PROGRAM, Plan, failed};

/// What builds the root.
const ENTER: &str = include_str!("enter.sh");
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

/// The folders, and the few files of `/etc` that are not this host's.
pub(super) fn prepare(folder: &Path, accounts: &Accounts) -> Result<(), ProveError> {
    let (user, group) = accounts.ids();
    for name in [
        "root",
        "etc",
        "logs",
        "inside/home/prove",
        "inside/tmp",
        "inside/stage",
        "inside/roots",
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
    if matches!(accounts.own, Account::Dropped(_)) {
        fs::chown_tree(&folder.join("inside"), user, group)?;
    }
    Ok(())
}

/// What the process that holds the namespaces runs before it has its accounts: its first line asks for them.
const GATE: &str = "echo ready; read -r _; exec \"$@\"";

/// Starts the process that holds the namespaces, and waits until the root is there.
pub(super) fn hold(plan: &Plan<'_>, accounts: &Accounts) -> Result<Child, ProveError> {
    let mut command = Command::new("unshare");
    command
        .env_clear()
        .env("PATH", plan.path)
        .env("LC_ALL", "C.UTF-8");
    let given = accounts.given();
    match (accounts.own, &given) {
        (Account::Dropped(_), _) => {}
        (Account::Mapped(..), None) => {
            command.args(["--user", "--map-root-user"]);
        }
        (Account::Mapped(..), Some(_)) => {
            command.args(["--user", "--", "sh", "-c", GATE, "sh", "unshare"]);
        }
    }
    command.args(["--net", "--mount", "--ipc", "--uts", "--", "sh"]);
    command.arg(plan.folder.join("enter.sh")).arg(plan.folder);
    let root = accounts.root();
    command.arg(root.map_or_else(|| "-".to_owned(), |root| root.to_string()));
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
    if let Some(given) = &given {
        let said = if is_ready(&mut child) {
            give(plan, &mut child, given)
        } else {
            Err(said(&mut child))
        };
        if let Err(said) = said {
            end(&mut child);
            return Err(impossible(&said, accounts.own));
        }
    }
    if is_ready(&mut child) {
        return Ok(child);
    }
    let said = said(&mut child);
    end(&mut child);
    Err(impossible(&said, accounts.own))
}

/// Gives a process its accounts, and lets it go on.
fn give(plan: &Plan<'_>, child: &mut Child, words: &[Vec<String>; 2]) -> Result<(), String> {
    for (program, words) in ["newuidmap", "newgidmap"].iter().zip(words) {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", plan.path);
        command.arg(child.id().to_string()).args(words);
        let output = command.output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
    }
    let input = child.stdin.as_mut();
    let told = input.map(|input| input.write_all(b"\n"));
    told.transpose().map_err(|e| e.to_string())?;
    Ok(())
}

/// Whether its next line says so. Byte by byte: what comes after is for whoever reads next.
fn is_ready(child: &mut Child) -> bool {
    let mut line = Vec::new();
    let mut byte = [0];
    if let Some(out) = child.stdout.as_mut() {
        while line.len() < 64 && line.last() != Some(&b'\n') && out.read_exact(&mut byte).is_ok() {
            line.extend(byte);
        }
    }
    line == b"ready\n"
}

/// What a process that is not ready says.
fn said(child: &mut Child) -> String {
    drop(child.stdin.take());
    let mut said = String::new();
    if let Some(err) = child.stderr.take()
        && err.take(1 << 16).read_to_string(&mut said).is_err()
    {
        said.clear();
    }
    said
}

pub(super) fn end(child: &mut Child) {
    // It may have ended by itself.
    drop(child.kill());
    drop(child.wait());
}

/// Why namespaces cannot be made, and what the administrator could do about it.
pub(super) fn impossible(said: &str, account: Account) -> ProveError {
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
