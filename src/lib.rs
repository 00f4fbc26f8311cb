//! `stage` carries the dependency closure of an agent runtime across an air gap.
pub mod base;
pub mod cli;
pub mod eco;
#[cfg(feature = "connected")]
pub mod fetch;
pub mod fs;
pub mod lock;
#[cfg(feature = "connected")]
pub mod net;
pub mod store;
#[cfg(feature = "connected")]
pub mod upstream;
