//! The bill of materials of a bundle: written from a lock, its records and the digests of the store (connected
//! build, [`cyclonedx`]), read back as a plain list of components (both builds, [`read`]) or as what other forms of
//! it are made of ([`document`]): SPDX ([`spdx`]) and a table ([`table`]). [`diff`] compares two, [`attest`]
//! says what is signed of one.
//!
//! A component is a release that crosses the gap: one that is carried, or one that lies inside the archive of a
//! carried release. The latter has no file and no digest of its own and says so.

pub mod attest;
#[cfg(feature = "connected")]
pub mod cyclonedx;
pub mod diff;
pub mod document;
#[cfg(feature = "connected")]
mod lift;
pub mod read;
pub mod spdx;
pub mod table;

use std::collections::{BTreeMap, BTreeSet};

use crate::base::fault::{Class, Code, Fault, Kind};
use crate::base::package::{EcosystemId, Purl, ReleaseId};
use crate::base::platform::Platform;
use crate::eco;
use crate::lock::{Lock, LockedPackage};

/// Codes of this module.
pub const CODES: &[&Code] = &[&BUNDLE_SBOM, &INTERNAL_SBOM];

static BUNDLE_SBOM: Code = Code::classed("bundle-sbom", Class::E20);
static INTERNAL_SBOM: Code = Code::new("internal-sbom", Kind::Internal);

/// Name of the property that names the release whose archive holds a component.
pub const BUNDLED_IN: &str = "stage:bundled-in";

/// Name of the property that names a file: `NAME sha256:HEX SIZE`.
pub const FILE: &str = "stage:file";

/// How an unknown value is declared.
pub const UNKNOWN: &str = "NOASSERTION";

/// Whether `text` is an SPDX expression (deprecated identifiers such as `GPL-2.0` are still ones).
pub fn is_expression(text: &str) -> bool {
    let mode = ::spdx::ParseMode {
        allow_deprecated: true,
        ..::spdx::ParseMode::STRICT
    };
    ::spdx::Expression::parse_mode(text, mode).is_ok()
}

/// Why an SBOM could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SbomError {
    /// The document is not a CycloneDX SBOM as `stage` writes it.
    #[error("the SBOM cannot be read: {reason}")]
    Format {
        /// What is wrong, escaped.
        reason: String,
    },
    /// A component cannot be used for a comparison.
    #[error("SBOM component {component} {reason}")]
    Component {
        /// Its purl or name, quoted and escaped.
        component: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A carried file whose digest the caller did not give.
    #[error("no digest was given for file {file} of {release}")]
    MissingDigest {
        /// `ecosystem name@version`, quoted and escaped.
        release: String,
        /// The file, quoted and escaped.
        file: String,
    },
    /// The writer made no JSON.
    #[error("the SBOM cannot be written: {reason}")]
    Write {
        /// What the writer said, escaped.
        reason: String,
    },
}

impl Fault for SbomError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Format { .. } | Self::Component { .. } => &BUNDLE_SBOM,
            Self::MissingDigest { .. } | Self::Write { .. } => &INTERNAL_SBOM,
        }
    }
}

/// A release of the lock that crosses the gap. Several entries of the lock for the same release are one member.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    /// The entry of the lock; the first one, where several installs have it.
    pub package: &'a LockedPackage,
    /// Platforms of all entries.
    pub platforms: BTreeSet<Platform>,
    /// Edges of all entries.
    pub dependencies: BTreeSet<&'a ReleaseId>,
    /// Carried releases whose archive holds a copy.
    pub bundled_in: BTreeSet<&'a ReleaseId>,
}

impl Member<'_> {
    /// Its package URL with what the lock tells besides, for others to recognise it by; `base` is the one without.
    pub fn purl(&self, lock: &Lock, base: &Purl) -> Purl {
        let code = eco::by_id(&self.package.ecosystem);
        let qualifiers = code.map(|code| code.purl_qualifiers(lock, self.package));
        base.qualified(&qualifiers.unwrap_or_default())
    }

    /// Whether it only exists inside another release's archive.
    pub fn is_bundled_only(&self) -> bool {
        self.package.artifacts.is_empty() && !self.bundled_in.is_empty()
    }
}

/// The text of a release's license file, for those whose license has no identifier.
pub type LicenseTexts = BTreeMap<(EcosystemId, ReleaseId), String>;

/// What crosses the gap: ecosystem, then release.
pub type Members<'a> = BTreeMap<(&'a EcosystemId, ReleaseId), Member<'a>>;

/// The releases of `lock` that cross the gap, for one platform or for any: what the SBOM, the list of purls and the
/// content check agree on.
pub fn members(lock: &Lock, platform: Option<Platform>) -> Members<'_> {
    let wanted = |p: &LockedPackage| match platform {
        Some(platform) => p.platforms.contains(&platform),
        None => p.is_carried(),
    };
    let carried: BTreeSet<(&EcosystemId, ReleaseId)> = lock
        .packages
        .iter()
        .filter(|p| wanted(p))
        .map(|p| (&p.ecosystem, p.id()))
        .collect();
    let mut out = Members::new();
    for package in &lock.packages {
        let bundled_in: BTreeSet<&ReleaseId> = package
            .bundled_in
            .iter()
            .filter(|holder| carried.contains(&(&package.ecosystem, (*holder).clone())))
            .collect();
        let inside = package.platforms.is_empty() && !bundled_in.is_empty();
        if !wanted(package) && !inside {
            continue;
        }
        let member = out
            .entry((&package.ecosystem, package.id()))
            .or_insert_with(|| Member {
                package,
                platforms: BTreeSet::new(),
                dependencies: BTreeSet::new(),
                bundled_in: BTreeSet::new(),
            });
        if member.package.artifacts.is_empty() {
            member.package = package;
        }
        member.platforms.extend(&package.platforms);
        member.dependencies.extend(&package.dependencies);
        member.bundled_in.extend(bundled_in);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::members;
    use crate::base::platform::Platform;
    use crate::lock::diff::tests::{lock, package};

    #[test]
    fn members_are_carried_or_inside_what_is_carried() {
        let mut inside = package("inside", "1.0.0", &[]);
        inside.platforms = Vec::new();
        inside.artifacts = Vec::new();
        inside.bundled_in = vec!["a@1.0.0".parse().unwrap()];
        let mut arm = package("arm", "1.0.0", &[]);
        arm.platforms = vec![Platform::LinuxArm64];
        let mut nowhere = package("nowhere", "1.0.0", &[]);
        nowhere.platforms = Vec::new();
        let mut orphan = inside.clone();
        orphan.name = "orphan".to_owned();
        orphan.bundled_in = vec!["nowhere@1.0.0".parse().unwrap()];
        let lock = lock(
            &["a"],
            vec![package("a", "1.0.0", &[]), inside, arm, nowhere, orphan],
        );
        let names = |platform| -> Vec<String> {
            let members = members(&lock, platform);
            members.keys().map(|(_, id)| id.name.clone()).collect()
        };
        assert_eq!(names(None), ["a", "arm", "inside"]);
        assert_eq!(names(Some(Platform::LinuxArm64)), ["arm"]);
    }
}
