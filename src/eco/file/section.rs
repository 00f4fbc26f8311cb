//! `[[file]]` of the manifest.

use std::path::PathBuf;

use crate::base::digest::Digest;
use crate::base::fault::Fault;
use crate::base::path::RelPath;
use crate::base::platform::{Platform, Target};
use crate::eco::attestation::{self, Signer};
use crate::eco::bare_key::KEY_LIMIT;
use crate::eco::file::resolve;
use crate::eco::install::{Address, Given, InputFile, Inputs, Install};
use crate::manifest::ManifestError;
use crate::manifest::table::{Found, Table};
use crate::openpgp::KEYRING_LIMIT;
use crate::upstream::Resolver;

/// One `[[file]]`.
#[derive(Debug)]
pub(crate) struct FileSource {
    /// Where it is downloaded from.
    pub(crate) url: String,
    /// What it must be.
    pub(crate) expected: Expected,
    /// Its signature, and who should have signed it.
    pub(crate) attested: Option<AttestedBy>,
    /// Where it goes in the enclave, below `files/<channel>/`.
    pub(crate) path: RelPath,
    /// Platforms it is for; empty = all of the target.
    pub(crate) platforms: Vec<Platform>,
}

/// How it is known what a file must be.
#[derive(Debug)]
pub(crate) enum Expected {
    /// `sha256`.
    Pinned(Digest),
    /// `checksums`, `signature` and `keyring`.
    Published(Published),
}

/// A list of checksums that its publisher signs.
#[derive(Debug)]
pub(crate) struct Published {
    /// URL of the list.
    pub(crate) checksums: String,
    /// URL of its signature; `None` = the list is a cleartext signed message.
    pub(crate) signature: Option<String>,
    /// The keyring, relative to the manifest's folder.
    pub(crate) keyring: String,
}

/// `sigstore`, and `signer` or `key`.
#[derive(Debug)]
pub(crate) struct AttestedBy {
    /// URL of the bundle, or of the bare signature by a key.
    pub(crate) bundle: String,
    /// Who should have signed.
    pub(crate) signer: By,
}

/// Who should have signed.
#[derive(Debug)]
pub(crate) enum By {
    /// Somebody with a certificate.
    Signer(Signer),
    /// Whoever has this key: a file in PEM, relative to the manifest's folder.
    Key(String),
}

/// All `[[file]]` tables, which are one install.
#[derive(Debug)]
pub(crate) struct FileInstall(Vec<FileSource>);

/// Reads all tables.
pub(crate) fn read(tables: Vec<Table<'_>>, target: &Target) -> Result<FileInstall, ManifestError> {
    let files = tables.into_iter().map(|table| source(table, target));
    Ok(FileInstall(files.collect::<Result<_, _>>()?))
}

fn source(mut table: Table<'_>, target: &Target) -> Result<FileSource, ManifestError> {
    let url = table.require("url")?.web_address()?;
    let expected = expected(&mut table)?;
    let attested = attested(&mut table)?;
    let path = table
        .require("path")?
        .parsed("a relative path of plain ASCII names")?;
    let platforms = table.take("platforms");
    let platforms = platforms.map(|found| found.platforms_of(target));
    let platforms = platforms.transpose()?.unwrap_or_default();
    table.finish()?;
    Ok(FileSource {
        url,
        expected,
        attested,
        path,
        platforms,
    })
}

fn attested(table: &mut Table<'_>) -> Result<Option<AttestedBy>, ManifestError> {
    let Some(found) = table.take("sigstore") else {
        return Ok(None);
    };
    let bundle = found.web_address()?;
    let signer = match (table.take("key"), table.take("signer")) {
        (Some(key), None) => By::Key(key.string()?),
        (Some(_), Some(both)) => return Err(both.error("absent where `key` is given")),
        (None, Some(signer)) => By::Signer(attestation::signer(signer.table("signer")?)?),
        (None, None) => {
            return Err(ManifestError::Value {
                key: "sigstore".to_owned(),
                expected: "together with the `signer` who should have signed, or with the `key`"
                    .to_owned(),
                place: table.place(),
            });
        }
    };
    Ok(Some(AttestedBy { bundle, signer }))
}

fn expected(table: &mut Table<'_>) -> Result<Expected, ManifestError> {
    let Some(found) = table.take("checksums") else {
        let found = table.require("sha256")?;
        let fail = found.error("64 lowercase hex digits");
        let digest = Digest::from_hex(&found.string()?).map_err(|_bad| fail)?;
        return Ok(Expected::Pinned(digest));
    };
    if let Some(both) = table.take("sha256") {
        return Err(both.error("absent where `checksums` is given"));
    }
    let signature = table.take("signature");
    Ok(Expected::Published(Published {
        checksums: found.web_address()?,
        signature: signature.map(Found::web_address).transpose()?,
        keyring: table.require("keyring")?.string()?,
    }))
}

/// Role of a keyring among the inputs.
pub(super) fn keyring_role(path: &str) -> String {
    format!("keyring {path}")
}

/// Role of a key among the inputs.
pub(super) fn key_role(path: &str) -> String {
    format!("key {path}")
}

/// How a document about a file is called where files are asked for. No path of a file has a `#`.
pub(super) fn document(path: &RelPath, role: &str) -> String {
    format!("{path}#{role}")
}

impl Install for FileInstall {
    fn inputs(&self, _known: &Inputs) -> Result<Vec<InputFile>, Box<dyn Fault>> {
        let keyring = |file: &FileSource| match &file.expected {
            Expected::Pinned(_) => None,
            Expected::Published(published) => Some(InputFile {
                role: keyring_role(&published.keyring),
                path: PathBuf::from(&published.keyring),
                limit: KEYRING_LIMIT as u64,
            }),
        };
        let key = |file: &FileSource| match &file.attested.as_ref()?.signer {
            By::Signer(_) => None,
            By::Key(key) => Some(InputFile {
                role: key_role(key),
                path: PathBuf::from(key),
                limit: KEY_LIMIT,
            }),
        };
        let keyrings = self.0.iter().filter_map(keyring);
        let mut files: Vec<InputFile> = keyrings.chain(self.0.iter().filter_map(key)).collect();
        files.sort();
        files.dedup();
        Ok(files)
    }

    fn addresses(&self) -> Vec<Address> {
        let mut addresses = Vec::new();
        for file in &self.0 {
            let mut add = |path: String, url: &str| {
                addresses.push(Address::File {
                    path,
                    url: url.to_owned(),
                });
            };
            add(file.path.to_string(), &file.url);
            if let Some(attested) = &file.attested {
                add(document(&file.path, "sigstore"), &attested.bundle);
            }
            if let Expected::Published(published) = &file.expected {
                add(document(&file.path, "checksums"), &published.checksums);
                if let Some(signature) = &published.signature {
                    add(document(&file.path, "signature"), signature);
                }
            }
        }
        addresses
    }

    fn requirements(&self, _inputs: &Inputs) -> Result<Vec<String>, Box<dyn Fault>> {
        Ok(self.0.iter().map(resolve::requirement).collect())
    }

    fn resolver(&self, given: Given<'_>) -> Result<Box<dyn Resolver>, Box<dyn Fault>> {
        Ok(resolve::resolver(&self.0, &given))
    }
}
