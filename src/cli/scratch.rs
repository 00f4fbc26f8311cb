//! A private folder for what other programs look at, and those programs. Whatever becomes of this process (an end, an
//! interrupt, a kill), nothing of it is left: a shell waits for its end, kills the program that runs, and removes the
//! folder.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::cli::Context;
use crate::fs::{self, FsError};

/// Each line names the group of processes that runs now; an empty one: none does. At the end of input, all goes. A program
/// that is killed may still write for a moment, hence twice.
const WATCH: &str = "running=\n\
    while read -r line; do running=$line; done\n\
    if [ -n \"$running\" ]; then kill -KILL -- \"-$running\" 2>/dev/null; fi\n\
    rm -rf -- \"$1\" && [ ! -e \"$1\" ] && exit\n\
    sleep 1\n\
    rm -rf -- \"$1\"\n";
/// Most bytes of output that are read.
const OUTPUT: u64 = 256 << 20;

/// The folder.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
    path: String,
    watcher: Child,
}

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Scratch {
    /// A new folder in `TMPDIR`, for this user only.
    ///
    /// # Errors
    /// It cannot be made, or there is no shell.
    pub(crate) fn new(ctx: &Context, name: &str) -> Result<Self, FsError> {
        let parent = PathBuf::from(ctx.env("TMPDIR").unwrap_or_else(|| "/tmp".to_owned()));
        let folder = fs::canonicalize(&fs::temporary_folder(&parent, name)?)?;
        fs::set_mode(&folder, 0o700)?;
        let default = || "/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
        let path = ctx.env("PATH").unwrap_or_else(default);
        let mut command = Command::new("sh");
        command.env_clear().env("PATH", &path);
        command.args(["-c", WATCH, "sh"]).arg(&folder);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // An interrupt at the terminal is for everybody in the foreground, but not for it.
        command.process_group(0);
        match command.spawn() {
            Ok(watcher) => Ok(Self {
                folder,
                path,
                watcher,
            }),
            Err(error) => {
                fs::remove_tree(&folder)?;
                Err(fs::context("run sh for", &folder)(error))
            }
        }
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A new folder in it.
    pub(crate) fn subfolder(&self, name: &str) -> Result<PathBuf, FsError> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder, 0o700)?;
        Ok(folder)
    }

    /// Runs a program to its end, with nothing of this process's environment.
    pub(crate) fn run(&mut self, mut command: Command) -> Result<Said, FsError> {
        let program = PathBuf::from(command.get_program());
        let files = [self.folder.join("stdout"), self.folder.join("stderr")];
        let [stdout, stderr] = &files;
        command.env_clear().env("PATH", &self.path);
        command.env("LC_ALL", "C").env("TMPDIR", &self.folder);
        command.current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(fs::create_new(stdout, 0o600)?);
        command.stderr(fs::create_new(stderr, 0o600)?);
        command.process_group(0);
        let run = fs::context("run", &program);
        let mut child = command.spawn().map_err(run)?;
        self.tell(&child.id().to_string());
        let status = child.wait().map_err(fs::context("wait for", &program))?;
        self.tell("");
        let said = Said {
            status,
            stdout: fs::read(stdout, OUTPUT)?,
            stderr: fs::read(stderr, OUTPUT)?,
        };
        for file in &files {
            fs::remove_file(file)?;
        }
        Ok(said)
    }

    fn tell(&mut self, line: &str) {
        let input = self.watcher.stdin.as_mut();
        // One that is gone has nothing to be told.
        drop(input.map(|input| writeln!(input, "{line}")));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        drop(self.watcher.wait());
    }
}
