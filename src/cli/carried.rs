//! Documents that a bundle carries, kept while it is verified.

use std::collections::BTreeMap;

use crate::base::digest::Digest;
use crate::base::limits::LIMITS;
use crate::bundle::manifest::BundleManifest;
use crate::fs::FsError;
use crate::verify::Sink;

/// Keeps every document whose path begins so, if it is no larger than a document may be.
#[derive(Debug)]
pub(crate) struct Carried {
    below: &'static str,
    wanted: BTreeMap<Digest, Vec<String>>,
    taking: Option<Vec<String>>,
    bytes: Vec<u8>,
    documents: BTreeMap<String, Vec<u8>>,
}

impl Carried {
    /// Nothing yet. `below` is a folder with its slash, or a whole path.
    pub(crate) const fn new(below: &'static str) -> Self {
        Self {
            below,
            wanted: BTreeMap::new(),
            taking: None,
            bytes: Vec::new(),
            documents: BTreeMap::new(),
        }
    }

    /// What was kept, by path. Only for a bundle whose verification ended well.
    pub(crate) fn documents(self) -> BTreeMap<String, Vec<u8>> {
        self.documents
    }
}

impl Sink for Carried {
    fn prepare(&mut self, manifest: &BundleManifest) -> Result<(), FsError> {
        for file in &manifest.files {
            let path = file.path.as_str();
            if path.starts_with(self.below) && file.size <= LIMITS.document {
                let paths = self.wanted.entry(file.digests.sha256).or_default();
                paths.push(path.to_owned());
            }
        }
        Ok(())
    }

    fn begin(&mut self, digest: &Digest, _size: u64) -> Result<(), FsError> {
        self.taking = self.wanted.get(digest).cloned();
        Ok(())
    }

    fn chunk(&mut self, bytes: &[u8]) -> Result<(), FsError> {
        if self.taking.is_some() {
            self.bytes.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), FsError> {
        let bytes = std::mem::take(&mut self.bytes);
        for path in self.taking.take().into_iter().flatten() {
            self.documents.insert(path, bytes.clone());
        }
        Ok(())
    }
}
