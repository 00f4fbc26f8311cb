//! What is asked of the resolver of Python packages: an install of the manifest with the files that it names, read.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::digest::Digest;
use crate::base::platform::{Platform, Target};
use crate::base::time::Timestamp;
use crate::eco::preference::Preference;
use crate::eco::pypi::name::Name;

/// One install of Python packages.
#[derive(Debug, Clone)]
pub struct PypiRequest {
    /// Number of the install within the ecosystem, from 1.
    pub number: u32,
    /// The requirements, in their order.
    pub requirements: Vec<PypiRequirement>,
    /// Limits on whatever is needed, as requirements.
    pub constraints: Vec<String>,
    /// The only files that may be taken, by project.
    pub hashes: BTreeMap<Name, BTreeSet<Digest>>,
    /// Versions that another tool has locked, with what may be taken of each; nothing is solved then.
    pub locked: Option<Vec<PypiLocked>>,
    /// Projects that may be built from sources.
    pub sdist: BTreeSet<Name>,
    /// The enclave host.
    pub target: Target,
    /// Files published later (or at an unknown time) do not exist.
    pub exclude_newer: Option<Timestamp>,
    /// Versions to take before others, where a range allows them.
    pub prefer: Preference,
    /// Files of the user's that decided it: name and digest.
    pub inputs: Vec<(String, Digest)>,
    /// What those files name by its place.
    pub direct: Vec<PypiDirect>,
    /// Whether pre-releases of everything may be taken.
    pub pre: bool,
    /// Whether nothing may be taken of which `hashes` has none.
    pub require_hashes: bool,
}

impl PypiRequest {
    /// Of nothing yet.
    pub const fn new(number: u32, target: Target) -> Self {
        Self {
            number,
            requirements: Vec::new(),
            constraints: Vec::new(),
            hashes: BTreeMap::new(),
            locked: None,
            sdist: BTreeSet::new(),
            target,
            exclude_newer: None,
            prefer: Preference::none(),
            inputs: Vec::new(),
            direct: Vec::new(),
            pre: false,
            require_hashes: false,
        }
    }
}

/// Something that a file of the user's names by its place: a repository, an address, a folder. Texts are safe to print.
#[derive(Debug, Clone)]
pub struct PypiDirect {
    /// The project, or `?`.
    pub name: String,
    /// What it is.
    pub what: String,
    /// The file that names it, with the line.
    pub file: String,
}

/// A requirement and where it counts.
#[derive(Debug, Clone)]
pub struct PypiRequirement {
    /// The text.
    pub spec: String,
    /// The platforms; empty for all.
    pub platforms: Vec<Platform>,
}

/// A version that another tool has locked.
#[derive(Debug, Clone)]
pub struct PypiLocked {
    /// The project.
    pub name: Name,
    /// The version.
    pub version: String,
    /// Extras of it that are wanted.
    pub extras: BTreeSet<Name>,
    /// The platforms it is for.
    pub platforms: Vec<Platform>,
    /// SHA-256 of the files that it may be; empty for any.
    pub hashes: BTreeSet<Digest>,
}
