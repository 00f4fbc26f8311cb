//! One file per command: the arguments struct, whose doc comment is the help, and the function that runs it.

#[cfg(feature = "connected")]
pub mod bundle;
pub mod ca;
pub mod client_config;
pub mod diff;
pub mod explain;
pub mod export;
#[cfg(feature = "connected")]
pub mod fetch;
pub mod generate;
pub mod head;
#[cfg(feature = "connected")]
pub mod holes;
pub mod import;
mod import_preview;
#[cfg(feature = "connected")]
pub mod init;
pub mod inspect;
pub mod key;
#[cfg(feature = "connected")]
pub mod policy;
#[cfg(feature = "connected")]
pub mod prove;
#[cfg(feature = "connected")]
pub mod prove_inside;
pub mod repo;
#[cfg(feature = "connected")]
pub mod resolve;
pub mod sbom;
pub mod sign;
#[cfg(feature = "connected")]
pub mod submit;
pub mod ticket;
pub mod transfer_record;
pub mod trust;
pub mod verify;
pub mod vex;

use clap::Subcommand;

use crate::cli::Context;
use crate::cli::ui::{Failure, Format, Outcome};

/// The commands, in the order of the walk.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "the help of a command is the doc comment of its arguments; one here would hide it"
)]
pub enum Command {
    #[cfg(feature = "connected")]
    Init(init::InitArgs),
    #[cfg(feature = "connected")]
    Resolve(resolve::ResolveArgs),
    #[cfg(feature = "connected")]
    Fetch(fetch::FetchArgs),
    #[cfg(feature = "connected")]
    Holes(holes::HolesArgs),
    /// Judge what may be carried, and write policies
    #[cfg(feature = "connected")]
    Policy(policy::PolicyArgs),
    /// Make signing keys and look at them
    Key(key::KeyArgs),
    /// Make trust roots and look at them
    Trust(trust::TrustArgs),
    Ca(ca::CaArgs),
    #[cfg(feature = "connected")]
    Bundle(bundle::BundleArgs),
    Head(head::HeadArgs),
    Sign(sign::SignArgs),
    #[cfg(feature = "connected")]
    Prove(prove::ProveArgs),
    /// What `stage prove` runs of itself inside
    #[cfg(feature = "connected")]
    #[command(hide = true)]
    ProveInside(prove_inside::InsideArgs),
    Verify(verify::VerifyArgs),
    Import(import::ImportArgs),
    Repo(repo::RepoArgs),
    Inspect(inspect::InspectArgs),
    Diff(diff::DiffArgs),
    Export(export::ExportArgs),
    Sbom(sbom::SbomArgs),
    Vex(vex::VexArgs),
    Ticket(ticket::TicketArgs),
    #[cfg(feature = "connected")]
    Submit(submit::SubmitArgs),
    TransferRecord(transfer_record::TransferArgs),
    Explain(explain::ExplainArgs),
    Generate(generate::GenerateArgs),
}

impl Command {
    /// What is said where this command has no output of that form.
    pub(crate) const fn misses(&self, format: Format) -> Option<&'static str> {
        match format {
            Format::Human | Format::Json => None,
            Format::Purl if matches!(self, Self::Inspect(_)) => None,
            Format::Purl => Some("only `stage inspect` knows --format purl"),
            Format::Cyclonedx | Format::Spdx | Format::Csv if matches!(self, Self::Sbom(_)) => None,
            Format::Cyclonedx | Format::Spdx | Format::Csv => {
                Some("only `stage sbom` knows --format cyclonedx, spdx and csv")
            }
        }
    }
}

/// What every command returns.
pub(crate) type CommandResult = Result<Outcome, Failure>;

/// Runs a command.
pub(crate) fn dispatch(ctx: &Context, command: Command) -> CommandResult {
    match command {
        #[cfg(feature = "connected")]
        Command::Init(args) => init::run(ctx, &args),
        #[cfg(feature = "connected")]
        Command::Resolve(args) => resolve::run(ctx, &args),
        #[cfg(feature = "connected")]
        Command::Fetch(args) => fetch::run(ctx, &args),
        #[cfg(feature = "connected")]
        Command::Holes(args) => holes::run(ctx, &args),
        #[cfg(feature = "connected")]
        Command::Policy(args) => policy::run(ctx, &args),
        Command::Key(args) => key::run(ctx, &args),
        Command::Trust(args) => trust::run(ctx, &args),
        Command::Ca(args) => ca::run(ctx, &args),
        #[cfg(feature = "connected")]
        Command::Bundle(args) => bundle::run(ctx, &args),
        Command::Head(args) => head::run(ctx, &args),
        Command::Sign(args) => sign::run(ctx, &args),
        #[cfg(feature = "connected")]
        Command::Prove(args) => prove::run(ctx, &args),
        #[cfg(feature = "connected")]
        Command::ProveInside(args) => prove_inside::run(&args),
        Command::Verify(args) => verify::run(ctx, &args),
        Command::Import(args) => import::run(ctx, &args),
        Command::Repo(args) => repo::run(ctx, &args),
        Command::Inspect(args) => inspect::run(ctx, &args),
        Command::Diff(args) => diff::run(ctx, &args),
        Command::Export(args) => export::run(ctx, &args),
        Command::Sbom(args) => sbom::run(ctx, &args),
        Command::Vex(args) => vex::run(ctx, &args),
        Command::Ticket(args) => ticket::run(ctx, &args),
        #[cfg(feature = "connected")]
        Command::Submit(args) => submit::run(ctx, &args),
        Command::TransferRecord(args) => transfer_record::run(ctx, &args),
        Command::Explain(args) => explain::run(ctx, &args),
        Command::Generate(args) => generate::run(ctx, &args),
    }
}
