//! Debian packages behind the contract of [`Ecosystem`].

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::base::digest::UpstreamChecksum;
use crate::base::evidence::Level;
use crate::base::package::{EcosystemId, Purl, ReleaseId};
use crate::eco::debian::version::Version;
use crate::eco::debian::{Debian, chain, deb_file, osv, pins, records, repo};
use crate::eco::osv::OsvName;
use crate::eco::vouched::{Anchors, CarriedFiles, UpstreamKeys, Verdict, Vouched};
use crate::eco::{
    BundleView, ClientFile, ClientSetup, EcoError, Ecosystem, ExportForm, ExportRequest,
    ExportedFile, Publishing, ReleaseFacts, RepoFile, RepoView,
};
use crate::lock::{Lock, LockedPackage};
#[cfg(feature = "connected")]
use crate::{
    base::platform::{Platform, Target},
    base::time::Timestamp,
    eco::OpenEdge,
    eco::debian::{carry, edges, section},
    eco::install::Install,
    eco::interpreter::{Interpreter, StagedInterpreter, leading_version},
    eco::vouched::Proof,
    manifest::{ManifestError, table::Table},
};

impl Ecosystem for Debian {
    fn id(&self) -> EcosystemId {
        EcosystemId::debian()
    }

    fn key(&self) -> &'static str {
        "debian"
    }

    /// Ubuntu says so in the versions of what it changed; what it took over unchanged is Debian's.
    fn purl(&self, release: &ReleaseId) -> Purl {
        let vendor = if release.version.contains("ubuntu") {
            "ubuntu"
        } else {
            "debian"
        };
        super::purl(vendor, release)
    }

    fn purl_qualifiers(&self, lock: &Lock, package: &LockedPackage) -> Vec<(&'static str, String)> {
        super::purl_qualifiers(lock, package)
    }

    fn normalized(&self, name: &str) -> String {
        name.to_lowercase()
    }

    fn order(&self, left: &str, right: &str) -> Option<Ordering> {
        let version = |text| Version::parse(text).ok();
        Some(version(left)?.cmp(&version(right)?))
    }

    fn osv_names(
        &self,
        packages: &[&LockedPackage],
        records: &[u8],
    ) -> Result<Vec<OsvName>, EcoError> {
        osv::names(packages, records)
    }

    fn facts(&self, records: &[u8]) -> Result<BTreeMap<ReleaseId, ReleaseFacts>, EcoError> {
        let mut facts: BTreeMap<ReleaseId, ReleaseFacts> = BTreeMap::new();
        for (id, arch, package) in records::parse(records)?.entries() {
            let text = |name: &str| package.field(name).map(str::to_owned);
            let said = facts.entry(id.clone()).or_default();
            said.supplier = text("Maintainer");
            said.description =
                text("Description").map(|d| d.lines().next().unwrap_or_default().to_owned());
            said.homepage = text("Homepage");
            if let Some(sum) = package.sha256() {
                let file = deb_file(&id.name, &id.version, arch);
                said.files.insert(file, UpstreamChecksum::Sha256(sum));
            }
        }
        Ok(facts)
    }

    /// Every index was held against a release that a pinned key had signed when the lock was made; the records name the
    /// keys.
    fn vouched(&self, records: &[u8], _keys: &UpstreamKeys) -> Result<Vouched, EcoError> {
        let records = records::parse(records)?;
        let mut found = Vouched::new();
        for (id, arch, package) in records.entries() {
            let file = deb_file(&id.name, &id.version, arch);
            let release = records.releases.get(&package.release);
            let verdict = match release.filter(|r| !r.signers.is_empty()) {
                Some(release) => Verdict::Signed {
                    level: Level::L4,
                    by: release.signers.clone(),
                },
                None => Verdict::Unsigned,
            };
            found.insert((id, file), verdict);
        }
        Ok(found)
    }

    fn prove(
        &self,
        records: &[u8],
        files: &dyn CarriedFiles,
        anchors: &Anchors,
    ) -> Result<Vouched, EcoError> {
        chain::prove(records, files, anchors.archives.as_ref(), anchors.at)
    }

    #[cfg(feature = "connected")]
    fn proofs(&self, records: &[u8], at: Timestamp) -> Result<Vec<Proof>, EcoError> {
        carry::proofs(records, at)
    }

    #[cfg(feature = "connected")]
    fn merge_records(&self, parts: &[Vec<u8>], kept: Option<&[u8]>) -> Result<Vec<u8>, EcoError> {
        records::merge(parts, kept)
    }

    fn render(&self, view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError> {
        repo::render(view)
    }

    fn publish(
        &self,
        files: Vec<RepoFile>,
        publishing: &Publishing<'_>,
    ) -> Result<Vec<RepoFile>, EcoError> {
        repo::sign(files, publishing)
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
        repo::client_files(&ClientSetup {
            base_url,
            suites: &[],
            apt_key: None,
        })
    }

    fn configured_clients(&self, setup: &ClientSetup<'_>) -> Vec<ClientFile> {
        // Without a suite there is nothing to take packages from.
        if setup.suites.is_empty() {
            return Vec::new();
        }
        repo::client_files(setup)
    }

    fn bootstrap(&self, _view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError> {
        Ok(Vec::new())
    }

    /// The packages that bring the programs `node` and `python3`, by the upstream part of their versions (Policy §5.6.12).
    #[cfg(feature = "connected")]
    fn interpreters(&self, lock: &Lock) -> Vec<StagedInterpreter> {
        let id = EcosystemId::debian();
        let known = |name: &str| match name {
            "nodejs" => Some(Interpreter::Node),
            "python3" => Some(Interpreter::Python),
            _ => None,
        };
        let found = lock
            .of(&id)
            .filter(|p| p.is_carried())
            .filter_map(|package| {
                let version = package.version.rsplit(':').next()?;
                Some(StagedInterpreter {
                    interpreter: known(&package.name)?,
                    version: leading_version(version)?,
                    release: package.id(),
                    platforms: package.platforms.clone(),
                    repacked: false,
                })
            });
        found.collect()
    }

    #[cfg(feature = "connected")]
    fn check_closure(
        &self,
        lock: &Lock,
        records: &[u8],
        platform: Platform,
    ) -> Result<Vec<OpenEdge>, EcoError> {
        edges::check(lock, records, platform)
    }

    #[cfg(feature = "connected")]
    fn installs(
        &self,
        tables: Vec<Table<'_>>,
        target: &Target,
    ) -> Result<Vec<Box<dyn Install>>, ManifestError> {
        let read = section::read(tables, target)?.into_iter();
        Ok(read
            .map(|install| Box::new(install) as Box<dyn Install>)
            .collect())
    }
}
