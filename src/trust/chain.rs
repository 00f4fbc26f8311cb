//! A trust root file: one root, or the list of a root and every one after it, oldest first. The list is what lets a site
//! that pinned an old root follow; its last member may be a draft that is still being signed.
//!
//! The first member is a root document or its envelope and is trusted because the user trusts the file (by
//! fingerprint); each later member is an envelope signed by the thresholds of the root before it and of itself. Two
//! persons sign a draft by passing the file on, or each on a copy whose signatures are then merged.

use std::collections::BTreeSet;
use std::path::Path;

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::base::json;
use crate::trust::TrustError;
use crate::trust::envelope::{ROOT_TYPE, RootEnvelope, Signable, SignatureEntry};
use crate::trust::key::{KeyId, Role};
use crate::trust::root::{MAX_FILE, MAX_ROOTS, TrustRoot};
use crate::trust::threshold::{self, Signer};

/// How many persons of a root signed a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The root whose threshold it is.
    pub version: u64,
    /// Persons whose signatures count, sorted.
    pub persons: Vec<String>,
    /// Persons who hold a key of the role, sorted.
    pub holders: Vec<String>,
    /// Persons needed.
    pub needed: u64,
}

impl Tally {
    fn of(root: &TrustRoot, signers: &[Signer]) -> Self {
        let signed: BTreeSet<&str> = signers
            .iter()
            .filter(|signer| signer.roles.contains(&Role::Root))
            .map(|signer| signer.person.as_str())
            .collect();
        let holders: BTreeSet<&str> = root
            .keys()
            .iter()
            .filter(|known| root.is_in_role(known.key.id(), Role::Root))
            .map(|known| known.person.as_str())
            .collect();
        let owned = |names: BTreeSet<&str>| names.into_iter().map(str::to_owned).collect();
        Self {
            version: root.version(),
            persons: owned(signed),
            holders: owned(holders),
            needed: root.threshold(Role::Root).unwrap_or(1),
        }
    }

    /// Whether enough persons signed.
    pub const fn is_met(&self) -> bool {
        self.persons.len() as u64 >= self.needed
    }
}

/// What the old and the new root say about the signatures of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// By the root before the draft.
    pub old: Tally,
    /// By the draft itself.
    pub new: Tally,
}

impl Progress {
    /// Whether both thresholds are met.
    pub const fn is_complete(&self) -> bool {
        self.old.is_met() && self.new.is_met()
    }
}

/// A trust root file, read and judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootChain {
    entries: Vec<Value>,
    roots: Vec<TrustRoot>,
    draft: bool,
}

impl RootChain {
    /// Reads the file that the user trusts. Its last root may be a draft.
    pub fn load(path: &Path) -> Result<Self, TrustError> {
        let bytes =
            crate::fs::read(path, MAX_FILE).map_err(|source| TrustError::Unreadable { source })?;
        Self::parse(&bytes)
    }

    /// From the bytes of such a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        match TrustRoot::read(bytes)? {
            Value::Array(entries) => Self::from_entries(entries),
            single => Self::from_entries(vec![single]),
        }
    }

    /// Walks the list. All roots but the last must be complete.
    pub(crate) fn from_entries(entries: Vec<Value>) -> Result<Self, TrustError> {
        if entries.len() > MAX_ROOTS {
            let reason = format!("the file holds more than {MAX_ROOTS} roots");
            return Err(TrustError::root(reason));
        }
        let Some((first, later)) = entries.split_first() else {
            return Err(TrustError::root("the file holds no root"));
        };
        let mut newest = TrustRoot::from_entry(first)?;
        let mut roots = vec![newest.clone()];
        let mut draft = false;
        for entry in later {
            if draft {
                let reason = "a root that is not fully signed stands before the last";
                return Err(TrustError::root(reason));
            }
            let (next, signers) = newest.proposed(entry)?;
            draft = !progress(&newest, &next, &signers).is_complete();
            newest = next.clone();
            roots.push(next);
        }
        Ok(Self {
            entries,
            roots,
            draft,
        })
    }

    /// The newest root, when every root is fully signed.
    ///
    /// # Errors
    /// The last root is a draft: which threshold is not met.
    pub fn newest(&self) -> Result<&TrustRoot, TrustError> {
        if self.draft
            && let [.., old, _] = self.roots.as_slice()
            && let Some(entry) = self.entries.last()
        {
            // The error is the one that a bundle with this root would be refused with.
            old.updated_by(entry)?;
        }
        self.last()
    }

    /// The last root, be it a draft or not.
    pub fn last(&self) -> Result<&TrustRoot, TrustError> {
        let none = || TrustError::root("the file holds no root");
        self.roots.last().ok_or_else(none)
    }

    /// The root before the last.
    pub fn before_last(&self) -> Option<&TrustRoot> {
        match self.roots.as_slice() {
            [.., old, _] => Some(old),
            _ => None,
        }
    }

    /// Whether the last root is not fully signed.
    pub const fn is_draft(&self) -> bool {
        self.draft
    }

    /// What is signed of the last root; `None` when it is the only one, which the fingerprint vouches for.
    pub fn progress(&self) -> Result<Option<Progress>, TrustError> {
        let [.., old, new] = self.roots.as_slice() else {
            return Ok(None);
        };
        let Some(entry) = self.entries.last() else {
            return Ok(None);
        };
        let (_, signers) = old.proposed(entry)?;
        Ok(Some(progress(old, new, &signers)))
    }

    /// The list with `root` as its draft, unsigned; takes the place of a draft that was there.
    pub fn with_draft(&self, root: &TrustRoot) -> Result<Self, TrustError> {
        let kept = self.entries.len() - usize::from(self.draft);
        let mut entries: Vec<Value> = self.entries.iter().take(kept).cloned().collect();
        entries.push(json!({
            "payloadType": ROOT_TYPE,
            "payload": BASE64.encode(root.canonical()),
            "signatures": [],
        }));
        Self::from_entries(entries)
    }

    /// The root that a draft must follow: the newest that is fully signed.
    pub fn base(&self) -> Result<&TrustRoot, TrustError> {
        match (self.draft, self.roots.as_slice()) {
            (true, [.., base, _]) => Ok(base),
            _ => self.last(),
        }
    }

    /// The bytes that a signature of the last root is made over: its DSSE encoding's payload.
    pub fn payload(&self) -> Result<&[u8], TrustError> {
        self.last().map(TrustRoot::canonical)
    }

    /// The signatures of the last root.
    pub fn signatures(&self) -> Result<Vec<SignatureEntry>, TrustError> {
        let entry = self.entries.last();
        let list = entry
            .and_then(|e| e.get("signatures"))
            .and_then(Value::as_array);
        list.map(Vec::as_slice)
            .unwrap_or_default()
            .iter()
            .map(|value| {
                SignatureEntry::from_value(value).ok_or(TrustError::SignatureFormat {
                    reason: "a signature is not exactly `keyid` and `sig`",
                })
            })
            .collect()
    }

    /// Whether a signature by this key helps the draft: it has the role root in the old or in the new root.
    pub fn needs(&self, key: KeyId) -> bool {
        let [.., old, new] = self.roots.as_slice() else {
            return false;
        };
        [old, new]
            .iter()
            .any(|root| root.is_in_role(key, Role::Root))
    }

    /// The list with more signatures on its last root; each must be by a known key and verify.
    pub fn with_signatures(&self, more: &[SignatureEntry]) -> Result<Self, TrustError> {
        let mut signatures = self.signatures()?;
        signatures.extend_from_slice(more);
        signatures.sort_by(|a, b| a.keyid.cmp(&b.keyid));
        let mut entries = self.entries.clone();
        let envelope = RootEnvelope::canonical(self.payload()?, &signatures);
        let value =
            json::parse(&envelope, MAX_FILE).map_err(|source| TrustError::Format { source });
        entries.pop();
        entries.push(value?);
        Self::from_entries(entries)
    }

    /// The bytes to write to a file. One root stays as it was read.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = match self.entries.as_slice() {
            [single] => json::canonical(single),
            all => json::canonical(&Value::Array(all.to_vec())),
        };
        bytes.push(b'\n');
        bytes
    }

    /// What a bundle carries in `roots.json`: every envelope newer than version 1, oldest first.
    pub fn carried(&self) -> Vec<Value> {
        self.entries
            .iter()
            .zip(&self.roots)
            .filter(|(entry, root)| root.version() > 1 && entry.get("payloadType").is_some())
            .map(|(entry, _)| entry.clone())
            .collect()
    }
}

/// Who signed a root: as the root before it sees it, and as it sees itself.
type SignersOfBoth = (Vec<Signer>, Vec<Signer>);

fn progress(old: &TrustRoot, new: &TrustRoot, signers: &SignersOfBoth) -> Progress {
    Progress {
        old: Tally::of(old, &signers.0),
        new: Tally::of(new, &signers.1),
    }
}

impl TrustRoot {
    /// The root that an envelope proposes as the next one, and who signed it, as the old root (first) and the new one
    /// (second) see it. Everything is judged but whether enough persons signed.
    pub(crate) fn proposed(&self, entry: &Value) -> Result<(Self, SignersOfBoth), TrustError> {
        let envelope = RootEnvelope::from_value(entry)?;
        let new = Self::from_payload(&envelope.payload)?;
        self.check_follows(&new)?;
        let old_signers = self.signers_of(&envelope, new.version(), &[])?;
        let new_signers = new.signers_of(&envelope, new.version(), &[])?;
        self.check_signers_known(&new, &envelope)?;
        Ok((new, (old_signers, new_signers)))
    }

    /// The signers of an envelope that this root knows, after their signatures verified and `needs` are met.
    pub(crate) fn signers_of(
        &self,
        envelope: &RootEnvelope,
        version: u64,
        needs: &[Role],
    ) -> Result<Vec<Signer>, TrustError> {
        let known: Vec<Value> = envelope
            .signatures
            .iter()
            .filter(|s| super::root::signing_key(s).is_some_and(|id| self.key(id).is_some()))
            .cloned()
            .collect();
        let signed = Signable::new(ROOT_TYPE, &envelope.payload);
        threshold::count(&known, signed, self, needs).map_err(|source| {
            TrustError::ChainSignatures {
                version,
                by: self.version(),
                source: Box::new(source),
            }
        })
    }
}
