//! Which of several packages that would do is taken.

use crate::eco::debian::names::NameId;
use crate::eco::debian::pool::CandidateId;
use crate::eco::debian::scan::MultiArch;
use crate::eco::debian::solve::needs::{Field, Need};
use crate::eco::debian::solve::state::{Mode, State, View};

impl<'p> State<'p> {
    /// Whether an upgrade may go on ignoring a recommendation: the version that is there has one on the same package,
    /// and nothing satisfies it.
    pub(crate) fn was_open(&mut self, name: NameId, need: &Need<'p>) -> bool {
        let target = need.alternatives.first().and_then(|a| a.target);
        let needs = self.current(name).map(|id| self.needs_of(id));
        let mut known = false;
        for old in needs.iter().flat_map(|needs| needs.iter()) {
            let same = old.alternatives.iter().any(|a| a.target == target);
            if old.field == Field::Recommends && self.follows(old.field) && same {
                known = true;
                if self.holds(old, View::Now) {
                    return false;
                }
            }
        }
        known
    }

    /// Whether a hard choice has ruled a candidate out.
    pub(crate) fn is_out(&self, id: CandidateId) -> bool {
        self.name_of(id).is_some_and(|name| {
            let mark = self.mark(name);
            let absent = mark.mode == Mode::Keep && self.current(name).is_none();
            mark.protected && (mark.mode == Mode::Delete || absent)
        })
    }

    /// What could satisfy a need, best first: what is there already, then in the order of the alternatives.
    pub(crate) fn choices(&self, need: &Need<'p>, view: View) -> Vec<CandidateId> {
        let (mut there, mut new) = (Vec::new(), Vec::new());
        for alternative in &need.alternatives {
            if view == View::Candidate
                && self
                    .solutions(need, alternative, View::Remembered)
                    .is_empty()
            {
                continue;
            }
            let mut found = self.solutions(need, alternative, view);
            let target = alternative.target.filter(|_| !alternative.any);
            found.sort_by_cached_key(|id| self.rank(*id, target));
            for id in found {
                let name = self.name_of(id);
                let is_there = name.is_some_and(|name| self.current(name).is_some());
                let list = if is_there { &mut there } else { &mut new };
                list.push(id);
            }
        }
        there.append(&mut new);
        there.dedup();
        if !need.field.excludes() {
            there.retain(|id| !self.is_out(*id));
        }
        there
    }

    /// The order among those that satisfy one alternative; what is best comes first.
    fn rank(&self, id: CandidateId, target: Option<NameId>) -> impl Ord + use<> {
        let name = self.name_of(id);
        let entry = self.pool.entry(id);
        let slot = name.and_then(|name| self.pool.slot(name));
        let is_there = name.is_some_and(|name| self.current(name).is_some());
        let same = entry.is_some_and(|entry| entry.multi_arch == MultiArch::Same);
        (
            !name.is_some_and(|name| self.mark(name).protected),
            !(same && is_there),
            !is_there,
            name != target,
            !slot.is_some_and(|slot| slot.is_essential),
            !slot.is_some_and(|slot| slot.is_important),
            entry.map(|entry| entry.priority),
            std::cmp::Reverse(name),
        )
    }
}
