//! One version of one package of a pool, as its stanza describes it.

use std::fmt;

use crate::base::digest::Digest;
use crate::eco::debian::control;
use crate::eco::debian::names::NameId;
use crate::eco::debian::pool::{CandidateId, Entry, Pool, SourceId};

/// A view of one version of one package.
#[derive(Clone, Copy)]
pub struct Candidate<'p> {
    pool: &'p Pool,
    id: CandidateId,
    entry: &'p Entry,
}

impl fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name(), self.version())
    }
}

impl<'p> Candidate<'p> {
    pub(crate) const fn new(pool: &'p Pool, id: CandidateId, entry: &'p Entry) -> Self {
        Self { pool, id, entry }
    }

    /// Its number.
    pub const fn id(&self) -> CandidateId {
        self.id
    }

    /// Name of the package.
    pub fn name(&self) -> &'p str {
        self.pool.names().name(self.entry.name)
    }

    /// Its version, as the index has it.
    pub fn version(&self) -> &'p str {
        self.pool.part(self.entry.text, &self.entry.version)
    }

    /// The source it is taken from; `None` = only the status file has it.
    pub const fn source(&self) -> Option<SourceId> {
        self.entry.source
    }

    /// Its stanza, verbatim.
    pub fn stanza(&self) -> &'p str {
        self.pool.part(self.entry.text, &self.entry.stanza)
    }

    /// A field of its stanza.
    pub fn field(&self, name: &str) -> Option<&'p str> {
        let text = self.stanza();
        let mut stanzas = control::stanzas(text);
        let stanza = stanzas.next()?.ok()?;
        stanza.field(name)
    }

    /// Several fields of its stanza, found in one pass.
    pub(crate) fn fields<const N: usize>(&self, names: [&str; N]) -> [Option<&'p str>; N] {
        let mut found = [None; N];
        let stanza = control::stanzas(self.stanza()).next();
        for (name, value) in stanza.into_iter().flatten().flat_map(|s| s.fields()) {
            let row = names.iter().position(|n| n.eq_ignore_ascii_case(name));
            if let Some(slot) = row.and_then(|row| found.get_mut(row)) {
                *slot = Some(value);
            }
        }
        found
    }

    /// Name and version of the source package it is built from.
    pub(crate) fn built_from(&self) -> (&'p str, &'p str) {
        let source = self.field("Source").unwrap_or_else(|| self.name());
        match source.split_once('(') {
            Some((name, version)) => (name.trim(), version.trim_end_matches(')').trim()),
            None => (source, self.version()),
        }
    }

    pub(crate) const fn name_id(&self) -> NameId {
        self.entry.name
    }

    /// `all` or the architecture of the pool.
    pub fn arch(&self) -> &'p str {
        self.field("Architecture").unwrap_or_default()
    }

    /// Digest of its file; `None` where the index states no SHA-256 that can be read.
    pub fn sha256(&self) -> Option<Digest> {
        Digest::from_hex(&self.field("SHA256")?.to_ascii_lowercase()).ok()
    }

    /// Size of its file in bytes.
    pub fn size(&self) -> Option<u64> {
        self.field("Size")?.parse().ok()
    }

    /// Path of its file below the archive's root. Not checked: it comes from outside.
    pub fn filename(&self) -> Option<&'p str> {
        self.field("Filename")
    }

    /// Whether no system may be without it.
    pub fn is_essential(&self) -> bool {
        self.pool
            .slot(self.entry.name)
            .is_some_and(|slot| slot.is_essential)
    }
}
