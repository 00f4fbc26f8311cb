//! A baseline as spreadsheets, sha256sum(1), fapolicyd, Wazuh and osquery read it, and as people do.

use serde_json::json;

use super::{Baseline, Entry};
use crate::base::json;
use crate::base::lines::Lines;
use crate::base::markup::{html, markdown};
use crate::base::runtime::{Flow, Runtime};
use crate::base::sheet::titled;
use crate::base::text::amount;

/// Titles of the summary.
pub const TITLES: [&str; 8] = [
    "platform",
    "files",
    "bytes",
    "executable files",
    "may change",
    "links",
    "made at install",
    "not known before",
];

/// A baseline as a row of the summary.
pub fn cells(baseline: &Baseline) -> [String; 8] {
    let entries = baseline.files.values();
    let bytes = entries.map(|entry| entry.size).sum();
    let executable = executable(baseline).count();
    [
        baseline.platform.as_str().to_owned(),
        baseline.files.len().to_string(),
        amount(bytes),
        executable.to_string(),
        baseline.may_change.len().to_string(),
        baseline.links.len().to_string(),
        format!("{} places", baseline.made.len()),
        baseline.unknown.len().to_string(),
    ]
}

/// Titles of tables of files.
const FILE: [&str; 7] = ["path", "size", "mode", "sha256", "sha512", "kind", "from"];

/// Every file that stays as it comes.
pub(super) fn table(baseline: &Baseline) -> Vec<u8> {
    let files = baseline.files.iter();
    titled(&FILE, files.map(|(path, entry)| row(path, entry)))
}

/// Every other file, as it is carried.
pub(super) fn may_change(baseline: &Baseline) -> Vec<u8> {
    let titles = [FILE.as_slice(), &["changed by"]].concat();
    let files = baseline.may_change.iter().map(|(path, may)| {
        let mut row = row(path, &may.entry);
        row.push(may.why.clone());
        row
    });
    titled(&titles, files)
}

fn row(path: &str, entry: &Entry) -> Vec<String> {
    vec![
        path.to_owned(),
        entry.size.to_string(),
        format!("{:04o}", entry.mode),
        entry.digests.sha256.hex(),
        entry.digests.sha512.hex(),
        entry.kind.as_str().to_owned(),
        entry.from.clone(),
    ]
}

/// Every symbolic link.
pub(super) fn links(baseline: &Baseline) -> Vec<u8> {
    let links = baseline.links.iter();
    let rows = links.map(|(path, link)| vec![path.clone(), link.target.clone(), link.from.clone()]);
    titled(&["path", "target", "from"], rows)
}

/// What may be run, apart.
pub(super) fn executables(baseline: &Baseline) -> Vec<u8> {
    let row = |(path, entry): (&String, &Entry)| {
        vec![
            path.clone(),
            format!("{:04o}", entry.mode),
            entry.kind.as_str().to_owned(),
            entry.digests.sha256.hex(),
            entry.from.clone(),
        ]
    };
    titled(
        &["path", "mode", "kind", "sha256", "from"],
        executable(baseline).map(row),
    )
}

fn executable(baseline: &Baseline) -> impl Iterator<Item = (&String, &Entry)> {
    all(baseline).filter(|(_, entry)| entry.is_executable())
}

/// Every file as it is carried.
fn all(baseline: &Baseline) -> impl Iterator<Item = (&String, &Entry)> {
    let changing = baseline.may_change.iter();
    let changing = changing.map(|(path, may)| (path, &may.entry));
    baseline.files.iter().chain(changing)
}

/// What is made at install.
pub(super) fn made(baseline: &Baseline) -> Vec<u8> {
    pairs(&["path", "made by"], baseline.made.iter())
}

/// What cannot be said before.
pub(super) fn unknown(baseline: &Baseline) -> Vec<u8> {
    pairs(&["release", "why"], baseline.unknown.iter())
}

fn pairs<'a>(titles: &[&str], rows: impl Iterator<Item = &'a (String, String)>) -> Vec<u8> {
    titled(titles, rows.map(|(a, b)| vec![a.clone(), b.clone()]))
}

/// For `sha256sum -c`.
pub(super) fn sums(baseline: &Baseline) -> String {
    let mut out = Lines::new();
    let files = baseline.files.iter();
    out.lines(files.map(|(path, entry)| format!("{}  {path}", entry.digests.sha256.hex())));
    out.into_text()
}

/// For `/etc/fapolicyd/trust.d`: path, size, SHA-256; what an install changed is trusted when somebody says so. Versions of fapolicyd differ in how they write white space and percent
/// signs; paths with them are left out.
pub(super) fn fapolicyd(channel: &str, baseline: &Baseline) -> String {
    let mut out = Lines::new();
    out.line(format!(
        "# What {channel} installs, for /etc/fapolicyd/trust.d; then: fapolicyd-cli --update"
    ));
    for (path, entry) in all(baseline) {
        if path.contains(|c: char| c.is_whitespace() || c == '%') {
            continue;
        }
        out.line(format!(
            "{path} {} {}",
            entry.size,
            entry.digests.sha256.hex()
        ));
    }
    out.into_text()
}

/// For `ossec.conf`: the folders to watch. Wazuh keeps a baseline of its own; SHA256SUMS is what it must begin with.
pub(super) fn wazuh(channel: &str, baseline: &Baseline) -> String {
    let mut out = Lines::new();
    out.line(format!(
        "<!-- What {} installs: a part of ossec.conf. Not tried with Wazuh itself, which has no package here; it is well-formed. -->",
        html(channel).replace("--", "-")
    ));
    out.line("<ossec_config>\n  <syscheck>");
    for tree in &baseline.trees {
        out.line(format!(
            "    <directories check_all=\"yes\" whodata=\"yes\" report_changes=\"no\">{}</directories>",
            html(&tree.path)
        ));
    }
    for tree in baseline.trees.iter().filter(|tree| !tree.made.is_empty()) {
        if tree.made.iter().any(|made| made.contains("__pycache__")) {
            out.line("    <ignore type=\"sregex\">.pyc$</ignore>");
        } else {
            out.line(format!(
                "    <ignore>{}/.package-lock.json</ignore>",
                html(&tree.path)
            ));
        }
    }
    out.line("  </syscheck>\n</ossec_config>");
    out.into_text()
}

/// A pack of osquery: differences of what is installed, and events of its files.
pub(super) fn osquery(channel: &str, baseline: &Baseline) -> String {
    let mut queries = serde_json::Map::new();
    let mut paths = Vec::new();
    for (number, tree) in (1..).zip(&baseline.trees) {
        // A prefix has no quotes and no wildcards of SQL but `_`, which matches itself, too.
        let below = format!("{}/%%", tree.path);
        let query = format!(
            "SELECT file.path, file.mode, file.size, hash.sha256 FROM file JOIN hash USING (path) \
             WHERE file.path LIKE '{below}' AND file.type = 'regular'"
        );
        let about = json!({
            "query": query,
            "interval": 3600,
            "description": format!("installed files below {}; compare with baseline.csv", tree.path),
            "removed": true,
        });
        queries.insert(format!("stage_{number}_files"), about);
        paths.push(below);
    }
    let pack = json!({
        "platform": "linux",
        "queries": queries,
        "file_paths": { format!("stage_{channel}"): paths },
    });
    let mut bytes = json::canonical(&pack);
    bytes.push(b'\n');
    String::from_utf8(bytes).unwrap_or_default()
}

/// What is expected to run, listen, connect and write: for whoever has to judge an alarm.
pub(super) fn behaviour(channel: &str, runtime: &Runtime, baseline: &Baseline) -> String {
    let mut out = Lines::new();
    out.line(format!(
        "# Expected behaviour of {} on {}\n",
        markdown(channel),
        baseline.platform.as_str()
    ));
    out.line(format!(
        "Runs as `{}` from `{}`. Nothing below the prefix changes but at an install.\n",
        runtime.user, runtime.prefix
    ));
    out.line("## Network\n");
    for flow in &runtime.flows {
        out.line(match flow {
            Flow::In(flow) => format!(
                "- listens at {} port {}/{}, from {}: {}",
                flow.listen,
                flow.port,
                flow.protocol.as_str(),
                markdown(&flow.from.to_string()),
                markdown(flow.purpose.as_str())
            ),
            Flow::Out(flow) => format!(
                "- connects to {} port {}/{}: {}",
                markdown(&flow.to.to_string()),
                flow.port,
                flow.protocol.as_str(),
                markdown(flow.purpose.as_str())
            ),
        });
    }
    out.line("\n## Writes\n");
    for directory in &runtime.directories {
        out.line(format!(
            "- `{}`: {}",
            directory.path,
            markdown(directory.why.as_str())
        ));
    }
    if let Some(home) = &runtime.home {
        out.line(format!("- `{home}`: the home of the account"));
    }
    out.line("\n## Programs and libraries\n\n| path | mode | kind | from |\n|---|---|---|---|");
    for (path, entry) in executable(baseline) {
        out.line(format!(
            "| {} | {:04o} | {} | {} |",
            markdown(path),
            entry.mode,
            entry.kind.as_str(),
            markdown(&entry.from)
        ));
    }
    out.into_text()
}
