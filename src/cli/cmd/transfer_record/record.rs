//! Making a record.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::medium::{self, Blobs, OnMedium};
use super::scan::{self, Ready, Scanned, Targets};
use super::{TransferArgs, free, outcome};
use crate::base::text::{quoted, shown};
use crate::base::time::Span;
use crate::cli::cmd::CommandResult;
use crate::cli::scratch::Scratch;
use crate::cli::secret::secret_key;
use crate::cli::ui::{Failure, Outcome, plural};
use crate::cli::{Context, TOOL, UsageError};
use crate::fs;
use crate::sign::SecretKey;
use crate::transfer::{
    About, CarriedBlob, Line, Medium, Persons, REFUSED, Record, Root, SCHEMA, SIGNATURE, Scanner,
    TransferError, Verdict, names, signed,
};
use crate::trust::Role;
use crate::trust::envelope::Signable;
use crate::trust::root::TrustRoot;
use crate::trust::threshold::Signer;
use crate::verify::Bundle;

/// Files that an error names.
const NAMED: usize = 40;

/// A key, and what the trust root knows of it.
struct Signs {
    key: SecretKey,
    signer: Option<Signer>,
}

pub(super) fn run(ctx: &Context, args: &TransferArgs) -> CommandResult {
    let output = args
        .output
        .as_deref()
        .ok_or_else(|| UsageError::new("give -o"))?;
    free(output)?;
    args.keep_refused.as_deref().map_or(Ok(()), free)?;
    let persons = Persons::new(
        line(args.told.operator.as_ref())?,
        line(args.told.witness.as_ref())?,
    )?;
    let key = args.key.as_deref();
    let key = key
        .map(|path| secret_key(ctx, path, &args.passphrase))
        .transpose()?;
    let mut scratch = Scratch::new(ctx, "stage-transfer")?;
    let ready = match args.scan {
        Some(engine) => Some(Ready::new(&mut scratch, engine, &args.database)?),
        None => None,
    };
    if let Some(ready) = &ready {
        current(ctx, args.max_definitions_age, ready.scanner())?;
    }
    let blobs = scratch.subfolder("blobs")?;
    let (bundle, files) = medium::read(ctx, &args.asked(), &mut Blobs::new(&blobs))?;
    let key = key.map(|key| signs(key, &bundle.root)).transpose()?;
    let carried = bundle.manifest.carried_blobs().into_iter();
    let carried = carried.map(|blob| (blob.digests.sha256, blob.size));
    let targets = scan::targets(carried, &blobs, files.iter())?;
    let scanned = look(ctx, args, &mut scratch, ready.as_ref(), &targets)?;
    current(ctx, args.max_definitions_age, &scanned.scanner)?;
    medium::unchanged(&files)?;
    drop(scratch);
    let record = record(args, &bundle, files, scanned, persons)?;
    judge(args, &record)?;
    let signer = write(output, &record, key.as_ref())?;
    Ok(told(&bundle, output, &record, key.as_ref(), signer))
}

fn look(
    ctx: &Context,
    args: &TransferArgs,
    scratch: &mut Scratch,
    ready: Option<&Ready>,
    targets: &Targets,
) -> Result<Scanned, Failure> {
    match (ready, &args.scan_report) {
        (Some(ready), _) => {
            ctx.ui.talk(&format!(
                "Scanning {} with {}",
                plural(targets.len(), "file"),
                ready.scanner().name.as_str()
            ));
            ready.scan(scratch, targets)
        }
        (None, Some(file)) => scan::reported(file, targets, ctx.now),
        (None, None) => Err(UsageError::new("give --scan or --scan-report").into()),
    }
}

fn line(text: Option<&Line>) -> Result<Line, UsageError> {
    text.cloned().ok_or_else(|| {
        UsageError::new("medium, label, persons, source and destination must be given")
    })
}

/// Old definitions know nothing of what is new.
fn current(ctx: &Context, most: Span, scanner: &Scanner) -> Result<(), TransferError> {
    let date = scanner.definitions.date;
    if date.plus_seconds(most.seconds()) < ctx.now {
        return Err(TransferError::Definitions {
            most: most.seconds() / Span::days(1).seconds(),
            date,
        });
    }
    Ok(())
}

/// The key must be one whose signature will count, where the root says whose does.
fn signs(key: SecretKey, root: &TrustRoot) -> Result<Signs, Failure> {
    let id = key.public()?.id();
    let signer = root.key(id).map(|known| Signer {
        keyid: id,
        person: known.person.clone(),
        roles: root.roles_of(id),
    });
    let counts = signer
        .as_ref()
        .is_some_and(|signer| signed::may_sign(root, signer));
    if root.threshold(Role::Transfer).is_some() && !counts {
        let message = format!(
            "key {id} does not have the role transfer, which the trust root gives to others"
        );
        return Err(UsageError::new(message).into());
    }
    Ok(Signs { key, signer })
}

fn record(
    args: &TransferArgs,
    bundle: &Bundle,
    files: Vec<OnMedium>,
    mut scanned: Scanned,
    persons: Persons,
) -> Result<Record, Failure> {
    let told = &args.told;
    let statement = &bundle.statement;
    let mut names = names(bundle);
    let carried = bundle.manifest.carried_blobs().into_iter();
    let blobs = carried.map(|blob| CarriedBlob {
        digest: blob.digests.sha256,
        size: blob.size,
        names: names.remove(&blob.digests.sha256).unwrap_or_default(),
        scan: scanned
            .scans
            .remove(&blob.digests.sha256.hex())
            .unwrap_or_default(),
    });
    let blobs = blobs.collect();
    let files = files.into_iter().map(|OnMedium { mut file, .. }| {
        file.scan = scanned.scans.remove(&file.name).unwrap_or_default();
        file
    });
    let mut record = Record {
        schema: SCHEMA.to_owned(),
        bundle: About {
            id: bundle.id.0,
            channel: statement.channel.clone(),
            serial: statement.serial,
            created: statement.created,
            signed_by: bundle
                .signers
                .iter()
                .map(|signer| signer.person.clone())
                .collect(),
        },
        trust_root: Root {
            version: bundle.root.version(),
            fingerprint: bundle.root.fingerprint(),
        },
        medium: Medium {
            kind: line(told.medium.as_ref())?,
            serial: line(told.medium_serial.as_ref())?,
            label: line(told.label.as_ref())?,
        },
        files: files.collect(),
        blobs,
        scanner: scanned.scanner,
        persons,
        source: line(told.from.as_ref())?,
        destination: line(told.to.as_ref())?,
        remarks: told.remarks.clone(),
        started: scanned.started,
        ended: scanned.ended,
        result: Verdict::Clean,
        findings: scanned.findings,
        tool: TOOL.to_owned(),
    };
    record.conclude();
    Ok(record)
}

/// Refuses a record that nobody should have in hand.
fn judge(args: &TransferArgs, record: &Record) -> Result<(), Failure> {
    let scans = record
        .files
        .iter()
        .map(|file| (file.name.clone(), &file.scan));
    let blobs = record
        .blobs
        .iter()
        .map(|blob| (blob.names.join(", "), &blob.scan));
    let all: Vec<_> = scans.chain(blobs).collect();
    let of = |wanted: fn(Verdict) -> bool| {
        let wanted = all.iter().filter(move |(_, scan)| wanted(scan.result));
        let texts =
            wanted.map(|(name, scan)| format!("{}: {}", quoted(name), scan.said.join("; ")));
        texts.collect::<Vec<String>>()
    };
    let mut found = of(|verdict| verdict == Verdict::Found);
    if !found.is_empty() {
        if let Some(folder) = &args.keep_refused {
            fs::write_folder(folder, &refused(record))?;
        }
        found.truncate(NAMED);
        return Err(TransferError::Found { found }.into());
    }
    let mut first = of(Verdict::is_incomplete);
    if args.require_whole && !first.is_empty() {
        let count = first.len();
        first.truncate(NAMED);
        return Err(TransferError::Incomplete { count, first }.into());
    }
    Ok(())
}

/// What was seen, under names that nobody takes for a record.
fn refused(record: &Record) -> BTreeMap<String, Vec<u8>> {
    let record = Record {
        schema: REFUSED.to_owned(),
        ..record.clone()
    };
    let files = record.files().into_iter();
    files
        .map(|(name, bytes)| (name.replace("record.", "REFUSED."), bytes))
        .collect()
}

/// Writes the folder; returns whether it was signed by a key that the trust root knows.
fn write(folder: &Path, record: &Record, key: Option<&Signs>) -> Result<Option<Signer>, Failure> {
    let mut files = record.files();
    if let Some(Signs { key, .. }) = key {
        let payload = signed::payload(&files);
        let signature = key.sign_signable(Signable::transfer(&payload))?;
        files.insert(SIGNATURE.to_owned(), signed::file(&payload, &signature));
    }
    fs::write_folder(folder, &files)?;
    Ok(key.and_then(|key| key.signer.clone()))
}

fn told(
    bundle: &Bundle,
    folder: &Path,
    record: &Record,
    key: Option<&Signs>,
    signer: Option<Signer>,
) -> Outcome {
    let count = record.files.len() + record.blobs.len();
    let report = json!({
        "files": count,
        "result": record.result,
        "signed": key.is_some(),
        "signed_by": signer.as_ref().map(|signer| signer.person.as_str()),
        "findings": record.findings,
    });
    let mut outcome = outcome("recorded", bundle, folder, &report);
    for noted in &record.findings {
        outcome = outcome.line(format!(
            "warning[{}]: {}: {}",
            noted.code,
            quoted(&noted.subject),
            quoted(&noted.message)
        ));
    }
    let result = match record.result {
        Verdict::Clean => "nothing was found".to_owned(),
        other => format!(
            "nothing was found, but not everything was looked at whole ({})",
            other.as_str()
        ),
    };
    outcome = outcome.line(format!(
        "Wrote the record of {} {} to {}: {}, {result}",
        record.bundle.channel,
        record.bundle.serial,
        shown(folder),
        plural(count, "file"),
    ));
    match (key, signer) {
        (None, _) => outcome,
        (Some(_), Some(signer)) => outcome.line(format!("Signed by {}", signer.person)),
        (Some(_), None) => outcome
            .line("Signed by a key that the trust root does not know: --check will refuse it"),
    }
}
