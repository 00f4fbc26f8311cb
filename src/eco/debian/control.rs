//! Control files: `Packages`, `dpkg/status`, and the signed part of a `Release` (Debian Policy 5.1; `deb-control(5)`).
//! Nothing is copied: a stanza is a slice of the text it stands in.

use std::fmt;
use std::ops::Range;

/// Most bytes of one stanza. The largest of Debian has about 60 KiB.
const MOST_STANZA: usize = 4 << 20;
/// Most bytes of one line.
const MOST_LINE: usize = 1 << 20;
/// Most fields of one stanza.
const MOST_FIELDS: usize = 256;
/// Most stanzas of one file.
const MOST_STANZAS: usize = 4_000_000;

/// A text that is no control file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ControlError {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong, safe to print.
    pub reason: String,
}

/// One stanza: fields with values, all of them checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stanza<'a> {
    text: &'a str,
    start: usize,
}

impl<'a> Stanza<'a> {
    /// The stanza as it was written, without the empty line after it.
    pub const fn text(&self) -> &'a str {
        self.text
    }

    /// Where it starts in the file, in bytes.
    pub const fn start(&self) -> usize {
        self.start
    }

    /// The first line of a field's value and its continuation lines, as written, without spaces around. Names of
    /// fields are the same in any case.
    pub fn field(&self, name: &str) -> Option<&'a str> {
        self.fields()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The fields in order: name and value.
    pub fn fields(&self) -> Fields<'a> {
        Fields { rest: self.text }
    }
}

impl fmt::Debug for Stanza<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let package = self.field("Package").unwrap_or_default();
        write!(f, "Stanza({package} at {})", self.start)
    }
}

/// The fields of a stanza.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = field_end(self.rest);
            let (field, rest) = self.rest.split_at_checked(end)?;
            self.rest = rest;
            if let Some((name, value)) = name_and_value(field) {
                return Some((name, value.trim()));
            }
        }
        None
    }
}

/// Where the field that starts here ends: after its last continuation line.
fn field_end(text: &str) -> usize {
    let mut at = 0;
    while let Some(line) = text.get(at..).and_then(|rest| rest.find('\n')) {
        at += line + 1;
        let next = text.as_bytes().get(at);
        if !matches!(next, Some(b' ' | b'\t')) {
            return at;
        }
    }
    text.len()
}

/// The stanzas of a control file, one after the other; ends after the first error.
pub fn stanzas(text: &str) -> Stanzas<'_> {
    Stanzas {
        text,
        at: 0,
        line: 1,
        count: 0,
        failed: false,
    }
}

/// The text of a control file, which is UTF-8.
pub fn text(bytes: &[u8]) -> Result<&str, ControlError> {
    std::str::from_utf8(bytes).map_err(|e| {
        let before = bytes
            .get(..e.valid_up_to())
            .and_then(|b| std::str::from_utf8(b).ok());
        ControlError {
            line: 1 + before.unwrap_or_default().matches('\n').count(),
            reason: "not UTF-8".to_owned(),
        }
    })
}

/// See [`stanzas`].
#[derive(Debug, Clone)]
pub struct Stanzas<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    count: usize,
    failed: bool,
}

impl<'a> Stanzas<'a> {
    fn fail(&mut self, reason: impl Into<String>) -> ControlError {
        self.failed = true;
        ControlError {
            line: self.line,
            reason: reason.into(),
        }
    }

    /// The line that starts at `at`, without its end, and where the next one starts.
    fn line_at(&self, at: usize) -> Option<(&'a str, usize)> {
        let rest = self.text.get(at..).filter(|rest| !rest.is_empty())?;
        match rest.split_once('\n') {
            Some((line, _)) => Some((line, at + line.len() + 1)),
            None => Some((rest, self.text.len())),
        }
    }
}

impl<'a> Iterator for Stanzas<'a> {
    type Item = Result<Stanza<'a>, ControlError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_with(&mut FieldList::default())
    }
}

impl<'a> Stanzas<'a> {
    /// The next stanza, and in `fields` what is in it: for those who read many, in one pass.
    pub(crate) fn next_with(
        &mut self,
        fields: &mut FieldList<'a>,
    ) -> Option<Result<Stanza<'a>, ControlError>> {
        fields.clear();
        if self.failed {
            return None;
        }
        while let Some((_, next)) = self.line_at(self.at).filter(|(line, _)| is_blank(line)) {
            self.at = next;
            self.line += 1;
        }
        let start = self.at;
        let mut end = start;
        while let Some((line, next)) = self.line_at(self.at).filter(|(line, _)| !is_blank(line)) {
            if line.len() > MOST_LINE {
                return Some(Err(self.fail("longer than 1 MiB")));
            }
            if let Err(reason) = fields.take(line, self.at) {
                return Some(Err(self.fail(reason)));
            }
            end = self.at + line.len();
            if end - start > MOST_STANZA {
                return Some(Err(self.fail("the stanza is larger than 4 MiB")));
            }
            self.at = next;
            self.line += 1;
        }
        if end == start {
            return None;
        }
        self.count += 1;
        if self.count > MOST_STANZAS {
            return Some(Err(self.fail("more than 4,000,000 stanzas")));
        }
        let text = self.text.get(start..end)?;
        Some(Ok(Stanza { text, start }))
    }
}

/// Whether a line parts stanzas.
fn is_blank(line: &str) -> bool {
    line.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\r'))
}

/// The fields of one stanza: names, to find repeated ones, with the places of their values.
#[derive(Debug, Default)]
pub(crate) struct FieldList<'a> {
    seen: Vec<(&'a str, Range<usize>)>,
    /// One bit per length and first and last letter: few stanzas need the list to be searched.
    bits: u64,
}

impl<'a> FieldList<'a> {
    fn clear(&mut self) {
        self.seen.clear();
        self.bits = 0;
    }

    /// The fields in order: name and value, as [`Stanza::fields`] has them. `text` is the file that was read.
    #[cfg(feature = "connected")]
    pub(crate) fn all(&self, text: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let value = |place: &Range<usize>| text.get(place.clone()).unwrap_or_default();
        let seen = self.seen.iter();
        seen.map(move |(name, place)| (*name, value(place).trim()))
    }

    /// Takes in a line, which starts at `at`.
    fn take(&mut self, line: &'a str, at: usize) -> Result<(), String> {
        let quoted = crate::base::text::quoted;
        let end = at + line.len();
        if line.starts_with([' ', '\t']) {
            let reason = "a continuation line without a field";
            let (_, place) = self.seen.last_mut().ok_or_else(|| reason.to_owned())?;
            place.end = end;
            return Ok(());
        }
        let name = name_and_value(line).map(|(name, _)| name);
        let name = name.ok_or_else(|| format!("{} is no field", quoted(line)))?;
        let bit = bit_of(name);
        if self.bits & bit != 0 && self.seen.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)) {
            return Err(format!("field {} stands twice", quoted(name)));
        }
        if self.seen.len() == MOST_FIELDS {
            return Err("more than 256 fields in one stanza".to_owned());
        }
        self.bits |= bit;
        self.seen.push((name, at + name.len() + 1..end));
        Ok(())
    }
}

fn bit_of(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let letter = |b: Option<&u8>| b.map_or(0, |b| usize::from(b.to_ascii_lowercase()));
    let mixed = name.len() * 31 + letter(bytes.first()) * 7 + letter(bytes.last());
    1 << (mixed % 64)
}

/// A field parted at its first colon. The name is printable ASCII without spaces, not starting with `#` or `-`. It is
/// short, so that going from byte to byte is the fastest way to its end.
fn name_and_value(field: &str) -> Option<(&str, &str)> {
    let end = field
        .bytes()
        .position(|b| b == b':' || !b.is_ascii_graphic())?;
    let (name, rest) = field.split_at_checked(end)?;
    let value = rest.strip_prefix(':')?;
    let is_name = !name.is_empty() && !name.starts_with(['#', '-']);
    is_name.then_some((name, value))
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "connected")]
    use super::FieldList;
    use super::{stanzas, text};

    fn fields(count: usize, value: &str) -> String {
        let all: Vec<String> = (0..count).map(|n| format!("F{n}: {value}\n")).collect();
        all.concat()
    }

    #[test]
    fn stanzas_are_slices_with_their_continuation_lines() {
        let file =
            "\n\nPackage: a\nDescription: one\n two\n\tthree\n .\nsize: 7\n\n \t\nPackage: b";
        let all: Vec<_> = stanzas(file).collect::<Result<_, _>>().unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].field("description"), Some("one\n two\n\tthree\n ."));
        assert_eq!(all[0].field("Size"), Some("7"));
        assert_eq!(all[0].field("Descr"), None);
        assert_eq!(all[1].text(), "Package: b");
        assert_eq!(file.get(all[1].start()..), Some("Package: b"));
        let names: Vec<&str> = all[0].fields().map(|(name, _)| name).collect();
        assert_eq!(names, ["Package", "Description", "size"]);
    }

    #[cfg(feature = "connected")]
    #[test]
    fn fields_are_the_same_in_one_pass_and_in_two() {
        let file = "A: 1\nB-c:\n x: y\n\tz \nD:\n\nA:2\n\n\nE:  three: four  \nF: 5\n .\n";
        let (mut all, mut list) = (stanzas(file), FieldList::default());
        let mut seen = Vec::new();
        while let Some(stanza) = all.next_with(&mut list) {
            let fields: Vec<_> = list.all(file).collect();
            assert_eq!(fields, stanza.unwrap().fields().collect::<Vec<_>>());
            seen.extend(fields);
        }
        let expected = [
            ("A", "1"),
            ("B-c", "x: y\n\tz"),
            ("D", ""),
            ("A", "2"),
            ("E", "three: four"),
            ("F", "5\n ."),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_is_no_control_file_is_refused_with_its_line() {
        let long = format!("A: {}", "x".repeat(2 << 20));
        let many = fields(300, "x");
        let large = fields(5, &"x".repeat((1 << 20) - 8));
        for (file, line, reason) in [
            ("A: 1\nB: 2\nA: 3", 3, "field \"A\" stands twice"),
            ("A: 1\na: 3", 2, "field \"a\" stands twice"),
            (" x\nA: 1", 1, "a continuation line without a field"),
            ("A: 1\n\nno colon", 3, "\"no colon\" is no field"),
            ("A: 1\n\nB b: 2", 3, "\"B b: 2\" is no field"),
            ("-----BEGIN PGP SIGNED MESSAGE-----\nA: 1", 1, "is no field"),
            (&long, 1, "longer than 1 MiB"),
            (&many, 257, "more than 256 fields"),
            (&large, 5, "larger than 4 MiB"),
        ] {
            let error = stanzas(file).find_map(Result::err).unwrap();
            assert_eq!(error.line, line, "{error}");
            assert!(error.reason.contains(reason), "{error}");
            assert_eq!(stanzas(file).filter(Result::is_err).count(), 1);
        }
        assert_eq!(text(b"A: 1\nB: \xff").unwrap_err().line, 2);
    }

    #[test]
    fn repeated_fields_are_found_in_any_place() {
        let mut file = fields(200, "x");
        assert_eq!(stanzas(&file).flatten().count(), 1);
        file.push_str("f77: y\n");
        stanzas(&file).next().unwrap().unwrap_err();
    }
}
