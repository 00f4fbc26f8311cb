//! The private CA of a project: read, examined, and packed for the hosts that are to trust it.

use crate::ca::pack::{Name, Packing, Prefix};
use crate::ca::{self, CaBundle};
use crate::cli::project::Project;
use crate::cli::ui::Failure;
use crate::cli::{Context, UsageError};
use crate::fs;
use crate::manifest;

/// Largest CA file that is read, in bytes.
const LIMIT: u64 = 16 << 20;

/// The roots that `[ca]` names.
pub(crate) fn load(ctx: &Context, project: &Project) -> Result<Option<CaBundle>, Failure> {
    let roots = &project.manifest.ca_roots;
    if roots.is_empty() {
        return Ok(None);
    }
    let mut files = Vec::new();
    for path in roots {
        let bytes = fs::read(&manifest::beside(&project.manifest_path, path), LIMIT)?;
        files.push((path.to_string_lossy().into_owned(), bytes));
    }
    Ok(Some(ca::read_roots(&files, ctx.now)?))
}

/// The files below `ca/` of a bundle: named after the channel, for the runtime's prefix.
pub(crate) fn files(
    roots: &CaBundle,
    project: &Project,
    channel: &str,
) -> Result<ca::pack::Files, UsageError> {
    let name = Name::of_channel(channel);
    let usual = format!("/opt/{name}");
    let runtime = project.manifest.runtime.as_ref();
    let prefix = runtime.map_or(usual.as_str(), |runtime| runtime.prefix.as_str());
    let prefix = prefix.parse::<Prefix>();
    let prefix = prefix.map_err(|error| UsageError::new(format!("[runtime] prefix: {error}")))?;
    let packing = Packing {
        roots,
        name,
        prefix,
    };
    Ok(packing.files())
}
