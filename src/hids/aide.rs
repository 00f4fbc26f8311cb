//! For AIDE 0.18: a configuration, and the database that it compares with. Folders that hold nothing else are watched whole,
//! so that what is added is found; other files one by one.

use data_encoding::BASE64;

use super::{Baseline, Tree};
use crate::base::lines::Lines;

/// Bits of the attributes that the database states: name, permissions, size, SHA-256, SHA-512, kind of file.
const ATTRIBUTES: u64 = 1 | 1 << 2 | 1 << 5 | 1 << 30 | 1 << 31 | 1 << 35;
/// The kind of a regular file in a mode.
const REGULAR: u32 = 0o100_000;
/// How many folders those of a group share at least.
const UPPER: usize = 2;
/// Longest group, in bytes of its paths.
const LONGEST: usize = 8192;

/// `aide.conf`.
pub(super) fn configuration(channel: &str, baseline: &Baseline) -> String {
    let mut out = Lines::new();
    out.line(format!(
        "# What {channel} installs on {0}, for AIDE 0.18: aide --check -c aide.conf\n\
         # The database was computed from the bundle, before anything was installed; protect it and note its SHA-256.\n\
         # Elsewhere than below: aide --check -c aide.conf -B '@@define DBDIR /where/it/is'\n\
         @@ifndef DBDIR\n@@define DBDIR /var/lib/aide/{channel}\n@@endif\n\
         database_in=file:@@{{DBDIR}}/aide.db\n\
         report_url=stdout\n\
         Installed = ftype+p+s+sha256+sha512\n",
        baseline.platform.as_str()
    ));
    for tree in &baseline.trees {
        let at = expression(&tree.path);
        out.lines(tree.made.iter().map(|made| format!("!{at}/{made}")));
        out.line(format!("{at}/{} f Installed", except(tree)));
    }
    let files = baseline.files.keys().map(String::as_str);
    let alone: Vec<&str> = files.filter(|path| !is_watched(baseline, path)).collect();
    out.lines(groups(&alone).iter().map(|group| rule(group)));
    out.into_text()
}

/// Sorted files in groups that one rule holds: AIDE takes some 5000 rules, and its expressions have an end, too. Those of a
/// group share the two upper folders, so that AIDE looks nowhere else for them.
fn groups<'a>(paths: &[&'a str]) -> Vec<Vec<&'a str>> {
    let mut out: Vec<Vec<&str>> = Vec::new();
    let mut length = 0;
    let mut upper = Vec::new();
    for path in paths {
        let folders: Vec<&str> = folder(path).split('/').take(UPPER + 1).collect();
        length += path.len();
        match out.last_mut() {
            Some(group) if folders == upper && length < LONGEST => group.push(path),
            _ => {
                out.push(vec![*path]);
                length = path.len();
                upper = folders;
            }
        }
    }
    out
}

/// A rule for these files.
fn rule(paths: &[&str]) -> String {
    let mut shared = paths.first().map_or("", |path| folder(path));
    while !paths.iter().all(|path| is_below(path, shared)) {
        shared = folder(shared);
    }
    let inside: Vec<String> = paths
        .iter()
        .filter_map(|path| path.strip_prefix(shared))
        .map(|rest| expression(rest.trim_start_matches('/')))
        .collect();
    format!("{}/({})$ f Installed", expression(shared), inside.join("|"))
}

/// The folder of a path; empty for the root.
fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// The part of a rule that leaves out the packages whose scripts may make anything.
fn except(tree: &Tree) -> String {
    let prefix = format!("{}/", tree.path);
    let inside = tree.scripted.iter();
    let inside: Vec<String> = inside
        .filter_map(|folder| folder.strip_prefix(&prefix))
        .map(expression)
        .collect();
    if inside.is_empty() {
        return String::new();
    }
    format!("(?!({})/)", inside.join("|"))
}

/// Whether a tree has the file.
fn is_watched(baseline: &Baseline, path: &str) -> bool {
    let tree = baseline
        .trees
        .iter()
        .find(|tree| is_below(path, &tree.path));
    tree.is_some_and(|tree| !tree.scripted.iter().any(|folder| is_below(path, folder)))
}

/// A regular expression that matches a path and nothing else.
fn expression(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            ' ' => out.push_str("\\x20"),
            '@' => out.push_str("\\x40"),
            '#' => out.push_str("\\x23"),
            '/' | '_' => out.push(c),
            c if c.is_alphanumeric() || !c.is_ascii() => out.push(c),
            c => {
                out.push('\\');
                out.push(c);
            }
        }
    }
    out
}

/// `aide.db`.
pub(super) fn database(baseline: &Baseline) -> String {
    let mut out = Lines::new();
    out.line("@@begin_db\n# Computed by stage from a verified bundle.\n@@db_spec name attr perm size sha256 sha512");
    for (path, entry) in &baseline.files {
        out.line(format!(
            "{} {ATTRIBUTES} {:o} {} {} {}",
            name(path),
            REGULAR | entry.mode,
            entry.size,
            base64(&entry.digests.sha256.hex()),
            base64(&entry.digests.sha512.hex()),
        ));
    }
    out.line("@@end_db");
    out.into_text()
}

/// The bytes of hex digits as AIDE writes them.
fn base64(hex: &str) -> String {
    let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes());
    BASE64.encode(&bytes.unwrap_or_default())
}

/// A path as the database has it: percent signs before what is not plain.
fn name(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::{package, scanned};
    use super::super::{Baseline, Tree};
    use super::{configuration, database};
    use crate::base::package::EcosystemId;
    use crate::base::platform::Platform;

    #[test]
    fn groups_end_where_a_rule_becomes_too_long() {
        let paths: Vec<String> = (0..2000).map(|n| format!("/usr/share/x/{n:04}")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let groups = super::groups(&paths);
        assert!(groups.len() > 1 && groups.len() < 10, "{}", groups.len());
        assert_eq!(groups.concat(), paths);
    }

    #[test]
    fn trees_are_watched_whole_and_other_files_one_by_one() {
        let mut baseline = Baseline::new(Platform::LinuxAmd64);
        let package = package(EcosystemId::npm(), "demo");
        for path in [
            "/opt/t/a b.js",
            "/opt/t/s+/x.js",
            "/opt/t/s+/y",
            "/opt/tt",
            "/usr/bin/a/b",
            "/usr/bin/x",
        ] {
            baseline.put(path, &scanned(path, 0o644), 0o644, &package);
        }
        baseline.trees.push(Tree {
            path: "/opt/t".to_owned(),
            made: vec![r"\.own$"],
            scripted: ["/opt/t/s+".to_owned()].into(),
        });
        let rules = configuration("claw", &baseline);
        let (_, rules) = rules.split_once("\n\n").unwrap();
        assert_eq!(
            rules,
            "!/opt/t/\\.own$\n/opt/t/(?!(s\\+)/) f Installed\n/opt/t/s\\+/(x\\.js|y)$ f Installed\n\
             /opt/(tt)$ f Installed\n/usr/bin/(a/b|x)$ f Installed\n"
        );
        let database = database(&baseline);
        assert!(database.contains("\n/opt/t/a%20b.js 37580963877 100644 13 "));
        assert!(database.ends_with("@@end_db\n"));
    }
}
