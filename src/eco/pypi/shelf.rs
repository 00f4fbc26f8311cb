//! What is known of the index so far: pages, and core metadata of files, each asked for once however many platforms and
//! installs need it.

use std::collections::{BTreeMap, BTreeSet};

use pep440_rs::Version;

use crate::eco::pypi::listing::{Listing, Offer, Refusal};
use crate::eco::pypi::metadata::Metadata;
use crate::eco::pypi::name::Name;
use crate::eco::pypi::peek::Sparse;
use crate::eco::pypi::simple::{Page, PageFile};
use crate::eco::pypi::solve::Shelf;
use crate::eco::pypi::solve::needs::Needs;

/// Key of a file: project and file name.
pub(crate) type FileKey = (Name, String);

/// Everything known.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Pages by project.
    pub(crate) pages: BTreeMap<Name, Page>,
    /// Projects that the index does not have.
    pub(crate) absent: BTreeSet<Name>,
    /// Files by project and name.
    pub(crate) files: BTreeMap<FileKey, FileState>,
}

/// What is known of a file.
#[derive(Debug)]
pub(crate) enum FileState {
    /// Its metadata was asked for; parts of it may be here.
    Asked(Sparse),
    /// Its metadata.
    Known(Box<FileFacts>),
    /// Its metadata cannot be used; the reason is safe to print.
    Unusable(String),
}

/// What a file says of itself.
#[derive(Debug)]
pub(crate) struct FileFacts {
    /// The text.
    pub(crate) text: String,
    /// What it says.
    pub(crate) metadata: Metadata,
    /// What it needs.
    pub(crate) needs: Needs,
    /// What an sdist is built with; empty for a wheel.
    pub(crate) build: Vec<String>,
}

impl FileFacts {
    /// From core metadata, which must be that of the release.
    pub(crate) fn new(name: &Name, version: &Version, text: String) -> Result<Self, String> {
        let metadata = Metadata::parse(&text).map_err(|e| e.to_string())?;
        let same = metadata.version.parse::<Version>().ok().as_ref() == Some(version);
        if metadata.name != *name || !same {
            return Err(format!(
                "it is that of {} {}",
                metadata.name,
                crate::base::text::quoted(&metadata.version)
            ));
        }
        Ok(Self {
            needs: Needs::new(&metadata)?,
            metadata,
            text,
            build: Vec::new(),
        })
    }
}

impl Known {
    /// The file that an offer means.
    pub(crate) fn file(&self, name: &Name, offer: &Offer) -> Option<&PageFile> {
        let at = offer.file.as_ref().ok()?;
        self.pages.get(name)?.files.get(*at)
    }

    /// The metadata of the file that an offer means.
    pub(crate) fn facts(&self, name: &Name, offer: &Offer) -> Option<&FileFacts> {
        let file = self.file(name, offer)?;
        match self.files.get(&(name.clone(), file.name.clone()))? {
            FileState::Known(facts) => Some(facts),
            FileState::Asked(_) | FileState::Unusable(_) => None,
        }
    }
}

/// What one platform sees of it.
#[derive(Debug)]
pub(crate) struct View<'a> {
    /// Everything known.
    pub(crate) known: &'a Known,
    /// The listings made of it for the platform.
    pub(crate) listings: &'a BTreeMap<Name, Listing>,
}

impl Shelf for View<'_> {
    fn listing(&self, name: &Name) -> Option<&Listing> {
        self.listings.get(name)
    }

    fn needs(&self, name: &Name, offer: &Offer) -> Option<Result<&Needs, Refusal>> {
        let file = self.known.file(name, offer)?;
        match self.known.files.get(&(name.clone(), file.name.clone()))? {
            FileState::Asked(_) => None,
            FileState::Known(facts) => Some(Ok(&facts.needs)),
            FileState::Unusable(reason) => Some(Err(Refusal::Metadata(reason.clone()))),
        }
    }
}
