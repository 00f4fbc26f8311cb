//! What `apt-get install` would take. The parts: `wish` (what is asked for), `needs` (relations of a candidate), `state`
//! (what is marked, and what that satisfies), `mark`, `clear` and `choice` (marking as apt 2.6 does it), `sweep` (what
//! was marked on the way and is not needed), `answer` (what is installed, and who wanted it), `explain` (why it cannot
//! be done).

mod answer;
mod choice;
mod clear;
mod explain;
mod fault;
mod mark;
mod needs;
mod state;
mod sweep;
mod wish;

use crate::eco::debian::pool::{CandidateId, Pool};
use crate::eco::debian::solve::mark::By;
use crate::eco::debian::solve::state::State;
use crate::eco::debian::{is_name, is_version};

pub use fault::{CODES, SolveError};

/// A package that is asked for: `name`, `name=version`, `name:arch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Name of the package.
    pub name: String,
    /// Exactly this version.
    pub version: Option<String>,
    /// This architecture; the pool's own, `all` or none.
    pub arch: Option<String>,
}

impl Wish {
    /// A package in whatever version and architecture.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: None,
            arch: None,
        }
    }

    /// Reads `name`, `name=version` or `name:arch=version`; `None` where a part is missing or is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, version) = match text.split_once('=') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        let (name, arch) = match name.split_once(':') {
            Some((name, arch)) => (name, Some(arch)),
            None => (name, None),
        };
        let is_word =
            |a: &str| !a.is_empty() && a.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let whole = is_name(name) && version.is_none_or(is_version) && arch.is_none_or(is_word);
        whole.then(|| Self {
            name: name.to_owned(),
            version: version.map(str::to_owned),
            arch: arch.map(str::to_owned),
        })
    }
}

/// Whether updates that Ubuntu still rolls out (`Phased-Update-Percentage` below 100) are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phased {
    /// As if they did not exist, unless nothing else does or the baseline has them.
    #[default]
    Wait,
    /// As any other version.
    Take,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct SolveRequest {
    /// The packages.
    pub wishes: Vec<Wish>,
    /// Whether `Recommends` are followed.
    pub recommends: bool,
    /// Whether the Essential set and apt are asked for as well (baseline `essential`).
    pub essential: bool,
    /// Updates that are still rolled out.
    pub phased: Phased,
}

/// Why a package is in the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It was asked for.
    Wish,
    /// It is of the Essential set.
    Essential,
    /// A package of the answer, by its place there, has it in this field.
    Needed {
        /// The place.
        by: usize,
        /// The field, such as `Depends`.
        field: &'static str,
    },
    /// It replaces a version of the baseline that does not go with something in the answer.
    Upgrade,
    /// apt marked it on the way to something else and keeps it.
    Kept,
}

/// A package of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Which.
    pub candidate: CandidateId,
    /// Why; of several reasons the one with the shortest chain.
    pub reason: Reason,
    /// The version of the baseline that it replaces.
    pub replaces: Option<String>,
    /// Packages of the answer that satisfy its `Pre-Depends`, `Depends` and, if they are followed, `Recommends`: their
    /// places, sorted.
    pub dependencies: Vec<usize>,
}

/// What `apt-get install` would download.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Sorted by name.
    pub chosen: Vec<Chosen>,
    /// Wishes that the baseline has already, `name=version`.
    pub present: Vec<String>,
    /// Packages of the baseline that are held, of which the archives have a newer version: `name=version` that stays.
    pub held: Vec<String>,
    /// `Recommends` of the answer that nothing in it satisfies: `name: relation`.
    pub unmet_recommends: Vec<String>,
}

/// The stack of the thread that solves, in bytes: enough for the longest chain that is followed.
const STACK: usize = 128 << 20;

/// What `apt-get install` of apt 2.6 would take from the pool, given what the pool's status says is there.
pub fn solve(pool: &Pool, request: &SolveRequest) -> Result<Selection, SolveError> {
    let crashed = |reason: &str| SolveError::Internal {
        reason: reason.to_owned(),
    };
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(STACK);
        let solving = builder.spawn_scoped(scope, || run(pool, request));
        let solving = solving.map_err(|e| crashed(&format!("no thread can be started: {e}")))?;
        solving
            .join()
            .map_err(|_panic| crashed("its thread ended early"))?
    })
}

fn run(pool: &Pool, request: &SolveRequest) -> Result<Selection, SolveError> {
    let mut state = State::new(pool, request);
    let roots = wish::choose(&mut state, request)?;
    for name in roots.all() {
        state.protect(name, true);
        state.install(name, false, 0, By::User);
    }
    for name in roots.all() {
        state.install(name, true, 0, By::User);
    }
    if let Some(reason) = state.needs.fault.take() {
        return Err(SolveError::Relation { reason });
    }
    if state.is_anything_broken(false) {
        return Err(state.explain(&roots));
    }
    state.sweep();
    if state.is_anything_broken(false) {
        return Err(state.explain(&roots));
    }
    state.answer(&roots)
}
