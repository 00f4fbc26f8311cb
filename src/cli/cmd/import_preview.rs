//! `stage import --dry-run`.

use std::io::{self, Read};
use std::path::Path;

use serde_json::json;

use crate::cli::Context;
use crate::cli::cmd::CommandResult;
use crate::cli::ui::{Failure, Outcome};
use crate::fs;
use crate::import::ImportRequest;
use crate::import::preview::{self, Answer, Row};
use crate::trust::root::TrustRoot;

pub(super) fn run(
    ctx: &Context,
    bundle: &Path,
    trust: Option<&Path>,
    request: &ImportRequest<'_>,
) -> CommandResult {
    let trust = trust.map(TrustRoot::load).transpose()?;
    let reader: Box<dyn Read> = if bundle.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(fs::open(bundle)?)
    };
    let file = Some(bundle).filter(|path| fs::metadata(path).is_ok_and(|found| found.is_file()));
    let found = preview::preview(reader, file, request, trust.as_ref(), &ctx.ui);
    let report = json!({
        "schema": "stage/preview-report/v1",
        "repository": crate::base::text::escaped(&request.repository.to_string_lossy()),
        "checks": found.rows,
        "needed": found.needed,
        "available": found.available,
        "generation": found.generation,
    });
    let table: Vec<String> = found.rows.iter().map(line).collect();
    if found.faults.is_empty() {
        return Ok(Outcome::new("stage/preview-report/v1", report)
            .data(table.concat())
            .line("Nothing was written; nothing found that would stop the import"));
    }
    for line in &table {
        ctx.ui.talk(line.trim_end());
    }
    Err(Failure {
        faults: found.faults,
        report: Some(report),
    })
}

fn line(row: &Row) -> String {
    let word = match row.answer {
        Answer::Ok => "ok",
        Answer::Note => "note",
        Answer::Problem => "PROBLEM",
    };
    format!("{word:8} {:12} {}\n", row.name, row.value)
}
