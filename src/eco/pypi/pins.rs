//! Exact pins of Python environments: `requirements.txt` with every hash, for `pip install --require-hashes -r` and `uv
//! pip sync`, and `pylock.toml` (PEP 751). One of each per install and platform, since versions may differ between them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use crate::base::digest::Digest;
use crate::base::package::EcosystemId;
use crate::base::platform::Platform;
use crate::base::text::quoted;
use crate::eco::pypi::filename::Filename;
use crate::eco::pypi::name::Name;
use crate::eco::pypi::records::{self, PypiFile, PypiRecords};
use crate::eco::pypi::repo;
use crate::eco::{
    BundleView, EcoError, ExportForm, ExportRequest, ExportedFile, RepoContent, RepoFile,
};
use crate::lock::{Lock, LockedPackage};

/// Forms that `stage export` knows.
pub const FORMS: &[ExportForm] = &[
    ExportForm {
        name: "requirements",
        about: "requirements.txt with hashes, for `pip install --require-hashes -r` and uv",
    },
    ExportForm {
        name: "pylock",
        about: "pylock.toml (PEP 751), for `uv pip sync` and newer versions of pip",
    },
];

/// The pins of one bundle, relative to `pins/<channel>/<serial>/`: `pypi/requirements.txt` and `pypi/pylock.toml`, below
/// `pypi/<install>/` when there are several installs, then below `<os>-<machine>/` when there are several platforms.
pub fn pins(bundle: &BundleView<'_>, base_url: &str) -> Result<Vec<RepoFile>, EcoError> {
    if bundle.records.is_empty() {
        return Ok(Vec::new());
    }
    let records = records::parse(bundle.records)?;
    let mut files = Vec::new();
    for (environment, folder) in folders(bundle.lock) {
        let pinned = pinned(bundle.lock, &records, environment)?;
        let documents = [
            ("requirements.txt", requirements(&pinned)),
            (
                "pylock.toml",
                pylock(bundle.lock, environment.1, &pinned, base_url)?,
            ),
        ];
        files.extend(documents.map(|(name, text)| RepoFile {
            path: format!("{folder}/{name}"),
            content: RepoContent::Bytes(text.into_bytes()),
        }));
    }
    Ok(files)
}

/// What `stage export` writes.
pub fn export(request: &ExportRequest<'_>) -> Result<Vec<ExportedFile>, EcoError> {
    let records = records::parse(request.records)?;
    let install = request.install;
    let all = environments(request.lock);
    let mut of_install = all.iter().filter(|(number, _)| *number == install);
    let environment = match request.platform {
        Some(platform) => of_install.find(|(_, known)| *known == platform),
        None => match (of_install.next(), of_install.next()) {
            (Some(_), Some(_)) => {
                return Err(cannot(
                    "there are several platforms; choose with --platform",
                ));
            }
            (only, _) => only,
        },
    };
    let Some(&environment) = environment else {
        return Err(cannot(
            "the lock has no such install, or not for this platform",
        ));
    };
    let pinned = pinned(request.lock, &records, environment)?;
    let (name, text) = match (request.form, request.base_url) {
        ("pylock", Some(base_url)) => (
            "pylock.toml",
            pylock(request.lock, environment.1, &pinned, base_url)?,
        ),
        ("pylock", None) => {
            return Err(cannot(
                "a pylock.toml says where each file is; give --base-url",
            ));
        }
        _ => ("requirements.txt", requirements(&pinned)),
    };
    Ok(vec![ExportedFile {
        name: name.to_owned(),
        text,
        optional: false,
    }])
}

fn cannot(reason: &str) -> EcoError {
    EcoError::Export {
        ecosystem: EcosystemId::pypi(),
        reason: reason.to_owned(),
    }
}

/// An install's number with a platform.
pub type Environment = (u32, Platform);

/// The environments of a lock: what its places name.
pub fn environments(lock: &Lock) -> BTreeSet<Environment> {
    let pypi = EcosystemId::pypi();
    let places = lock.of(&pypi).flat_map(|package| &package.places);
    places.filter_map(|place| environment_of(place)).collect()
}

/// The place of a package in an environment, as locks have it: `1:linux/amd64`.
pub fn place((install, platform): Environment) -> String {
    format!("{install}:{platform}")
}

fn environment_of(place: &str) -> Option<Environment> {
    let (install, platform) = place.split_once(':')?;
    Some((install.parse().ok()?, platform.parse().ok()?))
}

/// Each environment with the folder of its pins.
pub fn folders(lock: &Lock) -> BTreeMap<Environment, String> {
    let all = environments(lock);
    let installs: BTreeSet<u32> = all.iter().map(|(install, _)| *install).collect();
    let platforms: BTreeSet<Platform> = all.iter().map(|(_, platform)| *platform).collect();
    let folder = |(install, platform): Environment| {
        let mut folder = "pypi".to_owned();
        if installs.len() > 1 {
            folder.extend(["/", &install.to_string()]);
        }
        if platforms.len() > 1 {
            folder.extend(["/", &platform.as_str().replace('/', "-")]);
        }
        folder
    };
    all.iter()
        .map(|&environment| (environment, folder(environment)))
        .collect()
}

/// A release with those of its files that are of use on the platform.
struct Pinned<'a> {
    name: Name,
    package: &'a LockedPackage,
    files: Vec<(&'a str, &'a PypiFile)>,
}

fn pinned<'a>(
    lock: &'a Lock,
    records: &'a PypiRecords,
    environment: Environment,
) -> Result<Vec<Pinned<'a>>, EcoError> {
    let pypi = EcosystemId::pypi();
    let place = place(environment);
    let mut all = Vec::new();
    for package in lock
        .packages
        .iter()
        .filter(|p| p.ecosystem == pypi && p.places.contains(&place))
    {
        let name = repo::name_of(package)?;
        let mut files = repo::carried(package, records)?;
        let serves = |file: &str| {
            Filename::parse(file, &name).is_ok_and(|parsed| parsed.serves(environment.1))
        };
        files.retain(|(file, _)| serves(file));
        if files.is_empty() {
            let id = quoted(&package.id().to_string());
            return Err(records::unreadable(&format_args!(
                "{id} has no file for {place}"
            )));
        }
        all.push(Pinned {
            name,
            package,
            files,
        });
    }
    Ok(all)
}

fn requirements(pinned: &[Pinned<'_>]) -> String {
    let mut text =
        String::from("# Written by stage: pip install --require-hashes -r requirements.txt\n");
    for one in pinned {
        text.extend([one.name.as_str(), "==", &one.package.version]);
        let sums: BTreeSet<Digest> = one.files.iter().map(|(_, about)| about.sha256).collect();
        for sum in sums {
            // pip wants `sha256:<hex>`, which is how a digest is written. Writing to a String cannot fail.
            if write!(text, " \\\n    --hash={sum}").is_err() {}
        }
        text.push('\n');
    }
    text
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Pylock<'a> {
    lock_version: &'a str,
    environments: [String; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    requires_python: Option<String>,
    created_by: &'a str,
    packages: Vec<PylockPackage<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PylockPackage<'a> {
    name: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    requires_python: Option<&'a str>,
    index: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sdist: Option<PylockFile<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    wheels: Vec<PylockFile<'a>>,
}

#[derive(Serialize)]
struct PylockFile<'a> {
    name: &'a str,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    hashes: BTreeMap<&'a str, String>,
}

fn pylock(
    lock: &Lock,
    platform: Platform,
    pinned: &[Pinned<'_>],
    base_url: &str,
) -> Result<String, EcoError> {
    let packages = pinned.iter().map(|one| pylock_package(one, base_url));
    let document = Pylock {
        lock_version: "1.0",
        environments: [marker(platform).to_owned()],
        requires_python: lock.target.python.as_deref().map(only_minor),
        created_by: "stage",
        packages: packages.collect(),
    };
    toml::to_string(&document).map_err(|e| records::unreadable(&e))
}

fn pylock_package<'a>(one: &'a Pinned<'a>, base_url: &str) -> PylockPackage<'a> {
    let file = |(name, about): &(&'a str, &PypiFile)| PylockFile {
        name,
        url: repo::file_url(base_url, &one.name, name),
        size: about.size,
        hashes: BTreeMap::from([("sha256", about.sha256.hex())]),
    };
    let is_wheel =
        |(name, _): &&(&str, &PypiFile)| name.rsplit_once('.').is_some_and(|(_, end)| end == "whl");
    let mut pythons = one
        .files
        .iter()
        .filter_map(|(_, about)| about.requires_python.as_deref());
    PylockPackage {
        name: one.name.as_str(),
        version: &one.package.version,
        requires_python: pythons.next(),
        index: format!("{base_url}/pypi/simple/"),
        sdist: one.files.iter().find(|file| !is_wheel(file)).map(file),
        wheels: one.files.iter().filter(is_wheel).map(file).collect(),
    }
}

/// The environments that a platform's pins are for, as a marker.
const fn marker(platform: Platform) -> &'static str {
    match platform {
        Platform::LinuxAmd64 => "sys_platform == 'linux' and platform_machine == 'x86_64'",
        Platform::LinuxArm64 => "sys_platform == 'linux' and platform_machine == 'aarch64'",
    }
}

/// The specifier of a Python's minor version: markers and wheels were chosen for no other.
fn only_minor(python: &str) -> String {
    let minor: Vec<&str> = python.split('.').take(2).collect();
    format!("=={}.*", minor.join("."))
}
