//! Who was contacted, kept beside the lock: connected commands write it, the change packet shows it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::base::egress::{self, Contact};
use crate::base::limits::LIMITS;
use crate::base::text::quoted;
use crate::cli::UsageError;
use crate::cli::ui::Failure;
use crate::fs;

/// Reads the list of contacts that somebody named.
pub(crate) fn read(path: &Path) -> Result<BTreeSet<Contact>, Failure> {
    let hint =
        "name a stage.egress.json, as `stage resolve` and `stage fetch` keep it beside the lock";
    parsed(path, hint)
}

fn parsed(path: &Path, hint: &str) -> Result<BTreeSet<Contact>, Failure> {
    let bytes = fs::read(path, LIMITS.document)
        .map_err(|error| UsageError::unreadable(&error).next(hint))?;
    let contacts = egress::parse(&bytes).map_err(|error| {
        let name = quoted(&path.to_string_lossy());
        UsageError::new(format!("{name} cannot be read: {error}")).next(hint)
    })?;
    Ok(contacts)
}

/// The list in the folder of a bundle or a lock, if it is there.
pub(crate) fn beside(file: &Path) -> Result<Option<BTreeSet<Contact>>, Failure> {
    let path = fs::parent(file).join(egress::NAME);
    let hint = "remove it: `stage resolve` and `stage fetch` write it anew";
    fs::exists(&path).then(|| parsed(&path, hint)).transpose()
}

/// Adds contacts to the list beside a lock. Nobody contacted: nothing is written.
#[cfg(feature = "connected")]
pub(crate) fn record(lock: &Path, contacts: Vec<Contact>) -> Result<(), Failure> {
    let known = beside(lock)?.unwrap_or_default();
    let mut all = known.clone();
    all.extend(contacts);
    if all == known {
        return Ok(());
    }
    let path = fs::parent(lock).join(egress::NAME);
    Ok(fs::write_atomic(&path, &egress::document(&all), 0o644)?)
}
