//! Crates behind the contract of [`Ecosystem`].

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::base::digest::UpstreamChecksum;
use crate::base::package::{EcosystemId, Purl, ReleaseId};
use crate::base::time::Timestamp;
use crate::eco::cargo::{Cargo, crate_file, pins, records, repo};
use crate::eco::osv::{self, OsvName};
use crate::eco::{
    BundleView, ClientFile, EcoError, Ecosystem, ExportForm, ExportRequest, ExportedFile,
    ReleaseFacts, RepoFile, RepoView, semantic_order,
};
use crate::lock::LockedPackage;
#[cfg(feature = "connected")]
use crate::{
    base::platform::{Platform, Target},
    eco::cargo::{closure, download, resolve, section},
    eco::install::Install,
    eco::{OpenEdge, Unpacked},
    lock::{Lock, LockedArtifact},
    manifest::{ManifestError, table::Table},
    upstream::Request,
};

/// What the OSV schema calls the ecosystem. A name, and no host that is asked: of those none is written down here.
const OSV: &str = concat!("crates", ".io");

impl Ecosystem for Cargo {
    fn id(&self) -> EcosystemId {
        EcosystemId::cargo()
    }

    fn key(&self) -> &'static str {
        "cargo"
    }

    fn purl(&self, release: &ReleaseId) -> Purl {
        super::purl(release)
    }

    /// The registry takes no second crate whose name differs in these only.
    fn normalized(&self, name: &str) -> String {
        name.to_lowercase().replace('_', "-")
    }

    fn order(&self, left: &str, right: &str) -> Option<Ordering> {
        semantic_order(left, right)
    }

    fn osv_names(
        &self,
        packages: &[&LockedPackage],
        _records: &[u8],
    ) -> Result<Vec<OsvName>, EcoError> {
        Ok(osv::as_they_are(OSV, packages))
    }

    fn facts(&self, records: &[u8]) -> Result<BTreeMap<ReleaseId, ReleaseFacts>, EcoError> {
        let mut facts = BTreeMap::new();
        for (id, found) in records::parse(records)?.releases() {
            let checksum = found.index.checksum();
            let checksum = checksum
                .ok_or_else(|| records::unreadable(&format_args!("{id} has no SHA-256")))?;
            let about = found.about.clone().unwrap_or_default();
            let file = (crate_file(&id), UpstreamChecksum::Sha256(checksum));
            let said = ReleaseFacts {
                supplier: about.author,
                license: about.license,
                description: about.description,
                homepage: about.homepage,
                repository: about.repository,
                published: found
                    .index
                    .pubtime
                    .as_deref()
                    .and_then(Timestamp::published),
                files: BTreeMap::from([file]),
            };
            facts.insert(id, said);
        }
        Ok(facts)
    }

    #[cfg(feature = "connected")]
    fn merge_records(&self, parts: &[Vec<u8>], kept: Option<&[u8]>) -> Result<Vec<u8>, EcoError> {
        records::merge(parts, kept)
    }

    fn render(&self, view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError> {
        repo::render(view)
    }

    fn pins(&self, bundle: &BundleView<'_>, _base_url: &str) -> Result<Vec<RepoFile>, EcoError> {
        pins::pins(bundle)
    }

    fn export_forms(&self) -> &'static [ExportForm] {
        pins::FORMS
    }

    fn export(&self, request: &ExportRequest<'_>) -> Result<Vec<ExportedFile>, EcoError> {
        pins::export(request)
    }

    fn client_files(&self, base_url: &str) -> Vec<ClientFile> {
        repo::client_files(base_url)
    }

    fn bootstrap(&self, _view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError> {
        Ok(Vec::new())
    }

    /// Crates are sources; what they are built into does not exist yet.
    #[cfg(feature = "connected")]
    fn unpacked(&self, _package: &LockedPackage) -> Option<Unpacked> {
        None
    }

    #[cfg(feature = "connected")]
    fn check_closure(
        &self,
        lock: &Lock,
        records: &[u8],
        platform: Platform,
    ) -> Result<Vec<OpenEdge>, EcoError> {
        closure::check(lock, records, platform)
    }

    #[cfg(feature = "connected")]
    fn locator(&self, _artifact: &LockedArtifact) -> Option<Request> {
        Some(resolve::index_config())
    }

    #[cfg(feature = "connected")]
    fn locate(&self, document: &[u8], artifact: &LockedArtifact) -> Option<String> {
        download::locate(document, &artifact.path, &artifact.checksum)
    }

    #[cfg(feature = "connected")]
    fn installs(
        &self,
        tables: Vec<Table<'_>>,
        target: &Target,
    ) -> Result<Vec<Box<dyn Install>>, ManifestError> {
        let read = |table| Ok(Box::new(section::read(table, target)?) as Box<dyn Install>);
        tables.into_iter().map(read).collect()
    }
}
