//! Proofs: what happened when a bundle was installed and run from itself alone, with no network.
//!
//! A proof is an in-toto Statement v1 about the bundle's statement, in a DSSE envelope with one signature, by a builder or
//! a releaser of the trust root. It lies beside the bundle and not in it: times, a kernel and what was observed differ from
//! run to run. What it says of programs and paths was said by code that was under test; it is escaped when printed and
//! decides nothing.
//!
//! ```text
//! X.stage.proof.json: one envelope, canonical JSON, and a newline
//! payload, canonical JSON:
//! {"_type":"https://in-toto.io/Statement/v1",
//!  "predicate":{…the fields of [`Proof`]…},
//!  "predicateType":"https://stage.invalid/attestation/proof/v1",
//!  "subject":[{"digest":{"sha256":…the bundle id…},"name":"statement.json"}]}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::check::Check;
use crate::base::digest::Digest;
use crate::base::fault::{Class, Code, Fault};
use crate::base::json::{self, JsonError};
use crate::base::limits::LIMITS;
use crate::base::text::{escaped, visible};
use crate::base::time::Timestamp;
use crate::trust::TrustError;
use crate::trust::approval::Approved;
use crate::trust::envelope::{self, STATEMENT, STATEMENT_TYPE, Signable};
use crate::trust::key::{KeyId, Role};
use crate::trust::root::TrustRoot;
use crate::trust::threshold;

const PREDICATE_TYPE: &str = "https://stage.invalid/attestation/proof/v1";
/// Name of the subject: the member of the bundle that has this digest.
const SUBJECT: &str = "statement.json";
/// Roles whose keys may sign a proof.
const ROLES: [Role; 2] = [Role::Builder, Role::Releaser];

pub(crate) static FORMAT: Code = Code::classed("trust-proof-format", Class::E20);
pub(crate) static LIMIT: Code = Code::classed("trust-proof-limit", Class::E21);
pub(crate) static SIGNATURE: Code = Code::classed("trust-proof-signature", Class::E30);
pub(crate) static OTHER: Code = Code::classed("trust-proof-other-bundle", Class::E30);

/// How a step, a check or all of it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// As it should.
    Passed,
    /// Otherwise.
    Failed,
    /// It was not tried; the detail says why.
    Skipped,
    /// Of all of it: nothing failed, but not everything was tried.
    Incomplete,
}

impl Ended {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Incomplete => "incomplete",
        }
    }
}

/// What was tried and what was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Proof {
    /// Channel of the bundle.
    pub channel: String,
    /// Serial of the bundle.
    pub serial: u64,
    /// Passed: every step and every check, but for what `without` leaves out. Never `skipped`.
    pub result: Ended,
    /// Ecosystems that were left out on purpose, each with the reason that the manifest gives.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub without: BTreeMap<String, String>,
    /// When it began, by the clock of whoever proved.
    pub proved_at: Timestamp,
    /// The trust root by which the bundle was verified.
    pub trust_root: RootVersion,
    /// Program and version that made the proof.
    pub tool: String,
    /// Where it was made.
    pub host: Host,
    /// The programs that took part.
    pub clients: Vec<Client>,
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// What was checked, in order.
    pub checks: Vec<Checked>,
    /// What it reached for and did not get.
    pub holes: Vec<Hole>,
    /// Whom it talked to on the loopback.
    pub flows: Vec<Flow>,
    /// Where it listened.
    pub ports: Vec<Port>,
    /// Folders that the checks wrote to.
    pub writes: Vec<String>,
}

/// `{"version": 1}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootVersion {
    /// Version of the trust root.
    pub version: u64,
}

/// The host of a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Name and release of the kernel.
    pub kernel: String,
    /// The machine, such as `x86_64`.
    pub machine: String,
    /// `PRETTY_NAME` of os-release.
    pub system: String,
    /// `namespaces` (by the administrator) or `user-namespace`.
    pub sandbox: String,
    /// What recorded system calls; `None`: nothing did, and holes, flows, ports and writes are not known.
    pub tracer: Option<String>,
}

/// A program that took part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// What it says its version is.
    pub version: String,
    /// `staged`, or `host` for one that the target must have.
    pub source: String,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What was done.
    pub name: String,
    /// How it ended.
    pub result: Ended,
    /// Its exit code; `None` when it did not run or was killed.
    pub exit: Option<i32>,
    /// Milliseconds it took.
    pub milliseconds: u64,
    /// Why it was skipped or what it said last.
    pub detail: String,
}

/// One check with its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checked {
    /// The check.
    pub check: Check,
    /// How it ended.
    pub result: Ended,
    /// Milliseconds it took.
    pub milliseconds: u64,
    /// What happened.
    pub detail: String,
}

/// What a hole is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoleKind {
    /// An address outside the loopback.
    Connect,
    /// A host name that was asked for.
    Name,
    /// A file that is not there and looks like something that is downloaded.
    Missing,
    /// A path, port or call that was refused.
    Denied,
    /// A way to files and sockets that is not recorded.
    Unobserved,
    /// A script that the installation has and this proof did not run.
    NotRun,
}

impl HoleKind {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Name => "name",
            Self::Missing => "missing",
            Self::Denied => "denied",
            Self::Unobserved => "unobserved",
            Self::NotRun => "not-run",
        }
    }
}

/// Something that the bundle does not hold, the account may not do, or this proof does not know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hole {
    /// What kind.
    pub kind: HoleKind,
    /// The address, name or path.
    pub what: String,
    /// The program; empty where it is not known.
    pub program: String,
    /// The step or the command of the check.
    pub during: String,
    /// How often.
    pub times: u64,
}

/// A connection on the loopback.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// The program.
    pub program: String,
    /// Address and port.
    pub to: String,
    /// The step or the command of the check.
    pub during: String,
}

/// A port that something listened on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Address and port; port 0 is any free one.
    pub address: String,
    /// The program.
    pub program: String,
    /// The step or the command of the check.
    pub during: String,
}

/// Why a proof is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// Not the JSON that it must be.
    #[error("the proof is not canonical JSON")]
    Json {
        /// What the parser said.
        source: JsonError,
    },
    /// Not the fields that it must have.
    #[error("the proof is not written as specified: {reason}")]
    Format {
        /// The rule that is broken, one sentence, safe to print.
        reason: String,
    },
    /// Its signature does not verify.
    #[error("the proof is not signed by a key of the trust root")]
    Signature {
        /// Which rule.
        source: Box<TrustError>,
    },
    /// Signed by a key that has neither role.
    #[error("the proof is signed by {person}, who is neither builder nor releaser")]
    Role {
        /// Whose key it is.
        person: String,
    },
    /// About another bundle.
    #[error("the proof is about another bundle")]
    OtherBundle {
        /// This bundle.
        expected: String,
        /// What the proof is about; safe to print.
        found: String,
    },
}

impl Fault for ProofError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Json {
                source: JsonError::TooLarge { .. },
            } => &LIMIT,
            Self::Json { .. } | Self::Format { .. } => &FORMAT,
            Self::Signature { .. } | Self::Role { .. } => &SIGNATURE,
            Self::OtherBundle { .. } => &OTHER,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::OtherBundle { expected, found } => {
                vec![("expected", expected.clone()), ("found", found.clone())]
            }
            Self::Json { .. }
            | Self::Format { .. }
            | Self::Signature { .. }
            | Self::Role { .. } => Vec::new(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: [Subject; 1],
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Proof,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: Sha256,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sha256 {
    sha256: String,
}

impl Proof {
    /// The bytes to sign, as a statement about the bundle with this id.
    pub fn payload(&self, bundle: Digest) -> Vec<u8> {
        json::canonical(&json!({
            "_type": STATEMENT,
            "subject": [{"name": SUBJECT, "digest": {"sha256": bundle.hex()}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": self,
        }))
    }

    /// Reads a signed payload and compares it with the bundle.
    fn parse(payload: &[u8], bundle: &Approved<'_>) -> Result<Self, ProofError> {
        let value =
            json::strict(payload, LIMITS.proof).map_err(|source| ProofError::Json { source })?;
        let statement: Statement =
            serde_json::from_value(value).map_err(|bad| format(escaped(&bad.to_string())))?;
        let Statement {
            kind,
            subject: [subject],
            predicate_type,
            predicate,
        } = statement;
        if kind != STATEMENT || predicate_type != PREDICATE_TYPE || subject.name != SUBJECT {
            return Err(format("the payload is no proof"));
        }
        if predicate.result == Ended::Skipped {
            return Err(format("the result is not passed, failed or incomplete"));
        }
        let about = (subject.digest.sha256.as_str(), predicate.channel.as_str());
        if about != (bundle.statement.hex().as_str(), bundle.channel)
            || predicate.serial != bundle.serial
        {
            let (digest, channel) = (escaped(about.0), escaped(about.1));
            let found = format!(
                "sha256:{digest}, channel \"{channel}\", serial {}",
                predicate.serial
            );
            return Err(ProofError::OtherBundle {
                expected: bundle.to_string(),
                found,
            });
        }
        Ok(predicate)
    }
}

/// A proof whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedProof {
    /// What was proved.
    pub proof: Proof,
    /// The key that signed it.
    pub keyid: KeyId,
    /// Whose it is.
    pub person: String,
    /// Digest of the file.
    pub digest: Digest,
}

impl SignedProof {
    /// Reads and judges the bytes of a proof that came with a bundle. The signature first: nothing in the envelope is parsed
    /// before it verified.
    ///
    /// # Errors
    /// The first rule, in order, that it breaks.
    pub fn judge(
        bytes: &[u8],
        bundle: &Approved<'_>,
        root: &TrustRoot,
    ) -> Result<Self, ProofError> {
        let (size, limit) = (bytes.len() as u64, LIMITS.proof);
        if size > limit {
            let source = JsonError::TooLarge { size, limit };
            return Err(ProofError::Json { source });
        }
        let text = bytes
            .strip_suffix(b"\n")
            .ok_or_else(|| format("the file does not end with a newline"))?;
        let value = json::strict(text, limit).map_err(|source| ProofError::Json { source })?;
        let (payload, signatures) = envelope::open(&value, STATEMENT_TYPE)
            .ok_or_else(|| format("it is not the envelope of an in-toto statement"))?;
        let payload = crate::base::text::base64(payload)
            .ok_or_else(|| format("its payload is not canonical base64"))?;
        let signed = Signable::proof(&payload);
        let by = threshold::count(signatures, signed, root, &[])
            .map_err(Box::new)
            .map_err(|source| ProofError::Signature { source })?;
        let [signer] = by.as_slice() else {
            return Err(format("it does not have exactly one signature"));
        };
        let person = signer.person.clone();
        if !ROLES.iter().any(|role| signer.roles.contains(role)) {
            return Err(ProofError::Role { person });
        }
        Ok(Self {
            proof: Proof::parse(&payload, bundle)?,
            keyid: signer.keyid,
            person,
            digest: Digest::of(bytes),
        })
    }

    /// For reports and receipts.
    pub fn json(&self) -> Value {
        let proof = &self.proof;
        let passed = proof.checks.iter().filter(|c| c.result == Ended::Passed);
        json!({
            "digest": self.digest,
            "keyid": self.keyid.hex(),
            "person": self.person,
            "result": proof.result,
            "proved_at": proof.proved_at,
            "steps": proof.steps.len(),
            "checks": proof.checks.len(),
            "passed": passed.count(),
            "holes": proof.holes.len(),
            "traced": proof.host.tracer.is_some(),
            "without": proof.without,
        })
    }

    /// What was not tried, though nothing says that it need not be.
    pub fn not_tried(&self) -> Vec<&str> {
        let steps = self.proof.steps.iter();
        let skipped = steps.filter(|step| step.result == Ended::Skipped);
        skipped.map(|step| step.name.as_str()).collect()
    }

    /// In one line.
    pub fn words(&self) -> String {
        let proof = &self.proof;
        let holes = match (&proof.host.tracer, proof.holes.len()) {
            (None, _) => "not traced".to_owned(),
            (Some(_), 1) => "1 hole".to_owned(),
            (Some(_), count) => format!("{count} holes"),
        };
        let mut without = String::new();
        for (ecosystem, reason) in &proof.without {
            without = format!(
                "{without}; without {}: {}",
                visible(ecosystem),
                visible(reason)
            );
        }
        format!(
            "{} at {} by {}: {} steps, {} checks, {holes}{without}",
            proof.result.as_str(),
            proof.proved_at,
            self.person,
            proof.steps.len(),
            proof.checks.len(),
        )
    }
}

fn format(reason: impl Into<String>) -> ProofError {
    ProofError::Format {
        reason: reason.into(),
    }
}
