//! Known vulnerabilities of a closure, from a database of advisories that somebody brought along: an export of OSV. No
//! network, so that both sides of the gap see the same.
//!
//! ```text
//! npm/all.zip, PyPI/all.zip ...   [`check`] -> what was read, how old it is, what it says of the packages
//! evidence/osv/records.jsonl.zst  the records that a bundle carries, read in the same way
//! ```
//!
//! Records are read one after the other; only those that name a package of the lock are parsed in full. What is known
//! under several ids is one vulnerability. What cannot be compared is said, and where no database was given, that is
//! said: nothing here ever means that there are no vulnerabilities.
//!
//! Specification: OSV schema 1.7.

mod carried;
mod findings;
#[cfg(all(any(test, fuzzing), feature = "connected"))]
pub(crate) mod fuzz;
mod groups;
mod level;
mod matching;
mod range;
mod record;
mod source;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use crate::base::digest::Digest;
use crate::base::fault::{Class, Code, Fault, Kind};
use crate::base::json;
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::text::quoted;
use crate::base::time::Timestamp;
use crate::eco::EcoError;
use crate::fs::FsError;
use crate::lock::{Lock, Records};

pub use carried::{CarriedWriter, EVIDENCE, RECORDS};
pub use findings::{Found, Rules, found};
pub use level::Level;
pub use matching::check;

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &DATABASE,
    &RECORD,
    &PACK,
    &KNOWN,
    &MALICIOUS,
    &NOT_COMPARED,
    &DATABASE_NONE,
    &DATABASE_OLD,
];

/// Codes that a policy may weigh. A package that is malicious is denied whatever a policy says.
pub const WEIGHED: &[&Code] = &[&KNOWN, &NOT_COMPARED, &DATABASE_NONE, &DATABASE_OLD];

/// Codes of findings about one vulnerability of one package: what a waiver of them names.
pub const OF_ONE: &[&Code] = &[&KNOWN, &NOT_COMPARED];

/// What is said where no database was given.
pub const NO_DATABASE: &str = "no vulnerability database was given";

static DATABASE: Code = Code::new("vuln-database", Kind::Usage);
static RECORD: Code = Code::new("vuln-record", Kind::Usage);
static PACK: Code = Code::new("vuln-pack", Kind::Failed);
static KNOWN: Code = Code::classed("vuln-known", Class::E50);
static MALICIOUS: Code = Code::classed("vuln-malicious", Class::E50);
static NOT_COMPARED: Code = Code::classed("vuln-not-compared", Class::E50);
static DATABASE_NONE: Code = Code::classed("vuln-database-none", Class::E50);
static DATABASE_OLD: Code = Code::classed("vuln-database-old", Class::E50);

/// Why vulnerabilities cannot be looked up. Texts are safe to print.
#[derive(Debug, thiserror::Error)]
pub enum VulnError {
    /// What was given is no database.
    #[error("{} is no vulnerability database: {reason}", quoted(&path.to_string_lossy()))]
    Database {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A record that cannot be read.
    #[error("a record of the vulnerability database cannot be read: {reason}")]
    Record {
        /// The file, and the place in it.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The records cannot be packed.
    #[error("the records of the vulnerability database cannot be packed")]
    Pack {
        /// What the compressor said.
        source: std::io::Error,
    },
    /// There are too many records to carry.
    #[error("the records of the vulnerability database have more than {most} bytes")]
    TooLarge {
        /// Most bytes.
        most: usize,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The records of an ecosystem cannot be read.
    #[error(transparent)]
    Eco(#[from] EcoError),
}

impl Fault for VulnError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Database { .. } => &DATABASE,
            Self::Record { .. } => &RECORD,
            Self::Pack { .. } | Self::TooLarge { .. } => &PACK,
            Self::Fs(inner) => inner.code(),
            Self::Eco(inner) => inner.code(),
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Record { place, .. } => vec![("record", place.clone())],
            Self::Eco(inner) => inner.facts(),
            Self::Database { .. } | Self::Pack { .. } | Self::TooLarge { .. } | Self::Fs(_) => {
                Vec::new()
            }
        }
    }
}

/// The closure that is looked up.
#[derive(Debug, Clone, Copy)]
pub struct Closure<'c> {
    /// Its lock.
    pub lock: &'c Lock,
    /// The records of it.
    pub records: &'c Records,
}

/// What is known of a closure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What was asked; `None`: no database was given, and nothing is known.
    pub database: Option<Database>,
    /// Ecosystems of carried packages of which the database has no record.
    pub uncovered: Vec<EcosystemId>,
    /// What was found: the worst first within a package.
    pub vulnerabilities: Vec<Vulnerability>,
}

impl Checked {
    /// Where no database was given.
    pub const fn nothing() -> Self {
        Self {
            database: None,
            uncovered: Vec::new(),
            vulnerabilities: Vec::new(),
        }
    }

    /// For reports and for what travels.
    pub fn json(&self) -> Value {
        json!({
            "database": self.database,
            "said": self.said(),
            "uncovered": self.uncovered,
            "found": self.vulnerabilities,
        })
    }

    /// One sentence about it: what was asked, and how much was found.
    pub fn said(&self) -> String {
        let Some(database) = &self.database else {
            return NO_DATABASE.to_owned();
        };
        let found = self.vulnerabilities.len();
        let plural = if found == 1 { "y" } else { "ies" };
        let date = database
            .date
            .map_or_else(|| "unknown date".to_owned(), |date| date.to_string());
        let records = database.records;
        format!(
            "{found} vulnerabilit{plural} known to a database of {records} records up to {date}"
        )
    }

    /// The document that travels in a bundle; `carried`: the records travel too.
    pub fn document(&self, carried: bool) -> Vec<u8> {
        let mut document = self.json();
        if let Value::Object(fields) = &mut document {
            fields.insert("schema".to_owned(), json!("stage/vulnerabilities/v1"));
            let path = carried.then_some(RECORDS);
            fields.insert("carried".to_owned(), json!(path));
        }
        json::canonical(&document)
    }
}

/// A database that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Database {
    /// The newest time at which one of its records was modified.
    pub date: Option<Timestamp>,
    /// SHA-256 of the file; of several files, of the text that `sha256sum` prints of them in the order of their names.
    pub sha256: Digest,
    /// How many files were read.
    pub files: usize,
    /// How many records were read.
    pub records: u64,
    /// How many of them there are by ecosystem, of the ecosystems that the closure has.
    pub ecosystems: BTreeMap<String, u64>,
}

/// A vulnerability of a carried package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vulnerability {
    /// Ecosystem of the package.
    pub ecosystem: EcosystemId,
    /// The package.
    pub release: ReleaseId,
    /// The source that advisories are about, as `name@version`, where it is called otherwise.
    pub source: Option<String>,
    /// Its first id: that of CVE, where it has one.
    pub id: String,
    /// Its other ids, sorted.
    pub aliases: Vec<String>,
    /// How bad it is; `None`: nobody said.
    pub level: Option<Level>,
    /// The vectors that this follows from, sorted.
    pub vectors: Vec<String>,
    /// The package is malicious, not vulnerable.
    pub malicious: bool,
    /// What it is, as the database says, safe to print.
    pub summary: String,
    /// The first version in which it is fixed.
    pub fixed: Option<String>,
    /// Why it is not known whether the version is affected; `None`: it is.
    pub not_compared: Option<String>,
    /// When the newest of its records was modified.
    pub modified: Timestamp,
}

impl Vulnerability {
    /// Whether it is known under this id, in upper or lower case.
    pub fn is(&self, id: &str) -> bool {
        let ids = std::iter::once(&self.id).chain(&self.aliases);
        ids.into_iter().any(|known| known.eq_ignore_ascii_case(id))
    }
}

/// What is given as a database.
pub enum Given<'q> {
    /// A folder or a file.
    Path(&'q Path),
    /// The records that a bundle carries, wherever they are: what they are called, and their bytes.
    Carried(&'q Path, Box<dyn Read + 'q>),
}

impl std::fmt::Debug for Given<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Path(path) | Self::Carried(path, _)) = self;
        f.debug_tuple("Given").field(path).finish()
    }
}

/// What [`check`] needs.
#[derive(Debug)]
pub struct Query<'q> {
    /// The database.
    pub database: Given<'q>,
    /// What is looked up.
    pub closures: &'q [Closure<'q>],
    /// Gets the records of the closures' ecosystems.
    pub carry: Option<&'q mut CarriedWriter>,
}
