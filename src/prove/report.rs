//! A proof for people: the table, and a finding for each hole.

use std::collections::BTreeSet;

use crate::base::fault::{Code, Kind};
use crate::base::finding::{Finding, Severity};
use crate::base::text::{escaped, visible};
use crate::trust::proof::{Hole, HoleKind, Proof};

pub(super) static CONNECTS: Code = Code::new("prove-connects-outside", Kind::Denied);
pub(super) static NAME: Code = Code::new("prove-asks-for-name", Kind::Denied);
pub(super) static MISSING: Code = Code::new("prove-missing-file", Kind::Denied);
pub(super) static DENIED: Code = Code::new("prove-denied", Kind::Denied);
pub(super) static UNOBSERVED: Code = Code::new("prove-unobserved", Kind::Denied);
pub(super) static NOT_RUN: Code = Code::new("prove-script-not-run", Kind::Denied);

/// Most entries of each kind that the table shows.
const MOST: usize = 20;

/// A finding for each hole.
pub fn findings(proof: &Proof) -> Vec<Finding> {
    proof.holes.iter().map(finding).collect()
}

fn finding(hole: &Hole) -> Finding {
    let what = escaped(&hole.what);
    let (code, severity, message, fix) = match hole.kind {
        HoleKind::Connect => (
            &CONNECTS,
            Severity::Warn,
            format!("connects to {what}"),
            "stage what it gets there as a [[file]], configure it to stay inside, or open the flow in the enclave",
        ),
        HoleKind::Name => (
            &NAME,
            Severity::Warn,
            format!("asks for the address of {what}"),
            "stage what it gets there as a [[file]], configure it to stay inside, or open the flow in the enclave",
        ),
        HoleKind::Missing => (
            &MISSING,
            Severity::Warn,
            format!("looks for {what}, which is not there"),
            "stage it as a [[file]] or a package and say in the runtime's configuration where it is",
        ),
        HoleKind::Denied => (
            &DENIED,
            Severity::Note,
            format!("may not {what}"),
            "give the account what it needs there, or configure another place",
        ),
        HoleKind::Unobserved => (
            &UNOBSERVED,
            Severity::Warn,
            format!("used {what}: opens and connects through it are not observed"),
            "prove it with a strace that can refuse the call (6.1 or newer), or read what the program does there",
        ),
        HoleKind::NotRun => (
            &NOT_RUN,
            Severity::Warn,
            format!("did not run {what}"),
            "prove a bundle that has a whole root, baseline = \"essential\", or try the packages on a host like the target",
        ),
    };
    let subject = match hole.program.as_str() {
        "" => escaped(&hole.during),
        program => format!("{} ({})", escaped(program), escaped(&hole.during)),
    };
    Finding {
        code,
        severity,
        subject,
        message,
        chain: Vec::new(),
        fix: Some(fix.to_owned()),
    }
}

/// What was seen, in lines.
pub fn table(proof: &Proof) -> String {
    let mut lines = vec![
        format!("result     {}", proof.result.as_str()),
        format!(
            "bundle     channel {}, serial {}",
            proof.channel, proof.serial
        ),
        format!(
            "host       {}, {}, {}",
            visible(&proof.host.system),
            visible(&proof.host.kernel),
            proof.host.sandbox
        ),
    ];
    happened(proof, &mut lines);
    let holes = proof.holes.iter().map(|hole| {
        let by = match hole.program.as_str() {
            "" => String::new(),
            program => format!(" by {program}"),
        };
        let (kind, what) = (hole.kind.as_str(), &hole.what);
        format!("{kind} {what}{by} in {} ({}x)", hole.during, hole.times)
    });
    list(&mut lines, "hole", holes);
    let ports = proof
        .ports
        .iter()
        .map(|port| format!("{} by {}", port.address, port.program));
    list(&mut lines, "port", ports);
    list(
        &mut lines,
        "flow",
        proof
            .flows
            .iter()
            .map(|flow| format!("{} to {}", flow.program, flow.to)),
    );
    list(&mut lines, "writes", proof.writes.iter().cloned());
    lines.join("\n") + "\n"
}

/// Clients, steps and checks.
fn happened(proof: &Proof, lines: &mut Vec<String>) {
    let tracer = proof.host.tracer.as_deref();
    lines.push(format!(
        "traced by  {}",
        tracer.map_or_else(|| "nothing".to_owned(), visible)
    ));
    for client in &proof.clients {
        let name = visible(&client.name);
        lines.push(format!(
            "client     {name} {} ({})",
            visible(&client.version),
            visible(&client.source)
        ));
    }
    for step in &proof.steps {
        lines.push(row("step", step.result.as_str(), &step.name, &step.detail));
    }
    for checked in &proof.checks {
        let expected = format!("{}: {}", checked.check.run, checked.check.expect.words());
        lines.push(row(
            "check",
            checked.result.as_str(),
            &expected,
            &checked.detail,
        ));
    }
}

fn row(kind: &str, result: &str, name: &str, detail: &str) -> String {
    let text = format!("{kind:10} {result:8} {}", visible(name));
    match detail {
        "" => text,
        detail => format!("{text}: {}", visible(detail)),
    }
}

fn list(lines: &mut Vec<String>, kind: &str, entries: impl Iterator<Item = String>) {
    let mut left = 0;
    let entries: BTreeSet<String> = entries.collect();
    for (at, entry) in entries.iter().enumerate() {
        if at < MOST {
            lines.push(format!("{kind:10} {}", visible(entry)));
        } else {
            left += 1;
        }
    }
    if left > 0 {
        lines.push(format!("{kind:10} and {left} more"));
    }
}
