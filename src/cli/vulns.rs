//! Vulnerabilities on the command line, in both builds: which database, and that it was asked at all.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use crate::cli::ui::Outcome;
use crate::vulns::Checked;

/// The database that a command is given.
#[derive(Debug, Clone, Args)]
pub struct OsvArgs {
    /// Look up known vulnerabilities in this export of OSV: a folder with ECOSYSTEM/all.zip or .json files, a zip file,
    /// or the records that a bundle carries
    #[arg(long, value_name = "PATH")]
    pub(crate) osv: Option<PathBuf>,
}

/// Puts it into the report, and into the last line: also, and above all, that no database was given.
pub(crate) fn tell(outcome: &mut Outcome, known: &Checked) {
    if let Value::Object(report) = &mut outcome.report {
        report.insert("vulnerabilities".to_owned(), known.json());
    }
    outcome.summary.push(match known.database {
        Some(_) => known.said(),
        None => format!("Note: {} (--osv)", known.said()),
    });
}
