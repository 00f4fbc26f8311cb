//! The chain of a Debian package, proved again: a release signed by a pinned certificate lists an index by digest, and
//! the index has the very entry that the records keep, which states the digest of the `.deb`.
//!
//! The signed release and the certificates that counted stand in the records; the indexes travel as their archive packs
//! them. An index cannot be cut without losing its digest, so it travels whole.
//!
//! ```text
//! upstream/debian/<archive>/dists/<suite>/InRelease                                  the records' text once more, for gpgv
//! upstream/debian/<archive>/dists/<suite>/<component>/binary-<arch>/Packages.xz      or .gz, .zst, nothing
//! upstream/debian/certificates.pgp                                                   those of the records, for gpgv
//! ```
//!
//! Times are judged as of when the bundle was made: that a release was fresh is a matter of resolving, and what a key
//! signed while it lived stays signed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, BufReader, Read};

use crate::base::digest::{Digest, Digests, Hashing};
use crate::base::evidence::Level;
use crate::base::fault::{Class, Code, Fault as _};
use crate::base::limits::Limited;
use crate::base::text::{base64, escaped, quoted};
use crate::base::time::Timestamp;
use crate::eco::EcoError;
use crate::eco::debian::deb_file;
use crate::eco::debian::records::{self, DebianPackage, DebianRecords, SignedRelease};
use crate::eco::debian::release::{self, Release};
use crate::eco::vouched::{CarriedFiles, Verdict, Vouched};
use crate::openpgp::keyring::Keyring;
use crate::openpgp::verify;

/// Codes of this module.
pub const CODES: &[&Code] = &[&CHAIN];

static CHAIN: Code = Code::classed("debian-chain", Class::E51);

/// Folder of everything that proves chains.
pub const FOLDER: &str = "upstream/debian/";
/// The certificates of the records in one file.
pub const CERTIFICATES: &str = "upstream/debian/certificates.pgp";
/// How indexes are packed, the best first.
const SUFFIXES: [&str; 4] = [".xz", ".gz", ".zst", ""];
/// Most bytes of an index, unpacked.
const UNPACKED: u64 = 1 << 30;
/// Most memory that unpacking may take: what `xz -9` needs.
const MEMORY: u32 = 80 << 10;
/// Most bytes of a line, and of an entry, in an index.
const MOST_LINE: usize = 1 << 20;
const MOST_ENTRY: usize = 4 << 20;

/// The records with what proves them.
#[derive(Debug)]
pub struct Chains<'a> {
    records: &'a DebianRecords,
    keyring: Result<Keyring, String>,
    at: Timestamp,
}

/// An index that entries of the records stand in.
pub type IndexName<'a> = (&'a str, &'a str);

impl<'a> Chains<'a> {
    /// Judges by the records' own certificates, or by a keyring that the reader brings.
    pub fn new(records: &'a DebianRecords, keyring: Option<&Keyring>, at: Timestamp) -> Self {
        let keyring = match keyring {
            Some(keyring) => Ok(keyring.clone()),
            None => recorded(records),
        };
        Self {
            records,
            keyring,
            at,
        }
    }

    /// Every index that is needed, by release and path, with the entries that must stand in it.
    pub fn indexes(&self) -> BTreeMap<IndexName<'a>, Vec<records::Entry<'a>>> {
        let mut found: BTreeMap<IndexName<'_>, Vec<_>> = BTreeMap::new();
        for entry in self.records.entries() {
            let (_, _, package) = &entry;
            let name = (package.release.as_str(), package.index.as_str());
            found.entry(name).or_default().push(entry);
        }
        found
    }

    /// A release of the records, once its signature holds. The error says why it does not.
    pub fn release(&self, label: &str) -> Result<Release, (&'static Code, String)> {
        let fail = |reason: String| (&CHAIN, format!("{}: {reason}", quoted(label)));
        let signed = self.records.releases.get(label);
        let signed = signed.ok_or_else(|| fail("is not in the records".to_owned()))?;
        let keyring = self.keyring.as_ref().map_err(|e| fail(e.clone()))?;
        let text = self
            .signed_text(signed, keyring)
            .map_err(|(code, reason)| (code, format!("{}: {reason}", quoted(label))))?;
        let release = release::parse(&text).map_err(fail)?;
        let (_, suite) = place(label).ok_or_else(|| fail("is no name of a release".to_owned()))?;
        if !release.is(suite) {
            return Err(fail("it is of another suite".to_owned()));
        }
        Ok(release)
    }

    /// The text that was signed, and only that.
    fn signed_text(
        &self,
        signed: &SignedRelease,
        keyring: &Keyring,
    ) -> Result<String, (&'static Code, String)> {
        let refused = |e: &crate::openpgp::OpenpgpError| (e.code(), e.to_string());
        let whole = signed.text.as_bytes();
        let Some(signature) = &signed.signature else {
            let read = verify::cleartext(whole, keyring, self.at);
            return read.map(|s| s.text).map_err(|e| refused(&e));
        };
        let binary = base64(signature);
        let bytes = binary.as_deref().unwrap_or(signature.as_bytes());
        verify::detached(whole, bytes, keyring, self.at).map_err(|e| refused(&e))?;
        Ok(signed.text.clone())
    }

    /// The small files that travel: each release as it came, and the certificates.
    pub fn documents(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for (label, signed) in &self.records.releases {
            let Some(folder) = folder(label) else {
                continue;
            };
            let text = signed.text.clone().into_bytes();
            match &signed.signature {
                None => {
                    files.insert(format!("{folder}/InRelease"), text);
                }
                Some(signature) => {
                    let binary = base64(signature);
                    let bytes = binary.unwrap_or_else(|| signature.clone().into_bytes());
                    files.insert(format!("{folder}/Release"), text);
                    files.insert(format!("{folder}/Release.gpg"), bytes);
                }
            }
        }
        if let Ok(bytes) = certificates(self.records) {
            files.insert(CERTIFICATES.to_owned(), bytes);
        }
        files
    }

    /// Proves every entry of the records by what is carried.
    pub(crate) fn prove(&self, files: &dyn CarriedFiles) -> Vouched {
        let mut found = Vouched::new();
        for ((label, index), entries) in self.indexes() {
            let verdict = self.index(label, index, &entries, files);
            for (id, arch, package) in entries {
                let file = deb_file(&id.name, &id.version, arch);
                let own = match &verdict {
                    Ok(missing) if missing.contains(package.stanza.as_bytes()) => {
                        refused(format!("{index} of {} has no such entry", quoted(label)))
                    }
                    Ok(_) => Verdict::Signed {
                        level: Level::L4,
                        by: self.signers(label),
                    },
                    Err(verdict) => verdict.clone(),
                };
                found.insert((id, file), own);
            }
        }
        found
    }

    fn signers(&self, label: &str) -> Vec<String> {
        let release = self.records.releases.get(label);
        release.map(|r| r.signers.clone()).unwrap_or_default()
    }

    /// The entries that an index does not have; an error where the chain breaks before.
    fn index<'p>(
        &self,
        label: &str,
        index: &str,
        entries: &[records::Entry<'p>],
        files: &dyn CarriedFiles,
    ) -> Result<BTreeSet<&'p [u8]>, Verdict> {
        let release = self
            .release(label)
            .map_err(|(code, reason)| Verdict::Refused { code, reason })?;
        let shown = || format!("{index} of {}", quoted(label));
        let folder = folder(label).unwrap_or_default();
        let carried = SUFFIXES.into_iter().find_map(|suffix| {
            let path = format!("{folder}/{index}{suffix}");
            Some((suffix, files.digest(&path)?, path))
        });
        let Some((suffix, digest, path)) = carried else {
            let reason = format!("{} is not carried", shown());
            return Err(Verdict::Missing { reason });
        };
        let listed = release.files.get(&format!("{index}{suffix}"));
        if listed.map(|(digest, _)| *digest) != Some(digest) {
            return Err(refused(format!(
                "{} is not the one that the release lists",
                shown()
            )));
        }
        let mut wanted: BTreeSet<&[u8]> = entries
            .iter()
            .map(|(_, _, package): &records::Entry<'p>| -> &'p DebianPackage { package })
            .map(|package| package.stanza.as_bytes())
            .collect();
        let plain = release.files.get(index).map_or(UNPACKED, |(_, size)| *size);
        let read = files
            .open(&path)
            .and_then(|packed| search(packed, suffix, plain.min(UNPACKED), &mut wanted));
        let found = read.map_err(|e| {
            refused(format!(
                "{} cannot be read: {}",
                shown(),
                escaped(&e.to_string())
            ))
        })?;
        if found.sha256 != digest {
            return Err(refused(format!(
                "{} was changed while it was read",
                shown()
            )));
        }
        Ok(wanted)
    }
}

fn refused(reason: String) -> Verdict {
    Verdict::Refused {
        code: &CHAIN,
        reason,
    }
}

/// Archive and suite of a release, by its name in the records: `debian dists/bookworm/InRelease`.
pub(crate) fn place(label: &str) -> Option<(&str, &str)> {
    let (archive, path) = label.split_once(' ')?;
    let (suite, file) = path.strip_prefix("dists/")?.rsplit_once('/')?;
    matches!(file, "InRelease" | "Release").then_some((archive, suite))
}

/// Where the files of a release are in a bundle.
pub fn folder(label: &str) -> Option<String> {
    let (archive, suite) = place(label)?;
    Some(format!("{FOLDER}{archive}/dists/{suite}"))
}

/// The keyring of the records' certificates.
fn recorded(records: &DebianRecords) -> Result<Keyring, String> {
    let bytes = certificates(records)?;
    Keyring::parse(&bytes).map_err(|e| e.to_string())
}

/// The records' certificates one after the other.
fn certificates(records: &DebianRecords) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    for (fingerprint, text) in &records.certificates {
        let bytes = base64(text)
            .ok_or_else(|| format!("the certificate {} is not Base64", quoted(fingerprint)))?;
        all.extend(bytes);
    }
    if all.is_empty() {
        return Err("the records have no certificates; resolve again to have them".to_owned());
    }
    Ok(all)
}

/// Takes out of `wanted` what the index has; returns the digests of the packed bytes, all of which are read.
fn search(
    packed: Box<dyn Read + '_>,
    suffix: &str,
    most: u64,
    wanted: &mut BTreeSet<&[u8]>,
) -> io::Result<Digests> {
    let mut packed = Hashing::new(BufReader::new(packed));
    match suffix {
        ".xz" => {
            let xz = lzma_rust2::XzReader::new_mem_limit(&mut packed, true, MEMORY);
            entries(Limited::new(xz, most), wanted)?;
        }
        ".gz" => {
            let gzip = flate2::read::MultiGzDecoder::new(&mut packed);
            entries(Limited::new(gzip, most), wanted)?;
        }
        ".zst" => {
            let mut zstd = zstd::stream::read::Decoder::new(&mut packed)?;
            zstd.window_log_max(27)?;
            entries(Limited::new(zstd, most), wanted)?;
        }
        _ => entries(Limited::new(&mut packed, most), wanted)?,
    }
    io::copy(&mut packed, &mut io::sink())?;
    Ok(packed.finish().1)
}

/// Goes through the entries of an index, as `control::stanzas` parts them, one in memory at a time.
fn entries(text: impl Read, wanted: &mut BTreeSet<&[u8]>) -> io::Result<()> {
    let mut lines = BufReader::new(text);
    let (mut entry, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        let most = MOST_LINE as u64 + 1;
        let read = (&mut lines).take(most).read_until(b'\n', &mut line)?;
        if line.len() > MOST_LINE || entry.len() > MOST_ENTRY {
            return Err(io::Error::other("a line or an entry is too large"));
        }
        let blank = line
            .iter()
            .all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
        if !blank {
            entry.extend_from_slice(&line);
            continue;
        }
        wanted.remove(entry.strip_suffix(b"\n").unwrap_or(&entry));
        entry.clear();
        if read == 0 {
            return Ok(());
        }
    }
}

/// Proves the entries of a records document.
pub(crate) fn prove(
    records: &[u8],
    files: &dyn CarriedFiles,
    keyring: Option<&Keyring>,
    at: Timestamp,
) -> Result<Vouched, EcoError> {
    let records = records::parse(records)?;
    let chains = Chains::new(&records, keyring, at);
    let mut found = chains.prove(files);
    // What stands beside the records for other programs must be the same.
    for (path, bytes) in chains.documents() {
        if files.digest(&path).is_some_and(|d| d != Digest::of(&bytes)) {
            for verdict in found.values_mut() {
                *verdict = refused(format!("{} is not the one of the records", quoted(&path)));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Write as _;

    use super::{folder, place, search};

    #[test]
    fn entries_are_found_in_every_packing_and_only_whole() {
        let text = "Package: a\nSHA256: 1\nDescription: x\n y\n\n\n \t\nPackage: b\nSHA256: 2\n\nPackage: c";
        let gzip = |text: &str| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(text.as_bytes()).unwrap();
            out.finish().unwrap()
        };
        let packed = [
            ("", text.as_bytes().to_vec()),
            (".gz", gzip(text)),
            (".zst", zstd::bulk::compress(text.as_bytes(), 1).unwrap()),
        ];
        for (suffix, bytes) in packed {
            let mut wanted: BTreeSet<&[u8]> = [
                &b"Package: a\nSHA256: 1\nDescription: x\n y"[..],
                b"Package: b\nSHA256: 2",
                b"Package: c",
                b"Package: b\nSHA256: 3",
                b"Package: b",
                b"",
            ]
            .into();
            let digests = search(Box::new(&bytes[..]), suffix, 1 << 20, &mut wanted).unwrap();
            assert_eq!(digests.sha256, crate::base::digest::Digest::of(&bytes));
            let left: Vec<&[u8]> = wanted.into_iter().collect();
            assert!(left.contains(&&b"Package: b\nSHA256: 3"[..]), "{suffix}");
            assert!(left.contains(&&b"Package: b"[..]), "{suffix}");
            assert!(left.len() <= 3, "{suffix}: {left:?}");
            let bomb = search(Box::new(&bytes[..]), suffix, 20, &mut BTreeSet::new());
            assert!(bomb.is_err(), "{suffix}");
        }
        search(Box::new(&b"x"[..]), ".xz", 9, &mut BTreeSet::new()).unwrap_err();
    }

    #[test]
    fn releases_are_named_by_archive_and_suite() {
        assert_eq!(
            place("debian-2 dists/stable/updates/InRelease"),
            Some(("debian-2", "stable/updates"))
        );
        assert_eq!(
            folder("debian dists/bookworm/Release").unwrap(),
            "upstream/debian/debian/dists/bookworm"
        );
        for bad in [
            "debian",
            "debian dists/bookworm",
            "debian dists/x/Packages",
            "dists/x/InRelease",
        ] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }
}
