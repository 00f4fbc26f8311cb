//! What changes from one trust root to the next, in words: what two persons read before they sign.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::digest::Digest;
use crate::base::text::base64;
use crate::trust::key::{KeyId, Role};
use crate::trust::root::{TrustRoot, TrustedKey};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootChange {
    /// What kind of thing: `version`, `expires`, `key`, `person`, `roles`, `threshold`, `role`, `epoch`, `rule`.
    pub kind: &'static str,
    /// Which one; empty where there is only one.
    pub subject: String,
    /// How it was; `None` when it is new.
    pub old: Option<String>,
    /// How it is; `None` when it is gone.
    pub new: Option<String>,
}

impl RootChange {
    /// As one line.
    pub fn text(&self) -> String {
        let head = if self.subject.is_empty() {
            self.kind.to_owned()
        } else {
            format!("{} {}", self.kind, self.subject)
        };
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => format!("{head}: {old} -> {new}"),
            (None, Some(new)) => format!("{head}: added, {new}"),
            (Some(old), None) => format!("{head}: removed, was {old}"),
            (None, None) => head,
        }
    }
}

/// Every difference between two roots, most important first.
pub fn changes(old: &TrustRoot, new: &TrustRoot) -> Vec<RootChange> {
    let mut out = Vec::new();
    let mut note = |kind, subject: String, old: Option<String>, new: Option<String>| {
        if old != new {
            out.push(RootChange {
                kind,
                subject,
                old,
                new,
            });
        }
    };
    let once = |text: String| Some(text);
    note(
        "version",
        String::new(),
        once(old.version().to_string()),
        once(new.version().to_string()),
    );
    note(
        "rule",
        String::new(),
        once(bundle_rule(old)),
        once(bundle_rule(new)),
    );
    for role in Role::ALL {
        note(
            "threshold",
            role.to_string(),
            threshold(old, role),
            threshold(new, role),
        );
    }
    let ids: BTreeSet<KeyId> = keys(old).into_keys().chain(keys(new).into_keys()).collect();
    for id in ids {
        let (before, after) = (old.key(id), new.key(id));
        let shown = |root: &TrustRoot, key: Option<&TrustedKey>| key.map(|k| described(root, k));
        note("key", id.hex(), shown(old, before), shown(new, after));
    }
    let channels: BTreeSet<&String> = old.epochs().keys().chain(new.epochs().keys()).collect();
    for channel in channels {
        let epoch = |root: &TrustRoot| root.epochs().get(channel).map(u64::to_string);
        note("epoch", channel.clone(), epoch(old), epoch(new));
    }
    note(
        "expires",
        String::new(),
        once(old.expires().to_string()),
        once(new.expires().to_string()),
    );
    note("classes", String::new(), classes(old), classes(new));
    out
}

fn keys(root: &TrustRoot) -> BTreeMap<KeyId, &TrustedKey> {
    root.keys().iter().map(|k| (k.key.id(), k)).collect()
}

fn described(root: &TrustRoot, key: &TrustedKey) -> String {
    let roles: Vec<&str> = root
        .roles_of(key.key.id())
        .iter()
        .map(|role| role.as_str())
        .collect();
    let certificates = match (key.x5c.first().map(|leaf| base64(leaf)), key.x5c.len()) {
        (None, _) => String::new(),
        (Some(Some(leaf)), count) => {
            format!(", {} ({count} in the chain)", certificate(&leaf))
        }
        (Some(None), _) => ", a certificate that is not base64".to_owned(),
    };
    format!(
        "{} as {}, {}{certificates}",
        key.person,
        roles.join(" and "),
        key.key.scheme()
    )
}

/// A certificate as persons compare it.
fn certificate(der: &[u8]) -> String {
    format!("certificate {}", Digest::of(der))
}

fn threshold(root: &TrustRoot, role: Role) -> Option<String> {
    let needed = root.threshold(role)?;
    let holders: BTreeSet<&str> = root
        .keys()
        .iter()
        .filter(|k| root.is_in_role(k.key.id(), role))
        .map(|k| k.person.as_str())
        .collect();
    let holders: Vec<&str> = holders.into_iter().collect();
    Some(format!(
        "{needed} of {} ({})",
        holders.len(),
        holders.join(", ")
    ))
}

fn bundle_rule(root: &TrustRoot) -> String {
    if root.has_role(Role::Releaser) {
        "a bundle needs builder and releaser, two persons".to_owned()
    } else {
        "a bundle needs a builder only".to_owned()
    }
}

fn classes(root: &TrustRoot) -> Option<String> {
    root.demands_post_quantum()
        .then(|| "post-quantum signatures demanded".to_owned())
}
