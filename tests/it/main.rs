//! The integration tests, one binary.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "tests fail by panicking, prepare their own files, and tell one story each"
)]
#![cfg_attr(
    not(feature = "connected"),
    expect(dead_code, reason = "helpers that tests of the connected build share")
)]

mod advisories;
#[cfg(feature = "connected")]
mod approvals;
#[cfg(feature = "connected")]
mod approved;
mod arch;
#[cfg(feature = "connected")]
mod asked;
mod attacks;
#[cfg(feature = "connected")]
mod attested;
#[cfg(feature = "connected")]
mod audit;
#[cfg(feature = "connected")]
mod by_hand;
mod ca;
mod ca_check;
mod ca_pack;
#[cfg(feature = "connected")]
mod cargo_repo;
#[cfg(feature = "connected")]
mod cargo_resolve;
#[cfg(feature = "connected")]
mod closures;
mod contents;
#[cfg(feature = "connected")]
mod crates;
#[cfg(feature = "connected")]
mod credentials;
mod debian_archive;
#[cfg(feature = "connected")]
mod debian_baseline;
#[cfg(feature = "connected")]
mod debian_chain;
#[cfg(feature = "connected")]
mod debian_solve;
#[cfg(feature = "connected")]
mod debian_sources;
#[cfg(feature = "connected")]
mod demanded;
mod desk;
mod enrolment;
#[cfg(feature = "connected")]
mod escapes;
#[cfg(feature = "connected")]
mod evidence;
#[cfg(feature = "connected")]
mod exports;
#[cfg(feature = "connected")]
mod fetch;
#[cfg(feature = "connected")]
mod files;
#[cfg(feature = "connected")]
mod files_signed;
mod fixture;
#[cfg(feature = "connected")]
mod heads;
#[cfg(feature = "connected")]
mod hids;
#[cfg(feature = "connected")]
mod hole_rules;
#[cfg(feature = "connected")]
mod holes;
mod house;
#[cfg(feature = "connected")]
mod import;
mod inspect;
mod keys;
#[cfg(feature = "connected")]
mod lint;
#[cfg(feature = "connected")]
mod linted;
mod loopback;
#[cfg(feature = "connected")]
mod missing;
#[cfg(feature = "connected")]
mod native;
#[cfg(feature = "connected")]
mod net;
#[cfg(feature = "connected")]
mod npm_repo;
#[cfg(feature = "connected")]
mod npm_resolve;
mod npm_signatures;
mod openpgp;
#[cfg(feature = "connected")]
mod osv;
mod packages;
#[cfg(feature = "connected")]
mod packet;
#[cfg(feature = "connected")]
mod policy;
#[cfg(feature = "connected")]
mod programs;
#[cfg(feature = "connected")]
mod proofs;
#[cfg(feature = "connected")]
mod prove;
#[cfg(feature = "connected")]
mod prove_debian;
#[cfg(feature = "connected")]
mod prove_ends;
#[cfg(feature = "connected")]
mod prove_whole;
#[cfg(feature = "connected")]
mod pypi_attested;
#[cfg(feature = "connected")]
mod pypi_confirm;
#[cfg(feature = "connected")]
mod pypi_index;
#[cfg(feature = "connected")]
mod pypi_repo;
#[cfg(feature = "connected")]
mod pypi_resolve;
#[cfg(feature = "connected")]
mod ranges;
#[cfg(feature = "connected")]
mod registries;
mod roots;
#[cfg(feature = "connected")]
mod sbom;
#[cfg(feature = "connected")]
mod sbom_forms;
mod schemas;
#[cfg(feature = "connected")]
mod scripted;
#[cfg(feature = "connected")]
mod secrets;
mod serve;
mod served;
mod signed;
mod sigstore;
mod source;
#[cfg(feature = "connected")]
mod ssh;
#[cfg(feature = "connected")]
mod staged;
#[cfg(feature = "connected")]
mod submit;
mod tamper;
#[cfg(all(feature = "connected", feature = "pkcs11"))]
mod tokens;
#[cfg(feature = "connected")]
mod transfer;
#[cfg(feature = "connected")]
mod undo;
#[cfg(feature = "connected")]
mod upgrade;
#[cfg(feature = "connected")]
mod upkeep;
mod upstreams;
#[cfg(feature = "connected")]
mod vex;
#[cfg(feature = "connected")]
mod vouched;
#[cfg(feature = "connected")]
mod vulns;
#[cfg(feature = "connected")]
mod walk;
#[cfg(feature = "connected")]
mod wheels;
#[cfg(feature = "connected")]
mod world;
