//! Resolves one install of Debian packages: a signed release per suite, its signature and times judged against pinned
//! keys, then the indexes it lists, each by digest, then what `apt-get install` would take from them per platform.
//! Nothing is read of a release or index before its signature or digest held.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::fault::Fault;
use crate::base::limits::LIMITS;
use crate::base::package::EcosystemId;
use crate::base::platform::{Platform, Target};
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::eco::debian::fault::DebianError;
use crate::eco::debian::index::Index;
use crate::eco::debian::records::{self, DebianRecords, SignedRelease};
use crate::eco::debian::release::{self, Release};
use crate::eco::debian::solve::Wish;
use crate::eco::debian::{architecture, assemble, is_name, is_version};
use crate::eco::install::Previous;
use crate::eco::preference::Preference;
use crate::lock::{LockedInput, LockedPackage};
use crate::openpgp::keyring::Keyring;
use crate::openpgp::{Signer, verify};
use crate::upstream::{Answer, Request, Resolution, Resolver, UpstreamError, Want};

/// Most bytes of a signed release.
const RELEASE_LIMIT: u64 = crate::openpgp::MESSAGE_LIMIT as u64;

/// One archive with the suites that are wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Name of its upstream.
    pub upstream: String,
    /// Suites, in apt's order.
    pub suites: Vec<String>,
    /// Components, in apt's order.
    pub components: Vec<String>,
    /// Architectures it is asked for; empty = those of the target.
    pub architectures: Vec<String>,
    /// Keyrings whose keys may sign its releases, binary or armoured.
    pub keys: Vec<Vec<u8>>,
}

/// What is on the target already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Baseline {
    /// Nothing assumed, nothing added.
    None,
    /// Nothing assumed; the Essential set and apt are added.
    Essential,
    /// What a `dpkg/status` has.
    Status {
        /// Name of the file, for the lock.
        name: String,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

/// The lock that is being resolved again.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// Its inputs of this install.
    pub inputs: Vec<LockedInput>,
    /// Its Debian packages.
    pub packages: Vec<LockedPackage>,
    /// Its records; empty when they are not whole.
    pub records: Option<DebianRecords>,
}

/// One install of Debian packages.
#[derive(Debug, Clone)]
pub struct DebianRequest {
    /// Number of the install within the ecosystem, from 1.
    pub number: u32,
    /// Archives in apt's order.
    pub archives: Vec<Archive>,
    /// What is wanted, and for which platforms (none = all).
    pub wishes: Vec<(Wish, Vec<Platform>)>,
    /// Whether `Recommends` are followed.
    pub recommends: bool,
    /// What is there already.
    pub baseline: Baseline,
    /// The enclave host.
    pub target: Target,
    /// Whether the manifest has `exclude-newer`, which archives give no times for.
    pub has_age_limit: bool,
    /// Versions to take before others, where an archive has them.
    pub prefer: Preference,
    /// The previous lock.
    pub previous: Before,
    /// The time now, for what expires.
    pub now: Timestamp,
}

/// A resolver for one install.
pub fn resolver(request: DebianRequest) -> Result<Box<dyn Resolver>, Box<dyn Fault>> {
    Ok(Box::new(DebianResolver::new(request)?))
}

/// What an install needs to know of the previous lock.
pub(crate) fn previous(given: Option<Previous<'_>>, number: u32) -> Result<Before, Box<dyn Fault>> {
    let Some(given) = given else {
        return Ok(Before::default());
    };
    let debian = EcosystemId::debian();
    let inputs = given.lock.inputs.iter();
    Ok(Before {
        inputs: inputs
            .filter(|i| i.ecosystem == debian && i.install == number)
            .cloned()
            .collect(),
        packages: given.lock.of(&debian).cloned().collect(),
        records: given.records.map(records::parse).transpose()?,
    })
}

/// A requirement: `name`, `name=version`, `name:arch` or `name:arch=version`.
pub fn wish(text: &str) -> Result<Wish, DebianError> {
    let fail = || DebianError::Requirement { text: quoted(text) };
    let (name, version) = match text.split_once('=') {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    };
    let (name, arch) = match name.split_once(':') {
        Some((name, arch)) => (name, Some(arch)),
        None => (name, None),
    };
    let fine = is_name(name) && version.is_none_or(is_version) && arch.is_none_or(records::is_arch);
    if !fine {
        return Err(fail());
    }
    Ok(Wish {
        name: name.to_owned(),
        version: version.map(str::to_owned),
        arch: arch.map(str::to_owned),
    })
}

/// One suite of one archive.
#[derive(Debug)]
pub(crate) struct Suite {
    /// Name of the upstream.
    pub(crate) upstream: String,
    /// Name of the suite.
    name: String,
    components: Vec<String>,
    architectures: Vec<String>,
    keyring: Keyring,
    /// A bare release and its signature, while the other one is under way.
    bare: (Option<Vec<u8>>, Option<Vec<u8>>),
    /// What was verified.
    pub(crate) signed: Option<SignedRelease>,
    /// What it says.
    pub(crate) release: Option<Release>,
    /// Indexes that are wanted, by component and architecture (`all` too), with their text once it is there.
    indexes: Vec<(String, Index, Option<Vec<u8>>)>,
    /// Components that it has no index of, by architecture, and whether it has the architecture at all.
    pub(crate) absent: Vec<(String, String, bool)>,
}

impl Suite {
    /// Its path below the archive.
    fn folder(&self) -> String {
        format!("dists/{}", self.name)
    }

    /// Its name in locks, records and messages.
    pub(crate) fn label(&self) -> String {
        let bare = self.signed.as_ref().is_some_and(|s| s.signature.is_some());
        let file = if bare { "Release" } else { "InRelease" };
        format!("{} {}/{file}", self.upstream, self.folder())
    }

    /// Whether it has security updates: as Debian and Ubuntu call such suites, before bullseye and since.
    pub(crate) fn is_security(&self) -> bool {
        let release = self.release.as_ref();
        let own = release.map(|r| [r.suite.as_deref(), r.codename.as_deref()]);
        let names = own
            .into_iter()
            .flatten()
            .flatten()
            .chain([self.name.as_str()]);
        names
            .into_iter()
            .any(|name| name.ends_with("-security") || name.ends_with("/updates"))
    }

    /// A pinned certificate, as the records keep it.
    pub(crate) fn certificate(&self, fingerprint: &str) -> Option<String> {
        let bytes = self.keyring.certificate(fingerprint)?;
        Some(data_encoding::BASE64.encode(&bytes))
    }

    /// The texts of the indexes for an architecture with their paths, in apt's order.
    pub(crate) fn texts(&self, arch: &str) -> impl Iterator<Item = (&str, &[u8])> {
        let of =
            move |found: &&(String, Index, Option<Vec<u8>>)| found.0 == arch || found.0 == "all";
        self.indexes
            .iter()
            .filter(of)
            .filter_map(|(_, index, text)| Some((index.path.as_str(), text.as_deref()?)))
    }
}

/// What a request is for.
#[derive(Debug, Clone, Copy)]
enum Subject {
    InRelease(usize),
    Release(usize),
    Signature(usize),
    /// Suite, place among its indexes, and whether it was asked for by its digest.
    Index(usize, usize, bool),
}

struct DebianResolver {
    request: DebianRequest,
    suites: Vec<Suite>,
    fresh: Vec<Request>,
    open: BTreeMap<(String, String), Subject>,
}

impl DebianResolver {
    fn new(request: DebianRequest) -> Result<Self, DebianError> {
        let mut resolver = Self {
            suites: suites(&request.archives)?,
            request,
            fresh: Vec::new(),
            open: BTreeMap::new(),
        };
        for number in 0..resolver.suites.len() {
            resolver.ask(
                number,
                "InRelease",
                Want::Document,
                Subject::InRelease(number),
            );
        }
        Ok(resolver)
    }

    fn ask(&mut self, suite: usize, file: &str, want: Want, subject: Subject) {
        let Some(found) = self.suites.get(suite) else {
            return;
        };
        let (upstream, path) = (found.upstream.clone(), format!("{}/{file}", found.folder()));
        let limit = match subject {
            Subject::Index(..) => LIMITS.metadata,
            Subject::InRelease(_) | Subject::Release(_) | Subject::Signature(_) => RELEASE_LIMIT,
        };
        self.open.insert((upstream.clone(), path.clone()), subject);
        self.fresh.push(Request {
            upstream,
            path,
            accept: None,
            limit,
            want,
            link: None,
        });
    }

    fn take_in(&mut self, request: &Request, answer: Answer) -> Result<(), DebianError> {
        let key = (request.upstream.clone(), request.path.clone());
        let unasked = || DebianError::internal(format!("{} was not asked for", escaped(&key.1)));
        let subject = self.open.remove(&key).ok_or_else(unasked)?;
        let missing = matches!(answer, Err(UpstreamError::NotFound { .. }));
        match subject {
            Subject::InRelease(suite) if missing => {
                self.ask(suite, "Release", Want::Document, Subject::Release(suite));
                self.ask(
                    suite,
                    "Release.gpg",
                    Want::Document,
                    Subject::Signature(suite),
                );
                Ok(())
            }
            Subject::InRelease(suite) => {
                let bytes = bytes(answer)?;
                self.signed(suite, |s, now| s.take_inline(bytes, now))
            }
            Subject::Release(suite) | Subject::Signature(suite) if missing => {
                let release = self.suites.get(suite).map(Suite::label);
                let release = release.unwrap_or_default();
                Err(DebianError::NoRelease { release })
            }
            Subject::Release(suite) => {
                let bytes = bytes(answer)?;
                self.signed(suite, |s, now| s.take_bare((Some(bytes), None), now))
            }
            Subject::Signature(suite) => {
                let bytes = bytes(answer)?;
                self.signed(suite, |s, now| s.take_bare((None, Some(bytes)), now))
            }
            Subject::Index(suite, index, true) if missing => {
                let found = self.suites.get(suite).and_then(|s| s.indexes.get(index));
                let file = found.map(|(_, index, _)| index.file()).unwrap_or_default();
                self.ask(
                    suite,
                    &file,
                    Want::Document,
                    Subject::Index(suite, index, false),
                );
                Ok(())
            }
            Subject::Index(suite, index, by_hash) => {
                let bytes = bytes(answer)?;
                self.index(suite, index, by_hash, bytes)
            }
        }
    }

    /// Takes in an index. A damaged file in a cache on the way must not stay in the way for ever: what came by its
    /// digest and is not it is asked for again by its name.
    fn index(
        &mut self,
        suite: usize,
        index: usize,
        by_hash: bool,
        bytes: Vec<u8>,
    ) -> Result<(), DebianError> {
        let gone = || DebianError::internal("an index that nobody asked for");
        let found = self.suites.get_mut(suite).ok_or_else(gone)?;
        let label = found.label();
        let (_, wanted, text) = found.indexes.get_mut(index).ok_or_else(gone)?;
        match wanted.open(&label, bytes) {
            Ok(opened) => *text = Some(opened),
            Err(_damaged) if by_hash => {
                let file = wanted.file();
                let subject = Subject::Index(suite, index, false);
                self.ask(suite, &file, Want::Document, subject);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes in a part of a signed release; once it is verified, asks for its indexes.
    fn signed(
        &mut self,
        number: usize,
        take: impl FnOnce(&mut Suite, Timestamp) -> Result<(), DebianError>,
    ) -> Result<(), DebianError> {
        let now = self.request.now;
        let Some(suite) = self.suites.get_mut(number) else {
            return Ok(());
        };
        take(suite, now)?;
        let Some(release) = &suite.release else {
            return Ok(());
        };
        let by_hash = release.by_hash;
        suite.check_age(&self.request.previous.inputs)?;
        suite.choose_indexes(&self.request.target);
        let wanted: Vec<(usize, String)> = suite
            .indexes
            .iter()
            .map(|(_, index, _)| {
                if by_hash {
                    index.by_hash()
                } else {
                    index.file()
                }
            })
            .enumerate()
            .collect();
        for (index, file) in wanted {
            let want = if by_hash {
                Want::Immutable
            } else {
                Want::Document
            };
            self.ask(number, &file, want, Subject::Index(number, index, by_hash));
        }
        Ok(())
    }
}

impl Suite {
    fn take_inline(&mut self, bytes: Vec<u8>, now: Timestamp) -> Result<(), DebianError> {
        let signed = verify::cleartext(&bytes, &self.keyring, now).map_err(|cause| {
            DebianError::Signature {
                release: self.label(),
                cause,
            }
        })?;
        let whole = String::from_utf8(bytes).map_err(|_bad| DebianError::internal("not UTF-8"))?;
        self.verified(&signed.text, whole, None, &signed.signers, now)
    }

    fn take_bare(
        &mut self,
        part: (Option<Vec<u8>>, Option<Vec<u8>>),
        now: Timestamp,
    ) -> Result<(), DebianError> {
        self.bare.0 = part.0.or(self.bare.0.take());
        self.bare.1 = part.1.or(self.bare.1.take());
        let (Some(text), Some(signature)) = (&self.bare.0, &self.bare.1) else {
            return Ok(());
        };
        let signers = verify::detached(text, signature, &self.keyring, now).map_err(|cause| {
            DebianError::Signature {
                release: self.label(),
                cause,
            }
        })?;
        let fail = || DebianError::Release {
            release: self.label(),
            reason: "it is not UTF-8".to_owned(),
        };
        let text = String::from_utf8(text.clone()).map_err(|_bad| fail())?;
        let signature = String::from_utf8(signature.clone())
            .unwrap_or_else(|binary| data_encoding::BASE64.encode(binary.as_bytes()));
        self.verified(&text.clone(), text, Some(signature), &signers, now)
    }

    /// Reads what was signed and judges its names and times.
    fn verified(
        &mut self,
        text: &str,
        whole: String,
        signature: Option<String>,
        signers: &[Signer],
        now: Timestamp,
    ) -> Result<(), DebianError> {
        let label = self.label();
        let fail = |reason: String| DebianError::Release {
            release: label.clone(),
            reason,
        };
        let release = release::parse(text).map_err(fail)?;
        if !release.is(&self.name) {
            let found = [release.suite.as_deref(), release.codename.as_deref()];
            let found: Vec<String> = found.into_iter().flatten().map(quoted).collect();
            let (found, asked) = (found.join(" or "), quoted(&self.name));
            return Err(fail(format!("it is of {found}, not of {asked}")));
        }
        if let Some(until) = release.valid_until.filter(|until| *until < now) {
            return Err(DebianError::Expired {
                release: label,
                until: until.to_string(),
            });
        }
        if release.date > now {
            return Err(fail(format!(
                "its date {} lies in the future",
                release.date
            )));
        }
        let signers: BTreeSet<String> = signers.iter().map(|s| s.certificate.to_string()).collect();
        self.signed = Some(SignedRelease {
            text: whole,
            signature,
            date: release.date,
            signers: signers.into_iter().collect(),
        });
        self.release = Some(release);
        Ok(())
    }

    /// A release never goes back behind the one in the lock.
    fn check_age(&self, inputs: &[LockedInput]) -> Result<(), DebianError> {
        let (Some(signed), folder) = (&self.signed, self.folder()) else {
            return Ok(());
        };
        let names = ["InRelease", "Release"].map(|f| format!("{} {folder}/{f}", self.upstream));
        let known = inputs
            .iter()
            .filter(|i| names.contains(&i.name))
            .filter_map(|i| i.date);
        match known.max().filter(|known| signed.date < *known) {
            Some(known) => Err(DebianError::Rollback {
                release: self.label(),
                expected: known.to_string(),
                found: signed.date.to_string(),
            }),
            None => Ok(()),
        }
    }

    /// The indexes of every component: of each architecture, and of `all` where the archive keeps them apart. What is
    /// not listed is skipped with a finding, as apt skips it with a warning: sources for one architecture are common.
    fn choose_indexes(&mut self, target: &Target) {
        let Some(release) = &self.release else {
            return;
        };
        let wanted = target.platforms.iter().map(|p| architecture(*p));
        let limited = |arch: &&str| {
            self.architectures.is_empty() || self.architectures.iter().any(|a| a == arch)
        };
        let archs: Vec<&str> = wanted.filter(limited).collect();
        let (mut found, mut absent) = (Vec::new(), Vec::new());
        for component in &self.components {
            for arch in &archs {
                if let Some(index) = Index::choose(release, component, arch) {
                    found.push(((*arch).to_owned(), index, None));
                    continue;
                }
                let listed = &release.architectures;
                let known = listed.is_empty() || listed.iter().any(|a| a == arch);
                absent.push((component.clone(), (*arch).to_owned(), known));
            }
            if !release.all_in_each && !archs.is_empty() {
                let all = Index::choose(release, component, "all");
                found.extend(all.map(|index| ("all".to_owned(), index, None)));
            }
        }
        self.indexes = found;
        self.absent = absent;
    }
}

/// Every suite once; the same suite of the same archive in several sources is one with all components.
fn suites(archives: &[Archive]) -> Result<Vec<Suite>, DebianError> {
    let mut found: Vec<Suite> = Vec::new();
    for archive in archives {
        let keyring =
            Keyring::parse_all(&archive.keys).map_err(|cause| DebianError::Signature {
                release: archive.upstream.clone(),
                cause,
            })?;
        for name in &archive.suites {
            let same = |s: &&mut Suite| s.upstream == archive.upstream && s.name == *name;
            if let Some(known) = found.iter_mut().find(same) {
                let more = archive
                    .components
                    .iter()
                    .filter(|c| !known.components.contains(*c));
                let more: Vec<String> = more.cloned().collect();
                known.components.extend(more);
                continue;
            }
            found.push(Suite {
                upstream: archive.upstream.clone(),
                name: name.clone(),
                components: archive.components.clone(),
                architectures: archive.architectures.clone(),
                keyring: keyring.clone(),
                bare: (None, None),
                signed: None,
                release: None,
                indexes: Vec::new(),
                absent: Vec::new(),
            });
        }
    }
    Ok(found)
}

fn bytes(answer: Answer) -> Result<Vec<u8>, DebianError> {
    let content = answer?;
    let bytes = content.into_bytes();
    bytes.map_err(|e| DebianError::internal(escaped(&e.to_string())))
}

impl Resolver for DebianResolver {
    fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.fresh)
    }

    fn answer(&mut self, request: &Request, answer: Answer) -> Result<(), Box<dyn Fault>> {
        Ok(self.take_in(request, answer)?)
    }

    fn finish(self: Box<Self>) -> Result<Resolution, Box<dyn Fault>> {
        Ok(assemble::resolution(&self.request, &self.suites)?)
    }
}
