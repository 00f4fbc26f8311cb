//! Reads a CycloneDX document as `stage` writes it into what other forms of it are made of and what two of them are
//! compared by. Everything else in it is skipped while it is parsed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::base::package::Purl;
use crate::base::text::{escaped, quoted};
use crate::sbom::read::RawHash;
use crate::sbom::{BUNDLED_IN, SbomError, UNKNOWN, is_expression};

/// An SBOM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its serial number without `urn:uuid:`.
    pub serial: String,
    /// When it was made.
    pub created: String,
    /// Name and version of the program that made it.
    pub tool: (String, String),
    /// Who vouches for it; `None` = nobody is named.
    pub author: Option<String>,
    /// What it is about.
    pub subject: Part,
    /// Its components, sorted by reference.
    pub parts: Vec<Part>,
    /// What each component depends on, by reference.
    pub edges: BTreeMap<String, BTreeSet<String>>,
    /// The components whose dependencies are not all known.
    pub open: BTreeSet<String>,
}

/// A component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// What edges name it by.
    pub reference: String,
    /// Its package URL, not escaped.
    pub purl: String,
    /// Its name.
    pub name: String,
    /// Its version; empty = not said.
    pub version: String,
    /// `library`, `application`, `file` …
    pub kind: String,
    /// Who made it; `None` = not known.
    pub supplier: Option<String>,
    /// One line about it.
    pub description: Option<String>,
    /// Its terms as the publisher declares them.
    pub declared: Option<Terms>,
    /// Its terms as read from its files.
    pub concluded: Option<Terms>,
    /// The text of its license file, where the terms have no identifier.
    pub license_text: Option<String>,
    /// Who holds the copyright, as far as it is said.
    pub copyright: Option<String>,
    /// Its files.
    pub files: Vec<PartFile>,
    /// Names and values of its properties, in the document's order.
    pub properties: Vec<(String, String)>,
}

/// The terms under which somebody gives a component away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Terms {
    /// An SPDX expression.
    Expression(String),
    /// Words that are none.
    Words(String),
}

impl Terms {
    /// As text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Expression(text) | Self::Words(text) => text,
        }
    }
}

/// A file of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartFile {
    /// Its name; empty = not said.
    pub name: String,
    /// Its size in bytes, where known.
    pub size: Option<u64>,
    /// Hex of its SHA-256.
    pub sha256: Option<String>,
    /// Hex of its SHA-512.
    pub sha512: Option<String>,
}

impl Part {
    /// The values of a property.
    pub fn property<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.properties.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    }

    /// What its package URL says its ecosystem is, unless the document says it.
    pub fn ecosystem(&self) -> &str {
        let said = self.property("stage:ecosystem").next();
        let kind = self.purl.strip_prefix("pkg:");
        let kind = kind.and_then(|rest| rest.split('/').next());
        said.or(kind).unwrap_or_default()
    }

    /// How well its upstream vouches for it, where it is said.
    pub fn evidence(&self) -> Option<&str> {
        self.property("stage:evidence").next()
    }
}

impl Document {
    /// Reads a CycloneDX 1.5 to 1.7 document.
    ///
    /// Refused: what is not CycloneDX JSON, and two components of the same reference. One without package URL is known by its
    /// name alone; other programs write such ones.
    pub fn read(bytes: &[u8]) -> Result<Self, SbomError> {
        let format = |reason: String| SbomError::Format { reason };
        let raw: Raw =
            serde_json::from_slice(bytes).map_err(|e| format(escaped(&e.to_string())))?;
        if raw.format != "CycloneDX" || !matches!(raw.spec_version.as_str(), "1.5" | "1.6" | "1.7")
        {
            let found = quoted(&format!("{} {}", raw.format, raw.spec_version));
            return Err(format(format!("{found} is not CycloneDX 1.5 to 1.7")));
        }
        let metadata = raw.metadata;
        let author = metadata.authors.into_iter().find_map(contact);
        let tool = metadata.tools.first();
        let mut parts = Vec::with_capacity(raw.components.len());
        let mut pending = raw.components;
        while let Some(mut component) = pending.pop() {
            pending.append(&mut component.components);
            parts.push(part(component));
        }
        parts.sort();
        if let Some(twice) = twice(&parts) {
            return Err(SbomError::Component {
                component: quoted(twice),
                reason: "is listed twice",
            });
        }
        let complete = |aggregate: &str| aggregate == "complete";
        let open = raw.compositions.into_iter();
        let open = open.filter(|composition| !complete(&composition.aggregate));
        let edges = raw.dependencies.into_iter();
        Ok(Self {
            serial: raw.serial_number.trim_start_matches("urn:uuid:").to_owned(),
            created: metadata.timestamp,
            tool: tool.map(|t| (t.name, t.version)).unwrap_or_default(),
            author: known(author),
            subject: part(metadata.component.unwrap_or_default()),
            parts,
            edges: edges
                .map(|edge| (edge.reference, edge.depends_on))
                .collect(),
            open: open
                .flat_map(|composition| composition.dependencies)
                .collect(),
        })
    }

    /// The components in whose archives a component lies.
    pub fn holders<'a>(&'a self, part: &'a Part) -> impl Iterator<Item = &'a Part> {
        let inside = part.property(BUNDLED_IN);
        inside.filter_map(|release| {
            let same = |other: &&Part| {
                let named = release.strip_prefix(other.name.as_str());
                let version = named.and_then(|rest| rest.strip_prefix('@'));
                version == Some(other.version.as_str()) && other.ecosystem() == part.ecosystem()
            };
            self.parts.iter().find(same)
        })
    }
}

/// A reference that two components have.
fn twice(parts: &[Part]) -> Option<&str> {
    let mut seen = BTreeSet::new();
    let mut references = parts.iter().map(|part| part.reference.as_str());
    references.find(|reference| !seen.insert(*reference))
}

/// `NAME`, or `NAME <ADDRESS>`.
fn contact(raw: RawNamed) -> Option<String> {
    let name = known(raw.name)?;
    Some(match raw.email {
        Some(address) => format!("{name} <{address}>"),
        None => name,
    })
}

/// What is said, unless it says that nothing is known.
fn known(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty() && text != UNKNOWN)
}

fn part(raw: RawComponent) -> Part {
    let named = || Purl::new("generic", &[&raw.name], &raw.version, &[]).to_string();
    let purl = raw.purl.clone().unwrap_or_else(named);
    let properties: Vec<(String, String)> = raw
        .properties
        .into_iter()
        .filter_map(|p| Some((p.name?, p.value.unwrap_or_default())))
        .collect();
    let texts = raw.licenses.iter().filter_map(|choice| {
        let text = choice.license.as_ref()?.text.as_ref()?;
        text.encoding.is_none().then(|| text.content.clone())
    });
    let license_text = texts.reduce(|all, more| format!("{all}\n\n{more}"));
    let (declared, concluded) = terms(raw.licenses);
    Part {
        reference: raw.reference.unwrap_or_else(|| purl.clone()),
        files: files(&properties, &raw.hashes),
        purl,
        name: match raw.group {
            Some(group) if !group.is_empty() => format!("{group}/{}", raw.name),
            _ => raw.name,
        },
        version: raw.version,
        kind: raw.kind,
        supplier: known(raw.supplier.and_then(|supplier| supplier.name)),
        description: raw.description,
        declared,
        concluded,
        license_text,
        copyright: known(raw.copyright),
        properties,
    }
}

/// What is declared and what is concluded.
fn terms(licenses: Vec<RawChoice>) -> (Option<Terms>, Option<Terms>) {
    let (mut declared, mut concluded) = (Vec::new(), Vec::new());
    for choice in licenses {
        let (text, said) = match (choice.expression, choice.license) {
            (Some(expression), _) => (Some(expression), choice.acknowledgement),
            (None, Some(license)) => (license.id.or(license.name), license.acknowledgement),
            (None, None) => continue,
        };
        if let Some(text) = known(text) {
            match said.as_deref() {
                Some("concluded") => concluded.push(text),
                _ => declared.push(text),
            }
        }
    }
    (joined(&declared), joined(&concluded))
}

/// Several licenses in a row apply together.
fn joined(texts: &[String]) -> Option<Terms> {
    let all = texts.iter().all(|text| is_expression(text));
    match texts {
        [] => None,
        [one] if all => Some(Terms::Expression(one.clone())),
        _ if all => {
            let each = texts.iter().map(|text| format!("({text})"));
            Some(Terms::Expression(each.collect::<Vec<_>>().join(" AND ")))
        }
        _ => Some(Terms::Words(texts.join("; "))),
    }
}

/// The files that the properties name, each with the digests that follow the one it is named with.
fn files(properties: &[(String, String)], hashes: &[RawHash]) -> Vec<PartFile> {
    let named = properties.iter().filter(|(key, _)| key == super::FILE);
    let files: Vec<PartFile> = named.filter_map(|(_, text)| file(text, hashes)).collect();
    if !files.is_empty() || hashes.is_empty() {
        return files;
    }
    let of = |alg| hashes.iter().find(|hash| hash.alg == alg);
    vec![PartFile {
        sha256: of("SHA-256").map(|hash| hash.content.clone()),
        sha512: of("SHA-512").map(|hash| hash.content.clone()),
        ..PartFile::default()
    }]
}

/// `NAME sha256:HEX SIZE`, and the SHA-512 that the document lists after that SHA-256.
fn file(text: &str, hashes: &[RawHash]) -> Option<PartFile> {
    let mut words = text.rsplitn(3, ' ');
    let size = words.next()?.parse().ok();
    let digest = words.next()?;
    let name = words.next()?.to_owned();
    let mut file = PartFile {
        name,
        size,
        ..PartFile::default()
    };
    match digest.split_once(':') {
        Some(("sha256", hex)) => {
            let mut after = hashes.iter().skip_while(|hash| hash.content != hex).skip(1);
            let next = after.next().filter(|hash| hash.alg == "SHA-512");
            file.sha512 = next.map(|hash| hash.content.clone());
            file.sha256 = Some(hex.to_owned());
        }
        Some(("sha512", hex)) => file.sha512 = Some(hex.to_owned()),
        _ => {}
    }
    Some(file)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(rename = "bomFormat")]
    format: String,
    spec_version: String,
    #[serde(default)]
    serial_number: String,
    #[serde(default)]
    metadata: RawMetadata,
    #[serde(default)]
    components: Vec<RawComponent>,
    #[serde(default)]
    dependencies: Vec<RawEdges>,
    #[serde(default)]
    compositions: Vec<RawComposition>,
}

#[derive(Default, Deserialize)]
struct RawMetadata {
    #[serde(default)]
    timestamp: String,
    #[serde(default)]
    tools: RawTools,
    #[serde(default)]
    authors: Vec<RawNamed>,
    component: Option<RawComponent>,
}

/// Components and services, or before 1.5 a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawTools {
    Listed(Vec<RawTool>),
    Grouped {
        #[serde(default)]
        components: Vec<RawTool>,
    },
}

impl Default for RawTools {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl RawTools {
    fn first(self) -> Option<RawTool> {
        let (Self::Listed(tools) | Self::Grouped { components: tools }) = self;
        tools.into_iter().next()
    }
}

#[derive(Deserialize)]
struct RawTool {
    name: String,
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
struct RawNamed {
    name: Option<String>,
    email: Option<String>,
}

#[derive(Default, Deserialize)]
struct RawComponent {
    #[serde(rename = "bom-ref")]
    reference: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    group: Option<String>,
    name: String,
    #[serde(default)]
    version: String,
    purl: Option<String>,
    supplier: Option<RawNamed>,
    description: Option<String>,
    copyright: Option<String>,
    #[serde(default)]
    licenses: Vec<RawChoice>,
    #[serde(default)]
    hashes: Vec<RawHash>,
    #[serde(default)]
    properties: Vec<RawProperty>,
    #[serde(default)]
    components: Vec<Self>,
}

#[derive(Deserialize)]
struct RawChoice {
    expression: Option<String>,
    acknowledgement: Option<String>,
    license: Option<RawLicense>,
}

#[derive(Deserialize)]
struct RawLicense {
    id: Option<String>,
    name: Option<String>,
    text: Option<RawText>,
    acknowledgement: Option<String>,
}

#[derive(Deserialize)]
struct RawText {
    content: String,
    /// Set where the content is not the text itself.
    encoding: Option<String>,
}

#[derive(Deserialize)]
struct RawProperty {
    name: Option<String>,
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEdges {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    depends_on: BTreeSet<String>,
}

#[derive(Deserialize)]
struct RawComposition {
    aggregate: String,
    #[serde(default)]
    dependencies: Vec<String>,
}
