//! Writes the SBOM as CycloneDX 1.6 JSON (ECMA-424).
//!
//! The document is built with `cyclonedx-bom`, which writes 1.5, and lifted to 1.6 on the JSON value: the version,
//! and the one field of 1.6 that is used, a license's `acknowledgement`. The result is canonical JSON, so the same
//! input gives the same bytes, and the serial number is derived from them.
//!
//! What a release does not declare is written as `NOASSERTION`, never left out: the reader can tell "unknown" from
//! "forgotten".

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

use cyclonedx_bom::external_models::uri::Purl as CdxPurl;
use cyclonedx_bom::models::bom::BomReference;
use cyclonedx_bom::models::component::Classification;
use cyclonedx_bom::models::composition::{AggregateType, Composition, Compositions};
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::external_reference::{
    ExternalReference, ExternalReferenceType, ExternalReferences,
};
use cyclonedx_bom::models::hash::{Hash, HashAlgorithm, HashValue, Hashes};
use cyclonedx_bom::models::license::{License, LicenseChoice, LicenseIdentifier, Licenses};
use cyclonedx_bom::models::lifecycle::{Lifecycle, Lifecycles, Phase};
use cyclonedx_bom::models::organization::{OrganizationalContact, OrganizationalEntity};
use cyclonedx_bom::models::property::{Properties, Property};
use cyclonedx_bom::models::tool::Tools;
use cyclonedx_bom::prelude::{
    Bom, Component, Components, DateTime, Metadata, NormalizedString, SpdxExpression, SpecVersion,
    Uri,
};
use serde_json::Value;

use crate::base::digest::{Digest, Digests};
use crate::base::package::{EcosystemId, Purl, ReleaseId};
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::eco::ReleaseFacts;
use crate::lock::chain::Chains;
use crate::lock::{Lock, LockedArtifact};
use crate::sbom::{BUNDLED_IN, Member, Members, SbomError, members};

/// How an unknown value is declared.
const UNKNOWN: &str = "NOASSERTION";

/// Facts of each ecosystem's releases.
pub type Facts = BTreeMap<EcosystemId, BTreeMap<ReleaseId, ReleaseFacts>>;

/// Files of each release.
pub type Files = BTreeMap<(EcosystemId, ReleaseId), Vec<CarriedFile>>;

/// One file of a release as it lies in the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedFile {
    /// File name in the registry.
    pub file: String,
    /// Its digests.
    pub digests: Digests,
    /// Its size in bytes.
    pub size: u64,
}

/// Everything the SBOM is made of.
pub struct SbomInput<'a> {
    /// What is carried.
    pub lock: &'a Lock,
    /// What the releases declare about themselves. A release that is missing here declares nothing.
    pub facts: &'a Facts,
    /// The files of every carried release.
    pub files: &'a Files,
    /// Channel of the bundle: the name of what the SBOM is about.
    pub channel: &'a str,
    /// Serial of the bundle: its version.
    pub serial: u64,
    /// When the bundle was made.
    pub created: Timestamp,
    /// Version of `stage`.
    pub tool_version: &'a str,
    /// Who vouches for the document, such as an organisation; `None` is declared as unknown.
    pub author: Option<&'a str>,
    /// Package URL of a release.
    pub purl: &'a dyn Fn(&EcosystemId, &ReleaseId) -> Purl,
}

impl std::fmt::Debug for SbomInput<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SbomInput")
            .field("channel", &self.channel)
            .field("serial", &self.serial)
            .field("created", &self.created)
            .finish_non_exhaustive()
    }
}

/// The SBOM of a bundle: canonical JSON and a newline.
///
/// Fails with [`SbomError::MissingDigest`] when a file that the lock carries is not in `files`.
pub fn write(input: &SbomInput<'_>) -> Result<Vec<u8>, SbomError> {
    let members = members(input.lock, None);
    let mut components = Vec::with_capacity(members.len());
    for ((ecosystem, release), member) in &members {
        components.push(component(input, ecosystem, release, member)?);
    }
    let root = root_ref(input);
    let bom = Bom {
        version: 1,
        serial_number: None,
        metadata: Some(metadata(input, &root)?),
        components: Some(Components(components)),
        services: None,
        external_references: None,
        dependencies: Some(Dependencies(edges(input, &members, &root))),
        compositions: Some(Compositions(compositions(input, &members, &root))),
        properties: None,
        vulnerabilities: None,
        signature: None,
        annotations: None,
        formulation: None,
        spec_version: SpecVersion::V1_5,
    };
    let mut json = Vec::new();
    bom.output_as_json(&mut json, SpecVersion::V1_5)
        .map_err(failed)?;
    lift(&json)
}

fn failed(error: impl std::fmt::Display) -> SbomError {
    SbomError::Write {
        reason: escaped(&error.to_string()),
    }
}

/// From the 1.5 document to the final bytes.
fn lift(json: &[u8]) -> Result<Vec<u8>, SbomError> {
    let mut document: Value = serde_json::from_slice(json).map_err(failed)?;
    let Value::Object(map) = &mut document else {
        return Err(failed("not an object"));
    };
    map.insert("specVersion".to_owned(), "1.6".into());
    map.insert(
        "$schema".to_owned(),
        "http://cyclonedx.org/schema/bom-1.6.schema.json".into(),
    );
    for component in map
        .get_mut("components")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        acknowledge(component);
    }
    let number = Digest::of(&crate::base::json::canonical(&document)).urn_uuid();
    if let Value::Object(map) = &mut document {
        map.insert("serialNumber".to_owned(), number.into());
    }
    let mut bytes = crate::base::json::canonical(&document);
    bytes.push(b'\n');
    Ok(bytes)
}

/// Marks a component's licenses as what the publisher declared; nobody concluded anything.
fn acknowledge(component: &mut Value) {
    let licenses = component.get_mut("licenses").and_then(Value::as_array_mut);
    for choice in licenses.into_iter().flatten() {
        let target = if choice.get("license").is_some() {
            choice.get_mut("license")
        } else {
            Some(choice)
        };
        if let Some(Value::Object(map)) = target
            && map.get("name").and_then(Value::as_str) != Some(UNKNOWN)
        {
            map.insert("acknowledgement".to_owned(), "declared".into());
        }
    }
}

fn root_ref(input: &SbomInput<'_>) -> Purl {
    Purl::new("generic", &[input.channel], &input.serial.to_string(), &[])
}

fn metadata(input: &SbomInput<'_>, root: &Purl) -> Result<Metadata, SbomError> {
    let mut subject = new_component(
        Classification::Application,
        input.channel,
        &input.serial.to_string(),
        root,
    )?;
    subject.supplier = Some(organization(input.author));
    subject.licenses = Some(licenses(None));
    let mut properties = vec![property("stage:channel", input.channel)];
    if let Some(limit) = input.lock.exclude_newer {
        properties.push(property("stage:exclude-newer", &limit.to_string()));
    }
    for platform in &input.lock.target.platforms {
        properties.push(property("stage:platform", platform.as_str()));
    }
    subject.properties = Some(Properties(properties));
    let purl = Purl::new("cargo", &["stage"], input.tool_version, &[]);
    let mut tool = new_component(
        Classification::Application,
        "stage",
        input.tool_version,
        &purl,
    )?;
    tool.bom_ref = None;
    Ok(Metadata {
        timestamp: Some(DateTime::try_from(input.created.to_string()).map_err(failed)?),
        tools: Some(Tools::Object {
            services: None,
            components: Some(Components(vec![tool])),
        }),
        authors: Some(vec![OrganizationalContact::new(
            input.author.unwrap_or(UNKNOWN),
            None,
        )]),
        component: Some(subject),
        manufacture: None,
        supplier: Some(organization(input.author)),
        licenses: None,
        properties: None,
        lifecycles: Some(Lifecycles(vec![Lifecycle::Phase(Phase::PreBuild)])),
    })
}

fn new_component(
    kind: Classification,
    name: &str,
    version: &str,
    purl: &Purl,
) -> Result<Component, SbomError> {
    let mut component = Component::new(kind, name, version, Some(purl.to_string()));
    let parsed = CdxPurl::from_str(purl.as_str()).map_err(|()| failed("package URL"))?;
    component.purl = Some(parsed);
    Ok(component)
}

fn component(
    input: &SbomInput<'_>,
    ecosystem: &EcosystemId,
    release: &ReleaseId,
    member: &Member<'_>,
) -> Result<Component, SbomError> {
    let kind = if *ecosystem == EcosystemId::file() {
        Classification::File
    } else {
        Classification::Library
    };
    let purl = (input.purl)(ecosystem, release);
    let files = carried_files(input, ecosystem, release, member)?;
    let none = ReleaseFacts::default();
    let facts = input
        .facts
        .get(ecosystem)
        .and_then(|of| of.get(release))
        .unwrap_or(&none);
    let mut out = new_component(kind, &release.name, &release.version, &purl)?;
    out.supplier = Some(organization(facts.supplier.as_deref()));
    out.description = facts.description.as_deref().map(NormalizedString::new);
    out.hashes = Some(hashes(&files)).filter(|h| !h.0.is_empty());
    let license = member.package.license.as_deref();
    out.licenses = Some(licenses(license.or(facts.license.as_deref())));
    out.external_references = references(facts);
    out.properties = Some(Properties(properties(ecosystem, member, &files)));
    Ok(out)
}

/// The digests of the files that the lock carries for a release, in the lock's order.
fn carried_files<'a>(
    input: &SbomInput<'a>,
    ecosystem: &EcosystemId,
    release: &ReleaseId,
    member: &Member<'_>,
) -> Result<Vec<&'a CarriedFile>, SbomError> {
    let given = input.files.get(&(ecosystem.clone(), release.clone()));
    let mut out = Vec::new();
    for artifact in &member.package.artifacts {
        let found = given
            .into_iter()
            .flatten()
            .find(|file| file.file == artifact.file);
        out.push(found.ok_or_else(|| SbomError::MissingDigest {
            release: quoted(&format!("{ecosystem} {release}")),
            file: quoted(&artifact.file),
        })?);
    }
    Ok(out)
}

fn hashes(files: &[&CarriedFile]) -> Hashes {
    let hash = |alg, content| Hash {
        alg,
        content: HashValue(content),
    };
    Hashes(
        files
            .iter()
            .flat_map(|file| {
                [
                    hash(HashAlgorithm::SHA_256, file.digests.sha256.hex()),
                    hash(HashAlgorithm::SHA_512, file.digests.sha512.hex()),
                ]
            })
            .collect(),
    )
}

fn organization(name: Option<&str>) -> OrganizationalEntity {
    OrganizationalEntity::new(name.filter(|n| !n.trim().is_empty()).unwrap_or(UNKNOWN))
}

/// The declared license: an SPDX expression where it is one, else its text as a name.
fn licenses(declared: Option<&str>) -> Licenses {
    let declared = declared.map(str::trim).filter(|text| !text.is_empty());
    let choice = match declared {
        Some(text) if is_expression(text) => LicenseChoice::Expression(SpdxExpression::new(text)),
        other => LicenseChoice::License(License {
            bom_ref: None,
            license_identifier: LicenseIdentifier::Name(NormalizedString::new(
                other.unwrap_or(UNKNOWN),
            )),
            text: None,
            url: None,
            licensing: None,
            properties: None,
        }),
    };
    Licenses(vec![choice])
}

/// Whether `text` is an SPDX expression (deprecated identifiers such as `GPL-2.0` are still ones).
fn is_expression(text: &str) -> bool {
    let mode = spdx::ParseMode {
        allow_deprecated: true,
        ..spdx::ParseMode::STRICT
    };
    spdx::Expression::parse_mode(text, mode).is_ok()
}

/// Home page and source repository, where they are references as RFC 3987 has them.
fn references(facts: &ReleaseFacts) -> Option<ExternalReferences> {
    let named = [
        (ExternalReferenceType::Website, &facts.homepage),
        (ExternalReferenceType::Vcs, &facts.repository),
    ];
    let mut out = Vec::new();
    for (kind, text) in named {
        let absolute = text.as_ref().filter(|t| t.contains("://"));
        if let Some(uri) = absolute.and_then(|t| Uri::try_from(t.clone()).ok()) {
            out.push(ExternalReference::new(kind, uri));
        }
    }
    (!out.is_empty()).then_some(ExternalReferences(out))
}

fn property(name: &str, value: &str) -> Property {
    Property::new(name, value)
}

fn properties(
    ecosystem: &EcosystemId,
    member: &Member<'_>,
    files: &[&CarriedFile],
) -> Vec<Property> {
    let mut out = vec![property("stage:ecosystem", ecosystem.as_str())];
    for platform in &member.platforms {
        out.push(property("stage:platform", platform.as_str()));
    }
    for file in files {
        let text = format!("{} {} {}", file.file, file.digests.sha256, file.size);
        out.push(property("bsi:component:filename", &file.file));
        out.push(property("stage:file", &text));
    }
    let levels = member.package.artifacts.iter().map(LockedArtifact::level);
    if let Some(weakest) = levels.min() {
        out.push(property("stage:evidence", weakest.as_str()));
    }
    for holder in &member.bundled_in {
        out.push(property(BUNDLED_IN, &holder.to_string()));
    }
    if member.package.install_script {
        out.push(property("stage:install-script", "true"));
    }
    if let Some(message) = &member.package.deprecated {
        out.push(property("stage:deprecated", message));
    }
    out
}

/// One entry per component, also for those without edges: nothing is left open.
fn edges(input: &SbomInput<'_>, members: &Members<'_>, root: &Purl) -> Vec<Dependency> {
    let chains = Chains::new(input.lock);
    let purl = |ecosystem: &EcosystemId, release: &ReleaseId| (input.purl)(ecosystem, release);
    let known = |ecosystem: &EcosystemId, release: &ReleaseId| {
        members.contains_key(&(ecosystem, release.clone()))
    };
    let tops: BTreeSet<String> = chains
        .roots()
        .filter(|p| known(&p.ecosystem, &p.id()))
        .map(|p| purl(&p.ecosystem, &p.id()).to_string())
        .collect();
    let mut out = vec![Dependency {
        dependency_ref: root.to_string(),
        dependencies: tops.into_iter().collect(),
    }];
    for ((ecosystem, release), member) in members {
        let to: BTreeSet<String> = member
            .dependencies
            .iter()
            .filter(|edge| known(ecosystem, edge))
            .map(|edge| purl(ecosystem, edge).to_string())
            .collect();
        out.push(Dependency {
            dependency_ref: purl(ecosystem, release).to_string(),
            dependencies: to.into_iter().collect(),
        });
    }
    out
}

/// Says how complete the edges are: those of carried releases are, those of copies inside archives are not known.
fn compositions(input: &SbomInput<'_>, members: &Members<'_>, root: &Purl) -> Vec<Composition> {
    let mut complete = vec![BomReference::new(root)];
    let mut unknown = Vec::new();
    for ((ecosystem, release), member) in members {
        let reference = BomReference::new((input.purl)(ecosystem, release));
        if member.is_bundled_only() {
            unknown.push(reference);
        } else {
            complete.push(reference);
        }
    }
    let composition = |aggregate, dependencies| Composition {
        bom_ref: None,
        aggregate,
        assemblies: None,
        dependencies: Some(dependencies),
        vulnerabilities: None,
        signature: None,
    };
    let mut out = vec![composition(AggregateType::Complete, complete)];
    if !unknown.is_empty() {
        out.push(composition(AggregateType::Unknown, unknown));
    }
    out
}
