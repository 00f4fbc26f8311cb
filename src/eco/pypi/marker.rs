//! Markers of foreign lock files: those of PEP 508, and the two sets that PEP 751 adds (`extras`, `dependency_groups`).
//! Bounded before they reach the crate that reads them, which calls itself for each parenthesis.

use std::collections::BTreeSet;

use pep508_rs::{MarkerEnvironment, MarkerTree, VerbatimUrl};

use crate::eco::pypi::name::Name;

/// Longest marker, in bytes.
const MAX: usize = 16 << 10;
/// Deepest nesting of parentheses.
const MAX_NESTING: usize = 32;
/// What is said of a marker with letters that PEP 508 does not have.
pub(crate) const NOT_ASCII: &str = "a marker has characters that are not ASCII";

/// When something is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marker {
    /// As the environment says.
    Environment(MarkerTree),
    /// Whether a name is in one of the two sets.
    Member {
        /// The name.
        name: Name,
        /// The set.
        set: Set,
        /// Whether it must not be in it.
        negated: bool,
    },
    /// When all of these hold.
    All(Vec<Self>),
    /// When one of these holds.
    Any(Vec<Self>),
}

/// A set of names that the user chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// Extras of the project.
    Extras,
    /// Dependency groups of the project.
    Groups,
}

impl Marker {
    /// Reads a marker; the error says what is wrong, not escaped.
    pub fn parse(text: &str) -> Result<Self, String> {
        check(text)?;
        if !text.contains("extras") && !text.contains("dependency_groups") {
            return environment(text);
        }
        let mut reader = Reader {
            words: words(text)?,
            at: 0,
        };
        let marker = reader.any(0)?;
        match reader.peek() {
            None => Ok(marker),
            Some(word) => Err(format!("`{word}` stands where the marker should end")),
        }
    }

    /// Whether it holds in `env` with these extras and groups.
    pub fn holds(
        &self,
        env: &MarkerEnvironment,
        extras: &BTreeSet<Name>,
        groups: &BTreeSet<Name>,
    ) -> bool {
        match self {
            Self::Environment(tree) => tree.evaluate(env, &[]),
            Self::Member { name, set, negated } => {
                let set = match set {
                    Set::Extras => extras,
                    Set::Groups => groups,
                };
                set.contains(name) != *negated
            }
            Self::All(all) => all.iter().all(|marker| marker.holds(env, extras, groups)),
            Self::Any(any) => any.iter().any(|marker| marker.holds(env, extras, groups)),
        }
    }
}

/// Checks what must hold before anything recursive sees a marker, or a requirement with one.
pub fn check(text: &str) -> Result<(), String> {
    if text.len() > MAX {
        return Err(format!("a marker is longer than {MAX} bytes"));
    }
    let mut depth = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err(format!("a marker is nested deeper than {MAX_NESTING}"));
        }
    }
    Ok(())
}

fn environment(text: &str) -> Result<Marker, String> {
    // The library stops the program at some of them.
    if !text.is_ascii() {
        return Err(NOT_ASCII.to_owned());
    }
    let tree = MarkerTree::parse_str::<VerbatimUrl>(text).map_err(|e| e.message.to_string())?;
    Ok(Marker::Environment(tree))
}

/// Splits a marker into parentheses, quoted texts (with their quotes), and everything between spaces.
fn words(text: &str) -> Result<Vec<&str>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '(' | ')' => 1,
            '\'' | '"' => {
                let inside = rest.get(1..).and_then(|inside| inside.find(first));
                inside.ok_or("a text in a marker has no end")? + 2
            }
            _ => rest
                .find(|c: char| c.is_whitespace() || "()'\"".contains(c))
                .unwrap_or(rest.len()),
        };
        let (word, behind) = rest.split_at_checked(end).ok_or("a marker is cut")?;
        words.push(word);
        rest = behind.trim_start();
    }
    Ok(words)
}

/// Recursive descent; its depth is that of the parentheses, which [`check`] has bounded.
struct Reader<'a> {
    words: Vec<&'a str>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.peek();
        self.at += 1;
        word
    }

    fn any(&mut self, depth: usize) -> Result<Marker, String> {
        let mut parts = vec![self.all(depth)?];
        while self.peek() == Some("or") {
            self.at += 1;
            parts.push(self.all(depth)?);
        }
        Ok(one(parts, Marker::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Marker, String> {
        let mut parts = vec![self.atom(depth)?];
        while self.peek() == Some("and") {
            self.at += 1;
            parts.push(self.atom(depth)?);
        }
        Ok(one(parts, Marker::All))
    }

    fn atom(&mut self, depth: usize) -> Result<Marker, String> {
        if self.peek() == Some("(") {
            if depth == MAX_NESTING {
                return Err("a marker is nested too deep".to_owned());
            }
            self.at += 1;
            let inner = self.any(depth + 1)?;
            return match self.next() {
                Some(")") => Ok(inner),
                _ => Err("a parenthesis is not closed".to_owned()),
            };
        }
        let start = self.at;
        while !matches!(self.peek(), None | Some("and" | "or" | "(" | ")")) {
            self.at += 1;
        }
        let words = self.words.get(start..self.at).unwrap_or_default();
        let (name, negated, set) = match words {
            [name, "in", set @ ("extras" | "dependency_groups")] => (name, false, set),
            [name, "not", "in", set @ ("extras" | "dependency_groups")] => (name, true, set),
            _ => return environment(&words.join(" ")),
        };
        let name = name.trim_matches(['"', '\'']);
        Ok(Marker::Member {
            name: name
                .parse()
                .map_err(|_bad| format!("`{name}` is no name"))?,
            set: if *set == "extras" {
                Set::Extras
            } else {
                Set::Groups
            },
            negated,
        })
    }
}

/// A list of one is its only part.
fn one(mut parts: Vec<Marker>, of: fn(Vec<Marker>) -> Marker) -> Marker {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            of(parts)
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};

    use super::Marker;

    /// `CPython` of this version on Linux.
    pub(crate) fn env(python: &str, machine: &str) -> MarkerEnvironment {
        let full = format!("{python}.0");
        let builder = MarkerEnvironmentBuilder {
            implementation_name: "cpython",
            implementation_version: &full,
            os_name: "posix",
            platform_machine: machine,
            platform_python_implementation: "CPython",
            platform_release: "",
            platform_system: "Linux",
            platform_version: "",
            python_full_version: &full,
            python_version: python,
            sys_platform: "linux",
        };
        builder.try_into().unwrap()
    }

    fn holds(text: &str) -> bool {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|n| n.parse().unwrap())
                .collect::<BTreeSet<_>>()
        };
        let marker = Marker::parse(text).unwrap();
        marker.holds(
            &env("3.12", "x86_64"),
            &names(&["ui", "a-b"]),
            &names(&["dev"]),
        )
    }

    #[test]
    fn environments_and_the_two_sets() {
        for yes in [
            "sys_platform == 'linux'",
            "python_full_version >= '3.12' and python_full_version < '3.13'",
            "'ui' in extras",
            "\"A_B\" in extras",
            "'dev' in dependency_groups",
            "'x' not in extras and (sys_platform == 'win32' or 'dev' in dependency_groups)",
            "'x' in extras or 'ui' in extras and python_version in '3.11 3.12'",
        ] {
            assert!(holds(yes), "{yes}");
        }
        for no in [
            "sys_platform == 'win32'",
            "'x' in extras",
            "'ui' not in extras",
            "'ui' in dependency_groups",
            "'ui' in extras and sys_platform == 'win32'",
            "('x' in extras or 'ui' in extras) and platform_machine == 'aarch64'",
        ] {
            assert!(!holds(no), "{no}");
        }
    }

    #[test]
    fn hostile_markers_are_refused() {
        let deep = format!(
            "{}'a' in extras{}",
            "(".repeat(100_000),
            ")".repeat(100_000)
        );
        let nested = format!("{}'a' in extras{}", "(".repeat(40), ")".repeat(40));
        let long = "'a' in extras or ".repeat(2_000);
        for bad in [
            deep.as_str(),
            &nested,
            &long,
            "",
            "'a' in extras or",
            "('a' in extras",
            "'a' in extras)",
            "'a in extras",
            "'é/' in extras",
            "'a' in extras 'b'",
            "os_name = 'posix'",
        ] {
            Marker::parse(bad).unwrap_err();
        }
    }
}
