//! A TOML table that is read key by key and then must be empty: the mechanism behind the manifest's errors.

use std::ops::Range;

use serde::de::Error as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::base::fault::Place;
use crate::base::platform::{Platform, Target};
use crate::manifest::{ManifestError, Requirement};

/// The place of byte `offset` in `text`.
pub fn place(file: &str, text: &str, offset: usize) -> Place {
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
pub struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

impl<'a> Source<'a> {
    /// A document that the user calls `file`.
    pub const fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text }
    }

    /// Its outermost table, when it is the manifest.
    pub fn top(self) -> Result<Table<'a>, ManifestError> {
        self.top_named("the manifest")
    }

    /// Its outermost table, with the document's name for messages.
    pub fn top_named(self, name: &str) -> Result<Table<'a>, ManifestError> {
        Ok(Table::new(self, name, 0..0, self.parse()?))
    }

    fn place(&self, span: &Range<usize>) -> Place {
        place(self.file, self.text, span.start)
    }

    /// Parses the whole document.
    fn parse(&self) -> Result<DeTable<'a>, ManifestError> {
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
pub struct Table<'a> {
    source: Source<'a>,
    name: String,
    span: Range<usize>,
    entries: DeTable<'a>,
    known: Vec<&'static str>,
}

/// A value with the key and place it was found at.
#[derive(Debug)]
pub struct Found<'a> {
    source: Source<'a>,
    key: String,
    stands: Range<usize>,
    pub(super) value: Spanned<DeValue<'a>>,
}

impl<'a> Table<'a> {
    fn new(
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

    /// Where it begins.
    pub fn place(&self) -> Place {
        self.source.place(&self.span)
    }

    /// Takes the value of `key`, if it is there.
    pub fn take(&mut self, key: &'static str) -> Option<Found<'a>> {
        self.known.push(key);
        let found = self.entries.keys().find(|k| k.get_ref() == key).cloned()?;
        let value = self.entries.remove(&found)?;
        Some(Found {
            source: self.source,
            key: key.to_owned(),
            stands: found.span(),
            value,
        })
    }

    /// Every key that was not taken, in the order of the document, for tables whose keys are not fixed.
    pub fn into_pairs(self) -> Vec<(String, Found<'a>)> {
        let source = self.source;
        let pairs = self.entries.into_iter().map(|(key, value)| {
            let name = key.get_ref().clone().into_owned();
            let found = Found {
                source,
                key: crate::base::text::escaped(&name),
                stands: key.span(),
                value,
            };
            (name, found)
        });
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_by_key(|(_, found)| found.stands.start);
        pairs
    }

    /// Takes the value of a key that must be there.
    pub fn require(&mut self, key: &'static str) -> Result<Found<'a>, ManifestError> {
        let place = self.place();
        let name = self.name.clone();
        self.take(key).ok_or_else(|| ManifestError::Value {
            key: key.to_owned(),
            expected: format!("given in {name}"),
            place,
        })
    }

    /// Every key must have been asked for by now.
    pub fn finish(self) -> Result<(), ManifestError> {
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
    /// Where it stands.
    pub fn place(&self) -> Place {
        self.source.place(&self.value.span())
    }

    /// Where its key stands.
    pub fn key_place(&self) -> Place {
        self.source.place(&self.stands)
    }

    /// It is not what is expected.
    pub fn error(&self, expected: impl Into<String>) -> ManifestError {
        ManifestError::Value {
            key: self.key.clone(),
            expected: expected.into(),
            place: self.place(),
        }
    }

    /// A string.
    pub fn string(self) -> Result<String, ManifestError> {
        match self.value.get_ref() {
            DeValue::String(text) => Ok(text.clone().into_owned()),
            _ => Err(self.error("a string")),
        }
    }

    /// A string, of which the value stays where it is.
    pub fn text(&self) -> Result<&str, ManifestError> {
        match self.value.get_ref() {
            DeValue::String(text) => Ok(text),
            _ => Err(self.error("a string")),
        }
    }

    /// A string, or a date or time of TOML as its text.
    pub fn time_text(&self) -> Result<String, ManifestError> {
        match self.value.get_ref() {
            DeValue::Datetime(at) => Ok(at.to_string()),
            _ => self.text().map(str::to_owned),
        }
    }

    /// A string that parses into `T`.
    pub fn parsed<T: std::str::FromStr>(self, expected: &str) -> Result<T, ManifestError> {
        let fail = self.error(expected);
        self.string()?.parse().map_err(|_bad| fail)
    }

    /// The elements of an array.
    pub fn array(self) -> Result<Vec<Self>, ManifestError> {
        let (source, key, stands) = (self.source, self.key.clone(), self.stands.clone());
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
                stands: stands.clone(),
                value,
            })
            .collect())
    }

    /// An array of strings.
    pub fn strings(self) -> Result<Vec<String>, ManifestError> {
        self.array()?.into_iter().map(Self::string).collect()
    }

    /// `true` or `false`.
    pub fn boolean(self) -> Result<bool, ManifestError> {
        match self.value.get_ref() {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.error("true or false")),
        }
    }

    /// A whole number that is not negative.
    pub fn number(&self) -> Option<u64> {
        match self.value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            _ => None,
        }
    }

    /// Whether it is a table.
    pub fn is_table(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Table(_))
    }

    /// At least one platform, sorted.
    pub fn platforms(self) -> Result<Vec<Platform>, ManifestError> {
        let fail = self.error("at least one platform");
        let mut out = Vec::new();
        for item in self.array()? {
            out.push(item.parsed("a platform: \"linux/amd64\" or \"linux/arm64\"")?);
        }
        out.sort_unstable();
        out.dedup();
        if out.is_empty() { Err(fail) } else { Ok(out) }
    }

    /// Platforms that the target has.
    pub fn platforms_of(self, target: &Target) -> Result<Vec<Platform>, ManifestError> {
        let fail = self.error("platforms that `[target] platforms` lists");
        let out = self.platforms()?;
        if out.iter().all(|p| target.platforms.contains(p)) {
            Ok(out)
        } else {
            Err(fail)
        }
    }

    /// Addresses.
    pub fn web_addresses(self) -> Result<Vec<String>, ManifestError> {
        self.array()?.into_iter().map(Self::web_address).collect()
    }

    /// The address of a proxy.
    pub fn proxy_address(self) -> Result<String, ManifestError> {
        let fail = self.error("an http or https address");
        let text = self.string()?;
        let url = url::Url::parse(&text).ok();
        let fine =
            url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if fine { Ok(text) } else { Err(fail) }
    }

    /// An `http` or `https` address. A password does not belong into a file that is committed.
    pub fn web_address(self) -> Result<String, ManifestError> {
        let place = self.error("an address without password; see `[network] credentials`");
        let fail = self.error("an http or https address");
        let text = self.string()?;
        match url::Url::parse(&text) {
            Ok(url) if url.password().is_some() => Err(place),
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => Ok(text),
            _ => Err(fail),
        }
    }

    /// Requirements: texts, or `{ spec = "…", platforms = ["linux/amd64"] }` for some platforms of the target.
    pub fn requirements(self, target: &Target) -> Result<Vec<Requirement>, ManifestError> {
        let items = self.array()?.into_iter();
        items.map(|item| item.requirement(target)).collect()
    }

    fn requirement(self, target: &Target) -> Result<Requirement, ManifestError> {
        let (place, fail) = (
            self.place(),
            self.error("requirements without blanks around them"),
        );
        let requirement = if self.is_table() {
            let mut table = self.table("the requirement")?;
            let spec = table.require("spec")?.string()?;
            let platforms = table.take("platforms");
            let platforms = platforms.map(|found| found.platforms_of(target));
            table.finish()?;
            Requirement {
                spec,
                platforms: platforms.transpose()?.unwrap_or_default(),
                place,
            }
        } else {
            Requirement {
                spec: self.string()?,
                platforms: Vec::new(),
                place,
            }
        };
        if requirement.spec.trim() != requirement.spec || requirement.spec.is_empty() {
            return Err(fail);
        }
        Ok(requirement)
    }

    /// A table.
    pub fn table(self, name: impl Into<String>) -> Result<Table<'a>, ManifestError> {
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
    pub fn tables(self, name: &str) -> Result<Vec<Table<'a>>, ManifestError> {
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
