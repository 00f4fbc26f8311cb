//! Import: from a bundle to a published repository, all or nothing.
//!
//! ```text
//! REPO/cas/sha256/ab/<hex>   immutable blobs, 0444
//! REPO/incoming/<id>/        quarantine of a running import; swept at start
//! REPO/gen/<n>/              one complete tree for clients: npm/ files/ ca/ sbom/ pins/ bootstrap/ repository.json
//! REPO/current -> gen/<n>    what clients see
//! REPO/state/                state.json, root.json, journal.jsonl, bundles/, receipts/, lock
//! ```
//!
//! The medium is read once, by `verify::bundle` with the quarantine as its sink. Then, in this order: the next tree is
//! rendered from the verified documents, blobs are linked into the store, the tree is written and named, the mark and
//! the journal are committed, `current` is switched. Killed anywhere, `current` is the old tree or the new one; killed
//! between mark and switch, the same bundle (or any next one) completes it. An import that fails before the mark takes
//! back what it added (see [`undo`]); one of what is already there writes nothing.

pub mod cas;
pub mod error;
pub mod generation;
pub mod init;
pub mod journal;
pub mod layout;
pub mod listing;
pub mod publish;
pub mod quarantine;
pub mod receipt;
pub mod rollback;
pub mod safety;
pub mod state;
pub mod undo;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use crate::base::digest::Digest;
use crate::base::progress::{Progress, Unit};
use crate::base::time::Timestamp;
use crate::eco::{Publishing, ReleaseSigner};
use crate::fs::{self, LockFile};
use crate::import::cas::Cas;
use crate::import::generation::{Loaded, Tree};
use crate::import::journal::Event;
use crate::import::layout::Layout;
use crate::import::quarantine::{Arrival, Quarantine};
use crate::import::receipt::{Place, Receipt};
use crate::import::state::{BundleEntry, Change, GenerationEntry, Mark, Memory};
use crate::import::undo::Undo;
use crate::verify::{self, Bundle, Judge, Verified};

pub use crate::import::error::{CODES, ImportError};

/// What an import did.
#[derive(Debug)]
pub enum Imported {
    /// The bundle is new; a new generation is published.
    Published(Box<Receipt>),
    /// The bundle was imported before; nothing was written, or only what a killed import had left to do.
    Already {
        /// The receipt that the caller may keep; none is added to the repository.
        receipt: Box<Receipt>,
        /// Whether a killed import was completed.
        completed: bool,
        /// Whether the published generation shows the bundle (a rollback may have taken it out).
        shown: bool,
    },
}

/// How to import.
#[derive(Debug, Clone, Copy)]
pub struct ImportRequest<'a> {
    /// The repository.
    pub repository: &'a Path,
    /// The time now.
    pub now: Timestamp,
    /// Whether the administrator may import.
    pub allow_root: bool,
    /// Version and build of this program, for the receipt.
    pub tool: &'a str,
    /// Signs the apt index.
    pub signer: &'a dyn ReleaseSigner,
}

/// Imports the bundle that `reader` delivers.
///
/// # Errors
/// Everything that verification refuses; an unsafe repository (E41), a contradicting state (E42), another writer (E11),
/// a conflict with an earlier bundle, full or failing disks (E10). `current` is then what it was.
pub fn run<R: Read>(
    reader: R,
    request: &ImportRequest<'_>,
    progress: &dyn Progress,
) -> Result<Imported, ImportError> {
    safety::check_user(request.allow_root)?;
    let repository = Repository::open(request.repository)?;
    let known = repository.memory.state.bundles.values();
    let mut quarantine = Quarantine::new(&repository.layout, known.map(|b| b.manifest).collect());
    let base = Base::new(Cas::new(repository.layout.cas()));
    let have = |digest: &Digest| base.has(digest);
    let seen = repository.memory.state.seen();
    let judge = Judge {
        root: &repository.memory.root,
        state: Some(&seen),
        now: request.now,
        have: &have,
    };
    let bundle = verify::bundle(reader, &judge, &mut quarantine, progress)?;
    if bundle.already_imported {
        return repository.again(&bundle, quarantine, request);
    }
    repository.accept(&bundle, quarantine, &base, request, progress)
}

/// Blobs that were hashed in the store during this import.
struct Base {
    cas: Cas,
    hashed: RefCell<BTreeMap<Digest, bool>>,
}

impl Base {
    const fn new(cas: Cas) -> Self {
        Self {
            cas,
            hashed: RefCell::new(BTreeMap::new()),
        }
    }

    fn has(&self, digest: &Digest) -> bool {
        if let Some(known) = self.hashed.borrow().get(digest) {
            return *known;
        }
        let found = self.cas.rehash(digest);
        self.hashed.borrow_mut().insert(*digest, found);
        found
    }
}

/// A repository that this process may write to.
#[derive(Debug)]
pub struct Repository {
    layout: Layout,
    memory: Memory,
    /// What the change that is going on has added. Taken back before the lock is freed.
    undo: Undo,
    _lock: LockFile,
}

impl Repository {
    /// Checks the place, takes the lock, reads the state, and clears what a killed process left.
    pub fn open(root: &Path) -> Result<Self, ImportError> {
        let layout = Layout::new(root);
        if !fs::exists(root) || !fs::exists(&layout.state_dir()) {
            return Err(ImportError::NoRepository {
                path: root.to_owned(),
            });
        }
        safety::check(&layout)?;
        let lock = LockFile::try_exclusive(&layout.lock())?;
        let memory = state::recover(&layout)?;
        publish::sweep(&layout, &memory.state)?;
        Ok(Self {
            layout,
            memory,
            undo: Undo::default(),
            _lock: lock,
        })
    }

    /// A bundle that is the channel's high-water mark already.
    fn again(
        mut self,
        bundle: &Verified<Bundle>,
        quarantine: Quarantine,
        request: &ImportRequest<'_>,
    ) -> Result<Imported, ImportError> {
        let fresh = quarantine
            .arrived()
            .values()
            .any(|arrival| *arrival == Arrival::Fresh);
        if fresh {
            self.adopt(bundle, &quarantine)?;
            self.undo.keep();
            quarantine.finish()?;
        }
        let completed = publish::complete(&self.layout, self.memory.state.generation)?;
        let state = &self.memory.state;
        let place = Place {
            sequence: None,
            previous: self.memory.journal.last,
        };
        let mut receipt = Receipt::new(bundle, request, state.generation, place);
        receipt.already_imported = true;
        Ok(Imported::Already {
            receipt: Box::new(receipt),
            completed,
            shown: state.active.contains(&bundle.id.0),
        })
    }

    /// A new bundle: render, store, write, mark, publish.
    fn accept(
        mut self,
        bundle: &Verified<Bundle>,
        quarantine: Quarantine,
        base: &Base,
        request: &ImportRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<Imported, ImportError> {
        let entry = entry_of(bundle);
        self.note(bundle, entry.clone());
        let number = self.memory.state.generation + 1;
        let mut loaded = self.load_active(Some(bundle.id.0))?;
        loaded.push(Loaded::verified(&self.layout, bundle, entry)?);
        let publishing = self.publishing(request.now, request.signer);
        let tree = generation::render(loaded, &self.memory.state.base_url, number, &publishing)?;
        progress.begin("Publishing", tree.len() as u64, Unit::Items);
        check_base(bundle, &quarantine, base)?;
        self.adopt(bundle, &quarantine)?;
        self.keep_documents(bundle)?;
        self.memory.root = bundle.root.clone();
        let receipt = Receipt::new(bundle, request, number, self.next_place());
        let text = receipt.text();
        let change = Change {
            bundle: Some(bundle.id.0),
            channel: Some(&bundle.statement.channel),
            serial: Some(bundle.statement.serial),
            receipt: Some(&text),
            ..Change::new(Event::Import, request.now)
        };
        self.publish(&tree, &change)?;
        progress.end();
        quarantine.finish()?;
        Ok(Imported::Published(Box::new(receipt)))
    }

    /// Where the next line of the journal will stand.
    fn next_place(&self) -> Place {
        let journal = &self.memory.journal;
        Place {
            sequence: Some(journal.entries.len() as u64 + 1),
            previous: journal.last,
        }
    }

    /// What a new generation is published with. Its date is not before that of any other, whatever the clock says: apt
    /// takes no index that is older than the one it has.
    fn publishing<'a>(&self, now: Timestamp, signer: &'a dyn ReleaseSigner) -> Publishing<'a> {
        let known = self.memory.state.generations.values();
        let newest = known.map(|g| g.published).max();
        Publishing {
            date: newest.map_or(now, |newest| newest.max(now)),
            signer,
        }
    }

    /// Puts the bundle and its marks into the state that will be committed.
    fn note(&mut self, bundle: &Bundle, entry: BundleEntry) {
        let statement = &bundle.statement;
        let state = &mut self.memory.state;
        state.channels.insert(
            statement.channel.clone(),
            Mark {
                epoch: statement.epoch,
                serial: statement.serial,
                statement: bundle.id.0,
            },
        );
        state.time_floor = state.time_floor.max(Some(statement.created));
        state.bundles.insert(bundle.id.0, entry);
        let active: BTreeSet<Digest> = state.active.iter().copied().chain([bundle.id.0]).collect();
        state.active = active.into_iter().collect();
        state.root = bundle.root.fingerprint();
        state.root_version = bundle.root.version();
    }

    /// The bundles of the union, but for one.
    fn load_active(&self, except: Option<Digest>) -> Result<Vec<Loaded>, ImportError> {
        let state = &self.memory.state;
        let mut loaded = Vec::new();
        for id in state.active.iter().filter(|id| Some(**id) != except) {
            let entry = state.bundles.get(id).ok_or_else(|| ImportError::State {
                reason: format!("bundle {id} is in use, but not known"),
            })?;
            loaded.push(Loaded::stored(&self.layout, *id, entry)?);
        }
        Ok(loaded)
    }

    /// Links everything that waits in quarantine into the store.
    fn adopt(&mut self, bundle: &Bundle, quarantine: &Quarantine) -> Result<(), ImportError> {
        let cas = Cas::new(self.layout.cas());
        let mut touched = BTreeSet::new();
        for digest in &bundle.manifest.carried {
            if quarantine.arrived().get(digest) == Some(&Arrival::Fresh) {
                let path = quarantine.path(digest);
                cas.adopt(&path, digest, &mut touched, &mut self.undo)?;
            }
        }
        for directory in &touched {
            fs::sync_dir(directory)?;
        }
        Ok(())
    }

    /// Keeps statement and manifest, which later renderings read.
    fn keep_documents(&mut self, bundle: &Bundle) -> Result<(), ImportError> {
        let dir = self.layout.bundle(&bundle.id.0);
        self.undo.tree(&dir);
        fs::create_dir_all(&dir, 0o755)?;
        fs::set_mode(&dir, 0o755)?;
        fs::write_atomic(&dir.join("statement.json"), &bundle.statement_bytes, 0o444)?;
        fs::write_atomic(
            &dir.join("manifest.json"),
            &bundle.manifest.canonical(),
            0o444,
        )?;
        fs::sync_dir(&self.layout.bundles())?;
        Ok(())
    }

    /// Writes `tree` as the next generation, commits the state with it, shows it.
    fn publish(&mut self, tree: &Tree, change: &Change<'_>) -> Result<(), ImportError> {
        let state = &mut self.memory.state;
        let number = state.generation + 1;
        let list = publish::build(&self.layout, number, tree, &mut self.undo)?;
        state.generation = number;
        let entry = GenerationEntry {
            published: change.now,
            bundles: state.active.clone(),
            tree: Some(list),
        };
        state.generations.insert(number, entry);
        state::commit(&self.layout, &self.memory, change, &mut self.undo)?;
        publish::switch(&self.layout, number)
    }
}

/// Every blob that did not come in fresh must be in the store with the right bytes.
fn check_base(bundle: &Bundle, quarantine: &Quarantine, base: &Base) -> Result<(), ImportError> {
    for blob in bundle.manifest.blobs() {
        let digest = blob.digests.sha256;
        let good = match quarantine.arrived().get(&digest) {
            Some(Arrival::Fresh | Arrival::Same) => true,
            Some(Arrival::Unchecked) | None => base.has(&digest),
        };
        if !good {
            return Err(ImportError::Blob { digest });
        }
    }
    Ok(())
}

fn entry_of(bundle: &Bundle) -> BundleEntry {
    let statement = &bundle.statement;
    BundleEntry {
        channel: statement.channel.clone(),
        epoch: statement.epoch,
        serial: statement.serial,
        created: statement.created,
        expires: statement.expires,
        manifest: statement.manifest.sha256,
    }
}
