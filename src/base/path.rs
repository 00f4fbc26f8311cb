//! Paths inside a bundle.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest path, in bytes.
const MAX_PATH: usize = 1024;
/// Most segments of a path.
const MAX_DEPTH: usize = 16;
/// Longest segment, in grammar units (`%3a` counts as one).
const MAX_SEGMENT: usize = 200;

/// Why a text is not a path that may be carried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Longer than 1,024 bytes or deeper than 16 segments.
    #[error("path is longer than 1024 bytes or deeper than 16 segments: {path}")]
    TooLong {
        /// The path, quoted and escaped.
        path: String,
    },
    /// A segment outside the grammar.
    #[error("path has an unsafe segment: {path}")]
    Segment {
        /// The path, quoted and escaped.
        path: String,
    },
    /// Two paths that are one on a case-insensitive file system, or a file that is also a directory.
    #[error("paths collide: {one} and {other}")]
    Collision {
        /// One path, quoted and escaped.
        one: String,
        /// The other, quoted and escaped.
        other: String,
    },
}

/// A relative path with `/` between 1 to 16 segments. A segment is a lone `-`, or starts with an ASCII letter,
/// digit, `@` or `_` and goes on with those, `.+~=,-` or `%3a`, at most 200 long, without a dot at the end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RelPath(String);

impl RelPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments in order.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl FromStr for RelPath {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.len() > MAX_PATH || text.split('/').count() > MAX_DEPTH {
            return Err(PathError::TooLong {
                path: crate::base::text::quoted(text),
            });
        }
        if !text.split('/').all(is_segment) {
            return Err(PathError::Segment {
                path: crate::base::text::quoted(text),
            });
        }
        Ok(Self(text.to_owned()))
    }
}

fn is_segment(segment: &str) -> bool {
    if segment == "-" {
        return true;
    }
    let mut chars = segment.chars();
    let Some(first) = chars.next() else {
        return false;
    };
    if !(first.is_ascii_alphanumeric() || matches!(first, '@' | '_')) || segment.ends_with('.') {
        return false;
    }
    let mut units = 1;
    while let Some(c) = chars.next() {
        units += 1;
        let ok = c.is_ascii_alphanumeric()
            || matches!(c, '.' | '_' | '+' | '~' | '@' | '=' | ',' | '-')
            || (c == '%' && chars.next() == Some('3') && chars.next() == Some('a'));
        if !ok || units > MAX_SEGMENT {
            return false;
        }
    }
    true
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Serialize for RelPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Checks a whole set of paths: no two equal ignoring ASCII case, none both file and directory, no directory
/// spelled in two ways.
pub fn check_tree<'a>(paths: impl IntoIterator<Item = &'a RelPath>) -> Result<(), PathError> {
    let collision = |one: &str, other: &str| PathError::Collision {
        one: crate::base::text::quoted(one),
        other: crate::base::text::quoted(other),
    };
    let mut files: BTreeMap<String, &str> = BTreeMap::new();
    let mut directories: BTreeMap<String, &str> = BTreeMap::new();
    for path in paths {
        let path = path.as_str();
        if let Some(other) = files.insert(path.to_ascii_lowercase(), path) {
            return Err(collision(path, other));
        }
        for (end, _slash) in path.match_indices('/') {
            let directory = path.get(..end).unwrap_or(path);
            let known = *directories
                .entry(directory.to_ascii_lowercase())
                .or_insert(directory);
            if known != directory {
                return Err(collision(directory, known));
            }
        }
    }
    for (lower, path) in &files {
        if let Some(directory) = directories.get(lower) {
            return Err(collision(path, directory));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{RelPath, check_tree};

    #[test]
    fn the_grammar_accepts_registry_names_and_nothing_that_leaves() {
        for good in [
            "a",
            "@scope/name/-/x-1.0.0.tgz",
            "_a",
            "a%3ab",
            "a+b~c=d,e",
            "a..b",
            &"a".repeat(200),
        ] {
            assert!(good.parse::<RelPath>().is_ok(), "{good}");
        }
        let bad = [
            "",
            ".",
            "..",
            "../x",
            "/etc",
            "a//b",
            "a/",
            "a/./b",
            "a/../b",
            "a/..",
            "a.",
            ".hidden",
            "-x",
            "--",
            "a b",
            "a\0",
            "a\n",
            "é",
            "a%3A",
            "a%2f",
            "a%",
            "a\\b",
            "a:b",
            &"a".repeat(201),
            &vec!["a"; 17].join("/"),
            &vec!["a".repeat(120); 9].join("/"),
        ];
        for bad in bad {
            assert!(bad.parse::<RelPath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn trees_without_collisions_only() {
        let tree = |paths: &[&str]| {
            let paths: Vec<RelPath> = paths.iter().map(|p| p.parse().unwrap()).collect();
            check_tree(&paths)
        };
        assert_eq!(tree(&["a/b", "a/c", "d"]), Ok(()));
        for bad in [
            &["a", "a"][..],
            &["a/README", "a/readme"],
            &["a", "a/b"],
            &["A/x", "a/y"],
            &["A", "a/b"],
        ] {
            assert!(tree(bad).is_err(), "{bad:?}");
        }
    }
}
