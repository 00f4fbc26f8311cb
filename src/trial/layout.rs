//! Lays out an npm install from tarballs, as npm would: one folder per place, and `.bin` links.

use std::collections::BTreeSet;
use std::io::{BufReader, Read as _};
use std::path::{Component, Path, PathBuf};

use flate2::bufread::GzDecoder;

use super::{Trial, TrialError};
use crate::base::limits::Limited;
use crate::base::package::EcosystemId;
use crate::eco::npm::records::NpmRecords;
use crate::fs;
use crate::lock::{Lock, LockedPackage};

/// Most bytes one tarball may unpack to.
const UNPACKED: u64 = 4 << 30;
/// Most entries of one tarball.
const ENTRIES: usize = 200_000;

/// Numbers of the npm installs in a lock.
pub(super) fn installs(lock: &Lock) -> BTreeSet<u32> {
    let npm = EcosystemId::npm();
    lock.of(&npm)
        .flat_map(|p| &p.places)
        .filter_map(|p| p.split_once(':')?.0.parse().ok())
        .collect()
}

/// The places of a package in one install.
pub(super) fn places(package: &LockedPackage, install: u32) -> impl Iterator<Item = &str> {
    package.places.iter().filter_map(move |place| {
        let (number, path) = place.split_once(':')?;
        (number.parse() == Ok(install)).then_some(path)
    })
}

/// Unpacks every carried package of an install below `root`.
pub(super) fn unpack(
    trial: &Trial<'_>,
    records: &NpmRecords,
    install: u32,
    root: &Path,
) -> Result<(), TrialError> {
    let npm = EcosystemId::npm();
    let carried = trial
        .lock
        .of(&npm)
        .filter(|p| p.platforms.contains(&trial.host));
    let mut todo: Vec<(&str, &LockedPackage)> = carried
        .flat_map(|p| places(p, install).map(move |place| (place, p)))
        .collect();
    todo.sort_by_key(|(place, _)| *place);
    for (place, package) in &todo {
        // A copy inside another tarball comes with it.
        let Some(artifact) = package.artifacts.first() else {
            continue;
        };
        let release = package.id().to_string();
        let fail = |reason: String| TrialError::Tarball {
            release: release.clone(),
            reason,
        };
        let path = (trial.blob)(&artifact.checksum)?
            .ok_or_else(|| fail("it was not fetched".to_owned()))?;
        let folder =
            root.join(checked(Path::new(place)).ok_or_else(|| fail("unsafe place".to_owned()))?);
        untar(&path, &folder).map_err(|e| fail(crate::base::text::escaped(&e)))?;
    }
    for (place, package) in &todo {
        let version = records
            .packages
            .get(&package.name)
            .and_then(|p| p.versions.get(&package.version));
        for (command, target) in version.iter().flat_map(|v| &v.bin) {
            link(root, place, command, target)?;
        }
    }
    Ok(())
}

/// `path` without anything that could leave its folder.
fn checked(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(out)
}

pub(super) fn untar(tarball: &Path, folder: &Path) -> Result<(), String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let file = fs::open(tarball).map_err(|e| text(&e))?;
    let reader = Limited::new(GzDecoder::new(BufReader::new(file)), UNPACKED);
    let mut archive = tar::Archive::new(reader);
    for (count, entry) in archive.entries().map_err(|e| text(&e))?.enumerate() {
        let mut entry = entry.map_err(|e| text(&e))?;
        if count >= ENTRIES {
            return Err("too many entries".to_owned());
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path().map_err(|e| text(&e))?.into_owned();
        // npm drops the first folder, whatever it is called.
        let inner: PathBuf = name.components().skip(1).collect();
        let Some(inner) = checked(&inner).filter(|p| !p.as_os_str().is_empty()) else {
            continue;
        };
        let target = folder.join(inner);
        let mode = if entry.header().mode().unwrap_or(0o644) & 0o111 == 0 {
            0o644
        } else {
            0o755
        };
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|e| text(&e))?;
        fs::create_dir_all(fs::parent(&target), 0o755).map_err(|e| text(&e))?;
        fs::remove_file(&target).map_err(|e| text(&e))?;
        fs::write_atomic(&target, &bytes, mode).map_err(|e| text(&e))?;
    }
    Ok(())
}

/// Makes `node_modules/.bin/<command>` beside a place, and its target executable.
fn link(root: &Path, place: &str, command: &str, target: &str) -> Result<(), TrialError> {
    let (Some(place), Some(target)) = (checked(Path::new(place)), checked(Path::new(target)))
    else {
        return Ok(());
    };
    let Some(name) = checked(Path::new(command)).filter(|n| n.components().count() == 1) else {
        return Ok(());
    };
    let program = root.join(&place).join(target);
    let modules = place
        .ancestors()
        .find(|a| a.file_name().is_some_and(|n| n == "node_modules"));
    let Some(modules) = modules.filter(|_| fs::exists(&program)) else {
        return Ok(());
    };
    fs::set_mode(&program, 0o755)?;
    let folder = root.join(modules).join(".bin");
    fs::create_dir_all(&folder, 0o755)?;
    let link = folder.join(name);
    if !fs::exists(&link) {
        fs::symlink(&program, &link)?;
    }
    Ok(())
}
