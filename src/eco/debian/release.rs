//! A signed release: which indexes an archive has, with their digests, and how long that holds. Read only from text
//! that a signature was verified over (DebianRepository/Format, "Release files").

use std::collections::BTreeMap;

use crate::base::digest::Digest;
use crate::base::text::quoted;
use crate::base::time::Timestamp;
use crate::eco::debian::control;

/// Most files that a release may list.
const MOST_FILES: usize = 200_000;

/// What a release says. Checksums weaker than SHA-256 are not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `Suite`, such as `stable`.
    pub suite: Option<String>,
    /// `Codename`, such as `bookworm`.
    pub codename: Option<String>,
    /// `Date`.
    pub date: Timestamp,
    /// `Valid-Until`.
    pub valid_until: Option<Timestamp>,
    /// `Acquire-By-Hash`.
    pub by_hash: bool,
    /// `Components`; empty where it lists none.
    pub components: Vec<String>,
    /// `Architectures`.
    pub architectures: Vec<String>,
    /// `NotAutomatic`.
    pub not_automatic: bool,
    /// `ButAutomaticUpgrades`.
    pub automatic_upgrades: bool,
    /// Whether the indexes of an architecture have the packages for `all` too: the release says so, or names no
    /// architecture `all`.
    pub all_in_each: bool,
    /// SHA-256 and size by path.
    pub files: BTreeMap<String, (Digest, u64)>,
}

/// Reads the text of a release. The error says what is wrong with it, safe to print.
pub fn parse(text: &str) -> Result<Release, String> {
    let mut stanzas = control::stanzas(text);
    let stanza = stanzas
        .next()
        .ok_or("it is empty")?
        .map_err(|e| e.to_string())?;
    if stanzas.next().is_some() {
        return Err("it has more than one stanza".to_owned());
    }
    let field = |name: &str| stanza.field(name).filter(|value| !value.is_empty());
    let time = |name: &str| {
        let parse = |value: &str| {
            date(value).ok_or_else(|| format!("{name} is no date: {}", quoted(value)))
        };
        field(name).map(parse).transpose()
    };
    let words = |name: &str| -> Vec<String> {
        let value = field(name).unwrap_or_default();
        value.split_ascii_whitespace().map(str::to_owned).collect()
    };
    let yes = |name: &str| field(name).is_some_and(|value| value.eq_ignore_ascii_case("yes"));
    Ok(Release {
        suite: field("Suite").map(str::to_owned),
        codename: field("Codename").map(str::to_owned),
        date: time("Date")?.ok_or("it has no Date")?,
        valid_until: time("Valid-Until")?,
        by_hash: yes("Acquire-By-Hash"),
        components: words("Components"),
        architectures: words("Architectures"),
        not_automatic: yes("NotAutomatic"),
        automatic_upgrades: yes("ButAutomaticUpgrades"),
        all_in_each: field("No-Support-for-Architecture-all") == Some("Packages")
            || !words("Architectures").iter().any(|arch| arch == "all"),
        files: files(field("SHA256").ok_or("it has no SHA256 sums")?)?,
    })
}

/// Lines of hash, size and path.
fn files(value: &str) -> Result<BTreeMap<String, (Digest, u64)>, String> {
    let mut found = BTreeMap::new();
    for line in value.lines().filter(|line| !line.trim().is_empty()) {
        let parts: Vec<&str> = line.split_ascii_whitespace().collect();
        let &[hash, size, path] = parts.as_slice() else {
            return Err(format!("{} is no hash, size and path", quoted(line)));
        };
        let digest = Digest::from_hex(hash).map_err(|e| e.to_string())?;
        let size = size
            .parse()
            .map_err(|_bad| format!("{} is no size", quoted(size)))?;
        match found.insert(path.to_owned(), (digest, size)) {
            Some(known) if known != (digest, size) => {
                return Err(format!("{} is listed twice", quoted(path)));
            }
            Some(_) | None => {}
        }
        if found.len() > MOST_FILES {
            return Err("it lists too many files".to_owned());
        }
    }
    Ok(found)
}

impl Release {
    /// Whether it is the release that was asked for: by suite or codename, with or without what stands before a slash.
    pub fn is(&self, asked: &str) -> bool {
        let own = [self.suite.as_deref(), self.codename.as_deref()];
        own.into_iter().flatten().any(|name| name == asked)
    }
}

/// A time as releases write it (RFC 1123, in UTC): `Sat, 15 Nov 2025 09:59:27 UTC`. Other zones are refused, as apt
/// does.
pub fn date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let after_day = text.split_once(',').map_or(text, |(_weekday, rest)| rest);
    let parts: Vec<&str> = after_day.split_ascii_whitespace().collect();
    let &[day, month, year, time, zone] = parts.as_slice() else {
        return None;
    };
    if !matches!(zone, "UTC" | "GMT" | "Z" | "+0000") || day.len() > 2 || year.len() != 4 {
        return None;
    }
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then_some(());
    number(day)?;
    let month = 1 + MONTHS.iter().position(|m| *m == month)?;
    let time = if time.len() == 7 {
        format!("0{time}")
    } else {
        time.to_owned()
    };
    Timestamp::from_rfc3339(&format!("{year}-{month:02}-{day:0>2}T{time}Z")).ok()
}

/// A time as [`date`] reads it.
pub fn write_date(at: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    // 1970-01-01 was a Thursday.
    let days = usize::try_from(at.unix().div_euclid(86_400).rem_euclid(7)).unwrap_or(0);
    let text = at.to_string();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    let month: usize = part(5..7).parse().unwrap_or(1);
    let month = MONTHS.get(month - 1).copied().unwrap_or_default();
    format!(
        "{}, {} {month} {} {} UTC",
        DAYS.get(days).copied().unwrap_or_default(),
        part(8..10),
        part(0..4),
        part(11..19)
    )
}

#[cfg(test)]
mod tests {
    use super::{date, parse, write_date};

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn dates_are_utc_and_round_trip() {
        for (text, time) in [
            ("Sat, 15 Nov 2025 09:59:27 UTC", "2025-11-15T09:59:27Z"),
            ("Thu, 01 Jan 1970 00:00:00 UTC", "1970-01-01T00:00:00Z"),
            ("Thu, 29 Feb 2024 23:59:59 UTC", "2024-02-29T23:59:59Z"),
            ("Wed, 25 Nov 2026 03:00:00 UTC", "2026-11-25T03:00:00Z"),
        ] {
            assert_eq!(date(text).unwrap().to_string(), time);
            assert_eq!(write_date(time.parse().unwrap()), text);
        }
        for text in [
            "Sat, 5 Nov 2025 9:59:27 +0000",
            "5 Nov 2025 09:59:27 GMT",
            "Sat,  5 Nov 2025 09:59:27 Z",
        ] {
            assert_eq!(date(text).unwrap().to_string(), "2025-11-05T09:59:27Z");
        }
        for bad in [
            "",
            "Sat, 15 Nov 2025 09:59:27",
            "Sat, 15 Nov 2025 09:59:27 CET",
            "Sat, 31 Feb 2025 09:59:27 UTC",
            "Sat, 15 Nov 25 09:59:27 UTC",
            "Sat, 15 Nov 2025 25:59:27 UTC",
            "2025-11-15T09:59:27Z",
            "Sat, +5 Nov 2025 09:59:27 UTC",
            "Sat, 15 nov 2025 09:59:27 UTC",
        ] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }

    #[test]
    fn releases_say_what_they_have() {
        let text = format!(
            "Origin: Debian\nSuite: stable\nCodename: bookworm\nDate: Sat, 15 Nov 2025 09:59:27 UTC\nAcquire-By-Hash: yes\n\
             Architectures: all amd64 arm64\nComponents: main contrib\nMD5Sum:\n 00 1 main/x\nSHA256:\n {HASH}  12 \
             main/binary-amd64/Packages.xz\n {HASH} 0 main/binary-all/Packages\n"
        );
        let release = parse(&text).unwrap();
        assert!(release.is("stable") && release.is("bookworm") && !release.is("sid"));
        assert!(release.by_hash && !release.all_in_each && !release.not_automatic);
        assert_eq!(release.components, ["main", "contrib"]);
        assert_eq!(release.files.len(), 2);
        assert_eq!(release.files["main/binary-amd64/Packages.xz"].1, 12);
        assert_eq!(release.valid_until, None);
        let bad = [
            text.replace("Date:", "Data:"),
            text.replace("SHA256:", "SHA1:"),
            text.replace(" UTC", ""),
            text.replace(HASH, "00"),
            text.replace("  12 ", " -1 "),
            text.replace(
                " main/binary-all/Packages",
                " main/binary-amd64/Packages.xz",
            ),
            text.replace(" main/binary-all/Packages", ""),
            format!("{text}\nDate: Sat, 15 Nov 2025 09:59:27 UTC\n"),
            format!("{text}Date: Sat, 15 Nov 2025 09:59:27 UTC\n"),
            String::new(),
        ];
        for text in bad {
            parse(&text).unwrap_err();
        }
    }
}
