//! Names of ecosystems and releases, and package URLs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The lowercase id of an ecosystem: `npm`, `pypi`, `debian`, `cargo` or `file`. Only `eco::by_id` turns it into code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct EcosystemId(String);

impl EcosystemId {
    /// The ecosystem of npm packages.
    pub fn npm() -> Self {
        Self("npm".to_owned())
    }

    /// The ecosystem of plain files with a URL and a digest.
    pub fn file() -> Self {
        Self("file".to_owned())
    }

    /// The ecosystem of Python packages.
    pub fn pypi() -> Self {
        Self("pypi".to_owned())
    }

    /// The ecosystem of Debian packages.
    pub fn debian() -> Self {
        Self("debian".to_owned())
    }

    /// The ecosystem of Rust crates.
    pub fn cargo() -> Self {
        Self("cargo".to_owned())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EcosystemId {
    type Err = PackageError;
    fn from_str(text: &str) -> Result<Self, PackageError> {
        let ok = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase());
        if ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(PackageError {
                expected: "ecosystem id",
                found: crate::base::text::quoted(text),
            })
        }
    }
}

impl<'de> Deserialize<'de> for EcosystemId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for EcosystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that does not name a package, release or ecosystem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {expected}: {found}")]
pub struct PackageError {
    /// What was expected.
    pub expected: &'static str,
    /// The text that was found, quoted and escaped.
    pub found: String,
}

/// A package at a version, in one ecosystem, written `name@version`. The ecosystem has checked both parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReleaseId {
    /// The name as the ecosystem publishes it.
    pub name: String,
    /// The version as published.
    pub version: String,
}

impl ReleaseId {
    /// From the two parts.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
        }
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

impl FromStr for ReleaseId {
    type Err = PackageError;

    /// Splits at the last `@` that is not the first character (`@scope/name@1.0.0`).
    fn from_str(text: &str) -> Result<Self, PackageError> {
        match text.rsplit_once('@') {
            Some((name, version)) if !name.is_empty() && !version.is_empty() => {
                Ok(Self::new(name, version))
            }
            _ => Err(PackageError {
                expected: "name@version",
                found: crate::base::text::quoted(text),
            }),
        }
    }
}

impl Serialize for ReleaseId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReleaseId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A package URL (ECMA-427) such as `pkg:npm/%40scope/name@1.0.0`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Purl(String);

impl Purl {
    /// From type, path segments of namespace and name, version, and qualifiers in order of their keys. Everything
    /// but letters, digits and `.-_~` is percent-encoded (`:` stays).
    pub fn new(kind: &str, segments: &[&str], version: &str, qualifiers: &[(&str, &str)]) -> Self {
        let path: Vec<String> = segments.iter().map(|s| encode(s)).collect();
        let mut text = format!("pkg:{kind}/{}@{}", path.join("/"), encode(version));
        for (index, (key, value)) in qualifiers.iter().enumerate() {
            text.push(if index == 0 { '?' } else { '&' });
            text.push_str(key);
            text.push('=');
            text.push_str(&encode(value));
        }
        Self(text)
    }

    /// The same with more qualifiers, in order of their keys.
    #[must_use]
    pub fn qualified(&self, qualifiers: &[(&str, String)]) -> Self {
        let mut text = self.0.clone();
        for (key, value) in qualifiers {
            let sign = if text.contains('?') { '&' } else { '?' };
            text.push(sign);
            text.push_str(key);
            text.push('=');
            text.push_str(&encode(value));
        }
        Self(text)
    }

    /// The purl as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~' | b':') {
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
    use super::{Purl, ReleaseId};

    #[test]
    fn purls_encode_scopes_and_build_metadata() {
        let purl = Purl::new("npm", &["@scope", "name"], "1.0.0+b", &[]);
        assert_eq!(purl.as_str(), "pkg:npm/%40scope/name@1.0.0%2Bb");
        let purl = Purl::new("generic", &["f"], "1", &[("checksum", "sha256:ab")]);
        assert_eq!(purl.as_str(), "pkg:generic/f@1?checksum=sha256:ab");
    }

    #[test]
    fn release_ids_split_at_the_last_at() {
        let id: ReleaseId = "@a/b@1.0.0".parse().unwrap();
        assert_eq!((id.name.as_str(), id.version.as_str()), ("@a/b", "1.0.0"));
        "@a/b".parse::<ReleaseId>().unwrap_err();
        "a@".parse::<ReleaseId>().unwrap_err();
    }
}
