//! Licenses that only the files of packages tell: those of Debian packages. They are read when a bundle is made, stand in
//! its SBOM, and travel as `evidence/licenses.json`, by which the enclave's policy judges; locks do not have them.

#[cfg(feature = "connected")]
mod read;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::base::json;
use crate::base::limits::LIMITS;
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::text::visible;
use crate::lock::Lock;

#[cfg(feature = "connected")]
pub use read::read;

/// Name of the document in the folder of evidence.
pub const DOCUMENT: &str = "licenses.json";
const SCHEMA: &str = "stage/licenses-evidence/v1";

/// What packages say of their licenses: SPDX expressions, or their own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Licenses(BTreeMap<(EcosystemId, ReleaseId), String>);

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
                package.license = Some(known.cloned().unwrap_or_default());
            }
        }
        lock
    }

    /// The document that travels.
    pub fn document(&self) -> Vec<u8> {
        let all = self.0.iter();
        let all: Vec<Value> = all
            .map(|((ecosystem, release), text)| {
                json!({"ecosystem": ecosystem, "release": release, "license": visible(text)})
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
                Some(((ecosystem, release), text(entry, "license")?))
            };
            found.0.extend(read());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::Licenses;
    use crate::base::package::{EcosystemId, ReleaseId};

    #[test]
    fn what_is_written_is_read_and_anything_else_says_nothing() {
        let key = (EcosystemId::debian(), ReleaseId::new("a", "1-1"));
        let licenses = Licenses([(key, "MIT AND GPL-2.0-or-later".to_owned())].into());
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
