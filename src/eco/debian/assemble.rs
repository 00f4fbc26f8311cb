//! From verified indexes to what a lock keeps: what is taken per platform, packages with edges, records, findings.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::fault::Code;
use crate::base::finding::{Finding, Severity};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::Platform;
use crate::base::text::{escaped, quoted};
use crate::eco::debian::control;
use crate::eco::debian::fault::{self, DebianError};
use crate::eco::debian::pool::{Candidate, Pool, Pull, Source};
use crate::eco::debian::records::{self, DebianInstall, DebianPackage, DebianRecords};
use crate::eco::debian::resolve::{Baseline, DebianRequest, Suite};
use crate::eco::debian::solve::{self, Phased, Selection, SolveRequest};
use crate::eco::debian::status::{self, Status};
use crate::eco::debian::{architecture, deb_file, security, url_path};
use crate::lock::{LockedArtifact, LockedInput, LockedPackage, Records};
use crate::upstream::Resolution;

/// Fields of an installed package that the needs of others are judged by.
const STATUS_FIELDS: [&str; 6] = [
    "Package",
    "Status",
    "Version",
    "Architecture",
    "Multi-Arch",
    "Provides",
];

/// The result of an install.
pub(crate) fn resolution(
    request: &DebianRequest,
    suites: &[Suite],
) -> Result<Resolution, DebianError> {
    let status = match &request.baseline {
        Baseline::Status { bytes, .. } => {
            Some(status::parse(bytes).map_err(|e| DebianError::Status {
                reason: e.to_string(),
            })?)
        }
        Baseline::None | Baseline::Essential => None,
    };
    let mut gathered = Gathered::default();
    for platform in &request.target.platforms {
        gathered.take(request, suites, status.as_ref(), *platform)?;
    }
    gathered.held(status.as_ref());
    gathered.absent(suites);
    let updates = security::updates(suites, &gathered.packages);
    gathered.findings.extend(updates);
    let install = DebianInstall {
        recommends: request.recommends,
        baseline: match &request.baseline {
            Baseline::None => "none",
            Baseline::Essential => "essential",
            Baseline::Status { .. } => "status",
        }
        .to_owned(),
        packages: gathered.members.clone(),
        status: status.as_ref().map(reduced).unwrap_or_default(),
    };
    let mut document = gathered.records;
    document.installs.insert(request.number, install);
    let mut inputs = signed(request, suites, &mut document);
    if let Baseline::Status { name, bytes } = &request.baseline {
        inputs.push(LockedInput {
            name: format!("status {name}"),
            digest: Digest::of(bytes),
            date: None,
            ..input(request)
        });
    }
    if request.has_age_limit {
        gathered.findings.push(Finding {
            code: &fault::NO_TIMES,
            severity: Severity::Warn,
            subject: "debian".to_owned(),
            message: "`exclude-newer` cannot be applied: archives do not say when a package was published".to_owned(),
            chain: Vec::new(),
            fix: Some("the lock pins the signed releases by digest and date; review it before it is carried".to_owned()),
        });
    }
    gathered
        .findings
        .sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    gathered.findings.dedup();
    Ok(Resolution {
        packages: gathered.packages.into_values().collect(),
        inputs,
        records: Records::from([(EcosystemId::debian(), records::write(&document))]),
        findings: gathered.findings,
    })
}

fn input(request: &DebianRequest) -> LockedInput {
    LockedInput {
        ecosystem: EcosystemId::debian(),
        install: request.number,
        name: String::new(),
        digest: Digest::of(&[]),
        date: None,
    }
}

/// The signed releases, for the lock and (with their texts) for the records. Where the same packages come out as in the
/// previous lock, its releases are kept: a new date alone changes nothing.
fn signed(
    request: &DebianRequest,
    suites: &[Suite],
    document: &mut DebianRecords,
) -> Vec<LockedInput> {
    let kept = kept(request, suites, document).unwrap_or_default();
    let mut inputs = Vec::new();
    for suite in suites {
        let Some(signed) = kept.get(&suite.label()).or(suite.signed.as_ref()) else {
            continue;
        };
        inputs.push(LockedInput {
            name: suite.label(),
            digest: Digest::of(signed.text.as_bytes()),
            date: Some(signed.date),
            ..input(request)
        });
        for fingerprint in &signed.signers {
            let before = request.previous.records.as_ref();
            let known = before
                .and_then(|b| b.certificates.get(fingerprint))
                .cloned();
            let certificate = known.or_else(|| suite.certificate(fingerprint));
            let certificate = certificate.map(|text| (fingerprint.clone(), text));
            document.certificates.extend(certificate);
        }
        document.releases.insert(suite.label(), signed.clone());
    }
    inputs
}

/// The signed releases of the previous lock, if the install and every digest of it are as they were.
fn kept(
    request: &DebianRequest,
    suites: &[Suite],
    document: &DebianRecords,
) -> Option<BTreeMap<String, records::SignedRelease>> {
    let before = request.previous.records.as_ref()?;
    let same_install =
        before.installs.get(&request.number) == document.installs.get(&request.number);
    let same_files = document.entries().all(|(id, arch, new)| {
        let was = before.get(&id).and_then(|archs| archs.get(arch));
        was.is_some_and(|was| was.sha256() == new.sha256())
    });
    let every_suite = suites
        .iter()
        .all(|s| before.releases.contains_key(&s.label()));
    let same = !request.prefer.kept().is_empty() && same_install && same_files && every_suite;
    same.then(|| before.releases.clone())
}

/// What a host has, without what nobody needs to know.
fn reduced(status: &Status) -> String {
    let mut out = String::new();
    let installed = status.packages.iter().map(|package| package.installed);
    for (stanza, installed) in control::stanzas(&status.text).zip(installed) {
        let Some(stanza) = stanza.ok().filter(|_| installed) else {
            continue;
        };
        for name in STATUS_FIELDS {
            if let Some(value) = stanza.field(name) {
                out.push_str(name);
                out.push_str(": ");
                out.push_str(value);
                out.push('\n');
            }
        }
        out.push('\n');
    }
    out
}

#[derive(Default)]
struct Gathered {
    packages: BTreeMap<ReleaseId, LockedPackage>,
    records: DebianRecords,
    members: BTreeMap<Platform, Vec<String>>,
    findings: Vec<Finding>,
}

/// Where an index of a pool comes from: suite, and path of the index in it.
type Origin<'a> = (&'a Suite, String);

impl Gathered {
    fn take(
        &mut self,
        request: &DebianRequest,
        suites: &[Suite],
        status: Option<&Status>,
        platform: Platform,
    ) -> Result<(), DebianError> {
        let wishes = request.wishes.iter();
        let wishes = wishes.filter(|(_, on)| on.is_empty() || on.contains(&platform));
        let wanted = SolveRequest {
            wishes: wishes.map(|(wish, _)| wish.clone()).collect(),
            recommends: request.recommends,
            essential: request.baseline == Baseline::Essential,
            phased: Phased::Wait,
        };
        let preferred = Preferred::of(request, suites, platform);
        let (pool, origins) = pool(suites, status, platform, preferred.as_ref())?;
        let (pool, origins, selection) = match (solve::solve(&pool, &wanted), preferred) {
            (Ok(selection), _) => (pool, origins, selection),
            // What was locked does not hold together with what is wanted now.
            (Err(_), Some(_)) => {
                let (pool, origins) = self::pool(suites, status, platform, None)?;
                let selection = solve::solve(&pool, &wanted)?;
                (pool, origins, selection)
            }
            (Err(error), None) => return Err(error.into()),
        };
        self.add(&pool, &origins, &selection, platform)?;
        self.notice(&selection);
        Ok(())
    }

    fn add(
        &mut self,
        pool: &Pool,
        origins: &[Origin<'_>],
        selection: &Selection,
        platform: Platform,
    ) -> Result<(), DebianError> {
        let mut ids = Vec::new();
        for chosen in &selection.chosen {
            let candidate = pool.candidate(chosen.candidate);
            ids.push(candidate.ok_or_else(|| DebianError::internal("a candidate is missing"))?);
        }
        for (chosen, candidate) in selection.chosen.iter().zip(&ids) {
            let id = release_of(candidate);
            let edges = chosen.dependencies.iter().filter_map(|at| ids.get(*at));
            let edges: Vec<ReleaseId> = edges.map(release_of).filter(|to| *to != id).collect();
            let origin = candidate.source().and_then(|s| origins.get(s.0 as usize));
            let (suite, index) = origin.ok_or_else(|| no_source(candidate))?;
            let artifact = artifact(candidate, suite)?;
            self.records.put(
                &id,
                candidate.arch(),
                DebianPackage {
                    stanza: candidate.stanza().to_owned(),
                    release: suite.label(),
                    index: index.clone(),
                },
            );
            let package = self
                .packages
                .entry(id.clone())
                .or_insert_with(|| empty(&id));
            package.platforms.push(platform);
            package.dependencies.extend(edges);
            package.artifacts.push(artifact);
            package.dependencies.sort();
            package.dependencies.dedup();
            package.artifacts.sort();
            package.artifacts.dedup();
            let members = self.members.entry(platform).or_default();
            members.push(format!("{}={}", id.name, id.version));
        }
        self.members.entry(platform).or_default().sort();
        Ok(())
    }

    /// Names every held package of the baseline of which no newer version was left aside.
    fn held(&mut self, status: Option<&Status>) {
        for package in status.iter().flat_map(|status| &status.packages) {
            let title = format!("{}={}", package.name, package.version);
            let note = finding(
                &fault::HELD,
                Severity::Note,
                &title,
                "is held in the baseline and stays as it is".to_owned(),
            );
            let mut known = self.findings.iter();
            let is_new = !known.any(|f| f.code == note.code && f.subject == note.subject);
            if package.held && package.installed && is_new {
                self.findings.push(note);
            }
        }
    }

    /// Names the indexes that were wanted and that an archive does not have. apt goes on without them, too.
    fn absent(&mut self, suites: &[Suite]) {
        for suite in suites {
            for (component, arch, known) in &suite.absent {
                let (severity, message) = match known {
                    true => (
                        Severity::Warn,
                        format!("has no component {} for {arch}", quoted(component)),
                    ),
                    false => (
                        Severity::Note,
                        format!(
                            "has no packages for {arch}, so {} is not read for it",
                            quoted(component)
                        ),
                    ),
                };
                let found = finding(&fault::NO_INDEX, severity, &suite.label(), message);
                self.findings.push(Finding {
                    subject: suite.label(),
                    fix: Some(
                        "correct `components`, or leave this source out for the platform"
                            .to_owned(),
                    ),
                    ..found
                });
            }
        }
    }

    fn notice(&mut self, selection: &Selection) {
        for held in &selection.held {
            let message = "is held in the baseline, and an archive has a newer version".to_owned();
            self.findings
                .push(finding(&fault::HELD, Severity::Warn, held, message));
        }
        for unmet in &selection.unmet_recommends {
            let (name, relation) = unmet.split_once(':').unwrap_or((unmet, ""));
            let message = format!(
                "recommends {}, which no archive has",
                quoted(relation.trim())
            );
            self.findings.push(finding(
                &fault::UNMET_RECOMMENDS,
                Severity::Note,
                name,
                message,
            ));
        }
    }
}

fn finding(code: &'static Code, severity: Severity, subject: &str, message: String) -> Finding {
    Finding {
        code,
        severity,
        subject: format!("debian {}", escaped(subject)),
        message,
        chain: Vec::new(),
        fix: None,
    }
}

fn empty(id: &ReleaseId) -> LockedPackage {
    LockedPackage {
        ecosystem: EcosystemId::debian(),
        name: id.name.clone(),
        version: id.version.clone(),
        platforms: Vec::new(),
        license: None,
        deprecated: None,
        install_script: false,
        bundled_in: Vec::new(),
        places: Vec::new(),
        dependencies: Vec::new(),
        artifacts: Vec::new(),
    }
}

fn release_of(candidate: &Candidate<'_>) -> ReleaseId {
    ReleaseId::new(candidate.name(), candidate.version())
}

fn shown(candidate: &Candidate<'_>) -> String {
    quoted(&release_of(candidate).to_string())
}

fn no_source(candidate: &Candidate<'_>) -> DebianError {
    DebianError::internal(format!("{} comes from no index", shown(candidate)))
}

fn artifact(candidate: &Candidate<'_>, suite: &Suite) -> Result<LockedArtifact, DebianError> {
    let fail = |reason: &str| DebianError::Stanza {
        package: shown(candidate),
        reason: reason.to_owned(),
    };
    let sha256 = candidate.sha256().ok_or_else(|| DebianError::NoSha256 {
        package: shown(candidate),
    })?;
    let arch = candidate.arch();
    if !records::is_arch(arch) {
        return Err(fail("it has no architecture"));
    }
    let path = candidate.filename().and_then(url_path);
    Ok(LockedArtifact {
        file: deb_file(candidate.name(), candidate.version(), arch),
        checksum: UpstreamChecksum::Sha256(sha256),
        upstream: suite.upstream.clone(),
        path: path.ok_or_else(|| fail("its Filename is no path below the archive"))?,
        size: Some(candidate.size().ok_or_else(|| fail("it has no Size"))?),
        evidence: None,
        gap: None,
    })
}

/// Everything the suites offer to a platform, and where each index of it comes from.
fn pool<'a>(
    suites: &'a [Suite],
    status: Option<&Status>,
    platform: Platform,
    preferred: Option<&Preferred>,
) -> Result<(Pool, Vec<Origin<'a>>), DebianError> {
    let arch = architecture(platform);
    let mut pool = Pool::new(arch);
    let mut origins = Vec::new();
    for suite in suites {
        let pull = suite.release.as_ref().map_or(Pull::Automatic, |release| {
            match (release.not_automatic, release.automatic_upgrades) {
                (false, _) => Pull::Automatic,
                (true, true) => Pull::Upgrades,
                (true, false) => Pull::NotAutomatic,
            }
        });
        for (path, text) in suite.texts(arch) {
            let text = preferred.map_or_else(|| text.to_vec(), |p| p.filter(text));
            let name = format!("{} {path}", suite.label());
            pool.add_index(Source { name, pull }, text)?;
            origins.push((suite, path.to_owned()));
        }
    }
    if let Some(status) = status {
        pool.add_status(status)?;
    }
    Ok((pool, origins))
}

/// The most preferred of the versions that the indexes have, by name.
struct Preferred(BTreeMap<String, BTreeSet<String>>);

impl Preferred {
    fn of(request: &DebianRequest, suites: &[Suite], platform: Platform) -> Option<Self> {
        if request.prefer.is_empty() {
            return None;
        }
        let exact = |name: &str| {
            let of_name =
                |(wish, _): &&(solve::Wish, _)| wish.name == name && wish.version.is_some();
            request.wishes.iter().any(|wish| of_name(&wish))
        };
        let mut present: BTreeMap<String, (u8, BTreeSet<String>)> = BTreeMap::new();
        for suite in suites {
            for (_, text) in suite.texts(architecture(platform)) {
                for stanza in control::stanzas(control::text(text).unwrap_or_default()).flatten() {
                    let name = stanza.field("Package").unwrap_or_default();
                    let version = stanza.field("Version").unwrap_or_default();
                    let rank = request.prefer.rank(name, version);
                    if rank == 0 || exact(name) {
                        continue;
                    }
                    let (known, versions) = present.entry(name.to_owned()).or_default();
                    if rank > *known {
                        (*known, *versions) = (rank, BTreeSet::new());
                    }
                    if rank == *known {
                        versions.insert(version.to_owned());
                    }
                }
            }
        }
        let present: BTreeMap<_, _> = present
            .into_iter()
            .map(|(name, (_, versions))| (name, versions))
            .collect();
        (!present.is_empty()).then_some(Self(present))
    }

    /// An index without the other versions of those packages.
    fn filter(&self, index: &[u8]) -> Vec<u8> {
        let Ok(text) = control::text(index) else {
            return index.to_vec();
        };
        let mut out = Vec::with_capacity(index.len());
        for stanza in control::stanzas(text) {
            let Ok(stanza) = stanza else {
                return index.to_vec();
            };
            let name = stanza.field("Package").unwrap_or_default();
            let version = stanza.field("Version").unwrap_or_default();
            if self.0.get(name).is_none_or(|known| known.contains(version)) {
                out.extend_from_slice(stanza.text().as_bytes());
                out.extend_from_slice(b"\n\n");
            }
        }
        out
    }
}
