//! What is marked, and which needs that satisfies.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::eco::debian::names::NameId;
use crate::eco::debian::pool::{CandidateId, Pool, Provider};
use crate::eco::debian::scan::MultiArch;
use crate::eco::debian::solve::needs::{Alternative, Field, Need, Needs};
use crate::eco::debian::solve::{Phased, SolveRequest};
use crate::eco::debian::version::Version;

/// What happens to a package.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It stays as it is: there or not.
    #[default]
    Keep,
    /// Its candidate is installed.
    Install,
    /// It is removed.
    Delete,
}

/// What is marked for one name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mark {
    pub(crate) mode: Mode,
    /// The version that would be installed.
    pub(crate) candidate: Option<CandidateId>,
    /// The version that is there in the end.
    pub(crate) install: Option<CandidateId>,
    /// Only the user may change it.
    pub(crate) protected: bool,
    /// Nobody asked for it.
    pub(crate) auto: bool,
    /// Candidates that were taken away without anybody being told: when, and what it was before.
    quiet: Vec<(u32, Option<CandidateId>)>,
}

/// The versions that a need is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// What is there now.
    Now,
    /// What is there in the end.
    Install,
    /// What could be.
    Candidate,
    /// What could be, as apt remembers it: it does not look again when a candidate is discarded, but only when
    /// something else of the name changes, and its answers depend on that.
    Remembered,
}

/// The whole state.
#[derive(Debug)]
pub(crate) struct State<'p> {
    pub(crate) pool: &'p Pool,
    pub(crate) needs: Needs<'p>,
    pub(crate) recommends: bool,
    pub(crate) phased: Phased,
    marks: Vec<Mark>,
    /// When the relations that name a name were last looked at.
    looked: Vec<u32>,
    clock: u32,
    /// The packages of the baseline.
    pub(crate) present: Vec<NameId>,
    /// Packages of the baseline by a name in their relations.
    pub(crate) dependents: BTreeMap<NameId, Vec<NameId>>,
}

impl<'p> State<'p> {
    pub(crate) fn new(pool: &'p Pool, request: &SolveRequest) -> Self {
        let names: Vec<NameId> = pool.names().all().collect();
        let mark = |name: &NameId| {
            let current = pool.slot(*name).and_then(|slot| slot.current);
            Mark {
                candidate: preferred(pool, *name, request.phased),
                install: current,
                ..Mark::default()
            }
        };
        let marks = names.iter().map(mark).collect();
        let is_present = |name: &NameId| pool.slot(*name).is_some_and(|s| s.current.is_some());
        let mut state = Self {
            pool,
            needs: Needs::new(pool),
            recommends: request.recommends,
            phased: request.phased,
            marks,
            looked: vec![0; names.len()],
            clock: 0,
            present: names.into_iter().filter(is_present).collect(),
            dependents: BTreeMap::new(),
        };
        for name in state.present.clone() {
            let needs = state.current(name).map(|id| state.needs.of(id));
            for alternative in needs
                .iter()
                .flat_map(|n| n.iter())
                .flat_map(|n| &n.alternatives)
            {
                if let Some(target) = alternative.target {
                    state.dependents.entry(target).or_default().push(name);
                }
            }
        }
        state
    }

    pub(crate) fn mark(&self, name: NameId) -> &Mark {
        static NONE: Mark = Mark {
            mode: Mode::Keep,
            candidate: None,
            install: None,
            protected: false,
            auto: false,
            quiet: Vec::new(),
        };
        self.marks.get(name.index()).unwrap_or(&NONE)
    }

    pub(crate) fn mark_mut(&mut self, name: NameId) -> Option<&mut Mark> {
        self.marks.get_mut(name.index())
    }

    /// Changes what is marked; relations that name it, or what it provides, are looked at again.
    pub(crate) fn change(&mut self, name: NameId, change: impl FnOnce(&mut Mark)) {
        if let Some(mark) = self.marks.get_mut(name.index()) {
            change(mark);
        }
        self.clock = self.clock.saturating_add(1);
        self.look(name);
        let versions = [self.current(name), self.mark(name).candidate];
        for id in versions.into_iter().flatten() {
            for provided in self.pool.provided_by(id) {
                self.look(provided);
            }
        }
    }

    fn look(&mut self, name: NameId) {
        if let Some(looked) = self.looked.get_mut(name.index()) {
            *looked = self.clock;
        }
    }

    pub(crate) fn protect(&mut self, name: NameId, protected: bool) {
        if let Some(mark) = self.marks.get_mut(name.index()) {
            mark.protected = protected;
        }
    }

    /// Takes the candidate of a package away, or gives it another, without a second look at what names it.
    pub(crate) fn discard(&mut self, name: NameId, candidate: Option<CandidateId>) {
        self.clock = self.clock.saturating_add(1);
        let clock = self.clock;
        if let Some(mark) = self.marks.get_mut(name.index())
            && mark.candidate != candidate
        {
            mark.quiet.push((clock, mark.candidate));
            mark.candidate = candidate;
        }
    }

    pub(crate) fn current(&self, name: NameId) -> Option<CandidateId> {
        self.pool.slot(name).and_then(|slot| slot.current)
    }

    /// The version of `name` that a view shows to relations that name `target`.
    fn shown(&self, name: NameId, view: View, target: NameId) -> Option<CandidateId> {
        let mark = self.mark(name);
        match view {
            View::Now => self.current(name),
            View::Install => mark.install,
            View::Candidate => mark.candidate,
            View::Remembered => {
                let looked = self.looked.get(target.index()).copied().unwrap_or_default();
                let later = mark.quiet.iter().find(|(when, _)| *when > looked);
                later.map_or(mark.candidate, |(_, before)| *before)
            }
        }
    }

    /// The candidates that satisfy an alternative in a view, real ones first. A package that excludes something never
    /// means itself.
    pub(crate) fn solutions(
        &self,
        need: &Need<'p>,
        alternative: &Alternative<'p>,
        view: View,
    ) -> Vec<CandidateId> {
        let Some(target) = alternative.target else {
            return Vec::new();
        };
        let mut found = Vec::new();
        if !(need.field.excludes() && target == need.owner)
            && let Some(id) = self.shown(target, view, target)
            && self.is_real(alternative, id)
        {
            found.push(id);
        }
        for provider in self.providers(target) {
            let Some(owner) = self.pool.entry(provider.by).map(|entry| entry.name) else {
                continue;
            };
            let serves = if alternative.any {
                provider.any
            } else {
                provider.plain
            };
            if serves
                && !(need.field.excludes() && owner == need.owner)
                && self.shown(owner, view, target) == Some(provider.by)
                && alternative
                    .relation
                    .admits_provided(self.pool.provided_version(provider))
                && !found.contains(&provider.by)
            {
                found.push(provider.by);
            }
        }
        found
    }

    /// Whether an alternative means a candidate, be it marked or not.
    pub(crate) fn matches(
        &self,
        need: &Need<'p>,
        alternative: &Alternative<'p>,
        id: CandidateId,
    ) -> bool {
        let Some((target, name)) = alternative.target.zip(self.name_of(id)) else {
            return false;
        };
        if need.field.excludes() && name == need.owner {
            return false;
        }
        let mut provided = self
            .providers(target)
            .iter()
            .filter(|provider| provider.by == id);
        (name == target && self.is_real(alternative, id))
            || provided.any(|p| {
                alternative
                    .relation
                    .admits_provided(self.pool.provided_version(p))
            })
    }

    pub(crate) fn providers(&self, target: NameId) -> &'p [Provider] {
        self.pool
            .slot(target)
            .map(|slot| slot.providers.as_slice())
            .unwrap_or_default()
    }

    /// Whether a package of the name itself will do.
    pub(crate) fn is_real(&self, alternative: &Alternative<'p>, id: CandidateId) -> bool {
        let Some(entry) = self.pool.entry(id) else {
            return false;
        };
        let version = self.pool.candidate(id).map(|c| Version::parse(c.version()));
        let fits = version.is_some_and(|v| v.is_ok_and(|v| alternative.relation.admits(v)));
        fits && (!alternative.any || entry.multi_arch == MultiArch::Allowed)
    }

    /// Whether a need holds in a view.
    pub(crate) fn holds(&self, need: &Need<'p>, view: View) -> bool {
        let met = need
            .alternatives
            .iter()
            .any(|alternative| !self.solutions(need, alternative, view).is_empty());
        met != need.field.excludes()
    }

    pub(crate) const fn follows(&self, field: Field) -> bool {
        match field {
            Field::Recommends => self.recommends,
            Field::Suggests => false,
            _ => true,
        }
    }

    /// Whether what is there in the end lacks something: what it depends on, or also what it recommends.
    pub(crate) fn is_broken(&mut self, name: NameId, policy: bool) -> bool {
        let needs = self.mark(name).install.map(|id| self.needs.of(id));
        needs.is_some_and(|needs| {
            needs.iter().any(|need| {
                let counts = need.field.is_critical() || (policy && self.follows(need.field));
                counts && !self.holds(need, View::Install)
            })
        })
    }

    /// The needs of a candidate.
    pub(crate) fn needs_of(&mut self, id: CandidateId) -> Rc<[Need<'p>]> {
        self.needs.of(id)
    }

    pub(crate) fn name_of(&self, id: CandidateId) -> Option<NameId> {
        self.pool.entry(id).map(|entry| entry.name)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = NameId> + use<> {
        self.pool.names().all()
    }
}

/// The version that would be installed: of the highest priority, and of those the highest, but none below the one that
/// is there.
pub(crate) fn preferred(pool: &Pool, name: NameId, phased: Phased) -> Option<CandidateId> {
    let slot = pool.slot(name)?;
    let version = |id: CandidateId| {
        pool.candidate(id)
            .and_then(|c| Version::parse(c.version()).ok())
    };
    let current = slot.current.and_then(version);
    let mut best: Option<(u16, CandidateId)> = None;
    for id in slot.versions.iter().copied() {
        let entry = pool.entry(id)?;
        let rolling = entry.phased < 100 && phased == Phased::Wait;
        let pin = if rolling { entry.pin.min(1) } else { entry.pin };
        if best.is_some_and(|(most, _)| pin <= most) || current > version(id) {
            continue;
        }
        best = Some((pin, id));
    }
    best.map(|(_, id)| id)
}
