//! What `stage prove` runs of itself inside its namespaces; not for people.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::UsageError;
use crate::cli::cmd::CommandResult;
use crate::cli::ui::Outcome;
use crate::net::{loopback, names};
use crate::prove::janitor;

/// Arguments of `stage prove-inside`.
#[derive(Debug, Args)]
pub struct InsideArgs {
    #[command(subcommand)]
    command: Inside,
}

#[derive(Debug, Subcommand)]
enum Inside {
    /// Know no name, and print each one that is asked for
    Names,
    /// Wait until whoever started this ends, kill what is left of it and remove its folder
    Tidy {
        /// Leave the folder
        #[arg(long)]
        keep: bool,
        /// The folder
        folder: PathBuf,
    },
    /// Print the status that an address answers with
    Ask {
        /// The address
        address: String,
    },
}

pub(crate) fn run(args: &InsideArgs) -> CommandResult {
    let failed = |error: std::io::Error| UsageError::new(error.to_string());
    match &args.command {
        Inside::Names => {
            let mut out = std::io::stdout().lock();
            let mut print = |name: &str| writeln!(out, "{name}").and_then(|()| out.flush());
            names::serve(&mut print).map_err(failed)?;
            Ok(Outcome::new("stage/prove-inside/v1", json!({})))
        }
        Inside::Tidy { keep, folder } => {
            janitor::tidy(&mut std::io::stdin().lock(), folder, *keep)?;
            Ok(Outcome::new("stage/prove-inside/v1", json!({})))
        }
        Inside::Ask { address } => {
            let status = loopback::status(address).map_err(failed)?;
            let outcome = Outcome::new("stage/prove-inside/v1", json!({"status": status}));
            Ok(outcome.data(format!("{status}\n")))
        }
    }
}
