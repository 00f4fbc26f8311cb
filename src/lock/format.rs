//! The on-disk form of the lock, format version 1.
//!
//! Goals: complete, readable, small diffs, sorted, the same bytes for the same closure on every machine. TOML; one
//! `[[package]]` per release; lists of more than one element stand one element per line. A newer format is refused by
//! its number; this version and the one before it stay readable.
//!
//! ```toml
//! version = 1
//!
//! [target]
//! platforms = ["linux/amd64"]
//! glibc = "2.36"
//! node = "24.21.0"
//!
//! [[requirement]]
//! ecosystem = "npm"
//! install = 1
//! spec = "left-pad@1.3.0"
//!
//! [[input]]                          # what decided the closure beside the requirements; only where there is any
//! ecosystem = "debian"
//! install = 1
//! name = "debian dists/bookworm/InRelease"
//! digest = "sha256:…"
//! date = "2026-11-14T09:14:00Z"
//!
//! [records]
//! npm = "sha256:…"
//!
//! [[package]]
//! ecosystem = "npm"
//! name = "left-pad"
//! version = "1.3.0"
//! platforms = ["linux/amd64"]
//! license = "WTFPL"
//! places = ["1:node_modules/left-pad"]
//!
//! [[package.artifact]]
//! file = "left-pad-1.3.0.tgz"
//! checksum = "sha512:…"
//! upstream = "npm"
//! path = "left-pad/-/left-pad-1.3.0.tgz"
//! evidence = "L3"                    # the signature that was verified over its digest; only where there was one
//! gap = "stripped"                   # why there was none, where the answer of the upstream says it
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

use super::{Lock, LockedArtifact, LockedFinding, LockedInput, LockedPackage, LockedRequirement};
use crate::base::digest::Digest;
use crate::base::evidence::{Gap, Level};
use crate::base::fault::{Class, Code, Fault, Kind, Place};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::{Libc, Platform, Target};
use crate::base::time::Timestamp;

/// The format version this program writes.
pub const VERSION: u32 = 1;

/// Codes of this module.
pub const CODES: &[&Code] = &[&LOCK_SYNTAX, &LOCK_NEWER, &LOCK_DAMAGED];

static LOCK_SYNTAX: Code = Code::new("lock-syntax", Kind::Usage);
static LOCK_NEWER: Code = Code::new("lock-newer-format", Kind::Usage);
static LOCK_DAMAGED: Code = Code::classed("lock-not-canonical", Class::E20);

/// Why a lock cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Not TOML, or not the fields of a lock.
    #[error("not a lock: {reason}")]
    Syntax {
        /// What the parser said, escaped.
        reason: String,
        /// Where.
        place: Place,
    },
    /// Written by a later version of `stage`.
    #[error("the lock has format {found}, newer than format {VERSION} of this version of stage")]
    Newer {
        /// The format it has.
        found: u32,
    },
    /// A lock inside a bundle that is not what `stage` writes.
    #[error("the lock is not in the one form that stage writes")]
    NotCanonical,
}

impl Fault for LockError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Syntax { .. } => &LOCK_SYNTAX,
            Self::Newer { .. } => &LOCK_NEWER,
            Self::NotCanonical => &LOCK_DAMAGED,
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            Self::Syntax { place, .. } => Some(place.clone()),
            Self::Newer { .. } | Self::NotCanonical => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(rename = "version")]
    _version: u32,
    #[serde(default)]
    exclude_newer: Option<Timestamp>,
    target: FileTarget,
    #[serde(default)]
    requirement: Vec<LockedRequirement>,
    #[serde(default)]
    input: Vec<LockedInput>,
    #[serde(default)]
    records: BTreeMap<EcosystemId, Digest>,
    #[serde(default)]
    package: Vec<FilePackage>,
    #[serde(default)]
    finding: Vec<LockedFinding>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTarget {
    platforms: Vec<Platform>,
    #[serde(default)]
    glibc: Option<String>,
    #[serde(default)]
    musl: Option<String>,
    #[serde(default)]
    python: Option<String>,
    #[serde(default)]
    node: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FilePackage {
    ecosystem: EcosystemId,
    name: String,
    version: String,
    platforms: Vec<Platform>,
    #[serde(default)]
    license: Option<String>,
    #[serde(default)]
    deprecated: Option<String>,
    #[serde(default)]
    install_script: bool,
    #[serde(default)]
    bundled_in: Vec<ReleaseId>,
    #[serde(default)]
    places: Vec<String>,
    #[serde(default)]
    dependencies: Vec<ReleaseId>,
    #[serde(default)]
    artifact: Vec<LockedArtifact>,
}

impl From<FilePackage> for LockedPackage {
    fn from(file: FilePackage) -> Self {
        Self {
            ecosystem: file.ecosystem,
            name: file.name,
            version: file.version,
            platforms: file.platforms,
            license: file.license,
            deprecated: file.deprecated,
            install_script: file.install_script,
            bundled_in: file.bundled_in,
            places: file.places,
            dependencies: file.dependencies,
            artifacts: file.artifact,
        }
    }
}

/// Reads a lock that the user calls `file`.
pub fn parse_named(file: &str, bytes: &[u8]) -> Result<Lock, LockError> {
    let text = std::str::from_utf8(bytes).map_err(|e| LockError::Syntax {
        reason: "not UTF-8".to_owned(),
        place: place(file, &String::from_utf8_lossy(bytes), e.valid_up_to()),
    })?;
    let fail = |error: &toml::de::Error| LockError::Syntax {
        reason: crate::base::text::escaped(error.message()),
        place: place(file, text, error.span().map_or(0, |s| s.start)),
    };
    let found = version_line(text);
    if let Some(found) = found.filter(|v| *v > VERSION) {
        return Err(LockError::Newer { found });
    }
    let parsed: File = toml::from_str(text).map_err(|e| fail(&e))?;
    if found != Some(VERSION) {
        let reason = "the first key must be `version = 1`".to_owned();
        return Err(LockError::Syntax {
            reason,
            place: place(file, text, 0),
        });
    }
    let libc = match (parsed.target.glibc, parsed.target.musl) {
        (Some(version), None) => Libc::Glibc(version),
        (None, Some(version)) => Libc::Musl(version),
        _ => {
            let reason = "[target] must have either `glibc` or `musl`".to_owned();
            return Err(LockError::Syntax {
                reason,
                place: place(file, text, 0),
            });
        }
    };
    Ok(Lock {
        target: Target {
            platforms: parsed.target.platforms,
            libc,
            python: parsed.target.python,
            node: parsed.target.node,
        },
        exclude_newer: parsed.exclude_newer,
        requirements: parsed.requirement,
        inputs: parsed.input,
        records: parsed.records,
        packages: parsed
            .package
            .into_iter()
            .map(LockedPackage::from)
            .collect(),
        findings: parsed.finding,
    })
}

/// Reads a lock that is called `stage.lock`.
pub fn parse(bytes: &[u8]) -> Result<Lock, LockError> {
    parse_named("stage.lock", bytes)
}

/// Reads a lock and demands that its bytes are exactly what [`write()`] makes of it: the form a bundle must carry.
pub fn parse_canonical(bytes: &[u8]) -> Result<Lock, LockError> {
    let lock = parse(bytes)?;
    if write(&lock) == bytes {
        Ok(lock)
    } else {
        Err(LockError::NotCanonical)
    }
}

/// The format number, read without understanding the rest, so that a newer lock is refused by its number.
fn version_line(text: &str) -> Option<u32> {
    let line = text
        .lines()
        .map(str::trim)
        .find(|l| !l.is_empty() && !l.starts_with('#'))?;
    line.strip_prefix("version")?
        .trim_start()
        .strip_prefix('=')?
        .trim()
        .parse()
        .ok()
}

fn place(file: &str, text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    Place {
        file: crate::base::text::escaped(file),
        line,
        column,
    }
}

/// The bytes of a lock. `lock` must be in order (see [`Lock::sort`]); equal locks give equal bytes.
pub fn write(lock: &Lock) -> Vec<u8> {
    let mut out = Writer::default();
    out.line("# Made by `stage resolve`, read by people and by `stage`. Change stage.toml, not this file.");
    out.line(&format!("version = {VERSION}"));
    if let Some(at) = lock.exclude_newer {
        out.pair("exclude-newer", &at.to_string());
    }
    out.table("[target]");
    out.list(
        "platforms",
        lock.target.platforms.iter().map(|p| p.as_str().to_owned()),
    );
    match &lock.target.libc {
        Libc::Glibc(version) => out.pair("glibc", version),
        Libc::Musl(version) => out.pair("musl", version),
    }
    out.optional("python", lock.target.python.as_deref());
    out.optional("node", lock.target.node.as_deref());
    for requirement in &lock.requirements {
        out.table("[[requirement]]");
        out.pair("ecosystem", requirement.ecosystem.as_str());
        out.line(&format!("install = {}", requirement.install));
        out.pair("spec", &requirement.spec);
    }
    for input in &lock.inputs {
        out.table("[[input]]");
        out.pair("ecosystem", input.ecosystem.as_str());
        out.line(&format!("install = {}", input.install));
        out.pair("name", &input.name);
        out.pair("digest", &input.digest.to_string());
        out.optional("date", input.date.map(|at| at.to_string()).as_deref());
    }
    if !lock.records.is_empty() {
        out.table("[records]");
        for (ecosystem, digest) in &lock.records {
            out.pair(ecosystem.as_str(), &digest.to_string());
        }
    }
    for package in &lock.packages {
        out.package(package);
    }
    for finding in &lock.findings {
        out.table("[[finding]]");
        out.pair("severity", &finding.severity.to_string());
        out.pair("code", &finding.code);
        out.pair("subject", &finding.subject);
        out.pair("message", &finding.message);
    }
    out.0.into_bytes()
}

#[derive(Default)]
struct Writer(String);

impl Writer {
    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn table(&mut self, head: &str) {
        self.0.push('\n');
        self.line(head);
    }

    fn pair(&mut self, key: &str, value: &str) {
        let value = string(value);
        self.line(&format!("{key} = {value}"));
    }

    fn optional(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.pair(key, value);
        }
    }

    fn list(&mut self, key: &str, values: impl Iterator<Item = String>) {
        let values: Vec<String> = values.map(|v| string(&v)).collect();
        match values.as_slice() {
            [] => self.line(&format!("{key} = []")),
            [one] => self.line(&format!("{key} = [{one}]")),
            _ => {
                self.line(&format!("{key} = ["));
                for value in values {
                    self.line(&format!("    {value},"));
                }
                self.line("]");
            }
        }
    }

    fn present(&mut self, key: &str, values: impl ExactSizeIterator<Item = String>) {
        if values.len() > 0 {
            self.list(key, values);
        }
    }

    fn package(&mut self, package: &LockedPackage) {
        self.table("[[package]]");
        self.pair("ecosystem", package.ecosystem.as_str());
        self.pair("name", &package.name);
        self.pair("version", &package.version);
        self.list(
            "platforms",
            package.platforms.iter().map(|p| p.as_str().to_owned()),
        );
        self.optional("license", package.license.as_deref());
        self.optional("deprecated", package.deprecated.as_deref());
        if package.install_script {
            self.line("install-script = true");
        }
        self.present(
            "bundled-in",
            package.bundled_in.iter().map(ToString::to_string),
        );
        self.present("places", package.places.iter().cloned());
        self.present(
            "dependencies",
            package.dependencies.iter().map(ToString::to_string),
        );
        for artifact in &package.artifacts {
            self.table("[[package.artifact]]");
            self.pair("file", &artifact.file);
            self.pair("checksum", &artifact.checksum.to_string());
            self.pair("upstream", &artifact.upstream);
            self.pair("path", &artifact.path);
            if let Some(size) = artifact.size {
                self.line(&format!("size = {size}"));
            }
            self.optional("evidence", artifact.evidence.map(Level::as_str));
            self.optional("gap", artifact.gap.map(Gap::as_str));
        }
    }
}

/// A TOML basic string; everything that could hide in a review is escaped.
fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if crate::base::text::is_plain(c) => out.push(c),
            c if write!(out, "\\U{:08X}", u32::from(c)).is_err() => {}
            _ => {}
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::{LockError, parse, parse_canonical, write};
    use crate::base::digest::{Digest, UpstreamChecksum};
    use crate::base::evidence::Level;
    use crate::base::finding::Severity;
    use crate::base::package::{EcosystemId, ReleaseId};
    use crate::base::platform::{Libc, Platform, Target};
    use crate::lock::{Lock, LockedArtifact, LockedFinding, LockedPackage, LockedRequirement};

    fn sample() -> Lock {
        let checksum = UpstreamChecksum::Sha256(Digest::of(b"x"));
        let package = |name: &str| LockedPackage {
            ecosystem: EcosystemId::npm(),
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            platforms: vec![Platform::LinuxAmd64, Platform::LinuxArm64],
            license: Some("MIT \u{202e}\u{7f}\"\\\n".to_owned()),
            deprecated: None,
            install_script: true,
            bundled_in: vec![ReleaseId::new("@a/b", "2.0.0")],
            places: vec![
                "1:node_modules/a".to_owned(),
                "1:node_modules/b/node_modules/a".to_owned(),
            ],
            dependencies: vec![ReleaseId::new("c", "1.0.0")],
            artifacts: vec![LockedArtifact {
                file: "a-1.0.0.tgz".to_owned(),
                checksum: checksum.clone(),
                upstream: "npm".to_owned(),
                path: "a/-/a-1.0.0.tgz".to_owned(),
                size: Some(5),
                evidence: Some(Level::L3),
                gap: None,
            }],
        };
        Lock {
            target: Target {
                platforms: vec![Platform::LinuxAmd64, Platform::LinuxArm64],
                libc: Libc::Glibc("2.36".to_owned()),
                python: None,
                node: Some("24.21.0".to_owned()),
            },
            exclude_newer: Some("2026-11-15T00:00:00Z".parse().unwrap()),
            requirements: vec![LockedRequirement {
                ecosystem: EcosystemId::npm(),
                install: 1,
                spec: "a@1".to_owned(),
            }],
            inputs: vec![crate::lock::LockedInput {
                ecosystem: EcosystemId::debian(),
                install: 1,
                name: "debian dists/bookworm/InRelease".to_owned(),
                digest: Digest::of(b"release"),
                date: Some("2026-11-14T00:00:00Z".parse().unwrap()),
            }],
            records: [(EcosystemId::npm(), Digest::of(b"r"))].into(),
            packages: vec![package("z"), package("a")],
            findings: vec![LockedFinding {
                severity: Severity::Warn,
                code: "npm-deprecated".to_owned(),
                subject: "npm a@1.0.0".to_owned(),
                message: "is deprecated".to_owned(),
            }],
        }
    }

    #[test]
    fn writing_and_reading_are_inverse_and_order_does_not_matter() {
        let mut lock = sample();
        lock.sort();
        let bytes = write(&lock);
        assert_eq!(parse_canonical(&bytes).unwrap(), lock);
        let mut other = sample();
        other.packages.reverse();
        other.packages[0].places.reverse();
        other.sort();
        assert_eq!(write(&other), bytes);
        assert!(!String::from_utf8(bytes).unwrap().contains('\u{202e}'));
    }

    #[test]
    fn newer_formats_are_refused_by_number_and_unknown_fields_by_place() {
        let newer = b"version = 1000\n[something.else]\n";
        assert!(matches!(
            parse(newer),
            Err(LockError::Newer { found: 1000 })
        ));
        let mut text = String::from_utf8(write(&sample())).unwrap();
        text.push_str("\n[[package]]\nsurprise = 1\n");
        assert!(matches!(
            parse(text.as_bytes()),
            Err(LockError::Syntax { .. })
        ));
        for bad in [
            "",
            "version = 0\n",
            "[target]\nplatforms = []\nglibc = \"2\"\n",
            "\u{feff}version = 1",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bundle_must_carry_the_one_form() {
        let mut lock = sample();
        lock.sort();
        let mut bytes = write(&lock);
        bytes.extend_from_slice(b"# note\n");
        parse(&bytes).unwrap();
        assert!(matches!(
            parse_canonical(&bytes),
            Err(LockError::NotCanonical)
        ));
    }
}
