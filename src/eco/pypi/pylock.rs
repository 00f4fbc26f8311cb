//! `pylock.toml` (PEP 751, lock version 1): packages with their files and markers, the environments it is for, its
//! extras and dependency groups. It lists what is installed; its edges are for information only and are not followed.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::eco::pypi::foreign::{
    self, Direct, ForeignError, ForeignFile, ForeignLock, ForeignPackage, MAX_FILES, MAX_PACKAGES,
    file_of_url, marker_of, put_file,
};
use crate::eco::pypi::is_version;
use crate::eco::pypi::marker::Marker;
use crate::eco::pypi::name::Name;
use crate::eco::pypi::requirements_txt::without_secrets;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    lock_version: String,
    #[serde(default)]
    environments: Vec<String>,
    requires_python: Option<String>,
    #[serde(default)]
    default_groups: Vec<String>,
    #[serde(default)]
    packages: Vec<Package>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: String,
    version: Option<String>,
    marker: Option<String>,
    vcs: Option<Place>,
    directory: Option<Place>,
    archive: Option<Place>,
    sdist: Option<Dist>,
    #[serde(default)]
    wheels: Vec<Dist>,
}

/// Where something is that is no release of an index.
#[derive(Deserialize)]
struct Place {
    url: Option<String>,
    path: Option<String>,
}

#[derive(Deserialize)]
struct Dist {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
    size: Option<u64>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

/// A lock file with what an installer does without being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pylock {
    /// Its packages.
    pub lock: ForeignLock,
    /// The environments that it is for: one of them must hold. Empty: any.
    pub environments: Vec<Marker>,
    /// Groups that are installed unless others are chosen.
    pub default_groups: Vec<Name>,
}

/// Reads a lock file that the user calls `file`.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Pylock, ForeignError> {
    let fail = |reason: &dyn std::fmt::Display| ForeignError::lockfile(file, reason);
    let text = foreign::text(file, bytes)?;
    let read: File = toml::from_str(text).map_err(|e| fail(&e.message()))?;
    // A minor version only adds.
    if read.lock_version.split('.').next() != Some("1") {
        return Err(fail(&format_args!(
            "it has lock version {}, not 1.0",
            read.lock_version
        )));
    }
    if read.packages.len() > MAX_PACKAGES {
        return Err(fail(&format_args!(
            "it has more than {MAX_PACKAGES} packages"
        )));
    }
    let packages = read.packages.into_iter().map(|one| package(file, one));
    let lock = ForeignLock {
        requires_python: read.requires_python,
        packages: packages.collect::<Result<_, _>>()?,
        roots: None,
    };
    let environments = read.environments.iter();
    let environments = environments.map(|text| Marker::parse(text).map_err(|e| fail(&e)));
    let groups = read.default_groups.iter();
    let groups = groups.map(|group| group.parse().map_err(|e| fail(&e)));
    Ok(Pylock {
        lock,
        environments: environments.collect::<Result<_, _>>()?,
        default_groups: groups.collect::<Result<_, _>>()?,
    })
}

fn package(file: &str, package: Package) -> Result<ForeignPackage, ForeignError> {
    let fail = |reason: &dyn std::fmt::Display| ForeignError::lockfile(file, reason);
    let name: Name = package.name.parse().map_err(|e| fail(&e))?;
    let direct = direct_of(&package, &name);
    if package
        .version
        .as_ref()
        .is_some_and(|version| !is_version(version))
    {
        return Err(fail(&format_args!("{name} has a version that is none")));
    }
    let mut files = BTreeMap::new();
    if direct.is_none() {
        if package.version.is_none() {
            return Err(fail(&format_args!("{name} has no version")));
        }
        if package.wheels.len() > MAX_FILES {
            return Err(fail(&format_args!(
                "{name} has more than {MAX_FILES} files"
            )));
        }
        for dist in package.sdist.iter().chain(&package.wheels) {
            let at = dist.url.as_ref().or(dist.path.as_ref());
            let named = dist.name.clone().or_else(|| file_of_url(at?));
            let named = named.ok_or_else(|| fail(&format_args!("a file of {name} has no name")))?;
            let sum = dist.hashes.get("sha256").map(String::as_str);
            let about = ForeignFile {
                sha256: foreign::sha256(file, sum)?,
                size: dist.size,
            };
            put_file(file, &name, &mut files, (named, about))?;
        }
        if files.is_empty() {
            return Err(fail(&format_args!("{name} has no files")));
        }
    }
    Ok(ForeignPackage {
        name,
        version: package.version,
        marker: marker_of(file, package.marker.as_deref())?,
        files,
        edges: Vec::new(),
        extras: BTreeMap::new(),
        direct,
    })
}

fn direct_of(package: &Package, name: &Name) -> Option<Direct> {
    let kinds = [
        ("repository of a version control system", &package.vcs),
        ("folder", &package.directory),
        ("archive", &package.archive),
    ];
    let (kind, place) = kinds
        .into_iter()
        .find_map(|(kind, place)| Some((kind, place.as_ref()?)))?;
    let from = place.url.as_ref().or(place.path.as_ref());
    Some(Direct {
        kind,
        name: Some(name.clone()),
        from: from.map(|from| without_secrets(from)).unwrap_or_default(),
        line: None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::parse;
    use crate::eco::pypi::foreign::Wanted;
    use crate::eco::pypi::marker::tests::env;

    const TEXT: &str = r#"
lock-version = "1.0"
environments = ["sys_platform == 'linux'"]
requires-python = ">=3.11"
extras = ["ui"]
dependency-groups = ["dev", "default"]
default-groups = ["default"]
created-by = "x"

[[packages]]
name = "a"
version = "1.0"
requires-python = ">=3.8"
sdist = { name = "a-1.0.tar.gz", url = "https://f.example/a-1.0.tar.gz", hashes = { sha256 = "1111111111111111111111111111111111111111111111111111111111111111" } }

[[packages.wheels]]
url = "https://f.example/a-1.0-py3-none-any.whl"
size = 9
hashes = { sha256 = "2222222222222222222222222222222222222222222222222222222222222222", md5 = "00" }

[[packages]]
name = "b"
version = "2"
marker = "'ui' in extras and python_version >= '3.12'"
wheels = [{ path = "w/b-2-py3-none-any.whl", hashes = { sha512 = "00" } }]

[[packages]]
name = "c"
marker = "'default' in dependency_groups"
vcs = { type = "git", url = "https://u:p@g.example/c", commit-id = "0123" }
"#;

    #[test]
    fn markers_extras_and_groups_decide_what_is_installed() {
        let read = parse("pylock.toml", TEXT.as_bytes()).unwrap();
        assert_eq!(read.default_groups[0].as_str(), "default");
        let none = BTreeSet::new();
        assert!(read.environments[0].holds(&env("3.12", "x86_64"), &none, &none));
        let names = |wanted: &Wanted, python: &str| -> Vec<String> {
            let found = read
                .lock
                .select("pylock.toml", &env(python, "x86_64"), wanted)
                .unwrap();
            found.iter().map(|s| s.package.name.to_string()).collect()
        };
        let ui = Wanted {
            extras: BTreeSet::from(["ui".parse().unwrap()]),
            ..Wanted::default()
        };
        assert_eq!(names(&Wanted::default(), "3.12"), ["a"]);
        assert_eq!(names(&ui, "3.12"), ["a", "b"]);
        assert_eq!(names(&ui, "3.11"), ["a"]);
        let groups = Wanted {
            groups: BTreeSet::from(["default".parse().unwrap()]),
            ..Wanted::default()
        };
        assert_eq!(names(&groups, "3.12"), ["a", "c"]);
        let a = &read.lock.packages[0];
        assert_eq!(a.files["a-1.0-py3-none-any.whl"].size, Some(9));
        assert!(a.files["a-1.0.tar.gz"].sha256.is_some());
        assert_eq!(
            read.lock.packages[1].files["b-2-py3-none-any.whl"].sha256,
            None
        );
        let direct = read.lock.packages[2].direct.as_ref().unwrap();
        assert_eq!(direct.from, "https://***@g.example/c");
    }

    #[test]
    fn damaged_and_hostile_locks_are_refused() {
        for (from, to) in [
            ("lock-version = \"1.0\"", "lock-version = \"2.0\""),
            ("lock-version = \"1.0\"\n", ""),
            ("name = \"a\"\n", "name = \"a/b\"\n"),
            ("version = \"1.0\"\nrequires", "version = \"1 0\"\nrequires"),
            ("version = \"1.0\"\nrequires", "requires"),
            ("a-1.0.tar.gz\", url", "../a-1.0.tar.gz\", url"),
            ("a-1.0.tar.gz\", url", "b-1.0.tar.gz\", url"),
            ("\"1111", "\"11"),
            ("'ui' in extras and", "'ui' in extras and and"),
            ("sys_platform == 'linux'", "sys_platform = 'linux'"),
            ("[\"default\"]\ncreated", "[\"/\"]\ncreated"),
            ("wheels = [{ path", "wheals = [{ path"),
        ] {
            let bad = TEXT.replacen(from, to, 1);
            assert_ne!(bad, TEXT, "{from}");
            parse("pylock.toml", bad.as_bytes()).unwrap_err();
        }
        parse("pylock.toml", b"\xff").unwrap_err();
    }
}
