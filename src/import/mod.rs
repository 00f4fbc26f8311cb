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
//! between mark and switch, the same bundle (or any next one) completes it. An import of what is already there writes
//! nothing.

pub mod cas;
pub mod generation;
pub mod init;
pub mod journal;
pub mod layout;
pub mod publish;
pub mod quarantine;
pub mod receipt;
pub mod rollback;
pub mod safety;
pub mod state;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::base::digest::Digest;
use crate::base::fault::{Class, Code, Fault, Kind};
use crate::base::progress::{Progress, Unit};
use crate::base::time::Timestamp;
use crate::bundle::BundleError;
use crate::eco::{EcoError, Publishing, ReleaseSigner};
use crate::fs::{self, FsError, LockFile};
use crate::import::cas::Cas;
use crate::import::generation::{Loaded, Tree};
use crate::import::journal::Event;
use crate::import::layout::Layout;
use crate::import::quarantine::{Arrival, Quarantine};
use crate::import::receipt::Receipt;
use crate::import::state::{BundleEntry, Change, GenerationEntry, Mark, Memory};
use crate::lock::format::LockError;
use crate::trust::TrustError;
use crate::verify::{self, Bundle, Judge, Verified, VerifyError};

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &UNSAFE_TARGET,
    &AS_ROOT,
    &STATE,
    &BLOB,
    &NO_REPOSITORY,
    &OTHER_ROOT,
    &FINGERPRINT,
    &NO_SUCH,
    &BASE_URL,
    &RENDER,
];

static UNSAFE_TARGET: Code = Code::classed("import-unsafe-target", Class::E41);
static AS_ROOT: Code = Code::classed("import-as-root", Class::E41);
static STATE: Code = Code::classed("import-state", Class::E42);
static BLOB: Code = Code::classed("import-blob", Class::E42);
static NO_REPOSITORY: Code = Code::new("import-no-repository", Kind::Usage);
static OTHER_ROOT: Code = Code::classed("import-other-root", Class::E31);
static FINGERPRINT: Code = Code::classed("import-fingerprint", Class::E31);
static NO_SUCH: Code = Code::new("import-no-such-generation", Kind::Usage);
static BASE_URL: Code = Code::new("import-base-url", Kind::Usage);
static RENDER: Code = Code::new("internal-import-render", Kind::Internal);

/// Why an import, or another change of a repository, did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The repository is not a safe place to write to.
    #[error("{} is not safe to import into: it {reason}", crate::base::text::quoted(&path.to_string_lossy()))]
    UnsafeTarget {
        /// The part that is not safe.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Run by the administrator.
    #[error("import does not run as root")]
    AsRoot,
    /// State, journal and trust root do not agree.
    #[error("the repository's state contradicts itself: {reason}")]
    State {
        /// What does not agree.
        reason: String,
    },
    /// A blob of the store is missing or has other bytes.
    #[error("blob {digest} of the store is missing or damaged")]
    Blob {
        /// The blob.
        digest: Digest,
    },
    /// No repository there.
    #[error("{} is not a repository; `stage repo init` makes one", crate::base::text::quoted(&path.to_string_lossy()))]
    NoRepository {
        /// The path.
        path: PathBuf,
    },
    /// The repository is pinned to another trust root.
    #[error("the repository is pinned to another trust root")]
    OtherRoot {
        /// Fingerprint of the pinned root.
        pinned: Digest,
        /// Fingerprint of the root that was given.
        given: Digest,
    },
    /// The trust root has another fingerprint than the one that was given.
    #[error("the trust root has another fingerprint")]
    Fingerprint {
        /// The fingerprint that was given.
        expected: Digest,
        /// The root's.
        found: Digest,
    },
    /// No such generation or serial.
    #[error("{what} is not in the repository")]
    NoSuch {
        /// What was asked for.
        what: String,
    },
    /// Not an address that a tree can be served at.
    #[error("{found} is not an http or https address without query, user or slash at the end")]
    BaseUrl {
        /// The text, quoted and escaped.
        found: String,
    },
    /// A rendered path is not safe.
    #[error("rendering made an unsafe path {path}; this is a bug in stage")]
    Render {
        /// The path, quoted and escaped.
        path: String,
    },
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The bundle was refused.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The trust root was refused.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// An ecosystem could not render.
    #[error(transparent)]
    Eco(#[from] EcoError),
    /// A stored bundle document cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A stored lock cannot be read.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl ImportError {
    /// A document of ours that could not be written as JSON.
    fn encoding(error: &serde_json::Error) -> Self {
        Self::Render {
            path: crate::base::text::quoted(&error.to_string()),
        }
    }
}

impl Fault for ImportError {
    fn code(&self) -> &'static Code {
        match self {
            Self::UnsafeTarget { .. } => &UNSAFE_TARGET,
            Self::AsRoot => &AS_ROOT,
            Self::State { .. } => &STATE,
            Self::Blob { .. } => &BLOB,
            Self::NoRepository { .. } => &NO_REPOSITORY,
            Self::OtherRoot { .. } => &OTHER_ROOT,
            Self::Fingerprint { .. } => &FINGERPRINT,
            Self::NoSuch { .. } => &NO_SUCH,
            Self::BaseUrl { .. } => &BASE_URL,
            Self::Render { .. } => &RENDER,
            Self::Fs(inner) => inner.code(),
            Self::Verify(inner) => inner.code(),
            Self::Trust(inner) => inner.code(),
            Self::Eco(inner) => inner.code(),
            Self::Bundle(inner) => inner.code(),
            Self::Lock(inner) => inner.code(),
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::OtherRoot { pinned, given } => {
                vec![
                    ("expected", pinned.to_string()),
                    ("found", given.to_string()),
                ]
            }
            Self::Fingerprint { expected, found } => {
                vec![
                    ("expected", expected.to_string()),
                    ("found", found.to_string()),
                ]
            }
            Self::Verify(inner) => inner.facts(),
            Self::Trust(inner) => inner.facts(),
            Self::Eco(inner) => inner.facts(),
            Self::Bundle(inner) => inner.facts(),
            Self::Lock(inner) => inner.facts(),
            Self::UnsafeTarget { .. }
            | Self::AsRoot
            | Self::State { .. }
            | Self::Blob { .. }
            | Self::NoRepository { .. }
            | Self::NoSuch { .. }
            | Self::BaseUrl { .. }
            | Self::Render { .. }
            | Self::Fs(_) => Vec::new(),
        }
    }
}

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
    /// Whether the host is in FIPS mode, for the receipt.
    pub fips_host: bool,
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
        publish::sweep(&layout, memory.state.generation)?;
        Ok(Self {
            layout,
            memory,
            _lock: lock,
        })
    }

    /// A bundle that is the channel's high-water mark already.
    fn again(
        self,
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
            quarantine.finish()?;
        }
        let completed = publish::complete(&self.layout, self.memory.state.generation)?;
        let state = &self.memory.state;
        let mut receipt = Receipt::new(bundle, request, state.generation);
        receipt.already_imported = true;
        receipt.journal = self.memory.journal.last;
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
        let change = Change {
            event: Event::Import,
            now: request.now,
            bundle: Some(bundle.id.0),
            channel: Some(&bundle.statement.channel),
            serial: Some(bundle.statement.serial),
        };
        let line = self.publish(&tree, &change)?;
        progress.end();
        quarantine.finish()?;
        let mut receipt = Receipt::new(bundle, request, number);
        receipt.journal = Some(line);
        receipt.store(&self.layout)?;
        Ok(Imported::Published(Box::new(receipt)))
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
    fn adopt(&self, bundle: &Bundle, quarantine: &Quarantine) -> Result<(), ImportError> {
        let cas = Cas::new(self.layout.cas());
        let mut touched = BTreeSet::new();
        for digest in &bundle.manifest.carried {
            if quarantine.arrived().get(digest) == Some(&Arrival::Fresh) {
                cas.adopt(&quarantine.path(digest), digest, &mut touched)?;
            }
        }
        for directory in &touched {
            fs::sync_dir(directory)?;
        }
        Ok(())
    }

    /// Keeps statement and manifest, which later renderings read.
    fn keep_documents(&self, bundle: &Bundle) -> Result<(), ImportError> {
        let dir = self.layout.bundle(&bundle.id.0);
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

    /// Writes `tree` as the next generation, commits the state with it, shows it. Returns the journal line's digest.
    fn publish(&mut self, tree: &Tree, change: &Change<'_>) -> Result<Digest, ImportError> {
        let state = &mut self.memory.state;
        let number = state.generation + 1;
        publish::build(&self.layout, number, tree)?;
        state.generation = number;
        let entry = GenerationEntry {
            published: change.now,
            bundles: state.active.clone(),
        };
        state.generations.insert(number, entry);
        let Memory {
            state,
            root,
            journal,
        } = &self.memory;
        let line = state::commit(&self.layout, journal, state, root, change)?;
        publish::switch(&self.layout, number)?;
        Ok(line)
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
