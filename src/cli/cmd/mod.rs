//! One file per command: the arguments struct, whose doc comment is the help, and the function that runs it.

pub mod explain;
#[cfg(feature = "connected")]
pub mod fetch;

use clap::Subcommand;

use crate::cli::Context;
use crate::cli::ui::{Failure, Outcome};

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell more about an error or finding code
    Explain(explain::ExplainArgs),
    /// Download every artifact of the lock into the store
    #[cfg(feature = "connected")]
    Fetch(fetch::FetchArgs),
}

/// What every command returns.
pub(crate) type CommandResult = Result<Outcome, Failure>;

/// Runs a command.
pub(crate) fn dispatch(ctx: &Context, command: Command) -> CommandResult {
    match command {
        Command::Explain(args) => explain::run(ctx, &args),
        #[cfg(feature = "connected")]
        Command::Fetch(args) => fetch::run(ctx, &args),
    }
}
