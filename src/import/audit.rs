//! Reading everything again: whether the bytes on disk are still those that were imported and published.
//!
//! What each part is held against: a blob against its name; a bundle's statement against the name of its folder and its
//! manifest against the state; every file of every kept generation, linked or rendered, against the generation's list
//! (see [`listing`]); the lists, the trust root, marks and blocks against the state, the state against the journal's last
//! line, each line against the next, the last one against its seal; each receipt against its line; what signs the apt
//! index against the list beside it, which only its owner reads. One changed bit in any of them is found, and so is what
//! belongs to nothing. Somebody who can write to the repository could change all of them consistently: against that stands
//! the mark on paper (`stage repo status --print-mark`).
//!
//! An audit changes nothing, needs no lock and only the right to read; what a writer does meanwhile may look like damage. Generations and receipts of versions of `stage`
//! that kept no list are counted as unchecked, not as damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use crate::base::digest::Digest;
use crate::base::progress::{Progress, Unit};
use crate::base::text::escaped;
use crate::fs;
use crate::import::inventory::Blobs;
use crate::import::layout::Layout;
use crate::import::owners::{Owner, Shelf};
use crate::import::state::{self, BundleEntry, GenerationEntry, Memory};
use crate::import::{ImportError, listing, safety, strays};

/// Largest document that is hashed in memory.
const DOCUMENT: u64 = crate::base::limits::LIMITS.document;
/// What is said of most damage.
const BYTES: &str = "has other bytes";
/// Most owners that one finding names.
const MAX_OWNERS: usize = 20;

/// A part of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Journal, state, trust root, the link `current`, what signs the apt index: what import relies on.
    State,
    /// What lies in the repository and belongs to nothing.
    Stray,
    /// A receipt.
    Receipt,
    /// Statement or manifest of a bundle.
    Bundle,
    /// The list of a generation's files.
    List,
    /// A blob of the store.
    Blob,
    /// A file of a generation that is not a link to a blob.
    Generation,
}

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// What it is a part of.
    pub part: Part,
    /// Where, relative to the repository; safe to print.
    pub path: String,
    /// What is wrong; safe to print.
    pub reason: String,
    /// The digest it should have.
    pub expected: Option<Digest>,
    /// The digest it has.
    pub found: Option<Digest>,
    /// Files of generations that are the same file on disk.
    pub shown_as: Vec<String>,
    /// Whose it is, at most twenty.
    pub owners: Vec<Owner>,
    /// What to do.
    pub fix: String,
}

/// What an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Blobs that were hashed.
    pub blobs: u64,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// Blobs that no bundle and no generation names; `stage repo gc` removes them.
    pub orphans: u64,
    /// Generations that were compared with their lists.
    pub generations: u64,
    /// Their files.
    pub files: u64,
    /// Files that no list vouches for: rendered by an older version, or the key of the apt index where the auditor may
    /// not read it.
    pub unchecked_files: u64,
    /// Lines of the journal.
    pub journal_lines: u64,
    /// Receipts that were compared with their lines.
    pub receipts: u64,
    /// Receipts that no line names.
    pub unchecked_receipts: u64,
    /// What is not as it was.
    pub damaged: Vec<Damage>,
}

/// Audits the repository at `root`.
///
/// # Errors
/// There is no repository, or its folders cannot be listed. Damage is no error: it is in the result.
pub fn audit(root: &Path, progress: &dyn Progress) -> Result<Audit, ImportError> {
    let layout = Layout::new(root);
    let memory = match state::read(&layout) {
        Ok(memory) => Ok(memory),
        Err(error @ ImportError::NoRepository { .. }) => return Err(error),
        Err(error) => Err(error),
    };
    let mut auditor = Auditor {
        layout: &layout,
        audit: Audit::default(),
        blobs: Blobs::list(&layout)?,
        wanted: BTreeSet::new(),
    };
    progress.begin("Auditing", auditor.blobs.bytes(), Unit::Bytes);
    auditor.blobs(progress);
    match &memory {
        Ok(memory) => auditor.recorded(memory, progress)?,
        Err(error) => auditor.state_is_wrong(error),
    }
    progress.end();
    Ok(auditor.finish(memory.as_ref().ok()))
}

struct Auditor<'a> {
    layout: &'a Layout,
    audit: Audit,
    blobs: Blobs,
    /// Blobs that something names.
    wanted: BTreeSet<Digest>,
}

impl Auditor<'_> {
    fn damage(&mut self, part: Part, path: &Path, reason: impl Into<String>) {
        self.differs(part, path, reason, None, None);
    }

    fn differs(
        &mut self,
        part: Part,
        path: &Path,
        reason: impl Into<String>,
        expected: Option<Digest>,
        found: Option<Digest>,
    ) {
        let relative = path.strip_prefix(self.layout.root()).unwrap_or(path);
        self.audit.damaged.push(Damage {
            part,
            path: escaped(&relative.to_string_lossy()),
            reason: reason.into(),
            expected,
            found,
            shown_as: Vec::new(),
            owners: Vec::new(),
            fix: String::new(),
        });
    }

    /// A document that must have this digest.
    fn document(&mut self, part: Part, path: &Path, expected: Digest) {
        match fs::read(path, DOCUMENT).map(|bytes| Digest::of(&bytes)) {
            Ok(found) if found == expected => {}
            Ok(found) => {
                self.differs(part, path, BYTES, Some(expected), Some(found));
            }
            Err(error) => {
                let reason = unreadable(&error);
                self.differs(part, path, reason, Some(expected), None);
            }
        }
    }

    fn state_is_wrong(&mut self, error: &ImportError) {
        let folder = self.layout.state_dir();
        self.damage(Part::State, &folder, error.to_string());
    }

    fn blobs(&mut self, progress: &dyn Progress) {
        for stray in self.blobs.strays().to_vec() {
            self.damage(Part::Blob, &stray, "is no blob");
        }
        for digest in self.blobs.digests() {
            let path = self.blobs.path(&digest);
            self.audit.blobs += 1;
            match self.blobs.hash(&digest, progress) {
                Ok((found, bytes)) => {
                    self.audit.bytes += bytes;
                    if found != digest {
                        self.differs(Part::Blob, &path, BYTES, Some(digest), Some(found));
                    }
                }
                Err(error) => {
                    let reason = unreadable(&error);
                    self.differs(Part::Blob, &path, reason, Some(digest), None);
                }
            }
        }
    }

    fn recorded(&mut self, memory: &Memory, progress: &dyn Progress) -> Result<(), ImportError> {
        self.audit.journal_lines = memory.journal.entries.len() as u64;
        self.receipts(memory)?;
        for (id, entry) in &memory.state.bundles {
            self.bundle(*id, entry);
        }
        match safety::published(self.layout) {
            Ok(Some(number)) if !memory.state.generations.contains_key(&number) => {
                let current = self.layout.current();
                self.damage(
                    Part::State,
                    &current,
                    "shows a generation that is not recorded",
                );
            }
            Ok(_) => {}
            Err(error) => {
                let current = self.layout.current();
                self.damage(Part::State, &current, error.to_string());
            }
        }
        for (number, entry) in &memory.state.generations {
            self.generation(*number, entry, progress)?;
        }
        for stray in strays::find(self.layout, &memory.state)? {
            self.damage(Part::Stray, &stray, "belongs to nothing");
        }
        self.lock();
        self.signing();
        let known = self.blobs.digests();
        let orphans = known.iter().filter(|d| !self.wanted.contains(d));
        self.audit.orphans = orphans.count() as u64;
        Ok(())
    }

    /// The lock of writers is an empty file.
    fn lock(&mut self) {
        let path = self.layout.lock();
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() && found.len() == 0 => {}
            Ok(_) => self.damage(Part::State, &path, "is not an empty file"),
            Err(error) => self.damage(Part::State, &path, unreadable(&error)),
        }
    }

    /// What signs the apt index. Whoever may not read it learns that it was not checked.
    fn signing(&mut self) {
        let list = self.layout.signing_list();
        let read = fs::read_beneath(self.layout.root(), &list, DOCUMENT);
        let Ok(read) = read else {
            self.audit.unchecked_files += 1;
            return;
        };
        let lines = read.as_deref().map(listing::parse);
        let Some(mut lines) = lines.unwrap_or_else(|| Some(listing::Listing::new())) else {
            self.damage(Part::State, &list, BYTES);
            return;
        };
        for path in self.layout.signing() {
            let name = path.file_name().and_then(|name| name.to_str());
            match name.and_then(|name| lines.remove(name)) {
                Some(digest) => self.document(Part::State, &path, digest),
                None if fs::exists(&path) && read.is_none() => self.audit.unchecked_files += 1,
                None if fs::exists(&path) => {
                    self.damage(Part::State, &path, "is not in the list of its kind");
                }
                None => {}
            }
        }
        for name in lines.into_keys() {
            let path = self.layout.state_dir().join(name);
            self.damage(Part::State, &path, "is listed and is not one of its kind");
        }
    }

    fn receipts(&mut self, memory: &Memory) -> Result<(), ImportError> {
        let mut known = BTreeSet::new();
        for entry in &memory.journal.entries {
            let Some(digest) = entry.receipt else {
                continue;
            };
            let path = self.layout.receipts().join(entry.receipt_name());
            let waiting = fs::read_optional(&self.layout.next_receipt(), DOCUMENT).ok();
            if waiting.flatten().is_some_and(|b| Digest::of(&b) == digest) {
                // A commit that was cut short; the next writer gives it its name.
                continue;
            }
            self.document(Part::Receipt, &path, digest);
            known.insert(path);
        }
        self.audit.receipts = known.len() as u64;
        let all = fs::list(&self.layout.receipts())?;
        let others = all.iter().filter(|path| !known.contains(*path));
        self.audit.unchecked_receipts = others.count() as u64;
        Ok(())
    }

    fn bundle(&mut self, id: Digest, entry: &BundleEntry) {
        let folder = self.layout.bundle(&id);
        self.document(Part::Bundle, &folder.join("statement.json"), id);
        self.document(Part::Bundle, &folder.join("manifest.json"), entry.manifest);
        let manifest = crate::import::generation::stored_manifest(self.layout, id, entry);
        let Ok(manifest) = manifest else { return };
        for blob in manifest.blobs() {
            self.wants(blob.digests.sha256);
        }
    }

    /// A blob that must be there.
    fn wants(&mut self, digest: Digest) {
        if self.wanted.insert(digest) && !self.blobs.has(&digest) {
            let path = self.blobs.path(&digest);
            self.differs(Part::Blob, &path, "is missing", Some(digest), None);
        }
    }

    fn generation(
        &mut self,
        number: u64,
        entry: &GenerationEntry,
        progress: &dyn Progress,
    ) -> Result<(), ImportError> {
        let root = self.layout.generation(number);
        let found = match fs::walk(&root) {
            Ok((files, others)) => {
                for other in others {
                    self.damage(Part::Generation, &root.join(other), "is not a file");
                }
                files
            }
            Err(error) if error.is_not_found() => {
                self.damage(Part::Generation, &root, "is missing");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let listing = match entry.tree {
            None => return self.unlisted(number, &found),
            Some(digest) => listing::read(self.layout, number, digest),
        };
        let mut listing = match listing {
            Ok(listing) => listing,
            Err(error) => {
                let path = self.layout.tree(number);
                self.damage(Part::List, &path, error.to_string());
                return self.unlisted(number, &found);
            }
        };
        self.audit.generations += 1;
        for relative in found {
            let expected = relative.to_str().and_then(|path| listing.remove(path));
            self.file(number, &relative, expected, progress);
        }
        for (path, digest) in listing {
            self.differs(
                Part::Generation,
                &root.join(path),
                "is missing",
                Some(digest),
                None,
            );
        }
        Ok(())
    }

    fn file(
        &mut self,
        number: u64,
        relative: &Path,
        expected: Option<Digest>,
        progress: &dyn Progress,
    ) {
        let path = self.layout.generation(number).join(relative);
        self.audit.files += 1;
        let Some(expected) = expected else {
            let part = Part::Generation;
            self.damage(part, &path, "is not in the list of its generation");
            return;
        };
        if self.blobs.has(&expected) {
            self.wanted.insert(expected);
        }
        match self.blobs.hash_file(&path, progress) {
            Ok(file) => {
                if !file.read_only {
                    self.damage(Part::Generation, &path, "has another mode than 0444");
                }
                if file.digest == expected {
                    self.audit.bytes += file.read;
                } else if !self.shows_damaged(&path, file.blob) {
                    self.differs(
                        Part::Generation,
                        &path,
                        BYTES,
                        Some(expected),
                        Some(file.digest),
                    );
                }
            }
            Err(error) => {
                let reason = unreadable(&error);
                self.differs(Part::Generation, &path, reason, Some(expected), None);
            }
        }
    }

    /// Notes that a published file is a link to a blob that was found damaged; whether it is.
    fn shows_damaged(&mut self, path: &Path, blob: Option<Digest>) -> bool {
        let relative = path.strip_prefix(self.layout.root()).unwrap_or(path);
        let shown = escaped(&relative.to_string_lossy());
        let known = |d: &&mut Damage| d.part == Part::Blob && d.expected == blob;
        match self.audit.damaged.iter_mut().find(known) {
            Some(damage) if blob.is_some() => {
                damage.shown_as.push(shown);
                true
            }
            _ => false,
        }
    }

    /// A generation that no list vouches for: its links to blobs are what the blobs are.
    fn unlisted(&mut self, number: u64, found: &[std::path::PathBuf]) -> Result<(), ImportError> {
        let root = self.layout.generation(number);
        for relative in found {
            let path = root.join(relative);
            let Some(blob) = self.blobs.blob_at(&path)? else {
                self.audit.unchecked_files += 1;
                continue;
            };
            self.audit.files += 1;
            self.wanted.insert(blob);
            self.shows_damaged(&path, Some(blob));
        }
        Ok(())
    }

    fn finish(self, memory: Option<&Memory>) -> Audit {
        let mut audit = self.audit;
        if audit.damaged.is_empty() {
            return audit;
        }
        let shelf = memory.map(|m| Shelf::read(self.layout, &m.state));
        let shelf = shelf.unwrap_or_default();
        let wanted = audit.damaged.iter().filter_map(|d| d.expected).collect();
        let owners = shelf.of_blobs(&wanted);
        for damage in &mut audit.damaged {
            damage.owners = owners_of(damage, &owners, &shelf, memory);
            damage.owners.truncate(MAX_OWNERS);
            let carried = damage.expected.is_some_and(|d| owners.contains_key(&d));
            damage.fix = fix(damage, carried, memory);
        }
        audit.damaged.sort_by_key(|d| (d.part, d.path.clone()));
        audit
    }
}

fn owners_of(
    damage: &Damage,
    owners: &BTreeMap<Digest, Vec<Owner>>,
    shelf: &Shelf,
    memory: Option<&Memory>,
) -> Vec<Owner> {
    if let Some(known) = damage.expected.and_then(|d| owners.get(&d)) {
        return known.clone();
    }
    let at = damage.shown_as.first().unwrap_or(&damage.path);
    let state = memory.map(|m| &m.state);
    if damage.part == Part::Bundle {
        let id = damage.path.split('/').nth(2);
        let id = id.and_then(|hex| Digest::from_hex(hex).ok());
        let entry = id.and_then(|id| Some((id, state?.bundles.get(&id)?)));
        return entry
            .map(|(bundle, entry)| Owner {
                channel: entry.channel.clone(),
                serial: entry.serial,
                bundle,
                path: damage.path.clone(),
                purl: None,
                file: None,
            })
            .into_iter()
            .collect();
    }
    let inside = at.strip_prefix("gen/");
    let Some((number, path)) = inside.and_then(|p| p.split_once('/')) else {
        return Vec::new();
    };
    let generation = number.parse().ok();
    let generation = generation.and_then(|n: u64| state?.generations.get(&n));
    generation.map_or_else(Vec::new, |g| shelf.of_path(path, &g.bundles))
}

/// The one thing to do. A file that was joined from parts is in the store, but no bundle carries it.
fn fix(damage: &Damage, carried: bool, memory: Option<&Memory>) -> String {
    let bundles: BTreeSet<String> = damage
        .owners
        .iter()
        .map(|o| format!("{} {}", o.channel, o.serial))
        .collect();
    let bundles: Vec<String> = bundles.into_iter().collect();
    match damage.part {
        Part::Stray => "stage puts no such file there; find out who did, and remove it".to_owned(),
        Part::Blob if damage.expected.is_none() => {
            "stage puts no such file there; find out who did, and remove it".to_owned()
        }
        Part::Blob | Part::Bundle if bundles.is_empty() => {
            "nothing that is recorded needs it; `stage repo gc` removes it".to_owned()
        }
        Part::Blob if !carried => {
            let newest = memory.map_or(0, |m| m.state.generation);
            format!("`stage repo rollback --to {newest}` joins it again and publishes it")
        }
        Part::Blob | Part::Bundle => format!(
            "import one of its bundles again with `stage import BUNDLE --repair` ({})",
            bundles.join(", ")
        ),
        Part::Generation | Part::List => {
            let newest = memory.map_or(0, |m| m.state.generation);
            let inside = damage.path.trim_start_matches("state/trees/");
            let mut inside = inside.trim_start_matches("gen/").split(['/', '.']);
            if inside.next().is_some_and(|n| n.parse() != Ok(newest)) {
                "clients do not see this generation; `stage repo gc --keep N` removes it".to_owned()
            } else {
                format!(
                    "`stage repo rollback --to {newest}` renders and publishes the same bundles anew"
                )
            }
        }
        Part::State | Part::Receipt => {
            "find out who changed it and restore it from a copy you trust; import nothing before"
                .to_owned()
        }
    }
}

fn unreadable(error: &fs::FsError) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    format!("cannot be read: {}", escaped(&cause.unwrap_or_default()))
}
