//! Holding a medium against its record, on the other side of the gap.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::json;

use super::medium::{self, Asked, OnMedium};
use super::outcome;
use crate::base::digest::Digest;
use crate::base::limits::LIMITS;
use crate::base::text::{quoted, shown};
use crate::cli::cmd::CommandResult;
use crate::cli::ui::{Outcome, plural};
use crate::cli::{Context, UsageError};
use crate::fs;
use crate::transfer::{FileKind, PAGES, Persons, RECORD, Record, SIGNATURE, TransferError, signed};
use crate::trust::threshold::Signer;
use crate::verify::{Bundle, NullSink};

pub(super) fn run(ctx: &Context, asked: &Asked<'_>, folder: &Path, whole: bool) -> CommandResult {
    let mut kept = BTreeMap::new();
    for name in [RECORD, SIGNATURE].into_iter().chain(PAGES) {
        let bytes = fs::read_optional(&folder.join(name), LIMITS.document);
        let bytes = bytes.map_err(|error| UsageError::unreadable(&error))?;
        kept.extend(bytes.map(|bytes| (name.to_owned(), bytes)));
    }
    if !kept.contains_key(RECORD) {
        let message = format!("there is no {RECORD} in {}", shown(folder));
        return Err(UsageError::new(message)
            .next("name the folder that `stage transfer-record -o` wrote")
            .into());
    }
    let (bundle, files) = medium::read(ctx, asked, &mut NullSink)?;
    let (record, signer) = signed::read(&kept, &bundle.root)?;
    compare(&record, &bundle, &files)?;
    let incomplete = record.findings.len();
    if whole && record.result.is_incomplete() {
        let first = record.findings.iter().map(|noted| noted.subject.clone());
        return Err(TransferError::Incomplete {
            count: incomplete,
            first: first.collect(),
        }
        .into());
    }
    let report = json!({
        "files": record.files.len() + record.blobs.len(),
        "result": record.result,
        "signed": signer.is_some(),
        "signed_by": signer.as_ref().map(|signer| signer.person.as_str()),
        "findings": record.findings,
    });
    Ok(said(
        outcome("checked", &bundle, folder, &report),
        &record,
        signer.as_ref(),
    ))
}

/// Whether the record is about these files and this bundle, and says all that it must.
fn compare(record: &Record, bundle: &Bundle, files: &[OnMedium]) -> Result<(), TransferError> {
    let same = |what: &str, expected: String, found: String| {
        if expected == found {
            return Ok(());
        }
        Err(TransferError::Differs {
            what: what.to_owned(),
            expected,
            found,
        })
    };
    Persons::new(
        record.persons.operator.clone(),
        record.persons.witness.clone(),
    )?;
    same(
        "another bundle",
        record.bundle.id.to_string(),
        bundle.id.to_string(),
    )?;
    let blobs: BTreeSet<Digest> = record.blobs.iter().map(|blob| blob.digest).collect();
    let carried: BTreeSet<Digest> = bundle.manifest.carried.iter().copied().collect();
    let listed = |all: &BTreeSet<Digest>| plural(all.len(), "file");
    if blobs != carried {
        return Err(TransferError::Differs {
            what: "it does not list what the bundle carries".to_owned(),
            expected: listed(&blobs),
            found: listed(&carried),
        });
    }
    let line = |kind: FileKind, digest: &Digest, size: u64| {
        format!("{} {digest}, {size} bytes", kind.as_str())
    };
    let mut there = record.files.iter();
    let mut here = files.iter();
    loop {
        let (expected, found) = (there.next(), here.next());
        let text = |file: Option<String>| file.unwrap_or_else(|| "nothing".to_owned());
        let expected =
            expected.map(|file| (quoted(&file.name), line(file.kind, &file.digest, file.size)));
        let found = found.map(|on| line(on.file.kind, &on.file.digest, on.file.size));
        match expected {
            None if found.is_none() => return Ok(()),
            None => same("a file that it does not list", text(None), text(found))?,
            Some((name, expected)) => same(
                &format!("other bytes in the place of {name}"),
                expected,
                text(found),
            )?,
        }
    }
}

fn said(outcome: Outcome, record: &Record, signer: Option<&Signer>) -> Outcome {
    let mut outcome = outcome;
    let scanner = &record.scanner;
    let (medium, persons) = (&record.medium, &record.persons);
    outcome = outcome.line(format!(
        "The medium is as recorded: {} {}, {}, label {}",
        medium.kind.as_str(),
        medium.serial.as_str(),
        plural(record.files.len(), "file"),
        medium.label.as_str(),
    ));
    outcome = outcome.line(format!(
        "Scanned until {} with {} {}, definitions {} of {}: {}",
        record.ended,
        scanner.name.as_str(),
        scanner.version.as_str(),
        scanner.definitions.version.as_str(),
        scanner.definitions.date,
        record.result.as_str()
    ));
    for noted in &record.findings {
        outcome = outcome.line(format!(
            "warning[{}]: {}: {}",
            quoted(&noted.code),
            quoted(&noted.subject),
            quoted(&noted.message)
        ));
    }
    outcome = outcome.line(format!(
        "By {}, watched by {}",
        persons.operator.as_str(),
        persons.witness.as_str()
    ));
    outcome.line(match signer {
        Some(signer) => format!("Signed by {}", signer.person),
        None => "Not signed: whoever had the record could have changed it".to_owned(),
    })
}
