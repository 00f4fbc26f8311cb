//! What was declared, held against what the closure proof saw.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use crate::base::fault::{Code, Kind};
use crate::base::finding::{Finding, Severity};
use crate::base::peer::Peer;
use crate::base::runtime::{Flow, Inbound, Outbound, Runtime, Via};
use crate::base::text::{escaped, quoted};
use crate::trust::proof::{HoleKind, Proof};

/// Codes of this module.
pub(super) const CODES: &[&Code] = &[&UNDECLARED, &LISTENS, &NOT_SEEN, &NAME];

static UNDECLARED: Code = Code::new("flow-undeclared", Kind::Denied);
static LISTENS: Code = Code::new("flow-listens-undeclared", Kind::Denied);
static NOT_SEEN: Code = Code::new("flow-not-seen", Kind::Denied);
static NAME: Code = Code::new("flow-direct-name", Kind::Denied);

/// What does not fit: flows that nobody declared, ports that nobody declared, and what was declared and never seen. Without
/// a proof that recorded system calls only what can be said of the declaration itself.
pub fn findings(runtime: &Runtime, proof: Option<&Proof>) -> Vec<Finding> {
    let mut out = direct_names(runtime);
    let Some(proof) = proof.filter(|proof| proof.host.tracer.is_some()) else {
        return out;
    };
    out.extend(undeclared(runtime, proof));
    let listens = inbound(runtime).collect::<Vec<_>>();
    let mut seen = BTreeSet::new();
    for port in &proof.ports {
        let Ok(at) = port.address.parse::<SocketAddr>() else {
            continue;
        };
        let declared = listens.iter().position(|flow| is_at(flow, at));
        match declared {
            Some(index) => {
                seen.insert(index);
            }
            // Any free port of the loopback is how programs talk to themselves.
            None if at.port() == 0 && at.ip().is_loopback() => {}
            None => out.push(finding(
                &LISTENS,
                Severity::Warn,
                &port.program,
                format!(
                    "listens at {}, which is not declared",
                    escaped(&port.address)
                ),
                format!("add [[runtime.flow]] listen = \"{at}\", or configure it not to listen"),
            )),
        }
    }
    for (index, flow) in listens.iter().enumerate() {
        if !seen.contains(&index) && !proof.checks.is_empty() {
            let at = SocketAddr::new(flow.listen, flow.port);
            out.push(finding(
                &NOT_SEEN,
                Severity::Note,
                "the runtime",
                format!("is declared to listen at {at}; the proof did not see it"),
                "add a [[prove]] check that starts it, or remove the flow".to_owned(),
            ));
        }
    }
    out.sort_by(|a, b| (a.code.name, &a.message).cmp(&(b.code.name, &b.message)));
    out.dedup();
    out
}

/// Direct flows to names, which no packet filter can hold.
fn direct_names(runtime: &Runtime) -> Vec<Finding> {
    let direct = outbound(runtime).filter(|flow| flow.via == Via::Direct);
    let named = direct.filter(|flow| !matches!(flow.to, Peer::Block(_)) && !flow.to.is_loopback());
    let finding = |flow: &Outbound| {
        let message = format!(
            "goes to {} directly: packet filters know addresses only",
            flow.to
        );
        let fix = "let it go through a proxy (`via = \"proxy\"`), name addresses, or fill its set of the rules in";
        finding(
            &NAME,
            Severity::Note,
            "the runtime",
            message,
            fix.to_owned(),
        )
    };
    named.map(finding).collect()
}

/// What was reached for outside and is in no declared flow.
fn undeclared(runtime: &Runtime, proof: &Proof) -> Vec<Finding> {
    let mut out = Vec::new();
    for hole in &proof.holes {
        let declared = match hole.kind {
            HoleKind::Connect => match hole.what.parse::<SocketAddr>() {
                Ok(at) => outbound(runtime)
                    .any(|flow| flow.port == at.port() && flow.to.covers(&at.ip().to_string())),
                Err(_) => false,
            },
            HoleKind::Name => outbound(runtime).any(|flow| flow.to.covers(&hole.what)),
            HoleKind::Missing | HoleKind::Denied | HoleKind::Unobserved | HoleKind::NotRun => {
                continue;
            }
        };
        if !declared {
            let what = escaped(&hole.what);
            out.push(finding(
                &UNDECLARED,
                Severity::Warn,
                &hole.program,
                format!("reaches for {what}, which no [[runtime.flow]] names"),
                format!(
                    "add [[runtime.flow]] to = {}, or configure it to stay inside",
                    quoted(&hole.what)
                ),
            ));
        }
    }
    out
}

fn outbound(runtime: &Runtime) -> impl Iterator<Item = &Outbound> {
    runtime.flows.iter().filter_map(|flow| match flow {
        Flow::Out(flow) => Some(flow),
        Flow::In(_) => None,
    })
}

fn inbound(runtime: &Runtime) -> impl Iterator<Item = &Inbound> {
    runtime.flows.iter().filter_map(|flow| match flow {
        Flow::In(flow) => Some(flow),
        Flow::Out(_) => None,
    })
}

/// Whether a declared flow listens there; the address of all interfaces has every address.
fn is_at(flow: &Inbound, at: SocketAddr) -> bool {
    let all = |ip: IpAddr| ip.is_unspecified();
    flow.port == at.port() && (flow.listen == at.ip() || all(flow.listen))
}

fn finding(
    code: &'static Code,
    severity: Severity,
    subject: &str,
    message: String,
    fix: String,
) -> Finding {
    Finding {
        code,
        severity,
        subject: match subject {
            "" => "the runtime".to_owned(),
            program => escaped(program),
        },
        message,
        chain: Vec::new(),
        fix: Some(fix),
    }
}
