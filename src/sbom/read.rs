//! Reads a CycloneDX JSON SBOM down to what can be compared: package URLs and digests. Everything else is skipped
//! while it is parsed, so memory is proportional to the components.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::base::digest::{Digest, Sha512};
use crate::base::text::{escaped, quoted};
use crate::sbom::{BUNDLED_IN, SbomError};

/// A component as the SBOM has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SbomComponent {
    /// Its package URL, not escaped.
    pub purl: String,
    /// SHA-256 of each of its files, sorted. Empty for a component inside another one's archive.
    pub sha256: Vec<Digest>,
    /// SHA-512 of each of its files, sorted.
    pub sha512: Vec<Sha512>,
    /// Whether it is declared to lie inside another component's archive.
    pub bundled: bool,
}

/// Every component of a CycloneDX 1.5 to 1.7 document, nested ones too, sorted by package URL. The component that
/// the document is about is not one of them.
///
/// Refused: what is not CycloneDX JSON, a component without package URL, two with the same one, a malformed
/// SHA-256 or SHA-512, and a component that has neither a SHA-256 nor the declaration of being bundled.
pub fn components(bytes: &[u8]) -> Result<Vec<SbomComponent>, SbomError> {
    let format = |reason: String| SbomError::Format { reason };
    let bom: Bom = serde_json::from_slice(bytes).map_err(|e| format(escaped(&e.to_string())))?;
    if bom.format != "CycloneDX" {
        return Err(format(format!("format {}", quoted(&bom.format))));
    }
    if !matches!(bom.spec_version.as_str(), "1.5" | "1.6" | "1.7") {
        let version = quoted(&bom.spec_version);
        return Err(format(format!("CycloneDX {version} is not 1.5 to 1.7")));
    }
    let mut out = Vec::with_capacity(bom.components.len());
    let mut pending = bom.components;
    while let Some(mut raw) = pending.pop() {
        pending.append(&mut raw.components);
        out.push(component(raw)?);
    }
    out.sort();
    let mut seen = BTreeSet::new();
    for component in &out {
        if !seen.insert(component.purl.as_str()) {
            return Err(SbomError::Component {
                component: quoted(&component.purl),
                reason: "is listed twice",
            });
        }
    }
    Ok(out)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bom {
    #[serde(rename = "bomFormat")]
    format: String,
    spec_version: String,
    #[serde(default)]
    components: Vec<RawComponent>,
}

#[derive(Deserialize)]
struct RawComponent {
    name: String,
    purl: Option<String>,
    #[serde(default)]
    hashes: Vec<RawHash>,
    #[serde(default)]
    properties: Vec<RawProperty>,
    #[serde(default)]
    components: Vec<Self>,
}

/// A digest as CycloneDX has it.
#[derive(Deserialize)]
pub(super) struct RawHash {
    pub(super) alg: String,
    pub(super) content: String,
}

#[derive(Deserialize)]
struct RawProperty {
    name: Option<String>,
}

fn component(raw: RawComponent) -> Result<SbomComponent, SbomError> {
    let shown = quoted(raw.purl.as_deref().unwrap_or(&raw.name));
    let fail = |reason| SbomError::Component {
        component: shown.clone(),
        reason,
    };
    let Some(purl) = raw.purl else {
        return Err(fail("has no package URL"));
    };
    let (mut sha256, mut sha512) = (Vec::new(), Vec::new());
    for hash in &raw.hashes {
        match hash.alg.as_str() {
            "SHA-256" => {
                let found = Digest::from_hex(&hash.content);
                sha256.push(found.map_err(|_bad| fail("has a malformed SHA-256"))?);
            }
            "SHA-512" => {
                let found = Sha512::from_hex(&hash.content);
                sha512.push(found.map_err(|_bad| fail("has a malformed SHA-512"))?);
            }
            _ => {}
        }
    }
    let bundled = raw
        .properties
        .iter()
        .any(|p| p.name.as_deref() == Some(BUNDLED_IN));
    if sha256.is_empty() && !bundled {
        return Err(fail("has no SHA-256"));
    }
    sha256.sort();
    sha512.sort();
    Ok(SbomComponent {
        purl,
        sha256,
        sha512,
        bundled,
    })
}

#[cfg(test)]
mod tests {
    use super::components;
    use crate::base::digest::Digest;

    fn read(components_json: &str) -> Result<Vec<super::SbomComponent>, crate::sbom::SbomError> {
        let text = format!(
            r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","x":[1.5,null],"components":[{components_json}]}}"#
        );
        components(text.as_bytes())
    }

    #[test]
    fn nested_components_are_not_overlooked() {
        let hash = Digest::of(b"a").hex();
        let found = read(&format!(
            r#"{{"name":"b","purl":"pkg:npm/b@1","hashes":[{{"alg":"SHA-256","content":"{hash}"}}],
            "components":[{{"name":"a","purl":"pkg:npm/a@1","properties":[{{"name":"stage:bundled-in","value":"b@1"}}]}}]}}"#
        ))
        .unwrap();
        assert_eq!(found[0].purl, "pkg:npm/a@1");
        assert!(found[0].bundled && found[0].sha256.is_empty());
        assert_eq!(found[1].sha256, [Digest::of(b"a")]);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let hash = Digest::of(b"a").hex();
        let good = format!(
            r#"{{"name":"a","purl":"pkg:npm/a@1","hashes":[{{"alg":"SHA-256","content":"{hash}"}}]}}"#
        );
        assert_eq!(read(&good).unwrap().len(), 1);
        let upper = good.replace(&hash, &hash.to_uppercase());
        let cases = [
            (format!("{good},{good}"), "is listed twice"),
            (upper, "has a malformed SHA-256"),
            (r#"{"name":"a"}"#.to_owned(), "has no package URL"),
            (
                r#"{"name":"a","purl":"pkg:npm/a@1","hashes":[{"alg":"SHA-1","content":"00"}]}"#
                    .to_owned(),
                "has no SHA-256",
            ),
        ];
        for (json, reason) in cases {
            let error = read(&json).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        for json in [
            "",
            "[]",
            "{}",
            r#"{"bomFormat":"SPDX","specVersion":"1.6"}"#,
            r#"{"bomFormat":"CycloneDX","specVersion":"2.0"}"#,
            r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[],"components":[]}"#,
            r#"{"bomFormat":"CycloneDX","specVersion":"1.6"} x"#,
        ] {
            assert!(components(json.as_bytes()).is_err(), "{json}");
        }
    }
}
