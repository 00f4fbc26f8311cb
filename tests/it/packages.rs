//! A tiny npm world made of real tarballs: what the real `npm` installs in the tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stage::base::digest::{Digests, UpstreamChecksum};
use stage::base::package::{EcosystemId, ReleaseId};
use stage::base::platform::{Libc, Platform, Target};
use stage::eco::npm::records::{self, NpmDist, NpmRecords, NpmVersion};
use stage::lock::{Lock, LockedArtifact, LockedPackage, LockedRequirement};

/// A gzipped tar with these files below `package/`, all executable.
pub(crate) fn tarball(files: &[(&str, &str)]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        let path = format!("package/{path}");
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// One release: its version object, where it is placed, its tarball.
pub(crate) struct Release {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) record: NpmVersion,
    pub(crate) places: Vec<String>,
    pub(crate) platforms: Vec<Platform>,
    pub(crate) tarball: Option<Vec<u8>>,
}

impl Release {
    /// A carried release at `node_modules/<name>` with `package.json` made from name, version and `fields`.
    pub(crate) fn new(name: &str, version: &str, fields: Value, files: &[(&str, &str)]) -> Self {
        let mut manifest = json!({"name": name, "version": version});
        let map = manifest.as_object_mut().unwrap();
        map.extend(fields.as_object().unwrap().clone());
        let text = manifest.to_string();
        let mut all = vec![("package.json", text.as_str())];
        all.extend_from_slice(files);
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            record: record(&fields),
            places: vec![format!("1:node_modules/{name}")],
            platforms: vec![Platform::LinuxAmd64],
            tarball: Some(tarball(&all)),
        }
    }

    /// Part of the tree for other platforms only.
    pub(crate) fn elsewhere(mut self) -> Self {
        self.platforms = Vec::new();
        self
    }

    /// At another place.
    pub(crate) fn at(mut self, place: &str) -> Self {
        self.places = vec![place.to_owned()];
        self
    }

    /// Inside another tarball.
    pub(crate) fn bundled(mut self) -> Self {
        self.tarball = None;
        self
    }
}

fn record(fields: &Value) -> NpmVersion {
    let map = |key: &str| -> BTreeMap<String, String> {
        serde_json::from_value(fields.get(key).cloned().unwrap_or_else(|| json!({}))).unwrap()
    };
    let list = |key: &str| -> Vec<String> {
        serde_json::from_value(fields.get(key).cloned().unwrap_or_else(|| json!([]))).unwrap()
    };
    let scripts = map("scripts");
    NpmVersion {
        dependencies: map("dependencies"),
        optional_dependencies: map("optionalDependencies"),
        peer_dependencies: map("peerDependencies"),
        bundle_dependencies: list("bundleDependencies"),
        bin: map("bin"),
        engines: map("engines"),
        os: list("os"),
        cpu: list("cpu"),
        has_install_script: scripts.contains_key("postinstall"),
        scripts,
        license: fields
            .get("license")
            .and_then(Value::as_str)
            .map(str::to_owned),
        ..NpmVersion::default()
    }
}

/// A closure as lock, records and artifacts.
pub(crate) struct Closure {
    pub(crate) lock: Lock,
    pub(crate) records: Vec<u8>,
    /// Tarballs by the SHA-256 of their bytes.
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    pub(crate) artifacts: BTreeMap<String, Digests>,
}

impl Closure {
    pub(crate) fn new(requirements: &[&str], releases: Vec<Release>) -> Self {
        let mut closure = Self {
            lock: empty_lock(requirements),
            records: Vec::new(),
            blobs: BTreeMap::new(),
            artifacts: BTreeMap::new(),
        };
        let mut records = NpmRecords::default();
        for mut release in releases {
            let package = records.packages.entry(release.name.clone()).or_default();
            let mut artifacts = Vec::new();
            if let Some(bytes) = &release.tarball {
                let digests = Digests::of(bytes);
                let checksum = UpstreamChecksum::Sha512(digests.sha512);
                release.record.dist = Some(NpmDist {
                    integrity: Some(checksum.to_sri()),
                    ..NpmDist::default()
                });
                artifacts.push(artifact(&release.name, &release.version, checksum));
                if !release.platforms.is_empty() {
                    closure.artifacts.insert(digests.sha256.hex(), digests);
                    closure.blobs.insert(digests.sha256.hex(), bytes.clone());
                }
            }
            package
                .dist_tags
                .insert("latest".to_owned(), release.version.clone());
            closure.lock.packages.push(locked(&release, artifacts));
            package.versions.insert(release.version, release.record);
        }
        closure.records = records::write(&records);
        let digest = stage::base::digest::Digest::of(&closure.records);
        closure.lock.records.insert(EcosystemId::npm(), digest);
        closure.lock.sort();
        closure
    }
}

fn artifact(name: &str, version: &str, checksum: UpstreamChecksum) -> LockedArtifact {
    let file = format!("{}-{version}.tgz", name.rsplit('/').next().unwrap());
    LockedArtifact {
        path: format!("{name}/-/{file}"),
        file,
        checksum,
        upstream: "npm".to_owned(),
        size: None,
        evidence: None,
        gap: None,
    }
}

fn locked(release: &Release, artifacts: Vec<LockedArtifact>) -> LockedPackage {
    let bundled_in = if artifacts.is_empty() {
        vec![ReleaseId::new("claw", "1.0.0")]
    } else {
        Vec::new()
    };
    LockedPackage {
        ecosystem: EcosystemId::npm(),
        name: release.name.clone(),
        version: release.version.clone(),
        platforms: release.platforms.clone(),
        license: release.record.license.clone(),
        deprecated: None,
        install_script: release.record.has_install_script,
        bundled_in,
        places: release.places.clone(),
        dependencies: Vec::new(),
        artifacts,
    }
}

fn empty_lock(requirements: &[&str]) -> Lock {
    Lock {
        target: Target {
            platforms: vec![Platform::LinuxAmd64],
            libc: Libc::Glibc("2.36".to_owned()),
            python: None,
            node: None,
        },
        exclude_newer: None,
        inputs: Vec::new(),
        requirements: requirements
            .iter()
            .map(|spec| LockedRequirement {
                ecosystem: EcosystemId::npm(),
                install: 1,
                spec: (*spec).to_owned(),
            })
            .collect(),
        records: BTreeMap::new(),
        packages: Vec::new(),
        findings: Vec::new(),
    }
}

/// A scoped dependency twice (once as an alias), a nested other version, a package of another platform, a bundled copy,
/// a command, an install script.
pub(crate) fn claw() -> Closure {
    let inside = r#"{"name":"inside","version":"3.0.0"}"#;
    let app = json!({
        "license": "MIT",
        "dependencies": {"@scope/lib": "^1.0.0", "short": "npm:@scope/lib@^2.0.0", "inside": "^3.0.0"},
        "optionalDependencies": {"native-win32": "1.0.0"},
        "bundleDependencies": ["inside"],
        "bin": {"claw": "cli.js"},
        "scripts": {"postinstall": "node post.js"},
    });
    let files = [
        (
            "cli.js",
            "#!/usr/bin/env node\nconsole.log('claw', require('@scope/lib'), require('short'), require('inside'))\n",
        ),
        ("post.js", "require('fs').writeFileSync('ran', 'yes')\n"),
        ("node_modules/inside/package.json", inside),
        (
            "node_modules/inside/index.js",
            "module.exports = 'inside'\n",
        ),
    ];
    Closure::new(
        &["claw@^1"],
        vec![
            Release::new("claw", "1.0.0", app, &files),
            Release::new(
                "@scope/lib",
                "1.2.0",
                json!({}),
                &[("index.js", "module.exports = 'one'\n")],
            ),
            Release::new(
                "@scope/lib",
                "2.0.0",
                json!({}),
                &[("index.js", "module.exports = 'two'\n")],
            )
            .at("1:node_modules/short"),
            Release::new("native-win32", "1.0.0", json!({"os": ["win32"]}), &[]).elsewhere(),
            Release::new("inside", "3.0.0", json!({}), &[])
                .at("1:node_modules/claw/node_modules/inside")
                .bundled(),
        ],
    )
}

/// A directory of its own below the system's one for temporary files, removed when dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stage-it-{name}-{}", std::process::id()));
        if path.exists() {
            std::fs::remove_dir_all(&path).unwrap();
        }
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::fs::remove_dir_all(&self.0).is_err() {
            // Left for the system's own cleaning.
        }
    }
}
