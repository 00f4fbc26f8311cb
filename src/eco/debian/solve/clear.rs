//! What stands in the way of a package: candidates that it excludes, and packages of the baseline that must be upgraded with
//! it or removed for it.

use crate::eco::debian::names::NameId;
use crate::eco::debian::pool::CandidateId;
use crate::eco::debian::solve::mark::{By, Task, Work};
use crate::eco::debian::solve::needs::Need;
use crate::eco::debian::solve::state::{Mode, State, View};

impl<'p> State<'p> {
    /// Sorts the needs of a candidate into what to install, and sees to what it excludes.
    pub(crate) fn clear_the_way(&mut self, task: Task, work: &mut Work<'p>) -> bool {
        let needs = self.needs_of(task.candidate);
        let mut excluded = Vec::new();
        for (at, need) in needs.iter().enumerate() {
            let open = |a| self.solutions(need, a, View::Install).is_empty();
            let met = if need.field.excludes() {
                self.holds(need, View::Install)
            } else {
                !need.alternatives.iter().all(open)
            };
            if (met && !task.hard) || !self.follows(need.field) {
                continue;
            }
            if need.field.excludes() {
                excluded.push(at);
            } else {
                work.wanted.push((needs.clone(), at));
            }
        }
        let mut good = true;
        let mut useless = Vec::new();
        for need in excluded.into_iter().filter_map(|at| needs.get(at)) {
            good &= self.keep_out(task, need, &mut useless, work);
            if !good && task.gives_up() {
                return false;
            }
        }
        good
    }

    /// Keeps candidates out that a need excludes; packages that are there are upgraded or removed.
    fn keep_out(
        &mut self,
        task: Task,
        need: &Need<'p>,
        useless: &mut Vec<NameId>,
        work: &mut Work<'p>,
    ) -> bool {
        let mut good = true;
        for id in self.choices(need, View::Candidate) {
            let Some(name) = self
                .name_of(id)
                .filter(|n| self.mark(*n).candidate == Some(id))
            else {
                continue;
            };
            if self.current(name) == Some(id) {
                good &= self.remove_later(task, name, work);
            } else if self.mark(name).mode == Mode::Install && !self.keep(name, task.depth) {
                good = false;
            } else if task.hard {
                self.discard(name, self.mark(name).install);
                if self.current(name).is_none() {
                    self.protect(name, true);
                }
            } else {
                useless.push(name);
            }
            if !good && task.gives_up() {
                return false;
            }
        }
        for id in self.choices(need, View::Now) {
            let Some(name) = self.name_of(id) else {
                continue;
            };
            let candidate = self.mark(name).candidate;
            if candidate != Some(id) && candidate.is_some() && !useless.contains(&name) {
                work.upgrade.push(name);
            } else if candidate != self.current(name) {
                good &= self.remove_later(task, name, work);
            }
            if !good && task.gives_up() {
                return false;
            }
        }
        good
    }

    fn remove_later(&mut self, task: Task, name: NameId, work: &mut Work<'p>) -> bool {
        if !task.hard {
            if self.mark(name).mode == Mode::Delete {
                return true;
            }
            let may = self.may_change(Mode::Delete, name, task.depth, By::Solver);
            if may && !self.is_request(name) {
                work.remove.push(name);
                return true;
            }
            return false;
        }
        if self.mark(name).mode != Mode::Delete && !self.delete(name, task.depth + 1) {
            return false;
        }
        self.discard(name, self.mark(name).install);
        self.protect(name, true);
        true
    }

    /// Packages of the baseline that work with the version that is there and not with the one that comes.
    pub(crate) fn find_dependents(&mut self, task: Task, upgrade: &mut Vec<NameId>) {
        let Some(current) = self.current(task.name) else {
            return;
        };
        let dependents = self.dependents.get(&task.name).cloned().unwrap_or_default();
        for parent in dependents {
            let Some(id) = self.current(parent) else {
                continue;
            };
            if self.mark(parent).mode == Mode::Install || upgrade.contains(&parent) {
                continue;
            }
            let needs = self.needs_of(id);
            let mut named = needs
                .iter()
                .filter(|need| !need.field.excludes() && self.follows(need.field))
                .flat_map(|need| &need.alternatives)
                .filter(|a| a.target == Some(task.name));
            let breaks = |a| self.is_real(a, current) && !self.is_real(a, task.candidate);
            if named.any(breaks) {
                upgrade.push(parent);
            }
        }
    }

    pub(crate) fn upgrade_or_remove(&mut self, task: Task, upgrade: &[NameId]) -> bool {
        let mut good = true;
        for name in upgrade.iter().copied() {
            let depth = task.depth + 1;
            if self.mark(name).mode == Mode::Install || self.install(name, true, depth, By::Solver)
            {
                continue;
            }
            if !self.delete(name, depth) {
                good = false;
                if task.gives_up() {
                    break;
                }
            } else if task.hard {
                self.protect(name, true);
            }
        }
        good
    }

    /// Upgrades packages of the baseline that are built from the same source, to the same version.
    pub(crate) fn upgrade_siblings(&mut self, task: Task) {
        let source = |id: CandidateId| self.pool.candidate(id).map(|c| c.built_from());
        let own = source(task.candidate);
        let behind = |name: &NameId| {
            let candidate = self.mark(*name).candidate;
            let marked =
                self.mark(*name).mode == Mode::Install && self.mark(*name).install == candidate;
            *name != task.name
                && !marked
                && candidate != self.current(*name)
                && candidate.and_then(source) == own
        };
        let siblings: Vec<NameId> = self.present.iter().copied().filter(behind).collect();
        for deep in [false, true] {
            for name in &siblings {
                self.install(*name, deep, task.depth + 1, By::Solver);
            }
        }
    }
}
