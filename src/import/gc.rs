//! Removing what no kept generation needs: mark and sweep.
//!
//! Kept are the newest generations, the published one, the bundles that any of them or the present union shows, and every
//! blob that such a bundle or such a generation's list names. A generation without a list (of an older version of
//! `stage`) keeps the blobs that its files are links to. Everything is marked before anything is removed, and a document
//! that cannot be read ends it: nothing is removed on a guess.
//!
//! The new state is committed first, then files are removed. A process that is killed in between leaves trees and
//! documents that the next writer sweeps, and blobs that the next `gc` finds. High-water marks stay: a bundle whose files
//! are gone can be imported again if it is its channel's newest, and an older one is still refused.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::base::digest::Digest;
use crate::base::time::Timestamp;
use crate::fs;
use crate::import::generation::stored_manifest;
use crate::import::inventory::Blobs;
use crate::import::journal::Event;
use crate::import::layout::Layout;
use crate::import::state::{self, BundleEntry, Change, State};
use crate::import::{ImportError, Repository, listing, publish, safety};

/// Generations that are kept unless something else is said.
pub const DEFAULT_KEEP: u16 = 5;

/// What would go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Generations.
    pub generations: Vec<u64>,
    /// Bundles that no kept generation shows.
    pub bundles: Vec<(Digest, BundleEntry)>,
    /// Blobs.
    pub blobs: Vec<Digest>,
    /// Bytes of the blobs.
    pub bytes: u64,
    /// What killed processes left in the store.
    pub drafts: Vec<PathBuf>,
}

impl Plan {
    /// Whether nothing would go.
    pub const fn is_empty(&self) -> bool {
        self.generations.is_empty()
            && self.bundles.is_empty()
            && self.blobs.is_empty()
            && self.drafts.is_empty()
    }
}

/// What would go if the newest `keep` generations are kept. Changes nothing.
///
/// # Errors
/// E42 when a document that says what is needed is damaged or missing.
pub fn plan(layout: &Layout, state: &State, keep: u16) -> Result<Plan, ImportError> {
    let mut kept: BTreeSet<u64> = state
        .generations
        .keys()
        .rev()
        .take(keep.into())
        .copied()
        .collect();
    kept.insert(state.generation);
    kept.extend(safety::published(layout)?);
    let mut needed: BTreeSet<Digest> = state.active.iter().copied().collect();
    let generations = || state.generations.iter().filter(|(n, _)| kept.contains(n));
    needed.extend(generations().flat_map(|(_, g)| &g.bundles));
    let blobs = Blobs::list(layout)?;
    let mut marked = BTreeSet::new();
    for (id, entry) in state.bundles.iter().filter(|(id, _)| needed.contains(id)) {
        let manifest = stored_manifest(layout, *id, entry)?;
        marked.extend(manifest.files.iter().map(|f| f.digests.sha256));
    }
    for (number, entry) in generations() {
        if let Some(tree) = entry.tree {
            marked.extend(listing::read(layout, *number, tree)?.into_values());
            continue;
        }
        let root = layout.generation(*number);
        for file in fs::walk(&root)?.0 {
            marked.extend(blobs.blob_at(&root.join(file))?);
        }
    }
    let gone: Vec<Digest> = blobs
        .digests()
        .into_iter()
        .filter(|d| !marked.contains(d))
        .collect();
    let out = state.bundles.iter().filter(|(id, _)| !needed.contains(id));
    let mut out: Vec<_> = out.map(|(id, entry)| (*id, entry.clone())).collect();
    out.sort_by_key(|(_, b)| (b.channel.clone(), b.epoch, b.serial));
    Ok(Plan {
        generations: state
            .generations
            .keys()
            .filter(|n| !kept.contains(n))
            .copied()
            .collect(),
        bundles: out,
        bytes: gone.iter().map(|d| blobs.size(d)).sum(),
        blobs: gone,
        drafts: blobs.drafts().to_vec(),
    })
}

impl Repository {
    /// Removes what [`plan`] says. Returns what went; writes nothing when nothing did.
    ///
    /// # Errors
    /// As [`plan`]; and E10. What could not be removed is removed by the next run.
    pub fn collect(&mut self, keep: u16, now: Timestamp) -> Result<Plan, ImportError> {
        let plan = plan(&self.layout, &self.memory.state, keep)?;
        if plan.is_empty() {
            return Ok(plan);
        }
        let state = &mut self.memory.state;
        state
            .generations
            .retain(|n, _| !plan.generations.contains(n));
        for (id, _) in &plan.bundles {
            state.bundles.remove(id);
        }
        let detail = format!(
            "removed {} generations, {} bundles, {} blobs of {} bytes",
            plan.generations.len(),
            plan.bundles.len(),
            plan.blobs.len(),
            plan.bytes
        );
        let change = Change {
            detail: Some(&detail),
            ..Change::new(Event::Gc, now)
        };
        state::commit(&self.layout, &self.memory, &change, &mut self.undo)?;
        publish::sweep(&self.layout, &self.memory.state)?;
        let blobs = Blobs::list(&self.layout)?;
        for path in plan
            .blobs
            .iter()
            .map(|d| blobs.path(d))
            .chain(plan.drafts.clone())
        {
            fs::remove_file(&path)?;
            fs::remove_empty_dir(fs::parent(&path))?;
        }
        fs::sync_dir(&self.layout.cas())?;
        Ok(plan)
    }
}
