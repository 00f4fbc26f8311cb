//! The integration tests, one binary.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "tests fail by panicking and prepare their own files"
)]

mod arch;
mod ca;
mod fixture;
mod house;
mod inspect;
#[cfg(feature = "connected")]
mod sbom;
mod schemas;
mod source;
