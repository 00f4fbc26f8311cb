//! What a generation shows: the union of bundles, rendered from their verified documents. Nothing is written here.

use std::collections::BTreeMap;

use serde_json::json;

use crate::base::digest::{Digest, Digests};
use crate::base::limits::LIMITS;
use crate::base::package::EcosystemId;
use crate::bundle::manifest::{BundleManifest, ManifestFile};
use crate::eco::{self, BundleView, Publishing, RepoContent, RepoFile, RepoView};
use crate::fs;
use crate::import::ImportError;
use crate::import::block;
use crate::import::cas::Cas;
use crate::import::layout::Layout;
use crate::import::state::{BundleEntry, State};
use crate::lock::{Lock, Records};
use crate::verify::Bundle;

/// The file of a generation that says what it is.
pub const ABOUT: &str = "repository.json";

/// Paths of a tree and what is there.
pub type Tree = BTreeMap<String, RepoContent>;

/// A bundle with everything that rendering reads of it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Digest of its statement.
    pub id: Digest,
    /// Channel, serial and times.
    pub entry: BundleEntry,
    manifest: BundleManifest,
    /// `None`: a plain bundle.
    lock: Option<Lock>,
    records: Records,
    artifacts: BTreeMap<EcosystemId, BTreeMap<String, Digests>>,
}

impl Loaded {
    /// The bundle that was just verified; documents that a delta does not carry are in the store.
    pub fn verified(
        layout: &Layout,
        bundle: &Bundle,
        entry: BundleEntry,
    ) -> Result<Self, ImportError> {
        let cas = Cas::new(layout.cas());
        let read = |file: &ManifestFile| match bundle.documents.get(&file.path) {
            Some(document) => Ok(document.clone()),
            None => cas.read(&file.digests.sha256, LIMITS.document),
        };
        Self::new(bundle.id.0, entry, bundle.manifest.clone(), read)
    }

    /// A bundle that was imported before.
    pub fn stored(layout: &Layout, id: Digest, entry: &BundleEntry) -> Result<Self, ImportError> {
        let manifest = stored_manifest(layout, id, entry)?;
        let cas = Cas::new(layout.cas());
        let read = |file: &ManifestFile| cas.read(&file.digests.sha256, LIMITS.document);
        Self::new(id, entry.clone(), manifest, read)
    }

    /// Its lock; `None` for a plain bundle.
    pub const fn lock(&self) -> Option<&Lock> {
        self.lock.as_ref()
    }

    /// Its records.
    pub const fn records(&self) -> &Records {
        &self.records
    }

    /// Every file in it.
    pub const fn manifest(&self) -> &BundleManifest {
        &self.manifest
    }

    fn new(
        id: Digest,
        entry: BundleEntry,
        manifest: BundleManifest,
        read: impl Fn(&ManifestFile) -> Result<Vec<u8>, ImportError>,
    ) -> Result<Self, ImportError> {
        let (mut lock, mut records) = (None, Records::new());
        let mut artifacts: BTreeMap<EcosystemId, BTreeMap<String, Digests>> = BTreeMap::new();
        if let Some(file) = manifest.file("lock/stage.lock") {
            lock = Some(crate::lock::format::parse(&read(file)?)?);
        }
        for file in manifest.files.iter().filter(|_| lock.is_some()) {
            let path = file.path.as_str();
            let record = path
                .strip_prefix("lock/records/")
                .and_then(|name| name.strip_suffix(".json"));
            if let Some(ecosystem) = record.and_then(|id| id.parse().ok()) {
                records.insert(ecosystem, read(file)?);
            }
            let artifact = path
                .strip_prefix("artifacts/")
                .and_then(|p| p.split_once('/'));
            if let Some((ecosystem, name)) = artifact
                && let Ok(ecosystem) = ecosystem.parse()
            {
                let known = artifacts.entry(ecosystem).or_default();
                known.insert(name.to_owned(), file.digests);
            }
        }
        Ok(Self {
            id,
            entry,
            manifest,
            lock,
            records,
            artifacts,
        })
    }

    /// Whether it comes after `other` in their channel.
    fn is_after(&self, other: &Self) -> bool {
        (self.entry.epoch, self.entry.serial) > (other.entry.epoch, other.entry.serial)
    }

    /// Its files below `folder`, by the rest of their path.
    fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, Digest)> {
        self.manifest.files.iter().filter_map(move |file| {
            let rest = file.path.as_str().strip_prefix(folder)?;
            Some((rest, file.digests.sha256))
        })
    }
}

/// The manifest of a bundle that was imported before.
pub fn stored_manifest(
    layout: &Layout,
    id: Digest,
    entry: &BundleEntry,
) -> Result<BundleManifest, ImportError> {
    let path = layout.bundle(&id).join("manifest.json");
    let bytes = fs::read_beneath(layout.root(), &path, LIMITS.manifest)?.unwrap_or_default();
    if Digest::of(&bytes) != entry.manifest {
        return Err(ImportError::State {
            reason: format!("the manifest of bundle {id} has other bytes"),
        });
    }
    Ok(BundleManifest::parse(&bytes)?)
}

/// Renders the union of `bundles` as one tree for clients that reach it at the address that `state` names, without what
/// it blocks.
pub fn render(
    mut bundles: Vec<Loaded>,
    state: &State,
    number: u64,
    publishing: &Publishing<'_>,
) -> Result<Tree, ImportError> {
    bundles.sort_by(|a, b| {
        let key = |l: &Loaded| {
            (
                l.entry.created,
                l.entry.channel.clone(),
                l.entry.epoch,
                l.entry.serial,
            )
        };
        key(a).cmp(&key(b))
    });
    let mut newest: BTreeMap<&str, &Loaded> = BTreeMap::new();
    for bundle in &bundles {
        let channel = bundle.entry.channel.as_str();
        if newest.get(channel).is_none_or(|old| bundle.is_after(old)) {
            newest.insert(channel, bundle);
        }
    }
    let mut tree = Tree::new();
    for ecosystem in eco::ALL {
        let rendered = render_ecosystem(*ecosystem, &bundles, state, &mut tree)?;
        add(&mut tree, "", ecosystem.publish(rendered, publishing)?);
    }
    plain_files(&newest, &mut tree);
    documents(&bundles, &newest, &mut tree);
    let about = json!({
        "schema": "stage/repository/v1",
        "base_url": state.base_url,
        "blocked": state.blocks.keys().collect::<Vec<_>>(),
        "generation": number,
        "bundles": bundles.iter().map(|b| json!({
            "channel": b.entry.channel,
            "epoch": b.entry.epoch,
            "serial": b.entry.serial,
            "created": b.entry.created,
            "statement": b.id,
        })).collect::<Vec<_>>(),
    });
    let about = crate::base::json::canonical(&about);
    tree.insert(ABOUT.to_owned(), RepoContent::Bytes(about));
    tree.keys().try_for_each(|path| check_path(path))?;
    Ok(tree)
}

/// Adds pins and bootstrap of an ecosystem to the tree; returns its registry, which is yet to be published.
fn render_ecosystem(
    ecosystem: &dyn eco::Ecosystem,
    bundles: &[Loaded],
    state: &State,
    tree: &mut Tree,
) -> Result<Vec<RepoFile>, ImportError> {
    let (id, none, base_url) = (ecosystem.id(), BTreeMap::new(), state.base_url.as_str());
    let mut views: Vec<BundleView<'_>> = Vec::new();
    for bundle in bundles {
        let Some(lock) = &bundle.lock else { continue };
        views.push(BundleView {
            channel: &bundle.entry.channel,
            epoch: bundle.entry.epoch,
            serial: bundle.entry.serial,
            created: bundle.entry.created,
            lock,
            records: bundle.records.get(&id).map_or(&[], Vec::as_slice),
            artifacts: bundle.artifacts.get(&id).unwrap_or(&none),
        });
    }
    let mut kept: Vec<(Lock, Vec<u8>)> = Vec::new();
    for view in views.iter().filter(|_| !state.blocks.is_empty()) {
        kept.push(block::without_blocked(
            state,
            ecosystem,
            view.lock,
            view.records,
        )?);
    }
    let mut open = views.clone();
    for (view, (lock, records)) in open.iter_mut().zip(&kept) {
        (view.lock, view.records) = (lock, records);
    }
    let view = RepoView {
        bundles: &open,
        base_url,
    };
    let rendered = ecosystem.render(&view)?;
    add(tree, "bootstrap/", ecosystem.bootstrap(&view)?);
    views.sort_by_key(|v| (v.epoch, v.serial));
    for bundle in &views {
        let folder = format!("pins/{}/{}/", bundle.channel, bundle.serial);
        add(tree, &folder, ecosystem.pins(bundle, base_url)?);
        // The channel's newest serial, for scripts that have nothing but HTTP.
        let latest = RepoContent::Bytes(format!("{}\n", bundle.serial).into_bytes());
        tree.insert(format!("pins/{}/latest", bundle.channel), latest);
    }
    Ok(rendered)
}

fn add(tree: &mut Tree, folder: &str, files: Vec<RepoFile>) {
    for file in files {
        tree.insert(format!("{folder}{}", file.path), file.content);
    }
}

/// `files/<channel>/` is what the channel's newest bundle says, and nothing of older ones: a plain bundle as it is, a
/// bundle with a lock by its plain-file ecosystem, which rendered already.
fn plain_files(newest: &BTreeMap<&str, &Loaded>, tree: &mut Tree) {
    for (channel, bundle) in newest {
        if bundle.lock.is_some() {
            continue;
        }
        let folder = format!("files/{channel}/");
        tree.retain(|path, _| !path.starts_with(&folder));
        for (path, digest) in bundle.below("") {
            tree.insert(format!("{folder}{path}"), RepoContent::Blob(digest));
        }
    }
}

/// The private CA of each channel's newest bundle, and every bundle's SBOM.
fn documents(bundles: &[Loaded], newest: &BTreeMap<&str, &Loaded>, tree: &mut Tree) {
    for (channel, bundle) in newest.iter().filter(|(_, b)| b.lock.is_some()) {
        for (path, digest) in bundle.below("ca/") {
            tree.insert(format!("ca/{channel}/{path}"), RepoContent::Blob(digest));
        }
    }
    let mut ordered: Vec<&Loaded> = bundles.iter().filter(|b| b.lock.is_some()).collect();
    ordered.sort_by_key(|b| (b.entry.epoch, b.entry.serial));
    for bundle in ordered {
        for (path, digest) in bundle.below("sbom/") {
            let path = format!(
                "sbom/{}/{}/{path}",
                bundle.entry.channel, bundle.entry.serial
            );
            tree.insert(path, RepoContent::Blob(digest));
        }
    }
}

/// A rendered path may not leave its generation, whatever an ecosystem made of foreign names.
fn check_path(path: &str) -> Result<(), ImportError> {
    let ok = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.len() <= 255
            && segment.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
    };
    if path.len() <= 2048 && path.split('/').all(ok) {
        return Ok(());
    }
    Err(ImportError::Render {
        path: crate::base::text::quoted(path),
    })
}

#[cfg(test)]
mod tests {
    use super::check_path;

    #[test]
    fn no_rendered_path_leaves_its_generation() {
        check_path("npm/@a/b/-/b-1.0.0.tgz").unwrap();
        for bad in [
            "", "/x", "a//b", "a/../b", "a/.", "a/", "a\0", "a b", "a\\b", "é",
        ] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }
}
