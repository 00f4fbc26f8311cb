//! Which of the versions that a requirement allows is taken first: one that the site has approved, and one that the lock
//! has already.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Tells the versions that a site has approved.
pub trait Approves: fmt::Debug + Send + Sync {
    /// Whether this version of this package is approved. The name may be written as any client writes it.
    fn approves(&self, name: &str, version: &str) -> bool;
}

/// Versions of one ecosystem to take before others.
#[derive(Debug, Clone, Default)]
pub struct Preference {
    kept: BTreeMap<String, BTreeSet<String>>,
    approved: Option<Arc<dyn Approves>>,
}

impl Preference {
    /// Takes whatever comes first by itself.
    pub const fn none() -> Self {
        Self::keeping(BTreeMap::new())
    }

    /// Takes the versions of a lock, by name as the lock has it, before others.
    pub const fn keeping(kept: BTreeMap<String, BTreeSet<String>>) -> Self {
        Self {
            kept,
            approved: None,
        }
    }

    /// Takes what is approved before that.
    #[must_use]
    pub fn approving(mut self, approved: Option<Arc<dyn Approves>>) -> Self {
        self.approved = approved;
        self
    }

    /// The versions of the lock, by name.
    pub const fn kept(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.kept
    }

    /// Whether nothing is preferred.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.approved.is_none()
    }

    /// Whether the site has approved this version; `false` where it has no list.
    pub fn is_approved(&self, name: &str, version: &str) -> bool {
        let approved = self.approved.as_ref();
        approved.is_some_and(|list| list.approves(name, version))
    }

    /// Whether the site has a list at all.
    pub const fn has_list(&self) -> bool {
        self.approved.is_some()
    }

    /// How early a version is taken: the higher, the earlier; 0 for one of which nothing is known.
    pub fn rank(&self, name: &str, version: &str) -> u8 {
        let kept = self.kept.get(name);
        let kept = kept.is_some_and(|versions| versions.contains(version));
        u8::from(kept) + 2 * u8::from(self.is_approved(name, version))
    }

    /// The ranks that a version of this package may have, the highest first, without 0.
    pub fn ranks(&self, name: &str) -> &'static [u8] {
        match (self.approved.is_some(), self.kept.contains_key(name)) {
            (true, true) => &[3, 2, 1],
            (true, false) => &[2],
            (false, true) => &[1],
            (false, false) => &[],
        }
    }
}
