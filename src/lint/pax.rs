//! Extended headers of tar (POSIX.1-2001 pax, "pax Extended Header"): records `length key=value\n`.

use crate::lint::{Problems, Rule, named};

/// Largest extended header, in bytes.
pub(super) const MAX: u64 = 1 << 20;

/// What an extended header says of the member that follows.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) linkpath: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
}

impl Extended {
    /// Reads the records; what clients read differently is a problem. `global` for a header of all members.
    pub(super) fn parse(mut bytes: &[u8], global: bool, found: &mut Problems) -> Self {
        let mut out = Self::default();
        let mut keys = std::collections::BTreeSet::new();
        while !bytes.is_empty() {
            let Some((key, value, rest)) = record(bytes) else {
                found.deny(Rule::Header, "an extended header is malformed");
                break;
            };
            bytes = rest;
            if !keys.insert(key.to_vec()) {
                found.deny(
                    Rule::Header,
                    format!("an extended header says {} twice", named(key)),
                );
            }
            let decides = matches!(key, b"path" | b"linkpath" | b"size" | b"hdrcharset")
                || key.starts_with(b"GNU.sparse.");
            if global && decides {
                found.deny(Rule::Header, format!("a global header says {}", named(key)));
            }
            match key {
                b"path" => out.path = Some(text(key, value, found)),
                b"linkpath" => out.linkpath = Some(text(key, value, found)),
                b"size" => out.size = size(value, found),
                b"hdrcharset" => {
                    found.deny(Rule::Header, "an extended header changes the character set");
                }
                key if key.starts_with(b"GNU.sparse.") => {
                    found.deny(
                        Rule::Header,
                        "a member is sparse, which clients read differently",
                    );
                }
                _ => {}
            }
        }
        out
    }
}

fn text(key: &[u8], value: &[u8], found: &mut Problems) -> Vec<u8> {
    if value.contains(&0) {
        found.deny(
            Rule::Header,
            format!("{} of an extended header holds a zero byte", named(key)),
        );
    }
    value.to_vec()
}

fn size(value: &[u8], found: &mut Problems) -> Option<u64> {
    let number = std::str::from_utf8(value)
        .ok()
        .and_then(|v| v.parse::<u64>().ok());
    if number.is_none_or(|n| n.to_string().as_bytes() != value) {
        found.deny(
            Rule::Header,
            "the size in an extended header is no plain number",
        );
    }
    number
}

/// The first record: key, value, what follows it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|b| *b == b' ')?;
    let digits = std::str::from_utf8(bytes.get(..space)?).ok()?;
    let length: usize = digits
        .parse()
        .ok()
        .filter(|n: &usize| n.to_string() == digits)?;
    let record = bytes.get(space + 1..length)?;
    let content = record.strip_suffix(b"\n")?;
    let equals = content.iter().position(|b| *b == b'=')?;
    let key = content.get(..equals).filter(|k| !k.is_empty())?;
    Some((key, content.get(equals + 1..)?, bytes.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::Extended;
    use crate::lint::{Problems, Rule};

    fn parse(bytes: &[u8], global: bool) -> (Extended, Vec<Rule>) {
        let mut found = Problems::default();
        let out = Extended::parse(bytes, global, &mut found);
        (out, found.finish().iter().map(|p| p.rule).collect())
    }

    #[test]
    fn records_have_one_reading() {
        let (good, none) = parse(b"12 path=a/b\n30 mtime=1350244992.023960108\n", false);
        assert_eq!((good.path.as_deref(), none.len()), (Some(&b"a/b"[..]), 0));
        for bad in [
            &b"12 path=a/b\n12 path=a/c\n"[..],
            b"012 path=a/b",
            b"11 path=a/b\n",
            b"99 path=a/b\n",
            b"9 size=x\n",
            b"12 path=a\0b\n",
            b"5 =a\n",
        ] {
            assert_eq!(parse(bad, false).1.first(), Some(&Rule::Header), "{bad:?}");
        }
        assert_eq!(parse(b"12 path=a/b\n", true).1, [Rule::Header]);
        assert!(parse(b"19 comment=abcdefg\n", true).1.is_empty());
    }
}
