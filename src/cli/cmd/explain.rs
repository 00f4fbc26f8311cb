//! `stage explain`.

use clap::Args;
use serde_json::json;

use crate::base::fault::{Code, Kind};
use crate::base::text::quoted;
use crate::cli::cmd::CommandResult;
use crate::cli::exit::Exit;
use crate::cli::ui::Outcome;
use crate::cli::{Context, UsageError, explain};

/// Tell more about an error or finding: what happened, why it matters, what to do.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage explain trust-threshold\n  stage explain E30    # every code of a class"
)]
pub struct ExplainArgs {
    /// A code such as `trust-threshold`, or a class such as `E30`; all codes when left out
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

pub(crate) fn run(_ctx: &Context, args: &ExplainArgs) -> CommandResult {
    let codes = explain::all_codes();
    let asked = args.code.as_deref();
    let chosen: Vec<&'static Code> = match asked {
        None => codes,
        Some(asked) => codes
            .into_iter()
            .filter(|c| c.name == asked || c.class.is_some_and(|class| class.to_string() == asked))
            .collect(),
    };
    if chosen.is_empty() {
        let message = format!(
            "no code is called {}; `stage explain` lists all",
            quoted(asked.unwrap_or_default())
        );
        return Err(UsageError::new(message).into());
    }
    let brief = asked.is_none();
    let text = chosen
        .iter()
        .map(|code| {
            if brief {
                format!("{}\n", head(code))
            } else {
                full(code)
            }
        })
        .collect::<String>();
    let listed: Vec<_> = chosen
        .iter()
        .map(|code| {
            let explanation = explain::find(code.name);
            json!({
                "code": code.name,
                "class": code.class,
                "exit": exit(code),
                "hint": explanation.and_then(|e| e.hint),
                "text": explanation.map(|e| e.text),
            })
        })
        .collect();
    Ok(Outcome::new("stage/explanation/v1", json!({"codes": listed})).data(text))
}

fn exit(code: &Code) -> u8 {
    Exit::from(code.kind).number()
}

fn head(code: &Code) -> String {
    let class = code
        .class
        .map(|c| format!(", class {c}"))
        .unwrap_or_default();
    let bug = if code.kind == Kind::Internal {
        ", a bug in stage"
    } else {
        ""
    };
    format!("{} (exit {}{class}{bug})", code.name, exit(code))
}

fn full(code: &Code) -> String {
    let explanation = explain::find(code.name);
    let text = explanation.map_or("", |e| e.text);
    let hint = explanation
        .and_then(|e| e.hint)
        .map(|h| format!("What to do: {h}.\n"))
        .unwrap_or_default();
    format!("{}\n\n{text}\n{hint}", head(code))
}
