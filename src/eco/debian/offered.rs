//! Names of the packages that the archives of a lock offer, from indexes that some cache still has: for hints, which must
//! not name what a suite lacks. Nothing is decided by them. An index counts only with the digest that the signed release
//! in the lock's records has for it.

use std::collections::BTreeSet;

use super::index::Index;
use super::records::{self, DebianRecords};
use super::{architecture, control, release};
use crate::base::platform::Platform;
use crate::eco::EcoError;

/// An index of a release that the records name.
#[derive(Debug, Clone)]
pub struct OfferedIndex {
    /// Name of the upstream.
    pub upstream: String,
    /// Paths below it: by digest, and by name.
    pub paths: [String; 2],
    /// Whether packages of the lock come from it: without it, it is not known what the suites have.
    pub is_needed: bool,
    release: String,
    index: Index,
}

impl OfferedIndex {
    /// Names of the packages in it; `None` if `bytes` are not what the release lists.
    pub fn names(&self, bytes: Vec<u8>) -> Option<BTreeSet<String>> {
        let text = self.index.open(&self.release, bytes).ok()?;
        let stanzas = control::stanzas(control::text(&text).ok()?).flatten();
        let names = stanzas.filter_map(|stanza| stanza.field("Package").map(str::to_owned));
        Some(names.collect())
    }
}

/// Every index for a platform that the releases in the records list.
pub fn indexes(records: &[u8], platform: Platform) -> Result<Vec<OfferedIndex>, EcoError> {
    let records = records::parse(records)?;
    let mut found = Vec::new();
    for (label, signed) in &records.releases {
        let Some((upstream, path)) = label.split_once(' ') else {
            continue;
        };
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let Ok(release) = release::parse(&signed.signed()) else {
            continue;
        };
        let arch = architecture(platform);
        for component in &release.components {
            for arch in [arch, "all"] {
                let Some(index) = Index::choose(&release, component, arch) else {
                    continue;
                };
                found.push(OfferedIndex {
                    upstream: upstream.to_owned(),
                    paths: [index.by_hash(), index.file()].map(|file| format!("{folder}/{file}")),
                    is_needed: is_used(&records, label, &index),
                    release: label.clone(),
                    index,
                });
            }
        }
    }
    Ok(found)
}

fn is_used(records: &DebianRecords, label: &str, index: &Index) -> bool {
    let mut all = records.entries();
    all.any(|(_, _, package)| package.release == label && package.index == index.path)
}
