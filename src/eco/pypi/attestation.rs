//! What publishers attest of their files (PEP 740): provenance objects, as indexes serve them beside files. Each holds
//! attestations, which are Sigstore bundles in other words, and says itself who published. That claim counts for nothing
//! here: certificates are held against who should have signed.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::evidence::Level;
use crate::base::text::{base64, escaped, quoted};
use crate::eco::attestation::{Identity, Signer, SigstoreRoot, refused};
use crate::eco::pypi::filename::Filename;
use crate::eco::pypi::name::Name;
use crate::eco::vouched::Verdict;

/// What a statement must be.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// End of the kind that says who published; before it stands an address of the index that defined it.
const PUBLISHED: &str = "/attestations/publish/v1";
/// The kind that says how it was built (SLSA).
const BUILT: &str = "https://slsa.dev/provenance/v1";
/// Most attestations of one file.
const MOST: usize = 16;

/// A provenance object, and who should have signed its attestations: what records keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PypiAttested {
    /// The text of the object, as it came.
    pub provenance: String,
    /// Who should have signed.
    pub signer: Signer,
}

#[derive(Deserialize)]
struct Provenance<'a> {
    version: u32,
    #[serde(borrow)]
    attestation_bundles: Vec<Attestations<'a>>,
}

#[derive(Deserialize)]
struct Attestations<'a> {
    #[serde(borrow)]
    attestations: Vec<Attestation<'a>>,
}

/// One attestation. The index's own names: snake case here, and camel case in the entries of logs.
#[derive(Deserialize)]
struct Attestation<'a> {
    version: u32,
    #[serde(borrow)]
    verification_material: Material<'a>,
    envelope: Envelope,
}

#[derive(Deserialize)]
struct Material<'a> {
    certificate: String,
    #[serde(borrow)]
    transparency_entries: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Envelope {
    statement: String,
    signature: String,
}

#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate: String,
}

#[derive(Deserialize)]
struct Subject {
    name: String,
    digest: Digests,
}

#[derive(Deserialize)]
struct Digests {
    sha256: String,
}

/// Why a provenance object cannot be read. Texts are safe to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is none.
    Broken(String),
    /// It is one of a kind that this version does not know.
    Unsupported(String),
}

impl Unreadable {
    /// Why, safe to print.
    pub(crate) fn reason(self) -> String {
        match self {
            Self::Broken(reason) | Self::Unsupported(reason) => reason,
        }
    }
}

/// Whether a text is a provenance object with attestations that can be judged.
#[cfg(feature = "connected")]
pub(crate) fn check(text: &str) -> Result<(), Unreadable> {
    read(text).map(drop)
}

/// The attestations of the kinds that are known; at least one.
fn read(text: &str) -> Result<Vec<Attestation<'_>>, Unreadable> {
    let broken = |reason: &dyn std::fmt::Display| {
        let reason = escaped(&reason.to_string());
        Unreadable::Broken(format!("it is no provenance object: {reason}"))
    };
    let unsupported = |reason: &str| Unreadable::Unsupported(reason.to_owned());
    let object: Provenance<'_> = serde_json::from_str(text).map_err(|e| broken(&e))?;
    if object.version != 1 {
        return Err(unsupported("its provenance is of a later version than 1"));
    }
    let bundles = object.attestation_bundles.into_iter();
    let all: Vec<Attestation<'_>> = bundles.flat_map(|one| one.attestations).collect();
    if all.len() > MOST {
        return Err(broken(&format_args!("more than {MOST} attestations")));
    }
    let mut known = Vec::new();
    for one in all {
        let statement = one.statement().map_err(|reason| broken(&reason))?;
        let is_known = statement.predicate == BUILT || statement.predicate.ends_with(PUBLISHED);
        if one.version == 1 && is_known {
            known.push(one);
        }
    }
    if known.is_empty() {
        return Err(unsupported(
            "its provenance has no attestation of a known kind",
        ));
    }
    Ok(known)
}

impl Attestation<'_> {
    /// What is signed.
    fn statement(&self) -> Result<Statement, String> {
        let bytes = base64(&self.envelope.statement);
        let bytes = bytes.ok_or_else(|| "a statement is not Base64".to_owned())?;
        serde_json::from_slice(&bytes).map_err(|e| format!("a statement is none: {e}"))
    }

    /// The Sigstore bundle of it.
    fn bundle(&self) -> Result<String, String> {
        let entries = self.verification_material.transparency_entries.iter();
        let entries = entries.map(|raw| serde_json::from_str(raw.get()));
        let entries: Vec<Value> = entries
            .collect::<Result<_, _>>()
            .map_err(|e| escaped(&e.to_string()))?;
        let bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": self.verification_material.certificate},
                "tlogEntries": entries,
            },
            "dsseEnvelope": {
                "payload": self.envelope.statement,
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"sig": self.envelope.signature}],
            },
        });
        Ok(bundle.to_string())
    }

    /// Who signed it, if it is about this file and nothing else.
    fn signer_of(&self, file: &File<'_>, root: &SigstoreRoot) -> Result<Identity, String> {
        let checksum = UpstreamChecksum::Sha256(file.sha256);
        let identity = root.signer_of(&self.bundle()?, &checksum)?;
        let statement = self.statement()?;
        if statement.kind != STATEMENT {
            let kind = quoted(&statement.kind);
            return Err(format!("it makes a statement of another kind: {kind}"));
        }
        let [subject] = statement.subject.as_slice() else {
            return Err("it is not about one file".to_owned());
        };
        if Digest::from_hex(&subject.digest.sha256) != Ok(file.sha256) {
            return Err("it is about a file with another SHA-256".to_owned());
        }
        if !file.is(&subject.name) {
            let (found, name) = (quoted(&subject.name), quoted(file.name));
            return Err(format!("it is about {found}, not about {name}"));
        }
        Ok(identity)
    }
}

/// The file that is to be judged.
struct File<'a> {
    project: &'a Name,
    name: &'a str,
    sha256: Digest,
}

impl File<'_> {
    /// Whether a name is that of this file: names, versions and tags are compared, not how they are written.
    fn is(&self, name: &str) -> bool {
        let read = |text: &str| Filename::parse(text, self.project).ok();
        let (Some(own), Some(other)) = (read(self.name), read(name)) else {
            return false;
        };
        let version = |text: &str| text.replace('_', "-").parse::<pep440_rs::Version>().ok();
        let same =
            version(own.version()).is_some() && version(own.version()) == version(other.version());
        let tags = |file: &Filename| {
            let wheel = file.wheel()?;
            let tags = wheel.tags();
            let mut tags: Vec<_> = tags
                .map(|(python, abi, platform)| format!("{python}-{abi}-{platform}"))
                .collect();
            tags.sort();
            tags.dedup();
            Some((wheel.build.clone(), tags))
        };
        same && tags(&own) == tags(&other)
    }
}

/// What the attestations say of a file. Every one of a known kind must hold, whoever signed it, and one at least must be
/// of who should have.
pub(crate) fn judge(
    (project, name): (&Name, &str),
    sha256: Digest,
    attested: &PypiAttested,
    root: &SigstoreRoot,
) -> Verdict {
    let file = File {
        project,
        name,
        sha256,
    };
    let all = match read(&attested.provenance) {
        Ok(all) => all,
        Err(why) => return refused(&why.reason()),
    };
    let (mut by, mut others) = (Vec::new(), None);
    for one in all {
        let identity = match one.signer_of(&file, root) {
            Ok(identity) => identity,
            Err(reason) => return refused(&reason),
        };
        match attested.signer.check(&identity) {
            Ok(name) => by.push(name),
            Err(reason) => others = Some(reason),
        }
    }
    if by.is_empty() {
        return refused(&others.unwrap_or_else(|| "nobody signed it".to_owned()));
    }
    by.sort();
    by.dedup();
    Verdict::Signed {
        level: Level::L3,
        by,
    }
}

#[cfg(test)]
mod tests {
    use super::File;
    use crate::base::digest::Digest;

    #[test]
    fn names_of_files_are_compared_by_what_they_say() {
        let is = |own: &str, other: &str| {
            let file = File {
                project: &"a-b".parse().unwrap(),
                name: own,
                sha256: Digest::of(b"x"),
            };
            file.is(other)
        };
        let wheel = "a_b-1.0-cp311.cp312-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
        assert!(is(wheel, wheel));
        assert!(is(
            wheel,
            "A.B-1.0.0-cp312.cp311-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
        ));
        assert!(is("a-b-1.0.tar.gz", "a_b-1.tar.gz"));
        for other in [
            "a_b-1.0-cp311-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "a_b-1.0-1-cp311.cp312-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "a_b-1.1-cp311.cp312-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "a_c-1.0-cp311.cp312-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "a_b-1.0.tar.gz",
            "",
        ] {
            assert!(!is(wheel, other), "{other}");
            assert!(!is("a_b-1.0-py3-none-any.whl", other), "{other}");
        }
    }
}
