//! Findings as SARIF 2.1.0 (OASIS), for tools that show them beside the file they are about: the lock.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::base::finding::{Finding, Severity};
use crate::base::json;
use crate::cli::explain;
use crate::policy::Judgement;

/// The document: what stands, and what is waived as suppressed results.
pub(crate) fn document(judgement: &Judgement, lock_path: &Path, lock: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(lock);
    let lines: Vec<&str> = text.lines().collect();
    let file = lock_path.to_string_lossy();
    let standing = judgement.findings.iter();
    let mut results: Vec<Value> = standing.map(|f| result(f, &file, &lines)).collect();
    for one in &judgement.waived {
        let mut result = result(&one.finding, &file, &lines);
        let waiver = &one.waiver;
        let said = format!(
            "{} (approved by {} until {})",
            waiver.reason, waiver.approver, waiver.expires
        );
        if let Value::Object(fields) = &mut result {
            let suppressed =
                json!([{"kind": "external", "status": "accepted", "justification": said}]);
            fields.insert("suppressions".to_owned(), suppressed);
        }
        results.push(result);
    }
    let waived = judgement.waived.iter().map(|one| &one.finding);
    let all = judgement.findings.iter().chain(waived);
    let codes: BTreeSet<&str> = all.map(|finding| finding.code.name).collect();
    let mut bytes = json::canonical(&json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "stage",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": codes.into_iter().map(rule).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    }));
    bytes.push(b'\n');
    bytes
}

fn rule(code: &str) -> Value {
    let text = explain::find(code).map_or(code, |found| found.text);
    json!({"id": code, "shortDescription": {"text": code}, "fullDescription": {"text": text}})
}

fn result(finding: &Finding, file: &str, lines: &[&str]) -> Value {
    let level = match finding.severity {
        Severity::Deny => "error",
        Severity::Warn => "warning",
        Severity::Note => "note",
    };
    let fix = finding
        .fix
        .as_deref()
        .map(|fix| format!("\nWhat to do: {fix}."));
    let text = format!(
        "{}: {}{}",
        finding.subject,
        finding.message,
        fix.unwrap_or_default()
    );
    json!({
        "ruleId": finding.code.name,
        "level": level,
        "message": {"text": text},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(file)},
            "region": {"startLine": line_of(finding, lines)},
        }}],
    })
}

/// A relative or absolute path as a reference (RFC 3986).
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
        }
    }
    out
}

/// The line at which the table of the package begins, or the first one.
fn line_of(finding: &Finding, lines: &[&str]) -> usize {
    let release = finding.subject.split_once(' ').and_then(|(id, release)| {
        let (name, version) = release.rsplit_once('@')?;
        Some([
            format!("ecosystem = \"{id}\""),
            format!("name = \"{name}\""),
            format!("version = \"{version}\""),
        ])
    });
    let Some(wanted) = release else {
        return 1;
    };
    let mut windows = lines.windows(wanted.len() + 1).enumerate();
    let found = windows.find_map(|(at, window)| {
        let (head, rest) = window.split_first()?;
        (*head == "[[package]]" && rest.iter().eq(wanted.iter())).then_some(at + 1)
    });
    found.unwrap_or(1)
}
