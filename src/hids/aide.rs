//! For AIDE 0.18: a configuration, and the database that it compares with. Folders that hold nothing else are watched whole,
//! so that what is added is found; other files one by one.

use data_encoding::BASE64;

use super::{Baseline, Tree};
use crate::base::lines::Lines;

/// Bits of the attributes that the database states: name, permissions, size, SHA-256, SHA-512, kind of file.
const ATTRIBUTES: u64 = 1 | 1 << 2 | 1 << 5 | 1 << 30 | 1 << 31 | 1 << 35;
/// The kind of a regular file in a mode.
const REGULAR: u32 = 0o100_000;

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
    for path in baseline
        .files
        .keys()
        .filter(|path| !is_watched(baseline, path))
    {
        out.line(format!("{}$ f Installed", expression(path)));
    }
    out.into_text()
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
    let below = |folder: &str| {
        path.strip_prefix(folder)
            .is_some_and(|r| r.starts_with('/'))
    };
    let tree = baseline.trees.iter().find(|tree| below(&tree.path));
    tree.is_some_and(|tree| !tree.scripted.iter().any(|folder| below(folder)))
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
    fn trees_are_watched_whole_and_other_files_one_by_one() {
        let mut baseline = Baseline::new(Platform::LinuxAmd64);
        let package = package(EcosystemId::npm(), "demo");
        for path in ["/opt/t/a b.js", "/opt/t/s+/x.js", "/opt/tt", "/usr/bin/x"] {
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
            "!/opt/t/\\.own$\n/opt/t/(?!(s\\+)/) f Installed\n/opt/t/s\\+/x\\.js$ f Installed\n\
             /opt/tt$ f Installed\n/usr/bin/x$ f Installed\n"
        );
        let database = database(&baseline);
        assert!(database.contains("\n/opt/t/a%20b.js 37580963877 100644 13 "));
        assert!(database.ends_with("@@end_db\n"));
    }
}
