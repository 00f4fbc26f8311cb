//! A TOML table that is read key by key and then must be empty: the mechanism behind the manifest's errors.

use std::ops::Range;

use serde::de::Error as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ManifestError;
use crate::base::fault::Place;

/// The place of byte `offset` in `text`.
pub(super) fn place(file: &str, text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    Place {
        file: file.to_owned(),
        line,
        column,
    }
}

/// The document a table belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        place(self.file, self.text, span.start)
    }

    /// Parses the whole document.
    pub(super) fn parse(&self) -> Result<DeTable<'_>, ManifestError> {
        DeTable::parse(self.text)
            .map(Spanned::into_inner)
            .map_err(|e| ManifestError::Syntax {
                reason: crate::base::text::escaped(e.message()),
                place: place(self.file, self.text, e.span().map_or(0, |s| s.start)),
            })
    }
}

/// One table, with its name for messages.
#[derive(Debug)]
pub(super) struct Table<'a> {
    pub(super) source: Source<'a>,
    name: String,
    span: Range<usize>,
    entries: DeTable<'a>,
    known: Vec<&'static str>,
}

/// A value with the key and place it was found at.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) source: Source<'a>,
    pub(super) key: String,
    pub(super) value: Spanned<DeValue<'a>>,
}

impl<'a> Table<'a> {
    pub(super) fn new(
        source: Source<'a>,
        name: impl Into<String>,
        span: Range<usize>,
        entries: DeTable<'a>,
    ) -> Self {
        Self {
            source,
            name: name.into(),
            span,
            entries,
            known: Vec::new(),
        }
    }

    pub(super) fn place(&self) -> Place {
        self.source.place(&self.span)
    }

    /// Takes the value of `key`, if it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Found<'a>> {
        self.known.push(key);
        let found = self.entries.keys().find(|k| k.get_ref() == key).cloned()?;
        let value = self.entries.remove(&found)?;
        Some(Found {
            source: self.source,
            key: key.to_owned(),
            value,
        })
    }

    /// Takes the value of a key that must be there.
    pub(super) fn require(&mut self, key: &'static str) -> Result<Found<'a>, ManifestError> {
        let place = self.place();
        let name = self.name.clone();
        self.take(key).ok_or_else(|| ManifestError::Value {
            key: key.to_owned(),
            expected: format!("given in {name}"),
            place,
        })
    }

    /// Every key must have been asked for by now.
    pub(super) fn finish(self) -> Result<(), ManifestError> {
        let Some(key) = self.entries.keys().min_by_key(|k| k.span().start) else {
            return Ok(());
        };
        let text = key.get_ref();
        let nearest = self
            .known
            .iter()
            .map(|known| (strsim::damerau_levenshtein(known, text), *known))
            .filter(|(distance, known)| *distance <= 1 + known.len() / 3)
            .min();
        Err(ManifestError::UnknownKey {
            key: crate::base::text::escaped(text),
            table: self.name,
            nearest: nearest.map(|(_, known)| known),
            place: self.source.place(&key.span()),
        })
    }
}

impl<'a> Found<'a> {
    pub(super) fn place(&self) -> Place {
        self.source.place(&self.value.span())
    }

    pub(super) fn error(&self, expected: impl Into<String>) -> ManifestError {
        ManifestError::Value {
            key: self.key.clone(),
            expected: expected.into(),
            place: self.place(),
        }
    }

    pub(super) fn string(self) -> Result<String, ManifestError> {
        match self.value.get_ref() {
            DeValue::String(text) => Ok(text.clone().into_owned()),
            _ => Err(self.error("a string")),
        }
    }

    /// A string that parses into `T`.
    pub(super) fn parsed<T: std::str::FromStr>(self, expected: &str) -> Result<T, ManifestError> {
        let fail = self.error(expected);
        self.string()?.parse().map_err(|_bad| fail)
    }

    /// The elements of an array.
    pub(super) fn array(self) -> Result<Vec<Self>, ManifestError> {
        let (source, key) = (self.source, self.key.clone());
        match self.value.get_ref() {
            DeValue::Array(_) => {}
            _ => return Err(self.error("an array")),
        }
        let DeValue::Array(items) = self.value.into_inner() else {
            return Ok(Vec::new());
        };
        Ok(items
            .into_iter()
            .map(|value| Found {
                source,
                key: key.clone(),
                value,
            })
            .collect())
    }

    pub(super) fn strings(self) -> Result<Vec<String>, ManifestError> {
        self.array()?.into_iter().map(Self::string).collect()
    }

    /// A table.
    pub(super) fn table(self, name: impl Into<String>) -> Result<Table<'a>, ManifestError> {
        match self.value.get_ref() {
            DeValue::Table(_) => {}
            _ => return Err(self.error("a table")),
        }
        let (source, span) = (self.source, self.value.span());
        let DeValue::Table(entries) = self.value.into_inner() else {
            return Err(ManifestError::Syntax {
                reason: toml::de::Error::custom("not a table").to_string(),
                place: source.place(&span),
            });
        };
        Ok(Table::new(source, name, span, entries))
    }

    /// A table, or an array of tables.
    pub(super) fn tables(self, name: &str) -> Result<Vec<Table<'a>>, ManifestError> {
        match self.value.get_ref() {
            DeValue::Array(_) => self
                .array()?
                .into_iter()
                .map(|found| found.table(name))
                .collect(),
            DeValue::Table(_)
            | DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => Ok(vec![self.table(name)?]),
        }
    }
}
