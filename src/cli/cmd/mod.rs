//! One file per command: the arguments struct, whose doc comment is the help, and the function that runs it.

pub mod diff;
pub mod explain;
#[cfg(feature = "connected")]
pub mod fetch;
pub mod generate;
pub mod inspect;
#[cfg(feature = "connected")]
pub mod resolve;
pub mod key;
pub mod sign;
pub mod trust;
pub mod verify;

use clap::Subcommand;

use crate::cli::Context;
use crate::cli::ui::{Failure, Outcome};

/// The commands.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "the help of a command is the doc comment of its arguments; one here would hide it"
)]
pub enum Command {
    #[cfg(feature = "connected")]
    Resolve(resolve::ResolveArgs),
    #[cfg(feature = "connected")]
    Fetch(fetch::FetchArgs),
    Inspect(inspect::InspectArgs),
    Diff(diff::DiffArgs),
    Explain(explain::ExplainArgs),
    Generate(generate::GenerateArgs),
    /// Make signing keys and look at them
    Key(key::KeyArgs),
    /// Add a signature to a bundle, in place
    Sign(sign::SignArgs),
    /// Make trust roots and look at them
    Trust(trust::TrustArgs),
    /// Check a bundle: signatures, freshness, every byte, and that its contents agree
    Verify(verify::VerifyArgs),
}

/// What every command returns.
pub(crate) type CommandResult = Result<Outcome, Failure>;

/// Runs a command.
pub(crate) fn dispatch(ctx: &Context, command: Command) -> CommandResult {
    match command {
        #[cfg(feature = "connected")]
        Command::Resolve(args) => resolve::run(ctx, &args),
        #[cfg(feature = "connected")]
        Command::Fetch(args) => fetch::run(ctx, &args),
        Command::Inspect(args) => inspect::run(ctx, &args),
        Command::Diff(args) => diff::run(ctx, &args),
        Command::Explain(args) => explain::run(ctx, &args),
        Command::Generate(args) => generate::run(ctx, &args),
        Command::Key(args) => key::run(ctx, &args),
        Command::Sign(args) => sign::run(ctx, &args),
        Command::Trust(args) => trust::run(ctx, &args),
        Command::Verify(args) => verify::run(ctx, &args),
    }
}
