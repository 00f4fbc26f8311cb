//! From marks to the answer: what is installed, who wanted it, and whether every relation holds.

use std::collections::{BTreeMap, VecDeque};

use crate::eco::debian::names::NameId;
use crate::eco::debian::pool::CandidateId;
use crate::eco::debian::solve::needs::Need;
use crate::eco::debian::solve::state::{Mode, State, View};
use crate::eco::debian::solve::sweep::EDGES;
use crate::eco::debian::solve::{Chosen, Reason, Selection, SolveError};

/// The packages that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    /// The user's.
    pub(crate) wishes: Vec<NameId>,
    /// Those of the Essential set and apt.
    pub(crate) essential: Vec<NameId>,
}

impl Roots {
    pub(crate) fn all(&self) -> impl Iterator<Item = NameId> {
        self.wishes.iter().chain(&self.essential).copied()
    }
}

impl<'p> State<'p> {
    /// The answer, unless a relation does not hold in it or something would be removed.
    pub(crate) fn answer(&mut self, roots: &Roots) -> Result<Selection, SolveError> {
        self.refuse_removals()?;
        let mut ids: Vec<CandidateId> = Vec::new();
        for name in self.all() {
            let mark = self.mark(name);
            if let Some(id) = mark.install.filter(|_| mark.mode == Mode::Install) {
                ids.push(id);
            }
        }
        ids.sort_by_key(|id| self.pool.candidate(*id).map(|c| c.name()));
        let places: BTreeMap<CandidateId, usize> = ids.iter().copied().zip(0..).collect();
        let mut reasons: Vec<Option<Reason>> = vec![None; ids.len()];
        let mut edges: Vec<Vec<usize>> = Vec::new();
        let mut unmet = Vec::new();
        for id in &ids {
            edges.push(
                self.edges(*id, &places, &mut unmet)
                    .into_iter()
                    .map(|e| e.0)
                    .collect(),
            );
        }
        self.spread(&ids, &places, roots, &mut reasons);
        let mut chosen = Vec::new();
        for ((id, reason), dependencies) in ids.into_iter().zip(reasons).zip(edges) {
            let current = self.name_of(id).and_then(|name| self.current(name));
            let replaces = current.and_then(|id| self.pool.candidate(id));
            chosen.push(Chosen {
                candidate: id,
                reason: reason.unwrap_or(Reason::Kept),
                replaces: replaces.map(|c| c.version().to_owned()),
                dependencies,
            });
        }
        unmet.sort();
        Ok(Selection {
            chosen,
            present: self.already_there(roots),
            held: self.held_back(),
            unmet_recommends: unmet,
        })
    }

    /// Where the edges of a candidate lead inside the answer, sorted, and the fields they stand in.
    fn edges(
        &mut self,
        id: CandidateId,
        places: &BTreeMap<CandidateId, usize>,
        unmet: &mut Vec<String>,
    ) -> Vec<(usize, &'static str)> {
        let mut found: BTreeMap<usize, &'static str> = BTreeMap::new();
        for need in self
            .needs_of(id)
            .iter()
            .filter(|need| EDGES.contains(&need.field))
        {
            if !need.field.is_critical() && !self.recommends {
                continue;
            }
            let solutions = self.first_solutions(need);
            if solutions.is_empty() && !need.field.is_critical() {
                let name = self.pool.candidate(id).map(|c| c.name());
                unmet.push(format!("{}: {}", name.unwrap_or_default(), need.text()));
            }
            for place in solutions.iter().filter_map(|id| places.get(id)) {
                found.entry(*place).or_insert(need.field.as_str());
            }
        }
        found.into_iter().collect()
    }

    /// What satisfies the first alternative that is satisfied at all.
    pub(crate) fn first_solutions(&self, need: &Need<'p>) -> Vec<CandidateId> {
        let all = need.alternatives.iter();
        let mut solutions = all.map(|a| self.solutions(need, a, View::Install));
        solutions
            .find(|found| !found.is_empty())
            .unwrap_or_default()
    }

    /// Says of everything that is reached from the roots who needs it, by the shortest way.
    fn spread(
        &mut self,
        ids: &[CandidateId],
        places: &BTreeMap<CandidateId, usize>,
        roots: &Roots,
        reasons: &mut [Option<Reason>],
    ) {
        let mut open = VecDeque::new();
        let mut say = |place: usize, reason: Reason, open: &mut VecDeque<usize>| {
            if let Some(slot) = reasons.get_mut(place).filter(|slot| slot.is_none()) {
                *slot = Some(reason);
                open.push_back(place);
            }
        };
        let place_of = |state: &Self, name: NameId| {
            let id = state.mark(name).install;
            id.and_then(|id| places.get(&id).copied())
        };
        for name in roots.all() {
            let wished = roots.wishes.contains(&name);
            let reason = if wished {
                Reason::Wish
            } else {
                Reason::Essential
            };
            if let Some(place) = place_of(self, name) {
                say(place, reason, &mut open);
            }
        }
        for name in self.present.clone() {
            if let Some(place) = place_of(self, name) {
                say(place, Reason::Upgrade, &mut open);
            }
        }
        while let Some(by) = open.pop_front() {
            let Some(id) = ids.get(by) else {
                continue;
            };
            for (place, field) in self.edges(*id, places, &mut Vec::new()) {
                say(place, Reason::Needed { by, field }, &mut open);
            }
        }
    }

    /// Wishes for which nothing need be done.
    fn already_there(&self, roots: &Roots) -> Vec<String> {
        let there = |name: NameId| {
            let mark = self.mark(name);
            let id = mark.install.filter(|_| mark.mode == Mode::Keep)?;
            self.title(id)
        };
        let mut all: Vec<String> = roots.all().filter_map(there).collect();
        all.sort();
        all.dedup();
        all
    }

    fn held_back(&self) -> Vec<String> {
        let held = |name: &NameId| {
            let is_held = self.pool.slot(*name).is_some_and(|slot| slot.is_held);
            let current = self.current(*name)?;
            let newer = self.mark(*name).candidate != Some(current);
            (is_held && newer).then(|| self.title(current)).flatten()
        };
        self.present.iter().filter_map(held).collect()
    }

    /// `name=version`.
    pub(crate) fn title(&self, id: CandidateId) -> Option<String> {
        let candidate = self.pool.candidate(id)?;
        Some(format!("{}={}", candidate.name(), candidate.version()))
    }

    fn refuse_removals(&mut self) -> Result<(), SolveError> {
        for name in self.present.clone() {
            let current = self.current(name);
            if self.mark(name).mode != Mode::Delete {
                continue;
            }
            let package = current.and_then(|id| self.title(id)).unwrap_or_default();
            let because = current.and_then(|id| self.excluded_by(id));
            return Err(SolveError::Removal {
                package,
                because: because.unwrap_or_else(|| "what is asked for".to_owned()),
            });
        }
        Ok(())
    }
}
