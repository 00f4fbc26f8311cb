//! What shall work once a bundle is installed: `[[prove]]` of a manifest, and `evidence/prove.json` of a bundle.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::base::json;

/// Name of the list in a bundle's folder `evidence`.
pub const NAME: &str = "prove.json";
/// Path of the list in a bundle.
pub const DOCUMENT: &str = "evidence/prove.json";
/// Seconds that a program has by default to answer, or to end.
pub const WITHIN: u64 = 120;
/// Seconds that a program goes on running by default after it answered.
pub const WATCH: u64 = 15;
/// Most checks in a list.
const MOST: usize = 64;
/// Longest command, variable or expected text, in bytes.
const LONGEST: usize = 8192;
/// Most seconds that a check may take.
const MOST_SECONDS: u64 = 86_400;
const SCHEMA: &str = "stage/prove/v1";

/// One check: a command and what is expected of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// A line of POSIX shell.
    pub run: String,
    /// Variables that it gets besides a home, a path and a locale.
    pub env: BTreeMap<String, String>,
    /// What must happen.
    pub expect: Expect,
}

/// What must happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Expect {
    /// An address answers while the command runs.
    Answer(Answer),
    /// The command ends.
    End(End),
}

/// An answer over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The address, on the loopback.
    pub http: String,
    /// The status that it answers with.
    pub status: u16,
    /// Seconds that it has for it.
    pub within: u64,
    /// Seconds that it goes on running then, to see what it reaches for.
    pub watch: u64,
}

/// An end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// The exit code.
    pub exit: u8,
    /// A text that the output must have in it.
    pub output: Option<String>,
    /// Seconds that it has for it.
    pub within: u64,
}

impl Expect {
    /// Seconds until it must have happened.
    pub const fn within(&self) -> u64 {
        match self {
            Self::Answer(answer) => answer.within,
            Self::End(end) => end.within,
        }
    }

    /// Seconds that the command goes on running after it happened.
    pub const fn watch(&self) -> u64 {
        match self {
            Self::Answer(answer) => answer.watch,
            Self::End(_) => 0,
        }
    }

    /// In words.
    pub fn words(&self) -> String {
        match self {
            Self::Answer(a) => format!("HTTP {} from {} within {} s", a.status, a.http, a.within),
            Self::End(end) => match &end.output {
                Some(text) => format!(
                    "exit {} and {} in its output",
                    end.exit,
                    crate::base::text::quoted(text)
                ),
                None => format!("exit {}", end.exit),
            },
        }
    }
}

/// The document of a bundle.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: String,
    checks: Vec<Check>,
}

/// The canonical bytes of a list; `None` for an empty one.
pub fn document(checks: &[Check]) -> Option<Vec<u8>> {
    let document = Document {
        schema: SCHEMA.to_owned(),
        checks: checks.to_vec(),
    };
    let written = json::to_canonical(&document).ok();
    written.filter(|_| !checks.is_empty())
}

/// Reads the bytes of a list; `None` when they are not one.
pub fn parse(bytes: &[u8]) -> Option<Vec<Check>> {
    let value = json::strict(bytes, 16 << 20).ok()?;
    let document: Document = serde_json::from_value(value).ok()?;
    let sound = document.schema == SCHEMA && fits(document.checks.len());
    let checks = document.checks;
    (sound && checks.iter().all(|check| fault(check).is_none())).then_some(checks)
}

/// Whether a list may have so many checks.
pub const fn fits(count: usize) -> bool {
    count <= MOST
}

/// What is wrong with a check, as what its key must be.
pub fn fault(check: &Check) -> Option<(&'static str, &'static str)> {
    let text = |text: &str| text.len() <= LONGEST && !text.contains('\0');
    if check.run.trim().is_empty() || !text(&check.run) {
        return Some(("run", "a line of shell, not empty, of at most 8192 bytes"));
    }
    if !check
        .env
        .iter()
        .all(|(name, value)| is_variable(name) && text(value))
    {
        return Some(("env", "a table of variables with texts"));
    }
    if !(1..=MOST_SECONDS).contains(&check.expect.within()) {
        return Some(("within", "a duration from 1s to 1d such as \"90s\""));
    }
    if check.expect.watch() > MOST_SECONDS {
        return Some(("watch", "a duration up to 1d such as \"15s\""));
    }
    match &check.expect {
        Expect::Answer(answer) if !is_loopback(&answer.http) => Some((
            "http",
            "an http address on the loopback, such as \"http://127.0.0.1:8080/health\"",
        )),
        Expect::Answer(answer) if !(100..=599).contains(&answer.status) => {
            Some(("status", "an HTTP status such as 200"))
        }
        Expect::End(End {
            output: Some(output),
            ..
        }) if output.is_empty() || !text(output) => {
            Some(("output", "a text, not empty, of at most 8192 bytes"))
        }
        Expect::Answer(_) | Expect::End(_) => None,
    }
}

fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && name.len() <= 256 && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether an address is plain HTTP on the loopback.
pub fn is_loopback(address: &str) -> bool {
    let Ok(url) = Url::parse(address) else {
        return false;
    };
    let near = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    };
    near && url.scheme() == "http" && url.username().is_empty() && url.password().is_none()
}

#[cfg(test)]
mod tests {
    use super::{Answer, Check, End, Expect, document, fault, is_loopback, parse};

    fn answer(http: &str) -> Check {
        Check {
            run: "demo serve".to_owned(),
            env: [("A_1".to_owned(), "x y".to_owned())].into(),
            expect: Expect::Answer(Answer {
                http: http.to_owned(),
                status: 200,
                within: 90,
                watch: 1,
            }),
        }
    }

    #[test]
    fn a_list_is_its_bytes_and_nothing_else_is_one() {
        let ends = Check {
            expect: Expect::End(End {
                exit: 0,
                output: Some("1.2".to_owned()),
                within: 5,
            }),
            ..answer("")
        };
        let list = vec![answer("http://127.0.0.1:1/health"), ends];
        let bytes = document(&list).unwrap();
        assert_eq!(parse(&bytes).unwrap(), list);
        assert!(document(&[]).is_none());
        let text = String::from_utf8(bytes).unwrap();
        for (from, to) in [
            ("\"status\":200", "\"status\":99"),
            ("\"within\":90", "\"within\":0"),
            ("127.0.0.1", "192.0.2.1"),
            ("\"exit\":0,", "\"exit\":0,\"http\":\"http://127.0.0.1/\","),
            ("prove/v1", "prove/v2"),
            ("demo serve", " "),
            ("\"A_1\"", "\"A-1\""),
            ("\"run\"", "\"ran\""),
        ] {
            let bad = text.replacen(from, to, 1);
            assert_ne!(bad, text, "{from}");
            assert!(parse(bad.as_bytes()).is_none(), "{to}");
        }
    }

    #[test]
    fn only_plain_http_on_the_loopback_is_asked() {
        for good in [
            "http://127.0.0.1:18789/health",
            "http://localhost/",
            "http://[::1]:80/x?y=1",
        ] {
            assert!(is_loopback(good), "{good}");
            assert_eq!(fault(&answer(good)), None);
        }
        for bad in [
            "https://127.0.0.1/",
            "http://192.0.2.1/",
            "http://localhost.example/",
            "http://a:b@127.0.0.1/",
            "127.0.0.1",
            "",
        ] {
            assert!(!is_loopback(bad), "{bad}");
        }
    }
}
