//! One file per command: the arguments struct, whose doc comment is the help, and the function that runs it.

pub mod diff;
pub mod explain;
pub mod generate;
pub mod inspect;

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
    Inspect(inspect::InspectArgs),
    Diff(diff::DiffArgs),
    /// Tell more about an error or finding code
    Explain(explain::ExplainArgs),
    Generate(generate::GenerateArgs),
}

/// What every command returns.
pub(crate) type CommandResult = Result<Outcome, Failure>;

/// Runs a command.
pub(crate) fn dispatch(ctx: &Context, command: Command) -> CommandResult {
    match command {
        Command::Inspect(args) => inspect::run(ctx, &args),
        Command::Diff(args) => diff::run(ctx, &args),
        Command::Explain(args) => explain::run(ctx, &args),
        Command::Generate(args) => generate::run(ctx, &args),
    }
}
