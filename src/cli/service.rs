//! How a service is reached that gets something: its token, certificates, the proxy. Nothing but its own host is contacted.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use url::Url;

use crate::base::fault::{Code, Fault, Kind};
use crate::base::limits::Limited;
use crate::base::text::quoted;
use crate::cli::connect;
use crate::cli::secret::MAX_KEY_FILE;
use crate::cli::ui::Failure;
use crate::cli::{Context, UsageError};
use crate::fs;
use crate::net::proxy::ProxyRules;
use crate::net::roots;
use crate::net::settings::{Credential, Secret, Settings};

/// Codes of this module.
pub const CODES: &[&Code] = &[&READABLE];

static READABLE: Code = Code::new("cli-secret-readable", Kind::Unsafe);

/// Variable with a token.
const VARIABLE: &str = "STAGE_SUBMIT_TOKEN";

/// A secret that others may read.
#[derive(Debug, thiserror::Error)]
#[error("everybody on this host may read {file}, which holds a secret (mode {mode:o})")]
struct Readable {
    file: String,
    mode: u32,
}

impl Fault for Readable {
    fn code(&self) -> &'static Code {
        &READABLE
    }
}

/// How a token is shown when no user is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// `Authorization: Bearer`.
    Bearer,
    /// `Authorization: token`, as Request Tracker wants it.
    Rt,
    /// `X-Api-Key`.
    Key,
}

/// How to get there.
#[derive(Debug, Clone, Args)]
pub struct ServiceArgs {
    /// User whose password or API token it is; without, it is a token of its own
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// File with the token, which only its owner and group may read [default: the variable `STAGE_SUBMIT_TOKEN`]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM file with the certification authority of the system, besides those of this host; may be repeated
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,
    /// PEM file with a client certificate and its key
    #[arg(long, value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// Proxy to go through [default: the variables `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`]
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
}

impl ServiceArgs {
    /// The header with the token, without the token.
    pub(crate) fn shown(&self, login: Login) -> String {
        let header = match (&self.user, login) {
            (Some(_), _) => "Authorization: Basic",
            (None, Login::Bearer) => "Authorization: Bearer",
            (None, Login::Rt) => "Authorization: token",
            (None, Login::Key) => "X-Api-Key:",
        };
        format!("{header} ***")
    }
}

/// The settings to reach the service at `base`, and nobody else.
pub(crate) fn settings(
    ctx: &Context,
    args: &ServiceArgs,
    base: &Url,
    login: Login,
) -> Result<Settings, Failure> {
    let mut settings = connect::of_host(ctx)?;
    settings.uploads = true;
    for file in &args.ca {
        settings.roots.extend(roots::named_roots(file)?);
    }
    let host = base.host_str().unwrap_or_default();
    let port = base.port_or_known_default().unwrap_or_default();
    settings.allow_hosts = Some(BTreeSet::from([format!("{host}:{port}")]));
    let exceptions = ctx.env("no_proxy").or_else(|| ctx.env("NO_PROXY"));
    settings.set_proxy(match &args.proxy {
        Some(proxy) => ProxyRules::fixed(proxy, exceptions.as_deref())?,
        None => ProxyRules::from_variables(&|name| ctx.env(name))?,
    });
    if let Some(file) = &args.client_cert {
        let pem = Secret::new(secret(file)?);
        settings.add_client_certificate(base, pem);
    }
    let token = token(ctx, args)?;
    settings.hide(&Secret::new(token.clone()));
    let credential = match (&args.user, login) {
        (Some(user), _) => Credential::basic(user, &token),
        (None, Login::Bearer) => Credential::Bearer(Secret::new(token)),
        (None, Login::Rt) => Credential::Token(Secret::new(format!("token {token}"))),
        (None, Login::Key) => Credential::Key(Secret::new(token)),
    };
    settings.add_credential(base, credential);
    Ok(settings)
}

/// The token, which a header can hold.
fn token(ctx: &Context, args: &ServiceArgs) -> Result<String, Failure> {
    let text = match &args.token_file {
        Some(file) => secret(file)?,
        None => ctx.env(VARIABLE).ok_or_else(|| {
            UsageError::new("there is no token")
                .next(format!("give --token-file FILE, or set {VARIABLE}"))
        })?,
    };
    let token = text.trim_end_matches(['\r', '\n']);
    let plain = token.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    if token.is_empty() || !plain {
        return Err(
            UsageError::new("the token is empty, or not one line of ASCII characters").into(),
        );
    }
    Ok(token.to_owned())
}

/// A file that not everybody may read.
fn secret(path: &Path) -> Result<String, Failure> {
    let file = fs::open(path).map_err(|error| {
        let name = quoted(&path.to_string_lossy());
        UsageError::unreadable(&error).next(format!("make sure that you may read {name}"))
    })?;
    let found = file.metadata().map_err(fs::context("examine", path))?;
    let mode = found.permissions().mode() & 0o7777;
    if found.is_file() && mode & 0o007 != 0 {
        return Err(Readable {
            file: quoted(&path.to_string_lossy()),
            mode,
        }
        .into());
    }
    let mut text = String::new();
    let read = std::io::Read::read_to_string(&mut Limited::new(file, MAX_KEY_FILE), &mut text);
    read.map_err(fs::context("read", path))?;
    Ok(text)
}
