//! What the user already has: `package-lock.json` is taken as the tree it describes, `package.json` as requirements.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::base::digest::UpstreamChecksum;
use crate::base::fault::Fault;
use crate::base::finding::{Finding, Severity};
use crate::base::text::escaped;
use crate::eco::npm::assemble::{self, Assembly};
use crate::eco::npm::catalog::{Catalog, ManifestId, Picked};
use crate::eco::npm::fault::{self, NpmError};
use crate::eco::npm::manifest::Manifest;
use crate::eco::npm::packument::Texts;
use crate::eco::npm::pick::Picker;
use crate::eco::npm::placed::{self, EdgeKind, PlacedEdge};
use crate::eco::npm::resolve::InstallRequest;
use crate::eco::npm::resolve::{Desk, Subject, packument};
use crate::eco::npm::spec::{Foreign, Spec};
use crate::upstream::{Answer, Request, Resolution, Resolver};

/// A file of the npm client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientFileKind {
    /// `package-lock.json` or `npm-shrinkwrap.json`.
    PackageLock,
    /// `package.json`.
    PackageJson,
}

/// Which file of the npm client these bytes are; `None` when they are neither.
pub fn detect(bytes: &[u8]) -> Option<ClientFileKind> {
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(bytes).ok()?;
    if fields.contains_key("lockfileVersion") {
        return Some(ClientFileKind::PackageLock);
    }
    let known = [
        "name",
        "dependencies",
        "devDependencies",
        "optionalDependencies",
    ];
    known
        .iter()
        .any(|k| fields.contains_key(*k))
        .then_some(ClientFileKind::PackageJson)
}

/// The requirements of a `package.json`: ordinary, optional and peer dependencies as `name@range`, sorted. Errors when
/// it uses `overrides` or `workspaces`, which change what npm installs and are not supported.
pub fn requirements_from_package_json(bytes: &[u8]) -> Result<Vec<String>, NpmError> {
    let fail = |reason: String| NpmError::PackageJson { reason };
    let root: Root = serde_json::from_slice(bytes).map_err(|e| fail(escaped(&e.to_string())))?;
    if root
        .overrides
        .as_ref()
        .is_some_and(|o| !matches!(o.get(), "{}" | "null" | "false"))
    {
        return Err(NpmError::Overrides);
    }
    if root.workspaces.is_some() {
        return Err(fail(
            "it has `workspaces`; start from one of them".to_owned(),
        ));
    }
    Ok(root.texts(false))
}

/// The requirements that a lock file of the client records for its project, as `name@range`, sorted; with development
/// dependencies if `include` has `dev`.
pub fn requirements_from_lockfile(
    bytes: &[u8],
    include: &[String],
) -> Result<Vec<String>, NpmError> {
    let document = Document::parse(bytes)?;
    Ok(document.root()?.texts(include.iter().any(|i| i == "dev")))
}

/// A lock file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    lockfile_version: u32,
    #[serde(default)]
    packages: BTreeMap<String, Box<RawValue>>,
}

/// What the project asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Root {
    dependencies: Texts,
    optional_dependencies: Texts,
    peer_dependencies: Texts,
    dev_dependencies: Texts,
    overrides: Option<Box<RawValue>>,
    workspaces: Option<Box<RawValue>>,
}

/// What a lock file says of one place.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    name: Option<String>,
    version: Option<String>,
    resolved: Option<String>,
    integrity: Option<String>,
    link: bool,
    dev: bool,
    dev_optional: bool,
    optional: bool,
    in_bundle: bool,
}

impl Document {
    fn parse(bytes: &[u8]) -> Result<Self, NpmError> {
        let fail = |reason: String| NpmError::Lockfile { reason };
        let document: Self =
            serde_json::from_slice(bytes).map_err(|e| fail(escaped(&e.to_string())))?;
        match document.lockfile_version {
            2 | 3 if document.packages.is_empty() => Err(fail("it has no `packages`".to_owned())),
            2 | 3 => Ok(document),
            0 | 1 => Err(fail(
                "format 1 does not say where packages go; convert it with \
                 `npm install --package-lock-only --lockfile-version 3`"
                    .to_owned(),
            )),
            newer => Err(fail(format!("format {newer} is not known; 2 and 3 are"))),
        }
    }

    fn root(&self) -> Result<Root, NpmError> {
        self.packages
            .get("")
            .map_or_else(|| Ok(Root::default()), |raw| read("the project", raw))
    }
}

fn read<'a, T: Deserialize<'a>>(place: &str, raw: &'a RawValue) -> Result<T, NpmError> {
    serde_json::from_str(raw.get()).map_err(|e| NpmError::Lockfile {
        reason: format!(
            "{}: {}",
            crate::base::text::quoted(place),
            escaped(&e.to_string())
        ),
    })
}

impl Root {
    /// Name, range and kind, the strongest kind of each name only.
    fn edges(&self, dev: bool) -> Vec<PlacedEdge> {
        let mut edges: BTreeMap<&str, (EdgeKind, &str)> = BTreeMap::new();
        let groups = [
            (&self.peer_dependencies, EdgeKind::Peer),
            (&self.dependencies, EdgeKind::Prod),
            (&self.optional_dependencies, EdgeKind::Optional),
            (&self.dev_dependencies, EdgeKind::Dev),
        ];
        for (texts, kind) in groups
            .into_iter()
            .filter(|(_, kind)| dev || *kind != EdgeKind::Dev)
        {
            edges.extend(
                texts
                    .0
                    .iter()
                    .map(|(name, range)| (name.as_str(), (kind, range.as_str()))),
            );
        }
        let edge = |(name, (kind, range)): (&str, (EdgeKind, &str))| PlacedEdge {
            name: name.to_owned(),
            range: if range.is_empty() {
                "*".to_owned()
            } else {
                range.to_owned()
            },
            kind,
            to: None,
        };
        edges.into_iter().map(edge).collect()
    }

    fn texts(&self, dev: bool) -> Vec<String> {
        self.edges(dev)
            .into_iter()
            .map(|edge| format!("{}@{}", edge.name, edge.range))
            .collect()
    }
}

/// One place of the lock file that becomes part of the tree.
#[derive(Debug)]
struct Wanted {
    name: String,
    version: String,
    integrity: Option<String>,
    optional: bool,
}

/// Takes the tree of a lock file; asks the registry for the records of its releases.
pub(crate) struct LockResolver {
    request: InstallRequest,
    catalog: Catalog,
    desk: Desk,
    roots: Vec<PlacedEdge>,
    wanted: BTreeMap<String, Wanted>,
    places: BTreeMap<String, ManifestId>,
    findings: Vec<Finding>,
}

impl LockResolver {
    /// Reads the lock file and asks for everything at once.
    pub(crate) fn new(request: InstallRequest, lockfile: &[u8]) -> Result<Self, NpmError> {
        let document = Document::parse(lockfile)?;
        let dev = request.include.iter().any(|i| i == "dev");
        let picker = Picker::new(request.exclude_newer, request.target.node.as_deref());
        let mut resolver = Self {
            roots: document.root()?.edges(dev),
            catalog: Catalog::new(picker),
            desk: Desk::default(),
            wanted: BTreeMap::new(),
            places: BTreeMap::new(),
            findings: Vec::new(),
            request,
        };
        let mut bundlers: BTreeSet<&str> = BTreeSet::new();
        for (path, raw) in document
            .packages
            .iter()
            .filter(|(path, _)| !path.is_empty())
        {
            let entry: Entry = read(path, raw)?;
            let outer = std::iter::successors(placed::parent_of(path), |p| placed::parent_of(p));
            let is_bundled = entry.in_bundle && outer.clone().any(|p| bundlers.contains(p));
            let bundles = Manifest::from_package_json("", raw.get().as_bytes());
            if bundles.is_some_and(|m| !m.record.bundle_dependencies.is_empty()) {
                bundlers.insert(path);
            }
            if !dev && (entry.dev || (entry.dev_optional && !resolver.includes_optional())) {
                continue;
            }
            resolver.take_entry(path, entry, is_bundled.then(|| raw.get().as_bytes()))?;
        }
        let names: BTreeSet<String> = resolver.wanted.values().map(|w| w.name.clone()).collect();
        for name in names {
            resolver.desk.packument(&name);
        }
        Ok(resolver)
    }

    fn includes_optional(&self) -> bool {
        self.request.include.iter().any(|i| i == "optional")
    }

    /// Takes one place; `bundled` is its JSON when it is inside a tarball.
    fn take_entry(
        &mut self,
        path: &str,
        entry: Entry,
        bundled: Option<&[u8]>,
    ) -> Result<(), NpmError> {
        let fail = |what: &str| NpmError::Lockfile {
            reason: format!("{} {what}", crate::base::text::quoted(path)),
        };
        let folder = placed::folder_of(path).filter(|_| is_place(path));
        if let Some(foreign) = foreign_entry(&entry, folder.is_none()) {
            self.findings.push(foreign_finding(path, &entry, foreign));
            return Ok(());
        }
        let folder = folder.ok_or_else(|| fail("is not a node_modules path"))?;
        if let Some(json) = bundled {
            let manifest =
                Manifest::from_package_json(folder, json).ok_or_else(|| fail("has no version"))?;
            let id = self.catalog.keep_foreign(manifest);
            self.places.insert(path.to_owned(), id);
            return Ok(());
        }
        let name = entry.name.unwrap_or_else(|| folder.to_owned());
        if !super::is_name(&name) {
            return Err(fail("has a name that is no package name"));
        }
        let version = entry.version.ok_or_else(|| fail("has no version"))?;
        let wanted = Wanted {
            name,
            version,
            integrity: entry.integrity,
            optional: entry.optional || entry.dev_optional,
        };
        self.wanted.insert(path.to_owned(), wanted);
        Ok(())
    }

    fn take_in(&mut self, request: &Request, answer: Answer) -> Result<(), NpmError> {
        if let Some(Subject::Packument(name)) = self.desk.close(request) {
            self.catalog.learn(&name, packument(&name, answer)?);
        }
        Ok(())
    }

    fn conclude(mut self) -> Result<Resolution, NpmError> {
        for (path, wanted) in std::mem::take(&mut self.wanted) {
            let spec = self.catalog.spec_id(&wanted.version);
            let picked = self
                .catalog
                .pick(&wanted.name, spec)
                .unwrap_or(Picked::NoPackage);
            let Picked::Version(id) = picked else {
                self.missing(&path, &wanted, picked)?;
                continue;
            };
            check_integrity(self.catalog.manifest(id), wanted.integrity.as_deref())?;
            self.places.insert(path, id);
        }
        let (assembly, records) = Assembly::new(
            &self.request,
            &self.catalog,
            &self.places,
            self.roots,
            BTreeSet::new(),
        )?;
        let mut resolution = assemble::resolution(&assembly, &records);
        resolution.findings.extend(self.findings);
        resolution
            .findings
            .sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        Ok(resolution)
    }

    /// A release that the registry does not have: fatal unless optional.
    fn missing(&mut self, path: &str, wanted: &Wanted, picked: Picked) -> Result<(), NpmError> {
        let (name, version) = (escaped(&wanted.name), escaped(&wanted.version));
        if wanted.optional {
            self.findings.push(Finding {
                code: &fault::OPTIONAL,
                severity: Severity::Note,
                subject: format!("npm {name}@{version}"),
                message: "optional package of the lock file is not in the registry".to_owned(),
                chain: vec![escaped(path)],
                fix: None,
            });
            return Ok(());
        }
        let chain = vec![escaped(path)];
        if picked == Picked::NoPackage {
            return Err(NpmError::NotFound { name, chain });
        }
        let limit = self.catalog.limit().map(|l| l.to_string());
        Err(NpmError::NoVersion {
            name,
            range: version,
            limit,
            chain,
        })
    }
}

impl Resolver for LockResolver {
    fn take_requests(&mut self) -> Vec<Request> {
        self.desk.take()
    }

    fn answer(&mut self, request: &Request, answer: Answer) -> Result<(), Box<dyn Fault>> {
        Ok(self.take_in(request, answer)?)
    }

    fn finish(self: Box<Self>) -> Result<Resolution, Box<dyn Fault>> {
        Ok(self.conclude()?)
    }
}

/// Whether a path is made of `node_modules/<name>` only.
fn is_place(path: &str) -> bool {
    let mut here = Some(path).filter(|p| p.starts_with("node_modules/"));
    while let Some(inner) = here.filter(|p| !p.is_empty()) {
        if !placed::folder_of(inner).is_some_and(super::is_name) {
            return false;
        }
        here = placed::parent_of(inner);
    }
    here.is_some()
}

/// Where an entry comes from, if not from a registry.
fn foreign_entry(entry: &Entry, outside: bool) -> Option<Foreign> {
    if entry.link || outside {
        return Some(Foreign::Local);
    }
    let resolved = entry.resolved.as_deref()?;
    match Spec::parse(resolved) {
        // A registry's tarball is `…/-/….tgz`, wherever the registry is.
        Spec::Foreign(Foreign::Url) if resolved.contains("/-/") => None,
        Spec::Foreign(foreign) => Some(foreign),
        _ => None,
    }
}

fn foreign_finding(path: &str, entry: &Entry, foreign: Foreign) -> Finding {
    let (code, word) = match foreign {
        Foreign::Git => (&fault::GIT, "a git repository"),
        Foreign::Url => (&fault::URL, "a URL that is no registry's"),
        Foreign::Local => (&fault::FILE, "a folder or file"),
    };
    let from = entry.resolved.as_deref().unwrap_or(path);
    Finding {
        code,
        severity: Severity::Deny,
        subject: format!("npm {}", escaped(path)),
        message: format!("comes from {word}: {}", escaped(from)),
        chain: vec![escaped(path)],
        fix: Some("publish it to a registry, or take a version that does not need it".to_owned()),
    }
}

/// The lock file and the registry must mean the same bytes.
fn check_integrity(manifest: &Manifest, locked: Option<&str>) -> Result<(), NpmError> {
    let Some(locked) = locked else { return Ok(()) };
    let dist = manifest.record.dist.as_ref();
    let stated = [
        dist.and_then(|d| d.integrity.clone()),
        dist.and_then(|d| d.shasum.clone()),
    ];
    let stated: Vec<UpstreamChecksum> = stated
        .iter()
        .flatten()
        .filter_map(|t| {
            UpstreamChecksum::from_sri(t)
                .or_else(|_sri| UpstreamChecksum::from_sha1_hex(t))
                .ok()
        })
        .collect();
    let is_same = UpstreamChecksum::from_sri(locked).is_ok_and(|locked| stated.contains(&locked));
    if is_same {
        return Ok(());
    }
    Err(NpmError::Integrity {
        release: escaped(&format!("{}@{}", manifest.name, manifest.version)),
        locked: escaped(locked),
        stated: stated
            .first()
            .map_or_else(|| "nothing".to_owned(), UpstreamChecksum::to_sri),
    })
}

#[cfg(test)]
mod tests {
    use super::{
        ClientFileKind, detect, is_place, requirements_from_lockfile,
        requirements_from_package_json,
    };
    use crate::base::fault::Fault as _;

    #[test]
    fn files_are_told_apart() {
        assert_eq!(
            detect(br#"{"lockfileVersion":3}"#),
            Some(ClientFileKind::PackageLock)
        );
        assert_eq!(
            detect(br#"{"name":"x"}"#),
            Some(ClientFileKind::PackageJson)
        );
        assert_eq!(detect(b"[]"), None);
        assert_eq!(detect(br#"{"a":1}"#), None);
    }

    #[test]
    fn requirements_of_a_package_json() {
        let json = br#"{"dependencies":{"b":"^1","a":""},"optionalDependencies":{"b":"^2"},
            "peerDependencies":{"c":"npm:@s/d@3"},"devDependencies":{"x":"1"}}"#;
        assert_eq!(
            requirements_from_package_json(json).unwrap(),
            ["a@*", "b@^2", "c@npm:@s/d@3"]
        );
        let overrides = requirements_from_package_json(br#"{"overrides":{"a":"1"}}"#).unwrap_err();
        assert_eq!(overrides.code().name, "npm-overrides-unsupported");
        requirements_from_package_json(br#"{"workspaces":["a"]}"#).unwrap_err();
        assert!(
            requirements_from_package_json(br#"{"overrides":{}}"#)
                .unwrap()
                .is_empty()
        );
        requirements_from_package_json(b"[1").unwrap_err();
    }

    #[test]
    fn old_lock_files_say_how_to_convert_them() {
        let old = requirements_from_lockfile(br#"{"lockfileVersion":1,"dependencies":{}}"#, &[])
            .unwrap_err();
        assert!(old.to_string().contains("--lockfile-version 3"), "{old}");
        requirements_from_lockfile(br#"{"lockfileVersion":4,"packages":{"":{}}}"#, &[])
            .unwrap_err();
        let lock = br#"{"lockfileVersion":3,"packages":{"":{"dependencies":{"a":"1"},"devDependencies":{"b":"2"}}}}"#;
        assert_eq!(requirements_from_lockfile(lock, &[]).unwrap(), ["a@1"]);
        assert_eq!(
            requirements_from_lockfile(lock, &["dev".to_owned()]).unwrap(),
            ["a@1", "b@2"]
        );
    }

    #[test]
    fn places_never_leave_node_modules() {
        assert!(is_place("node_modules/a/node_modules/@s/b"));
        for bad in [
            "",
            "a",
            "packages/a",
            "node_modules/..",
            "node_modules/a/b",
            "/node_modules/a",
            "x/node_modules/a",
            "node_modules/a/node_modules/",
            "node_modules/@s",
        ] {
            assert!(!is_place(bad), "{bad}");
        }
    }
}
