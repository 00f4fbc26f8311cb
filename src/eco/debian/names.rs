//! Names of packages as numbers, in the order in which they first appear. That order decides between providers that are
//! equal in everything else, as it does in apt.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

/// A name of a package, real or virtual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NameId(u32);

impl NameId {
    /// Its place in tables with one row per name.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// All names of a pool.
#[derive(Clone)]
pub(crate) struct Names {
    text: String,
    spans: Vec<(u32, u32)>,
    /// Open addressing, a power of two: number of a name plus 1, or 0. The seed is random, so that no archive can make
    /// it slow; nothing is listed in its order.
    table: Vec<u32>,
    state: RandomState,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Names({})", self.spans.len())
    }
}

impl Default for Names {
    fn default() -> Self {
        Self {
            text: String::new(),
            spans: Vec::new(),
            table: vec![0; 1 << 12],
            state: RandomState::new(),
        }
    }
}

impl Names {
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = NameId> + use<> {
        (0..self.spans.len())
            .filter_map(|n| u32::try_from(n).ok())
            .map(NameId)
    }

    pub(crate) fn name(&self, id: NameId) -> &str {
        let span = self.spans.get(id.index()).copied().unwrap_or_default();
        self.text
            .get(span.0 as usize..span.1 as usize)
            .unwrap_or_default()
    }

    /// Whether a number is that of a name.
    fn is(&self, id: NameId, name: &str) -> bool {
        let span = self.spans.get(id.index()).copied().unwrap_or_default();
        let known = self.text.as_bytes().get(span.0 as usize..span.1 as usize);
        known == Some(name.as_bytes())
    }

    pub(crate) fn find(&self, name: &str) -> Option<NameId> {
        let (_, found) = self.slot(name);
        found
    }

    /// The number of a name; a new one where it is not known. `None` once there are more than four billion bytes.
    pub(crate) fn add(&mut self, name: &str) -> Option<NameId> {
        let (slot, found) = self.slot(name);
        if found.is_some() {
            return found;
        }
        let start = u32::try_from(self.text.len()).ok()?;
        let end = u32::try_from(self.text.len() + name.len()).ok()?;
        self.text.push_str(name);
        self.spans.push((start, end));
        let number = u32::try_from(self.spans.len()).ok()?;
        if let Some(free) = self.table.get_mut(slot) {
            *free = number;
        }
        if self.spans.len() * 2 > self.table.len() {
            self.grow();
        }
        Some(NameId(number - 1))
    }

    /// Where a name is, or would be put.
    fn slot(&self, name: &str) -> (usize, Option<NameId>) {
        let mask = self.table.len() - 1;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "only the low bits are wanted"
        )]
        let mut slot = self.state.hash_one(name) as usize & mask;
        loop {
            match self.table.get(slot).and_then(|n| n.checked_sub(1)) {
                None => return (slot, None),
                Some(number) if self.is(NameId(number), name) => {
                    return (slot, Some(NameId(number)));
                }
                Some(_) => slot = (slot + 1) & mask,
            }
        }
    }

    fn grow(&mut self) {
        self.table = vec![0; self.table.len() * 2];
        for id in self.all() {
            let (slot, _) = self.slot(self.name(id));
            if let Some(free) = self.table.get_mut(slot) {
                *free = id.0 + 1;
            }
        }
    }
}
