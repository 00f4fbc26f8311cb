//! In which order packages are decided: as uv documents it under "Resolver internals". A package that is limited to one
//! version comes first; then packages that often conflict, those that were rejected before those that were the cause;
//! then in the order in which they were met.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use pubgrub::Map;

use crate::eco::pypi::name::Name;
use crate::eco::pypi::solve::package::Package;

/// How urgent a name is; the greatest comes first. The number is that of its first appearance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// Nothing special.
    Usual(Reverse<usize>),
    /// Its versions were the cause of many conflicts.
    Late(Reverse<usize>),
    /// Its versions were rejected many times.
    Early(Reverse<usize>),
    /// Limited to one version.
    Pinned(Reverse<usize>),
    /// The requirements themselves, and the interpreter.
    First,
}

impl Urgency {
    const fn index(self) -> Reverse<usize> {
        match self {
            Self::Usual(index) | Self::Late(index) | Self::Early(index) | Self::Pinned(index) => {
                index
            }
            Self::First => Reverse(0),
        }
    }
}

/// What the solver compares.
pub(crate) type Rank = (Option<Urgency>, Option<Reverse<usize>>);

/// The order of all packages met so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Priorities {
    names: BTreeMap<Name, Urgency>,
    packages: Map<Package, usize>,
}

impl Priorities {
    /// A dependency on `package` was met; `pinned` says that it allows one version.
    pub(crate) fn meet(&mut self, package: &Package, pinned: bool) {
        let count = self.packages.len();
        self.packages.entry(package.clone()).or_insert(count);
        let Some(name) = package.name() else {
            return;
        };
        let count = self.names.len();
        let known = self
            .names
            .entry(name.clone())
            .or_insert(Urgency::Usual(Reverse(count)));
        if pinned {
            *known = (*known).max(Urgency::Pinned(known.index()));
        }
    }

    /// The rank of a package.
    pub(crate) fn rank(&self, package: &Package) -> Rank {
        let urgency = match package.name() {
            None => Some(Urgency::First),
            Some(name) => self.names.get(name).copied(),
        };
        (urgency, self.packages.get(package).copied().map(Reverse))
    }

    /// A package that was rejected often comes early. Returns whether that changes anything. One that is limited to one
    /// version comes later by it, until a further dependency limits it so again: as in uv.
    pub(crate) fn earlier(&mut self, package: &Package) -> bool {
        self.change(package, |known| match known {
            Urgency::Early(_) => None,
            other => Some(Urgency::Early(other.index())),
        })
    }

    /// A package that often was the cause comes after those. Returns whether that changes anything.
    pub(crate) fn later(&mut self, package: &Package) -> bool {
        self.change(package, |known| match known {
            // Once only, or two packages would take turns for ever.
            Urgency::Late(_) | Urgency::Early(_) => None,
            other => Some(Urgency::Late(other.index())),
        })
    }

    fn change(&mut self, package: &Package, change: impl Fn(Urgency) -> Option<Urgency>) -> bool {
        let known = package.name().and_then(|name| self.names.get_mut(name));
        let changed = known.and_then(|known| {
            *known = change(*known)?;
            Some(())
        });
        changed.is_some()
    }
}
