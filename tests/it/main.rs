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
mod sbom;
mod schemas;
#[cfg(feature = "connected")]
mod fetch;
#[cfg(feature = "connected")]
mod loopback;
#[cfg(feature = "connected")]
mod net;
