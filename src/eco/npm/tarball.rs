//! Looking into a tarball for the packages it bundles. Entries are only read, never written anywhere; sizes and
//! numbers are bounded.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};

use flate2::bufread::GzDecoder;

use crate::base::limits::Limited;
use crate::eco::npm::fault::NpmError;
use crate::eco::npm::manifest::Manifest;
use crate::eco::npm::placed;

/// Most bytes after unpacking.
const MAX_UNPACKED: u64 = 4 << 30;
/// Most entries.
const MAX_ENTRIES: usize = 500_000;
/// Bytes read at a time.
const BUFFER: usize = 1 << 16;
/// Largest `package.json`.
const MAX_MANIFEST: u64 = 4 << 20;

/// The packages in the `node_modules` of a release's tarball, by path below the package. Its checksum was confirmed
/// when it was stored.
pub(crate) fn bundled(
    of: &Manifest,
    tarball: impl Read,
) -> Result<Vec<(String, Manifest)>, NpmError> {
    read(tarball).map_err(|e| NpmError::Tarball {
        release: crate::base::text::escaped(&format!("{}@{}", of.name, of.version)),
        reason: crate::base::text::escaped(&e.to_string()),
    })
}

fn read(tarball: impl Read) -> std::io::Result<Vec<(String, Manifest)>> {
    let tarball = BufReader::with_capacity(BUFFER, tarball);
    let mut archive = tar::Archive::new(Limited::new(GzDecoder::new(tarball), MAX_UNPACKED));
    let mut found: BTreeMap<String, Manifest> = BTreeMap::new();
    for (number, entry) in archive.entries()?.enumerate() {
        let entry = entry?;
        if number >= MAX_ENTRIES {
            return Err(std::io::Error::other(format!(
                "more than {MAX_ENTRIES} entries"
            )));
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path_bytes();
        let Some(folder) = std::str::from_utf8(&path).ok().and_then(package_folder) else {
            continue;
        };
        let folder = folder.to_owned();
        let mut json = Vec::new();
        Limited::new(entry, MAX_MANIFEST).read_to_end(&mut json)?;
        let name = placed::folder_of(&folder).unwrap_or_default();
        // Of two entries with one path the last one is unpacked last.
        if let Some(manifest) = Manifest::from_package_json(name, &json) {
            found.insert(folder, manifest);
        }
    }
    let mut found: Vec<(String, Manifest)> = found.into_iter().collect();
    found.sort_by_key(|(path, _)| path.matches("node_modules/").count());
    Ok(found)
}

/// `node_modules/a/node_modules/@s/b` of the entry `package/node_modules/a/node_modules/@s/b/package.json`.
fn package_folder(entry: &str) -> Option<&str> {
    let (_, path) = entry.split_once('/')?;
    let folder = path.strip_suffix("/package.json")?;
    let mut rest = folder;
    loop {
        rest = rest.strip_prefix("node_modules/")?;
        let slashes = 1 + usize::from(rest.starts_with('@'));
        let end = rest
            .match_indices('/')
            .nth(slashes - 1)
            .map_or(rest.len(), |(at, _)| at);
        if !super::is_name(rest.get(..end)?) {
            return None;
        }
        rest = rest.get(end..)?;
        match rest.strip_prefix('/') {
            Some(inner) => rest = inner,
            None => return Some(folder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{bundled, package_folder};
    use crate::eco::npm::manifest::Manifest;

    fn tarball(files: &[(&str, &str)]) -> Vec<u8> {
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

    fn owner() -> Manifest {
        Manifest::from_package_json("x", br#"{"name":"x","version":"1.0.0"}"#).unwrap()
    }

    #[test]
    fn only_package_folders_count() {
        assert_eq!(
            package_folder("package/node_modules/a/package.json"),
            Some("node_modules/a")
        );
        assert_eq!(
            package_folder("p/node_modules/@s/a/node_modules/b/package.json"),
            Some("node_modules/@s/a/node_modules/b")
        );
        for other in [
            "package/package.json",
            "package/node_modules/a/lib/package.json",
            "package/node_modules/package.json",
            "package/node_modules/../package.json",
            "package/node_modules/.bin/package.json",
            "node_modules/a/package.json",
            "package/lib/node_modules/a/package.json",
            "package/node_modules/@s/package.json",
        ] {
            assert_eq!(package_folder(other), None, "{other}");
        }
    }

    #[test]
    fn packages_inside_are_found_and_damage_is_an_error() {
        let bytes = tarball(&[
            ("package/package.json", "{}"),
            (
                "package/node_modules/b/node_modules/a/package.json",
                r#"{"version":"2.0.0"}"#,
            ),
            (
                "package/node_modules/b/package.json",
                r#"{"name":"b","version":"1.0.0"}"#,
            ),
            (
                "package/node_modules/b/package.json",
                r#"{"name":"b","version":"1.0.1"}"#,
            ),
            ("package/node_modules/broken/package.json", "{"),
        ]);
        let found = bundled(&owner(), bytes.as_slice()).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(p, m)| format!("{p} {}@{}", m.name, m.version))
            .collect();
        assert_eq!(
            found,
            [
                "node_modules/b b@1.0.1",
                "node_modules/b/node_modules/a a@2.0.0"
            ]
        );
        bundled(&owner(), &b"no gzip"[..]).unwrap_err();
        bundled(&owner(), &bytes[..bytes.len() / 2]).unwrap_err();
    }
}
