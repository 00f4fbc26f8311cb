//! Versions of Debian packages and their order: Debian Policy 5.6.12, as `dpkg --compare-versions` decides it.

use std::cmp::Ordering;
use std::fmt;

/// Most characters of a version; the longest in Debian have about 60.
const MOST: usize = 256;

/// A version `[epoch:]upstream[-revision]`, parsed once. Two versions that `dpkg` holds to be equal are equal here,
/// however they are written: `1.0`, `0:1.0` and `1.0-0`.
#[derive(Clone, Copy)]
pub struct Version<'a> {
    text: &'a str,
    epoch: u32,
    upstream: &'a str,
    revision: &'a str,
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} is not a Debian version: {reason}")]
pub struct VersionError {
    /// The text, quoted.
    pub found: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl<'a> Version<'a> {
    /// Reads a version. Refuses what `dpkg` refuses, and what has more than 256 characters.
    pub fn parse(text: &'a str) -> Result<Self, VersionError> {
        split(text).map_err(|reason| VersionError {
            found: crate::base::text::quoted(text),
            reason,
        })
    }

    /// As it was written.
    pub const fn as_str(&self) -> &'a str {
        self.text
    }

    /// Without epoch: what file names have.
    pub fn without_epoch(&self) -> &'a str {
        match self.text.split_once(':') {
            Some((_, rest)) => rest,
            None => self.text,
        }
    }
}

fn split(text: &str) -> Result<Version<'_>, &'static str> {
    if text.len() > MOST {
        return Err("it has more than 256 characters");
    }
    let (epoch, rest) = match text.split_once(':') {
        None => (0, text),
        Some((epoch, rest)) => {
            let digits = !epoch.is_empty() && epoch.bytes().all(|b| b.is_ascii_digit());
            let number = digits.then(|| epoch.parse::<u32>().ok()).flatten();
            let number = number.filter(|n| i32::try_from(*n).is_ok());
            (number.ok_or("its epoch is no number")?, rest)
        }
    };
    let (upstream, revision) = match rest.rsplit_once('-') {
        Some((_, "")) => return Err("its revision is empty"),
        Some(parts) => parts,
        None => (rest, ""),
    };
    if !upstream.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("it does not start with a digit");
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'~');
    if !upstream
        .bytes()
        .all(|b| plain(b) || matches!(b, b'-' | b':'))
    {
        return Err("its upstream part has a character that no version has");
    }
    if !revision.bytes().all(plain) {
        return Err("its revision has a character that no version has");
    }
    Ok(Version {
        text,
        epoch,
        upstream,
        revision,
    })
}

/// Compares upstream parts, or revisions: runs of other characters and runs of digits take turns.
fn compare(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    while !left.is_empty() || !right.is_empty() {
        let order = take_letters(&mut left, &mut right);
        if order != Ordering::Equal {
            return order;
        }
        let order = take_number(&mut left, &mut right);
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// Where a character stands: `~` before the end of the part, that before letters, letters before everything else.
fn weight(byte: Option<u8>) -> u16 {
    match byte {
        Some(b'~') => 0,
        None => 1,
        Some(b) if b.is_ascii_digit() => 1,
        Some(b) if b.is_ascii_alphabetic() => 1 + u16::from(b),
        Some(b) => 1 + 256 + u16::from(b),
    }
}

fn take_letters(left: &mut &[u8], right: &mut &[u8]) -> Ordering {
    let is_letter = |bytes: &[u8]| bytes.first().is_some_and(|b| !b.is_ascii_digit());
    while is_letter(left) || is_letter(right) {
        let order = weight(left.first().copied()).cmp(&weight(right.first().copied()));
        if order != Ordering::Equal {
            return order;
        }
        *left = left.get(1..).unwrap_or_default();
        *right = right.get(1..).unwrap_or_default();
    }
    Ordering::Equal
}

fn take_number(left: &mut &[u8], right: &mut &[u8]) -> Ordering {
    let (a, b) = (digits(left), digits(right));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Takes the number at the start, without leading zeros.
fn digits<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let end = bytes.iter().position(|b| !b.is_ascii_digit());
    let (number, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    *bytes = rest;
    let start = number.iter().position(|b| *b != b'0');
    number
        .get(start.unwrap_or(number.len())..)
        .unwrap_or_default()
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare(self.upstream, other.upstream))
            .then_with(|| compare(self.revision, other.revision))
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version<'_> {}

impl fmt::Display for Version<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl fmt::Debug for Version<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    fn version(text: &str) -> Version<'_> {
        Version::parse(text).unwrap()
    }

    #[test]
    fn versions_stand_in_the_order_of_the_policy() {
        let ascending = [
            "0~~",
            "0~~a",
            "0~",
            "0",
            "0.0~rc1-1",
            "0.1",
            "0.9",
            "0.10",
            "1.0~beta1~svc1245",
            "1.0~beta1",
            "1.0~rc1-1",
            "1.0-0~1",
            "1.0",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1.1",
            "1.0a~",
            "1.0a",
            "1.0+dfsg-1",
            "1.0-2-1",
            "1.0.1",
            "2.0~pre10",
            "2.0.25-1",
            "2.0.25-10",
            "2.2.0-1~bpo12+1",
            "2.2.0-1",
            "20240101",
            "1:0.1",
            "1:0.1-1ubuntu0.1",
            "2:0",
        ];
        for (place, lower) in ascending.iter().enumerate() {
            for higher in ascending.iter().skip(place + 1) {
                assert!(version(lower) < version(higher), "{lower} {higher}");
                assert!(version(higher) > version(lower), "{lower} {higher}");
            }
        }
    }

    #[test]
    fn what_is_written_differently_may_be_the_same_version() {
        for (a, b) in [
            ("1.0", "1.0-0"),
            ("0:1.0", "1.0"),
            ("1.00", "1.0"),
            ("1.0-00", "1.0"),
            ("1.a01", "1.a1"),
        ] {
            assert_eq!(version(a), version(b), "{a} {b}");
        }
        assert_ne!(version("1.0"), version("1.0.0"));
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for bad in [
            "",
            "a1",
            "1_0",
            "1.0-",
            "-1",
            ":1",
            "a:1",
            "1:",
            "-1:1",
            "4294967296:1",
            "2147483648:1",
            "1 0",
            "1.0\n",
            "é1",
            "1/2",
            "~1",
            "1.0-1:2-a:b",
        ] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
        Version::parse(&"1".repeat(257)).unwrap_err();
        assert_eq!(version("2:1.0-1").without_epoch(), "1.0-1");
        assert_eq!(version("1:1:2-3").without_epoch(), "1:2-3");
    }
}
