//! Under which names databases of advisories have the releases of an ecosystem (OSV schema, "affected[].package").

use crate::base::package::ReleaseId;
use crate::lock::LockedPackage;

/// What advisories call a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OsvName {
    /// The release of the lock.
    pub release: ReleaseId,
    /// Ecosystems of the OSV schema in which it may stand, such as `npm`, or `Debian:12` and `Debian`.
    pub ecosystems: Vec<String>,
    /// Its name there.
    pub name: String,
    /// Its version there.
    pub version: String,
}

/// Releases that stand in one ecosystem of the OSV schema under the names and versions that they have.
pub(crate) fn as_they_are(ecosystem: &str, packages: &[&LockedPackage]) -> Vec<OsvName> {
    let name = |package: &&LockedPackage| OsvName {
        release: package.id(),
        ecosystems: vec![ecosystem.to_owned()],
        name: package.name.clone(),
        version: package.version.clone(),
    };
    packages.iter().map(name).collect()
}
