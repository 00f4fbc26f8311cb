//! What differs between two SBOMs.

use std::collections::{BTreeMap, BTreeSet};

use crate::sbom::UNKNOWN;
use crate::sbom::document::{Document, Part, PartFile, Terms};

/// A difference between components of the same ecosystem and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<'a> {
    /// What happened.
    pub kind: Kind,
    /// The ecosystem.
    pub ecosystem: &'a str,
    /// The name.
    pub name: &'a str,
    /// The component before.
    pub old: Option<&'a Part>,
    /// The component after.
    pub new: Option<&'a Part>,
    /// What differs, for one that is in both.
    pub fields: Vec<Field>,
}

/// What happened to a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is in both, and differs.
    Changed,
}

impl Kind {
    /// As a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// A value of a component that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// `version`, `digest`, `license`, `supplier` or `evidence`.
    pub name: &'static str,
    /// Its value before.
    pub old: String,
    /// Its value after.
    pub new: String,
}

/// Every difference, sorted by ecosystem and name.
///
/// A name that has several components, of several versions or architectures, is compared one by one; where each side has
/// one left that the other one does not have, it is a change of version.
pub fn between<'a>(old: &'a Document, new: &'a Document) -> Vec<Change<'a>> {
    let (before, after) = (by_name(old), by_name(new));
    let names: BTreeSet<&(&str, &str)> = before.keys().chain(after.keys()).collect();
    let none = BTreeMap::new();
    let mut out = Vec::new();
    for key in names {
        let old = before.get(key).unwrap_or(&none);
        let new = after.get(key).unwrap_or(&none);
        out.extend(of_name(*key, old, new));
    }
    out
}

/// Components of a name by their package URL, whose qualifiers tell architectures apart.
type Versions<'a> = BTreeMap<&'a str, &'a Part>;

fn by_name(document: &Document) -> BTreeMap<(&str, &str), Versions<'_>> {
    let mut out: BTreeMap<(&str, &str), Versions<'_>> = BTreeMap::new();
    for part in &document.parts {
        let key = (part.ecosystem(), part.name.as_str());
        out.entry(key).or_default().insert(&part.purl, part);
    }
    out
}

fn of_name<'a>(
    (ecosystem, name): (&'a str, &'a str),
    old: &Versions<'a>,
    new: &Versions<'a>,
) -> Vec<Change<'a>> {
    let change = |kind, old, new, fields| Change {
        kind,
        ecosystem,
        name,
        old,
        new,
        fields,
    };
    let only = |of: &Versions<'a>, other: &Versions<'a>| -> Vec<&'a Part> {
        let parts = of.iter();
        let parts = parts.filter(|(purl, _)| !other.contains_key(*purl));
        parts.map(|(_, part)| *part).collect()
    };
    let mut out = Vec::new();
    let both = old
        .iter()
        .filter_map(|(purl, part)| Some((*part, *new.get(purl)?)));
    for (before, after) in both {
        let fields = fields(before, after);
        if !fields.is_empty() {
            out.push(change(Kind::Changed, Some(before), Some(after), fields));
        }
    }
    match (only(old, new).as_slice(), only(new, old).as_slice()) {
        ([before], [after]) => {
            let fields = fields(before, after);
            if !fields.is_empty() {
                out.push(change(Kind::Changed, Some(before), Some(after), fields));
            }
        }
        (gone, come) => {
            let gone = gone.iter().copied();
            out.extend(gone.map(|part| change(Kind::Removed, Some(part), None, Vec::new())));
            let come = come.iter().copied();
            out.extend(come.map(|part| change(Kind::Added, None, Some(part), Vec::new())));
        }
    }
    out
}

fn fields(old: &Part, new: &Part) -> Vec<Field> {
    let mut out = Vec::new();
    let mut compare = |name, old: String, new: String| {
        if old != new {
            out.push(Field { name, old, new });
        }
    };
    compare("version", old.version.clone(), new.version.clone());
    if differ(old, new) {
        compare("digest", digests(old), digests(new));
    }
    compare("license", license(old), license(new));
    let supplier = |part: &Part| said(part.supplier.as_deref());
    compare("supplier", supplier(old), supplier(new));
    let evidence = |part: &Part| part.evidence().unwrap_or(UNKNOWN).to_owned();
    compare("evidence", evidence(old), evidence(new));
    out
}

/// Whether their files differ. A digest that one of them does not have is no difference.
fn differ(old: &Part, new: &Part) -> bool {
    let of = |part: &Part, sha512: bool| -> Option<BTreeSet<String>> {
        let digest = |file: &PartFile| {
            if sha512 {
                file.sha512.clone()
            } else {
                file.sha256.clone()
            }
        };
        part.files.iter().map(digest).collect()
    };
    if old.files.len() != new.files.len() {
        return true;
    }
    match (of(old, false), of(new, false)) {
        (Some(old), Some(new)) => old != new,
        _ => of(old, true) != of(new, true),
    }
}

fn digests(part: &Part) -> String {
    let all: BTreeSet<String> = part
        .files
        .iter()
        .map(|file| match (&file.sha256, &file.sha512) {
            (Some(hex), _) => format!("sha256:{hex}"),
            (None, Some(hex)) => format!("sha512:{hex}"),
            (None, None) => UNKNOWN.to_owned(),
        })
        .collect();
    all.into_iter().collect::<Vec<_>>().join(" ")
}

/// What counts: what was concluded, else what is declared.
pub fn license(part: &Part) -> String {
    let terms = part.concluded.as_ref().or(part.declared.as_ref());
    terms.map_or(UNKNOWN, Terms::as_str).to_owned()
}

fn said(text: Option<&str>) -> String {
    text.unwrap_or(UNKNOWN).to_owned()
}
