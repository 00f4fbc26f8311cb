//! The relations of a candidate with the names in them looked up: read when they are first wanted, kept for the rest of
//! the work.

use std::rc::Rc;

use crate::eco::debian::names::NameId;
use crate::eco::debian::pool::{CandidateId, Pool};
use crate::eco::debian::relation::{self, Qualifier, Relation};

/// A dependency field, in the order in which apt reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    PreDepends,
    Depends,
    Conflicts,
    Breaks,
    Recommends,
    Suggests,
}

impl Field {
    pub(crate) const ALL: [Self; 6] = [
        Self::PreDepends,
        Self::Depends,
        Self::Conflicts,
        Self::Breaks,
        Self::Recommends,
        Self::Suggests,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::PreDepends => "Pre-Depends",
            Self::Depends => "Depends",
            Self::Conflicts => "Conflicts",
            Self::Breaks => "Breaks",
            Self::Recommends => "Recommends",
            Self::Suggests => "Suggests",
        }
    }

    /// Whether it says what may not be there.
    pub(crate) const fn excludes(self) -> bool {
        matches!(self, Self::Conflicts | Self::Breaks)
    }

    /// Whether a package is broken when it does not hold.
    pub(crate) const fn is_critical(self) -> bool {
        !matches!(self, Self::Recommends | Self::Suggests)
    }
}

/// One alternative of a need.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alternative<'p> {
    /// The name, unless it is asked for another architecture.
    pub(crate) target: Option<NameId>,
    /// Whether `:any` is asked for.
    pub(crate) any: bool,
    pub(crate) relation: Relation<'p>,
}

/// Alternatives of which one must hold; for fields that exclude, the one that may not.
#[derive(Debug)]
pub(crate) struct Need<'p> {
    pub(crate) field: Field,
    /// Who has it.
    pub(crate) owner: NameId,
    pub(crate) alternatives: Vec<Alternative<'p>>,
}

impl Need<'_> {
    /// As it is written.
    pub(crate) fn text(&self) -> String {
        let all: Vec<String> = self
            .alternatives
            .iter()
            .map(|a| a.relation.to_string())
            .collect();
        crate::base::text::escaped(&all.join(" | "))
    }
}

/// The needs of every candidate that was looked at.
#[derive(Debug)]
pub(crate) struct Needs<'p> {
    pool: &'p Pool,
    known: Vec<Option<Rc<[Need<'p>]>>>,
    /// The first field that could not be read.
    pub(crate) fault: Option<String>,
}

impl<'p> Needs<'p> {
    pub(crate) fn new(pool: &'p Pool) -> Self {
        Self {
            pool,
            known: vec![None; pool.len()],
            fault: None,
        }
    }

    pub(crate) fn of(&mut self, id: CandidateId) -> Rc<[Need<'p>]> {
        let known = self.known.get(id.index()).cloned().flatten();
        known.unwrap_or_else(|| {
            let read: Rc<[Need<'p>]> = self.read(id).into();
            if let Some(slot) = self.known.get_mut(id.index()) {
                *slot = Some(read.clone());
            }
            read
        })
    }

    fn read(&mut self, id: CandidateId) -> Vec<Need<'p>> {
        let Some(candidate) = self.pool.candidate(id) else {
            return Vec::new();
        };
        let fields = candidate.fields(Field::ALL.map(Field::as_str));
        let mut needs = Vec::new();
        for (field, text) in Field::ALL.into_iter().zip(fields) {
            match relation::parse(text.unwrap_or_default(), self.pool.arch()) {
                Ok(groups) => {
                    for group in groups {
                        self.push(&mut needs, field, candidate.name_id(), group);
                    }
                }
                Err(e) => {
                    let (name, version) = (candidate.name(), candidate.version());
                    let said = format!("{} of {name}={version}: {e}", field.as_str());
                    self.fault.get_or_insert(said);
                }
            }
        }
        needs
    }

    fn push(
        &self,
        needs: &mut Vec<Need<'p>>,
        field: Field,
        owner: NameId,
        group: Vec<Relation<'p>>,
    ) {
        let looked_up = |relation: Relation<'p>| {
            let here = match relation.qualifier {
                Qualifier::Of(arch) => arch == self.pool.arch(),
                Qualifier::Same | Qualifier::Any | Qualifier::Native => true,
            };
            Alternative {
                target: self.pool.names().find(relation.name).filter(|_| here),
                any: relation.qualifier == Qualifier::Any,
                relation,
            }
        };
        let need = |alternatives| Need {
            field,
            owner,
            alternatives,
        };
        let mut alternatives = group.into_iter().map(looked_up);
        if field.excludes() {
            needs.extend(alternatives.map(|one| need(vec![one])));
        } else {
            needs.push(need(alternatives.by_ref().collect()));
        }
    }
}
