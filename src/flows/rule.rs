//! What packet filters are told: the flows between the runtime's host and others, whoever is behind a proxy.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::base::peer::Peer;
use crate::base::runtime::{Flow, Protocol, Runtime, Via};
use crate::base::text::harmless;

/// Who is let through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Address {
    /// A block.
    Block(IpNet),
    /// A name, whose addresses only somebody on site knows.
    Name(String),
}

impl Address {
    /// Whether it can be one of IPv6, or of IPv4.
    pub(super) const fn fits(&self, v6: bool) -> bool {
        match self {
            Self::Block(IpNet::V6(_)) => v6,
            Self::Block(IpNet::V4(_)) => !v6,
            Self::Name(_) => true,
        }
    }
}

/// A flow that the host's packet filter lets through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    /// The other end.
    pub(super) peer: Address,
    /// The port: there for what goes out, here for what comes in.
    pub(super) port: u16,
    /// Over what.
    pub(super) protocol: Protocol,
    /// Where it listens; `None`: everywhere, or it goes out.
    pub(super) listen: Option<IpAddr>,
    /// What for, in characters that mean nothing anywhere.
    pub(super) purpose: String,
}

/// What the runtime may send, sorted.
pub(super) fn outgoing(runtime: &Runtime) -> Vec<Rule> {
    let rule = |peer: &Peer, port, protocol, purpose: &str| Rule {
        peer: address(peer),
        port,
        protocol,
        listen: None,
        purpose: harmless(purpose),
    };
    let mut out = Vec::new();
    for (end, purpose) in [
        (&runtime.repository, "repository"),
        (&runtime.proxy, "proxy"),
    ] {
        let end = end.iter().filter(|end| !end.host.is_loopback());
        out.extend(end.map(|end| rule(&end.host, end.port, Protocol::Tcp, purpose)));
    }
    for flow in &runtime.flows {
        if let Flow::Out(flow) = flow
            && flow.via == Via::Direct
            && !flow.to.is_loopback()
        {
            let purpose = flow.purpose.as_str();
            out.push(rule(&flow.to, flow.port, flow.protocol, purpose));
        }
    }
    out.sort();
    out.dedup();
    out
}

/// What others may send to it, sorted. What listens on loopback only cannot be reached by others.
pub(super) fn incoming(runtime: &Runtime) -> Vec<Rule> {
    let mut out: Vec<Rule> = runtime
        .flows
        .iter()
        .filter_map(|flow| match flow {
            Flow::In(flow) if !flow.listen.is_loopback() => Some(Rule {
                peer: address(&flow.from),
                port: flow.port,
                protocol: flow.protocol,
                listen: Some(flow.listen).filter(|ip| !ip.is_unspecified()),
                purpose: harmless(flow.purpose.as_str()),
            }),
            Flow::In(_) | Flow::Out(_) => None,
        })
        .collect();
    out.sort();
    out.dedup();
    out
}

/// The names among the peers, each once: what somebody on site has to look up.
pub(super) fn names(rules: &[Rule]) -> Vec<&str> {
    let mut out: Vec<&str> = rules
        .iter()
        .filter_map(|rule| match &rule.peer {
            Address::Name(name) => Some(name.as_str()),
            Address::Block(_) => None,
        })
        .collect();
    out.sort_unstable();
    out.dedup();
    out
}

fn address(peer: &Peer) -> Address {
    match peer {
        Peer::Block(block) => Address::Block(*block),
        Peer::Name(_) | Peer::Below(_) => Address::Name(peer.to_string()),
    }
}
