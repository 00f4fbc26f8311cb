//! The integration tests, one binary.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests fail by panicking and prepare their own files"
)]

mod arch;
mod ca;
mod fixture;
mod house;
#[cfg(feature = "connected")]
mod import;
mod npm_repo;
mod packages;
mod sbom;
mod served;
mod serve;
#[cfg(feature = "connected")]
mod world;
mod schemas;
