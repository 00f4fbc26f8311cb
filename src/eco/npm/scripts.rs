//! What npm runs when it installs a package, as the package itself says it: the lifecycle scripts of its `package.json`,
//! the `node-gyp` that a `binding.gyp` stands for, and the files that a command runs.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The lifecycle events of an install, in their order.
pub const EVENTS: [&str; 3] = ["preinstall", "install", "postinstall"];

/// What npm runs for a package with a `binding.gyp` and neither `preinstall` nor `install`.
const IMPLIED: &str = "node-gyp rebuild";

/// Ends of the names of files that a command may run.
const SCRIPTS: [&str; 6] = [".js", ".mjs", ".cjs", ".ts", ".sh", ".py"];

/// A package as its own archive describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Installed {
    /// Its name; empty where it says none.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether a `binding.gyp` means nothing (`"gypfile": false`).
    pub without_gyp: bool,
    /// `binary`: where a compiled part of it is to be had.
    pub binary: serde_json::Value,
    /// `repository`, as it is written.
    pub repository: serde_json::Value,
    /// Event and command, in the order in which npm runs them.
    pub commands: Vec<(&'static str, String)>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    gypfile: serde_json::Value,
    #[serde(default)]
    binary: serde_json::Value,
    #[serde(default)]
    repository: serde_json::Value,
    #[serde(default)]
    scripts: BTreeMap<String, serde_json::Value>,
}

/// Reads a `package.json`; `None` where it is none.
pub fn read(package_json: &[u8]) -> Option<Installed> {
    let text = package_json
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(package_json);
    // A list would be read as the fields in their order.
    if !text.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let manifest: Manifest = serde_json::from_slice(text).ok()?;
    let command = |event: &'static str| {
        let command = manifest.scripts.get(event)?.as_str()?.trim();
        (!command.is_empty()).then(|| (event, command.to_owned()))
    };
    Some(Installed {
        commands: EVENTS.into_iter().filter_map(command).collect(),
        without_gyp: manifest.gypfile == false,
        binary: manifest.binary,
        repository: manifest.repository,
        name: manifest.name,
        version: manifest.version,
    })
}

impl Installed {
    /// Adds what npm runs for a package that has a `binding.gyp`.
    pub fn with_gyp(&mut self) {
        let own = |(event, _): &(&str, String)| *event != "postinstall";
        if !self.without_gyp && !self.commands.iter().any(own) {
            self.commands.insert(0, ("install", IMPLIED.to_owned()));
        }
    }
}

/// Paths in the package that a command may mean by one of its words: `node install` is `install`, `install.js` or
/// `install/index.js`. Words that cannot be one are left out.
pub fn files_of(command: &str) -> Vec<String> {
    let split =
        |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';' | '&' | '|' | '(' | ')');
    let mut found = Vec::new();
    let (mut after_runner, mut is_argument) = (false, false);
    for word in command.split(split).filter(|word| !word.is_empty()) {
        let named = SCRIPTS.iter().any(|end| word.ends_with(end));
        let is_option = word.starts_with('-');
        if named || (after_runner && !is_option) {
            found.extend(candidates(word));
        }
        // `node --require x y` still runs y.
        let runs = matches!(word, "node" | "sh" | "bash");
        after_runner = runs || (after_runner && (is_option || is_argument));
        is_argument = matches!(word, "-r" | "--require" | "--import" | "--loader");
    }
    found
}

/// The files that a path may mean where Node.js resolves it, relative to the package; none outside of it.
pub fn candidates(path: &str) -> Vec<String> {
    let Some(path) = normal(path) else {
        return Vec::new();
    };
    let ends = [
        "",
        ".js",
        ".mjs",
        ".cjs",
        ".json",
        "/index.js",
        "/index.mjs",
    ];
    ends.iter().map(|end| format!("{path}{end}")).collect()
}

/// A relative path without `.` and `..`; `None` where it leads out or is absolute.
fn normal(path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::{files_of, read};

    #[test]
    fn commands_are_those_that_npm_runs() {
        let text = r#"{"name": "a", "version": "1.0.0", "scripts": {"test": "x", "postinstall": "node p", "install": 1}}"#;
        let mut found = read(text.as_bytes()).unwrap();
        assert_eq!(found.commands, [("postinstall", "node p".to_owned())]);
        found.with_gyp();
        assert_eq!(found.commands[0].1, "node-gyp rebuild");
        let mut own = read(br#"{"scripts": {"install": "true"}}"#).unwrap();
        own.with_gyp();
        assert_eq!(own.commands.len(), 1);
        assert!(read(b"[]").is_none());
    }

    #[test]
    fn files_are_found_as_node_finds_them() {
        let has = |command: &str, file: &str| files_of(command).iter().any(|f| f == file);
        assert!(has("node install", "install.js"));
        assert!(has("node ./scripts/../lib/x.mjs && echo", "lib/x.mjs"));
        assert!(has("node -r esm scripts", "scripts/index.js"));
        assert!(has("sh -c 'bash dl.sh'", "dl.sh"));
        assert!(files_of("node ../../outside.js").is_empty());
        assert!(files_of("node-gyp rebuild").is_empty());
    }
}
