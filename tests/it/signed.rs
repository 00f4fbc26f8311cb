//! Keys, trust roots and bundles made for the tests, well-formed or hostile, always signed by real keys.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde_json::{Value, json};
use stage::base::digest::{Digest, Digests};
use stage::base::json;
use stage::base::progress::NoProgress;
use stage::base::time::Timestamp;
use stage::bundle::header::{self, MARKER, write_member};
use stage::bundle::manifest::{BundleManifest, ManifestFile};
use stage::bundle::slot;
use stage::bundle::statement::{Kind, Statement};
use stage::fs::FsError;
use stage::sign::SecretKey;
use stage::trust::envelope::{ROOT_TYPE, RootEnvelope, SignatureEntry};
use stage::trust::key::Scheme;
use stage::trust::root::TrustRoot;
use stage::verify::{self, Bundle, Check, Judge, SeenState, Sink, Verified, VerifyError};

/// A key and its person.
pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) key: SecretKey,
}

impl Person {
    pub(crate) fn new(name: &'static str) -> Self {
        let key = SecretKey::generate(Scheme::Ed25519).unwrap();
        Self { name, key }
    }

    pub(crate) fn keyid(&self) -> String {
        self.key.public().unwrap().id().hex()
    }

    fn record(&self) -> Value {
        let public = self.key.public().unwrap();
        json!({
            "keyid": public.id().hex(),
            "scheme": public.scheme().as_str(),
            "person": self.name,
            "spki": BASE64.encode(public.spki()),
        })
    }

    pub(crate) fn sign(&self, statement: &[u8]) -> SignatureEntry {
        self.key.sign_statement(statement).unwrap()
    }
}

/// A root document; roles are name, persons, threshold.
pub(crate) fn root_value(version: u64, roles: &[(&str, &[&Person], u64)]) -> Value {
    let mut keys = BTreeMap::new();
    let mut rules = serde_json::Map::new();
    for (role, persons, threshold) in roles {
        let keyids: Vec<String> = persons.iter().map(|p| p.keyid()).collect();
        keys.extend(persons.iter().map(|p| (p.keyid(), p.record())));
        let rule = json!({"keyids": keyids, "threshold": threshold});
        rules.insert((*role).to_owned(), rule);
    }
    json!({
        "_type": "stage-root",
        "version": version,
        "expires": "2030-01-01T00:00:00Z",
        "epochs": {"prod": 1},
        "keys": keys.into_values().collect::<Vec<_>>(),
        "roles": rules,
    })
}

pub(crate) fn root(value: &Value) -> TrustRoot {
    TrustRoot::parse(&json::canonical(value)).unwrap()
}

/// A root's envelope, as `roots.json` carries it.
pub(crate) fn envelope(value: &Value, signers: &[&Person]) -> Value {
    let payload = json::canonical(value);
    let signatures: Vec<SignatureEntry> = signers
        .iter()
        .map(|p| p.key.sign_payload(ROOT_TYPE, &payload).unwrap())
        .collect();
    serde_json::from_slice(&RootEnvelope::canonical(&payload, &signatures)).unwrap()
}

/// Everything a bundle is made of; each part may be replaced before it is signed and put together.
pub(crate) struct Parts {
    pub(crate) statement: Statement,
    pub(crate) roots: Vec<Value>,
    pub(crate) manifest: BundleManifest,
    pub(crate) manifest_bytes: Option<Vec<u8>>,
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
}

impl Parts {
    /// A full bundle of these files.
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        let mut files: Vec<(&str, &[u8])> = files.to_vec();
        files.sort_unstable();
        let mut manifest = BundleManifest::default();
        let mut blobs = BTreeMap::new();
        for (path, bytes) in files {
            let digests = Digests::of(bytes);
            blobs.insert(digests.sha256, bytes.to_vec());
            manifest.files.push(ManifestFile {
                path: path.parse().unwrap(),
                digests,
                size: bytes.len() as u64,
            });
        }
        manifest.carried = blobs.keys().copied().collect();
        Self {
            statement: Statement {
                channel: "prod".to_owned(),
                epoch: 1,
                serial: 7,
                kind: Kind::Full,
                created: time("2026-11-01T00:00:00Z"),
                expires: time("2029-02-01T00:00:00Z"),
                root_version: 1,
                manifest_size: 0,
                manifest: Digests::of(b""),
                roots: (Digest::of(b"[]"), 2),
                previous: None,
            },
            roots: Vec::new(),
            manifest,
            manifest_bytes: None,
            blobs,
        }
    }

    /// The statement's bytes, with sizes and digests filled in.
    pub(crate) fn statement_bytes(&self) -> Vec<u8> {
        let (roots, manifest) = (self.roots_bytes(), self.manifest_bytes());
        let mut statement = self.statement.clone();
        statement.manifest = Digests::of(&manifest);
        statement.manifest_size = manifest.len() as u64;
        statement.roots = (Digest::of(&roots), roots.len() as u64);
        statement.canonical()
    }

    fn roots_bytes(&self) -> Vec<u8> {
        json::canonical(&Value::Array(self.roots.clone()))
    }

    fn manifest_bytes(&self) -> Vec<u8> {
        match &self.manifest_bytes {
            Some(bytes) => bytes.clone(),
            None => self.manifest.canonical(),
        }
    }

    /// The bundle, signed by these.
    pub(crate) fn signed(&self, signers: &[&Person]) -> Vec<u8> {
        let statement = self.statement_bytes();
        let entries: Vec<SignatureEntry> = signers.iter().map(|p| p.sign(&statement)).collect();
        self.with_signatures(&entries)
    }

    pub(crate) fn with_signatures(&self, entries: &[SignatureEntry]) -> Vec<u8> {
        let mut out = Vec::new();
        let slot = slot::write(entries).unwrap();
        write_member(&mut out, MARKER.0, MARKER.1).unwrap();
        write_member(&mut out, header::STATEMENT, &self.statement_bytes()).unwrap();
        write_member(&mut out, header::SIGNATURES, &slot).unwrap();
        write_member(&mut out, header::ROOTS, &self.roots_bytes()).unwrap();
        write_member(&mut out, header::MANIFEST, &self.manifest_bytes()).unwrap();
        for (digest, bytes) in &self.blobs {
            let name = format!("blobs/sha256/{}", digest.hex());
            write_member(&mut out, &name, bytes).unwrap();
        }
        out.extend([0; header::END]);
        out
    }
}

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Remembers what it received, and whether that was too early.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) signatures_passed: bool,
    pub(crate) received: usize,
    pub(crate) too_early: bool,
}

impl Sink for Watch {
    fn begin(&mut self, _digest: &Digest, _size: u64) -> Result<(), FsError> {
        self.too_early |= !self.signatures_passed;
        Ok(())
    }

    fn chunk(&mut self, bytes: &[u8]) -> Result<(), FsError> {
        self.too_early |= !self.signatures_passed;
        self.received += bytes.len();
        Ok(())
    }

    fn end(&mut self) -> Result<(), FsError> {
        Ok(())
    }

    fn passed(&mut self, check: &Check) {
        self.signatures_passed |= check.name == "signatures";
    }
}

/// Verifies as of 2026-11-22 and checks that no byte came out before the signatures passed.
pub(crate) fn judge(
    bundle: &[u8],
    root: &TrustRoot,
    state: Option<&SeenState>,
) -> Result<Verified<Bundle>, VerifyError> {
    judge_at(bundle, root, state, "2026-11-22T00:00:00Z")
}

pub(crate) fn judge_at(
    bundle: &[u8],
    root: &TrustRoot,
    state: Option<&SeenState>,
    now: &str,
) -> Result<Verified<Bundle>, VerifyError> {
    let judge = Judge {
        root,
        state,
        now: time(now),
        approvals: None,
        proof: None,
        have: &|_digest| false,
    };
    let mut watch = Watch::default();
    let result = verify::bundle(bundle, &judge, &mut watch, &NoProgress);
    assert!(
        !watch.too_early,
        "bytes came out before the signatures passed"
    );
    result
}
