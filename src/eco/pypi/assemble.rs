//! From solved environments to what a lock keeps: packages of all platforms merged, with edges, records, findings.

use std::collections::{BTreeMap, BTreeSet};

use pep440_rs::Version;

use crate::base::digest::UpstreamChecksum;
use crate::base::finding::{Finding, Severity};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::Platform;
use crate::base::text::{escaped, quoted};
use crate::eco::pypi::fault::{self, PypiError};
use crate::eco::pypi::filename::Filename;
use crate::eco::pypi::listing::Offer;
use crate::eco::pypi::name::Name;
use crate::eco::pypi::records::{self, PypiFile, PypiRecords};
use crate::eco::pypi::resolve::Results;
use crate::eco::pypi::shelf::FileFacts;
use crate::eco::pypi::simple::PageFile;
use crate::eco::pypi::solve::Chosen;
use crate::eco::pypi::solve::explain::Explanation;
use crate::eco::pypi::track::{End, Track, Way};
use crate::eco::pypi::{UPSTREAM, file_path, wanted, wanted::Wanted};
use crate::lock::{LockedArtifact, LockedInput, LockedPackage, Records};
use crate::upstream::Resolution;

/// What to do about what no index has.
const PUBLISH: &str =
    "publish it in an index that the manifest names, and ask for a version of it there";

/// The result of an install.
pub(crate) fn resolution(results: &Results) -> Result<Resolution, PypiError> {
    let mut all = Assembly::default();
    for (platform, wanted) in &results.direct {
        let chain = vec!["manifest".to_owned()];
        all.findings.push(direct(*platform, wanted, chain));
    }
    for found in &results.request.direct {
        all.findings.push(Finding {
            code: &fault::DIRECT,
            severity: Severity::Deny,
            subject: format!("pypi {}", found.name),
            message: format!("is {}, and no release of an index", found.what),
            chain: vec![found.file.clone()],
            fix: Some(PUBLISH.to_owned()),
        });
    }
    for track in &results.tracks {
        match &track.end {
            Some(End::Chosen(chosen)) => all.add_track(results, track, chosen)?,
            Some(End::Failed(why)) => all.findings.extend(failed(results, track, why)?),
            Some(End::Endless) | None => {
                let environment = track.problem().environment.shown.clone();
                let because = vec!["the solver gave up after very many attempts".to_owned()];
                return Err(PypiError::NoSolution {
                    environment,
                    because,
                });
            }
        }
    }
    all.findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    all.findings.dedup();
    let document = records::write(&all.records);
    let input = |(name, digest): &(String, _)| LockedInput {
        ecosystem: EcosystemId::pypi(),
        install: results.request.number,
        name: name.clone(),
        digest: *digest,
        date: None,
    };
    Ok(Resolution {
        packages: all.packages.into_values().collect(),
        inputs: results.request.inputs.iter().map(input).collect(),
        records: Records::from([(EcosystemId::pypi(), document)]),
        findings: all.findings,
    })
}

impl Results {
    /// Source distributions that were chosen, with what they are built with.
    pub(crate) fn sources(&self) -> Vec<(Platform, Name, Vec<String>)> {
        let mut out = Vec::new();
        for track in &self.tracks {
            let Some(End::Chosen(chosen)) = &track.end else {
                continue;
            };
            for (name, found) in chosen {
                let file = self.found(track, name, &found.version);
                if let Some((_, file, facts)) = file
                    && matches!(file.parsed, Filename::Sdist(_))
                {
                    out.push((track.platform(), name.clone(), facts.build.clone()));
                }
            }
        }
        out
    }

    /// The file of a chosen version, and what it says.
    fn found<'a>(
        &'a self,
        track: &'a Track,
        name: &Name,
        version: &Version,
    ) -> Option<(&'a Offer, &'a PageFile, &'a FileFacts)> {
        let offer = track.listings.get(name)?.get(version)?;
        let file = self.known.file(name, offer)?;
        Some((offer, file, self.known.facts(name, offer)?))
    }
}

/// What is gathered of all environments.
#[derive(Default)]
struct Assembly {
    packages: BTreeMap<ReleaseId, LockedPackage>,
    records: PypiRecords,
    findings: Vec<Finding>,
}

impl Assembly {
    fn add_track(
        &mut self,
        results: &Results,
        track: &Track,
        chosen: &BTreeMap<Name, Chosen>,
    ) -> Result<(), PypiError> {
        let edges = edges(results, track, chosen);
        let chains = chains(track, chosen, &edges);
        for (name, one) in chosen {
            let alone = || vec![escaped(&format!("{name}@{}", one.version))];
            let chain = chains.get(name).cloned().unwrap_or_else(alone);
            let Some((_, file, facts)) = results.found(track, name, &one.version) else {
                self.findings
                    .push(not_there(results, track, name, one, chain));
                continue;
            };
            self.judge(track, file, facts, &chain);
            for (to, _) in facts.needs.all_holding(name, &one.extras, track.problem()) {
                if to.direct.is_some() {
                    self.findings
                        .push(direct(track.platform(), to, chain.clone()));
                }
            }
            let id = release(name, &one.version);
            let to = edges.get(name).cloned().unwrap_or_default();
            let to = to
                .iter()
                .filter_map(|to| Some(release(to, &chosen.get(to)?.version)));
            let number = results.request.number;
            self.add(&id, name, file, facts, track, number, to.collect())?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one package is made of so much")]
    fn add(
        &mut self,
        id: &ReleaseId,
        name: &Name,
        file: &PageFile,
        facts: &FileFacts,
        track: &Track,
        number: u32,
        to: Vec<ReleaseId>,
    ) -> Result<(), PypiError> {
        let sha256 = file.sha256.ok_or_else(|| PypiError::Internal {
            reason: "a file without SHA-256 was chosen".to_owned(),
        })?;
        let place = match &track.builds {
            None => format!("{number}:{}", track.platform()),
            Some(name) => format!("{number}:{}:build:{name}", track.platform()),
        };
        let package = self
            .packages
            .entry(id.clone())
            .or_insert_with(|| LockedPackage {
                ecosystem: EcosystemId::pypi(),
                name: id.name.clone(),
                version: id.version.clone(),
                platforms: Vec::new(),
                license: facts.metadata.declared_license(),
                deprecated: None,
                install_script: false,
                bundled_in: Vec::new(),
                places: Vec::new(),
                dependencies: Vec::new(),
                artifacts: Vec::new(),
            });
        package.platforms.push(track.platform());
        package.places.push(place);
        package.dependencies.extend(to);
        package.install_script |= matches!(file.parsed, Filename::Sdist(_));
        let artifact = LockedArtifact {
            file: file.name.clone(),
            checksum: UpstreamChecksum::Sha256(sha256),
            upstream: UPSTREAM.to_owned(),
            path: file_path(name, &file.name),
            size: file.size,
            evidence: None,
            gap: None,
        };
        if !package.artifacts.contains(&artifact) {
            package.artifacts.push(artifact);
        }
        let mut record = PypiFile::new(sha256);
        record.size = file.size;
        record.requires_python.clone_from(&file.requires_python);
        record.yanked.clone_from(&file.yanked);
        record.upload_time.clone_from(&file.upload_time);
        record.metadata = Some(self.records.keep_metadata(&facts.text));
        record.unattested = Some(file.unattested);
        let versions = self.records.projects.entry(name.clone()).or_default();
        let release = versions.entry(id.version.clone()).or_default();
        release.files.insert(file.name.clone(), record);
        Ok(())
    }

    /// What is to be said of a chosen file.
    fn judge(&mut self, track: &Track, file: &PageFile, facts: &FileFacts, chain: &[String]) {
        let environment = &track.problem().environment;
        let mut find = |code, message: String, fix: &str| {
            self.findings.push(Finding {
                code,
                severity: Severity::Warn,
                subject: format!("pypi {}@{}", facts.metadata.name, file.version),
                message,
                chain: chain.to_vec(),
                fix: Some(fix.to_owned()),
            });
        };
        if let Some(reason) = &file.yanked {
            let why = if reason.is_empty() {
                "was yanked by its publisher".to_owned()
            } else {
                format!("was yanked by its publisher: {}", quoted(reason))
            };
            find(&fault::YANKED, why, "ask for another version");
        }
        let requires = file.requires_python.as_deref().and_then(wanted::specifiers);
        if let Some(requires) = requires.filter(|r| !r.contains(&environment.python)) {
            let message = format!(
                "is published for Python {}: uv installs it for {}, pip refuses to",
                escaped(&requires.to_string()),
                environment.python
            );
            let fix = "set [target] python to one that it is for, or ask for another version";
            find(&fault::OTHER_PYTHON, message, fix);
        }
        if matches!(file.parsed, Filename::Sdist(_)) {
            let message = format!(
                "has no wheel for {}: it is built in the enclave, which runs its code there",
                environment.shown
            );
            let fix = "build a wheel of it for the target yourself, or look for a version with one";
            find(&fault::SDIST, message, fix);
        }
    }
}

/// Which projects each chosen one needs.
fn edges(
    results: &Results,
    track: &Track,
    chosen: &BTreeMap<Name, Chosen>,
) -> BTreeMap<Name, BTreeSet<Name>> {
    let mut edges = BTreeMap::new();
    for (name, one) in chosen {
        let Some((_, _, facts)) = results.found(track, name, &one.version) else {
            continue;
        };
        let holding = facts.needs.all_holding(name, &one.extras, track.problem());
        let to = holding.into_iter().map(|(wanted, _)| wanted.name.clone());
        let to: BTreeSet<Name> = to
            .filter(|to| to != name && chosen.contains_key(to))
            .collect();
        edges.insert(name.clone(), to);
    }
    edges
}

/// How each project came in: the shortest way from a requirement.
fn chains(
    track: &Track,
    chosen: &BTreeMap<Name, Chosen>,
    edges: &BTreeMap<Name, BTreeSet<Name>>,
) -> BTreeMap<Name, Vec<String>> {
    let mut chains: BTreeMap<Name, Vec<String>> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::new();
    let shown = |name: &Name| {
        let version = chosen.get(name).map(|c| c.version.to_string());
        escaped(&format!("{name}@{}", version.unwrap_or_default()))
    };
    for wanted in &track.problem().wanted {
        if chosen.contains_key(&wanted.name) && !chains.contains_key(&wanted.name) {
            let mut chain: Vec<String> = track
                .builds
                .iter()
                .map(|name| format!("build of {name}"))
                .collect();
            chain.extend([escaped(&wanted.text), shown(&wanted.name)]);
            chains.insert(wanted.name.clone(), chain);
            queue.push_back(wanted.name.clone());
        }
    }
    while let Some(name) = queue.pop_front() {
        let chain = chains.get(&name).cloned().unwrap_or_default();
        for to in edges.get(&name).into_iter().flatten() {
            if !chains.contains_key(to) {
                let mut longer = chain.clone();
                longer.push(shown(to));
                chains.insert(to.clone(), longer);
                queue.push_back(to.clone());
            }
        }
    }
    chains
}

fn release(name: &Name, version: &Version) -> ReleaseId {
    ReleaseId::new(name.as_str(), version.to_string())
}

fn direct(platform: Platform, wanted: &Wanted, chain: Vec<String>) -> Finding {
    Finding {
        code: &fault::DIRECT,
        severity: Severity::Deny,
        subject: format!("pypi {}", wanted.name),
        message: format!(
            "is asked for by its address, {}, and not by versions, on {platform}",
            quoted(&wanted.text)
        ),
        chain,
        fix: Some(PUBLISH.to_owned()),
    }
}

/// A locked version that the index does not have as it was locked, or of which nothing runs there.
fn not_there(
    results: &Results,
    track: &Track,
    name: &Name,
    one: &Chosen,
    chain: Vec<String>,
) -> Finding {
    let offer = track.listings.get(name).and_then(|l| l.get(&one.version));
    let unusable = || "has metadata that cannot be used".to_owned();
    let (code, message) = match offer.map(|offer| &offer.file) {
        Some(Err(refusal)) => {
            let is_wheel = matches!(refusal, crate::eco::pypi::listing::Refusal::NoWheel);
            let code = if is_wheel {
                &fault::NO_WHEEL
            } else {
                &fault::UNLOCKED
            };
            let shown = &track.problem().environment.shown;
            (code, format!("{refusal} ({shown})"))
        }
        Some(Ok(_)) => (&fault::UNLOCKED, unusable()),
        None if results.request.exclude_newer.is_some() => {
            let message = "is not in the index, or is newer than `exclude-newer` allows";
            (&fault::UNLOCKED, message.to_owned())
        }
        None => (&fault::UNLOCKED, "is not in the index".to_owned()),
    };
    Finding {
        code,
        severity: Severity::Deny,
        subject: format!("pypi {name}@{}", one.version),
        message,
        chain,
        fix: Some("lock again with the tool that made the lock file".to_owned()),
    }
}

/// Findings when nothing but a missing wheel is in the way; else the error.
fn failed(results: &Results, track: &Track, why: &Explanation) -> Result<Vec<Finding>, PypiError> {
    let problem = track.problem();
    let absent = |wanted: &&Wanted| results.known.absent.contains(&wanted.name);
    if let Some(wanted) = problem.wanted.iter().find(absent) {
        return Err(PypiError::NotFound {
            name: wanted.name.to_string(),
            needed_by: match &track.builds {
                None => "the manifest".to_owned(),
                Some(name) => format!("the build of {name}"),
            },
        });
    }
    let environment = problem.environment.shown.clone();
    if why.without_wheel.is_empty() || matches!(track.way, Way::Locked(..)) {
        return Err(PypiError::NoSolution {
            environment,
            because: why.lines.clone(),
        });
    }
    let finding = |name: &Name| Finding {
        code: &fault::NO_WHEEL,
        severity: Severity::Deny,
        subject: format!("pypi {name}"),
        message: format!(
            "no version that the requirements allow has a wheel for {environment} ({})",
            why.lines.join("; ")
        ),
        chain: vec![name.to_string()],
        fix: Some(format!(
            "ask for a version that has one, or let it be built in the enclave with `sdist = [\"{name}\"]` in [pypi]"
        )),
    };
    Ok(why.without_wheel.iter().map(finding).collect())
}
