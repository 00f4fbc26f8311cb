//! Reading the `copyright` files of Debian packages in the store (Debian Policy 12.5), and the license files of packages
//! whose declared license is no SPDX expression.

use std::collections::BTreeMap;
use std::io::Read as _;

use super::{Licenses, Said, text};
use crate::base::limits::Limited;
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::progress::{Progress, Unit};
use crate::base::workers;
use crate::eco::debian::copyright::{self, Copyright};
use crate::fs::{self, FsError, OpenFile};
use crate::lock::Lock;
use crate::policy::is_expression;
use crate::store::Store;
use crate::unpack::{self, Member, Part};

/// Most archives that are read at the same time.
const MAX_WORKERS: usize = 8;
/// Links from one folder of documents to another that are followed.
const MAX_LINKS: usize = 4;
/// Where packages have their documents.
const FOLDER: &str = "usr/share/doc/";

/// What one package has.
enum Told {
    License(Said),
    /// Its documents are those of another package.
    As(String),
    Nothing,
}

/// What the files of carried packages of `lock` tell that are in the store.
///
/// # Errors
/// A file of the store cannot be opened. An archive that is damaged tells nothing.
pub fn read(lock: &Lock, store: &Store, progress: &dyn Progress) -> Result<Licenses, FsError> {
    let mut found = texts(lock, store, progress)?;
    let copyrights = copyrights(lock, store, progress)?;
    found.0.extend(copyrights);
    Ok(found)
}

/// The texts of licenses that are no expressions.
fn texts(lock: &Lock, store: &Store, progress: &dyn Progress) -> Result<Licenses, FsError> {
    let mut jobs = BTreeMap::new();
    for (package, artifact) in lock.carried_artifacts() {
        let id = package.ecosystem.as_str();
        let declared = package.license.as_deref().unwrap_or_default().trim();
        if matches!(id, "npm" | "pypi" | "cargo")
            && !is_expression(declared)
            && let Some(stored) = store.find(&artifact.checksum)?
        {
            // One file of a release tells it.
            let key = (package.ecosystem.clone(), package.id());
            jobs.entry(key).or_insert((declared, stored.path));
        }
    }
    let jobs: Vec<_> = jobs.into_iter().collect();
    progress.begin("Reading license files", jobs.len() as u64, Unit::Items);
    let results = workers::map(&jobs, MAX_WORKERS, |((ecosystem, _), (declared, path))| {
        let text = fs::open(path).map(|file| text::read(file, ecosystem.as_str(), declared));
        progress.advance(1);
        text
    });
    progress.end();
    let mut found = Licenses::default();
    for ((key, (declared, _)), text) in jobs.into_iter().zip(results) {
        let said = Said {
            license: declared.to_owned(),
            text: text?,
        };
        if said.text.is_some() {
            found.0.insert(key, said);
        }
    }
    Ok(found)
}

/// The licenses of Debian packages by their copyright files.
fn copyrights(
    lock: &Lock,
    store: &Store,
    progress: &dyn Progress,
) -> Result<BTreeMap<(EcosystemId, ReleaseId), Said>, FsError> {
    let debian = EcosystemId::debian();
    let mut jobs = Vec::new();
    for (package, artifact) in lock.carried_artifacts() {
        if package.ecosystem == debian
            && let Some(stored) = store.find(&artifact.checksum)?
        {
            jobs.push((package, stored.path));
        }
    }
    progress.begin("Reading licenses", jobs.len() as u64, Unit::Items);
    let results = workers::map(&jobs, MAX_WORKERS, |(package, path)| {
        let told = fs::open(path).map(|file| look(file, &package.name));
        progress.advance(1);
        told
    });
    progress.end();
    let (mut told, mut by_name) = (Vec::new(), BTreeMap::new());
    for ((package, _), result) in jobs.iter().zip(results) {
        let result = result?;
        if let Told::License(said) = &result {
            by_name.insert(package.name.as_str(), said.clone());
        }
        told.push((package, result));
    }
    let links: BTreeMap<String, String> = told
        .iter()
        .filter_map(|(package, told)| match told {
            Told::As(other) => Some((package.name.clone(), other.clone())),
            Told::License(_) | Told::Nothing => None,
        })
        .collect();
    let mut found: BTreeMap<(EcosystemId, ReleaseId), Said> = BTreeMap::new();
    for (package, told) in told {
        let said = match told {
            Told::License(said) => Some(said),
            Told::As(other) => follow(other, &links, &by_name),
            Told::Nothing => None,
        };
        if let Some(said) = said.filter(|said| !said.license.is_empty()) {
            found.insert((debian.clone(), package.id()), said);
        }
    }
    Ok(found)
}

fn follow(
    mut name: String,
    links: &BTreeMap<String, String>,
    licenses: &BTreeMap<&str, Said>,
) -> Option<Said> {
    for _ in 0..MAX_LINKS {
        if let Some(said) = licenses.get(name.as_str()) {
            return Some(said.clone());
        }
        name = links.get(&name)?.clone();
    }
    None
}

fn look(file: OpenFile, package: &str) -> Told {
    let mut told = Told::Nothing;
    let own = format!("{FOLDER}{package}");
    let walked = unpack::walk(file, Part::Data, &mut |path, member| {
        let path = path.trim_start_matches("./").trim_start_matches('/');
        let rest = path
            .strip_prefix(&own)
            .map(|rest| rest.trim_end_matches('/'));
        match (rest, member) {
            (Some("/copyright"), Member::File(bytes)) => {
                let mut file = Vec::new();
                Limited::new(bytes, copyright::LIMIT).read_to_end(&mut file)?;
                let license = Copyright::parse(&file).text;
                // Where its words are no expression, its text is what there is to read.
                let whole = (!is_expression(&license)).then(|| text::carried(&file));
                told = Told::License(Said {
                    license,
                    text: whole,
                });
            }
            // `usr/share/doc/libx-dev -> libx1`, or its copyright file alone.
            (Some("" | "/copyright"), Member::Link(target)) => {
                let mut parts = target
                    .split('/')
                    .filter(|part| !matches!(*part, "" | "." | ".."));
                let other = parts.rfind(|part| *part != "copyright");
                told = other.map_or(Told::Nothing, |other| Told::As(other.to_owned()));
            }
            _ => {}
        }
        Ok(())
    });
    match walked {
        Ok(_) => told,
        Err(_damaged) => Told::Nothing,
    }
}
