//! The private CA of a project: read, examined, and packed for the hosts that are to trust it.

use crate::base::finding::Finding;
use crate::ca;
use crate::ca::pack::{Name, Packing};
use crate::cli::project::Project;
use crate::cli::ui::Failure;
use crate::cli::{Context, UsageError};
use crate::fs;
use crate::manifest;

/// Largest CA file that is read, in bytes.
const LIMIT: u64 = 16 << 20;

/// What makes the files below `ca/` of a bundle, named after the channel, for the runtime's prefix, and what was found about
/// the roots that `[ca]` names. None of both, when it names none.
pub(crate) fn packing(
    ctx: &Context,
    project: &Project,
    channel: &str,
) -> Result<(Option<Packing>, Vec<Finding>), Failure> {
    let named = &project.manifest.ca_roots;
    if named.is_empty() {
        return Ok((None, Vec::new()));
    }
    let mut files = Vec::new();
    for path in named {
        let bytes = fs::read(&manifest::beside(&project.manifest_path, path), LIMIT)?;
        files.push((path.to_string_lossy().into_owned(), bytes));
    }
    let roots = ca::read_roots(&files, ctx.now)?;
    let name = Name::of_channel(channel);
    let runtime = project.manifest.runtime.as_ref();
    let prefix = match runtime {
        Some(runtime) => runtime.prefix.clone(),
        None => format!("/opt/{name}")
            .parse()
            .map_err(|_never| UsageError::new("the channel has no name that a path could have"))?,
    };
    let findings = roots.findings.clone();
    let packing = Packing {
        roots,
        name,
        prefix,
    };
    Ok((Some(packing), findings))
}
