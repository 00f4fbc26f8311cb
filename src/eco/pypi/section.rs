//! `[pypi]` of the manifest.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::fault::Fault;
use crate::base::platform::Target;
use crate::eco::install::{Address, Given, InputFile, Inputs, Install, mirrors};
use crate::eco::pypi::UPSTREAM;
use crate::eco::pypi::name::Name;
use crate::eco::pypi::resolve::{self, PypiRequest, PypiRequirement};
use crate::eco::pypi::simple;
use crate::eco::pypi::wanted::Wanted;
use crate::manifest::table::{Found, Table};
use crate::manifest::{ManifestError, Requirement};
use crate::upstream::Resolver;

/// One `[pypi]` install.
#[derive(Debug)]
pub(crate) struct PypiInstall {
    /// `requirements` (PEP 508).
    requirements: Vec<Requirement>,
    /// `index`: address of a simple index; default is this host's configuration of pip or uv.
    index: Option<String>,
    /// `mirror`: further addresses with the same content.
    mirrors: Vec<String>,
    /// `sdist`: projects that may be built from sources in the enclave.
    sdist: BTreeSet<Name>,
}

/// Reads one table.
pub(crate) fn read(mut table: Table<'_>, target: &Target) -> Result<PypiInstall, ManifestError> {
    let place = table.place();
    let requirements = table.take("requirements");
    let requirements = requirements.map(|found| found.requirements(target));
    let index = table.take("index").map(Found::web_address).transpose()?;
    let mirrors = table.take("mirror").map(Found::web_addresses).transpose()?;
    let sdist = table.take("sdist").map(names).transpose()?;
    table.finish()?;
    let install = PypiInstall {
        requirements: requirements.transpose()?.unwrap_or_default(),
        index,
        mirrors: mirrors.unwrap_or_default(),
        sdist: sdist.unwrap_or_default(),
    };
    if install.requirements.is_empty() {
        return Err(ManifestError::Value {
            key: "requirements".to_owned(),
            expected: "given, or else `file` or `lockfile`".to_owned(),
            place,
        });
    }
    for requirement in &install.requirements {
        Wanted::parse(&requirement.spec).map_err(|reason| ManifestError::Value {
            key: "requirements".to_owned(),
            expected: format!("requirements such as `name[extra]>=1.2` ({reason})"),
            place: requirement.place.clone(),
        })?;
    }
    Ok(install)
}

/// An array of project names.
fn names(found: Found<'_>) -> Result<BTreeSet<Name>, ManifestError> {
    let items = found.array()?.into_iter();
    items
        .map(|item| item.parsed("names of projects that may be built from sources"))
        .collect()
}

impl Install for PypiInstall {
    fn inputs(&self, _known: &Inputs) -> Result<Vec<InputFile>, Box<dyn Fault>> {
        Ok(Vec::new())
    }

    fn addresses(&self) -> Vec<Address> {
        let mut first = self.requirements.iter();
        let first = first.find_map(|r| Wanted::parse(&r.spec).ok());
        let own = Address::Upstream {
            name: UPSTREAM.to_owned(),
            configured: self.index.clone(),
            first: first.map_or_else(String::new, |w| simple::page_path(&w.name)),
        };
        let own = std::iter::once(own);
        own.chain(mirrors(UPSTREAM, &self.mirrors)).collect()
    }

    fn requirements(&self, _inputs: &Inputs) -> Result<Vec<String>, Box<dyn Fault>> {
        Ok(self.requirements.iter().map(|r| r.spec.clone()).collect())
    }

    fn resolver(&self, given: Given<'_>) -> Result<Box<dyn Resolver>, Box<dyn Fault>> {
        let of = |r: &Requirement| PypiRequirement {
            spec: r.spec.clone(),
            platforms: r.platforms.clone(),
        };
        resolve::resolver(PypiRequest {
            number: given.number,
            requirements: self.requirements.iter().map(of).collect(),
            constraints: Vec::new(),
            hashes: BTreeMap::new(),
            locked: None,
            sdist: self.sdist.clone(),
            target: given.target.clone(),
            exclude_newer: given.exclude_newer,
            prefer: given.prefer,
            inputs: Vec::new(),
        })
    }
}
