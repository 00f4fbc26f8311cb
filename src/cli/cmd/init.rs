//! `stage init`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::base::text::{quoted, shown};
use crate::cli::clients::apt;
use crate::cli::cmd::CommandResult;
use crate::cli::ui::{Failure, Outcome};
use crate::cli::{Context, UsageError};
use crate::eco;
use crate::eco::npm::lockfile::{self, ClientFileKind};
use crate::fs;
use crate::manifest::starter::Start;
use crate::manifest::{self, Manifest, starter};

/// Largest client file that is read, in bytes.
const LIMIT: u64 = 256 << 20;

/// Write a commented starter manifest.
///
/// Start from a runtime that stage knows, from what you have (lock files and a requirements.txt are taken as they are, a
/// package.json gives its requirements), or from a blank page. Then adapt its target and run `stage resolve`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage init --runtime openclaw\n  stage init --from package-lock.json\n  \
    stage init --from package.json -o web.toml\n  stage init --from uv.lock"
)]
pub struct InitArgs {
    /// Agent runtime: openclaw, nanobot, zeroclaw or blank (nanoclaw comes with a later version)
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    runtime: Option<String>,
    /// A file to start from: package-lock.json, package.json, requirements.txt, uv.lock, pylock.toml or Cargo.lock
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Channel of the bundles [default: the runtime's name, or the name in the file]
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// Manifest to write; an existing file is never replaced
    #[arg(short, long, value_name = "FILE", default_value = "stage.toml")]
    output: PathBuf,
}

pub(crate) fn run(ctx: &Context, args: &InitArgs) -> CommandResult {
    let sources = apt::starter(ctx);
    let sources = sources.as_deref();
    let text = match (&args.from, args.runtime.as_deref().unwrap_or("blank")) {
        (Some(from), _) => from_file(args, from, sources)?,
        (None, runtime) => from_runtime(runtime, sources)?,
    };
    let text = match &args.channel {
        Some(channel) => with_channel(&text, channel)?,
        None => text,
    };
    let name = args.output.to_string_lossy();
    let parsed = Manifest::parse(&name, text.as_bytes(), &eco::sections())?;
    eco::installs(&parsed)?;
    if fs::exists(&args.output) {
        let path = quoted(&args.output.to_string_lossy());
        return Err(UsageError::new(format!(
            "{path} exists already; choose another name with -o"
        ))
        .into());
    }
    fs::write_atomic(&args.output, text.as_bytes(), 0o644)?;
    let path = args.output.to_string_lossy();
    Ok(Outcome::new(
        "stage/init-report/v1",
        json!({"manifest": path, "channel": parsed.bundle.channel}),
    )
    .line(format!("Wrote {path} (channel {})", parsed.bundle.channel))
    .line(format!(
        "Next: read it, then `stage resolve{}`",
        file_option(&args.output)
    )))
}

/// The `-f` option that names a manifest, empty for the default.
pub(crate) fn file_option(manifest: &Path) -> String {
    if manifest == Path::new("stage.toml") {
        String::new()
    } else {
        format!(" -f {}", shown(manifest))
    }
}

fn from_runtime(name: &str, apt_sources: Option<&str>) -> Result<String, Failure> {
    if let Some(start) = starter::for_runtime(name) {
        return Ok(starter::starter(&Start {
            apt_sources,
            ..start
        }));
    }
    let known = starter::RUNTIMES.iter().find(|r| r.name == name);
    let message = if let Some(version) = known.and_then(|r| r.comes_with) {
        format!(
            "runtime {name} comes with stage {version}; this is {}",
            env!("CARGO_PKG_VERSION")
        )
    } else {
        let names: Vec<&str> = starter::RUNTIMES.iter().map(|r| r.name).collect();
        format!(
            "unknown runtime {}; known: {}",
            quoted(name),
            names.join(", ")
        )
    };
    Err(UsageError::new(message).into())
}

/// The table and the key that take a client's file as it is, by the file's name.
fn taken_whole(from: &Path) -> Option<(&'static str, &'static str)> {
    let name = from.file_name()?.to_str()?;
    let end = from.extension().and_then(|end| end.to_str());
    let is_pylock = name.starts_with("pylock.") && end == Some("toml");
    match name {
        "Cargo.lock" => Some(("cargo", "lockfile")),
        "uv.lock" => Some(("pypi", "lockfile")),
        _ if is_pylock => Some(("pypi", "lockfile")),
        _ if end == Some("txt") => Some(("pypi", "file")),
        _ => None,
    }
}

/// Refuses a lock file that resolving could not read either.
fn readable(from: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let file = from.to_string_lossy();
    match from.file_name().and_then(|name| name.to_str()) {
        Some("Cargo.lock") => drop(eco::cargo::lockfile::parse(&file, bytes)?),
        Some("uv.lock") => drop(eco::pypi::uv_lock::parse(&file, bytes)?),
        Some(name) if name.starts_with("pylock.") => drop(eco::pypi::pylock::parse(&file, bytes)?),
        // Requirements may lead to other files, which are read when it is resolved.
        _ => {}
    }
    Ok(())
}

fn from_file(args: &InitArgs, from: &Path, apt_sources: Option<&str>) -> Result<String, Failure> {
    let bytes = fs::read(from, LIMIT)?;
    let path = relative(from, fs::parent(&args.output))?;
    let path = path.to_string_lossy();
    let start = |channel: &str, table: &'static str, lines: &str| {
        starter::starter(&Start {
            channel,
            table,
            lines,
            apt_sources,
        })
    };
    if let Some((table, key)) = taken_whole(from) {
        readable(from, &bytes)?;
        let line = match key {
            "file" => format!("file = {}", starter::toml_string(&path)),
            key => starter::lockfile_line(key, &path),
        };
        return Ok(start("default", table, &line));
    }
    let name = serde_json::from_slice::<Named>(&bytes)
        .ok()
        .and_then(|named| named.name);
    let channel = channel_of(name.as_deref());
    match lockfile::detect(&bytes) {
        Some(ClientFileKind::PackageLock) => {
            lockfile::requirements_from_lockfile(&bytes, &[])?;
            Ok(start(
                &channel,
                "npm",
                &starter::lockfile_line("lockfile", &path),
            ))
        }
        Some(ClientFileKind::PackageJson) => {
            let requirements = lockfile::requirements_from_package_json(&bytes)?;
            Ok(start(
                &channel,
                "npm",
                &starter::requirement_lines(&requirements),
            ))
        }
        None => {
            let path = quoted(&from.to_string_lossy());
            Err(UsageError::new(format!(
                "{path} does not read as package-lock.json or package.json, and its name is none of requirements.txt, \
                 uv.lock, pylock.toml, Cargo.lock"
            ))
            .into())
        }
    }
}

/// The name a client file gives its project.
#[derive(serde::Deserialize)]
struct Named {
    #[serde(default)]
    name: Option<String>,
}

/// How the manifest in `folder` names the file `path`.
fn relative(path: &Path, folder: &Path) -> Result<PathBuf, Failure> {
    if path.is_absolute() || folder == Path::new(".") {
        return Ok(path.to_owned());
    }
    match path.strip_prefix(folder) {
        Ok(inner) => Ok(inner.to_owned()),
        Err(_outside) => Ok(fs::canonicalize(path)?),
    }
}

/// A channel name made from a package name.
fn channel_of(name: Option<&str>) -> String {
    let name = name.unwrap_or_default().to_ascii_lowercase();
    let cleaned: String = name
        .trim_start_matches(|c: char| !c.is_ascii_alphanumeric())
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '-'
            }
        })
        .take(64)
        .collect();
    if manifest::is_channel(&cleaned) {
        cleaned
    } else {
        "default".to_owned()
    }
}

fn with_channel(text: &str, channel: &str) -> Result<String, UsageError> {
    if !manifest::is_channel(channel) {
        return Err(UsageError::new(format!(
            "{} is not a channel name",
            quoted(channel)
        )));
    }
    let lines = text.lines().map(|line| {
        if line.starts_with("channel = ") {
            format!("channel = \"{channel}\"")
        } else {
            line.to_owned()
        }
    });
    Ok(lines.collect::<Vec<_>>().join("\n") + "\n")
}
