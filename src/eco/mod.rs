//! What an ecosystem knows: pure functions that turn bytes into facts and facts into bytes. Phases (`resolve`,
//! `fetch`, `verify`, `import`) own every loop, file and message; an ecosystem may not use them.
//!
//! A further ecosystem is a folder of the same inner shape and one line in [`ALL`].

pub mod cargo;
pub mod file;
pub mod npm;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::base::digest::{Digest, Digests, UpstreamChecksum};
use crate::base::fault::{Class, Code, Fault};
use crate::base::package::{EcosystemId, Purl, ReleaseId};
use crate::base::platform::{Platform, Target};
use crate::base::time::Timestamp;
use crate::lock::{Lock, LockedPackage};
#[cfg(feature = "connected")]
use crate::upstream::Resolver;

/// Codes of this module.
pub const CODES: &[&Code] = &[&ECO_RECORDS, &ECO_CONFLICT];

static ECO_RECORDS: Code = Code::classed("eco-records", Class::E20);
static ECO_CONFLICT: Code = Code::classed("import-conflict", Class::E50);

/// Every ecosystem.
pub const ALL: &[&dyn Ecosystem] = &[&npm::Npm, &cargo::Cargo, &file::PlainFile];

/// The ecosystem with this id.
pub fn by_id(id: &EcosystemId) -> Option<&'static dyn Ecosystem> {
    ALL.iter().copied().find(|e| e.id() == *id)
}

/// What an ecosystem could not do with a document of ours.
#[derive(Debug, thiserror::Error)]
pub enum EcoError {
    /// The records document is not what this version of `stage` writes.
    #[error("records of {ecosystem} cannot be read: {reason}")]
    Records {
        /// The ecosystem.
        ecosystem: EcosystemId,
        /// What is wrong, escaped.
        reason: String,
    },
    /// Two bundles carry the same registry file with different bytes.
    #[error("{ecosystem} file {file} has other bytes in bundle {newer} than in bundle {older}")]
    Conflict {
        /// The ecosystem.
        ecosystem: EcosystemId,
        /// The registry file name, quoted and escaped.
        file: String,
        /// `channel serial` of the bundle imported earlier.
        older: String,
        /// `channel serial` of the bundle being imported.
        newer: String,
    },
}

impl Fault for EcoError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Records { .. } => &ECO_RECORDS,
            Self::Conflict { .. } => &ECO_CONFLICT,
        }
    }
}

/// What a release says about itself beyond the lock: feeds the SBOM and the content check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReleaseFacts {
    /// Author or publisher; `None` = not declared by the release.
    pub supplier: Option<String>,
    /// Declared license, expression or free text.
    pub license: Option<String>,
    /// One line about it.
    pub description: Option<String>,
    /// Home page.
    pub homepage: Option<String>,
    /// Source repository.
    pub repository: Option<String>,
    /// Checksums of its files by file name, as the records state them.
    pub files: BTreeMap<String, UpstreamChecksum>,
}

/// One install to resolve.
#[derive(Debug, Clone)]
pub struct InstallRequest {
    /// Number of the install within the ecosystem, from 1.
    pub number: u32,
    /// Requirements as the manifest has them.
    pub requirements: Vec<String>,
    /// Requirements that are for some platforms of the target only, by their text; the others are for all.
    pub only_for: BTreeMap<String, Vec<Platform>>,
    /// Versions to prefer where a range allows them, by name: those of the lock that is being resolved again.
    pub prefer: BTreeMap<String, BTreeSet<String>>,
    /// Bytes of a client lock file to take instead of requirements.
    pub lockfile: Option<Vec<u8>>,
    /// Dependency kinds to include, such as `prod`, `optional`, `peer`, `dev`.
    pub include: Vec<String>,
    /// The enclave host.
    pub target: Target,
    /// Releases published later (or without a time) do not exist.
    pub exclude_newer: Option<Timestamp>,
}

/// A file of the internal repository, relative to its generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoFile {
    /// Such as `npm/left-pad/index.html`. Segments never are empty, `.` or `..`.
    pub path: String,
    /// Its content.
    pub content: RepoContent,
}

/// Content of a [`RepoFile`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepoContent {
    /// Rendered bytes.
    Bytes(Vec<u8>),
    /// A blob of the store, by its SHA-256.
    Blob(Digest),
    /// Blobs of the store, joined in order (a file of 4 GiB or more is carried in parts).
    Joined {
        /// SHA-256 of the whole, which the joined bytes must have.
        whole: Digest,
        /// The parts in order.
        parts: Vec<Digest>,
    },
}

/// One imported bundle as rendering sees it.
#[derive(Debug, Clone)]
pub struct BundleView<'a> {
    /// Channel of the bundle.
    pub channel: &'a str,
    /// Epoch of the bundle; within a channel, the later bundle is the one with the higher epoch, then serial.
    pub epoch: u64,
    /// Serial of the bundle.
    pub serial: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Its lock.
    pub lock: &'a Lock,
    /// Its records of this ecosystem; empty when it has none.
    pub records: &'a [u8],
    /// Digests of every blob under `artifacts/<this ecosystem>/`, by path below that folder.
    pub artifacts: &'a BTreeMap<String, Digests>,
}

/// What rendering is given: the union of imported bundles, oldest `created` first (ties: channel, serial), and the
/// address the tree will be served at, without a slash at the end.
#[derive(Debug, Clone)]
pub struct RepoView<'a> {
    /// Bundles of the union.
    pub bundles: &'a [BundleView<'a>],
    /// For example `http://127.0.0.1:8080`.
    pub base_url: &'a str,
}

/// A client configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClientFile {
    /// Client, such as `npm`.
    pub client: String,
    /// Where it goes, relative to the account's home directory.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// The knowledge of one ecosystem.
pub trait Ecosystem: Sync {
    /// Its id in manifests, locks, paths and JSON.
    fn id(&self) -> EcosystemId;

    /// Package URL of a release.
    fn purl(&self, release: &ReleaseId) -> Purl;

    /// What the records say about each release.
    fn facts(&self, records: &[u8]) -> Result<BTreeMap<ReleaseId, ReleaseFacts>, EcoError>;

    /// One records document for several installs of the same ecosystem. Where `kept` (the previous lock's document) has
    /// a release with the same files, its entry stays as it was.
    #[cfg(feature = "connected")]
    fn merge_records(&self, parts: &[Vec<u8>], kept: Option<&[u8]>) -> Result<Vec<u8>, EcoError>;

    /// The registry tree for the union of bundles, without `pins` and `bootstrap`.
    fn render(&self, view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError>;

    /// Exact client locks of one bundle, relative to `pins/<channel>/<serial>/`.
    fn pins(&self, bundle: &BundleView<'_>, base_url: &str) -> Result<Vec<RepoFile>, EcoError>;

    /// Client configuration for a repository at `base_url`.
    fn client_files(&self, base_url: &str) -> Vec<ClientFile>;

    /// Scripts and pages with which a host that has nothing gets its first client, relative to `bootstrap/`.
    fn bootstrap(&self, view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError>;

    /// Checks that every edge of every carried package is satisfied inside the lock, for each of its platforms.
    /// Returns one sentence per edge that is not. Independent of the resolver.
    #[cfg(feature = "connected")]
    fn check_closure(
        &self,
        lock: &Lock,
        records: &[u8],
        platform: Platform,
    ) -> Result<Vec<OpenEdge>, EcoError>;

    /// A resolver for one install.
    #[cfg(feature = "connected")]
    fn resolver(&self, request: InstallRequest) -> Result<Box<dyn Resolver>, Box<dyn Fault>>;
}

/// An edge that leads to nothing in the lock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenEdge {
    /// The release that needs something.
    pub from: ReleaseId,
    /// Name that is needed.
    pub name: String,
    /// Versions that would do, as the release writes it.
    pub range: String,
    /// Kind of the edge, such as `prod`, `optional`, `peer`.
    pub kind: &'static str,
}

/// The packages of `lock` that belong to `ecosystem` and are carried for `platform`.
pub fn carried<'a>(
    lock: &'a Lock,
    ecosystem: &'a EcosystemId,
    platform: Platform,
) -> impl Iterator<Item = &'a LockedPackage> {
    lock.of(ecosystem)
        .filter(move |p| p.platforms.contains(&platform))
}
