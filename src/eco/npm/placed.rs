//! The tree of one npm install as a lock describes it: which release is at which path, where each dependency edge
//! leads by Node's lookup rule, and npm's `dev`, `optional`, `peer` … flags. Versions are never compared here.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::package::{EcosystemId, ReleaseId};
use crate::eco::EcoError;
use crate::eco::npm::records::{NpmRecords, NpmVersion};
use crate::lock::Lock;

/// Kind of a dependency edge, in npm's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EdgeKind {
    /// `dependencies`.
    Prod,
    /// `devDependencies`, of the root only.
    Dev,
    /// `optionalDependencies`.
    Optional,
    /// `peerDependencies`.
    Peer,
    /// `peerDependencies` that `peerDependenciesMeta` calls optional.
    PeerOptional,
}

impl EdgeKind {
    /// The word for reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prod => "prod",
            Self::Dev => "dev",
            Self::Optional => "optional",
            Self::Peer => "peer",
            Self::PeerOptional => "peer-optional",
        }
    }

    /// Whether the tree is complete without it.
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::Optional | Self::PeerOptional)
    }

    /// Whether it must be met beside its dependent and not below it.
    pub const fn is_peer(self) -> bool {
        matches!(self, Self::Peer | Self::PeerOptional)
    }
}

/// A dependency edge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlacedEdge {
    /// Name under which the dependency is looked up.
    pub name: String,
    /// Range, tag or alias as the dependent writes it.
    pub range: String,
    /// Its kind.
    pub kind: EdgeKind,
    /// Path where Node finds it; `None` when nothing of that name is in reach.
    pub to: Option<String>,
}

/// What is at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The release.
    pub release: ReleaseId,
    /// Name of the folder: the release's own, or its alias.
    pub folder: String,
    /// Dependency edges by name.
    pub edges: Vec<PlacedEdge>,
    /// Path of the package whose tarball contains this one.
    pub bundler: Option<String>,
    /// npm's flags.
    pub flags: Flags,
}

/// npm's flags of a tree node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    /// Only development dependencies lead here.
    pub dev: bool,
    /// Only optional dependencies lead here.
    pub optional: bool,
    /// Development and optional dependencies lead here, each by an own way.
    pub dev_optional: bool,
    /// Only peer dependencies lead here.
    pub peer: bool,
    /// Nothing that must be installed leads here.
    pub extraneous: bool,
}

impl Flags {
    const UNREACHED: Self = Self {
        dev: true,
        optional: true,
        dev_optional: true,
        peer: true,
        extraneous: true,
    };
    const ROOT: Self = Self {
        dev: false,
        optional: false,
        dev_optional: false,
        peer: false,
        extraneous: false,
    };

    /// What an edge of `kind` from a node with flags `from` takes away. Whether anything changed.
    fn reached(&mut self, from: Self, kind: EdgeKind) -> bool {
        let before = *self;
        let optional = kind.is_optional();
        let dev = kind == EdgeKind::Dev;
        self.extraneous &= from.extraneous || kind == EdgeKind::PeerOptional;
        self.dev &= from.dev || dev;
        self.optional &= from.optional || optional;
        self.dev_optional &= from.dev_optional || from.dev || from.optional || dev || optional;
        self.peer &= from.peer || kind.is_peer();
        *self != before
    }
}

/// The tree of one install.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlacedTree {
    /// Edges of the root.
    pub roots: Vec<PlacedEdge>,
    /// What is where, by path such as `node_modules/a/node_modules/@s/b`.
    pub places: BTreeMap<String, Placed>,
}

impl PlacedTree {
    /// The tree of install `number` of `lock`. Its roots are the lock's requirements for that install, or, where there
    /// are none, the packages on the first level that nothing else needs.
    pub fn of_install(lock: &Lock, records: &NpmRecords, number: u32) -> Result<Self, EcoError> {
        let npm = EcosystemId::npm();
        let prefix = format!("{number}:");
        let mut places = BTreeMap::new();
        for package in lock.of(&npm) {
            for path in package
                .places
                .iter()
                .filter_map(|p| p.strip_prefix(&prefix))
            {
                places.insert(path.to_owned(), package.id());
            }
        }
        let carried: BTreeSet<ReleaseId> = lock
            .of(&npm)
            .filter(|p| p.is_carried())
            .map(crate::lock::LockedPackage::id)
            .collect();
        let mut roots: Vec<PlacedEdge> = lock
            .requirements
            .iter()
            .filter(|r| r.ecosystem == npm && r.install == number)
            .filter_map(|r| super::split_requirement(&r.spec))
            .map(|(name, range)| root_edge(name, range, &places, &carried))
            .collect();
        if roots.is_empty() {
            let unrooted = Self::new(Vec::new(), &places, records)?;
            roots = unrooted
                .unneeded()
                .map(|(name, version)| root_edge(name, version, &places, &carried))
                .collect();
        }
        Self::new(roots, &places, records)
    }

    /// Builds the tree from what is where. Every release must be in `records`; the `to` of `roots` is looked up.
    pub fn new(
        roots: Vec<PlacedEdge>,
        places: &BTreeMap<String, ReleaseId>,
        records: &NpmRecords,
    ) -> Result<Self, EcoError> {
        let mut tree = Self {
            roots,
            places: BTreeMap::new(),
        };
        for root in &mut tree.roots {
            root.to = lookup(places, "", &root.name);
        }
        for (path, release) in places {
            let version = record_of(records, release)?;
            let folder =
                folder_of(path).ok_or_else(|| broken(path, "is not a node_modules path"))?;
            let mut edges = edges_of(version);
            for edge in &mut edges {
                edge.to = lookup(places, path, &edge.name);
            }
            tree.places.insert(
                path.clone(),
                Placed {
                    release: release.clone(),
                    folder: folder.to_owned(),
                    edges,
                    bundler: None,
                    flags: Flags::UNREACHED,
                },
            );
        }
        tree.mark_bundles(records)?;
        tree.mark_flags();
        Ok(tree)
    }

    /// The edges of a place; of the root for the empty path.
    pub fn edges(&self, path: &str) -> &[PlacedEdge] {
        if path.is_empty() {
            return &self.roots;
        }
        self.places.get(path).map_or(&[], |p| &p.edges)
    }

    /// Folder name and version of each first-level package that no edge leads to.
    fn unneeded(&self) -> impl Iterator<Item = (&str, &str)> {
        let needed: BTreeSet<&String> = self
            .places
            .values()
            .flat_map(|p| p.edges.iter().filter_map(|e| e.to.as_ref()))
            .collect();
        self.places
            .iter()
            .filter(move |(path, _)| parent_of(path) == Some("") && !needed.contains(path))
            .map(|(_, p)| (p.folder.as_str(), p.release.version.as_str()))
    }

    /// A place is in a bundle when its parent is, when its parent's tarball names it, or when another member of its
    /// parent's bundle needs it.
    fn mark_bundles(&mut self, records: &NpmRecords) -> Result<(), EcoError> {
        let mut queue: Vec<(String, String)> = Vec::new();
        for (path, placed) in &self.places {
            for name in &record_of(records, &placed.release)?.bundle_dependencies {
                let child = format!("{path}/node_modules/{name}");
                if self.places.contains_key(&child) {
                    queue.push((child, path.clone()));
                }
            }
        }
        queue.sort_unstable_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        while let Some((path, bundler)) = queue.pop() {
            let below = format!("{path}/node_modules/");
            let inner: Vec<String> = self
                .places
                .range(below.clone()..)
                .map(|(p, _)| p)
                .take_while(|p| p.starts_with(&below))
                .filter(|p| parent_of(p) == Some(path.as_str()))
                .cloned()
                .collect();
            let Some(placed) = self.places.get_mut(&path) else {
                continue;
            };
            if placed.bundler.is_some() {
                continue;
            }
            placed.bundler = Some(bundler.clone());
            queue.extend(inner.into_iter().map(|p| (p, bundler.clone())));
            let members = placed.edges.iter().filter_map(|e| e.to.clone());
            queue.extend(
                members
                    .filter(|to| parent_of(to) == Some(bundler.as_str()))
                    .map(|to| (to, bundler.clone())),
            );
        }
        Ok(())
    }

    /// npm's flags: all set at first, unset along every path from the root until nothing changes.
    fn mark_flags(&mut self) {
        let mut queue = vec![String::new()];
        while let Some(path) = queue.pop() {
            let from = match self.places.get(&path) {
                Some(placed) => placed.flags,
                None => Flags::ROOT,
            };
            if !from.extraneous {
                self.keep_parents(&path);
            }
            for edge in self.edges(&path).to_vec() {
                let Some(to) = edge.to else { continue };
                let Some(placed) = self.places.get_mut(&to) else {
                    continue;
                };
                if placed.flags.reached(from, edge.kind) {
                    queue.push(to);
                }
            }
        }
        for placed in self.places.values_mut() {
            let flags = &mut placed.flags;
            flags.dev_optional &= !flags.dev && !flags.optional;
        }
    }

    /// The folders around a needed package are needed.
    fn keep_parents(&mut self, path: &str) {
        let mut inner = path;
        while let Some(parent) = parent_of(inner) {
            if let Some(placed) = self.places.get_mut(parent) {
                placed.flags.extraneous = false;
            }
            inner = parent;
        }
    }
}

/// The dependency edges of a version, by name: optional before ordinary before peer where a name stands twice, as npm
/// reads it. `to` is empty.
pub fn edges_of(version: &NpmVersion) -> Vec<PlacedEdge> {
    let mut edges: BTreeMap<&str, (EdgeKind, &str)> = BTreeMap::new();
    for (name, range) in &version.peer_dependencies {
        let optional = version.optional_peers.iter().any(|o| o == name);
        let kind = if optional {
            EdgeKind::PeerOptional
        } else {
            EdgeKind::Peer
        };
        edges.insert(name, (kind, range));
    }
    for (name, range) in &version.dependencies {
        edges.insert(name, (EdgeKind::Prod, range));
    }
    for (name, range) in &version.optional_dependencies {
        edges.insert(name, (EdgeKind::Optional, range));
    }
    edges
        .into_iter()
        .map(|(name, (kind, range))| PlacedEdge {
            name: name.to_owned(),
            range: range.to_owned(),
            kind,
            to: None,
        })
        .collect()
}

/// The path of the package around `path`: empty for the first level, `None` for the root.
pub fn parent_of(path: &str) -> Option<&str> {
    let cut = path.rfind("node_modules/")?;
    let before = path.get(..cut)?;
    Some(before.strip_suffix('/').unwrap_or(before))
}

/// The folder name of a path, with its scope.
pub fn folder_of(path: &str) -> Option<&str> {
    let cut = path.rfind("node_modules/")?;
    path.get(cut + "node_modules/".len()..)
}

/// Where Node finds `name` from the package at `from`: its own folder first, then each one around it.
pub fn lookup<V>(places: &BTreeMap<String, V>, from: &str, name: &str) -> Option<String> {
    let mut around = Some(from);
    while let Some(here) = around {
        let slash = if here.is_empty() { "" } else { "/" };
        let path = format!("{here}{slash}node_modules/{name}");
        if places.contains_key(&path) {
            return Some(path);
        }
        around = parent_of(here);
    }
    None
}

/// A root edge: optional when what it leads to is for other platforms only, since nothing else could install it.
fn root_edge(
    name: &str,
    range: &str,
    places: &BTreeMap<String, ReleaseId>,
    carried: &BTreeSet<ReleaseId>,
) -> PlacedEdge {
    let found = lookup(places, "", name).and_then(|path| places.get(&path));
    let kind = match found {
        Some(release) if !carried.contains(release) => EdgeKind::Optional,
        Some(_) | None => EdgeKind::Prod,
    };
    PlacedEdge {
        name: name.to_owned(),
        range: range.to_owned(),
        kind,
        to: None,
    }
}

fn record_of<'a>(records: &'a NpmRecords, release: &ReleaseId) -> Result<&'a NpmVersion, EcoError> {
    records
        .packages
        .get(&release.name)
        .and_then(|p| p.versions.get(&release.version))
        .ok_or_else(|| {
            broken(
                &release.to_string(),
                "is in the lock, but not in the records",
            )
        })
}

fn broken(subject: &str, what: &str) -> EcoError {
    EcoError::Records {
        ecosystem: EcosystemId::npm(),
        reason: format!("{} {what}", crate::base::text::quoted(subject)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{EdgeKind, PlacedEdge, PlacedTree, folder_of, lookup, parent_of};
    use crate::base::package::ReleaseId;
    use crate::eco::npm::records::{NpmRecords, NpmVersion};

    type Deps<'a> = &'a [(&'a str, &'a [&'a str])];

    fn version(deps: Deps<'_>) -> NpmVersion {
        let mut version = NpmVersion::default();
        for (kind, names) in deps {
            for name in *names {
                let entry = ((*name).to_owned(), "*".to_owned());
                match *kind {
                    "optional" => version.optional_dependencies.extend([entry]),
                    "peer" => version.peer_dependencies.extend([entry]),
                    "bundle" => version.bundle_dependencies.push(entry.0),
                    _ => version.dependencies.extend([entry]),
                }
            }
        }
        version
    }

    fn tree(roots: &[(&str, EdgeKind)], places: &[(&str, Deps<'_>)]) -> PlacedTree {
        let mut records = NpmRecords::default();
        let mut placed = BTreeMap::new();
        for (number, (path, deps)) in places.iter().enumerate() {
            let name = folder_of(path).unwrap();
            let release = ReleaseId::new(name, format!("1.0.{number}"));
            let package = records.packages.entry(name.to_owned()).or_default();
            package
                .versions
                .insert(release.version.clone(), version(deps));
            placed.insert((*path).to_owned(), release);
        }
        let roots = roots
            .iter()
            .map(|(name, kind)| PlacedEdge {
                name: (*name).to_owned(),
                range: "*".to_owned(),
                kind: *kind,
                to: None,
            })
            .collect();
        PlacedTree::new(roots, &placed, &records).unwrap()
    }

    #[test]
    fn lookup_goes_outwards() {
        let places = BTreeMap::from([
            ("node_modules/@s/a".to_owned(), 1),
            ("node_modules/@s/a/node_modules/b".to_owned(), 2),
            ("node_modules/b".to_owned(), 3),
        ]);
        let inner = "node_modules/@s/a/node_modules/b";
        assert_eq!(lookup(&places, "node_modules/@s/a", "b").unwrap(), inner);
        assert_eq!(lookup(&places, inner, "@s/a").unwrap(), "node_modules/@s/a");
        assert_eq!(lookup(&places, "", "b").unwrap(), "node_modules/b");
        assert_eq!(lookup(&places, inner, "c"), None);
        assert_eq!(parent_of(inner), Some("node_modules/@s/a"));
        assert_eq!(parent_of("node_modules/b"), Some(""));
        assert_eq!(parent_of(""), None);
    }

    #[test]
    fn flags_hold_only_where_every_way_has_them() {
        let tree = tree(
            &[
                ("a", EdgeKind::Prod),
                ("o", EdgeKind::Optional),
                ("d", EdgeKind::Dev),
            ],
            &[
                ("node_modules/a", &[("prod", &["both"]), ("peer", &["p"])]),
                ("node_modules/o", &[("prod", &["both", "only", "mixed"])]),
                ("node_modules/d", &[("prod", &["mixed"])]),
                ("node_modules/both", &[]),
                ("node_modules/only", &[]),
                ("node_modules/mixed", &[]),
                ("node_modules/p", &[]),
                ("node_modules/stray", &[]),
            ],
        );
        let flags = |name: &str| tree.places[&format!("node_modules/{name}")].flags;
        assert!(!flags("both").optional && !flags("both").dev && !flags("both").extraneous);
        assert!(flags("only").optional && !flags("only").dev_optional);
        assert!(flags("mixed").dev_optional && !flags("mixed").optional && !flags("mixed").dev);
        assert!(flags("p").peer && !flags("a").peer);
        assert!(flags("d").dev && flags("stray").extraneous);
    }

    #[test]
    fn bundles_contain_what_their_members_need() {
        let tree = tree(
            &[("a", EdgeKind::Prod)],
            &[
                ("node_modules/a", &[("prod", &["b"]), ("bundle", &["b"])]),
                ("node_modules/a/node_modules/b", &[("prod", &["c", "d"])]),
                ("node_modules/a/node_modules/c", &[]),
                ("node_modules/a/node_modules/c/node_modules/e", &[]),
                ("node_modules/d", &[]),
            ],
        );
        let bundler = |path: &str| tree.places[path].bundler.as_deref();
        for inside in ["b", "c", "c/node_modules/e"] {
            assert_eq!(
                bundler(&format!("node_modules/a/node_modules/{inside}")),
                Some("node_modules/a")
            );
        }
        assert_eq!(bundler("node_modules/d"), None);
        assert_eq!(bundler("node_modules/a"), None);
    }

    #[test]
    fn a_release_without_record_is_an_error() {
        let places = BTreeMap::from([("node_modules/a".to_owned(), ReleaseId::new("a", "1.0.0"))]);
        PlacedTree::new(Vec::new(), &places, &NpmRecords::default()).unwrap_err();
    }
}
