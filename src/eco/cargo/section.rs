//! `[cargo]` of the manifest.

use std::path::PathBuf;

use crate::base::fault::Fault;
use crate::base::limits::LIMITS;
use crate::base::platform::Target;
use crate::eco::cargo::resolve::{self, CargoRequest};
use crate::eco::cargo::{INDEX_CONFIG, UPSTREAM};
use crate::eco::install::{Address, Given, InputFile, Inputs, Install, mirrors};
use crate::manifest::table::{Found, Table};
use crate::manifest::{ManifestError, Requirement};
use crate::upstream::Resolver;

/// Role of the `Cargo.lock` among the inputs.
const LOCKFILE: &str = "lockfile";

/// One `[cargo]` install.
#[derive(Debug)]
pub(crate) struct CargoInstall {
    /// `packages`.
    packages: Vec<Requirement>,
    /// `lockfile`: a `Cargo.lock`.
    lockfile: Option<PathBuf>,
    /// `index`: address of a sparse index; default is this host's cargo configuration.
    index: Option<String>,
    /// `mirror`: further addresses with the same content.
    mirrors: Vec<String>,
}

/// Reads one table.
pub(crate) fn read(mut table: Table<'_>, target: &Target) -> Result<CargoInstall, ManifestError> {
    let place = table.place();
    let packages = table.take("packages");
    let packages = packages.map(|found| found.requirements(target));
    let lockfile = table.take("lockfile").map(Found::string).transpose()?;
    let index = table.take("index").map(Found::web_address).transpose()?;
    let mirrors = table.take("mirror").map(Found::web_addresses).transpose()?;
    table.finish()?;
    let install = CargoInstall {
        packages: packages.transpose()?.unwrap_or_default(),
        lockfile: lockfile.map(PathBuf::from),
        index,
        mirrors: mirrors.unwrap_or_default(),
    };
    let fail = |key: &str, expected: &str, place| ManifestError::Value {
        key: key.to_owned(),
        expected: expected.to_owned(),
        place,
    };
    if install.packages.is_empty() && install.lockfile.is_none() {
        return Err(fail("packages", "given, or else `lockfile`", place));
    }
    let limited = install.packages.iter().find(|r| !r.platforms.is_empty());
    match limited {
        Some(requirement) => Err(fail(
            "platforms",
            "absent: cargo wants the crates of a lock for every platform",
            requirement.place.clone(),
        )),
        None => Ok(install),
    }
}

impl Install for CargoInstall {
    fn inputs(&self, _known: &Inputs) -> Result<Vec<InputFile>, Box<dyn Fault>> {
        let lockfile = self.lockfile.iter().map(|path| InputFile {
            role: LOCKFILE.to_owned(),
            path: path.clone(),
            limit: LIMITS.metadata,
        });
        Ok(lockfile.collect())
    }

    fn addresses(&self) -> Vec<Address> {
        let own = Address::Upstream {
            name: UPSTREAM.to_owned(),
            configured: self.index.clone(),
            first: INDEX_CONFIG.to_owned(),
        };
        let own = std::iter::once(own);
        own.chain(mirrors(UPSTREAM, &self.mirrors)).collect()
    }

    fn requirements(&self, _inputs: &Inputs) -> Result<Vec<String>, Box<dyn Fault>> {
        let packages = self.packages.iter().map(|r| r.spec.clone());
        let lockfile = self.lockfile.iter();
        let lockfile = lockfile.map(|path| path.to_string_lossy().into_owned());
        Ok(packages.chain(lockfile).collect())
    }

    fn resolver(&self, given: Given<'_>) -> Result<Box<dyn Resolver>, Box<dyn Fault>> {
        resolve::resolver(CargoRequest {
            number: given.number,
            packages: self.packages.iter().map(|r| r.spec.clone()).collect(),
            lockfile: given.inputs.get(LOCKFILE).cloned(),
            target: given.target.clone(),
            exclude_newer: given.exclude_newer,
            prefer: given.prefer,
        })
    }
}
