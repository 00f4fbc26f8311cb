//! Entry points for fuzzing the readers of vulnerability databases; see `crate::fuzz`.

use std::io::Cursor;
use std::path::Path;

use super::{Closure, Given, Query, matching};
use crate::base::package::EcosystemId;
use crate::base::platform::{Libc, Platform, Target};
use crate::eco;
use crate::lint::zip::members;
use crate::lock::{Lock, LockedPackage, Records};

/// Largest member of a zip file that is handed on, in bytes.
const MEMBER: u64 = 1 << 20;

/// `demo` 1.0.0 of every ecosystem.
fn lock() -> Lock {
    let package = |ecosystem: EcosystemId| LockedPackage {
        ecosystem,
        name: "demo".to_owned(),
        version: "1.0.0".to_owned(),
        platforms: vec![Platform::LinuxAmd64],
        license: None,
        deprecated: None,
        install_script: false,
        bundled_in: Vec::new(),
        places: Vec::new(),
        dependencies: Vec::new(),
        artifacts: Vec::new(),
    };
    Lock {
        target: Target {
            platforms: vec![Platform::LinuxAmd64],
            libc: Libc::Glibc("2.36".to_owned()),
            python: None,
            node: None,
        },
        exclude_newer: None,
        inputs: Vec::new(),
        requirements: Vec::new(),
        records: std::collections::BTreeMap::new(),
        packages: eco::ALL.iter().map(|one| package(one.id())).collect(),
        findings: Vec::new(),
    }
}

/// Records as a bundle carries them: lines, compressed.
pub(crate) fn packed(bytes: &[u8]) {
    let (lock, records) = (lock(), Records::new());
    let closures = [Closure {
        lock: &lock,
        records: &records,
    }];
    let mut query = Query {
        database: Given::Carried(Path::new("fuzz"), Box::new(Cursor::new(bytes))),
        closures: &closures,
        carry: None,
    };
    if let Ok(checked) = matching::check(&mut query) {
        let _document = checked.document(true);
    }
}

/// One record, in a database that is right otherwise.
pub(crate) fn record(bytes: &[u8]) {
    let mut line: Vec<u8> = bytes.iter().filter(|b| **b != b'\n').copied().collect();
    line.push(b'\n');
    if let Ok(compressed) = zstd::encode_all(line.as_slice(), 1) {
        packed(&compressed);
    }
}

/// A zip file of records.
pub(crate) fn zipped(bytes: &[u8]) {
    let _read = members(&mut Cursor::new(bytes), MEMBER, &mut |_| Ok::<(), ()>(()));
}
