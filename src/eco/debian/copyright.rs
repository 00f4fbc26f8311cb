//! Licenses of a package as its `copyright` file tells them (Debian Policy 12.5; "Machine-readable debian/copyright file",
//! version 1.0, known as DEP-5), as an SPDX expression where every one of its names has one.

use std::collections::BTreeSet;

use crate::eco::debian::control;

/// Largest file that is read, in bytes.
pub const LIMIT: u64 = 4 << 20;
/// Longest text that is made of it, in bytes.
const MAX_TEXT: usize = 2_000;
/// Most different licenses that a text lists.
const MOST: usize = 60;

/// Short names of the format, in lower case, with what SPDX calls the same license. Families with versions stand below.
const NAMES: &[(&str, &str)] = &[
    ("0bsd", "0BSD"),
    ("afl-2.0", "AFL-2.0"),
    ("afl-2.1", "AFL-2.1"),
    ("apache", "Apache-2.0"),
    ("apache-1.1", "Apache-1.1"),
    ("apache-2", "Apache-2.0"),
    ("apache-2.0", "Apache-2.0"),
    ("apache-2-llvm-exceptions", "Apache-2.0 WITH LLVM-exception"),
    ("artistic", "Artistic-1.0"),
    ("artistic-1", "Artistic-1.0"),
    ("artistic-1.0", "Artistic-1.0"),
    ("artistic-2", "Artistic-2.0"),
    ("artistic-2.0", "Artistic-2.0"),
    ("beerware", "Beerware"),
    ("blueoak-1.0.0", "BlueOak-1.0.0"),
    ("boost", "BSL-1.0"),
    ("boost-1.0", "BSL-1.0"),
    ("bsl", "BSL-1.0"),
    ("bsl-1", "BSL-1.0"),
    ("bsl-1.0", "BSL-1.0"),
    ("bsd-2", "BSD-2-Clause"),
    ("bsd-3", "BSD-3-Clause"),
    ("bsd-4", "BSD-4-Clause"),
    ("bsd-1-clause", "BSD-1-Clause"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("bsd-3-clause", "BSD-3-Clause"),
    ("bsd-4-clause", "BSD-4-Clause"),
    ("bsd-4-clause-uc", "BSD-4-Clause-UC"),
    ("bsd-0-clause", "0BSD"),
    ("bzip2-1.0.6", "bzip2-1.0.6"),
    ("cc0", "CC0-1.0"),
    ("cc0-1", "CC0-1.0"),
    ("cc0-1.0", "CC0-1.0"),
    ("cc-by-2.5", "CC-BY-2.5"),
    ("cc-by-3.0", "CC-BY-3.0"),
    ("cc-by-4.0", "CC-BY-4.0"),
    ("cc-by-sa-2.0", "CC-BY-SA-2.0"),
    ("cc-by-sa-2.5", "CC-BY-SA-2.5"),
    ("cc-by-sa-3.0", "CC-BY-SA-3.0"),
    ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
    ("cddl-1.0", "CDDL-1.0"),
    ("cpl-1.0", "CPL-1.0"),
    ("curl", "curl"),
    ("epl-1.0", "EPL-1.0"),
    ("epl-2.0", "EPL-2.0"),
    ("expat", "MIT"),
    ("fsfap", "FSFAP"),
    ("fsful", "FSFUL"),
    ("fsfullr", "FSFULLR"),
    ("ftl", "FTL"),
    ("gfdl-niv-1.1+", "GFDL-1.1-no-invariants-or-later"),
    ("gfdl-niv-1.2", "GFDL-1.2-no-invariants-only"),
    ("gfdl-niv-1.2+", "GFDL-1.2-no-invariants-or-later"),
    ("gfdl-niv-1.3", "GFDL-1.3-no-invariants-only"),
    ("gfdl-niv-1.3+", "GFDL-1.3-no-invariants-or-later"),
    ("hpnd", "HPND"),
    ("hpnd-sell-variant", "HPND-sell-variant"),
    ("icu", "ICU"),
    ("ijg", "IJG"),
    ("isc", "ISC"),
    ("libpng", "Libpng"),
    ("mit", "MIT"),
    ("mit-0", "MIT-0"),
    ("mpl-1.0", "MPL-1.0"),
    ("mpl-1.1", "MPL-1.1"),
    ("mpl-2", "MPL-2.0"),
    ("mpl-2.0", "MPL-2.0"),
    ("ncsa", "NCSA"),
    ("ntp", "NTP"),
    ("ofl-1.1", "OFL-1.1"),
    ("openssl", "OpenSSL"),
    ("perl", "GPL-1.0-or-later OR Artistic-1.0-Perl"),
    ("postgresql", "PostgreSQL"),
    ("psf-2", "PSF-2.0"),
    ("psf-2.0", "PSF-2.0"),
    ("python-2.0", "Python-2.0"),
    ("qpl-1.0", "QPL-1.0"),
    ("rpsl-1.0", "RPSL-1.0"),
    ("sgi-b-2.0", "SGI-B-2.0"),
    ("sleepycat", "Sleepycat"),
    ("smlnj", "SMLNJ"),
    ("tcl", "TCL"),
    ("unicode-dfs-2016", "Unicode-DFS-2016"),
    ("unicode-3.0", "Unicode-3.0"),
    ("unlicense", "Unlicense"),
    ("w3c", "W3C"),
    ("w3c-software", "W3C"),
    ("wtfpl", "WTFPL"),
    ("wtfpl-2", "WTFPL"),
    ("x11", "X11"),
    ("zlib", "Zlib"),
    ("zlib/libpng", "Zlib"),
    ("zpl-2.1", "ZPL-2.1"),
];

/// Families whose version says `+` for "or any later version".
const FAMILIES: &[(&str, &str, &[&str])] = &[
    ("agpl-", "AGPL", &["1.0", "3.0"]),
    ("gfdl-", "GFDL", &["1.1", "1.2", "1.3"]),
    ("gpl-", "GPL", &["1.0", "2.0", "3.0"]),
    ("lgpl-", "LGPL", &["2.0", "2.1", "3.0"]),
];

/// Exceptions, in lower case, with what SPDX calls them.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("autoconf", "Autoconf-exception-2.0"),
    ("autoconf-2.0", "Autoconf-exception-2.0"),
    ("autoconf-3.0", "Autoconf-exception-3.0"),
    ("bison", "Bison-exception-2.2"),
    ("bison-2.2", "Bison-exception-2.2"),
    ("classpath", "Classpath-exception-2.0"),
    ("font", "Font-exception-2.0"),
    ("gcc-runtime-library", "GCC-exception-3.1"),
    ("gcc", "GCC-exception-3.1"),
    ("libtool", "Libtool-exception"),
    ("linux-syscall-note", "Linux-syscall-note"),
    ("llvm", "LLVM-exception"),
    ("openssl", "cryptsetup-OpenSSL-exception"),
    ("texinfo", "Texinfo-exception"),
];

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copyright {
    /// An SPDX expression, or what the file says in its own words; empty if it says nothing that is understood.
    pub text: String,
    /// Whether `text` is an SPDX expression.
    pub is_spdx: bool,
}

impl Copyright {
    /// Reads the bytes of a `copyright` file.
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let names = declared(&text);
        if names.is_empty() {
            return Self {
                text: mentioned(&text),
                is_spdx: false,
            };
        }
        let expressions: Option<Vec<String>> = names.iter().map(|name| expression(name)).collect();
        match expressions.map(joined) {
            Some(text) if text.len() <= MAX_TEXT => Self {
                text,
                is_spdx: true,
            },
            _ => Self {
                text: shortened(names),
                is_spdx: false,
            },
        }
    }
}

/// The licenses of the `Files` and header paragraphs, each once, in order.
fn declared(text: &str) -> Vec<String> {
    let first = text.lines().find(|line| !line.trim().is_empty());
    let is_machine_readable = first.is_some_and(|line| {
        let line = line.to_ascii_lowercase();
        line.starts_with("format:") || line.starts_with("format-specification:")
    });
    let (mut names, mut seen) = (Vec::new(), BTreeSet::new());
    if !is_machine_readable {
        return names;
    }
    for stanza in control::stanzas(text).flatten() {
        let is_packaging = stanza
            .field("Files")
            .is_some_and(|files| files.split_whitespace().all(|f| f.starts_with("debian/")));
        // A paragraph of its own has the text of a license that others name.
        let counts = stanza.field("Files").is_some() || stanza.field("Format").is_some();
        if is_packaging || !counts {
            continue;
        }
        let license = stanza.field("License").unwrap_or_default();
        let name = license.lines().next().unwrap_or_default().trim();
        if !name.is_empty() && seen.insert(name.to_ascii_lowercase()) {
            names.push(name.to_owned());
        }
    }
    names
}

/// What a file for people refers to in `/usr/share/common-licenses`.
fn mentioned(text: &str) -> String {
    const FOLDER: &str = "/usr/share/common-licenses/";
    let found: BTreeSet<&str> = text
        .match_indices(FOLDER)
        .filter_map(|(at, _)| {
            let rest = text.get(at + FOLDER.len()..)?;
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".-".contains(c)));
            let name = rest.get(..end.unwrap_or(rest.len()))?;
            Some(name.trim_end_matches(['.', '-'])).filter(|name| !name.is_empty())
        })
        .collect();
    if found.is_empty() {
        return String::new();
    }
    let found: Vec<&str> = found.into_iter().take(MOST).collect();
    format!("mentions {}", found.join(", "))
}

fn shortened(names: Vec<String>) -> String {
    let count = names.len();
    let mut text = names.into_iter().take(MOST).collect::<Vec<_>>().join("; ");
    let end = text
        .char_indices()
        .map(|(at, _)| at)
        .find(|at| *at > MAX_TEXT);
    if let Some(end) = end {
        text.truncate(end);
    }
    if count > MOST || end.is_some() {
        text.push_str("; …");
    }
    text
}

/// All of these licenses together.
fn joined(expressions: Vec<String>) -> String {
    let mut seen = BTreeSet::new();
    let mut parts: Vec<String> = expressions
        .into_iter()
        .filter(|part| seen.insert(part.clone()))
        .collect();
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let grouped = parts.into_iter().map(|part| {
        if part.contains(" OR ") {
            format!("({part})")
        } else {
            part
        }
    });
    grouped.collect::<Vec<_>>().join(" AND ")
}

/// `GPL-2+ or Artistic, and BSD-3-clause` as an SPDX expression. A comma binds less than `and` and `or`.
fn expression(text: &str) -> Option<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let lower = text.to_ascii_lowercase();
    let mut groups: Vec<(bool, String)> = Vec::new();
    for part in lower.split(',') {
        let part = part.trim();
        let (is_or, part) = match (part.strip_prefix("and "), part.strip_prefix("or ")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => (false, part),
        };
        groups.push((is_or, group(part)?));
    }
    let mut groups = groups.into_iter();
    let (_, mut all) = groups.next()?;
    for (is_or, next) in groups {
        let word = if is_or { "OR" } else { "AND" };
        all = format!("{} {word} {}", grouped(&all, is_or), grouped(&next, is_or));
    }
    Some(all)
}

fn grouped(part: &str, is_or: bool) -> String {
    let other = if is_or { " AND " } else { " OR " };
    if part.contains(other) {
        format!("({part})")
    } else {
        part.to_owned()
    }
}

/// Licenses joined by `or`, which binds less than `and`.
fn group(text: &str) -> Option<String> {
    let mut choices = Vec::new();
    for choice in text.split(" or ") {
        let parts: Option<Vec<String>> = choice.split(" and ").map(|p| license(p.trim())).collect();
        let parts = parts?;
        let several = parts.len() > 1;
        let parts = parts.into_iter().map(|part| {
            if several && part.contains(" OR ") {
                format!("({part})")
            } else {
                part
            }
        });
        choices.push(parts.collect::<Vec<_>>().join(" AND "));
    }
    Some(choices.join(" OR "))
}

/// One license, with its exception.
fn license(name: &str) -> Option<String> {
    if let Some((license, exception)) = name.split_once(" with ") {
        let exception = exception
            .trim()
            .trim_end_matches(" exception")
            .replace(' ', "-");
        let (_, exception) = EXCEPTIONS.iter().find(|(known, _)| *known == exception)?;
        return Some(format!("{} WITH {exception}", plain(license.trim())?));
    }
    plain(name)
}

fn plain(name: &str) -> Option<String> {
    if let Some((_, spdx)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some((*spdx).to_owned());
    }
    FAMILIES.iter().find_map(|(start, family, versions)| {
        let version = name.strip_prefix(start)?;
        let (version, later) = match version.strip_suffix('+') {
            Some(version) => (version, true),
            None => match version.strip_suffix("-or-later") {
                Some(version) => (version, true),
                None => (version.strip_suffix("-only").unwrap_or(version), false),
            },
        };
        let whole = if version.contains('.') {
            version.to_owned()
        } else {
            format!("{version}.0")
        };
        let known = versions.iter().find(|v| **v == whole)?;
        let end = if later { "or-later" } else { "only" };
        Some(format!("{family}-{known}-{end}"))
    })
}

#[cfg(test)]
mod tests {
    use super::{Copyright, expression};

    const HEAD: &str =
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n";

    fn of(text: &str) -> (String, bool) {
        let found = Copyright::parse(format!("{HEAD}{text}").as_bytes());
        (found.text, found.is_spdx)
    }

    #[test]
    fn names_are_those_of_spdx() {
        for (text, spdx) in [
            ("Expat", "MIT"),
            ("GPL-2+", "GPL-2.0-or-later"),
            ("GPL-2", "GPL-2.0-only"),
            ("LGPL-2.1+", "LGPL-2.1-or-later"),
            ("gpl-3.0-only", "GPL-3.0-only"),
            ("GPL-1+ or Artistic", "GPL-1.0-or-later OR Artistic-1.0"),
            (
                "GPL-2+ or Artistic-2.0, and BSD-3-clause",
                "(GPL-2.0-or-later OR Artistic-2.0) AND BSD-3-Clause",
            ),
            (
                "GPL-2 and LGPL-2+ or Expat",
                "GPL-2.0-only AND LGPL-2.0-or-later OR MIT",
            ),
            (
                "GPL-2+ with Autoconf exception",
                "GPL-2.0-or-later WITH Autoconf-exception-2.0",
            ),
            (
                "Perl and Expat",
                "(GPL-1.0-or-later OR Artistic-1.0-Perl) AND MIT",
            ),
        ] {
            let found = expression(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(found, spdx, "{text}");
            spdx::Expression::parse(&found).unwrap();
        }
        for unknown in [
            "public-domain",
            "GPL-9",
            "GPL",
            "custom",
            "GPL-2 with odd exception",
            "",
            "or",
        ] {
            assert_eq!(expression(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn all_files_but_those_of_the_packaging_count() {
        let text = "Upstream-Name: x\n\nFiles: *\nCopyright: a\nLicense: Expat\n text\n\nFiles: lib/*\nCopyright: b\n\
                    License: GPL-2+ or Artistic\n\nFiles: debian/*\nCopyright: c\nLicense: custom\n\nLicense: other\n text\n";
        let all = "MIT AND (GPL-2.0-or-later OR Artistic-1.0)".to_owned();
        assert_eq!(of(text), (all, true));
        let text = "\nFiles: *\nLicense: Expat\n\nFiles: a\nLicense: public-domain\n";
        assert_eq!(of(text), ("Expat; public-domain".to_owned(), false));
        assert_eq!(of("\nFiles: *\nCopyright: a\n"), (String::new(), false));
    }

    #[test]
    fn files_for_people_are_told_by_what_they_refer_to() {
        let text = "This is free software; see /usr/share/common-licenses/GPL-2.\nAlso /usr/share/common-licenses/LGPL-2.1,\n";
        let found = Copyright::parse(text.as_bytes());
        assert_eq!(
            (found.text.as_str(), found.is_spdx),
            ("mentions GPL-2, LGPL-2.1", false)
        );
        for hostile in [&b"\xff\xfe\0"[..], b"", b"Format: x\n\n\n:\n"] {
            assert!(Copyright::parse(hostile).text.is_empty());
        }
        let one = |n: usize| format!("\nFiles: {n}\nLicense: {n}\n");
        let many = (0..5_000).map(one).collect::<Vec<_>>().concat();
        assert!(of(&many).0.len() < 3_000);
    }
}
