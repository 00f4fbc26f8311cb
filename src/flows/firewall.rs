//! Rules of packet filters. They judge what the runtime's account sends and the ports that it listens at, and leave the
//! rest of the host alone, where the filter can tell accounts apart; where it cannot, the file says so.

use super::rule::{Address, Rule, incoming, names, outgoing};
use crate::base::digest::Digest;
use crate::base::lines::Lines;
use crate::base::runtime::{Protocol, Runtime};

/// Longest part of a chain's name that a channel makes: iptables takes 28 bytes with what stands around it.
const TAG: usize = 18;
/// What stands where an address has to, and what no packet filter takes.
const FILL_IN: &str = "FILL-IN";

/// The name of a channel in the names of chains, its own for every channel: the file of another one must not empty them.
fn tag(channel: &str) -> String {
    const HEX: usize = 8;
    if channel.len() <= TAG {
        return channel.to_owned();
    }
    let digest = Digest::of(channel.as_bytes()).hex();
    // No channel has a plus sign.
    let start: String = channel.chars().take(TAG - HEX - 1).collect();
    start + "+" + &digest.chars().take(HEX).collect::<String>()
}

/// The variable and the set of a name's addresses.
fn set_of(names: &[&str], name: &str, family: &str) -> String {
    format!("name_{}_{family}", number(names, name))
}

fn number(names: &[&str], name: &str) -> usize {
    names.iter().take_while(|n| **n != name).count() + 1
}

/// For `nft -f`. Only packets with a socket of the account go into its chain: what the kernel sends by itself, such as the
/// neighbour discovery of IPv6, has no socket and no account, and any rule that is not about an account would judge it.
pub(super) fn nftables(channel: &str, runtime: &Runtime) -> String {
    let (out, into) = (outgoing(runtime), incoming(runtime));
    let all: Vec<Rule> = out.iter().chain(&into).cloned().collect();
    let names = names(&all);
    // Names of nftables have every character that a channel has.
    let table = format!("inet stage_{channel}");
    let user = &runtime.user;
    let mut text = Lines::new();
    text.line(format!(
        "#!/usr/sbin/nft -f\n\
         # Network flows of {channel}: `nft -c -f FILE` checks it, `nft -f FILE` loads it, again and again.\n\
         # The account {user} must exist. Only what it sends is judged, and the ports that it listens at. Where it runs\n\
         # several bundles, it may send what all of them declare."
    ));
    nft_names(&mut text, &names);
    text.line(format!(
        "table {table}\ndelete table {table}\ntable {table} {{"
    ));
    for name in &names {
        text.line(format!("    # {name}"));
        for (family, kind) in [("v4", "ipv4_addr"), ("v6", "ipv6_addr")] {
            let set = set_of(&names, name, family);
            text.line(format!(
                "    set {set} {{ type {kind}; flags interval; elements = ${set} }}"
            ));
        }
    }
    text.line(
        "    chain sent_by_account {\n        oifname \"lo\" accept\n        ct state established,related accept",
    );
    for rule in &out {
        for peer in nft_peers(&names, rule, "daddr") {
            text.line(format!(
                "        {peer} {} accept comment \"{}\"",
                nft_port(rule),
                rule.purpose
            ));
        }
    }
    text.line(format!(
        "        limit rate 10/minute log prefix \"stage {channel} out: \"\n        reject with icmpx admin-prohibited\n    }}\n    \
         chain output {{\n        type filter hook output priority filter; policy accept;\n        \
         meta skuid \"{user}\" goto sent_by_account\n    }}"
    ));
    nft_input(&mut text, &names, &into);
    text.line("}");
    text.into_text()
}

/// Variables that whoever loads the rules has to define: with an empty set in their place the account would be cut off, and
/// nobody told.
fn nft_names(text: &mut Lines, names: &[&str]) {
    if names.is_empty() {
        return;
    }
    text.line(
        "# Names need addresses, or nft refuses the whole file: uncomment these and fill them in, or give them as in\n\
         # `nft -D name_1_v4=\"{ 192.0.2.1, 192.0.2.2 }\" -D name_1_v6=\"{ }\" -f FILE`. `{ }` lets nothing through.",
    );
    for name in names {
        text.line(format!("# {name}"));
        for family in ["v4", "v6"] {
            text.line(format!("#define {} = {{ }}", set_of(names, name, family)));
        }
    }
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
        Address::Name(name) => [("ip", "v4", false), ("ip6", "v6", true)]
            .iter()
            .filter(|(_, _, v6)| rule.listen.is_none_or(|at| at.is_ipv6() == *v6))
            .map(|(family, set, _)| format!("{family} {field} @{}", set_of(names, name, set)))
            .collect(),
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
pub(super) fn iptables(channel: &str, runtime: &Runtime, v6: bool) -> String {
    let (out, into) = (outgoing(runtime), incoming(runtime));
    let program = if v6 { "ip6tables" } else { "iptables" };
    let user = &runtime.user;
    let (sent, received) = (
        format!("stage-{}-out", tag(channel)),
        format!("stage-{}-in", tag(channel)),
    );
    let mut text = Lines::new();
    text.line(format!(
        "# Network flows of {channel}: `{program}-restore --noflush FILE` loads it. Its --test takes jumps to nowhere for fine: try\n\
         # it with `unshare --net {program}-restore --noflush FILE`. Load it once: the jumps into the chains are added each\n\
         # time. The account {user} must exist; only what it sends is judged, and the ports that it listens at."
    ));
    let all = || out.iter().chain(&into);
    if all().any(|rule| matches!(rule.peer, Address::Name(_))) {
        text.line(format!(
            "# Names need addresses, or the file is refused: put one in where /{FILL_IN} stands, a line for each, or take the line out."
        ));
    }
    text.line(format!("*filter\n:{sent} - [0:0]\n:{received} - [0:0]\n-A OUTPUT -m owner --uid-owner {user} -j {sent}\n-A INPUT -j {received}\n\
         -A {sent} -o lo -j RETURN\n-A {sent} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    ));
    for rule in out.iter().filter(|rule| rule.peer.fits(v6)) {
        text.line(format!(
            "-A {sent} -d {} {} -m comment --comment \"{}\" -j RETURN",
            iptables_peer(&rule.peer),
            iptables_port(rule),
            rule.purpose
        ));
    }
    text.line(format!(
        "-A {sent} -j REJECT\n-A {received} -i lo -j RETURN\n\
         -A {received} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    ));
    let here = |rule: &&Rule| rule.listen.is_none_or(|at| at.is_ipv6() == v6);
    for rule in into.iter().filter(here).filter(|rule| rule.peer.fits(v6)) {
        text.line(format!(
            "-A {received} -s {} {} -m comment --comment \"{}\" -j ACCEPT",
            iptables_peer(&rule.peer),
            iptables_port(rule),
            rule.purpose
        ));
    }
    let mut ports: Vec<String> = into.iter().filter(here).map(iptables_port).collect();
    ports.sort();
    ports.dedup();
    for port in ports {
        text.line(format!("-A {received} {port} -j DROP"));
    }
    text.line("COMMIT");
    text.into_text()
}

fn iptables_peer(peer: &Address) -> String {
    match peer {
        Address::Block(block) => block.to_string(),
        Address::Name(name) => format!("{name}/{FILL_IN}"),
    }
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
    let all: Vec<Rule> = out.iter().chain(&into).cloned().collect();
    let names = names(&all);
    let mut text = Lines::new();
    text.lines([
        "#!/bin/sh",
        "# Network flows as ufw rules. ufw cannot tell accounts apart: what goes out is allowed for every account of the host.",
        "# They matter only where outgoing connections are denied otherwise: `ufw default deny outgoing`.",
        "# Have ufw or another firewall active, not two.",
    ]);
    if !names.is_empty() {
        text.line("# Names need addresses, in variables: name_1='192.0.2.1 192.0.2.2' sh FILE. '' lets nothing through.");
    }
    text.line("set -eu");
    for name in &names {
        text.line(format!(
            ": \"${{name_{}?the addresses of {name}}}\"",
            number(&names, name)
        ));
    }
    let outward = out.iter().map(|rule| (rule, "out"));
    for (rule, way) in outward.chain(into.iter().map(|rule| (rule, "in"))) {
        let (protocol, port, why) = (rule.protocol.as_str(), rule.port, &rule.purpose);
        let peer = match &rule.peer {
            Address::Block(block) => block.to_string(),
            Address::Name(_) => "\"$at\"".to_owned(),
        };
        let ends = match (way, rule.listen) {
            ("out", _) => format!("to {peer} port {port}"),
            (_, Some(at)) => format!("from {peer} to {at} port {port}"),
            (_, None) => format!("from {peer} to any port {port}"),
        };
        let line = format!("ufw allow {way} proto {protocol} {ends} comment '{why}'");
        text.line(match &rule.peer {
            Address::Block(_) => line,
            Address::Name(name) => {
                format!("for at in $name_{}; do {line}; done", number(&names, name))
            }
        });
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
    use super::{iptables, nftables, tag, ufw, windows};

    #[test]
    fn only_what_is_declared_is_let_through() {
        let runtime = runtime();
        let nft = nftables("claw-1.0", &runtime);
        assert!(nft.contains("table inet stage_claw-1.0 {"));
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

        let v4 = iptables("claw-1.0", &runtime, false);
        assert!(v4.contains("-A stage-claw-1.0-out -d 192.0.2.0/28 -p tcp --dport 5432"));
        assert!(!v4.contains("2001:db8"));
        assert!(iptables("c", &runtime, true).contains("-d 2001:db8::53/128 -p udp --dport 53"));
        assert!(
            ufw(&runtime).contains("ufw allow in proto tcp from 198.51.100.0/24 to any port 8080")
        );
        assert!(
            windows("claw", &runtime)
                .contains("-LocalPort 8080 -RemoteAddress '198.51.100.0/24'\r\n")
        );
    }

    #[test]
    fn what_nobody_gave_an_address_is_no_rule_that_loads() {
        let runtime = runtime();
        let nft = nftables("claw", &runtime);
        assert!(nft.contains("#define name_1_v4 = { }\n"));
        assert!(nft.contains("elements = $name_1_v4 }"));
        for v6 in [false, true] {
            let rules = iptables("claw", &runtime, v6);
            assert!(rules.contains("-d proxy.enclave.example/FILL-IN -p tcp --dport 3128"));
        }
        let ufw = ufw(&runtime);
        assert!(ufw.contains(": \"${name_2?the addresses of search.enclave.example}\"\n"));
        assert!(ufw.contains(
            "for at in $name_2; do ufw allow out proto tcp to \"$at\" port 8443 comment 'search'; done\n"
        ));
    }

    #[test]
    fn every_channel_has_chains_of_its_own_with_names_that_fit() {
        let long = "platform-engineering-openclaw-prod";
        let other = "platform-engineering-openclaw-test";
        let names = ["claw-1", "claw_1", "claw.1", long, other].map(tag);
        for name in &names {
            assert!(format!("stage-{name}-out").len() <= 28, "{name}");
            assert_eq!(names.iter().filter(|n| *n == name).count(), 1, "{name}");
        }
        let tables = ["claw-1", "claw_1"].map(|channel| nftables(channel, &runtime()));
        assert!(!tables[1].contains("stage_claw-1"));
        assert!(tables[0].contains("delete table inet stage_claw-1\n"));
    }
}
