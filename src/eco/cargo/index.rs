//! One version of a crate as a registry index describes it: a line of a sparse index file. What a line holds that cargo
//! reads is kept; everything else is left out, so that records have a fixed set of fields.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::digest::Digest;
use crate::base::package::ReleaseId;

/// Most bytes of one line.
const MAX_LINE: usize = 1 << 20;
/// Most lines of one file.
const MAX_LINES: usize = 100_000;

/// What cargo reads of a version. Field names are the index's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexVersion {
    /// SHA-256 of the `.crate` file, in hex.
    pub cksum: String,
    /// Dependencies of every kind, in the index's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deps: Vec<IndexDependency>,
    /// Features.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub features: BTreeMap<String, Vec<String>>,
    /// Features in the newer syntax (`dep:`, `?/`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features2: Option<BTreeMap<String, Vec<String>>>,
    /// Whether the publisher has taken it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub yanked: bool,
    /// The native library it links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<String>,
    /// Oldest Rust that builds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rust_version: Option<String>,
    /// When it was published (RFC 3339), where the index says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pubtime: Option<String>,
    /// Version of the line's format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v: Option<u32>,
}

/// One dependency of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexDependency {
    /// Name in the manifest; the crate's own unless `package` is set.
    pub name: String,
    /// Versions that will do.
    pub req: String,
    /// Features that are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// Whether only a feature brings it in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Whether its default features are asked for.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub default_features: bool,
    /// The platforms it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `normal`, `build` or `dev`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Address of the index it is in, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// Name of the crate, where it was renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

const fn yes() -> bool {
    true
}

impl IndexDependency {
    /// Name of the crate.
    pub fn crate_name(&self) -> &str {
        self.package.as_deref().unwrap_or(&self.name)
    }

    /// Whether a build of the crate that has it needs it, and not only its tests.
    pub fn is_for_builds(&self) -> bool {
        self.kind.as_deref() != Some("dev")
    }
}

impl IndexVersion {
    /// The checksum of the `.crate` file; `None` when the index states no SHA-256.
    pub fn checksum(&self) -> Option<Digest> {
        Digest::from_hex(&self.cksum).ok()
    }

    /// The line that an index file has for this version of `release`, without the end of the line.
    pub fn line(&self, release: &ReleaseId) -> Vec<u8> {
        let deps: Vec<Value> = self.deps.iter().map(dependency).collect();
        let mut line = serde_json::json!({
            "name": release.name,
            "vers": release.version,
            "deps": deps,
            "cksum": self.cksum,
            "features": self.features,
            "yanked": self.yanked,
        });
        if let Value::Object(map) = &mut line {
            let mut put = |key: &str, value: Option<Value>| {
                if let Some(value) = value {
                    map.insert(key.to_owned(), value);
                }
            };
            put(
                "features2",
                self.features2.as_ref().map(|f| serde_json::json!(f)),
            );
            put("links", self.links.clone().map(Value::from));
            put("rust_version", self.rust_version.clone().map(Value::from));
            put("pubtime", self.pubtime.clone().map(Value::from));
            put("v", self.v.map(Value::from));
        }
        crate::base::json::canonical(&line)
    }
}

fn dependency(of: &IndexDependency) -> Value {
    serde_json::json!({
        "name": of.name,
        "req": of.req,
        "features": of.features,
        "optional": of.optional,
        "default_features": of.default_features,
        "target": of.target,
        "kind": of.kind.as_deref().unwrap_or("normal"),
        "registry": of.registry,
        "package": of.package,
    })
}

/// An index file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct IndexError {
    /// Why, escaped.
    pub reason: String,
}

impl IndexError {
    fn new(reason: &dyn std::fmt::Display) -> Self {
        Self {
            reason: crate::base::text::escaped(&reason.to_string()),
        }
    }
}

/// The beginning of what a line says.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    vers: Cow<'a, str>,
    #[serde(default)]
    yanked: Option<bool>,
    #[serde(default, borrow)]
    pubtime: Option<Cow<'a, str>>,
    #[serde(default)]
    v: Option<u32>,
}

/// One version in an index file, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The version.
    pub version: String,
    /// Whether the publisher has taken it back.
    pub yanked: bool,
    /// When it was published, where the index says it.
    pub pubtime: Option<String>,
}

/// Every version in the index file of `name`, in its order. Lines of a format that is not known yet are invisible (The
/// Cargo Book, "Registry Index", field `v`).
pub fn list(name: &str, file: &[u8]) -> Result<Vec<Listed>, IndexError> {
    let mut listed = Vec::new();
    each(name, file, |head, _line| {
        listed.push(Listed {
            version: head.vers.into_owned(),
            yanked: head.yanked.unwrap_or(false),
            pubtime: head.pubtime.map(Cow::into_owned),
        });
        Ok(())
    })?;
    Ok(listed)
}

/// Those of `wanted` that are in the index file of `name`. Fields that cargo does not read are dropped.
pub fn read(
    name: &str,
    file: &[u8],
    wanted: &BTreeSet<String>,
) -> Result<BTreeMap<String, IndexVersion>, IndexError> {
    let mut versions = BTreeMap::new();
    each(name, file, |head, line| {
        if wanted.contains(head.vers.as_ref()) {
            let mut map = serde_json::from_slice(line).map_err(|e| IndexError::new(&e))?;
            tidy(&mut map);
            let value = serde_json::from_value(Value::Object(map));
            versions.insert(
                head.vers.into_owned(),
                value.map_err(|e| IndexError::new(&e))?,
            );
        }
        Ok(())
    })?;
    Ok(versions)
}

fn each(
    name: &str,
    file: &[u8],
    mut found: impl FnMut(Head<'_>, &[u8]) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    for (number, line) in file.split(|b| *b == b'\n').enumerate() {
        if number >= MAX_LINES || line.len() > MAX_LINE {
            return Err(IndexError::new(&"it is longer than any index file"));
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let head: Head<'_> = serde_json::from_slice(line).map_err(|e| IndexError::new(&e))?;
        if !head.name.eq_ignore_ascii_case(name) {
            return Err(IndexError::new(&format_args!(
                "a line is about {}",
                head.name
            )));
        }
        let known = head.v.unwrap_or(1) <= 2 && super::is_version(&head.vers);
        if known && head.name == name {
            found(head, line)?;
        }
    }
    Ok(())
}

/// Leaves the fields that are kept, and no `null`.
fn tidy(line: &mut serde_json::Map<String, Value>) {
    const OWN: [&str; 9] = [
        "cksum",
        "deps",
        "features",
        "features2",
        "yanked",
        "links",
        "rust_version",
        "pubtime",
        "v",
    ];
    const OF_DEPENDENCY: [&str; 9] = [
        "name",
        "req",
        "features",
        "optional",
        "default_features",
        "target",
        "kind",
        "registry",
        "package",
    ];
    line.retain(|key, value| OWN.contains(&key.as_str()) && !value.is_null());
    let deps = line.get_mut("deps").and_then(Value::as_array_mut);
    for dep in deps.into_iter().flatten().filter_map(Value::as_object_mut) {
        dep.retain(|key, value| OF_DEPENDENCY.contains(&key.as_str()) && !value.is_null());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{IndexError, IndexVersion, list, read};
    use crate::base::package::ReleaseId;

    const LINE: &str = r#"{"name":"a","vers":"1.0.0","deps":[{"name":"x","req":"^1","features":[],"optional":false,"default_features":true,"target":null,"kind":"normal","package":"y","new":1}],"cksum":"ab","features":{"f":["x"]},"yanked":true,"links":null,"rust_version":"1.60","extra":[]}"#;

    fn all(file: &str) -> Result<BTreeMap<String, IndexVersion>, IndexError> {
        let listed = list("a", file.as_bytes())?;
        let wanted = listed.into_iter().map(|l| l.version).collect();
        read("a", file.as_bytes(), &wanted)
    }

    #[test]
    fn a_line_keeps_what_cargo_reads_and_is_written_again() {
        let versions = all(&format!("{LINE}\n\n")).unwrap();
        let version = &versions["1.0.0"];
        assert_eq!(version.deps.first().unwrap().crate_name(), "y");
        assert!(version.yanked && version.links.is_none());
        let line = version.line(&ReleaseId::new("a", "1.0.0"));
        assert_eq!(all(std::str::from_utf8(&line).unwrap()).unwrap(), versions);
        let stored = serde_json::to_string(version).unwrap();
        assert_eq!(
            serde_json::from_str::<IndexVersion>(&stored).unwrap(),
            *version
        );
        let other = BTreeSet::from(["2.0.0".to_owned()]);
        assert!(read("a", LINE.as_bytes(), &other).unwrap().is_empty());
    }

    #[test]
    fn hostile_files_are_errors_and_unknown_formats_invisible() {
        let odd = LINE.replace(r#""deps":["#, r#""deps":["x","#);
        for bad in [
            "{",
            "[]",
            "7",
            "<html>",
            r#"{"name":"b","vers":"1.0.0"}"#,
            "{}",
            &odd,
        ] {
            all(bad).expect_err(bad);
        }
        let newer = LINE.replace(r#""yanked":true"#, r#""yanked":true,"v":3"#);
        let path = LINE.replace(r#""vers":"1.0.0""#, r#""vers":"../1.0.0""#);
        for invisible in [newer, path] {
            assert!(all(&invisible).unwrap().is_empty(), "{invisible}");
        }
    }
}
