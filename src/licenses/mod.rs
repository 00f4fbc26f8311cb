//! Licenses that only the files of packages tell: those of Debian packages, and the texts of those that others declare in
//! words of their own. They are read when a bundle is made, stand in its SBOM, and travel as `evidence/licenses.json`, by
//! which the enclave's policy judges; locks do not have them.

#[cfg(feature = "connected")]
mod read;
#[cfg(feature = "connected")]
mod text;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::base::finding::Finding;
use crate::base::json;
use crate::base::limits::LIMITS;
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::text::visible;
use crate::lock::Lock;

#[cfg(feature = "connected")]
pub use read::read;

/// Name of the document in the folder of evidence.
pub const DOCUMENT: &str = "licenses.json";
/// The code of what a policy says of licenses that are no SPDX expression.
const UNKNOWN: &str = "policy-license-unknown";
/// Most characters of a text that a finding shows.
const MOST_SHOWN: usize = 200;
const SCHEMA: &str = "stage/licenses-evidence/v1";

/// What one package says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Said {
    /// An SPDX expression, or words; may be empty.
    license: String,
    /// The text of its license file, where the words are no expression.
    text: Option<String>,
}

/// What packages say of their licenses: SPDX expressions, or their own words, these with the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Licenses(BTreeMap<(EcosystemId, ReleaseId), Said>);

impl Licenses {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lock with these licenses, for who judges or describes it; not for writing. A package whose files were to tell
    /// and do not has an empty one.
    pub fn described(&self, lock: &Lock) -> Lock {
        let mut lock = lock.clone();
        let debian = EcosystemId::debian();
        for package in &mut lock.packages {
            if package.ecosystem == debian && package.license.is_none() && package.is_carried() {
                let known = self.0.get(&(debian.clone(), package.id()));
                let license = known.map(|said| said.license.clone());
                package.license = Some(license.unwrap_or_default());
            }
        }
        lock
    }

    /// Texts of licenses that have no identifier, for an SBOM.
    pub fn texts(&self) -> BTreeMap<(EcosystemId, ReleaseId), String> {
        let texts = self.0.iter();
        texts
            .filter_map(|(key, said)| Some((key.clone(), said.text.clone()?)))
            .collect()
    }

    /// Says in findings about unknown licenses how the text begins.
    pub fn tell<'f>(&self, findings: impl Iterator<Item = &'f mut Finding>) {
        for finding in findings.filter(|finding| finding.code.name == UNKNOWN) {
            let key = || {
                let (ecosystem, release) = finding.subject.split_once(' ')?;
                Some((ecosystem.parse().ok()?, release.parse().ok()?))
            };
            let text = key().and_then(|key| self.0.get(&key)?.text.as_deref());
            let line = text.and_then(|text| text.lines().find(|line| !line.trim().is_empty()));
            if let Some(line) = line {
                let line: String = line.trim().chars().take(MOST_SHOWN).collect();
                finding.message = format!("{}; its text begins \"{line}\"", finding.message);
            }
        }
    }

    /// The document that travels.
    pub fn document(&self) -> Vec<u8> {
        let all = self.0.iter();
        let all: Vec<Value> = all
            .map(|((ecosystem, release), said)| {
                let license = visible(&said.license);
                let mut one =
                    json!({"ecosystem": ecosystem, "release": release, "license": license});
                if let (Value::Object(fields), Some(text)) = (&mut one, &said.text) {
                    fields.insert("text".to_owned(), json!(text));
                }
                one
            })
            .collect();
        json::canonical(&json!({"schema": SCHEMA, "licenses": all}))
    }

    /// Reads that document. What is not understood says nothing: a license that nobody states is unknown.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        let Ok(document) = json::parse(bytes, LIMITS.metadata) else {
            return found;
        };
        let text = |value: &Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
        if text(&document, "schema").as_deref() != Some(SCHEMA) {
            return found;
        }
        let listed = document.get("licenses").and_then(Value::as_array);
        for entry in listed.into_iter().flatten() {
            let read = || {
                let ecosystem: EcosystemId = text(entry, "ecosystem")?.parse().ok()?;
                let release: ReleaseId = text(entry, "release")?.parse().ok()?;
                let said = Said {
                    license: text(entry, "license")?,
                    text: text(entry, "text").as_deref().map(readable),
                };
                Some(((ecosystem, release), said))
            };
            found.0.extend(read());
        }
        found
    }
}

/// A text line by line, with what does not show itself escaped.
fn readable(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| visible(&line.replace('\t', "    ")));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::{Licenses, Said};
    use crate::base::package::{EcosystemId, ReleaseId};

    #[test]
    fn what_is_written_is_read_and_anything_else_says_nothing() {
        let key = |ecosystem, version| (ecosystem, ReleaseId::new("a", version));
        let said = |license: &str, text: Option<&str>| Said {
            license: license.to_owned(),
            text: text.map(str::to_owned),
        };
        let debian = said("MIT AND GPL-2.0-or-later", None);
        let npm = said("SEE LICENSE IN x", Some("Terms\nof use"));
        let licenses = Licenses(
            [
                (key(EcosystemId::debian(), "1-1"), debian),
                (key(EcosystemId::npm(), "1.0.0"), npm),
            ]
            .into(),
        );
        assert_eq!(Licenses::parse(&licenses.document()), licenses);
        for bad in [
            "",
            "[]",
            "{\"licenses\":[1]}",
            r#"{"schema":"stage/licenses-evidence/v9","licenses":[{"ecosystem":"debian","release":"a@1","license":"MIT"}]}"#,
            r#"{"schema":"stage/licenses-evidence/v1","licenses":[{"ecosystem":"debian","release":"a","license":7},0]}"#,
        ] {
            assert!(Licenses::parse(bad.as_bytes()).is_empty(), "{bad}");
        }
    }
}
