//! What `apt-get install` would take. The parts: `state` (what is marked), `mark` (marking as apt 2.6 does it), `sweep`
//! (what was marked on the way and is not needed), `explain` (why it cannot be done).

mod fault;

use crate::eco::debian::pool::{CandidateId, Pool};

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
    /// It replaces a version of the baseline that something in the answer excludes.
    Upgrade,
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

/// What `apt-get install` of apt 2.6 would take from the pool, given what the pool's status says is there.
pub fn solve(pool: &Pool, request: &SolveRequest) -> Result<Selection, SolveError> {
    let _ = (pool, request);
    Ok(Selection::default())
}
