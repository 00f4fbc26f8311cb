//! How `npm ci` lays tarballs out: pacote strips the first segment, drops links, takes `.gitignore` for `.npmignore`, adds
//! what the owner and readers need to each mode; bin-links makes commands executable and ends their first line as Unix does.

use std::collections::{BTreeMap, BTreeSet};

use super::scan::Scanned;
use super::{Baseline, Said, Tree, path};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::eco::EcoError;
use crate::eco::npm::placed::PlacedTree;
use crate::eco::npm::{pins, records};
use crate::lock::LockedPackage;

/// What npm gives every file before the umask.
const FILE: u32 = 0o666;
/// What the umask takes away.
const UMASK: u32 = 0o022;
/// A command.
const COMMAND: u32 = 0o755;
/// What npm writes into a tree itself.
const OWN: &str = r"\.package-lock\.json$";

/// Files that the install script of a package is known to remove, by its name.
const REMOVED: [(&str, &str); 1] = [("openclaw", ".openclaw-lifecycle-pending")];

/// Where the installs of a lock are.
#[derive(Debug)]
pub(super) struct Layout {
    /// The folder of each install.
    folders: BTreeMap<u32, String>,
    /// Where the tarball of each release goes. What another tarball holds comes with that one.
    places: BTreeMap<ReleaseId, Vec<String>>,
    /// Paths of the commands of every package, bundled ones, too.
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
                let known = records.packages.get(&placed.release.name);
                let version = known.and_then(|known| known.versions.get(&placed.release.version));
                let commands = version.into_iter().flat_map(|version| version.bin.values());
                let commands = commands.map(|command| command.trim_start_matches("./"));
                layout
                    .commands
                    .extend(commands.map(|command| format!("{place}/{command}")));
                if placed.bundler.is_none() {
                    let places = layout.places.entry(placed.release).or_default();
                    places.push(place);
                }
            }
        }
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
    pub(super) fn trees(&self, said: &Said<'_>, baseline: &mut Baseline) {
        let npm = EcosystemId::npm();
        for folder in self.folders.values() {
            let at = format!("{folder}/node_modules");
            baseline.makes(format!("{at}/.package-lock.json"), "npm, at every install");
            baseline.makes(format!("{at}/**/.bin/*"), "npm: symbolic links to commands");
            let mut tree = Tree {
                path: at,
                made: vec![OWN],
                scripted: BTreeSet::new(),
            };
            let here = |package: &&LockedPackage| {
                package.install_script && package.platforms.contains(&baseline.platform)
            };
            let scripted: Vec<String> = said
                .lock
                .of(&npm)
                .filter(here)
                .flat_map(|package| self.places(package))
                .filter(|place| place.starts_with(&format!("{}/", tree.path)))
                .cloned()
                .collect();
            for place in scripted {
                baseline.makes(format!("{place}/**"), "the install script of the package");
                tree.scripted.insert(place);
            }
            baseline.trees.push(tree);
        }
    }

    /// Puts the files of a tarball where they will be.
    pub(super) fn place(
        &self,
        package: &LockedPackage,
        members: &[Scanned],
        baseline: &mut Baseline,
    ) {
        let mut ignores = BTreeSet::new();
        for member in members {
            let Some((_, inside)) = member.path.split_once('/') else {
                continue;
            };
            let mut inside = path::normal(inside);
            if is_named(&inside, ".npmignore") {
                ignores.insert(inside.clone());
            } else if is_named(&inside, ".gitignore") {
                inside = inside.replace(".gitignore", ".npmignore");
                if ignores.contains(&inside) {
                    continue;
                }
            }
            let removed = REMOVED.contains(&(package.name.as_str(), inside.as_str()));
            for folder in self.places(package) {
                let at = format!("{folder}/{inside}");
                let is_command = self.commands.contains(&at);
                if removed {
                    baseline.makes(at, "nothing: the install script of the package removes it");
                    continue;
                }
                // A command whose first line ends as on Windows is corrected.
                let corrected = member.corrected.filter(|_| is_command);
                let member = corrected.map_or_else(
                    || member.clone(),
                    |(digests, size)| Scanned {
                        digests,
                        size,
                        ..member.clone()
                    },
                );
                let mode = if is_command {
                    COMMAND
                } else {
                    mode(member.mode)
                };
                baseline.put(&at, &member, mode, package);
            }
        }
    }
}

fn is_named(path: &str, name: &str) -> bool {
    path.rsplit('/').next() == Some(name)
}

fn mode(stated: Option<u32>) -> u32 {
    ((stated.unwrap_or_default() & 0o777) | FILE) & !UMASK
}
