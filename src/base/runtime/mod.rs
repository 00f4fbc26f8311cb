//! Who runs the runtime where, and what it needs of its host and its network: `[runtime]` of a manifest, and
//! `evidence/runtime.json` of a bundle. Firewall rules, directories, permissions and the file baseline are made of it.
//!
//! Every text in it ends up in files that other programs read as rules. Names, paths and modes therefore have narrow
//! grammars, and explanations are one line of visible characters.

mod sound;
mod system;

pub use sound::{ADMINISTRATOR, Unsound};
pub use system::{is_below, is_shared};

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::json;
use crate::base::peer::Peer;
use crate::base::text;

/// Name of the document in a bundle's folder `evidence`.
pub const NAME: &str = "runtime.json";
/// Path of the document in a bundle.
pub const DOCUMENT: &str = "evidence/runtime.json";
/// Most flows, and most directories.
const MOST: usize = 256;
/// Longest explanation, in bytes.
const LONGEST: usize = 400;
/// Largest document, in bytes.
const LIMIT: u64 = 1 << 20;
const SCHEMA: &str = "stage/runtime/v1";

/// Who runs it where, and what it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// Whether the account exists.
    pub account: Account,
    /// Its name.
    pub user: AccountName,
    /// Its group.
    pub group: AccountName,
    /// Where the runtime is installed.
    pub prefix: HostPath,
    /// The account's home, if it is not the prefix.
    pub home: Option<HostPath>,
    /// The proxy of the enclave, for flows that go through it.
    pub proxy: Option<Endpoint>,
    /// The repository of the enclave, which clients install from.
    pub repository: Option<Endpoint>,
    /// What it connects to and what connects to it.
    pub flows: Vec<Flow>,
    /// What it writes and reads besides what is installed.
    pub directories: Vec<Directory>,
}

/// Whether the account that runs the runtime is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Account {
    /// It exists and is never changed.
    Existing,
    /// It is to be created.
    Create,
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Who.
    pub host: Peer,
    /// Where there.
    pub port: u16,
}

/// A flow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Flow {
    /// The runtime connects.
    Out(Outbound),
    /// Others connect to the runtime.
    In(Inbound),
}

/// What the runtime connects to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outbound {
    /// Who is asked.
    pub to: Peer,
    /// The port there.
    pub port: u16,
    /// Over what.
    pub protocol: Protocol,
    /// Which way.
    pub via: Via,
    /// What for.
    pub purpose: Line,
}

/// Where the runtime listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inbound {
    /// The address it listens at; `0.0.0.0` and `::` are all of them.
    pub listen: IpAddr,
    /// The port.
    pub port: u16,
    /// Over what.
    pub protocol: Protocol,
    /// Who connects.
    pub from: Peer,
    /// What for.
    pub purpose: Line,
}

/// The transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP (RFC 9293).
    Tcp,
    /// UDP (RFC 768).
    Udp,
}

/// Which way a flow goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// Straight to the peer.
    Direct,
    /// Through the enclave's proxy.
    Proxy,
}

impl Protocol {
    /// As rules have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A directory that the runtime needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Where.
    pub path: HostPath,
    /// Who owns it.
    pub owner: AccountName,
    /// Which group it has.
    pub group: AccountName,
    /// Its mode.
    pub mode: Mode,
    /// The type of its `SELinux` label.
    pub selinux: Option<SelinuxType>,
    /// What for.
    pub why: Line,
}

/// The document of a bundle.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: String,
    runtime: Runtime,
}

/// The canonical bytes of the document of a bundle.
pub fn document(runtime: &Runtime) -> Option<Vec<u8>> {
    json::to_canonical(&Document {
        schema: SCHEMA.to_owned(),
        runtime: runtime.clone(),
    })
    .ok()
}

/// Reads the bytes of the document; `None` when they are not one.
pub fn parse(bytes: &[u8]) -> Option<Runtime> {
    let value = json::strict(bytes, LIMIT).ok()?;
    let document: Document = serde_json::from_value(value).ok()?;
    let sound = document.schema == SCHEMA
        && fits(document.runtime.flows.len())
        && fits(document.runtime.directories.len())
        && document.runtime.unsound().is_none();
    sound.then_some(document.runtime)
}

/// Whether there may be so many flows, or directories.
pub const fn fits(count: usize) -> bool {
    count <= MOST
}

/// A text with a narrow grammar: parsed once, shown as it is.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $fault:ident, $said:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        #[doc = concat!("A text that is not ", $said, ".")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[error($said)]
        pub struct $fault;

        impl $name {
            /// What it must be.
            pub const EXPECTED: &str = $said;

            /// Its text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = $fault;

            fn from_str(text: &str) -> Result<Self, $fault> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err($fault) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = $fault;

            fn try_from(text: String) -> Result<Self, $fault> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_type!(
    /// The name of an account or a group, as `useradd` takes it.
    AccountName,
    NotAnAccount,
    "an account name: lower-case letters, digits, `_` and `-`, at most 32",
    |text| {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
        let more = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
        first && text.len() <= 32 && bytes.all(more)
    }
);

text_type!(
    /// An absolute path on the target that needs no quoting anywhere, and that is not a folder of the system.
    HostPath,
    NotAHostPath,
    "an absolute path of letters, digits and `._+@-`, without `..`, that is no folder of the system such as /etc, /opt or /usr/bin/x",
    |text| {
        let segment = |s: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"._+@-".contains(&b);
            !s.is_empty() && s != "." && s != ".." && s.len() <= 255 && s.bytes().all(plain)
        };
        let inner = text.strip_prefix('/');
        let plain = text.len() <= 1024 && inner.is_some_and(|inner| inner.split('/').all(segment));
        plain && !system::is_folder(text)
    }
);

text_type!(
    /// The type of an `SELinux` label.
    SelinuxType,
    NotASelinuxType,
    "an SELinux type such as \"var_lib_t\"",
    |text| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        text.len() <= 64 && text.ends_with("_t") && text.bytes().all(plain)
    }
);

text_type!(
    /// One line for people.
    Line,
    NotALine,
    "one line of visible characters, not empty, at most 400 bytes",
    |line| {
        let plain = line.chars().all(text::is_plain);
        !line.trim().is_empty() && line.len() <= LONGEST && plain
    }
);

/// The mode of a directory: permissions, and the set-group-id and sticky bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mode(u16);

/// A text that is not the mode of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("four octal digits such as \"0750\", not set-user-id")]
pub struct NotAMode;

impl Mode {
    /// What it must be.
    pub const EXPECTED: &str = "four octal digits such as \"0750\", not set-user-id";
    /// What a directory has unless something else is said: the account and its group, nobody else.
    pub const USUAL: Self = Self(0o750);

    /// Its bits.
    pub const fn bits(self) -> u16 {
        self.0
    }
}

impl FromStr for Mode {
    type Err = NotAMode;

    fn from_str(text: &str) -> Result<Self, NotAMode> {
        let octal = text.len() == 4 && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let bits = u16::from_str_radix(text, 8).map_err(|_digits| NotAMode)?;
        if octal && bits <= 0o3777 {
            Ok(Self(bits))
        } else {
            Err(NotAMode)
        }
    }
}

impl TryFrom<String> for Mode {
    type Error = NotAMode;

    fn try_from(text: String) -> Result<Self, NotAMode> {
        text.parse()
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        mode.to_string()
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{AccountName, HostPath, Line, Mode, SelinuxType, document, parse};

    #[test]
    fn texts_that_end_up_in_rules_have_narrow_grammars() {
        let account = |text: &str| text.parse::<AccountName>().is_ok();
        assert!(account("svc-mw") && account("_apt"));
        assert!(!account("") && !account("Root") && !account("a b") && !account("1a"));
        let path = |text: &str| text.parse::<HostPath>().is_ok();
        assert!(path("/opt/claw") && path("/var/lib/claw.d/x_1"));
        for bad in [
            "opt",
            "/",
            "/opt/",
            "/opt/../etc",
            "/a b",
            "/a%i",
            "/a;b",
            "/a\n",
            "/a//b",
            "/.",
            "/etc",
            "/usr/sbin/claw",
        ] {
            assert!(!path(bad), "{bad:?}");
        }
        let mode = |text: &str| text.parse::<Mode>().map(|m| m.to_string()).ok();
        assert_eq!(mode("0750").as_deref(), Some("0750"));
        assert_eq!(mode("3777").as_deref(), Some("3777"));
        for bad in ["750", "4755", "07777", "+755", "0788", ""] {
            assert!(mode(bad).is_none(), "{bad:?}");
        }
        let label = |text: &str| text.parse::<SelinuxType>().is_ok();
        assert!(label("var_lib_t") && !label("var_lib") && !label("a b_t"));
        let line = |text: &str| text.parse::<Line>().is_ok();
        assert!(line("model API, über") && !line(" ") && !line("a\nb") && !line("a\u{202e}b"));
    }

    #[test]
    fn the_document_is_its_bytes_and_nothing_else_is_one() {
        let text = r#"{"runtime":{"account":"existing","directories":[{"group":"svc","mode":"0750","owner":"svc","path":"/var/lib/claw","selinux":null,"why":"state"}],"flows":[{"port":443,"protocol":"tcp","purpose":"models","to":"api.example","via":"proxy"},{"from":"127.0.0.0/8","listen":"127.0.0.1","port":18789,"protocol":"tcp","purpose":"gateway"}],"group":"svc","home":null,"prefix":"/opt/claw","proxy":{"host":"proxy.example","port":3128},"repository":null,"user":"svc"},"schema":"stage/runtime/v1"}"#;
        let runtime = parse(text.as_bytes()).unwrap();
        assert_eq!(document(&runtime).unwrap(), text.as_bytes());
        for (from, to) in [
            ("runtime/v1", "runtime/v2"),
            ("\"0750\"", "\"750\""),
            ("api.example", "api example"),
            ("/opt/claw", "/opt/../claw"),
            ("\"port\":443", "\"port\":70000"),
            ("\"tcp\"", "\"icmp\""),
            ("\"why\"", "\"for\""),
            ("\"existing\"", "\"other\""),
        ] {
            let bad = text.replacen(from, to, 1);
            assert_ne!(bad, text, "{from}");
            assert!(parse(bad.as_bytes()).is_none(), "{to}");
        }
    }
}
