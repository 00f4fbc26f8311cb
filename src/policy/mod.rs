//! The policy: what may be carried, how much a finding weighs, and who waived what until when.
//!
//! `policy.toml` is read once into [`Policy`]. [`judge`] weighs what other modules found, adds what the gates find in a
//! lock and its records, and takes out what a waiver covers. It needs no network and no file of an artifact, so that both
//! sides of the gap judge alike. What denies by itself (a wheel that is not there, bytes that nobody confirmed) is not
//! judged: no policy can allow it.

pub mod approved;
pub mod codes;
mod gates;
mod judge;
mod license;
mod linted;
pub mod pattern;
mod pins;
mod plain;
mod profile;
mod read;
mod similar;
mod vulns;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::digest::Digest;
use crate::base::evidence::Level;
use crate::base::fault::{Code, Fault, Place};
use crate::base::finding::Severity;
use crate::base::package::EcosystemId;
use crate::base::text::{escaped, quoted};
use crate::base::time::{Span, Timestamp};
use crate::fs::{self, FsError};
use crate::manifest::ManifestError;

pub use approved::ApprovedList;
pub use judge::{Judgement, Waived, recorded};
pub use license::is_expression;
pub use pattern::PackagePattern;
pub use plain::PlainFile;
pub use profile::starter;

/// Codes of this module.
pub const CODES: &[&Code] = codes::CODES;

/// Largest policy that is read, in bytes.
const LIMIT: u64 = 4 << 20;

/// Largest policy that a repository keeps a copy of, in bytes.
const KEPT: u64 = 256 << 10;

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// There is no such file, or it cannot be read.
    #[error("cannot read the policy")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: FsError,
    },
    /// A syntax error, an unknown key or a wrong value.
    #[error(transparent)]
    Document(#[from] ManifestError),
    /// No policy can weigh or waive a finding of this code.
    #[error("{code} is not the code of a finding that a policy may weigh")]
    UnknownCode {
        /// The code, quoted.
        code: String,
        /// Codes that may have been meant.
        near: Vec<&'static str>,
        /// Where.
        place: Place,
    },
}

impl Fault for PolicyError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Unreadable { .. } | Self::Document(ManifestError::Unreadable { .. }) => {
                &codes::MISSING
            }
            Self::Document(ManifestError::Syntax { .. }) => &codes::SYNTAX,
            Self::Document(ManifestError::UnknownKey { .. }) => &codes::UNKNOWN_KEY,
            Self::Document(ManifestError::Value { .. }) => &codes::VALUE,
            Self::UnknownCode { .. } => &codes::UNKNOWN_CODE,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Unreadable { path, .. } => vec![("file", quoted(&path.to_string_lossy()))],
            Self::Document(inner) => inner.facts(),
            Self::UnknownCode { near, .. } if near.is_empty() => Vec::new(),
            Self::UnknownCode { near, .. } => vec![("did you mean", near.join(", "))],
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            Self::Unreadable { .. } => None,
            Self::Document(inner) => inner.place(),
            Self::UnknownCode { place, .. } => Some(place.clone()),
        }
    }
}

/// What a policy starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Reports, and denies next to nothing.
    Lenient,
    /// The weights that findings have without a policy.
    Standard,
    /// Everything a careful site asks for.
    Strict,
}

impl Profile {
    /// Every profile, from the most to the least forgiving.
    pub const ALL: [Self; 3] = [Self::Lenient, Self::Standard, Self::Strict];

    /// Its name in `policy.toml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lenient => "lenient",
            Self::Standard => "standard",
            Self::Strict => "strict",
        }
    }
}

/// A policy.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Digest of the bytes of the file.
    pub digest: Digest,
    /// What it starts from.
    pub profile: Profile,
    rules: Rules,
    waivers: Vec<Waiver>,
}

/// What a policy asks for.
#[derive(Debug, Clone, Default)]
struct Rules {
    severities: BTreeMap<&'static str, Severity>,
    /// Only these packages, if there is a list.
    allowed: Option<Vec<PackagePattern>>,
    denied: Vec<PackagePattern>,
    min_age: Option<Span>,
    ageless: Vec<PackagePattern>,
    licenses: Option<Vec<spdx::Licensee>>,
    unlicensed: Vec<PackagePattern>,
    scripts: Vec<PackagePattern>,
    pins: Vec<pins::Pin>,
    /// The least evidence for every file of an ecosystem.
    floors: BTreeMap<EcosystemId, Level>,
    most_artifact: Option<u64>,
    most_total: Option<u64>,
    /// Whether archives must have been read, and found to have one reading.
    requires_lint: bool,
    /// Whether bundles of plain files stay out.
    refuses_plain: bool,
    vulns: crate::vulns::Rules,
}

/// An exception: one finding of some packages, for a reason, for a time, on somebody's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// Code of the finding.
    pub code: &'static str,
    /// Packages it is for.
    pub package: PackagePattern,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub approver: String,
    /// From when on it is void.
    pub expires: Timestamp,
    /// The vulnerability that it is about, by one of its ids; every waiver of a vulnerability names one.
    pub vulnerability: Option<String>,
    /// What is said of the vulnerability to others.
    pub vex: Option<Vex>,
    /// Where it stands.
    pub place: Place,
}

/// What a waiver says of a vulnerability in the words of VEX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vex {
    /// It affects the product, and is carried all the same.
    Affected,
    /// It is being looked into.
    UnderInvestigation,
    /// It does not affect the product.
    NotAffected(Justification),
}

/// Why a vulnerability does not affect the product (OpenVEX 0.2.0, "Status Justifications").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Justification {
    /// The component is not there.
    ComponentNotPresent,
    /// The code is not there.
    VulnerableCodeNotPresent,
    /// The code is never run.
    VulnerableCodeNotInExecutePath,
    /// An adversary cannot reach the code.
    VulnerableCodeCannotBeControlledByAdversary,
    /// Something stops it.
    InlineMitigationsAlreadyExist,
}

impl Justification {
    /// Every justification.
    pub const ALL: [Self; 5] = [
        Self::ComponentNotPresent,
        Self::VulnerableCodeNotPresent,
        Self::VulnerableCodeNotInExecutePath,
        Self::VulnerableCodeCannotBeControlledByAdversary,
        Self::InlineMitigationsAlreadyExist,
    ];

    /// Its word in OpenVEX and in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ComponentNotPresent => "component_not_present",
            Self::VulnerableCodeNotPresent => "vulnerable_code_not_present",
            Self::VulnerableCodeNotInExecutePath => "vulnerable_code_not_in_execute_path",
            Self::VulnerableCodeCannotBeControlledByAdversary => {
                "vulnerable_code_cannot_be_controlled_by_adversary"
            }
            Self::InlineMitigationsAlreadyExist => "inline_mitigations_already_exist",
        }
    }
}

impl Policy {
    /// Reads the file at `path`.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        let bytes = fs::read(path, LIMIT).map_err(|source| PolicyError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&path.to_string_lossy(), &bytes)
    }

    /// The text of the file at `path`, which is a policy, for who keeps a copy.
    pub fn load_text(path: &Path) -> Result<String, PolicyError> {
        let unreadable = |source| PolicyError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let bytes = fs::read(path, KEPT).map_err(unreadable)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Self::parse(&path.to_string_lossy(), &bytes)?;
        Ok(text)
    }

    /// Parses the bytes of a policy that the user calls `file`.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, PolicyError> {
        let file = escaped(file);
        let text = std::str::from_utf8(bytes).map_err(|e| ManifestError::Syntax {
            reason: "not UTF-8".to_owned(),
            place: crate::manifest::table::place(
                &file,
                &String::from_utf8_lossy(bytes),
                e.valid_up_to(),
            ),
        })?;
        read::policy(&file, text)
    }

    /// Whether it says something of code that only archives tell: of build scripts and maintainer scripts.
    pub fn asks_for_scripts(&self) -> bool {
        codes::SCRIPTS.iter().any(|code| {
            let of_archives = code.starts_with("cargo-") || code.starts_with("debian-");
            of_archives && self.weight(code, Severity::Note) != Severity::Note
        })
    }

    /// How much a finding weighs that would weigh `by_itself`.
    fn weight(&self, code: &str, by_itself: Severity) -> Severity {
        self.rules
            .severities
            .get(code)
            .copied()
            .unwrap_or(by_itself)
    }
}
