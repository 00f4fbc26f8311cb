//! Choosing versions for one platform: `PubGrub` (crate `pubgrub`), driven step by step, so that it stops where something
//! is not known yet and goes on from there. What is decided depends on what is known at the end only, not on when it came.
//!
//! The order of decisions is the one that uv documents under "Resolver internals", so that among the sets of versions
//! that are valid ours is the one that uv gives. `range` turns specifiers into sets of versions, `package` is what
//! versions are chosen for, `priority` the order, `needs` what a version depends on, `explain` why there is no solution.

pub(crate) mod explain;
pub(crate) mod needs;
pub(crate) mod package;
pub(crate) mod priority;
pub(crate) mod range;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use pep440_rs::Version;
use pep508_rs::{ExtraName, MarkerTree};
use pubgrub::{
    ConflictId, Dependencies, DependencyProvider, Id, Map, PackageResolutionStatistics, State, Term,
};

use crate::eco::preference::Preference;
use crate::eco::pypi::listing::{Likes, Listing, Offer, Refusal};
use crate::eco::pypi::markers::Environment;
use crate::eco::pypi::name::Name;
use crate::eco::pypi::solve::explain::Tree;
use crate::eco::pypi::solve::needs::{Dependency, Needs};
use crate::eco::pypi::solve::package::Package;
use crate::eco::pypi::solve::priority::{Priorities, Rank};
use crate::eco::pypi::solve::range::Range;
use crate::eco::pypi::wanted::Wanted;

/// After so many conflicts a package changes its place in the order.
const CONFLICTS: u32 = 5;
/// Most decisions, so that no set of requirements keeps the solver busy for ever.
const MAX_DECISIONS: u32 = 500_000;

/// What the solver is parameterized with; it never asks it anything, since [`Solve`] drives it.
#[derive(Debug, Clone)]
pub(crate) struct Provider;

impl DependencyProvider for Provider {
    type P = Package;
    type V = Version;
    type VS = Range;
    type Priority = Rank;
    type M = Refusal;
    type Err = Infallible;

    fn prioritize(&self, _: &Package, _: &Range, _: &PackageResolutionStatistics) -> Rank {
        (None, None)
    }

    fn choose_version(&self, _: &Package, _: &Range) -> Result<Option<Version>, Infallible> {
        Ok(None)
    }

    fn get_dependencies(
        &self,
        _: &Package,
        _: &Version,
    ) -> Result<Dependencies<Package, Range, Refusal>, Infallible> {
        Ok(Dependencies::Unavailable(Refusal::NoWheel))
    }
}

/// What is known of the index so far.
pub(crate) trait Shelf {
    /// The versions of a project; `None` when they must be asked for. A project that does not exist has none.
    fn listing(&self, name: &Name) -> Option<&Listing>;

    /// What the file of a version needs; `None` when it must be asked for.
    fn needs(&self, name: &Name, offer: &Offer) -> Option<Result<&Needs, Refusal>>;
}

/// What is to be solved.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// The platform.
    pub(crate) environment: Environment,
    /// The requirements, in their order.
    pub(crate) wanted: Vec<Wanted>,
    /// Limits on whatever is needed.
    pub(crate) constraints: Vec<Wanted>,
    /// Versions that are kept where possible.
    pub(crate) kept: BTreeMap<Name, BTreeSet<Version>>,
    /// Tells which versions are approved; these come first.
    pub(crate) prefer: Preference,
    /// Projects of which a requirement names a pre-release.
    pub(crate) prereleases: BTreeSet<Name>,
    /// Whether pre-releases of everything may be taken.
    pub(crate) pre: bool,
}

/// How far it got.
#[derive(Debug)]
pub(crate) enum Step {
    /// The versions of these projects, and the metadata of this version, must be known.
    Waiting(Missing),
    /// All versions.
    Solved(BTreeMap<Name, Chosen>),
    /// There are none; the tree says why.
    Failed(Box<Tree>),
    /// It took too many decisions.
    Endless,
}

/// What must be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The page of a project.
    Page(Name),
    /// The metadata of a version.
    Metadata(Name, Version),
}

/// A chosen version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// The version.
    pub(crate) version: Version,
    /// Extras that something asks for.
    pub(crate) extras: BTreeSet<ExtraName>,
}

/// How often packages were in conflicts.
#[derive(Default)]
struct Conflicts {
    rejected: Map<Id<Package>, u32>,
    causes: Map<Id<Package>, u32>,
    earlier: Vec<Id<Package>>,
    later: Vec<Id<Package>>,
}

/// One run of the solver.
pub(crate) struct Solve {
    problem: Problem,
    state: State<Provider>,
    priorities: Priorities,
    conflicts: Conflicts,
    next: Id<Package>,
    /// Whether `next` was picked and waits for its version.
    is_picked: bool,
    decided: Map<Id<Package>, BTreeSet<Version>>,
    decisions: u32,
    /// Versions tried by name, for asking ahead.
    tried: BTreeMap<Name, usize>,
    /// Projects that a dependency names, in the order they were met.
    met: Vec<Name>,
}

impl std::fmt::Debug for Solve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Solve")
            .field("decisions", &self.decisions)
            .finish_non_exhaustive()
    }
}

impl Solve {
    /// Starts.
    pub(crate) fn new(problem: Problem) -> Self {
        let state = State::init(Package::Root, Version::new([0]));
        Self {
            next: state.root_package,
            state,
            problem,
            priorities: Priorities::default(),
            conflicts: Conflicts::default(),
            is_picked: false,
            decided: Map::default(),
            decisions: 0,
            tried: BTreeMap::new(),
            met: Vec::new(),
        }
    }

    /// What it solves.
    pub(crate) const fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Projects that were met since the last call.
    pub(crate) fn take_met(&mut self) -> Vec<Name> {
        std::mem::take(&mut self.met)
    }

    /// Versions that would be tried now of projects that are not decided: what to ask for ahead.
    pub(crate) fn ahead<'a>(&'a self, shelf: &'a dyn Shelf) -> Vec<(&'a Name, &'a Offer)> {
        let open = self.state.partial_solution.prioritized_packages();
        let offers = open.filter_map(|(id, range)| {
            let name = self.state.package_store[id].name()?;
            Some((name, self.choose(shelf.listing(name)?, name, range)?))
        });
        offers.collect()
    }

    /// How many versions of the project were tried, and those that would be tried next.
    pub(crate) fn next_versions<'a>(
        &'a self,
        name: &Name,
        shelf: &'a dyn Shelf,
        count: usize,
    ) -> Vec<&'a Offer> {
        let Some(listing) = shelf.listing(name) else {
            return Vec::new();
        };
        let mut range = match self
            .state
            .partial_solution
            .term_intersection_for_package(self.next)
        {
            Some(Term::Positive(range))
                if self.state.package_store[self.next].name() == Some(name) =>
            {
                range.clone()
            }
            _ => return Vec::new(),
        };
        let mut out = Vec::new();
        while out.len() < count {
            let Some(offer) = self.choose(listing, name, &range) else {
                break;
            };
            range = range.intersection(&Range::strictly_lower_than(offer.version.clone()));
            out.push(offer);
        }
        out
    }

    /// Versions of the project tried so far.
    pub(crate) fn tried(&self, name: &Name) -> usize {
        self.tried.get(name).copied().unwrap_or_default()
    }

    /// Goes on until something is missing or all is decided.
    pub(crate) fn advance(&mut self, shelf: &dyn Shelf) -> Step {
        loop {
            if !self.is_picked {
                match self.propagate() {
                    Ok(true) => {}
                    Ok(false) => return Step::Solved(self.solution()),
                    Err(tree) => return Step::Failed(tree),
                }
            }
            if let Err(missing) = self.decide(shelf) {
                return Step::Waiting(missing);
            }
            self.is_picked = false;
            self.decisions += 1;
            if self.decisions > MAX_DECISIONS {
                return Step::Endless;
            }
        }
    }

    /// Draws conclusions and picks the next package; `false` when all is decided.
    fn propagate(&mut self) -> Result<bool, Box<Tree>> {
        let conflicts: Vec<_> = match self.state.unit_propagation(self.next) {
            Ok(conflicts) => conflicts.into_iter().collect(),
            Err(tree) => return Err(Box::new(tree)),
        };
        for (rejected, conflict) in conflicts {
            self.count(rejected, &conflict);
        }
        self.reorder();
        let (priorities, packages) = (&self.priorities, &self.state.package_store);
        let rank = |id: Id<Package>, _: &Range| priorities.rank(&packages[id]);
        let picked = self.state.partial_solution.pick_highest_priority_pkg(rank);
        let Some((next, _)) = picked else {
            return Ok(false);
        };
        self.next = next;
        self.is_picked = true;
        Ok(true)
    }

    /// Counts a conflict for the last decision and for the packages that caused it.
    fn count(&mut self, rejected: Id<Package>, conflict: &ConflictId<Provider>) {
        let packages = &self.state.package_store;
        let mut is_real = false;
        for cause in self.state.conflict_packages(conflict) {
            // What is bound to the same version has no conflict with it.
            if cause == rejected || packages[cause].name() == packages[rejected].name() {
                continue;
            }
            is_real = true;
            let count = self.conflicts.causes.entry(cause).or_default();
            *count += 1;
            if *count == CONFLICTS {
                self.conflicts.later.push(cause);
            }
        }
        if is_real {
            // As in uv, it counts for the package whose decision brought the conflict to light.
            let count = self.conflicts.rejected.entry(self.next).or_default();
            *count += 1;
            if *count == CONFLICTS {
                self.conflicts.earlier.push(self.next);
            }
        }
    }

    /// Gives packages with many conflicts another place, and goes back to before the cause was decided.
    fn reorder(&mut self) {
        for id in std::mem::take(&mut self.conflicts.earlier) {
            self.priorities.earlier(&self.state.package_store[id]);
        }
        for id in std::mem::take(&mut self.conflicts.later) {
            if self.priorities.later(&self.state.package_store[id]) {
                // One that is not decided needs no way back.
                let _level: Option<u32> = self.state.backtrack_package(id);
            }
        }
    }

    /// Decides a version of the picked package, or that there is none.
    fn decide(&mut self, shelf: &dyn Shelf) -> Result<(), Missing> {
        let package = self.state.package_store[self.next].clone();
        let term = self
            .state
            .partial_solution
            .term_intersection_for_package(self.next);
        let range = match term {
            Some(Term::Positive(range)) => range.clone(),
            Some(Term::Negative(_)) | None => Range::full(),
        };
        match &package {
            Package::Root => {
                let root = self.problem.wanted.iter();
                let needs = needs::of_root(root, &self.problem);
                self.add(
                    Version::new([0]),
                    Range::singleton(Version::new([0])),
                    needs,
                );
            }
            Package::Python => {
                let python = self.problem.environment.python.clone();
                if range.contains(&python) {
                    self.add(python.clone(), Range::singleton(python), Vec::new());
                } else {
                    self.state.add_no_versions(self.next, range);
                }
            }
            Package::Request(name, ..) | Package::Part(name, ..) => {
                self.decide_project(&package, name, range, shelf)?;
            }
        }
        Ok(())
    }

    fn decide_project(
        &mut self,
        package: &Package,
        name: &Name,
        range: Range,
        shelf: &dyn Shelf,
    ) -> Result<(), Missing> {
        let missing_page = || Missing::Page(name.clone());
        let listing = shelf.listing(name).ok_or_else(missing_page)?;
        let Some(offer) = self.choose(listing, name, &range) else {
            self.state.add_no_versions(self.next, range);
            return Ok(());
        };
        let version = offer.version.clone();
        // Versions that do not exist may count as this one, which keeps the sets short.
        let alone = Range::singleton(version.clone());
        let versions = alone.widen_versions(listing.versions());
        if let Err(refusal) = &offer.file {
            self.state
                .add_unavailable(self.next, versions, refusal.clone());
            return Ok(());
        }
        if let Some(requires) = &offer.requires_python
            && !self.problem.environment.admits(requires)
        {
            self.refuse_python(version, versions, requires);
            return Ok(());
        }
        let known = self.decided.get(&self.next);
        if known.is_some_and(|known| known.contains(&version)) {
            self.state.partial_solution.add_decision(self.next, version);
            return Ok(());
        }
        let dependencies = match package {
            Package::Part(_, extra, _) => {
                let needs = shelf.needs(name, offer);
                match needs.ok_or_else(|| Missing::Metadata(name.clone(), version.clone()))? {
                    Ok(needs) => needs.dependencies(name, extra.as_ref(), &self.problem),
                    Err(refusal) => {
                        self.state.add_unavailable(self.next, versions, refusal);
                        return Ok(());
                    }
                }
            }
            _ => parts(package, name, &version),
        };
        if extra_free(package) {
            *self.tried.entry(name.clone()).or_default() += 1;
        }
        let of_next = self.decided.entry(self.next).or_default();
        of_next.insert(version.clone());
        self.add(version, versions, dependencies);
        Ok(())
    }

    /// Adds the dependencies of a version and takes it, unless they contradict what is known.
    fn add(&mut self, version: Version, versions: Range, dependencies: Vec<Dependency>) {
        for dependency in &dependencies {
            self.priorities.meet(&dependency.package, dependency.is_pin);
            self.met.extend(dependency.package.name().cloned());
        }
        for dependency in &dependencies {
            if let Some(base) = dependency.package.bound_to() {
                let package = self.state.package_store.alloc(dependency.package.clone());
                let base = self.state.package_store.alloc(base);
                let range = dependency.range.clone();
                self.state
                    .add_dependency(package, range.clone(), (base, range));
            }
        }
        let pairs = dependencies.into_iter().map(|d| (d.package, d.range));
        let conflict = self
            .state
            .add_package_version_dependencies(self.next, version, versions, pairs);
        if let Some(conflict) = conflict {
            self.count(self.next, &conflict);
        }
    }

    /// A version for other Pythons depends on one that there is not.
    fn refuse_python(
        &mut self,
        version: Version,
        versions: Range,
        requires: &pep440_rs::VersionSpecifiers,
    ) {
        let python = self.state.package_store.alloc(Package::Python);
        let range = range::of(requires).unwrap_or_else(Range::empty);
        // What uv's rule does not admit must not be admitted by the upper end of a range either.
        let here = Range::singleton(self.problem.environment.python.clone());
        let range = range.intersection(&here.complement());
        self.state
            .add_dependency(self.next, versions, (python, range));
        self.state.partial_solution.add_decision(self.next, version);
    }

    fn choose<'a>(&self, listing: &'a Listing, name: &Name, range: &Range) -> Option<&'a Offer> {
        let kept = self.problem.kept.get(name);
        let prereleases = self.problem.pre || self.problem.prereleases.contains(name);
        let likes = Likes {
            kept,
            name,
            preference: &self.problem.prefer,
            prereleases,
        };
        listing.choose(range, likes)
    }

    fn solution(&self) -> BTreeMap<Name, Chosen> {
        let mut solution: BTreeMap<Name, Chosen> = BTreeMap::new();
        for (id, version) in self.state.partial_solution.extract_solution() {
            let Package::Part(name, extra, _) = &self.state.package_store[id] else {
                continue;
            };
            let chosen = solution.entry(name.clone()).or_insert_with(|| Chosen {
                version,
                extras: BTreeSet::new(),
            });
            chosen.extras.extend(extra.clone());
        }
        solution
    }
}

fn extra_free(package: &Package) -> bool {
    matches!(package, Package::Part(_, None, _))
}

/// What a requirement with an extra or a marker stands for: the project, and the extra, at the same version.
fn parts(package: &Package, name: &Name, version: &Version) -> Vec<Dependency> {
    let Package::Request(_, extra, marker) = package else {
        return Vec::new();
    };
    let mut markers = vec![MarkerTree::TRUE];
    if *marker != MarkerTree::TRUE {
        markers.push(marker.clone());
    }
    let mut out = Vec::new();
    for marker in markers {
        let extras = match extra {
            None => vec![None],
            Some(_) => vec![None, extra.clone()],
        };
        for extra in extras {
            out.push(Dependency {
                package: Package::Part(name.clone(), extra, marker.clone()),
                range: Range::singleton(version.clone()),
                is_pin: true,
            });
        }
    }
    out
}
