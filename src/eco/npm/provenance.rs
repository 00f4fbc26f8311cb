//! Provenance of npm releases: which workflow of which repository built them, attested by Sigstore. Only asked for where
//! the manifest says who should have built a release; a registry lists the attestations of a release beside it.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::base::package::ReleaseId;
use crate::base::text::escaped;
use crate::eco::EcoError;
use crate::eco::attestation::{Attested, BUNDLE_LIMIT, Expectation, Missing};
use crate::eco::npm::assemble::UPSTREAM;
use crate::eco::npm::packument_path;
use crate::eco::npm::records;
use crate::upstream::{Answer, Request, Upstream, UpstreamError, Want};

/// What the predicate of a build's provenance begins with, whatever its version (SLSA).
const PROVENANCE: &str = "https://slsa.dev/provenance/";
/// Most attestations of one release that are read.
const MOST: u64 = 8;

/// A registry's list.
#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    attestations: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(rename = "predicateType")]
    predicate: String,
    #[serde(borrow)]
    bundle: &'a RawValue,
}

/// Puts the provenance that is expected of releases into their records. What was there before stays where the registry
/// cannot be asked; what nobody expects goes.
pub(crate) fn attest(
    documents: &[u8],
    expected: &[Expectation],
    upstream: &mut dyn Upstream,
) -> Result<(Vec<u8>, Vec<Missing>), EcoError> {
    let mut records = records::parse(documents)?;
    let mut missing = Vec::new();
    for (name, package) in &mut records.packages {
        let wanted = expected.iter().find(|one| one.covers(name));
        for (number, version) in &mut package.versions {
            let Some(dist) = &mut version.dist else {
                continue;
            };
            let before = dist.provenance.take();
            let Some(wanted) = wanted else { continue };
            upstream.submit(Request {
                upstream: UPSTREAM.to_owned(),
                path: format!("-/npm/v1/attestations/{}@{number}", packument_path(name)),
                accept: None,
                limit: MOST * BUNDLE_LIMIT,
                want: Want::Document,
                link: None,
            });
            let answer = upstream.next_answer().map(|(_, answer)| answer);
            let found = bundle(answer);
            let known = before.filter(|attested| attested.signer == wanted.signer);
            match (found, known) {
                (Ok(bundle), _) => {
                    dist.provenance = Some(Attested {
                        bundle,
                        signer: wanted.signer.clone(),
                    });
                }
                (Err(_), Some(known)) => dist.provenance = Some(known),
                (Err(reason), None) => missing.push(Missing {
                    release: ReleaseId::new(name, number),
                    reason,
                }),
            }
        }
    }
    Ok((records::write(&records), missing))
}

/// The text of the bundle with the provenance; the error says why there is none, safe to print.
fn bundle(answer: Option<Answer>) -> Result<String, String> {
    let content = match answer {
        None => return Err("nobody answered".to_owned()),
        Some(Err(UpstreamError::NotFound { .. })) => {
            return Err("the registry has no attestation of it".to_owned());
        }
        Some(Err(error)) => return Err(format!("unreachable: {}", escaped(&error.to_string()))),
        Some(Ok(content)) => content,
    };
    let bytes = content.into_bytes().map_err(|e| escaped(&e.to_string()))?;
    let list: List<'_> = serde_json::from_slice(&bytes).map_err(|e| {
        format!(
            "the registry's answer is no list of attestations: {}",
            escaped(&e.to_string())
        )
    })?;
    let provenance = list
        .attestations
        .iter()
        .find(|one| one.predicate.starts_with(PROVENANCE));
    let bundle = provenance.map(|one| one.bundle.get().to_owned());
    bundle.ok_or_else(|| "its attestations say nothing about how it was built".to_owned())
}
