//! The check that a set of packages needs nothing outside itself and its baseline, and that no two of it exclude each
//! other. It knows nothing of how the set was found, and shares with the solver only how fields are read.

use std::collections::BTreeMap;

use crate::base::package::ReleaseId;
use crate::base::text::escaped;
use crate::eco::debian::control::{self, Stanza};
use crate::eco::debian::relation::{self, Provided, Qualifier, Relation};
use crate::eco::debian::version::Version;

/// One package of the set, or of the baseline. A version of the baseline that the set replaces is left out.
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
    /// The alternatives, or what is excluded, as the package writes it.
    pub relation: String,
    /// What is excluded and there, `name=version`.
    pub by: Option<String>,
}

/// A member whose stanza cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stanza of {package} cannot be read: {reason}")]
pub struct ClosureError {
    /// The package, escaped.
    pub package: String,
    /// What is wrong.
    pub reason: String,
}

/// A member as its fields say.
struct Known<'a> {
    name: &'a str,
    version: Version<'a>,
    stanza: Stanza<'a>,
    allows_any: bool,
    provides: Vec<Provided<'a>>,
    baseline: bool,
}

impl Known<'_> {
    fn release(&self) -> ReleaseId {
        ReleaseId::new(self.name, self.version.to_string())
    }
}

/// A set of packages on one architecture.
pub struct Set<'a> {
    arch: &'a str,
    all: Vec<Known<'a>>,
    /// Places of members by the names they have and provide.
    by_name: BTreeMap<&'a str, Vec<usize>>,
}

impl std::fmt::Debug for Set<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Set({} for {})", self.all.len(), self.arch)
    }
}

impl<'a> Set<'a> {
    /// Reads the members of a set.
    pub fn new(members: &[Member<'a>], arch: &'a str) -> Result<Self, ClosureError> {
        let mut all = Vec::new();
        let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for member in members {
            let known = read(*member, arch)?;
            let names = known.provides.iter().map(|p| p.name).chain([known.name]);
            for name in names {
                by_name.entry(name).or_default().push(all.len());
            }
            all.push(known);
        }
        Ok(Self { arch, all, by_name })
    }

    /// `Pre-Depends` and `Depends` of the set that nothing satisfies, sorted.
    pub fn open(&self) -> Result<Vec<Broken>, ClosureError> {
        let mut broken = Vec::new();
        for member in self.all.iter().filter(|m| !m.baseline) {
            for field in ["Pre-Depends", "Depends"] {
                for group in self.groups(member, field)? {
                    let met = |relation: &Relation<'_>| self.matching(relation).next().is_some();
                    if !group.iter().any(met) {
                        broken.push(said(member, field, &group, None));
                    }
                }
            }
        }
        broken.sort();
        Ok(broken)
    }

    /// `Pre-Depends` and `Depends` that other packages of the set satisfy, and no member of the baseline, where `linked`
    /// knows none of them as what the package needs: a lock without that edge does not say why they are there. Sorted.
    pub fn unlinked(
        &self,
        linked: &dyn Fn(&ReleaseId, &ReleaseId) -> bool,
    ) -> Result<Vec<Broken>, ClosureError> {
        let mut broken = Vec::new();
        for member in self.all.iter().filter(|m| !m.baseline) {
            let own = member.release();
            for field in ["Pre-Depends", "Depends"] {
                for group in self.groups(member, field)? {
                    let met: Vec<&Known<'_>> =
                        group.iter().flat_map(|r| self.matching(r)).collect();
                    let by_itself = met.iter().any(|m| m.baseline || m.name == member.name);
                    if met.is_empty() || by_itself {
                        continue;
                    }
                    if !met.iter().any(|other| linked(&own, &other.release())) {
                        broken.push(said(member, field, &group, None));
                    }
                }
            }
        }
        broken.sort();
        Ok(broken)
    }

    /// `Conflicts` and `Breaks` that another member is meant by, sorted. Those between two packages of the baseline are
    /// not looked at.
    pub fn excluded(&self) -> Result<Vec<Broken>, ClosureError> {
        let mut broken = Vec::new();
        for member in &self.all {
            for field in ["Conflicts", "Breaks"] {
                for relation in self.groups(member, field)?.into_iter().flatten() {
                    let others = self.matching(&relation).filter(|other| {
                        other.name != member.name && !(member.baseline && other.baseline)
                    });
                    broken.extend(others.map(|other| {
                        let by = format!("{}={}", other.name, other.version);
                        said(member, field, &[relation], Some(by))
                    }));
                }
            }
        }
        broken.sort();
        broken.dedup();
        Ok(broken)
    }

    fn groups(
        &self,
        member: &Known<'a>,
        field: &str,
    ) -> Result<Vec<Vec<Relation<'a>>>, ClosureError> {
        let text = member.stanza.field(field).unwrap_or_default();
        relation::parse(text, self.arch).map_err(|e| unreadable(member.name, &e))
    }

    /// The members that a relation means.
    fn matching(&self, relation: &Relation<'a>) -> impl Iterator<Item = &Known<'a>> {
        let relation = *relation;
        let other_arch = matches!(relation.qualifier, Qualifier::Of(arch) if arch != self.arch);
        let any = relation.qualifier == Qualifier::Any;
        let places = self.by_name.get(relation.name).filter(|_| !other_arch);
        let members = places
            .into_iter()
            .flatten()
            .filter_map(|place| self.all.get(*place));
        members.filter(move |member| {
            let real = member.name == relation.name && relation.admits(member.version);
            let provided = member.provides.iter().any(|provided| {
                let serves = match provided.qualifier {
                    Qualifier::Any => any,
                    Qualifier::Of(arch) => !any && arch == self.arch,
                    Qualifier::Same | Qualifier::Native => !any || member.allows_any,
                };
                let named = provided.name == relation.name;
                named && serves && relation.admits_provided(provided.version)
            });
            (real && (!any || member.allows_any)) || provided
        })
    }
}

fn read<'a>(member: Member<'a>, arch: &str) -> Result<Known<'a>, ClosureError> {
    let first = control::stanzas(member.stanza).next();
    let stanza = match first {
        Some(Ok(stanza)) => stanza,
        Some(Err(e)) => return Err(unreadable("a package", &e)),
        None => return Err(unreadable("a package", &"it is empty")),
    };
    let name = stanza.field("Package").unwrap_or_default();
    let version = Version::parse(stanza.field("Version").unwrap_or_default());
    let provides = relation::provides(stanza.field("Provides").unwrap_or_default(), arch);
    Ok(Known {
        name,
        version: version.map_err(|e| unreadable(name, &e))?,
        stanza,
        allows_any: stanza.field("Multi-Arch") == Some("allowed"),
        provides: provides.map_err(|e| unreadable(name, &e))?,
        baseline: member.baseline,
    })
}

fn unreadable(package: &str, reason: &dyn std::fmt::Display) -> ClosureError {
    ClosureError {
        package: escaped(package),
        reason: reason.to_string(),
    }
}

fn said(
    member: &Known<'_>,
    field: &'static str,
    group: &[Relation<'_>],
    by: Option<String>,
) -> Broken {
    let all: Vec<String> = group.iter().map(ToString::to_string).collect();
    Broken {
        name: member.name.to_owned(),
        version: member.version.to_string(),
        field,
        relation: escaped(&all.join(" | ")),
        by,
    }
}
