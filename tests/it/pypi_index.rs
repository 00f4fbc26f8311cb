//! A simple index in memory, made of real wheels and source distributions: what resolves in the tests.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde_json::{Value, json};
use stage::base::digest::{Digest, UpstreamChecksum};
use stage::base::package::EcosystemId;
use stage::base::platform::{Libc, Platform, Target};
use stage::eco::pypi::request::{PypiRequest, PypiRequirement};
use stage::eco::pypi::resolve as pypi;
use stage::resolve::{Closure, ResolveError};
use stage::upstream::{Answer, Content, Part, Request, SafeUrl, Upstream, UpstreamError, Want};

use crate::asked::Asked;

/// One file of a release.
#[derive(Clone)]
pub(crate) struct Dist {
    name: &'static str,
    version: &'static str,
    /// End of a wheel's name, or `sdist`.
    tags: &'static str,
    headers: String,
    python: Option<&'static str>,
    yanked: Option<&'static str>,
    time: Option<&'static str>,
    /// `pyproject.toml` of an sdist, and the version of its metadata format.
    pyproject: Option<&'static str>,
    format: &'static str,
}

impl Dist {
    pub(crate) fn new(name: &'static str, version: &'static str) -> Self {
        Self {
            name,
            version,
            tags: "py3-none-any",
            headers: String::new(),
            python: None,
            yanked: None,
            time: Some("2026-01-01T00:00:00.5Z"),
            pyproject: None,
            format: "2.1",
        }
    }

    /// Sources, whose metadata has this format.
    pub(crate) fn sdist(name: &'static str, version: &'static str, format: &'static str) -> Self {
        Self {
            tags: "sdist",
            format,
            ..Self::new(name, version)
        }
    }

    pub(crate) fn tags(mut self, tags: &'static str) -> Self {
        self.tags = tags;
        self
    }

    pub(crate) fn needs(mut self, requirement: &str) -> Self {
        self.headers.extend(["Requires-Dist: ", requirement, "\n"]);
        self
    }

    pub(crate) fn python(mut self, specifiers: &'static str) -> Self {
        self.python = Some(specifiers);
        self
    }

    pub(crate) fn yanked(mut self, reason: &'static str) -> Self {
        self.yanked = Some(reason);
        self
    }

    pub(crate) fn at(mut self, time: Option<&'static str>) -> Self {
        self.time = time;
        self
    }

    pub(crate) fn pyproject(mut self, text: &'static str) -> Self {
        self.pyproject = Some(text);
        self
    }

    pub(crate) fn file(&self) -> String {
        let stem = format!("{}-{}", self.name.replace('-', "_"), self.version);
        match self.tags {
            "sdist" => format!("{stem}.tar.gz"),
            tags => format!("{stem}-{tags}.whl"),
        }
    }

    pub(crate) fn metadata(&self) -> String {
        let (format, name, version, headers) =
            (self.format, self.name, self.version, &self.headers);
        format!(
            "Metadata-Version: {format}\nName: {name}\nVersion: {version}\nLicense: MIT\n{headers}\n"
        )
    }

    pub(crate) fn pack(&self) -> Vec<u8> {
        let stem = format!("{}-{}", self.name.replace('-', "_"), self.version);
        if self.tags == "sdist" {
            let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            let mut tar = tar::Builder::new(gzip);
            let (info, pyproject) = (self.metadata(), self.pyproject.unwrap_or_default());
            for (path, text) in [("PKG-INFO", info.as_str()), ("pyproject.toml", pyproject)] {
                let mut header = tar::Header::new_gnu();
                header.set_size(text.len() as u64);
                header.set_mode(0o644);
                let path = format!("{stem}/{path}");
                tar.append_data(&mut header, path, text.as_bytes()).unwrap();
            }
            return tar.into_inner().unwrap().finish().unwrap();
        }
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let stored = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        let metadata = self.metadata();
        // Larger than the part that is asked for first.
        let filling = "x".repeat(200_000);
        for (path, text) in [
            (format!("{stem}.dist-info/METADATA"), metadata.as_str()),
            ("module.py".to_owned(), filling.as_str()),
        ] {
            zip.start_file(path, stored).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn listed(&self, index: &Index) -> Value {
        let bytes = self.pack();
        let sum = json!({"sha256": Digest::of(&bytes).hex()});
        let mut file = json!({
            "filename": self.file(),
            "url": format!("../../files/{}", self.file()),
            "hashes": sum,
            "size": bytes.len(),
            "yanked": self.yanked.map_or(json!(false), |reason| json!(reason)),
        });
        if let Some(python) = self.python {
            file["requires-python"] = json!(python);
        }
        if let Some(time) = self.time {
            file["upload-time"] = json!(time);
        }
        if index.has_metadata && self.tags != "sdist" {
            let sum = Digest::of(self.metadata().as_bytes()).hex();
            file["core-metadata"] = json!({"sha256": sum});
        }
        file
    }
}

/// The index, which answers in an order that `seed` decides.
#[derive(Default)]
pub(crate) struct Index {
    /// Pages by path.
    pub(crate) pages: BTreeMap<String, Vec<u8>>,
    /// Files by name.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Whether it sends parts of files.
    pub(crate) has_ranges: bool,
    /// Whether it has metadata apart from its wheels.
    pub(crate) has_metadata: bool,
    pub(crate) seed: u64,
    pub(crate) asked: Vec<String>,
    open: Vec<Request>,
}

impl Index {
    pub(crate) fn new(dists: &[Dist]) -> Self {
        let mut index = Self {
            has_ranges: true,
            has_metadata: true,
            ..Self::default()
        };
        index.fill(dists);
        index
    }

    pub(crate) fn fill(&mut self, dists: &[Dist]) {
        let mut listed: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for dist in dists {
            let of_project = listed.entry(format!("{}/", dist.name)).or_default();
            of_project.push(dist.listed(self));
            self.files.insert(dist.file(), dist.pack());
            let metadata = dist.metadata().into_bytes();
            self.files
                .insert(format!("{}.metadata", dist.file()), metadata);
        }
        for (path, files) in listed {
            let page = json!({"meta": {"api-version": "1.1"}, "name": "x", "files": files});
            self.pages.insert(path, page.to_string().into_bytes());
        }
    }

    /// Resolves what the manifest would say.
    pub(crate) fn resolve(&mut self, request: PypiRequest) -> Result<Closure, ResolveError> {
        let (target, exclude_newer) = (request.target.clone(), request.exclude_newer);
        let asked = Asked {
            ecosystem: EcosystemId::pypi(),
            requirements: request
                .requirements
                .iter()
                .map(|r| r.spec.clone())
                .collect(),
            request,
            make: pypi::resolver,
        };
        asked.resolve(target, exclude_newer, self)
    }
}

/// A host with Python 3.12 and glibc 2.36.
pub(crate) fn target(platforms: &[Platform]) -> Target {
    Target {
        platforms: platforms.to_vec(),
        libc: Libc::Glibc("2.36".to_owned()),
        python: Some("3.12".to_owned()),
        node: None,
    }
}

/// A request for these requirements, for linux/amd64.
pub(crate) fn request(specs: &[&str]) -> PypiRequest {
    let mut request = PypiRequest::new(1, target(&[Platform::LinuxAmd64]));
    let wanted = |spec: &&str| PypiRequirement {
        spec: (*spec).to_owned(),
        platforms: Vec::new(),
    };
    request.requirements = specs.iter().map(wanted).collect();
    request
}

impl Upstream for Index {
    fn submit(&mut self, request: Request) {
        self.asked
            .push(format!("{} {:?}", request.path, request.want));
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
        let url = format!("https://pypi.example/simple/{}", request.path);
        let url = SafeUrl::new(url.parse().unwrap());
        let missing = || Err(UpstreamError::NotFound { url: url.clone() });
        let file = request.link.as_ref().map(|link| {
            assert!(request.path.starts_with(&link.page), "{link:?}");
            link.href.rsplit('/').next().unwrap().to_owned()
        });
        let answer = match (&file, &request.want) {
            (None, _) => match self.pages.get(&request.path) {
                Some(page) => Ok(Content::Document(page.clone())),
                None => missing(),
            },
            (Some(file), want) => match (self.files.get(file), want) {
                (None, _) => missing(),
                (Some(bytes), Want::Artifact(UpstreamChecksum::Sha256(sum))) => {
                    assert_eq!(Digest::of(bytes), *sum, "{file}");
                    let source = std::io::Cursor::new(bytes.clone());
                    Ok(Content::Artifact(Box::new(source)))
                }
                (Some(_), Want::Part(_)) if !self.has_ranges => {
                    Err(UpstreamError::NoRanges { url })
                }
                (Some(bytes), Want::Part(part)) => Ok(cut(bytes, *part)),
                (Some(bytes), _) => Ok(Content::Document(bytes.clone())),
            },
        };
        Some((request, answer))
    }
}

fn cut(bytes: &[u8], part: Part) -> Content {
    let total = bytes.len();
    let (first, length) = match part {
        Part::Last(length) => {
            let length = usize::try_from(length).unwrap().min(total);
            (total - length, length)
        }
        Part::From { first, length } => {
            let first = usize::try_from(first).unwrap();
            (first, usize::try_from(length).unwrap().min(total - first))
        }
    };
    Content::Part {
        bytes: bytes[first..first + length].to_vec(),
        first: first as u64,
        total: total as u64,
    }
}
