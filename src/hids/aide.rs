//! For AIDE 0.18: a configuration, and the database that it compares with. Folders that hold nothing else are watched whole,
//! so that what is added is found, of whatever kind it is; other files and links one by one.
//!
//! What an install may change is there in the one database, with any bytes, or not any more; a second configuration, with a
//! database of its own, compares it as it was carried, and shows once what the install made of it.

use std::collections::BTreeSet;

use data_encoding::BASE64;

use super::path::{folder, is_below};
use super::{Baseline, Entry, Link, Tree};
use crate::base::lines::Lines;

/// Bits of the attributes that the database states. Of all: name, and kind of file.
const PRESENT: u64 = 1 | 1 << 35;
/// Permissions.
const PERMISSIONS: u64 = 1 << 2;
/// Of a file: permissions, size, SHA-256, SHA-512, too.
const INSTALLED: u64 = PRESENT | PERMISSIONS | 1 << 5 | 1 << 30 | 1 << 31;
/// Of a symbolic link: permissions, and where it leads.
const LINKED: u64 = PRESENT | PERMISSIONS | 1 << 1;
/// Of a folder.
const FOLDER: u64 = PRESENT | PERMISSIONS;
/// Of what may change: it may be removed.
const CHANGING: u64 = PRESENT | 1 << 29;
/// The kinds of file in a mode.
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMBOLIC: u32 = 0o120_000;
/// The permissions of a folder under umask 022, and of every symbolic link.
const ENTER: u32 = 0o755;
const ALL: u32 = 0o777;
/// The first lines of a database.
const SPEC: &str = "@@begin_db\n# Computed by stage from a verified bundle.\n@@db_spec name attr perm size sha256 sha512 lname";
/// How many folders those of a group share at least.
const UPPER: usize = 2;
/// Longest group, in bytes of its paths.
const LONGEST: usize = 8192;

/// `aide.conf`.
pub(super) fn configuration(channel: &str, baseline: &Baseline) -> String {
    let mut out = begun(channel, baseline, "aide");
    for tree in &baseline.trees {
        let at = expression(&tree.path);
        out.lines(tree.made.iter().map(|made| format!("!{at}/{made}")));
        out.lines(scripted(tree).map(|inside| format!("{inside} f,d Changing")));
        let alone = baseline.may_change.keys().map(String::as_str);
        let alone = alone.filter(|path| is_below(path, &tree.path) && !tree.may_change(path));
        let alone: Vec<&str> = alone.collect();
        out.lines(groups(&alone).iter().map(|group| rule(group, "f Changing")));
        whole(&mut out, &format!("{at}(/|$)"));
    }
    let apart = |path: &&str| !baseline.trees.iter().any(|tree| is_below(path, &tree.path));
    for (mut paths, what) in [
        (keys(&baseline.files), "f Installed"),
        (keys(&baseline.may_change), "f Changing"),
        (keys(&baseline.links), "l Linked"),
    ] {
        paths.retain(apart);
        out.lines(groups(&paths).iter().map(|group| rule(group, what)));
    }
    out.into_text()
}

/// `aide-may-change.conf`.
pub(super) fn changing_configuration(channel: &str, baseline: &Baseline) -> String {
    let mut out = begun(channel, baseline, "aide-may-change");
    out.line(
        "# What installs may change, as it was carried. Look once at what differs after the install, then make what is there\n\
         # what has to be there: aide --update -c aide-may-change.conf",
    );
    for inside in baseline.trees.iter().flat_map(scripted) {
        whole(&mut out, &inside);
    }
    let is_alone = |path: &&str| !baseline.trees.iter().any(|tree| tree.may_change(path));
    let alone: Vec<&str> = keys(&baseline.may_change)
        .into_iter()
        .filter(is_alone)
        .collect();
    out.lines(
        groups(&alone)
            .iter()
            .map(|group| rule(group, "f Installed")),
    );
    out.into_text()
}

/// What every configuration begins with.
fn begun(channel: &str, baseline: &Baseline, name: &str) -> Lines {
    let mut out = Lines::new();
    out.line(format!(
        "# What {channel} installs on {0}, for AIDE 0.18: aide --check -c {name}.conf\n\
         # The database was computed from the bundle, before anything was installed; protect it and note its SHA-256.\n\
         # Elsewhere than below: aide --check -c {name}.conf -B '@@define DBDIR /where/it/is'\n\
         @@ifndef DBDIR\n@@define DBDIR /var/lib/aide/{channel}\n@@endif\n\
         database_in=file:@@{{DBDIR}}/{name}.db\n\
         database_out=file:@@{{DBDIR}}/{name}.db.new\n\
         report_url=stdout\n\
         Installed = ftype+p+s+sha256+sha512\n\
         Linked = ftype+p+l\n\
         Folder = ftype+p\n\
         Changing = ftype+ARF\n\
         Other = ftype\n",
        baseline.platform.as_str()
    ));
    out
}

/// Rules for everything at an expression; devices, pipes and sockets are never expected.
fn whole(out: &mut Lines, at: &str) {
    out.lines(
        ["f Installed", "l Linked", "d Folder", "p,s,b,c Other"].map(|what| format!("{at} {what}")),
    );
}

/// Expressions for the folders whose files may change, without the folders of other packages in them.
fn scripted(tree: &Tree) -> impl Iterator<Item = String> {
    tree.scripted.iter().map(|(folder, others)| {
        let at = expression(folder);
        let prefix = format!("{folder}/");
        let others: Vec<String> = others
            .iter()
            .filter_map(|other| other.strip_prefix(&prefix))
            .map(expression)
            .collect();
        match others.as_slice() {
            [] => format!("{at}/"),
            others => format!("{at}/(?!({})(/|$))", others.join("|")),
        }
    })
}

fn keys<V>(map: &std::collections::BTreeMap<String, V>) -> Vec<&str> {
    map.keys().map(String::as_str).collect()
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
fn rule(paths: &[&str], what: &str) -> String {
    let mut shared = paths.first().map_or("", |path| folder(path));
    while !paths.iter().all(|path| is_below(path, shared)) {
        shared = folder(shared);
    }
    let inside: Vec<String> = paths
        .iter()
        .filter_map(|path| path.strip_prefix(shared))
        .map(|rest| expression(rest.trim_start_matches('/')))
        .collect();
    format!("{}/({})$ {what}", expression(shared), inside.join("|"))
}

/// A regular expression that matches a path and nothing else. What is written by its number stands in brackets: AIDE looks
/// into folders by the plain beginning of a rule, and takes the character after a backslash for plain.
pub(super) fn expression(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            ' ' => out.push_str("[\\x20]"),
            '@' => out.push_str("[\\x40]"),
            '#' => out.push_str("[\\x23]"),
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
    out.line(SPEC);
    for folder in folders(baseline) {
        let attributes = if is_changing(baseline, folder) {
            CHANGING
        } else {
            FOLDER
        };
        out.line(bare(folder, attributes, DIRECTORY | ENTER));
    }
    let files = baseline.files.iter();
    out.lines(files.map(|(path, entry)| file(path, entry)));
    let changing = baseline.may_change.iter();
    out.lines(changing.map(|(path, may)| bare(path, CHANGING, REGULAR | may.entry.mode)));
    out.lines(baseline.links.iter().map(|(path, to)| link(path, to)));
    out.line("@@end_db");
    out.into_text()
}

/// `aide-may-change.db`.
pub(super) fn changing_database(baseline: &Baseline) -> String {
    let mut out = Lines::new();
    out.line(SPEC);
    let folders = folders(baseline);
    let folders = folders.into_iter().filter(|at| is_changing(baseline, at));
    out.lines(folders.map(|folder| bare(folder, FOLDER, DIRECTORY | ENTER)));
    let changing = baseline.may_change.iter();
    out.lines(changing.map(|(path, may)| file(path, &may.entry)));
    let links = baseline.links.iter();
    let links = links.filter(|(path, _)| is_changing(baseline, path));
    out.lines(links.map(|(path, to)| link(path, to)));
    out.line("@@end_db");
    out.into_text()
}

fn is_changing(baseline: &Baseline, path: &str) -> bool {
    baseline.trees.iter().any(|tree| tree.may_change(path))
}

/// Every folder of the trees.
fn folders(baseline: &Baseline) -> BTreeSet<&str> {
    let mut out = BTreeSet::new();
    let inside = keys(&baseline.files)
        .into_iter()
        .chain(keys(&baseline.may_change))
        .chain(keys(&baseline.links));
    for path in inside.map(folder) {
        let tree = baseline.trees.iter();
        let Some(tree) = tree
            .map(|tree| tree.path.as_str())
            .find(|tree| path == *tree || is_below(path, tree))
        else {
            continue;
        };
        let mut at = path;
        while out.insert(at) && at != tree {
            at = folder(at);
        }
    }
    out
}

fn file(path: &str, entry: &Entry) -> String {
    format!(
        "{} {INSTALLED} {:o} {} {} {} 0",
        name(path),
        REGULAR | entry.mode,
        entry.size,
        base64(&entry.digests.sha256.hex()),
        base64(&entry.digests.sha512.hex()),
    )
}

fn link(path: &str, link: &Link) -> String {
    let (path, target, mode) = (name(path), name(&link.target), SYMBOLIC | ALL);
    format!("{path} {LINKED} {mode:o} 0 0 0 {target}")
}

/// A row without a size and digests.
fn bare(path: &str, attributes: u64, mode: u32) -> String {
    format!("{} {attributes} {mode:o} 0 0 0 0", name(path))
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
        let tree = |scripted: &[(&str, &str)]| Tree {
            path: "/opt/t".to_owned(),
            made: vec![r"\.own$ f".to_owned()],
            scripted: scripted
                .iter()
                .map(|(folder, other)| ((*folder).to_owned(), [(*other).to_owned()].into()))
                .collect(),
        };
        baseline.trees.push(tree(&[("/opt/t/s+", "/opt/t/s+/n")]));
        for path in [
            "/opt/t/a b.js",
            "/opt/t/s+/x.js",
            "/opt/t/s+/n/y",
            "/opt/tt",
            "/usr/bin/a/b",
            "/usr/bin/x",
        ] {
            baseline.put(path, &scanned(path, 0o644), 0o644, &package);
        }
        baseline.link("/opt/t/.bin/l", "../a b.js", "npm demo@1.0");
        baseline.link("/usr/bin/l", "x", "npm demo@1.0");
        let rules = configuration("claw", &baseline);
        let (_, rules) = rules.split_once("\n\n").unwrap();
        assert_eq!(
            rules,
            "!/opt/t/\\.own$ f\n/opt/t/s\\+/(?!(n)(/|$)) f,d Changing\n/opt/t(/|$) f Installed\n/opt/t(/|$) l Linked\n\
             /opt/t(/|$) d Folder\n/opt/t(/|$) p,s,b,c Other\n\
             /opt/(tt)$ f Installed\n/usr/bin/(a/b|x)$ f Installed\n/usr/bin/(l)$ l Linked\n"
        );
        let database = database(&baseline);
        for row in [
            "/opt/t/a%20b.js 37580963877 100644 13 ",
            "/opt/t 34359738373 40755 0 0 0 0\n",
            "/opt/t/s%2B/n 34359738373 40755 0 0 0 0\n",
            "/opt/t/s%2B/x.js 34896609281 100644 0 0 0 0\n",
            "/opt/t/.bin/l 34359738375 120777 0 0 0 ../a%20b.js\n",
        ] {
            assert!(database.contains(&format!("\n{row}")), "{row}: {database}");
        }
        assert!(database.ends_with("@@end_db\n"));
    }
}
