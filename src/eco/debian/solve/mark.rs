//! Marking for installation, with the answers of apt 2.6: hard choices before soft ones, and what excludes a hard choice
//! loses its candidate, so that no alternative falls on it later.

use std::rc::Rc;

use crate::eco::debian::names::NameId;
use crate::eco::debian::pool::CandidateId;
use crate::eco::debian::solve::needs::Need;
use crate::eco::debian::solve::state::{Mode, State, View};

/// How deep one package may pull in the next; apt has the same limit.
pub(crate) const DEEPEST: u32 = 3000;

/// Who asks for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    User,
    Solver,
}

/// One package that is being marked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) name: NameId,
    pub(crate) candidate: CandidateId,
    pub(crate) depth: u32,
    pub(crate) by: By,
    /// Whether it was protected before: then what it needs and has no choice about is protected as well.
    pub(crate) hard: bool,
}

impl Task {
    /// Whether a failure ends the work at once.
    pub(crate) fn gives_up(self) -> bool {
        !self.hard && self.by == By::Solver
    }
}

/// What a package asks for, once its conflicts have been looked at.
#[derive(Debug, Default)]
pub(crate) struct Work<'p> {
    /// Groups of which one must be installed.
    pub(crate) wanted: Vec<(Rc<[Need<'p>]>, usize)>,
    /// Packages of the baseline that must be upgraded first.
    pub(crate) upgrade: Vec<NameId>,
    /// Packages that are removed at the end.
    pub(crate) remove: Vec<NameId>,
}

impl<'p> State<'p> {
    /// Whether a package may be changed to a mode at all.
    pub(crate) fn may_change(&self, mode: Mode, name: NameId, depth: u32, by: By) -> bool {
        let Some(slot) = self.pool.slot(name) else {
            return false;
        };
        if depth > DEEPEST || slot.versions.is_empty() {
            return false;
        }
        let mark = self.mark(name);
        if by == By::User || mark.mode == mode {
            return true;
        }
        let kept = slot.is_held && mode != Mode::Keep;
        let needed = mode == Mode::Delete && (slot.is_essential || slot.is_important);
        !mark.protected && !kept && !needed
    }

    /// Whether a package that was not there before and that the user asked for would be taken away again.
    pub(crate) fn is_request(&self, name: NameId) -> bool {
        let mark = self.mark(name);
        self.current(name).is_none() && mark.install.is_some() && !mark.auto
    }

    pub(crate) fn keep(&mut self, name: NameId, depth: u32) -> bool {
        if !self.may_change(Mode::Keep, name, depth, By::Solver) {
            return false;
        }
        if self.mark(name).mode != Mode::Keep {
            let current = self.current(name);
            self.change(name, |mark| {
                mark.mode = Mode::Keep;
                mark.install = current;
            });
        }
        true
    }

    pub(crate) fn delete(&mut self, name: NameId, depth: u32) -> bool {
        if !self.may_change(Mode::Delete, name, depth, By::Solver) {
            return false;
        }
        let mark = self.mark(name);
        if mark.mode == Mode::Delete || mark.install.is_none() {
            return true;
        }
        if self.is_request(name) {
            return false;
        }
        let is_present = self.current(name).is_some();
        self.change(name, |mark| {
            mark.mode = if is_present { Mode::Delete } else { Mode::Keep };
            mark.install = None;
        });
        true
    }

    /// Marks a package, and with `deep` everything it needs. `false`: it cannot be had.
    pub(crate) fn install(&mut self, name: NameId, deep: bool, depth: u32, by: By) -> bool {
        let current = self.current(name);
        let mark = self.mark(name).clone();
        let stays = mark.protected
            && mark.mode == Mode::Keep
            && mark.candidate.is_some()
            && mark.candidate == current;
        if !stays && !self.may_change(Mode::Install, name, depth, by) {
            return false;
        }
        let Some(candidate) = mark.candidate else {
            return false;
        };
        if !mark.protected && !self.is_broken(name, true) {
            if mark.candidate == current {
                return mark.install.is_some() || self.keep(name, depth + 1);
            }
            if mark.mode == Mode::Install {
                return true;
            }
        }
        if deep && !self.can_be_met(name, candidate) {
            return false;
        }
        if by == By::User || !deep {
            self.set(name, by);
        }
        if !deep {
            return true;
        }
        let task = Task {
            name,
            candidate,
            depth,
            by,
            hard: mark.protected,
        };
        let mut work = Work::default();
        let mut good = self.clear_the_way(task, &mut work);
        if !good && task.gives_up() {
            return false;
        }
        self.find_dependents(task, &mut work.upgrade);
        self.set(name, by);
        // Whatever its own needs lead to may not take it away again.
        self.protect(name, true);
        good = self.finish(task, &work) && good;
        if !task.hard {
            self.protect(name, false);
        }
        good
    }

    fn finish(&mut self, task: Task, work: &Work<'p>) -> bool {
        self.upgrade_siblings(task);
        let mut good = true;
        for step in 0..3 {
            let done = match step {
                0 => self.upgrade_or_remove(task, &work.upgrade),
                1 => self.install_wanted(task, &work.wanted),
                _ => work
                    .remove
                    .iter()
                    .all(|name| self.delete(*name, task.depth)),
            };
            if !done && task.gives_up() {
                self.unset(task.name);
                return false;
            }
            good &= done;
        }
        good
    }

    /// Marks the candidate of a package itself.
    fn set(&mut self, name: NameId, by: By) {
        let mark = self.mark(name);
        if mark.protected && mark.install == mark.candidate {
            return;
        }
        let current = self.current(name);
        self.change(name, |mark| {
            mark.install = mark.candidate;
            let stays = mark.candidate == current;
            mark.mode = if stays { Mode::Keep } else { Mode::Install };
            if by == By::User {
                mark.auto = false;
            } else if current.is_none() {
                mark.auto = true;
            }
        });
    }

    /// Takes a mark back, and the candidate with it: nobody else need try.
    fn unset(&mut self, name: NameId) {
        let current = self.current(name);
        let mark = self.mark(name);
        let untouched = mark.mode == Mode::Keep && mark.install == mark.candidate;
        if untouched && mark.candidate == current {
            return;
        }
        self.change(name, |mark| {
            mark.install = current;
            mark.mode = Mode::Keep;
        });
        self.discard(name, current);
    }

    /// Whether every critical need is met already or by some candidate. If not, the package loses its own candidate.
    fn can_be_met(&mut self, name: NameId, candidate: CandidateId) -> bool {
        let current = self.current(name);
        if Some(candidate) == current {
            return true;
        }
        let needs = self.needs_of(candidate);
        let met = |need: &Need<'p>| {
            !need.field.is_critical()
                || need.field.excludes()
                || self.holds(need, View::Install)
                || self.holds(need, View::Remembered)
        };
        if needs.iter().all(met) {
            return true;
        }
        if !self.mark(name).protected {
            let was_deleted = self.mark(name).mode == Mode::Delete;
            if current.is_some() {
                self.change(name, |mark| {
                    if mark.mode == Mode::Install && mark.install == mark.candidate {
                        mark.install = current;
                    }
                    mark.candidate = current;
                });
            } else {
                self.discard(name, None);
            }
            if !was_deleted && let Some(mark) = self.mark_mut(name) {
                mark.mode = Mode::Keep;
            }
        }
        false
    }

    fn install_wanted(&mut self, task: Task, wanted: &[(Rc<[Need<'p>]>, usize)]) -> bool {
        let mut good = true;
        for need in wanted.iter().filter_map(|(needs, at)| needs.get(*at)) {
            if !self.install_one(task, need) {
                good = false;
                if task.gives_up() {
                    break;
                }
            }
        }
        good
    }

    /// Sees to one group; `false` where it is critical and nothing of it can be had.
    fn install_one(&mut self, task: Task, need: &Need<'p>) -> bool {
        let critical = need.field.is_critical();
        if self.holds(need, View::Install) {
            return !task.hard || !critical || self.harden(task, need);
        }
        if self.current(task.name).is_some() && !critical && self.was_open(task.name, need) {
            return true;
        }
        let choices = self.choices(need, View::Candidate);
        let only = choices.len() == 1;
        for id in choices {
            let Some(name) = self
                .name_of(id)
                .filter(|n| self.mark(*n).candidate == Some(id))
            else {
                continue;
            };
            let depth = task.depth + 1;
            if task.hard && critical && only {
                if !self.install(name, false, depth, By::Solver) {
                    continue;
                }
                self.protect(name, true);
            }
            if self.install(name, true, depth, By::Solver) {
                return true;
            }
        }
        !critical
    }

    /// Protects what satisfies a need, where nothing else could.
    fn harden(&mut self, task: Task, need: &Need<'p>) -> bool {
        let mut all: Vec<CandidateId> = Vec::new();
        for view in [View::Candidate, View::Now] {
            for alternative in &need.alternatives {
                all.extend(self.solutions(need, alternative, view));
            }
        }
        all.retain(|id| !self.is_out(*id));
        all.sort_unstable();
        all.dedup();
        let &[id] = all.as_slice() else {
            return true;
        };
        let Some(name) = self.name_of(id).filter(|name| !self.mark(*name).protected) else {
            return true;
        };
        self.protect(name, true);
        self.install(name, true, task.depth + 1, By::Solver)
    }
}
