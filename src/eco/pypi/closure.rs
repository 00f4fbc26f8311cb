//! The closure check for Python packages: every requirement that counts on a platform is met by a carried package.
//! Independent of the resolver: it reads the metadata texts in the records again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pep440_rs::Version;
use pep508_rs::ExtraName;

use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::Platform;
use crate::eco::pypi::markers::Environment;
use crate::eco::pypi::metadata::Metadata;
use crate::eco::pypi::name::Name;
use crate::eco::pypi::records::{self, PypiRecords};
use crate::eco::pypi::wanted::Wanted;
use crate::eco::{EcoError, OpenEdge};
use crate::lock::{Lock, LockedPackage};

/// Edges that lead to nothing in `lock` for `platform`; releases that only the lock or only the records have.
pub(crate) fn check(
    lock: &Lock,
    records: &[u8],
    platform: Platform,
) -> Result<Vec<OpenEdge>, EcoError> {
    let records = records::parse(records)?;
    let pypi = EcosystemId::pypi();
    let packages: Vec<&LockedPackage> = lock.of(&pypi).collect();
    let known: BTreeSet<ReleaseId> = packages.iter().map(|p| p.id()).collect();
    let mut open = Vec::new();
    for (name, version, _) in records.releases() {
        let id = ReleaseId::new(name.as_str(), version);
        if !known.contains(&id) {
            open.push(edge(&id, &id.name, version, "lock"));
        }
    }
    let environment = match Environment::new(&lock.target, platform) {
        Ok(environment) => environment,
        Err(reason) => return Err(records::unreadable(&reason)),
    };
    let carried: Vec<&LockedPackage> = packages
        .into_iter()
        .filter(|p| p.platforms.contains(&platform))
        .collect();
    for package in &carried {
        open.extend(own_files(package, &records, &environment));
    }
    for (place, members) in places(&carried, platform) {
        let install = Install {
            records: &records,
            environment: &environment,
            members,
        };
        open.extend(install.check(&roots(lock, &pypi, &place))?);
    }
    open.sort();
    open.dedup();
    Ok(open)
}

/// The packages of each environment on the platform, by the place that names it.
fn places<'a>(
    carried: &[&'a LockedPackage],
    platform: Platform,
) -> BTreeMap<String, BTreeMap<Name, &'a LockedPackage>> {
    let mut out: BTreeMap<String, BTreeMap<Name, &LockedPackage>> = BTreeMap::new();
    for package in carried {
        let here = package.places.iter().filter(|place| {
            let of = place.split_once(':').map(|(_, rest)| rest);
            of.is_some_and(|rest| {
                let end = rest.strip_prefix(platform.as_str());
                end.is_some_and(|end| end.is_empty() || end.starts_with(':'))
            })
        });
        for place in here {
            if let Ok(name) = package.name.parse() {
                out.entry(place.clone()).or_default().insert(name, package);
            }
        }
    }
    out
}

/// The requirements of the lock that an environment is made for. One that something is built in has none here: what
/// builds it is not in the records.
fn roots(lock: &Lock, pypi: &EcosystemId, place: &str) -> Vec<Wanted> {
    let mut parts = place.split(':');
    let number = parts.next().and_then(|n| n.parse::<u32>().ok());
    if parts.count() > 1 {
        return Vec::new();
    }
    let of_install = lock
        .requirements
        .iter()
        .filter(|r| r.ecosystem == *pypi && Some(r.install) == number);
    // The name of a lock file is no requirement.
    of_install
        .filter_map(|r| Wanted::parse(&r.spec).ok())
        .collect()
}

/// A carried package must have a file that runs there, and the records must know it.
fn own_files(
    package: &LockedPackage,
    records: &PypiRecords,
    environment: &Environment,
) -> Option<OpenEdge> {
    let id = package.id();
    let Some(release) = records.get(&id) else {
        return Some(edge(&id, &id.name, &id.version, "records"));
    };
    let name: Name = package.name.parse().ok()?;
    let runs = package.artifacts.iter().any(|artifact| {
        let parsed = super::filename::Filename::parse(&artifact.file, &name).ok();
        let fits = parsed.is_some_and(|parsed| match parsed.wheel() {
            Some(wheel) => environment.tags.fit(wheel).is_some(),
            None => true,
        });
        fits && release.files.contains_key(&artifact.file)
    });
    (!runs).then(|| edge(&id, &id.name, &environment.shown, "runs"))
}

/// One environment.
struct Install<'a> {
    records: &'a PypiRecords,
    environment: &'a Environment,
    members: BTreeMap<Name, &'a LockedPackage>,
}

impl Install<'_> {
    /// Follows requirements and extras from the roots, and looks at every member.
    fn check(&self, roots: &[Wanted]) -> Result<Vec<OpenEdge>, EcoError> {
        let mut open = Vec::new();
        let mut queue: VecDeque<(Name, Option<ExtraName>)> = VecDeque::new();
        let manifest = ReleaseId::new("manifest", "0");
        for wanted in roots {
            let counts = wanted.marker.evaluate(&self.environment.markers, &[]);
            // A requirement may be for other platforms only; then nobody misses it here.
            if counts && self.members.contains_key(&wanted.name) {
                open.extend(self.follow(&manifest, wanted, &mut queue));
            }
        }
        queue.extend(self.members.keys().map(|name| (name.clone(), None)));
        let mut seen = BTreeSet::new();
        while let Some((name, extra)) = queue.pop_front() {
            if !seen.insert((name.clone(), extra.clone())) {
                continue;
            }
            let Some(package) = self.members.get(&name) else {
                continue;
            };
            for wanted in self.needs(package, extra.as_ref())? {
                open.extend(self.follow(&package.id(), &wanted, &mut queue));
            }
        }
        Ok(open)
    }

    /// The requirement must be met by a member; its extras are looked at too.
    fn follow(
        &self,
        from: &ReleaseId,
        wanted: &Wanted,
        queue: &mut VecDeque<(Name, Option<ExtraName>)>,
    ) -> Option<OpenEdge> {
        let met = self.members.get(&wanted.name).is_some_and(|package| {
            let version = package.version.parse::<Version>();
            version.is_ok_and(|version| wanted.range.contains(&version))
        });
        if !met || wanted.direct.is_some() {
            let range = wanted.specifiers.to_string();
            return Some(edge(from, wanted.name.as_str(), &range, "required"));
        }
        for extra in &wanted.extras {
            queue.push_back((wanted.name.clone(), Some(extra.clone())));
        }
        None
    }

    /// The requirements that count there, of a package itself or of one of its extras.
    fn needs(
        &self,
        package: &LockedPackage,
        extra: Option<&ExtraName>,
    ) -> Result<Vec<Wanted>, EcoError> {
        let Some(release) = self.records.get(&package.id()) else {
            return Ok(Vec::new());
        };
        let mut out = Vec::new();
        let extras: Vec<ExtraName> = extra.into_iter().cloned().collect();
        // Files for other platforms may need other things.
        let Ok(name) = package.name.parse::<Name>() else {
            return Ok(out);
        };
        let best = release.files.iter().filter_map(|(file, about)| {
            let parsed = super::filename::Filename::parse(file, &name).ok()?;
            let fit = match parsed.wheel() {
                Some(wheel) => self.environment.tags.fit(wheel)?,
                None => (u8::MAX, 0, 0),
            };
            Some((fit, about))
        });
        let Some((_, about)) = best.min_by_key(|(fit, _)| *fit) else {
            return Ok(out);
        };
        let Some(text) = self.records.metadata_of(about) else {
            return Ok(out);
        };
        let metadata = Metadata::parse(text).map_err(|e| records::unreadable(&e))?;
        for text in &metadata.requires_dist {
            let wanted = Wanted::parse(text).map_err(|e| records::unreadable(&e))?;
            if wanted.marker.evaluate(&self.environment.markers, &extras) {
                out.push(wanted);
            }
        }
        Ok(out)
    }
}

fn edge(from: &ReleaseId, name: &str, range: &str, kind: &'static str) -> OpenEdge {
    OpenEdge {
        from: from.clone(),
        name: name.to_owned(),
        range: range.to_owned(),
        kind,
    }
}
