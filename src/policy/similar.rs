//! Names in a lock that look like one another: one character more, less or other, or the separators put elsewhere. Of
//! such a pair one may have been published in the hope that it is taken for the other.

use std::collections::{BTreeMap, BTreeSet};

/// Shorter names are like others by chance.
const SHORTEST: usize = 5;

/// Pairs of names that look alike, each in order. Time grows with the total length of the names, not with their pairs.
pub(super) fn pairs<'a>(names: &BTreeSet<&'a str>) -> BTreeSet<(&'a str, &'a str)> {
    let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in names.iter().filter(|name| name.chars().count() >= SHORTEST) {
        for key in keys(name) {
            alike.entry(key).or_default().push(name);
        }
    }
    let mut out = BTreeSet::new();
    for group in alike.values() {
        for (at, left) in group.iter().enumerate() {
            let others = group.iter().skip(at + 1);
            out.extend(
                others
                    .filter(|right| is_alike(left, right))
                    .map(|right| (*left, *right)),
            );
        }
    }
    out
}

/// What two names have in common that may look alike: the name, the name without one of its characters, and the name
/// without separators.
fn keys(name: &str) -> BTreeSet<String> {
    let mut keys: BTreeSet<String> = name
        .char_indices()
        .map(|(gone, _)| {
            let kept = name.char_indices().filter(|(at, _)| *at != gone);
            kept.map(|(_, c)| c).collect()
        })
        .collect();
    keys.insert(name.to_owned());
    // A mark that is in no name keeps these apart from the others.
    keys.insert(format!("\0{}", bare(name)));
    keys
}

fn is_alike(left: &str, right: &str) -> bool {
    if left == right || scope(left).is_some_and(|scope| Some(scope) == self::scope(right)) {
        return false;
    }
    // `libssl1` and `libssl3` are versions of one thing.
    let worded = |name: &str| {
        name.chars()
            .filter(|c| !c.is_ascii_digit())
            .collect::<String>()
    };
    let one_off = strsim::osa_distance(left, right) == 1 && worded(left) != worded(right);
    one_off || bare(left) == bare(right)
}

fn bare(name: &str) -> String {
    let separator = |c: &char| matches!(c, '-' | '_' | '.' | '/' | '@');
    name.chars().filter(|c| !separator(c)).collect()
}

/// The scope of an npm name: who publishes under it is one.
fn scope(name: &str) -> Option<&str> {
    let (scope, _) = name.split_once('/')?;
    scope.starts_with('@').then_some(scope)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::pairs;

    #[test]
    fn one_character_or_a_separator_makes_a_pair() {
        let names = [
            "lodash",
            "lodahs",
            "loadash",
            "cross-env",
            "crossenv",
            "libssl1",
            "libssl3",
            "ms",
            "ws",
            "@types/nodes",
            "@types/node",
            "typesnode",
            "express",
        ];
        let names: BTreeSet<&str> = names.into_iter().collect();
        let found: Vec<_> = pairs(&names).into_iter().collect();
        assert_eq!(
            found,
            [
                ("@types/node", "typesnode"),
                ("cross-env", "crossenv"),
                ("loadash", "lodash"),
                ("lodahs", "lodash"),
            ]
        );
    }
}
