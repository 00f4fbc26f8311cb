//! Version ranges as the solver works with them (PEP 440, "Version specifiers").

use pep440_rs::{Operator, Prerelease, Version, VersionSpecifier, VersionSpecifiers};
use pubgrub::Ranges;

/// A set of versions.
pub(crate) type Range = Ranges<Version>;

/// The versions that all of `specifiers` allow; `None` when a number in them is too large to count on. Pre-releases are
/// in a range where their order puts them; whether they may be chosen is decided elsewhere.
pub(crate) fn of(specifiers: &VersionSpecifiers) -> Option<Range> {
    let mut range = Range::full();
    for specifier in specifiers.iter() {
        range = range.intersection(&of_one(specifier)?);
    }
    Some(range)
}

fn of_one(specifier: &VersionSpecifier) -> Option<Range> {
    let version = specifier.version().clone();
    Some(match specifier.operator() {
        Operator::Equal => equal(version)?,
        Operator::ExactEqual => Range::singleton(version),
        Operator::NotEqual => equal(version)?.complement(),
        Operator::TildeEqual => {
            let (_, front) = version.release().split_last()?;
            let upper = next_release(front)?.with_epoch(version.epoch());
            Range::from_range_bounds(version..upper.with_dev(Some(0)))
        }
        Operator::LessThan if version.any_prerelease() => Range::strictly_lower_than(version),
        // Not its pre-releases either.
        Operator::LessThan => Range::strictly_lower_than(version.with_min(Some(0))),
        Operator::LessThanEqual if version.is_local() => Range::lower_than(version),
        Operator::LessThanEqual => Range::strictly_lower_than(after(&version)?),
        // Not its post-releases unless it is one, and not its local versions.
        Operator::GreaterThan => match (version.dev(), version.post()) {
            (Some(dev), _) => Range::higher_than(version.with_dev(Some(dev.checked_add(1)?))),
            (None, Some(post)) => Range::higher_than(version.with_post(Some(post.checked_add(1)?))),
            (None, None) => Range::strictly_higher_than(version.with_max(Some(0))),
        },
        Operator::GreaterThanEqual => Range::higher_than(version),
        Operator::EqualStar => star(&version)?,
        Operator::NotEqualStar => star(&version)?.complement(),
    })
}

/// Without a local part, all local versions are meant too.
fn equal(version: Version) -> Option<Range> {
    if version.is_local() {
        return Some(Range::singleton(version));
    }
    let end = after(&version)?;
    Some(Range::from_range_bounds(version..end))
}

/// The lowest version above `version` and all its local versions.
fn after(version: &Version) -> Option<Version> {
    let version = version.clone();
    Some(match (version.dev(), version.post()) {
        (Some(dev), _) => version.with_dev(Some(dev.checked_add(1)?)),
        (None, Some(post)) => version
            .with_post(Some(post.checked_add(1)?))
            .with_dev(Some(0)),
        (None, None) => version.with_post(Some(0)).with_dev(Some(0)),
    })
}

/// `1.2` of `==1.2.*`: everything that begins so.
fn star(version: &Version) -> Option<Range> {
    let low = version.clone().with_dev(Some(0));
    let high = match (version.post(), version.pre()) {
        (Some(post), _) => low.clone().with_post(Some(post.checked_add(1)?)),
        (None, Some(pre)) => low.clone().with_pre(Some(Prerelease {
            kind: pre.kind,
            number: pre.number.checked_add(1)?,
        })),
        (None, None) => next_release(version.release())?
            .with_epoch(version.epoch())
            .with_dev(Some(0)),
    };
    Some(Range::from_range_bounds(low..high))
}

/// The release with its last number one higher.
fn next_release(numbers: &[u64]) -> Option<Version> {
    let (last, front) = numbers.split_last()?;
    let last = last.checked_add(1)?;
    Some(Version::new(front.iter().copied().chain([last])))
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn ranges_are_those_of_the_specification() {
        for (specifiers, inside, outside) in [
            (
                "==1.0",
                &["1.0", "1", "1.0+local.7"][..],
                &["1.0.post0", "1.0.1", "1.0rc1"][..],
            ),
            ("==1.0+x", &["1.0+x"], &["1.0", "1.0+y"]),
            ("!=2.2.0", &["2.2.1", "2.2.0rc1"], &["2.2.0", "2.2.0+x"]),
            ("~=2.2", &["2.2", "2.9.post1"], &["3.0", "3.0.dev1", "2.1"]),
            ("~=1.4.5", &["1.4.5", "1.4.99"], &["1.5", "1.5rc1"]),
            ("<3", &["2.9", "2.9rc1"], &["3", "3.0rc1", "3.0.dev0"]),
            ("<3.0rc1", &["3.0b1"], &["3.0rc1"]),
            ("<=3", &["3", "3+x"], &["3.post1"]),
            (">1.7", &["1.7.1", "1.8"], &["1.7", "1.7.post1", "1.7+x"]),
            (">1.7.post2", &["1.7.post3"], &["1.7.post2"]),
            (">=1.7", &["1.7", "1.7.post1", "1.8rc1"], &["1.7rc1"]),
            ("==1.1.*", &["1.1", "1.1rc1", "1.1.9"], &["1.2", "1.2.dev1"]),
            ("!=1.1.*", &["1.2"], &["1.1", "1.1a1"]),
            ("===1.0", &["1.0"], &["1.0+x"]),
            (">=1!1", &["1!2"], &["2"]),
        ] {
            let range = of(&specifiers.parse().unwrap()).unwrap();
            for version in inside {
                assert!(
                    range.contains(&version.parse().unwrap()),
                    "{version} {specifiers}"
                );
            }
            for version in outside {
                assert!(
                    !range.contains(&version.parse().unwrap()),
                    "{version} {specifiers}"
                );
            }
        }
        let most = u64::MAX;
        for text in [
            format!("=={most}.*"),
            format!("~={most}.1"),
            format!("==1.post{most}"),
        ] {
            if let Ok(specifiers) = text.parse() {
                assert_eq!(of(&specifiers), None, "{text}");
            }
        }
    }
}
