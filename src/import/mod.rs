//! Import: from a bundle to a published repository, all or nothing.
//!
//! ```text
//! REPO/cas/sha256/ab/<hex>   immutable blobs, 0444
//! REPO/incoming/<id>/        quarantine of a running import; swept at start
//! REPO/gen/<n>/              one complete tree for clients: npm/ files/ ca/ sbom/ pins/ bootstrap/ repository.json
//! REPO/current -> gen/<n>    what clients see
//! REPO/state/                state.json, root.json, journal.jsonl, bundles/, receipts/, trees/, lock
//! ```
//!
//! What may be opened: everything of the repository that a process of another user could have put a link in place of is
//! opened below the repository only, links not followed (`fs::open_beneath`), and the folders themselves are looked at
//! first ([`safety`]).
//!
//! The medium is read once, by `verify::bundle` with the quarantine as its sink. Then, in this order: the next tree is
//! rendered from the verified documents, blobs are linked into the store, the tree is written and named, the mark and
//! the journal are committed, `current` is switched. Killed anywhere, `current` is the old tree or the new one; killed
//! between mark and switch, the same bundle (or any next one) completes it. An import that fails before the mark takes
//! back what it added (see [`undo`]); one of what is already there writes nothing.

pub mod archives;
pub mod audit;
pub mod block;
pub mod cas;
pub mod error;
pub mod gc;
pub mod generation;
pub mod init;
pub mod inventory;
pub mod journal;
pub mod layout;
pub mod listing;
pub mod mark;
pub mod owners;
pub mod policy;
pub mod preview;
pub mod publish;
pub mod purl;
pub mod quarantine;
pub mod query;
pub mod receipt;
pub mod remove;
pub mod repair;
pub mod rollback;
pub mod safety;
pub mod state;
pub mod strays;
pub mod undo;
pub mod vulns;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::base::digest::Digest;
use crate::base::limits::LIMITS;
use crate::base::progress::{Progress, Unit};
use crate::base::text::escaped;
use crate::base::time::Timestamp;
use crate::eco::{Publishing, ReleaseSigner};
use crate::fs::{self, LockFile};
use crate::import::archives::Linted;
use crate::import::cas::Cas;
use crate::import::generation::{Loaded, Tree};
use crate::import::journal::Event;
use crate::import::layout::Layout;
use crate::import::policy::{Circumstances, Judged};
use crate::import::quarantine::{Arrival, Quarantine};
use crate::import::receipt::{Place, Receipt};
use crate::import::state::{BundleEntry, Change, GenerationEntry, Mark, Memory};
use crate::import::undo::Undo;
use crate::verify::{self, Bundle, Check, Judge, Verified};

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
        /// Damaged or missing blobs and documents that were replaced.
        repaired: usize,
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
    /// Whether to compare every blob that is there already with the bundle's, and replace what is damaged.
    pub repair: bool,
    /// Why an expired bundle may come in, in a repository that was made to allow it.
    pub allow_expired: Option<&'a str>,
    /// The file of approvals that came with the bundle.
    pub approvals: Option<&'a [u8]>,
    /// The proof that came with it.
    pub proof: Option<&'a [u8]>,
    /// Whether to read the archives before anything is published, whatever the repository demands.
    pub lint: bool,
    /// Releases (`ecosystem:name@version`) whose archives may have problems.
    pub accept_archives: &'a [String],
    /// Gets the checks that passed before the bundle was refused.
    pub refused_after: Option<&'a RefCell<Vec<Check>>>,
    /// Version and build of this program, for the receipt.
    pub tool: &'a str,
    /// Whether the host is in FIPS mode, for the receipt.
    pub fips_host: bool,
    /// Signs the apt index.
    pub signer: &'a dyn ReleaseSigner,
}

impl ImportRequest<'_> {
    /// Why the bundle was let in although it has expired; `None` when it has not.
    pub fn reason_for(&self, bundle: &Bundle) -> Option<&str> {
        self.allow_expired
            .filter(|_| bundle.statement.expires <= self.now)
            .map(str::trim)
    }
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
    let known = known.filter(|_| !request.repair).map(|b| b.manifest);
    let mut quarantine = Quarantine::new(&repository.layout, known.collect());
    let base = Base::new(Cas::new(repository.layout.cas()));
    let have = |digest: &Digest| base.has(digest);
    let mut seen = repository.memory.state.seen();
    if let Some(reason) = request.allow_expired {
        block::checked(reason)?;
        if !repository.memory.state.allow_expired_imports {
            return Err(ImportError::ExpiredNotAllowed);
        }
        seen.allow_expired = true;
    }
    if request.repair {
        seen.again = repository.memory.state.bundles.keys().copied().collect();
    }
    let judge = Judge {
        root: &repository.memory.root,
        state: Some(&seen),
        now: request.now,
        approvals: request.approvals,
        proof: request.proof,
        have: &have,
    };
    let judged = verify::bundle(reader, &judge, &mut quarantine, progress);
    if let (Err(_), Some(passed)) = (&judged, request.refused_after) {
        passed.borrow_mut().extend_from_slice(quarantine.passed());
    }
    let bundle = judged?;
    repository.memory.state.check_demands(&bundle)?;
    // `gc` may have forgotten the bundle that is the mark: then it comes in like a new one.
    let known = repository.memory.state.bundles.contains_key(&bundle.id.0);
    if bundle.already_imported && known {
        return repository.again(&bundle, quarantine, &base, request, progress);
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
        if let Some(number) = safety::published(&layout)?
            && !memory.state.generations.contains_key(&number)
        {
            return Err(ImportError::State {
                reason: format!(
                    "generation {number} is published, but not recorded: the state was set back to an older one"
                ),
            });
        }
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
        base: &Base,
        request: &ImportRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<Imported, ImportError> {
        // What the repository demands was done when it came in; here only the command line counts.
        let mut linted = None;
        if request.lint {
            check_base(bundle, &quarantine, base)?;
            linted = Some(self.lint(bundle, &quarantine, request, progress)?);
        }
        let mut repaired = self.adopt(bundle, &quarantine, true)?;
        if request.repair {
            repaired += self.repair_documents(bundle)?;
        }
        if repaired > 0 {
            let detail = format!("{repaired} damaged or missing files replaced");
            let change = Change {
                bundle: Some(bundle.id.0),
                channel: Some(&bundle.statement.channel),
                serial: Some(bundle.statement.serial),
                detail: Some(&detail),
                ..Change::new(Event::Repair, request.now)
            };
            let line = state::commit(&self.layout, &self.memory, &change, &mut self.undo)?;
            self.memory.journal.last = Some(line);
        }
        self.undo.keep();
        quarantine.finish()?;
        let completed = publish::complete(&self.layout, self.memory.state.generation)?;
        let state = &self.memory.state;
        let place = Place {
            sequence: None,
            previous: self.memory.journal.last,
        };
        let mut receipt = Receipt::new(bundle, request, state.time_floor, state.generation, place);
        receipt.already_imported = true;
        receipt.lint = linted;
        Ok(Imported::Already {
            receipt: Box::new(receipt),
            completed,
            shown: state.active.contains(&bundle.id.0),
            repaired,
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
        let (entry, floor) = (entry_of(bundle), self.memory.state.time_floor);
        self.note(bundle, entry.clone());
        let number = self.memory.state.generation + 1;
        let mut loaded = self.load_active(Some(bundle.id.0))?;
        loaded.push(Loaded::verified(&self.layout, bundle, entry)?);
        let publishing = self.publishing(request.now, request.signer);
        let tree = generation::render(loaded, &self.memory.state, number, &publishing)?;
        check_base(bundle, &quarantine, base)?;
        let judged = self.judge(bundle, &quarantine, request)?;
        let mut linted = None;
        if request.lint || self.memory.state.lint_imports {
            linted = Some(self.lint(bundle, &quarantine, request, progress)?);
        }
        progress.begin("Publishing", tree.len() as u64, Unit::Items);
        let repaired = self.adopt(bundle, &quarantine, false)?;
        self.keep_documents(bundle)?;
        self.memory.root = bundle.root.clone();
        let mut receipt = Receipt::new(bundle, request, floor, number, self.next_place());
        receipt.lint = linted;
        receipt.policy = judged;
        let text = receipt.text();
        let detail = detail(request.reason_for(bundle), repaired, receipt.lint.as_ref());
        let change = Change {
            bundle: Some(bundle.id.0),
            channel: Some(&bundle.statement.channel),
            serial: Some(bundle.statement.serial),
            receipt: Some(&text),
            detail: detail.as_deref(),
            ..Change::new(Event::Import, request.now)
        };
        self.publish(&tree, &change)?;
        progress.end();
        quarantine.finish()?;
        Ok(Imported::Published(Box::new(receipt)))
    }

    /// What the repository's policy says of a bundle, if it has one.
    fn judge(
        &self,
        bundle: &Bundle,
        quarantine: &Quarantine,
        request: &ImportRequest<'_>,
    ) -> Result<Option<Judged>, ImportError> {
        let Some(text) = &self.memory.state.policy else {
            return Ok(None);
        };
        let open = |digest: &Digest| {
            let path = self.place(quarantine, digest);
            Ok(Box::new(fs::open_inside(self.layout.root(), &path)?) as Box<dyn Read>)
        };
        let with = Circumstances {
            reads_archives: request.lint || self.memory.state.lint_imports,
            now: request.now,
        };
        let judged = policy::check(text, bundle, Some(&open), with);
        if let (Err(_), Some(passed)) = (&judged, request.refused_after) {
            passed.borrow_mut().extend_from_slice(&bundle.checks);
        }
        judged.map(Some)
    }

    /// Reads the archives where they are: those that came in, in quarantine, the others in the store.
    fn lint(
        &self,
        bundle: &Bundle,
        quarantine: &Quarantine,
        request: &ImportRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<Linted, ImportError> {
        let root = self.layout.root();
        let path = &|digest: &Digest| self.place(quarantine, digest);
        let open = |digest: &Digest| fs::open_inside(root, &path(digest));
        let linted = archives::check(bundle, request.accept_archives, path, open, progress);
        if let (Err(_), Some(passed)) = (&linted, request.refused_after) {
            passed.borrow_mut().extend_from_slice(&bundle.checks);
        }
        linted
    }

    /// Where a blob of the bundle is: in quarantine if it came in, else in the store.
    fn place(&self, quarantine: &Quarantine, digest: &Digest) -> PathBuf {
        match quarantine.arrived().get(digest) {
            Some(Arrival::Fresh) => quarantine.path(digest),
            _ => Cas::new(self.layout.cas()).path(digest),
        }
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
        Publishing {
            date: self.memory.state.next_date(now),
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

    /// Links everything that waits in quarantine into the store. Returns how many blobs were damaged or, if the bundle
    /// was imported before, missing.
    fn adopt(
        &mut self,
        bundle: &Bundle,
        quarantine: &Quarantine,
        again: bool,
    ) -> Result<usize, ImportError> {
        let cas = Cas::new(self.layout.cas());
        let (mut touched, mut replaced) = (BTreeSet::new(), BTreeMap::new());
        for digest in &bundle.manifest.carried {
            if quarantine.arrived().get(digest) == Some(&Arrival::Fresh) {
                let path = quarantine.path(digest);
                let damaged = cas.adopt(&path, digest, &mut touched, &mut self.undo)?;
                // No file has the node of a blob that was missing; the lists say where it should be.
                let damaged = damaged.or_else(|| again.then(Default::default));
                replaced.extend(damaged.map(|node| (*digest, node)));
            }
        }
        for directory in &touched {
            fs::sync_dir(directory)?;
        }
        repair::relink(&self.layout, &self.memory.state, &replaced)?;
        Ok(replaced.len())
    }

    /// Keeps statement and manifest, which later renderings read.
    fn keep_documents(&mut self, bundle: &Bundle) -> Result<(), ImportError> {
        let dir = self.layout.bundle(&bundle.id.0);
        self.undo.tree(&dir);
        fs::create_dir_all(&dir, 0o755)?;
        fs::set_mode(&dir, 0o755)?;
        for (path, bytes) in documents(&dir, bundle) {
            fs::write_atomic(&path, &bytes, 0o444)?;
        }
        fs::sync_dir(&self.layout.bundles())?;
        Ok(())
    }

    /// Writes statement and manifest again where they are damaged. Returns how many were.
    fn repair_documents(&self, bundle: &Bundle) -> Result<usize, ImportError> {
        let mut repaired = 0;
        for (path, bytes) in documents(&self.layout.bundle(&bundle.id.0), bundle) {
            if fs::read(&path, LIMITS.manifest).ok().as_ref() != Some(&bytes) {
                fs::create_dir_all(fs::parent(&path), 0o755)?;
                fs::write_atomic(&path, &bytes, 0o444)?;
                repaired += 1;
            }
        }
        Ok(repaired)
    }

    /// Writes `tree` as the next generation, commits the state with it, shows it.
    fn publish(&mut self, tree: &Tree, change: &Change<'_>) -> Result<(), ImportError> {
        let state = &mut self.memory.state;
        let number = state.generation + 1;
        let list = publish::build(&self.layout, number, tree, &mut self.undo)?;
        state.generation = number;
        let entry = GenerationEntry {
            published: state.next_date(change.now),
            bundles: state.active.clone(),
            tree: Some(list),
        };
        state.generations.insert(number, entry);
        state::commit(&self.layout, &self.memory, change, &mut self.undo)?;
        publish::switch(&self.layout, number)
    }
}

/// What the journal says of an import beside what was imported.
fn detail(reason: Option<&str>, repaired: usize, linted: Option<&Linted>) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(reason) = reason {
        parts.push(format!("it had expired: {}", escaped(reason)));
    }
    if repaired > 0 {
        parts.push(format!("{repaired} damaged blobs were replaced"));
    }
    if let Some(linted) = linted.filter(|l| !l.accepted.is_empty()) {
        let names: Vec<String> = linted.accepted.iter().map(|name| escaped(name)).collect();
        parts.push(format!("archives were accepted: {}", names.join(", ")));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
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

/// What is kept of a bundle beside its blobs, and where.
fn documents(dir: &Path, bundle: &Bundle) -> [(PathBuf, Vec<u8>); 2] {
    [
        (dir.join("statement.json"), bundle.statement_bytes.clone()),
        (dir.join("manifest.json"), bundle.manifest.canonical()),
    ]
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
