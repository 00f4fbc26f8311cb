//! Rules of packet filters. They judge what the runtime's account sends and the ports that it listens at, and leave the
//! rest of the host alone, where the filter can tell accounts apart; where it cannot, the file says so.

use super::rule::{Address, Rule, incoming, names, outgoing};
use crate::base::lines::Lines;
use crate::base::runtime::{Protocol, Runtime};

/// A name that any rule file takes, made of a channel.
fn identifier(channel: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    channel.chars().map(fits).collect()
}

/// The set of a name's addresses.
fn set_of(names: &[&str], name: &str, family: &str) -> String {
    let number = names.iter().position(|n| *n == name).unwrap_or_default() + 1;
    format!("name_{number}_{family}")
}

/// For `nft -f`.
pub(super) fn nftables(channel: &str, runtime: &Runtime) -> String {
    let (out, into) = (outgoing(runtime), incoming(runtime));
    let all: Vec<Rule> = out.iter().chain(&into).cloned().collect();
    let names = names(&all);
    let table = format!("inet stage_{}", identifier(channel));
    let user = &runtime.user;
    let mut text = Lines::new();
    text.line(format!(
        "#!/usr/sbin/nft -f\n\
         # Network flows of {channel}: `nft -c -f FILE` checks it, `nft -f FILE` loads it, again and again.\n\
         # The account {user} must exist. Only what it sends is judged, and the ports that it listens at."
    ));
    if !names.is_empty() {
        text.line("# Sets of names are empty: put the addresses in, nft would look a name up once, at load, if at all.");
    }
    text.line(format!(
        "table {table}\ndelete table {table}\ntable {table} {{"
    ));
    for name in &names {
        text.line(format!("    # {name}"));
        for (family, kind) in [("v4", "ipv4_addr"), ("v6", "ipv6_addr")] {
            let set = set_of(&names, name, family);
            text.line(format!("    set {set} {{ type {kind}; flags interval; }}"));
        }
    }
    text.line(format!("    chain output {{\n        type filter hook output priority filter; policy accept;\n        \
         meta skuid != \"{user}\" accept\n        oifname \"lo\" accept\n        ct state established,related accept"
    ));
    for rule in &out {
        for peer in nft_peers(&names, rule, "daddr") {
            text.line(format!(
                "        {peer} {} accept comment \"{}\"",
                nft_port(rule),
                rule.purpose
            ));
        }
    }
    text.line(format!("        limit rate 10/minute log prefix \"stage {} out: \"\n        reject with icmpx admin-prohibited\n    }}",
        identifier(channel)
    ));
    nft_input(&mut text, &names, &into);
    text.line("}");
    text.into_text()
}

fn nft_input(text: &mut Lines, names: &[&str], into: &[Rule]) {
    if into.is_empty() {
        return;
    }
    text.line(
        "    chain input {\n        type filter hook input priority filter; policy accept;\n        \
         iifname \"lo\" accept\n        ct state established,related accept",
    );
    for rule in into {
        for peer in nft_peers(names, rule, "saddr") {
            text.line(format!(
                "        {peer} {} accept comment \"{}\"",
                nft_port(rule),
                rule.purpose
            ));
        }
    }
    let mut ports: Vec<String> = into.iter().map(nft_port).collect();
    ports.sort();
    ports.dedup();
    for port in ports {
        text.line(format!("        {port} drop"));
    }
    text.line("    }");
}

fn nft_peers(names: &[&str], rule: &Rule, field: &str) -> Vec<String> {
    match &rule.peer {
        Address::Block(block) => {
            let family = if block.addr().is_ipv6() { "ip6" } else { "ip" };
            vec![format!("{family} {field} {block}")]
        }
        Address::Name(name) => vec![
            format!("ip {field} @{}", set_of(names, name, "v4")),
            format!("ip6 {field} @{}", set_of(names, name, "v6")),
        ],
    }
}

fn nft_port(rule: &Rule) -> String {
    let port = format!("{} dport {}", rule.protocol.as_str(), rule.port);
    match rule.listen {
        Some(at) if at.is_ipv6() => format!("ip6 daddr {at} {port}"),
        Some(at) => format!("ip daddr {at} {port}"),
        None => port,
    }
}

/// For `iptables-restore --noflush`, or `ip6tables-restore --noflush`.
pub(super) fn iptables(runtime: &Runtime, v6: bool) -> String {
    let (out, into) = (outgoing(runtime), incoming(runtime));
    let program = if v6 { "ip6tables" } else { "iptables" };
    let user = &runtime.user;
    let mut text = Lines::new();
    text.line(format!(
        "# Network flows: `{program}-restore --test --noflush FILE` checks it, without --test it is loaded. Load it once: the\n\
         # jumps into the chains are added each time. The account {user} must exist; only what it sends is judged, and the\n\
         # ports that it listens at."
    ));
    unresolved(&mut text, out.iter().chain(&into));
    text.line(format!("*filter\n:STAGE_OUT - [0:0]\n:STAGE_IN - [0:0]\n-A OUTPUT -m owner --uid-owner {user} -j STAGE_OUT\n-A INPUT -j STAGE_IN\n\
         -A STAGE_OUT -o lo -j RETURN\n-A STAGE_OUT -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    ));
    for rule in out.iter().filter(|rule| rule.peer.fits(v6)) {
        if let Address::Block(block) = &rule.peer {
            let (protocol, port) = (rule.protocol.as_str(), rule.port);
            text.line(format!("-A STAGE_OUT -p {protocol} -d {block} --dport {port} -m comment --comment \"{}\" -j RETURN",
                rule.purpose
            ));
        }
    }
    text.lines([
        "-A STAGE_OUT -j REJECT",
        "-A STAGE_IN -i lo -j RETURN",
        "-A STAGE_IN -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
    ]);
    let here = |rule: &&Rule| rule.listen.is_none_or(|at| at.is_ipv6() == v6);
    for rule in into.iter().filter(here) {
        if let Address::Block(block) = &rule.peer
            && rule.peer.fits(v6)
        {
            text.line(format!(
                "-A STAGE_IN {} -s {block} -m comment --comment \"{}\" -j ACCEPT",
                iptables_port(rule),
                rule.purpose
            ));
        }
    }
    let mut ports: Vec<String> = into.iter().filter(here).map(iptables_port).collect();
    ports.sort();
    ports.dedup();
    for port in ports {
        text.line(format!("-A STAGE_IN {port} -j DROP"));
    }
    text.line("COMMIT");
    text.into_text()
}

fn iptables_port(rule: &Rule) -> String {
    let port = format!("-p {} --dport {}", rule.protocol.as_str(), rule.port);
    match rule.listen {
        Some(at) => format!("-d {at} {port}"),
        None => port,
    }
}

/// Says of each name that somebody has to look it up.
fn unresolved<'a>(text: &mut Lines, rules: impl Iterator<Item = &'a Rule>) {
    for rule in rules {
        if let Address::Name(name) = &rule.peer {
            let (port, protocol) = (rule.port, rule.protocol.as_str());
            text.line(format!(
                "# not in it, for it is a name: {name} {port}/{protocol}, {}",
                rule.purpose
            ));
        }
    }
}

/// Lines for a shell, with `ufw`.
pub(super) fn ufw(runtime: &Runtime) -> String {
    let (out, into) = (outgoing(runtime), incoming(runtime));
    let mut text = Lines::new();
    text.lines([
        "#!/bin/sh",
        "# Network flows as ufw rules. ufw cannot tell accounts apart: what goes out is allowed for every account of the host.",
        "# They matter only where outgoing connections are denied otherwise: `ufw default deny outgoing`.",
        "# Have ufw or another firewall active, not two.",
        "set -eu",
    ]);
    unresolved(&mut text, out.iter().chain(&into));
    let outward = out.iter().map(|rule| (rule, "out"));
    for (rule, way) in outward.chain(into.iter().map(|rule| (rule, "in"))) {
        let Address::Block(block) = &rule.peer else {
            continue;
        };
        let (protocol, port, why) = (rule.protocol.as_str(), rule.port, &rule.purpose);
        let ends = match (way, rule.listen) {
            ("out", _) => format!("to {block} port {port}"),
            (_, Some(at)) => format!("from {block} to {at} port {port}"),
            (_, None) => format!("from {block} to any port {port}"),
        };
        text.line(format!(
            "ufw allow {way} proto {protocol} {ends} comment '{why}'"
        ));
    }
    text.into_text()
}

/// For PowerShell.
pub(super) fn windows(channel: &str, runtime: &Runtime) -> String {
    let (out, into) = (outgoing(runtime), incoming(runtime));
    let mut text = Lines::new();
    text.line(format!(
        "# Network flows of {channel} for Windows Defender Firewall, for a runtime on Windows. Run it as administrator."
    ));
    text.lines([
        "# It was not run on Windows by whoever made it: read it before you do. The rules matter only where outgoing",
        "# connections are blocked otherwise. They hold for the whole host.",
    ]);
    unresolved(&mut text, out.iter().chain(&into));
    let group = format!("stage {channel}");
    text.line(format!(
        "Remove-NetFirewallRule -Group '{group}' -ErrorAction SilentlyContinue"
    ));
    let outward = out.iter().map(|rule| (rule, "Outbound", "RemotePort"));
    let inward = into.iter().map(|rule| (rule, "Inbound", "LocalPort"));
    for (number, (rule, direction, side)) in outward.chain(inward).enumerate() {
        let Address::Block(block) = &rule.peer else {
            continue;
        };
        let protocol = match rule.protocol {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        };
        let local = rule.listen.map(|at| format!(" -LocalAddress '{at}'"));
        text.line(format!(
            "New-NetFirewallRule -Group '{group}' -DisplayName '{group} {}: {}' -Direction {direction} -Action Allow \
             -Protocol {protocol} -{side} {} -RemoteAddress '{block}'{}",
            number + 1,
            rule.purpose,
            rule.port,
            local.unwrap_or_default()
        ));
    }
    text.into_windows_text()
}

#[cfg(test)]
mod tests {
    use super::super::tests::runtime;
    use super::{iptables, nftables, ufw, windows};

    #[test]
    fn only_what_is_declared_is_let_through() {
        let runtime = runtime();
        let nft = nftables("claw-1.0", &runtime);
        assert!(nft.contains("table inet stage_claw_1_0 {"));
        assert!(nft.contains("ip daddr 192.0.2.0/28 tcp dport 5432 accept comment \"database\""));
        assert!(nft.contains("ip6 daddr 2001:db8::53/128 udp dport 53 accept"));
        assert!(nft.contains("ip daddr @name_1_v4 tcp dport 3128 accept comment \"proxy\""));
        assert!(nft.contains(
            "ip saddr 198.51.100.0/24 tcp dport 8080 accept comment \"web _chat_ _ _more_\""
        ));
        assert!(nft.contains("        tcp dport 8080 drop\n"));
        assert!(!nft.contains("18789"), "loopback needs no rule");
        assert!(
            !nft.contains("@api"),
            "what goes through the proxy is the proxy's"
        );

        let v4 = iptables(&runtime, false);
        assert!(v4.contains("-A STAGE_OUT -p tcp -d 192.0.2.0/28 --dport 5432"));
        assert!(v4.contains("not in it, for it is a name: search.enclave.example 8443/tcp"));
        assert!(!v4.contains("2001:db8"));
        assert!(iptables(&runtime, true).contains("-d 2001:db8::53/128 --dport 53"));
        assert!(
            ufw(&runtime).contains("ufw allow in proto tcp from 198.51.100.0/24 to any port 8080")
        );
        assert!(
            windows("claw", &runtime)
                .contains("-LocalPort 8080 -RemoteAddress '198.51.100.0/24'\r\n")
        );
    }
}
