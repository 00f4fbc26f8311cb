//! Writes an SBOM as SPDX 2.3 JSON (ISO/IEC 5962 and its successor), made of the CycloneDX document, so that both say the
//! same. The same document gives the same bytes, and the namespace is derived from its serial number.
//!
//! A component of one file is a package with its checksums. A component of several is a package that contains one package
//! for each file: SPDX has no place for several files' checksums in one, and its files must have a SHA-1.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::base::digest::Digest;
use crate::base::json::canonical;
use crate::base::text::visible;
use crate::sbom::document::{Document, Part, PartFile, Terms};
use crate::sbom::{BUNDLED_IN, UNKNOWN};

const DOCUMENT: &str = "SPDXRef-DOCUMENT";

/// What is written of licenses that SPDX has no identifier for.
#[derive(Default)]
struct Extracted(BTreeMap<String, Value>);

/// The document: canonical JSON and a newline.
pub fn write(sbom: &Document) -> Vec<u8> {
    let mut extracted = Extracted::default();
    let mut packages = vec![package(sbom, &sbom.subject, &mut extracted)];
    let mut related = BTreeSet::from([relation(DOCUMENT, "DESCRIBES", &id(&sbom.subject))]);
    let ids: BTreeMap<&str, String> = std::iter::once(&sbom.subject)
        .chain(&sbom.parts)
        .map(|part| (part.reference.as_str(), id(part)))
        .collect();
    for part in &sbom.parts {
        packages.push(package(sbom, part, &mut extracted));
        for holder in sbom.holders(part) {
            related.insert(relation(&id(part), "CONTAINED_BY", &id(holder)));
        }
        if part.files.len() > 1 {
            for (number, file) in part.files.iter().enumerate() {
                let own = format!("{}-file-{}", id(part), number + 1);
                related.insert(relation(&id(part), "CONTAINS", &own));
                packages.push(file_package(part, file, &own));
            }
        }
    }
    for (from, to) in &sbom.edges {
        let from = ids.get(from.as_str());
        for to in to.iter().filter_map(|to| ids.get(to.as_str())) {
            related.extend(from.map(|from| relation(from, "DEPENDS_ON", to)));
        }
    }
    let related: Vec<Value> = related
        .iter()
        .map(|[from, kind, to]| {
            json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
        })
        .collect();
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": format!("{} {}", visible(&sbom.subject.name), visible(&sbom.subject.version)),
        "documentNamespace": format!("https://stage.invalid/spdx/{}", namespace(&sbom.serial)),
        "creationInfo": created(sbom),
        "packages": packages,
        "relationships": related,
        "hasExtractedLicensingInfos": extracted.0.into_values().collect::<Vec<_>>(),
    });
    let mut bytes = canonical(&document);
    bytes.push(b'\n');
    bytes
}

/// The serial number of the document that this one is made of, as far as it is one.
fn namespace(serial: &str) -> String {
    let fine = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    serial.chars().filter(fine).collect()
}

fn created(sbom: &Document) -> Value {
    let (tool, version) = &sbom.tool;
    let author = sbom.author.as_deref();
    let creators = [
        format!("Tool: {}-{}", visible(tool), visible(version)),
        author.map_or_else(|| format!("Organization: {UNKNOWN}"), organization),
    ];
    json!({
        "created": sbom.created,
        "creators": creators,
        "comment": format!("SBOM type: source, of what is installed later (lifecycle pre-build). Made of CycloneDX {}", sbom.serial),
    })
}

fn relation(from: &str, kind: &str, to: &str) -> [String; 3] {
    [from, kind, to].map(str::to_owned)
}

/// An identifier that a reader recognises and that no two references share.
fn id(part: &Part) -> String {
    let name: String = format!("{}-{}-{}", part.ecosystem(), part.name, part.version)
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => c,
            _ => '-',
        })
        .collect();
    let digest = Digest::of(part.reference.as_bytes()).hex();
    let digest: String = digest.chars().take(12).collect();
    format!("SPDXRef-{name}-{digest}")
}

fn package(sbom: &Document, part: &Part, extracted: &mut Extracted) -> Value {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("SPDXID", json!(id(part)));
    put("name", json!(visible(&part.name)));
    put("versionInfo", json!(visible(&part.version)));
    put("supplier", json!(supplier(part)));
    put("downloadLocation", json!(UNKNOWN));
    put("filesAnalyzed", json!(false));
    put(
        "licenseDeclared",
        extracted.said(part.declared.as_ref(), part, "Declared"),
    );
    put(
        "licenseConcluded",
        extracted.said(part.concluded.as_ref(), part, "Read from its files"),
    );
    let copyright = part.copyright.as_deref().map(visible);
    put(
        "copyrightText",
        json!(copyright.as_deref().unwrap_or(UNKNOWN)),
    );
    put("primaryPackagePurpose", json!(part.kind.to_uppercase()));
    put(
        "externalRefs",
        json!([{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": part.purl,
        }]),
    );
    if let [file] = part.files.as_slice() {
        put("checksums", checksums(file));
        if !file.name.is_empty() {
            put("packageFileName", json!(visible(&file.name)));
        }
    }
    if let Some(description) = &part.description {
        put("description", json!(visible_text(description)));
    }
    let comment = comment(sbom, part);
    if !comment.is_empty() {
        put("comment", json!(comment));
    }
    Value::Object(fields)
}

/// A file of a component that has several.
fn file_package(part: &Part, file: &PartFile, id: &str) -> Value {
    json!({
        "SPDXID": id,
        "name": visible(&file.name),
        "versionInfo": visible(&part.version),
        "supplier": supplier(part),
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "licenseDeclared": UNKNOWN,
        "licenseConcluded": UNKNOWN,
        "copyrightText": UNKNOWN,
        "primaryPackagePurpose": "ARCHIVE",
        "packageFileName": visible(&file.name),
        "checksums": checksums(file),
    })
}

fn checksums(file: &PartFile) -> Value {
    let of = |algorithm: &str, value: &Option<String>| {
        let value = value.as_ref();
        value.map(|value| json!({"algorithm": algorithm, "checksumValue": value}))
    };
    let both = [of("SHA256", &file.sha256), of("SHA512", &file.sha512)];
    both.into_iter().flatten().collect()
}

fn supplier(part: &Part) -> String {
    let name = part.supplier.as_deref();
    name.map_or_else(|| UNKNOWN.to_owned(), organization)
}

/// `Organization: NAME (MAIL)`, of `NAME <MAIL>` too. Parentheses enclose an address and nothing else.
fn organization(text: &str) -> String {
    let plain = |text: &str| {
        let text = visible(text).replace('(', "[").replace(')', "]");
        text.trim().to_owned()
    };
    let inside = text.trim().strip_suffix('>');
    let split = inside.and_then(|inside| inside.rsplit_once('<'));
    match split {
        Some((name, mail)) if mail.contains('@') && !name.trim().is_empty() => {
            format!("Organization: {} ({})", plain(name), plain(mail))
        }
        _ => format!("Organization: {}", plain(text)),
    }
}

/// What SPDX 2.3 has no field for, as the properties of CycloneDX name it.
fn comment(sbom: &Document, part: &Part) -> String {
    let other = |key: &str| key != super::FILE && key != BUNDLED_IN;
    let said = part.properties.iter().filter(|(key, _)| other(key));
    let mut lines: Vec<String> = said
        .map(|(key, value)| format!("{key}: {}", visible(value)))
        .collect();
    if sbom.open.contains(&part.reference) {
        lines.push("dependencies: not all are known".to_owned());
    }
    lines.join("\n")
}

impl Extracted {
    /// A license field. What is no expression becomes a reference to the text of the license file, or where there is none
    /// to the words.
    fn said(&mut self, terms: Option<&Terms>, part: &Part, how: &str) -> Value {
        match terms {
            None => json!(UNKNOWN),
            Some(Terms::Expression(text)) if self.references(text) => json!(text),
            Some(terms) => {
                let words = terms.as_str();
                let (text, comment) = match &part.license_text {
                    Some(text) => (text.as_str(), format!("{how} as: {}", visible(words))),
                    None => (words, format!("{how} in these words; no text was found")),
                };
                let digest = Digest::of(format!("{how}\n{words}\n{text}").as_bytes()).hex();
                let digest: String = digest.chars().take(16).collect();
                let id = format!("LicenseRef-stage-{digest}");
                self.add(&id, text, &comment);
                json!(id)
            }
        }
    }

    /// Whether every license of an expression has an identifier or is one that can be said here; notes the latter.
    fn references(&mut self, text: &str) -> bool {
        let words = || text.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')'));
        if words().any(|word| word.starts_with("DocumentRef-") || word.starts_with("AdditionRef-"))
        {
            return false;
        }
        for word in words().filter(|word| word.starts_with("LicenseRef-")) {
            self.add(
                word,
                UNKNOWN,
                "Named in the declaration; its text is in the component",
            );
        }
        true
    }

    fn add(&mut self, id: &str, text: &str, comment: &str) {
        let info = json!({
            "licenseId": id,
            "name": UNKNOWN,
            "extractedText": visible_text(text),
            "comment": comment,
        });
        self.0.entry(id.to_owned()).or_insert(info);
    }
}

/// Lines stay lines.
fn visible_text(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(visible).collect();
    lines.join("\n")
}
