//! What the lock file of another tool says: its packages, their files with digests, and under which markers they are
//! installed. `uv_lock` and `pylock` read into it; [`ForeignLock::select`] says what one environment gets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pep508_rs::MarkerEnvironment;

use crate::base::digest::Digest;
use crate::base::fault::{Code, Fault, Kind};
use crate::base::text::{percent_decoded, quoted, visible};
use crate::eco::pypi::filename::Filename;
use crate::eco::pypi::marker::Marker;
use crate::eco::pypi::name::Name;

/// Codes of reading what other tools wrote.
pub const CODES: &[&Code] = &[&LOCKFILE, &REQUIREMENTS];

static LOCKFILE: Code = Code::new("manifest-pypi-lockfile", Kind::Usage);
static REQUIREMENTS: Code = Code::new("manifest-pypi-requirements", Kind::Usage);

/// Largest lock file, in bytes.
pub const MAX_BYTES: usize = 32 << 20;
/// Most packages in a lock file.
pub const MAX_PACKAGES: usize = 10_000;
/// Most files of one package.
pub const MAX_FILES: usize = 5_000;

/// A file of another tool that cannot be taken. All texts are safe to print.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForeignError {
    /// A lock file.
    #[error("the lock file {file} cannot be used: {reason}")]
    Lockfile {
        /// Its name, quoted.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A line of a requirements file.
    #[error("line {line} of {file} cannot be used: {reason}")]
    Requirements {
        /// Its name, quoted.
        file: String,
        /// The line where the requirement or option starts, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

impl Fault for ForeignError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Lockfile { .. } => &LOCKFILE,
            Self::Requirements { .. } => &REQUIREMENTS,
        }
    }
}

impl ForeignError {
    /// A lock file that cannot be used; `reason` is escaped here.
    pub fn lockfile(file: &str, reason: &dyn std::fmt::Display) -> Self {
        Self::Lockfile {
            file: quoted(file),
            reason: visible(&reason.to_string()),
        }
    }
}

/// The text of a lock file of allowed size.
pub(crate) fn text<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, ForeignError> {
    if bytes.len() > MAX_BYTES {
        let reason = format!("it is longer than {MAX_BYTES} bytes");
        return Err(ForeignError::lockfile(file, &reason));
    }
    std::str::from_utf8(bytes).map_err(|e| ForeignError::lockfile(file, &e))
}

/// The marker that a lock file has.
pub(crate) fn marker_of(file: &str, text: Option<&str>) -> Result<Option<Marker>, ForeignError> {
    let marker = text.map(Marker::parse).transpose();
    marker.map_err(|reason| ForeignError::lockfile(file, &reason))
}

/// The SHA-256 that a lock file has in hexadecimal digits.
pub(crate) fn sha256(file: &str, hex: Option<&str>) -> Result<Option<Digest>, ForeignError> {
    let digest = hex.map(|hex| Digest::from_hex(&hex.to_ascii_lowercase()));
    let digest = digest.transpose();
    digest.map_err(|e| ForeignError::lockfile(file, &e))
}

/// The file name at the end of a URL or path, percent-decoded once.
pub(crate) fn file_of_url(url: &str) -> Option<String> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let last = path.rsplit('/').next().unwrap_or(path);
    percent_decoded(last).filter(|name| !name.is_empty())
}

/// Adds a file of a project, whose name must be one.
pub(crate) fn put_file(
    lock: &str,
    project: &Name,
    files: &mut BTreeMap<String, ForeignFile>,
    (name, about): (String, ForeignFile),
) -> Result<(), ForeignError> {
    Filename::parse(&name, project).map_err(|e| ForeignError::lockfile(lock, &e))?;
    if let Some(known) = files
        .get(&name)
        .filter(|known| known.sha256 != about.sha256)
    {
        let sums =
            [known.sha256, about.sha256].map(|sum| sum.map_or_else(String::new, |s| s.hex()));
        let reason = format!("{} has two digests: {}", quoted(&name), sums.join(", "));
        return Err(ForeignError::lockfile(lock, &reason));
    }
    files.insert(name, about);
    Ok(())
}

/// Something that is not a release of an index, so that nothing says which bytes it is made of: a git repository, an
/// address, a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Direct {
    /// What it is, as in `git repository`.
    pub kind: &'static str,
    /// The package, where it is named.
    pub name: Option<Name>,
    /// Where it is, as written, not escaped; user names and passwords in it are hidden.
    pub from: String,
    /// Line of the file, where known, from 1.
    pub line: Option<usize>,
}

/// A lock file, read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForeignLock {
    /// Pythons that it is for (PEP 440 specifiers).
    pub requires_python: Option<String>,
    /// Its packages, in their order.
    pub packages: Vec<ForeignPackage>,
    /// What the project itself needs; `None` when the file has no edges to follow and each package's own marker decides.
    pub roots: Option<Roots>,
}

/// What a project needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roots {
    /// Always.
    pub edges: Vec<ForeignEdge>,
    /// With one of its extras.
    pub extras: BTreeMap<Name, Vec<ForeignEdge>>,
    /// With one of its dependency groups.
    pub groups: BTreeMap<Name, Vec<ForeignEdge>>,
}

/// One package of a lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignPackage {
    /// The project.
    pub name: Name,
    /// Version; absent for a folder whose version is made when it is built.
    pub version: Option<String>,
    /// When it is installed; absent: always, or as edges say.
    pub marker: Option<Marker>,
    /// Files by name; none for what is not from an index.
    pub files: BTreeMap<String, ForeignFile>,
    /// What it needs.
    pub edges: Vec<ForeignEdge>,
    /// What it needs with an extra.
    pub extras: BTreeMap<Name, Vec<ForeignEdge>>,
    /// Where it comes from when that is no index.
    pub direct: Option<Direct>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignFile {
    /// SHA-256 of its bytes, where the file says.
    pub sha256: Option<Digest>,
    /// Size in bytes, where the file says.
    pub size: Option<u64>,
}

/// A need of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignEdge {
    /// The project needed.
    pub name: Name,
    /// Its version, where the file has several.
    pub version: Option<String>,
    /// Extras of it.
    pub extras: BTreeSet<Name>,
    /// When it is needed; absent: always.
    pub marker: Option<Marker>,
}

/// What one environment gets: a package with the extras that lead to its edges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected<'a> {
    /// The package.
    pub package: &'a ForeignPackage,
    /// Extras of it that are wanted.
    pub extras: BTreeSet<Name>,
    /// Packages that need it, empty for what the project itself needs.
    pub needed_by: BTreeSet<Name>,
}

/// What of the project is wanted beside its ordinary needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Extras of the project.
    pub extras: BTreeSet<Name>,
    /// Its dependency groups; a pylock's default groups come on their own.
    pub groups: BTreeSet<Name>,
}

impl ForeignLock {
    /// What `env` gets of this lock, by name and version. `file` is its name, for errors: a need that the lock does not
    /// meet, or meets in two ways.
    pub fn select(
        &self,
        file: &str,
        env: &MarkerEnvironment,
        wanted: &Wanted,
    ) -> Result<Vec<Selected<'_>>, ForeignError> {
        let holds = |marker: &Option<Marker>| {
            let marker = marker.as_ref();
            marker.is_none_or(|marker| marker.holds(env, &wanted.extras, &wanted.groups))
        };
        let Some(roots) = &self.roots else {
            let packages = self.packages.iter().filter(|p| holds(&p.marker));
            return Ok(packages.map(Selected::alone).collect());
        };
        let extras = wanted.extras.iter().map(|name| roots.extras.get(name));
        let groups = wanted.groups.iter().map(|name| roots.groups.get(name));
        let more: Option<Vec<_>> = extras.chain(groups).collect();
        let more = more.ok_or_else(|| {
            ForeignError::lockfile(file, &"it has no such extra or dependency group")
        })?;
        let mut walk = Walk {
            by_name: BTreeMap::new(),
            found: BTreeMap::new(),
            open: VecDeque::new(),
        };
        for (at, package) in self.packages.iter().enumerate() {
            walk.by_name
                .entry(&package.name)
                .or_default()
                .push((at, package));
        }
        let first = roots.edges.iter().chain(more.into_iter().flatten());
        for edge in first.filter(|edge| holds(&edge.marker)) {
            walk.follow(None, edge)
                .map_err(|why| ForeignError::lockfile(file, &why))?;
        }
        while let Some((package, extra)) = walk.open.pop_front() {
            let edges = match &extra {
                None => Some(&package.edges),
                Some(extra) => package.extras.get(extra),
            };
            for edge in edges
                .into_iter()
                .flatten()
                .filter(|edge| holds(&edge.marker))
            {
                let followed = walk.follow(Some(&package.name), edge);
                followed.map_err(|why| ForeignError::lockfile(file, &why))?;
            }
        }
        Ok(walk.found.into_values().collect())
    }
}

impl<'a> Selected<'a> {
    const fn alone(package: &'a ForeignPackage) -> Self {
        Self {
            package,
            extras: BTreeSet::new(),
            needed_by: BTreeSet::new(),
        }
    }
}

/// Packages found so far, by their place in the lock, and what is left to look at: each package once, and once more for
/// each of its extras.
struct Walk<'a> {
    by_name: BTreeMap<&'a Name, Vec<(usize, &'a ForeignPackage)>>,
    found: BTreeMap<usize, Selected<'a>>,
    open: VecDeque<(&'a ForeignPackage, Option<Name>)>,
}

impl Walk<'_> {
    fn follow(&mut self, from: Option<&Name>, edge: &ForeignEdge) -> Result<(), String> {
        let fits = |package: &ForeignPackage| {
            edge.version.is_none() || package.version.is_none() || edge.version == package.version
        };
        let named = self.by_name.get(&edge.name).into_iter().flatten();
        let mut named = named.filter(|(_, package)| fits(package));
        let Some(&(at, package)) = named.next() else {
            return Err(format!("{} is needed, but not in it", edge.name));
        };
        if named.next().is_some() {
            return Err(format!("{} is needed, but it has several of it", edge.name));
        }
        let (found, open) = (&mut self.found, &mut self.open);
        let selected = found.entry(at).or_insert_with(|| {
            open.push_back((package, None));
            Selected::alone(package)
        });
        selected.needed_by.extend(from.cloned());
        for extra in &edge.extras {
            if selected.extras.insert(extra.clone()) {
                open.push_back((package, Some(extra.clone())));
            }
        }
        Ok(())
    }
}
