//! Proving again, from what a bundle carries, what its lock states: every signature of a registry, every chain of an
//! archive. Nobody is asked, and no archive of a package is opened.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::evidence::{Gap, Level};
use crate::base::fault::{Code, Fault};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::eco::vouched::{Anchors, CarriedFiles, Verdict, Vouched};
use crate::eco::{self, EcoError};
use crate::evidence::{CONTRADICTED, lines};
use crate::lock::{Lock, Records};

/// Most contradictions that are told one by one.
const MOST_TOLD: usize = 100;

/// What was found about one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proven {
    /// Its ecosystem.
    pub ecosystem: EcosystemId,
    /// Its release.
    pub release: ReleaseId,
    /// Its name, safe to print.
    pub file: String,
    /// What the lock states.
    pub stated: Level,
    /// What holds.
    pub proven: Level,
    /// Why not more.
    pub gap: Option<Gap>,
    /// The keys that vouch for it.
    pub by: Vec<String>,
    /// Why it is not what the lock states, safe to print.
    pub reason: Option<String>,
}

/// What was found about a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The time that keys are judged at: when the bundle was made.
    pub at: Timestamp,
    /// Number of files by ecosystem and by what holds of them.
    pub levels: BTreeMap<EcosystemId, BTreeMap<Level, usize>>,
    /// Every carried file, in the order of the lock.
    pub files: Vec<Proven>,
    #[serde(skip)]
    contradictions: Vec<Contradiction>,
}

/// Evidence that does not hold: the bundle is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject}: what its upstream signed does not hold: {reason}")]
pub struct Contradiction {
    code: &'static Code,
    /// `ecosystem name@version`, escaped.
    subject: String,
    /// Why, safe to print.
    reason: String,
}

impl Fault for Contradiction {
    fn code(&self) -> &'static Code {
        self.code
    }
}

impl Proof {
    /// What does not hold, each release once; of very many, the first hundred.
    pub fn contradictions(&self) -> &[Contradiction] {
        &self.contradictions
    }
}

/// Proves what a lock states by its records and the files beside them. Lock, records and artifacts must agree already,
/// as `verify::bundle` sees to.
pub fn prove(
    lock: &Lock,
    records: &Records,
    files: &dyn CarriedFiles,
    anchors: &Anchors,
) -> Result<Proof, EcoError> {
    let mut found: BTreeMap<EcosystemId, Vouched> = BTreeMap::new();
    for (id, bytes) in records {
        if let Some(ecosystem) = eco::by_id(id) {
            found.insert(id.clone(), ecosystem.prove(bytes, files, anchors)?);
        }
    }
    let mut proof = Proof {
        at: anchors.at,
        levels: BTreeMap::new(),
        files: Vec::new(),
        contradictions: Vec::new(),
    };
    for line in lines(lock) {
        let (ecosystem, release) = (&line.package.ecosystem, line.package.id());
        let key = (release.clone(), line.artifact.file.clone());
        let verdict = found.get(ecosystem).and_then(|vouched| vouched.get(&key));
        let own = line.level.min(Level::L2);
        let mut proven = Proven {
            ecosystem: ecosystem.clone(),
            release,
            file: escaped(&line.artifact.file),
            stated: line.level,
            proven: own,
            gap: line.gap,
            by: Vec::new(),
            reason: None,
        };
        let mut code = &CONTRADICTED;
        match verdict {
            Some(Verdict::Signed { level, by }) => {
                proven.proven = own.max(*level);
                proven.by = by.iter().map(|id| escaped(id)).collect();
                proven.gap = None;
            }
            Some(Verdict::Missing { reason }) => {
                proven.gap = Some(Gap::Unreachable);
                proven.reason = Some(reason.clone());
            }
            Some(Verdict::Refused { code: by, reason }) => {
                code = by;
                proven.proven = Level::L0;
                proven.gap = None;
                proven.reason = Some(reason.clone());
            }
            Some(Verdict::Unsigned | Verdict::Lacking(_)) | None if line.level > own => {
                proven.proven = Level::L0;
                let stated = line.level;
                let reason = format!("the lock states {stated}, and the records have no signature");
                proven.reason = Some(reason);
            }
            Some(Verdict::Lacking(gap)) => proven.gap = Some(*gap),
            Some(Verdict::Unsigned) | None => {}
        }
        proof.add(proven, code);
    }
    Ok(proof)
}

impl Proof {
    fn add(&mut self, proven: Proven, code: &'static Code) {
        let levels = self.levels.entry(proven.ecosystem.clone()).or_default();
        *levels.entry(proven.proven).or_default() += 1;
        if proven.proven == Level::L0 && self.contradictions.len() < MOST_TOLD {
            let name = quoted(&proven.release.to_string());
            let contradiction = Contradiction {
                code,
                subject: format!("{} {name}", proven.ecosystem),
                reason: proven
                    .reason
                    .clone()
                    .unwrap_or_else(|| "nothing counts".to_owned()),
            };
            if self.contradictions.last() != Some(&contradiction) {
                self.contradictions.push(contradiction);
            }
        }
        self.files.push(proven);
    }
}
