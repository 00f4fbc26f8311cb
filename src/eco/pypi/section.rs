//! `[pypi]` of the manifest: requirements, a requirements file, or the lock file of another tool.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::base::digest::Digest;
use crate::base::fault::Fault;
use crate::base::limits::LIMITS;
use crate::base::platform::Target;
use crate::base::text::{escaped, quoted};
use crate::eco::attestation::{Expectation, expectations};
use crate::eco::install::{Address, Given, InputFile, Inputs, Install, mirrors};
use crate::eco::pypi::foreign::{Direct, ForeignError, Selected, Wanted as Asked};
use crate::eco::pypi::markers::Environment;
use crate::eco::pypi::name::{self, Name};
use crate::eco::pypi::request::{PypiDirect, PypiLocked, PypiRequest, PypiRequirement};
use crate::eco::pypi::requirements_txt::{self, Progress, Requirements};
use crate::eco::pypi::resolve;
use crate::eco::pypi::wanted::{self, Wanted};
use crate::eco::pypi::{UPSTREAM, pylock, simple, uv_lock};
use crate::manifest::table::{Found, Table};
use crate::manifest::{ManifestError, Requirement};
use crate::upstream::Resolver;

/// One `[pypi]` install.
#[derive(Debug)]
pub(crate) struct PypiInstall {
    /// `requirements` (PEP 508).
    requirements: Vec<Requirement>,
    /// `file`: a requirements file of pip.
    file: Option<String>,
    /// `lockfile`: a `uv.lock` or `pylock.toml`.
    lockfile: Option<String>,
    /// `extras` and `groups` of the lock file's project.
    asked: Asked,
    /// `index`: address of a simple index; default is this host's configuration of pip or uv.
    index: Option<String>,
    /// `mirror`: further addresses with the same content.
    mirrors: Vec<String>,
    /// `routes`: names, normalized, of projects that are in another index, and its address.
    routes: Vec<(String, String)>,
    /// `sdist`: projects that may be built from sources in the enclave.
    sdist: BTreeSet<Name>,
    /// `attestation`: who should have attested files.
    attestation: Vec<Expectation>,
}

/// Reads one table.
pub(crate) fn read(mut table: Table<'_>, target: &Target) -> Result<PypiInstall, ManifestError> {
    let place = table.place();
    let requirements = table.take("requirements");
    let requirements = requirements.map(|found| found.requirements(target));
    let file = table.take("file").map(Found::string).transpose()?;
    let lockfile = table.take("lockfile").map(lock_name).transpose()?;
    let extras = table.take("extras").map(names).transpose()?;
    let groups = table.take("groups").map(names).transpose()?;
    let index = table.take("index").map(Found::web_address).transpose()?;
    let mirrors = table.take("mirror").map(Found::web_addresses).transpose()?;
    let routes = table.take("routes").map(routes).transpose()?;
    let sdist = table.take("sdist").map(names).transpose()?;
    let attestation = expectations(&mut table, "attestation", "[[pypi.attestation]]")?;
    table.finish()?;
    let install = PypiInstall {
        requirements: requirements.transpose()?.unwrap_or_default(),
        file,
        lockfile,
        asked: Asked {
            extras: extras.unwrap_or_default(),
            groups: groups.unwrap_or_default(),
        },
        index,
        mirrors: mirrors.unwrap_or_default(),
        routes: routes.unwrap_or_default(),
        sdist: sdist.unwrap_or_default(),
        attestation,
    };
    let fail = |key: &str, expected: &str| ManifestError::Value {
        key: key.to_owned(),
        expected: expected.to_owned(),
        place: place.clone(),
    };
    let solved = !install.requirements.is_empty() || install.file.is_some();
    match (solved, &install.lockfile) {
        (false, None) => return Err(fail("requirements", "given, or else `file` or `lockfile`")),
        (true, Some(_)) => {
            let expected = "alone: what it does not have cannot be added, lock again instead";
            return Err(fail("lockfile", expected));
        }
        (true, None) if install.asked != Asked::default() => {
            let expected = "absent without `lockfile`: write `name[extra]` as a requirement";
            return Err(fail("extras", expected));
        }
        _ => {}
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

/// `{ "acme-*" = "https://pypi.acme.example/simple/" }`.
fn routes(found: Found<'_>) -> Result<Vec<(String, String)>, ManifestError> {
    let pairs = found.table("[pypi.routes]")?.into_pairs();
    let one = |(pattern, found): (String, Found<'_>)| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.*".contains(c);
        if pattern.is_empty() || !pattern.chars().all(fits) {
            return Err(
                found.error("an address, and its key the name of projects, such as \"acme-*\"")
            );
        }
        Ok((name::normalized(&pattern), found.web_address()?))
    };
    pairs.into_iter().map(one).collect()
}

/// An array of names of projects, extras or groups.
fn names(found: Found<'_>) -> Result<BTreeSet<Name>, ManifestError> {
    let items = found.array()?.into_iter();
    items
        .map(|item| item.parsed("names of Python projects, extras or groups"))
        .collect()
}

/// The name of a lock file tells which tool made it.
fn lock_name(found: Found<'_>) -> Result<String, ManifestError> {
    let fail = found.error("a `uv.lock`, or a `pylock.toml` or `pylock.NAME.toml`");
    let path = found.string()?;
    if is_pylock(&path) || path.rsplit_once('.').is_some_and(|(_, end)| end == "lock") {
        Ok(path)
    } else {
        Err(fail)
    }
}

fn is_pylock(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.strip_suffix(".toml")
        .is_some_and(|stem| stem == "pylock" || stem.starts_with("pylock."))
}

impl PypiInstall {
    /// The requirements file with all that it includes, once everything is read.
    fn requirements_file(&self, inputs: &Inputs) -> Result<Requirements, Box<dyn Fault>> {
        let Some(file) = &self.file else {
            return Ok(Requirements::default());
        };
        match requirements_txt::read(file, inputs)? {
            Progress::Whole(found) => Ok(*found),
            Progress::Missing(_) => {
                let reason = "not all files that it names were read";
                Err(ForeignError::lockfile(file, &reason).into())
            }
        }
    }

    /// What the lock file has for each platform of the target.
    fn locked(
        &self,
        path: &str,
        given: &Given<'_>,
    ) -> Result<(Vec<PypiLocked>, Vec<PypiDirect>), Box<dyn Fault>> {
        let fail = |reason: &str| ForeignError::lockfile(path, &reason);
        let bytes = given.inputs.get(path);
        let bytes = bytes.ok_or_else(|| fail("it was not read"))?;
        let mut asked = self.asked.clone();
        let (lock, environments) = if is_pylock(path) {
            let read = pylock::parse(path, bytes)?;
            if asked.groups.is_empty() {
                asked.groups.extend(read.default_groups);
            }
            (read.lock, read.environments)
        } else {
            (uv_lock::parse(path, bytes)?, Vec::new())
        };
        let mut merged: BTreeMap<(Name, String), PypiLocked> = BTreeMap::new();
        let mut direct = Vec::new();
        for platform in &given.target.platforms {
            let environment = Environment::new(given.target, *platform);
            let environment = environment.map_err(|reason| fail(&reason))?;
            let requires = lock.requires_python.as_deref().and_then(wanted::specifiers);
            let holds = environments
                .iter()
                .any(|marker| marker.holds(&environment.markers, &asked.extras, &asked.groups));
            let is_for = environments.is_empty() || holds;
            if !is_for || requires.is_some_and(|r| !environment.admits(&r)) {
                let reason = format!("it is not for {}", environment.shown);
                return Err(fail(&reason).into());
            }
            for one in lock.select(path, &environment.markers, &asked)? {
                if let Some(found) = &one.package.direct {
                    direct.push(told(path, found));
                }
                if let (Some(found), None) = (locked_one(&one), &one.package.direct) {
                    let key = (found.name.clone(), found.version.clone());
                    let known = merged.entry(key).or_insert(found);
                    known.platforms.push(*platform);
                }
            }
        }
        Ok((merged.into_values().collect(), direct))
    }
}

fn locked_one(one: &Selected<'_>) -> Option<PypiLocked> {
    let digests = one.package.files.values().filter_map(|file| file.sha256);
    Some(PypiLocked {
        name: one.package.name.clone(),
        version: one.package.version.clone()?,
        extras: one.extras.clone(),
        platforms: Vec::new(),
        hashes: digests.collect(),
    })
}

fn told(file: &str, direct: &Direct) -> PypiDirect {
    let name = direct.name.as_ref().map_or("?", Name::as_str);
    let line = direct.line.map(|line| format!(":{line}"));
    PypiDirect {
        name: name.to_owned(),
        what: format!("a {} {}", direct.kind, quoted(&direct.from)),
        file: format!("{}{}", escaped(file), line.unwrap_or_default()),
    }
}

impl Install for PypiInstall {
    fn inputs(&self, known: &Inputs) -> Result<Vec<InputFile>, Box<dyn Fault>> {
        let mut paths: BTreeSet<String> = self.lockfile.iter().cloned().collect();
        if let Some(file) = &self.file
            && let Progress::Missing(missing) = requirements_txt::read(file, known)?
        {
            paths.extend(missing);
        }
        let input = |path: String| InputFile {
            path: PathBuf::from(&path),
            role: path,
            limit: LIMITS.metadata,
        };
        Ok(paths.into_iter().map(input).collect())
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
        let routes = self.routes.iter().map(|(pattern, url)| Address::Route {
            name: UPSTREAM.to_owned(),
            pattern: pattern.clone(),
            url: url.clone(),
        });
        own.chain(mirrors(UPSTREAM, &self.mirrors))
            .chain(routes)
            .collect()
    }

    fn requirements(&self, inputs: &Inputs) -> Result<Vec<String>, Box<dyn Fault>> {
        let own = self.requirements.iter().map(|r| r.spec.clone());
        let of_file = self.requirements_file(inputs)?.wanted;
        let of_file = of_file.into_iter().map(|w| w.text);
        let lockfile = self.lockfile.iter().cloned();
        Ok(own.chain(of_file).chain(lockfile).collect())
    }

    fn expected(&self) -> &[Expectation] {
        &self.attestation
    }

    fn resolver(&self, given: Given<'_>) -> Result<Box<dyn Resolver>, Box<dyn Fault>> {
        let found = self.requirements_file(given.inputs)?;
        let mut request = PypiRequest::new(given.number, given.target.clone());
        request.exclude_newer = given.exclude_newer;
        request.sdist.clone_from(&self.sdist);
        let of = |r: &Requirement| PypiRequirement {
            spec: r.spec.clone(),
            platforms: r.platforms.clone(),
        };
        request.requirements = self.requirements.iter().map(of).collect();
        for wanted in &found.wanted {
            request.requirements.push(PypiRequirement {
                spec: wanted.text.clone(),
                platforms: Vec::new(),
            });
            let Ok(name) = wanted.requirement.name.as_ref().parse::<Name>() else {
                continue;
            };
            let allowed = request.hashes.entry(name).or_default();
            allowed.extend(&wanted.hashes);
        }
        request.hashes.retain(|_, allowed| !allowed.is_empty());
        let constraints = found.constraints.iter();
        request.constraints = constraints.map(|wanted| wanted.text.clone()).collect();
        request.direct = found.direct.iter().map(|(f, d)| told(f, d)).collect();
        request.pre = found.pre;
        request.require_hashes = found.require_hashes;
        if let Some(path) = &self.lockfile {
            let (locked, direct) = self.locked(path, &given)?;
            request.locked = Some(locked);
            request.direct = direct;
        }
        let digests = given.inputs.iter();
        request.inputs = digests
            .map(|(role, bytes)| (role.clone(), Digest::of(bytes)))
            .collect();
        request.prefer = given.prefer;
        resolve::resolver(request)
    }
}
