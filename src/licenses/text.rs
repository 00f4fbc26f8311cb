//! Reading the license files of packages whose declared license is no SPDX expression: `SEE LICENSE IN x`, words of their
//! own, or nothing. Nothing is concluded from a text; it travels so that who decides can read it.

use std::io::{self, Read};

use super::readable;
use crate::eco::npm;
use crate::fs::OpenFile;
use crate::unpack::{self, Member, Part};

/// Most bytes of a text that are carried; the GNU GPL has 35 thousand.
const MAX_TEXT: u64 = 64 << 10;
/// How the names of license files begin, in upper case.
const BEGINNINGS: [&str; 4] = ["LICENSE", "LICENCE", "COPYING", "UNLICENSE"];

/// The text of the license file of a package of `ecosystem`, safe to print; `None` if it has none, or cannot be read.
/// `declared` may name the file.
pub(super) fn read(file: OpenFile, ecosystem: &str, declared: &str) -> Option<String> {
    let named = npm::license_file(declared).filter(|_| ecosystem == "npm");
    let mut best: Option<(Rank, String)> = None;
    let walked = unpack::walk(file, Part::Data, &mut |path, member| {
        let Member::File(bytes) = member else {
            return Ok(());
        };
        let inside = inside(path.trim_start_matches("./"));
        let Some(rank) = inside.and_then(|inside| rank(inside, named)) else {
            return Ok(());
        };
        if best.as_ref().is_none_or(|(other, _)| rank < *other) {
            best = Some((rank, text(bytes)?));
        }
        Ok(())
    });
    let (_, text) = best.filter(|_| walked.is_ok())?;
    (!text.trim().is_empty()).then_some(text)
}

/// What comes first: the file that is named, then the shortest path, then the first by name.
type Rank = (bool, usize, String);

/// A path below the folder that an archive has around everything, or below a wheel's folder of metadata.
fn inside(path: &str) -> Option<&str> {
    let (first, inside) = path.split_once('/')?;
    let inside = if first.ends_with(".dist-info") {
        inside.strip_prefix("licenses/").unwrap_or(inside)
    } else {
        inside
    };
    Some(inside)
}

fn rank(inside: &str, named: Option<&str>) -> Option<Rank> {
    let is_named = named == Some(inside);
    let upper = inside.to_ascii_uppercase();
    let is_one = !inside.contains('/') && BEGINNINGS.iter().any(|start| upper.starts_with(start));
    // `license.js` is a program.
    let is_code = [".JS", ".TS", ".PY", ".RS"]
        .iter()
        .any(|end| upper.ends_with(end));
    (is_named || (is_one && !is_code)).then(|| (!is_named, inside.len(), inside.to_owned()))
}

fn text(bytes: &mut dyn Read) -> io::Result<String> {
    let mut read = Vec::new();
    bytes.take(MAX_TEXT).read_to_end(&mut read)?;
    Ok(carried(&read))
}

/// As much of a license file as is carried, readable.
pub(super) fn carried(bytes: &[u8]) -> String {
    let most = usize::try_from(MAX_TEXT).unwrap_or(usize::MAX);
    let begin = bytes.get(..bytes.len().min(most)).unwrap_or_default();
    readable(&String::from_utf8_lossy(begin))
}

#[cfg(test)]
mod tests {
    use super::{inside, rank};

    #[test]
    fn the_file_that_is_meant_comes_first() {
        let best = |named: Option<&str>, paths: &[&'static str]| {
            let ranked = paths.iter().filter_map(|path| {
                let rank = inside(path).and_then(|inside| rank(inside, named))?;
                Some((rank, *path))
            });
            ranked.min().map(|(_, path)| path)
        };
        let paths = [
            "package/LICENSE-MIT",
            "package/docs/terms.md",
            "package/LICENSE",
        ];
        assert_eq!(best(None, &paths), Some("package/LICENSE"));
        assert_eq!(
            best(Some("docs/terms.md"), &paths),
            Some("package/docs/terms.md")
        );
        let wheel = [
            "a/LICENSE.py",
            "a-1.dist-info/METADATA",
            "a-1.dist-info/licenses/LICENCE.txt",
        ];
        assert_eq!(best(None, &wheel), Some(wheel[2]));
        assert_eq!(
            best(
                None,
                &["package/lib/LICENSE", "LICENSE", "package/license.js"]
            ),
            None
        );
    }
}
