//! Names in a lock that look like one another: one character more, less or other, or the separators put elsewhere. Of
//! such a pair one may have been published in the hope that it is taken for the other.

use std::collections::{BTreeMap, BTreeSet};

/// Shorter names are like others by chance.
const SHORTEST: usize = 5;
/// Longer ones are paths or made up: nobody types them.
const LONGEST: usize = 64;
/// Most names of one group that another one is compared with.
const MOST_COMPARED: usize = 32;
/// Pairs after which no more are looked for.
const MOST_PAIRS: usize = 500;

/// Pairs of names that look alike, each in order: all of them, unless somebody made up thousands. Time and memory grow with
/// the total length of the names, not with their pairs.
pub(super) fn pairs<'a>(names: &BTreeSet<&'a str>) -> BTreeSet<(&'a str, &'a str)> {
    let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let compared = |name: &&&str| (SHORTEST..=LONGEST).contains(&name.chars().count());
    for name in names.iter().filter(compared) {
        for key in keys(name) {
            alike.entry(key).or_default().push(name);
        }
    }
    let mut out = BTreeSet::new();
    for group in alike.values() {
        for (at, right) in group.iter().enumerate() {
            let others = group.iter().take(at.min(MOST_COMPARED));
            let found = others.filter(|left| is_alike(left, right));
            out.extend(found.map(|left| (*left, *right)));
        }
        if out.len() >= MOST_PAIRS {
            break;
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
    fn names_that_somebody_made_up_do_not_take_for_ever() {
        let names: Vec<String> = (0..20_000_u32)
            .filter_map(|n| char::from_u32(0x4e00 + n % 20_000))
            .map(|c| format!("lodash{c}"))
            .collect();
        let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let found = pairs(&names).len();
        assert!((500..=20_000 * 32).contains(&found), "{found}");
    }

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
