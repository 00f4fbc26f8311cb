//! How `pip install` lays wheels out (PEP 427): the root goes into site-packages, each folder of `NAME.data` where its scheme
//! says. A file is executable when it is in the archive.

use std::collections::{BTreeMap, BTreeSet};

use super::scan::Scanned;
use super::{Baseline, Said, Tree, path};
use crate::base::package::EcosystemId;
use crate::base::platform::Platform;
use crate::eco::EcoError;
use crate::eco::pypi::filename::Filename;
use crate::eco::pypi::{pins, repo};
use crate::lock::LockedPackage;

const FILE: u32 = 0o644;
const EXECUTABLE: u32 = 0o755;
/// The kind of file in a mode, and a regular one.
const KIND: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
/// What pip writes into an environment itself: byte code, and what it knows of an install.
const OWN: [&str; 2] = [
    r"(.*/)?__pycache__/",
    r"[^/]+\.dist-info/(RECORD|INSTALLER|REQUESTED|direct_url\.json)$",
];
/// What an environment may have from the beginning, by the project that it is of.
const SEED: [(&str, &str); 6] = [
    ("pip", r"pip(-[^/]*\.dist-info)?/"),
    ("wheel", r"wheel(-[^/]*\.dist-info)?/"),
    ("setuptools", r"setuptools(-[^/]*\.dist-info)?/"),
    ("setuptools", r"pkg_resources/"),
    ("setuptools", r"_distutils_hack/"),
    ("setuptools", r"distutils-precedence\.pth$"),
];
/// Names of the files of a `.dist-info` that are written anew.
const WRITTEN: [&str; 4] = ["RECORD", "INSTALLER", "REQUESTED", "direct_url.json"];

/// Where the environments of a lock are.
#[derive(Debug)]
pub(super) struct Layout {
    /// The environment of each install.
    environments: BTreeMap<u32, String>,
    /// Major and minor version of Python; `None`: the lock does not say.
    python: Option<String>,
    /// What of an environment from the beginning nobody knows: the lock does not have these projects.
    seed: Vec<&'static str>,
}

impl Layout {
    pub(super) fn new(said: &Said<'_>) -> Self {
        let prefix = &said.runtime.prefix;
        let all = pins::environments(said.lock);
        let installs: BTreeSet<u32> = all.iter().map(|(n, _)| *n).collect();
        let folder = |install: &u32| match installs.len() {
            1 => format!("{prefix}/venv"),
            _ => format!("{prefix}/venv-{install}"),
        };
        let minor = |version: &String| {
            let parts: Vec<&str> = version.split('.').take(2).collect();
            parts.join(".")
        };
        let pypi = EcosystemId::pypi();
        let is_locked = |name: &str| said.lock.of(&pypi).any(|package| package.name == name);
        Self {
            environments: installs.iter().map(|n| (*n, folder(n))).collect(),
            python: said.lock.target.python.as_ref().map(minor),
            seed: SEED
                .iter()
                .filter(|(project, _)| !is_locked(project))
                .map(|(_, pattern)| *pattern)
                .collect(),
        }
    }

    /// The folders that hold nothing but what is known.
    pub(super) fn trees(&self, baseline: &mut Baseline) {
        let Some(python) = &self.python else { return };
        for environment in self.environments.values() {
            let at = format!("{environment}/lib/python{python}/site-packages");
            for (what, who) in [
                ("*.dist-info/RECORD", "pip: rewritten with what it made"),
                ("*.dist-info/{INSTALLER,REQUESTED,direct_url.json}", "pip"),
                ("**/__pycache__/*.pyc", "pip and Python: byte code"),
                ("pip, setuptools, wheel", "python -m venv"),
            ] {
                baseline.makes(format!("{at}/{what}"), who);
            }
            baseline.makes(
                format!("{environment}/bin/*"),
                "python -m venv, and pip: a script for each entry point",
            );
            let mut made = OWN.to_vec();
            made.extend(&self.seed);
            baseline.trees.push(Tree {
                path: at,
                made,
                scripted: BTreeSet::new(),
            });
        }
    }

    /// Puts the files of a wheel where they will be.
    ///
    /// # Errors
    /// The package has no name that an index could have.
    pub(super) fn place(
        &self,
        package: &LockedPackage,
        file: &str,
        members: &[Scanned],
        baseline: &mut Baseline,
    ) -> Result<(), EcoError> {
        let Some(python) = &self.python else {
            baseline.cannot_know(package, "the lock does not say for which Python");
            return Ok(());
        };
        let name = repo::name_of(package)?;
        let serves = |file: &str| {
            let parsed = Filename::parse(file, &name).ok();
            parsed.filter(|parsed| parsed.serves(baseline.platform))
        };
        let Some(parsed) = serves(file) else {
            return Ok(());
        };
        if parsed.wheel().is_none() {
            baseline.cannot_know(package, "is built on the host from its sources");
            return Ok(());
        }
        let fitting = package
            .artifacts
            .iter()
            .filter(|a| serves(&a.file).is_some());
        if fitting.count() > 1 {
            baseline.cannot_know(package, "several files fit, and pip picks one");
            return Ok(());
        }
        for environment in self.environments_of(package, baseline.platform) {
            let scheme = Scheme {
                environment: &environment,
                python,
                project: &package.name,
            };
            for member in members {
                scheme.place(package, member, baseline);
            }
        }
        Ok(())
    }

    fn environments_of(&self, package: &LockedPackage, platform: Platform) -> Vec<String> {
        let folders = self.environments.iter();
        folders
            .filter(|(install, _)| package.places.contains(&pins::place((**install, platform))))
            .map(|(_, folder)| folder.clone())
            .collect()
    }
}

/// Where the parts of a wheel go.
struct Scheme<'a> {
    environment: &'a str,
    python: &'a str,
    project: &'a str,
}

impl Scheme<'_> {
    fn place(&self, package: &LockedPackage, member: &Scanned, baseline: &mut Baseline) {
        let path = &path::normal(&member.path);
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        if first.ends_with(".dist-info") && WRITTEN.contains(&rest) {
            return;
        }
        let Self {
            environment,
            python,
            project,
        } = self;
        let site = format!("{environment}/lib/python{python}/site-packages");
        let folder = first.rsplit_once('.').map(|(_, kind)| kind);
        let at = if folder == Some("data") {
            let Some((scheme, rest)) = rest.split_once('/') else {
                return;
            };
            match scheme {
                "purelib" | "platlib" => format!("{site}/{rest}"),
                "scripts" => format!("{environment}/bin/{rest}"),
                "data" => format!("{environment}/{rest}"),
                "headers" => format!("{environment}/include/site/python{python}/{project}/{rest}"),
                _ => {
                    baseline.cannot_know(package, "has a scheme that nobody knows");
                    return;
                }
            }
        } else {
            format!("{site}/{path}")
        };
        if member.python && at.starts_with(&format!("{environment}/bin/")) {
            baseline.makes(at, "pip: a script whose first line names the interpreter");
            return;
        }
        let executable = |mode: u32| mode & KIND == REGULAR && mode & 0o111 != 0;
        let mode = match member.mode {
            Some(mode) if executable(mode) => EXECUTABLE,
            _ => FILE,
        };
        baseline.put(&at, member, mode, package);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Baseline;
    use super::super::tests::{package, scanned, shown};
    use super::Scheme;
    use crate::base::package::EcosystemId;
    use crate::base::platform::Platform;

    #[test]
    fn each_part_of_a_wheel_goes_where_its_scheme_says() {
        let scheme = Scheme {
            environment: "/opt/venv",
            python: "3.11",
            project: "demo",
        };
        let package = package(EcosystemId::pypi(), "demo");
        let mut baseline = Baseline::new(Platform::LinuxAmd64);
        for member in [
            scanned("demo/__init__.py", 0o100_644),
            scanned("demo/tool.so", 0o100_755),
            // Executable, but the archive does not say of what kind it is.
            scanned("demo/odd", 0o755),
            scanned("demo-1.0.dist-info/METADATA", 0o100_600),
            scanned("demo-1.0.dist-info/RECORD", 0o100_644),
            scanned("demo-1.0.data/scripts/run", 0o100_755),
            scanned("demo-1.0.data/scripts/#!python", 0o100_755),
            scanned("demo-1.0.data/purelib/pure.py", 0o100_644),
            scanned("demo-1.0.data/data/share/man/x.1", 0o100_644),
            scanned("demo-1.0.data/headers/x.h", 0o100_644),
            scanned("demo-1.0.data/other/x", 0o100_644),
            scanned("../evil.pth", 0o100_644),
        ] {
            scheme.place(&package, &member, &mut baseline);
        }
        let site = "/opt/venv/lib/python3.11/site-packages";
        assert_eq!(
            shown(&baseline),
            [
                "/opt/venv/bin/run 0755".to_owned(),
                "/opt/venv/include/site/python3.11/demo/x.h 0644".to_owned(),
                format!("{site}/demo-1.0.dist-info/METADATA 0644"),
                format!("{site}/demo/__init__.py 0644"),
                format!("{site}/demo/odd 0644"),
                format!("{site}/demo/tool.so 0755"),
                format!("{site}/pure.py 0644"),
                "/opt/venv/share/man/x.1 0644".to_owned(),
            ]
        );
        assert_eq!(baseline.unknown.len(), 2, "{:?}", baseline.unknown);
        let made: Vec<&str> = baseline.made.iter().map(|(at, _)| at.as_str()).collect();
        assert_eq!(made, ["/opt/venv/bin/#!python"]);
    }
}
