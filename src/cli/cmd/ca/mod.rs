//! `stage ca`.

mod check;
mod pack;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::cmd::CommandResult;
use crate::cli::{Context, UsageError};
use crate::fs;

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

/// Files of certificates with the names that messages have; what cannot be read is wrong use.
fn read(paths: &[PathBuf]) -> Result<Vec<(String, Vec<u8>)>, UsageError> {
    let hint = "name a PEM file that is there and that you may read";
    let one = |path: &PathBuf| {
        let bytes = fs::read(path, LIMIT);
        let bytes = bytes.map_err(|error| UsageError::unreadable(&error).next(hint))?;
        Ok((path.to_string_lossy().into_owned(), bytes))
    };
    paths.iter().map(one).collect()
}

pub(crate) fn run(ctx: &Context, args: &CaArgs) -> CommandResult {
    match &args.command {
        CaCommand::Check(args) => check::run(ctx, args),
        CaCommand::Pack(args) => pack::run(ctx, args),
    }
}
