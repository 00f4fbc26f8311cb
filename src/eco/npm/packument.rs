//! Packuments: what a registry says about one package name. Only the fields that resolving and records need are kept,
//! as slices of one text and equal neighbours stored once, so that a closure of large packuments fits in memory.

use std::collections::BTreeMap;
use std::fmt;

use nodejs_semver::Version;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::base::time::Timestamp;
use crate::eco::npm::fault::NpmError;

/// Fields of a version object that are kept.
const FIELDS: [&str; 22] = [
    "deprecated",
    "engines",
    "dependencies",
    "optionalDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "bundleDependencies",
    "bundledDependencies",
    "bin",
    "os",
    "cpu",
    "libc",
    "hasInstallScript",
    "scripts",
    "license",
    "licenses",
    "author",
    "maintainers",
    "description",
    "homepage",
    "repository",
    "_hasShrinkwrap",
];
/// Position of `dist`, kept apart since it differs in every version.
const DIST: usize = FIELDS.len();

/// A part of [`Packument::text`]; empty means absent.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: u32,
    end: u32,
}

/// One package name.
#[derive(Debug)]
pub(crate) struct Packument {
    name: String,
    tags: BTreeMap<String, String>,
    text: String,
    versions: Vec<Slot>,
    by_version: BTreeMap<String, usize>,
}

/// One version, unread apart from what picking needs.
#[derive(Debug)]
struct Slot {
    version: Box<str>,
    parsed: Option<Version>,
    time: Option<Box<str>>,
    deprecated: bool,
    engines: Option<Box<Engines>>,
    fields: [Span; DIST + 1],
}

/// What `engines` asks of Node and npm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Engines {
    /// Range of Node versions.
    pub(crate) node: Option<String>,
    /// Range of npm versions.
    pub(crate) npm: Option<String>,
}

/// A view of one version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VersionView<'a> {
    packument: &'a Packument,
    slot: &'a Slot,
}

impl Packument {
    /// Reads the registry's answer for `name`.
    pub(crate) fn parse(name: &str, bytes: &[u8]) -> Result<Self, NpmError> {
        let broken = |reason: String| NpmError::Packument {
            name: crate::base::text::quoted(name),
            reason: crate::base::text::escaped(&reason),
        };
        let text = std::str::from_utf8(bytes).map_err(|e| broken(e.to_string()))?;
        let raw: RawPackument<'_> =
            serde_json::from_str(text).map_err(|e| broken(e.to_string()))?;
        let mut packument = Self {
            name: name.to_owned(),
            tags: raw.tags,
            text: String::new(),
            versions: Vec::with_capacity(raw.versions.len()),
            by_version: BTreeMap::new(),
        };
        let mut last = [None; DIST + 1];
        let mut spans = [Span::default(); DIST + 1];
        for (version, fields) in raw.versions {
            for ((now, before), span) in fields.0.iter().zip(&mut last).zip(&mut spans) {
                if now.map(RawValue::get) != before.map(RawValue::get) {
                    *span = packument
                        .keep(*now)
                        .ok_or_else(|| broken("too large".to_owned()))?;
                    *before = *now;
                }
            }
            let time = raw
                .times
                .get(version.as_str())
                .map(|t| t.clone().into_boxed_str());
            packument.push(version, &fields, time, spans);
        }
        packument.text.shrink_to_fit();
        Ok(packument)
    }

    fn keep(&mut self, value: Option<&RawValue>) -> Option<Span> {
        let start = u32::try_from(self.text.len()).ok()?;
        self.text.push_str(value.map_or("", RawValue::get));
        let end = u32::try_from(self.text.len()).ok()?;
        Some(Span { start, end })
    }

    fn push(
        &mut self,
        version: String,
        raw: &RawVersion<'_>,
        time: Option<Box<str>>,
        fields: [Span; DIST + 1],
    ) {
        let slot = Slot {
            parsed: Version::parse(&version).ok(),
            time,
            deprecated: raw.0.first().copied().flatten().is_some_and(is_truthy),
            engines: raw
                .0
                .get(1)
                .copied()
                .flatten()
                .and_then(engines)
                .map(Box::new),
            fields,
            version: version.clone().into_boxed_str(),
        };
        let earlier = self.by_version.get(&version).copied();
        if let Some(earlier) = earlier.and_then(|at| self.versions.get_mut(at)) {
            *earlier = slot;
        } else {
            self.by_version.insert(version, self.versions.len());
            self.versions.push(slot);
        }
    }

    /// Its package name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The version a dist-tag points at.
    pub(crate) fn tag(&self, tag: &str) -> Option<&str> {
        self.tags.get(tag).map(String::as_str)
    }

    /// Every tag.
    pub(crate) const fn tags(&self) -> &BTreeMap<String, String> {
        &self.tags
    }

    /// One version.
    pub(crate) fn version(&self, version: &str) -> Option<VersionView<'_>> {
        let slot = self.versions.get(*self.by_version.get(version)?)?;
        Some(VersionView {
            packument: self,
            slot,
        })
    }

    /// All versions in the registry's order.
    pub(crate) fn versions(&self) -> impl Iterator<Item = VersionView<'_>> {
        self.versions.iter().map(|slot| VersionView {
            packument: self,
            slot,
        })
    }
}

impl<'a> VersionView<'a> {
    /// The version text.
    pub(crate) fn text(&self) -> &'a str {
        &self.slot.version
    }

    /// The version, where it is one.
    pub(crate) const fn parsed(&self) -> Option<&'a Version> {
        self.slot.parsed.as_ref()
    }

    /// Publication time as the registry states it.
    pub(crate) fn time(&self) -> Option<&'a str> {
        self.slot.time.as_deref()
    }

    /// Whether it was published, as far as the registry says, at `limit` or earlier. No time means no.
    pub(crate) fn is_at_most(&self, limit: Timestamp) -> bool {
        let Some(text) = self.time() else {
            return false;
        };
        let fraction = text.split_once('.').is_some_and(|(_, rest)| {
            rest.bytes()
                .take_while(u8::is_ascii_digit)
                .any(|b| b != b'0')
        });
        Timestamp::from_rfc3339(text).is_ok_and(|at| at < limit || (at == limit && !fraction))
    }

    /// Whether the publisher deprecated it, as npm reads the field.
    pub(crate) const fn is_deprecated(&self) -> bool {
        self.slot.deprecated
    }

    /// What it asks of Node and npm.
    pub(crate) fn engines(&self) -> Option<&'a Engines> {
        self.slot.engines.as_deref()
    }

    /// JSON of a kept field.
    pub(crate) fn field(&self, name: &str) -> Option<&'a str> {
        let at = FIELDS.iter().position(|f| *f == name).unwrap_or(DIST);
        let span = self.slot.fields.get(at)?;
        let text = self
            .packument
            .text
            .get(span.start as usize..span.end as usize)?;
        (!text.is_empty()).then_some(text)
    }
}

/// JavaScript's truth: `false`, `null`, `0` and `""` are not.
fn is_truthy(value: &RawValue) -> bool {
    !matches!(value.get(), "false" | "null" | "0" | "\"\"")
}

fn engines(value: &RawValue) -> Option<Engines> {
    let value: serde_json::Value = serde_json::from_str(value.get()).ok()?;
    let text = |name: &str| match value.get(name)? {
        serde_json::Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        other => Some(other.to_string()),
    };
    let engines = Engines {
        node: text("node"),
        npm: text("npm"),
    };
    (engines != Engines::default()).then_some(engines)
}

/// The parts of a packument that are read, everything else skipped.
#[derive(Default)]
struct RawPackument<'a> {
    tags: BTreeMap<String, String>,
    times: BTreeMap<String, String>,
    versions: Vec<(String, RawVersion<'a>)>,
}

impl<'de> Deserialize<'de> for RawPackument<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = RawPackument<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a packument")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut raw = RawPackument::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "dist-tags" => raw.tags = map.next_value::<Texts>()?.into_map(),
                        "time" => raw.times = map.next_value::<Texts>()?.into_map(),
                        "versions" => raw.versions = map.next_value::<Entries<'de>>()?.0,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(raw)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// A map of version objects in the order of the text; anything else is empty.
struct Entries<'a>(Vec<(String, RawVersion<'a>)>);

/// The kept fields of a version object.
struct RawVersion<'a>([Option<&'a RawValue>; DIST + 1]);

/// Position of a key among the kept fields.
struct Key(Option<usize>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Key;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Key, E> {
                let known = FIELDS.iter().position(|f| *f == v);
                Ok(Key(known.or_else(|| (v == "dist").then_some(DIST))))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}

/// Writes the visitor of a map that takes any other value as an empty one.
macro_rules! lenient_map {
    ($type:ty, $empty:expr, $fill:item) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;
                impl<'de> Visitor<'de> for Reader {
                    type Value = $type;

                    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                        formatter.write_str("any value")
                    }

                    $fill

                    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                        while seq.next_element::<IgnoredAny>()?.is_some() {}
                        Ok($empty)
                    }
                    fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok($empty) }
                    fn visit_bool<E>(self, _v: bool) -> Result<Self::Value, E> { Ok($empty) }
                    fn visit_i64<E>(self, _v: i64) -> Result<Self::Value, E> { Ok($empty) }
                    fn visit_u64<E>(self, _v: u64) -> Result<Self::Value, E> { Ok($empty) }
                    fn visit_f64<E>(self, _v: f64) -> Result<Self::Value, E> { Ok($empty) }
                    fn visit_str<E>(self, _v: &str) -> Result<Self::Value, E> { Ok($empty) }
                }
                deserializer.deserialize_any(Reader)
            }
        }
    };
}

lenient_map!(
    Entries<'de>,
    Entries(Vec::new()),
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry::<String, RawVersion<'de>>()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
);

lenient_map!(
    RawVersion<'de>,
    RawVersion([None; DIST + 1]),
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = [None; DIST + 1];
        while let Some(Key(known)) = map.next_key()? {
            match known.and_then(|at| fields.get_mut(at)) {
                Some(field) => *field = Some(map.next_value::<&'de RawValue>()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(RawVersion(fields))
    }
);

/// A map of texts in the order of the text, repeated keys included. Values of other types are written as JSON after
/// `invalid:`, so that nothing reads them as a range; anything that is no map is empty.
#[derive(Debug, Default)]
pub(crate) struct Texts(pub(crate) Vec<(String, String)>);

impl Texts {
    /// Sorted; of a key that stands twice the last value.
    pub(crate) fn into_map(self) -> BTreeMap<String, String> {
        self.0.into_iter().collect()
    }
}

lenient_map!(
    Texts,
    Texts::default(),
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, serde_json::Value>()? {
            let value = match value {
                serde_json::Value::String(text) => text,
                other => format!("invalid:{other}"),
            };
            texts.push((key, value));
        }
        Ok(Texts(texts))
    }
);

#[cfg(test)]
mod tests {
    use super::{Packument, Texts};

    #[test]
    fn odd_shapes_are_read_as_far_as_they_make_sense() {
        let text = br#"{"name":"x","versions":{"1.0.0":{"deprecated":"","engines":["node >= 4"],"os":"linux"},
            "1.1.0":{"deprecated":true,"engines":{"node":">=4"}},"2.0.0":null,"nonsense":7},
            "time":{"1.0.0":"2020-01-01T00:00:00.001Z","unpublished":{"a":1}},"dist-tags":{"latest":"1.1.0","odd":3}}"#;
        let packument = Packument::parse("x", text).unwrap();
        let one = packument.version("1.0.0").unwrap();
        assert!(!one.is_deprecated() && one.engines().is_none());
        assert_eq!(one.field("os"), Some("\"linux\""));
        assert!(!one.is_at_most("2020-01-01T00:00:00Z".parse().unwrap()));
        assert!(one.is_at_most("2020-01-01T00:00:01Z".parse().unwrap()));
        let next = packument.version("1.1.0").unwrap();
        assert!(next.is_deprecated() && !next.is_at_most("2030-01-01T00:00:00Z".parse().unwrap()));
        assert_eq!(next.field("os"), None);
        assert!(packument.version("2.0.0").is_some());
        assert!(packument.version("nonsense").unwrap().parsed().is_none());
        assert_eq!(packument.tag("latest"), Some("1.1.0"));
        for bad in [&b"[]"[..], b"{", b"\xff", b"\"x\""] {
            Packument::parse("x", bad).unwrap_err();
        }
        assert_eq!(
            Packument::parse("x", b"{\"versions\":[1]}")
                .unwrap()
                .versions()
                .count(),
            0
        );
    }

    #[test]
    fn values_that_are_no_text_never_look_like_a_range() {
        let texts: Texts =
            serde_json::from_str(r#"{"b":"1","a":1,"c":{"d":"*"},"b":"2"}"#).unwrap();
        let texts = texts.0;
        assert_eq!(texts[1], ("a".to_owned(), "invalid:1".to_owned()));
        assert_eq!(texts[2].1, "invalid:{\"d\":\"*\"}");
    }
}
