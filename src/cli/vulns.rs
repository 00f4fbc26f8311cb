//! Vulnerabilities on the command line, in both builds: which database, and that it was asked at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::base::digest::Digest;
use crate::base::path::RelPath;
use crate::base::section::Section;
use crate::bundle::manifest::BundleManifest;
use crate::cli::ui::{Failure, Outcome};
use crate::fs;
use crate::import::ImportError;
use crate::lock::Records;
use crate::vulns::{self, Checked, Closure, Given, Query, RECORDS};

/// The database that a command is given.
#[derive(Debug, Clone, Args)]
pub struct OsvArgs {
    /// Look up known vulnerabilities in this export of OSV: a folder with ECOSYSTEM/all.zip or .json files, a zip file,
    /// or the records that a bundle carries
    #[arg(long, value_name = "PATH")]
    pub(crate) osv: Option<PathBuf>,
}

/// Puts it into the report, and into the last line: also, and above all, that no database was given.
pub(crate) fn tell(outcome: &mut Outcome, known: &Checked) {
    if let Value::Object(report) = &mut outcome.report {
        report.insert("vulnerabilities".to_owned(), known.json());
    }
    outcome.summary.push(match known.database {
        Some(_) => known.said(),
        None => format!("Note: {} (--osv)", known.said()),
    });
}

/// Where a bundle has records of the database: their digest, the start and the length.
pub(crate) type Place = (Digest, u64, u64);

/// Where the bundle at `path` has records of the database of its own.
pub(crate) fn carried_place(
    path: &Path,
    manifest: &BundleManifest,
) -> Result<Option<Place>, Failure> {
    let own = manifest.file(RECORDS).map(|file| file.digests.sha256);
    let places = manifest.offsets(fs::size(path)?);
    Ok(own.and_then(|digest| places.get(&digest).map(|at| (digest, at.0, at.1))))
}

/// The records of a lock among the documents of a bundle.
pub(crate) fn carried_records(documents: &BTreeMap<RelPath, Vec<u8>>) -> Records {
    let record = |(at, bytes): (&RelPath, &Vec<u8>)| {
        let name = at.as_str().strip_prefix("lock/records/")?;
        let id = name.strip_suffix(".json")?.parse().ok()?;
        Some((id, bytes.clone()))
    };
    documents.iter().filter_map(record).collect()
}

/// Asks the records that a bundle carries; they must be those that its manifest names.
pub(crate) fn look_up_carried(
    bundle: &Path,
    (digest, start, length): Place,
    closures: &[Closure<'_>],
) -> Result<Checked, Failure> {
    let section = Section::new(fs::open(bundle)?, start, length);
    let section = section.map_err(fs::context("read", bundle))?;
    let checked = vulns::check(&mut Query {
        database: Given::Carried(Path::new(RECORDS), Box::new(section)),
        closures,
        carry: None,
    })?;
    let read = checked.database.as_ref().map(|database| database.sha256);
    if read == Some(digest) {
        Ok(checked)
    } else {
        Err(ImportError::Blob { digest }.into())
    }
}
