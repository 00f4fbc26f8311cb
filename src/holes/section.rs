//! `[holes]` of the manifest: further rules, and what closes which hole.

use std::path::PathBuf;

use crate::manifest::table::{Found, Table};
use crate::manifest::{Manifest, ManifestError};
use crate::policy::PackagePattern;

/// `[holes]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// `rules`: files with further rules, relative to the manifest's folder as written.
    pub rules: Vec<PathBuf>,
    /// `[[holes.closed]]`.
    pub closed: Vec<HoleClosed>,
}

/// One `[[holes.closed]]`: what is staged in the place of what would be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoleClosed {
    /// Name of the rule that finds the hole.
    pub rule: String,
    /// The packages that have it.
    pub package: PackagePattern,
    /// The package that closes it, usually a `file:`.
    pub by: PackagePattern,
}

/// Reads the table; none is one that says nothing.
pub fn read(manifest: &Manifest) -> Result<Section, ManifestError> {
    let mut section = Section::default();
    for mut table in manifest.tables("holes")? {
        if let Some(found) = table.take("rules") {
            let files = if found.text().is_ok() {
                vec![found.string()?]
            } else {
                found.strings()?
            };
            section.rules.extend(files.into_iter().map(PathBuf::from));
        }
        if let Some(found) = table.take("closed") {
            let tables = found.tables("[[holes.closed]]")?;
            for table in tables {
                section.closed.push(closed(table)?);
            }
        }
        table.finish()?;
    }
    Ok(section)
}

fn closed(mut table: Table<'_>) -> Result<HoleClosed, ManifestError> {
    let closed = HoleClosed {
        rule: table.require("rule")?.string()?,
        package: pattern(&table.require("package")?)?,
        by: pattern(&table.require("by")?)?,
    };
    table.finish()?;
    Ok(closed)
}

fn pattern(found: &Found<'_>) -> Result<PackagePattern, ManifestError> {
    let parsed = found.text()?.parse::<PackagePattern>();
    parsed.map_err(|bad| found.error(bad.to_string()))
}
