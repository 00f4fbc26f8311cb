//! A list of approved software: what a site has approved, in which versions, under which id. Such lists come out of other
//! systems; a row that cannot be read approves nothing and is counted, so that the rest of the list works as it is.

mod check;
mod table;
mod versions;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{PackagePattern, PolicyError};
use crate::base::digest::Digest;
use crate::base::package::EcosystemId;
use crate::base::time::Timestamp;
use crate::eco;
#[cfg(feature = "connected")]
use crate::eco::preference::Approves;
use crate::fs;

/// Largest list that is read, in bytes.
const LIMIT: u64 = 64 << 20;

/// A list of approved software.
#[derive(Debug, Clone)]
pub struct ApprovedList {
    /// Digest of the bytes of the file.
    pub digest: Digest,
    rows: Arc<Rows>,
}

/// What it says.
#[derive(Debug, Default)]
struct Rows {
    approvals: Vec<Approval>,
    /// Approvals by ecosystem and normalized name, unless the name stands for several.
    named: BTreeMap<(EcosystemId, String), Vec<usize>>,
    several: Vec<usize>,
    unread: Vec<Unread>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The approval's id, as the list has it; empty if it has none.
    pub id: String,
    /// The versions, as the list has them.
    pub versions: String,
    /// From when on it is void.
    pub expires: Option<Timestamp>,
    /// Line of the file.
    pub line: u64,
    patterns: Vec<PackagePattern>,
}

/// A row that approves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Line of the file.
    pub line: u64,
    /// Why; safe to print.
    pub reason: String,
}

impl ApprovedList {
    /// Reads the list at `path`: TOML by its ending, else CSV.
    ///
    /// # Errors
    /// It cannot be read, is no table, or has no column of names.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        let bytes = fs::read(path, LIMIT).map_err(|source| PolicyError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let file = path.to_string_lossy();
        let is_toml = path.extension().is_some_and(|end| end == "toml");
        Self::parse(&file, &bytes, is_toml)
    }

    /// Parses the bytes of a list that the user calls `file`.
    pub fn parse(file: &str, bytes: &[u8], is_toml: bool) -> Result<Self, PolicyError> {
        let mut rows = Rows::default();
        let read = if is_toml { table::toml } else { table::csv };
        for row in read(file, bytes)? {
            rows.add(row);
        }
        Ok(Self {
            digest: Digest::of(bytes),
            rows: Arc::new(rows),
        })
    }

    /// The row that approves this version of this package at `now`.
    pub fn approval(
        &self,
        ecosystem: &EcosystemId,
        name: &str,
        version: &str,
        now: Timestamp,
    ) -> Option<&Approval> {
        let mut of_name = self.of_name(ecosystem, name);
        of_name.find(|row| row.is_valid(now) && row.covers(ecosystem, name, version))
    }

    /// The rows about this package, whatever the version.
    pub fn of_name(
        &self,
        ecosystem: &EcosystemId,
        name: &str,
    ) -> impl Iterator<Item = &Approval> + use<'_> {
        let rows = &self.rows;
        let normalized = eco::by_id(ecosystem).map(|known| known.normalized(name));
        let key = (ecosystem.clone(), normalized.unwrap_or_default());
        let named = rows.named.get(&key).into_iter().flatten();
        named
            .chain(&rows.several)
            .filter_map(|at| rows.approvals.get(*at))
    }

    /// Rows that approve nothing because they cannot be read.
    pub fn unread(&self) -> &[Unread] {
        &self.rows.unread
    }

    /// Number of rows that approve something.
    pub fn len(&self) -> usize {
        self.rows.approvals.len()
    }

    /// Whether it approves nothing at all.
    pub fn is_empty(&self) -> bool {
        self.rows.approvals.is_empty()
    }

    /// The approved versions of one ecosystem at `now`, for its resolver.
    #[cfg(feature = "connected")]
    pub fn of(&self, ecosystem: &EcosystemId, now: Timestamp) -> Arc<dyn Approves> {
        Arc::new(Approved {
            list: self.clone(),
            ecosystem: ecosystem.clone(),
            now,
        })
    }
}

/// The approved versions of one ecosystem.
#[cfg(feature = "connected")]
#[derive(Debug)]
struct Approved {
    list: ApprovedList,
    ecosystem: EcosystemId,
    now: Timestamp,
}

#[cfg(feature = "connected")]
impl Approves for Approved {
    fn approves(&self, name: &str, version: &str) -> bool {
        let found = self.list.approval(&self.ecosystem, name, version, self.now);
        found.is_some()
    }
}

impl Approval {
    fn is_valid(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| expires > now)
    }

    fn covers(&self, ecosystem: &EcosystemId, name: &str, version: &str) -> bool {
        PackagePattern::any(&self.patterns, ecosystem, name, version)
    }

    /// How it is called in messages: `1.2.x (APR-17)`, not yet safe to print.
    pub fn text(&self) -> String {
        let id = if self.id.is_empty() {
            format!("line {}", self.line)
        } else {
            self.id.clone()
        };
        format!("{} ({id})", self.versions)
    }
}

impl Rows {
    /// Takes a row in, or notes why it approves nothing.
    fn add(&mut self, row: table::Row) {
        let line = row.line;
        match approval(row) {
            Err(reason) => self.unread.push(Unread { line, reason }),
            Ok(approval) => {
                let at = self.approvals.len();
                for pattern in &approval.patterns {
                    match pattern.name() {
                        Some(name) => {
                            let key = (pattern.ecosystem().clone(), name.to_owned());
                            let rows = self.named.entry(key).or_default();
                            if rows.last() != Some(&at) {
                                rows.push(at);
                            }
                        }
                        None if self.several.last() != Some(&at) => self.several.push(at),
                        None => {}
                    }
                }
                self.approvals.push(approval);
            }
        }
    }
}

/// What a row approves, or why nothing.
fn approval(row: table::Row) -> Result<Approval, String> {
    if let Some(refusal) = row.refusal {
        return Err(refusal.to_owned());
    }
    if row.name.is_empty() {
        return Err("it has no name".to_owned());
    }
    let keys: Vec<&str> = match &row.ecosystem {
        Some(key) => vec![*key],
        None => eco::ALL.iter().map(|e| e.key()).collect(),
    };
    let mut patterns = Vec::new();
    for key in keys {
        let counting = versions::Counting::of(key);
        let ranges = match row.versions.as_deref() {
            None => vec![String::new()],
            Some(text) => versions::ranges(text, counting)
                .ok_or_else(|| "its versions cannot be read".to_owned())?,
        };
        for range in ranges {
            let at = if range.is_empty() { "" } else { "@" };
            // A row without an ecosystem may be of one in which its name or versions mean nothing.
            patterns.extend(format!("{key}:{}{at}{range}", row.name).parse::<PackagePattern>());
        }
    }
    if patterns.is_empty() {
        return Err("its name or versions are none of any package".to_owned());
    }
    Ok(Approval {
        id: row.id,
        versions: row.versions.unwrap_or_else(|| "any version".to_owned()),
        expires: row.expires,
        line: row.line,
        patterns,
    })
}

/// Where a list is, for reports.
pub fn json(path: &Path, list: &ApprovedList) -> Value {
    let shown: PathBuf = path.into();
    json!({
        "file": crate::base::text::escaped(&shown.to_string_lossy()),
        "digest": list.digest,
        "rows": list.len(),
        "unread": list.unread().iter().take(100).map(|row| json!({"line": row.line, "reason": row.reason})).collect::<Vec<_>>(),
    })
}
