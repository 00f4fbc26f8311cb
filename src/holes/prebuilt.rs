//! Where prebuild-install and node-pre-gyp download a compiled binary from, as the package's own `package.json` says it.

use serde_json::Value;

use crate::base::platform::{Libc, Platform, Target};
use crate::eco::npm::scripts::Installed;

/// Versions of Node.js with the number of their binary interface (`process.versions.modules`) and the newest N-API that all
/// of that line have.
const NODES: [(&str, u32, u64); 5] = [
    ("18", 108, 8),
    ("20", 115, 9),
    ("22", 127, 9),
    ("24", 137, 10),
    ("25", 141, 10),
];

/// A file to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prebuilt {
    /// Its address.
    pub(super) url: String,
    /// Its name there.
    pub(super) file: String,
}

/// What the command of an install script downloads; `None` where the package does not say it in full.
pub(super) fn find(
    package: &Installed,
    (name, version): (&str, &str),
    command: &str,
    target: &Target,
    platform: Platform,
) -> Option<Prebuilt> {
    let vars = Vars::new(package, (name, version), command, target, platform)?;
    let url = if command.contains("prebuild-install") {
        vars.prebuild_install()?
    } else if command.contains("node-pre-gyp") {
        vars.node_pre_gyp()?
    } else {
        return None;
    };
    let file = url.rsplit('/').next()?.to_owned();
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    let plain = |b: u8| b.is_ascii_graphic() && !b"\"'\\{}<>`$!()".contains(&b);
    let whole = is_web && !file.is_empty() && url.len() <= 500 && url.bytes().all(plain);
    whole.then_some(Prebuilt { url, file })
}

/// What templates of both programs are filled in with.
struct Vars<'a> {
    package: &'a Installed,
    /// The name without a scope.
    name: &'a str,
    version: &'a str,
    cpu: &'static str,
    modules: u32,
    /// The N-API that the binary is for, where the package is built for one.
    napi: Option<u64>,
    /// Whether prebuild-install is asked for a binary of N-API.
    by_napi: bool,
    is_musl: bool,
}

impl<'a> Vars<'a> {
    fn new(
        package: &'a Installed,
        (name, version): (&'a str, &'a str),
        command: &str,
        target: &Target,
        platform: Platform,
    ) -> Option<Self> {
        let major = target.node.as_deref()?.split('.').next()?;
        let (_, modules, newest) = NODES.iter().find(|(known, ..)| *known == major)?;
        let built = package
            .binary
            .get("napi_versions")
            .and_then(Value::as_array);
        let built = built.into_iter().flatten().filter_map(Value::as_u64);
        let words: Vec<&str> = command.split_whitespace().collect();
        let asks = |pair: &[&str]| matches!(pair, ["-r" | "--runtime", "napi"]);
        Some(Self {
            package,
            name: name.rsplit('/').next().unwrap_or(name),
            version,
            cpu: platform.node_cpu(),
            modules: *modules,
            napi: built.filter(|napi| napi <= newest).max(),
            by_napi: words.windows(2).any(asks) || words.contains(&"--runtime=napi"),
            is_musl: matches!(target.libc, Libc::Musl(_)),
        })
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.package.binary.get(key)?.as_str()
    }

    fn prebuild_install(&self) -> Option<String> {
        const FILE: &str = "{name}-v{version}-{runtime}-v{abi}-{platform}{libc}-{arch}.tar.gz";
        let template = match self.text("host") {
            Some(host) => {
                let parts = [
                    host,
                    self.text("remote_path").unwrap_or_default(),
                    self.text("package_name").unwrap_or(FILE),
                ];
                let parts = parts.map(|part| part.trim_matches('/'));
                let parts: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
                parts.join("/")
            }
            None => format!(
                "{}/releases/download/v{{version}}/{FILE}",
                self.repository()?
            ),
        };
        let (runtime, abi) = if self.by_napi {
            ("napi", self.napi?.to_string())
        } else {
            ("node", self.modules.to_string())
        };
        let libc = if self.is_musl { "musl" } else { "" };
        let filled = self.filled(&template);
        let filled = filled
            .replace("{package_name}", self.name)
            .replace("{runtime}", runtime)
            .replace("{abi}", &abi)
            .replace("{node_abi}", &self.modules.to_string())
            .replace("{libc}", libc);
        Some(filled)
    }

    fn node_pre_gyp(&self) -> Option<String> {
        let host = self.text("host")?.trim_end_matches('/');
        let path = self.text("remote_path").unwrap_or_default();
        let file = self
            .text("package_name")
            .unwrap_or("{module_name}-v{version}-{node_abi}-{platform}-{arch}.tar.gz");
        let path = path.trim_start_matches("./").trim_matches('/');
        let parts = [host, path, file].into_iter().filter(|p| !p.is_empty());
        let template = parts.collect::<Vec<_>>().join("/");
        let napi = self.napi.map(|napi| napi.to_string());
        if template.contains("napi") && napi.is_none() {
            return None;
        }
        let napi = napi.unwrap_or_default();
        let abi = format!("node-v{}", self.modules);
        let libc = if self.is_musl { "musl" } else { "glibc" };
        let filled = self.filled(&template);
        let filled = filled
            .replace("{napi_build_version}", &napi)
            .replace("{node_napi_label}", &format!("napi-v{napi}"))
            .replace("{runtime}", "node")
            .replace("{node_abi}", &abi)
            .replace("{libc}", libc);
        Some(filled)
    }

    /// What both write alike.
    fn filled(&self, template: &str) -> String {
        let module = self.text("module_name").unwrap_or(self.name);
        let core = self.version.split(['-', '+']).next().unwrap_or_default();
        let mut numbers = core.split('.');
        let mut number = || numbers.next().unwrap_or_default();
        template
            .replace("{name}", self.name)
            .replace("{module_name}", module)
            .replace("{version}", self.version)
            .replace("{major}", number())
            .replace("{minor}", number())
            .replace("{patch}", number())
            .replace("{configuration}", "Release")
            .replace("{toolset}", "")
            .replace("{platform}", "linux")
            .replace("{arch}", self.cpu)
    }

    /// The page of the repository, where it is one of the hosts that number their releases like this.
    fn repository(&self) -> Option<String> {
        let repository = &self.package.repository;
        let text = repository
            .as_str()
            .or_else(|| repository.get("url")?.as_str())?;
        let rest = text
            .trim_start_matches("git+")
            .split_once("://")
            .map_or(text, |(_, rest)| rest);
        let rest = rest.rsplit('@').next()?.replacen(':', "/", 1);
        let rest = rest.trim_end_matches('/').trim_end_matches(".git");
        let parts: Vec<&str> = rest.split('/').collect();
        match parts.as_slice() {
            [host, owner, name] if host.contains('.') => {
                Some(format!("https://{host}/{owner}/{name}"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::find;
    use crate::base::platform::{Libc, Platform, Target};
    use crate::eco::npm::scripts;

    fn url(package: &str, command: &str, node: &str) -> Option<String> {
        let target = Target {
            platforms: Platform::ALL.to_vec(),
            libc: Libc::Glibc("2.36".to_owned()),
            python: None,
            node: Some(node.to_owned()),
        };
        let installed = scripts::read(package.as_bytes()).unwrap();
        let id = ("@s/mod", "5.1.7");
        let found = find(&installed, id, command, &target, Platform::LinuxArm64)?;
        Some(found.url)
    }

    #[test]
    fn addresses_are_those_that_the_programs_ask() {
        let git = r#"{"repository": {"type": "git", "url": "git+https://git.example/own/mod.git"}, "binary": {"napi_versions": [3, 6, 99]}}"#;
        let base = "https://git.example/own/mod/releases/download/v5.1.7";
        for (command, node, file) in [
            (
                "prebuild-install || node-gyp rebuild",
                "24.21.0",
                "mod-v5.1.7-node-v137-linux-arm64.tar.gz",
            ),
            (
                "prebuild-install -r napi",
                "20.1.0",
                "mod-v5.1.7-napi-v6-linux-arm64.tar.gz",
            ),
        ] {
            assert_eq!(url(git, command, node).unwrap(), format!("{base}/{file}"));
        }
        let short = r#"{"repository": "git@git.example:own/mod.git"}"#;
        assert!(
            url(short, "prebuild-install", "22.0.0")
                .unwrap()
                .starts_with(base)
        );
        let pre = r#"{"binary": {"module_name": "lib", "host": "https://b.example/", "remote_path": "./{name}/v{version}/",
            "package_name": "{module_name}-v{version}-napi-v{napi_build_version}-{platform}-{arch}-{libc}.tar.gz", "napi_versions": [3]}}"#;
        assert_eq!(
            url(pre, "node-pre-gyp install", "24.21.0").unwrap(),
            "https://b.example/mod/v5.1.7/lib-v5.1.7-napi-v3-linux-arm64-glibc.tar.gz"
        );
        // What is not said in full is not guessed.
        let unknown =
            r#"{"binary": {"host": "https://b.example", "package_name": "{libc_version}.tar.gz"}}"#;
        assert_eq!(url(unknown, "node-pre-gyp install", "24.21.0"), None);
        assert_eq!(url(git, "prebuild-install", "99.0.0"), None);
        assert_eq!(url("{}", "prebuild-install", "24.21.0"), None);
        assert_eq!(url(git, "node-gyp rebuild", "24.21.0"), None);
    }
}
