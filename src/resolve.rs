//! From requirements to a closure: drives the ecosystems' resolvers with one upstream, merges their installs and
//! platforms into one lock, and checks the closure with code that knows nothing of the resolvers.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::digest::Digest;
use crate::base::fault::{Class, Code, Fault, Kind};
use crate::base::finding::{Finding, Severity};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::{Platform, Target};
use crate::base::progress::{Progress, Unit};
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::eco::attestation::Expectation;
use crate::eco::install::{Given, Inputs, Install, Previous};
use crate::eco::preference::Preference;
use crate::eco::vouched::UpstreamKeys;
use crate::eco::{self, EcoError, interpreter};
use crate::evidence;
use crate::lock::chain::Chains;
use crate::lock::{Lock, LockedFinding, LockedInput, LockedPackage, LockedRequirement, Records};
use crate::upstream::{Resolver, Upstream};

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &OPEN_EDGE,
    &BUNDLED_EDGE,
    &REPUBLISHED,
    &LOCK_RECORDS,
    &NO_ECOSYSTEM,
];

static OPEN_EDGE: Code = Code::new("lock-open-edge", Kind::Denied);
static BUNDLED_EDGE: Code = Code::new("lock-bundled-edge", Kind::Denied);
static REPUBLISHED: Code = Code::classed("upstream-republished", Class::E51);
static LOCK_RECORDS: Code = Code::new("lock-records", Kind::Usage);
static NO_ECOSYSTEM: Code = Code::new("lock-unknown-ecosystem", Kind::Usage);

/// Why there is no closure.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// An ecosystem could not resolve.
    #[error("{0}")]
    Ecosystem(Box<dyn Fault>),
    /// A lock names an ecosystem that this version does not know.
    #[error("ecosystem {found} is not known to this version of stage")]
    UnknownEcosystem {
        /// The id.
        found: EcosystemId,
    },
    /// The records beside a lock are missing or are not the ones the lock was written with.
    #[error("records of {ecosystem} are not the ones the lock was written with")]
    Records {
        /// The ecosystem.
        ecosystem: EcosystemId,
        /// Digest in the lock.
        expected: Option<Digest>,
        /// Digest of the document.
        found: Option<Digest>,
    },
    /// A release has other bytes than the lock says.
    #[error("{ecosystem} {release} has other bytes than in the lock: republished")]
    Republished {
        /// The ecosystem.
        ecosystem: EcosystemId,
        /// The release.
        release: ReleaseId,
        /// Checksum in the lock.
        expected: String,
        /// Checksum the upstream states now.
        found: String,
    },
}

impl From<EcoError> for ResolveError {
    fn from(error: EcoError) -> Self {
        Self::Ecosystem(Box::new(error))
    }
}

impl ResolveError {
    /// The innermost error, so that its chain of causes is reported.
    pub fn into_fault(self) -> Box<dyn Fault> {
        match self {
            Self::Ecosystem(inner) => inner,
            other => Box::new(other),
        }
    }
}

impl Fault for ResolveError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Ecosystem(inner) => inner.code(),
            Self::UnknownEcosystem { .. } => &NO_ECOSYSTEM,
            Self::Records { .. } => &LOCK_RECORDS,
            Self::Republished { .. } => &REPUBLISHED,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let shown = |d: &Option<Digest>| d.map_or_else(|| "none".to_owned(), |d| d.to_string());
        match self {
            Self::Ecosystem(inner) => inner.facts(),
            Self::Records {
                expected, found, ..
            } => vec![("expected", shown(expected)), ("found", shown(found))],
            Self::Republished {
                expected, found, ..
            } => {
                vec![("expected", expected.clone()), ("found", found.clone())]
            }
            Self::UnknownEcosystem { .. } => Vec::new(),
        }
    }
}

/// What is to be resolved.
#[derive(Debug)]
pub struct Input<'a> {
    /// The enclave host.
    pub target: Target,
    /// Releases published later do not exist.
    pub exclude_newer: Option<Timestamp>,
    /// What is to be installed.
    pub installs: Vec<PlannedInstall<'a>>,
    /// Keys that upstreams sign with.
    pub keys: UpstreamKeys,
    /// The time now, for what expires.
    pub now: Timestamp,
}

/// One install with everything it needs.
#[derive(Debug)]
pub struct PlannedInstall<'a> {
    /// Its ecosystem.
    pub ecosystem: EcosystemId,
    /// Its number within the ecosystem, from 1.
    pub number: u32,
    /// What the manifest says.
    pub install: &'a dyn Install,
    /// The files it names.
    pub inputs: Inputs,
    /// Its requirements as the lock names them.
    pub requirements: Vec<String>,
    /// Versions to take before others.
    pub prefer: Preference,
}

/// A closure with its records and everything that was noticed.
#[derive(Debug)]
pub struct Closure {
    /// The lock; its findings are those that do not deny.
    pub lock: Lock,
    /// The records the lock has digests of.
    pub records: Records,
    /// All findings, weightiest first.
    pub findings: Vec<Finding>,
}

/// Resolves every install. `previous` is the lock being resolved again: entries that did not change keep their records.
pub fn run(
    input: &Input<'_>,
    previous: Option<(&Lock, &Records)>,
    upstream: &mut dyn Upstream,
    progress: &dyn Progress,
) -> Result<Closure, ResolveError> {
    let found = gather(input, previous, upstream, progress)?;
    let mut findings = found.findings;
    let mut records = Records::new();
    for (ecosystem, documents) in found.records {
        let kept = previous
            .and_then(|(_, records)| records.get(&ecosystem))
            .map(Vec::as_slice);
        let code = ecosystem_of(&ecosystem)?;
        let merged = code.merge_records(&documents, kept)?;
        let expected = expected(&input.installs, &ecosystem);
        let (merged, missing) = code.attest(&merged, &expected, upstream)?;
        let missing = missing.iter();
        findings.extend(missing.map(|one| evidence::not_attested(&ecosystem, one)));
        records.insert(ecosystem, merged);
    }
    let mut lock = Lock {
        target: input.target.clone(),
        exclude_newer: input.exclude_newer,
        requirements: requirements(&input.installs),
        inputs: found.inputs,
        records: records
            .iter()
            .map(|(id, bytes)| (id.clone(), Digest::of(bytes)))
            .collect(),
        packages: found.packages.into_values().collect(),
        findings: Vec::new(),
    };
    lock.sort();
    if let Some((before, _)) = previous {
        check_republished(before, &lock)?;
    }
    findings.extend(evidence::state(&mut lock, &records, &input.keys)?);
    if let Some((before, _)) = previous {
        findings.extend(evidence::dropped(before, &lock));
    }
    findings.extend(interpreter::check(&lock, &records)?);
    lock.findings = locked_findings(&findings);
    lock.sort();
    let open = check_closure(&lock, &records)?;
    findings.extend(unexplained(open, &findings));
    findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    findings.dedup();
    Ok(Closure {
        lock,
        records,
        findings,
    })
}

/// Open edges of packages for which nothing else was denied: a dependency that no registry serves is open too, and why
/// is said already.
fn unexplained(open: Vec<Finding>, denied: &[Finding]) -> Vec<Finding> {
    let said = |one: &Finding| {
        let mut all = denied.iter().filter(|f| f.severity == Severity::Deny);
        all.any(|f| f.subject == one.subject)
    };
    open.into_iter().filter(|one| !said(one)).collect()
}

/// What all installs need.
#[derive(Default)]
struct Gathered {
    packages: BTreeMap<(EcosystemId, ReleaseId), LockedPackage>,
    inputs: Vec<LockedInput>,
    records: BTreeMap<EcosystemId, Vec<Vec<u8>>>,
    findings: Vec<Finding>,
}

/// Resolves one install after the other.
fn gather(
    input: &Input<'_>,
    previous: Option<(&Lock, &Records)>,
    upstream: &mut dyn Upstream,
    progress: &dyn Progress,
) -> Result<Gathered, ResolveError> {
    let mut all = Gathered::default();
    for planned in &input.installs {
        let given = Given {
            number: planned.number,
            inputs: &planned.inputs,
            target: &input.target,
            exclude_newer: input.exclude_newer,
            prefer: planned.prefer.clone(),
            previous: previous.map(|(lock, records)| Previous {
                lock,
                records: records.get(&planned.ecosystem).map(Vec::as_slice),
            }),
            now: input.now,
        };
        let mut resolver = planned
            .install
            .resolver(given)
            .map_err(ResolveError::Ecosystem)?;
        drive(resolver.as_mut(), upstream, progress)?;
        let found = resolver.finish().map_err(ResolveError::Ecosystem)?;
        all.inputs.extend(found.inputs);
        all.findings.extend(found.findings);
        for (id, bytes) in found.records {
            all.records.entry(id).or_default().push(bytes);
        }
        for package in found.packages {
            merge(&mut all.packages, package);
        }
    }
    Ok(all)
}

fn ecosystem_of(id: &EcosystemId) -> Result<&'static dyn eco::Ecosystem, ResolveError> {
    eco::by_id(id).ok_or_else(|| ResolveError::UnknownEcosystem { found: id.clone() })
}

fn drive(
    resolver: &mut dyn Resolver,
    upstream: &mut dyn Upstream,
    progress: &dyn Progress,
) -> Result<(), ResolveError> {
    let mut total = 0;
    progress.begin("Resolving", 0, Unit::Items);
    loop {
        for request in resolver.take_requests() {
            upstream.submit(request);
            total += 1;
        }
        progress.total(total);
        let Some((request, answer)) = upstream.next_answer() else {
            break;
        };
        progress.advance(1);
        resolver
            .answer(&request, answer)
            .map_err(ResolveError::Ecosystem)?;
    }
    progress.end();
    Ok(())
}

/// The same release in several installs is one entry.
fn merge(merged: &mut BTreeMap<(EcosystemId, ReleaseId), LockedPackage>, package: LockedPackage) {
    let key = (package.ecosystem.clone(), package.id());
    match merged.get_mut(&key) {
        None => {
            merged.insert(key, package);
        }
        Some(known) => {
            known.platforms.extend(package.platforms);
            known.bundled_in.extend(package.bundled_in);
            known.places.extend(package.places);
            known.dependencies.extend(package.dependencies);
            known.artifacts.extend(package.artifacts);
            known.install_script |= package.install_script;
        }
    }
}

/// Who should have signed releases of an ecosystem.
fn expected(installs: &[PlannedInstall<'_>], ecosystem: &EcosystemId) -> Vec<Expectation> {
    let own = installs.iter().filter(|i| i.ecosystem == *ecosystem);
    own.flat_map(|i| i.install.expected()).cloned().collect()
}

fn requirements(installs: &[PlannedInstall<'_>]) -> Vec<LockedRequirement> {
    let of = |planned: &PlannedInstall<'_>| {
        let (ecosystem, install) = (planned.ecosystem.clone(), planned.number);
        let locked = |spec: &String| LockedRequirement {
            ecosystem: ecosystem.clone(),
            install,
            spec: spec.clone(),
        };
        planned.requirements.iter().map(locked).collect::<Vec<_>>()
    };
    installs.iter().flat_map(of).collect()
}

fn locked_findings(findings: &[Finding]) -> Vec<LockedFinding> {
    findings
        .iter()
        .filter(|f| f.severity != Severity::Deny)
        .map(|f| LockedFinding {
            severity: f.severity,
            code: f.code.name.to_owned(),
            subject: f.subject.clone(),
            message: f.message.clone(),
        })
        .collect()
}

/// A release that is in both locks must have the same bytes (trust on first use, then never again).
fn check_republished(before: &Lock, after: &Lock) -> Result<(), ResolveError> {
    let key = |p: &LockedPackage| (p.ecosystem.clone(), p.id());
    let known: BTreeMap<_, _> = before.packages.iter().map(|p| (key(p), p)).collect();
    for package in &after.packages {
        let Some(old) = known.get(&key(package)) else {
            continue;
        };
        for artifact in &package.artifacts {
            let same_file = old.artifacts.iter().find(|a| a.file == artifact.file);
            if let Some(was) = same_file.filter(|a| a.checksum != artifact.checksum) {
                return Err(ResolveError::Republished {
                    ecosystem: package.ecosystem.clone(),
                    release: package.id(),
                    expected: was.checksum.to_string(),
                    found: artifact.checksum.to_string(),
                });
            }
        }
    }
    Ok(())
}

/// Every edge of every carried package, for each platform, must lead to a package in the lock; each that does not is
/// a finding that denies. Copies inside of other packages that get another version than they ask for only warn: nobody
/// but their publisher can change them.
pub fn check_closure(lock: &Lock, records: &Records) -> Result<Vec<Finding>, ResolveError> {
    let mut open: BTreeMap<_, BTreeSet<Platform>> = BTreeMap::new();
    let ecosystems: BTreeSet<&EcosystemId> = lock.packages.iter().map(|p| &p.ecosystem).collect();
    for id in ecosystems {
        let code = ecosystem_of(id)?;
        let document = records.get(id);
        check_records(lock, id, document)?;
        for platform in &lock.target.platforms {
            for edge in code.check_closure(lock, document.map_or(&[], Vec::as_slice), *platform)? {
                open.entry((id.clone(), edge))
                    .or_default()
                    .insert(*platform);
            }
        }
    }
    let chains = Chains::new(lock);
    let mut findings = Vec::new();
    for ((id, edge), platforms) in open {
        let (code, severity, fix) = match edge.kind {
            "bundled" => {
                let fix = "where it matters, ask its publisher, or take another version";
                (&BUNDLED_EDGE, Severity::Warn, fix.to_owned())
            }
            "bundled-nowhere" => {
                let (name, range) = (escaped(&edge.name), escaped(&edge.range));
                let fix = format!("stage it: [{id}] packages = [\"{name}@{range}\"]");
                (&BUNDLED_EDGE, Severity::Deny, fix)
            }
            _ => {
                let fix = "run `stage resolve` again; do not edit the lock by hand";
                (&OPEN_EDGE, Severity::Deny, fix.to_owned())
            }
        };
        let chain = chains.chain(&id, &edge.from);
        findings.push(Finding {
            code,
            severity,
            subject: format!("{id} {}", edge.from),
            message: open_edge(&edge, &platforms),
            chain: chain.iter().map(|c| escaped(c)).collect(),
            fix: Some(fix),
        });
    }
    Ok(findings)
}

/// What is said of an edge that leads to nothing.
fn open_edge(edge: &eco::OpenEdge, platforms: &BTreeSet<Platform>) -> String {
    let on: Vec<&str> = platforms.iter().map(|p| p.as_str()).collect();
    match edge.kind {
        "lock" => "is in the records, but the lock has no such package".to_owned(),
        "records" => "is in the lock, but the records have no such release".to_owned(),
        "platform" => format!("is not in the lock for {}", on.join(", ")),
        "file" => format!(
            "has no file in the lock for {} that is the one of the records",
            on.join(", ")
        ),
        "runs" => format!(
            "has no file in the lock that runs on {}",
            escaped(&edge.range)
        ),
        "edge" => format!(
            "{} {} has no edge in the lock to what satisfies it on {}",
            edge.range,
            quoted(&edge.name),
            on.join(", ")
        ),
        "bundled" => format!(
            "is a copy inside of another package and wants {} {}, which is not there on {}: it was published so, and \
         npm installs it so",
            quoted(&edge.name),
            quoted(&edge.range),
            on.join(", ")
        ),
        "bundled-nowhere" => format!(
            "is a copy inside of another package and cannot do without {} {}, which is neither inside nor in the lock for {}: \
             it fails where it asks for it",
            quoted(&edge.name),
            quoted(&edge.range),
            on.join(", ")
        ),
        kind => format!(
            "{kind} dependency {} {} is not in the lock for {}",
            quoted(&edge.name),
            quoted(&edge.range),
            on.join(", ")
        ),
    }
}

/// The records document must be the one whose digest the lock has.
pub fn check_records(
    lock: &Lock,
    ecosystem: &EcosystemId,
    document: Option<&Vec<u8>>,
) -> Result<(), ResolveError> {
    let expected = lock.records.get(ecosystem).copied();
    let found = document.map(|bytes| Digest::of(bytes));
    if expected == found && expected.is_some() {
        return Ok(());
    }
    Err(ResolveError::Records {
        ecosystem: ecosystem.clone(),
        expected,
        found,
    })
}
