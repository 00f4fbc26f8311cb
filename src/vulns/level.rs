//! How bad a vulnerability is: the four words that policies use, from CVSS vectors or from the words of a database.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::record::{Affected, Rated, Record, Specific};

/// A severity, as CVSS names ranges of scores (CVSS v3.1, section 5). A score of 0 counts as low.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Below 4.
    Low,
    /// Below 7.
    Medium,
    /// Below 9.
    High,
    /// 9 and more.
    Critical,
}

impl Level {
    /// Every level, from the lowest.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Its word in policies and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// What a database means by a word: those of GitHub, Ubuntu and Debian.
    fn of_word(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "none" | "low" | "negligible" | "unimportant" | "minimal" => Some(Self::Low),
            "medium" | "moderate" => Some(Self::Medium),
            "high" | "important" => Some(Self::High),
            "critical" => Some(Self::Critical),
            _ => None,
        }
    }

    fn of_vector(vector: &str) -> Option<Self> {
        let parsed: cvss::Cvss = vector.parse().ok()?;
        Some(match parsed.severity() {
            cvss::Severity::None | cvss::Severity::Low => Self::Low,
            cvss::Severity::Medium => Self::Medium,
            cvss::Severity::High => Self::High,
            cvss::Severity::Critical => Self::Critical,
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let named = |level: &Self| level.as_str() == text;
        Self::ALL.into_iter().find(named).ok_or(())
    }
}

/// What a record says of the severity for one of its packages: the level, and the vectors that it follows from.
///
/// The highest of the CVSS scores counts, those of the package before those of the record; without any, the words of the
/// database count.
pub(super) fn of(record: &Record, affected: &Affected) -> (Option<Level>, Vec<String>) {
    let own = affected.severity.as_deref().unwrap_or_default();
    let general = record.severity.as_deref().unwrap_or_default();
    let rated = if own.is_empty() { general } else { own };
    let vectors: Vec<String> = rated
        .iter()
        .filter(|rated| rated.method.starts_with("CVSS_"))
        .map(|rated| rated.score.clone())
        .collect();
    let scored = vectors.iter().filter_map(|v| Level::of_vector(v)).max();
    let level = scored.or_else(|| by_words(record, affected, rated));
    (level, vectors)
}

fn by_words(record: &Record, affected: &Affected, rated: &[Rated]) -> Option<Level> {
    let said = rated.iter().filter(|r| !r.method.starts_with("CVSS_"));
    let said = said.filter_map(|r| Level::of_word(&r.score)).max();
    let specific = [
        affected.database_specific.as_deref(),
        affected.ecosystem_specific.as_deref(),
        record.database_specific.as_deref(),
    ]
    .map(Specific::read);
    let word = |words: &Specific| {
        let notice = words.informational.as_deref();
        let notice = notice.filter(|kind| *kind != "unsound").map(|_| Level::Low);
        let severity = words.severity.as_deref().and_then(Level::of_word);
        let urgency = words.urgency.as_deref().and_then(Level::of_word);
        severity.or(urgency).or(notice)
    };
    said.or_else(|| specific.iter().find_map(word))
}

#[cfg(test)]
mod tests {
    use super::{Level, of};

    fn level(record: &str) -> Option<Level> {
        let record: super::Record = serde_json::from_str(record).unwrap();
        let affected = record.affected.as_ref().unwrap()[0].clone();
        of(&record, &affected).0
    }

    fn record(more: &str, affected: &str) -> String {
        format!(
            r#"{{"id":"X-1","modified":"2026-01-01T00:00:00Z","affected":[{{{affected}}}]{more}}}"#
        )
    }

    #[test]
    fn vectors_come_first_and_words_fill_in() {
        let v3 = r#","severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]"#;
        let v4 = r#","severity":[{"type":"CVSS_V4","score":"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:H/SC:N/SI:N/SA:N"}]"#;
        let v2 = r#","severity":[{"type":"CVSS_V2","score":"AV:N/AC:M/Au:N/C:P/I:N/A:N"}]"#;
        let low = r#""severity":[{"type":"CVSS_V3","score":"CVSS:3.0/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"}]"#;
        let github = r#","database_specific":{"severity":"MODERATE"}"#;
        let broken = r#","severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:Q"}],"database_specific":{"severity":"HIGH"}"#;
        let ubuntu = r#","severity":[{"type":"Ubuntu","score":"negligible"}]"#;
        for (more, affected, expected) in [
            (v3, "", Some(Level::Critical)),
            (v4, "", Some(Level::High)),
            (v2, "", Some(Level::Medium)),
            (v3, low, Some(Level::Low)),
            (github, "", Some(Level::Medium)),
            (broken, "", Some(Level::High)),
            (ubuntu, "", Some(Level::Low)),
            (
                "",
                r#""ecosystem_specific":{"urgency":"high"}"#,
                Some(Level::High),
            ),
            (
                "",
                r#""ecosystem_specific":{"urgency":"not yet assigned"}"#,
                None,
            ),
            (
                "",
                r#""database_specific":{"informational":"unmaintained"}"#,
                Some(Level::Low),
            ),
            (
                "",
                r#""database_specific":{"informational":"unsound"}"#,
                None,
            ),
            (r#","database_specific":{"severity":9}"#, "", None),
            (r#","database_specific":["severity"]"#, "", None),
            ("", "", None),
        ] {
            assert_eq!(
                level(&record(more, affected)),
                expected,
                "{more} {affected}"
            );
        }
    }
}
