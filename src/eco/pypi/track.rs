//! One environment that is being made: the runtime's on one platform, or the one that a source distribution is built in.

use std::collections::{BTreeMap, BTreeSet};

use pep440_rs::Version;

use crate::base::digest::Digest;
use crate::base::platform::Platform;
use crate::eco::pypi::listing::Listing;
use crate::eco::pypi::name::Name;
use crate::eco::pypi::shelf::{Known, View};
use crate::eco::pypi::solve::explain::{Explanation, explain};
use crate::eco::pypi::solve::{Chosen, Missing, Problem, Solve, Step};

/// Versions of one project that are tried before others are asked for ahead.
const TRIED: usize = 4;
/// Most versions that are asked for ahead.
const AHEAD: usize = 50;

/// One environment.
#[derive(Debug)]
pub(crate) struct Track {
    /// The project that is built in it; `None` for the runtime's own.
    pub(crate) builds: Option<Name>,
    /// The versions of each project, as far as its page is known.
    pub(crate) listings: BTreeMap<Name, Listing>,
    /// Versions that are taken although they were taken back.
    pub(crate) yanked: BTreeMap<Name, BTreeSet<Version>>,
    /// The only files that may be taken, by project.
    pub(crate) hashes: BTreeMap<Name, BTreeSet<Digest>>,
    /// How its versions are found.
    pub(crate) way: Way,
    /// What it waits for.
    pub(crate) waiting: Option<Missing>,
    /// How it ended.
    pub(crate) end: Option<End>,
}

/// How versions are found.
#[derive(Debug)]
pub(crate) enum Way {
    /// By solving.
    Solve(Box<Solve>),
    /// Another tool has locked them.
    Locked(Box<Problem>, BTreeMap<Name, Chosen>),
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum End {
    /// With these versions.
    Chosen(BTreeMap<Name, Chosen>),
    /// With none.
    Failed(Explanation),
    /// With none, since it took too long.
    Endless,
}

/// What must be known before it goes on, and what will probably be needed.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    /// Pages of these projects.
    pub(crate) pages: Vec<Name>,
    /// Metadata of these versions.
    pub(crate) metadata: Vec<(Name, Version)>,
}

impl Track {
    /// What it solves, or what its lock is for.
    pub(crate) fn problem(&self) -> &Problem {
        match &self.way {
            Way::Solve(solve) => solve.problem(),
            Way::Locked(problem, _) => problem,
        }
    }

    /// Its platform.
    pub(crate) fn platform(&self) -> Platform {
        self.problem().environment.platform
    }

    /// Goes on as far as it gets with what is known.
    pub(crate) fn advance(&mut self, known: &Known) -> Asking {
        let mut asking = Asking::default();
        if self.end.is_some() {
            return asking;
        }
        let view = View {
            known,
            listings: &self.listings,
        };
        let (waiting, end) = match &mut self.way {
            Way::Locked(_, chosen) => locked(chosen, &view, &mut asking),
            Way::Solve(solve) => solving(solve, &view, &mut asking),
        };
        match &waiting {
            Some(Missing::Page(name)) => asking.pages.push(name.clone()),
            Some(Missing::Metadata(name, version)) => {
                asking.metadata.push((name.clone(), version.clone()));
            }
            None => {}
        }
        self.waiting = waiting;
        self.end = end;
        asking
    }
}

fn solving(
    solve: &mut Solve,
    view: &View<'_>,
    asking: &mut Asking,
) -> (Option<Missing>, Option<End>) {
    let step = solve.advance(view);
    asking.pages.extend(solve.take_met());
    match step {
        Step::Solved(chosen) => (None, Some(End::Chosen(chosen))),
        Step::Failed(tree) => {
            let explanation = explain(&tree, solve.problem(), view);
            (None, Some(End::Failed(explanation)))
        }
        Step::Endless => (None, Some(End::Endless)),
        Step::Waiting(missing) => {
            ahead(solve, &missing, view, asking);
            (Some(missing), None)
        }
    }
}

/// What will probably be needed next, so that it comes at the same time.
fn ahead(solve: &Solve, missing: &Missing, view: &View<'_>, asking: &mut Asking) {
    let owned = |(name, version): (&Name, &Version)| (name.clone(), version.clone());
    if let Missing::Metadata(name, _) = missing
        && solve.tried(name) >= TRIED
    {
        let count = (solve.tried(name) * 2).min(AHEAD);
        let next = solve.next_versions(name, view, count);
        let next = next.into_iter().map(|offer| (name, &offer.version));
        asking.metadata.extend(next.map(owned));
    }
    let open = solve.ahead(view).into_iter();
    let open = open.map(|(name, offer)| (name, &offer.version));
    asking.metadata.extend(open.map(owned));
}

/// Of a lock, only the files and their metadata must be known.
fn locked(
    chosen: &BTreeMap<Name, Chosen>,
    view: &View<'_>,
    asking: &mut Asking,
) -> (Option<Missing>, Option<End>) {
    use crate::eco::pypi::solve::Shelf as _;
    let mut waiting = None;
    for (name, found) in chosen {
        let Some(listing) = view.listing(name) else {
            asking.pages.push(name.clone());
            waiting = Some(Missing::Page(name.clone()));
            continue;
        };
        // What the index does not have is reported at the end.
        let offer = listing.get(&found.version).filter(|o| o.file.is_ok());
        let Some(offer) = offer else { continue };
        if view.needs(name, offer).is_none() {
            let version = found.version.clone();
            asking.metadata.push((name.clone(), version.clone()));
            waiting = Some(Missing::Metadata(name.clone(), version));
        }
    }
    let end = waiting.is_none().then(|| End::Chosen(chosen.clone()));
    (waiting, end)
}
