//! Why a package is in a lock: the shortest path of edges from a requirement to it.
//!
//! Works on the lock alone, for every ecosystem: a requirement is matched with the packages that the lock places for
//! its install, else by name. Time is linear in packages and edges.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::base::package::{EcosystemId, ReleaseId};
use crate::lock::{Lock, LockedPackage, LockedRequirement};

/// The edges of a lock, with the shortest way from a requirement to each package.
#[derive(Debug)]
pub struct Chains<'a> {
    lock: &'a Lock,
    index: BTreeMap<(&'a EcosystemId, ReleaseId), usize>,
    roots: BTreeMap<usize, Option<usize>>,
    parent: Vec<Option<usize>>,
}

impl<'a> Chains<'a> {
    /// Reads the edges of `lock`.
    pub fn new(lock: &'a Lock) -> Self {
        let mut index = BTreeMap::new();
        for (number, package) in lock.packages.iter().enumerate() {
            index
                .entry((&package.ecosystem, package.id()))
                .or_insert(number);
        }
        let mut chains = Self {
            lock,
            index,
            roots: BTreeMap::new(),
            parent: vec![None; lock.packages.len()],
        };
        chains.find_roots();
        chains.walk();
        chains
    }

    /// The packages that a requirement asks for, and those that nothing in the lock leads to.
    pub fn roots(&self) -> impl Iterator<Item = &'a LockedPackage> {
        self.roots.keys().filter_map(|n| self.lock.packages.get(*n))
    }

    /// The shortest chain to a release: the requirement's text, the releases on the way, the release itself. Texts
    /// are as the lock has them, not escaped. Empty when the lock does not have the release.
    pub fn chain(&self, ecosystem: &EcosystemId, release: &ReleaseId) -> Vec<String> {
        let mut next = self.index.get(&(ecosystem, release.clone())).copied();
        let mut out = Vec::new();
        while let Some(number) = next
            && out.len() <= self.lock.packages.len()
        {
            let Some(package) = self.lock.packages.get(number) else {
                break;
            };
            out.push(package.id().to_string());
            next = self.parent.get(number).copied().flatten();
            if next.is_none()
                && let Some(Some(requirement)) = self.roots.get(&number)
                && let Some(requirement) = self.lock.requirements.get(*requirement)
                && out.last() != Some(&requirement.spec)
            {
                out.push(requirement.spec.clone());
            }
        }
        out.reverse();
        out
    }

    fn find_roots(&mut self) {
        let mut by_name: BTreeMap<(&EcosystemId, &str), Vec<usize>> = BTreeMap::new();
        let mut by_place: BTreeMap<(&EcosystemId, &str), usize> = BTreeMap::new();
        let mut reached: BTreeSet<usize> = BTreeSet::new();
        for (number, package) in self.lock.packages.iter().enumerate() {
            let names = by_name
                .entry((&package.ecosystem, package.name.as_str()))
                .or_default();
            names.push(number);
            for place in &package.places {
                by_place.insert((&package.ecosystem, place), number);
            }
            for edge in &package.dependencies {
                reached.extend(self.index.get(&(&package.ecosystem, edge.clone())));
            }
        }
        for (number, requirement) in self.lock.requirements.iter().enumerate() {
            let name = required_name(&requirement.spec);
            let place = top_place(requirement, name);
            let placed = by_place.get(&(&requirement.ecosystem, place.as_str()));
            let found: Vec<usize> = match placed {
                Some(at) => vec![*at],
                None => by_name
                    .get(&(&requirement.ecosystem, name))
                    .cloned()
                    .unwrap_or_default(),
            };
            for root in found {
                self.roots.entry(root).or_insert(Some(number));
            }
        }
        for (number, package) in self.lock.packages.iter().enumerate() {
            if !reached.contains(&number) && package.bundled_in.is_empty() {
                self.roots.entry(number).or_insert(None);
            }
        }
    }

    /// Breadth first from the roots; a package only known from inside another one's archive comes after that one.
    fn walk(&mut self) {
        let mut bundled: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, package) in self.lock.packages.iter().enumerate() {
            for holder in &package.bundled_in {
                if let Some(at) = self.index.get(&(&package.ecosystem, holder.clone())) {
                    bundled.entry(*at).or_default().push(number);
                }
            }
        }
        let mut seen: BTreeSet<usize> = self.roots.keys().copied().collect();
        let mut queue: VecDeque<usize> = seen.iter().copied().collect();
        while let Some(number) = queue.pop_front() {
            let Some(package) = self.lock.packages.get(number) else {
                continue;
            };
            let edges = package
                .dependencies
                .iter()
                .filter_map(|edge| self.index.get(&(&package.ecosystem, edge.clone())).copied());
            for child in edges.chain(bundled.get(&number).into_iter().flatten().copied()) {
                if seen.insert(child) {
                    if let Some(slot) = self.parent.get_mut(child) {
                        *slot = Some(number);
                    }
                    queue.push_back(child);
                }
            }
        }
    }
}

/// The name at the start of a requirement's text: up to a version or range, a marker or an extra.
fn required_name(spec: &str) -> &str {
    let start = usize::from(spec.starts_with('@'));
    let rest = spec.get(start..).unwrap_or_default();
    let end = rest
        .find(|c: char| c.is_whitespace() || "@=<>~!;[(".contains(c))
        .map_or(spec.len(), |at| at + start);
    spec.get(..end).unwrap_or(spec)
}

/// Where a directly required package stands: the top of its install's tree.
fn top_place(requirement: &LockedRequirement, name: &str) -> String {
    format!("{}:node_modules/{name}", requirement.install)
}

#[cfg(test)]
mod tests {
    use super::{Chains, required_name};
    use crate::lock::Lock;
    use crate::lock::diff::tests::{lock, package};

    fn chain(lock: &Lock, release: &str) -> Vec<String> {
        let release = release.parse().unwrap();
        Chains::new(lock).chain(&lock.packages[0].ecosystem, &release)
    }

    #[test]
    fn names_end_where_versions_begin() {
        for (spec, name) in [
            ("@a/b@^1", "@a/b"),
            ("a", "a"),
            ("requests[socks]>=2 ; python_version > '3'", "requests"),
            ("x@npm:@a/b@1", "x"),
        ] {
            assert_eq!(required_name(spec), name);
        }
    }

    #[test]
    fn the_shortest_chain_wins_and_cycles_end() {
        let lock = lock(
            &["a@^1"],
            vec![
                package("a", "1.0.0", &["b@1.0.0", "c@1.0.0"]),
                package("b", "1.0.0", &["c@1.0.0", "a@1.0.0"]),
                package("c", "1.0.0", &["d@1.0.0"]),
                package("d", "1.0.0", &["b@1.0.0"]),
            ],
        );
        assert_eq!(
            chain(&lock, "d@1.0.0"),
            ["a@^1", "a@1.0.0", "c@1.0.0", "d@1.0.0"]
        );
        assert_eq!(chain(&lock, "e@1.0.0"), Vec::<String>::new());
    }

    #[test]
    fn the_place_decides_between_two_versions_of_a_required_name() {
        let mut nested = package("a", "1.0.0", &[]);
        nested.places = vec!["1:node_modules/b/node_modules/a".to_owned()];
        let mut top = package("a", "2.0.0", &["b@1.0.0"]);
        top.places = vec!["1:node_modules/a".to_owned()];
        let lock = lock(
            &["a@*"],
            vec![nested, top, package("b", "1.0.0", &["a@1.0.0"])],
        );
        assert_eq!(
            chain(&lock, "a@1.0.0"),
            ["a@*", "a@2.0.0", "b@1.0.0", "a@1.0.0"]
        );
    }
}
