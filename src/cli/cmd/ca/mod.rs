//! `stage ca`.

mod check;
mod pack;

use clap::{Args, Subcommand};

use crate::cli::Context;
use crate::cli::cmd::CommandResult;

/// Largest file of certificates, in bytes.
const LIMIT: u64 = 4 << 20;

/// Look at the private CA of the enclave, and pack it for its hosts
#[derive(Debug, Args)]
pub struct CaArgs {
    #[command(subcommand)]
    command: CaCommand,
}

#[derive(Debug, Subcommand)]
enum CaCommand {
    Check(check::CheckArgs),
    Pack(pack::PackArgs),
}

pub(crate) fn run(ctx: &Context, args: &CaArgs) -> CommandResult {
    match &args.command {
        CaCommand::Check(args) => check::run(ctx, args),
        CaCommand::Pack(args) => pack::run(ctx, args),
    }
}
