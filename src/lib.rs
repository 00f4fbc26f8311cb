//! `stage` carries the dependency closure of an agent runtime across an air gap.
pub mod base;
pub mod cli;
pub mod eco;
pub mod fs;
pub mod lock;
pub mod trust;
#[cfg(feature = "connected")]
pub mod upstream;
