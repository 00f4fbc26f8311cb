//! `[[file]]` of the manifest.

use crate::base::digest::Digest;
use crate::base::fault::Fault;
use crate::base::path::RelPath;
use crate::base::platform::{Platform, Target};
use crate::eco::file::resolve;
use crate::eco::install::{Address, Given, InputFile, Inputs, Install};
use crate::manifest::ManifestError;
use crate::manifest::table::Table;
use crate::upstream::Resolver;

/// One `[[file]]`.
#[derive(Debug)]
pub(crate) struct FileSource {
    /// Where it is downloaded from.
    pub(crate) url: String,
    /// What it must be.
    pub(crate) sha256: Digest,
    /// Where it goes in the enclave, below `files/<channel>/`.
    pub(crate) path: RelPath,
    /// Platforms it is for; empty = all of the target.
    pub(crate) platforms: Vec<Platform>,
}

/// Every `[[file]]`, resolved as one install.
#[derive(Debug)]
pub(crate) struct FileInstall(Vec<FileSource>);

/// Reads all tables.
pub(crate) fn read(tables: Vec<Table<'_>>, target: &Target) -> Result<FileInstall, ManifestError> {
    let files = tables.into_iter().map(|table| source(table, target));
    Ok(FileInstall(files.collect::<Result<_, _>>()?))
}

fn source(mut table: Table<'_>, target: &Target) -> Result<FileSource, ManifestError> {
    let url = table.require("url")?.web_address()?;
    let found = table.require("sha256")?;
    let fail = found.error("64 lowercase hex digits");
    let sha256 = Digest::from_hex(&found.string()?).map_err(|_bad| fail)?;
    let path = table
        .require("path")?
        .parsed("a relative path of plain ASCII names")?;
    let platforms = table.take("platforms");
    let platforms = platforms.map(|found| found.platforms_of(target));
    let platforms = platforms.transpose()?.unwrap_or_default();
    table.finish()?;
    Ok(FileSource {
        url,
        sha256,
        path,
        platforms,
    })
}

impl Install for FileInstall {
    fn inputs(&self, _known: &Inputs) -> Result<Vec<InputFile>, Box<dyn Fault>> {
        Ok(Vec::new())
    }

    fn addresses(&self) -> Vec<Address> {
        let address = |file: &FileSource| Address::File {
            path: file.path.to_string(),
            url: file.url.clone(),
        };
        self.0.iter().map(address).collect()
    }

    fn requirements(&self, _inputs: &Inputs) -> Result<Vec<String>, Box<dyn Fault>> {
        Ok(self.0.iter().map(resolve::requirement).collect())
    }

    fn resolver(&self, given: Given<'_>) -> Result<Box<dyn Resolver>, Box<dyn Fault>> {
        Ok(resolve::resolver(&self.0, given.target))
    }
}
