//! How `npm ci` lays tarballs out: pacote strips the first segment, drops links, takes `.gitignore` for `.npmignore`, adds
//! what the owner and readers need to each mode; bin-links makes commands executable and ends their first line as Unix does.

use std::collections::{BTreeMap, BTreeSet};

use super::commands::{self, Command};
use super::scan::{Members, Scanned};
use super::{Baseline, Said, Tree, aide, path, release};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::Platform;
use crate::eco::EcoError;
use crate::eco::npm::pins;
use crate::eco::npm::placed::{Placed, PlacedTree};
use crate::eco::npm::records::{self, NpmRecords};
use crate::lock::{Lock, LockedPackage};

/// What npm gives every file before the umask.
const FILE: u32 = 0o666;
/// What the umask takes away.
const UMASK: u32 = 0o022;
/// The bits of a mode that npm keeps.
const BITS: u32 = 0o7777;
/// A command.
const COMMAND: u32 = 0o755;
/// What npm writes into a tree itself.
const OWN: &str = r"\.package-lock\.json$ f";
/// What tells npm to build a package with node-gyp.
const GYP: &str = "binding.gyp";

/// A package at one place.
#[derive(Debug)]
struct Package {
    place: String,
    /// The release, as people write it.
    release: String,
    platforms: Vec<Platform>,
    install_script: bool,
    /// The tarball of another package holds it.
    bundled: bool,
    commands: Vec<Command>,
}

impl Package {
    fn is_here(&self, baseline: &Baseline) -> bool {
        self.platforms.contains(&baseline.platform)
    }
}

/// Where the installs of a lock are.
#[derive(Debug)]
pub(super) struct Layout {
    /// The folder of each install.
    folders: BTreeMap<u32, String>,
    /// Where the tarball of each release goes. What another tarball holds comes with that one.
    places: BTreeMap<ReleaseId, Vec<String>>,
    /// Every package, bundled ones, too, in the order in which npm links their commands.
    packages: Vec<Package>,
    /// Paths of their commands.
    commands: BTreeSet<String>,
}

impl Layout {
    pub(super) fn new(said: &Said<'_>) -> Result<Self, EcoError> {
        let npm = EcosystemId::npm();
        let prefix = &said.runtime.prefix;
        let installs = pins::installs(said.lock);
        let folder = |install: &u32| match installs.len() {
            1 => prefix.to_string(),
            _ => format!("{prefix}/{install}"),
        };
        let mut layout = Self {
            folders: installs.iter().map(|n| (*n, folder(n))).collect(),
            places: BTreeMap::new(),
            packages: Vec::new(),
            commands: BTreeSet::new(),
        };
        let Some(bytes) = said.records.get(&npm) else {
            return Ok(layout);
        };
        let records = records::parse(bytes)?;
        for (install, folder) in &layout.folders {
            let tree = PlacedTree::of_install(said.lock, &records, *install)?;
            for (at, placed) in tree.places {
                if !path::is_inside(&at) {
                    continue;
                }
                let place = format!("{folder}/{at}");
                layout
                    .packages
                    .extend(package(said.lock, &records, &place, &placed));
                if placed.bundler.is_none() {
                    let places = layout.places.entry(placed.release).or_default();
                    places.push(place);
                }
            }
        }
        layout
            .packages
            .sort_by_cached_key(|package| commands::order(&package.place));
        let commands = layout.packages.iter().flat_map(|package| &package.commands);
        layout.commands = commands.map(|command| command.file.clone()).collect();
        Ok(layout)
    }

    /// Where the tarball of a package goes.
    fn places(&self, package: &LockedPackage) -> &[String] {
        self.places
            .get(&package.id())
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// The folders that hold nothing but what is known.
    pub(super) fn trees(&self, baseline: &mut Baseline) {
        for folder in self.folders.values() {
            let at = format!("{folder}/node_modules");
            baseline.makes(format!("{at}/.package-lock.json"), "npm, at every install");
            let mut tree = Tree {
                path: at,
                made: vec![OWN.to_owned()],
                scripted: BTreeMap::new(),
            };
            let here = |package: &&Package| {
                path::is_below(&package.place, &tree.path) && package.is_here(baseline)
            };
            let packages: Vec<&Package> = self.packages.iter().filter(here).collect();
            for scripted in packages.iter().filter(|package| package.install_script) {
                let place = &scripted.place;
                let others = packages.iter().filter(|package| {
                    let own = package.bundled || package.install_script;
                    !own && path::is_below(&package.place, place)
                });
                let others = others.map(|package| package.place.clone()).collect();
                tree.scripted.insert(place.clone(), others);
                baseline.makes(
                    format!("{place}/**"),
                    "the install script of the package, if it adds anything: a difference to look at once",
                );
            }
            baseline.trees.push(tree);
        }
    }

    /// Puts the links to commands whose files are there.
    pub(super) fn links(&self, baseline: &mut Baseline) {
        let mut seen = BTreeSet::new();
        for package in &self.packages {
            if !package.is_here(baseline) {
                continue;
            }
            for command in &package.commands {
                if !seen.insert(&command.link) {
                    continue;
                }
                let file = &command.file;
                if baseline.files.contains_key(file) || baseline.may_change.contains_key(file) {
                    baseline.link(&command.link, &command.target, &package.release);
                } else if package.install_script {
                    let what = "npm, if the install script of the package makes the command";
                    baseline.makes(command.link.clone(), what);
                }
            }
        }
    }

    /// Puts the files of a tarball where they will be.
    pub(super) fn place(
        &self,
        package: &LockedPackage,
        members: &Members,
        baseline: &mut Baseline,
    ) {
        let places = self.places(package);
        let mut ignores = BTreeSet::new();
        for member in members.files.iter().filter(|member| !member.hard_link) {
            let Some((_, inside)) = member.path.split_once('/') else {
                continue;
            };
            let mut inside = path::normal(inside);
            if is_named(&inside, ".npmignore") {
                ignores.insert(inside.clone());
            } else if is_named(&inside, ".gitignore") {
                let kept = inside.len() - ".gitignore".len();
                inside.replace_range(kept.., ".npmignore");
                if ignores.contains(&inside) {
                    continue;
                }
            }
            if inside == GYP && package.install_script {
                built(places, baseline);
            }
            for folder in places {
                let at = format!("{folder}/{inside}");
                self.put(package, &at, member, baseline);
            }
        }
    }

    fn put(&self, package: &LockedPackage, at: &str, member: &Scanned, baseline: &mut Baseline) {
        if !self.commands.contains(at) {
            baseline.put(at, member, mode(member.mode), package);
            return;
        }
        // A command whose first line ends as on Windows is corrected.
        let corrected = member.corrected.map_or_else(
            || member.clone(),
            |(digests, size)| Scanned {
                digests,
                size,
                ..member.clone()
            },
        );
        baseline.put(at, &corrected, COMMAND, package);
    }
}

/// A package at its place, if the lock has it.
fn package(lock: &Lock, records: &NpmRecords, place: &str, placed: &Placed) -> Option<Package> {
    let npm = EcosystemId::npm();
    let (name, version) = (&placed.release.name, &placed.release.version);
    let mut locked = lock.of(&npm);
    let locked = locked.find(|locked| locked.name == *name && locked.version == *version)?;
    let known = records.packages.get(name);
    let version = known.and_then(|known| known.versions.get(version));
    Some(Package {
        place: place.to_owned(),
        release: release(locked),
        platforms: locked.platforms.clone(),
        install_script: locked.install_script,
        bundled: placed.bundler.is_some(),
        commands: version
            .map(|version| commands::of_package(place, &version.bin))
            .unwrap_or_default(),
    })
}

/// What node-gyp builds is nobody's to know.
fn built(places: &[String], baseline: &mut Baseline) {
    for place in places {
        baseline.makes(format!("{place}/build/**"), "node-gyp, which npm runs");
        for tree in &mut baseline.trees {
            let inside = place.strip_prefix(&format!("{}/", tree.path));
            let inside =
                inside.map(|inside| format!("{}/build(/|$) f,d,l", aide::expression(inside)));
            tree.made.extend(inside);
        }
    }
}

fn is_named(path: &str, name: &str) -> bool {
    path.rsplit('/').next() == Some(name)
}

fn mode(stated: Option<u32>) -> u32 {
    ((stated.unwrap_or_default() & BITS) | FILE) & !UMASK
}
