//! Resolves one install of crates. `cargo install --locked` takes the `Cargo.lock` that a crate carries, and so does
//! this: first the index says which version of each wanted crate it is, then its file is opened for the lock, then the
//! index is asked for every locked crate. Nothing is solved here. All crates of a lock are carried, those for other
//! platforms too, since cargo wants them in the index before it looks at the platform.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::digest::UpstreamChecksum;
use crate::base::fault::Fault;
use crate::base::limits::LIMITS;
use crate::base::package::ReleaseId;
use crate::base::platform::Target;
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::eco::cargo::archive::{self, Inside};
use crate::eco::cargo::assemble;
use crate::eco::cargo::fault::CargoError;
use crate::eco::cargo::index::{self, IndexVersion};
use crate::eco::cargo::lockfile::{self, LockedCrates};
use crate::eco::cargo::pick::{Limits, Wish};
use crate::eco::cargo::{INDEX_CONFIG, UPSTREAM, crate_path, download, index_path};
use crate::eco::preference::Preference;
use crate::upstream::{Answer, Link, Request, Resolution, Resolver, UpstreamError, Want};

/// One install of crates.
#[derive(Debug, Clone)]
pub struct CargoRequest {
    /// Number of the install within the ecosystem, from 1.
    pub number: u32,
    /// Crates as the manifest has them: `name`, `name@1.2.3` or `name@^1.2`.
    pub packages: Vec<String>,
    /// Bytes of the user's `Cargo.lock`. With it, `packages` are crates that it is the lock of, and are carried too.
    pub lockfile: Option<Vec<u8>>,
    /// The enclave host.
    pub target: Target,
    /// Versions published later (or at an unknown time) do not exist.
    pub exclude_newer: Option<Timestamp>,
    /// Versions to take before others, where the requirement allows them.
    pub prefer: Preference,
}

/// A resolver for one install.
pub fn resolver(request: CargoRequest) -> Result<Box<dyn Resolver>, Box<dyn Fault>> {
    Ok(Box::new(CargoResolver::new(request)?))
}

/// What a request is for.
#[derive(Debug)]
enum Subject {
    /// Where the index keeps its downloads.
    Config,
    /// The index file of a wanted crate.
    Wished(String),
    /// The file of a chosen release.
    Crate(ReleaseId),
    /// The index file of crates that lock files name: name and versions.
    Locked(String, BTreeSet<String>),
}

/// What is known once every answer has come.
#[derive(Debug)]
pub(crate) struct Known {
    /// What was asked for.
    pub(crate) request: CargoRequest,
    /// The wanted releases, each with the requirement it came from.
    pub(crate) chosen: BTreeMap<ReleaseId, String>,
    /// What the index says of each release.
    pub(crate) index: BTreeMap<ReleaseId, IndexVersion>,
    /// What is inside the files of the wanted releases; empty with a lock file of the user.
    pub(crate) inside: BTreeMap<ReleaseId, Inside>,
    /// Lock files by the release they come with; `None` for the user's.
    pub(crate) locks: BTreeMap<Option<ReleaseId>, LockedCrates>,
}

struct CargoResolver {
    known: Known,
    wishes: Vec<Wish>,
    fresh: Vec<Request>,
    open: BTreeMap<String, Subject>,
    /// What the index says of its downloads.
    config: Option<Vec<u8>>,
    /// Chosen releases whose files are to be opened.
    unopened: BTreeSet<ReleaseId>,
    /// Whether the crates of the lock files were asked for.
    has_asked_locked: bool,
}

/// Asks where an index keeps its downloads.
pub(crate) fn index_config() -> Request {
    Request {
        upstream: UPSTREAM.to_owned(),
        path: INDEX_CONFIG.to_owned(),
        accept: None,
        limit: LIMITS.metadata,
        want: Want::Document,
        link: None,
    }
}

impl CargoResolver {
    fn new(request: CargoRequest) -> Result<Self, CargoError> {
        let wishes: Vec<Wish> = request
            .packages
            .iter()
            .map(|text| Wish::parse(text))
            .collect::<Result<_, _>>()?;
        let mut locks = BTreeMap::new();
        if let Some(bytes) = &request.lockfile {
            locks.insert(None, lockfile::parse("the project", bytes)?);
        }
        let mut resolver = Self {
            known: Known {
                request,
                chosen: BTreeMap::new(),
                index: BTreeMap::new(),
                inside: BTreeMap::new(),
                locks,
            },
            wishes,
            fresh: Vec::new(),
            open: BTreeMap::new(),
            config: None,
            unopened: BTreeSet::new(),
            has_asked_locked: false,
        };
        if resolver.known.request.lockfile.is_none() {
            resolver
                .open
                .insert(INDEX_CONFIG.to_owned(), Subject::Config);
            resolver.fresh.push(index_config());
        }
        let names: BTreeSet<String> = resolver.wishes.iter().map(|w| w.name.clone()).collect();
        for name in names {
            resolver.ask(index_path(&name), Subject::Wished(name));
        }
        resolver.advance();
        Ok(resolver)
    }

    fn ask(&mut self, path: String, subject: Subject) {
        self.open.insert(path.clone(), subject);
        self.fresh.push(Request {
            path,
            ..index_config()
        });
    }

    /// Asks for the files of chosen releases, once it is known where they are.
    fn open_chosen(&mut self) -> Result<(), CargoError> {
        let Some(config) = &self.config else {
            return Ok(());
        };
        for id in std::mem::take(&mut self.unopened) {
            let (path, checksum) = (crate_path(&id), self.known.checksum(&id)?);
            let href = download::locate(config, &path, &checksum);
            let href = href.ok_or_else(|| CargoError::Index {
                name: quoted(INDEX_CONFIG),
                reason: "it does not say where crates are".to_owned(),
            })?;
            let page = INDEX_CONFIG.to_owned();
            self.open.insert(path.clone(), Subject::Crate(id));
            self.fresh.push(Request {
                path,
                limit: LIMITS.artifact,
                want: Want::Artifact(checksum),
                link: Some(Link { page, href }),
                ..index_config()
            });
        }
        Ok(())
    }

    /// Once every wanted crate is known and opened, asks for those that the lock files name.
    fn advance(&mut self) {
        if !self.open.is_empty() || self.has_asked_locked {
            return;
        }
        self.has_asked_locked = true;
        let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for id in self
            .known
            .locks
            .values()
            .flat_map(|lock| lock.crates.keys())
        {
            if !self.known.index.contains_key(id) {
                let versions = wanted.entry(id.name.clone()).or_default();
                versions.insert(id.version.clone());
            }
        }
        for (name, versions) in wanted {
            let path = index_path(&name);
            self.ask(path, Subject::Locked(name, versions));
        }
    }

    fn take_in(&mut self, request: &Request, answer: Answer) -> Result<(), CargoError> {
        match self.open.remove(&request.path) {
            Some(Subject::Config) => {
                self.config = Some(index_file(INDEX_CONFIG, "the manifest", answer)?);
            }
            Some(Subject::Wished(name)) => {
                let file = index_file(&name, "the manifest", answer)?;
                self.choose(&name, &file)?;
            }
            Some(Subject::Crate(id)) => {
                let inside = archive::look(&id, answer?.into_source())?;
                if let Some(bytes) = &inside.lockfile {
                    let lock = lockfile::parse(&id.to_string(), bytes)?;
                    if !lock.own.contains_key(&id) {
                        let of = escaped(&id.to_string());
                        let reason = "it does not name the crate it comes with".to_owned();
                        return Err(CargoError::Lockfile { of, reason });
                    }
                    self.known.locks.insert(Some(id.clone()), lock);
                }
                self.known.inside.insert(id, inside);
            }
            Some(Subject::Locked(name, versions)) => {
                let file = index_file(&name, "Cargo.lock", answer)?;
                self.learn(&name, &file, &versions)?;
            }
            None => {}
        }
        self.open_chosen()?;
        self.advance();
        Ok(())
    }

    /// Takes the versions of a crate that its requirements mean, and asks for their files.
    fn choose(&mut self, name: &str, file: &[u8]) -> Result<(), CargoError> {
        let listed = index::list(name, file).map_err(|e| unreadable(name, &e))?;
        let own: Option<BTreeSet<String>> = self.known.locks.get(&None).map(|lock| {
            let same = lock.own.keys().filter(|id| id.name == name);
            same.map(|id| id.version.clone()).collect()
        });
        let limits = Limits {
            exclude_newer: self.known.request.exclude_newer,
            prefer: Some(&self.known.request.prefer),
            only: own.as_ref(),
        };
        let mut versions = BTreeMap::new();
        for wish in self.wishes.iter().filter(|wish| wish.name == name) {
            versions.insert(wish.pick(&listed, limits)?, wish.text.clone());
        }
        self.learn(name, file, &versions.keys().cloned().collect())?;
        for (version, text) in versions {
            let id = ReleaseId::new(name, version);
            if self.known.request.lockfile.is_none() {
                self.unopened.insert(id.clone());
            }
            self.known.chosen.insert(id, text);
        }
        Ok(())
    }

    /// Keeps what an index file says of these versions, each of which must be in it.
    fn learn(
        &mut self,
        name: &str,
        file: &[u8],
        versions: &BTreeSet<String>,
    ) -> Result<(), CargoError> {
        let mut found = index::read(name, file, versions).map_err(|e| unreadable(name, &e))?;
        for version in versions {
            let id = ReleaseId::new(name, version);
            let line = found.remove(version).ok_or_else(|| CargoError::NoVersion {
                name: escaped(name),
                wanted: quoted(version),
                reason: "the index does not have it".to_owned(),
                needed_by: self.known.needed_by(&id),
            })?;
            self.known.index.insert(id, line);
        }
        Ok(())
    }
}

impl Known {
    /// What confirms the file of a release that the index knows.
    pub(crate) fn checksum(&self, id: &ReleaseId) -> Result<UpstreamChecksum, CargoError> {
        let stated = self.index.get(id).and_then(IndexVersion::checksum);
        stated
            .map(UpstreamChecksum::Sha256)
            .ok_or_else(|| CargoError::Index {
                name: quoted(&id.name),
                reason: format!("version {} has no SHA-256", escaped(&id.version)),
            })
    }

    /// Whose lock file names a release.
    pub(crate) fn needed_by(&self, id: &ReleaseId) -> String {
        let owner = self
            .locks
            .iter()
            .find(|(_, lock)| lock.crates.contains_key(id));
        match owner {
            Some((Some(of), _)) => format!("the Cargo.lock of {}", escaped(&of.to_string())),
            Some((None, _)) => "the project's Cargo.lock".to_owned(),
            None => "the manifest".to_owned(),
        }
    }
}

fn unreadable(name: &str, error: &index::IndexError) -> CargoError {
    CargoError::Index {
        name: quoted(name),
        reason: error.to_string(),
    }
}

/// The bytes of an index file.
fn index_file(name: &str, needed_by: &str, answer: Answer) -> Result<Vec<u8>, CargoError> {
    match answer {
        Ok(content) => content.into_bytes().map_err(|e| CargoError::Index {
            name: quoted(name),
            reason: escaped(&e.to_string()),
        }),
        Err(UpstreamError::NotFound { .. }) => Err(CargoError::NotFound {
            name: quoted(name),
            needed_by: needed_by.to_owned(),
        }),
        Err(error) => Err(error.into()),
    }
}

impl Resolver for CargoResolver {
    fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.fresh)
    }

    fn answer(&mut self, request: &Request, answer: Answer) -> Result<(), Box<dyn Fault>> {
        Ok(self.take_in(request, answer)?)
    }

    fn finish(self: Box<Self>) -> Result<Resolution, Box<dyn Fault>> {
        if !self.open.is_empty() {
            let reason = "answers are missing".to_owned();
            return Err(CargoError::Internal { reason }.into());
        }
        Ok(assemble::resolution(&self.known)?)
    }
}
