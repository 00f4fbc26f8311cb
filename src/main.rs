//! Entry point of the `stage` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    stage::cli::run(std::env::args_os())
}
