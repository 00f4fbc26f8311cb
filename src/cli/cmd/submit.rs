//! `stage submit`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use url::Url;

use crate::base::check::is_loopback;
use crate::base::text::{quoted, shown};
use crate::cli::cmd::CommandResult;
use crate::cli::service::{self, Login, ServiceArgs};
use crate::cli::ui::{Failure, Outcome, bytes, plural};
use crate::cli::{Context, TOOL, UsageError};
use crate::net::HttpUpstream;
use crate::net::settings::web_url;
use crate::packet::received::{self, Packet, ReceivedError};
use crate::packet::signed;
use crate::submit::item::Submission;
use crate::submit::line::Line;
use crate::submit::receipt::{About, Book};
use crate::submit::{Api, Destination, Planned, System};
use crate::trust::root::TrustRoot;

/// Attach a change packet to its ticket in Jira, ServiceNow or Request Tracker, or hand its SBOM to Dependency-Track
///
/// First every file of the packet is held against its `manifest.json`; when one differs, is missing or is not listed, nothing
/// is sent and the exit code is 4. Then the ticket gets the zip file, the SBOM, the first page, and a note with the bundle's
/// id, the digest of the manifest and the verdicts. Attached files are named CHANNEL-SERIAL-DIGEST, so what is there already is
/// not sent again: after a failure, run the same command once more. The receipt says what was sent, and what it is called there.
///
/// The token comes from a file or from the variable `STAGE_SUBMIT_TOKEN`, never from the command line. With --user it is a
/// password or API token of that user; without, Jira and ServiceNow get it as bearer token, Request Tracker as its own kind
/// of token, Dependency-Track as API key.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage submit packet --to rt --url https://rt.agency.example --ticket 42 --token-file rt.token\n  \
    stage submit packet --to jira --url https://jira.agency.example --ticket CHG-42 --ca agency-root.pem --dry-run\n  \
    stage submit packet --to servicenow --url https://agency.service-now.example --ticket CHG0030001 --user svc-stage\n  \
    stage submit packet --to dependency-track --url https://track.agency.example --ticket openclaw@42 --auto-create"
)]
pub struct SubmitArgs {
    /// The packet: the folder that `stage ticket` wrote, with its zip file beside it, or the zip file alone
    #[arg(value_name = "PACKET")]
    packet: PathBuf,
    /// The system
    #[arg(long, value_enum, value_name = "SYSTEM")]
    to: To,
    /// Its address, as people open it in a browser: https, but on the loopback
    #[arg(long, value_name = "URL")]
    url: String,
    /// The ticket: an issue of Jira, the number of a change in ServiceNow, of a ticket in Request Tracker; for
    /// Dependency-Track the project: its UUID or NAME@VERSION
    #[arg(long, value_name = "ID")]
    ticket: String,
    /// Jira's interface: 3 is Cloud's, 2 is Data Center's [default: 3 below atlassian.net, else 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=3))]
    jira_api: Option<u8>,
    /// Let Dependency-Track make the project NAME@VERSION when it has none
    #[arg(long)]
    auto_create: bool,
    /// How many seconds Dependency-Track may take to read the SBOM
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    wait: u64,
    /// The trust root: of a packet that no key of it signed nothing is sent
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Show every request that would be made, and make none
    #[arg(long)]
    dry_run: bool,
    /// File for the JSON receipt [default: beside the packet, PACKET.SYSTEM-ID.receipt.json]
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// How to get there.
    #[command(flatten)]
    service: ServiceArgs,
}

/// A kind of system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    /// Jira: Cloud or Data Center.
    Jira,
    /// ServiceNow.
    Servicenow,
    /// Request Tracker 5.
    Rt,
    /// Dependency-Track: the SBOM only.
    DependencyTrack,
}

pub(crate) fn run(ctx: &Context, args: &SubmitArgs) -> CommandResult {
    let base = address(&args.url)?;
    let system = system(args, &base);
    let destination = Destination::new(system, base.clone(), &args.ticket)
        .map_err(|form| UsageError::new(format!("{} is not {form}", quoted(&args.ticket))))?;
    let (packet, stem) = packet(&args.packet)?;
    if let Some(root) = &args.trust {
        signed::signer(&packet, &TrustRoot::load(root)?)?;
    }
    let archive = packet.archive().unwrap_or_default().to_vec();
    let submission = Submission::of(&packet, archive)?;
    let login = login(args.to);
    if args.dry_run {
        let plan = destination.plan(&submission)?;
        return Ok(planned(args, system, &submission, &plan, login));
    }
    let about = About {
        system: system.name().to_owned(),
        url: base.to_string(),
        ticket: args.ticket.clone(),
        bundle: submission.bundle.to_string(),
        manifest: submission.manifest.hex(),
    };
    let file = receipt_file(args, system, &stem);
    let mut book = Book::open(&file, about, &submission, TOOL, ctx.now)?;
    let settings = service::settings(ctx, &args.service, &base, login)?;
    let upstream = HttpUpstream::new(settings)?;
    book.keep()?;
    let line = Line {
        upstream: &upstream,
        progress: &ctx.ui,
    };
    let wait = Duration::from_secs(args.wait);
    let sent = destination.submit(&submission, line, wait, &mut book);
    book.keep()?;
    let mut report = report(args, system, &submission, false);
    merge(
        &mut report,
        json!({
            "receipt": shown(&file),
            "complete": book.receipt.complete,
            "files": book.receipt.files,
            "note": book.receipt.note,
        }),
    );
    let line = summary(&book, system, &args.ticket, &file);
    match sent {
        Ok(()) => Ok(Outcome::new("stage/submit-report/v1", report).line(line)),
        Err(error) => {
            ctx.ui.talk(&line);
            let mut report = report;
            merge(&mut report, json!({"schema": "stage/submit-report/v1"}));
            Err(Failure {
                faults: vec![error.into()],
                report: Some(report),
            })
        }
    }
}

/// The address of the service. A token goes to it, so it is encrypted wherever it leaves this host.
fn address(text: &str) -> Result<Url, UsageError> {
    let url = web_url(text).filter(|url| url.query().is_none() && url.fragment().is_none());
    let url = url
        .ok_or_else(|| UsageError::new("the address is not an http or https URL without query"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            UsageError::new("the address holds a user name or a password")
                .next("give --user, and the token in a file or in STAGE_SUBMIT_TOKEN"),
        );
    }
    if url.scheme() != "https" && !is_loopback(text) {
        return Err(
            UsageError::new("over http, everybody on the way could read the token")
                .next("give the https address of the system"),
        );
    }
    Ok(url)
}

fn system(args: &SubmitArgs, base: &Url) -> System {
    let host = base.host_str().unwrap_or_default();
    let cloud = host.ends_with(".atlassian.net");
    match (args.to, args.jira_api) {
        (To::Jira, Some(3)) => System::Jira(Api::V3),
        (To::Jira, None) if cloud => System::Jira(Api::V3),
        (To::Jira, _) => System::Jira(Api::V2),
        (To::Servicenow, _) => System::ServiceNow,
        (To::Rt, _) => System::Rt,
        (To::DependencyTrack, _) => System::DependencyTrack {
            create: args.auto_create,
        },
    }
}

/// How a token is shown where no user is named.
const fn login(to: To) -> Login {
    match to {
        To::Jira | To::Servicenow => Login::Bearer,
        To::Rt => Login::Rt,
        To::DependencyTrack => Login::Key,
    }
}

/// The zip file of the packet, and its path without `.zip`. A folder must hold the same.
fn packet(path: &Path) -> Result<(Packet, PathBuf), Failure> {
    let gone = |error| match error {
        ReceivedError::Fs(error) if error.is_not_found() => {
            let refused = UsageError::unreadable(&error);
            Failure::from(
                refused.next("name the folder that `stage ticket` wrote, or its zip file"),
            )
        }
        error => error.into(),
    };
    let packet = received::open(path).map_err(gone)?;
    if packet.archive().is_some() {
        return Ok((packet, path.with_extension("")));
    }
    let archive = beside(path, "zip");
    let zipped = received::open(&archive).map_err(gone)?;
    let same = zipped.archive().is_some()
        && zipped.manifest == packet.manifest
        && zipped.signature == packet.signature;
    if same {
        return Ok((zipped, path.to_owned()));
    }
    Err(ReceivedError::Format {
        file: shown(&archive),
        reason: "it holds another packet than the folder beside it".to_owned(),
    }
    .into())
}

/// `PATH.LAST`, beside it.
fn beside(path: &Path, last: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{last}"));
    path.with_file_name(name)
}

/// Where the receipt is.
fn receipt_file(args: &SubmitArgs, system: System, stem: &Path) -> PathBuf {
    if let Some(file) = &args.receipt {
        return file.clone();
    }
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.@".contains(c) {
            c
        } else {
            '_'
        }
    };
    let ticket: String = args.ticket.chars().map(plain).take(100).collect();
    beside(stem, &format!("{}-{ticket}.receipt.json", system.name()))
}

/// What was done, in one line.
fn summary(book: &Book, system: System, ticket: &str, file: &Path) -> String {
    let entries = book.receipt.files.iter();
    let done = entries.filter(|entry| entry.sent.state.is_done()).count();
    let before = match done.saturating_sub(book.sent) {
        0 => String::new(),
        n => format!(", {n} there already"),
    };
    format!(
        "Sent {} to {} {}{before}; receipt: {}",
        plural(book.sent, "file"),
        system.name(),
        quoted(ticket),
        shown(file)
    )
}

/// What every report has.
fn report(args: &SubmitArgs, system: System, submission: &Submission, dry_run: bool) -> Value {
    json!({
        "system": system.name(),
        "url": args.url,
        "ticket": args.ticket,
        "bundle_id": submission.bundle.to_string(),
        "manifest": submission.manifest.to_string(),
        "dry_run": dry_run,
    })
}

fn merge(report: &mut Value, more: Value) {
    if let (Value::Object(report), Value::Object(more)) = (report, more) {
        report.extend(more);
    }
}

/// The requests that would be made.
fn planned(
    args: &SubmitArgs,
    system: System,
    submission: &Submission,
    plan: &[Planned],
    login: Login,
) -> Outcome {
    let secret = args.service.shown(login);
    let headers = |planned: &Planned| {
        let own = planned.call.headers.iter();
        let mut all: Vec<String> = own
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        all.push(secret.clone());
        all
    };
    let mut text = String::new();
    for planned in plan {
        let call = &planned.call;
        let lines = [
            format!("{} {}", call.verb.as_str(), call.url),
            format!("    to {}, {} of body", planned.what, bytes(call.size())),
        ];
        for line in lines
            .into_iter()
            .chain(headers(planned).iter().map(|h| format!("    {h}")))
        {
            if writeln!(text, "{line}").is_err() {
                // A text takes everything.
            }
        }
    }
    let requests: Vec<Value> = plan
        .iter()
        .map(|planned| {
            json!({
                "what": planned.what,
                "method": planned.call.verb.as_str(),
                "url": planned.call.url.as_str(),
                "headers": headers(planned),
                "size": planned.call.size(),
            })
        })
        .collect();
    let mut report = report(args, system, submission, true);
    merge(&mut report, json!({"requests": requests}));
    let count = plural(plan.len(), "request");
    Outcome::new("stage/submit-report/v1", report)
        .data(text)
        .line(format!("{count} would be made; nobody was contacted"))
}
