//! One vulnerability from the records that several databases have of it: those whose ids and aliases meet.

use std::collections::{BTreeMap, BTreeSet};

use super::Vulnerability;
use super::level::Level;
use super::range::Answer;
use super::record::Record;
use crate::base::package::EcosystemId;
use crate::base::text::escaped;
use crate::base::time::Timestamp;
use crate::eco::osv::OsvName;

/// A record that is about a carried version.
pub(super) struct Hit<'h> {
    pub(super) ecosystem: EcosystemId,
    pub(super) name: &'h OsvName,
    pub(super) record: &'h Record,
    pub(super) modified: Timestamp,
    pub(super) answer: Answer,
    pub(super) level: Option<Level>,
    pub(super) vectors: Vec<String>,
}

impl Hit<'_> {
    /// Its id and aliases, and the CVE that Debian's and Ubuntu's records are named after.
    fn ids(&self) -> impl Iterator<Item = &str> {
        let own = self.record.id.as_str();
        let vendors = ["DEBIAN-", "UBUNTU-"];
        let named_after = vendors
            .into_iter()
            .find_map(|vendor| own.strip_prefix(vendor));
        let named_after = named_after.filter(|id| id.starts_with("CVE-"));
        let aliases = self.record.aliases.iter().flatten().map(String::as_str);
        std::iter::once(own).chain(named_after).chain(aliases)
    }

    fn is_malicious(&self) -> bool {
        self.record.id.starts_with("MAL-")
    }
}

/// One entry for each vulnerability of each package, by package, the worst first.
pub(super) fn merge(hits: Vec<Hit<'_>>) -> Vec<Vulnerability> {
    let mut packages: BTreeMap<_, Vec<Hit<'_>>> = BTreeMap::new();
    for hit in hits {
        let key = (hit.ecosystem.clone(), hit.name.release.clone());
        packages.entry(key).or_default().push(hit);
    }
    let mut found = Vec::new();
    for hits in packages.into_values() {
        let groups = grouped(&hits).into_iter();
        let mut of_one: Vec<Vulnerability> = groups.filter_map(|g| vulnerability(&g)).collect();
        of_one.sort_by(|a, b| {
            let key = |v: &Vulnerability| (v.malicious, v.not_compared.is_none(), v.level);
            key(b).cmp(&key(a)).then_with(|| a.id.cmp(&b.id))
        });
        found.extend(of_one);
    }
    found
}

/// Hits whose ids meet, directly or through others.
fn grouped<'g, 'h>(hits: &'g [Hit<'h>]) -> Vec<Vec<&'g Hit<'h>>> {
    let mut group_of: Vec<usize> = (0..hits.len()).collect();
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, hit) in hits.iter().enumerate() {
        for id in hit.ids() {
            let other = *first.entry(id).or_insert(number);
            let (a, b) = (root(&group_of, number), root(&group_of, other));
            if let Some(slot) = group_of.get_mut(a.max(b)) {
                *slot = a.min(b);
            }
        }
    }
    let mut groups: BTreeMap<usize, Vec<&Hit<'_>>> = BTreeMap::new();
    for (number, hit) in hits.iter().enumerate() {
        groups.entry(root(&group_of, number)).or_default().push(hit);
    }
    groups.into_values().collect()
}

fn root(group_of: &[usize], mut number: usize) -> usize {
    while let Some(parent) = group_of.get(number).filter(|p| **p != number) {
        number = *parent;
    }
    number
}

/// What the records of a group say together: it is affected if one of them says so, and as bad as the worst says.
fn vulnerability(group: &[&Hit<'_>]) -> Option<Vulnerability> {
    let one = group.first()?;
    let mut ids: Vec<String> = group
        .iter()
        .flat_map(|h| h.ids())
        .map(str::to_owned)
        .collect();
    ids.sort_by_key(|id| (rank(id), id.clone()));
    ids.dedup();
    let id = ids.remove(0);
    ids.sort();
    let affected: Vec<_> = group
        .iter()
        .filter(|h| matches!(h.answer, Answer::Affected(_)))
        .collect();
    let why = group.iter().find_map(|hit| match hit.answer {
        Answer::Unknown(why) => Some(why.to_owned()),
        Answer::Affected(_) | Answer::Clear => None,
    });
    let fixed = affected.iter().filter_map(|hit| match &hit.answer {
        Answer::Affected(fixed) => fixed.as_deref(),
        Answer::Unknown(_) | Answer::Clear => None,
    });
    let ecosystem = crate::eco::by_id(&one.ecosystem);
    // Where records differ, the higher one is fixed for all of them.
    let fixed = fixed.max_by(|a, b| {
        let order = ecosystem.and_then(|e| e.order(a, b));
        order.unwrap_or_else(|| a.cmp(b))
    });
    let told = |hit: &&&Hit<'_>| summary(hit.record).is_some();
    let summary_of = group.iter().find(told).and_then(|hit| summary(hit.record));
    let vectors: BTreeSet<String> = group.iter().flat_map(|h| h.vectors.clone()).collect();
    let source = format!("{}@{}", one.name.name, one.name.version);
    Some(Vulnerability {
        ecosystem: one.ecosystem.clone(),
        release: one.name.release.clone(),
        source: Some(source).filter(|s| *s != one.name.release.to_string()),
        id,
        aliases: ids,
        level: group.iter().filter_map(|h| h.level).max(),
        vectors: vectors.into_iter().map(|v| escaped(&v)).collect(),
        malicious: group.iter().any(|h| h.is_malicious()),
        summary: summary_of.unwrap_or_default(),
        fixed: fixed.map(escaped),
        not_compared: why.filter(|_| affected.is_empty()),
        modified: group.iter().map(|h| h.modified).max()?,
    })
}

/// Ids in the order in which people know them.
fn rank(id: &str) -> usize {
    let known = ["MAL-", "CVE-", "GHSA-", "PYSEC-", "RUSTSEC-"];
    let found = known.iter().position(|prefix| id.starts_with(prefix));
    found.unwrap_or(known.len())
}

/// What it is: its summary, else the first line of its details.
fn summary(record: &Record) -> Option<String> {
    let first = |text: &Option<String>| {
        let line = text
            .as_deref()?
            .lines()
            .map(str::trim)
            .find(|l| !l.is_empty())?;
        Some(escaped(line))
    };
    first(&record.summary).or_else(|| first(&record.details))
}
