//! Plain files need no solving: the manifest already says everything. This turns its tables into locked packages.

use std::collections::BTreeMap;

use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::fault::Fault;
use crate::base::package::EcosystemId;
use crate::base::path::RelPath;
use crate::base::platform::Target;
use crate::eco::file::records::{self, FileRecord, FileRecords};
use crate::eco::file::section::FileSource;
use crate::lock::{LockedArtifact, LockedPackage};
use crate::upstream::{Answer, Request, Resolution, Resolver};

/// The requirement text of one file: `path sha256:<hex> <last segment of the URL>`.
pub(crate) fn requirement(file: &FileSource) -> String {
    format!("{} {} {}", file.path, file.sha256, source_name(&file.url))
}

fn source_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or_default()
}

/// A resolver for files.
pub(crate) fn resolver(sources: &[FileSource], target: &Target) -> Box<dyn Resolver> {
    let mut resolution = Resolution::default();
    let mut files = BTreeMap::new();
    for file in sources {
        let platforms = if file.platforms.is_empty() {
            target.platforms.clone()
        } else {
            file.platforms.clone()
        };
        let package = locked(&file.path, file.sha256, platforms);
        resolution.packages.push(package);
        let record = FileRecord {
            sha256: file.sha256,
            source_name: source_name(&file.url).to_owned(),
        };
        files.insert(file.path.to_string(), record);
    }
    let document = records::write(&FileRecords {
        files,
        ..FileRecords::default()
    });
    resolution.records.insert(EcosystemId::file(), document);
    Box::new(Done(resolution))
}

fn locked(
    path: &RelPath,
    sha256: Digest,
    platforms: Vec<crate::base::platform::Platform>,
) -> LockedPackage {
    LockedPackage {
        ecosystem: EcosystemId::file(),
        name: path.to_string(),
        version: sha256.hex(),
        platforms,
        license: None,
        deprecated: None,
        install_script: false,
        bundled_in: Vec::new(),
        places: Vec::new(),
        dependencies: Vec::new(),
        artifacts: vec![LockedArtifact {
            file: path.to_string(),
            checksum: UpstreamChecksum::Sha256(sha256),
            upstream: "file".to_owned(),
            path: path.to_string(),
            size: None,
        }],
    }
}

/// Asks nothing.
struct Done(Resolution);

impl Resolver for Done {
    fn take_requests(&mut self) -> Vec<Request> {
        Vec::new()
    }

    fn answer(&mut self, _request: &Request, _answer: Answer) -> Result<(), Box<dyn Fault>> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Resolution, Box<dyn Fault>> {
        Ok(self.0)
    }
}
