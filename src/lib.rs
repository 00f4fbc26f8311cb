//! `stage` carries the dependency closure of an agent runtime across an air gap.
pub mod base;
pub mod ca;
pub mod cli;
pub mod eco;
pub mod fs;
pub mod lock;
pub mod manifest;
pub mod release;
#[cfg(feature = "connected")]
pub mod resolve;
pub mod sbom;
#[cfg(feature = "connected")]
pub mod upstream;
