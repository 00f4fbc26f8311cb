//! `stage.toml`: what the user wants. Read once into typed values; every error names file, line, column, the wrong
//! key and the nearest right one. What an ecosystem wants to know of its tables it reads itself, through [`table`].

pub mod credentials;
mod openclaw;
mod prove;
mod read;
mod runtime;
pub mod starter;
pub mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::check::Check;
use crate::base::fault::{Code, Fault, Kind, Place};
use crate::base::platform::{Platform, Target};
use crate::base::runtime::Runtime;
use crate::base::time::{Span, Timestamp};
use crate::fs::{self, FsError};
use crate::manifest::credentials::NetworkCredential;
use crate::manifest::table::{Source, Table};

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &MANIFEST_MISSING,
    &MANIFEST_SYNTAX,
    &MANIFEST_UNKNOWN_KEY,
    &MANIFEST_VALUE,
];

static MANIFEST_MISSING: Code = Code::new("manifest-missing", Kind::Usage);
static MANIFEST_SYNTAX: Code = Code::new("manifest-syntax", Kind::Usage);
static MANIFEST_UNKNOWN_KEY: Code = Code::new("manifest-unknown-key", Kind::Usage);
static MANIFEST_VALUE: Code = Code::new("manifest-value", Kind::Usage);

/// Largest manifest that is read, in bytes.
const LIMIT: u64 = 16 << 20;

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is no such file, or it cannot be read.
    #[error("cannot read the manifest")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: FsError,
    },
    /// Not TOML.
    #[error("not valid TOML: {reason}")]
    Syntax {
        /// What the parser said.
        reason: String,
        /// Where.
        place: Place,
    },
    /// A key that does not exist here.
    #[error("unknown key `{key}` in {table}")]
    UnknownKey {
        /// The key, escaped.
        key: String,
        /// The table it stands in.
        table: String,
        /// The known key that is most like it.
        nearest: Option<&'static str>,
        /// Where.
        place: Place,
    },
    /// A value of the wrong type or out of range.
    #[error("`{key}` must be {expected}")]
    Value {
        /// The key.
        key: String,
        /// What it must be.
        expected: String,
        /// Where.
        place: Place,
    },
}

impl Fault for ManifestError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Unreadable { .. } => &MANIFEST_MISSING,
            Self::Syntax { .. } => &MANIFEST_SYNTAX,
            Self::UnknownKey { .. } => &MANIFEST_UNKNOWN_KEY,
            Self::Value { .. } => &MANIFEST_VALUE,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::UnknownKey {
                nearest: Some(key), ..
            } => vec![("did you mean", format!("`{key}`"))],
            Self::Unreadable { path, .. } => {
                vec![("file", crate::base::text::quoted(&path.to_string_lossy()))]
            }
            Self::Syntax { .. } | Self::UnknownKey { .. } | Self::Value { .. } => Vec::new(),
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            Self::Unreadable { .. } => None,
            Self::Syntax { place, .. }
            | Self::UnknownKey { place, .. }
            | Self::Value { place, .. } => Some(place.clone()),
        }
    }
}

/// The manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// `[bundle]`.
    pub bundle: BundleSection,
    /// `[target]`.
    pub target: Target,
    /// `[resolve]`: what counts as too new.
    pub exclude_newer: Option<ExcludeNewer>,
    /// `[resolve] prefer`: a list of approved software, relative to the manifest's folder as written.
    pub approved: Option<PathBuf>,
    /// `[policy] file`: the policy, relative to the manifest's folder as written.
    pub policy: Option<PathBuf>,
    /// `[policy] osv`: a database of advisories, relative to the manifest's folder as written.
    pub osv: Option<PathBuf>,
    /// `[evidence] npm-keys`: keys that the npm registry signs with, relative to the manifest's folder as written.
    pub npm_keys: Option<PathBuf>,
    /// `[evidence] trusted-root`: what Sigstore's signatures are verified by, relative to the manifest's folder as written.
    pub trusted_root: Option<PathBuf>,
    /// `[ca] roots`: PEM files, relative to the manifest's folder as written.
    pub ca_roots: Vec<PathBuf>,
    /// `[network]`.
    pub network: Network,
    /// `[runtime]`: who runs it where, and what it needs there.
    pub runtime: Option<Runtime>,
    /// `[[prove]]`: what shall work once it is installed.
    pub prove: Vec<Check>,
    /// `[proof] without`: ecosystems that a proof leaves out, each with the reason.
    pub without: BTreeMap<String, String>,
    file: String,
    text: String,
}

/// `[bundle]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleSection {
    /// Rollback protection counts per channel.
    pub channel: String,
    /// Who vouches for the SBOM: `NAME`, or `NAME <ADDRESS>`.
    pub author: Option<String>,
    /// How long a bundle may be imported; default 180 days.
    pub expires_after: Span,
    /// Whether the records of the vulnerability database travel along.
    pub carry_osv: bool,
    /// Whether the signed indexes of archives travel, so that the enclave can prove where packages are from; they do by
    /// default.
    pub carry_indexes: bool,
}

/// `[resolve] exclude-newer` or `min-age`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExcludeNewer {
    /// A fixed moment.
    At(Timestamp),
    /// So long before now.
    MinAge(Span),
}

/// A requirement text with the place it stands at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Such as `openclaw@2026.9.6`.
    pub spec: String,
    /// Platforms it is for; empty = all of the target.
    pub platforms: Vec<Platform>,
    /// Where it stands.
    pub place: Place,
}

/// `[network]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// Proxy URL; default is the environment's.
    pub proxy: Option<String>,
    /// PEM files with further CAs of upstreams, relative to the manifest's folder as written.
    pub ca: Vec<PathBuf>,
    /// What hosts are shown.
    pub credentials: Vec<NetworkCredential>,
    /// Hosts that may be contacted; empty = any that the configuration names.
    pub allow_hosts: Vec<String>,
}

impl Manifest {
    /// Reads the file at `path`. `sections` are the keys of the ecosystems' tables.
    pub fn load(path: &Path, sections: &[&'static str]) -> Result<Self, ManifestError> {
        let bytes = fs::read(path, LIMIT).map_err(|source| ManifestError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&path.to_string_lossy(), &bytes, sections)
    }

    /// Parses the bytes of a manifest that the user calls `file`.
    pub fn parse(
        file: &str,
        bytes: &[u8],
        sections: &[&'static str],
    ) -> Result<Self, ManifestError> {
        let file = crate::base::text::escaped(file);
        let text = std::str::from_utf8(bytes).map_err(|e| ManifestError::Syntax {
            reason: "not UTF-8".to_owned(),
            place: table::place(&file, &String::from_utf8_lossy(bytes), e.valid_up_to()),
        })?;
        read::manifest(&file, text, sections)
    }

    /// The tables of an ecosystem: none, `[key]` or every `[[key]]`.
    pub fn tables(&self, key: &'static str) -> Result<Vec<Table<'_>>, ManifestError> {
        let source = Source::new(&self.file, &self.text);
        match source.top()?.take(key) {
            Some(found) => found.tables(&format!("[{key}]")),
            None => Ok(Vec::new()),
        }
    }
}

/// Path of the lock beside a manifest: `stage.toml` → `stage.lock`.
pub fn lock_path(manifest: &Path) -> PathBuf {
    manifest.with_extension("lock")
}

/// Path of the records folder beside a lock: `stage.lock` → `stage.records`.
pub fn records_path(lock: &Path) -> PathBuf {
    lock.with_extension("records")
}

/// `path` as the manifest at `manifest` means it: relative to the manifest's folder.
pub fn beside(manifest: &Path, path: &Path) -> PathBuf {
    fs::parent(manifest).join(path)
}

/// Whether `text` may name a channel: `[a-z0-9][a-z0-9._-]{0,63}`.
pub fn is_channel(text: &str) -> bool {
    let mut bytes = text.bytes();
    let first = bytes
        .next()
        .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    first
        && text.len() <= 64
        && bytes.all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-')
        })
}
