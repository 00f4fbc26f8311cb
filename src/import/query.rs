//! Where a package is: which bundles, generations and pins hold it.

use serde::Serialize;

use crate::base::digest::Digest;
use crate::import::layout::Layout;
use crate::import::owners::{Shelf, Shelved, is_of, purl_of};
use crate::import::purl::{PurlPattern, covers};
use crate::import::state::State;
use crate::lock::LockedPackage;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Packages by package URL.
    Purl(PurlPattern),
    /// A blob.
    Digest(Digest),
    /// Packages, artifacts or plain files of this name.
    Name(String),
}

/// One package, or plain file, in one bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// Package URL; `None` for a plain file.
    pub purl: Option<String>,
    /// Names of its files.
    pub files: Vec<String>,
    /// Their blobs, in the order of their digests.
    pub blobs: Vec<Digest>,
    /// Channel of the bundle.
    pub channel: String,
    /// Serial of the bundle.
    pub serial: u64,
    /// Identity of the bundle.
    pub bundle: Digest,
    /// Whether the published generation shows the bundle.
    pub published: bool,
    /// Kept generations that show the bundle.
    pub generations: Vec<u64>,
    /// Folder of the pins that name it, in each of these generations; `None` for a plain file.
    pub pins: Option<String>,
    /// Why it is kept out of every index.
    pub blocked: Option<String>,
}

/// Everything that `wanted` means, by channel and serial.
pub fn query(layout: &Layout, state: &State, wanted: &Wanted) -> Vec<Hit> {
    let shelf = Shelf::read(layout, state);
    let hits = shelf.bundles.iter();
    hits.flat_map(|bundle| in_bundle(bundle, state, wanted))
        .collect()
}

fn in_bundle(bundle: &Shelved, state: &State, wanted: &Wanted) -> Vec<Hit> {
    let Some(lock) = &bundle.lock else {
        return plain(bundle, state, wanted);
    };
    let packages = lock.packages.iter().filter(|p| p.is_carried());
    let hits = packages.map(|package| hit(bundle, state, package));
    hits.filter_map(|(hit, package)| is_wanted(&hit, package, wanted).then_some(hit))
        .collect()
}

fn is_wanted(hit: &Hit, package: &LockedPackage, wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Purl(pattern) => purl_of(package).is_some_and(|purl| pattern.covers(&purl)),
        Wanted::Digest(digest) => hit.blobs.contains(digest),
        Wanted::Name(name) => package.name == *name || hit.files.contains(name),
    }
}

fn hit<'p>(
    bundle: &Shelved,
    state: &State,
    package: &'p LockedPackage,
) -> (Hit, &'p LockedPackage) {
    let purl = purl_of(package);
    let mut hit = of(bundle, state);
    hit.blocked = purl.as_ref().and_then(|purl| {
        let mut blocks = state.blocks.iter();
        let block = blocks.find(|(pattern, _)| covers(pattern, purl))?;
        Some(block.1.reason.clone())
    });
    hit.purl = purl.map(|p| p.to_string());
    hit.files = package.artifacts.iter().map(|a| a.file.clone()).collect();
    let folder = format!("pins/{}/{}", bundle.entry.channel, bundle.entry.serial);
    hit.pins = Some(folder);
    let artifacts = format!("artifacts/{}/", package.ecosystem);
    let held = bundle.manifest.files.iter();
    for file in held.filter(|f| f.path.as_str().starts_with(&artifacts)) {
        let is_its = |a| is_of(a, file.path.as_str(), &file.digests);
        if package.artifacts.iter().any(is_its) {
            hit.blobs.push(file.digests.sha256);
        }
    }
    hit.blobs.sort();
    hit.blobs.dedup();
    (hit, package)
}

fn plain(bundle: &Shelved, state: &State, wanted: &Wanted) -> Vec<Hit> {
    let mut hits = Vec::new();
    for file in &bundle.manifest.files {
        let path = file.path.as_str();
        let is_wanted = match wanted {
            Wanted::Purl(_) => false,
            Wanted::Digest(digest) => file.digests.sha256 == *digest,
            Wanted::Name(name) => path == name || path.rsplit('/').next() == Some(name),
        };
        if is_wanted {
            let mut hit = of(bundle, state);
            hit.files.push(path.to_owned());
            hit.blobs.push(file.digests.sha256);
            hits.push(hit);
        }
    }
    hits
}

fn of(bundle: &Shelved, state: &State) -> Hit {
    Hit {
        purl: None,
        files: Vec::new(),
        blobs: Vec::new(),
        channel: bundle.entry.channel.clone(),
        serial: bundle.entry.serial,
        bundle: bundle.id,
        published: state.active.contains(&bundle.id),
        generations: state.generations_with(&bundle.id),
        pins: None,
        blocked: None,
    }
}
