//! The npm registry of the internal repository, as files: `npm/<name>/index.html` holds the packument (JSON), tarballs
//! stand at their canonical `npm/<name>/-/<file>.tgz`. Everything comes from verified records; no archive is opened.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::base::digest::{Digest, Digests, UpstreamChecksum};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::eco::npm::records::{self, NpmDist, NpmPackage, NpmRecords, NpmVersion};
use crate::eco::{BundleView, ClientFile, EcoError, RepoContent, RepoFile, RepoView};
use crate::lock::{Lock, LockedArtifact, LockedPackage};

/// The registry tree for the union of bundles. Versions are merged by name; where two bundles describe the same
/// version or tag, the newer bundle wins. The same file with other bytes is [`EcoError::Conflict`].
pub fn render(view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError> {
    let mut union = Union::default();
    for bundle in view.bundles {
        union.add(bundle)?;
    }
    let mut files = Vec::new();
    for (name, package) in &union.packages {
        let Some(packument) = union.packument(name, package, view.base_url) else {
            continue;
        };
        files.push(RepoFile {
            path: format!("npm/{name}/index.html"),
            content: RepoContent::Bytes(crate::base::json::canonical(&packument)),
        });
    }
    for ((name, file), tarball) in union.tarballs {
        files.push(RepoFile {
            path: format!("npm/{name}/-/{file}"),
            content: RepoContent::Blob(tarball.digest),
        });
    }
    Ok(files)
}

/// `.npmrc` for a repository at `base_url`.
pub fn client_files(base_url: &str) -> Vec<ClientFile> {
    let mut text =
        format!("registry={base_url}/npm/\naudit=false\nfund=false\nupdate-notifier=false\n");
    if base_url.starts_with("https:") {
        text.push_str(
            "# When the repository's certificate comes from a private CA, name its PEM file:\n\
             # cafile=/etc/ssl/certs/ca-certificates.crt\n",
        );
    }
    vec![ClientFile {
        client: "npm".to_owned(),
        path: ".npmrc".to_owned(),
        text,
    }]
}

/// Address of a release's tarball below the repository.
pub fn tarball_url(base_url: &str, name: &str, file: &str) -> String {
    format!("{base_url}/npm/{name}/-/{file}")
}

/// File name of a release's tarball: the lock's, else the canonical one.
pub fn tarball_file(package: Option<&LockedPackage>, release: &ReleaseId) -> String {
    match package.and_then(|p| p.artifacts.first()) {
        Some(artifact) => artifact.file.clone(),
        None => format!(
            "{}-{}.tgz",
            super::base_name(&release.name),
            release.version
        ),
    }
}

/// The npm packages of a lock by name and version.
pub fn by_release(lock: &Lock) -> BTreeMap<(&str, &str), &LockedPackage> {
    let npm = EcosystemId::npm();
    lock.packages
        .iter()
        .filter(|p| p.ecosystem == npm)
        .map(|p| ((p.name.as_str(), p.version.as_str()), p))
        .collect()
}

/// The blob of an artifact among those of its bundle.
pub fn blob_of(
    artifact: &LockedArtifact,
    artifacts: &BTreeMap<String, Digests>,
    index: &BTreeMap<crate::base::digest::Sha512, Digest>,
) -> Option<Digest> {
    match &artifact.checksum {
        UpstreamChecksum::Sha512(sum) => index.get(sum).copied(),
        UpstreamChecksum::Sha256(sum) => artifacts.contains_key(&sum.hex()).then_some(*sum),
        UpstreamChecksum::Sha1(_) => None,
    }
}

/// Blobs by the SHA-512 that npm's `integrity` states.
pub fn by_sha512(
    artifacts: &BTreeMap<String, Digests>,
) -> BTreeMap<crate::base::digest::Sha512, Digest> {
    artifacts.values().map(|d| (d.sha512, d.sha256)).collect()
}

/// A tarball and the bundle that brought it first.
struct Tarball {
    digest: Digest,
    from: String,
}

/// One version with the file name of its tarball.
struct Version {
    record: NpmVersion,
    file: String,
    from: String,
}

#[derive(Default)]
struct Package {
    tags: BTreeMap<String, String>,
    versions: BTreeMap<String, Version>,
    /// The version that the newest bundle's requirements lead to.
    asked: Option<String>,
}

#[derive(Default)]
struct Union {
    packages: BTreeMap<String, Package>,
    tarballs: BTreeMap<(String, String), Tarball>,
}

impl Union {
    fn add(&mut self, bundle: &BundleView<'_>) -> Result<(), EcoError> {
        if bundle.records.is_empty() {
            return Ok(());
        }
        let NpmRecords { packages, .. } = records::parse(bundle.records)?;
        let from = format!("{} {}", bundle.channel, bundle.serial);
        let locked = by_release(bundle.lock);
        for (name, record) in packages {
            self.add_package(&name, record, &locked, &from)?;
        }
        let index = by_sha512(bundle.artifacts);
        for package in locked.values().filter(|p| p.is_carried()) {
            for artifact in &package.artifacts {
                let blob = blob_of(artifact, bundle.artifacts, &index);
                let digest = blob.ok_or_else(|| missing(package))?;
                self.add_tarball(&package.name, &artifact.file, digest, &from)?;
            }
        }
        self.note_asked(bundle.lock);
        Ok(())
    }

    fn add_package(
        &mut self,
        name: &str,
        record: NpmPackage,
        locked: &BTreeMap<(&str, &str), &LockedPackage>,
        from: &str,
    ) -> Result<(), EcoError> {
        let package = self.packages.entry(name.to_owned()).or_default();
        package.tags.extend(record.dist_tags);
        for (number, record) in record.versions {
            if record.dist.is_none() {
                continue;
            }
            let release = ReleaseId::new(name, &number);
            let known = locked.get(&(name, number.as_str())).copied();
            let new = Version {
                file: tarball_file(known, &release),
                record,
                from: from.to_owned(),
            };
            check_file_name(&new.file)?;
            if let Some(old) = package.versions.get(&number)
                && integrity(&old.record) != integrity(&new.record)
            {
                return Err(conflict(name, &new.file, &old.from, from));
            }
            package.versions.insert(number, new);
        }
        Ok(())
    }

    fn add_tarball(
        &mut self,
        name: &str,
        file: &str,
        digest: Digest,
        from: &str,
    ) -> Result<(), EcoError> {
        check_file_name(file)?;
        let key = (name.to_owned(), file.to_owned());
        let tarball = self.tarballs.entry(key).or_insert_with(|| Tarball {
            digest,
            from: from.to_owned(),
        });
        if tarball.digest == digest {
            Ok(())
        } else {
            Err(conflict(name, file, &tarball.from, from))
        }
    }

    fn note_asked(&mut self, lock: &Lock) {
        let npm = EcosystemId::npm();
        for requirement in lock.requirements.iter().filter(|r| r.ecosystem == npm) {
            let Some((folder, _range)) = super::split_requirement(&requirement.spec) else {
                continue;
            };
            let place = format!("{}:node_modules/{folder}", requirement.install);
            for found in lock.of(&npm).filter(|p| p.places.contains(&place)) {
                if let Some(package) = self.packages.get_mut(&found.name) {
                    package.asked = Some(found.version.clone());
                }
            }
        }
    }

    fn packument(&self, name: &str, package: &Package, base_url: &str) -> Option<Value> {
        let carried = |version: &Version| {
            self.tarballs
                .contains_key(&(name.to_owned(), version.file.clone()))
        };
        let mut tags: BTreeMap<&str, &str> = package
            .tags
            .iter()
            .filter(|(_, to)| package.versions.contains_key(*to))
            .map(|(tag, to)| (tag.as_str(), to.as_str()))
            .collect();
        if !tags.contains_key("latest") {
            tags.insert("latest", latest(package, carried)?);
        }
        let mut versions = Map::new();
        let mut times = Map::new();
        for (number, version) in &package.versions {
            let url = tarball_url(base_url, name, &version.file);
            versions.insert(number.clone(), version_object(name, number, version, &url));
            if let Some(time) = &version.record.time {
                times.insert(number.clone(), time.as_str().into());
            }
        }
        let mut packument = json!({"name": name, "dist-tags": tags, "versions": versions});
        if let Value::Object(map) = &mut packument
            && !times.is_empty()
        {
            map.insert("time".to_owned(), times.into());
        }
        Some(packument)
    }
}

/// The version that `latest` means when the upstream's own is not here: the carried one that was asked for, else the
/// highest carried, else the highest.
fn latest(package: &Package, carried: impl Fn(&Version) -> bool) -> Option<&str> {
    let asked = package
        .asked
        .as_ref()
        .and_then(|asked| package.versions.get_key_value(asked))
        .filter(|(_, v)| carried(v))
        .map(|(number, _)| number.as_str());
    let highest = |only_carried: bool| {
        package
            .versions
            .iter()
            .filter(|(_, v)| !only_carried || carried(v))
            .map(|(number, _)| number.as_str())
            .max_by(|a, b| version_order(a, b))
    };
    asked.or_else(|| highest(true)).or_else(|| highest(false))
}

/// The version object, in npm's own field names.
fn version_object(name: &str, number: &str, version: &Version, tarball: &str) -> Value {
    let record = &version.record;
    let mut object = Map::new();
    object.insert("name".to_owned(), name.into());
    object.insert("version".to_owned(), number.into());
    manifest_fields(record, &mut object);
    let mut put = |key: &str, value: Value| {
        object.insert(key.to_owned(), value);
    };
    if !record.scripts.is_empty() {
        put("scripts", json!(record.scripts));
    }
    if let Some(author) = &record.author {
        put("author", json!({"name": author}));
    }
    if let Some(text) = &record.description {
        put("description", text.as_str().into());
    }
    if let Some(text) = &record.homepage {
        put("homepage", text.as_str().into());
    }
    if let Some(url) = &record.repository {
        put("repository", json!({"type": "git", "url": url}));
    }
    if record.has_shrinkwrap {
        put("_hasShrinkwrap", true.into());
    }
    put("dist", dist(record.dist.as_ref(), tarball));
    object.into()
}

/// The fields that a packument's version object and a package-lock entry share.
pub fn manifest_fields(record: &NpmVersion, object: &mut Map<String, Value>) {
    let mut put = |key: &str, value: Value| {
        let empty = match &value {
            Value::Object(map) => map.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Null | Value::Bool(false) => true,
            Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
        };
        if !empty {
            object.insert(key.to_owned(), value);
        }
    };
    let meta: Map<String, Value> = record
        .optional_peers
        .iter()
        .map(|peer| (peer.clone(), json!({"optional": true})))
        .collect();
    put("dependencies", json!(record.dependencies));
    put("optionalDependencies", json!(record.optional_dependencies));
    put("peerDependencies", json!(record.peer_dependencies));
    put("peerDependenciesMeta", meta.into());
    put("bundleDependencies", json!(record.bundle_dependencies));
    put("bin", json!(record.bin));
    put("engines", json!(record.engines));
    put("os", json!(record.os));
    put("cpu", json!(record.cpu));
    put("libc", json!(record.libc));
    put("deprecated", json!(record.deprecated));
    put("hasInstallScript", record.has_install_script.into());
    put("license", json!(record.license));
}

fn dist(dist: Option<&NpmDist>, tarball: &str) -> Value {
    let mut object = Map::new();
    object.insert("tarball".to_owned(), tarball.into());
    if let Some(dist) = dist {
        if let Some(text) = &dist.integrity {
            object.insert("integrity".to_owned(), text.as_str().into());
        }
        if let Some(text) = &dist.shasum {
            object.insert("shasum".to_owned(), text.as_str().into());
        }
        if let Some(size) = dist.unpacked_size {
            object.insert("unpackedSize".to_owned(), size.into());
        }
        if !dist.signatures.is_empty() {
            object.insert("signatures".to_owned(), dist.signatures.clone().into());
        }
    }
    object.into()
}

/// The checksum that decides whether two records mean the same bytes.
fn integrity(record: &NpmVersion) -> Option<UpstreamChecksum> {
    let dist = record.dist.as_ref()?;
    let strong = dist.integrity.as_deref().map(UpstreamChecksum::from_sri);
    let weak = dist.shasum.as_deref().map(UpstreamChecksum::from_sha1_hex);
    strong.or(weak)?.ok()
}

/// A file name that cannot leave its folder.
fn check_file_name(file: &str) -> Result<(), EcoError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~+!'()*@".contains(&b);
    if !file.is_empty() && !file.starts_with('.') && file.len() <= 255 && file.bytes().all(plain) {
        return Ok(());
    }
    Err(EcoError::Records {
        ecosystem: EcosystemId::npm(),
        reason: format!("{} is not a file name", crate::base::text::quoted(file)),
    })
}

fn conflict(name: &str, file: &str, older: &str, newer: &str) -> EcoError {
    EcoError::Conflict {
        ecosystem: EcosystemId::npm(),
        file: crate::base::text::quoted(&format!("{name}/-/{file}")),
        older: older.to_owned(),
        newer: newer.to_owned(),
    }
}

fn missing(package: &LockedPackage) -> EcoError {
    EcoError::Records {
        ecosystem: EcosystemId::npm(),
        reason: format!(
            "{} is carried, but its tarball is not there",
            crate::base::text::quoted(&package.id().to_string())
        ),
    }
}

/// Semantic Versioning 2.0.0 §11, enough to name the highest version.
pub fn version_order(one: &str, other: &str) -> Ordering {
    let split = |text: &'_ str| -> (Vec<u64>, Option<String>) {
        let text = text.split('+').next().unwrap_or(text);
        let (core, pre) = match text.split_once('-') {
            Some((core, pre)) => (core, Some(pre.to_owned())),
            None => (text, None),
        };
        (
            core.split('.').map(|n| n.parse().unwrap_or(0)).collect(),
            pre,
        )
    };
    let ((core_a, pre_a), (core_b, pre_b)) = (split(one), split(other));
    core_a.cmp(&core_b).then_with(|| match (pre_a, pre_b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => prerelease_order(&a, &b),
    })
}

fn prerelease_order(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one.split('.'), other.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}
