//! The baseline of what a verified bundle installs.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::base::digest::{Digest, Hashing};
use crate::base::runtime::Runtime;
use crate::base::text::shown;
use crate::cli::Context;
use crate::cli::ui::Failure;
use crate::fs::{self, FsError, OpenFile};
use crate::hids::{self, Baseline, Said};
use crate::lock::{Lock, Records};
use crate::verify::Bundle;

/// Where a bundle has its records.
const RECORDS: &str = "lock/records";

/// Reads each artifact of `bundle`, which was verified, from `file`; one at a time is written into a folder below `folder`.
pub(crate) fn of(
    ctx: &Context,
    file: &Path,
    bundle: &Bundle,
    lock: &Lock,
    runtime: &Runtime,
    folder: &Path,
) -> Result<Vec<Baseline>, Failure> {
    let mut records = Records::new();
    for ecosystem in lock.records.keys() {
        let path = format!("{RECORDS}/{ecosystem}.json");
        let mut documents = bundle.documents.iter();
        let found = documents.find(|(at, _)| at.as_str() == path);
        records.extend(found.map(|(_, bytes)| (ecosystem.clone(), bytes.clone())));
    }
    let said = Said {
        lock,
        records: &records,
        runtime,
    };
    let artifacts = hids::artifacts(lock, &bundle.manifest.artifacts());
    let places = bundle.manifest.offsets(fs::size(file)?);
    fs::create_dir_all(folder, 0o755)?;
    let draft = fs::temporary_folder(folder, ".stage-ticket")?;
    let copy = draft.join("artifact");
    let open = |artifact: &hids::Artifact<'_>| {
        let place = places.get(&artifact.digest).copied();
        taken_out(file, place, &artifact.digest, &copy)
    };
    let read = hids::baselines(&said, &artifacts, open, &ctx.ui);
    fs::remove_tree(&draft)?;
    Ok(read?)
}

/// Copies one blob of a bundle; it must still be what was verified.
fn taken_out(
    bundle: &Path,
    place: Option<(u64, u64)>,
    digest: &Digest,
    copy: &Path,
) -> Result<OpenFile, FsError> {
    let changed = || io::Error::other(format!("{} changed while it was read", shown(bundle)));
    let (start, length) = place
        .ok_or_else(changed)
        .map_err(fs::context("read", bundle))?;
    let mut from = fs::open_at(bundle, start)?.take(length);
    let mut to = Hashing::new(fs::create_new(copy, 0o600)?);
    io::copy(&mut from, &mut to).map_err(fs::context("write", copy))?;
    to.flush().map_err(fs::context("write", copy))?;
    let (mut file, digests, _) = to.finish();
    if digests.sha256 != *digest {
        return Err(changed()).map_err(fs::context("read", bundle));
    }
    file.seek(SeekFrom::Start(0))
        .map_err(fs::context("read", copy))?;
    // Open, it is still there; its name is free for the next one.
    fs::remove_file(copy)?;
    Ok(file)
}
