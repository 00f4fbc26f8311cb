//! Why something cannot be installed: who wanted what, and what is in the way.

use std::collections::BTreeSet;

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

impl<'p> State<'p> {
    /// The error for marks that do not hold together.
    pub(crate) fn explain(&mut self, roots: &Roots) -> SolveError {
        let mut lines = Vec::new();
        let mut seen = BTreeSet::new();
        let broken = |state: &mut Self, name: &NameId| state.is_broken(*name, false);
        let mut starts: Vec<NameId> = roots.all().collect();
        starts.extend(self.all());
        for name in starts {
            if lines.len() < MOST_LINES && broken(self, &name) {
                let id = self.mark(name).install;
                self.trace(id, &mut Vec::new(), &mut seen, &mut lines);
            }
        }
        SolveError::Unsatisfiable { conflicts: lines }
    }

    /// Adds a line for each need of a candidate that cannot be met, or for what those that could meet it lack.
    fn trace(
        &mut self,
        id: Option<CandidateId>,
        chain: &mut Vec<String>,
        seen: &mut BTreeSet<CandidateId>,
        lines: &mut Vec<String>,
    ) {
        let Some(id) = id.filter(|id| seen.insert(*id)) else {
            return;
        };
        if chain.len() >= DEEPEST || lines.len() >= MOST_LINES {
            return;
        }
        chain.push(self.title(id).unwrap_or_default());
        let needs = self.needs_of(id);
        for need in needs.iter().filter(|need| need.field.is_critical()) {
            if self.holds(need, View::Install) || lines.len() >= MOST_LINES {
                continue;
            }
            let found = lines.len();
            let options = self.options(need);
            if need.field.excludes() {
                let there = options
                    .iter()
                    .find_map(|id| self.title(*id))
                    .unwrap_or_default();
                lines.push(self.line(chain, need, &format!("{there} is wanted too")));
                continue;
            }
            for option in &options {
                match self.excluded_by(*option) {
                    Some(by) => {
                        let option = self.title(*option).unwrap_or_default();
                        lines.push(self.line(chain, need, &format!("{option} is excluded: {by}")));
                    }
                    None => self.trace(Some(*option), chain, seen, lines),
                }
            }
            if lines.len() == found {
                let why = self.absence(need, &options);
                lines.push(self.line(chain, need, &why));
            }
        }
        chain.pop();
    }

    fn line(&self, chain: &[String], need: &Need<'p>, why: &str) -> String {
        let _ = self;
        let field = need.field.as_str();
        format!("{} {field}: {}, and {why}", chain.join(" > "), need.text())
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
