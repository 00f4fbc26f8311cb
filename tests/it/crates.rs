//! A tiny registry of crates in memory, made of real `.crate` files: what resolves in the tests, and what the real
//! cargo installs.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stage::base::digest::{Digest, Digests, UpstreamChecksum};
use stage::base::package::EcosystemId;
use stage::base::platform::{Libc, Platform, Target};
use stage::eco::cargo::resolve::CargoRequest;
use stage::eco::cargo::{self, crate_path, index_path};
use stage::resolve::{Closure, ResolveError};
use stage::upstream::{Answer, Content, Request, SafeUrl, Upstream, UpstreamError, Want};

use crate::asked::Asked;

/// The source that cargo writes into lock files for the default registry.
pub(crate) fn source() -> String {
    format!("registry+{}", tame_index::CRATES_IO_INDEX)
}

/// One published version.
pub(crate) struct Crate {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Dependencies as the index has them.
    deps: Vec<Value>,
    /// Lines of `Cargo.toml` after `[package]`'s own.
    manifest: String,
    files: Vec<(&'static str, String)>,
    yanked: bool,
    pubtime: Option<&'static str>,
}

impl Crate {
    pub(crate) fn new(name: &'static str, version: &'static str) -> Self {
        Self {
            name,
            version,
            deps: Vec::new(),
            manifest: String::new(),
            files: vec![("src/lib.rs", "pub fn say() -> u32 { 1 }\n".to_owned())],
            yanked: false,
            pubtime: Some("2026-01-01T00:00:00Z"),
        }
    }

    pub(crate) fn file(mut self, path: &'static str, text: impl Into<String>) -> Self {
        self.files.retain(|(known, _)| *known != path);
        self.files.push((path, text.into()));
        self
    }

    /// A dependency in the index and in `Cargo.toml`; `target` is a `cfg(…)`.
    pub(crate) fn needs(mut self, name: &str, req: &str, kind: &str, target: Option<&str>) -> Self {
        self.deps.push(
            json!({"name": name, "req": req, "features": [], "optional": false,
            "default_features": true, "target": target, "kind": kind}),
        );
        let table = match kind {
            "build" => "build-dependencies",
            "dev" => "dev-dependencies",
            _ => "dependencies",
        };
        let within = target.map_or_else(String::new, |t| format!("target.'{t}'."));
        let line = format!("[{within}{table}.{name}]\nversion = \"{req}\"\n");
        self.manifest.push_str(&line);
        self
    }

    /// Further lines of its `Cargo.toml`.
    pub(crate) fn says(mut self, lines: &str) -> Self {
        self.manifest.push_str(lines);
        self
    }

    pub(crate) fn yanked(mut self) -> Self {
        self.yanked = true;
        self
    }

    pub(crate) fn published(mut self, time: Option<&'static str>) -> Self {
        self.pubtime = time;
        self
    }

    /// The bytes of its `.crate` file.
    pub(crate) fn pack(&self) -> Vec<u8> {
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        let manifest = format!(
            "[package]\nname = \"{}\"\nversion = \"{}\"\nedition = \"2021\"\nlicense = \"MIT\"\n{}",
            self.name, self.version, self.manifest
        );
        let all = self.files.iter().map(|(path, text)| (*path, text.as_str()));
        for (path, text) in [("Cargo.toml", manifest.as_str())].into_iter().chain(all) {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            let path = format!("{}-{}/{path}", self.name, self.version);
            tar.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    /// Its line in the index.
    pub(crate) fn line(&self) -> String {
        let sum = Digest::of(&self.pack()).hex();
        json!({"name": self.name, "vers": self.version, "deps": self.deps, "cksum": sum, "features": {},
            "yanked": self.yanked, "links": null, "pubtime": self.pubtime})
        .to_string()
    }

    /// Its entry in a `Cargo.lock`.
    pub(crate) fn locked(&self, dependencies: &[&str]) -> String {
        let sum = Digest::of(&self.pack()).hex();
        let list: Vec<String> = dependencies
            .iter()
            .map(|d| format!(" \"{d}\",\n"))
            .collect();
        let edges = if list.is_empty() {
            String::new()
        } else {
            format!("dependencies = [\n{}]\n", list.concat())
        };
        format!(
            "[[package]]\nname = \"{}\"\nversion = \"{}\"\nsource = \"{}\"\nchecksum = \"{sum}\"\n{edges}\n",
            self.name,
            self.version,
            source()
        )
    }
}

/// The registry, which answers in an order that `seed` decides.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    open: Vec<Request>,
    pub(crate) seed: u64,
}

impl Registry {
    pub(crate) fn new(crates: &[&Crate]) -> Self {
        let mut registry = Self::default();
        let config = json!({"dl": "https://dl.example/crates"}).to_string();
        registry
            .files
            .insert("config.json".to_owned(), config.into_bytes());
        for one in crates {
            let index = registry.files.entry(index_path(one.name)).or_default();
            index.extend(format!("{}\n", one.line()).bytes());
            let id = stage::base::package::ReleaseId::new(one.name, one.version);
            registry.files.insert(crate_path(&id), one.pack());
        }
        registry
    }

    /// The bytes of every crate by SHA-256.
    pub(crate) fn blobs(&self) -> BTreeMap<String, Vec<u8>> {
        let crates = self
            .files
            .iter()
            .filter(|(path, _)| path.rsplit_once('.').is_some_and(|(_, end)| end == "crate"));
        crates
            .map(|(_, bytes)| (Digest::of(bytes).hex(), bytes.clone()))
            .collect()
    }

    /// Resolves what the manifest would say.
    pub(crate) fn resolve(&mut self, request: CargoRequest) -> Result<Closure, ResolveError> {
        let (target, exclude_newer) = (request.target.clone(), request.exclude_newer);
        let asked = Asked {
            ecosystem: EcosystemId::cargo(),
            requirements: request.packages.clone(),
            request,
            make: cargo::resolve::resolver,
        };
        asked.resolve(target, exclude_newer, self)
    }
}

/// A request for these crates, for both platforms.
pub(crate) fn request(packages: &[&str]) -> CargoRequest {
    CargoRequest {
        number: 1,
        packages: packages.iter().map(|p| (*p).to_owned()).collect(),
        prefer: stage::eco::preference::Preference::none(),
        lockfile: None,
        target: Target {
            platforms: Platform::ALL.to_vec(),
            libc: Libc::Glibc("2.36".to_owned()),
            python: None,
            node: None,
        },
        exclude_newer: None,
    }
}

impl Upstream for Registry {
    fn submit(&mut self, request: Request) {
        self.open.push(request);
    }

    fn next_answer(&mut self) -> Option<(Request, Answer)> {
        if self.open.is_empty() {
            return None;
        }
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(self.seed >> 33).unwrap() % self.open.len();
        let request = self.open.remove(at);
        let url = format!("https://crates.example/{}", request.path);
        let url = SafeUrl::new(url.parse().unwrap());
        if let Some(link) = &request.link {
            assert_eq!(link.page, "config.json");
            assert!(
                link.href.starts_with("https://dl.example/crates/"),
                "{link:?}"
            );
        }
        let answer = match (self.files.get(&request.path), &request.want) {
            (None, _) => Err(UpstreamError::NotFound { url }),
            (Some(bytes), Want::Artifact(UpstreamChecksum::Sha256(sum))) => {
                assert_eq!(Digest::of(bytes), *sum, "{}", request.path);
                Ok(Content::Artifact(Box::new(std::io::Cursor::new(
                    bytes.clone(),
                ))))
            }
            (Some(bytes), _) => Ok(Content::Document(bytes.clone())),
        };
        Some((request, answer))
    }
}

/// A program with a library, a build dependency, another version of the library, and a crate for another system.
pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) lockfile: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let lib = Crate::new("tiny-lib", "0.1.0+one");
        let newer =
            Crate::new("tiny-lib", "0.2.0").file("src/lib.rs", "pub fn say() -> u32 { 2 }\n");
        let other = Crate::new("Tiny_Win", "0.3.0").needs("tiny-lib", "^0.1", "normal", None);
        let build = Crate::new("t3b", "1.0.0")
            .needs("tiny-lib", "^0.2", "normal", None)
            .file(
                "src/lib.rs",
                "pub fn say() -> u32 { tiny_lib::say() + 1 }\n",
            );
        let lockfile = format!(
            "# This file is automatically @generated by Cargo.\n# It is not intended for manual editing.\nversion = 4\n\n{}{}{}{}{}",
            other.locked(&["tiny-lib 0.1.0+one"]),
            build.locked(&["tiny-lib 0.2.0"]),
            "[[package]]\nname = \"tiny-app\"\nversion = \"1.0.0\"\ndependencies = [\n \"Tiny_Win\",\n \"t3b\",\n \"tiny-lib 0.1.0+one\",\n]\n\n",
            lib.locked(&[]),
            newer.locked(&[]),
        );
        let app = Crate::new("tiny-app", "1.0.0")
            .needs("tiny-lib", "^0.1", "normal", None)
            .needs("t3b", "^1", "build", None)
            .needs("Tiny_Win", "^0.3", "normal", Some("cfg(windows)"))
            .file(
                "src/main.rs",
                "fn main() { println!(\"tiny {} {}\", tiny_lib::say(), env!(\"BUILT\")); }\n",
            )
            .file(
                "build.rs",
                "fn main() { println!(\"cargo:rustc-env=BUILT={}\", t3b::say()); }\n",
            )
            .file("Cargo.lock", lockfile.clone());
        let bare = Crate::new("bare", "1.0.0");
        let all = [&lib, &newer, &other, &build, &app, &bare];
        Self {
            registry: Registry::new(&all),
            lockfile,
        }
    }
}

/// Digests of every blob, as an imported bundle has them.
pub(crate) fn artifacts(blobs: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Digests> {
    blobs
        .iter()
        .map(|(hex, bytes)| (hex.clone(), Digests::of(bytes)))
        .collect()
}
