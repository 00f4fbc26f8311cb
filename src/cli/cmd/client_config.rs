//! `stage repo client-config`: the clients' configuration files, and the server block for a real web server.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::base::limits::LIMITS;
use crate::cli::apt_signer;
use crate::cli::cmd::CommandResult;
use crate::cli::cmd::repo::RepoDir;
use crate::cli::exit::Exit;
use crate::cli::ui::{self, Outcome};
use crate::cli::{Context, UsageError};
use crate::eco::{self, ClientFile, ClientSetup};
use crate::fs;
use crate::import::layout::Layout;
use crate::import::state;

/// The server block's template; the words in `@…@` are filled in.
const NGINX: &str = include_str!("nginx.conf");

/// Arguments of `stage repo client-config`.
#[derive(Debug, Args)]
pub struct ClientConfigArgs {
    #[command(flatten)]
    dir: RepoDir,
    /// Write the files below this home directory instead of printing them
    #[arg(long, value_name = "HOME")]
    install_to: Option<PathBuf>,
    /// Replace files that are there and say something else
    #[arg(long, requires = "install_to")]
    replace: bool,
    /// Compare the files below --install-to (default: $HOME) and ask each installed client for a package; exit 6 when
    /// one does not reach the repository
    #[arg(long, conflicts_with = "server")]
    check: bool,
    /// Print the configuration of a web server instead
    #[arg(long = "for", value_name = "SERVER", conflicts_with = "install_to")]
    server: Option<WebServer>,
}

/// A web server that `client-config` knows.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum WebServer {
    /// nginx
    Nginx,
}

pub(crate) fn run(ctx: &Context, args: &ClientConfigArgs) -> CommandResult {
    let layout = Layout::new(&args.dir.repo);
    let base_url = state::read(&layout)?.state.base_url;
    if let Some(WebServer::Nginx) = args.server {
        let current = fs::canonicalize(layout.root())?.join("current");
        let text = nginx(&current, &base_url)?;
        return Ok(Outcome::new(
            "stage/server-config/v1",
            json!({"server": "nginx", "text": text}),
        )
        .data(text));
    }
    let (suites, apt_key) = apt_signer::published(&layout.current())?;
    let setup = ClientSetup {
        base_url: &base_url,
        suites: &suites,
        apt_key: apt_key.as_deref(),
    };
    let files: Vec<ClientFile> = eco::ALL
        .iter()
        .flat_map(|ecosystem| ecosystem.configured_clients(&setup))
        .collect();
    if args.check {
        return check(ctx, args, &layout, &files);
    }
    let report = json!({"base_url": base_url, "files": files});
    let outcome = Outcome::new("stage/client-config/v1", report);
    let Some(home) = &args.install_to else {
        let texts: Vec<String> = files
            .iter()
            .map(|file| format!("# {}: ~/{}\n{}", file.client, file.path, file.text))
            .collect();
        return Ok(outcome.data(texts.join("\n")));
    };
    for file in &files {
        install(home, file, args.replace)?;
    }
    Ok(outcome.line(format!(
        "Wrote {} below {}",
        ui::plural(files.len(), "file"),
        crate::base::text::escaped(&home.to_string_lossy())
    )))
}

/// Writes one file, unless another text is there.
fn install(home: &Path, file: &ClientFile, replace: bool) -> Result<(), ui::Failure> {
    let path = home.join(&file.path);
    let found = fs::read_optional(&path, LIMITS.document)?;
    if found.as_deref() == Some(file.text.as_bytes()) {
        return Ok(());
    }
    if found.is_some() && !replace {
        return Err(UsageError::new(format!(
            "{} says something else; --replace overwrites it",
            crate::base::text::quoted(&path.to_string_lossy())
        ))
        .into());
    }
    fs::create_dir_all(fs::parent(&path), 0o755)?;
    Ok(fs::write_atomic(&path, file.text.as_bytes(), 0o644)?)
}

/// Compares the files and asks the real clients.
fn check(
    ctx: &Context,
    args: &ClientConfigArgs,
    layout: &Layout,
    files: &[ClientFile],
) -> CommandResult {
    let home = match &args.install_to {
        Some(home) => home.clone(),
        None => ctx
            .env("HOME")
            .map(PathBuf::from)
            .ok_or_else(|| UsageError::new("HOME is not set; give --install-to"))?,
    };
    // A cache of its own: npm answers from its usual one when the repository is silent.
    let parent = PathBuf::from(ctx.env("TMPDIR").unwrap_or_else(|| "/tmp".to_owned()));
    let cache = fs::temporary_folder(&parent, "stage-check")?;
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    let mut exit = Exit::Ok;
    for file in files {
        let found = fs::read_optional(&home.join(&file.path), LIMITS.document)?;
        let same = found.as_deref() == Some(file.text.as_bytes());
        let reached = probe(layout, &home, file, &cache);
        if !same || reached == Some(false) {
            exit = Exit::Stale;
        }
        let client = match reached {
            Some(true) => "reaches the repository",
            Some(false) => "does not reach the repository",
            None => "was not asked: it is not installed, or nothing is published",
        };
        let word = if same {
            "is as expected"
        } else {
            "is missing or says something else"
        };
        lines.push(format!(
            "{}: ~/{} {word}; {} {client}\n",
            file.client, file.path, file.client
        ));
        rows.push(
            json!({"client": file.client, "path": file.path, "same": same, "reached": reached}),
        );
    }
    fs::remove_tree(&cache)?;
    let report = json!({"checks": rows});
    Ok(Outcome::new("stage/client-config-check/v1", report)
        .data(lines.concat())
        .exit(exit))
}

/// Whether the client, with the configuration in `home`, gets the metadata of a published package. `None`: there is
/// no such client or nothing to ask for.
fn probe(layout: &Layout, home: &Path, file: &ClientFile, cache: &Path) -> Option<bool> {
    let config = home.join(&file.path);
    let mut question = match file.client.as_str() {
        "npm" => ask_npm(&layout.current().join("npm"), &config, cache)?,
        "pip" => ask_pip(&python_project(layout)?, &config)?,
        "uv" => ask_uv(&python_project(layout)?, &config, cache),
        _ => return None,
    };
    run_quietly(&mut question)
}

/// Whether a command succeeds; `None` when there is none.
fn run_quietly(command: &mut Command) -> Option<bool> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().ok().map(|status| status.success())
}

fn ask_npm(tree: &Path, config: &Path, cache: &Path) -> Option<Command> {
    let (files, _others) = fs::walk(tree).ok()?;
    let package = files.iter().find_map(|path| {
        path.to_str()?
            .strip_suffix("/index.html")
            .map(str::to_owned)
    })?;
    let mut command = Command::new("npm");
    command
        .args([
            "view",
            "--json",
            "--prefer-online",
            "--fetch-retries=0",
            "--userconfig",
        ])
        .arg(config)
        .arg("--cache")
        .arg(cache)
        .args([package.as_str(), "name"]);
    Some(command)
}

/// A published Python project, where possible one with a wheel for any interpreter.
fn python_project(layout: &Layout) -> Option<String> {
    let (files, _others) = fs::walk(&layout.current().join("pypi/files")).ok()?;
    let files = || files.iter().filter_map(|path| path.to_str());
    let wheel = files().find(|path| path.ends_with("-py3-none-any.whl"));
    let (project, _file) = wheel.or_else(|| files().next())?.split_once('/')?;
    Some(project.to_owned())
}

fn ask_pip(project: &str, config: &Path) -> Option<Command> {
    let pip = || {
        let mut command = Command::new("python3");
        command.args(["-m", "pip"]);
        command
    };
    // A Python without pip is as good as none.
    run_quietly(pip().arg("--version")).filter(|installed| *installed)?;
    let mut command = pip();
    command
        .args(["index", "versions", "--pre", "--ignore-requires-python"])
        .args(["--no-input", "--no-cache-dir", "--retries=0", project])
        .env("PIP_CONFIG_FILE", config);
    Some(command)
}

fn ask_uv(project: &str, config: &Path, cache: &Path) -> Command {
    let mut command = Command::new("uv");
    command
        .args(["pip", "install", "--dry-run", "--no-deps", "--config-file"])
        .arg(config)
        .arg("--cache-dir")
        .arg(cache.join("uv"))
        .arg("--target")
        .arg(cache.join("target"))
        .arg(project);
    command
}

/// A server block that answers as `repo serve` does: no redirect for `/npm/<name>`, JSON for packuments,
/// JSON or HTML for pages of the Python index.
fn nginx(current: &Path, base_url: &str) -> Result<String, UsageError> {
    let path = current
        .to_str()
        .filter(|p| !p.contains(['"', '\\', '\n', '$', ';', '{', '}']));
    let path = path.ok_or_else(|| {
        UsageError::new(
            "the repository's path has characters that an nginx configuration cannot hold",
        )
    })?;
    let (scheme, rest) = base_url.split_once("://").unwrap_or(("http", base_url));
    let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, port),
        _ => (authority, if scheme == "https" { "443" } else { "80" }),
    };
    let (tls, certificate) = if scheme == "https" {
        (
            " ssl",
            "    ssl_certificate     /etc/nginx/tls/repository.crt;\n    \
             ssl_certificate_key /etc/nginx/tls/repository.key;\n",
        )
    } else {
        ("", "")
    };
    let (at, cut) = if prefix.is_empty() {
        ("/".to_owned(), String::new())
    } else {
        let cut = format!("        rewrite ^/{prefix}/(.*)$ /$1 break;\n");
        (format!("/{prefix}/"), cut)
    };
    let values = [
        ("@PORT@", port),
        ("@TLS@", tls),
        ("@NAME@", name),
        ("@CERTIFICATE@", certificate),
        ("@ROOT@", path),
        ("@AT@", &at),
        ("@CUT@", &cut),
    ];
    let fill = |text: String, (word, value): (&str, &str)| text.replace(word, value);
    Ok(values.into_iter().fold(NGINX.to_owned(), fill))
}
