//! The far end of a network flow, as firewalls and proxies can be told it: a host name, all names below one, or a
//! block of addresses. Its text has no character that means anything in a shell or in a rule file.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Longest host name, in bytes (RFC 1035 section 2.3.4, without the root's dot).
const LONGEST_NAME: usize = 253;
/// Longest part of a host name, in bytes.
const LONGEST_LABEL: usize = 63;

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Peer {
    /// A host name, in lower case, such as `api.example`.
    Name(String),
    /// Every name below one, which is in lower case: `*.models.example`.
    Below(String),
    /// A block of addresses without host bits; one address is a block of its full length.
    Block(IpNet),
}

/// A text that names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host name, `*.` and one, an address or a block of addresses")]
pub struct NotAPeer;

impl Peer {
    /// Whether it is this host.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Below(_) => false,
            Self::Block(block) => block.network().is_loopback() && block.broadcast().is_loopback(),
        }
    }

    /// Whether somebody may be both; what addresses names have is not known.
    pub fn overlaps(&self, other: &Self) -> bool {
        let below = |name: &str, parent: &str| {
            let rest = name.strip_suffix(parent);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a == b,
            (Self::Name(name), Self::Below(_)) => other.covers(name),
            (Self::Below(_), Self::Name(name)) => self.covers(name),
            (Self::Below(a), Self::Below(b)) => below(a, b) || below(b, a),
            (Self::Block(a), Self::Block(b)) => a.contains(b) || b.contains(a),
            (Self::Block(_), Self::Name(_) | Self::Below(_))
            | (Self::Name(_) | Self::Below(_), Self::Block(_)) => false,
        }
    }

    /// Whether a connection to `host`, a name or an address, is one to this peer.
    pub fn covers(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        match self {
            Self::Name(name) => host == *name,
            Self::Below(parent) => host
                .strip_suffix(parent.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            Self::Block(block) => host
                .parse::<IpAddr>()
                .is_ok_and(|address| block.contains(&address.to_canonical())),
        }
    }
}

impl FromStr for Peer {
    type Err = NotAPeer;

    fn from_str(text: &str) -> Result<Self, NotAPeer> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Block(IpNet::from(address)));
        }
        if let Ok(block) = text.parse::<IpNet>() {
            return if block.trunc() == block {
                Ok(Self::Block(block))
            } else {
                Err(NotAPeer)
            };
        }
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("*.") {
            Some(parent) if is_name(parent) => Ok(Self::Below(parent.to_owned())),
            None if is_name(&lower) => Ok(Self::Name(lower)),
            _ => Err(NotAPeer),
        }
    }
}

impl TryFrom<String> for Peer {
    type Error = NotAPeer;

    fn try_from(text: String) -> Result<Self, NotAPeer> {
        text.parse()
    }
}

impl From<Peer> for String {
    fn from(peer: Peer) -> Self {
        peer.to_string()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Below(parent) => write!(f, "*.{parent}"),
            Self::Block(block) if block.prefix_len() == block.max_prefix_len() => {
                write!(f, "{}", block.addr())
            }
            Self::Block(block) => write!(f, "{block}"),
        }
    }
}

/// Whether `text` is a host name in lower case (RFC 1123 section 2.1, and underscores, which are in use). What ends in
/// a number is an address that somebody mistyped.
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = label.as_bytes();
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(b);
        label.len() <= LONGEST_LABEL
            && (edge(bytes.first()) || bytes.first() == Some(&b'_'))
            && edge(bytes.last())
            && bytes.iter().all(inner)
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= LONGEST_NAME
        && text.split('.').all(label)
        && !last.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::Peer;

    #[test]
    fn a_peer_is_a_name_a_domain_or_a_block() {
        for (text, shown) in [
            ("API.Models.example", "api.models.example"),
            ("*.models.example", "*.models.example"),
            ("localhost", "localhost"),
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("::1", "::1"),
            ("_svc.example", "_svc.example"),
        ] {
            assert_eq!(text.parse::<Peer>().unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "*",
            "*.",
            "a..b",
            "-a.example",
            "a-.example",
            "a b",
            "a;b",
            "a\nb",
            "192.0.2.1/24",
            "192.0.2.300",
            "192.0.2",
            "x.*.example",
            "https://a.example",
            "a.example:443",
            "é.example",
        ] {
            assert!(bad.parse::<Peer>().is_err(), "{bad:?}");
        }
        let long = format!("{}.example", "a".repeat(64));
        long.parse::<Peer>().unwrap_err();
    }

    #[test]
    fn connections_are_matched_to_peers() {
        let covers = |peer: &str, host: &str| peer.parse::<Peer>().unwrap().covers(host);
        assert!(covers("a.example", "A.example."));
        assert!(!covers("a.example", "b.a.example"));
        assert!(covers("*.a.example", "b.a.example"));
        assert!(!covers("*.a.example", "a.example"));
        assert!(!covers("*.a.example", "ba.example"));
        assert!(!covers("*.a.example", ".a.example"));
        assert!(covers("192.0.2.0/24", "192.0.2.9"));
        assert!(covers("192.0.2.9", "::ffff:192.0.2.9"));
        assert!(!covers("192.0.2.0/24", "192.0.3.9"));
        assert!(!covers("192.0.2.0/24", "a.example"));
        let overlap = |a: &str, b: &str| {
            let (a, b): (Peer, Peer) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(a.overlaps(&b), b.overlaps(&a), "{a} {b}");
            a.overlaps(&b)
        };
        assert!(overlap("a.example", "a.example") && overlap("b.a.example", "*.a.example"));
        assert!(overlap("*.b.a.example", "*.a.example") && !overlap("*.ba.example", "*.a.example"));
        assert!(overlap("192.0.2.9", "192.0.2.0/24") && !overlap("192.0.3.9", "192.0.2.0/24"));
        assert!(!overlap("a.example", "*.a.example") && !overlap("a.example", "192.0.2.9"));
        let loopback = |peer: &str| peer.parse::<Peer>().unwrap().is_loopback();
        assert!(loopback("127.0.0.1") && loopback("127.0.0.0/8") && loopback("::1"));
        assert!(loopback("localhost") && !loopback("0.0.0.0/0") && !loopback("126.0.0.0/7"));
    }
}
