//! What a releaser reads before signing: what the bundle says about itself, and what changed since the channel's last
//! one.

use std::collections::BTreeMap;

use crate::base::text::quoted;
use crate::bundle::manifest::BundleManifest;
use crate::cli::UsageError;
use crate::cli::cmd::diff;
use crate::cli::subject::BundleView;
use crate::cli::ui::{bytes, plural};
use crate::lock::Lock;
use crate::lock::diff::LockDiff;
use crate::verify::Intact;

/// The review of `new`, against the bundle before it or against nothing.
///
/// # Errors
/// The two are not of one channel, or `new` is not the newer one.
pub fn review(old: Option<&BundleView>, new: &Intact) -> Result<String, UsageError> {
    let statement = &new.statement;
    let size = new.manifest.files.iter().map(|f| f.size).sum();
    let mut out = format!(
        "bundle id  {}\nchannel    {}, epoch {}, serial {}, {}\ncreated    {}\nexpires    {}\ncontents   {}, {}\n",
        new.id(),
        statement.channel,
        statement.epoch,
        statement.serial,
        statement.kind.as_str(),
        statement.created,
        statement.expires,
        plural(new.manifest.files.len(), "file"),
        bytes(size)
    );
    match old {
        None => out.push_str("compared   with nothing: all of it is new\n\n"),
        Some(old) => {
            check_order(old, new)?;
            out.push_str(&format_against(old));
        }
    }
    out.push_str(&changes(old, new));
    Ok(out)
}

fn format_against(old: &BundleView) -> String {
    format!(
        "compared   with serial {}, {}\n\n",
        old.statement.serial, old.id
    )
}

fn check_order(old: &BundleView, new: &Intact) -> Result<(), UsageError> {
    let (before, after) = (&old.statement, &new.statement);
    if before.channel != after.channel {
        return Err(UsageError::new(format!(
            "--against is a bundle of channel {}, and this one is of channel {}",
            quoted(&before.channel),
            quoted(&after.channel)
        )));
    }
    if (before.epoch, before.serial) >= (after.epoch, after.serial) {
        return Err(UsageError::new(format!(
            "--against has serial {} of epoch {}, which is not before serial {} of epoch {}",
            before.serial, before.epoch, after.serial, after.epoch
        )));
    }
    Ok(())
}

fn changes(old: Option<&BundleView>, new: &Intact) -> String {
    match (&new.lock, old.map(|o| o.lock.as_ref())) {
        (Some(lock), None | Some(None)) => packages(&nothing_of(lock), lock),
        (Some(lock), Some(Some(before))) => packages(before, lock),
        (None, _) => files(old.map(|o| &o.manifest), &new.manifest),
    }
}

/// The lock with nothing in it, for the same target.
fn nothing_of(lock: &Lock) -> Lock {
    let mut empty = lock.clone();
    empty.packages.clear();
    empty.requirements.clear();
    empty
}

fn packages(old: &Lock, new: &Lock) -> String {
    let diff = LockDiff::between(old, new);
    format!("{}{}\n", diff::text(&diff), diff::summary(&diff))
}

/// Plain files that came, went or have other bytes.
fn files(old: Option<&BundleManifest>, new: &BundleManifest) -> String {
    let digests = |manifest: &BundleManifest| -> BTreeMap<String, String> {
        let files = manifest.files.iter();
        files
            .map(|f| (f.path.to_string(), f.digests.sha256.to_string()))
            .collect()
    };
    let (before, after) = (old.map(digests).unwrap_or_default(), digests(new));
    let mut out = String::new();
    for (path, digest) in &after {
        match before.get(path) {
            None => out.push_str(&["+ ", path, " ", digest, "\n"].concat()),
            Some(was) if was != digest => {
                out.push_str(&["! ", path, " ", was, " -> ", digest, "\n"].concat());
            }
            Some(_) => {}
        }
    }
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        out.push_str(&["- ", path, "\n"].concat());
    }
    out
}
