//! Whether what a runtime asks of its host can be given without harm, and fits together.

use std::net::IpAddr;

use ipnet::IpNet;

use super::system::{is_account, is_below, is_group};
use super::{Flow, HostPath, Inbound, Mode, Runtime};
use crate::base::peer::Peer;

/// Who owns what is installed.
pub const ADMINISTRATOR: &str = "root";
/// Bits of a mode with which others than the owner may write.
const OTHERS_WRITE: u16 = 0o022;

/// Something that a runtime must not ask for: the key, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsound {
    /// The key of `[runtime]`.
    pub key: &'static str,
    /// What it must be.
    pub expected: String,
}

const fn unsound(key: &'static str, expected: String) -> Unsound {
    Unsound { key, expected }
}

impl Runtime {
    /// The first thing that it must not ask for.
    pub fn unsound(&self) -> Option<Unsound> {
        account(self)
            .or_else(|| prefix(self))
            .or_else(|| twice(self))
            .or_else(|| owners(self))
            .or_else(|| self.flows.iter().find_map(flow))
    }
}

fn account(runtime: &Runtime) -> Option<Unsound> {
    let (user, group) = (runtime.user.as_str(), runtime.group.as_str());
    if is_account(user) {
        return Some(unsound(
            "user",
            format!("an account of the runtime's own, not {user}, which is the system's"),
        ));
    }
    if is_group(group) {
        return Some(unsound(
            "group",
            format!("a group of the runtime's own, not {group}, whose members may do more"),
        ));
    }
    None
}

/// What runs must not be able to change its own code.
fn prefix(runtime: &Runtime) -> Option<Unsound> {
    let mut declared = runtime.directories.iter();
    let at = declared.find(|directory| directory.path == runtime.prefix)?;
    if at.owner.as_str() != ADMINISTRATOR {
        return Some(unsound(
            "owner",
            format!(
                "\"root\" for the prefix {}: what runs there must not be able to change its own code",
                at.path
            ),
        ));
    }
    if at.mode.bits() & OTHERS_WRITE != 0 {
        return Some(unsound(
            "mode",
            format!(
                "one with which only root writes to the prefix {}, such as {}",
                at.path,
                Mode::USUAL
            ),
        ));
    }
    None
}

fn twice(runtime: &Runtime) -> Option<Unsound> {
    let mut paths: Vec<_> = runtime.directories.iter().map(|d| &d.path).collect();
    paths.sort();
    let pair = paths.windows(2).find(|pair| pair.first() == pair.last())?;
    let path = pair.first()?;
    Some(unsound(
        "path",
        format!("there once in [[runtime.directory]], and {path} is there twice"),
    ))
}

/// Whoever owns a folder can replace what is in it: what belongs to somebody else must not be there, and
/// systemd-tmpfiles makes nothing there.
fn owners(runtime: &Runtime) -> Option<Unsound> {
    let administrator = ADMINISTRATOR;
    let mut folders: Vec<(&'static str, &str, &str)> = runtime
        .directories
        .iter()
        .map(|d| ("path", d.path.as_str(), d.owner.as_str()))
        .collect();
    let prefix = runtime.prefix.as_str();
    folders.push(("prefix", prefix, administrator));
    if let Some(home) = runtime.home.as_ref().map(HostPath::as_str)
        && !folders.iter().any(|(_, path, _)| *path == home)
    {
        folders.push(("home", home, runtime.user.as_str()));
    }
    for (key, path, owner) in &folders {
        let mut around = folders.iter().filter(|(_, folder, whose)| {
            folder != path && is_below(path, folder) && *whose != administrator && whose != owner
        });
        if let Some((_, folder, whose)) = around.next() {
            return Some(unsound(
                key,
                format!(
                    "outside {folder}, which belongs to {whose}, who could replace it: {path} belongs to {owner}"
                ),
            ));
        }
    }
    None
}

fn flow(flow: &Flow) -> Option<Unsound> {
    let Flow::In(flow) = flow else { return None };
    let Inbound { listen, from, .. } = flow;
    let at = flow.port;
    if listen.is_loopback() && !from.is_loopback() {
        return Some(unsound(
            "from",
            format!("on loopback, as {listen} port {at} is, or `listen` another address"),
        ));
    }
    let v6 = match from {
        Peer::Block(IpNet::V4(_)) => false,
        Peer::Block(IpNet::V6(_)) => true,
        Peer::Name(_) | Peer::Below(_) => return None,
    };
    // `::` is reached by IPv4, too.
    let reached = match listen {
        IpAddr::V4(_) => !v6,
        IpAddr::V6(at) => v6 || at.is_unspecified(),
    };
    if reached {
        return None;
    }
    let kind = if v6 { "IPv4" } else { "IPv6" };
    Some(unsound(
        "from",
        format!("an address of {kind}, as {listen} port {at} is"),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::{document, parse};

    const TEXT: &str = r#"{"runtime":{"account":"existing","directories":[{"group":"svc","mode":"0750","owner":"svc","path":"/var/lib/claw","selinux":null,"why":"state"},{"group":"svc","mode":"0750","owner":"svc","path":"/var/lib/claw/a","selinux":null,"why":"more"}],"flows":[{"from":"127.0.0.0/8","listen":"127.0.0.1","port":18789,"protocol":"tcp","purpose":"gateway"},{"from":"192.0.2.0/24","listen":"::","port":8080,"protocol":"tcp","purpose":"web"},{"from":"front.example","listen":"192.0.2.9","port":8081,"protocol":"tcp","purpose":"web"}],"group":"svc","home":"/srv/claw","prefix":"/opt/claw","proxy":null,"repository":null,"user":"svc"},"schema":"stage/runtime/v1"}"#;

    #[test]
    fn what_would_harm_the_host_or_cannot_be_is_refused_where_it_travels() {
        assert!(parse(TEXT.as_bytes()).is_some_and(|runtime| document(&runtime).is_some()));
        for (from, to) in [
            ("\"user\":\"svc\"", "\"user\":\"root\""),
            ("\"user\":\"svc\"", "\"user\":\"nobody\""),
            (
                "\"group\":\"svc\",\"home\"",
                "\"group\":\"docker\",\"home\"",
            ),
            ("/opt/claw", "/etc"),
            ("/opt/claw", "/usr/bin/claw"),
            ("/srv/claw", "/root"),
            ("/var/lib/claw/a", "/usr"),
            ("/var/lib/claw/a", "/tmp"),
            ("/var/lib/claw/a", "/proc/claw"),
            ("/var/lib/claw/a", "/var/lib/claw"),
            ("/var/lib/claw/a", "/opt/claw"),
            ("/opt/claw", "/srv/claw/app"),
            ("/opt/claw", "/var/lib/claw/app"),
            (
                "\"owner\":\"svc\",\"path\":\"/var/lib/claw/a\"",
                "\"owner\":\"root\",\"path\":\"/var/lib/claw/a\"",
            ),
            ("127.0.0.0/8", "10.0.0.0/8"),
            ("127.0.0.0/8", "front.example"),
            ("\"listen\":\"::\"", "\"listen\":\"2001:db8::1\""),
            (
                "192.0.2.0/24\",\"listen\":\"::\"",
                "2001:db8::/64\",\"listen\":\"0.0.0.0\"",
            ),
        ] {
            let bad = TEXT.replacen(from, to, 1);
            assert_ne!(bad, TEXT, "{from}");
            assert!(parse(bad.as_bytes()).is_none(), "{from} {to}");
        }
    }
}
