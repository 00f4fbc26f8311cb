//! Runs one install script in a network namespace without interfaces, as an unprivileged user when we are root, with a
//! hook in Node.js and stand-ins for downloaders that write down what was asked for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Trial, TrialError, layout};
use crate::base::package::EcosystemId;
use crate::fs;

/// What Node.js loads first.
const HOOK: &str = include_str!("hook.cjs");
/// Programs that download, replaced by a note and the failure they would have.
const DOWNLOADERS: [&str; 4] = ["curl", "wget", "git", "ssh"];
/// The account that scripts run as when we are root.
const NOBODY: u32 = 65534;
/// Seconds one script may take.
const TIME: &str = "180";

/// A place to run scripts in.
pub(super) struct Sandbox {
    folder: PathBuf,
    path: String,
    root: bool,
}

impl Sandbox {
    /// Writes hook and stand-ins, finds Node.js and checks that a namespace can be made.
    pub(super) fn prepare(trial: &Trial<'_>) -> Result<Self, TrialError> {
        let folder = trial.folder.join("sandbox");
        let shims = folder.join("shims");
        fs::create_dir_all(&shims, 0o755)?;
        fs::create_dir_all(&folder.join("home"), 0o755)?;
        fs::write_atomic(&folder.join("hook.cjs"), HOOK.as_bytes(), 0o644)?;
        for program in DOWNLOADERS {
            let text = format!(
                "#!/bin/sh\nfor word do case $word in *://*|git@*) printf '%s\\n' \"{program} $word\" >> \
                 \"$STAGE_TRIAL_LOG\";; esac; done\nexit 6\n"
            );
            fs::write_atomic(&shims.join(program), text.as_bytes(), 0o755)?;
        }
        let root = rustix::process::geteuid().is_root();
        let mut path = format!("{}:{}", shims.display(), trial.path);
        if let Some(node) = staged_node(trial, &folder)? {
            path = format!("{}:{}:{}", shims.display(), node.display(), trial.path);
        }
        let sandbox = Self { folder, path, root };
        sandbox.hand_over(trial.folder)?;
        sandbox.check()?;
        Ok(sandbox)
    }

    /// The command that enters the namespace, up to the program to run.
    fn command(&self) -> Command {
        let mut command = Command::new("unshare");
        command.arg("--net");
        if self.root {
            command.args(["setpriv", "--clear-groups", "--no-new-privs"]);
            command
                .arg(format!("--reuid={NOBODY}"))
                .arg(format!("--regid={NOBODY}"));
        } else {
            command.arg("--map-root-user");
        }
        command.args(["timeout", "--kill-after=5", TIME]);
        command
    }

    fn check(&self) -> Result<(), TrialError> {
        let impossible = |reason: String| TrialError::Impossible { reason };
        let mut command = self.command();
        command
            .args(["node", "--version"])
            .env_clear()
            .env("PATH", &self.path);
        let out = command
            .output()
            .map_err(|e| impossible(format!("unshare: {e}")))?;
        if out.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&out.stderr);
        let line = said
            .lines()
            .next()
            .unwrap_or("a network namespace or Node.js is missing");
        Err(impossible(crate::base::text::escaped(line)))
    }

    /// Gives a folder to the account the scripts run as.
    pub(super) fn hand_over(&self, folder: &Path) -> Result<(), TrialError> {
        if self.root {
            fs::chown_tree(folder, NOBODY, NOBODY)?;
        }
        Ok(())
    }

    /// Runs `command` at `place`; returns whether it ended well and the hosts it reached for.
    pub(super) fn run(
        &self,
        root: &Path,
        place: &str,
        event: &str,
        command: &str,
    ) -> Result<(bool, Vec<String>), TrialError> {
        let log = self.folder.join("home").join("network.log");
        fs::remove_file(&log)?;
        let cwd = root.join(place);
        let bins: Vec<String> = cwd
            .ancestors()
            .take_while(|a| a.starts_with(root))
            .map(|a| a.join("node_modules/.bin").display().to_string())
            .collect();
        let mut process = self.command();
        process
            .args(["sh", "-c", command])
            .current_dir(&cwd)
            .env_clear()
            .env("PATH", format!("{}:{}", bins.join(":"), self.path))
            .env("HOME", self.folder.join("home"))
            .env("LANG", "C.UTF-8")
            .env(
                "NODE_OPTIONS",
                format!("--require {}", self.folder.join("hook.cjs").display()),
            )
            .env("STAGE_TRIAL_LOG", &log)
            .env("INIT_CWD", root)
            .env("npm_lifecycle_event", event)
            .env("npm_config_user_agent", "npm node")
            .env("npm_node_execpath", "node")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let status = process.status().map_err(|e| TrialError::Impossible {
            reason: format!("unshare: {e}"),
        })?;
        let asked = fs::read_optional(&log, 1 << 20)?.unwrap_or_default();
        let hosts: BTreeSet<String> = String::from_utf8_lossy(&asked)
            .lines()
            .map(str::to_owned)
            .filter(|l| !l.is_empty())
            .collect();
        Ok((status.success(), hosts.into_iter().collect()))
    }
}

/// Unpacks the staged Node.js, if the closure has one for this host; returns the folder of its program.
fn staged_node(trial: &Trial<'_>, folder: &Path) -> Result<Option<PathBuf>, TrialError> {
    let name = format!("node-{}-{}", trial.host.node_os(), trial.host.node_cpu());
    let npm = EcosystemId::npm();
    let Some(package) = trial
        .lock
        .of(&npm)
        .find(|p| p.name == name && p.is_carried())
    else {
        return Ok(None);
    };
    let Some(artifact) = package.artifacts.first() else {
        return Ok(None);
    };
    let Some(tarball) = (trial.blob)(&artifact.checksum)? else {
        return Ok(None);
    };
    let target = folder.join("node");
    layout::untar(&tarball, &target).map_err(|reason| TrialError::Tarball {
        release: package.id().to_string(),
        reason: crate::base::text::escaped(&reason),
    })?;
    Ok(Some(target.join("bin")))
}
