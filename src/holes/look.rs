//! One artifact: which rules its files satisfy. Archives are streamed; only files that a rule asks for are read, each up
//! to a limit. An archive is gone through a second time only where the scripts of an install lead to files of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read};
use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::base::package::EcosystemId;
use crate::eco::npm::scripts::{self, Installed};
use crate::fs::{FsError, OpenFile};
use crate::holes::catalog::{self, Entry};
use crate::holes::fact::{Fact, Found};
use crate::holes::rule::Rule;
use crate::unpack::{self, Member, Part};

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;
/// Most bytes of scripts of one artifact that are held at a time.
const MAX_HELD: u64 = 128 << 20;
/// Most files that are followed from one install script.
const MAX_FOLLOWED: usize = 200;
/// Most packages inside of one artifact.
const MAX_PACKAGES: usize = 10_000;

/// What is looked into.
pub(super) struct Job<'a> {
    /// The rules of its ecosystem.
    pub(super) rules: &'a [&'a Rule],
    /// Facts that its package may say.
    pub(super) facts: &'a [&'a Fact],
    pub(super) ecosystem: &'a EcosystemId,
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    /// File name of the artifact.
    pub(super) file: &'a str,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) hits: Vec<Hit>,
    /// Entries of catalogs, each with the place of its rule.
    pub(super) entries: Vec<(usize, Entry)>,
    /// What it says of what is downloaded.
    pub(super) facts: Vec<Found>,
    /// Paths of its files, where a rule may ask what is there.
    pub(super) paths: Vec<String>,
    /// Why it could not be read.
    pub(super) unreadable: Option<String>,
}

/// A rule that is satisfied.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    /// Place of the rule.
    pub(super) rule: usize,
    /// A package inside of the artifact, and the folder it is in.
    pub(super) inner: Option<Inner>,
    /// The file, as a path in the archive.
    pub(super) file: Option<String>,
    /// Event and command of an install script.
    pub(super) command: Option<(&'static str, String)>,
    /// An address in the file or command.
    pub(super) url: Option<String>,
    /// The package whose script it is.
    pub(super) package: Option<Box<Installed>>,
}

/// A package that another one brings along.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Inner {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) folder: String,
}

/// Looks into an artifact, opened as often as needed.
pub(super) fn look(
    job: &Job<'_>,
    open: &dyn Fn() -> Result<OpenFile, FsError>,
) -> Result<Seen, FsError> {
    let mut first = First::new(job);
    let part = if job.rules.iter().any(|rule| rule.wants("DEBIAN/postinst")) {
        Part::Control
    } else {
        Part::Data
    };
    let walked = unpack::walk(open()?, part, &mut |path, member| match member {
        Member::File(bytes) => first.file(job.inside(path), bytes),
        Member::Link(_) => Ok(()),
    });
    let mut seen = first.seen;
    if let Err(error) = walked {
        seen.unreadable = Some(error.to_string());
        return Ok(seen);
    }
    let mut packages = first.packages;
    for (folder, package) in &mut packages {
        if first.gyp.contains(folder) {
            package.with_gyp();
        }
    }
    packages.retain(|_, package| !package.commands.is_empty());
    commands(job, &packages, &mut seen);
    let mut wanted = job.rules.iter().filter(|rule| !rule.runs.is_empty());
    let leads = packages
        .values()
        .flat_map(|p| &p.commands)
        .any(|(_, command)| !scripts::files_of(command).is_empty());
    if leads && wanted.next().is_some() {
        let held = hold(job, open()?, &packages);
        run(job, &packages, &held, &mut seen);
    }
    Ok(seen)
}

impl Job<'_> {
    /// The path without the folder that tarballs have around everything.
    fn inside<'p>(&self, path: &'p str) -> &'p str {
        let path = path.trim_start_matches("./");
        let bare = [".whl", ".zip", ".deb"];
        if bare.iter().any(|end| self.file.ends_with(end)) {
            return path;
        }
        path.split_once('/').map_or(path, |(_, rest)| rest)
    }

    /// The rules about a package, by their places.
    fn about<'s>(
        &'s self,
        name: &'s str,
        version: &'s str,
    ) -> impl Iterator<Item = (usize, &'s Rule)> {
        let all = self.rules.iter().copied().enumerate();
        all.filter(move |(_, rule)| rule.is_about(self.ecosystem, name, version))
    }

    fn inner(folder: &str, package: &Installed) -> Option<Inner> {
        (!folder.is_empty()).then(|| Inner {
            name: package.name.clone(),
            version: package.version.clone(),
            folder: folder.to_owned(),
        })
    }

    /// Name and version of a package in a folder: the artifact's own are those of the lock.
    fn id<'s>(&'s self, folder: &str, package: &'s Installed) -> (&'s str, &'s str) {
        if folder.is_empty() {
            (self.name, self.version)
        } else {
            (&package.name, &package.version)
        }
    }
}

/// The first way through an artifact.
struct First<'a> {
    is_npm: bool,
    keeps_paths: bool,
    /// Rules that ask for files of it, with their places.
    asking: Vec<(usize, &'a Rule)>,
    /// Facts, likewise.
    facts: &'a [&'a Fact],
    /// Packages by folder.
    packages: BTreeMap<String, Installed>,
    /// Folders with a `binding.gyp`.
    gyp: BTreeSet<String>,
    seen: Seen,
}

impl<'a> First<'a> {
    fn new(job: &'a Job<'a>) -> Self {
        let asking = job.about(job.name, job.version);
        Self {
            is_npm: job.rules.iter().any(|rule| rule.looks_at_scripts()),
            keeps_paths: job.rules.iter().any(|rule| rule.has_absent()),
            asking: asking.filter(|(_, rule)| !rule.files.is_empty()).collect(),
            facts: job.facts,
            packages: BTreeMap::new(),
            gyp: BTreeSet::new(),
            seen: Seen::default(),
        }
    }

    fn file(&mut self, path: &str, stream: &mut dyn Read) -> io::Result<()> {
        if self.keeps_paths {
            self.seen.paths.push(path.to_owned());
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let is_package = self.is_npm && name == "package.json" && is_root(folder);
        if self.is_npm && name == "binding.gyp" {
            self.gyp.insert(folder.to_owned());
        }
        let asking = self.asking.iter().filter(|(_, rule)| rule.wants(path));
        let asking: Vec<(usize, &Rule)> = asking.copied().collect();
        let facts = self.facts.iter().enumerate();
        let facts: Vec<_> = facts.filter(|(_, fact)| fact.wants(path)).collect();
        if !is_package && asking.is_empty() && facts.is_empty() {
            return Ok(());
        }
        let Some(text) = text(stream)? else {
            return Ok(());
        };
        if is_package && self.packages.len() < MAX_PACKAGES {
            let read = scripts::read(&text);
            self.packages
                .extend(read.map(|package| (folder.to_owned(), package)));
        }
        for (place, fact) in facts {
            self.seen.facts.extend(fact.read(place, &text));
        }
        for (at, rule) in asking {
            if let Some(form) = rule.catalog {
                let entries = catalog::read(form, path, &text);
                self.seen
                    .entries
                    .extend(entries.into_iter().map(|entry| (at, entry)));
            } else if is_in(rule, &text) {
                self.seen.hits.push(Hit {
                    rule: at,
                    inner: None,
                    file: Some(path.to_owned()),
                    command: None,
                    url: url(&text),
                    package: None,
                });
            }
        }
        Ok(())
    }
}

/// Whether a file has all that a rule asks of it.
fn is_in(rule: &Rule, text: &[u8]) -> bool {
    let excused = rule.unless.as_ref().is_some_and(|not| not.is_match(text));
    !excused && rule.content.iter().all(|part| part.is_match(text))
}

/// The bytes of a file, unless it is too long to be one that people write.
fn text(stream: &mut dyn Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    stream.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= MAX_FILE).then_some(bytes))
}

/// Whether a package lies in this folder: the archive's own, or one in a `node_modules`.
fn is_root(folder: &str) -> bool {
    let mut parts = folder.rsplit('/');
    let (last, before, further) = (parts.next(), parts.next(), parts.next());
    folder.is_empty()
        || before == Some("node_modules")
        || (further == Some("node_modules")
            && before.is_some_and(|scope| scope.starts_with('@'))
            && last.is_some())
}

/// Rules about commands.
fn commands(job: &Job<'_>, packages: &BTreeMap<String, Installed>, seen: &mut Seen) {
    for (folder, package) in packages {
        let (name, version) = job.id(folder, package);
        for (at, rule) in job.about(name, version) {
            let Some(pattern) = &rule.command else {
                continue;
            };
            let is_excused = |c: &str| {
                let unless = rule.unless.as_ref();
                unless.is_some_and(|not| not.is_match(c.as_bytes()))
            };
            let met = |c: &str| pattern.is_match(c.as_bytes()) && !is_excused(c);
            let mut commands = package.commands.iter();
            if let Some((event, command)) = commands.find(|(_, command)| met(command)) {
                seen.hits.push(Hit {
                    rule: at,
                    inner: Job::inner(folder, package),
                    file: None,
                    command: Some((event, command.clone())),
                    url: url(command.as_bytes()),
                    package: Some(Box::new(package.clone())),
                });
            }
        }
    }
}

/// The scripts of packages that run something, by path.
fn hold(
    job: &Job<'_>,
    file: OpenFile,
    packages: &BTreeMap<String, Installed>,
) -> BTreeMap<String, Vec<u8>> {
    let mut held = BTreeMap::new();
    let mut left = MAX_HELD;
    let walked = unpack::walk(file, Part::Data, &mut |path, member| {
        let path = job.inside(path);
        let Member::File(stream) = member else {
            return Ok(());
        };
        let inside = |folder: &String| {
            folder.is_empty()
                || path
                    .strip_prefix(folder.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        let is_script = !name.contains('.')
            || [".js", ".mjs", ".cjs", ".ts", ".sh", ".py"]
                .iter()
                .any(|end| name.ends_with(end));
        if left > 0
            && is_script
            && packages.keys().any(inside)
            && let Some(text) = text(stream)?
        {
            left = left.saturating_sub(text.len() as u64);
            held.insert(path.to_owned(), text);
        }
        Ok(())
    });
    // It was gone through before without an error.
    drop(walked);
    held
}

/// Rules about the files that install scripts run.
fn run(
    job: &Job<'_>,
    packages: &BTreeMap<String, Installed>,
    held: &BTreeMap<String, Vec<u8>>,
    seen: &mut Seen,
) {
    for (folder, package) in packages {
        let (name, version) = job.id(folder, package);
        let rules = job.about(name, version).filter(|(_, r)| !r.runs.is_empty());
        let rules: Vec<(usize, &Rule)> = rules.collect();
        if rules.is_empty() {
            continue;
        }
        for (event, command) in &package.commands {
            for path in followed(folder, command, held) {
                let Some(text) = held.get(&path) else {
                    continue;
                };
                let met = rules
                    .iter()
                    .filter(|(_, rule)| rule.runs.iter().all(|part| part.is_match(text)));
                for (at, _) in met {
                    seen.hits.push(Hit {
                        rule: *at,
                        inner: Job::inner(folder, package),
                        file: Some(path.clone()),
                        command: Some((event, command.clone())),
                        url: url(text),
                        package: None,
                    });
                }
            }
        }
    }
}

/// Files that a command runs, and those they import by a relative path, the nearest first.
fn followed(folder: &str, command: &str, held: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let join = |path: String| {
        if folder.is_empty() {
            path
        } else {
            format!("{folder}/{path}")
        }
    };
    let starts = scripts::files_of(command).into_iter().map(join);
    let mut queue: VecDeque<String> = starts.filter(|path| held.contains_key(path)).collect();
    let mut known: BTreeSet<String> = queue.iter().cloned().collect();
    let mut found = Vec::new();
    while let Some(path) = queue.pop_front().filter(|_| found.len() < MAX_FOLLOWED) {
        let text = held.get(&path).map(Vec::as_slice).unwrap_or_default();
        let here = path.rsplit_once('/').map_or("", |(here, _)| here);
        for import in IMPORT.iter().flat_map(|r| r.captures_iter(text)) {
            let Some(to) = import.get(1) else { continue };
            let to = String::from_utf8_lossy(to.as_bytes());
            let candidates = scripts::candidates(format!("{here}/{to}").trim_start_matches('/'));
            if let Some(next) = candidates.into_iter().find(|path| held.contains_key(path))
                && known.insert(next.clone())
            {
                queue.push_back(next);
            }
        }
        found.push(path);
    }
    found
}

/// Imports of a relative path, in all of their spellings.
static IMPORT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?-u)(?:require\(|from|import\(?)\s*["'](\.{1,2}/[^"']{1,200})["']"#).ok()
});

/// Addresses.
static URL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?-u)https?://[A-Za-z0-9][^\s"'`<>\\)\]\x00-\x1f]{3,300}"#).ok()
});

/// The address in a text that looks most like that of a download, else the first.
fn url(text: &[u8]) -> Option<String> {
    const MARKS: [&str; 9] = [
        "download", "release", "install", "latest", "cdn", ".zip", ".tar", ".tgz", "storage",
    ];
    let mut first = None;
    for found in URL.as_ref()?.find_iter(text).take(200) {
        let found = String::from_utf8_lossy(found.as_bytes()).into_owned();
        if MARKS.iter().any(|mark| found.contains(mark)) {
            return Some(found);
        }
        first.get_or_insert(found);
    }
    first
}
