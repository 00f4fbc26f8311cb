//! Catalogs inside of packages: plugins and helpers that a program installs when somebody asks for them, which in an
//! enclave nobody can unless they are staged. Both forms are read from files that are no JSON as a whole: scripts with
//! object literals, and documents with a head.

use serde_json::Value;

use crate::base::text::{quoted, visible};
use crate::holes::rule::CatalogForm;

/// Most entries of one file.
const MOST: usize = 5_000;
/// Most objects of one file that cannot be read.
const BROKEN: usize = 50;
/// Longest description that is shown, in characters.
const ABOUT: usize = 120;

/// One thing that may be installed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Kind, such as `channel`, `provider`, `plugin` or `skill`.
    pub kind: String,
    /// Its name in the catalog.
    pub name: String,
    /// How it would be installed, such as `npm`, `brew`, `go`.
    pub via: String,
    /// What would be installed, as that installer names it.
    pub what: String,
    /// A few words about it.
    pub about: String,
    /// What it takes to stage it, a line for `stage.toml` where there is one.
    pub line: String,
    /// A package that is staged for it when the lock has it: ecosystem and name.
    pub package: Option<(&'static str, String)>,
}

/// The entries of a file.
pub(super) fn read(form: CatalogForm, path: &str, text: &[u8]) -> Vec<Entry> {
    let text = String::from_utf8_lossy(text);
    match form {
        CatalogForm::Plugins => plugins(&text),
        CatalogForm::Skills => skill(path, &text),
    }
}

/// Every object literal that begins with a `name` and says how it is installed.
fn plugins(text: &str) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut broken = 0;
    for (at, _) in text.match_indices("\"name\"") {
        let Some(before) = text.get(..at).map(str::trim_end) else {
            continue;
        };
        if !before.ends_with('{') || found.len() >= MOST || broken >= BROKEN {
            continue;
        }
        let rest = text.get(before.len() - 1..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => found.extend(plugin(&value)),
            Some(Err(_)) | None => broken += 1,
        }
    }
    found
}

fn plugin(value: &Value) -> Option<Entry> {
    let spec = value.pointer("/openclaw/install/npmSpec")?.as_str()?;
    let name = value["name"].as_str()?;
    let at = spec.char_indices().skip(1).find(|(_, c)| *c == '@');
    let package = at.map_or(spec, |(at, _)| spec.get(..at).unwrap_or(spec));
    let spec = match value["version"].as_str() {
        Some(version) if at.is_none() => format!("{spec}@{version}"),
        _ => spec.to_owned(),
    };
    Some(Entry {
        kind: word(value["kind"].as_str().unwrap_or("plugin")),
        name: visible(name),
        via: "npm".to_owned(),
        line: format!("[npm] packages = [{}]", quoted(&spec)),
        what: visible(&spec),
        about: about(value["description"].as_str().unwrap_or_default()),
        package: Some(("npm", package.to_owned())),
    })
}

/// What a skill installs: the list `install` in the head of its document, which allows commas at the end of lists.
fn skill(path: &str, text: &str) -> Vec<Entry> {
    let Some(head) = text
        .strip_prefix("---")
        .and_then(|rest| rest.split("\n---").next())
    else {
        return Vec::new();
    };
    let list = head.find("\"install\"").and_then(|at| {
        let rest = head.get(at + "\"install\"".len()..)?;
        let rest = rest.trim_start().strip_prefix(':')?.trim_start();
        rest.starts_with('[').then(|| without_last_commas(rest))
    });
    let Some(list) = list else { return Vec::new() };
    let field = |key: &str| {
        let mut lines = head.lines();
        let value = lines.find_map(|line| line.strip_prefix(key))?;
        Some(value.trim().trim_matches('"').to_owned())
    };
    let folder = path.rsplit('/').nth(1).unwrap_or(path);
    let name = field("name:").unwrap_or_else(|| folder.to_owned());
    let description = field("description:").unwrap_or_default();
    let mut values = serde_json::Deserializer::from_str(&list).into_iter::<Vec<Value>>();
    let Some(Ok(installers)) = values.next() else {
        return Vec::new();
    };
    let installers = installers.iter().take(MOST);
    installers
        .filter_map(|installer| helper(&name, &description, installer))
        .collect()
}

/// JSON that allows a comma before the end of a list, as JSON.
fn without_last_commas(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c == '"' {
            in_string = true;
        } else if matches!(c, ']' | '}') {
            let kept = out.trim_end();
            let kept = kept.strip_suffix(',').unwrap_or(kept).len();
            out.truncate(kept);
        }
        out.push(c);
    }
    out
}

/// One way to install what a skill needs; `None` where it is for other systems only.
fn helper(name: &str, description: &str, installer: &Value) -> Option<Entry> {
    let field = |key: &str| installer[key].as_str().unwrap_or_default();
    let systems = installer["os"].as_array();
    if systems.is_some_and(|all| all.iter().all(|os| os != "linux")) {
        return None;
    }
    let via = field("kind");
    let (what, line, package) = match via {
        "node" | "npm" => {
            let package = field("package");
            let line = format!("[npm] packages = [{}]", quoted(package));
            (package, line, Some(("npm", package.to_owned())))
        }
        "uv" | "pip" => {
            let package = field("package");
            let line = format!("[pypi] requirements = [{}]", quoted(package));
            (package, line, Some(("pypi", package.to_owned())))
        }
        "apt" => {
            let package = field("package");
            let line = format!("[debian] packages = [{}]", quoted(package));
            (package, line, Some(("debian", package.to_owned())))
        }
        "brew" => {
            let formula = field("formula");
            let (line, package) = brew(formula, installer);
            (formula, line, package)
        }
        "go" => {
            let line =
                "build it outside, or take a release of it: [[file]] with url, sha256 and path";
            (field("module"), line.to_owned(), None)
        }
        "download" => (field("url"), download(name, installer), None),
        _ => return None,
    };
    Some(Entry {
        kind: "skill".to_owned(),
        name: visible(name),
        via: word(via),
        what: visible(what),
        about: about(description),
        line,
        package,
    })
}

/// Formulas whose program Debian has, with its package there.
const BREW: [(&str, &str); 10] = [
    ("curl", "curl"),
    ("ffmpeg", "ffmpeg"),
    ("gh", "gh"),
    ("git", "git"),
    ("imagemagick", "imagemagick"),
    ("jq", "jq"),
    ("pandoc", "pandoc"),
    ("poppler", "poppler-utils"),
    ("ripgrep", "ripgrep"),
    ("tmux", "tmux"),
];

fn brew(formula: &str, installer: &Value) -> (String, Option<(&'static str, String)>) {
    if let Some((_, package)) = BREW.iter().find(|(name, _)| *name == formula) {
        let line = format!("[debian] packages = [{}]", quoted(package));
        return (line, Some(("debian", (*package).to_owned())));
    }
    let program = installer.pointer("/bins/0").and_then(Value::as_str);
    let program = program.unwrap_or(formula);
    let line = format!(
        "no Homebrew in the enclave: a release of {} as [[file]] with url, sha256 and path, or its package in a Debian \
         suite",
        quoted(program)
    );
    (line, None)
}

/// A file that is there already: all but its checksum may be known.
fn download(name: &str, installer: &Value) -> String {
    let url = installer["url"].as_str().unwrap_or_default();
    let sha256 = installer["sha256"].as_str();
    let sha256 = sha256.unwrap_or("of the file that you have looked at");
    let file = url.rsplit('/').next().unwrap_or(url);
    format!(
        "[[file]] url = {}, sha256 = {}, path = {}",
        quoted(url),
        quoted(sha256),
        quoted(&format!("{name}/{file}"))
    )
}

/// A word of somebody else's, short and plain.
fn word(text: &str) -> String {
    let plain = text.chars().filter(char::is_ascii_alphanumeric);
    plain.take(20).collect()
}

fn about(text: &str) -> String {
    let text = visible(text);
    if text.chars().count() <= ABOUT {
        return text;
    }
    let kept: String = text.chars().take(ABOUT - 1).collect();
    format!("{}…", kept.trim_end())
}
