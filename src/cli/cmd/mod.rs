//! One file per command: the arguments struct, whose doc comment is the help, and the function that runs it.

pub mod client_config;
pub mod explain;
pub mod import;
pub mod repo;
pub mod key;
pub mod sign;
pub mod trust;
pub mod verify;

use clap::Subcommand;

use crate::cli::Context;
use crate::cli::ui::{Failure, Outcome};

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell more about an error or finding code
    Explain(explain::ExplainArgs),
    /// Verify a bundle while reading it and publish it in a repository
    Import(import::ImportArgs),
    /// The repository in the enclave
    Repo(repo::RepoArgs),
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
        Command::Explain(args) => explain::run(ctx, &args),
        Command::Import(args) => import::run(ctx, &args),
        Command::Repo(args) => repo::run(ctx, &args),
        Command::Key(args) => key::run(ctx, &args),
        Command::Sign(args) => sign::run(ctx, &args),
        Command::Trust(args) => trust::run(ctx, &args),
        Command::Verify(args) => verify::run(ctx, &args),
    }
}
