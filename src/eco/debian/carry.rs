//! What has to travel so that the enclave can prove chains: the signed releases, the certificates, and the indexes,
//! each asked for by its digest first.

use crate::base::limits::LIMITS;
use crate::base::time::Timestamp;
use crate::eco::EcoError;
use crate::eco::debian::chain::{Chains, folder, place};
use crate::eco::debian::index::Index;
use crate::eco::debian::records;
use crate::eco::vouched::{Proof, ProofSource};
use crate::upstream::{Request, Want};

/// Everything that proves the chains of these records.
pub(crate) fn proofs(records: &[u8], at: Timestamp) -> Result<Vec<Proof>, EcoError> {
    let records = records::parse(records)?;
    let chains = Chains::new(&records, None, at);
    let documents = chains.documents().into_iter();
    let mut found: Vec<Proof> = documents
        .map(|(path, bytes)| Proof {
            path,
            source: ProofSource::Document(bytes),
        })
        .collect();
    for (label, index) in chains.indexes().into_keys() {
        let folder = folder(label).unwrap_or_default();
        let release = match chains.release(label) {
            Ok(release) => release,
            Err((_, reason)) => {
                found.push(Proof {
                    path: format!("{folder}/{index}"),
                    source: ProofSource::None(reason),
                });
                continue;
            }
        };
        let Some(listed) = Index::listed(&release, index) else {
            found.push(Proof {
                path: format!("{folder}/{index}"),
                source: ProofSource::None("the release does not list it".to_owned()),
            });
            continue;
        };
        let (archive, suite) = place(label).unwrap_or_default();
        let by_hash = Some((listed.by_hash(), Want::Immutable)).filter(|_| release.by_hash);
        let by_name = Some((listed.file(), Want::Document));
        let ask = |(file, want): (String, Want)| Request {
            upstream: archive.to_owned(),
            path: format!("dists/{suite}/{file}"),
            accept: None,
            limit: LIMITS.metadata,
            want,
            link: None,
        };
        found.push(Proof {
            path: format!("{folder}/{}", listed.file()),
            source: ProofSource::Index {
                digest: listed.digest,
                size: listed.size,
                requests: by_hash.into_iter().chain(by_name).map(ask).collect(),
            },
        });
    }
    Ok(found)
}
