//! Sigstore bundles: who signed something, by a certificate of a short life and an entry in a public log. They are
//! verified offline by a trusted root that is dated data of ours or of the site, and held against who should have signed:
//! a signature by somebody says nothing.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{Artifact, ArtifactDigest, Bundle, HashAlgorithm};
use sigstore_verify::{VerificationPolicy, Verifier};

use crate::base::digest::UpstreamChecksum;
use crate::base::evidence::Level;
use crate::base::fault::{Class, Code, Fault, Kind};
use crate::base::text::{escaped, quoted};
use crate::eco::vouched::Verdict;
#[cfg(feature = "connected")]
use crate::{
    base::package::ReleaseId,
    manifest::{
        ManifestError,
        table::{Found, Table},
    },
};

/// Codes of this module.
pub const CODES: &[&Code] = &[&ROOT, &INVALID];

static ROOT: Code = Code::new("eco-trusted-root", Kind::Usage);
/// An attestation that must not be believed.
static INVALID: Code = Code::classed("evidence-attestation-invalid", Class::E51);

/// The trusted root of the public Sigstore instance.
const PUBLIC: &str = include_str!("../../keys/sigstore-trusted-root.json");
/// Most bytes of a trusted root.
pub const ROOT_LIMIT: u64 = 4 << 20;
/// Most bytes of one bundle.
pub const BUNDLE_LIMIT: u64 = 1 << 20;

/// A trusted root that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the trusted root of Sigstore cannot be used: {reason}")]
pub struct RootError {
    /// What is wrong, safe to print.
    reason: String,
}

impl Fault for RootError {
    fn code(&self) -> &'static Code {
        &ROOT
    }
}

/// Certificate authorities and logs that are believed.
#[derive(Clone)]
pub struct SigstoreRoot(Arc<Verifier>);

impl fmt::Debug for SigstoreRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigstoreRoot").finish_non_exhaustive()
    }
}

impl SigstoreRoot {
    /// The public instance, as of this version of `stage`.
    pub fn public() -> Result<Self, RootError> {
        Self::parse(PUBLIC.as_bytes())
    }

    /// Reads a `trusted_root.json`.
    pub fn parse(bytes: &[u8]) -> Result<Self, RootError> {
        let fail = |reason: String| RootError {
            reason: escaped(&reason),
        };
        let text = std::str::from_utf8(bytes).map_err(|_bad| fail("not UTF-8".to_owned()))?;
        let root = TrustedRoot::from_json(text).map_err(|e| fail(e.to_string()))?;
        let verifier = Verifier::new(&root).map_err(|e| fail(e.to_string()))?;
        Ok(Self(Arc::new(verifier)))
    }

    /// Who signed a file with this checksum, if that is who should have. The error says what does not hold, safe to
    /// print.
    pub fn verify(
        &self,
        attested: &Attested,
        checksum: &UpstreamChecksum,
    ) -> Result<String, String> {
        let found = self.signer_of(&attested.bundle, checksum)?;
        attested.signer.check(&found)
    }

    /// Who signed a file with this checksum, whoever that is. Chain, certificate times, its entry in the certificate log,
    /// the log's inclusion proof and checkpoint, and that it is about these bytes are all demanded. The error says what
    /// does not hold, safe to print.
    pub(crate) fn signer_of(
        &self,
        bundle: &str,
        checksum: &UpstreamChecksum,
    ) -> Result<Identity, String> {
        let said = |e: &dyn fmt::Display| escaped(&e.to_string());
        let bundle = Bundle::from_json(bundle).map_err(|e| said(&e))?;
        let digest = match checksum {
            UpstreamChecksum::Sha256(d) => {
                ArtifactDigest::new(HashAlgorithm::Sha2256, d.bytes().to_vec())
            }
            UpstreamChecksum::Sha512(d) => {
                ArtifactDigest::new(HashAlgorithm::Sha2512, d.bytes().to_vec())
            }
            UpstreamChecksum::Sha1(_) => return Err("a SHA-1 is vouched for by nobody".to_owned()),
        };
        let digest = digest.map_err(|e| said(&e))?;
        let policy = VerificationPolicy::any_identity();
        let found = self
            .0
            .verify(Artifact::from_digest(digest), &bundle, &policy);
        let found = found.map_err(|e| said(&e))?;
        let complete =
            found.certificate_verified() && found.sct_verified() && found.tlog_verified();
        let named = found.identity().zip(found.issuer()).filter(|_| complete);
        let (name, issuer) = named.ok_or_else(|| "nobody is named as its signer".to_owned())?;
        Ok(Identity {
            name: name.as_str().to_owned(),
            issuer: issuer.to_owned(),
        })
    }

    /// What a bundle says of a file with this checksum.
    pub(crate) fn judge(&self, attested: &Attested, checksum: &UpstreamChecksum) -> Verdict {
        match self.verify(attested, checksum) {
            Ok(identity) => Verdict::Signed {
                level: Level::L3,
                by: vec![identity],
            },
            Err(reason) => refused(&reason),
        }
    }
}

/// The code of an attestation that must not be believed.
#[cfg(feature = "connected")]
pub(crate) const fn invalid() -> &'static Code {
    &INVALID
}

/// The verdict on an attestation that must not be believed. `reason` is safe to print.
pub(crate) fn refused(reason: &str) -> Verdict {
    Verdict::Refused {
        code: &INVALID,
        reason: format!("its attestation does not hold: {reason}"),
    }
}

/// Who a certificate says that signed. Foreign text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The name: for a workflow, its address.
    name: String,
    /// Who vouches for it.
    issuer: String,
}

/// Who should have signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// Who vouches for the identity: the address of an OIDC issuer.
    pub issuer: String,
    /// The whole identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Or the repository that a workflow stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// And the workflow in it, whatever branch or tag it ran for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
}

impl Signer {
    /// The name of who signed, safe to print, if it is this one.
    pub(crate) fn check(&self, found: &Identity) -> Result<String, String> {
        if found.issuer != self.issuer {
            return Err(format!(
                "its signer is vouched for by {}, not by {}",
                quoted(&found.issuer),
                quoted(&self.issuer)
            ));
        }
        if !self.is(&found.name) {
            let name = quoted(&found.name);
            return Err(format!("it is signed by {name}, not by {self}"));
        }
        Ok(escaped(&found.name))
    }

    /// Whether a certificate's identity is this one.
    fn is(&self, identity: &str) -> bool {
        if let Some(whole) = &self.identity {
            return whole == identity;
        }
        let Some(repository) = &self.repository else {
            return false;
        };
        let inside = identity.strip_prefix(repository.trim_end_matches('/'));
        let Some(inside) = inside.and_then(|rest| rest.strip_prefix('/')) else {
            return false;
        };
        match &self.workflow {
            None => true,
            Some(workflow) => inside
                .strip_prefix(workflow.trim_start_matches('/'))
                .is_some_and(|rest| rest.starts_with('@')),
        }
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.identity.as_ref().or(self.repository.as_ref());
        f.write_str(&quoted(named.map_or("", String::as_str)))?;
        match &self.workflow {
            Some(workflow) => write!(f, " with {}", quoted(workflow)),
            None => Ok(()),
        }
    }
}

/// A bundle, and who should have signed it: what records keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attested {
    /// The text of the Sigstore bundle, as it came.
    pub bundle: String,
    /// Who should have signed.
    pub signer: Signer,
}

/// Reads `signer = { issuer = …, identity = … }`, or with `repository` and `workflow`.
#[cfg(feature = "connected")]
pub(crate) fn signer(mut table: Table<'_>) -> Result<Signer, ManifestError> {
    let place = table.place();
    let issuer = table.require("issuer")?.web_address()?;
    let identity = table.take("identity").map(Found::string).transpose()?;
    let repository = table
        .take("repository")
        .map(Found::web_address)
        .transpose()?;
    let workflow = table.take("workflow").map(Found::string).transpose()?;
    table.finish()?;
    let one = identity.is_some() != repository.is_some();
    if !one || (workflow.is_some() && repository.is_none()) {
        return Err(ManifestError::Value {
            key: "signer".to_owned(),
            expected:
                "an `issuer` with an `identity`, or with a `repository` and perhaps a `workflow`"
                    .to_owned(),
            place,
        });
    }
    Ok(Signer {
        issuer,
        identity,
        repository,
        workflow,
    })
}

/// Reads every `{ package = …, signer = … }` under a key; `shown` is how the manifest writes it.
#[cfg(feature = "connected")]
pub(crate) fn expectations(
    table: &mut Table<'_>,
    key: &'static str,
    shown: &str,
) -> Result<Vec<Expectation>, ManifestError> {
    let Some(found) = table.take(key) else {
        return Ok(Vec::new());
    };
    let tables = found.tables(shown)?.into_iter();
    tables.map(Expectation::read).collect()
}

/// Who should have signed releases.
#[cfg(feature = "connected")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// Name of a package; what begins with the part before a `*` at its end is meant as well.
    package: String,
    /// Who.
    pub signer: Signer,
}

#[cfg(feature = "connected")]
impl Expectation {
    /// Reads `{ package = …, signer = … }`.
    fn read(mut table: Table<'_>) -> Result<Self, ManifestError> {
        let package = table.require("package")?.string()?;
        let signer = signer(table.require("signer")?.table("signer")?)?;
        table.finish()?;
        Ok(Self { package, signer })
    }

    /// Whether a package of this name is meant.
    pub fn covers(&self, name: &str) -> bool {
        self.covers_as(name, str::to_owned)
    }

    /// The same, where `name` is in the one form that `normalized` gives to names.
    pub(crate) fn covers_as(&self, name: &str, normalized: impl Fn(&str) -> String) -> bool {
        match self.package.strip_suffix('*') {
            Some(begin) => name.starts_with(&normalized(begin)),
            None => name == normalized(&self.package),
        }
    }
}

/// A release that nobody attested.
#[cfg(feature = "connected")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The release.
    pub release: ReleaseId,
    /// Why, safe to print.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::{Signer, SigstoreRoot};

    #[test]
    fn the_root_that_travels_with_the_program_is_one_and_others_are_refused() {
        SigstoreRoot::public().unwrap();
        for bad in [&b"{}"[..], b"[]", b"\xff"] {
            SigstoreRoot::parse(bad).unwrap_err();
        }
    }

    #[test]
    fn a_signer_is_a_whole_identity_or_a_workflow_of_a_repository() {
        let mut signer = Signer {
            issuer: "https://token.example".to_owned(),
            identity: None,
            repository: Some("https://forge.example/a/b".to_owned()),
            workflow: None,
        };
        let id = "https://forge.example/a/b/.ci/release.yml@refs/tags/v1";
        assert!(signer.is(id));
        assert!(!signer.is("https://forge.example/a/bc/.ci/release.yml@refs/tags/v1"));
        assert!(!signer.is("https://forge.example/a/b"));
        signer.workflow = Some(".ci/release.yml".to_owned());
        assert!(signer.is(id));
        assert!(!signer.is("https://forge.example/a/b/.ci/release.yml.evil@refs/tags/v1"));
        assert!(!signer.is("https://forge.example/a/b/.ci/other.yml@refs/tags/v1"));
        signer.repository = None;
        assert!(!signer.is(id));
        signer.identity = Some(id.to_owned());
        assert!(
            signer.is(id) && !signer.is("https://forge.example/a/b/.ci/release.yml@refs/tags/v2")
        );
    }
}
