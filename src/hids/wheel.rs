//! How `pip install` lays wheels out (PEP 427): the root goes into site-packages, each folder of `NAME.data` where its scheme
//! says. A file is executable when it is in the archive.

use std::collections::{BTreeMap, BTreeSet};

use super::scan::Scanned;
use super::{Baseline, Entry, Kind, MayChange, Said, Tree, path};
use crate::base::digest::Digests;
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
/// What pip writes of an install.
const OWN: &str = r"[^/]+\.dist-info/(RECORD|INSTALLER|REQUESTED|direct_url\.json)$ f";
/// Folders that an environment has from the beginning, by the project that they are of.
const SEED: [(&str, &str, &str); 5] = [
    ("pip", "pip", r"pip"),
    ("pip", "pip-*.dist-info", r"pip-[0-9.]+\.dist-info"),
    ("setuptools", "setuptools", r"setuptools"),
    ("setuptools", "pkg_resources", r"pkg_resources"),
    (
        "setuptools",
        "setuptools-*.dist-info",
        r"setuptools-[0-9.]+\.dist-info",
    ),
];
/// The folder whose code runs at every start of Python, and the file that has it run.
const HOOK: (&str, &str) = ("_distutils_hack", "distutils-precedence.pth");
/// The bytes of that file.
const HOOKED: &[u8] = b"import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os.environ.get(var, 'local') == 'local'; \
    enabled and __import__('_distutils_hack').add_shim(); \n";
/// The first minor version of Python 3 whose environments have these bytes.
const HOOKED_FROM: u32 = 11;
/// The first one whose environments have no setuptools.
const WITHOUT_SETUPTOOLS: u32 = 12;
/// Who makes an environment.
const VENV: &str = "python -m venv";
/// Names of the files of a `.dist-info` that are written anew.
const WRITTEN: [&str; 4] = ["RECORD", "INSTALLER", "REQUESTED", "direct_url.json"];

/// Where the environments of a lock are.
#[derive(Debug)]
pub(super) struct Layout {
    /// The environment of each install.
    environments: BTreeMap<u32, String>,
    /// Major and minor version of Python; `None`: the lock does not say.
    python: Option<String>,
    /// Folders of an environment from the beginning whose files nobody knows: the lock does not have these projects. Each with
    /// its pattern.
    seed: Vec<(&'static str, &'static str)>,
    /// An environment has the setuptools of Python.
    hooked: bool,
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
        let short = |version: &String| {
            let parts: Vec<&str> = version.split('.').take(2).collect();
            parts.join(".")
        };
        let pypi = EcosystemId::pypi();
        let is_locked = |name: &str| said.lock.of(&pypi).any(|package| package.name == name);
        let environments = installs.iter().map(|n| (*n, folder(n))).collect();
        let python = said.lock.target.python.as_ref().map(short);
        Self::of_python(python, environments, is_locked)
    }

    fn of_python(
        python: Option<String>,
        environments: BTreeMap<u32, String>,
        is_locked: impl Fn(&str) -> bool,
    ) -> Self {
        let setuptools = minor(python.as_deref()) < WITHOUT_SETUPTOOLS;
        let is_there =
            |project: &str| !is_locked(project) && (project != "setuptools" || setuptools);
        Self {
            environments,
            python,
            seed: SEED
                .iter()
                .filter(|(project, ..)| is_there(project))
                .map(|(_, name, pattern)| (*name, *pattern))
                .collect(),
            hooked: is_there("setuptools"),
        }
    }

    /// The folders that hold nothing but what is known.
    pub(super) fn trees(&self, baseline: &mut Baseline) {
        let Some(python) = &self.python else { return };
        for environment in self.environments.values() {
            baseline.link(&format!("{environment}/lib64"), "lib", VENV);
            let at = format!("{environment}/lib/python{python}/site-packages");
            let code = python.replace('.', "");
            for (what, who) in [
                ("*.dist-info/RECORD", "pip: rewritten with what it made"),
                ("*.dist-info/{INSTALLER,REQUESTED,direct_url.json}", "pip"),
                (
                    &format!("**/__pycache__/*.cpython-{code}.pyc"),
                    "pip and Python: byte code",
                ),
            ] {
                baseline.makes(format!("{at}/{what}"), who);
            }
            let mut made = vec![
                OWN.to_owned(),
                r"(.*/)?__pycache__$ d".to_owned(),
                format!(r"(.*/)?__pycache__/[^/]+\.cpython-{code}(\.opt-[12])?\.pyc$ f"),
            ];
            for (name, pattern) in &self.seed {
                baseline.makes(format!("{at}/{name}/**"), VENV);
                made.push(format!("{pattern}(/|$) f,d"));
            }
            baseline.makes(
                format!("{environment}/bin/*"),
                "python -m venv, and pip: a script for each entry point",
            );
            baseline.trees.push(Tree {
                path: at.clone(),
                made,
                scripted: BTreeMap::new(),
            });
            self.hook(&at, baseline);
        }
    }

    /// What the setuptools of Python has run at every start.
    fn hook(&self, site: &str, baseline: &mut Baseline) {
        if !self.hooked {
            return;
        }
        let (folder, file) = HOOK;
        baseline.makes(format!("{site}/{folder}/{{__init__,override}}.py"), VENV);
        if let Some(tree) = baseline.trees.last_mut() {
            tree.made.push(format!("{folder}$ d"));
            tree.made
                .push(format!(r"{folder}/(__init__|override)\.py$ f"));
        }
        let at = format!("{site}/{file}");
        let entry = Entry {
            digests: Digests::of(HOOKED),
            size: HOOKED.len() as u64,
            mode: FILE,
            kind: Kind::Data,
            from: VENV.to_owned(),
        };
        if minor(self.python.as_deref()) >= HOOKED_FROM {
            baseline.files.insert(at, entry);
        } else {
            let why = "python -m venv: other versions of setuptools have other bytes".to_owned();
            baseline.may_change.insert(at, MayChange { entry, why });
        }
    }

    /// Whether an environment has a folder from the beginning.
    fn is_seed(&self, folder: &str) -> bool {
        let hook = self.hooked && (folder == HOOK.0 || folder == HOOK.1);
        hook || self.seed.iter().any(|(name, _)| *name == folder)
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
                let first = member.path.split('/').next().unwrap_or_default();
                if self.is_seed(first) {
                    let why = format!("has files in {first}, which python -m venv makes");
                    baseline.cannot_know(package, &why);
                    continue;
                }
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

/// The minor version of Python 3; 0: nobody knows.
fn minor(python: Option<&str>) -> u32 {
    let minor = python.and_then(|python| python.strip_prefix("3."));
    minor
        .and_then(|minor| minor.parse().ok())
        .unwrap_or_default()
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
        if at.contains("/__pycache__/") && at.strip_suffix(".pyc").is_some() {
            return; // Written anew.
        }
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
    use super::{Layout, Scheme};
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
            scanned("demo/__pycache__/old.cpython-311.pyc", 0o100_644),
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

    #[test]
    fn an_environment_has_only_what_its_python_brings() {
        let site = |python: &str| format!("/opt/venv/lib/python{python}/site-packages");
        let made = |python: &str, locked: &[&str]| {
            let places = [(1, "/opt/venv".to_owned())].into();
            let python = Some(python.to_owned());
            let layout = Layout::of_python(python, places, |name| locked.contains(&name));
            let mut baseline = Baseline::new(Platform::LinuxAmd64);
            layout.trees(&mut baseline);
            baseline
        };
        let patterns = |baseline: &Baseline| baseline.trees[0].made.join("\n");
        // Bytes of a real `python3.11 -m venv`.
        let old = made("3.11", &[]);
        let hook = format!("{}/distutils-precedence.pth", site("3.11"));
        let digest = old.files[&hook].digests.sha256.hex();
        assert_eq!(
            digest,
            "2638ce9e2500e572a5e0de7faed6661eb569d1b696fcba07b0dd223da5f5d224"
        );
        assert!(patterns(&old).contains("_distutils_hack") && patterns(&old).contains("pip(/|$)"));
        assert_eq!(old.links["/opt/venv/lib64"].target, "lib");
        let older = made("3.9", &[]);
        let hook = format!("{}/distutils-precedence.pth", site("3.9"));
        assert!(older.may_change.contains_key(&hook) && older.files.is_empty());
        for (python, locked) in [("3.12", ["x"]), ("3.13", ["x"]), ("3.11", ["setuptools"])] {
            let new = made(python, &locked);
            let patterns = patterns(&new);
            for free in [
                "setuptools",
                "hack",
                "pkg_resources",
                "wheel",
                ".pth",
                "/[^/]+$",
            ] {
                assert!(!patterns.contains(free), "{python}: {free}");
            }
            assert!(new.files.is_empty() && new.may_change.is_empty());
        }
    }
}
