//! Plain files need no solving: the manifest already says everything. This turns its lines into locked packages.

use std::collections::BTreeMap;

use super::records::{self, FileRecord, FileRecords};
use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::fault::{Code, Fault, Kind};
use crate::base::package::EcosystemId;
use crate::base::path::RelPath;
use crate::eco::InstallRequest;
use crate::lock::{LockedArtifact, LockedPackage};
use crate::upstream::{Answer, Request, Resolution, Resolver};

/// Codes of this module.
pub const CODES: &[&Code] = &[&FILE_REQUIREMENT];

static FILE_REQUIREMENT: Code = Code::new("manifest-file-requirement", Kind::Usage);

/// A requirement text that [`requirement`] did not make.
#[derive(Debug, thiserror::Error)]
#[error("not a file requirement: {found}")]
pub struct FileError {
    /// The text, quoted and escaped.
    pub found: String,
}

impl Fault for FileError {
    fn code(&self) -> &'static Code {
        &FILE_REQUIREMENT
    }
}

/// The requirement text of one file: `path sha256:<hex> <last segment of the URL>`.
pub fn requirement(path: &RelPath, sha256: &Digest, url: &str) -> String {
    let name = url
        .split(['?', '#'])
        .next()
        .unwrap_or(url)
        .rsplit('/')
        .next()
        .unwrap_or_default();
    format!("{path} {sha256} {name}")
}

/// A resolver for the files of one request.
pub fn resolver(request: &InstallRequest) -> Result<Box<dyn Resolver>, Box<dyn Fault>> {
    let mut resolution = Resolution::default();
    let mut files = BTreeMap::new();
    for text in &request.requirements {
        let fail = || FileError {
            found: crate::base::text::quoted(text),
        };
        let mut words = text.split(' ');
        let (path, sha256, name) = (words.next(), words.next(), words.next());
        let path: RelPath = path.and_then(|w| w.parse().ok()).ok_or_else(fail)?;
        let sha256: Digest = sha256.and_then(|w| w.parse().ok()).ok_or_else(fail)?;
        let platforms = request
            .only_for
            .get(text)
            .cloned()
            .unwrap_or_else(|| request.target.platforms.clone());
        resolution.packages.push(locked(&path, sha256, platforms));
        let source_name = name.unwrap_or_default().to_owned();
        files.insert(
            path.to_string(),
            FileRecord {
                sha256,
                source_name,
            },
        );
    }
    let document = records::write(&FileRecords {
        files,
        ..FileRecords::default()
    });
    resolution.records.insert(EcosystemId::file(), document);
    Ok(Box::new(Done(resolution)))
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
