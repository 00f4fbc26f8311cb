//! Why something cannot be installed: who wanted what, and what is in the way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::eco::debian::names::NameId;
use crate::eco::debian::pool::CandidateId;
use crate::eco::debian::solve::SolveError;
use crate::eco::debian::solve::answer::Roots;
use crate::eco::debian::solve::needs::Need;
use crate::eco::debian::solve::state::{State, View, preferred};

/// Most lines of an explanation.
const MOST_LINES: usize = 12;
/// Longest chain that is followed.
const DEEPEST: usize = 24;

/// Where an explanation stands.
#[derive(Debug, Default)]
struct Trail {
    /// Of everything that is reached from what is asked for, what leads to it.
    wanted_by: BTreeMap<NameId, Option<NameId>>,
    /// From what is asked for to what is looked at.
    chain: Vec<String>,
    seen: BTreeSet<CandidateId>,
    lines: Vec<String>,
}

impl Trail {
    fn is_full(&self) -> bool {
        self.lines.len() >= MOST_LINES
    }

    fn say(&mut self, need: &Need<'_>, why: &str) {
        let (chain, field) = (self.chain.join(" > "), need.field.as_str());
        self.lines
            .push(format!("{chain} {field}: {}, and {why}", need.text()));
    }
}

impl<'p> State<'p> {
    /// The error for marks that do not hold together.
    pub(crate) fn explain(&mut self, roots: &Roots) -> SolveError {
        let mut trail = Trail {
            wanted_by: self.wanted_by(roots),
            ..Trail::default()
        };
        let mut starts: Vec<NameId> = roots.all().collect();
        starts.extend(self.all());
        for name in starts {
            if !trail.is_full() && self.is_broken(name, false) {
                trail.chain = self.chain_to(name, &trail.wanted_by);
                self.trace(self.mark(name).install, &mut trail);
            }
        }
        SolveError::Unsatisfiable {
            conflicts: trail.lines,
        }
    }

    /// Of everything that is reached from what is asked for, what leads to it.
    fn wanted_by(&mut self, roots: &Roots) -> BTreeMap<NameId, Option<NameId>> {
        let mut wanted_by: BTreeMap<NameId, Option<NameId>> = BTreeMap::new();
        let mut open: VecDeque<NameId> = roots.all().collect();
        wanted_by.extend(open.iter().map(|name| (*name, None)));
        while let Some(name) = open.pop_front() {
            let needs = self.mark(name).install.map(|id| self.needs_of(id));
            let all = needs.iter().flat_map(|needs| needs.iter());
            for need in all.filter(|n| !n.field.excludes() && self.follows(n.field)) {
                for id in self.first_solutions(need) {
                    if let Some(to) = self.name_of(id).filter(|to| !wanted_by.contains_key(to)) {
                        wanted_by.insert(to, Some(name));
                        open.push_back(to);
                    }
                }
            }
        }
        wanted_by
    }

    /// The titles that lead to a package, from what is asked for, without its own.
    fn chain_to(&self, name: NameId, wanted_by: &BTreeMap<NameId, Option<NameId>>) -> Vec<String> {
        let mut chain = Vec::new();
        let mut at = name;
        while let Some(Some(by)) = wanted_by.get(&at) {
            chain.extend(self.mark(*by).install.and_then(|id| self.title(id)));
            at = *by;
        }
        chain.reverse();
        chain
    }

    /// Adds a line for each need of a candidate that cannot be met, or for what those that could meet it lack.
    fn trace(&mut self, id: Option<CandidateId>, trail: &mut Trail) {
        let Some(id) = id.filter(|id| trail.seen.insert(*id)) else {
            return;
        };
        if trail.chain.len() >= DEEPEST {
            return;
        }
        trail.chain.push(self.title(id).unwrap_or_default());
        let needs = self.needs_of(id);
        for need in needs.iter().filter(|need| need.field.is_critical()) {
            if !trail.is_full() && !self.holds(need, View::Install) {
                self.trace_need(need, trail);
            }
        }
        trail.chain.pop();
    }

    fn trace_need(&mut self, need: &Need<'p>, trail: &mut Trail) {
        let found = trail.lines.len();
        let options = self.options(need);
        for option in &options {
            let title = self.title(*option).unwrap_or_default();
            if need.field.excludes() {
                let name = self.name_of(*option);
                let chain = name.map(|name| self.chain_to(name, &trail.wanted_by));
                let chain: Vec<String> = chain.into_iter().flatten().chain([title]).collect();
                trail.say(need, &format!("{} is wanted too", chain.join(" > ")));
            } else if let Some(held) = self.held_instead(*option) {
                trail.say(need, &format!("{held} is held"));
            } else if let Some(by) = self.excluded_by(*option) {
                trail.say(need, &format!("{title} is excluded: {by}"));
            } else {
                self.trace(Some(*option), trail);
            }
        }
        if trail.lines.len() == found {
            let why = self.absence(need, &options);
            trail.say(need, &why);
        }
    }

    /// The held version of the baseline that keeps a candidate out.
    fn held_instead(&self, id: CandidateId) -> Option<String> {
        let name = self.name_of(id)?;
        let slot = self.pool.slot(name).filter(|slot| slot.is_held)?;
        let current = slot.current.filter(|current| *current != id)?;
        self.title(current)
    }

    /// What could satisfy a need if nothing else were wanted; for what excludes, what is there.
    fn options(&self, need: &Need<'p>) -> Vec<CandidateId> {
        let mut found = Vec::new();
        for alternative in &need.alternatives {
            if need.field.excludes() {
                found.extend(self.solutions(need, alternative, View::Install));
                continue;
            }
            let Some(target) = alternative.target else {
                continue;
            };
            let first = |name| preferred(self.pool, name, self.phased);
            found.extend(first(target).filter(|id| self.is_real(alternative, *id)));
            for provider in self.providers(target) {
                let owner = self.name_of(provider.by).and_then(first);
                let states = self.pool.provided_version(provider);
                let serves = if alternative.any {
                    provider.any
                } else {
                    provider.plain
                };
                if owner == Some(provider.by)
                    && serves
                    && alternative.relation.admits_provided(states)
                {
                    found.push(provider.by);
                }
            }
        }
        found
    }

    fn absence(&self, need: &Need<'p>, options: &[CandidateId]) -> String {
        if !options.is_empty() {
            return "what it needs leads back to what is shown already".to_owned();
        }
        let targets = need.alternatives.iter().filter_map(|a| a.target);
        let mut known = Vec::new();
        for target in targets {
            let slot = self.pool.slot(target);
            let held = slot.is_some_and(|slot| slot.is_held && slot.current.is_some());
            let versions = slot
                .map(|slot| slot.versions.as_slice())
                .unwrap_or_default();
            let titles = versions.iter().filter_map(|id| self.title(*id));
            known.extend(titles.map(|t| if held { format!("{t} (held)") } else { t }));
        }
        if known.is_empty() {
            return format!("no archive has it for {}", self.pool.arch());
        }
        known.truncate(4);
        format!("the archives have only {}", known.join(", "))
    }

    /// Who of what is there in the end excludes a candidate, or is excluded by it.
    pub(crate) fn excluded_by(&mut self, id: CandidateId) -> Option<String> {
        let own = self.name_of(id)?;
        for name in self.all() {
            let Some(other) = self.mark(name).install.filter(|_| name != own) else {
                continue;
            };
            for (from, to) in [(other, id), (id, other)] {
                for need in self
                    .needs_of(from)
                    .iter()
                    .filter(|need| need.field.excludes())
                {
                    if need.alternatives.iter().any(|a| self.matches(need, a, to)) {
                        let title = self.title(from).unwrap_or_default();
                        return Some(format!("{title} {}: {}", need.field.as_str(), need.text()));
                    }
                }
            }
        }
        None
    }
}
