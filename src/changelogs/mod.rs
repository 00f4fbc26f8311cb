//! Vulnerabilities that the changelogs of carried Debian packages mention (Debian Policy 12.7). A mention says that the
//! maintainer did something about it in a version; nobody checked what. It is shown as that, and decides nothing.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use crate::base::limits::Limited;
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::progress::{Progress, Unit};
use crate::base::workers;
use crate::fs::{self, FsError, OpenFile};
use crate::lock::Lock;
use crate::store::Store;
use crate::unpack::{self, Member, Part};

/// Most archives that are read at the same time.
const MAX_WORKERS: usize = 8;
/// Longest changelog, in bytes, unpacked.
const LIMIT: u64 = 64 << 20;
/// Most vulnerabilities of one package.
const MOST: usize = 10_000;
/// Where packages have their documents.
const FOLDER: &str = "usr/share/doc/";

/// By id of CVE, the first version whose entry mentions it.
pub type Mentions = BTreeMap<String, String>;

/// What was read, and what could not be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changelogs {
    /// What each package mentions; one that mentions nothing is not in it.
    pub mentions: BTreeMap<ReleaseId, Mentions>,
    /// Packages of which there is no changelog to read: not in the store, damaged, or in another package.
    pub unread: Vec<ReleaseId>,
}

/// Reads the changelog of every carried Debian package of `lock` that is in the store.
///
/// # Errors
/// A file of the store cannot be opened.
pub fn read(lock: &Lock, store: &Store, progress: &dyn Progress) -> Result<Changelogs, FsError> {
    let debian = EcosystemId::debian();
    let (mut jobs, mut found) = (Vec::new(), Changelogs::default());
    for (package, artifact) in lock.carried_artifacts() {
        if package.ecosystem != debian {
            continue;
        }
        match store.find(&artifact.checksum)? {
            Some(stored) => jobs.push((package, stored.path)),
            None => found.unread.push(package.id()),
        }
    }
    progress.begin("Reading changelogs", jobs.len() as u64, Unit::Items);
    let results = workers::map(&jobs, MAX_WORKERS, |(package, path)| {
        let text = fs::open(path).map(|file| changelog(file, &package.name));
        progress.advance(1);
        text
    });
    progress.end();
    for ((package, _), text) in jobs.iter().zip(results) {
        match text? {
            None => found.unread.push(package.id()),
            Some(text) => {
                let mentions = mentions(&text);
                if !mentions.is_empty() {
                    found
                        .mentions
                        .entry(package.id())
                        .or_default()
                        .extend(mentions);
                }
            }
        }
    }
    found.unread.sort();
    found.unread.dedup();
    Ok(found)
}

/// The Debian changelog in an archive: that of the package, or of a native package its only one.
fn changelog(file: OpenFile, package: &str) -> Option<String> {
    let own = format!("{FOLDER}{package}/");
    let (mut debian, mut only) = (None, None);
    let walked = unpack::walk(file, Part::Data, &mut |path, member| {
        let path = path.trim_start_matches("./").trim_start_matches('/');
        let name = path.strip_prefix(&own);
        let (Some(name @ ("changelog.Debian.gz" | "changelog.gz")), Member::File(bytes)) =
            (name, member)
        else {
            return Ok(());
        };
        let mut text = Vec::new();
        Limited::new(MultiGzDecoder::new(bytes), LIMIT).read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        if name == "changelog.gz" {
            only = Some(text);
        } else {
            debian = Some(text);
        }
        Ok(())
    });
    walked.ok()?;
    debian.or(only)
}

/// The ids that a changelog mentions, each with the oldest version whose entry does: entries stand newest first.
fn mentions(text: &str) -> Mentions {
    let (mut found, mut version) = (Mentions::new(), None);
    for line in text.lines() {
        if !line.starts_with([' ', '\t']) {
            version = heading(line).or(version);
            continue;
        }
        for id in ids(line) {
            if let Some(version) = version.filter(|_| found.len() < MOST) {
                found.insert(id, version.to_owned());
            }
        }
    }
    found
}

/// The version in the first line of an entry: `package (version) suite; urgency=...`.
fn heading(line: &str) -> Option<&str> {
    let (package, rest) = line.split_once(" (")?;
    let (version, rest) = rest.split_once(')')?;
    let is_heading = rest.contains(';') && !package.contains(' ') && !version.contains(' ');
    let fine = version.len() <= 128 && version.bytes().all(|b| b.is_ascii_graphic());
    (is_heading && fine).then_some(version)
}

/// Every `CVE-YYYY-NNNN...` in a line.
fn ids(line: &str) -> impl Iterator<Item = String> {
    line.match_indices("CVE-").filter_map(|(at, _)| {
        let rest = line.get(at + 4..)?;
        let (year, rest) = rest.split_at_checked(4)?;
        let number = rest.strip_prefix('-')?;
        let length = number.bytes().take_while(u8::is_ascii_digit).count();
        let number = number.get(..length)?;
        let fine = year.bytes().all(|b| b.is_ascii_digit()) && (4..=10).contains(&length);
        fine.then(|| format!("CVE-{year}-{number}"))
    })
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn a_mention_belongs_to_the_entry_that_it_stands_in() {
        let text = "app (1.0-1+deb12u2) bookworm-security; urgency=high\n\n  * Fix CVE-2026-0001, CVE-2026-12345.\n  \
                    * See also (CVE-2025-9999)\n\n -- A <a@debs.example>  Mon, 01 Jan 2026 00:00:00 +0000\n\napp (1.0-1) unstable; \
                    urgency=low\n\n  * CVE-2025-9999: really fixed; CVE-20-1, CVE-2025-123, CVE-2025-x, xCVE-2024-4444\n";
        let found = mentions(text);
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("CVE-2024-4444", "1.0-1"),
                ("CVE-2025-9999", "1.0-1"),
                ("CVE-2026-0001", "1.0-1+deb12u2"),
                ("CVE-2026-12345", "1.0-1+deb12u2"),
            ]
        );
        assert!(
            mentions("  * CVE-2026-0001 before any entry\nNews (x y); CVE-2026-0002\n").is_empty()
        );
    }
}
