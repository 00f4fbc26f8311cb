//! Resolves one install of Python packages. For each platform a solver runs as far as it gets; what it lacks is asked
//! for, and what it will probably need too. Requests are shared by all platforms; every answer lets them go on.
//!
//! Core metadata comes from its own file where the index has one (PEP 658), else from a few parts of the wheel, else from
//! the whole wheel, which is then in the store for later.

use std::collections::{BTreeMap, BTreeSet};

use pep440_rs::Version;

use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::fault::Fault;
use crate::base::limits::LIMITS;
use crate::base::platform::Platform;
use crate::base::text::quoted;
use crate::eco::pypi::assemble;
use crate::eco::pypi::fault::PypiError;
use crate::eco::pypi::filename::Filename;
use crate::eco::pypi::listing::{Limits, Listing};
use crate::eco::pypi::markers::Environment;
use crate::eco::pypi::metadata::MAX_TEXT;
use crate::eco::pypi::name::Name;
use crate::eco::pypi::peek::{self, Look, Sparse};
use crate::eco::pypi::request::PypiRequest;
use crate::eco::pypi::shelf::{FileFacts, FileKey, FileState, Known, View};
use crate::eco::pypi::simple::{self, PageFile};
use crate::eco::pypi::solve::{Chosen, Missing, Problem, Solve};
use crate::eco::pypi::track::{Asking, Track, Way};
use crate::eco::pypi::wanted::Wanted;
use crate::eco::pypi::{UPSTREAM, file_path, sdist};
use crate::upstream::{
    Answer, Content, Link, Part, Request, Resolution, Resolver, UpstreamError, Want,
};

/// A resolver for one install.
pub fn resolver(request: PypiRequest) -> Result<Box<dyn Resolver>, Box<dyn Fault>> {
    Ok(Box::new(PypiResolver::new(request)?))
}

/// What a request is for.
#[derive(Debug, Clone)]
enum Subject {
    /// The files of a project.
    Page(Name),
    /// The core metadata of a file, with the digest that the index states.
    Metadata(FileKey, Option<Digest>),
    /// Some bytes of a wheel.
    Part(FileKey),
    /// A whole file.
    File(FileKey),
}

/// What the result is made of.
#[derive(Debug)]
pub(crate) struct Results {
    /// What was asked for.
    pub(crate) request: PypiRequest,
    /// What is known of the index.
    pub(crate) known: Known,
    /// The environments.
    pub(crate) tracks: Vec<Track>,
    /// Requirements that name an address, with their platform.
    pub(crate) direct: Vec<(Platform, Wanted)>,
}

struct PypiResolver {
    results: Results,
    fresh: Vec<Request>,
    open: BTreeMap<String, Subject>,
    /// Requests that failed; an error only when what they were for is really needed.
    failed_pages: BTreeMap<Name, PypiError>,
    failed_files: BTreeMap<FileKey, PypiError>,
    /// Build environments that were started.
    built: BTreeSet<(Platform, Name)>,
}

impl PypiResolver {
    fn new(request: PypiRequest) -> Result<Self, PypiError> {
        let mut resolver = Self {
            results: Results {
                known: Known::default(),
                tracks: Vec::new(),
                direct: Vec::new(),
                request,
            },
            fresh: Vec::new(),
            open: BTreeMap::new(),
            failed_pages: BTreeMap::new(),
            failed_files: BTreeMap::new(),
            built: BTreeSet::new(),
        };
        let platforms = resolver.results.request.target.platforms.clone();
        for platform in platforms {
            let track = resolver.runtime(platform)?;
            resolver.begin(track)?;
        }
        Ok(resolver)
    }

    /// The runtime's own environment on one platform.
    fn runtime(&mut self, platform: Platform) -> Result<Track, PypiError> {
        let request = &self.results.request;
        let here = |platforms: &[Platform]| platforms.is_empty() || platforms.contains(&platform);
        let specs = request.requirements.iter().filter(|r| here(&r.platforms));
        let wanted = specs
            .map(|r| parse(&r.spec))
            .collect::<Result<Vec<_>, _>>()?;
        let constraints = request.constraints.iter().map(|c| parse(c));
        let constraints = constraints.collect::<Result<Vec<_>, _>>()?;
        let direct: Vec<Wanted> = wanted
            .iter()
            .filter(|w| w.direct.is_some())
            .cloned()
            .collect();
        let mut hashes = request.hashes.clone();
        let mut chosen = None;
        if let Some(locked) = &request.locked {
            let mut of_here = BTreeMap::new();
            for one in locked.iter().filter(|one| here(&one.platforms)) {
                let version = one.version.parse::<Version>();
                let version = version.map_err(|error| PypiError::Requirement {
                    text: quoted(&format!("{}=={}", one.name, one.version)),
                    reason: quoted(&error.to_string()),
                })?;
                let extras = one.extras.iter().filter_map(|e| e.as_str().parse().ok());
                let extras = extras.collect();
                of_here.insert(one.name.clone(), Chosen { version, extras });
                if !one.hashes.is_empty() {
                    hashes.insert(one.name.clone(), one.hashes.clone());
                }
            }
            chosen = Some(of_here);
        }
        self.results
            .direct
            .extend(direct.into_iter().map(|wanted| (platform, wanted)));
        let mut track = self.track(platform, wanted, constraints, None)?;
        track.hashes = hashes;
        if let Some(chosen) = chosen {
            for (name, found) in &chosen {
                let yanked = track.yanked.entry(name.clone()).or_default();
                yanked.insert(found.version.clone());
            }
            track.way = Way::Locked(Box::new(track.problem().clone()), chosen);
        }
        Ok(track)
    }

    fn track(
        &self,
        platform: Platform,
        wanted: Vec<Wanted>,
        constraints: Vec<Wanted>,
        builds: Option<Name>,
    ) -> Result<Track, PypiError> {
        let request = &self.results.request;
        let environment = Environment::new(&request.target, platform);
        let environment = environment.map_err(|reason| PypiError::Target { reason })?;
        let mut kept: BTreeMap<Name, BTreeSet<Version>> = BTreeMap::new();
        for (name, versions) in request.prefer.kept() {
            let parsed = versions.iter().filter_map(|v| v.parse().ok());
            if let Ok(name) = name.parse() {
                kept.entry(name).or_default().extend(parsed);
            }
        }
        let mut yanked = kept.clone();
        let mut prereleases = BTreeSet::new();
        for wanted in wanted.iter().chain(&constraints) {
            let mut specifiers = wanted.specifiers.iter();
            if specifiers.any(pep440_rs::VersionSpecifier::any_prerelease) {
                prereleases.insert(wanted.name.clone());
            }
        }
        for wanted in wanted.iter().filter(|wanted| wanted.is_pin()) {
            let pinned = wanted.specifiers.iter().map(|s| s.version().clone());
            yanked
                .entry(wanted.name.clone())
                .or_default()
                .extend(pinned);
        }
        let problem = Problem {
            environment,
            wanted,
            constraints,
            kept,
            prefer: request.prefer.clone(),
            prereleases,
            pre: request.pre,
        };
        Ok(Track {
            builds,
            listings: BTreeMap::new(),
            yanked,
            hashes: BTreeMap::new(),
            way: Way::Solve(Box::new(Solve::new(problem))),
            waiting: None,
            end: None,
        })
    }

    /// Adds an environment with what is known already, and lets it go on.
    fn begin(&mut self, mut track: Track) -> Result<(), PypiError> {
        let names: Vec<Name> = self.results.known.pages.keys().cloned().collect();
        for name in &names {
            list(&mut track, name, &self.results);
        }
        self.results.tracks.push(track);
        self.go_on(self.results.tracks.len().saturating_sub(1))
    }

    /// Lets one environment go on, and asks for what it lacks.
    fn go_on(&mut self, at: usize) -> Result<(), PypiError> {
        let Some(track) = self.results.tracks.get_mut(at) else {
            return Ok(());
        };
        let Asking { pages, metadata } = track.advance(&self.results.known);
        let waiting = track.waiting.clone();
        for name in &pages {
            self.ask_page(name);
        }
        for (name, version) in metadata {
            self.ask_metadata(at, &name, &version);
        }
        // A failure counts once it is in the way.
        match waiting {
            Some(Missing::Page(name)) => match self.failed_pages.remove(&name) {
                Some(error) => Err(error),
                None => Ok(()),
            },
            Some(Missing::Metadata(name, version)) => {
                let key = self.key_of(at, &name, &version);
                match key.and_then(|key| self.failed_files.remove(&key)) {
                    Some(error) => Err(error),
                    None => Ok(()),
                }
            }
            None => self.start_builds(),
        }
    }

    /// After an answer: whoever waited for it goes on, others have more to ask for ahead.
    fn go_on_all(&mut self, subject: &Subject) -> Result<(), PypiError> {
        for at in 0..self.results.tracks.len() {
            let Some(track) = self.results.tracks.get(at) else {
                continue;
            };
            let is_locked = matches!(track.way, Way::Locked(..));
            let waited = match (&track.waiting, subject) {
                (Some(Missing::Page(name)), Subject::Page(came)) => name == came,
                (
                    Some(Missing::Metadata(name, version)),
                    Subject::Metadata(key, _) | Subject::Part(key) | Subject::File(key),
                ) => self.key_of(at, name, version).as_ref() == Some(key),
                _ => false,
            };
            if track.end.is_none() && (waited || is_locked) {
                self.go_on(at)?;
            } else if let Subject::Page(name) = subject {
                self.ask_ahead(at, name);
            }
        }
        Ok(())
    }

    /// Asks for the metadata of the version of a project that is likely to be taken.
    fn ask_ahead(&mut self, at: usize, name: &Name) {
        let version = self.results.tracks.get(at).and_then(|track| {
            let Way::Solve(solve) = &track.way else {
                return None;
            };
            let view = View {
                known: &self.results.known,
                listings: &track.listings,
            };
            let ahead = solve.ahead(&view);
            let found = ahead.into_iter().find(|(of, _)| *of == name);
            found.map(|(_, offer)| offer.version.clone())
        });
        if let Some(version) = version {
            self.ask_metadata(at, name, &version);
        }
    }

    fn key_of(&self, at: usize, name: &Name, version: &Version) -> Option<FileKey> {
        let offer = self
            .results
            .tracks
            .get(at)?
            .listings
            .get(name)?
            .get(version)?;
        let file = self.results.known.file(name, offer)?;
        Some((name.clone(), file.name.clone()))
    }

    fn submit(&mut self, request: Request, subject: Subject) {
        self.open.insert(key(&request), subject);
        self.fresh.push(request);
    }

    fn ask_page(&mut self, name: &Name) {
        let request = simple::request(name);
        let known = self.results.known.pages.contains_key(name);
        let failed = self.failed_pages.contains_key(name);
        if !known && !failed && !self.open.contains_key(&key(&request)) {
            self.submit(request, Subject::Page(name.clone()));
        }
    }

    fn ask_metadata(&mut self, at: usize, name: &Name, version: &Version) {
        let Some(key) = self.key_of(at, name, version) else {
            return;
        };
        let failed = self.failed_files.contains_key(&key);
        if failed || self.results.known.files.contains_key(&key) {
            return;
        }
        let state = FileState::Asked(Sparse::default());
        self.results.known.files.insert(key.clone(), state);
        let Some(file) = self.page_file(&key) else {
            return;
        };
        let (size, sum) = (file.size, file.metadata_sum);
        match (matches!(file.parsed, Filename::Sdist(_)), file.has_metadata) {
            (true, _) => self.ask_file(key),
            (false, true) => {
                let file = format!("{}.metadata", key.1);
                let want = Want::Immutable;
                if let Some(request) = self.of_file(&key, &file, ".metadata", want) {
                    self.submit(request, Subject::Metadata(key, sum));
                }
            }
            (false, false) => self.ask_part(key, first_part(size)),
        }
    }

    fn page_file(&self, key: &FileKey) -> Option<&PageFile> {
        let page = self.results.known.pages.get(&key.0)?;
        page.files.iter().find(|file| file.name == key.1)
    }

    /// A request for a file of a page, or for one whose address is its own with `end`.
    fn of_file(&self, key: &FileKey, path: &str, end: &str, want: Want) -> Option<Request> {
        let file = self.page_file(key)?;
        let limit = match &want {
            Want::Artifact(_) => LIMITS.artifact,
            Want::Document | Want::Immutable | Want::Part(_) => MAX_TEXT as u64,
        };
        Some(Request {
            upstream: UPSTREAM.to_owned(),
            path: file_path(&key.0, path),
            accept: None,
            limit,
            want,
            link: Some(Link {
                page: simple::page_path(&key.0),
                href: format!("{}{end}", file.href),
            }),
        })
    }

    fn ask_part(&mut self, key: FileKey, part: Part) {
        if let Some(request) = self.of_file(&key, &key.1, "", Want::Part(part)) {
            self.submit(request, Subject::Part(key));
        }
    }

    fn ask_file(&mut self, key: FileKey) {
        let digest = self.page_file(&key).and_then(|file| file.sha256);
        let want = digest.map(|d| Want::Artifact(UpstreamChecksum::Sha256(d)));
        let request = want.and_then(|want| self.of_file(&key, &key.1, "", want));
        if let Some(request) = request {
            self.submit(request, Subject::File(key));
        }
    }

    fn take_in(&mut self, request: &Request, answer: Answer) -> Result<(), PypiError> {
        let Some(subject) = self.open.remove(&key(request)) else {
            return Ok(());
        };
        match &subject {
            Subject::Page(name) => self.take_page(name, answer),
            Subject::Metadata(key, sum) => self.take_metadata(key, *sum, answer),
            Subject::Part(key) => self.take_part(key, answer),
            Subject::File(key) => self.take_file(key, answer),
        }
        self.go_on_all(&subject)
    }

    fn take_page(&mut self, name: &Name, answer: Answer) {
        let unreadable = |reason: String| PypiError::Page {
            name: name.to_string(),
            reason,
        };
        let page = match answer {
            Ok(content) => content
                .into_bytes()
                .map_err(|e| unreadable(quoted(&e.to_string())))
                .and_then(|bytes| simple::parse(name, &bytes).map_err(unreadable)),
            Err(UpstreamError::NotFound { .. }) => {
                self.results.known.absent.insert(name.clone());
                Ok(simple::Page::default())
            }
            Err(error) => Err(error.into()),
        };
        match page {
            Ok(page) => {
                self.results.known.pages.insert(name.clone(), page);
                let mut tracks = std::mem::take(&mut self.results.tracks);
                for track in &mut tracks {
                    list(track, name, &self.results);
                }
                self.results.tracks = tracks;
            }
            Err(error) => {
                self.failed_pages.insert(name.clone(), error);
            }
        }
    }

    fn take_metadata(&mut self, key: &FileKey, sum: Option<Digest>, answer: Answer) {
        let bytes = match answer {
            Ok(content) => content.into_bytes(),
            Err(UpstreamError::NotFound { .. }) => {
                // Some mirrors say that they have it, and do not.
                let size = self.page_file(key).and_then(|file| file.size);
                return self.ask_part(key.clone(), first_part(size));
            }
            Err(error) => return self.fail(key, error.into()),
        };
        let text = bytes.ok().and_then(|bytes| {
            let is_it = sum.is_none_or(|sum| sum == Digest::of(&bytes));
            String::from_utf8(bytes).ok().filter(|_| is_it)
        });
        match text {
            Some(text) => self.learn(key, Ok(text)),
            None => self.fail(
                key,
                PypiError::Metadata {
                    file: quoted(&key.1),
                    reason: "it has another digest than the index states".to_owned(),
                },
            ),
        }
    }

    fn take_part(&mut self, key: &FileKey, answer: Answer) {
        let (bytes, first, total) = match answer {
            Ok(Content::Part {
                bytes,
                first,
                total,
            }) => (bytes, first, total),
            Ok(Content::Document(_) | Content::Artifact(_))
            | Err(UpstreamError::NoRanges { .. }) => {
                return self.ask_file(key.clone());
            }
            Err(error) => return self.fail(key, error.into()),
        };
        let stated = self.page_file(key).and_then(|file| file.size);
        let Some(FileState::Asked(sparse)) = self.results.known.files.get_mut(key) else {
            return;
        };
        let look = if stated.is_none_or(|size| size == total) {
            let added = sparse.add(first, bytes, total);
            added.and_then(|()| sparse.metadata(&key.0))
        } else {
            Err("it has another size than the index states".to_owned())
        };
        match look {
            Ok(Look::Found(text)) => self.learn(key, Ok(text)),
            Ok(Look::Missing(part)) => self.ask_part(key.clone(), part),
            Ok(Look::Whole) => self.ask_file(key.clone()),
            Err(reason) => self.learn(key, Err(reason)),
        }
    }

    fn take_file(&mut self, key: &FileKey, answer: Answer) {
        let source = match answer {
            Ok(content) => content.into_source(),
            Err(error) => return self.fail(key, error.into()),
        };
        let Some(file) = self.page_file(key) else {
            return;
        };
        let facts = match &file.parsed {
            Filename::Wheel(_) => peek::metadata(std::io::BufReader::new(source), &key.0)
                .and_then(|text| FileFacts::new(&key.0, &file.version, text)),
            Filename::Sdist(form) => sdist::facts(form, &key.0, &file.version, source),
        };
        self.keep(key, facts);
    }

    fn learn(&mut self, key: &FileKey, text: Result<String, String>) {
        let version = self.page_file(key).map(|file| file.version.clone());
        let facts = match (text, version) {
            (Ok(text), Some(version)) => FileFacts::new(&key.0, &version, text),
            (Err(reason), _) => Err(reason),
            (Ok(_), None) => return,
        };
        self.keep(key, facts);
    }

    fn keep(&mut self, key: &FileKey, facts: Result<FileFacts, String>) {
        let state = match facts {
            Ok(facts) => FileState::Known(Box::new(facts)),
            Err(reason) => FileState::Unusable(reason),
        };
        self.results.known.files.insert(key.clone(), state);
    }

    fn fail(&mut self, key: &FileKey, error: PypiError) {
        self.failed_files.insert(key.clone(), error);
    }

    /// Starts the environments that chosen source distributions are built in, once for each platform.
    fn start_builds(&mut self) -> Result<(), PypiError> {
        for (platform, name, requires) in self.results.sources() {
            if !self.built.insert((platform, name.clone())) {
                continue;
            }
            let wanted = requires.iter().map(|text| parse(text));
            let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
            let track = self.track(platform, wanted, Vec::new(), Some(name))?;
            self.begin(track)?;
        }
        Ok(())
    }
}

/// What tells requests apart.
fn key(request: &Request) -> String {
    format!("{} {:?}", request.path, request.want)
}

/// The end of a wheel that most probably has its directory and metadata.
fn first_part(size: Option<u64>) -> Part {
    let size = size.unwrap_or(0);
    Part::Last(match size {
        0..0x8_0000 => 24 << 10,
        0x8_0000..0x100_0000 => 96 << 10,
        _ => 192 << 10,
    })
}

fn parse(text: &str) -> Result<Wanted, PypiError> {
    Wanted::parse(text).map_err(|reason| PypiError::Requirement {
        text: quoted(text),
        reason,
    })
}

/// No file may be taken.
static NOTHING: BTreeSet<Digest> = BTreeSet::new();

/// Gives an environment its view of a project's page.
fn list(track: &mut Track, name: &Name, results: &Results) {
    let Some(page) = results.known.pages.get(name) else {
        return;
    };
    let limits = Limits {
        exclude_newer: results.request.exclude_newer,
        sdist: results.request.sdist.contains(name),
        yanked: track.yanked.get(name),
        hashes: match track.hashes.get(name) {
            None if results.request.require_hashes && track.builds.is_none() => Some(&NOTHING),
            allowed => allowed,
        },
    };
    let listing = Listing::new(page, &track.problem().environment, limits);
    track.listings.insert(name.clone(), listing);
}

impl Resolver for PypiResolver {
    fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.fresh)
    }

    fn answer(&mut self, request: &Request, answer: Answer) -> Result<(), Box<dyn Fault>> {
        Ok(self.take_in(request, answer)?)
    }

    fn finish(self: Box<Self>) -> Result<Resolution, Box<dyn Fault>> {
        if self.results.tracks.iter().any(|track| track.end.is_none()) {
            let reason = "answers are missing".to_owned();
            return Err(PypiError::Internal { reason }.into());
        }
        Ok(assemble::resolution(&self.results)?)
    }
}
