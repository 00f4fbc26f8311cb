//! The record as a page, for the binder: what a person signs by hand.

use super::{CarriedBlob, Line, MediumFile, Record, Scan, Verdict};
use crate::base::text::amount;
use crate::page::{Block, Page, Section, Tone, table};

const FILES: [&str; 6] = ["result", "file", "kind", "size", "SHA-256", "said"];
const BLOBS: [&str; 5] = ["result", "what", "size", "SHA-256", "said"];
const FINDINGS: [&str; 3] = ["code", "subject", "message"];
const SIGNED: [&str; 4] = ["role", "name", "signature", "date"];

pub(super) fn of(record: &Record) -> Page {
    let about = &record.bundle;
    let what = match record.result {
        Verdict::Found => "REFUSED medium",
        _ => "transfer record",
    };
    let mut sections = vec![
        section("summary", "Summary", summary(record)),
        section("scan", "Scan", scan(record)),
        section("files", "Files on the medium", vec![files(record)]),
    ];
    if !record.findings.is_empty() {
        sections.push(section("findings", "To look at", vec![findings(record)]));
    }
    sections.push(section(
        "contents",
        "What is inside",
        vec![contents(record)],
    ));
    sections.push(section("persons", "Two persons", vec![persons(record)]));
    Page {
        title: format!("{} {}: {what}", about.channel, about.serial),
        subtitle: format!("{}; bundle {}", record.medium.label.as_str(), about.id),
        sections,
    }
}

const fn section(id: &'static str, title: &'static str, blocks: Vec<Block>) -> Section {
    Section { id, title, blocks }
}

fn summary(record: &Record) -> Vec<Block> {
    let (tone, text) = match record.result {
        Verdict::Clean => (
            Tone::Good,
            "everything was looked at whole, and nothing was found".to_owned(),
        ),
        Verdict::Found => (
            Tone::Bad,
            "something was found: this medium is refused".to_owned(),
        ),
        Verdict::Limit | Verdict::Encrypted | Verdict::Unreadable => {
            let scans = record.files.iter().map(|file| &file.scan);
            let scans = scans.chain(record.blobs.iter().map(|blob| &blob.scan));
            let (some, all): (Vec<&Scan>, Vec<&Scan>) =
                scans.partition(|scan| scan.result.is_incomplete());
            let (some, all) = (some.len(), some.len() + all.len());
            let text =
                format!("nothing was found, but {some} of {all} files were not looked at whole");
            (Tone::Look, text)
        }
    };
    let about = &record.bundle;
    let medium = &record.medium;
    let text_of = |line: &Line| line.as_str().to_owned();
    let mut facts = vec![
        ("Bundle id", about.id.to_string()),
        (
            "Channel and serial",
            format!("{} {}", about.channel, about.serial),
        ),
        ("Made", about.created.to_string()),
        ("Signed by", about.signed_by.join(", ")),
        (
            "Trust root",
            format!(
                "version {}, {}",
                record.trust_root.version, record.trust_root.fingerprint
            ),
        ),
        (
            "Medium",
            format!("{}, {}", medium.kind.as_str(), medium.serial.as_str()),
        ),
        ("Label", text_of(&medium.label)),
        ("From", text_of(&record.source)),
        ("To", text_of(&record.destination)),
    ];
    facts.extend(
        record
            .remarks
            .as_ref()
            .map(|line| ("Remarks", text_of(line))),
    );
    facts.push(("Written by", record.tool.clone()));
    vec![
        Block::Notice(tone, text),
        Block::Notice(Tone::Good, "every check of the bundle passed".to_owned()),
        Block::Facts(facts),
    ]
}

fn scan(record: &Record) -> Vec<Block> {
    let scanner = &record.scanner;
    let limits: Vec<String> = scanner
        .limits
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let definitions = &scanner.definitions;
    vec![Block::Facts(vec![
        (
            "Scanner",
            format!("{} {}", scanner.name.as_str(), scanner.version.as_str()),
        ),
        (
            "Definitions",
            format!("{}, of {}", definitions.version.as_str(), definitions.date),
        ),
        (
            "Limits",
            if limits.is_empty() {
                "not told".to_owned()
            } else {
                limits.join(", ")
            },
        ),
        ("Began", record.started.to_string()),
        ("Ended", record.ended.to_string()),
    ])]
}

fn said(scan: &Scan) -> (String, String) {
    (scan.result.as_str().to_owned(), scan.said.join(", "))
}

fn files(record: &Record) -> Block {
    let row = |file: &MediumFile| {
        let (result, said) = said(&file.scan);
        let kind = file.kind.as_str().to_owned();
        vec![
            result,
            file.name.clone(),
            kind,
            amount(file.size),
            file.digest.hex(),
            said,
        ]
    };
    let rows = record.files.iter().map(row).collect();
    table("Files on the medium", &FILES, rows, None)
}

/// What is not clean first: a page shows the first rows only.
fn contents(record: &Record) -> Block {
    let row = |blob: &&CarriedBlob| {
        let (result, said) = said(&blob.scan);
        vec![
            result,
            blob.names.join(", "),
            amount(blob.size),
            blob.digest.hex(),
            said,
        ]
    };
    let mut blobs: Vec<&CarriedBlob> = record.blobs.iter().collect();
    blobs.sort_by_key(|blob| std::cmp::Reverse(blob.scan.result));
    let rows = blobs.iter().map(row).collect();
    table(
        "Everything that the bundle carries",
        &BLOBS,
        rows,
        Some(super::RECORD),
    )
}

fn findings(record: &Record) -> Block {
    let rows = record.findings.iter().map(|noted| {
        vec![
            noted.code.clone(),
            noted.subject.clone(),
            noted.message.clone(),
        ]
    });
    table(
        "Somebody should look at",
        &FINDINGS,
        rows.collect(),
        Some(super::RECORD),
    )
}

fn persons(record: &Record) -> Block {
    let row = |role: &str, name: &Line| {
        vec![
            role.to_owned(),
            name.as_str().to_owned(),
            String::new(),
            String::new(),
        ]
    };
    let persons = &record.persons;
    let rows = vec![
        row("operator", &persons.operator),
        row("witness", &persons.witness),
    ];
    table("Who did it, and who watched", &SIGNED, rows, None)
}
