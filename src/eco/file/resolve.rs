//! Plain files need no solving: the manifest says everything, or names a signed list of checksums that does. This turns
//! its tables into locked packages.

use std::collections::BTreeMap;

use data_encoding::BASE64;

use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::fault::Fault;
use crate::base::package::EcosystemId;
use crate::base::path::RelPath;
use crate::base::platform::Platform;
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::eco::attestation::{Attested, BUNDLE_LIMIT, Signer};
use crate::eco::bare_key::{BYTES_LIMIT, BareKey, KeySigned};
use crate::eco::file::checksums::Documents;
use crate::eco::file::fault::FileError;
use crate::eco::file::records::{self, FileRecord, FileRecords, Listed};
use crate::eco::file::section::{By, Expected, FileSource, document, key_role, keyring_role};
use crate::eco::install::Given;
use crate::lock::{LockedArtifact, LockedInput, LockedPackage};
use crate::openpgp::keyring::Keyring;
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
                    checksums: source_name(&published.checksums).to_owned(),
                    has_signature: published.signature.is_some(),
                    keyring: keyring.cloned().unwrap_or_default(),
                }
            }
        };
        if source.attested.is_some() {
            let limit = usize::try_from(BUNDLE_LIMIT).unwrap_or(usize::MAX);
            requests.push(ask(&source.path, "sigstore", limit));
        }
        files.push(File {
            by: source.attested.as_ref().map(|by| match &by.signer {
                By::Signer(signer) => Signature::Attested(signer.clone()),
                By::Key(key) => {
                    let text = given.inputs.get(&key_role(key));
                    Signature::Keyed(text.cloned().unwrap_or_default())
                }
            }),
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
    by: Option<Signature>,
}

/// Who should have signed a file.
enum Signature {
    Attested(Signer),
    /// The key in PEM.
    Keyed(Vec<u8>),
}

/// What it must be.
enum Wanted {
    Pinned(Digest),
    Published {
        /// Name of the list.
        checksums: String,
        has_signature: bool,
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
        self.take_document(path, &document(path, role), role)
    }

    fn take_document(
        &mut self,
        path: &RelPath,
        asked: &str,
        role: &'static str,
    ) -> Result<Vec<u8>, FileError> {
        let missing = || {
            Err(UpstreamError::NotListed {
                upstream: "file".to_owned(),
                file: role.to_owned(),
            })
        };
        let found = self.documents.remove(asked);
        found
            .unwrap_or_else(missing)
            .map_err(|source| FileError::Upstream {
                path: quoted(&path.to_string()),
                role,
                source: Box::new(source),
            })
    }

    /// The digest of a file, and the list that says so; what proves the list goes into the records.
    fn digest(
        &mut self,
        file: &File,
        records: &mut FileRecords,
    ) -> Result<(Digest, Option<Listing>), FileError> {
        let (name, has_signature, keyring) = match &file.expected {
            Wanted::Pinned(digest) => return Ok((*digest, None)),
            Wanted::Published {
                checksums,
                has_signature,
                keyring,
            } => (checksums, *has_signature, keyring),
        };
        let path = file.path.to_string();
        let checksums = self.take(&file.path, "checksums")?;
        let signature = has_signature
            .then(|| self.take(&file.path, "signature"))
            .transpose()?;
        let keyring = Keyring::parse(keyring).map_err(|source| FileError::Untrusted {
            path: quoted(&path),
            source,
        })?;
        let documents = Documents {
            path: &path,
            checksums: &checksums,
            signature: signature.as_deref(),
            keyring: &keyring,
            now: self.now,
        };
        let (digest, signers) = documents.digest(&file.name)?;
        for signer in &signers {
            let certificate = keyring.certificate(signer);
            let certificate = certificate.map(|packets| BASE64.encode(&packets));
            let known = certificate.map(|text| (signer.clone(), text));
            records.certificates.extend(known);
        }
        let listed = Listed {
            checksums: records.keep(&checksums),
            signature: signature.as_deref().map(|bytes| records.keep(bytes)),
            signers,
        };
        let input = LockedInput {
            ecosystem: EcosystemId::file(),
            install: self.number,
            name: format!("{} {}", file.path, escaped(name)),
            digest: Digest::of(&checksums),
            date: None,
        };
        Ok((digest, Some(Listing { listed, input })))
    }

    /// The bundle of a file with who should have signed it. Whether that holds is judged with the closure.
    fn attested(&mut self, file: &File) -> Result<Option<Attested>, FileError> {
        let Some(Signature::Attested(signer)) = &file.by else {
            return Ok(None);
        };
        let bytes = self.take(&file.path, "sigstore")?;
        // What is no text is no bundle either, and is refused as one.
        let bundle = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Some(Attested {
            bundle,
            signer: signer.clone(),
        }))
    }

    /// The signature of a file with the key that should have made it. Where that is over the bytes themselves it is
    /// held against them here, else with the closure.
    fn signed(&mut self, file: &File, sha256: Digest) -> Result<Option<KeySigned>, FileError> {
        let Some(Signature::Keyed(text)) = &file.by else {
            return Ok(None);
        };
        let path = || quoted(&file.path.to_string());
        let key = BareKey::parse(text);
        let key = key.map_err(|reason| FileError::Key {
            path: path(),
            reason,
        })?;
        let bytes = self.take(&file.path, "sigstore")?;
        let signature = String::from_utf8_lossy(&bytes).into_owned();
        if key.needs_bytes(&signature) {
            if !matches!(file.expected, Wanted::Pinned(_)) {
                return Err(FileError::Key {
                    path: path(),
                    reason:
                        "it signs the bytes themselves: write `sha256` in the place of `checksums`"
                            .to_owned(),
                });
            }
            let bytes = self.take_document(&file.path, &file.path.to_string(), "bytes")?;
            let held = key.verify(&signature, sha256, Some(&bytes));
            held.map_err(|reason| FileError::Signature {
                path: path(),
                reason,
            })?;
        }
        let key = String::from_utf8_lossy(text).into_owned();
        Ok(Some(KeySigned { signature, key }))
    }

    /// Asks for the bytes of a file whose signature has come, if that is over them.
    fn ask_for_bytes(&mut self, answered: &str) {
        let is_it = |file: &&File| document(&file.path, "sigstore") == answered;
        let Some(file) = self.files.iter().find(is_it) else {
            return;
        };
        let (Some(Signature::Keyed(text)), Wanted::Pinned(digest)) = (&file.by, &file.expected)
        else {
            return;
        };
        let Some(Ok(signature)) = self.documents.get(answered) else {
            return;
        };
        let signature = String::from_utf8_lossy(signature);
        if BareKey::parse(text).is_ok_and(|key| key.needs_bytes(&signature)) {
            self.requests.push(Request {
                upstream: "file".to_owned(),
                path: file.path.to_string(),
                accept: None,
                limit: BYTES_LIMIT,
                want: Want::Artifact(UpstreamChecksum::Sha256(*digest)),
                link: None,
            });
        }
    }
}

/// A list of checksums: for the records, and for the lock.
struct Listing {
    listed: Listed,
    input: LockedInput,
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
        self.ask_for_bytes(&request.path);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Resolution, Box<dyn Fault>> {
        let mut resolution = Resolution::default();
        let mut records = FileRecords::default();
        for file in std::mem::take(&mut self.files) {
            let (sha256, listing) = self.digest(&file, &mut records)?;
            let (listed, input) = listing.map(|one| (one.listed, one.input)).unzip();
            resolution.inputs.extend(input);
            let record = FileRecord {
                sha256,
                source_name: file.name.clone(),
                attested: self.attested(&file)?,
                signed: self.signed(&file, sha256)?,
                listed,
            };
            records.files.insert(file.path.to_string(), record);
            resolution
                .packages
                .push(locked(&file.path, sha256, file.platforms));
        }
        let document = records::write(&records);
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
