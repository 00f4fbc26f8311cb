//! What proves a lock's packages in the enclave: signed indexes, which travel beside the artifacts. They are in the HTTP
//! cache of the host that resolved; another host asks the archive, which may have newer ones by now.

use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::path::RelPath;
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::eco::vouched::{Proof, ProofSource};
use crate::eco::{self, EcoError};
use crate::fetch::FetchError;
use crate::lock::Records;
use crate::net::HttpUpstream;
use crate::store::{Store, Stored};
use crate::upstream::{Request, Upstream as _};

/// What was found, by path in the bundle.
#[derive(Debug, Default)]
pub struct Proofs {
    /// Files that are part of the records anyway.
    pub documents: Vec<(RelPath, Vec<u8>)>,
    /// Files in the store.
    pub stored: Vec<(RelPath, Stored)>,
    /// Files that cannot be had, quoted, with the reason, safe to print.
    pub missing: Vec<(String, String)>,
}

/// Finds or fetches everything that proves these records; nothing of it is needed to go on.
pub fn proofs(
    records: &Records,
    store: &Store,
    upstream: &mut HttpUpstream,
    now: Timestamp,
) -> Result<Proofs, FetchError> {
    let mut found = Proofs::default();
    for proof in wanted(records, now)? {
        let shown = quoted(&proof.path);
        let Ok(path) = proof.path.parse::<RelPath>() else {
            let reason = "a bundle can carry no file of this name".to_owned();
            found.missing.push((shown, reason));
            continue;
        };
        match proof.source {
            ProofSource::Document(bytes) => found.documents.push((path, bytes)),
            ProofSource::None(reason) => found.missing.push((shown, reason)),
            ProofSource::Index {
                digest,
                size,
                requests,
            } => match index(digest, size, requests, store, upstream)? {
                Ok(stored) => found.stored.push((path, stored)),
                Err(reason) => found.missing.push((shown, reason)),
            },
        }
    }
    Ok(found)
}

fn wanted(records: &Records, now: Timestamp) -> Result<Vec<Proof>, EcoError> {
    let mut all = Vec::new();
    for (id, bytes) in records {
        if let Some(ecosystem) = eco::by_id(id) {
            all.extend(ecosystem.proofs(bytes, now)?);
        }
    }
    Ok(all)
}

/// One file: from the store, else from the first answer that is it. The inner error says why there is none.
fn index(
    digest: Digest,
    size: u64,
    requests: Vec<Request>,
    store: &Store,
    upstream: &mut HttpUpstream,
) -> Result<Result<Stored, String>, FetchError> {
    let checksum = UpstreamChecksum::Sha256(digest);
    if let Some(stored) = store.find(&checksum)? {
        return Ok(Ok(stored));
    }
    let mut reason = "nobody was asked".to_owned();
    for request in requests {
        upstream.submit(request);
        let Some((_, answer)) = upstream.next_answer() else {
            break;
        };
        let bytes = match answer {
            Ok(content) => content.into_bytes().map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let stored = bytes.and_then(|bytes| {
            let put = store.put(bytes.as_slice(), size, Some(&checksum));
            put.map_err(|error| error.to_string())
        });
        match stored {
            Ok(stored) => return Ok(Ok(stored)),
            Err(why) => reason = escaped(&why),
        }
    }
    Ok(Err(reason))
}
