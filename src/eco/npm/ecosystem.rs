//! npm behind the contract of [`Ecosystem`].

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::base::digest::UpstreamChecksum;
use crate::base::package::{EcosystemId, Purl, ReleaseId};
use crate::base::time::Timestamp;
use crate::eco::npm::records::{self, NpmVersion};
use crate::eco::npm::{Npm, bootstrap, pins, repo, signatures};
use crate::eco::osv::{self, OsvName};
use crate::eco::vouched::{UpstreamKeys, Vouched};
use crate::eco::{
    BundleView, ClientFile, EcoError, Ecosystem, ExportForm, ExportRequest, ExportedFile,
    ReleaseFacts, RepoFile, RepoView, semantic_order,
};
use crate::lock::LockedPackage;
#[cfg(feature = "connected")]
use crate::{
    base::platform::{Platform, Target},
    eco::attestation::{Expectation, Missing},
    eco::install::Install,
    eco::interpreter::{Interpreter, StagedInterpreter, Unfit},
    eco::npm::{closure, engines, provenance, section},
    eco::{OpenEdge, Unpacked},
    lock::Lock,
    manifest::{ManifestError, table::Table},
    upstream::Upstream,
};

impl Ecosystem for Npm {
    fn id(&self) -> EcosystemId {
        EcosystemId::npm()
    }

    fn key(&self) -> &'static str {
        "npm"
    }

    fn purl(&self, release: &ReleaseId) -> Purl {
        super::purl(release)
    }

    fn normalized(&self, name: &str) -> String {
        name.to_lowercase()
    }

    fn order(&self, left: &str, right: &str) -> Option<Ordering> {
        semantic_order(left, right)
    }

    fn osv_names(
        &self,
        packages: &[&LockedPackage],
        _records: &[u8],
    ) -> Result<Vec<OsvName>, EcoError> {
        Ok(osv::as_they_are("npm", packages))
    }

    /// Old names differ in upper and lower case, and are packages of their own.
    fn osv_key(&self, name: &str) -> String {
        name.to_owned()
    }

    fn facts(&self, records: &[u8]) -> Result<BTreeMap<ReleaseId, ReleaseFacts>, EcoError> {
        let mut facts = BTreeMap::new();
        for (name, package) in records::parse(records)?.packages {
            for (number, version) in package.versions {
                let release = ReleaseId::new(&name, number);
                let found = facts_of(&release, version)?;
                facts.insert(release, found);
            }
        }
        Ok(facts)
    }

    fn vouched(&self, records: &[u8], keys: &UpstreamKeys) -> Result<Vouched, EcoError> {
        signatures::vouched(records, keys)
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

    /// Packuments show every version that is recorded, carried or not.
    fn records_without(
        &self,
        records: &[u8],
        blocked: &dyn Fn(&ReleaseId) -> bool,
    ) -> Result<Vec<u8>, EcoError> {
        let mut records = records::parse(records)?;
        for (name, package) in &mut records.packages {
            package
                .versions
                .retain(|version, _| !blocked(&ReleaseId::new(name, version)));
        }
        Ok(records::write(&records))
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
        repo::client_files(base_url)
    }

    fn bootstrap(&self, view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError> {
        bootstrap::bootstrap(view)
    }

    #[cfg(feature = "connected")]
    fn runs_in(&self) -> Option<Interpreter> {
        Some(Interpreter::Node)
    }

    #[cfg(feature = "connected")]
    fn interpreters(&self, lock: &Lock) -> Vec<StagedInterpreter> {
        engines::interpreters(lock)
    }

    #[cfg(feature = "connected")]
    fn unfit(&self, lock: &Lock, records: &[u8], version: &str) -> Result<Vec<Unfit>, EcoError> {
        engines::unfit(lock, records, version)
    }

    /// The folder in a tarball, `package` or other, becomes the package's place in `node_modules`.
    #[cfg(feature = "connected")]
    fn unpacked(&self, package: &LockedPackage) -> Option<Unpacked> {
        let places = package.places.iter();
        let roots = places.filter_map(|place| place.split_once(':'));
        Some(Unpacked {
            roots: roots
                .map(|(install, at)| format!("npm/{install}/{at}"))
                .collect(),
            strip: 1,
        })
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
    fn installs(
        &self,
        tables: Vec<Table<'_>>,
        target: &Target,
    ) -> Result<Vec<Box<dyn Install>>, ManifestError> {
        let read = |table| Ok(Box::new(section::read(table, target)?) as Box<dyn Install>);
        tables.into_iter().map(read).collect()
    }
}

/// The address of a repository that is said in npm's short form, such as `github:owner/name`; others as they are.
fn repository(said: String) -> String {
    let (host, path) = match said.split_once(':') {
        Some(("github", path)) => ("github.com", path),
        Some(("gitlab", path)) => ("gitlab.com", path),
        Some(("bitbucket", path)) => ("bitbucket.org", path),
        None => ("github.com", said.as_str()),
        Some(_) => return said,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match path.split_once('/') {
        Some((owner, name))
            if !owner.is_empty()
                && !name.is_empty()
                && owner.chars().chain(name.chars()).all(plain) =>
        {
            format!("git+https://{host}/{owner}/{name}.git")
        }
        _ => said,
    }
}

fn facts_of(release: &ReleaseId, version: NpmVersion) -> Result<ReleaseFacts, EcoError> {
    let mut files = BTreeMap::new();
    if let Some(dist) = version.dist {
        let strong = dist.integrity.as_deref().map(UpstreamChecksum::from_sri);
        let weak = dist.shasum.as_deref().map(UpstreamChecksum::from_sha1_hex);
        let checksum = strong
            .or(weak)
            .transpose()
            .map_err(|bad| EcoError::Records {
                ecosystem: EcosystemId::npm(),
                reason: bad.to_string(),
            })?;
        if let Some(checksum) = checksum {
            files.insert(repo::tarball_file(None, release), checksum);
        }
    }
    Ok(ReleaseFacts {
        supplier: version.author,
        license: version.license,
        description: version.description,
        homepage: version.homepage,
        repository: version.repository.map(repository),
        published: version.time.as_deref().and_then(Timestamp::published),
        files,
    })
}

#[cfg(test)]
mod tests {
    use super::repository;

    #[test]
    fn short_forms_of_repositories_are_addresses() {
        let cases = [
            ("github:a/b", "git+https://github.com/a/b.git"),
            ("a/b.js", "git+https://github.com/a/b.js.git"),
            ("gitlab:a/b", "git+https://gitlab.com/a/b.git"),
            ("bitbucket:a/b", "git+https://bitbucket.org/a/b.git"),
        ];
        for (said, address) in cases {
            assert_eq!(repository(said.to_owned()), address);
        }
        for said in [
            "https://h.example/a/b",
            "git@h.example:a/b.git",
            "github:a",
            "a/b/c",
            "a b/c",
            "/b",
            "",
        ] {
            assert_eq!(repository(said.to_owned()), said);
        }
    }
}
