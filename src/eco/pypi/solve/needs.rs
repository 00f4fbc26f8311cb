//! What a version of a project needs on one platform, as dependencies of the solver.

use std::collections::{BTreeSet, VecDeque};

use pep508_rs::{ExtraName, MarkerTree};

use crate::eco::pypi::metadata::Metadata;
use crate::eco::pypi::name::Name;
use crate::eco::pypi::solve::Problem;
use crate::eco::pypi::solve::package::Package;
use crate::eco::pypi::solve::range::Range;
use crate::eco::pypi::wanted::Wanted;

/// Most extras that are followed from one.
const MAX_EXTRAS: usize = 1_000;

/// The requirements of a version.
#[derive(Debug, Clone)]
pub(crate) struct Needs {
    /// In the order of the metadata. Direct references are in it, and nothing follows from them.
    pub(crate) wanted: Vec<Wanted>,
}

/// What a version of a package depends on.
#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    /// The package.
    pub(crate) package: Package,
    /// Versions that will do.
    pub(crate) range: Range,
    /// Whether that is one version.
    pub(crate) is_pin: bool,
}

impl Needs {
    /// Reads the requirements of core metadata; the error is safe to print.
    pub(crate) fn new(metadata: &Metadata) -> Result<Self, String> {
        let parse = |text: &String| {
            Wanted::parse(text).map_err(|reason| {
                format!("requirement {}: {reason}", crate::base::text::quoted(text))
            })
        };
        let wanted = metadata.requires_dist.iter().map(parse);
        Ok(Self {
            wanted: wanted.collect::<Result<_, _>>()?,
        })
    }

    /// The requirements that count there: without an extra, or those that only the extra adds. Extras of the project
    /// itself are followed.
    pub(crate) fn holding(
        &self,
        name: &Name,
        extra: Option<&ExtraName>,
        problem: &Problem,
    ) -> Vec<(&Wanted, MarkerTree)> {
        let mut found = self.of_extra(extra, problem);
        if !found.iter().any(|(wanted, _)| wanted.name == *name) {
            return found;
        }
        let mut seen: BTreeSet<ExtraName> = BTreeSet::new();
        let own = |found: &[(&Wanted, MarkerTree)]| -> Vec<ExtraName> {
            let own = found.iter().filter(|(wanted, _)| wanted.name == *name);
            own.flat_map(|(wanted, _)| wanted.extras.iter().cloned())
                .collect()
        };
        let mut queue: VecDeque<ExtraName> = own(&found).into();
        while let Some(extra) = queue.pop_front() {
            if seen.len() >= MAX_EXTRAS || !seen.insert(extra.clone()) {
                continue;
            }
            let more = self.of_extra(Some(&extra), problem);
            queue.extend(own(&more));
            found.extend(more.into_iter().filter(|(wanted, _)| wanted.name != *name));
        }
        // `name[extra]>1` also limits `name` itself.
        found.retain(|(w, _)| w.name != *name || !w.specifiers.is_empty());
        found
    }

    /// The requirements that count there with these extras.
    pub(crate) fn all_holding(
        &self,
        name: &Name,
        extras: &BTreeSet<ExtraName>,
        problem: &Problem,
    ) -> Vec<(&Wanted, MarkerTree)> {
        let mut out = self.holding(name, None, problem);
        for extra in extras {
            out.extend(self.holding(name, Some(extra), problem));
        }
        out
    }

    fn of_extra(&self, extra: Option<&ExtraName>, problem: &Problem) -> Vec<(&Wanted, MarkerTree)> {
        let environment = &problem.environment.markers;
        let counts = |wanted: &&Wanted| {
            let always = wanted.marker.evaluate(environment, &[]);
            match extra {
                None => always,
                Some(extra) => {
                    !always
                        && wanted
                            .marker
                            .evaluate(environment, std::slice::from_ref(extra))
                }
            }
        };
        let all = self.wanted.iter().filter(counts);
        all.map(|wanted| {
            let marker = wanted.marker.clone();
            let extras: Vec<ExtraName> = extra.iter().map(|e| (*e).clone()).collect();
            (wanted, marker.simplify_extras(&extras))
        })
        .collect()
    }

    /// The same for the solver.
    pub(crate) fn dependencies(
        &self,
        name: &Name,
        extra: Option<&ExtraName>,
        problem: &Problem,
    ) -> Vec<Dependency> {
        let mut out = Vec::new();
        for (wanted, marker) in self.holding(name, extra, problem) {
            if wanted.name == *name {
                out.push(Dependency {
                    package: Package::base(name),
                    range: wanted.range.clone(),
                    is_pin: wanted.is_pin(),
                });
            } else {
                extend(&mut out, wanted, &marker, problem);
            }
        }
        out
    }
}

/// The dependencies of the requirements themselves.
pub(crate) fn of_root<'a>(
    wanted: impl Iterator<Item = &'a Wanted>,
    problem: &Problem,
) -> Vec<Dependency> {
    let mut out = Vec::new();
    for wanted in wanted {
        if wanted.marker.evaluate(&problem.environment.markers, &[]) {
            extend(&mut out, wanted, &wanted.marker, problem);
        }
    }
    out
}

/// One requirement, and the constraints on its project.
fn extend(out: &mut Vec<Dependency>, wanted: &Wanted, marker: &MarkerTree, problem: &Problem) {
    if wanted.direct.is_some() {
        // Reported, and not followed.
        return;
    }
    push(out, wanted, &wanted.extras, marker.clone());
    for constraint in &problem.constraints {
        if constraint.name == wanted.name
            && constraint
                .marker
                .evaluate(&problem.environment.markers, &[])
        {
            let mut both = marker.clone();
            both.and(constraint.marker.clone());
            push(out, constraint, &[], both);
        }
    }
}

fn push(out: &mut Vec<Dependency>, wanted: &Wanted, extras: &[ExtraName], marker: MarkerTree) {
    let mut one = |extra: Option<&ExtraName>| {
        out.push(Dependency {
            package: Package::requested(&wanted.name, extra.cloned(), marker.clone()),
            range: wanted.range.clone(),
            is_pin: wanted.is_pin(),
        });
    };
    if extras.is_empty() {
        one(None);
    }
    for extra in extras {
        one(Some(extra));
    }
}
