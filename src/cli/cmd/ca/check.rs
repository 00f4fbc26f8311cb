//! `stage ca check`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use rustls_pki_types::ServerName;
use serde_json::{Value, json};

use crate::base::digest::Digest;
use crate::base::finding::{Finding, Severity};
use crate::base::text::quoted;
use crate::base::time::Timestamp;
use crate::ca::chain::{Question, Served};
use crate::ca::{self, CaCertificate};
use crate::cli::cmd::CommandResult;
use crate::cli::exit::Exit;
use crate::cli::ui::{Failure, Outcome, plural};
use crate::cli::{Context, UsageError};

/// Examine root certificates, and what a server sends, before anything trusts them.
///
/// Reads PEM files and judges every certificate: whether it is one of a CA, whether it is valid and for how long, whether
/// its key and its signature are of a kind that clients take, whether its constraints let it vouch for the host. With the
/// fingerprints that the agency told by another way, whether they are the right ones. With the chain of a server, whether
/// clients that trust these roots will accept it; a missing intermediate certificate is named.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage ca check agency-root.pem --expect-fingerprint 5C:1A:…\n  \
    openssl s_client -connect repo.corp.example:443 -showcerts </dev/null 2>/dev/null |\n    \
    sed -n '/BEGIN/,/END/p' > served.pem\n  stage ca check agency-root.pem --chain served.pem --host repo.corp.example"
)]
pub(super) struct CheckArgs {
    /// Root certificates, PEM
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// What a server sends, PEM: its own certificate first
    #[arg(long, value_name = "FILE")]
    chain: Option<PathBuf>,
    /// The name or address that clients use; with --connect, the host that is connected to
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Ask this server for its chain; directly, not through a proxy
    #[cfg(feature = "connected")]
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "chain")]
    connect: Option<String>,
    /// SHA-256 of a certificate that is expected, with or without colons; once for each certificate
    #[arg(long, value_name = "SHA256")]
    expect_fingerprint: Vec<Fingerprint>,
    /// Judge as of this time instead of now, such as 2026-11-22T00:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Name certificates that end in less than this many days
    #[arg(long, value_name = "N", default_value_t = ca::DAYS, value_parser = clap::value_parser!(i64).range(0..=36_500))]
    days: i64,
}

/// A SHA-256 as people write it.
#[derive(Debug, Clone, Copy)]
struct Fingerprint(Digest);

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value = text.rsplit_once('=').map_or(text, |(_name, value)| value);
        let value = value.strip_prefix("sha256:").unwrap_or(value);
        let hex: String = value
            .chars()
            .filter(|c| *c != ':' && !c.is_whitespace())
            .collect();
        Digest::from_hex(&hex.to_ascii_lowercase())
            .map(Self)
            .map_err(|_error| "expected 64 hexadecimal digits, such as 5C:1A:…".to_owned())
    }
}

pub(super) fn run(ctx: &Context, args: &CheckArgs) -> CommandResult {
    let now = args.at.unwrap_or(ctx.now);
    let host = host(args)?;
    let files = super::read(&args.files)?;
    let bundle = ca::check_roots(&files, now, args.days)?;
    let mut findings = bundle.findings.clone();
    if !args.expect_fingerprint.is_empty() {
        let told: Vec<Digest> = args.expect_fingerprint.iter().map(|one| one.0).collect();
        findings.extend(bundle.expected(&told));
    }
    if let Some(host) = &host {
        findings.extend(bundle.for_host(host));
    }
    let served = served(args)?;
    if let Some((_, served)) = &served {
        let question = Question {
            now,
            days: args.days,
            host: host.as_deref(),
        };
        findings.extend(served.judge(&bundle.certificates, &question));
    }
    findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    ctx.ui.findings(&findings);
    Ok(outcome(
        &bundle.certificates,
        served.as_ref(),
        host.as_deref(),
        &findings,
    ))
}

/// The name that clients use.
fn host(args: &CheckArgs) -> Result<Option<String>, Failure> {
    let named = args.host.clone();
    #[cfg(feature = "connected")]
    let named = match (&args.connect, named) {
        (Some(address), None) => Some(endpoint(address)?.0),
        (_, named) => named,
    };
    if let Some(name) = &named
        && ServerName::try_from(name.as_str()).is_err()
    {
        let message = format!("{} is no host name and no address", quoted(name));
        return Err(UsageError::new(message).into());
    }
    Ok(named)
}

/// What the server sends, and who said so.
#[cfg(feature = "connected")]
fn served(args: &CheckArgs) -> Result<Option<(String, Served)>, Failure> {
    let Some(address) = &args.connect else {
        return from_file(args);
    };
    let (host, port) = endpoint(address)?;
    let name = args.host.as_deref().unwrap_or(&host);
    let sent = crate::net::served::chain(&host, port, name)?;
    Ok(Some((address.clone(), Served::from_der(address, &sent)?)))
}

/// What the server sends, and who said so.
#[cfg(not(feature = "connected"))]
fn served(args: &CheckArgs) -> Result<Option<(String, Served)>, Failure> {
    from_file(args)
}

fn from_file(args: &CheckArgs) -> Result<Option<(String, Served)>, Failure> {
    let Some((name, bytes)) = super::read(args.chain.as_slice())?.pop() else {
        return Ok(None);
    };
    let served = Served::from_pem(&name, &bytes)?;
    Ok(Some((name, served)))
}

/// Host and port; the address of IPv6 stands in brackets.
#[cfg(feature = "connected")]
fn endpoint(address: &str) -> Result<(String, u16), UsageError> {
    let parts = address.rsplit_once(':').and_then(|(host, port)| {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        let plain = bare.is_some() || !host.contains(':');
        (plain && !host.is_empty()).then_some((host.to_owned(), port.parse().ok()?))
    });
    let message = format!("{} is not HOST:PORT", quoted(address));
    parts.ok_or_else(|| UsageError::new(message).next("such as repo.corp.example:443"))
}

fn outcome(
    roots: &[CaCertificate],
    served: Option<&(String, Served)>,
    host: Option<&str>,
    findings: &[Finding],
) -> Outcome {
    let denying = findings.iter().filter(|f| f.severity == Severity::Deny);
    let denied = denying.count();
    let exit = Exit::of(findings);
    let chain = served.map(|(name, served)| {
        json!({
            "from": crate::base::text::escaped(name),
            "certificates": served.certificates,
        })
    });
    let listed: Vec<Value> = findings.iter().map(Finding::json).collect();
    let report = json!({
        "certificates": roots,
        "served": chain,
        "host": host,
        "findings": listed,
    });
    let mut data = words("CA", roots);
    if let Some((_, served)) = served {
        data.push_str(&words("Server sends", &served.certificates));
    }
    let line = match (denied, findings.len()) {
        (0, 0) => format!("Checked {}: nothing was found", plural(roots.len(), "root")),
        (0, all) => format!(
            "Checked {}: {}",
            plural(roots.len(), "root"),
            plural(all, "finding")
        ),
        (denied, _) => format!("Denied by {}", plural(denied, "finding")),
    };
    Outcome::new("stage/ca-check-report/v1", report)
        .data(data)
        .line(line)
        .exit(exit)
}

fn words(title: &str, certificates: &[CaCertificate]) -> String {
    let one = |c: &CaCertificate| {
        let issuer = if c.issuer == c.subject {
            "itself"
        } else {
            c.issuer.as_str()
        };
        format!(
            "{title}: {}\n  issued by:   {issuer}\n  fingerprint: {}\n  key:         {}\n  valid:       {} to {}\n",
            c.subject, c.fingerprint, c.key, c.not_before, c.not_after
        )
    };
    certificates.iter().map(one).collect()
}
