//! The CycloneDX document of what an argument names.

use std::path::Path;

use crate::base::limits::LIMITS;
use crate::base::path::RelPath;
use crate::base::text::quoted;
use crate::cli::subject;
use crate::cli::ui::Failure;
use crate::cli::{Context, UsageError};
use crate::fs;
use crate::trust::root::TrustRoot;
use crate::verify::{self, Judge, NullSink};

/// Path of the SBOM in a bundle.
const SBOM: &str = "sbom/bundle.cdx.json";

/// The document that a bundle or a head carries, or that a lock would.
pub(crate) fn carried(
    ctx: &Context,
    path: &Path,
    trust: Option<&Path>,
) -> Result<Vec<u8>, Failure> {
    let name = quoted(&path.to_string_lossy());
    let (bundle, head) = (subject::is_bundle(path)?, subject::is_head(path)?);
    let found = |documents: &std::collections::BTreeMap<RelPath, Vec<u8>>| {
        let mut all = documents.iter();
        let found = all.find(|(at, _)| at.as_str() == SBOM);
        let found = found.map(|(_, bytes)| bytes.clone());
        found.ok_or_else(|| UsageError::new(format!("{name} carries no SBOM")).into())
    };
    match (bundle, head, trust) {
        (true, _, Some(root)) => {
            let root = TrustRoot::load(root)?;
            let judge = Judge::alone(&root, ctx.now);
            let bundle = verify::bundle(fs::open(path)?, &judge, &mut NullSink, &ctx.ui)?;
            found(&bundle.documents)
        }
        (false, _, Some(_)) => {
            Err(UsageError::new("--trust verifies a bundle, and that is none").into())
        }
        (true, _, None) => {
            ctx.ui
                .warn(&format!("{name} is whole, but nobody verified who made it"));
            found(verify::integrity(fs::open(path)?, &ctx.ui)?.documents())
        }
        (false, true, None) => {
            ctx.ui.warn(&format!("{name} is not verified"));
            found(verify::head(fs::open(path)?, &ctx.ui)?.documents())
        }
        (false, false, None) => of_lock(ctx, path),
    }
}

/// The same, or the file itself where it is a CycloneDX document.
pub(crate) fn any(ctx: &Context, path: &Path) -> Result<Vec<u8>, Failure> {
    if !subject::is_bundle(path)? && !subject::is_head(path)? {
        let bytes = fs::read(path, LIMITS.document)?;
        if bytes.trim_ascii_start().starts_with(b"{") {
            return Ok(bytes);
        }
    }
    carried(ctx, path, None)
}

#[cfg(not(feature = "connected"))]
fn of_lock(_ctx: &Context, path: &Path) -> Result<Vec<u8>, Failure> {
    let name = quoted(&path.to_string_lossy());
    Err(UsageError::new(format!(
        "{name} is no bundle, and this build makes no SBOM of locks"
    ))
    .next("the connected build does; a bundle carries its SBOM")
    .into())
}

/// The SBOM that a bundle of the lock would carry, by the name of the file and its digest.
#[cfg(feature = "connected")]
fn of_lock(ctx: &Context, path: &Path) -> Result<Vec<u8>, Failure> {
    use crate::base::digest::Digest;
    use crate::lock::format;
    use crate::pack::{self, About};

    let bytes = fs::read(path, LIMITS.document)?;
    let lock = format::parse_named(&path.to_string_lossy(), &bytes)?;
    let records = subject::read_records(&lock, &crate::manifest::records_path(path))?;
    if records.len() < lock.records.len() {
        ctx.ui.warn(
            "not all records of the lock are beside it: suppliers and licenses are not known",
        );
    }
    let store = crate::cli::connect::store(ctx)?;
    let mut missing = 0_usize;
    for (_, artifact) in lock.carried_artifacts() {
        missing += usize::from(store.find(&artifact.checksum)?.is_none());
    }
    if missing > 0 {
        let files = crate::cli::ui::plural(missing, "file");
        ctx.ui.warn(&format!(
            "{files} not in the store: the SBOM has the lock's digest of them only; `stage fetch` gets them"
        ));
    }
    let licenses = crate::licenses::read(&lock, &store, &ctx.ui)?;
    let described = licenses.described(&lock);
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let digest = Digest::of(&bytes).hex();
    let version: String = digest.chars().take(12).collect();
    let about = About {
        name: &name,
        version: &version,
        created: ctx.stamp()?,
        author: None,
        license_texts: &licenses.texts(),
    };
    Ok(pack::sbom((&lock, &described), &records, &store, &about)?)
}
