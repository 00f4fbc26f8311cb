//! The commented manifests that `stage init` writes.

/// A runtime `stage init` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runtime {
    /// Its name on the command line.
    pub name: &'static str,
    /// The version of `stage` that brings it; `None` = this one.
    pub comes_with: Option<&'static str>,
}

/// The runtimes, in the order help shows them.
pub const RUNTIMES: [Runtime; 5] = [
    Runtime {
        name: "openclaw",
        comes_with: None,
    },
    Runtime {
        name: "nanobot",
        comes_with: None,
    },
    Runtime {
        name: "zeroclaw",
        comes_with: None,
    },
    Runtime {
        name: "nanoclaw",
        comes_with: Some("0.4"),
    },
    Runtime {
        name: "blank",
        comes_with: None,
    },
];

/// A table that a starter may have: its name, and the lines that show it where it is not used.
const TABLES: [(&str, &str); 4] = [
    (
        "npm",
        r#"# [npm]                           # one install; write [[npm]] to have several independent ones
# packages = ["left-pad@1.3.0"]   # or lockfile = "package-lock.json"
# registry = "https://npm.mirror.example/" # default: this host's npm configuration
# include = ["prod", "optional", "peer"]
"#,
    ),
    (
        "pypi",
        r#"# [pypi]                          # one Python environment
# requirements = ["nanobot-ai==0.3.5"]     # or file = "requirements.txt", or lockfile = "uv.lock" | "pylock.toml"
# index = "https://pypi.mirror.example/simple/" # default: this host's configuration of pip or uv
"#,
    ),
    (
        "debian",
        r#"# [debian]                        # one apt transaction
# packages = ["ripgrep", "ca-certificates"]
# recommends = false
# baseline = "none"               # or "essential": a bootable root; or { status = "dpkg-status" }: what the image has
"#,
    ),
    (
        "cargo",
        r#"# [cargo]                         # crates, each with the Cargo.lock that it carries; or lockfile = "Cargo.lock"
# packages = ["ripgrep@15.2.0"]
# index = "https://crates.mirror.example/" # default: this host's cargo configuration
"#,
    ),
];

/// The `[[debian.source]]` that is shown where this host has no apt sources.
const SOURCE: &str = r#"[[debian.source]]
uri = "https://debian.mirror.example/debian"
suites = ["bookworm", "bookworm-updates"]
components = ["main"]
signed-by = "/usr/share/keyrings/debian-archive-keyring.gpg"
"#;

/// What a starter manifest is made of.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// Channel of its bundles.
    pub channel: &'a str,
    /// The table that is used, such as `npm`.
    pub table: &'static str,
    /// The lines of that table.
    pub lines: &'a str,
    /// This host's apt sources as `[[debian.source]]` tables, for the lines about Debian.
    pub apt_sources: Option<&'a str>,
}

/// The commented manifest with one table in use and the others as examples.
pub fn starter(start: &Start<'_>) -> String {
    let channel = start.channel;
    let used = format!("[{}]\n{}\n\n", start.table, start.lines);
    let mut tables = String::new();
    for (name, example) in TABLES {
        tables.push_str(if name == start.table { &used } else { example });
        if name == "debian" {
            for line in start.apt_sources.unwrap_or(SOURCE).lines() {
                tables.push_str("# ");
                tables.push_str(line);
                tables.push('\n');
            }
        }
        if name != start.table {
            tables.push('\n');
        }
    }
    format!(
        r#"# What crosses the gap, for whom. `stage resolve` turns this into stage.lock.

[bundle]
channel = "{channel}"             # rollback protection counts per channel
# author = "Platform <a@b.example>"  # who vouches for the SBOM
# expires-after = "180d"          # how long a bundle may be imported after it was made

[target]                          # the enclave host, not this one
platforms = ["linux/amd64"]       # also "linux/arm64"
glibc = "2.36"                    # Debian 12; or musl = "1.2"
node = "24.21.0"                  # engines are checked against it
python = "3.11"                   # wheels are chosen for it

[resolve]
# exclude-newer = "2026-11-15T00:00:00Z"   # releases published later do not exist
# min-age = "7d"                           # or: so long before now

{tables}# [[file]]                        # anything with a URL and a SHA-256: interpreters, binaries, models
# url = "https://files.example/tool-1.0.tar.gz"
# sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
# path = "tools/tool-1.0.tar.gz"  # in the enclave: files/{channel}/tools/tool-1.0.tar.gz

# [holes]                         # what packages fetch by themselves; `stage holes` lists it
# rules = "rules.toml"            # further rules
# closed = [{{ rule = "pypi-program-download", package = "pypi:x", by = "file:tools/x" }}]

# [policy]                        # what may be carried; `stage policy init` writes one
# file = "policy.toml"

# [ca]                            # the private CA that enclave clients must trust
# roots = ["ca/agency-root.pem"]

# [network]                       # this side: how upstreams are reached
# proxy = "http://proxy.agency.example:3128"
# ca = ["ca/mirror-ca.pem"]
# allow-hosts = ["npm.mirror.example"]

# [[prove]]                       # what shall work once it is installed: `stage prove` runs it
# run = "tool --version"
# expect = {{ exit = 0, output = "1.0" }}   # or {{ http = "http://127.0.0.1:8080/health", status = 200, within = "90s" }}
{RUNTIME}"#
    )
}

/// The end of every starter: who runs it.
const RUNTIME: &str = r#"
# [runtime]                       # who runs it where
# account = "existing"            # or "create"
# user = "svc-claw"
# prefix = "/opt/claw"
# proxy = "http://proxy.enclave.example:3128"
# repository = "https://repo.enclave.example"
# [[runtime.flow]]                # what it connects to, for firewalls and proxies
# to = "api.models.example"       # or "*.models.example", an address, a block of addresses
# port = 443
# via = "proxy"                   # default "direct"
# purpose = "the model"
# [[runtime.flow]]                # where it listens
# listen = "127.0.0.1:18789"      # elsewhere than on loopback, `from` says who connects
# purpose = "gateway and its health check"
# [[runtime.directory]]           # what it writes and reads besides what is installed
# path = "/var/lib/claw"
# mode = "0750"
# why = "state and logs"
"#;

/// Channel, table and lines for a runtime of [`RUNTIMES`] that this version brings.
pub fn for_runtime(name: &str) -> Option<Start<'static>> {
    let (channel, table, lines) = match name {
        "openclaw" => ("openclaw", "npm", super::openclaw::LINES.as_str()),
        "nanobot" => (
            "nanobot",
            "pypi",
            "requirements = [\"nanobot-ai==0.3.5\"]   # its wheels are for the Python of [target], which the enclave has\n\n\
             [[prove]]                         # `stage prove` runs it from the bundle alone, with no network\n\
             run = \"nanobot --help\"\nexpect = { exit = 0, output = \"nanobot\", within = \"60s\" }",
        ),
        "zeroclaw" => (
            "zeroclaw",
            "cargo",
            "packages = [\"zeroclaw@0.8.7\"]   # built in the enclave, from the crates of its own Cargo.lock",
        ),
        "blank" => (
            "default",
            "npm",
            "packages = [\"left-pad@1.3.0\"]   # replace with what you need",
        ),
        _ => return None,
    };
    Some(Start {
        channel,
        table,
        lines,
        apt_sources: None,
    })
}

/// The line that names a client's lock file.
pub fn lockfile_line(key: &str, lockfile: &str) -> String {
    format!(
        "{key} = {}   # taken as it is, nothing is solved again",
        toml_string(lockfile)
    )
}

/// The lines with requirements read from a `package.json`.
pub fn requirement_lines(requirements: &[String]) -> String {
    let lines: Vec<String> = requirements
        .iter()
        .map(|r| format!("    {},\n", toml_string(r)))
        .collect();
    format!("packages = [\n{}]", lines.concat())
}

/// `text` as a TOML basic string.
pub fn toml_string(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;
    use super::Start;

    #[test]
    fn every_starter_is_a_valid_manifest() {
        let lock = super::lockfile_line("lockfile", "a \"b\"\\package-lock.json");
        let some = super::requirement_lines(&["a@1".to_owned(), "@s/b@^2".to_owned()]);
        let own = Start {
            channel: "x",
            table: "npm",
            lines: &lock,
            apt_sources: Some("[[debian.source]]\nuri = \"https://d.example\"\n"),
        };
        let starts = [
            super::for_runtime("openclaw").unwrap(),
            super::for_runtime("nanobot").unwrap(),
            super::for_runtime("zeroclaw").unwrap(),
            super::for_runtime("blank").unwrap(),
            own,
            Start {
                lines: &some,
                ..own
            },
        ];
        let known = ["npm", "pypi", "cargo", "debian", "file"];
        for start in &starts {
            let text = super::starter(start);
            let parsed = Manifest::parse("stage.toml", text.as_bytes(), &known);
            assert_eq!(
                parsed.unwrap().tables(start.table).unwrap().len(),
                1,
                "{text}"
            );
            assert!(text.contains("# uri = \"https://d"), "{text}");
        }
    }
}
