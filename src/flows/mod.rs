//! Network flows: what the runtime connects to and where it listens, as the manifest declares it, held against what the
//! closure proof saw, and as the files that firewalls, proxies and people read.
//!
//! ```text
//! clients ──▶ repository        host ──▶ proxy ──▶ peers by name        others ──▶ host
//! ```
//!
//! Names are filtered by the proxy alone: a packet filter knows addresses, and resolves a name once, when its rules are
//! loaded, if it can at all. Rules to a name are therefore not loaded before somebody has filled its addresses in, and it is
//! a finding.

mod compare;
mod diagram;
mod firewall;
mod proxy;
mod rule;
pub mod staging;
mod table;

pub use compare::findings;
pub use diagram::svg as picture;
pub use table::{TITLES, cells};

use crate::base::fault::Code;
use crate::base::made::Made;
use crate::base::peer::Peer;
use crate::base::runtime::{Flow, Protocol, Runtime, Via};

/// Codes of this module.
pub const CODES: &[&Code] = compare::CODES;

/// Where one end of a flow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Zone {
    /// Whoever connects to the runtime.
    Clients,
    /// The host of the runtime.
    Host,
    /// The repository of the enclave.
    Repository,
    /// The proxy of the enclave.
    Proxy,
    /// Anywhere else.
    Peer,
}

impl Zone {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Host => "host",
            Self::Repository => "repository",
            Self::Proxy => "proxy",
            Self::Peer => "peer",
        }
    }
}

/// One end of a flow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// Where.
    pub zone: Zone,
    /// Who: a name, an address, a block of addresses or an account.
    pub name: String,
}

/// One flow, from whoever opens it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Who connects.
    pub from: End,
    /// To whom.
    pub to: End,
    /// The port there.
    pub port: u16,
    /// Over what.
    pub protocol: Protocol,
    /// What for.
    pub purpose: String,
}

/// Every flow of a runtime, sorted: those that are declared, and those that follow from the repository and the proxy.
pub fn rows(runtime: &Runtime) -> Vec<Row> {
    let host = || end(Zone::Host, runtime.user.as_str());
    let mut out = Vec::new();
    if let Some(repository) = &runtime.repository {
        out.push(Row {
            from: host(),
            to: end(Zone::Repository, &repository.host.to_string()),
            port: repository.port,
            protocol: Protocol::Tcp,
            purpose: "packages and updates".to_owned(),
        });
    }
    if let Some(proxy) = &runtime.proxy {
        out.push(Row {
            from: host(),
            to: end(Zone::Proxy, &proxy.host.to_string()),
            port: proxy.port,
            protocol: Protocol::Tcp,
            purpose: "the way to what is reached through the proxy".to_owned(),
        });
    }
    out.extend(runtime.flows.iter().map(|flow| declared(runtime, flow)));
    out.sort();
    out.dedup();
    out
}

fn declared(runtime: &Runtime, flow: &Flow) -> Row {
    let host = || end(Zone::Host, runtime.user.as_str());
    // What is on loopback is the host itself, however it is called.
    let far = |peer: &Peer, zone| {
        let zone = if peer.is_loopback() { Zone::Host } else { zone };
        end(zone, &peer.to_string())
    };
    match flow {
        Flow::Out(flow) => Row {
            from: match (flow.via, &runtime.proxy) {
                (Via::Proxy, Some(proxy)) => end(Zone::Proxy, &proxy.host.to_string()),
                (Via::Proxy, None) | (Via::Direct, _) => host(),
            },
            to: far(&flow.to, Zone::Peer),
            port: flow.port,
            protocol: flow.protocol,
            purpose: flow.purpose.to_string(),
        },
        Flow::In(flow) => Row {
            from: if flow.from.is_loopback() {
                host()
            } else {
                end(Zone::Clients, &flow.from.to_string())
            },
            to: end(Zone::Host, &flow.listen.to_string()),
            port: flow.port,
            protocol: flow.protocol,
            purpose: flow.purpose.to_string(),
        },
    }
}

fn end(zone: Zone, name: &str) -> End {
    End {
        zone,
        name: name.to_owned(),
    }
}

/// Every file about the flows of a bundle of `channel`; the same input gives the same bytes.
pub fn files(channel: &str, runtime: &Runtime) -> Vec<Made> {
    let rows = rows(runtime);
    let mut out = vec![
        Made::new("flows.csv", table::csv(&rows)),
        Made::new("flows.md", table::page(channel, &rows)),
        Made::new("flows.svg", diagram::svg(channel, &rows)),
        Made::new("flows.dot", diagram::dot(channel, &rows)),
        Made::new("nftables.conf", firewall::nftables(channel, runtime)),
        Made::new(
            "iptables.rules",
            firewall::iptables(channel, runtime, false),
        ),
        Made::new(
            "ip6tables.rules",
            firewall::iptables(channel, runtime, true),
        ),
        Made::new("ufw.sh", firewall::ufw(runtime)),
        Made::new("windows-firewall.ps1", firewall::windows(channel, runtime)),
    ];
    if let Some(way) = proxy::Way::of(runtime) {
        out.push(Made::new("squid.conf", way.squid(channel)));
        out.push(Made::new("proxychains.conf", way.proxychains()));
        out.push(Made::new("systemd-proxy.conf", way.systemd()));
        out.push(Made::new("macos-networksetup.sh", way.macos()));
        out.push(Made::new("proxy.env", way.environment()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Made, files, rows};
    use crate::base::runtime::{Runtime, parse};

    /// A runtime with a flow of every kind.
    pub(super) fn runtime() -> Runtime {
        let text = r#"{"runtime":{"account":"existing","directories":[],"flows":[{"port":443,"protocol":"tcp","purpose":"the model","to":"api.models.example","via":"proxy"},{"port":443,"protocol":"tcp","purpose":"channels","to":"*.chat.example","via":"proxy"},{"port":5432,"protocol":"tcp","purpose":"database","to":"192.0.2.0/28","via":"direct"},{"port":53,"protocol":"udp","purpose":"names","to":"2001:db8::53","via":"direct"},{"port":8443,"protocol":"tcp","purpose":"search","to":"search.enclave.example","via":"direct"},{"from":"127.0.0.1","listen":"127.0.0.1","port":18789,"protocol":"tcp","purpose":"gateway"},{"from":"198.51.100.0/24","listen":"0.0.0.0","port":8080,"protocol":"tcp","purpose":"web <chat> & \"more\""}],"group":"svc-claw","home":null,"prefix":"/opt/claw","proxy":{"host":"proxy.enclave.example","port":3128},"repository":{"host":"192.0.2.80","port":443},"user":"svc-claw"},"schema":"stage/runtime/v1"}"#;
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn every_flow_has_a_row_and_what_follows_from_it() {
        let said: Vec<String> = rows(&runtime())
            .iter()
            .map(|row| {
                format!(
                    "{}:{} > {}:{} {}/{}",
                    row.from.zone.as_str(),
                    row.from.name,
                    row.to.zone.as_str(),
                    row.to.name,
                    row.port,
                    row.protocol.as_str()
                )
            })
            .collect();
        assert_eq!(
            said,
            [
                "clients:198.51.100.0/24 > host:0.0.0.0 8080/tcp",
                "host:svc-claw > host:127.0.0.1 18789/tcp",
                "host:svc-claw > repository:192.0.2.80 443/tcp",
                "host:svc-claw > proxy:proxy.enclave.example 3128/tcp",
                "host:svc-claw > peer:192.0.2.0/28 5432/tcp",
                "host:svc-claw > peer:2001:db8::53 53/udp",
                "host:svc-claw > peer:search.enclave.example 8443/tcp",
                "proxy:proxy.enclave.example > peer:*.chat.example 443/tcp",
                "proxy:proxy.enclave.example > peer:api.models.example 443/tcp",
            ]
        );
    }

    #[test]
    fn files_are_the_same_for_the_same_input_and_fewer_without_a_proxy() {
        let mut runtime = runtime();
        let made = files("claw", &runtime);
        assert_eq!(made, files("claw", &runtime));
        runtime.proxy = None;
        runtime
            .flows
            .retain(|flow| !format!("{flow:?}").contains("Proxy"));
        let without = files("claw", &runtime);
        let names = |made: &[Made]| made.iter().map(|m| m.name).collect::<Vec<_>>();
        assert!(names(&made).contains(&"squid.conf"));
        assert!(!names(&without).contains(&"squid.conf"));
    }
}
