//! uv's lock file, format version 1 with its revisions: packages of indexes with their files, edges with markers and
//! extras, forks of one name in several versions, and the workspace's own projects, whose needs are the roots.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::eco::pypi::foreign::{
    Direct, ForeignEdge, ForeignError, ForeignFile, ForeignLock, ForeignPackage, MAX_FILES,
    MAX_PACKAGES, Roots, file_of_url, marker_of, put_file,
};
use crate::eco::pypi::name::Name;
use crate::eco::pypi::requirements_txt::without_secrets;
use crate::eco::pypi::{foreign, is_version};

/// Format version that is read. Revisions of it only add to it.
const VERSION: u32 = 1;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    version: u32,
    requires_python: Option<String>,
    #[serde(default)]
    manifest: Manifest,
    #[serde(default, rename = "package")]
    packages: Vec<Package>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
struct Manifest {
    #[serde(default)]
    members: Vec<String>,
    /// Of a script, which has no project.
    #[serde(default)]
    requirements: Vec<Need>,
}

/// A requirement of a script; everything but its name and what goes with it is in the packages.
#[derive(Deserialize)]
struct Need {
    name: String,
    #[serde(default)]
    extras: Vec<String>,
    marker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: String,
    version: Option<String>,
    source: Source,
    #[serde(default)]
    dependencies: Vec<Edge>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, Vec<Edge>>,
    #[serde(default)]
    dev_dependencies: BTreeMap<String, Vec<Edge>>,
    sdist: Option<Dist>,
    #[serde(default)]
    wheels: Vec<Dist>,
}

#[derive(Deserialize, Default)]
struct Source {
    registry: Option<String>,
    git: Option<String>,
    url: Option<String>,
    path: Option<String>,
    directory: Option<String>,
    editable: Option<String>,
    r#virtual: Option<String>,
}

#[derive(Deserialize)]
struct Edge {
    name: String,
    version: Option<String>,
    #[serde(default)]
    extra: Vec<String>,
    marker: Option<String>,
}

#[derive(Deserialize)]
struct Dist {
    url: Option<String>,
    path: Option<String>,
    filename: Option<String>,
    hash: Option<String>,
    size: Option<u64>,
}

/// Reads a lock file that the user calls `file`.
pub fn parse(file: &str, bytes: &[u8]) -> Result<ForeignLock, ForeignError> {
    let fail = |reason: &dyn std::fmt::Display| ForeignError::lockfile(file, reason);
    let text = foreign::text(file, bytes)?;
    let read: File = toml::from_str(text).map_err(|e| fail(&e.message()))?;
    if read.version != VERSION {
        let found = read.version;
        return Err(fail(&format_args!("it has format {found}, not {VERSION}")));
    }
    if read.packages.len() > MAX_PACKAGES {
        return Err(fail(&format_args!(
            "it has more than {MAX_PACKAGES} packages"
        )));
    }
    let reader = Reader { file };
    let mut lock = ForeignLock {
        requires_python: read.requires_python,
        ..ForeignLock::default()
    };
    let mut roots = Roots::default();
    for need in read.manifest.requirements {
        roots.edges.push(reader.edge(&need.into())?);
    }
    for package in read.packages {
        let own = package.source.own(&package.name, &read.manifest.members);
        let groups = reader.named_edges(&package.dev_dependencies)?;
        let package = reader.package(package)?;
        if own {
            roots.add(&package, groups);
        }
        lock.packages.push(package);
    }
    lock.roots = Some(roots);
    Ok(lock)
}

impl From<Need> for Edge {
    fn from(need: Need) -> Self {
        Self {
            name: need.name,
            version: None,
            extra: need.extras,
            marker: need.marker,
        }
    }
}

impl Source {
    /// Whether this is a project of the workspace: a member, or, without members, the one in the lock's own folder.
    fn own(&self, name: &str, members: &[String]) -> bool {
        let folder = self.editable.as_ref().or(self.r#virtual.as_ref());
        let member = members.iter().any(|member| member == name);
        folder.is_some_and(|folder| member || (members.is_empty() && folder == "."))
    }

    /// What it is when it is no index.
    fn direct(&self, name: &Name) -> Option<Direct> {
        let kinds = [
            ("git repository", &self.git),
            ("address", &self.url),
            ("file", &self.path),
            ("folder", &self.directory),
            ("folder", &self.editable),
            ("folder", &self.r#virtual),
        ];
        let found = kinds
            .into_iter()
            .find_map(|(kind, from)| Some((kind, from.as_ref()?)));
        let (kind, from) = match (found, &self.registry) {
            (Some(found), _) => found,
            (None, Some(_)) => return None,
            (None, None) => ("source of an unknown kind", &String::new()),
        };
        Some(Direct {
            kind,
            name: Some(name.clone()),
            from: without_secrets(from),
            line: None,
        })
    }
}

impl Roots {
    /// Adds what one of the workspace's projects needs.
    fn add(&mut self, package: &ForeignPackage, groups: BTreeMap<Name, Vec<ForeignEdge>>) {
        self.edges.extend(package.edges.iter().cloned());
        for (extra, edges) in &package.extras {
            self.extras
                .entry(extra.clone())
                .or_default()
                .extend(edges.iter().cloned());
        }
        for (group, edges) in groups {
            self.groups.entry(group).or_default().extend(edges);
        }
    }
}

struct Reader<'a> {
    file: &'a str,
}

impl Reader<'_> {
    fn fail(&self, reason: &dyn std::fmt::Display) -> ForeignError {
        ForeignError::lockfile(self.file, reason)
    }

    fn name(&self, text: &str) -> Result<Name, ForeignError> {
        text.parse().map_err(|e| self.fail(&e))
    }

    fn package(&self, package: Package) -> Result<ForeignPackage, ForeignError> {
        let name = self.name(&package.name)?;
        let direct = package.source.direct(&name);
        if package
            .version
            .as_ref()
            .is_some_and(|version| !is_version(version))
        {
            return Err(self.fail(&format_args!("{name} has a version that is none")));
        }
        let mut files = BTreeMap::new();
        if direct.is_none() {
            if package.version.is_none() {
                return Err(self.fail(&format_args!("{name} has no version")));
            }
            if package.wheels.len() > MAX_FILES {
                return Err(self.fail(&format_args!("{name} has more than {MAX_FILES} files")));
            }
            for dist in package.sdist.iter().chain(&package.wheels) {
                let (file, about) = self.dist(&name, dist)?;
                put_file(self.file, &name, &mut files, (file, about))?;
            }
        }
        Ok(ForeignPackage {
            edges: self.edges(&package.dependencies)?,
            extras: self.named_edges(&package.optional_dependencies)?,
            name,
            version: package.version,
            marker: None,
            files,
            direct,
        })
    }

    fn dist(&self, name: &Name, dist: &Dist) -> Result<(String, ForeignFile), ForeignError> {
        let at = dist
            .url
            .as_ref()
            .or(dist.path.as_ref())
            .or(dist.filename.as_ref());
        let file = at.and_then(|at| file_of_url(at));
        let file = file.ok_or_else(|| self.fail(&format_args!("a file of {name} has no name")))?;
        let sum = dist
            .hash
            .as_deref()
            .and_then(|hash| hash.strip_prefix("sha256:"));
        let about = ForeignFile {
            sha256: foreign::sha256(self.file, sum)?,
            size: dist.size,
        };
        Ok((file, about))
    }

    fn named_edges(
        &self,
        all: &BTreeMap<String, Vec<Edge>>,
    ) -> Result<BTreeMap<Name, Vec<ForeignEdge>>, ForeignError> {
        let named = all
            .iter()
            .map(|(name, edges)| Ok((self.name(name)?, self.edges(edges)?)));
        named.collect()
    }

    fn edges(&self, edges: &[Edge]) -> Result<Vec<ForeignEdge>, ForeignError> {
        edges.iter().map(|edge| self.edge(edge)).collect()
    }

    fn edge(&self, edge: &Edge) -> Result<ForeignEdge, ForeignError> {
        let extras = edge.extra.iter().map(|extra| self.name(extra));
        Ok(ForeignEdge {
            name: self.name(&edge.name)?,
            version: edge.version.clone(),
            extras: extras.collect::<Result<_, _>>()?,
            marker: marker_of(self.file, edge.marker.as_deref())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Name, parse};
    use crate::eco::pypi::foreign::{ForeignLock, Wanted};
    use crate::eco::pypi::marker::tests::env;

    const TEXT: &str = r#"
version = 1
revision = 3
requires-python = ">=3.11"
resolution-markers = ["python_full_version >= '3.12'", "python_full_version < '3.12'"]

[options]
exclude-newer = "2026-01-01T00:00:00Z"

[[package]]
name = "app"
version = "0.1.0"
source = { virtual = "." }
dependencies = [
    { name = "a", extra = ["fast"] },
    { name = "n", version = "1.0", source = { registry = "https://i.example/simple" }, marker = "python_full_version < '3.12'" },
    { name = "n", version = "2.0", source = { registry = "https://i.example/simple" }, marker = "python_full_version >= '3.12'" },
    { name = "w", marker = "sys_platform == 'win32'" },
]

[package.optional-dependencies]
ui = [{ name = "g" }]

[package.dev-dependencies]
dev = [{ name = "w" }]

[package.metadata]
requires-dist = [{ name = "a", extras = ["fast"], specifier = ">=1" }]

[[package]]
name = "a"
version = "1.0+local"
source = { registry = "https://i.example/simple" }
dependencies = [{ name = "b" }]
sdist = { url = "https://f.example/a-1.0%2Blocal.tar.gz#x", hash = "sha256:1111111111111111111111111111111111111111111111111111111111111111", size = 7, upload-time = "2025-01-01T00:00:00Z" }
wheels = [
    { url = "https://f.example/x/a-1.0+local-py3-none-any.whl", hash = "sha256:2222222222222222222222222222222222222222222222222222222222222222", size = 8 },
]

[package.optional-dependencies]
fast = [{ name = "c", marker = "platform_machine == 'x86_64'" }]

[[package]]
name = "b"
version = "1"
source = { registry = "https://i.example/simple" }
dependencies = [{ name = "a" }]

[[package]]
name = "c"
version = "1"
source = { registry = "https://i.example/simple" }

[[package]]
name = "g"
version = "1"
source = { git = "https://u:p@g.example/g?rev=main#0123" }

[[package]]
name = "n"
version = "1.0"
source = { registry = "https://i.example/simple" }

[[package]]
name = "n"
version = "2.0"
source = { registry = "https://i.example/simple" }

[[package]]
name = "w"
version = "1"
source = { path = "w-1-py3-none-any.whl" }
"#;

    fn selected(lock: &ForeignLock, python: &str, machine: &str, wanted: &Wanted) -> Vec<String> {
        let found = lock
            .select("uv.lock", &env(python, machine), wanted)
            .unwrap();
        let shown = found
            .iter()
            .map(|s| format!("{} {}", s.package.name, s.package.version.as_ref().unwrap()));
        shown.collect()
    }

    #[test]
    fn edges_markers_extras_and_forks_decide_what_an_environment_gets() {
        let lock = parse("uv.lock", TEXT.as_bytes()).unwrap();
        let plain = Wanted::default();
        assert_eq!(
            selected(&lock, "3.12", "x86_64", &plain),
            ["a 1.0+local", "b 1", "c 1", "n 2.0"]
        );
        assert_eq!(
            selected(&lock, "3.11", "aarch64", &plain),
            ["a 1.0+local", "b 1", "n 1.0"]
        );
        let more = Wanted {
            extras: BTreeSet::from(["ui".parse().unwrap()]),
            groups: BTreeSet::from(["dev".parse().unwrap()]),
        };
        let found = lock
            .select("uv.lock", &env("3.12", "x86_64"), &more)
            .unwrap();
        let direct: Vec<_> = found
            .iter()
            .filter_map(|s| s.package.direct.as_ref())
            .collect();
        assert_eq!(
            (direct[0].kind, direct[0].from.as_str()),
            ("git repository", "https://***@g.example/g?rev=main#0123")
        );
        assert_eq!(direct[1].kind, "file");
        let a = &found[0];
        assert_eq!(a.extras.len(), 1);
        assert_eq!(
            a.needed_by.iter().map(Name::as_str).collect::<Vec<_>>(),
            ["b"]
        );
        let names: Vec<_> = a.package.files.keys().collect();
        assert_eq!(
            names,
            ["a-1.0+local-py3-none-any.whl", "a-1.0+local.tar.gz"]
        );
        assert_eq!(a.package.files["a-1.0+local.tar.gz"].size, Some(7));
        let none = Wanted {
            extras: BTreeSet::from(["no".parse().unwrap()]),
            ..Wanted::default()
        };
        lock.select("uv.lock", &env("3.12", "x86_64"), &none)
            .unwrap_err();
    }

    #[test]
    fn workspaces_and_scripts_have_roots_too() {
        let member = TEXT
            .replace(
                "[options]",
                "[manifest]\nmembers = [\"app\", \"lib\"]\n[options]",
            )
            .replace("{ virtual = \".\" }", "{ editable = \"packages/app\" }");
        let lock = parse("uv.lock", member.as_bytes()).unwrap();
        assert_eq!(
            selected(&lock, "3.12", "x86_64", &Wanted::default()).len(),
            4
        );
        let script = "version = 1\n[manifest]\nrequirements = [{ name = \"c\", specifier = \">=1\" }]\n[[package]]\nname = \"c\"\nversion = \"1\"\nsource = { registry = \"https://i.example\" }\n";
        let lock = parse("uv.lock", script.as_bytes()).unwrap();
        assert_eq!(
            selected(&lock, "3.12", "x86_64", &Wanted::default()),
            ["c 1"]
        );
    }

    #[test]
    fn damaged_and_hostile_locks_are_refused() {
        for (from, to) in [
            ("version = 1\n", "version = 2\n"),
            ("name = \"a\"\n", "name = \"../a\"\n"),
            ("version = \"1.0+local\"", "version = \"1/0\""),
            ("version = \"1.0+local\"\n", ""),
            ("sha256:1111", "sha256:zz11"),
            ("a-1.0%2Blocal.tar.gz", "..%2Fa-1.0.tar.gz"),
            ("a-1.0%2Blocal.tar.gz", "b-1.0.tar.gz"),
            ("a-1.0%2Blocal.tar.gz", ""),
            (
                "marker = \"python_full_version < '3.12'\"",
                "marker = \"python_full_version <\"",
            ),
            ("[[package]]\nname = \"b\"", "[package]\nname = \"b\""),
            ("{ name = \"b\" }", "{ nom = \"b\" }"),
        ] {
            let bad = TEXT.replacen(from, to, 1);
            assert_ne!(bad, TEXT, "{from}");
            let error = parse("uv.lock", bad.as_bytes()).unwrap_err().to_string();
            assert!(
                error.starts_with("the lock file \"uv.lock\" cannot be used: "),
                "{error}"
            );
        }
        parse("uv.lock", &[0xff]).unwrap_err();
        let deep = format!(
            "version = 1\nx = {}{}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        parse("uv.lock", deep.as_bytes()).unwrap_err();
        let lost = TEXT.replace("[[package]]\nname = \"b\"", "[[package]]\nname = \"bb\"");
        let lock = parse("uv.lock", lost.as_bytes()).unwrap();
        let error = lock
            .select("uv.lock", &env("3.12", "x86_64"), &Wanted::default())
            .unwrap_err();
        assert!(
            error.to_string().ends_with("b is needed, but not in it"),
            "{error}"
        );
        let twice = TEXT.replace(", version = \"2.0\", source", ", source");
        let lock = parse("uv.lock", twice.as_bytes()).unwrap();
        lock.select("uv.lock", &env("3.12", "x86_64"), &Wanted::default())
            .unwrap_err();
    }
}
