//! Putting whole blobs in the place of damaged ones. The damaged file has other names: in every generation that shows it.
//! Each of them is replaced by one rename, so that a reader gets the old bytes or the right ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::base::digest::Digest;
use crate::fs;
use crate::import::ImportError;
use crate::import::cas::{Cas, Node};
use crate::import::layout::Layout;
use crate::import::listing;
use crate::import::state::{GenerationEntry, State};

/// Makes every file of every generation that shows one of the `replaced` blobs a link to the whole one. The nodes are
/// those of the damaged files. Returns how many files there were.
pub fn relink(
    layout: &Layout,
    state: &State,
    replaced: &BTreeMap<Digest, Node>,
) -> Result<usize, ImportError> {
    if replaced.is_empty() {
        return Ok(0);
    }
    let cas = Cas::new(layout.cas());
    let mut count = 0;
    for (number, entry) in &state.generations {
        let stale = stale(layout, *number, entry, replaced)?;
        let mut folders = BTreeSet::new();
        for (path, digest) in stale {
            replace(layout, &cas.path(&digest), &path)?;
            folders.insert(fs::parent(&path).to_owned());
            count += 1;
        }
        folders.iter().try_for_each(|folder| fs::sync_dir(folder))?;
    }
    Ok(count)
}

/// Files of a generation that are, or by its list should be, one of the blobs and are not the whole one.
fn stale(
    layout: &Layout,
    number: u64,
    entry: &GenerationEntry,
    replaced: &BTreeMap<Digest, Node>,
) -> Result<BTreeMap<PathBuf, Digest>, ImportError> {
    let root = layout.generation(number);
    let cas = Cas::new(layout.cas());
    let mut stale = BTreeMap::new();
    if !fs::exists(&root) {
        return Ok(stale);
    }
    let by_node: BTreeMap<Node, Digest> = replaced.iter().map(|(d, node)| (*node, *d)).collect();
    let (files, _others) = fs::walk(&root)?;
    for file in files {
        let path = root.join(file);
        if let Some(digest) = by_node.get(&fs::node(&path)?) {
            stale.insert(path, *digest);
        }
    }
    let listed = entry.tree.map(|tree| listing::read(layout, number, tree));
    for (path, digest) in listed.and_then(Result::ok).unwrap_or_default() {
        let path = root.join(path);
        if replaced.contains_key(&digest)
            && (!fs::exists(&path) || fs::node(&path)? != fs::node(&cas.path(&digest))?)
        {
            stale.insert(path, digest);
        }
    }
    Ok(stale)
}

fn replace(layout: &Layout, blob: &Path, path: &Path) -> Result<(), ImportError> {
    // Nothing that is half done stands in a published tree: the quarantine is on the same file system and is swept.
    let link = layout.incoming().join("link");
    fs::remove_file(&link)?;
    fs::hard_link(blob, &link)?;
    Ok(fs::rename(&link, path)?)
}
