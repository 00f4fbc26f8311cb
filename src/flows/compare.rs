//! What was declared, held against what the closure proof saw.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::base::fault::{Code, Kind};
use crate::base::finding::{Finding, Severity};
use crate::base::peer::Peer;
use crate::base::runtime::{Endpoint, Flow, Inbound, Outbound, Protocol, Runtime, Via};
use crate::base::text::{escaped, quoted};
use crate::trust::proof::{Hole, HoleKind, Proof};

/// Codes of this module.
pub(super) const CODES: &[&Code] = &[&UNDECLARED, &LISTENS, &NOT_SEEN, &NAME, &WAYS, &PASSES];

static UNDECLARED: Code = Code::new("flow-undeclared", Kind::Denied);
static LISTENS: Code = Code::new("flow-listens-undeclared", Kind::Denied);
static NOT_SEEN: Code = Code::new("flow-not-seen", Kind::Denied);
static NAME: Code = Code::new("flow-direct-name", Kind::Denied);
static WAYS: Code = Code::new("flow-both-ways", Kind::Denied);
static PASSES: Code = Code::new("flow-passes-proxy", Kind::Denied);

/// What does not fit: flows that nobody declared, ports that nobody declared, and what was declared and never seen. Without
/// a proof that recorded system calls only what can be said of the declaration itself.
pub fn findings(runtime: &Runtime, proof: Option<&Proof>) -> Vec<Finding> {
    let mut out = direct_names(runtime);
    out.extend(both_ways(runtime));
    let Some(proof) = proof.filter(|proof| proof.host.tracer.is_some()) else {
        return out;
    };
    out.extend(undeclared(runtime, proof));
    out.extend(on_this_host(runtime, proof));
    out.extend(listening(runtime, proof));
    out.sort_by(|a, b| (a.code.name, &a.message).cmp(&(b.code.name, &b.message)));
    out.dedup();
    out
}

/// Where it listens: what nobody declared, and what was declared and not seen.
fn listening(runtime: &Runtime, proof: &Proof) -> Vec<Finding> {
    let mut out = Vec::new();
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
            None if at.port() == 0 && at.ip().to_canonical().is_loopback() => {}
            None => out.push(finding(
                &LISTENS,
                Severity::Warn,
                &port.program,
                format!(
                    "listens at {}, which is not declared",
                    escaped(&port.address)
                ),
                // Any free port cannot be declared, and no rule can name it.
                if at.port() == 0 {
                    "configure it to listen at a port of its own, or not at all".to_owned()
                } else {
                    format!("add [[runtime.flow]] listen = \"{at}\", or configure it not to listen")
                },
            )),
        }
    }
    for (index, flow) in listens.iter().enumerate() {
        // Nothing listens for datagrams: a proof sees no such port.
        if !seen.contains(&index) && !proof.checks.is_empty() && flow.protocol == Protocol::Tcp {
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
    out
}

/// What is reached by name and not through the proxy, the proxy among it: no packet filter can hold it.
fn direct_names(runtime: &Runtime) -> Vec<Finding> {
    let ends = [
        ("its repository", &runtime.repository),
        ("its proxy", &runtime.proxy),
    ];
    let ends = ends.iter().filter_map(|(what, end)| {
        let host = &end.as_ref()?.host;
        Some((format!("reaches {what}, {host}, by name"), host))
    });
    let direct = outbound(runtime).filter(|flow| flow.via == Via::Direct);
    let direct = direct.map(|flow| (format!("goes to {} directly", flow.to), &flow.to));
    let named = |peer: &Peer| !matches!(peer, Peer::Block(_)) && !peer.is_loopback();
    let fix = "name addresses, or give the rules the addresses; what is reached through a proxy (`via = \"proxy\"`) needs none";
    ends.chain(direct)
        .filter(|(_, peer)| named(peer))
        .map(|(what, _)| {
            let message = format!(
                "{what}: packet filters know addresses only, and refuse the rules until they are given some"
            );
            finding(&NAME, Severity::Note, "", message, fix.to_owned())
        })
        .collect()
}

/// Hosts that are declared to be reached through the proxy and directly: programs are told by host, not by port.
fn both_ways(runtime: &Runtime) -> Vec<Finding> {
    let direct = outbound(runtime)
        .filter(|flow| flow.via == Via::Direct && flow.protocol == Protocol::Tcp)
        .map(|flow| (&flow.to, flow.port));
    let repository = runtime.repository.iter().map(|end| (&end.host, end.port));
    let direct: Vec<(&Peer, u16)> = repository.chain(direct).collect();
    let mut out = Vec::new();
    for flow in outbound(runtime).filter(|flow| flow.via == Via::Proxy) {
        for (peer, port) in direct.iter().filter(|(peer, _)| peer.overlaps(&flow.to)) {
            let message = format!(
                "goes to {} port {} through the proxy and to {peer} port {port} directly: few programs can be told so",
                flow.to, flow.port
            );
            let fix = "let both go one way".to_owned();
            out.push(finding(&WAYS, Severity::Warn, "", message, fix));
        }
    }
    out
}

/// What was reached for outside and is in no declared flow, or in one that goes through the proxy although this one did
/// not. The latter can be said only where the proxy was tried at all: a check has no settings for one unless it makes them.
fn undeclared(runtime: &Runtime, proof: &Proof) -> Vec<Finding> {
    let knows_proxy = |during: &str| {
        let holes = proof.holes.iter().filter(|hole| hole.during == during);
        runtime
            .proxy
            .iter()
            .any(|end| holes.clone().any(|hole| is_end(end, hole)))
    };
    let mut out = Vec::new();
    for hole in &proof.holes {
        if !matches!(hole.kind, HoleKind::Connect | HoleKind::Name) {
            continue;
        }
        let ends = [&runtime.repository, &runtime.proxy];
        let is_own = ends.into_iter().flatten().any(|end| is_end(end, hole));
        let flows = || outbound(runtime).filter(|flow| is_at_peer(&flow.to, flow.port, hole));
        let what = escaped(&hole.what);
        if is_own || flows().any(|flow| flow.via == Via::Direct) {
            continue;
        }
        let found = if flows().next().is_none() {
            finding(
                &UNDECLARED,
                Severity::Warn,
                &hole.program,
                format!("reaches for {what}, which no [[runtime.flow]] names"),
                format!(
                    "add [[runtime.flow]] to = {}, or configure it to stay inside",
                    quoted(&hole.what)
                ),
            )
        } else if knows_proxy(&hole.during) {
            finding(
                &PASSES,
                Severity::Warn,
                &hole.program,
                format!("reaches for {what} directly, which is declared to go through the proxy"),
                "use a program that knows proxies, or proxychains.conf of the packet".to_owned(),
            )
        } else {
            continue;
        };
        out.push(found);
    }
    out
}

/// Connections of checks to ports of this host where nothing of the bundle was seen to listen and that nobody declared.
fn on_this_host(runtime: &Runtime, proof: &Proof) -> Vec<Finding> {
    let mut out = Vec::new();
    let is_check = |during: &str| proof.checks.iter().any(|of| of.check.run == during);
    for flow in proof.flows.iter().filter(|flow| is_check(&flow.during)) {
        let Ok(to) = flow.to.parse::<SocketAddr>() else {
            continue;
        };
        let mut listening = proof.ports.iter().filter_map(|port| {
            let at = port.address.parse::<SocketAddr>().ok()?;
            Some((at, &port.during))
        });
        // Which free port a listener got is not known.
        let seen = listening.any(|(at, during)| {
            at.port() == to.port() || (at.port() == 0 && *during == flow.during)
        });
        let declared = inbound(runtime).any(|flow| flow.port == to.port())
            || outbound(runtime).any(|flow| {
                flow.port == to.port()
                    && (flow.to.is_loopback() || flow.to.covers(&to.ip().to_string()))
            });
        if !seen && !declared {
            out.push(finding(
                &UNDECLARED,
                Severity::Warn,
                &flow.program,
                format!(
                    "connects to {} on its own host, where nothing was seen to listen and which no [[runtime.flow]] names",
                    escaped(&flow.to)
                ),
                format!(
                    "add [[runtime.flow]] to = \"{}\", or configure it not to",
                    to.ip()
                ),
            ));
        }
    }
    out
}

/// Whether a hole is a way to the repository or the proxy.
fn is_end(end: &Endpoint, hole: &Hole) -> bool {
    is_at_peer(&end.host, end.port, hole)
}

/// Whether a hole is a connection to a peer at a port, or the question for its name.
fn is_at_peer(peer: &Peer, port: u16, hole: &Hole) -> bool {
    match hole.kind {
        HoleKind::Connect => {
            let at = hole.what.parse::<SocketAddr>();
            at.is_ok_and(|at| port == at.port() && peer.covers(&at.ip().to_string()))
        }
        HoleKind::Name => peer.covers(&hole.what),
        HoleKind::Missing | HoleKind::Denied | HoleKind::Unobserved | HoleKind::NotRun => false,
    }
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
    let (declared, seen) = (flow.listen.to_canonical(), at.ip().to_canonical());
    flow.port == at.port() && (declared == seen || declared.is_unspecified())
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::runtime;
    use super::findings;
    use crate::base::runtime::{Endpoint, Flow, Inbound, Outbound, Protocol, Runtime, Via};
    use crate::trust::proof::Proof;

    /// A proof with one check `run`, and what it saw.
    fn proof(holes: &[(&str, &str)], flows: &[(&str, &str)], ports: &[&str]) -> Proof {
        let hole = |(kind, what): &(&str, &str)| json!({"kind": kind, "what": what, "program": "node", "during": "run", "times": 1});
        let flow =
            |(during, to): &(&str, &str)| json!({"program": "node", "to": to, "during": during});
        let port = |at: &&str| json!({"address": at, "program": "node", "during": "run"});
        serde_json::from_value(json!({
            "channel": "claw", "serial": 1, "result": "passed", "provedAt": "2026-01-01T00:00:00Z",
            "trustRoot": {"version": 1}, "tool": "stage",
            "host": {"kernel": "k", "machine": "m", "system": "s", "sandbox": "namespaces", "tracer": "strace"},
            "clients": [], "steps": [],
            "checks": [{"check": {"run": "run", "env": {}, "expect": {"exit": 0, "output": null, "within": 1}}, "result": "passed", "milliseconds": 1, "detail": ""}],
            "holes": holes.iter().map(hole).collect::<Vec<Value>>(),
            "flows": flows.iter().map(flow).collect::<Vec<Value>>(),
            "ports": ports.iter().map(port).collect::<Vec<Value>>(),
            "writes": [],
        }))
        .unwrap()
    }

    fn said(runtime: &Runtime, proof: &Proof) -> Vec<String> {
        let found = findings(runtime, Some(proof)).into_iter();
        let found = found.filter(|f| !matches!(f.code.name, "flow-direct-name" | "flow-not-seen"));
        found
            .map(|f| format!("{} {}", f.code.name, f.message))
            .collect()
    }

    #[test]
    fn ways_to_the_proxy_and_the_repository_are_nobodys_surprise() {
        let own = [
            ("name", "proxy.enclave.example"),
            ("connect", "192.0.2.80:443"),
            ("connect", "192.0.2.3:5432"),
            ("name", "api.models.example"),
        ];
        let found = said(&runtime(), &proof(&own[1..], &[], &[]));
        assert!(found.is_empty(), "no proxy was tried: {found:?}");
        let found = said(&runtime(), &proof(&own, &[], &[]));
        assert_eq!(
            found,
            [
                "flow-passes-proxy reaches for api.models.example directly, which is declared to go through the proxy"
            ]
        );
        let elsewhere = [("connect", "192.0.2.80:80"), ("name", "models.example")];
        let found = said(&runtime(), &proof(&elsewhere, &[], &[]));
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn ports_of_the_own_host_that_nobody_has_are_a_finding() {
        let flows = [
            ("install", "127.0.0.1:28080"),
            ("run", "127.0.0.1:18789"),
            ("run", "127.0.0.1:9000"),
            ("run", "127.0.0.1:11434"),
        ];
        let ports = ["127.0.0.1:9000", "[::ffff:127.0.0.1]:18789"];
        let found = said(&runtime(), &proof(&[], &flows, &ports));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("listens at 127.0.0.1:9000"));
        assert!(found[1].contains("connects to 127.0.0.1:11434 on its own host"));
        let any = proof(&[], &[], &["0.0.0.0:0"]);
        let found = findings(&runtime(), Some(&any));
        let fix = found
            .iter()
            .find(|f| f.code.name == "flow-listens-undeclared");
        let fix = fix.and_then(|f| f.fix.as_deref()).unwrap();
        assert!(fix.contains("a port of its own"), "{fix}");
        let found = said(&runtime(), &proof(&[], &flows, &["127.0.0.1:0"]));
        assert!(found.is_empty(), "it may be any port: {found:?}");
    }

    #[test]
    fn datagrams_are_not_missed_and_names_of_ends_are_told() {
        let mut runtime = runtime();
        runtime.flows = vec![Flow::In(Inbound {
            listen: "0.0.0.0".parse().unwrap(),
            port: 5353,
            protocol: Protocol::Udp,
            from: "192.0.2.0/24".parse().unwrap(),
            purpose: "x".parse().unwrap(),
        })];
        runtime.repository = Some(Endpoint {
            host: "repo.enclave.example".parse().unwrap(),
            port: 443,
        });
        let found = findings(&runtime, Some(&proof(&[], &[], &[])));
        let found: Vec<&str> = found.iter().map(|f| f.message.as_str()).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("reaches its proxy, proxy.enclave.example, by name: "));
        assert!(found[1].starts_with("reaches its repository, repo.enclave.example, by name: "));
    }

    #[test]
    fn one_host_both_ways_is_a_finding() {
        let mut runtime = runtime();
        assert!(!format!("{:?}", findings(&runtime, None)).contains("flow-both-ways"));
        runtime.flows.push(Flow::Out(Outbound {
            to: "api.chat.example".parse().unwrap(),
            port: 8443,
            protocol: Protocol::Tcp,
            via: Via::Direct,
            purpose: "x".parse().unwrap(),
        }));
        let found = findings(&runtime, None);
        let found: Vec<&str> = found
            .iter()
            .filter(|f| f.code.name == "flow-both-ways")
            .map(|f| f.message.as_str())
            .collect();
        assert_eq!(
            found,
            [
                "goes to *.chat.example port 443 through the proxy and to api.chat.example port 8443 directly: few programs can be told so"
            ]
        );
    }
}
