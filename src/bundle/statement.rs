//! `statement.json`: an in-toto Statement v1 about the manifest. It is parsed only after its signatures verified, in
//! two steps, because roots, epoch, serial and time are judged before the subject is looked at.

use serde_json::{Map, Value, json};

use crate::base::digest::{Digest, Digests, Sha512};
use crate::base::json::{self, MAX_INTEGER};
use crate::base::limits::LIMITS;
use crate::base::time::Timestamp;
use crate::bundle::BundleError;
use crate::bundle::header::{MANIFEST, ROOTS, STATEMENT};
use crate::trust::root::is_channel;

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "https://stage.invalid/attestation/bundle/v1";
const PREDICATE_FIELDS: usize = 11;

/// Whether a bundle carries every blob of its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Every blob.
    Full,
    /// Only blobs that an earlier bundle did not bring.
    Delta,
}

impl Kind {
    /// The word in the statement.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Delta => "delta",
        }
    }
}

/// The bundle that a delta was made against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Previous {
    /// Its serial.
    pub serial: u64,
    /// Digest of its statement.
    pub statement: Digest,
}

/// What a bundle says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Rollback protection counts per channel.
    pub channel: String,
    /// Epoch of the channel, set by the trust root.
    pub epoch: u64,
    /// Rises with every release of the channel.
    pub serial: u64,
    /// Full or delta.
    pub kind: Kind,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is refused.
    pub expires: Timestamp,
    /// Lowest version of the trust root it may be judged with.
    pub root_version: u64,
    /// Size of `manifest.json` in bytes.
    pub manifest_size: u64,
    /// Digests of `manifest.json`.
    pub manifest: Digests,
    /// Digest and size of `roots.json`.
    pub roots: (Digest, u64),
    /// The bundle before, where it matters.
    pub previous: Option<Previous>,
}

impl Statement {
    /// The canonical bytes.
    pub fn canonical(&self) -> Vec<u8> {
        let previous = self.previous.map(|previous| {
            json!({"serial": previous.serial, "statementSha256": previous.statement.hex()})
        });
        json::canonical(&json!({
            "_type": STATEMENT_TYPE,
            "subject": [{
                "name": MANIFEST,
                "digest": {"sha256": self.manifest.sha256.hex(), "sha512": self.manifest.sha512.hex()},
            }],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "bundleFormat": 1,
                "channel": self.channel,
                "epoch": self.epoch,
                "serial": self.serial,
                "kind": self.kind.as_str(),
                "created": self.created,
                "expires": self.expires,
                "trustRoot": {"version": self.root_version},
                "manifestSize": self.manifest_size,
                "roots": roots_value(self.roots),
                "previous": previous,
            },
        }))
    }

    /// Parses a whole statement.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let claims = Claims::parse(bytes)?;
        let roots = claims
            .roots()
            .ok_or_else(|| fields("`roots` is not a digest and a size"))?;
        claims.finish(roots)
    }
}

/// How a statement writes digest and size of `roots.json`.
fn roots_value(roots: (Digest, u64)) -> Value {
    json!({"sha256": roots.0.hex(), "size": roots.1})
}

/// A statement whose subject and roots are not looked at yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Channel.
    pub channel: String,
    /// Epoch.
    pub epoch: u64,
    /// Serial.
    pub serial: u64,
    /// Full or delta.
    pub kind: Kind,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is refused.
    pub expires: Timestamp,
    /// Lowest version of the trust root it may be judged with.
    pub root_version: u64,
    manifest_size: u64,
    previous: Option<Previous>,
    roots: Value,
    subject: Value,
}

impl Claims {
    /// Parses everything but subject and roots.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let value = json::strict(bytes, LIMITS.statement).map_err(|source| BundleError::Json {
            document: STATEMENT,
            source,
        })?;
        let top = object(&value, 4)?;
        let subject = member(top, "subject")?.clone();
        let predicate = member(top, "predicate")?;
        if member(top, "_type")? != STATEMENT_TYPE
            || member(top, "predicateType")? != PREDICATE_TYPE
        {
            return Err(fields("it is no statement about a bundle"));
        }
        Self::predicate(object(predicate, PREDICATE_FIELDS)?, subject)
    }

    fn predicate(map: &Map<String, Value>, subject: Value) -> Result<Self, BundleError> {
        if member(map, "bundleFormat")? != &json!(1) {
            return Err(fields("`bundleFormat` is not 1"));
        }
        let kind = match member(map, "kind")?.as_str() {
            Some("full") => Kind::Full,
            Some("delta") => Kind::Delta,
            _ => return Err(fields("`kind` is neither full nor delta")),
        };
        let (created, expires) = (time(map, "created")?, time(map, "expires")?);
        if expires <= created {
            return Err(fields("it expires before it was made"));
        }
        let root_version = number(object(member(map, "trustRoot")?, 1)?, "version")?;
        let channel = member(map, "channel")?
            .as_str()
            .ok_or_else(|| fields("`channel` is not a text"))?;
        let claims = Self {
            channel: channel.to_owned(),
            epoch: number(map, "epoch")?,
            serial: number(map, "serial")?,
            kind,
            created,
            expires,
            root_version,
            manifest_size: number(map, "manifestSize")?,
            previous: previous(member(map, "previous")?)?,
            roots: member(map, "roots")?.clone(),
            subject,
        };
        if !is_channel(channel) {
            return Err(BundleError::Channel {
                name: crate::base::text::quoted(channel),
            });
        }
        Ok(claims)
    }

    /// Checks that the statement names these bytes of `roots.json`.
    pub fn check_roots(&self, roots: &[u8]) -> Result<(), BundleError> {
        let found = roots_value((Digest::of(roots), roots.len() as u64));
        if self.roots == found {
            return Ok(());
        }
        Err(BundleError::Mismatch {
            member: ROOTS.to_owned(),
            expected: crate::base::text::escaped(&self.roots.to_string()),
            found: found.to_string(),
        })
    }

    /// [`Claims::check_roots`] and [`Claims::finish`] in one.
    pub fn finish_with(self, roots: &[u8]) -> Result<Statement, BundleError> {
        self.check_roots(roots)?;
        self.finish((Digest::of(roots), roots.len() as u64))
    }

    fn roots(&self) -> Option<(Digest, u64)> {
        let digest = Digest::from_hex(self.roots.get("sha256")?.as_str()?).ok()?;
        let roots = (digest, self.roots.get("size")?.as_u64()?);
        (self.roots == roots_value(roots)).then_some(roots)
    }

    /// Looks at the subject and the manifest's size; `roots` is what the caller found and compared.
    pub fn finish(self, roots: (Digest, u64)) -> Result<Statement, BundleError> {
        let manifest = subject(&self.subject)?;
        if self.manifest_size > LIMITS.manifest {
            return Err(BundleError::Limit {
                what: MANIFEST.to_owned(),
                found: self.manifest_size,
                limit: LIMITS.manifest,
            });
        }
        Ok(Statement {
            channel: self.channel,
            epoch: self.epoch,
            serial: self.serial,
            kind: self.kind,
            created: self.created,
            expires: self.expires,
            root_version: self.root_version,
            manifest_size: self.manifest_size,
            manifest,
            roots,
            previous: self.previous,
        })
    }
}

fn fields(reason: &str) -> BundleError {
    BundleError::fields(STATEMENT, reason)
}

fn object(value: &Value, len: usize) -> Result<&Map<String, Value>, BundleError> {
    value
        .as_object()
        .filter(|map| map.len() == len)
        .ok_or_else(|| fields("its fields are not exactly those of bundle format 1"))
}

fn member<'a>(map: &'a Map<String, Value>, field: &str) -> Result<&'a Value, BundleError> {
    map.get(field)
        .ok_or_else(|| fields(&format!("`{field}` is missing")))
}

fn number(map: &Map<String, Value>, field: &str) -> Result<u64, BundleError> {
    member(map, field)?
        .as_u64()
        .filter(|n| (1..=MAX_INTEGER).contains(n))
        .ok_or_else(|| fields(&format!("`{field}` is not a number from 1")))
}

fn time(map: &Map<String, Value>, field: &str) -> Result<Timestamp, BundleError> {
    member(map, field)?
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| fields(&format!("`{field}` is not a time")))
}

fn previous(value: &Value) -> Result<Option<Previous>, BundleError> {
    if value.is_null() {
        return Ok(None);
    }
    let map = object(value, 2)?;
    let statement = member(map, "statementSha256")?
        .as_str()
        .and_then(|hex| Digest::from_hex(hex).ok())
        .ok_or_else(|| fields("`previous` has no digest"))?;
    Ok(Some(Previous {
        serial: number(map, "serial")?,
        statement,
    }))
}

/// The two digests of the one subject. Texts that are no digests have the right shape and match no manifest.
fn subject(value: &Value) -> Result<Digests, BundleError> {
    let (sha256, sha512) = subject_texts(value)
        .ok_or_else(|| fields("the subject is not exactly manifest.json with two digests"))?;
    let digests = || {
        Some(Digests {
            sha256: Digest::from_hex(sha256.as_str()?).ok()?,
            sha512: Sha512::from_hex(sha512.as_str()?).ok()?,
        })
    };
    digests().ok_or_else(|| BundleError::Mismatch {
        member: MANIFEST.to_owned(),
        expected: "a digest that cannot be read".to_owned(),
        found: String::new(),
    })
}

fn subject_texts(value: &Value) -> Option<(&Value, &Value)> {
    let [entry] = value.as_array()?.as_slice() else {
        return None;
    };
    let entry = entry.as_object().filter(|map| map.len() == 2)?;
    let digest = entry.get("digest")?.as_object().filter(|d| d.len() == 2)?;
    if entry.get("name")? != MANIFEST {
        return None;
    }
    Some((digest.get("sha256")?, digest.get("sha512")?))
}

#[cfg(test)]
mod tests {
    use super::{Claims, Kind, Previous, Statement};
    use crate::base::digest::{Digest, Digests};
    use crate::bundle::BundleError;

    fn statement() -> Statement {
        Statement {
            channel: "prod".to_owned(),
            epoch: 1,
            serial: 7,
            kind: Kind::Full,
            created: "2026-11-01T00:00:00Z".parse().unwrap(),
            expires: "2029-02-01T00:00:00Z".parse().unwrap(),
            root_version: 1,
            manifest_size: 3,
            manifest: Digests::of(b"abc"),
            roots: (Digest::of(b"[]"), 2),
            previous: Some(Previous {
                serial: 6,
                statement: Digest::of(b"x"),
            }),
        }
    }

    #[test]
    fn a_statement_is_its_bytes() {
        let bytes = statement().canonical();
        assert_eq!(Statement::parse(&bytes).unwrap(), statement());
        assert!(bytes.starts_with(br#"{"_type":"https://in-toto.io/Statement/v1","predicate":{"bundleFormat":1,"channel":"prod","created":"2026-11-01T00:00:00Z","epoch":1,"#));
    }

    #[test]
    fn fields_are_a_closed_typed_set() {
        let good = String::from_utf8(statement().canonical()).unwrap();
        let bad = [
            (r#""serial":7"#, r#""serial":0"#),
            (r#""serial":7"#, r#""serial":"7""#),
            (r#""serial":7"#, r#""serial":7,"serial":7"#),
            (r#""serial":7"#, r#""serial":7,"x":1"#),
            (r#""bundleFormat":1"#, r#""bundleFormat":2"#),
            (r#""bundleFormat":1"#, r#""bundleFormat":true"#),
            (r#""kind":"full""#, r#""kind":"half""#),
            (r#""expires":"2029"#, r#""expires":"2026-10-01T00:00:00Z","#),
            ("2029-02-01T00:00:00Z", "2026-11-01T00:00:00Z"),
            (r#""name":"manifest.json""#, r#""name":"other.json""#),
            ("bundle/v1", "bundle/v2"),
            (r#"{"version":1}"#, r#"{"version":1,"x":1}"#),
        ];
        for (from, to) in bad {
            let text = good.replace(from, to);
            assert_ne!(text, good);
            assert!(Statement::parse(text.as_bytes()).is_err(), "{to}");
        }
        let text = good.replace(r#""channel":"prod""#, r#""channel":"../prod""#);
        assert!(matches!(
            Claims::parse(text.as_bytes()),
            Err(BundleError::Channel { .. })
        ));
    }
}
