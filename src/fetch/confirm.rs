//! What is in the store against what the records say of it, for ecosystems that learnt it apart from the artifact.

use crate::eco;
use crate::fetch::artifact::NotStored;
use crate::fetch::{FetchError, FetchFailure, Item};
use crate::fs;
use crate::lock::{Lock, Records};
use crate::store::Store;

/// Every stored artifact of `lock` that is not what `records` say. Records that are not there say nothing.
pub(super) fn confirm(
    lock: &Lock,
    records: &Records,
    store: &Store,
) -> Result<Vec<FetchFailure>, FetchError> {
    let mut failures = Vec::new();
    for (id, document) in records {
        let Some(ecosystem) = eco::by_id(id) else {
            continue;
        };
        let Some(judge) = ecosystem.confirm(document)? else {
            continue;
        };
        let carried = lock.carried_artifacts();
        for (package, artifact) in carried.filter(|(package, _)| package.ecosystem == *id) {
            let Some(stored) = store.find(&artifact.checksum)? else {
                continue;
            };
            let mut content = fs::open(&stored.path)?;
            if let Err(cause) = judge.confirm(package, artifact, &mut content) {
                let item = Item {
                    package,
                    artifact,
                    link: None,
                };
                let mut failure = item.failure(NotStored { url: None, cause });
                failure.stored = true;
                failures.push(*failure);
            }
        }
    }
    Ok(failures)
}
