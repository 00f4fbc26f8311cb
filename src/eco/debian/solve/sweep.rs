//! What was marked on the way to a choice that was not taken, and that nothing needs in the end. apt takes it back, and so
//! does this.

use std::collections::BTreeSet;

use crate::eco::debian::names::NameId;
use crate::eco::debian::solve::mark::By;
use crate::eco::debian::solve::needs::Field;
use crate::eco::debian::solve::state::{Mode, State, View};

/// Debian's priority `required`.
const REQUIRED: u8 = 1;

impl State<'_> {
    /// Takes back what nothing needs; gives back what is missed then.
    pub(crate) fn sweep(&mut self) {
        let needed = self.needed();
        let is_extra = |name: &NameId| {
            let new = self.current(*name).is_none() && self.mark(*name).mode == Mode::Install;
            new && !needed.contains(name)
        };
        let mut extra: Vec<NameId> = self.all().filter(is_extra).collect();
        if extra.is_empty() {
            return;
        }
        for name in &extra {
            self.delete(*name, 0);
        }
        while self.is_anything_broken(true) {
            let named = self.named();
            let missed = extra.iter().position(|name| {
                let provided = self
                    .mark(*name)
                    .candidate
                    .map(|id| self.pool.provided_by(id));
                named.contains(name) || provided.into_iter().flatten().any(|n| named.contains(&n))
            });
            let Some(missed) = missed else {
                return;
            };
            let name = extra.remove(missed);
            self.install(name, false, 0, By::Solver);
        }
    }

    pub(crate) fn is_anything_broken(&mut self, policy: bool) -> bool {
        self.all().any(|name| self.is_broken(name, policy))
    }

    /// Names in what is there in the end depends on or recommends, if recommendations are followed.
    fn named(&mut self) -> BTreeSet<NameId> {
        let mut named = BTreeSet::new();
        for name in self.all() {
            let needs = self.mark(name).install.map(|id| self.needs_of(id));
            for need in needs.iter().flat_map(|needs| needs.iter()) {
                if !need.field.excludes() && self.follows(need.field) {
                    named.extend(need.alternatives.iter().filter_map(|a| a.target));
                }
            }
        }
        named
    }

    /// Everything that is reached from what nobody but the user decides about. Recommendations and suggestions count
    /// here, as they do for apt, whether they are followed or not.
    fn needed(&mut self) -> BTreeSet<NameId> {
        let mut open: Vec<NameId> = self.all().filter(|name| self.is_root(*name)).collect();
        let mut needed: BTreeSet<NameId> = open.iter().copied().collect();
        while let Some(name) = open.pop() {
            let Some(id) = self.mark(name).install else {
                continue;
            };
            for need in self
                .needs_of(id)
                .iter()
                .filter(|need| !need.field.excludes())
            {
                let found = need
                    .alternatives
                    .iter()
                    .flat_map(|a| self.solutions(need, a, View::Install));
                let names: Vec<NameId> = found.filter_map(|id| self.name_of(id)).collect();
                open.extend(names.into_iter().filter(|name| needed.insert(*name)));
            }
        }
        needed
    }

    fn is_root(&self, name: NameId) -> bool {
        let mark = self.mark(name);
        let Some(slot) = self.pool.slot(name).filter(|_| mark.install.is_some()) else {
            return false;
        };
        let current = slot.current.and_then(|id| self.pool.entry(id));
        let required = current.is_some_and(|entry| entry.priority == REQUIRED);
        !mark.auto || slot.is_essential || slot.is_important || slot.is_held || required
    }
}

/// Fields whose edges an answer has.
pub(crate) const EDGES: [Field; 3] = [Field::PreDepends, Field::Depends, Field::Recommends];
