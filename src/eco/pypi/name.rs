//! Project names (PyPA specification "Names and normalization", PEP 503 and 508): a name is written in many ways and
//! normalized to one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::package::PackageError;
use crate::base::text::quoted;

/// Longest name, in characters.
const MAX: usize = 128;

/// A normalized project name: lowercase letters and digits, in parts joined by one `-`. Made from any way of writing
/// it; a document of ours has it normalized already.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// The normalized text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = PackageError;

    fn from_str(text: &str) -> Result<Self, PackageError> {
        if is_name(text) {
            Ok(Self(normalized(text)))
        } else {
            let found = quoted(text);
            let expected = "Python project name";
            Err(PackageError { expected, found })
        }
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let name: Self = text.parse().map_err(serde::de::Error::custom)?;
        if name.0 == text {
            Ok(name)
        } else {
            let message = format!("{} is not a normalized name", quoted(&text));
            Err(serde::de::Error::custom(message))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `text` is a project name as it may be published: ASCII letters, digits, `.`, `-` and `_`, with a letter or
/// digit at both ends, at most 128 characters.
pub fn is_name(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    text.len() <= MAX
        && text.starts_with(ends)
        && text.ends_with(ends)
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

/// `text` in lowercase with each run of `.`, `-` and `_` as one `-`.
pub fn normalized(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if !matches!(c, '.' | '-' | '_') {
            out.push(c.to_ascii_lowercase());
        } else if !out.ends_with('-') {
            out.push('-');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Name, is_name};

    #[test]
    fn names_are_normalized_as_the_specification_says() {
        for text in [
            "friendly-bard",
            "Friendly-Bard",
            "FRIENDLY.BARD",
            "friendly_bard",
            "FrIeNdLy-._.-bArD",
        ] {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), "friendly-bard");
        }
        assert_eq!("A".parse::<Name>().unwrap().as_str(), "a");
    }

    #[test]
    fn what_is_no_name_never_reaches_a_path() {
        for bad in [
            "",
            ".",
            "..",
            "-a",
            "a-",
            "_a",
            "a/b",
            "a b",
            "é",
            "a\u{212a}",
            "a\n",
            "a[b]",
            "%2e",
        ] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(!is_name(&"a".repeat(129)));
        let read = serde_json::from_str::<Name>;
        read("\"a-b\"").unwrap();
        read("\"a_b\"").unwrap_err();
    }
}
