//! One file per command: the arguments struct, whose doc comment is the help, and the function that runs it.

pub mod client_config;
pub mod explain;
pub mod import;
pub mod repo;

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
}

/// What every command returns.
pub(crate) type CommandResult = Result<Outcome, Failure>;

/// Runs a command.
pub(crate) fn dispatch(ctx: &Context, command: Command) -> CommandResult {
    match command {
        Command::Explain(args) => explain::run(ctx, &args),
        Command::Import(args) => import::run(ctx, &args),
        Command::Repo(args) => repo::run(ctx, &args),
    }
}
