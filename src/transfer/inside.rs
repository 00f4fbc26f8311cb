//! The members of an archive in which something was found, to say which of them it was.

use std::io;
use std::path::Path;

use crate::base::limits::Limited;
use crate::fs::{self, FsError};
use crate::unpack::{self, Container, Member, Part};

/// Most bytes that are written; what comes after is not named.
const MOST: u64 = 4 << 30;
/// Most members.
const MEMBERS: usize = 100_000;

/// Writes each member into a folder by its number, and returns their names in this order. An archive that breaks off, or
/// is none, has no more members.
///
/// # Errors
/// The folder cannot be written.
pub fn members(archive: &Path, folder: &Path) -> Result<Vec<String>, FsError> {
    let mut names: Vec<String> = Vec::new();
    let mut left = MOST;
    let mut failed = None;
    for part in [Part::Data, Part::Control] {
        let walked = unpack::walk_whole(fs::open(archive)?, part, &mut |name, _header, member| {
            let Member::File(bytes) = member else {
                return Ok(());
            };
            if names.len() >= MEMBERS {
                return Err(io::Error::other("there are more members"));
            }
            let path = folder.join(names.len().to_string());
            let file = fs::create_new(&path, 0o600);
            let mut file = match file {
                Ok(file) => file,
                Err(error) => {
                    failed = Some(error);
                    return Err(io::Error::other("the folder cannot be written"));
                }
            };
            names.push(name.to_owned());
            let mut bytes = Limited::new(bytes, left);
            io::copy(&mut bytes, &mut file)?;
            left = bytes.left();
            Ok(())
        });
        if let Some(error) = failed.take() {
            return Err(error);
        }
        // Only these have two parts.
        if !matches!(walked, Ok(Container::Debian)) {
            break;
        }
    }
    Ok(names)
}
