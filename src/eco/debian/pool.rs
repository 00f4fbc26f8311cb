//! What the archives offer to one architecture: every version of every package of several indexes, and who provides
//! what. The texts are kept as they came; a candidate is a place in one of them.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::eco::debian::control::{self, ControlError, FieldList};
use crate::eco::debian::names::{NameId, Names};
use crate::eco::debian::relation::{self, Qualifier};
use crate::eco::debian::scan::{MultiArch, Scanned, place};
use crate::eco::debian::status::Status;
use crate::eco::debian::version::Version;

pub use crate::eco::debian::candidate::Candidate;

/// Most bytes of one index.
const MOST_INDEX: usize = 1 << 30;
/// Pin priority of what only the host has.
const STATUS_PIN: u16 = 100;

/// How an archive's packages are taken (the pin priorities of `apt_preferences(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pull {
    /// `NotAutomatic`: never by itself; priority 1.
    NotAutomatic,
    /// `NotAutomatic` and `ButAutomaticUpgrades`, as backports have it: priority 100.
    Upgrades,
    /// Everything else: priority 500.
    Automatic,
}

impl Pull {
    /// The pin priority.
    pub const fn priority(self) -> u16 {
        match self {
            Self::NotAutomatic => 1,
            Self::Upgrades => 100,
            Self::Automatic => 500,
        }
    }
}

/// Where an index comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name for messages, such as `debian bookworm/main`.
    pub name: String,
    /// How its packages are taken.
    pub pull: Pull,
}

/// Number of a source of a [`Pool`], in the order in which they were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceId(pub(crate) u32);

/// One version of one package of a [`Pool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CandidateId(pub(crate) u32);

impl CandidateId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// An index that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// It is no control file.
    #[error("the index of {source_name} cannot be read: {reason}")]
    Control {
        /// Its source.
        source_name: String,
        /// What is wrong.
        reason: ControlError,
    },
    /// A stanza that lacks what every package has, or has it wrong.
    #[error("the index of {source_name} has a stanza that cannot be used: {reason}")]
    Stanza {
        /// Its source.
        source_name: String,
        /// What is wrong, safe to print.
        reason: String,
    },
    /// It is too large.
    #[error("the index of {source_name} is larger than 1 GiB")]
    Size {
        /// Its source.
        source_name: String,
    },
}

/// What several archives offer to one architecture.
#[derive(Clone)]
pub struct Pool {
    arch: String,
    sources: Vec<Source>,
    texts: Vec<Arc<str>>,
    names: Names,
    slots: Vec<Slot>,
    entries: Vec<Entry>,
    /// The names that each candidate provides.
    provided: Vec<Vec<NameId>>,
}

/// What is known of a name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slot {
    /// Its versions, highest first.
    pub(crate) versions: Vec<CandidateId>,
    /// Who provides it, in order of appearance.
    pub(crate) providers: Vec<Provider>,
    /// The version that the host has.
    pub(crate) current: Option<CandidateId>,
    /// Whether the host's administrator holds it.
    pub(crate) is_held: bool,
    /// Whether any version of it is essential, as apt sees it.
    pub(crate) is_essential: bool,
    /// Whether any version of it is protected.
    pub(crate) is_important: bool,
}

/// A place in one of the texts.
#[derive(Debug, Clone, Copy)]
struct At {
    text: u32,
    start: u32,
}

impl At {
    /// The place of a part of the stanza that starts here.
    fn range(self, stanza: &str, part: &str) -> Range<u32> {
        let place = place(stanza, part);
        let absolute = |at: usize| {
            u32::try_from(at)
                .unwrap_or(u32::MAX)
                .saturating_add(self.start)
        };
        absolute(place.start)..absolute(place.end)
    }
}

/// Somebody who provides a name.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    pub(crate) by: CandidateId,
    /// Place of the stated version in the text, if one is stated.
    version: Option<Range<u32>>,
    /// Whether `name:any` is provided as well.
    pub(crate) any: bool,
    /// Whether the name without qualifier is.
    pub(crate) plain: bool,
}

/// A candidate.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: NameId,
    pub(crate) source: Option<SourceId>,
    pub(crate) text: u32,
    pub(crate) stanza: Range<u32>,
    pub(crate) version: Range<u32>,
    pub(crate) priority: u8,
    pub(crate) multi_arch: MultiArch,
    pub(crate) phased: u8,
    /// Highest pin priority of the sources that have it.
    pub(crate) pin: u16,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, arch) = (self.entries.len(), &self.arch);
        write!(f, "Pool({count} for {arch} from {:?})", self.sources)
    }
}

impl Pool {
    /// An empty pool for an architecture in Debian's words, such as `amd64`.
    pub fn new(arch: &str) -> Self {
        Self {
            arch: arch.to_owned(),
            sources: Vec::new(),
            texts: Vec::new(),
            names: Names::default(),
            slots: Vec::new(),
            entries: Vec::new(),
            provided: Vec::new(),
        }
    }

    /// The architecture.
    pub fn arch(&self) -> &str {
        &self.arch
    }

    /// Takes in an index. The order counts: of the same version in two sources the first is taken, and providers that
    /// are equal in everything else are taken as apt does it, by their first appearance.
    pub fn add_index(
        &mut self,
        source: Source,
        bytes: impl AsRef<[u8]>,
    ) -> Result<SourceId, PoolError> {
        let source_name = source.name.clone();
        let Ok(id) = u32::try_from(self.sources.len()).map(SourceId) else {
            return Err(PoolError::Size { source_name });
        };
        let pull = source.pull;
        self.sources.push(source);
        self.add_text(&source_name, Some((id, pull)), bytes.as_ref())?;
        Ok(id)
    }

    /// Takes in what a host has. After all indexes, once.
    pub fn add_status(&mut self, status: &Status) -> Result<(), PoolError> {
        for package in status.packages.iter().filter(|p| p.held) {
            if let Some(slot) = self.slot_of(&package.name) {
                slot.is_held = true;
            }
        }
        for id in self.add_text("the status file", None, status.text.as_bytes())? {
            let name = self.entries.get(id.index()).map(|entry| entry.name);
            if let Some(slot) = name.and_then(|name| self.slots.get_mut(name.index())) {
                slot.current = Some(id);
            }
        }
        Ok(())
    }

    /// Reads a text; its candidates in order.
    fn add_text(
        &mut self,
        source_name: &str,
        source: Option<(SourceId, Pull)>,
        bytes: &[u8],
    ) -> Result<Vec<CandidateId>, PoolError> {
        let source_name = source_name.to_owned();
        if bytes.len() > MOST_INDEX {
            return Err(PoolError::Size { source_name });
        }
        let text: Arc<str> = match control::text(bytes) {
            Ok(text) => Arc::from(text),
            Err(reason) => {
                return Err(PoolError::Control {
                    source_name,
                    reason,
                });
            }
        };
        let Ok(number) = u32::try_from(self.texts.len()) else {
            return Err(PoolError::Size { source_name });
        };
        let fail = |reason: String| PoolError::Stanza {
            source_name: source_name.clone(),
            reason,
        };
        self.texts.push(text.clone());
        let mut added = Vec::new();
        let (mut stanzas, mut fields) = (control::stanzas(&text), FieldList::default());
        while let Some(stanza) = stanzas.next_with(&mut fields) {
            let stanza = stanza.map_err(|reason| PoolError::Control {
                source_name: source_name.clone(),
                reason,
            })?;
            if let Some(scanned) = Scanned::of(&text, &fields, &self.arch).map_err(fail)? {
                let start = u32::try_from(stanza.start()).unwrap_or(u32::MAX);
                let at = At {
                    text: number,
                    start,
                };
                let id = self.add(&scanned, stanza.text(), at, source);
                added.push(id.map_err(fail)?);
            }
        }
        Ok(added)
    }

    fn add(
        &mut self,
        scanned: &Scanned<'_>,
        stanza: &str,
        at: At,
        source: Option<(SourceId, Pull)>,
    ) -> Result<CandidateId, String> {
        let full = || "more names than can be counted".to_owned();
        let name = self.names.add(scanned.name).ok_or_else(full)?;
        self.grow();
        let pin = source.map_or(STATUS_PIN, |(_, pull)| pull.priority());
        let version = Version::parse(scanned.version).map_err(|e| e.to_string())?;
        let (place, known) = self.place(name, version, scanned.sha256, source.is_some());
        if let Some(known) = known {
            if let Some(entry) = self.entries.get_mut(known.index()) {
                entry.pin = entry.pin.max(pin);
            }
            return Ok(known);
        }
        for mentioned in scanned.mentioned() {
            self.names.add(mentioned).ok_or_else(full)?;
        }
        self.grow();
        let id = CandidateId(u32::try_from(self.entries.len()).map_err(|_many| full())?);
        let entry = Entry {
            name,
            source: source.map(|(id, _)| id),
            text: at.text,
            stanza: at.range(stanza, stanza),
            version: at.range(stanza, scanned.version),
            priority: scanned.priority,
            multi_arch: scanned.multi_arch,
            phased: scanned.phased,
            pin,
        };
        self.entries.push(entry);
        if let Some(slot) = self.slots.get_mut(name.index()) {
            slot.versions.insert(place.min(slot.versions.len()), id);
            slot.is_essential |= scanned.essential;
            slot.is_important |= scanned.important;
        }
        self.add_provides(id, scanned, stanza, at)?;
        Ok(id)
    }

    fn grow(&mut self) {
        self.slots.resize_with(self.names.len(), Slot::default);
    }

    fn slot_of(&mut self, name: &str) -> Option<&mut Slot> {
        let id = self.names.find(name)?;
        self.slots.get_mut(id.index())
    }

    /// Where a version belongs among those of its package, or which of them it is.
    fn place(
        &self,
        name: NameId,
        version: Version<'_>,
        sha256: &str,
        is_offered: bool,
    ) -> (usize, Option<CandidateId>) {
        let versions = self
            .slot(name)
            .map(|s| s.versions.as_slice())
            .unwrap_or_default();
        for (place, id) in versions.iter().enumerate() {
            let Some(other) = self.candidate(*id) else {
                continue;
            };
            let order = Version::parse(other.version()).map(|other| version.cmp(&other));
            let same = other.field("SHA256").unwrap_or_default() == sha256;
            match order {
                Ok(Ordering::Greater) => return (place, None),
                Ok(Ordering::Equal) if same || !is_offered => return (place, Some(*id)),
                _ => {}
            }
        }
        (versions.len(), None)
    }

    fn add_provides(
        &mut self,
        by: CandidateId,
        scanned: &Scanned<'_>,
        stanza: &str,
        at: At,
    ) -> Result<(), String> {
        let allowed = scanned.multi_arch == MultiArch::Allowed;
        let mut names = Vec::new();
        let all = relation::provides(scanned.provides, &self.arch);
        for provided in all.map_err(|e| format!("{}: {e}", scanned.name))? {
            let (plain, any) = match provided.qualifier {
                Qualifier::Same => (true, allowed),
                Qualifier::Any => (false, true),
                Qualifier::Native => (true, false),
                Qualifier::Of(arch) => (arch == self.arch, false),
            };
            let version = provided.version.map(|v| v.as_str());
            let is_itself = provided.name == scanned.name
                && version.is_none_or(|version| version == scanned.version);
            if is_itself {
                continue;
            }
            let version = version.map(|version| at.range(stanza, version));
            let provider = Provider {
                by,
                version,
                any,
                plain,
            };
            // Known already, unless it is provided as `name:any` only.
            let Some(name) = self.names.add(provided.name) else {
                continue;
            };
            self.grow();
            if let Some(slot) = self.slots.get_mut(name.index()) {
                slot.providers.push(provider);
                names.push(name);
            }
        }
        self.provided.push(names);
        Ok(())
    }

    pub(crate) fn part(&self, text: u32, range: &Range<u32>) -> &str {
        let text = self.texts.get(text as usize);
        let range = range.start as usize..range.end as usize;
        text.and_then(|text| text.get(range)).unwrap_or_default()
    }

    /// A source.
    pub fn source(&self, id: SourceId) -> Option<&Source> {
        self.sources.get(id.0 as usize)
    }

    /// A candidate.
    pub fn candidate(&self, id: CandidateId) -> Option<Candidate<'_>> {
        let entry = self.entries.get(id.index())?;
        Some(Candidate::new(self, id, entry))
    }

    /// Every version of a package, highest first.
    pub fn versions(&self, name: &str) -> Vec<Candidate<'_>> {
        let slot = self.names.find(name).and_then(|id| self.slot(id));
        let ids = slot
            .map(|slot| slot.versions.as_slice())
            .unwrap_or_default();
        ids.iter().filter_map(|id| self.candidate(*id)).collect()
    }

    /// The version that the host has, by [`Pool::add_status`].
    pub fn current(&self, name: &str) -> Option<Candidate<'_>> {
        let slot = self.names.find(name).and_then(|id| self.slot(id))?;
        self.candidate(slot.current?)
    }

    /// Number of candidates.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) const fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn slot(&self, name: NameId) -> Option<&Slot> {
        self.slots.get(name.index())
    }

    pub(crate) fn entry(&self, id: CandidateId) -> Option<&Entry> {
        self.entries.get(id.index())
    }

    /// The names that a candidate provides.
    pub(crate) fn provided_by(&self, id: CandidateId) -> impl Iterator<Item = NameId> {
        let provided = self.provided.get(id.index());
        provided.into_iter().flatten().copied()
    }

    /// The version that a provider states.
    pub(crate) fn provided_version(&self, provider: &Provider) -> Option<Version<'_>> {
        let entry = self.entry(provider.by)?;
        Version::parse(self.part(entry.text, provider.version.as_ref()?)).ok()
    }
}
