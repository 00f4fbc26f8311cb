//! Counting signatures: the only place where it happens, for bundles and for roots alike.
//!
//! Every signature present must verify by a key of the root. A threshold counts different *persons*; since a root
//! holds no public key twice and no key id may sign twice, it counts different public keys too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::base::text::base64;
use crate::trust::TrustError;
use crate::trust::envelope::{Signable, SignatureEntry};
use crate::trust::key::{KeyId, Role};
use crate::trust::root::{TrustRoot, TrustedKey};

/// Most signatures on one document.
pub const MAX_SIGNATURES: usize = 32;

/// A signature that counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The key.
    pub keyid: KeyId,
    /// The person the root says it belongs to.
    pub person: String,
    /// The roles the root gives the key.
    pub roles: Vec<Role>,
}

/// Checks all `signatures` over `signed` and that every role in `needs` reaches its threshold in `root`. When both builder
/// and releaser are needed, two different persons must have signed as one and the other.
///
/// # Errors
/// The first signature, in order, that is malformed, repeated, unknown or wrong; else the first role not reached.
pub fn count(
    signatures: &[Value],
    signed: Signable<'_>,
    root: &TrustRoot,
    needs: &[Role],
) -> Result<Vec<Signer>, TrustError> {
    if root.demands_post_quantum() {
        return Err(TrustError::ClassUnsupported);
    }
    let signed = verify_each(signatures, signed, root)?;
    for role in needs {
        let needed = root
            .threshold(*role)
            .ok_or_else(|| TrustError::root(format!("it has no role {role}")))?;
        let persons = persons(&signed, root, *role);
        if (persons.len() as u64) < needed {
            return Err(TrustError::Threshold {
                role: *role,
                needed,
                persons: persons.into_iter().map(str::to_owned).collect(),
            });
        }
    }
    if needs.contains(&Role::Builder) && needs.contains(&Role::Releaser) {
        two_persons(&signed, root)?;
    }
    Ok(signed
        .values()
        .map(|key| Signer {
            keyid: key.key.id(),
            person: key.person.clone(),
            roles: root.roles_of(key.key.id()),
        })
        .collect())
}

fn verify_each<'a>(
    signatures: &[Value],
    payload: Signable<'_>,
    root: &'a TrustRoot,
) -> Result<BTreeMap<KeyId, &'a TrustedKey>, TrustError> {
    if signatures.len() > MAX_SIGNATURES {
        return Err(TrustError::SignatureLimit {
            count: signatures.len(),
            limit: MAX_SIGNATURES,
        });
    }
    let mut signed = BTreeMap::new();
    for value in signatures {
        let entry = SignatureEntry::from_value(value).ok_or(TrustError::SignatureFormat {
            reason: "a signature is not exactly `keyid` and `sig`",
        })?;
        let keyid = KeyId::from_hex(&entry.keyid);
        if keyid.is_some_and(|id| signed.contains_key(&id)) {
            return Err(TrustError::SignatureDuplicate {
                keyid: crate::base::text::quoted(&entry.keyid),
            });
        }
        let key =
            keyid
                .and_then(|id| root.key(id))
                .ok_or_else(|| TrustError::SignatureUnknown {
                    keyid: crate::base::text::quoted(&entry.keyid),
                })?;
        let signature = base64(&entry.sig).ok_or(TrustError::SignatureFormat {
            reason: "a signature is not canonical base64",
        })?;
        if !key.key.verifies_signable(payload, &signature)? {
            return Err(TrustError::SignatureInvalid {
                key: key.key.id(),
                person: key.person.clone(),
            });
        }
        signed.insert(key.key.id(), key);
    }
    Ok(signed)
}

fn persons<'a>(
    signed: &BTreeMap<KeyId, &'a TrustedKey>,
    root: &TrustRoot,
    role: Role,
) -> BTreeSet<&'a str> {
    signed
        .iter()
        .filter(|(id, _)| root.is_in_role(**id, role))
        .map(|(_, key)| key.person.as_str())
        .collect()
}

fn two_persons(signed: &BTreeMap<KeyId, &TrustedKey>, root: &TrustRoot) -> Result<(), TrustError> {
    let builders = persons(signed, root, Role::Builder);
    let releasers = persons(signed, root, Role::Releaser);
    let differ = builders
        .iter()
        .any(|builder| releasers.iter().any(|releaser| builder != releaser));
    if differ {
        return Ok(());
    }
    Err(TrustError::TwoPersons {
        persons: builders.into_iter().map(str::to_owned).collect(),
    })
}
