//! Source distributions (PyPA "Source distribution format", PEP 517, 518, 621, 643): what can be known of one without
//! running its code.
//!
//! Its metadata counts when `PKG-INFO` has format 2.2 or newer and does not call its requirements dynamic; else when
//! `pyproject.toml` states them. Anything else is only known after a build, which is not done here.

use std::io::{BufReader, Read};

use pep440_rs::Version;
use serde::Deserialize;
use zip::ZipArchive;

use crate::base::limits::Limited;
use crate::base::text::{quoted, visible};
use crate::eco::pypi::filename::Sdist;
use crate::eco::pypi::metadata::{MAX_TEXT, Metadata};
use crate::eco::pypi::name::Name;
use crate::eco::pypi::shelf::FileFacts;
use crate::upstream::Source;

/// Most bytes of an archive, uncompressed.
const MAX_ARCHIVE: u64 = 2 << 30;
/// Most files in it.
const MAX_FILES: usize = 500_000;
/// What builds an sdist that does not say with what (PEP 517).
const DEFAULT_BUILD: [&str; 2] = ["setuptools>=40.8.0", "wheel"];

/// The two files that matter.
#[derive(Debug, Default)]
struct Inside {
    pkg_info: Option<String>,
    pyproject: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Pyproject {
    #[serde(rename = "build-system")]
    build_system: Option<BuildSystem>,
    project: Option<Project>,
}

#[derive(Debug, Deserialize)]
struct BuildSystem {
    requires: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Project {
    #[serde(default)]
    dependencies: Option<Vec<String>>,
    #[serde(default)]
    optional_dependencies: Option<toml::Table>,
    #[serde(default)]
    requires_python: Option<String>,
    #[serde(default)]
    dynamic: Vec<String>,
}

/// What an sdist says of itself; the error is safe to print.
pub(crate) fn facts(
    file: &Sdist,
    name: &Name,
    version: &Version,
    source: Box<dyn Source>,
) -> Result<FileFacts, String> {
    let inside = match file.form {
        ".tar.gz" | ".tgz" => in_tar(flate2::read::MultiGzDecoder::new(BufReader::new(source)))?,
        ".zip" => in_zip(source)?,
        form => return Err(format!("source distributions as {form} are not read")),
    };
    let pyproject = match &inside.pyproject {
        None => Pyproject::default(),
        Some(text) => toml::from_str(text)
            .map_err(|e| format!("its pyproject.toml cannot be read: {}", quoted(e.message())))?,
    };
    let text = match inside.pkg_info {
        Some(text) if is_static(&text) => text,
        other => from_project(name, version, other.as_deref(), pyproject.project.as_ref())?,
    };
    let mut facts = FileFacts::new(name, version, text)?;
    facts.build = match pyproject.build_system {
        Some(system) => system.requires,
        None => DEFAULT_BUILD.map(str::to_owned).to_vec(),
    };
    Ok(facts)
}

/// Whether the requirements in `PKG-INFO` are those of every wheel built from it.
fn is_static(text: &str) -> bool {
    let Ok(metadata) = Metadata::parse(text) else {
        return false;
    };
    let version = metadata.metadata_version.unwrap_or_default();
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let format = (numbers.next(), numbers.next());
    let is_new = matches!(format, (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (2, 2));
    let fixed = |field: &str| !metadata.dynamic.iter().any(|d| d == field);
    is_new && fixed("requires-dist") && fixed("provides-extra")
}

/// Core metadata from `[project]`, when that states the requirements.
fn from_project(
    name: &Name,
    version: &Version,
    pkg_info: Option<&str>,
    project: Option<&Project>,
) -> Result<String, String> {
    let unknown = || "what it needs is only known after building it".to_owned();
    let project = project.ok_or_else(unknown)?;
    let is_dynamic = |field: &str| project.dynamic.iter().any(|d| d == field);
    if is_dynamic("dependencies") || is_dynamic("optional-dependencies") {
        return Err(unknown());
    }
    let said = pkg_info.and_then(|text| Metadata::parse(text).ok());
    let mut text = format!("Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n");
    let mut line = |header: &str, value: &str| {
        if !value.contains(['\n', '\r']) {
            text.push_str(header);
            text.push_str(": ");
            text.push_str(value);
            text.push('\n');
        }
    };
    if let Some(license) = said.as_ref().and_then(Metadata::declared_license) {
        line("License", &license);
    }
    if let Some(python) = &project.requires_python {
        line("Requires-Python", python);
    }
    for requirement in project.dependencies.iter().flatten() {
        line("Requires-Dist", requirement);
    }
    for (extra, requirements) in project.optional_dependencies.iter().flatten() {
        line("Provides-Extra", extra);
        for requirement in requirements.as_array().into_iter().flatten() {
            let requirement = requirement.as_str().ok_or_else(unknown)?;
            let with = match requirement.split_once(';') {
                Some((front, marker)) => format!("{front}; ({marker}) and extra == '{extra}'"),
                None => format!("{requirement} ; extra == '{extra}'"),
            };
            line("Requires-Dist", &with);
        }
    }
    Ok(text)
}

fn in_tar(unpacked: impl Read) -> Result<Inside, String> {
    let failed = |e: std::io::Error| visible(&e.to_string());
    let mut archive = tar::Archive::new(Limited::new(unpacked, MAX_ARCHIVE));
    let mut inside = Inside::default();
    for (count, entry) in archive.entries().map_err(failed)?.enumerate() {
        if count == MAX_FILES {
            return Err(format!("it has more than {MAX_FILES} files"));
        }
        let mut entry = entry.map_err(failed)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        inside.take(&path, &mut entry)?;
    }
    Ok(inside)
}

fn in_zip(source: Box<dyn Source>) -> Result<Inside, String> {
    let failed = |e: &dyn std::fmt::Display| visible(&e.to_string());
    let mut archive = ZipArchive::new(BufReader::new(source)).map_err(|e| failed(&e))?;
    let mut inside = Inside::default();
    let paths: Vec<String> = archive.file_names().map(str::to_owned).collect();
    for path in paths {
        let mut entry = archive.by_name(&path).map_err(|e| failed(&e))?;
        inside.take(&path, &mut entry)?;
    }
    Ok(inside)
}

impl Inside {
    /// Reads `path` if it is one of the two files in the archive's one folder.
    fn take(&mut self, path: &str, file: &mut dyn Read) -> Result<(), String> {
        let slot = match path.trim_start_matches("./").split_once('/') {
            Some((_, "PKG-INFO")) => &mut self.pkg_info,
            Some((_, "pyproject.toml")) => &mut self.pyproject,
            _ => return Ok(()),
        };
        if slot.is_some() {
            return Err("it has a file twice".to_owned());
        }
        let mut text = String::new();
        let read = Limited::new(file, MAX_TEXT as u64).read_to_string(&mut text);
        read.map_err(|e| visible(&e.to_string()))?;
        *slot = Some(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Inside, Pyproject, from_project, is_static};
    use crate::eco::pypi::shelf::FileFacts;

    #[test]
    fn only_static_metadata_counts() {
        let info = |version: &str, more: &str| {
            format!("Metadata-Version: {version}\nName: a\nVersion: 1\n{more}")
        };
        assert!(is_static(&info("2.2", "")));
        assert!(is_static(&info("2.4", "Dynamic: License\n")));
        assert!(!is_static(&info("2.1", "")));
        assert!(!is_static(&info("1.10", "")));
        assert!(!is_static(&info("2.2", "Dynamic: Requires-Dist\n")));
        assert!(!is_static(""));
    }

    #[test]
    fn a_static_project_table_stands_for_metadata() {
        let (name, version) = ("a".parse().unwrap(), "1".parse().unwrap());
        let of = |text: &str| {
            let read: Pyproject = toml::from_str(text).unwrap();
            let text = from_project(&name, &version, None, read.project.as_ref())?;
            FileFacts::new(&name, &version, text)
        };
        let facts = of(
            "[project]\nname = \"a\"\ndependencies = [\"b>1\"]\nrequires-python = \">=3.8\"\n\
             [project.optional-dependencies]\nx = [\"c; python_version > '3'\"]\n",
        )
        .unwrap();
        assert_eq!(facts.metadata.requires_python.as_deref(), Some(">=3.8"));
        let texts: Vec<&str> = facts.needs.wanted.iter().map(|w| w.text.as_str()).collect();
        assert_eq!(
            texts,
            ["b>1", "c; ( python_version > '3') and extra == 'x'"]
        );
        of("[project]\ndynamic = [\"dependencies\"]").unwrap_err();
        of("[build-system]\nrequires = []").unwrap_err();
        let mut inside = Inside::default();
        inside.take("a-1/PKG-INFO", &mut "x".as_bytes()).unwrap();
        inside
            .take("a-1/sub/PKG-INFO", &mut "y".as_bytes())
            .unwrap();
        inside
            .take("a-1/PKG-INFO", &mut "z".as_bytes())
            .unwrap_err();
    }
}
