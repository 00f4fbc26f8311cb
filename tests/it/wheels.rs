//! A tiny world of Python packages made of real wheels, with the lock and the records that a resolver would write: what
//! the real pip and uv install in the tests.

use std::collections::BTreeMap;
use std::io::Write as _;

use stage::base::digest::{Digest, Digests, UpstreamChecksum};
use stage::base::package::EcosystemId;
use stage::base::platform::{Libc, Platform, Target};
use stage::base::time::Timestamp;
use stage::eco::BundleView;
use stage::eco::pypi::records::{self, PypiFile, PypiRecords};
use stage::lock::{Lock, LockedArtifact, LockedPackage, LockedRequirement};

/// One file of a release.
#[derive(Clone)]
pub(crate) struct Wheel {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Build tag and tags: the end of the file name, such as `py3-none-any`.
    tags: &'static str,
    /// Headers of `METADATA` after name and version.
    headers: String,
    /// Text of the only module.
    module: String,
    places: Vec<&'static str>,
    yanked: Option<&'static str>,
    without_size: bool,
    without_metadata: bool,
    ready: Option<Vec<u8>>,
}

impl Wheel {
    /// A wheel whose bytes are there, with nothing but its digest in the index.
    pub(crate) fn ready(name: &'static str, version: &'static str, bytes: Vec<u8>) -> Self {
        Self {
            ready: Some(bytes),
            ..Self::new(name, version).bare()
        }
    }

    pub(crate) fn new(name: &'static str, version: &'static str) -> Self {
        Self {
            name,
            version,
            tags: "py3-none-any",
            headers: String::new(),
            module: format!("VERSION = {version:?}\n"),
            places: Vec::new(),
            yanked: None,
            without_size: false,
            without_metadata: false,
            ready: None,
        }
    }

    pub(crate) fn tags(mut self, tags: &'static str) -> Self {
        self.tags = tags;
        self
    }

    pub(crate) fn header(mut self, line: &str) -> Self {
        self.headers.extend([line, "\n"]);
        self
    }

    pub(crate) fn module(mut self, text: &str) -> Self {
        text.clone_into(&mut self.module);
        self
    }

    /// In these environments, written `<install>:<platform>`.
    pub(crate) fn at(mut self, places: &[&'static str]) -> Self {
        self.places = places.to_vec();
        self
    }

    pub(crate) fn yanked(mut self, reason: &'static str) -> Self {
        self.yanked = Some(reason);
        self
    }

    /// With nothing but a digest in the index.
    pub(crate) fn bare(mut self) -> Self {
        self.without_size = true;
        self.without_metadata = true;
        self
    }

    /// The name in file names.
    fn stem(&self) -> String {
        let name = self.name.to_lowercase().replace(['-', '.'], "_");
        format!("{name}-{}", self.version)
    }

    pub(crate) fn normalized(&self) -> String {
        self.name.to_lowercase().replace(['_', '.'], "-")
    }

    pub(crate) fn file(&self) -> String {
        format!("{}-{}.whl", self.stem(), self.tags)
    }

    pub(crate) fn metadata(&self) -> String {
        let (name, version, headers) = (self.name, self.version, &self.headers);
        format!(
            "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{headers}\nAbout {name}.\n"
        )
    }

    /// The bytes of the wheel.
    pub(crate) fn pack(&self) -> Vec<u8> {
        if let Some(bytes) = &self.ready {
            return bytes.clone();
        }
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated);
        let module = self.name.to_lowercase().replace(['-', '.'], "_");
        let info = format!("{}.dist-info", self.stem());
        let wheel = format!(
            "Wheel-Version: 1.0\nGenerator: it\nRoot-Is-Purelib: true\nTag: {}\n",
            self.tags
        );
        let record = format!("{module}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n");
        for (path, text) in [
            (format!("{module}.py"), self.module.as_str()),
            (format!("{info}/METADATA"), &self.metadata()),
            (format!("{info}/WHEEL"), &wheel),
            (format!("{info}/RECORD"), &record),
        ] {
            zip.start_file(path, options).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn requires_python(&self) -> Option<String> {
        let line = self
            .headers
            .lines()
            .find_map(|l| l.strip_prefix("Requires-Python: "));
        line.map(str::to_owned)
    }
}

/// An imported bundle of wheels.
pub(crate) struct Shelf {
    pub(crate) lock: Lock,
    pub(crate) records: Vec<u8>,
    artifacts: BTreeMap<String, Digests>,
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
}

impl Shelf {
    pub(crate) fn new(wheels: &[Wheel]) -> Self {
        let mut records = PypiRecords::default();
        let mut packages: BTreeMap<(String, String), LockedPackage> = BTreeMap::new();
        let (mut artifacts, mut blobs) = (BTreeMap::new(), BTreeMap::new());
        for wheel in wheels {
            let bytes = wheel.pack();
            let digest = Digest::of(&bytes);
            let mut file = PypiFile::new(digest);
            file.requires_python = wheel.requires_python();
            file.yanked = wheel.yanked.map(str::to_owned);
            file.size = (!wheel.without_size).then_some(bytes.len() as u64);
            if !wheel.without_metadata {
                file.metadata = Some(records.keep_metadata(&wheel.metadata()));
            }
            let name = wheel.normalized();
            let versions = records.projects.entry(name.parse().unwrap()).or_default();
            let release = versions.entry(wheel.version.to_owned()).or_default();
            release.files.insert(wheel.file(), file);
            let key = (name.clone(), wheel.version.to_owned());
            let package = packages.entry(key).or_insert_with(|| package(wheel));
            package.artifacts.push(LockedArtifact {
                file: wheel.file(),
                checksum: UpstreamChecksum::Sha256(digest),
                upstream: "pypi".to_owned(),
                path: format!("{name}/{}", wheel.file()),
                size: None,
                evidence: None,
                gap: None,
            });
            artifacts.insert(digest.hex(), Digests::of(&bytes));
            blobs.insert(digest.hex(), bytes);
        }
        let mut lock = Lock {
            target: target(),
            exclude_newer: None,
            requirements: vec![LockedRequirement {
                ecosystem: EcosystemId::pypi(),
                install: 1,
                spec: "app".to_owned(),
            }],
            inputs: Vec::new(),
            records: BTreeMap::new(),
            packages: packages.into_values().collect(),
            findings: Vec::new(),
        };
        lock.sort();
        let records = records::write(&records);
        lock.records
            .insert(EcosystemId::pypi(), Digest::of(&records));
        Self {
            lock,
            records,
            artifacts,
            blobs,
        }
    }

    /// As rendering sees it.
    pub(crate) fn view(&self, serial: u64) -> BundleView<'_> {
        BundleView {
            channel: "python",
            epoch: 1,
            serial,
            created: "2026-11-01T00:00:00Z".parse::<Timestamp>().unwrap(),
            lock: &self.lock,
            records: &self.records,
            artifacts: &self.artifacts,
        }
    }

    /// The bytes of a blob.
    pub(crate) fn blob(&self, digest: &Digest) -> Option<&Vec<u8>> {
        self.blobs.get(&digest.hex())
    }

    /// As if its files had been lost on the way.
    pub(crate) fn lose_files(&mut self) {
        self.artifacts.clear();
    }
}

fn package(wheel: &Wheel) -> LockedPackage {
    LockedPackage {
        ecosystem: EcosystemId::pypi(),
        name: wheel.normalized(),
        version: wheel.version.to_owned(),
        platforms: Platform::ALL.to_vec(),
        license: None,
        deprecated: None,
        install_script: false,
        bundled_in: Vec::new(),
        places: wheel
            .places
            .iter()
            .map(|place| (*place).to_owned())
            .collect(),
        dependencies: Vec::new(),
        artifacts: Vec::new(),
    }
}

fn target() -> Target {
    Target {
        platforms: Platform::ALL.to_vec(),
        libc: Libc::Glibc("2.36".to_owned()),
        python: None,
        node: None,
    }
}

/// What the tests install: an application with an extra, a library in several versions, and wheels per machine.
pub(crate) fn world() -> Vec<Wheel> {
    let both = &["1:linux/amd64", "1:linux/arm64"];
    vec![
        Wheel::new("App", "1.0")
            .header("Requires-Python: >=3.8")
            .header("Requires-Dist: lib>=1")
            .header("Requires-Dist: Zope.Thing==1.0+local.1 ; extra == 'fast'")
            .header("Provides-Extra: fast")
            .header("License-Expression: MIT")
            .module("import lib, zope_thing\nprint('app', lib.VERSION, zope_thing.VERSION)\n")
            .at(both),
        Wheel::new("lib", "1.0").at(both),
        Wheel::new("lib", "2.0").yanked("broken & \"bad\" <b>"),
        Wheel::new("lib", "3.0").header("Requires-Python: >=4,<5"),
        Wheel::new("Zope.Thing", "1.0+local.1").at(both),
        Wheel::new("plat", "1.0")
            .tags("py3-none-manylinux2014_x86_64")
            .at(both),
        Wheel::new("plat", "1.0")
            .tags("py3-none-manylinux2014_aarch64")
            .at(both),
    ]
}
