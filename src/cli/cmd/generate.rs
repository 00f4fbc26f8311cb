//! `stage generate`: man pages and shell completions, from the structs that parse the command line.

use std::path::{Path, PathBuf};

use clap::{Args, Command, Subcommand};
use clap_complete::Shell;
use serde_json::json;

use crate::cli::cmd::CommandResult;
use crate::cli::ui::{Failure, Outcome, plural};
use crate::cli::{Context, command};
use crate::fs;

/// Write man pages or shell completions.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[command(subcommand)]
    what: What,
}

/// What to generate.
#[derive(Debug, Subcommand)]
enum What {
    /// One man page per command, into a folder
    Man {
        /// Where to; created when missing
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
    },
    /// The completion script of a shell, to stdout
    Completions {
        /// The shell
        #[arg(value_name = "SHELL", value_enum)]
        shell: Shell,
    },
}

pub(crate) fn run(_ctx: &Context, args: &GenerateArgs) -> CommandResult {
    match &args.what {
        What::Man { output } => man(output),
        What::Completions { shell } => Ok(completions(*shell)),
    }
}

fn completions(shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "stage", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let report = json!({"shell": shell.to_string(), "script": script});
    Outcome::new("stage/completions/v1", report).content(script)
}

fn man(output: &Path) -> CommandResult {
    let mut root = command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    collect(&root, "stage", &mut pages);
    fs::create_dir_all(output, 0o755)?;
    let mut names = Vec::new();
    for (name, page) in pages {
        let file = format!("{name}.1");
        fs::write_atomic(&output.join(&file), &render(page, &name)?, 0o644)?;
        names.push(file);
    }
    let line = format!("Wrote {}", plural(names.len(), "man page"));
    Ok(Outcome::new("stage/man-report/v1", json!({"files": names})).line(line))
}

fn collect(command: &Command, name: &str, pages: &mut Vec<(String, Command)>) {
    pages.push((name.to_owned(), command.clone()));
    for child in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        if child.get_name() != "help" {
            collect(child, &format!("{name}-{}", child.get_name()), pages);
        }
    }
}

fn render(command: Command, name: &str) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let title = name.to_owned();
    clap_mangen::Man::new(command.name(title.clone()).display_name(title))
        .render(&mut page)
        .map_err(fs::context("render", Path::new(name)))?;
    Ok(page)
}
