//! The trust root: persons, keys, roles, thresholds, epochs; numbered, expiring, and replaced only by a root that the
//! thresholds of both the old and the new one signed. Its fields are a closed set and every value is typed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::base::digest::Digest;
use crate::base::json::{self, JsonError, MAX_INTEGER};
use crate::base::text::base64;
use crate::base::time::Timestamp;
use crate::trust::TrustError;
use crate::trust::chain::RootChain;
use crate::trust::envelope::RootEnvelope;
use crate::trust::key::{KeyId, PublicKey, Role, Scheme};

/// Longest root document inside a bundle, in bytes.
pub(crate) const MAX_DOCUMENT: u64 = 65_536;
/// Longest trust root file, in bytes: a list of roots in base64 with their signatures fits.
pub(crate) const MAX_FILE: u64 = 4 << 20;
/// Most keys of a root.
const MAX_KEYS: usize = 64;
/// Most roots that one bundle carries.
pub const MAX_ROOTS: usize = 64;
/// The epoch entry that stands for every channel not named.
pub const ANY_CHANNEL: &str = "*";

/// A key of the root and the person it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    /// The key.
    pub key: PublicKey,
    /// The person, by name or role id.
    pub person: String,
    /// Certificate chain of the key: enrolment evidence, base64 of DER, leaf first. Decides nothing.
    pub x5c: Vec<String>,
}

/// Who fills a role and how many of them must sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRule {
    /// Keys in the role, in the root's order.
    pub keyids: Vec<KeyId>,
    /// Different persons needed; at least 1 and reachable.
    pub threshold: u64,
}

/// A root whose every field was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustRoot {
    version: u64,
    expires: Timestamp,
    epochs: BTreeMap<String, u64>,
    keys: Vec<TrustedKey>,
    roles: BTreeMap<Role, RoleRule>,
    post_quantum: bool,
    canonical: Vec<u8>,
}

impl TrustRoot {
    /// Reads the file that the user trusts.
    pub fn load(path: &Path) -> Result<Self, TrustError> {
        let bytes =
            crate::fs::read(path, MAX_FILE).map_err(|source| TrustError::Unreadable { source })?;
        Self::parse(&bytes)
    }

    /// From the bytes of a file that the user trusts: the root document, its DSSE envelope, which must then be signed as
    /// the root itself demands, or a list of roots, of which the newest counts. Spacing and key order are free here,
    /// since the fingerprint is that of the canonical document; inside a bundle they are not.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        match Self::read(bytes)? {
            Value::Array(entries) => RootChain::from_entries(entries)?.newest().cloned(),
            single => Self::from_entry(&single),
        }
    }

    /// The JSON of a trust root file.
    pub(crate) fn read(bytes: &[u8]) -> Result<Value, TrustError> {
        json::parse(bytes, MAX_FILE).map_err(|source| not_a_root(bytes, source))
    }

    /// A root that nothing stands before: its document, or its envelope signed as the root itself demands.
    pub(crate) fn from_entry(value: &Value) -> Result<Self, TrustError> {
        if value.get("payloadType").is_none() {
            return Self::from_value(value);
        }
        let envelope = RootEnvelope::from_value(value)?;
        let root = Self::from_payload(&envelope.payload)?;
        root.signers_of(&envelope, root.version, &[Role::Root])?;
        Ok(root)
    }

    /// From the canonical document inside an envelope.
    pub(crate) fn from_payload(payload: &[u8]) -> Result<Self, TrustError> {
        let value =
            json::strict(payload, MAX_DOCUMENT).map_err(|source| TrustError::Format { source })?;
        Self::from_value(&value)
    }

    /// Checks a root document: a closed set of fields, every value typed, ids computed, thresholds reachable.
    pub fn from_value(value: &Value) -> Result<Self, TrustError> {
        let fields = Fields::new(
            value,
            "the root",
            &["_type", "version", "expires", "epochs", "keys", "roles"],
            &["classes"],
        )?;
        if fields.text("_type")? != "stage-root" {
            return Err(TrustError::root("`_type` is not `stage-root`"));
        }
        let keys = keys(fields.get("keys")?)?;
        let root = Self {
            version: positive(fields.get("version")?)
                .ok_or_else(|| TrustError::root("`version` is not a number from 1"))?,
            expires: fields
                .text("expires")?
                .parse()
                .map_err(|_bad| TrustError::root("`expires` is not a time"))?,
            epochs: epochs(fields.get("epochs")?)?,
            roles: roles(fields.get("roles")?, &keys)?,
            post_quantum: post_quantum(value.get("classes"))?,
            canonical: json::canonical(value),
            keys,
        };
        Ok(root)
    }

    /// Number of this root.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// When it stops being valid.
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The epoch that bundles of `channel` must have; `None` when the root does not know the channel.
    pub fn epoch(&self, channel: &str) -> Option<u64> {
        self.epochs
            .get(channel)
            .or_else(|| self.epochs.get(ANY_CHANNEL))
            .copied()
    }

    /// Epochs by channel; `*` stands for every channel not named.
    pub const fn epochs(&self) -> &BTreeMap<String, u64> {
        &self.epochs
    }

    /// The canonical document.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// SHA-256 of the canonical document: what two people compare.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.canonical)
    }

    /// Whether the root has this role.
    pub fn has_role(&self, role: Role) -> bool {
        self.roles.contains_key(&role)
    }

    /// Persons needed for `role`.
    pub fn threshold(&self, role: Role) -> Option<u64> {
        self.roles.get(&role).map(|r| r.threshold)
    }

    /// Roles and who fills them.
    pub const fn roles(&self) -> &BTreeMap<Role, RoleRule> {
        &self.roles
    }

    /// Every key, in the document's order.
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// The key with this id.
    pub fn key(&self, id: KeyId) -> Option<&TrustedKey> {
        self.keys.iter().find(|k| k.key.id() == id)
    }

    /// Whether the key is in the role.
    pub fn is_in_role(&self, id: KeyId, role: Role) -> bool {
        self.roles
            .get(&role)
            .is_some_and(|rule| rule.keyids.contains(&id))
    }

    /// The roles of a key, in the fixed order.
    pub fn roles_of(&self, id: KeyId) -> Vec<Role> {
        Role::ALL
            .into_iter()
            .filter(|role| self.is_in_role(id, *role))
            .collect()
    }

    /// The roles that must sign a bundle: `builder`, and `releaser` where the root has it.
    pub fn bundle_roles(&self) -> Vec<Role> {
        [Role::Builder, Role::Releaser]
            .into_iter()
            .filter(|role| *role == Role::Builder || self.has_role(*role))
            .collect()
    }

    /// Whether signatures of class `pq` are demanded beside the classic ones.
    pub const fn demands_post_quantum(&self) -> bool {
        self.post_quantum
    }

    /// The root after looking at one carried envelope: `None` when it is not newer. A newer one has exactly the next
    /// version, is signed by the old and the new threshold, and lets no epoch fall.
    pub fn updated_by(&self, envelope: &Value) -> Result<Option<Self>, TrustError> {
        let envelope = RootEnvelope::from_value(envelope)?;
        let value = json::strict(&envelope.payload, MAX_DOCUMENT)
            .map_err(|source| TrustError::Format { source })?;
        let is_root = value.get("_type").and_then(Value::as_str) == Some("stage-root");
        let version = value
            .get("version")
            .and_then(positive)
            .filter(|_| is_root)
            .ok_or_else(|| TrustError::root("a carried root has no `_type` or `version`"))?;
        if version <= self.version {
            return Ok(None);
        }
        if version - 1 != self.version {
            return Err(self.chain(version, "a version is missing in between"));
        }
        let new = Self::from_value(&value)?;
        self.signers_of(&envelope, version, &[Role::Root])?;
        new.signers_of(&envelope, version, &[Role::Root])?;
        self.check_signers_known(&new, &envelope)?;
        self.check_follows(&new)?;
        Ok(Some(new))
    }

    fn chain(&self, version: u64, reason: impl Into<String>) -> TrustError {
        TrustError::Chain {
            trusted: self.version,
            version,
            reason: reason.into(),
        }
    }

    /// Whether `new` may come next, signatures aside: exactly the next version, and no epoch falls.
    pub fn check_follows(&self, new: &Self) -> Result<(), TrustError> {
        if new.version.checked_sub(1) != Some(self.version) {
            let reason = "its version is not the next one";
            return Err(self.chain(new.version, reason));
        }
        self.check_epochs(new)
    }

    pub(crate) fn check_signers_known(
        &self,
        new: &Self,
        envelope: &RootEnvelope,
    ) -> Result<(), TrustError> {
        for signature in &envelope.signatures {
            let known = signing_key(signature)
                .is_some_and(|id| self.key(id).is_some() || new.key(id).is_some());
            if !known {
                return Err(self.chain(new.version, "a signature is by a key of neither root"));
            }
        }
        Ok(())
    }

    /// No epoch falls, and no channel that was named loses its epoch; `*` itself may go.
    fn check_epochs(&self, new: &Self) -> Result<(), TrustError> {
        let channels: BTreeSet<&String> = self.epochs.keys().chain(new.epochs.keys()).collect();
        for channel in channels {
            if channel == ANY_CHANNEL {
                continue;
            }
            match (self.epoch(channel), new.epoch(channel)) {
                (Some(old), Some(next)) if next < old => {
                    return Err(self.chain(new.version, format!("the epoch of {channel} falls")));
                }
                (_, None) if self.epochs.contains_key(channel) => {
                    return Err(self.chain(new.version, format!("{channel} has no epoch left")));
                }
                _ => {}
            }
        }
        match (self.epochs.get(ANY_CHANNEL), new.epochs.get(ANY_CHANNEL)) {
            (Some(old), Some(next)) if next < old => {
                Err(self.chain(new.version, "the epoch of all other channels falls"))
            }
            _ => Ok(()),
        }
    }
}

/// The key a signature claims to be by, when it claims one in the right form.
pub(crate) fn signing_key(signature: &Value) -> Option<KeyId> {
    KeyId::from_hex(signature.get("keyid")?.as_str()?)
}

/// JSON that is not what canonical JSON may hold is a bad root; anything else is not JSON at all.
fn not_a_root(bytes: &[u8], source: JsonError) -> TrustError {
    if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() {
        TrustError::root(source.to_string())
    } else {
        TrustError::NotJson { source }
    }
}

/// An object with a closed set of fields.
struct Fields<'a> {
    map: &'a Map<String, Value>,
    what: &'a str,
}

impl<'a> Fields<'a> {
    fn new(
        value: &'a Value,
        what: &'a str,
        required: &[&str],
        optional: &[&str],
    ) -> Result<Self, TrustError> {
        let map = value
            .as_object()
            .ok_or_else(|| TrustError::root(format!("{what} is not an object")))?;
        if let Some(missing) = required.iter().find(|field| !map.contains_key(**field)) {
            return Err(TrustError::root(format!("{what} has no `{missing}`")));
        }
        let known = |key: &str| required.contains(&key) || optional.contains(&key);
        if let Some(extra) = map.keys().find(|key| !known(key)) {
            let extra = crate::base::text::quoted(extra);
            return Err(TrustError::root(format!(
                "{what} has the unknown field {extra}"
            )));
        }
        Ok(Self { map, what })
    }

    fn get(&self, field: &str) -> Result<&'a Value, TrustError> {
        self.map
            .get(field)
            .ok_or_else(|| TrustError::root(format!("{} has no `{field}`", self.what)))
    }

    fn text(&self, field: &str) -> Result<&'a str, TrustError> {
        self.get(field)?
            .as_str()
            .ok_or_else(|| TrustError::root(format!("`{field}` of {} is not a text", self.what)))
    }

    fn list(&self, field: &str) -> Result<&'a [Value], TrustError> {
        self.get(field)?
            .as_array()
            .map(Vec::as_slice)
            .ok_or_else(|| TrustError::root(format!("`{field}` of {} is not a list", self.what)))
    }
}

fn positive(value: &Value) -> Option<u64> {
    value.as_u64().filter(|n| (1..=MAX_INTEGER).contains(n))
}

fn epochs(value: &Value) -> Result<BTreeMap<String, u64>, TrustError> {
    let fail = || TrustError::root("`epochs` is not channels with numbers from 1");
    let map = value
        .as_object()
        .filter(|m| !m.is_empty())
        .ok_or_else(fail)?;
    let mut out = BTreeMap::new();
    for (channel, epoch) in map {
        if channel != ANY_CHANNEL && !is_channel(channel) {
            return Err(fail());
        }
        out.insert(channel.clone(), positive(epoch).ok_or_else(fail)?);
    }
    Ok(out)
}

/// Whether `name` may be a channel: `[a-z0-9][a-z0-9._-]{0,63}`.
pub fn is_channel(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 64
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(|b| plain(b) || b"._-".contains(&b))
}

/// Whether `name` may be a person: `[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}`.
pub fn is_person(name: &str) -> bool {
    name.len() <= 128
        && name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._@+-".contains(&b))
}

fn post_quantum(classes: Option<&Value>) -> Result<bool, TrustError> {
    match classes {
        None => Ok(false),
        Some(value) if *value == json!(["classic"]) => Ok(false),
        Some(value) if *value == json!(["classic", "pq"]) => Ok(true),
        Some(_) => Err(TrustError::root(
            "`classes` is neither [\"classic\"] nor [\"classic\",\"pq\"]",
        )),
    }
}

fn keys(value: &Value) -> Result<Vec<TrustedKey>, TrustError> {
    let list = value
        .as_array()
        .filter(|list| (1..=MAX_KEYS).contains(&list.len()))
        .ok_or_else(|| TrustError::root(format!("`keys` is not a list of 1 to {MAX_KEYS} keys")))?;
    let keys = list
        .iter()
        .map(trusted_key)
        .collect::<Result<Vec<_>, _>>()?;
    let ids: BTreeSet<KeyId> = keys.iter().map(|k| k.key.id()).collect();
    if ids.len() != keys.len() {
        return Err(TrustError::root("a key is listed twice"));
    }
    Ok(keys)
}

fn trusted_key(value: &Value) -> Result<TrustedKey, TrustError> {
    let fields = Fields::new(
        value,
        "a key",
        &["keyid", "scheme", "person", "spki"],
        &["x5c"],
    )?;
    let keyid = KeyId::from_hex(fields.text("keyid")?)
        .ok_or_else(|| TrustError::root("a `keyid` is not 64 hex digits"))?;
    let scheme = Scheme::from_word(fields.text("scheme")?)
        .ok_or_else(|| TrustError::root(format!("key {keyid} has an unknown scheme")))?;
    let person = fields.text("person")?;
    if !is_person(person) {
        return Err(TrustError::root(format!(
            "the person of key {keyid} is not a name"
        )));
    }
    let spki = base64(fields.text("spki")?)
        .ok_or_else(|| TrustError::root(format!("`spki` of key {keyid} is not base64")))?;
    let key = PublicKey::from_spki(scheme, &spki)
        .map_err(|e| TrustError::root(format!("{e} ({keyid})")))?;
    if key.id() != keyid {
        return Err(TrustError::root(format!(
            "keyid {keyid} is not the digest of its key, which is {}",
            key.id()
        )));
    }
    Ok(TrustedKey {
        key,
        person: person.to_owned(),
        x5c: certificates(value.get("x5c"), keyid)?,
    })
}

fn certificates(value: Option<&Value>, keyid: KeyId) -> Result<Vec<String>, TrustError> {
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let texts: Option<Vec<String>> = value
        .as_array()
        .filter(|list| (1..=8).contains(&list.len()))
        .and_then(|list| list.iter().map(|v| v.as_str().map(str::to_owned)).collect());
    texts
        .ok_or_else(|| TrustError::root(format!("`x5c` of key {keyid} is not 1 to 8 certificates")))
}

fn roles(value: &Value, keys: &[TrustedKey]) -> Result<BTreeMap<Role, RoleRule>, TrustError> {
    let fields = Fields::new(
        value,
        "`roles`",
        &["root", "builder"],
        &["releaser", "transfer"],
    )?;
    let mut out = BTreeMap::new();
    for role in Role::ALL {
        if let Some(rule) = fields.map.get(role.as_str()) {
            out.insert(role, role_rule(role, rule, keys)?);
        }
    }
    Ok(out)
}

fn role_rule(role: Role, value: &Value, keys: &[TrustedKey]) -> Result<RoleRule, TrustError> {
    let fields = Fields::new(value, "a role", &["keyids", "threshold"], &[])?;
    let threshold = positive(fields.get("threshold")?)
        .ok_or_else(|| TrustError::root(format!("threshold of {role} is not a number from 1")))?;
    let mut keyids = Vec::new();
    for id in fields.list("keyids")? {
        let id = id
            .as_str()
            .and_then(KeyId::from_hex)
            .filter(|id| keys.iter().any(|k| k.key.id() == *id))
            .ok_or_else(|| {
                TrustError::root(format!("role {role} names a key that is not there"))
            })?;
        if keyids.contains(&id) {
            return Err(TrustError::root(format!(
                "role {role} names key {id} twice"
            )));
        }
        keyids.push(id);
    }
    let persons: BTreeSet<&str> = keys
        .iter()
        .filter(|k| keyids.contains(&k.key.id()))
        .map(|k| k.person.as_str())
        .collect();
    if threshold > persons.len() as u64 {
        return Err(TrustError::root(format!(
            "role {role} needs {threshold} persons and has {}",
            persons.len()
        )));
    }
    Ok(RoleRule { keyids, threshold })
}
