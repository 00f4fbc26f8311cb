//! The private CA of a project: read, examined, and packed for the hosts that are to trust it.

use crate::base::finding::Finding;
use crate::ca;
use crate::ca::pack::{Files, Name, Packing, Prefix};
use crate::cli::project::Project;
use crate::cli::ui::Failure;
use crate::cli::{Context, UsageError};
use crate::fs;
use crate::manifest;

/// Largest CA file that is read, in bytes.
const LIMIT: u64 = 16 << 20;

/// The files below `ca/` of a bundle, named after the channel, for the runtime's prefix, and what was found about the
/// roots that `[ca]` names. None of both, when it names none.
pub(crate) fn files(
    ctx: &Context,
    project: &Project,
    channel: &str,
) -> Result<(Files, Vec<Finding>), Failure> {
    let named = &project.manifest.ca_roots;
    if named.is_empty() {
        return Ok((Files::new(), Vec::new()));
    }
    let mut files = Vec::new();
    for path in named {
        let bytes = fs::read(&manifest::beside(&project.manifest_path, path), LIMIT)?;
        files.push((path.to_string_lossy().into_owned(), bytes));
    }
    let roots = ca::read_roots(&files, ctx.now)?;
    let name = Name::of_channel(channel);
    let usual = format!("/opt/{name}");
    let runtime = project.manifest.runtime.as_ref();
    let prefix = runtime.map_or(usual.as_str(), |runtime| runtime.prefix.as_str());
    let prefix = prefix.parse::<Prefix>();
    let prefix = prefix.map_err(|error| UsageError::new(format!("[runtime] prefix: {error}")))?;
    let packing = Packing {
        roots: &roots,
        name,
        prefix,
    };
    Ok((packing.files(), roots.findings))
}
