//! Looking into a `.crate` file (a gzipped tar with everything below `<name>-<version>/`) for its `Cargo.lock` and its
//! `Cargo.toml`. Entries are only read, never written anywhere; sizes and numbers are bounded.

use std::io::{self, BufReader, Read};

use flate2::bufread::GzDecoder;

use crate::base::limits::Limited;
use crate::base::package::ReleaseId;
use crate::base::text::escaped;
use crate::eco::cargo::fault::CargoError;
use crate::eco::cargo::lockfile;
use crate::eco::cargo::records::About;

/// Most bytes after unpacking.
const MAX_UNPACKED: u64 = 1 << 30;
/// Most entries.
const MAX_ENTRIES: usize = 200_000;
/// Largest `Cargo.toml`.
const MAX_MANIFEST: u64 = 1 << 20;
/// Bytes read at a time.
const BUFFER: usize = 1 << 16;

/// What is looked for in a crate.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Inside {
    /// Bytes of its `Cargo.lock`.
    pub(crate) lockfile: Option<Vec<u8>>,
    /// What its `Cargo.toml` says of it.
    pub(crate) about: About,
}

/// Reads the file of `release`. Its checksum was confirmed when it was stored.
pub(crate) fn look(release: &ReleaseId, file: impl Read) -> Result<Inside, CargoError> {
    read(release, file).map_err(|e| CargoError::Archive {
        release: escaped(&release.to_string()),
        reason: escaped(&e.to_string()),
    })
}

fn read(release: &ReleaseId, file: impl Read) -> io::Result<Inside> {
    let folder = format!("{}-{}", release.name, release.version);
    let (lock, manifest) = (
        format!("{folder}/Cargo.lock"),
        format!("{folder}/Cargo.toml"),
    );
    let buffered = BufReader::with_capacity(BUFFER, file);
    let mut archive = tar::Archive::new(Limited::new(GzDecoder::new(buffered), MAX_UNPACKED));
    let mut inside = Inside::default();
    let mut has_manifest = false;
    for (number, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        if number >= MAX_ENTRIES {
            return Err(io::Error::other(format!("more than {MAX_ENTRIES} entries")));
        }
        let path = entry.path_bytes().into_owned();
        let (is_lock, is_manifest) = (path == lock.as_bytes(), path == manifest.as_bytes());
        if !is_lock && !is_manifest {
            continue;
        }
        if !entry.header().entry_type().is_file() {
            return Err(io::Error::other(
                "its Cargo.lock or Cargo.toml is no plain file",
            ));
        }
        // Of two entries with one path it would depend on who unpacks which one counts.
        if (is_lock && inside.lockfile.is_some()) || (is_manifest && has_manifest) {
            return Err(io::Error::other(
                "its Cargo.lock or Cargo.toml stands in it twice",
            ));
        }
        let mut bytes = Vec::new();
        let limit = if is_lock {
            lockfile::MAX_BYTES as u64
        } else {
            MAX_MANIFEST
        };
        Limited::new(&mut entry, limit).read_to_end(&mut bytes)?;
        if is_lock {
            inside.lockfile = Some(bytes);
        } else {
            has_manifest = true;
            inside.about = about(&bytes);
        }
    }
    if has_manifest {
        Ok(inside)
    } else {
        Err(io::Error::other("it has no Cargo.toml"))
    }
}

/// License, description and addresses of a `Cargo.toml`; what is not there or is no text stays unknown.
fn about(manifest: &[u8]) -> About {
    let text = std::str::from_utf8(manifest).unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    let package = table.get("package").and_then(toml::Value::as_table);
    let field = |key: &str| {
        let text = package?.get(key)?.as_str()?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let authors = package.and_then(|p| p.get("authors")?.as_array());
    About {
        author: authors.and_then(|list| Some(list.first()?.as_str()?.to_owned())),
        license: field("license"),
        description: field("description"),
        homepage: field("homepage"),
        repository: field("repository"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::look;
    use crate::base::package::ReleaseId;

    /// A `.crate` file with these entries.
    pub(crate) fn pack(files: &[(&str, &str)]) -> Vec<u8> {
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut builder = tar::Builder::new(gzip);
        for (path, text) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder
                .append_data(&mut header, path, text.as_bytes())
                .unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    const MANIFEST: &str = "[package]\nname = \"a\"\nlicense = \"MIT\"\ndescription = \" it \"\nauthors = [\"Ann\"]\nhomepage = 7\n";

    #[test]
    fn only_the_crate_s_own_files_count() {
        let release = ReleaseId::new("a", "1.0.0");
        let bytes = pack(&[
            ("a-1.0.0/Cargo.toml", MANIFEST),
            ("a-1.0.0/fuzz/Cargo.lock", "not this"),
            ("Cargo.lock", "nor this"),
            ("a-1.0.0/Cargo.lock", "this"),
        ]);
        let inside = look(&release, bytes.as_slice()).unwrap();
        assert_eq!(inside.lockfile.as_deref(), Some(&b"this"[..]));
        assert_eq!(inside.about.license.as_deref(), Some("MIT"));
        assert_eq!(inside.about.description.as_deref(), Some("it"));
        assert_eq!(inside.about.author.as_deref(), Some("Ann"));
        assert_eq!(inside.about.homepage, None);
        let bare = pack(&[("a-1.0.0/Cargo.toml", "[package")]);
        assert_eq!(look(&release, bare.as_slice()).unwrap().lockfile, None);
    }

    #[test]
    fn hostile_files_are_errors() {
        let release = ReleaseId::new("a", "1.0.0");
        let good = pack(&[("a-1.0.0/Cargo.toml", MANIFEST)]);
        let twice = pack(&[
            ("a-1.0.0/Cargo.toml", MANIFEST),
            ("a-1.0.0/Cargo.lock", "one"),
            ("a-1.0.0/Cargo.lock", "two"),
        ]);
        let long = pack(&[("a-1.0.0/Cargo.lock", &" ".repeat(5 << 20))]);
        let other = pack(&[("b-1.0.0/Cargo.toml", MANIFEST)]);
        let half = &good[..good.len() / 2];
        for bad in [b"no gzip".as_slice(), half, &twice, &long, &other] {
            look(&release, bad).unwrap_err();
        }
    }
}
