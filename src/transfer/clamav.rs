//! `clamscan` and `clamdscan` of `ClamAV`: what they are told, and what their output means. Strictly: a line that is not
//! known, or a file of which nothing was said, is a scan that failed.
//!
//! ```text
//! PATH: OK                    looked at whole
//! PATH: Empty file            of no bytes
//! PATH: NAME FOUND            NAME of a signature, or Heuristics.Limits.Exceeded.… or Heuristics.Encrypted.…
//! PATH: … ERROR               could not be read
//! ```

use std::collections::BTreeMap;

use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::transfer::{Scan, TransferError, Verdict};

/// What `clamscan` is told about limits, and what the record says of them. Larger files are beyond what it can do.
pub const LIMITS: [(&str, &str); 5] = [
    ("max-filesize", "2000M"),
    ("max-scansize", "4000M"),
    ("max-files", "200000"),
    ("max-recursion", "20"),
    // None: a slow host sees as much as a fast one.
    ("max-scantime", "0"),
];

/// `max-filesize` as a number.
pub const MAX_FILE: u64 = 2000 << 20;

/// And about everything else.
pub const OPTIONS: [&str; 6] = [
    "--stdout",
    "--no-summary",
    "--allmatch=yes",
    "--alert-exceeds-max=yes",
    "--alert-encrypted=yes",
    "--scan-archive=yes",
];

/// What `clamdscan` is told. Limits and alerts are those of the daemon's configuration.
pub const DAEMON_OPTIONS: [&str; 4] = ["--stdout", "--no-summary", "--allmatch", "--fdpass"];

/// A limit was hit.
const LIMIT: &str = "Heuristics.Limits.Exceeded";
/// It could not look inside.
const ENCRYPTED: &str = "Heuristics.Encrypted";
/// Bytes of the header of a file of definitions, and how it begins.
pub const HEADER: u64 = 512;
const MAGIC: &str = "ClamAV-VDB";

/// What was said of each file, by its path; `sizes` has every path that must be there.
///
/// # Errors
/// A line is not known, or a file is missing.
pub fn results(
    output: &str,
    sizes: &BTreeMap<String, u64>,
) -> Result<BTreeMap<String, Scan>, TransferError> {
    let mut scans: BTreeMap<String, Scan> = BTreeMap::new();
    for line in output.lines().filter(|line| !line.is_empty()) {
        let unknown = || TransferError::scanner(format!("it said {}", quoted(line)));
        let (path, size, said) = parts(line, sizes).ok_or_else(unknown)?;
        let is_first = !scans.contains_key(path);
        let scan = scans.entry(path.to_owned()).or_default();
        if said == "OK" || (said == "Empty file" && size == 0) {
            if !is_first {
                return Err(unknown());
            }
            continue;
        }
        if !is_first && scan.said.is_empty() {
            // It was called clean before.
            return Err(unknown());
        }
        match said.rsplit_once(' ') {
            Some((name, "FOUND")) => scan.add(verdict(name), name),
            Some((reason, "ERROR")) => scan.add(Verdict::Unreadable, reason),
            _ if said == "Empty file" => scan.add(Verdict::Unreadable, said),
            _ => return Err(unknown()),
        }
    }
    let missing: Vec<&String> = sizes
        .keys()
        .filter(|path| !scans.contains_key(*path))
        .collect();
    if let Some(first) = missing.first() {
        let reason = format!(
            "it said nothing of {} files, such as {}",
            missing.len(),
            escaped(first)
        );
        return Err(TransferError::scanner(reason));
    }
    Ok(scans)
}

/// The file of a line, its size, and what is said. The path of a medium may have a colon in it.
fn parts<'a>(line: &'a str, sizes: &BTreeMap<String, u64>) -> Option<(&'a str, u64, &'a str)> {
    line.match_indices(": ").find_map(|(at, colon)| {
        let (path, said) = line.split_at_checked(at)?;
        Some((path, *sizes.get(path)?, said.strip_prefix(colon)?))
    })
}

fn verdict(name: &str) -> Verdict {
    if name.starts_with(LIMIT) {
        return Verdict::Limit;
    }
    if name.starts_with(ENCRYPTED) {
        return Verdict::Encrypted;
    }
    Verdict::Found
}

/// Whether the exit code fits what was said: 0 nothing, 1 something was found, 2 an error.
///
/// # Errors
/// It does not, or the scanner was killed.
pub fn exit(
    code: Option<i32>,
    scans: &BTreeMap<String, Scan>,
    complaint: &str,
) -> Result<(), TransferError> {
    let said = |at: fn(&Scan) -> bool| scans.values().any(at);
    let alerts = said(|scan| !matches!(scan.result, Verdict::Clean | Verdict::Unreadable));
    let fits = match code {
        Some(0) => !alerts,
        Some(1) => alerts,
        Some(2) => said(|scan| scan.result == Verdict::Unreadable),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let ended = match code {
        Some(code) => format!("it ended with exit code {code}"),
        None => "it was killed".to_owned(),
    };
    let last = complaint.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.map(|line| format!(", saying {}", quoted(line)));
    Err(TransferError::scanner(ended + &last.unwrap_or_default()))
}

/// Engine and definitions of `ClamAV 1.4.6/27500/Mon Nov 30 08:34:01 2026`; the second only where it knows them.
pub fn version(output: &str) -> Option<(String, Option<(String, Timestamp)>)> {
    let line = output.lines().next()?.trim().strip_prefix("ClamAV ")?;
    let mut parts = line.splitn(3, '/');
    let engine = parts.next().filter(|engine| !engine.is_empty())?.to_owned();
    let definitions = parts.next().zip(parts.next());
    let definitions =
        definitions.and_then(|(version, date)| Some((version.to_owned(), calendar(date)?)));
    Some((engine, definitions))
}

/// `Mon Nov 30 08:34:01 2026`, taken as UTC: the scanner does not say where it is.
fn calendar(text: &str) -> Option<Timestamp> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_weekday, month, day, time, year] = words.as_slice() else {
        return None;
    };
    let month = MONTHS
        .find(month)
        .filter(|at| at % 3 == 0 && month.len() == 3)?
        / 3
        + 1;
    format!("{year}-{month:02}-{day:0>2}T{time}Z").parse().ok()
}

/// Version and time of a file of definitions (`.cvd`, `.cld`, `.cud`), of its first bytes:
/// `ClamAV-VDB:TIME:VERSION:SIGNATURES:LEVEL:MD5:SIGNATURE:BUILDER:SECONDS`.
pub fn header(bytes: &[u8]) -> Option<(String, Timestamp)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let fields: Vec<&str> = text.trim_end().split(':').collect();
    if fields.first() != Some(&MAGIC) {
        return None;
    }
    let version: u64 = fields.get(2)?.parse().ok()?;
    let seconds: i64 = fields.get(8)?.parse().ok()?;
    Some((version.to_string(), Timestamp::from_unix(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{exit, header, results, version};
    use crate::transfer::Verdict;

    fn sizes() -> BTreeMap<String, u64> {
        BTreeMap::from([("/s/a".to_owned(), 3), ("/s/b".to_owned(), 0)])
    }

    #[test]
    fn every_line_means_something_and_every_file_is_said() {
        let of = |text: &str| results(text, &sizes());
        let good = of(
            "/s/a: Some.Thing FOUND\n/s/a: Heuristics.Limits.Exceeded.MaxFiles FOUND\n\n/s/b: Empty file\n",
        );
        let good = good.unwrap();
        assert_eq!(good["/s/a"].result, Verdict::Found);
        assert_eq!(good["/s/a"].said.len(), 2);
        assert_eq!(good["/s/b"].result, Verdict::Clean);
        exit(Some(1), &good, "").unwrap();
        for code in [None, Some(0), Some(2), Some(40)] {
            exit(code, &good, "what\n").unwrap_err();
        }
        for (line, verdict) in [
            ("Heuristics.Encrypted.Zip FOUND", Verdict::Encrypted),
            (
                "Heuristics.Limits.Exceeded.MaxRecursion FOUND",
                Verdict::Limit,
            ),
            ("Can't open file ERROR", Verdict::Unreadable),
            ("Empty file", Verdict::Unreadable),
            ("Heuristics.Broken.Media FOUND", Verdict::Found),
        ] {
            let scans = of(&format!("/s/b: OK\n/s/a: {line}\n")).unwrap();
            assert_eq!(scans["/s/a"].result, verdict, "{line}");
        }
        for bad in [
            "/s/a: OK\n",
            "",
            "/s/a: OK\n/s/b: OK\n/s/c: OK\n",
            "/s/a: OK\n/s/b: OK\nLibClamAV Warning: old\n",
            "/s/a: OK\n/s/a: X FOUND\n/s/b: OK\n",
            "/s/a: X FOUND\n/s/a: OK\n/s/b: OK\n",
            "/s/a: Excluded\n/s/b: OK\n",
            "WARNING: /s/a: Can't access file\n/s/b: OK\n",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_and_headers() {
        let (engine, known) = version("ClamAV 1.4.6/27500/Mon Nov  2 08:34:01 2026\n").unwrap();
        let (definitions, date) = known.unwrap();
        assert_eq!((engine.as_str(), definitions.as_str()), ("1.4.6", "27500"));
        assert_eq!(date.to_string(), "2026-11-02T08:34:01Z");
        assert_eq!(version("ClamAV 1.4.6\n"), Some(("1.4.6".to_owned(), None)));
        assert_eq!(version("clamd is away\n"), None);
        let bytes =
            b"ClamAV-VDB:30 Nov 2026 08-34 +0000:27500:2000000:90:x:y:builder:1796027641   ";
        assert_eq!(header(bytes).unwrap().0, "27500");
        assert_eq!(header(b"ClamAV-VDB:30 Nov 2026"), None);
        assert_eq!(header(b"\xff"), None);
    }
}
