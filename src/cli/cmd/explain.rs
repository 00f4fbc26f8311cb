//! `stage explain`.

use clap::Args;
use serde_json::json;

use crate::cli::cmd::CommandResult;
use crate::cli::ui::Outcome;
use crate::cli::{Context, UsageError, explain};

/// Arguments of `stage explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A code such as `trust-threshold`, or a class such as `E30`
    #[arg(value_name = "CODE")]
    code: String,
}

pub(crate) fn run(_ctx: &Context, args: &ExplainArgs) -> CommandResult {
    match explain::hint(&args.code) {
        Some(text) => Ok(Outcome::new(
            "stage/explanation/v1",
            json!({"code": args.code, "text": text}),
        )
        .data(format!("{text}\n"))),
        None => Err(UsageError::new(format!(
            "no code is called {}",
            crate::base::text::quoted(&args.code)
        ))
        .into()),
    }
}
