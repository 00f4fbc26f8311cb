//! Whether a version is affected (OSV schema, "Evaluation"): by the list of versions, or by events in the order that the
//! ecosystem gives its versions.

use std::cmp::Ordering;

use super::record::{Affected, Event, Range};
use crate::eco::Ecosystem;

/// What a record says of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is affected; the first version after it in which it is not, where one is known.
    Affected(Option<String>),
    /// It is not.
    Clear,
    /// Nobody can tell; why, as a clause.
    Unknown(&'static str),
}

const GIT_ONLY: &str = "it names commits of a git repository only";
const NO_VERSIONS: &str = "it names neither versions nor ranges";
const ODD_VERSION: &str = "a version in it, or the version carried, is none of its ecosystem";
const ODD_RANGE: &str = "its kind of range is not known";

/// Judges `version` by one `affected` entry. The order of SEMVER ranges is that of Semantic Versioning 2, whatever the ecosystem.
pub(super) fn judge(affected: &Affected, version: &str, ecosystem: &dyn Ecosystem) -> Answer {
    let own = |left: &str, right: &str| ecosystem.order(left, right);
    let versions = affected.versions.as_deref().unwrap_or_default();
    let ranges = affected.ranges.as_deref().unwrap_or_default();
    let same =
        |listed: &String| listed == version || own(listed, version).is_some_and(Ordering::is_eq);
    let listed = versions.iter().any(same);
    let (mut hit, mut fixed, mut unknown) = (listed, Vec::new(), None);
    for range in ranges {
        let found = match range.kind.as_str() {
            "SEMVER" => in_range(range, version, &semver),
            "ECOSYSTEM" => in_range(range, version, &own),
            // Versions beside it are those that the commits are in.
            "GIT" if !versions.is_empty() => continue,
            "GIT" => Err(GIT_ONLY),
            _ => Err(ODD_RANGE),
        };
        match found {
            Ok(affects) => {
                hit |= affects;
                if affects || listed {
                    let order: Order<'_> = if range.kind == "SEMVER" {
                        &semver
                    } else {
                        &own
                    };
                    fixed.extend(next_fix(range, version, order));
                }
            }
            Err(why) => unknown = unknown.or(Some(why)),
        }
    }
    if hit {
        let earlier = |a: &&str, b: &&str| own(a, b).unwrap_or_else(|| a.cmp(b));
        return Answer::Affected(fixed.into_iter().min_by(earlier).map(str::to_owned));
    }
    match unknown {
        // A commit range beside one that was compared adds nothing that could be compared.
        Some(GIT_ONLY) if ranges.iter().any(|r| r.kind != "GIT") => Answer::Clear,
        Some(why) => Answer::Unknown(why),
        None if versions.is_empty() && ranges.is_empty() => Answer::Unknown(NO_VERSIONS),
        None => Answer::Clear,
    }
}

type Order<'o> = &'o dyn Fn(&str, &str) -> Option<Ordering>;

fn semver(left: &str, right: &str) -> Option<Ordering> {
    let version = |text: &str| semver::Version::parse(text).ok();
    Some(version(left)?.cmp_precedence(&version(right)?))
}

/// The algorithm of the schema. What was introduced in `0` was there before every version.
fn in_range(range: &Range, version: &str, order: Order<'_>) -> Result<bool, &'static str> {
    let to = |other: &str| order(version, other).ok_or(ODD_VERSION);
    let limits = range.events.iter().filter_map(|e| e.limit.as_deref());
    let (mut limited, mut inside) = (false, false);
    for limit in limits {
        limited = true;
        inside |= limit == "*" || to(limit)?.is_lt();
    }
    if limited && !inside {
        return Ok(false);
    }
    // A version that cannot be compared is affected where nothing has to be compared, and nowhere else.
    let mut vulnerable = false;
    for (place, kind) in sorted(&range.events, order)? {
        let Some(at) = place else {
            vulnerable = true;
            continue;
        };
        match (kind, to(at)?) {
            (Kind::Introduced, Ordering::Equal | Ordering::Greater) => vulnerable = true,
            (Kind::Fixed, Ordering::Equal | Ordering::Greater)
            | (Kind::LastAffected, Ordering::Greater) => vulnerable = false,
            (_, _) => {}
        }
    }
    Ok(vulnerable)
}

/// What an event says of its version. In the order in which events of one version are followed: what was fixed in the
/// version in which something was introduced was fixed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Fixed,
    Introduced,
    LastAffected,
}

/// The events but for limits, in the order of their versions; `None` stands before all of them.
fn sorted<'r>(
    events: &'r [Event],
    order: Order<'_>,
) -> Result<Vec<(Option<&'r str>, Kind)>, &'static str> {
    let mut sorted = Vec::new();
    for event in events {
        let introduced = event.introduced.as_deref().map(|at| (at, Kind::Introduced));
        let fixed = event.fixed.as_deref().map(|at| (at, Kind::Fixed));
        let last = event.last_affected.as_deref();
        let last = last.map(|at| (at, Kind::LastAffected));
        for (at, kind) in [introduced, fixed, last].into_iter().flatten() {
            let first = at == "0" && kind == Kind::Introduced;
            if !first && order(at, at).is_none() {
                return Err(ODD_VERSION);
            }
            sorted.push((Some(at).filter(|_| !first), kind));
        }
    }
    sorted.sort_by(|(a, kind_a), (b, kind_b)| {
        let versions = match (a, b) {
            (Some(a), Some(b)) => order(a, b).unwrap_or(Ordering::Equal),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        versions.then(kind_a.cmp(kind_b))
    });
    Ok(sorted)
}

/// The lowest version above `version` in which the range ends.
fn next_fix<'r>(range: &'r Range, version: &str, order: Order<'_>) -> Option<&'r str> {
    let above = |at: &&str| order(version, at).is_some_and(Ordering::is_lt);
    let fixes = range.events.iter().filter_map(|e| e.fixed.as_deref());
    fixes
        .filter(above)
        .min_by(|a, b| order(a, b).unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use super::{Answer, judge};
    use crate::eco;

    fn answer(ecosystem: &str, version: &str, affected: &str) -> Answer {
        let affected = serde_json::from_str(affected).unwrap();
        judge(
            &affected,
            version,
            eco::by_id(&ecosystem.parse().unwrap()).unwrap(),
        )
    }

    fn ranged(kind: &str, events: &str) -> String {
        format!(r#"{{"ranges":[{{"type":"{kind}","events":[{events}]}}]}}"#)
    }

    const TWICE: &str =
        r#"{"introduced":"2.0.0"},{"fixed":"2.3.0"},{"introduced":"0"},{"fixed":"1.2.0"}"#;

    #[test]
    fn events_are_sorted_before_they_are_followed() {
        let range = ranged("SEMVER", TWICE);
        for (version, fix) in [
            ("0.0.1-alpha", Some("1.2.0")),
            ("1.1.10", Some("1.2.0")),
            ("1.2.0", None),
            ("1.9.9", None),
            ("2.0.0-rc.1", None),
            ("2.0.0", Some("2.3.0")),
            ("2.2.99", Some("2.3.0")),
            ("2.3.0", None),
        ] {
            let expected = match fix {
                Some(fix) => Answer::Affected(Some(fix.to_owned())),
                None => Answer::Clear,
            };
            assert_eq!(answer("npm", version, &range), expected, "{version}");
        }
    }

    #[test]
    fn each_kind_of_event_counts_as_the_schema_says() {
        let last = ranged(
            "ECOSYSTEM",
            r#"{"introduced":"1.0"},{"last_affected":"1.5"}"#,
        );
        let limit = ranged("ECOSYSTEM", r#"{"introduced":"0"},{"limit":"2.0"}"#);
        let any = ranged(
            "ECOSYSTEM",
            r#"{"introduced":"0"},{"limit":"1.0"},{"limit":"*"}"#,
        );
        let open = ranged("ECOSYSTEM", r#"{"introduced":"0"}"#);
        let again = ranged(
            "ECOSYSTEM",
            r#"{"introduced":"0"},{"fixed":"2"},{"introduced":"2"}"#,
        );
        let zero = ranged("ECOSYSTEM", r#"{"introduced":"0"},{"fixed":"0"}"#);
        let never = ranged("ECOSYSTEM", r#"{"fixed":"2"}"#);
        for (version, range, affected) in [
            ("1.5", &last, true),
            ("1.5.post1", &last, false),
            ("1.0rc1", &last, false),
            ("1.9", &limit, true),
            ("2.0", &limit, false),
            ("9", &any, true),
            ("0", &open, true),
            ("2", &again, true),
            ("1", &never, false),
            // Only what was introduced in 0 stands before all versions.
            ("0rc1", &open, true),
            ("0rc1", &zero, true),
            ("0", &zero, false),
        ] {
            let found = answer("pypi", version, range);
            assert_eq!(
                matches!(found, Answer::Affected(_)),
                affected,
                "{version} {range} {found:?}"
            );
        }
    }

    #[test]
    fn versions_are_ordered_as_their_ecosystem_does() {
        let debian = ranged(
            "ECOSYSTEM",
            r#"{"introduced":"0"},{"fixed":"1:1.2.13-2+deb12u1"}"#,
        );
        assert!(matches!(
            answer("debian", "1:1.2.13-2", &debian),
            Answer::Affected(Some(_))
        ));
        assert!(matches!(
            answer("debian", "1:1.2.13-2~rc1", &debian),
            Answer::Affected(Some(_))
        ));
        assert_eq!(
            answer("debian", "1:1.2.13-2+deb12u2", &debian),
            Answer::Clear
        );
        let pypi = ranged("ECOSYSTEM", r#"{"introduced":"1.9"},{"fixed":"1.10"}"#);
        assert!(matches!(
            answer("pypi", "1.9.1", &pypi),
            Answer::Affected(_)
        ));
        assert!(matches!(
            answer("pypi", "1.10rc1", &pypi),
            Answer::Affected(_)
        ));
        assert_eq!(answer("pypi", "1.10", &pypi), Answer::Clear);
        let listed = r#"{"versions":["1.0","2.0.0"]}"#;
        assert_eq!(answer("pypi", "2", listed), Answer::Affected(None));
        assert_eq!(answer("pypi", "3", listed), Answer::Clear);
    }

    #[test]
    fn what_cannot_be_compared_is_neither_affected_nor_clear() {
        let git = r#"{"introduced":"0"},{"fixed":"6879efc2c1596d11a6a6ad296f80063b558d5e0f"}"#;
        let commits = ranged("GIT", git);
        let beside = format!(
            r#"{{"ranges":[{{"type":"GIT","events":[{git}]}},{{"type":"SEMVER","events":[{TWICE}]}}]}}"#
        );
        let listed = commits.replacen('{', r#"{"versions":["1.0.0"],"#, 1);
        let odd = ranged("SEMVER", r#"{"introduced":"1.0"},{"fixed":"nightly"}"#);
        for (version, affected, known) in [
            ("1.0.0", commits.as_str(), false),
            ("1.0.0", &beside, true),
            ("3.0.0", &beside, true),
            ("1.0.0", &listed, true),
            ("2.0.0", &listed, true),
            ("1.0.0", &odd, false),
            ("1.0.0", "{}", false),
            ("1.0.0", &ranged("FUTURE", TWICE), false),
            ("not a version", &ranged("SEMVER", TWICE), false),
        ] {
            let found = answer("npm", version, affected);
            assert_eq!(
                !matches!(found, Answer::Unknown(_)),
                known,
                "{version} {affected} {found:?}"
            );
        }
    }
}
