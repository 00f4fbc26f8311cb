//! Resolves one npm install: requests packuments as soon as a version is known to need them, and builds the ideal tree
//! when no answer is open. The order of answers decides nothing but the order of requests.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::digest::UpstreamChecksum;
use crate::base::fault::Fault;
use crate::base::finding::{Finding, Severity};
use crate::base::limits::LIMITS;
use crate::base::platform::{Platform, Target};
use crate::base::text::escaped;
use crate::base::time::Timestamp;
use crate::eco::npm::assemble::{self, Assembly, UPSTREAM};
use crate::eco::npm::catalog::{Catalog, ManifestId, Picked, SpecId};
use crate::eco::npm::fault::{self, NpmError};
use crate::eco::npm::lockfile::LockResolver;
use crate::eco::npm::packument::Packument;
use crate::eco::npm::pick::Picker;
use crate::eco::npm::placed::{EdgeKind, PlacedEdge};
use crate::eco::npm::scan::Chains;
use crate::eco::npm::tarball;
use crate::eco::npm::tree::build::{self, Failed, Ideal, Missing, Unbuilt};
use crate::eco::npm::tree::graph::Wish;
use crate::eco::preference::Preference;
use crate::upstream::{Answer, Request, Resolution, Resolver, UpstreamError, Want};

/// One install to resolve.
#[derive(Debug, Clone)]
pub struct InstallRequest {
    /// Number of the install within the ecosystem, from 1.
    pub number: u32,
    /// Requirements as the manifest has them.
    pub requirements: Vec<String>,
    /// Requirements that are for some platforms of the target only, by their text; the others are for all.
    pub only_for: BTreeMap<String, Vec<Platform>>,
    /// Texts that take the place of what releases say of dependencies with these names.
    pub overrides: BTreeMap<String, String>,
    /// Versions to take before others, where a range allows them.
    pub prefer: Preference,
    /// Bytes of a client lock file to take instead of requirements.
    pub lockfile: Option<Vec<u8>>,
    /// Dependency kinds to include, such as `prod`, `optional`, `peer`, `dev`.
    pub include: Vec<String>,
    /// The enclave host.
    pub target: Target,
    /// Releases published later (or without a time) do not exist.
    pub exclude_newer: Option<Timestamp>,
}

/// A resolver for one install: from its requirements, or from the lock file it brings.
pub fn resolver(mut request: InstallRequest) -> Result<Box<dyn Resolver>, Box<dyn Fault>> {
    if let Some(lockfile) = request.lockfile.take() {
        return Ok(Box::new(LockResolver::new(request, &lockfile)?));
    }
    Ok(Box::new(NpmResolver::new(request)?))
}

/// How much of a version's dependencies npm looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// Only its peers: it is an optional peer itself, looked at to avoid conflicts.
    Peers,
    /// All.
    Whole,
}

/// The requests of one install and what they were for.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    fresh: Vec<Request>,
    open: BTreeMap<String, Subject>,
    asked: BTreeSet<String>,
}

/// What a request is for.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    /// The packument of a name.
    Packument(String),
    /// The tarball of a release.
    Tarball(ManifestId),
}

impl Desk {
    /// Asks for a packument, once.
    pub(crate) fn packument(&mut self, name: &str) {
        self.ask(
            super::packument_path(name),
            Want::Document,
            Subject::Packument(name.to_owned()),
        );
    }

    /// Asks for a tarball, once.
    pub(crate) fn tarball(&mut self, path: &str, checksum: UpstreamChecksum, of: ManifestId) {
        let want = Want::Artifact(checksum);
        self.ask(path.to_owned(), want, Subject::Tarball(of));
    }

    fn ask(&mut self, path: String, want: Want, subject: Subject) {
        if self.asked.insert(path.clone()) {
            self.open.insert(path.clone(), subject);
            let limit = match want {
                Want::Artifact(_) => LIMITS.artifact,
                Want::Document | Want::Immutable | Want::Part(_) => LIMITS.metadata,
            };
            self.fresh.push(Request {
                upstream: UPSTREAM.to_owned(),
                path,
                accept: None,
                limit,
                want,
                link: None,
            });
        }
    }

    /// Requests not handed out yet.
    pub(crate) fn take(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.fresh)
    }

    /// Whether every request is answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// What an answer is for; `None` when nobody asked.
    pub(crate) fn close(&mut self, request: &Request) -> Option<Subject> {
        self.open.remove(&request.path)
    }
}

struct NpmResolver {
    request: InstallRequest,
    catalog: Catalog,
    desk: Desk,
    roots: Vec<Wish>,
    /// Dependencies whose packument is not there yet, by package.
    waiting: BTreeMap<String, BTreeSet<(String, SpecId, Reach)>>,
    visited: BTreeMap<ManifestId, Reach>,
    built: Option<Ideal>,
}

impl NpmResolver {
    fn new(request: InstallRequest) -> Result<Self, NpmError> {
        let picker = Picker::new(request.exclude_newer, request.target.node.as_deref())
            .preferring(request.prefer.clone());
        let mut resolver = Self {
            catalog: Catalog::new(picker).overriding(request.overrides.clone()),
            desk: Desk::default(),
            roots: Vec::new(),
            waiting: BTreeMap::new(),
            visited: BTreeMap::new(),
            built: None,
            request,
        };
        for text in resolver.request.requirements.clone() {
            let (name, range) =
                super::split_requirement(&text).ok_or_else(|| NpmError::Requirement {
                    text: crate::base::text::quoted(&text),
                })?;
            let spec = resolver.catalog.spec_id(range);
            resolver.roots.retain(|wish| wish.name != name);
            resolver.roots.push(Wish {
                name: name.to_owned(),
                spec,
                kind: EdgeKind::Prod,
            });
        }
        let todo = resolver
            .roots
            .iter()
            .map(|w| (w.name.clone(), w.spec, Reach::Whole))
            .collect();
        resolver.walk(todo);
        resolver.advance()?;
        Ok(resolver)
    }

    /// Picks versions for dependencies and goes on with theirs; asks for packuments that are missing.
    fn walk(&mut self, mut todo: Vec<(String, SpecId, Reach)>) {
        while let Some((name, spec, reach)) = todo.pop() {
            let id = match self.catalog.pick(&name, spec) {
                Ok(Picked::Version(id)) => id,
                Ok(Picked::NoPackage | Picked::NoVersion | Picked::Foreign) => continue,
                Err(missing) => {
                    self.desk.packument(&missing);
                    self.waiting
                        .entry(missing)
                        .or_default()
                        .insert((name, spec, reach));
                    continue;
                }
            };
            if self.visited.get(&id).is_some_and(|known| *known >= reach) {
                continue;
            }
            self.visited.insert(id, reach);
            let bundled = self.catalog.manifest(id).record.bundle_dependencies.clone();
            if !bundled.is_empty() && reach == Reach::Whole {
                self.ask_tarball(id);
            }
            for wish in self.catalog.wishes(id) {
                let next = match wish.kind {
                    _ if bundled.contains(&wish.name) => continue,
                    EdgeKind::PeerOptional => Reach::Peers,
                    EdgeKind::Peer => reach,
                    EdgeKind::Prod | EdgeKind::Optional | EdgeKind::Dev
                        if reach == Reach::Whole =>
                    {
                        reach
                    }
                    EdgeKind::Prod | EdgeKind::Optional | EdgeKind::Dev => continue,
                };
                todo.push((wish.name, wish.spec, next));
            }
        }
    }

    /// Asks for the tarball of a release that brings others along. One without a strong checksum is denied by a
    /// finding of its own: nothing inside may be believed, so it is not looked at.
    fn ask_tarball(&mut self, id: ManifestId) {
        let Some(tarball) = &self.catalog.manifest(id).tarball else {
            return;
        };
        match tarball.checksum.clone() {
            Some(sum @ (UpstreamChecksum::Sha512(_) | UpstreamChecksum::Sha256(_))) => {
                self.desk.tarball(&tarball.path, sum, id);
            }
            Some(UpstreamChecksum::Sha1(_)) | None => self.catalog.learn_bundle(id, Vec::new()),
        }
    }

    /// Builds the tree when no answer is open, and asks for what turns out to be missing.
    fn advance(&mut self) -> Result<(), NpmError> {
        while self.desk.is_idle() && self.built.is_none() {
            match build::build(&self.catalog, self.roots.clone()) {
                Ok(ideal) => self.built = Some(ideal),
                Err(Unbuilt::Missing(missing)) => self.learn(missing)?,
                Err(Unbuilt::Failed(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Picks and asks for what a build lacked.
    fn learn(&mut self, missing: Missing) -> Result<(), NpmError> {
        let whole = |(name, spec)| (name, spec, Reach::Whole);
        self.walk(missing.picks.into_iter().map(whole).collect());
        for id in missing.bundles {
            self.ask_tarball(id);
            if self.desk.is_idle() && self.catalog.bundle(id).is_none() {
                let release = escaped(&self.catalog.manifest(id).name);
                let reason = "it was not answered".to_owned();
                return Err(NpmError::Tarball { release, reason });
            }
        }
        Ok(())
    }

    fn take_in(&mut self, request: &Request, answer: Answer) -> Result<(), NpmError> {
        match self.desk.close(request) {
            Some(Subject::Packument(name)) => {
                self.catalog.learn(&name, packument(&name, answer)?);
                let todo = self
                    .waiting
                    .remove(&name)
                    .unwrap_or_default()
                    .into_iter()
                    .collect();
                self.walk(todo);
            }
            Some(Subject::Tarball(id)) => {
                let found = tarball::bundled(self.catalog.manifest(id), answer?.into_source())?;
                self.catalog.learn_bundle(id, found);
            }
            None => {}
        }
        self.advance()
    }

    fn conclude(self) -> Result<Resolution, NpmError> {
        let ideal = self.built.ok_or_else(|| NpmError::Internal {
            reason: "answers are missing".to_owned(),
        })?;
        let roots = self.roots.iter().map(|wish| PlacedEdge {
            name: wish.name.clone(),
            range: self.catalog.spec_text(wish.spec).to_owned(),
            kind: wish.kind,
            to: None,
        });
        let broken = ideal
            .failed
            .iter()
            .filter(|f| f.hard)
            .map(|f| f.from.clone())
            .collect();
        let (assembly, records) = Assembly::new(
            &self.request,
            &self.catalog,
            &ideal.places,
            roots.collect(),
            broken,
        )?;
        let mut resolution = assemble::resolution(&assembly, &records);
        resolution
            .findings
            .extend(tree_findings(&assembly, &ideal)?);
        resolution
            .findings
            .sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        Ok(resolution)
    }
}

impl Resolver for NpmResolver {
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

/// The packument in an answer; `None` when the registry has none.
pub(crate) fn packument(name: &str, answer: Answer) -> Result<Option<Packument>, NpmError> {
    match answer {
        Ok(content) => {
            let bytes = content.into_bytes().map_err(|e| NpmError::Packument {
                name: crate::base::text::quoted(name),
                reason: escaped(&e.to_string()),
            })?;
            Packument::parse(name, &bytes).map(Some)
        }
        Err(UpstreamError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What only the builder of the tree knows: dependencies that could not be had, overridden peers, loops.
fn tree_findings(assembly: &Assembly<'_>, ideal: &Ideal) -> Result<Vec<Finding>, NpmError> {
    let chains = Chains::new(&assembly.tree);
    let mut found = Vec::new();
    for failed in &ideal.failed {
        let mut chain = chains.to(&failed.from);
        chain.push(format!(
            "{}@{}",
            escaped(&failed.name),
            escaped(assembly.catalog.spec_text(failed.spec))
        ));
        if let Some(message) = missing(assembly, failed, &chain)? {
            let about = subject(assembly, &failed.from);
            found.push(finding(
                &fault::OPTIONAL,
                Severity::Note,
                about,
                message,
                chain,
            ));
        }
    }
    for peer in &ideal.overridden {
        let range = escaped(assembly.catalog.spec_text(peer.spec));
        let given = subject(assembly, &peer.to);
        let message = format!(
            "wants peer {} {range}, but gets {given}",
            escaped(&peer.name)
        );
        let (about, chain) = (subject(assembly, &peer.from), chains.to(&peer.from));
        found.push(finding(&fault::PEER, Severity::Warn, about, message, chain));
    }
    for path in &ideal.loops {
        let message = "npm would need a link to end a loop of nested versions there".to_owned();
        let about = escaped(path);
        found.push(finding(
            &fault::LOOP,
            Severity::Deny,
            about,
            message,
            Vec::new(),
        ));
    }
    Ok(found)
}

/// What to say of a dependency that could not be had: an error where the tree needs it, nothing where its kind is
/// reported elsewhere.
fn missing(
    assembly: &Assembly<'_>,
    failed: &Failed,
    chain: &[String],
) -> Result<Option<String>, NpmError> {
    let (name, chain) = (escaped(&failed.name), chain.to_vec());
    let range = escaped(assembly.catalog.spec_text(failed.spec));
    let is_unknown = match assembly.catalog.picked(&failed.name, failed.spec) {
        Some(Picked::Foreign) => return Ok(None),
        picked => picked == Some(Picked::NoPackage),
    };
    match (failed.required, is_unknown) {
        (true, true) => Err(NpmError::NotFound { name, chain }),
        (true, false) => {
            let limit = assembly.limit().map(|l| l.to_string());
            Err(NpmError::NoVersion {
                name,
                range,
                limit,
                chain,
            })
        }
        (false, true) => Ok(Some(format!(
            "optional dependency {name} does not exist in the registry"
        ))),
        (false, false) => Ok(Some(format!(
            "optional dependency {name} has no version that fits {range}"
        ))),
    }
}

fn subject(assembly: &Assembly<'_>, path: &str) -> String {
    assembly.tree.places.get(path).map_or_else(
        || "the project".to_owned(),
        |placed| format!("npm {}", escaped(&placed.release.to_string())),
    )
}

fn finding(
    code: &'static crate::base::fault::Code,
    severity: Severity,
    subject: String,
    message: String,
    chain: Vec<String>,
) -> Finding {
    Finding {
        code,
        severity,
        subject,
        message,
        chain,
        fix: None,
    }
}
