//! The channel's last bundle, to compare the next one with.
//!
//! Whatever is bundled or signed on a host leaves its head in the cache, so that `stage sign` finds the last one although
//! its file was overwritten, moved away or never was here. `releases.toml` is committed and shared and so names no files.
//!
//! ```text
//! CACHE/heads/<channel>/<epoch>-<serial>.head     the newest few of each channel
//! ```

use std::path::{Path, PathBuf};

use crate::base::text::{escaped, quoted};
use crate::bundle::BundleError;
use crate::bundle::statement::Statement;
use crate::cli::Context;
use crate::cli::subject::{self, BundleView, Subject};
use crate::fs::{self, Draft};

/// Heads kept of each channel: what is signed next, what it is compared with, and one to spare.
const KEPT: usize = 3;

/// Epoch and serial, in which bundles of a channel are ordered.
type Place = (u64, u64);

/// Keeps the head that `write` writes. That it cannot be kept is worth a warning and no more.
pub fn keep(
    ctx: &Context,
    statement: &Statement,
    write: impl FnOnce(&mut Draft) -> Result<(), BundleError>,
) {
    let Some(folder) = folder(ctx, &statement.channel) else {
        return;
    };
    if let Err(error) = try_keep(&folder, statement, write) {
        ctx.ui.warn(&format!(
            "this bundle will not be found when the next one is signed: {error}"
        ));
    }
}

fn try_keep(
    folder: &Path,
    statement: &Statement,
    write: impl FnOnce(&mut Draft) -> Result<(), BundleError>,
) -> Result<(), BundleError> {
    fs::create_dir_all(folder, 0o755)?;
    let name = format!("{}-{}.head", statement.epoch, statement.serial);
    let mut draft = Draft::new(&folder.join(name), 0o644)?;
    write(&mut draft)?;
    draft.commit()?;
    let known = known(folder);
    for (_, old) in known.iter().rev().skip(KEPT) {
        fs::remove_file(old)?;
    }
    Ok(())
}

/// The newest bundle of the channel before this one that is known on this host. Says what to do when it is not the one
/// right before.
pub fn find(ctx: &Context, statement: &Statement) -> Option<BundleView> {
    let before = statement
        .serial
        .checked_sub(1)
        .filter(|serial| *serial > 0)?;
    let own = (statement.epoch, statement.serial);
    let found = folder(ctx, &statement.channel).and_then(|folder| {
        let mut known = known(&folder);
        known.retain(|(place, _)| *place < own);
        let (place, path) = known.pop()?;
        read(ctx, &path).filter(|view| is_at(view, &statement.channel, place))
    });
    let channel = quoted(&statement.channel);
    let advice = "give --against LAST, its bundle or head, or --against none";
    match &found {
        None => ctx.ui.warn(&format!(
            "the last bundle of channel {channel}, serial {before}, was neither made nor signed on this host: {advice}"
        )),
        Some(view) if view.statement.serial != before => ctx.ui.warn(&format!(
            "serial {before} of channel {channel} was neither made nor signed on this host, serial {} was: {advice}",
            view.statement.serial
        )),
        Some(_) => {}
    }
    found
}

/// The folder of a channel; `None` where there is no cache.
fn folder(ctx: &Context, channel: &str) -> Option<PathBuf> {
    match ctx.cache_dir() {
        Ok(cache) => Some(cache.join("heads").join(channel)),
        Err(error) => {
            ctx.ui.detail(&error.message);
            None
        }
    }
}

/// The heads in a folder, oldest first; what has another name is not ours.
fn known(folder: &Path) -> Vec<(Place, PathBuf)> {
    let mut known: Vec<(Place, PathBuf)> = fs::list(folder)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|path| Some((place(&path)?, path)))
        .collect();
    known.sort();
    known
}

fn place(path: &Path) -> Option<Place> {
    let name = path.file_name()?.to_str()?.strip_suffix(".head")?;
    let (epoch, serial) = name.split_once('-')?;
    Some((epoch.parse().ok()?, serial.parse().ok()?))
}

fn read(ctx: &Context, path: &Path) -> Option<BundleView> {
    match subject::open(ctx, path, None) {
        Ok(Subject::Bundle(view)) => Some(*view),
        Ok(Subject::Lock(_)) => None,
        Err(_damaged) => {
            let name = escaped(&path.to_string_lossy());
            ctx.ui
                .detail(&format!("{name} is damaged and was not used"));
            None
        }
    }
}

fn is_at(view: &BundleView, channel: &str, place: Place) -> bool {
    let found = &view.statement;
    found.channel == channel && (found.epoch, found.serial) == place
}
