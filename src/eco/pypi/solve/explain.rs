//! Why no set of versions meets all requirements: who wanted what, from the solver's derivation.

use std::collections::BTreeSet;
use std::ops::Bound;

use pep440_rs::Version;
use pubgrub::{DerivationTree, External};

use crate::eco::pypi::listing::Refusal;
use crate::eco::pypi::name::Name;
use crate::eco::pypi::solve::package::Package;
use crate::eco::pypi::solve::range::Range;
use crate::eco::pypi::solve::{Problem, Shelf};

/// The solver's derivation.
pub(crate) type Tree = DerivationTree<Package, Range, Refusal>;

/// Most sentences of an explanation.
const MAX_LINES: usize = 40;
/// Most parts of a derivation that are looked at.
const MAX_NODES: usize = 100_000;

/// An explanation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Explanation {
    /// One sentence each: first what the manifest wants, then what follows from it.
    pub(crate) lines: Vec<String>,
    /// Projects of which no version that something wants has a wheel for the platform.
    pub(crate) without_wheel: BTreeSet<Name>,
}

/// Says in sentences what `tree` is made of: every statement once, those about the requirements first.
pub(crate) fn explain(tree: &Tree, problem: &Problem, shelf: &dyn Shelf) -> Explanation {
    let mut said = Explanation::default();
    let mut known = BTreeSet::new();
    let mut lines: Vec<(u8, String)> = Vec::new();
    let mut open = vec![tree];
    let mut count = 0;
    // Not by recursion: a derivation may be as deep as the search was long.
    while let Some(node) = open.pop() {
        count += 1;
        if count > MAX_NODES {
            break;
        }
        match node {
            DerivationTree::Derived(derived) => {
                // Depth first, the second cause last.
                open.push(&derived.cause2);
                open.push(&derived.cause1);
            }
            DerivationTree::External(external) => {
                said.without_wheel.extend(without_wheel(external, shelf));
                let line = sentence(external, problem, shelf);
                if let Some((weight, line)) = line
                    && known.insert(line.clone())
                {
                    lines.push((weight, line));
                }
            }
        }
    }
    lines.sort_by_key(|(weight, _)| *weight);
    let more = lines.len().saturating_sub(MAX_LINES);
    let kept = lines.into_iter().take(MAX_LINES).map(|(_, line)| line);
    said.lines = kept.collect();
    if more > 0 {
        said.lines.push(format!("and {more} more"));
    }
    said
}

/// The project of a dependency that no version with a wheel meets, though others would.
fn without_wheel(external: &External<Package, Range, Refusal>, shelf: &dyn Shelf) -> Option<Name> {
    let External::FromDependencyOf(_, _, to, wanted) = external else {
        return None;
    };
    let name = to.name()?;
    let listing = shelf.listing(name)?;
    let versions = listing.versions().iter();
    let inside = versions.filter(|version| wanted.contains(version));
    let mut refusals = inside.map(|version| listing.get(version).map(|o| &o.file));
    let first = refusals.next()?;
    let is_no_wheel =
        |file: Option<&Result<usize, Refusal>>| matches!(file, Some(Err(Refusal::NoWheel)));
    (is_no_wheel(first) && refusals.all(is_no_wheel)).then(|| name.clone())
}

fn sentence(
    external: &External<Package, Range, Refusal>,
    problem: &Problem,
    shelf: &dyn Shelf,
) -> Option<(u8, String)> {
    let at = |package: &Package, range: &Range| versions(package, range, shelf);
    Some(match external {
        External::NotRoot(..) => return None,
        External::FromDependencyOf(Package::Root, _, to, wanted) => {
            let text = format!("the manifest wants {to}{}", specifier(wanted));
            (0, text)
        }
        External::FromDependencyOf(from, of, Package::Python, wanted) => {
            let here = &problem.environment.shown;
            let text = format!(
                "{from} {} is for Python {}, and not for {here}",
                at(from, of),
                specifier(wanted).trim()
            );
            (1, text)
        }
        External::FromDependencyOf(from, of, to, wanted) => {
            if from.name() == to.name() {
                // An extra is bound to its project's version; nobody wants to read that.
                return None;
            }
            let text = format!("{from} {} wants {to}{}", at(from, of), specifier(wanted));
            (1, text)
        }
        External::NoVersions(package, range) => {
            let name = package.name()?;
            let text = match shelf.listing(name) {
                Some(listing) if listing.versions().is_empty() => {
                    format!("the index has no version of {package}")
                }
                _ => format!(
                    "the index has no other version of {package}{}",
                    specifier(range)
                ),
            };
            (2, text)
        }
        External::Custom(package, range, refusal) => {
            let text = match refusal {
                Refusal::NoWheel => format!(
                    "{package} {} has no wheel for {}",
                    at(package, range),
                    problem.environment.shown
                ),
                other => format!("{package} {} {other}", at(package, range)),
            };
            (2, text)
        }
    })
}

/// The versions of a set that exist, shortly.
fn versions(package: &Package, range: &Range, shelf: &dyn Shelf) -> String {
    let listing = package.name().and_then(|name| shelf.listing(name));
    let Some(listing) = listing else {
        return specifier(range);
    };
    let all = listing.versions();
    let inside: Vec<&Version> = all.iter().filter(|v| range.contains(v)).collect();
    match inside.as_slice() {
        [] => specifier(range).trim().to_owned(),
        [one] => one.to_string(),
        [one, two] => format!("{one} and {two}"),
        [first, .., last] if inside.len() == all.len() => {
            format!("{first} to {last} (every version)")
        }
        [first, .., last] => format!("{first} to {last}"),
    }
}

/// A set as specifiers; empty text for every version.
fn specifier(range: &Range) -> String {
    if *range == Range::full() {
        return String::new();
    }
    let parts: Vec<String> = range.iter().map(interval).collect();
    if parts.is_empty() {
        return " in no version".to_owned();
    }
    format!(" {}", parts.join(" or "))
}

fn interval((low, high): (Bound<&Version>, Bound<&Version>)) -> String {
    if let (Bound::Included(low), Bound::Excluded(high)) = (low, high)
        && *high == low.clone().with_post(Some(0)).with_dev(Some(0))
    {
        return format!("=={low}");
    }
    let low = match low {
        Bound::Included(v) => Some(format!(">={v}")),
        Bound::Excluded(v) => Some(format!(">{v}")),
        Bound::Unbounded => None,
    };
    let high = match high {
        Bound::Included(v) if low.as_deref() == Some(&format!(">={v}")) => return format!("=={v}"),
        Bound::Included(v) => Some(format!("<={v}")),
        Bound::Excluded(v) if v.dev() == Some(0) && v.post().is_none() => {
            Some(format!("<{}", v.clone().with_dev(None)))
        }
        Bound::Excluded(v) => Some(format!("<{v}")),
        Bound::Unbounded => None,
    };
    let parts: Vec<String> = [low, high].into_iter().flatten().collect();
    parts.join(",")
}
