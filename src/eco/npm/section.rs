//! `[npm]` of the manifest.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::base::fault::Fault;
use crate::base::limits::LIMITS;
use crate::base::platform::Target;
use crate::eco::attestation::{Expectation, expectations};
use crate::eco::install::{Address, Given, InputFile, Inputs, Install, mirrors};
use crate::eco::npm::assemble::UPSTREAM;
use crate::eco::npm::lockfile;
use crate::eco::npm::resolve::{self, InstallRequest};
use crate::eco::npm::spec::Spec;
use crate::manifest::table::{Found, Table};
use crate::manifest::{ManifestError, Requirement};
use crate::upstream::Resolver;

/// Kinds of npm dependencies.
const KINDS: [&str; 4] = ["prod", "optional", "peer", "dev"];
/// Role of the `package-lock.json` among the inputs.
const LOCKFILE: &str = "lockfile";

/// One `[npm]` install.
#[derive(Debug)]
pub(crate) struct NpmInstall {
    /// `packages`.
    packages: Vec<Requirement>,
    /// `lockfile`: a `package-lock.json`.
    lockfile: Option<PathBuf>,
    /// `registry`; default is this host's npm configuration.
    registry: Option<String>,
    /// `mirror`: further addresses with the same content.
    mirrors: Vec<String>,
    /// `include`: kinds of dependencies.
    include: Vec<String>,
    /// `overrides`: what to take in the place of dependencies with these names.
    overrides: BTreeMap<String, String>,
    /// `provenance`: which workflows should have built releases.
    provenance: Vec<Expectation>,
}

/// Reads one table.
pub(crate) fn read(mut table: Table<'_>, target: &Target) -> Result<NpmInstall, ManifestError> {
    let place = table.place();
    let packages = table.take("packages");
    let packages = packages.map(|found| found.requirements(target));
    let lockfile = table.take("lockfile").map(Found::string).transpose()?;
    let registry = table.take("registry").map(Found::web_address).transpose()?;
    let mirrors = table.take("mirror").map(Found::web_addresses).transpose()?;
    let mut include: Vec<String> = ["prod", "optional", "peer"].map(str::to_owned).to_vec();
    if let Some(found) = table.take("include") {
        include.clear();
        for item in found.array()? {
            let fail = item.error("one of \"prod\", \"optional\", \"peer\", \"dev\"");
            let kind = item.string()?;
            if !KINDS.contains(&kind.as_str()) {
                return Err(fail);
            }
            include.push(kind);
        }
        include.sort();
        include.dedup();
    }
    let overrides = table.take("overrides").map(overrides).transpose()?;
    let provenance = expectations(&mut table, "provenance", "[[npm.provenance]]")?;
    table.finish()?;
    let install = NpmInstall {
        packages: packages.transpose()?.unwrap_or_default(),
        lockfile: lockfile.map(PathBuf::from),
        registry,
        mirrors: mirrors.unwrap_or_default(),
        include,
        overrides: overrides.unwrap_or_default(),
        provenance,
    };
    if install.lockfile.is_some() && !install.overrides.is_empty() {
        return Err(ManifestError::Value {
            key: "overrides".to_owned(),
            expected: "absent where `lockfile` is given: what it says is taken as it is".to_owned(),
            place,
        });
    }
    if install.packages.is_empty() == install.lockfile.is_none() {
        return Err(ManifestError::Value {
            key: "packages".to_owned(),
            expected: "given, or else `lockfile`, and not both".to_owned(),
            place,
        });
    }
    Ok(install)
}

/// Names, each with a version, range, tag or `npm:` alias.
fn overrides(found: Found<'_>) -> Result<BTreeMap<String, String>, ManifestError> {
    let mut all = BTreeMap::new();
    for (name, found) in found.table("[npm] overrides")?.into_pairs() {
        let fail =
            found.error("a version, range, tag or `npm:name@range`, under the name of a package");
        let text = found.string()?;
        if !super::is_name(&name) || matches!(Spec::parse(&text), Spec::Foreign(_)) {
            return Err(fail);
        }
        all.insert(name, text);
    }
    Ok(all)
}

impl Install for NpmInstall {
    fn inputs(&self, _known: &Inputs) -> Result<Vec<InputFile>, Box<dyn Fault>> {
        let lockfile = self.lockfile.iter().map(|path| InputFile {
            role: LOCKFILE.to_owned(),
            path: path.clone(),
            limit: LIMITS.metadata,
        });
        Ok(lockfile.collect())
    }

    /// The registry, and those of the scopes that are asked for.
    fn addresses(&self) -> Vec<Address> {
        let asked = self.packages.iter().map(|r| r.spec.as_str());
        let scoped = asked.filter(|spec| spec.starts_with('@'));
        let mut firsts: Vec<&str> = scoped.filter_map(|s| s.split('/').next()).collect();
        firsts.push("");
        firsts.sort_unstable();
        firsts.dedup();
        let address = |first: &str| Address::Upstream {
            name: UPSTREAM.to_owned(),
            configured: self.registry.clone(),
            first: first.to_owned(),
        };
        let named = firsts.into_iter().map(address);
        named.chain(mirrors(UPSTREAM, &self.mirrors)).collect()
    }

    fn requirements(&self, inputs: &Inputs) -> Result<Vec<String>, Box<dyn Fault>> {
        match inputs.get(LOCKFILE) {
            Some(bytes) => Ok(lockfile::requirements_from_lockfile(bytes, &self.include)?),
            None => Ok(self.packages.iter().map(|r| r.spec.clone()).collect()),
        }
    }

    fn expected(&self) -> &[Expectation] {
        &self.provenance
    }

    fn resolver(&self, given: Given<'_>) -> Result<Box<dyn Resolver>, Box<dyn Fault>> {
        let only_for = self.packages.iter().filter(|r| !r.platforms.is_empty());
        resolve::resolver(InstallRequest {
            number: given.number,
            requirements: self.requirements(given.inputs)?,
            only_for: only_for
                .map(|r| (r.spec.clone(), r.platforms.clone()))
                .collect(),
            prefer: given.prefer,
            overrides: self.overrides.clone(),
            lockfile: given.inputs.get(LOCKFILE).cloned(),
            include: self.include.clone(),
            target: given.target.clone(),
            exclude_newer: given.exclude_newer,
        })
    }
}
