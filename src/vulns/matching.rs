//! From a database to what it says of a closure: names first, then the records that name one of them.

use std::collections::{BTreeMap, BTreeSet};

use super::groups::{self, Hit};
use super::range::{self, Answer};
use super::record::{Brief, Record};
use super::source::{self, RawRecord, SourceFile};
use super::{Checked, Closure, Database, Query, VulnError, level};
use crate::base::digest::Digest;
use crate::base::package::EcosystemId;
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::eco::osv::OsvName;
use crate::eco::{self, Ecosystem};

/// Most records that name carried packages.
const MOST_NAMED: usize = 200_000;

/// What a database is asked for: packages by ecosystem of the OSV schema and compared name.
struct Wanted {
    packages: Vec<(&'static dyn Ecosystem, OsvName)>,
    names: BTreeMap<String, BTreeMap<String, Vec<usize>>>,
}

impl Wanted {
    fn new(closures: &[Closure<'_>]) -> Result<Self, VulnError> {
        let mut wanted = Self {
            packages: Vec::new(),
            names: BTreeMap::new(),
        };
        let mut seen = BTreeSet::new();
        for closure in closures {
            for ecosystem in eco::ALL {
                let id = ecosystem.id();
                let carried = closure.lock.of(&id).filter(|p| p.is_carried());
                let packages: Vec<_> = carried.collect();
                let records = closure.records.get(&id).map_or(&[][..], Vec::as_slice);
                if packages.is_empty() {
                    continue;
                }
                for name in ecosystem.osv_names(&packages, records)? {
                    let key = (
                        id.clone(),
                        name.release.clone(),
                        name.name.clone(),
                        name.version.clone(),
                    );
                    if seen.insert(key) {
                        wanted.add(*ecosystem, name);
                    }
                }
            }
        }
        Ok(wanted)
    }

    fn add(&mut self, ecosystem: &'static dyn Ecosystem, name: OsvName) {
        let number = self.packages.len();
        for stands_in in &name.ecosystems {
            let names = self.names.entry(stands_in.clone()).or_default();
            let key = ecosystem.osv_key(&name.name);
            names.entry(key).or_default().push(number);
        }
        self.packages.push((ecosystem, name));
    }

    /// The packages that an `affected` entry may mean.
    fn named(&self, ecosystem: &str, name: &str) -> &[usize] {
        let find = || {
            let names = self.names.get(ecosystem)?;
            let (knowledge, _) = self.packages.get(*names.values().next()?.first()?)?;
            names.get(&knowledge.osv_key(name))
        };
        find().map_or(&[], Vec::as_slice)
    }
}

/// What is gathered while records pass by.
struct Reading<'w> {
    wanted: &'w Wanted,
    records: u64,
    date: Option<Timestamp>,
    ecosystems: BTreeMap<String, u64>,
    /// Records that name a package, by id; of one that stands twice, the newer.
    named: BTreeMap<String, (Timestamp, Record)>,
}

/// Looks up closures in a database.
///
/// # Errors
/// It is no database, or a record in it cannot be read.
pub fn check(query: &mut Query<'_>) -> Result<Checked, VulnError> {
    let wanted = Wanted::new(query.closures)?;
    let ecosystems: BTreeSet<&str> = wanted.names.keys().map(String::as_str).collect();
    let mut reading = Reading {
        wanted: &wanted,
        records: 0,
        date: None,
        ecosystems: BTreeMap::new(),
        named: BTreeMap::new(),
    };
    let carry = &mut query.carry;
    let files = source::read(&mut query.database, &ecosystems, &mut |record| {
        let of_these = reading.take(record)?;
        match carry {
            Some(writer) if of_these => writer.add(record),
            _ => Ok(()),
        }
    })?;
    let vulnerabilities = groups::merge(reading.hits());
    let uncovered = reading.uncovered();
    Ok(Checked {
        database: Some(Database {
            date: reading.date,
            sha256: digest(&files),
            files: files.len(),
            records: reading.records,
            ecosystems: reading.ecosystems,
        }),
        uncovered,
        vulnerabilities,
    })
}

/// Of one file its own digest; of several, that of the list of theirs.
fn digest(files: &[SourceFile]) -> Digest {
    if let [file] = files {
        return file.digest;
    }
    let mut list = String::new();
    for file in files {
        list.push_str(&[&file.digest.hex(), "  ", &file.name, "\n"].concat());
    }
    Digest::of(list.as_bytes())
}

impl Reading<'_> {
    /// Takes in a record; whether it is of an ecosystem of the closure.
    fn take(&mut self, raw: RawRecord<'_>) -> Result<bool, VulnError> {
        let brief: Brief<'_> = serde_json::from_slice(raw.bytes).map_err(|e| bad(raw, &e))?;
        let modified = time(raw, &brief.modified)?;
        if brief.id.is_empty() {
            return Err(bad(raw, &"it has no id"));
        }
        self.records += 1;
        self.date = self.date.max(Some(modified));
        let (mut ecosystems, mut is_named) = (BTreeSet::new(), false);
        let affected = brief.affected.iter().flatten();
        for package in affected.filter_map(|a| a.package.as_ref()) {
            let ecosystem = package.ecosystem.as_ref();
            if self.wanted.names.contains_key(ecosystem) {
                ecosystems.insert(ecosystem);
                is_named |= !self.wanted.named(ecosystem, &package.name).is_empty();
            }
        }
        for ecosystem in &ecosystems {
            match self.ecosystems.get_mut(*ecosystem) {
                Some(count) => *count += 1,
                None => _ = self.ecosystems.insert((*ecosystem).to_owned(), 1),
            }
        }
        if is_named {
            let record: Record = serde_json::from_slice(raw.bytes).map_err(|e| bad(raw, &e))?;
            self.keep(raw, modified, record)?;
        }
        Ok(!ecosystems.is_empty())
    }

    fn keep(
        &mut self,
        raw: RawRecord<'_>,
        modified: Timestamp,
        record: Record,
    ) -> Result<(), VulnError> {
        let fine =
            |id: &String| (1..=200).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
        let aliases = record.aliases.iter().flatten();
        if let Some(odd) = std::iter::once(&record.id)
            .chain(aliases)
            .find(|id| !fine(id))
        {
            return Err(bad(raw, &format_args!("{} is no id", quoted(odd))));
        }
        let known = self.named.get(&record.id).map(|(modified, _)| *modified);
        if known.is_none_or(|known| known < modified) {
            self.named.insert(record.id.clone(), (modified, record));
        }
        if self.named.len() > MOST_NAMED {
            return Err(bad(
                raw,
                &format_args!("more than {MOST_NAMED} records name a package of the lock"),
            ));
        }
        Ok(())
    }

    /// Every record that is about a carried version, or may be. What was withdrawn is not.
    fn hits(&self) -> Vec<Hit<'_>> {
        let mut hits = Vec::new();
        for (modified, record) in self.named.values().filter(|(_, r)| r.withdrawn.is_none()) {
            for affected in record.affected.iter().flatten() {
                let Some(package) = &affected.package else {
                    continue;
                };
                for number in self.wanted.named(&package.ecosystem, &package.name) {
                    let Some((ecosystem, name)) = self.wanted.packages.get(*number) else {
                        continue;
                    };
                    let answer = range::judge(affected, &name.version, *ecosystem);
                    if answer != Answer::Clear {
                        let (level, vectors) = level::of(record, affected);
                        hits.push(Hit {
                            ecosystem: ecosystem.id(),
                            name,
                            record,
                            modified: *modified,
                            answer,
                            level,
                            vectors,
                        });
                    }
                }
            }
        }
        hits
    }

    /// Ecosystems of packages that could have been in the database, and of which it has nothing.
    fn uncovered(&self) -> Vec<EcosystemId> {
        let mut covered: BTreeMap<EcosystemId, bool> = BTreeMap::new();
        for (ecosystem, name) in &self.wanted.packages {
            let has = name
                .ecosystems
                .iter()
                .any(|e| self.ecosystems.contains_key(e));
            let known = covered.entry(ecosystem.id()).or_insert(true);
            *known &= has;
        }
        let none = covered.into_iter().filter(|(_, covered)| !covered);
        none.map(|(id, _)| id).collect()
    }
}

fn bad(raw: RawRecord<'_>, reason: &dyn std::fmt::Display) -> VulnError {
    VulnError::Record {
        place: raw.place.to_owned(),
        reason: escaped(&reason.to_string()),
    }
}

fn time(raw: RawRecord<'_>, text: &str) -> Result<Timestamp, VulnError> {
    Timestamp::from_rfc3339(text).map_err(|error| bad(raw, &error))
}
