//! Evidence on the command line: keys of registries, what travels so that the enclave can prove where packages are from,
//! and that proof.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::base::digest::Digest;
use crate::base::evidence::Gap;
use crate::base::fault::Fault;
use crate::base::package::EcosystemId;
use crate::base::section::Section;
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::bundle::manifest::BundleManifest;
use crate::cli::UsageError;
use crate::eco::attestation::{ROOT_LIMIT, SigstoreRoot};
use crate::eco::bare_key::{BareKey, KEY_LIMIT};
use crate::eco::file::fault::FileError;
use crate::eco::registry_keys::{self, RegistryKeys};
use crate::eco::vouched::{Anchors, CarriedFiles, UpstreamKeys};
use crate::evidence::Line;
use crate::evidence::prove::{self, Proof};
use crate::fs;
use crate::import::cas::Cas;
use crate::lock::Records;
use crate::openpgp::KEYRING_LIMIT;
use crate::openpgp::keyring::Keyring;
use crate::verify::Bundle;
#[cfg(feature = "connected")]
use crate::{
    base::evidence::Level,
    base::finding::Finding,
    bundle::write::{PlannedFile, Source},
    cli::ui::Failure,
    cli::{Context, connect, project::Project},
    evidence, fetch,
    lock::Lock,
    manifest,
    store::Store,
};

/// The keys that upstreams sign with: those of the manifest, else those that travel with the program.
#[cfg(feature = "connected")]
pub(crate) fn upstream_keys(project: &Project) -> Result<UpstreamKeys, Failure> {
    let beside = |file: &Option<PathBuf>| {
        let file = file.as_ref()?;
        Some(manifest::beside(&project.manifest_path, file))
    };
    let npm = beside(&project.manifest.npm_keys);
    let root = beside(&project.manifest.trusted_root);
    Ok(keys(npm.as_deref(), root.as_deref())?)
}

/// The keys in these files, each else that which travels with the program.
fn keys(npm: Option<&Path>, root: Option<&Path>) -> Result<UpstreamKeys, Box<dyn Fault>> {
    let mut keys = UpstreamKeys::shipped()?;
    if let Some(file) = npm {
        keys.npm = RegistryKeys::parse(&key_file(file, registry_keys::LIMIT)?)?;
    }
    if let Some(file) = root {
        keys.sigstore = SigstoreRoot::parse(&key_file(file, ROOT_LIMIT)?)?;
    }
    Ok(keys)
}

/// A file of keys; what cannot be read is wrong use, like any unreadable input.
fn key_file(path: &Path, limit: u64) -> Result<Vec<u8>, UsageError> {
    let hint = "name a file of keys that is there, or leave the option out for those that travel with the program";
    fs::read(path, limit).map_err(|error| UsageError::unreadable(&error).next(hint))
}

/// What travels to prove where packages are from, fetched where it is not here; and what of it cannot be had.
#[cfg(feature = "connected")]
pub(crate) fn proofs(
    ctx: &Context,
    project: &Project,
    records: &Records,
    store: &Store,
) -> Result<(Vec<PlannedFile>, Vec<Finding>), Failure> {
    if !project.manifest.bundle.carry_indexes {
        return Ok((Vec::new(), Vec::new()));
    }
    let mut connection = connect::open(ctx, project)?;
    let found = fetch::proofs(records, store, &mut connection.upstream, ctx.now)?;
    connection.record_egress(project)?;
    let documents = found.documents.into_iter();
    let documents = documents.map(|(path, bytes)| PlannedFile::from_bytes(path, bytes));
    let stored = found.stored.into_iter().map(|(path, stored)| PlannedFile {
        path,
        source: Source::Path(stored.path),
        digests: stored.digests,
        size: stored.size,
    });
    let missing = found.missing.iter();
    let missing = missing.map(|(file, reason)| evidence::not_carried(file, reason));
    Ok((documents.chain(stored).collect(), missing.collect()))
}

/// What `stage verify` is asked about upstreams.
#[derive(Debug, Args)]
pub struct UpstreamArgs {
    /// Prove again what the lock states of upstreams: signatures of npm, attestations of PyPI, signatures of files and of
    /// lists of them, and Debian's chains from signed release to package, from what the bundle carries. No network; reads the bundle a second time
    #[arg(long)]
    upstream: bool,
    /// Keys that the npm registry signs with, as its `/-/npm/v1/keys` lists them [default: those of the public registry]
    #[arg(long, value_name = "FILE", requires = "upstream")]
    npm_keys: Option<PathBuf>,
    /// What Sigstore's signatures are verified by: a `trusted_root.json` [default: that of the public instance]
    #[arg(long, value_name = "FILE", requires = "upstream")]
    trusted_root: Option<PathBuf>,
    /// Certificates that archives sign with, such as Debian's keyring; may be repeated [default: those that the signed
    /// records name]
    #[arg(long, value_name = "FILE", requires = "upstream")]
    debian_keyring: Vec<PathBuf>,
    /// Certificates that publishers sign lists of checksums with; may be repeated [default: those that the signed records
    /// name]
    #[arg(long, value_name = "FILE", requires = "upstream")]
    file_keyring: Vec<PathBuf>,
    /// Keys, in PEM, that files may be signed with; may be repeated [default: those that the signed records name]
    #[arg(long, value_name = "FILE", requires = "upstream")]
    file_key: Vec<PathBuf>,
}

/// The files of a bundle that was verified, where they are.
struct BundleFiles<'a> {
    file: &'a Path,
    manifest: &'a BundleManifest,
    carried: BTreeMap<Digest, (u64, u64)>,
    cas: Option<&'a Cas>,
}

impl CarriedFiles for BundleFiles<'_> {
    fn digest(&self, path: &str) -> Option<Digest> {
        Some(self.manifest.file(path)?.digests.sha256)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let digest = self.digest(path).ok_or_else(gone)?;
        if let Some((start, length)) = self.carried.get(&digest) {
            let file = fs::open(self.file).map_err(io::Error::other)?;
            return Ok(Box::new(Section::new(file, *start, *length)?));
        }
        let cas = self.cas.ok_or_else(gone)?;
        Ok(Box::new(cas.open(&digest).map_err(io::Error::other)?))
    }
}

/// By whose keys a bundle is to be proved; read before any work is done. `None`: it is not asked for.
pub(crate) fn anchors(
    args: &UpstreamArgs,
    bundle: &Path,
) -> Result<Option<Anchors>, Box<dyn Fault>> {
    if !args.upstream {
        return Ok(None);
    }
    if bundle == Path::new("-") {
        let message = "--upstream reads the bundle a second time, which a pipe does not allow";
        return Err(UsageError::new(message)
            .next("write the bundle to a file and verify that")
            .into());
    }
    let keys = keys(args.npm_keys.as_deref(), args.trusted_root.as_deref())?;
    let mut file_keys = Vec::new();
    for file in &args.file_key {
        let key = BareKey::parse(&key_file(file, KEY_LIMIT)?);
        file_keys.push(key.map_err(|reason| FileError::Key {
            path: quoted(&file.to_string_lossy()),
            reason,
        })?);
    }
    Ok(Some(Anchors {
        keys,
        archives: keyring(&args.debian_keyring)?,
        publishers: keyring(&args.file_keyring)?,
        file_keys,
        at: Timestamp::default(),
    }))
}

/// One keyring of several files; `None` for none.
fn keyring(files: &[PathBuf]) -> Result<Option<Keyring>, Box<dyn Fault>> {
    let mut read = Vec::new();
    for file in files {
        read.push(key_file(file, KEYRING_LIMIT as u64)?);
    }
    Ok(match read.as_slice() {
        [] => None,
        read => Some(Keyring::parse_all(read)?),
    })
}

/// Proves a bundle that was verified; `None` for one of plain files.
pub(crate) fn prove(
    bundle: &Bundle,
    file: &Path,
    cas: Option<&Cas>,
    mut anchors: Anchors,
) -> Result<Option<Proof>, Box<dyn Fault>> {
    let Some(lock) = &bundle.lock else {
        return Ok(None);
    };
    anchors.at = bundle.statement.created;
    let files = BundleFiles {
        file,
        manifest: &bundle.manifest,
        carried: bundle.manifest.offsets(fs::size(file)?),
        cas,
    };
    let mut records = Records::new();
    for (path, bytes) in &bundle.documents {
        let name = path.as_str().strip_prefix("lock/records/");
        let id = name.and_then(|name| name.strip_suffix(".json")?.parse().ok());
        records.extend(id.map(|id: EcosystemId| (id, bytes.clone())));
    }
    Ok(Some(prove::prove(lock, &records, &files, &anchors)?))
}

/// What was proved, for people: a line for each ecosystem.
pub(crate) fn proof_lines(proof: &Proof) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, (ecosystem, levels)) in proof.levels.iter().enumerate() {
        let head = if number == 0 { "upstream" } else { "" };
        let counts = levels.iter().rev();
        let counts: Vec<String> = counts.map(|(level, n)| format!("{n} at {level}")).collect();
        let files = || proof.files.iter().filter(|f| f.ecosystem == *ecosystem);
        let gaps: BTreeSet<&str> = files().filter_map(|f| Some(f.gap?.as_str())).collect();
        let keys: BTreeSet<&str> = files().flat_map(|f| &f.by).map(String::as_str).collect();
        let mut line = format!("{head:10} {:8}{}", ecosystem.as_str(), counts.join(", "));
        for (word, names) in [("no signature:", gaps), ("by", keys)] {
            if !names.is_empty() {
                let names: Vec<&str> = names.into_iter().collect();
                line = format!("{line}; {word} {}", names.join(", "));
            }
        }
        lines.push(line);
    }
    lines
}

/// How well upstreams vouch for what was resolved: what the lock before does not have is seen for the first time.
#[cfg(feature = "connected")]
pub(crate) fn resolved<'a>(lock: &'a Lock, before: Option<&Lock>) -> Vec<Line<'a>> {
    let mut lines = evidence::lines(lock);
    evidence::first_seen(&mut lines, before);
    lines
}

/// How well upstreams vouch for every carried file, for reports.
pub(crate) fn lines_json(lines: &[Line<'_>]) -> Value {
    let line = |line: &Line<'_>| {
        json!({
            "ecosystem": line.package.ecosystem,
            "release": line.package.id(),
            "file": escaped(&line.artifact.file),
            "level": line.level,
            "gap": line.gap,
        })
    };
    lines.iter().map(line).collect()
}

/// The same as a table for people, the weakest first.
pub(crate) fn lines_table(lines: &[Line<'_>]) -> Vec<String> {
    let mut sorted: Vec<&Line<'_>> = lines.iter().collect();
    sorted.sort_by_key(|line| line.level);
    let head = format!(
        "{:6}{:13}{:10}{}",
        "Level", "No signature", "Ecosystem", "File"
    );
    let rows = sorted.into_iter().map(|line| {
        let release = escaped(&line.package.id().to_string());
        let gap = line.gap.map_or("", Gap::as_str);
        let id = line.package.ecosystem.as_str();
        let file = escaped(&line.artifact.file);
        format!("{:6}{gap:13}{id:10}{release} {file}", line.level.as_str())
    });
    std::iter::once(head).chain(rows).collect()
}

/// How many files stand where, in one line: `npm 2 at L3, 1 at L2; debian 3 at L4`.
#[cfg(feature = "connected")]
pub(crate) fn lines_summary(lines: &[Line<'_>]) -> String {
    let mut levels: BTreeMap<&EcosystemId, BTreeMap<Level, usize>> = BTreeMap::new();
    for line in lines {
        let of = levels.entry(&line.package.ecosystem).or_default();
        *of.entry(line.level).or_default() += 1;
    }
    let told = levels.iter().map(|(id, levels)| {
        let counts = levels.iter().rev();
        let counts: Vec<String> = counts.map(|(level, n)| format!("{n} at {level}")).collect();
        format!("{id} {}", counts.join(", "))
    });
    told.collect::<Vec<_>>().join("; ")
}
