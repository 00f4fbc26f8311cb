//! What an ecosystem knows: pure functions that turn bytes into facts and facts into bytes. Phases (`resolve`,
//! `fetch`, `verify`, `import`) own every loop, file and message; an ecosystem may not use them.
//!
//! A further ecosystem is a folder of the same inner shape and one line in [`ALL`].

pub mod attestation;
pub mod bare_key;
pub mod cargo;
pub mod debian;
mod error;
pub mod file;
#[cfg(feature = "connected")]
pub mod install;
#[cfg(feature = "connected")]
pub mod interpreter;
pub mod npm;
pub mod osv;
#[cfg(feature = "connected")]
pub mod preference;
pub mod pypi;
pub mod registry_keys;
pub mod vouched;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::digest::{Digest, Digests, UpstreamChecksum};
use crate::base::fault::Fault;
use crate::base::package::{EcosystemId, Purl, ReleaseId};
use crate::base::platform::Platform;
use crate::base::time::Timestamp;
use crate::eco::osv::OsvName;
use crate::eco::vouched::{Anchors, CarriedFiles, UpstreamKeys, Vouched};
use crate::lock::{Lock, LockedPackage};
#[cfg(feature = "connected")]
use crate::{
    base::platform::Target,
    eco::attestation::{Expectation, Missing},
    eco::install::Install,
    eco::interpreter::{Interpreter, StagedInterpreter, Unfit},
    eco::vouched::Proof,
    lock::LockedArtifact,
    manifest::{Manifest, ManifestError, table::Table},
    upstream::{Request, Source, Upstream},
};

pub use crate::eco::error::{CODES, EcoError};

/// Every ecosystem.
pub const ALL: &[&dyn Ecosystem] = &[
    &npm::Npm,
    &pypi::PyPi,
    &debian::Debian,
    &cargo::Cargo,
    &file::PlainFile,
];

/// The order of two semantic versions (Semantic Versioning 2.0.0, section 11); `None` where one of them is none.
pub(crate) fn semantic_order(left: &str, right: &str) -> Option<Ordering> {
    let version = |text: &str| semver::Version::parse(text).ok();
    Some(version(left)?.cmp_precedence(&version(right)?))
}

/// The ecosystem with this id.
pub fn by_id(id: &EcosystemId) -> Option<&'static dyn Ecosystem> {
    ALL.iter().copied().find(|e| e.id() == *id)
}

/// The keys of the manifest's tables that belong to ecosystems.
pub fn sections() -> Vec<&'static str> {
    ALL.iter().map(|ecosystem| ecosystem.key()).collect()
}

/// Every install of a manifest, with its ecosystem and its number within that, from 1.
#[cfg(feature = "connected")]
pub fn installs(manifest: &Manifest) -> Result<Vec<NumberedInstall>, ManifestError> {
    let mut installs = Vec::new();
    for ecosystem in ALL {
        let tables = manifest.tables(ecosystem.key())?;
        let found = ecosystem.installs(tables, &manifest.target)?;
        let numbered = found.into_iter().zip(1u32..);
        installs.extend(numbered.map(|(install, number)| (ecosystem.id(), number, install)));
    }
    Ok(installs)
}

/// An install with its ecosystem and its number within that, from 1.
#[cfg(feature = "connected")]
pub type NumberedInstall = (EcosystemId, u32, Box<dyn Install>);

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
    /// When it was published, as its registry states it; `None` = not said of one of its files, or not at all.
    pub published: Option<Timestamp>,
    /// Checksums of its files by file name, as the records state them.
    pub files: BTreeMap<String, UpstreamChecksum>,
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

/// Signs the index of an apt repository. The key is not of this module: `cli` holds it, or a command that does.
pub trait ReleaseSigner: Sync + std::fmt::Debug {
    /// `text` as a cleartext signed message, and a detached signature over it.
    fn sign(&self, text: &str, at: Timestamp) -> Result<SignedIndex, Box<dyn Fault>>;

    /// The armoured certificate that clients verify with.
    fn certificate(&self) -> Result<String, Box<dyn Fault>>;
}

/// What a [`ReleaseSigner`] makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIndex {
    /// `InRelease`; a signing command may not make one.
    pub inline: Option<String>,
    /// `Release.gpg`, armoured; likewise. At least one of the two is there.
    pub detached: Option<String>,
}

/// What a rendered tree is published with.
#[derive(Debug, Clone, Copy)]
pub struct Publishing<'a> {
    /// The time of the generation: never before that of the one that it replaces.
    pub date: Timestamp,
    /// Signs what clients want signed.
    pub signer: &'a dyn ReleaseSigner,
}

/// What client configuration is made for.
#[derive(Debug, Clone, Copy)]
pub struct ClientSetup<'a> {
    /// Address of the repository.
    pub base_url: &'a str,
    /// Suites of the published apt repository: the channels that carry Debian packages.
    pub suites: &'a [String],
    /// Armoured certificate of the published apt repository.
    pub apt_key: Option<&'a str>,
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

/// A form in which `stage export` writes exact pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportForm {
    /// Its name on the command line; no two ecosystems share one.
    pub name: &'static str,
    /// A few words for the help: the file and the client that takes it.
    pub about: &'static str,
}

/// What is exported.
#[derive(Debug, Clone, Copy)]
pub struct ExportRequest<'a> {
    /// Name of the [`ExportForm`].
    pub form: &'a str,
    /// The lock.
    pub lock: &'a Lock,
    /// Its records of this ecosystem.
    pub records: &'a [u8],
    /// Number of the install, from 1.
    pub install: u32,
    /// The platform, for pins that differ between platforms; `None` = the only one.
    pub platform: Option<Platform>,
    /// Address of a repository without a slash at the end, to say where files are; `None` = the client knows.
    pub base_url: Option<&'a str>,
}

/// A file that was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportedFile {
    /// Its path relative to the folder of the export.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Whether a client that has the others can do without it.
    pub optional: bool,
}

/// The ecosystem that exports in this form.
pub fn by_form(form: &str) -> Option<&'static dyn Ecosystem> {
    let knows = |e: &&dyn Ecosystem| e.export_forms().iter().any(|known| known.name == form);
    ALL.iter().copied().find(knows)
}

/// The knowledge of one ecosystem.
pub trait Ecosystem: Sync {
    /// Its id in locks, paths and JSON.
    fn id(&self) -> EcosystemId;

    /// The id as text: the key of its tables in the manifest.
    fn key(&self) -> &'static str;

    /// Package URL of a release.
    fn purl(&self, release: &ReleaseId) -> Purl;

    /// Qualifiers of a release's package URL that the lock tells, in order of their keys: for documents of others. What
    /// identifies a release here has none of them.
    fn purl_qualifiers(
        &self,
        _lock: &Lock,
        _package: &LockedPackage,
    ) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// A name as it is compared: one of the ways in which it may be written. `*` in it stays.
    fn normalized(&self, name: &str) -> String {
        name.to_owned()
    }

    /// How two versions stand to one another; `None` where one of them is none.
    fn order(&self, _left: &str, _right: &str) -> Option<Ordering> {
        None
    }

    /// What the records say about each release.
    fn facts(&self, records: &[u8]) -> Result<BTreeMap<ReleaseId, ReleaseFacts>, EcoError>;

    /// Names under which databases of advisories have these releases; none where no database knows them.
    fn osv_names(
        &self,
        _packages: &[&LockedPackage],
        _records: &[u8],
    ) -> Result<Vec<OsvName>, EcoError> {
        Ok(Vec::new())
    }

    /// A name in a database of advisories as it is compared.
    fn osv_key(&self, name: &str) -> String {
        self.normalized(name)
    }

    /// What the signatures in the records say about the files of releases. `keys` are those of registries, where the
    /// records do not name keys that are pinned.
    fn vouched(&self, _records: &[u8], _keys: &UpstreamKeys) -> Result<Vouched, EcoError> {
        Ok(Vouched::new())
    }

    /// The same, proved again from the records and what travels beside them, with nothing taken on trust.
    fn prove(
        &self,
        records: &[u8],
        _files: &dyn CarriedFiles,
        anchors: &Anchors,
    ) -> Result<Vouched, EcoError> {
        self.vouched(records, &anchors.keys)
    }

    /// What has to travel beside the records so that they can be proved.
    #[cfg(feature = "connected")]
    fn proofs(&self, _records: &[u8], _at: Timestamp) -> Result<Vec<Proof>, EcoError> {
        Ok(Vec::new())
    }

    /// Asks for what is expected to attest releases, and puts it into the records; and what there is none of.
    #[cfg(feature = "connected")]
    fn attest(
        &self,
        records: &[u8],
        _expected: &[Expectation],
        _upstream: &mut dyn Upstream,
    ) -> Result<(Vec<u8>, Vec<Missing>), EcoError> {
        Ok((records.to_vec(), Vec::new()))
    }

    /// One records document for several installs of the same ecosystem. Where `kept` (the previous lock's document) has
    /// a release with the same files, its entry stays as it was.
    #[cfg(feature = "connected")]
    fn merge_records(&self, parts: &[Vec<u8>], kept: Option<&[u8]>) -> Result<Vec<u8>, EcoError>;

    /// The records without the releases that are `blocked`, for ecosystems whose trees show more than what locks carry.
    fn records_without(
        &self,
        records: &[u8],
        _blocked: &dyn Fn(&ReleaseId) -> bool,
    ) -> Result<Vec<u8>, EcoError> {
        Ok(records.to_vec())
    }

    /// The registry tree for the union of bundles, without `pins` and `bootstrap`.
    fn render(&self, view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError>;

    /// The same tree with what only publishing knows: dates and signatures.
    fn publish(
        &self,
        files: Vec<RepoFile>,
        _publishing: &Publishing<'_>,
    ) -> Result<Vec<RepoFile>, EcoError> {
        Ok(files)
    }

    /// Exact client locks of one bundle, relative to `pins/<channel>/<serial>/`.
    fn pins(&self, bundle: &BundleView<'_>, base_url: &str) -> Result<Vec<RepoFile>, EcoError>;

    /// The forms in which it exports pins.
    fn export_forms(&self) -> &'static [ExportForm] {
        &[]
    }

    /// Pins of one install in one of [`Ecosystem::export_forms`], the most important file first.
    fn export(&self, _request: &ExportRequest<'_>) -> Result<Vec<ExportedFile>, EcoError> {
        Ok(Vec::new())
    }

    /// Client configuration for a repository at `base_url`.
    fn client_files(&self, base_url: &str) -> Vec<ClientFile>;

    /// The same for a repository that is there, of which more is known than its address.
    fn configured_clients(&self, setup: &ClientSetup<'_>) -> Vec<ClientFile> {
        self.client_files(setup.base_url)
    }

    /// Scripts and pages with which a host that has nothing gets its first client, relative to `bootstrap/`.
    fn bootstrap(&self, view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError>;

    /// Where the client unpacks the archives of a package, for looking at what the programs in them need. `None`: they
    /// hold sources, nothing that is run.
    #[cfg(feature = "connected")]
    fn unpacked(&self, _package: &LockedPackage) -> Option<Unpacked> {
        Some(Unpacked {
            roots: vec![self.key().to_owned()],
            strip: 0,
        })
    }

    /// The program that its packages run in.
    #[cfg(feature = "connected")]
    fn runs_in(&self) -> Option<Interpreter> {
        None
    }

    /// The interpreters, of whatever packages, that are among its carried packages.
    #[cfg(feature = "connected")]
    fn interpreters(&self, _lock: &Lock) -> Vec<StagedInterpreter> {
        Vec::new()
    }

    /// The carried releases that do not accept this version of the interpreter they run in.
    #[cfg(feature = "connected")]
    fn unfit(&self, _lock: &Lock, _records: &[u8], _version: &str) -> Result<Vec<Unfit>, EcoError> {
        Ok(Vec::new())
    }

    /// The document that says where an artifact is, for upstreams whose addresses do not follow from names: locks stay
    /// independent of them.
    #[cfg(feature = "connected")]
    fn locator(&self, _artifact: &LockedArtifact) -> Option<Request> {
        None
    }

    /// Where that document says the artifact is: a URL, or a reference relative to the document.
    #[cfg(feature = "connected")]
    fn locate(&self, _document: &[u8], _artifact: &LockedArtifact) -> Option<String> {
        None
    }

    /// Holds fetched artifacts against its records, where these say what no digest confirmed when they were made.
    #[cfg(feature = "connected")]
    fn confirm(&self, _records: &[u8]) -> Result<Option<Box<dyn Confirm>>, EcoError> {
        Ok(None)
    }

    /// Checks that every edge of every carried package is satisfied inside the lock, for each of its platforms.
    /// Returns one sentence per edge that is not. Independent of the resolver.
    #[cfg(feature = "connected")]
    fn check_closure(
        &self,
        lock: &Lock,
        records: &[u8],
        platform: Platform,
    ) -> Result<Vec<OpenEdge>, EcoError>;

    /// The installs that its tables in the manifest ask for; `tables` are those under [`Ecosystem::key`].
    #[cfg(feature = "connected")]
    fn installs(
        &self,
        tables: Vec<Table<'_>>,
        target: &Target,
    ) -> Result<Vec<Box<dyn Install>>, ManifestError>;
}

/// Knows what the records say of artifacts.
#[cfg(feature = "connected")]
pub trait Confirm {
    /// Fails if `content`, whose checksum is right, is not what the records say of `artifact`.
    fn confirm(
        &self,
        package: &LockedPackage,
        artifact: &LockedArtifact,
        content: &mut dyn Source,
    ) -> Result<(), Box<dyn Fault>>;
}

/// Where an archive is unpacked.
#[cfg(feature = "connected")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// Folders, each of which gets all of it. Only their relation to each other counts.
    pub roots: Vec<String>,
    /// Leading segments of its members' paths that are taken off.
    pub strip: usize,
}

/// Where a package's archives are unpacked; that of an ecosystem nobody knows is a folder of its own.
#[cfg(feature = "connected")]
pub fn unpacked(package: &LockedPackage) -> Option<Unpacked> {
    let own = || {
        Some(Unpacked {
            roots: vec![package.ecosystem.to_string()],
            strip: 0,
        })
    };
    by_id(&package.ecosystem).map_or_else(own, |ecosystem| ecosystem.unpacked(package))
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

#[cfg(all(test, feature = "connected"))]
mod tests {
    use super::install::{Address, Inputs};
    use super::{NumberedInstall, installs, sections};
    use crate::base::fault::Fault as _;
    use crate::manifest::{Manifest, ManifestError};

    fn read(text: &str) -> Result<Vec<NumberedInstall>, ManifestError> {
        installs(&Manifest::parse(
            "stage.toml",
            text.as_bytes(),
            &sections(),
        )?)
    }

    #[test]
    fn a_wrong_key_is_named_with_its_place_and_the_nearest_right_one() {
        let error = read("[bundle]\nchannel = \"x\"\n\n[npm]\n  pakages = [\"a\"]\n").unwrap_err();
        let place = error.place().unwrap();
        assert_eq!((place.line, place.column), (5, 3));
        assert_eq!(error.facts(), [("did you mean", "`packages`".to_owned())]);
        assert_eq!(error.to_string(), "unknown key `pakages` in [npm]");
    }

    #[test]
    fn wrong_values_are_refused_where_they_stand() {
        let cases = [
            ("[npm]\npackages = [1]", "`packages` must be a string", 2),
            ("[npm]\n", "`packages` must be given", 1),
            (
                "[[file]]\nurl = \"ftp://x.example/y\"",
                "`url` must be an http or https address",
                2,
            ),
            (
                "[npm]\npackages = [{ spec = \"a\", platforms = [\"linux/arm64\"] }]",
                "`platforms` must be platforms",
                2,
            ),
        ];
        for (text, message, line) in cases {
            let error = read(text).unwrap_err();
            assert!(error.to_string().starts_with(message), "{text}: {error}");
            assert_eq!(error.place().unwrap().line, line, "{text}");
        }
    }

    #[test]
    fn repeated_installs_are_numbered_and_say_where_their_bytes_come_from() {
        let found = read(
            "[[npm]]\npackages = [\"a@1\", \"@s/b\"]\n[[npm]]\nlockfile = \"l.json\"\n[[file]]\nurl = \
             \"https://f.example/x\"\nsha256 = \
             \"0000000000000000000000000000000000000000000000000000000000000000\"\npath = \"t/x\"\n",
        )
        .unwrap();
        let numbered: Vec<_> = found.iter().map(|(id, n, _)| (id.as_str(), *n)).collect();
        assert_eq!(numbered, [("npm", 1), ("npm", 2), ("file", 1)]);
        let first = |install: usize| -> Vec<String> {
            let addresses = found[install].2.addresses().into_iter();
            let shown = addresses.map(|address| match address {
                Address::Upstream { name, first, .. } => format!("{name} {first}"),
                Address::Mirror { name, url, .. } | Address::Route { name, url, .. } => {
                    format!("{name} {url}")
                }
                Address::File { path, url } => format!("{path} {url}"),
            });
            shown.collect()
        };
        assert_eq!(first(0), ["npm ", "npm @s"]);
        assert_eq!(first(2), ["t/x https://f.example/x"]);
        let files = found[1].2.inputs(&Inputs::new()).unwrap();
        assert_eq!(files[0].path.to_str(), Some("l.json"));
    }
}
