//! Canonical JSON: the subset of JCS (RFC 8785) that signed documents use. Printable ASCII keys, integers below
//! 2^53, no floats, and exactly one byte sequence per value.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Deepest nesting of arrays and objects in a signed document.
pub const MAX_DEPTH: usize = 32;
/// Largest integer that every JSON reader represents exactly.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Why bytes are not a canonical document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Longer than allowed.
    #[error("document of {size} bytes is longer than {limit} bytes")]
    TooLarge {
        /// Bytes found.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// Not UTF-8, not JSON, a duplicate key, a float, an integer out of range.
    #[error("not canonical JSON: {reason}")]
    Syntax {
        /// What the parser said, escaped.
        reason: String,
    },
    /// Nested too deep.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Valid JSON, but not its canonical bytes.
    #[error("JSON is not in canonical form")]
    NotCanonical,
}

/// Parses a signed document: at most `limit` bytes, canonical to the byte.
pub fn strict(bytes: &[u8], limit: u64) -> Result<Value, JsonError> {
    let value = parse(bytes, limit)?;
    if canonical(&value) != bytes {
        return Err(JsonError::NotCanonical);
    }
    Ok(value)
}

/// Parses a document that has a canonical form but need not be in it: no key twice, no floats, no big integers.
pub fn parse(bytes: &[u8], limit: u64) -> Result<Value, JsonError> {
    if bytes.len() as u64 > limit {
        return Err(JsonError::TooLarge {
            size: bytes.len() as u64,
            limit,
        });
    }
    let parsed: Strict = serde_json::from_slice(bytes).map_err(|e| JsonError::Syntax {
        reason: crate::base::text::escaped(&e.to_string()),
    })?;
    if depth(&parsed.0) > MAX_DEPTH {
        return Err(JsonError::TooDeep);
    }
    Ok(parsed.0)
}

/// The canonical bytes of `value`: sorted keys, no spaces. `value` must hold no floats.
pub fn canonical(value: &Value) -> Vec<u8> {
    // serde_json's map is a BTreeMap here (feature `preserve_order` is off), so keys come out sorted by code point.
    value.to_string().into_bytes()
}

/// The canonical bytes of anything that serialises without floats.
pub fn to_canonical<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    Ok(canonical(&serde_json::to_value(value)?))
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// A value whose objects have no key twice and whose numbers are integers.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON without floats")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Value, E> {
        if v.unsigned_abs() > MAX_INTEGER {
            return Err(E::custom("integer out of range"));
        }
        Ok(v.into())
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Value, E> {
        if v > MAX_INTEGER {
            return Err(E::custom("integer out of range"));
        }
        Ok(v.into())
    }

    fn visit_f64<E: de::Error>(self, _value: f64) -> Result<Value, E> {
        Err(E::custom("floating-point number"))
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if key.is_empty() || key.len() > 256 || !key.bytes().all(|b| (b' '..=b'~').contains(&b))
            {
                return Err(de::Error::custom(
                    "key is not 1 to 256 printable ASCII characters",
                ));
            }
            let Strict(value) = map.next_value()?;
            if object.insert(key, value).is_some() {
                return Err(de::Error::custom("duplicate key"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::{JsonError, strict};

    #[test]
    fn one_value_has_one_spelling() {
        for good in [
            "{}",
            r#"{"a":1,"b":[true,null,"x\n"]}"#,
            "[-5]",
            "\"é\"",
            "\"\u{7f}\"",
        ] {
            assert!(strict(good.as_bytes(), 100).is_ok(), "{good}");
        }
        let bad = [
            " {}",
            "{} ",
            r#"{"b":1,"a":1}"#,
            r#"{"a":1,"a":1}"#,
            "1.0",
            "1e2",
            "-0",
            "9007199254740992",
            "[1,]",
            r#""\u0041""#,
            r#""\ud800""#,
            "\u{feff}{}",
            r#""\/""#,
            r#"{"é":1}"#,
            "",
            "01",
            r#"{"":1}"#,
        ];
        for bad in bad {
            assert!(strict(bad.as_bytes(), 100).is_err(), "{bad}");
        }
    }

    #[test]
    fn depth_and_size_are_limited() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        strict(nested(32).as_bytes(), 1000).unwrap();
        assert_eq!(strict(nested(33).as_bytes(), 1000), Err(JsonError::TooDeep));
        assert!(matches!(
            strict(nested(30_000).as_bytes(), 100_000),
            Err(JsonError::Syntax { .. })
        ));
        assert_eq!(
            strict(b"[1]", 2),
            Err(JsonError::TooLarge { size: 3, limit: 2 })
        );
    }
}
