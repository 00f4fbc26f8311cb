//! Points in time and durations as the formats write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// A text that is not a time or duration in the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {expected}: {found}")]
pub struct TimeError {
    /// The form that was expected.
    pub expected: &'static str,
    /// The text that was found, quoted and escaped.
    pub found: String,
}

/// A point in time with whole seconds, UTC, written `2026-11-22T00:00:00Z` (RFC 3339).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// Last second of the year 9999, the largest time that RFC 3339 can write.
const LATEST: i64 = 253_402_300_799;

impl Timestamp {
    /// From seconds since 1970-01-01T00:00:00Z; years 0001 to 9999.
    pub fn from_unix(seconds: i64) -> Result<Self, TimeError> {
        let fail = || TimeError {
            expected: "time between the years 0001 and 9999",
            found: seconds.to_string(),
        };
        let parsed = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_range| fail())?;
        if parsed.year() < 1 || seconds > LATEST {
            return Err(fail());
        }
        Ok(Self(seconds))
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// From any RFC 3339 text: offsets are converted, fractions of a second cut. What registries publish.
    pub fn from_rfc3339(text: &str) -> Result<Self, TimeError> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_bad| TimeError {
            expected: "RFC 3339 time",
            found: crate::base::text::quoted(text),
        })?;
        Self::from_unix(parsed.to_offset(UtcOffset::UTC).unix_timestamp())
    }

    /// A time of publication: what [`Timestamp::from_rfc3339`] reads, or nothing.
    pub fn published(text: &str) -> Option<Self> {
        Self::from_rfc3339(text).ok()
    }

    /// `self` moved by `seconds`, kept inside the years that can be written.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds).clamp(0, LATEST))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::from_unix_timestamp(self.0).map_err(|_range| fmt::Error)?;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    /// The exact form `YYYY-MM-DDTHH:MM:SSZ` and nothing else.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let fail = || TimeError {
            expected: "time like 2026-11-22T00:00:00Z",
            found: crate::base::text::quoted(text),
        };
        let parsed = Self::from_rfc3339(text).map_err(|_bad| fail())?;
        if parsed.to_string() == text {
            Ok(parsed)
        } else {
            Err(fail())
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A span such as `180d`, `12h`, `30m` or `45s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(i64);

impl Span {
    /// Whole days.
    pub const fn days(days: i64) -> Self {
        Self(days * 86_400)
    }

    /// Length in seconds.
    pub const fn seconds(self) -> i64 {
        self.0
    }
}

impl FromStr for Span {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let fail = || TimeError {
            expected: "duration like 180d or 12h",
            found: crate::base::text::quoted(text),
        };
        let (number, unit) = text
            .split_at_checked(text.len().saturating_sub(1))
            .ok_or_else(fail)?;
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(fail());
        }
        let unit = match unit {
            "d" => 86_400,
            "h" => 3_600,
            "m" => 60,
            "s" => 1,
            _ => return Err(fail()),
        };
        let count: i64 = number.parse().map_err(|_large| fail())?;
        count
            .checked_mul(unit)
            .filter(|s| *s <= 100 * 366 * 86_400)
            .map(Self)
            .ok_or_else(fail)
    }
}

#[cfg(test)]
mod tests {
    use super::{Span, Timestamp};

    #[test]
    fn only_the_exact_form_is_a_timestamp() {
        let text = "2026-11-22T09:08:07Z";
        assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        for bad in [
            "2099-1-1",
            "2026-11-22T09:08:07.0Z",
            "2026-11-22T09:08:07+00:00",
            "2026-02-30T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
        assert_eq!(
            Timestamp::from_rfc3339("2026-11-22T10:08:07.999+01:00")
                .unwrap()
                .to_string(),
            text
        );
    }

    #[test]
    fn spans_have_a_unit_and_a_ceiling() {
        assert_eq!("180d".parse::<Span>().unwrap(), Span::days(180));
        for bad in ["", "d", "1w", "-1d", "1.5h", "99999999999d"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
