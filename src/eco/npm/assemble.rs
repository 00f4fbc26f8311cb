//! From a tree of places to what a lock keeps: records, packages with platforms and edges, findings.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::{Platform, Target};
use crate::eco::npm::catalog::{Catalog, ManifestId};
use crate::eco::npm::fault::NpmError;
use crate::eco::npm::manifest::Manifest;
use crate::eco::npm::placed::{PlacedEdge, PlacedTree};
use crate::eco::npm::records::{self, NpmPackage, NpmRecords, NpmVersion};
use crate::eco::npm::resolve::InstallRequest;
use crate::eco::npm::scan;
use crate::lock::{LockedArtifact, LockedPackage, Records};
use crate::upstream::Resolution;

/// Name of the upstream in locks and requests.
pub(crate) const UPSTREAM: &str = "npm";

/// A tree of places and what is needed to judge it.
#[derive(Debug)]
pub(crate) struct Assembly<'a> {
    /// Number of the install.
    pub(crate) number: u32,
    /// The enclave host.
    pub(crate) target: &'a Target,
    /// Dependency kinds that are carried.
    pub(crate) include: &'a [String],
    /// Names at the root that are wanted on some platforms only.
    only_for: BTreeMap<&'a str, &'a [Platform]>,
    /// Manifests.
    pub(crate) catalog: &'a Catalog,
    /// What is where.
    pub(crate) places: &'a BTreeMap<String, ManifestId>,
    /// The tree.
    pub(crate) tree: PlacedTree,
    /// Places that need something that cannot be had.
    pub(crate) broken: BTreeSet<String>,
    /// For each place, the platforms it is carried for.
    pub(crate) carried: BTreeMap<String, BTreeSet<Platform>>,
}

impl<'a> Assembly<'a> {
    /// Puts the records of `places` together and finds out what is carried where.
    pub(crate) fn new(
        request: &'a InstallRequest,
        catalog: &'a Catalog,
        places: &'a BTreeMap<String, ManifestId>,
        roots: Vec<PlacedEdge>,
        broken: BTreeSet<String>,
    ) -> Result<(Self, NpmRecords), NpmError> {
        let records = records_of(catalog, places);
        let releases = places
            .iter()
            .map(|(path, id)| (path.clone(), release(catalog.manifest(*id))))
            .collect();
        let tree = PlacedTree::new(roots, &releases, &records).map_err(|e| NpmError::Internal {
            reason: e.to_string(),
        })?;
        let mut assembly = Self {
            number: request.number,
            target: &request.target,
            include: &request.include,
            only_for: request
                .only_for
                .iter()
                .filter_map(|(spec, only)| {
                    Some((super::split_requirement(spec)?.0, only.as_slice()))
                })
                .collect(),
            catalog,
            places,
            tree,
            broken,
            carried: BTreeMap::new(),
        };
        let target = &request.target;
        for platform in &target.platforms {
            for path in assembly.carried_for(*platform) {
                assembly.carried.entry(path).or_default().insert(*platform);
            }
        }
        Ok((assembly, records))
    }

    /// The manifest at a place.
    pub(crate) fn manifest(&self, path: &str) -> Option<&Manifest> {
        self.places.get(path).map(|id| self.catalog.manifest(*id))
    }

    /// The moment after which releases do not exist.
    pub(crate) const fn limit(&self) -> Option<crate::base::time::Timestamp> {
        self.catalog.limit()
    }

    /// Whether a place is carried for any platform.
    pub(crate) fn is_carried(&self, path: &str) -> bool {
        self.carried.contains_key(path)
    }

    /// Places whose packages are needed on `platform`: all but optional ones that do not fit it, those that cannot do
    /// without them, and what only these need. What is inside a tarball goes with it.
    fn carried_for(&self, platform: Platform) -> BTreeSet<String> {
        let left_out = self.left_out(platform);
        let every: Vec<&PlacedEdge> = self.tree.roots.iter().collect();
        let all = self.reach(&every, &BTreeSet::new());
        let wanted = |edge: &&PlacedEdge| {
            self.only_for
                .get(edge.name.as_str())
                .is_none_or(|only| only.contains(&platform))
        };
        let roots: Vec<&PlacedEdge> = self.tree.roots.iter().filter(wanted).collect();
        let reached = self.reach(&roots, &left_out);
        let mut carried: BTreeSet<String> = self
            .tree
            .places
            .iter()
            .filter(|(path, placed)| {
                placed.bundler.is_none()
                    && !left_out.contains(path)
                    && (reached.contains(path) || !all.contains(path))
            })
            .map(|(path, _)| path.clone())
            .collect();
        let inside = self
            .tree
            .places
            .iter()
            .filter(|(_, p)| p.bundler.as_ref().is_some_and(|b| carried.contains(b)));
        let inside: Vec<String> = inside.map(|(path, _)| path.clone()).collect();
        carried.extend(inside);
        carried
    }

    /// Optional places that do not fit `platform`, and those that cannot do without them.
    fn left_out(&self, platform: Platform) -> BTreeSet<&String> {
        let mut left_out: BTreeSet<&String> = BTreeSet::new();
        for (path, placed) in &self.tree.places {
            let omitted = (placed.flags.optional && !self.includes("optional"))
                || (placed.flags.peer && !self.includes("peer"))
                || (placed.flags.dev && !self.includes("dev"));
            let unfit =
                placed.flags.optional && (self.broken.contains(path) || !self.fits(path, platform));
            if (omitted || unfit) && placed.bundler.is_none() {
                left_out.insert(path);
            }
        }
        loop {
            let more: Vec<&String> = self
                .tree
                .places
                .iter()
                .filter(|(path, placed)| {
                    let needs = |e: &PlacedEdge| {
                        !e.kind.is_optional() && e.to.as_ref().is_some_and(|t| left_out.contains(t))
                    };
                    placed.flags.optional
                        && !left_out.contains(path)
                        && placed.edges.iter().any(needs)
                })
                .map(|(path, _)| path)
                .collect();
            if more.is_empty() {
                break;
            }
            left_out.extend(more);
        }
        left_out
    }

    fn includes(&self, kind: &str) -> bool {
        self.include.iter().any(|i| i == kind)
    }

    /// Places that `roots` lead to without passing `blocked`.
    fn reach<'s>(
        &'s self,
        roots: &[&'s PlacedEdge],
        blocked: &BTreeSet<&'s String>,
    ) -> BTreeSet<&'s String> {
        let mut found: BTreeSet<&String> = BTreeSet::new();
        let mut queue: Vec<&PlacedEdge> = roots.to_vec();
        while let Some(edge) = queue.pop() {
            if let Some(to) = edge.to.as_ref().filter(|to| !blocked.contains(to))
                && found.insert(to)
            {
                queue.extend(self.tree.edges(to));
            }
        }
        found
    }

    /// Whether the package at a place is for `platform` and the target's Node.
    fn fits(&self, path: &str, platform: Platform) -> bool {
        self.manifest(path).is_none_or(|m| {
            fits_platform(&m.record, platform, self.target)
                && scan::fits_node(&m.record, self.target)
        })
    }

    /// The locked packages.
    pub(crate) fn packages(&self) -> Vec<LockedPackage> {
        let mut packages: BTreeMap<ReleaseId, LockedPackage> = BTreeMap::new();
        for (path, placed) in &self.tree.places {
            let Some(manifest) = self.manifest(path) else {
                continue;
            };
            let package = packages
                .entry(placed.release.clone())
                .or_insert_with(|| blank(manifest));
            package.places.push(format!("{}:{path}", self.number));
            package
                .platforms
                .extend(self.carried.get(path).into_iter().flatten());
            let release_at = |to: &String| self.tree.places.get(to).map(|p| p.release.clone());
            package.dependencies.extend(
                placed
                    .edges
                    .iter()
                    .filter_map(|e| release_at(e.to.as_ref()?)),
            );
            match &placed.bundler {
                Some(bundler) => package.bundled_in.extend(release_at(bundler)),
                None => package.artifacts.extend(artifact(manifest)),
            }
        }
        for package in packages.values_mut() {
            package.platforms.sort_unstable();
            package.platforms.dedup();
            package.dependencies.sort();
            package.dependencies.dedup();
            package.bundled_in.sort();
            package.bundled_in.dedup();
            package.artifacts.sort();
            package.artifacts.dedup();
            package.places.sort();
        }
        packages.into_values().collect()
    }
}

/// The result of an install.
pub(crate) fn resolution(assembly: &Assembly<'_>, documents: &NpmRecords) -> Resolution {
    let mut findings = scan::findings(assembly);
    findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    Resolution {
        inputs: Vec::new(),
        packages: assembly.packages(),
        records: Records::from([(EcosystemId::npm(), records::write(documents))]),
        findings,
    }
}

/// Whether a version is for a platform, as npm-install-checks judges `os`, `cpu` and `libc`.
pub(crate) fn fits_platform(record: &NpmVersion, platform: Platform, target: &Target) -> bool {
    let fits = |list: &[String], value: &str| {
        if list.is_empty() || (list.len() == 1 && list.iter().any(|e| e == "any")) {
            return true;
        }
        let negated = list.iter().filter_map(|e| e.strip_prefix('!'));
        if negated.clone().any(|e| e == value) {
            return false;
        }
        list.iter().any(|e| e == value) || negated.count() == list.len()
    };
    fits(&record.os, platform.node_os())
        && fits(&record.cpu, platform.node_cpu())
        && fits(&record.libc, target.libc.npm_word())
}

fn release(manifest: &Manifest) -> ReleaseId {
    ReleaseId::new(&manifest.name, &manifest.version)
}

fn records_of(catalog: &Catalog, places: &BTreeMap<String, ManifestId>) -> NpmRecords {
    let mut records = NpmRecords::default();
    for id in places.values() {
        let manifest = catalog.manifest(*id);
        let package = records.packages.entry(manifest.name.clone()).or_default();
        let known = package.versions.get(&manifest.version);
        // The registry's word counts more than a copy inside a tarball.
        if known.is_none_or(|k| k.dist.is_none()) {
            package
                .versions
                .insert(manifest.version.clone(), manifest.record.clone());
        }
    }
    for (name, package) in &mut records.packages {
        package.dist_tags = tags_of(catalog, name, package);
    }
    records
}

fn tags_of(catalog: &Catalog, name: &str, package: &NpmPackage) -> BTreeMap<String, String> {
    let tags = catalog
        .packument(name)
        .map(|p| p.tags().iter())
        .into_iter()
        .flatten();
    tags.filter(|(_, version)| package.versions.contains_key(*version))
        .map(|(tag, version)| (tag.clone(), version.clone()))
        .collect()
}

fn blank(manifest: &Manifest) -> LockedPackage {
    LockedPackage {
        ecosystem: EcosystemId::npm(),
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        platforms: Vec::new(),
        license: manifest.record.license.clone(),
        deprecated: manifest.record.deprecated.clone(),
        install_script: manifest.record.has_install_script,
        bundled_in: Vec::new(),
        places: Vec::new(),
        dependencies: Vec::new(),
        artifacts: Vec::new(),
    }
}

fn artifact(manifest: &Manifest) -> Option<LockedArtifact> {
    let tarball = manifest.tarball.as_ref()?;
    Some(LockedArtifact {
        file: super::base_name(&tarball.path).to_owned(),
        checksum: tarball.checksum.clone()?,
        upstream: UPSTREAM.to_owned(),
        path: tarball.path.clone(),
        size: None,
        evidence: None,
        gap: None,
    })
}
