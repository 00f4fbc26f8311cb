//! What the archives offer to one architecture: every version of every package of several indexes, and who provides
//! what. The texts are kept as they came; a candidate is a place in one of them.

use std::fmt;
use std::ops::Range;

use crate::base::digest::Digest;
use crate::eco::debian::control::{self, ControlError, Stanza};
use crate::eco::debian::names::{NameId, Names};
use crate::eco::debian::status::Status;
use crate::eco::debian::version::Version;

pub use crate::eco::debian::scan::MultiArch;
use crate::eco::debian::scan::Scanned;

/// Most bytes of one index.
const MOST_INDEX: usize = 1 << 30;

/// How an archive's packages are taken (the pin priorities of apt_preferences(5)).
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
    texts: Vec<String>,
    names: Names,
    slots: Vec<Slot>,
    entries: Vec<Entry>,
}

/// What is known of a name.
#[derive(Debug, Clone, Default)]
struct Slot {
    /// Its versions, highest first.
    versions: Vec<CandidateId>,
    /// Who provides it, in order of appearance.
    providers: Vec<Provider>,
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
    text: u32,
    stanza: Range<u32>,
    version: Range<u32>,
    pub(crate) priority: u8,
    pub(crate) multi_arch: MultiArch,
    pub(crate) essential: bool,
    pub(crate) important: bool,
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
    /// Its number.
    pub const fn id(&self) -> CandidateId {
        self.id
    }

    /// Name of the package.
    pub fn name(&self) -> &'p str {
        self.pool.names.name(self.entry.name)
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
    pub const fn is_essential(&self) -> bool {
        self.entry.essential
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
        }
    }

    /// The architecture.
    pub fn arch(&self) -> &str {
        &self.arch
    }

    /// Takes in an index. The order counts: of the same version in two sources the first is taken, and providers that
    /// are equal in everything else are taken as apt does it, by their first appearance.
    pub fn add_index(&mut self, source: Source, bytes: Vec<u8>) -> Result<SourceId, PoolError> {
        let source_name = source.name.clone();
        let Ok(id) = u32::try_from(self.sources.len()).map(SourceId) else {
            return Err(PoolError::Size { source_name });
        };
        let pull = source.pull;
        self.sources.push(source);
        self.add_text(&source_name, Some((id, pull)), bytes)?;
        Ok(id)
    }

    /// Takes in what a host has. After all indexes, once.
    pub fn add_status(&mut self, status: &Status) -> Result<(), PoolError> {
        let text = status.text.clone().into_bytes();
        self.add_text("the status file", None, text)?;
        Ok(())
    }

    pub(crate) fn add_text(
        &mut self,
        source_name: &str,
        source: Option<(SourceId, Pull)>,
        bytes: Vec<u8>,
    ) -> Result<Vec<CandidateId>, PoolError> {
        let source_name = source_name.to_owned();
        if bytes.len() > MOST_INDEX {
            return Err(PoolError::Size { source_name });
        }
        let text = String::from_utf8(bytes).map_err(|e| {
            let reason = control::text(e.as_bytes()).err();
            let reason = reason.unwrap_or_else(|| ControlError {
                line: 0,
                reason: "not UTF-8".to_owned(),
            });
            PoolError::Control {
                source_name: source_name.clone(),
                reason,
            }
        })?;
        let mut added = Vec::new();
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        for stanza in control::stanzas(&text) {
            let stanza = stanza.map_err(|reason| PoolError::Control {
                source_name: source_name.clone(),
                reason,
            })?;
            let scanned = Scanned::of(stanza, &self.arch).map_err(|reason| PoolError::Stanza {
                source_name: source_name.clone(),
                reason,
            })?;
            if let Some(scanned) = scanned {
                added.extend(self.add(number, &scanned, stanza, source));
            }
        }
        self.texts.push(text);
        Ok(added)
    }

    fn add(
        &mut self,
        text: u32,
        scanned: &Scanned<'_>,
        stanza: Stanza<'_>,
        source: Option<(SourceId, Pull)>,
    ) -> Option<CandidateId> {
        let _ = (text, scanned, stanza, source);
        None
    }

    fn part(&self, text: u32, range: &Range<u32>) -> &str {
        let text = self.texts.get(text as usize).map(String::as_str);
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
        Some(Candidate {
            pool: self,
            id,
            entry,
        })
    }

    /// Every version of a package, highest first.
    pub fn versions(&self, name: &str) -> Vec<Candidate<'_>> {
        let id = self.names.find(name);
        let slot = id.and_then(|id| self.slots.get(id.index()));
        let ids = slot
            .map(|slot| slot.versions.as_slice())
            .unwrap_or_default();
        ids.iter().filter_map(|id| self.candidate(*id)).collect()
    }

    /// The parsed version of a candidate.
    pub(crate) fn version_of(&self, id: CandidateId) -> Option<Version<'_>> {
        Version::parse(self.candidate(id)?.version()).ok()
    }
}
