//! Plain files need no solving: the manifest says everything, or names a signed list of checksums that does. This turns
//! its tables into locked packages.

use std::collections::BTreeMap;

use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::fault::Fault;
use crate::base::package::EcosystemId;
use crate::base::path::RelPath;
use crate::base::platform::Platform;
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::eco::attestation::{Attested, BUNDLE_LIMIT, Signer};
use crate::eco::file::checksums::Documents;
use crate::eco::file::fault::FileError;
use crate::eco::file::records::{self, FileRecord, FileRecords};
use crate::eco::file::section::{Expected, FileSource, Published, document, keyring_role};
use crate::eco::install::Given;
use crate::lock::{LockedArtifact, LockedInput, LockedPackage};
use crate::openpgp::{MESSAGE_LIMIT, SIGNATURE_LIMIT};
use crate::upstream::{Answer, Request, Resolution, Resolver, UpstreamError, Want};

/// The requirement text of one file: `path sha256:<hex> <last segment of the URL>`, or the name of the list of checksums
/// in place of the digest.
pub(crate) fn requirement(file: &FileSource) -> String {
    let by = match &file.expected {
        Expected::Pinned(digest) => digest.to_string(),
        Expected::Published(published) => {
            format!("checksums:{}", source_name(&published.checksums))
        }
    };
    format!("{} {by} {}", file.path, source_name(&file.url))
}

fn source_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or_default()
}

/// A resolver for files.
pub(crate) fn resolver(sources: &[FileSource], given: &Given<'_>) -> Box<dyn Resolver> {
    let mut files = Vec::new();
    let mut requests = Vec::new();
    for source in sources {
        let platforms = if source.platforms.is_empty() {
            given.target.platforms.clone()
        } else {
            source.platforms.clone()
        };
        let expected = match &source.expected {
            Expected::Pinned(digest) => Wanted::Pinned(*digest),
            Expected::Published(published) => {
                requests.push(ask(&source.path, "checksums", MESSAGE_LIMIT));
                if published.signature.is_some() {
                    requests.push(ask(&source.path, "signature", SIGNATURE_LIMIT));
                }
                let keyring = given.inputs.get(&keyring_role(&published.keyring));
                Wanted::Published {
                    published: Published {
                        checksums: published.checksums.clone(),
                        signature: published.signature.clone(),
                        keyring: published.keyring.clone(),
                    },
                    keyring: keyring.cloned().unwrap_or_default(),
                }
            }
        };
        if source.attested.is_some() {
            let limit = usize::try_from(BUNDLE_LIMIT).unwrap_or(usize::MAX);
            requests.push(ask(&source.path, "sigstore", limit));
        }
        files.push(File {
            signer: source.attested.as_ref().map(|by| by.signer.clone()),
            path: source.path.clone(),
            name: source_name(&source.url).to_owned(),
            platforms,
            expected,
        });
    }
    Box::new(FileResolver {
        number: given.number,
        now: given.now,
        files,
        requests,
        documents: BTreeMap::new(),
    })
}

fn ask(path: &RelPath, role: &str, limit: usize) -> Request {
    Request {
        upstream: "file".to_owned(),
        path: document(path, role),
        accept: None,
        limit: limit as u64,
        want: Want::Document,
        link: None,
    }
}

/// One file.
struct File {
    path: RelPath,
    name: String,
    platforms: Vec<Platform>,
    expected: Wanted,
    /// Who should have signed it.
    signer: Option<Signer>,
}

/// What it must be.
enum Wanted {
    Pinned(Digest),
    Published {
        published: Published,
        keyring: Vec<u8>,
    },
}

/// Asks for lists of checksums and their signatures.
struct FileResolver {
    number: u32,
    now: Timestamp,
    files: Vec<File>,
    requests: Vec<Request>,
    documents: BTreeMap<String, Result<Vec<u8>, UpstreamError>>,
}

impl FileResolver {
    /// A document that was asked for.
    fn take(&mut self, path: &RelPath, role: &'static str) -> Result<Vec<u8>, FileError> {
        let missing = || {
            Err(UpstreamError::NotListed {
                upstream: "file".to_owned(),
                file: role.to_owned(),
            })
        };
        let found = self.documents.remove(&document(path, role));
        found
            .unwrap_or_else(missing)
            .map_err(|source| FileError::Upstream {
                path: quoted(&path.to_string()),
                role,
                source: Box::new(source),
            })
    }

    /// The digest of a file, and the list that says so.
    fn digest(&mut self, file: &File) -> Result<(Digest, Option<LockedInput>), FileError> {
        let (published, keyring) = match &file.expected {
            Wanted::Pinned(digest) => return Ok((*digest, None)),
            Wanted::Published { published, keyring } => (published, keyring),
        };
        let checksums = self.take(&file.path, "checksums")?;
        let signature = match &published.signature {
            Some(_) => Some(self.take(&file.path, "signature")?),
            None => None,
        };
        let documents = Documents {
            path: &file.path.to_string(),
            checksums: &checksums,
            signature: signature.as_deref(),
            keyring,
            now: self.now,
        };
        let digest = documents.digest(&file.name)?;
        let input = LockedInput {
            ecosystem: EcosystemId::file(),
            install: self.number,
            name: format!(
                "{} {}",
                file.path,
                escaped(source_name(&published.checksums))
            ),
            digest: Digest::of(&checksums),
            date: None,
        };
        Ok((digest, Some(input)))
    }
}

impl FileResolver {
    /// The bundle of a file with who should have signed it. Whether that holds is judged with the closure.
    fn attested(&mut self, file: &File) -> Result<Option<Attested>, FileError> {
        let Some(signer) = file.signer.clone() else {
            return Ok(None);
        };
        let bytes = self.take(&file.path, "sigstore")?;
        // What is no text is no bundle either, and is refused as one.
        let bundle = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Some(Attested { bundle, signer }))
    }
}

impl Resolver for FileResolver {
    fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.requests)
    }

    fn answer(&mut self, request: &Request, answer: Answer) -> Result<(), Box<dyn Fault>> {
        let bytes = answer.and_then(|content| {
            content
                .into_bytes()
                .map_err(|error| UpstreamError::NoAddress {
                    reason: escaped(&error.to_string()),
                })
        });
        self.documents.insert(request.path.clone(), bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Resolution, Box<dyn Fault>> {
        let mut resolution = Resolution::default();
        let mut known = BTreeMap::new();
        for file in std::mem::take(&mut self.files) {
            let (sha256, input) = self.digest(&file)?;
            resolution.inputs.extend(input);
            let record = FileRecord {
                sha256,
                source_name: file.name.clone(),
                attested: self.attested(&file)?,
            };
            known.insert(file.path.to_string(), record);
            resolution
                .packages
                .push(locked(&file.path, sha256, file.platforms));
        }
        let document = records::write(&FileRecords {
            files: known,
            ..FileRecords::default()
        });
        resolution.records.insert(EcosystemId::file(), document);
        Ok(resolution)
    }
}

fn locked(path: &RelPath, sha256: Digest, platforms: Vec<Platform>) -> LockedPackage {
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
            evidence: None,
            gap: None,
        }],
    }
}
