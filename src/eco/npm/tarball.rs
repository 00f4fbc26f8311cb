//! Looking into a tarball for the packages it bundles. Entries are only read, never written anywhere; sizes and
//! numbers are bounded.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::GzDecoder;

use crate::base::digest::{Digests, UpstreamChecksum};
use crate::base::limits::Limited;
use crate::eco::npm::fault::NpmError;
use crate::eco::npm::manifest::Manifest;
use crate::eco::npm::placed;

/// Most bytes after unpacking.
const MAX_UNPACKED: u64 = 4 << 30;
/// Most entries.
const MAX_ENTRIES: usize = 500_000;
/// Largest `package.json`.
const MAX_MANIFEST: u64 = 4 << 20;

/// The packages in the `node_modules` of a release's tarball, by path below the package. `bytes` must be what the
/// registry's SHA-512 says.
pub(crate) fn bundled(of: &Manifest, bytes: &[u8]) -> Result<Vec<(String, Manifest)>, NpmError> {
    let release = crate::base::text::escaped(&format!("{}@{}", of.name, of.version));
    let checksum = of.tarball.as_ref().and_then(|t| t.checksum.as_ref());
    let Some(checksum @ (UpstreamChecksum::Sha512(_) | UpstreamChecksum::Sha256(_))) = checksum
    else {
        // Denied by a finding of its own: nothing inside may be believed.
        return Ok(Vec::new());
    };
    let digests = Digests::of(bytes);
    if !checksum.confirms(&digests) {
        return Err(NpmError::TarballMismatch {
            release,
            expected: checksum.to_string(),
            found: digests.sha512.to_string(),
        });
    }
    read(bytes).map_err(|e| NpmError::Tarball {
        release,
        reason: crate::base::text::escaped(&e.to_string()),
    })
}

fn read(bytes: &[u8]) -> std::io::Result<Vec<(String, Manifest)>> {
    let mut archive = tar::Archive::new(Limited::new(GzDecoder::new(bytes), MAX_UNPACKED));
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
    use crate::base::digest::{Digests, UpstreamChecksum};
    use crate::eco::npm::manifest::{Manifest, Tarball};

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

    fn owner(checksum: Option<UpstreamChecksum>) -> Manifest {
        let mut manifest =
            Manifest::from_package_json("x", br#"{"name":"x","version":"1.0.0"}"#).unwrap();
        manifest.tarball = Some(Tarball {
            path: "x/-/x-1.0.0.tgz".to_owned(),
            checksum,
        });
        manifest
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
    fn bytes_must_be_those_the_registry_means() {
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
        let sum = UpstreamChecksum::Sha512(Digests::of(&bytes).sha512);
        let found = bundled(&owner(Some(sum)), &bytes).unwrap();
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
        let other = UpstreamChecksum::Sha512(Digests::of(b"").sha512);
        bundled(&owner(Some(other)), &bytes).unwrap_err();
        assert!(bundled(&owner(None), &bytes).unwrap().is_empty());
        let sum = |bytes: &[u8]| Some(UpstreamChecksum::Sha512(Digests::of(bytes).sha512));
        bundled(&owner(sum(b"no gzip")), b"no gzip").unwrap_err();
        let cut = &bytes[..bytes.len() / 2];
        bundled(&owner(sum(cut)), cut).unwrap_err();
    }
}
