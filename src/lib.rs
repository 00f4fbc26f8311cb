//! `stage` carries the complete dependency closure of an agent runtime from a connected host into an air-gapped
//! enclave and proves what was carried, from where, signed by whom, checked how.
//!
//! # Data flow
//!
//! Data flows one way; a module uses only modules that stand above it in the table.
//!
//! ```text
//! stage.toml --resolve--> stage.lock --fetch--> store --pack--> NAME.stage == media == verify --import--> repository --> apt pip uv npm cargo
//!                         + records                     sign                 receipt     journal          serve
//! ```
//!
//! # Modules
//!
//! | module | what it is for |
//! |---|---|
//! | [`base`] | the vocabulary: digests, names, times, platforms, findings, canonical JSON; no I/O |
//! | [`fs`] | the only user of the file system's API |
//! | [`manifest`] | `stage.toml`, read with the place of every value |
//! | [`lock`] | `stage.lock` and its records, chains, differences |
//! | `upstream` * | asking registries without a socket: requests, answers, resolvers as state machines |
//! | [`store`] | downloaded bytes by digest |
//! | [`trust`] | keys, trust roots, roles, the one counter of signatures, approvals |
//! | [`enrolment`] | certificates of the keys in a trust root, and whether they lead to a CA |
//! | [`ca`] | the private CA that travels along |
//! | [`vulns`] | known vulnerabilities, from a database that somebody brought along |
//! | [`policy`] | what may be carried, how much a finding weighs, who waived what |
//! | [`licenses`] | licenses that only files tell |
//! | [`scripts`] | code that packages run when they are installed or built |
//! | `changelogs` * | vulnerabilities that changelogs of Debian packages mention |
//! | [`vex`] | what is said to others of known vulnerabilities: OpenVEX, CycloneDX |
//! | [`sbom`] | CycloneDX |
//! | [`bundle`] | the format of what travels: statement, manifest, blobs |
//! | [`sign`] | secret keys |
//! | [`page`] | a page to read and to print, as HTML and Markdown |
//! | [`lint`], [`archives`] | archives that clients read differently; those of a lock |
//! | [`release`] | `releases.toml`: serials and times of bundles already made |
//! | [`eco`] | what each ecosystem knows: npm, PyPI, Debian, crates, plain files |
//! | [`evidence`] | how well upstreams vouch for what is carried, and proving it again |
//! | `resolve` * | requirements to closure; the closure check |
//! | `net` * | the only client sockets |
//! | `fetch` * | lock to store |
//! | `unpack` * | what an artifact holds, gone through without unpacking it |
//! | `native` * | shared libraries that staged programs need and nobody staged |
//! | `holes` * | what staged packages fetch by themselves, by rules |
//! | `pack` * | lock, store and CA to a bundle |
//! | `trial` * | install scripts, run without a network |
//! | `prove` * | a bundle, installed and run by the real clients without a network |
//! | [`flows`] | network flows of a runtime: rules, tables, pictures |
//! | [`verify`] | bundle to `Verified<Bundle>`, the only way to get one |
//! | [`packet`] | a verified bundle to a change packet |
//! | `submit` * | a change packet to Jira, ServiceNow, Request Tracker, Dependency-Track |
//! | [`transfer`] | a verified bundle, and what a scanner said of it, to the record of a medium |
//! | [`import`] | `Verified<Bundle>` to a new generation of the repository |
//! | [`serve`] | a small read-only web server for the repository |
//! | [`cli`] | words to calls to words: clock, environment, terminal, exit codes |
//!
//! Modules marked * exist only with the feature `connected`. Without it the program is the *enclave build*: no HTTP
//! client, no TLS, no async runtime, no resolver. The feature never changes what [`verify`] accepts.
//!
//! # Files on disk
//!
//! | file | what it is | specified in |
//! |---|---|---|
//! | `stage.toml` | what the user wants | [`manifest`] |
//! | `policy.toml` | what may be carried | [`policy`] |
//! | `stage.lock`, `stage.records/` | the closure, for review | [`lock::format`] |
//! | `releases.toml` | bundles made so far | [`release`] |
//! | `root.json` | the trust root | [`trust::root`] |
//! | `NAME.stage` | the bundle | [`bundle`] |
//! | `NAME.stage.approvals.json` | who signed it when, under which change | [`trust::approval`] |
//! | `NAME.stage.proof.json` | that it installs and works, and what it reached for | [`trust::proof`] |
//! | `REPO/` | the repository in the enclave | [`import`] |
//!
//! JSON Schemas of all documents are in `schemas/`.

#[cfg(feature = "connected")]
pub mod agent;
pub mod archives;
pub mod base;
pub mod bundle;
pub mod ca;
#[cfg(feature = "connected")]
pub mod changelogs;
pub mod cli;
pub mod eco;
pub mod enrolment;
pub mod evidence;
#[cfg(feature = "connected")]
pub mod fetch;
pub mod flows;
pub mod fs;
#[cfg(all(any(test, fuzzing), feature = "connected"))]
pub mod fuzz;
pub mod hids;
#[cfg(feature = "connected")]
pub mod holes;
pub mod import;
pub mod licenses;
pub mod lint;
pub mod lock;
pub mod manifest;
#[cfg(feature = "connected")]
pub mod native;
#[cfg(feature = "connected")]
pub mod net;
pub mod openpgp;
#[cfg(feature = "connected")]
pub mod pack;
pub mod packet;
pub mod page;
pub mod permissions;
pub mod policy;
#[cfg(feature = "connected")]
pub mod prove;
pub mod release;
#[cfg(feature = "connected")]
pub mod resolve;
pub mod sbom;
pub mod scripts;
pub mod serve;
pub mod sign;
pub mod store;
#[cfg(feature = "connected")]
pub mod submit;
pub mod transfer;
#[cfg(feature = "connected")]
pub mod trial;
pub mod trust;
mod unpack;
#[cfg(feature = "connected")]
pub mod upstream;
pub mod verify;
pub mod vex;
pub mod vulns;
