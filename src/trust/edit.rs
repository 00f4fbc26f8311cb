//! Writing the next trust root: from nothing, or from the root before it. What comes out was judged like any root.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

use crate::base::text::quoted;
use crate::base::time::Timestamp;
use crate::trust::TrustError;
use crate::trust::key::{KeyId, PublicKey, Role, Scheme};
use crate::trust::root::{ANY_CHANNEL, MAX_DOCUMENT, RoleRule, TrustRoot, TrustedKey, is_channel};

/// Which kinds of keys a root may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Every scheme that this build verifies.
    Default,
    /// ECDSA P-384 only.
    Fips,
}

/// A root that is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootEdit {
    version: u64,
    expires: Timestamp,
    epochs: BTreeMap<String, u64>,
    keys: Vec<TrustedKey>,
    roles: BTreeMap<Role, RoleRule>,
    post_quantum: bool,
}

impl RootEdit {
    /// The first root, with one epoch for every channel and nobody in it.
    pub fn first(expires: Timestamp) -> Self {
        Self {
            version: 1,
            expires,
            epochs: BTreeMap::from([(ANY_CHANNEL.to_owned(), 1)]),
            keys: Vec::new(),
            roles: BTreeMap::new(),
            post_quantum: false,
        }
    }

    /// Starts from `root` under the number `version`.
    pub fn from_root(root: &TrustRoot, version: u64) -> Self {
        Self {
            version,
            expires: root.expires(),
            epochs: root.epochs().clone(),
            keys: root.keys().to_vec(),
            roles: root.roles().clone(),
            post_quantum: root.demands_post_quantum(),
        }
    }

    /// Sets until when the root is valid.
    pub const fn set_expires(&mut self, expires: Timestamp) {
        self.expires = expires;
    }

    /// Gives `role` to a key of `person`; a role that nobody had gets threshold 1.
    pub fn give(&mut self, role: Role, key: &PublicKey, person: &str) -> Result<(), TrustError> {
        let id = key.id();
        match self.keys.iter().find(|known| known.key.id() == id) {
            Some(known) if known.person != person => {
                return Err(TrustError::edit(format!(
                    "key {id} is given to {} and {}",
                    quoted(&known.person),
                    quoted(person)
                )));
            }
            Some(_) => {}
            None => self.keys.push(TrustedKey {
                key: key.clone(),
                person: person.to_owned(),
                x5c: Vec::new(),
            }),
        }
        let rule = self.roles.entry(role).or_insert_with(|| RoleRule {
            keyids: Vec::new(),
            threshold: 1,
        });
        if rule.keyids.contains(&id) {
            return Err(TrustError::edit(format!(
                "key {id} has the role {role} already"
            )));
        }
        rule.keyids.push(id);
        Ok(())
    }

    /// Takes `roles` from a key, or all of them when none is named; a key without any role leaves the root.
    pub fn take(&mut self, id: KeyId, roles: &[Role]) -> Result<(), TrustError> {
        self.check_known(id)?;
        for role in roles {
            let has = self
                .roles
                .get(role)
                .is_some_and(|rule| rule.keyids.contains(&id));
            if !has {
                return Err(TrustError::edit(format!(
                    "key {id} does not have the role {role}"
                )));
            }
        }
        for (role, rule) in &mut self.roles {
            if roles.is_empty() || roles.contains(role) {
                rule.keyids.retain(|known| *known != id);
            }
        }
        if !self.roles.values().any(|rule| rule.keyids.contains(&id)) {
            self.keys.retain(|known| known.key.id() != id);
        }
        Ok(())
    }

    /// Puts `new` in the place of the key `old`: same person, same roles. Certificates do not carry over.
    pub fn replace(&mut self, old: KeyId, new: &PublicKey) -> Result<(), TrustError> {
        self.check_known(old)?;
        if self.keys.iter().any(|known| known.key.id() == new.id()) {
            return Err(TrustError::edit(format!(
                "key {} is in the root already",
                new.id()
            )));
        }
        for known in &mut self.keys {
            if known.key.id() == old {
                known.key = new.clone();
                known.x5c = Vec::new();
            }
        }
        for id in self.roles.values_mut().flat_map(|rule| &mut rule.keyids) {
            if *id == old {
                *id = new.id();
            }
        }
        Ok(())
    }

    /// Gives a key its certificates, its own first, in place of those it had. Whether they are for the key is for
    /// `enrolment` to say.
    pub fn certify(&mut self, id: KeyId, x5c: &[String]) -> Result<(), TrustError> {
        self.check_known(id)?;
        for known in &mut self.keys {
            if known.key.id() == id {
                known.x5c = x5c.to_vec();
            }
        }
        Ok(())
    }

    /// The keys, in the document's order.
    pub fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().map(|known| &known.key)
    }

    /// Sets how many persons of a role must sign.
    pub fn set_threshold(&mut self, role: Role, threshold: u64) -> Result<(), TrustError> {
        let rule = self
            .roles
            .get_mut(&role)
            .ok_or_else(|| TrustError::edit(format!("nobody has the role {role}")))?;
        rule.threshold = threshold;
        Ok(())
    }

    /// Removes a role: its keys lose it.
    pub fn drop_role(&mut self, role: Role) -> Result<(), TrustError> {
        let rule = self
            .roles
            .remove(&role)
            .ok_or_else(|| TrustError::edit(format!("there is no role {role}")))?;
        let kept = |id: KeyId| self.roles.values().any(|r| r.keyids.contains(&id));
        self.keys
            .retain(|known| !rule.keyids.contains(&known.key.id()) || kept(known.key.id()));
        Ok(())
    }

    /// Sets the epoch of a channel; `*` is every channel not named.
    pub fn set_epoch(&mut self, channel: &str, epoch: u64) -> Result<(), TrustError> {
        if channel != ANY_CHANNEL && !is_channel(channel) {
            return Err(TrustError::edit(format!(
                "{} is not a channel",
                quoted(channel)
            )));
        }
        self.epochs.insert(channel.to_owned(), epoch);
        Ok(())
    }

    /// Ids of the keys of a person.
    pub fn keys_of(&self, person: &str) -> Vec<KeyId> {
        let own = self.keys.iter().filter(|known| known.person == person);
        own.map(|known| known.key.id()).collect()
    }

    fn check_known(&self, id: KeyId) -> Result<(), TrustError> {
        if self.keys.iter().any(|known| known.key.id() == id) {
            return Ok(());
        }
        Err(TrustError::edit(format!("the root has no key {id}")))
    }

    /// The root, judged like any other.
    ///
    /// # Errors
    /// A rule that it breaks: a role without reachable threshold, a person that is no name, a key that the profile does
    /// not take.
    pub fn finish(&self, profile: Profile) -> Result<TrustRoot, TrustError> {
        let foreign = |known: &&TrustedKey| known.key.scheme() != Scheme::EcdsaP384;
        if profile == Profile::Fips
            && let Some(known) = self.keys.iter().find(foreign)
        {
            return Err(TrustError::edit(format!(
                "the key of {} is {}, and profile fips takes only {}",
                quoted(&known.person),
                known.key.scheme(),
                Scheme::EcdsaP384
            )));
        }
        let root = TrustRoot::from_value(&self.document())
            .map_err(|error| TrustError::edit(error.to_string()))?;
        let size = root.canonical().len() as u64;
        if size > MAX_DOCUMENT {
            return Err(TrustError::edit(format!(
                "the root would have {size} bytes, and {MAX_DOCUMENT} fit into a bundle: leave out certificates"
            )));
        }
        Ok(root)
    }

    fn document(&self) -> Value {
        let keys: Vec<Value> = self.keys.iter().map(key_value).collect();
        let roles: Map<String, Value> = self
            .roles
            .iter()
            .map(|(role, rule)| {
                let keyids: Vec<String> = rule.keyids.iter().map(KeyId::hex).collect();
                let rule = json!({"keyids": keyids, "threshold": rule.threshold});
                (role.as_str().to_owned(), rule)
            })
            .collect();
        let mut document = json!({
            "_type": "stage-root",
            "version": self.version,
            "expires": self.expires,
            "epochs": self.epochs,
            "keys": keys,
            "roles": roles,
        });
        if let (true, Value::Object(map)) = (self.post_quantum, &mut document) {
            map.insert("classes".to_owned(), json!(["classic", "pq"]));
        }
        document
    }
}

fn key_value(known: &TrustedKey) -> Value {
    let mut value = json!({
        "keyid": known.key.id().hex(),
        "scheme": known.key.scheme().as_str(),
        "person": known.person,
        "spki": BASE64.encode(known.key.spki()),
    });
    if let (false, Value::Object(map)) = (known.x5c.is_empty(), &mut value) {
        map.insert("x5c".to_owned(), json!(known.x5c));
    }
    value
}
