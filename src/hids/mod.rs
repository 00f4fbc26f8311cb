//! The baseline of file integrity before anything is installed: path, size, SHA-256, SHA-512 and mode of every file that the
//! real clients will create, computed from the artifacts of a verified bundle and the places of its lock.
//!
//! ```text
//! npm     PREFIX/node_modules/…            as `npm ci` in PREFIX lays tarballs out; PREFIX/<install>/… for several installs
//! PyPI    PREFIX/venv/lib/pythonX.Y/…      as `pip install` into `python -m venv PREFIX/venv` lays wheels out (PEP 427)
//! Debian  /…                               as dpkg unpacks, on a host with merged /usr
//! ```
//!
//! Modes are those of umask 022. Archives are hostile: they are read with bounds, and a member whose path leads elsewhere
//! or cannot be written into a list is named apart. What an install makes and nobody can know before is named apart, too, and
//! so is what it may change: files of packages with install scripts, and paths that two releases have.

mod aide;
mod commands;
mod debian;
mod formats;
mod npm;
mod path;
mod scan;
mod wheel;

pub use formats::{TITLES, cells};

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::base::digest::{Digest, Digests, UpstreamChecksum};
use crate::base::fault::{Code, Fault};
use crate::base::made::Made;
use crate::base::package::EcosystemId;
use crate::base::platform::Platform;
use crate::base::progress::{Progress, Unit};
use crate::base::runtime::Runtime;
use crate::base::text::escaped;
use crate::eco::EcoError;
use crate::fs::{FsError, OpenFile};
use crate::lock::{Lock, LockedArtifact, LockedPackage, Records};

use self::scan::{Members, Scanned};

/// What a file is for whoever watches what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An ELF file: a program or a library.
    Native,
    /// It begins with `#!`.
    Script,
    /// Anything else.
    Data,
}

impl Kind {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Script => "script",
            Self::Data => "data",
        }
    }
}

/// A file that an install creates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its bytes.
    pub digests: Digests,
    /// How many they are.
    pub size: u64,
    /// Its permissions.
    pub mode: u32,
    /// What it is.
    pub kind: Kind,
    /// The release that it comes from.
    pub from: String,
}

impl Entry {
    /// Whether a host cannot tell them apart.
    fn is_same(&self, other: &Self) -> bool {
        self.digests == other.digests && self.mode == other.mode
    }

    /// Whether it may be run.
    pub const fn is_executable(&self) -> bool {
        self.mode & 0o111 != 0 || matches!(self.kind, Kind::Native)
    }
}

/// A file that an install creates, and may change afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MayChange {
    /// As it is carried.
    pub entry: Entry,
    /// What may change it.
    pub why: String,
}

/// A symbolic link that an install creates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where it leads, as it says.
    pub target: String,
    /// The release that it comes from, or the program that makes it.
    pub from: String,
}

/// A folder in which nothing may be that is not known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tree {
    /// Its path.
    pub path: String,
    /// What is made in it at install: regular expressions below it, each with the kinds of file that it is for.
    pub made: Vec<String>,
    /// Folders in it whose packages run a script at install, which may change what they brought, each with the folders of
    /// other packages in it.
    pub scripted: BTreeMap<String, BTreeSet<String>>,
}

impl Tree {
    /// Whether the script of a package may change what is at `path`.
    fn may_change(&self, path: &str) -> bool {
        let mut scripted = self.scripted.iter();
        scripted.any(|(folder, others)| {
            path::is_below(path, folder)
                && !others
                    .iter()
                    .any(|other| path == other || path::is_below(path, other))
        })
    }
}

/// What a host of one platform gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// The platform.
    pub platform: Platform,
    /// Every file that stays as it comes, by its path.
    pub files: BTreeMap<String, Entry>,
    /// Every other file whose path is known.
    pub may_change: BTreeMap<String, MayChange>,
    /// Every symbolic link that is known.
    pub links: BTreeMap<String, Link>,
    /// Folders that hold nothing else.
    pub trees: Vec<Tree>,
    /// What is made at install: where, and what makes it.
    pub made: BTreeSet<(String, String)>,
    /// What cannot be said before: a release and why.
    pub unknown: BTreeSet<(String, String)>,
}

impl Baseline {
    const fn new(platform: Platform) -> Self {
        Self {
            platform,
            files: BTreeMap::new(),
            may_change: BTreeMap::new(),
            links: BTreeMap::new(),
            trees: Vec::new(),
            made: BTreeSet::new(),
            unknown: BTreeSet::new(),
        }
    }

    /// The folder of its files in a packet, such as `linux-amd64`.
    pub fn folder(&self) -> String {
        self.platform.as_str().replace('/', "-")
    }

    /// Puts a file where it will be, unless nobody could name it in a list. A path that another release has, too, with
    /// other bytes is one of those that may change: which of both stays is up to the client.
    fn put(&mut self, at: &str, found: &Scanned, mode: u32, from: &LockedPackage) {
        let release = release(from);
        if !path::is_listable(at) {
            self.cannot_list(at, release);
            return;
        }
        let entry = Entry {
            digests: found.digests,
            size: found.size,
            mode,
            kind: found.kind,
            from: release,
        };
        if self.trees.iter().any(|tree| tree.may_change(at)) {
            let why = "the install script of its package".to_owned();
            self.may_change
                .insert(at.to_owned(), MayChange { entry, why });
            return;
        }
        if self.links.contains_key(at) || self.may_change.contains_key(at) {
            self.contended(at, entry);
            return;
        }
        match self.files.get(at) {
            Some(known) if known.from != entry.from && !known.is_same(&entry) => {
                self.contended(at, entry);
            }
            Some(_) | None => {
                self.files.insert(at.to_owned(), entry);
            }
        }
    }

    /// Takes a path that several releases have out of what stays.
    fn contended(&mut self, at: &str, entry: Entry) {
        let file = self.files.remove(at).map(|known| known.from);
        let link = self.links.remove(at).map(|known| known.from);
        let before = self.may_change.remove(at).map(|known| known.entry.from);
        let before = file.or(link).or(before).unwrap_or_default();
        let why = format!("{before} has it, too, and the client decides which one stays");
        let changing = MayChange { entry, why };
        self.may_change.insert(at.to_owned(), changing);
    }

    /// Puts a symbolic link where it will be, unless nobody could name it in a list.
    fn link(&mut self, at: &str, target: &str, from: &str) {
        let from = from.to_owned();
        if !path::is_listable(at) || !path::is_plain(target) {
            self.cannot_list(at, from);
            return;
        }
        let target = target.to_owned();
        let known = self.links.get(at);
        if self.files.contains_key(at) || known.is_some_and(|known| known.target != target) {
            self.files.remove(at);
            self.links.remove(at);
            let why = format!("several releases have {at}");
            self.unknown.insert((from, why));
            return;
        }
        self.links.insert(at.to_owned(), Link { target, from });
    }

    fn cannot_list(&mut self, at: &str, release: String) {
        let why = format!("a member whose path fits in no list: {}", escaped(at));
        self.unknown.insert((release, why));
    }

    fn makes(&mut self, at: String, what: &str) {
        self.made.insert((at, what.to_owned()));
    }

    fn cannot_know(&mut self, package: &LockedPackage, why: &str) {
        self.unknown.insert((release(package), why.to_owned()));
    }
}

/// A release as people write it.
fn release(package: &LockedPackage) -> String {
    format!(
        "{} {}",
        package.ecosystem,
        escaped(&package.id().to_string())
    )
}

/// An artifact of a lock with the digest of its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Artifact<'a> {
    package: &'a LockedPackage,
    file: &'a LockedArtifact,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

/// The artifacts of a lock that hold what is installed. `known` says which bytes a checksum of an ecosystem means.
pub fn artifacts<'a>(
    lock: &'a Lock,
    known: &BTreeMap<(EcosystemId, UpstreamChecksum), Digest>,
) -> Vec<Artifact<'a>> {
    let laid_out = [
        EcosystemId::npm(),
        EcosystemId::pypi(),
        EcosystemId::debian(),
    ];
    let carried = lock.carried_artifacts();
    carried
        .filter(|(package, _)| laid_out.contains(&package.ecosystem))
        .filter_map(|(package, artifact)| {
            let key = (package.ecosystem.clone(), artifact.checksum.clone());
            let digest = *known.get(&key)?;
            Some(Artifact {
                package,
                file: artifact,
                digest,
            })
        })
        .collect()
}

/// What the bundle says beside its artifacts.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// Its lock.
    pub lock: &'a Lock,
    /// Its records.
    pub records: &'a Records,
    /// Who runs it where.
    pub runtime: &'a Runtime,
}

/// The baseline of each platform of the lock. Each artifact is opened and read once.
///
/// # Errors
/// A file cannot be opened, or the records of the lock cannot be read. An archive that cannot be read is named in the
/// baseline.
pub fn baselines(
    said: &Said<'_>,
    artifacts: &[Artifact<'_>],
    mut open: impl FnMut(&Artifact<'_>) -> Result<OpenFile, FsError>,
    progress: &dyn Progress,
) -> Result<Vec<Baseline>, HidsError> {
    let platforms = &said.lock.target.platforms;
    let mut out: Vec<Baseline> = platforms.iter().copied().map(Baseline::new).collect();
    let npm = npm::Layout::new(said)?;
    let wheels = wheel::Layout::new(said);
    for baseline in &mut out {
        npm.trees(baseline);
        wheels.trees(baseline);
        without_artifacts(said.lock, baseline);
    }
    progress.begin(
        "Hashing what is installed",
        artifacts.len() as u64,
        Unit::Items,
    );
    for artifact in artifacts {
        let members = scan::scan(open(artifact)?);
        place(&npm, &wheels, artifact, &members, &mut out)?;
        progress.advance(1);
    }
    for baseline in &mut out {
        npm.links(baseline);
    }
    progress.end();
    Ok(out)
}

/// Puts the members of an artifact where each platform has them.
fn place(
    npm: &npm::Layout,
    wheels: &wheel::Layout,
    artifact: &Artifact<'_>,
    members: &io::Result<Members>,
    out: &mut [Baseline],
) -> Result<(), HidsError> {
    let package = artifact.package;
    let here = |baseline: &&mut Baseline| package.platforms.contains(&baseline.platform);
    for baseline in out.iter_mut().filter(here) {
        let file = &artifact.file.file;
        let members = match members {
            Ok(members) => members,
            Err(error) => {
                let why = format!("{}: {}", escaped(file), escaped(&error.to_string()));
                baseline.cannot_know(package, &why);
                continue;
            }
        };
        if package.ecosystem == EcosystemId::npm() {
            npm.place(package, members, baseline);
        } else if package.ecosystem == EcosystemId::pypi() {
            wheels.place(package, file, &members.files, baseline)?;
        } else {
            debian::place(package, file, members, baseline);
        }
    }
    Ok(())
}

/// Names what is installed otherwise.
fn without_artifacts(lock: &Lock, baseline: &mut Baseline) {
    let platform = baseline.platform;
    for (ecosystem, why) in [
        (EcosystemId::cargo(), "is built on the host"),
        (EcosystemId::file(), "goes where somebody puts it"),
    ] {
        let here = |package: &&LockedPackage| package.platforms.contains(&platform);
        let count = lock.of(&ecosystem).filter(here).count();
        if count > 0 {
            let what = format!("{ecosystem}, {count} releases");
            baseline.unknown.insert((what, why.to_owned()));
        }
    }
}

/// Why there is no baseline.
#[derive(Debug, thiserror::Error)]
pub enum HidsError {
    /// Records say nothing that can be used.
    #[error(transparent)]
    Records(#[from] EcoError),
    /// A file cannot be read.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl Fault for HidsError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Records(inner) => inner.code(),
            Self::Fs(inner) => inner.code(),
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Records(inner) => inner.facts(),
            Self::Fs(inner) => inner.facts(),
        }
    }
}

/// Every file about a baseline of a bundle of `channel`; the same input gives the same bytes.
pub fn files(channel: &str, runtime: &Runtime, baseline: &Baseline) -> Vec<Made> {
    let mut out = vec![
        Made::new("baseline.csv", formats::table(baseline)),
        Made::new("links.csv", formats::links(baseline)),
        Made::new("may-change.csv", formats::may_change(baseline)),
        Made::new("executables.csv", formats::executables(baseline)),
        Made::new("made-at-install.csv", formats::made(baseline)),
        Made::new("not-known.csv", formats::unknown(baseline)),
        Made::new("aide.conf", aide::configuration(channel, baseline)),
        Made::new("aide.db", aide::database(baseline)),
        Made::new("fapolicyd.trust", formats::fapolicyd(channel, baseline)),
        Made::new("wazuh-syscheck.xml", formats::wazuh(channel, baseline)),
        Made::new("osquery.pack.json", formats::osquery(channel, baseline)),
        Made::new(
            "behaviour.md",
            formats::behaviour(channel, runtime, baseline),
        ),
    ];
    // sha256sum refuses a list without lines.
    if !baseline.files.is_empty() {
        out.push(Made::new("SHA256SUMS", formats::sums(baseline)));
    }
    if !baseline.may_change.is_empty() {
        let configuration = aide::changing_configuration(channel, baseline);
        out.push(Made::new("aide-may-change.conf", configuration));
        let database = aide::changing_database(baseline);
        out.push(Made::new("aide-may-change.db", database));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Baseline, Kind, Scanned};
    use crate::base::digest::Digests;
    use crate::base::package::EcosystemId;
    use crate::base::platform::Platform;
    use crate::lock::LockedPackage;

    /// A member of an archive.
    pub(super) fn scanned(path: &str, mode: u32) -> Scanned {
        Scanned {
            path: path.to_owned(),
            mode: Some(mode),
            digests: Digests::of(path.as_bytes()),
            size: path.len() as u64,
            kind: Kind::Data,
            corrected: None,
            python: path.contains("#!python"),
            hard_link: false,
        }
    }

    /// A release without files.
    pub(super) fn package(ecosystem: EcosystemId, name: &str) -> LockedPackage {
        LockedPackage {
            ecosystem,
            name: name.to_owned(),
            version: "1.0".to_owned(),
            platforms: vec![Platform::LinuxAmd64],
            license: None,
            deprecated: None,
            install_script: false,
            bundled_in: Vec::new(),
            places: Vec::new(),
            dependencies: Vec::new(),
            artifacts: Vec::new(),
        }
    }

    /// Paths and modes of a baseline.
    pub(super) fn shown(baseline: &Baseline) -> Vec<String> {
        let files = baseline.files.iter();
        files
            .map(|(path, entry)| format!("{path} {:04o}", entry.mode))
            .collect()
    }
}
