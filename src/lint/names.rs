//! Names of members: what a path may be, and what may stand beside it.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::digest::Digest;
use crate::lint::{Problems, Rule, named};

/// Longest name, in bytes.
const MAX_NAME: usize = 4096;

/// What a member is, as far as its name is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A file, with the digest of its content where that is known already.
    File(Option<Digest>),
    Folder,
    /// A symbolic link.
    Link,
}

/// The names of an archive.
#[derive(Debug, Default)]
pub(super) struct Names {
    seen: BTreeMap<String, What>,
    /// Names as they are where upper and lower case are one.
    folded: BTreeMap<String, String>,
    /// Folders that members are in.
    above: BTreeSet<String>,
    /// Leading segments that clients drop.
    strip: usize,
}

impl Names {
    /// For an archive from whose names clients drop `strip` segments.
    pub(super) fn new(strip: usize) -> Self {
        Self {
            strip,
            ..Self::default()
        }
    }

    /// Takes a member in. Returns its path with `.` segments gone; `None` for a name that is no path.
    pub(super) fn add(&mut self, name: &[u8], what: What, found: &mut Problems) -> Option<String> {
        let path = path(name, found)?;
        let segments: Vec<&str> = path.split('/').skip(self.strip).collect();
        if segments.is_empty() || path.is_empty() {
            return Some(path);
        }
        let placed = segments.join("/");
        self.place(&placed, name, what, found);
        Some(path)
    }

    fn place(&mut self, placed: &str, name: &[u8], what: What, found: &mut Problems) {
        match self.seen.get(placed) {
            Some(What::Folder) if what == What::Folder => return,
            Some(What::File(Some(first))) if what == What::File(Some(*first)) => {
                let message = format!(
                    "two members are named {}, with the same content",
                    named(name)
                );
                found.warn(Rule::Duplicate, message);
                return;
            }
            Some(_) => {
                found.deny(
                    Rule::Duplicate,
                    format!("two members are named {}", named(name)),
                );
                return;
            }
            None => {}
        }
        if what != What::Folder && self.above.contains(placed) {
            found.deny(
                Rule::Duplicate,
                format!("{} is a file and a folder", named(name)),
            );
        }
        let mut above = placed;
        while let Some((folder, _)) = above.rsplit_once('/') {
            match self.seen.get(folder) {
                Some(What::Link) => {
                    found.deny(Rule::Link, format!("{} lies below a link", named(name)));
                }
                Some(What::File(_)) => found.deny(
                    Rule::Duplicate,
                    format!("{} lies below a file", named(name)),
                ),
                Some(What::Folder) | None => {}
            }
            if !self.above.insert(folder.to_owned()) {
                break;
            }
            above = folder;
        }
        if let Some(other) = self.folded.insert(placed.to_lowercase(), placed.to_owned())
            && other != placed
        {
            let message = format!(
                "{} and {} differ in case only",
                named(name),
                named(other.as_bytes())
            );
            found.warn(Rule::Case, message);
        }
        self.seen.insert(placed.to_owned(), what);
    }

    /// Whether a file of that path came before.
    pub(super) fn has_file(&self, path: &str) -> bool {
        let placed: Vec<&str> = path.split('/').skip(self.strip).collect();
        matches!(self.seen.get(&placed.join("/")), Some(What::File(_)))
    }
}

/// A name as a path: relative, inside its folder, one meaning. A leading `./` and a slash at the end are dropped.
pub(super) fn path(name: &[u8], found: &mut Problems) -> Option<String> {
    let mut bad = |why: &str| {
        found.deny(Rule::Path, format!("{} {why}", named(name)));
        None
    };
    if name.is_empty() || name.len() > MAX_NAME {
        return bad("is empty or too long");
    }
    let Ok(text) = std::str::from_utf8(name) else {
        return bad("is not UTF-8");
    };
    if text.chars().any(|c| c.is_control() || is_invisible(c)) {
        return bad("has control or invisible characters");
    }
    if text.contains('\\') {
        return bad("has a backslash, which some clients take for a slash");
    }
    if text.starts_with('/') {
        return bad("is absolute");
    }
    if text.as_bytes().get(1) == Some(&b':')
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
    {
        return bad("begins with a drive letter");
    }
    let mut segments = Vec::new();
    for segment in text.split('/') {
        match segment {
            ".." => return bad("leaves its folder"),
            "" | "." => {}
            segment => segments.push(segment),
        }
    }
    Some(segments.join("/"))
}

/// Characters that change how a name looks and not what it shows (Unicode's bidirectional and zero-width ones).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Whether a link at `path` with this target stays inside the archive's `depth` leading folders.
pub(super) fn stays_inside(path: &str, target: &str, depth: usize) -> bool {
    if target.starts_with('/') || target.contains('\\') {
        return false;
    }
    let mut at = path
        .split('/')
        .filter(|s| !s.is_empty())
        .count()
        .saturating_sub(1);
    for segment in target.split('/') {
        match segment {
            "" | "." => {}
            ".." if at <= depth => return false,
            ".." => at -= 1,
            _ => at += 1,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{Names, What, path, stays_inside};
    use crate::lint::{Problems, Rule};

    #[test]
    fn names_that_leave_or_hide_are_refused() {
        for bad in [
            "/x",
            "../x",
            "a/../../x",
            "C:/x",
            "a\\b",
            "a\u{202e}b",
            "a\nb",
            "",
            "a\0b",
        ] {
            let mut found = Problems::default();
            assert!(path(bad.as_bytes(), &mut found).is_none(), "{bad:?}");
            assert_eq!(found.finish()[0].rule, Rule::Path);
        }
        let mut found = Problems::default();
        assert_eq!(path(b"./a//b/", &mut found).unwrap(), "a/b");
        assert!(path(b"\xff", &mut found).is_none());
    }

    #[test]
    fn one_place_has_one_member() {
        let rules = |members: &[(&str, What)], strip| {
            let (mut names, mut found) = (Names::new(strip), Problems::default());
            for (name, what) in members {
                names.add(name.as_bytes(), *what, &mut found);
            }
            found.finish().iter().map(|p| p.rule).collect::<Vec<_>>()
        };
        assert!(
            rules(
                &[
                    ("a/", What::Folder),
                    ("a", What::Folder),
                    ("a/b", What::File(None))
                ],
                0
            )
            .is_empty()
        );
        assert_eq!(
            rules(&[("a/b", What::File(None)), ("./a/b", What::File(None))], 0),
            [Rule::Duplicate]
        );
        assert_eq!(
            rules(&[("x/b", What::File(None)), ("y/b", What::File(None))], 1),
            [Rule::Duplicate]
        );
        assert_eq!(
            rules(&[("a", What::File(None)), ("a/b", What::File(None))], 0),
            [Rule::Duplicate]
        );
        assert_eq!(
            rules(&[("a/b", What::File(None)), ("a", What::File(None))], 0),
            [Rule::Duplicate]
        );
        assert_eq!(
            rules(&[("a", What::Link), ("a/b", What::File(None))], 0),
            [Rule::Link]
        );
        assert_eq!(
            rules(&[("A", What::File(None)), ("a", What::File(None))], 0),
            [Rule::Case]
        );
    }

    #[test]
    fn links_stay_inside() {
        assert!(stays_inside("a/b", "c", 0));
        assert!(stays_inside("a/b", "../c", 0));
        assert!(!stays_inside("a/b", "../../c", 0));
        assert!(!stays_inside("a/b", "../c", 1));
        assert!(!stays_inside("a/b", "/etc/passwd", 0));
    }
}
