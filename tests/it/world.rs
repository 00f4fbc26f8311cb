//! A signer, a repository and bundles made of test closures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use stage::base::digest::{Digest, Digests};
use stage::base::package::{EcosystemId, ReleaseId};
use stage::base::progress::NoProgress;
use stage::base::time::Timestamp;
use stage::bundle::write::{BundlePlan, NO_ROOTS, PlannedFile, Release, write};
use stage::eco::Ecosystem;
use stage::eco::npm::Npm;
use stage::lock::{Lock, format};
use stage::sbom::cyclonedx::{self, CarriedFile, Facts, Files, SbomInput};
use stage::sign::SecretKey;

use crate::packages::{Closure, Folder};

/// The time at which test bundles are judged is the real one, so they are made in the past and expire far away.
const EXPIRES: &str = "2099-01-01T00:00:00Z";

/// Everything a test needs beside bundles.
pub(crate) struct World {
    pub(crate) folder: Folder,
}

impl World {
    /// A key, a one-person root, and a repository pinned to it.
    pub(crate) fn new(name: &str) -> Self {
        let world = Self {
            folder: Folder::new(name),
        };
        world.make_key();
        let root = world.path("root.json");
        let fingerprint = world.stage(&["trust", "fingerprint", root.to_str().unwrap()]);
        let fingerprint = String::from_utf8(fingerprint.stdout).unwrap();
        world.ok(&[
            "repo",
            "init",
            "--repo",
            &world.text("repo"),
            "--trust",
            &world.text("root.json"),
            "--fingerprint",
            fingerprint.trim(),
        ]);
        world
    }

    fn make_key(&self) {
        let (key, root) = (self.text("k.pem"), self.text("root.json"));
        self.ok(&["key", "generate", "-o", &key]);
        self.ok(&["trust", "init", "--key", &key, "-o", &root]);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.path("repo")
    }

    /// `stage` with these arguments and an environment of its own.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stage"));
        command
            .args(args)
            .current_dir(&self.folder.0)
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("HOME", self.path("home"));
        command
    }

    pub(crate) fn stage(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub(crate) fn ok(&self, args: &[&str]) -> Output {
        let output = self.stage(args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    /// The import of a bundle file, not started.
    pub(crate) fn importing(&self, bundle: &Path) -> Command {
        let mut command = self.command(&[
            "import",
            bundle.to_str().unwrap(),
            "--repo",
            &self.text("repo"),
        ]);
        if rustix::process::geteuid().is_root() {
            command.arg("--allow-root");
        }
        command
    }

    /// Exit code and standard error of an import.
    pub(crate) fn import(&self, bundle: &Path) -> (i32, String) {
        let output = self.importing(bundle).output().unwrap();
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    /// A signed bundle of a closure, written to `<channel>-<serial>.stage`.
    pub(crate) fn bundle(&self, closure: &Closure, channel: &str, serial: u64) -> PathBuf {
        let content = Content {
            ecosystem: &Npm,
            lock: &closure.lock,
            records: &closure.records,
            blobs: &closure.blobs,
        };
        self.bundle_of(&content, channel, serial)
    }

    /// As [`World::bundle`], of any ecosystem.
    pub(crate) fn bundle_of(&self, content: &Content<'_>, channel: &str, serial: u64) -> PathBuf {
        self.bundle_with(content, (channel, serial), &[])
    }

    /// And with further files.
    pub(crate) fn bundle_with(
        &self,
        content: &Content<'_>,
        (channel, serial): (&str, u64),
        more: &[(&str, &[u8])],
    ) -> PathBuf {
        let key = content.ecosystem.key();
        let created: Timestamp = format!("2026-01-{serial:02}T00:00:00Z").parse().unwrap();
        let mut files = vec![
            file("lock/stage.lock", format::write(content.lock)),
            file(
                &format!("lock/records/{key}.json"),
                content.records.to_vec(),
            ),
            file(
                "sbom/bundle.cdx.json",
                sbom(content, channel, serial, created),
            ),
            file(
                "ca/ca-bundle.pem",
                format!("no real CA {serial}\n").into_bytes(),
            ),
        ];
        files.extend(more.iter().map(|(path, bytes)| file(path, bytes.to_vec())));
        for (hex, bytes) in content.blobs {
            files.push(file(&format!("artifacts/{key}/{hex}"), bytes.clone()));
        }
        self.write(files, channel, serial, created)
    }

    /// A signed plain bundle.
    pub(crate) fn plain(&self, channel: &str, serial: u64, files: &[(&str, &[u8])]) -> PathBuf {
        let created: Timestamp = format!("2026-01-{serial:02}T00:00:00Z").parse().unwrap();
        let files = files
            .iter()
            .map(|(path, bytes)| file(path, bytes.to_vec()))
            .collect();
        self.write(files, channel, serial, created)
    }

    /// A signed plain bundle of one file that expires at this time.
    pub(crate) fn expiring(&self, channel: &str, serial: u64, expires: &str) -> PathBuf {
        let created = format!("2026-01-{serial:02}T00:00:00Z").parse().unwrap();
        let files = vec![file("a.txt", format!("{channel} {serial}").into_bytes())];
        self.write_until(files, (channel, serial), created, expires)
    }

    fn write(
        &self,
        files: Vec<PlannedFile>,
        channel: &str,
        serial: u64,
        created: Timestamp,
    ) -> PathBuf {
        self.write_until(files, (channel, serial), created, EXPIRES)
    }

    fn write_until(
        &self,
        files: Vec<PlannedFile>,
        (channel, serial): (&str, u64),
        created: Timestamp,
        expires: &str,
    ) -> PathBuf {
        let release = Release {
            channel: channel.to_owned(),
            epoch: 1,
            serial,
            created,
            expires: expires.parse().unwrap(),
            root_version: 1,
            previous: None,
        };
        let plan = BundlePlan::new(release, files, NO_ROOTS.to_vec()).unwrap();
        let pem = std::fs::read_to_string(self.path("k.pem")).unwrap();
        let key = SecretKey::from_pem(&pem, None).unwrap();
        let signature = key.sign_statement(&plan.statement_bytes()).unwrap();
        let mut bytes = Vec::new();
        write(&mut bytes, &plan, &[signature], &NoProgress).unwrap();
        let path = self.path(&format!("{channel}-{serial}.stage"));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Where `current` points.
    pub(crate) fn current(&self) -> Option<String> {
        let link = std::fs::read_link(self.repo().join("current")).ok()?;
        Some(link.to_str().unwrap().to_owned())
    }

    /// A file of the published generation.
    pub(crate) fn published(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.repo().join("current").join(path)).ok()
    }

    pub(crate) fn published_json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.published(path).unwrap()).unwrap()
    }

    /// Every entry of the repository with type, mode, size, times, inode and bytes.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, String> {
        snapshot(&self.repo())
    }
}

fn file(path: &str, bytes: Vec<u8>) -> PlannedFile {
    PlannedFile::from_bytes(path.parse().unwrap(), bytes)
}

/// What a bundle of one ecosystem is made of.
pub(crate) struct Content<'a> {
    pub(crate) ecosystem: &'a dyn Ecosystem,
    pub(crate) lock: &'a Lock,
    pub(crate) records: &'a [u8],
    pub(crate) blobs: &'a BTreeMap<String, Vec<u8>>,
}

fn sbom(content: &Content<'_>, channel: &str, serial: u64, created: Timestamp) -> Vec<u8> {
    let id = content.ecosystem.id();
    let facts = content.ecosystem.facts(content.records).unwrap();
    let facts = Facts::from([(id.clone(), facts)]);
    let mut files = Files::new();
    for (package, artifact) in content.lock.carried_artifacts() {
        let bytes = content
            .blobs
            .values()
            .find(|b| artifact.checksum.confirms(&Digests::of(b)))
            .unwrap();
        let size = bytes.len() as u64;
        let carried = CarriedFile::read(&artifact.file, Digests::of(bytes), size);
        files
            .entry((id.clone(), package.id()))
            .or_default()
            .push(carried);
    }
    let purl = |_: &EcosystemId, release: &ReleaseId| content.ecosystem.purl(release);
    cyclonedx::write(&SbomInput {
        lock: content.lock,
        lock_digest: Digest::of(&format::write(content.lock)),
        facts: &facts,
        files: &files,
        name: channel,
        version: &serial.to_string(),
        created,
        tool_version: "0.0.0",
        author: None,
        license_texts: &BTreeMap::new(),
        purl: &purl,
    })
    .unwrap()
}

/// Every entry below `root`, links not followed.
pub(crate) fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
    use std::os::unix::fs::MetadataExt as _;
    let (mut found, mut todo) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(path) = todo.pop() {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_file() {
            Digests::of(&std::fs::read(&path).unwrap())
                .sha256
                .to_string()
        } else if meta.is_symlink() {
            std::fs::read_link(&path).unwrap().display().to_string()
        } else {
            todo.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
            "directory".to_owned()
        };
        let line = format!(
            "{:o} {} {}.{} {} {content}",
            meta.mode(),
            meta.size(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ino()
        );
        found.insert(path, line);
    }
    found
}
