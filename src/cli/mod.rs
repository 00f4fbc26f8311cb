//! The command line: from words to calls to words. The only module that reads the clock, the environment and the
//! terminal, and the only one that maps failures to exit codes.

pub mod approval;
pub mod apt_signer;
mod baseline;
mod beside;
mod carried;
#[cfg(feature = "connected")]
mod clients;
pub mod cmd;
#[cfg(feature = "connected")]
pub mod connect;
mod egress;
pub mod evidence;
pub mod exit;
pub mod explain;
#[cfg(feature = "connected")]
mod holes;
mod interrupt;
#[cfg(feature = "connected")]
mod known;
pub mod last;
#[cfg(feature = "connected")]
mod lint;
#[cfg(feature = "connected")]
mod native;
#[cfg(feature = "connected")]
mod policy;
#[cfg(feature = "connected")]
mod private_ca;
#[cfg(feature = "connected")]
pub mod project;
pub mod proof;
pub mod receipt;
pub mod review;
mod said;
#[cfg(feature = "connected")]
mod sarif;
mod sbom;
mod scratch;
pub mod secret;
#[cfg(feature = "connected")]
pub mod service;
pub mod subject;
pub mod ui;
pub mod vulns;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::FalseyValueParser;
use clap::error::ContextValue;
use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::base::fault::{Code, Fault, Kind};
use crate::base::text;
use crate::base::time::Timestamp;
use crate::cli::exit::Exit;
use crate::cli::ui::{Color, Format, Ui, UiOptions};
use crate::fs::FsError;

/// Codes of this module.
pub const CODES: &[&Code] = &[&CLI_USAGE];

static CLI_USAGE: Code = Code::new("cli-usage", Kind::Usage);

/// Wrong use of the command line that clap cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct UsageError {
    /// One sentence, lowercase, foreign text already escaped.
    pub message: String,
    /// What is there, by name; safe to print.
    pub facts: Vec<(&'static str, String)>,
    /// What to do, if it is more than to read the help; safe to print.
    pub hint: Option<String>,
}

impl UsageError {
    /// With this sentence.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            facts: Vec::new(),
            hint: None,
        }
    }

    /// A file of input that cannot be read, with the system's reason.
    pub(crate) fn unreadable(error: &FsError) -> Self {
        let cause = std::error::Error::source(error);
        let cause = cause.map(|cause| format!(": {}", text::visible(&cause.to_string())));
        Self::new(format!("{error}{}", cause.unwrap_or_default()))
    }

    /// And what there is instead.
    #[must_use]
    pub fn fact(mut self, name: &'static str, value: String) -> Self {
        self.facts.push((name, value));
        self
    }

    /// And what to do.
    #[must_use]
    pub fn next(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Fault for UsageError {
    fn code(&self) -> &'static Code {
        &CLI_USAGE
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        self.facts.clone()
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// Carry the whole dependency closure of an agent runtime across an air gap, and prove what was carried.
///
/// On a connected host: init, resolve, fetch, bundle, sign. In the enclave: verify, import, repo.
#[derive(Debug, Parser)]
#[command(name = "stage", version = VERSION, propagate_version = true, arg_required_else_help = true,
    after_help = EXIT_CODES)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: cmd::Command,
}

/// Name and version, for receipts.
pub const TOOL: &str = concat!("stage ", env!("CARGO_PKG_VERSION"));

/// Version and build.
pub const VERSION: &str = if cfg!(feature = "connected") {
    concat!(env!("CARGO_PKG_VERSION"), " (connected)")
} else {
    concat!(env!("CARGO_PKG_VERSION"), " (enclave)")
};

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 failed, 2 usage or unreadable input, 3 denied by policy, 4 untrusted \
(stop, keep the medium), 5 unsafe host or state, 6 stale (--locked, --check), 70 bug, 130 interrupted. \
`stage explain CODE` tells more about an error code.";

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Form of the data on stdout; `json` prints exactly one document, also on failure; `purl` is for `inspect`,
    /// `cyclonedx`, `spdx` and `csv` are for `sbom`
    #[arg(long, global = true, value_enum, default_value = "human")]
    pub format: Format,
    /// When to colour messages
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub color: Color,
    /// Less talk: once, errors and data only; twice, data and exit code only
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "verbose")]
    pub quiet: u8,
    /// More talk: once, what and where; twice, every request
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// No progress display
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// Folder for downloads and registry answers [default: stage below the user's cache folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Use no network; what is not in the cache is an error
    #[arg(long, global = true)]
    pub offline: bool,
    /// Most downloads or workers at a time
    #[arg(short, long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
}

/// What a command gets besides its own arguments: everything that comes from outside.
#[derive(Debug)]
pub struct Context {
    /// The printer.
    pub ui: Ui,
    /// The time now.
    pub now: Timestamp,
    /// Global options as given.
    pub global: Global,
}

impl Context {
    fn new(global: Global) -> Self {
        let no_color = env("NO_COLOR").is_some_and(|v| !v.is_empty());
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::io::stderr().is_terminal() && !no_color,
        };
        let progress = !global.no_progress && global.verbose == 0 && env("CI").is_none();
        let options = UiOptions {
            format: global.format,
            color,
            quiet: global.quiet,
            verbose: global.verbose,
            progress,
        };
        Self {
            ui: Ui::new(options),
            now: now(),
            global,
        }
    }

    /// An environment variable; `None` when unset, empty or not UTF-8.
    pub fn env(&self, name: &str) -> Option<String> {
        env(name)?.into_string().ok().filter(|v| !v.is_empty())
    }

    /// Whether this host's kernel is in FIPS mode.
    pub fn fips_host(&self) -> bool {
        let file = std::path::Path::new("/proc/sys/crypto/fips_enabled");
        crate::fs::read_optional(file, 16)
            .ok()
            .flatten()
            .is_some_and(|text| crate::trust::crypto::is_fips_mode(&text))
    }

    /// The cache folder.
    pub fn cache_dir(&self) -> Result<PathBuf, UsageError> {
        if let Some(dir) = &self.global.cache {
            return Ok(dir.clone());
        }
        let base = self.env("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || self.env("HOME").map(|h| PathBuf::from(h).join(".cache"));
        base.filter(|p| p.is_absolute())
            .or_else(home)
            .map(|p| p.join("stage"))
            .ok_or_else(|| {
                UsageError::new("no cache folder: HOME is not set; give --cache DIR or STAGE_CACHE")
            })
    }

    /// The time that outputs are stamped with: `SOURCE_DATE_EPOCH` when set, else now.
    pub fn stamp(&self) -> Result<Timestamp, UsageError> {
        let Some(text) = self.env("SOURCE_DATE_EPOCH") else {
            return Ok(self.now);
        };
        let seconds = text.parse().ok().and_then(|s| Timestamp::from_unix(s).ok());
        seconds.ok_or_else(|| UsageError::new("SOURCE_DATE_EPOCH is not a number of seconds"))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "cli is where the environment is read"
)]
fn env(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The time at this moment, of which a long command has more than one.
#[expect(clippy::disallowed_methods, reason = "cli is where the clock is read")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(0);
    Timestamp::from_unix(seconds).unwrap_or_else(|_range| Timestamp::default())
}

/// Runs one command line; may be called more than once in a process.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    leave_no_core();
    let parsed = command()
        .try_get_matches_from(args)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return usage(&visible(error)),
    };
    interrupt::listen();
    let ctx = Context::new(cli.global);
    let result = match cli.command.misses(ctx.global.format) {
        Some(message) => Err(UsageError::new(message).into()),
        None => cmd::dispatch(&ctx, cli.command),
    };
    interrupt::hold();
    ctx.ui.finish(result).into()
}

/// A process that dies leaves no image of its memory, in which tokens and passphrases are.
fn leave_no_core() {
    let none = Rlimit {
        current: Some(0),
        maximum: getrlimit(Resource::Core).maximum,
    };
    // Lowering a limit is always allowed.
    if setrlimit(Resource::Core, none).is_err() {}
}

/// The error with the words of the command line that it repeats escaped.
fn visible(mut error: clap::Error) -> clap::Error {
    let escape = |found: &String| text::visible(found);
    let repeated: Vec<_> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) => Some((kind, ContextValue::String(escape(text)))),
            ContextValue::Strings(texts) => {
                let texts = texts.iter().map(escape).collect();
                Some((kind, ContextValue::Strings(texts)))
            }
            _ => None,
        })
        .collect();
    for (kind, value) in repeated {
        error.insert(kind, value);
    }
    error
}

/// Help and version are data; anything else is wrong use.
fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        // It repeats words of the command line.
        ui::complain(&error.render().to_string());
        return Exit::Usage.into();
    }
    // A closed stdout leaves nobody to tell.
    error.print().map_or(Exit::Ok, |()| Exit::Ok).into()
}

/// The command line as it is parsed, and as man pages and completions show it: every `--option` may also be given as
/// the variable `STAGE_OPTION`, a switch as `1` or `0`.
pub fn command() -> clap::Command {
    with_variables(Cli::command())
}

fn with_variables(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let Some(name) = arg.get_long() else {
            return arg;
        };
        let variable = format!("STAGE_{}", name.replace('-', "_").to_uppercase());
        if env(&variable).is_some_and(|value| value.is_empty()) {
            // Set to nothing is as good as not set.
            return arg;
        }
        // Help shows no values: whoever asks for it in a pipeline puts it into a log.
        let arg = arg.hide_env_values(true);
        match arg.get_action() {
            ArgAction::SetTrue => arg.env(variable).value_parser(FalseyValueParser::new()),
            ArgAction::Set | ArgAction::Append | ArgAction::Count => arg.env(variable),
            _ => arg,
        }
    });
    command.mut_subcommands(with_variables)
}
