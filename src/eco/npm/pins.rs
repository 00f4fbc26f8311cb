//! Exact npm pins: `package.json` and `package-lock.json` (lockfileVersion 3) that the real `npm ci` accepts, written
//! from a lock and its records. Every place of the tree is in it, those for other platforms too, since `npm ci` skips
//! them by their `os`, `cpu`, `libc` and `optional`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::base::digest::UpstreamChecksum;
use crate::base::package::EcosystemId;
use crate::eco::npm::placed::{EdgeKind, Flags, Placed, PlacedTree};
use crate::eco::npm::records::{self, NpmRecords, NpmVersion};
use crate::eco::npm::repo;
use crate::eco::{
    BundleView, EcoError, ExportForm, ExportRequest, ExportedFile, RepoContent, RepoFile,
};
use crate::lock::{Lock, LockedPackage};

/// The pins of one bundle, relative to `pins/<channel>/<serial>/`: `npm/package.json` and `npm/package-lock.json`, or
/// `npm/<install>/…` when the lock has several installs.
pub fn pins(bundle: &BundleView<'_>, base_url: &str) -> Result<Vec<RepoFile>, EcoError> {
    if bundle.records.is_empty() {
        return Ok(Vec::new());
    }
    let records = records::parse(bundle.records)?;
    let installs = installs(bundle.lock);
    let mut files = Vec::new();
    for install in &installs {
        let folder = if installs.len() == 1 {
            "npm".to_owned()
        } else {
            format!("npm/{install}")
        };
        let (package, lock) = package_lock(bundle.lock, &records, *install, Some(base_url))?;
        for (name, document) in [("package.json", package), ("package-lock.json", lock)] {
            files.push(RepoFile {
                path: format!("{folder}/{name}"),
                content: RepoContent::Bytes(pretty(&document)),
            });
        }
    }
    Ok(files)
}

/// Forms that `stage export` knows.
pub const FORMS: &[ExportForm] = &[ExportForm {
    name: "package-lock",
    about: "npm's package.json and package-lock.json (version 3), for `npm ci`",
}];

/// What `stage export` writes. One tree serves every platform; without an address npm asks its configured registry.
pub fn export(request: &ExportRequest<'_>) -> Result<Vec<ExportedFile>, EcoError> {
    let records = records::parse(request.records)?;
    let (package, locked) =
        package_lock(request.lock, &records, request.install, request.base_url)?;
    let file = |name: &str, document: &Value, optional| ExportedFile {
        name: name.to_owned(),
        text: format!("{document:#}\n"),
        optional,
    };
    Ok(vec![
        file("package-lock.json", &locked, false),
        file("package.json", &package, true),
    ])
}

/// The numbers of a lock's npm installs.
pub fn installs(lock: &Lock) -> BTreeSet<u32> {
    let npm = EcosystemId::npm();
    let asked = lock.requirements.iter().filter(|r| r.ecosystem == npm);
    let placed = lock
        .of(&npm)
        .flat_map(|p| &p.places)
        .filter_map(|place| place.split_once(':')?.0.parse().ok());
    asked.map(|r| r.install).chain(placed).collect()
}

/// The text of a client document: indented by two, as npm writes it.
pub fn pretty(document: &Value) -> Vec<u8> {
    let mut text = format!("{document:#}");
    text.push('\n');
    text.into_bytes()
}

/// `package.json` and `package-lock.json` of one install. With `base_url` every entry says where its tarball is;
/// without, npm asks its configured registry.
pub fn package_lock(
    lock: &Lock,
    records: &NpmRecords,
    install: u32,
    base_url: Option<&str>,
) -> Result<(Value, Value), EcoError> {
    let tree = PlacedTree::of_install(lock, records, install)?;
    let source = Source {
        records,
        locked: repo::by_release(lock),
        base_url,
    };
    let root = root_entry(&tree);
    let mut packages = Map::new();
    packages.insert(String::new(), root.clone().into());
    for (path, placed) in &tree.places {
        packages.insert(path.clone(), source.entry(placed, &tree)?);
    }
    let lock = json!({
        "name": NAME,
        "lockfileVersion": 3,
        "requires": true,
        "packages": packages,
    });
    let mut package = root;
    package.insert("private".to_owned(), true.into());
    Ok((package.into(), lock))
}

/// Name of the package that holds the pins; never published.
const NAME: &str = "stage-pins";

/// The root: name and exact versions of what was asked for.
fn root_entry(tree: &PlacedTree) -> Map<String, Value> {
    let mut root = Map::new();
    root.insert("name".to_owned(), NAME.into());
    let kinds = [
        ("dependencies", EdgeKind::Prod),
        ("devDependencies", EdgeKind::Dev),
        ("optionalDependencies", EdgeKind::Optional),
        ("peerDependencies", EdgeKind::Peer),
    ];
    for (key, kind) in kinds {
        let edges: BTreeMap<&str, String> = tree
            .roots
            .iter()
            .filter(|e| e.kind == kind)
            .filter_map(|e| Some((e.name.as_str(), exact(tree.places.get(e.to.as_ref()?)?))))
            .collect();
        if !edges.is_empty() {
            root.insert(key.to_owned(), json!(edges));
        }
    }
    root
}

/// The requirement that only this release meets.
fn exact(placed: &Placed) -> String {
    if placed.folder == placed.release.name {
        placed.release.version.clone()
    } else {
        format!("npm:{}", placed.release)
    }
}

struct Source<'a> {
    records: &'a NpmRecords,
    locked: BTreeMap<(&'a str, &'a str), &'a LockedPackage>,
    base_url: Option<&'a str>,
}

impl Source<'_> {
    fn entry(&self, placed: &Placed, tree: &PlacedTree) -> Result<Value, EcoError> {
        let release = &placed.release;
        let record = self
            .records
            .packages
            .get(&release.name)
            .and_then(|p| p.versions.get(&release.version))
            .ok_or_else(|| EcoError::Records {
                ecosystem: EcosystemId::npm(),
                reason: format!(
                    "{} is missing",
                    crate::base::text::quoted(&release.to_string())
                ),
            })?;
        let mut entry = Map::new();
        if placed.folder != release.name {
            entry.insert("name".to_owned(), release.name.as_str().into());
        }
        entry.insert("version".to_owned(), release.version.as_str().into());
        repo::manifest_fields(record, &mut entry);
        if record.has_shrinkwrap {
            entry.insert("hasShrinkwrap".to_owned(), true.into());
        }
        if placed.bundler.is_some() {
            entry.insert("inBundle".to_owned(), true.into());
            as_published(placed, tree, &mut entry);
        } else {
            self.origin(placed, record, &mut entry);
        }
        put_flags(placed.flags, &mut entry);
        Ok(entry.into())
    }

    fn origin(&self, placed: &Placed, record: &NpmVersion, entry: &mut Map<String, Value>) {
        let release = &placed.release;
        let key = (release.name.as_str(), release.version.as_str());
        let package = self.locked.get(&key).copied();
        if let Some(base_url) = self.base_url {
            let file = repo::tarball_file(package, release);
            let url = repo::tarball_url(base_url, &release.name, &file);
            entry.insert("resolved".to_owned(), url.into());
        }
        let stated = record.dist.as_ref().and_then(|d| d.integrity.clone());
        let locked = package
            .and_then(|p| p.artifacts.first())
            .map(|a| UpstreamChecksum::to_sri(&a.checksum));
        if let Some(integrity) = stated.or(locked) {
            entry.insert("integrity".to_owned(), integrity.into());
        }
    }
}

/// What is inside of a tarball is installed as it was published, whether its copies fit each other or not. `npm ci` refuses a
/// lock in which they do not, so a copy is written with the versions that it finds, and without what it does not find.
fn as_published(placed: &Placed, tree: &PlacedTree, entry: &mut Map<String, Value>) {
    for key in ["dependencies", "optionalDependencies", "peerDependencies"] {
        let Some(Value::Object(wanted)) = entry.get(key) else {
            continue;
        };
        let found: BTreeMap<&str, String> = placed
            .edges
            .iter()
            .filter(|edge| wanted.contains_key(&edge.name))
            .filter_map(|e| Some((e.name.as_str(), exact(tree.places.get(e.to.as_ref()?)?))))
            .collect();
        let found = json!(found);
        if found.as_object().is_none_or(Map::is_empty) {
            entry.remove(key);
        } else {
            entry.insert(key.to_owned(), found);
        }
    }
}

/// npm's flags, written as npm's own lock writer does.
fn put_flags(flags: Flags, entry: &mut Map<String, Value>) {
    let words: &[(&str, bool)] = if flags.extraneous {
        &[("extraneous", true)]
    } else {
        &[
            ("dev", flags.dev),
            ("devOptional", flags.dev_optional),
            ("optional", flags.optional),
            ("peer", flags.peer),
        ]
    };
    for (word, set) in words {
        if *set {
            entry.insert((*word).to_owned(), true.into());
        }
    }
}
