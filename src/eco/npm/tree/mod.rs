//! npm's ideal tree: what `npm install` of npm 11 would put where. `graph` holds nodes and edges, `place` decides where a
//! package goes, `peers` finds what belongs together, `build` walks the dependencies.

pub(crate) mod build;
mod check;
pub(crate) mod graph;
mod peers;
mod place;
