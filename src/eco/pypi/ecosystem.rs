//! Python packages behind the contract of [`Ecosystem`].

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::base::digest::UpstreamChecksum;
use crate::base::package::{EcosystemId, Purl, ReleaseId};
use crate::base::time::Timestamp;
use crate::eco::osv::{self, OsvName};
use crate::eco::pypi::{PyPi, attestation, bootstrap, clients, name, pins, records, repo};
use crate::eco::vouched::{UpstreamKeys, Verdict, Vouched};
use crate::eco::{
    BundleView, ClientFile, EcoError, Ecosystem, ExportForm, ExportRequest, ExportedFile,
    ReleaseFacts, RepoFile, RepoView,
};
use crate::lock::LockedPackage;
#[cfg(feature = "connected")]
use crate::{
    base::platform::{Platform, Target},
    eco::attestation::{Expectation, Missing},
    eco::install::Install,
    eco::interpreter::{Interpreter, StagedInterpreter, Unfit},
    eco::pypi::name::Name,
    eco::pypi::{closure, confirm, provenance, python, section, simple},
    eco::{Confirm, OpenEdge},
    lock::{Lock, LockedArtifact},
    manifest::{ManifestError, table::Table},
    upstream::{Request, Upstream},
};

impl Ecosystem for PyPi {
    fn id(&self) -> EcosystemId {
        EcosystemId::pypi()
    }

    fn key(&self) -> &'static str {
        "pypi"
    }

    fn purl(&self, release: &ReleaseId) -> Purl {
        super::purl(release)
    }

    fn normalized(&self, name: &str) -> String {
        name::normalized(name)
    }

    fn order(&self, left: &str, right: &str) -> Option<Ordering> {
        let version = |text: &str| text.parse::<pep440_rs::Version>().ok();
        Some(version(left)?.cmp(&version(right)?))
    }

    fn osv_names(
        &self,
        packages: &[&LockedPackage],
        _records: &[u8],
    ) -> Result<Vec<OsvName>, EcoError> {
        Ok(osv::as_they_are("PyPI", packages))
    }

    fn facts(&self, records: &[u8]) -> Result<BTreeMap<ReleaseId, ReleaseFacts>, EcoError> {
        let records = records::parse(records)?;
        let mut facts = BTreeMap::new();
        for (name, version, release) in records.releases() {
            let mut said = records
                .about(release)
                .map(|m| m.facts())
                .unwrap_or_default();
            let sum = |file: &records::PypiFile| UpstreamChecksum::Sha256(file.sha256);
            let time =
                |file: &records::PypiFile| Timestamp::published(file.upload_time.as_deref()?);
            // The newest: a file may be added to a release years later. One without a time leaves the release without.
            let times: Option<Vec<Timestamp>> = release.files.values().map(time).collect();
            said.published = times.and_then(|times| times.into_iter().max());
            let files = release.files.iter();
            said.files = files
                .map(|(file, about)| (file.clone(), sum(about)))
                .collect();
            facts.insert(ReleaseId::new(name.as_str(), version), said);
        }
        Ok(facts)
    }

    fn vouched(&self, records: &[u8], keys: &UpstreamKeys) -> Result<Vouched, EcoError> {
        let records = records::parse(records)?;
        let mut found = Vouched::new();
        for (name, version, release) in records.releases() {
            for (file, about) in &release.files {
                let verdict = match (&about.attested, about.unattested) {
                    (Some(attested), _) => {
                        let subject = (name, file.as_str());
                        attestation::judge(subject, about.sha256, attested, &keys.sigstore)
                    }
                    (None, Some(gap)) => Verdict::Lacking(gap),
                    (None, None) => Verdict::Unsigned,
                };
                let release = ReleaseId::new(name.as_str(), version);
                found.insert((release, file.clone()), verdict);
            }
        }
        Ok(found)
    }

    #[cfg(feature = "connected")]
    fn attest(
        &self,
        records: &[u8],
        expected: &[Expectation],
        upstream: &mut dyn Upstream,
    ) -> Result<(Vec<u8>, Vec<Missing>), EcoError> {
        provenance::attest(records, expected, upstream)
    }

    #[cfg(feature = "connected")]
    fn merge_records(&self, parts: &[Vec<u8>], kept: Option<&[u8]>) -> Result<Vec<u8>, EcoError> {
        records::merge(parts, kept)
    }

    fn render(&self, view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError> {
        repo::render(view)
    }

    fn pins(&self, bundle: &BundleView<'_>, base_url: &str) -> Result<Vec<RepoFile>, EcoError> {
        pins::pins(bundle, base_url)
    }

    fn export_forms(&self) -> &'static [ExportForm] {
        pins::FORMS
    }

    fn export(&self, request: &ExportRequest<'_>) -> Result<Vec<ExportedFile>, EcoError> {
        pins::export(request)
    }

    fn client_files(&self, base_url: &str) -> Vec<ClientFile> {
        clients::client_files(base_url)
    }

    fn bootstrap(&self, view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError> {
        bootstrap::bootstrap(view)
    }

    #[cfg(feature = "connected")]
    fn runs_in(&self) -> Option<Interpreter> {
        Some(Interpreter::Python)
    }

    #[cfg(feature = "connected")]
    fn interpreters(&self, lock: &Lock) -> Vec<StagedInterpreter> {
        python::interpreters(lock)
    }

    #[cfg(feature = "connected")]
    fn unfit(&self, lock: &Lock, records: &[u8], version: &str) -> Result<Vec<Unfit>, EcoError> {
        python::unfit(lock, records, version)
    }

    #[cfg(feature = "connected")]
    fn confirm(&self, records: &[u8]) -> Result<Option<Box<dyn Confirm>>, EcoError> {
        confirm::wheels(records).map(Some)
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
    fn locator(&self, artifact: &LockedArtifact) -> Option<Request> {
        Some(simple::request(&project(artifact)?))
    }

    #[cfg(feature = "connected")]
    fn locate(&self, document: &[u8], artifact: &LockedArtifact) -> Option<String> {
        let name = project(artifact)?;
        simple::locate(&name, document, &artifact.file, &artifact.checksum)
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

/// The project whose page lists an artifact: the first part of its path.
#[cfg(feature = "connected")]
fn project(artifact: &LockedArtifact) -> Option<Name> {
    artifact.path.split('/').next()?.parse().ok()
}
