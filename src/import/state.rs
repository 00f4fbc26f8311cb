//! What a repository remembers: high-water marks per channel, the pinned trust root, the bundles, the generations.
//!
//! The journal's last line names the digest of the right `state.json`. A change is committed in this order: the new
//! state (and the receipt) beside the old one, the journal line, the rename. Killed between the last two, the state that waits beside is
//! the one that the journal names, and reading takes it; anything else that does not agree is refused (E42).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::base::limits::LIMITS;
use crate::base::package::Purl;
use crate::base::text::escaped;
use crate::base::time::Timestamp;
use crate::fs;
use crate::import::ImportError;
use crate::import::journal::{self, Entry, Event, Journal};
use crate::import::layout::Layout;
use crate::import::purl::covers;
use crate::import::undo::Undo;
use crate::trust::proof::Ended;
use crate::trust::root::TrustRoot;
use crate::verify::{Bundle, HighWater, SeenState};

/// The `schema` of `state.json` as it is written.
const SCHEMA: &str = "stage/repository-state/v2";
/// The one that lacks lists of the generations' files; it is read, and becomes the present one with the next change.
const FIRST_SCHEMA: &str = "stage/repository-state/v1";

/// The newest bundle accepted in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Its epoch.
    pub epoch: u64,
    /// Its serial.
    pub serial: u64,
    /// Digest of its statement.
    pub statement: Digest,
}

/// A bundle that was imported at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleEntry {
    /// Its channel.
    pub channel: String,
    /// Its epoch.
    pub epoch: u64,
    /// Its serial.
    pub serial: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it could be imported.
    pub expires: Timestamp,
    /// Digest of its manifest.
    pub manifest: Digest,
}

/// A generation that was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationEntry {
    /// When, by the local clock, and not before any earlier generation: `gc` may remove the one with the latest date.
    pub published: Timestamp,
    /// Statements of the bundles it shows.
    pub bundles: Vec<Digest>,
    /// Digest of the list of its files. `None`: it was made by a version of `stage` that wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<Digest>,
}

/// A package that is kept out of every index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Why, in the words of who did it.
    pub reason: String,
    /// Since when, by the local clock.
    pub since: Timestamp,
}

/// `state/state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    schema: String,
    /// Where the tree is served, without a slash at the end.
    pub base_url: String,
    /// Version of the pinned trust root.
    pub root_version: u64,
    /// Fingerprint of the pinned trust root.
    pub root: Digest,
    /// The newest signed time seen: the clock cannot be before it.
    pub time_floor: Option<Timestamp>,
    /// High-water marks by channel. They never go back.
    pub channels: BTreeMap<String, Mark>,
    /// Every bundle imported, by the digest of its statement.
    pub bundles: BTreeMap<Digest, BundleEntry>,
    /// Statements of the bundles that the newest generation shows, sorted.
    pub active: Vec<Digest>,
    /// Number of the newest generation; 0 before the first.
    pub generation: u64,
    /// Generations by number.
    pub generations: BTreeMap<u64, GenerationEntry>,
    /// Packages that are kept out, by package URL; without a version, all of its versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub blocks: BTreeMap<String, Block>,
    /// Whether an expired bundle may be imported for a stated reason; decided when the repository is made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_expired_imports: bool,
    /// Whether every signature that counts needs an approval.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_approvals: bool,
    /// Whether every bundle needs a proof that it works, by somebody who may sign bundles; never taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_proof: bool,
    /// Whether every import reads the archives before it publishes; never taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lint_imports: bool,
    /// The policy that every import is judged by: the text of a `policy.toml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

impl State {
    /// Kept generations that show a bundle, by number.
    pub fn generations_with(&self, bundle: &Digest) -> Vec<u64> {
        let shows = self.generations.iter();
        let shows = shows.filter(|(_, generation)| generation.bundles.contains(bundle));
        shows.map(|(number, _)| *number).collect()
    }

    /// The state of a new repository.
    pub fn new(base_url: &str, root: &TrustRoot) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            base_url: base_url.to_owned(),
            root_version: root.version(),
            root: root.fingerprint(),
            time_floor: None,
            channels: BTreeMap::new(),
            bundles: BTreeMap::new(),
            active: Vec::new(),
            generation: 0,
            generations: BTreeMap::new(),
            blocks: BTreeMap::new(),
            allow_expired_imports: false,
            require_approvals: false,
            require_proof: false,
            lint_imports: false,
            policy: None,
        }
    }

    /// What verification needs to know of it.
    pub fn seen(&self) -> SeenState {
        let mark = |mark: &Mark| HighWater {
            epoch: mark.epoch,
            serial: mark.serial,
            statement: mark.statement,
        };
        SeenState {
            root_version: self.root_version,
            time_floor: self.time_floor,
            channels: self
                .channels
                .iter()
                .map(|(channel, m)| (channel.clone(), mark(m)))
                .collect(),
            ..SeenState::default()
        }
    }

    /// Refuses a bundle that lacks approvals or the proof which this repository demands.
    pub fn check_demands(&self, bundle: &Bundle) -> Result<(), ImportError> {
        self.check_approved(bundle)?;
        if self.require_proof {
            check_proved(bundle)?;
        }
        Ok(())
    }

    /// Refuses a bundle that lacks approvals which this repository demands.
    pub fn check_approved(&self, bundle: &Bundle) -> Result<(), ImportError> {
        let persons: Vec<&str> = bundle.not_approved().map(|s| s.person.as_str()).collect();
        if self.require_approvals && !persons.is_empty() {
            let persons = persons.join(", ");
            return Err(ImportError::ApprovalMissing { persons });
        }
        Ok(())
    }

    /// The date of a generation that is made now: not before that of any other, whatever the clock says.
    pub fn next_date(&self, now: Timestamp) -> Timestamp {
        let newest = self.generations.values().map(|g| g.published).max();
        newest.map_or(now, |newest| newest.max(now))
    }

    /// Whether a package is kept out of every index.
    pub fn is_blocked(&self, purl: &Purl) -> bool {
        self.blocks.keys().any(|pattern| covers(pattern, purl))
    }

    /// The canonical bytes.
    fn canonical(&self) -> Result<Vec<u8>, ImportError> {
        crate::base::json::to_canonical(self).map_err(|e| ImportError::encoding(&e))
    }
}

/// Refuses a bundle without a proof, with one that says that it does not work, or with one that did not try everything.
pub fn check_proved(bundle: &Bundle) -> Result<(), ImportError> {
    let signed = bundle.proof.as_ref().ok_or(ImportError::ProofMissing)?;
    let person = || signed.person.clone();
    match signed.proof.result {
        Ended::Passed => Ok(()),
        Ended::Incomplete => {
            let steps = signed.not_tried().into_iter().take(3);
            let steps: Vec<String> = steps.map(escaped).collect();
            let (person, steps) = (person(), steps.join(", "));
            Err(ImportError::ProofIncomplete { person, steps })
        }
        Ended::Failed | Ended::Skipped => Err(ImportError::ProofFailed { person: person() }),
    }
}

/// A repository's memory, as read.
#[derive(Debug, Clone)]
pub struct Memory {
    /// The state.
    pub state: State,
    /// The trust root.
    pub root: TrustRoot,
    /// The journal.
    pub journal: Journal,
}

/// Reads state, journal and trust root, and checks that they agree. Changes nothing. A commit of another process in
/// between is no contradiction: reading is tried again.
pub fn read(layout: &Layout) -> Result<Memory, ImportError> {
    let mut result = read_once(layout);
    for _again in 0..2 {
        if !matches!(result, Err(ImportError::State { .. })) {
            break;
        }
        result = read_once(layout);
    }
    result
}

fn read_once(layout: &Layout) -> Result<Memory, ImportError> {
    if !fs::exists(&layout.journal()) && !fs::exists(&layout.state()) {
        return Err(ImportError::NoRepository {
            path: layout.root().to_owned(),
        });
    }
    let journal = journal::read(layout)?;
    let Some(last) = journal.entries.last() else {
        return Err(contradiction("the journal is empty"));
    };
    let bytes = [layout.state(), layout.next_state()]
        .iter()
        .find_map(|path| {
            let found = fs::read_beneath(layout.root(), path, LIMITS.document);
            found.ok().flatten().filter(|b| Digest::of(b) == last.state)
        })
        .ok_or_else(|| contradiction("state.json is not what the journal's last line says"))?;
    let value = crate::base::json::strict(&bytes, LIMITS.document)
        .map_err(|bad| contradiction(&bad.to_string()))?;
    let schema = value.get("schema").and_then(serde_json::Value::as_str);
    if !matches!(schema, Some(SCHEMA | FIRST_SCHEMA)) {
        let found = crate::base::text::quoted(schema.unwrap_or_default());
        return Err(contradiction(&format!(
            "state.json has schema {found}, which this version of stage does not know: use the newer one that wrote it"
        )));
    }
    let mut state: State =
        serde_json::from_value(value).map_err(|bad| contradiction(&escaped(&bad.to_string())))?;
    SCHEMA.clone_into(&mut state.schema);
    let root = [layout.trust_root(), layout.next_trust_root()]
        .iter()
        .find_map(|path| {
            let bytes = fs::read_beneath(layout.root(), path, LIMITS.roots)
                .ok()
                .flatten()?;
            (Digest::of(&bytes) == state.root).then_some(bytes)
        })
        .ok_or_else(|| contradiction("root.json is not the trust root that was pinned"))?;
    let root = TrustRoot::parse(&root)?;
    Ok(Memory {
        state,
        root,
        journal,
    })
}

/// As [`read`], for the process that holds the lock: finishes what a killed one left half done.
pub fn recover(layout: &Layout) -> Result<Memory, ImportError> {
    let memory = read(layout)?;
    if memory.journal.torn {
        fs::truncate(&layout.journal(), memory.journal.whole)?;
    }
    if fs::exists(&layout.next_state()) {
        journal::settle(layout)?;
    }
    let settle = |next: std::path::PathBuf, target: std::path::PathBuf, wanted: Digest| {
        let Some(bytes) = fs::read_beneath(layout.root(), &next, LIMITS.document)? else {
            return Ok(());
        };
        if Digest::of(&bytes) == wanted {
            fs::rename(&next, &target)?;
        } else {
            fs::remove_file(&next)?;
        }
        fs::sync_dir(&layout.state_dir())
    };
    if let Some(last) = memory.journal.entries.last() {
        settle(layout.next_state(), layout.state(), last.state)?;
        let receipt = layout.receipts().join(last.receipt_name());
        // A line without a receipt: what waits belongs to a line that never came, and no digest is that of nothing.
        let wanted = last.receipt.unwrap_or_else(|| Digest::of(b""));
        settle(layout.next_receipt(), receipt, wanted)?;
    }
    settle(
        layout.next_trust_root(),
        layout.trust_root(),
        memory.state.root,
    )?;
    Ok(memory)
}

/// What a change is about, for the journal.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What happened.
    pub event: Event,
    /// When.
    pub now: Timestamp,
    /// The bundle imported.
    pub bundle: Option<Digest>,
    /// The channel.
    pub channel: Option<&'a str>,
    /// The serial.
    pub serial: Option<u64>,
    /// The receipt to keep.
    pub receipt: Option<&'a [u8]>,
    /// What else there is to say; foreign text in it is escaped.
    pub detail: Option<&'a str>,
}

impl Change<'_> {
    /// About nothing in particular.
    pub const fn new(event: Event, now: Timestamp) -> Self {
        Self {
            event,
            now,
            bundle: None,
            channel: None,
            serial: None,
            receipt: None,
            detail: None,
        }
    }
}

/// Makes what `memory` says the repository's memory; its journal is the one of before. Returns the digest of the journal
/// line. What `undo` holds is kept from the line on.
pub fn commit(
    layout: &Layout,
    memory: &Memory,
    change: &Change<'_>,
    undo: &mut Undo,
) -> Result<Digest, ImportError> {
    let Memory {
        state,
        root,
        journal,
    } = memory;
    let bytes = state.canonical()?;
    let known_root = fs::read_beneath(layout.root(), &layout.trust_root(), LIMITS.roots)?;
    let new_root = known_root.as_deref() != Some(root.canonical());
    if new_root {
        undo.file(&layout.next_trust_root());
        fs::write_atomic(&layout.next_trust_root(), root.canonical(), 0o644)?;
    }
    undo.file(&layout.next_state());
    fs::write_atomic(&layout.next_state(), &bytes, 0o644)?;
    let entry = Entry {
        sequence: journal.entries.len() as u64 + 1,
        previous: journal.last,
        time: change.now,
        event: change.event,
        bundle: change.bundle,
        channel: change.channel.map(str::to_owned),
        serial: change.serial,
        generation: state.generation,
        state: Digest::of(&bytes),
        receipt: change.receipt.map(Digest::of),
        detail: change.detail.map(str::to_owned),
        seal: None,
    };
    if let Some(receipt) = change.receipt {
        undo.file(&layout.next_receipt());
        fs::write_atomic(&layout.next_receipt(), receipt, 0o644)?;
    }
    let line = match journal::append(layout, &entry) {
        Ok(line) => line,
        Err(error) => {
            if journal::retract(layout, journal.whole).is_err() {
                // Whether the line is there is for the next writer to find out; it needs all of it then.
                undo.keep();
            }
            return Err(error);
        }
    };
    undo.keep();
    fs::rename(&layout.next_state(), &layout.state())?;
    if new_root {
        fs::rename(&layout.next_trust_root(), &layout.trust_root())?;
    }
    if change.receipt.is_some() {
        let kept = layout.receipts().join(entry.receipt_name());
        fs::rename(&layout.next_receipt(), &kept)?;
        fs::sync_dir(&layout.receipts())?;
    }
    fs::sync_dir(&layout.state_dir())?;
    Ok(line)
}

fn contradiction(reason: &str) -> ImportError {
    ImportError::State {
        reason: reason.to_owned(),
    }
}
