//! One install of the manifest, as its ecosystem reads it: what must be read from disk, which upstreams it needs, and
//! the resolver that it leads to. The command line drives this without knowing any ecosystem.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::base::fault::Fault;
use crate::base::platform::Target;
use crate::base::time::Timestamp;
use crate::eco::attestation::Expectation;
use crate::eco::preference::Preference;
use crate::lock::Lock;
use crate::upstream::Resolver;

/// Files that were read for an install, by role.
pub type Inputs = BTreeMap<String, Vec<u8>>;

/// Role of the input that is no file of the project: this host's own apt sources, in the deb822 form of sources.list(5).
/// The command line gathers it.
pub const HOST_SOURCES: &str = "apt-sources";

/// A file that an install needs, such as a client's lock file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputFile {
    /// What it is for, such as `lockfile`; the key among the [`Inputs`].
    pub role: String,
    /// Its path as the manifest has it, relative to the manifest's folder.
    pub path: PathBuf,
    /// Most bytes that are read.
    pub limit: u64,
}

/// Where an install's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// A registry, index or archive.
    Upstream {
        /// Its name in locks, such as `npm`.
        name: String,
        /// The manifest's address; `None` = this host's client configuration knows it.
        configured: Option<String>,
        /// A path that will be asked for first, so that its host can be contacted before the work starts.
        first: String,
    },
    /// A further address with the same content as an upstream's, asked when those before it do not answer.
    Mirror {
        /// The upstream's name.
        name: String,
        /// Its place among the mirrors.
        number: usize,
        /// The address.
        url: String,
    },
    /// Where the packages of some names are, which the upstream's own address is never asked for.
    Route {
        /// The upstream's name.
        name: String,
        /// The names, normalized; `*` stands for anything.
        pattern: String,
        /// The address.
        url: String,
    },
    /// One plain file.
    File {
        /// Its path in the lock.
        path: String,
        /// Its URL.
        url: String,
    },
}

/// The mirrors of an upstream in their order.
pub fn mirrors<'a>(name: &'a str, urls: &'a [String]) -> impl Iterator<Item = Address> + 'a {
    urls.iter()
        .enumerate()
        .map(|(number, url)| Address::Mirror {
            name: name.to_owned(),
            number,
            url: url.clone(),
        })
}

/// What an install is resolved with.
#[derive(Debug, Clone)]
pub struct Given<'a> {
    /// Number of the install within the ecosystem, from 1.
    pub number: u32,
    /// The files of [`Install::inputs`].
    pub inputs: &'a Inputs,
    /// The enclave host.
    pub target: &'a Target,
    /// Releases published later (or without a time) do not exist.
    pub exclude_newer: Option<Timestamp>,
    /// Versions to take before others where a range allows them.
    pub prefer: Preference,
    /// The lock that is being resolved again.
    pub previous: Option<Previous<'a>>,
    /// The time now, for what expires.
    pub now: Timestamp,
}

/// The lock that is being resolved again.
#[derive(Debug, Clone, Copy)]
pub struct Previous<'a> {
    /// The lock.
    pub lock: &'a Lock,
    /// Its records of the install's ecosystem, when they are the ones it was written with.
    pub records: Option<&'a [u8]>,
}

/// One install of the manifest.
pub trait Install: fmt::Debug {
    /// The files it needs, given those that were read already: asked again until it names none that is not there.
    fn inputs(&self, known: &Inputs) -> Result<Vec<InputFile>, Box<dyn Fault>>;

    /// Where its bytes come from.
    fn addresses(&self) -> Vec<Address>;

    /// Its requirements as the lock names them.
    fn requirements(&self, inputs: &Inputs) -> Result<Vec<String>, Box<dyn Fault>>;

    /// Who should have signed its releases.
    fn expected(&self) -> &[Expectation] {
        &[]
    }

    /// Its resolver.
    fn resolver(&self, given: Given<'_>) -> Result<Box<dyn Resolver>, Box<dyn Fault>>;
}
