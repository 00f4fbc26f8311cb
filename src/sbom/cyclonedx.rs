//! Writes the SBOM as CycloneDX 1.6 JSON (ECMA-424).
//!
//! The document is built with `cyclonedx-bom`, which writes 1.5, and lifted to 1.6 on the JSON value ([`super::lift`]).
//! The result is canonical JSON, so the same input gives the same bytes, and the serial number is derived from them.
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
use serde_json::{Value, json};

use crate::base::digest::{Digest, Digests, Sha512, UpstreamChecksum};
use crate::base::package::{EcosystemId, Purl, ReleaseId};
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::eco::ReleaseFacts;
use crate::lock::chain::Chains;
use crate::lock::{Lock, LockedArtifact};
use crate::sbom::lift::{Added, Lift};
use crate::sbom::{
    BUNDLED_IN, FILE, LicenseTexts, Member, Members, SbomError, UNKNOWN, is_expression, members,
};

/// Facts of each ecosystem's releases.
pub type Facts = BTreeMap<EcosystemId, BTreeMap<ReleaseId, ReleaseFacts>>;

/// Files of each release.
pub type Files = BTreeMap<(EcosystemId, ReleaseId), Vec<CarriedFile>>;

/// One file of a release as it lies in the bundle, or as far as a lock knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedFile {
    /// File name in the registry.
    pub file: String,
    /// Its SHA-256; known of every file in a bundle.
    pub sha256: Option<Digest>,
    /// Its SHA-512; known of every file in a bundle.
    pub sha512: Option<Sha512>,
    /// Its size in bytes.
    pub size: Option<u64>,
}

impl CarriedFile {
    /// A file that was read.
    pub fn read(file: &str, digests: Digests, size: u64) -> Self {
        Self {
            file: file.to_owned(),
            sha256: Some(digests.sha256),
            sha512: Some(digests.sha512),
            size: Some(size),
        }
    }

    /// A file of which only the lock tells. A SHA-1 identifies nothing.
    pub fn locked(artifact: &LockedArtifact) -> Self {
        let (sha256, sha512) = match &artifact.checksum {
            UpstreamChecksum::Sha256(digest) => (Some(*digest), None),
            UpstreamChecksum::Sha512(digest) => (None, Some(*digest)),
            UpstreamChecksum::Sha1(_) => (None, None),
        };
        Self {
            file: artifact.file.clone(),
            sha256,
            sha512,
            size: artifact.size,
        }
    }

    /// `NAME sha256:HEX SIZE`.
    fn described(&self) -> String {
        let digest = match (&self.sha256, &self.sha512) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(digest)) => digest.to_string(),
            (None, None) => UNKNOWN.to_owned(),
        };
        let size = self.size.map(|size| size.to_string());
        let size = size.as_deref().unwrap_or(UNKNOWN);
        format!("{} {digest} {size}", self.file)
    }
}

/// Everything the SBOM is made of.
pub struct SbomInput<'a> {
    /// What is carried.
    pub lock: &'a Lock,
    /// Digest of the lock's file.
    pub lock_digest: Digest,
    /// What the releases declare about themselves. A release that is missing here declares nothing.
    pub facts: &'a Facts,
    /// The files of every carried release.
    pub files: &'a Files,
    /// What the SBOM is about: the channel of the bundle.
    pub name: &'a str,
    /// Its version: the serial of the bundle.
    pub version: &'a str,
    /// When the bundle was made.
    pub created: Timestamp,
    /// Version of `stage`.
    pub tool_version: &'a str,
    /// Who vouches for the document, such as an organisation; `None` is declared as unknown.
    pub author: Option<&'a str>,
    /// Texts of licenses that have no identifier.
    pub license_texts: &'a LicenseTexts,
    /// Package URL of a release.
    pub purl: &'a dyn Fn(&EcosystemId, &ReleaseId) -> Purl,
}

impl std::fmt::Debug for SbomInput<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SbomInput")
            .field("name", &self.name)
            .field("version", &self.version)
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
    let lift = Lift {
        lock: input.lock,
        lock_digest: input.lock_digest,
        tool_version: input.tool_version,
        components: added(input, &members)?,
    };
    lift.finish(&json)
}

/// What a document of 1.5 has no place for, by the component's reference.
fn added(
    input: &SbomInput<'_>,
    members: &Members<'_>,
) -> Result<BTreeMap<String, Added>, SbomError> {
    let mut out = BTreeMap::new();
    for ((ecosystem, release), member) in members {
        let files = carried_files(input, ecosystem, release, member)?;
        let artifacts = member.package.artifacts.iter().zip(files);
        let reference = (input.purl)(ecosystem, release).to_string();
        let added = Added {
            // Their indexes tell no license; it is read from the packages. What only mentions some concludes nothing.
            concluded: **ecosystem == EcosystemId::debian()
                && member.package.license.as_deref().is_some_and(is_expression),
            license_text: input
                .license_texts
                .get(&((*ecosystem).clone(), release.clone()))
                .cloned(),
            distributions: artifacts.map(|(a, file)| distribution(a, file)).collect(),
        };
        out.insert(reference, added);
    }
    Ok(out)
}

/// Where a file is: as the lock has it, below an address that it does not tell.
fn distribution(artifact: &LockedArtifact, file: &CarriedFile) -> Value {
    let hash = |alg: &str, content: String| json!({"alg": alg, "content": content});
    let sha256 = file.sha256.map(|digest| hash("SHA-256", digest.hex()));
    let sha512 = file.sha512.map(|digest| hash("SHA-512", digest.hex()));
    let hashes: Vec<Value> = [sha256, sha512].into_iter().flatten().collect();
    json!({
        "type": "distribution",
        "url": artifact.path,
        "comment": format!("{}, below the address of upstream {}", file.file, artifact.upstream),
        "hashes": hashes,
    })
}

fn failed(error: impl std::fmt::Display) -> SbomError {
    SbomError::Write {
        reason: escaped(&error.to_string()),
    }
}

fn root_ref(input: &SbomInput<'_>) -> Purl {
    Purl::new("generic", &[input.name], input.version, &[])
}

fn metadata(input: &SbomInput<'_>, root: &Purl) -> Result<Metadata, SbomError> {
    let mut subject = new_component(Classification::Application, input.name, input.version, root)?;
    subject.supplier = Some(author(input.author));
    subject.licenses = Some(licenses(None));
    let mut properties = vec![
        property("stage:channel", input.name),
        property("stage:lock", &input.lock_digest.to_string()),
    ];
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
        authors: Some(vec![contact(input.author)]),
        component: Some(subject),
        manufacture: None,
        supplier: Some(author(input.author)),
        // Of the document, not of what it is about.
        licenses: Some(Licenses(vec![LicenseChoice::Expression(
            SpdxExpression::new("CC0-1.0"),
        )])),
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
    component.purl = Some(parsed(purl)?);
    Ok(component)
}

fn parsed(purl: &Purl) -> Result<CdxPurl, SbomError> {
    CdxPurl::from_str(purl.as_str()).map_err(|()| failed("package URL"))
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
    out.purl = Some(parsed(&member.purl(input.lock, &purl))?);
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
                let sha256 = file.sha256.map(|d| hash(HashAlgorithm::SHA_256, d.hex()));
                let sha512 = file.sha512.map(|d| hash(HashAlgorithm::SHA_512, d.hex()));
                [sha256, sha512].into_iter().flatten()
            })
            .collect(),
    )
}

fn organization(name: Option<&str>) -> OrganizationalEntity {
    OrganizationalEntity::new(name.filter(|n| !n.trim().is_empty()).unwrap_or(UNKNOWN))
}

/// `NAME <ADDRESS>` in two.
fn split(text: &str) -> (&str, Option<&str>) {
    let inside = text.trim().strip_suffix('>');
    match inside.and_then(|inside| inside.rsplit_once('<')) {
        Some((name, address)) if !name.trim().is_empty() => (name.trim(), Some(address.trim())),
        _ => (text.trim(), None),
    }
}

/// Who vouches for the document.
fn contact(author: Option<&str>) -> OrganizationalContact {
    let (name, address) = split(author.unwrap_or(UNKNOWN));
    OrganizationalContact::new(name, address.filter(|address| address.contains('@')))
}

/// The same, as an organisation.
fn author(author: Option<&str>) -> OrganizationalEntity {
    let (name, address) = split(author.unwrap_or(UNKNOWN));
    let mut entity = OrganizationalEntity::new(name);
    if address.is_some_and(|address| address.contains('@')) {
        entity.contact = Some(vec![contact(author)]);
    }
    entity
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

/// Home page and source repository, where they are references as RFC 3987 has them.
fn references(facts: &ReleaseFacts) -> Option<ExternalReferences> {
    let named = [
        (ExternalReferenceType::Website, &facts.homepage),
        (ExternalReferenceType::Vcs, &facts.repository),
    ];
    let mut out = Vec::new();
    for (kind, text) in named {
        let absolute = text.as_deref().and_then(location);
        if let Some(uri) = absolute.and_then(|text| Uri::try_from(text).ok()) {
            out.push(ExternalReference::new(kind, uri));
        }
    }
    (!out.is_empty()).then_some(ExternalReferences(out))
}

/// A text as the absolute address of something that people or programs fetch, if it is one: pages make links of it. What git
/// writes as `user@host:path` is one of ssh (git-fetch, "GIT URLS").
fn location(text: &str) -> Option<String> {
    const SCHEMES: [&str; 9] = [
        "http",
        "https",
        "git",
        "git+http",
        "git+https",
        "git+ssh",
        "ssh",
        "svn",
        "hg+https",
    ];
    if let Some((scheme, _)) = text.split_once("://") {
        let scheme = scheme.to_ascii_lowercase();
        return SCHEMES.contains(&scheme.as_str()).then(|| text.to_owned());
    }
    let (login, path) = text.split_once(':')?;
    let (user, host) = login.split_once('@')?;
    let plain = |part: &str| {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        !part.is_empty() && part.bytes().all(fine)
    };
    let whole = plain(user) && plain(host) && !path.is_empty() && !path.starts_with('/');
    whole.then(|| format!("ssh://{login}/{path}"))
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
        out.push(property("bsi:component:filename", &file.file));
        out.push(property(FILE, &file.described()));
    }
    if !files.is_empty() && files.iter().all(|file| is_archive(&file.file)) {
        out.push(property("bsi:component:executable", "non-executable"));
        out.push(property("bsi:component:archive", "archive"));
        out.push(property("bsi:component:structured", "structured"));
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

/// Whether a file is an archive by its name. Of another one nothing is said: nobody looked inside.
fn is_archive(name: &str) -> bool {
    const ENDINGS: [&str; 13] = [
        ".tgz", ".tar", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst", ".txz", ".zip", ".whl",
        ".egg", ".deb", ".crate", ".jar",
    ];
    let name = name.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
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

/// Says how complete the edges are. Those of carried releases are, unless one leads to what is only for other platforms;
/// those of copies inside archives are not known.
fn compositions(input: &SbomInput<'_>, members: &Members<'_>, root: &Purl) -> Vec<Composition> {
    let mut complete = vec![BomReference::new(root)];
    let (mut incomplete, mut unknown) = (Vec::new(), Vec::new());
    for ((ecosystem, release), member) in members {
        let reference = BomReference::new((input.purl)(ecosystem, release));
        let mut edges = member.dependencies.iter();
        if member.is_bundled_only() {
            unknown.push(reference);
        } else if edges.any(|edge| !members.contains_key(&(*ecosystem, (*edge).clone()))) {
            incomplete.push(reference);
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
    let mut all = composition(AggregateType::Complete, complete);
    all.assemblies = Some(vec![BomReference::new(root)]);
    let mut out = vec![all];
    for (aggregate, found) in [
        (AggregateType::Incomplete, incomplete),
        (AggregateType::Unknown, unknown),
    ] {
        if !found.is_empty() {
            out.push(composition(aggregate, found));
        }
    }
    out
}
