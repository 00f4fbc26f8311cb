//! The way through the proxy: what the proxy lets through by name, and how programs are told to use it.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::base::egress::authority;
use crate::base::lines::Lines;
use crate::base::peer::Peer;
use crate::base::runtime::{Endpoint, Flow, Outbound, Protocol, Runtime, Via};

/// This host, as programs call it.
const HERE: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A proxy and what is reached through it.
pub(super) struct Way<'a> {
    proxy: &'a Endpoint,
    runtime: &'a Runtime,
}

impl<'a> Way<'a> {
    /// `None` where there is no proxy.
    pub(super) fn of(runtime: &'a Runtime) -> Option<Self> {
        let proxy = runtime.proxy.as_ref()?;
        Some(Self { proxy, runtime })
    }

    fn flows(&self, via: Via) -> impl Iterator<Item = &'a Outbound> {
        self.runtime
            .flows
            .iter()
            .filter_map(move |flow| match flow {
                Flow::Out(flow) if flow.via == via => Some(flow),
                Flow::Out(_) | Flow::In(_) => None,
            })
    }

    /// Who is asked directly, and at which port, sorted. A proxy carries TCP, and nothing of what it carries is about UDP.
    fn direct(&self) -> BTreeSet<(&'a Peer, u16)> {
        let repository = self.runtime.repository.iter();
        let repository = repository.map(|end| (&end.host, end.port));
        let flows = self.flows(Via::Direct);
        let flows = flows.filter(|flow| flow.protocol == Protocol::Tcp);
        repository
            .chain(flows.map(|flow| (&flow.to, flow.port)))
            .collect()
    }

    /// Whether what is asked directly is asked through the proxy as well.
    fn goes_both_ways(&self, peer: &Peer) -> bool {
        self.flows(Via::Proxy).any(|flow| flow.to.overlaps(peer))
    }

    /// Hosts that are not reached through the proxy, as `NO_PROXY` has them.
    fn exceptions(&self) -> Vec<String> {
        let direct = self.direct().into_iter().map(|(peer, _)| peer);
        let out: BTreeSet<String> = direct
            .filter(|peer| !self.goes_both_ways(peer))
            .map(|peer| match peer {
                Peer::Below(parent) => format!(".{parent}"),
                other => other.to_string(),
            })
            .filter(|name| !HERE.contains(&name.as_str()))
            .collect();
        HERE.into_iter().map(str::to_owned).chain(out).collect()
    }

    /// And ports of hosts that are reached through it at others; not every program knows ports there.
    fn exceptional_ports(&self) -> BTreeSet<String> {
        let direct = self.direct().into_iter();
        // No program knows a port of a block.
        let is_block =
            |peer: &Peer| matches!(peer, Peer::Block(b) if b.prefix_len() != b.max_prefix_len());
        direct
            .filter(|(peer, _)| self.goes_both_ways(peer) && !is_block(peer))
            .map(|(peer, port)| match peer {
                Peer::Below(parent) => format!(".{parent}:{port}"),
                other => authority(other, port),
            })
            .collect()
    }

    fn address(&self) -> String {
        format!("http://{}", authority(&self.proxy.host, self.proxy.port))
    }

    /// A whole configuration of squid that lets through what is declared and nothing else.
    pub(super) fn squid(&self, channel: &str) -> String {
        let mut ports: BTreeMap<u16, BTreeSet<&Peer>> = BTreeMap::new();
        for flow in self.flows(Via::Proxy) {
            ports.entry(flow.port).or_default().insert(&flow.to);
        }
        let title = format!("What {channel} may reach through the proxy");
        allow_list(&title, self.proxy.port, &ports)
    }

    /// For programs that know no proxy: `proxychains4 -f FILE PROGRAM`.
    pub(super) fn proxychains(&self) -> String {
        let mut text = Lines::new();
        text.lines([
            "# For programs that take no notice of HTTP_PROXY: `proxychains4 -q -f FILE PROGRAM`. It reaches programs that are linked",
            "# dynamically and not set-user-id; Go programs, for example, need a namespace or a transparent proxy.",
            "strict_chain",
            "proxy_dns",
            "remote_dns_subnet 224",
            "tcp_read_time_out 15000",
            "tcp_connect_time_out 8000",
            "localnet 127.0.0.0/255.0.0.0",
            "localnet ::1/128",
        ]);
        let local = self.direct().into_iter();
        let local = local.filter(|(peer, _)| !peer.is_loopback());
        let lines: BTreeSet<String> = local
            .map(|(peer, port)| match peer {
                Peer::Block(IpNet::V4(block)) => {
                    format!("localnet {}:{port}/{}", block.network(), block.netmask())
                }
                Peer::Block(IpNet::V6(block)) => {
                    format!("localnet [{}]:{port}/{}", block.network(), block.prefix_len())
                }
                Peer::Name(_) | Peer::Below(_) => {
                    format!("# through the proxy, too, for proxychains knows no names here: {peer}:{port}")
                }
            })
            .collect();
        text.lines(lines);
        text.line("[ProxyList]");
        let (host, port) = (&self.proxy.host, self.proxy.port);
        text.line(match host {
            Peer::Block(_) => format!("http {host} {port}"),
            Peer::Name(_) | Peer::Below(_) => format!(
                "# proxychains takes an address here, not the name {host}:\n# http ADDRESS {port}"
            ),
        });
        text.into_text()
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut except = self.exceptions();
        except.extend(self.exceptional_ports());
        let (address, except) = (self.address(), except.join(","));
        vec![
            ("HTTP_PROXY", address.clone()),
            ("HTTPS_PROXY", address.clone()),
            ("http_proxy", address.clone()),
            ("https_proxy", address),
            ("NO_PROXY", except.clone()),
            ("no_proxy", except),
            ("NODE_USE_ENV_PROXY", "1".to_owned()),
        ]
    }

    /// For `EnvironmentFile=` of a unit, or a shell.
    pub(super) fn environment(&self) -> String {
        let mut text = Lines::new();
        text.lines([
            "# Who reads it: curl (lower case only for http), pip, uv, cargo, git, npm, Python's urllib. Node.js's own fetch and http",
            "# read it from version 24 on where NODE_USE_ENV_PROXY is 1, older ones never. Not every program knows blocks of",
            "# addresses or ports in NO_PROXY.",
        ]);
        let variables = self.variables().into_iter();
        text.lines(variables.map(|(name, value)| format!("{name}={value}")));
        text.into_text()
    }

    /// For `/etc/systemd/system.conf.d/`: every unit of the host.
    pub(super) fn systemd(&self) -> String {
        let mut text = Lines::new();
        text.lines([
            "# For /etc/systemd/system.conf.d/: every service of the host gets it after `systemctl daemon-reexec`. For one service,",
            "# name proxy.env in its unit instead: EnvironmentFile=",
            "[Manager]",
        ]);
        let variables = self.variables().into_iter();
        text.lines(variables.map(|(name, value)| format!("DefaultEnvironment=\"{name}={value}\"")));
        text.into_text()
    }

    /// For macOS.
    pub(super) fn macos(&self) -> String {
        let (host, port) = (&self.proxy.host, self.proxy.port);
        let except: Vec<String> = self
            .exceptions()
            .iter()
            .map(|name| match name.strip_prefix('.') {
                Some(parent) => format!("'*.{parent}'"),
                None => format!("'{name}'"),
            })
            .collect();
        format!(
            "#!/bin/sh\n# Proxy settings of macOS. It was not run on macOS by whoever made it: read it before you do.\n\
             # Usage: sh FILE SERVICE, such as Wi-Fi; `networksetup -listallnetworkservices` lists them. Command-line programs\n\
             # take no notice of these settings: give them proxy.env.\nset -eu\n\
             networksetup -setwebproxy \"$1\" {host} {port}\nnetworksetup -setsecurewebproxy \"$1\" {host} {port}\n\
             networksetup -setproxybypassdomains \"$1\" {}\n",
            except.join(" ")
        )
    }
}

/// A whole configuration of squid that lets through these peers by port and nothing else.
pub(super) fn allow_list(
    title: &str,
    listen: u16,
    ports: &BTreeMap<u16, BTreeSet<&Peer>>,
) -> String {
    let mut text = Lines::new();
    text.line(format!(
        "# {title}: `squid -k parse -f FILE` checks it.\n\
         # Names are matched as they are asked for (RFC 9110 CONNECT); .example is example and every name below it. -n: whoever\n\
         # asks for an address gets no name for it, which the owner of the address could choose (PTR).\n\
         # Put `acl stage_hosts src` with the addresses of the hosts where it stands.\n\
         http_port {listen}\nacl stage_hosts src all"
    ));
    for (port, peers) in ports {
        text.line(format!("acl stage_port_{port} port {port}"));
        for name in squid_names(peers) {
            text.line(format!("acl stage_names_{port} dstdomain -n {name}"));
        }
        let blocks = peers.iter().filter_map(|peer| match peer {
            Peer::Block(block) => Some(*block),
            Peer::Name(_) | Peer::Below(_) => None,
        });
        // A block inside of another one is a mistake to squid.
        for block in IpNet::aggregate(&blocks.collect()) {
            text.line(format!("acl stage_blocks_{port} dst {block}"));
        }
    }
    for (port, peers) in ports {
        let is_block = |peer: &&&Peer| matches!(peer, Peer::Block(_));
        let blocks = peers.iter().filter(is_block).count();
        let kinds = [("names", peers.len() > blocks), ("blocks", blocks > 0)];
        for (kind, _) in kinds.iter().filter(|(_, there)| *there) {
            text.line(format!(
                "http_access allow stage_hosts stage_port_{port} stage_{kind}_{port}"
            ));
        }
    }
    text.line("http_access deny all");
    text.into_text()
}

/// Names as squid has them, without those that another one covers: squid refuses such lists.
fn squid_names(peers: &BTreeSet<&Peer>) -> Vec<String> {
    let parents: BTreeSet<&str> = peers
        .iter()
        .filter_map(|peer| match peer {
            Peer::Below(parent) => Some(parent.as_str()),
            Peer::Name(_) | Peer::Block(_) => None,
        })
        .collect();
    let above = |name: &str| {
        let mut at = name;
        std::iter::from_fn(move || {
            at = at.split_once('.')?.1;
            Some(at)
        })
        .any(|parent| parents.contains(parent))
    };
    peers
        .iter()
        .filter_map(|peer| match peer {
            Peer::Name(name) if !parents.contains(name.as_str()) && !above(name) => {
                Some(name.clone())
            }
            Peer::Below(parent) if !above(parent) => Some(format!(".{parent}")),
            Peer::Name(_) | Peer::Below(_) | Peer::Block(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::runtime;
    use super::{Way, squid_names};
    use crate::base::peer::Peer;
    use crate::base::runtime::{Flow, Outbound, Protocol, Via};

    #[test]
    fn the_proxy_lets_through_names_at_their_ports() {
        let runtime = runtime();
        let way = Way::of(&runtime).unwrap();
        let squid = way.squid("claw");
        for line in [
            "http_port 3128",
            "acl stage_port_443 port 443",
            "acl stage_names_443 dstdomain -n .chat.example",
            "acl stage_names_443 dstdomain -n api.models.example",
            "http_access allow stage_hosts stage_port_443 stage_names_443",
            "http_access deny all",
        ] {
            assert!(squid.lines().any(|l| l == line), "{line}\n{squid}");
        }
        assert!(
            !squid.contains("blocks"),
            "direct flows are not the proxy's"
        );
        let except = "localhost,127.0.0.1,::1,192.0.2.0/28,192.0.2.80,search.enclave.example";
        assert!(
            way.environment()
                .contains(&format!("\nNO_PROXY={except}\n"))
        );
        assert!(
            way.systemd()
                .contains("\"HTTPS_PROXY=http://proxy.enclave.example:3128\"\n")
        );
        assert!(
            way.proxychains()
                .contains("localnet 192.0.2.0:5432/255.255.255.240\n")
        );
        assert!(
            way.proxychains()
                .contains("not the name proxy.enclave.example")
        );
        assert!(
            way.macos()
                .contains("-setsecurewebproxy \"$1\" proxy.enclave.example 3128\n")
        );
    }

    #[test]
    fn what_goes_directly_goes_so_at_its_port_only() {
        let mut runtime = runtime();
        for (to, port, protocol) in [
            ("0.0.0.0/0", 123, Protocol::Udp),
            ("api.models.example", 8443, Protocol::Tcp),
            ("2001:db8:1::/48", 8443, Protocol::Tcp),
        ] {
            runtime.flows.push(Flow::Out(Outbound {
                to: to.parse().unwrap(),
                port,
                protocol,
                via: Via::Direct,
                purpose: "x".parse().unwrap(),
            }));
        }
        let way = Way::of(&runtime).unwrap();
        let (environment, chains) = (way.environment(), way.proxychains());
        for all in [&environment, &chains] {
            assert!(!all.contains("0.0.0.0/0"), "{all}");
            assert!(!all.contains("2001:db8::53"), "{all}");
        }
        assert!(environment.contains("\nNO_PROXY=localhost,127.0.0.1,::1,192.0.2.0/28,192.0.2.80,2001:db8:1::/48,search.enclave.example,api.models.example:8443\n"));
        assert!(!way.macos().contains("api.models.example"));
        assert!(chains.contains("localnet [2001:db8:1::]:8443/48\n"));
        assert!(chains.contains("no names here: search.enclave.example:8443\n"));
    }

    #[test]
    fn names_that_another_covers_are_left_out() {
        let peers: Vec<Peer> = [
            "*.a.example",
            "a.example",
            "b.a.example",
            "*.b.a.example",
            "c.example",
            "xa.example",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        assert_eq!(
            squid_names(&peers.iter().collect()),
            ["c.example", "xa.example", ".a.example"]
        );
    }
}
