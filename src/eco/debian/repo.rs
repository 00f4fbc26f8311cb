//! The apt repository of the enclave, as files: `debian/dists/<channel>/` with one component `main`, and `debian/pool/`.
//!
//! Each channel is a suite of its own, so that a channel for Debian 12 and one for Ubuntu can share a repository
//! without a host ever being offered the other's packages. A suite is the union of its channel's bundles. Files keep
//! the path that their archive gives them; where two archives give one path to different files, the later one moves
//! below `pool/<digest>/`. Everything comes from verified records; no archive is opened.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::text::quoted;
use crate::eco::debian::records::{self, DebianPackage, DebianRecords};
use crate::eco::debian::{architecture, deb_file, file_path, packages};
use crate::eco::{
    BundleView, ClientFile, ClientSetup, EcoError, Publishing, RepoContent, RepoFile, RepoView,
};
use crate::lock::LockedPackage;

/// The certificate that clients verify with, below `debian/`.
pub const KEY_FILE: &str = "stage.asc";

/// The repository's tree for the union of bundles, not yet signed. The same package with other bytes in one channel is
/// [`EcoError::Conflict`].
pub fn render(view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError> {
    let mut union = Union::default();
    for bundle in view.bundles {
        union.add(bundle)?;
    }
    Ok(union.files())
}

/// Dates and signs every suite of a rendered tree, and puts the certificate beside them.
pub fn sign(files: Vec<RepoFile>, publishing: &Publishing<'_>) -> Result<Vec<RepoFile>, EcoError> {
    let text_of = |path: &str, text: String| RepoFile {
        path: path.to_owned(),
        content: RepoContent::Bytes(text.into_bytes()),
    };
    let mut out = Vec::new();
    let mut suites = 0;
    for file in files {
        let suite = file
            .path
            .strip_suffix("/Release")
            .filter(|p| p.starts_with("debian/dists/"));
        let (Some(suite), RepoContent::Bytes(bytes)) = (suite, &file.content) else {
            out.push(file);
            continue;
        };
        let release = String::from_utf8_lossy(bytes);
        let release = packages::dated(&release, publishing.date);
        let signed = publishing.signer.sign(&release, publishing.date);
        let signed = signed.map_err(EcoError::Signer)?;
        for (name, signed) in [
            ("InRelease", signed.inline),
            ("Release.gpg", signed.detached),
        ] {
            out.extend(signed.map(|text| text_of(&format!("{suite}/{name}"), text)));
        }
        out.push(text_of(&file.path, release));
        suites += 1;
    }
    if suites > 0 {
        let certificate = publishing.signer.certificate().map_err(EcoError::Signer)?;
        out.push(text_of(&format!("debian/{KEY_FILE}"), certificate));
    }
    Ok(out)
}

/// `stage.sources` for apt: the signing key stands in it, so that nothing else has to be installed.
pub fn client_files(setup: &ClientSetup<'_>) -> Vec<ClientFile> {
    let base = setup.base_url;
    let suites = match setup.suites {
        [] => "CHANNEL".to_owned(),
        suites => suites.join(" "),
    };
    let key = match setup.apt_key {
        None => format!("/etc/apt/keyrings/{KEY_FILE}\n# from {base}/debian/{KEY_FILE}"),
        Some(armoured) => {
            let line = |line: &str| {
                if line.is_empty() {
                    "\n .".to_owned()
                } else {
                    format!("\n {line}")
                }
            };
            armoured.trim_end().lines().map(line).collect()
        }
    };
    let separator = if setup.apt_key.is_some() { "" } else { " " };
    let text = format!(
        "# As root: /etc/apt/sources.list.d/stage.sources, alone there. Without root, for a download or another root:\n\
         # apt-get -o Dir::Etc::SourceList=$PWD/stage.sources -o Dir::Etc::SourceParts=/dev/null \\\n\
         #   -o Dir::State=$PWD/apt -o Dir::Cache=$PWD/apt -o Debug::NoLocking=1 update\n\
         Types: deb\nURIs: {base}/debian\nSuites: {suites}\nComponents: main\nSigned-By:{separator}{key}\n"
    );
    vec![ClientFile {
        client: "apt".to_owned(),
        path: ".config/stage/stage.sources".to_owned(),
        text,
    }]
}

/// A file of a package in one channel.
struct Found {
    stanza: String,
    digest: Digest,
    /// Architectures whose index has it.
    lists: BTreeSet<&'static str>,
    /// The bundle that brought it first.
    from: String,
}

/// Name, version, architecture.
type Key = (ReleaseId, String);

#[derive(Default)]
struct Union {
    suites: BTreeMap<String, BTreeMap<Key, Found>>,
}

impl Union {
    fn add(&mut self, bundle: &BundleView<'_>) -> Result<(), EcoError> {
        if bundle.records.is_empty() {
            return Ok(());
        }
        let records = records::parse(bundle.records)?;
        let debian = EcosystemId::debian();
        for package in bundle.lock.of(&debian).filter(|p| p.is_carried()) {
            self.add_package(bundle, &records, package)?;
        }
        Ok(())
    }

    fn add_package(
        &mut self,
        bundle: &BundleView<'_>,
        records: &DebianRecords,
        package: &LockedPackage,
    ) -> Result<(), EcoError> {
        let id = package.id();
        let shown = || quoted(&id.to_string());
        let archs = records
            .get(&id)
            .ok_or_else(|| records::unreadable(&format_args!("{} is missing", shown())))?;
        let from = format!("{} {}", bundle.channel, bundle.serial);
        for (arch, record) in archs {
            let Some(digest) = carried(bundle, package, arch, record) else {
                let file = deb_file(&id.name, &id.version, arch);
                return Err(records::unreadable(&format_args!(
                    "{} has no file",
                    quoted(&file)
                )));
            };
            let targets = package.platforms.iter().map(|p| architecture(*p));
            let new = Found {
                stanza: record.stanza.clone(),
                digest,
                lists: targets
                    .filter(|target| arch == "all" || arch == target)
                    .collect(),
                from: from.clone(),
            };
            self.put(bundle.channel, (id.clone(), arch.clone()), new)?;
        }
        Ok(())
    }

    fn put(&mut self, channel: &str, key: Key, mut new: Found) -> Result<(), EcoError> {
        let suite = self.suites.entry(channel.to_owned()).or_default();
        if let Some(old) = suite.get_mut(&key) {
            if old.digest != new.digest {
                return Err(EcoError::Conflict {
                    ecosystem: EcosystemId::debian(),
                    file: quoted(&deb_file(&key.0.name, &key.0.version, &key.1)),
                    older: old.from.clone(),
                    newer: new.from,
                });
            }
            new.from.clone_from(&old.from);
            new.lists.extend(old.lists.iter().copied());
        }
        suite.insert(key, new);
        Ok(())
    }

    fn files(&self) -> Vec<RepoFile> {
        let mut pool: BTreeMap<String, Digest> = BTreeMap::new();
        let mut out = Vec::new();
        for (channel, suite) in &self.suites {
            let mut indexes: BTreeMap<&str, String> = BTreeMap::new();
            for (key, found) in suite {
                let path = place(&mut pool, key, found);
                for arch in &found.lists {
                    let index = indexes.entry(arch).or_default();
                    index.push_str(&packages::entry(&found.stanza, &path));
                }
            }
            suite_files(channel, &indexes, &mut out);
        }
        out.extend(pool.into_iter().map(|(path, digest)| RepoFile {
            path: format!("debian/{path}"),
            content: RepoContent::Blob(digest),
        }));
        out
    }
}

/// The blob of a package's file: what the index entry states must be what the lock says and the bundle carries.
fn carried(
    bundle: &BundleView<'_>,
    package: &LockedPackage,
    arch: &str,
    record: &DebianPackage,
) -> Option<Digest> {
    let file = deb_file(&package.name, &package.version, arch);
    let stated = record.sha256()?;
    let same = |checksum: &UpstreamChecksum| *checksum == UpstreamChecksum::Sha256(stated);
    let locked = package
        .artifacts
        .iter()
        .any(|a| a.file == file && same(&a.checksum));
    (locked && bundle.artifacts.contains_key(&stated.hex())).then_some(stated)
}

/// Where a file lies below `debian/`.
fn place(pool: &mut BTreeMap<String, Digest>, key: &Key, found: &Found) -> String {
    let own = crate::eco::debian::control::stanzas(&found.stanza).next();
    let stated = own.and_then(Result::ok).and_then(|s| s.field("Filename"));
    let stated = stated
        .and_then(file_path)
        .filter(|path| path.starts_with("pool/"));
    let hex = found.digest.hex();
    let aside = || {
        let folder = hex.get(..16).unwrap_or(&hex);
        format!(
            "pool/{folder}/{}",
            deb_file(&key.0.name, &key.0.version, &key.1).replace("%3a", "_")
        )
    };
    let path = stated.map_or_else(aside, str::to_owned);
    let path = match pool.get(&path) {
        Some(other) if *other != found.digest => aside(),
        Some(_) | None => path,
    };
    pool.insert(path.clone(), found.digest);
    path
}

/// `Packages` of each architecture, plain, packed and by digest, and the `Release` that lists them.
fn suite_files(channel: &str, indexes: &BTreeMap<&str, String>, out: &mut Vec<RepoFile>) {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (arch, text) in indexes {
        let folder = format!("main/binary-{arch}");
        files.insert(
            format!("{folder}/Packages.gz"),
            packages::gzip(text.as_bytes()),
        );
        files.insert(format!("{folder}/Packages"), text.clone().into_bytes());
    }
    let architectures: Vec<&str> = indexes.keys().copied().collect();
    let listed = files
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
    let release = packages::release(channel, &architectures, listed);
    let root = format!("debian/dists/{channel}");
    for (path, bytes) in files {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let by_hash = format!(
            "{root}/{folder}/by-hash/SHA256/{}",
            Digest::of(&bytes).hex()
        );
        for path in [format!("{root}/{path}"), by_hash] {
            let content = RepoContent::Bytes(bytes.clone());
            out.push(RepoFile { path, content });
        }
    }
    out.push(RepoFile {
        path: format!("{root}/Release"),
        content: RepoContent::Bytes(release.into_bytes()),
    });
}
