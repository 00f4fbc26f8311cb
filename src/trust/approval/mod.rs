//! Approvals: who signed a bundle when, in which role, under which change.
//!
//! An approval is an in-toto Statement v1 about the bundle's statement, in a DSSE envelope with one signature, by the key
//! that signed the bundle. It lies beside the bundle and not in it: it names a time and a ticket, on which no byte of a
//! bundle may depend. Its time is the clock of whoever signed, and decides nothing.
//!
//! ```text
//! X.stage.approvals.json: [envelope, …]   canonical JSON and a newline; one for each key, by key id
//! payload, canonical JSON:
//! {"_type":"https://in-toto.io/Statement/v1",
//!  "predicate":{"channel":"prod","note":null,"person":"bob","roles":["releaser"],"serial":7,
//!   "signedAt":"2026-11-22T00:00:00Z","ticket":"CHG0012345","trustRoot":{"version":1}},
//!  "predicateType":"https://stage.invalid/attestation/approval/v1",
//!  "subject":[{"digest":{"sha256":…the bundle id…},"name":"statement.json"}]}
//! ```

mod error;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use crate::base::digest::Digest;
use crate::base::json::{self, JsonError, MAX_INTEGER};
use crate::base::limits::LIMITS;
use crate::base::text::quoted;
use crate::base::time::Timestamp;
use crate::trust::envelope::{self, STATEMENT, STATEMENT_TYPE, Signable, SignatureEntry};
use crate::trust::key::{KeyId, Role};
use crate::trust::root::TrustRoot;
use crate::trust::threshold::{self, MAX_SIGNATURES, Signer};

const PREDICATE_TYPE: &str = "https://stage.invalid/attestation/approval/v1";
/// Name of the subject: the member of the bundle that has this digest.
const SUBJECT: &str = "statement.json";
/// Longest payload, in bytes.
const MAX_PAYLOAD: u64 = 16 << 10;
/// Longest ticket or note, in bytes.
const MAX_REMARK: usize = 500;

pub use error::ApprovalError;
pub(crate) use error::{CONTRADICTS, FORMAT, LIMIT, OTHER, SIGNATURE, UNSIGNED};

/// A ticket or a note: one line, not empty, at most 500 bytes, no control character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark(String);

/// A text that is no [`Remark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be one line of at most {MAX_REMARK} bytes, and not empty")]
pub struct RemarkError;

impl Remark {
    /// The text, which may hold characters that hide: escape it before it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Remark {
    type Err = RemarkError;

    fn from_str(text: &str) -> Result<Self, RemarkError> {
        let fits = !text.trim().is_empty()
            && text.trim() == text
            && text.len() <= MAX_REMARK
            && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned())).ok_or(RemarkError)
    }
}

/// The bundle that approvals are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved<'a> {
    /// Digest of its statement: the bundle id.
    pub statement: Digest,
    /// Its channel.
    pub channel: &'a str,
    /// Its serial.
    pub serial: u64,
}

impl fmt::Display for Approved<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = quoted(self.channel);
        write!(
            f,
            "{}, channel {channel}, serial {}",
            self.statement, self.serial
        )
    }
}

/// What one person says with a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The key.
    pub keyid: KeyId,
    /// Whose it is.
    pub person: String,
    /// The roles it was used in, in the fixed order.
    pub roles: Vec<Role>,
    /// When, by the signer's clock.
    pub signed_at: Timestamp,
    /// The change it belongs to.
    pub ticket: Option<Remark>,
    /// What else there was to say.
    pub note: Option<Remark>,
    /// Version of the trust root that named person and roles.
    pub root_version: u64,
}

impl Approval {
    /// The bytes to sign.
    pub fn payload(&self, bundle: &Approved<'_>) -> Vec<u8> {
        let roles: Vec<&str> = self.roles.iter().map(|role| role.as_str()).collect();
        json::canonical(&json!({
            "_type": STATEMENT,
            "subject": [{"name": SUBJECT, "digest": {"sha256": bundle.statement.hex()}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "channel": bundle.channel,
                "serial": bundle.serial,
                "person": self.person,
                "roles": roles,
                "signedAt": self.signed_at,
                "ticket": self.ticket.as_ref().map(Remark::as_str),
                "note": self.note.as_ref().map(Remark::as_str),
                "trustRoot": {"version": self.root_version},
            },
        }))
    }

    /// Reads a payload that `signer` has signed and compares it with what is known.
    fn parse(
        payload: &[u8],
        bundle: &Approved<'_>,
        signer: &Signer,
    ) -> Result<Self, ApprovalError> {
        let value =
            json::strict(payload, MAX_PAYLOAD).map_err(|source| ApprovalError::Json { source })?;
        let top = object(&value, 4)?;
        if member(top, "_type")? != STATEMENT || member(top, "predicateType")? != PREDICATE_TYPE {
            return Err(format("a payload is no approval"));
        }
        let fields = object(member(top, "predicate")?, 8)?;
        let about = Subject::parse(member(top, "subject")?, fields)?;
        if !about.is(bundle) {
            return Err(ApprovalError::OtherBundle {
                person: signer.person.clone(),
                expected: bundle.to_string(),
                found: about.shown(),
            });
        }
        let roles = roles(member(fields, "roles")?)?;
        let person = text(fields, "person")?;
        agrees(signer, person, &roles)?;
        Ok(Self {
            keyid: signer.keyid,
            person: person.to_owned(),
            roles,
            signed_at: text(fields, "signedAt")?
                .parse()
                .map_err(|_bad| format("`signedAt` is not a time"))?,
            ticket: remark(fields, "ticket")?,
            note: remark(fields, "note")?,
            root_version: number(object(member(fields, "trustRoot")?, 1)?, "version")?,
        })
    }
}

/// What an approval says it is about.
struct Subject<'a> {
    digest: &'a str,
    channel: &'a str,
    serial: u64,
}

impl<'a> Subject<'a> {
    fn parse(subject: &'a Value, predicate: &'a Map<String, Value>) -> Result<Self, ApprovalError> {
        let shape = || format("the subject is not exactly statement.json with its sha256");
        let Some([one]) = subject.as_array().map(Vec::as_slice) else {
            return Err(shape());
        };
        let map = object(one, 2)?;
        let digest = object(member(map, "digest")?, 1)?;
        if member(map, "name")? != SUBJECT {
            return Err(shape());
        }
        Ok(Self {
            digest: text(digest, "sha256")?,
            channel: text(predicate, "channel")?,
            serial: number(predicate, "serial")?,
        })
    }

    fn is(&self, bundle: &Approved<'_>) -> bool {
        let own = (bundle.statement.hex(), bundle.channel, bundle.serial);
        (self.digest, self.channel, self.serial) == (own.0.as_str(), own.1, own.2)
    }

    fn shown(&self) -> String {
        let digest = crate::base::text::escaped(self.digest);
        let channel = quoted(self.channel);
        format!("sha256:{digest}, channel {channel}, serial {}", self.serial)
    }
}

/// Person and roles are those that the trust root gives the key; the root may have given it more roles since.
fn agrees(signer: &Signer, person: &str, roles: &[Role]) -> Result<(), ApprovalError> {
    let wrong = |what, expected, found| ApprovalError::Contradicts {
        key: signer.keyid,
        what,
        expected,
        found,
    };
    if person != signer.person {
        return Err(wrong("person", quoted(&signer.person), quoted(person)));
    }
    match roles.iter().find(|role| !signer.roles.contains(role)) {
        Some(role) => {
            let known: Vec<&str> = signer.roles.iter().map(|role| role.as_str()).collect();
            Err(wrong("role", known.join(", "), role.to_string()))
        }
        None => Ok(()),
    }
}

/// An approval with its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedApproval {
    approval: Approval,
    envelope: Value,
}

impl SignedApproval {
    /// Puts an approval and the signature over its payload together.
    pub fn new(approval: Approval, bundle: &Approved<'_>, signature: &SignatureEntry) -> Self {
        let payload = approval.payload(bundle);
        Self {
            envelope: envelope::envelope(STATEMENT_TYPE, &payload, std::slice::from_ref(signature)),
            approval,
        }
    }

    /// What was said.
    pub const fn approval(&self) -> &Approval {
        &self.approval
    }
}

/// The approvals of one bundle: at most one of each key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approvals(BTreeMap<KeyId, SignedApproval>);

impl Approvals {
    /// Reads and judges the bytes of a file of approvals. `signers` are those who have signed the bundle, as `root` knows
    /// them.
    ///
    /// # Errors
    /// The first rule, in order, that the file or one of the approvals breaks. None is taken then.
    pub fn judge(
        bytes: &[u8],
        bundle: &Approved<'_>,
        root: &TrustRoot,
        signers: &[Signer],
    ) -> Result<Self, ApprovalError> {
        let (size, limit) = (bytes.len() as u64, LIMITS.approvals);
        if size > limit {
            let source = JsonError::TooLarge { size, limit };
            return Err(ApprovalError::Json { source });
        }
        let text = bytes
            .strip_suffix(b"\n")
            .ok_or_else(|| format("the file does not end with a newline"))?;
        let value = json::strict(text, limit).map_err(|source| ApprovalError::Json { source })?;
        let list = value
            .as_array()
            .filter(|list| !list.is_empty())
            .ok_or_else(|| format("it is not a list of envelopes"))?;
        if list.len() > MAX_SIGNATURES {
            return Err(ApprovalError::TooMany { found: list.len() });
        }
        let mut found = BTreeMap::new();
        for (at, envelope) in list.iter().enumerate() {
            let approval = judge_one(at + 1, envelope, bundle, root, signers)?;
            let key = approval.keyid;
            if found.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(format("they are not one for each key, sorted by key id"));
            }
            let envelope = envelope.clone();
            found.insert(key, SignedApproval { approval, envelope });
        }
        Ok(Self(found))
    }

    /// Adds approvals; one by a key that is there takes the place of the one before.
    pub fn extend(&mut self, more: impl IntoIterator<Item = SignedApproval>) {
        let keyed = |signed: SignedApproval| (signed.approval.keyid, signed);
        self.0.extend(more.into_iter().map(keyed));
    }

    /// Whether this key has approved.
    pub fn has(&self, key: KeyId) -> bool {
        self.0.contains_key(&key)
    }

    /// Every approval, by key id.
    pub fn iter(&self) -> impl Iterator<Item = &SignedApproval> {
        self.0.values()
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let list = self.iter().map(|signed| signed.envelope.clone()).collect();
        let mut bytes = json::canonical(&Value::Array(list));
        bytes.push(b'\n');
        bytes
    }
}

/// The signature first: what is in an envelope is parsed only after it verified.
fn judge_one(
    number: usize,
    value: &Value,
    bundle: &Approved<'_>,
    root: &TrustRoot,
    signers: &[Signer],
) -> Result<Approval, ApprovalError> {
    let (payload, signatures) = envelope::open(value, STATEMENT_TYPE)
        .ok_or_else(|| format("an entry is not the envelope of an in-toto statement"))?;
    let payload = crate::base::text::base64(payload)
        .ok_or_else(|| format("a payload is not canonical base64"))?;
    if signatures.len() != 1 {
        return Err(format("an envelope does not have exactly one signature"));
    }
    let signed = Signable::approval(&payload);
    let by = threshold::count(signatures, signed, root, &[]).map_err(|source| {
        ApprovalError::Signature {
            number,
            source: Box::new(source),
        }
    })?;
    let signer = by
        .first()
        .ok_or_else(|| format("an envelope does not have exactly one signature"))?;
    if signers.iter().all(|known| known.keyid != signer.keyid) {
        return Err(ApprovalError::NotSigned {
            key: signer.keyid,
            person: signer.person.clone(),
        });
    }
    Approval::parse(&payload, bundle, signer)
}

const fn format(reason: &'static str) -> ApprovalError {
    ApprovalError::Format { reason }
}

fn object(value: &Value, len: usize) -> Result<&Map<String, Value>, ApprovalError> {
    value
        .as_object()
        .filter(|map| map.len() == len)
        .ok_or_else(|| format("the fields of a payload are not exactly those of an approval"))
}

fn member<'a>(map: &'a Map<String, Value>, field: &str) -> Result<&'a Value, ApprovalError> {
    map.get(field)
        .ok_or_else(|| format("the fields of a payload are not exactly those of an approval"))
}

fn text<'a>(map: &'a Map<String, Value>, field: &str) -> Result<&'a str, ApprovalError> {
    member(map, field)?
        .as_str()
        .ok_or_else(|| format("a field of a payload is not the text that it must be"))
}

fn number(map: &Map<String, Value>, field: &str) -> Result<u64, ApprovalError> {
    member(map, field)?
        .as_u64()
        .filter(|n| (1..=MAX_INTEGER).contains(n))
        .ok_or_else(|| format("a field of a payload is not the number from 1 that it must be"))
}

fn remark(map: &Map<String, Value>, field: &str) -> Result<Option<Remark>, ApprovalError> {
    if member(map, field)?.is_null() {
        return Ok(None);
    }
    let parsed = text(map, field)?.parse();
    parsed
        .map(Some)
        .map_err(|_long| format("a ticket or note is not one line of at most 500 bytes"))
}

/// Roles in the fixed order, none twice.
fn roles(value: &Value) -> Result<Vec<Role>, ApprovalError> {
    let wrong = || format("`roles` is not a list of roles in their order");
    let list = value.as_array().ok_or_else(wrong)?;
    let mut roles: Vec<Role> = Vec::new();
    for word in list {
        let role = word.as_str().and_then(|word| word.parse().ok());
        let role = role.filter(|role| roles.last().is_none_or(|last| last < role));
        roles.push(role.ok_or_else(wrong)?);
    }
    Ok(roles)
}

#[cfg(test)]
mod tests {
    use super::{Approval, Approved, Remark};
    use crate::base::digest::Digest;
    use crate::base::fault::Fault as _;
    use crate::trust::Role;
    use crate::trust::key::KeyId;
    use crate::trust::threshold::Signer;

    /// What bob, who may also sign roots, says as releaser.
    fn said() -> (Approval, Signer) {
        let keyid = KeyId::from_hex(&"a".repeat(64)).unwrap();
        let approval = Approval {
            keyid,
            person: "bob".to_owned(),
            roles: vec![Role::Releaser],
            signed_at: "2026-11-22T00:00:00Z".parse().unwrap(),
            ticket: "CHG1".parse().ok(),
            note: None,
            root_version: 3,
        };
        let signer = Signer {
            keyid,
            person: "bob".to_owned(),
            roles: vec![Role::Root, Role::Releaser],
        };
        (approval, signer)
    }

    #[test]
    fn an_approval_is_its_bytes_and_its_fields_are_a_closed_typed_set() {
        let (approval, signer) = said();
        let bundle = Approved {
            statement: Digest::of(b"statement"),
            channel: "prod",
            serial: 7,
        };
        let good = String::from_utf8(approval.payload(&bundle)).unwrap();
        let parse = |text: &str| Approval::parse(text.as_bytes(), &bundle, &signer);
        assert_eq!(parse(&good).unwrap(), approval);
        let id = bundle.statement.hex();
        for (from, to, code) in [
            (
                r#""serial":7"#,
                r#""serial":8"#,
                "trust-approval-other-bundle",
            ),
            ("\"prod\"", "\"test\"", "trust-approval-other-bundle"),
            (id.as_str(), "ffff", "trust-approval-other-bundle"),
            ("\"bob\"", "\"eve\"", "trust-approval-contradicts"),
            ("releaser", "builder", "trust-approval-contradicts"),
            ("releaser", "boss", "trust-approval-format"),
            (
                r#"["releaser"]"#,
                r#"["releaser","root"]"#,
                "trust-approval-format",
            ),
            (r#""note":null"#, r#""note":"""#, "trust-approval-format"),
            (
                r#""note":null"#,
                r#""note":"a\u0007""#,
                "trust-approval-format",
            ),
            (r#""note":null"#, r#""note":1"#, "trust-approval-format"),
            (
                r#""note":null"#,
                r#""note":null,"x":1"#,
                "trust-approval-format",
            ),
            (
                r#"{"version":3}"#,
                r#"{"version":0}"#,
                "trust-approval-format",
            ),
            ("00:00:00Z", "00:00:00", "trust-approval-format"),
            ("approval/v1", "approval/v2", "trust-approval-format"),
            ("Statement/v1", "Statement/v2", "trust-approval-format"),
            ("statement.json", "manifest.json", "trust-approval-format"),
            ("sha256", "sha512", "trust-approval-format"),
            (r#""serial":7"#, r#""serial": 7"#, "trust-approval-format"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from}");
            assert_eq!(parse(&bad).unwrap_err().code().name, code, "{to}");
        }
    }

    #[test]
    fn remarks_are_one_line() {
        for good in ["CHG0012345", "Größe: \"x\"", &"x".repeat(500)] {
            assert_eq!(good.parse::<Remark>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            " ",
            " x",
            "x\n",
            "a\nb",
            "\u{1b}[m",
            "\u{9b}m",
            &"x".repeat(501),
        ] {
            bad.parse::<Remark>().unwrap_err();
        }
    }
}
