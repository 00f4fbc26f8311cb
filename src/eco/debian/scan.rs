//! One pass over a stanza of an index: what every package needs before anything is resolved.

use std::ops::Range;

use crate::base::text::quoted;
use crate::eco::debian::control::FieldList;
use crate::eco::debian::version::Version;

/// The `Multi-Arch` field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum MultiArch {
    /// `no`, or no field.
    #[default]
    No,
    /// `same`: installed once per architecture.
    Same,
    /// `foreign`: serves packages of any architecture.
    Foreign,
    /// `allowed`: `:any` may be asked for.
    Allowed,
}

/// Fields with relations, in the order in which apt reads them.
const RELATIONS: [&str; 8] = [
    "Pre-Depends",
    "Depends",
    "Conflicts",
    "Breaks",
    "Recommends",
    "Suggests",
    "Replaces",
    "Enhances",
];

/// Other fields that are read.
const KNOWN: [&str; 10] = [
    "Package",
    "Version",
    "Provides",
    "SHA256",
    "Priority",
    "Multi-Arch",
    "Essential",
    "Protected",
    "Important",
    "Phased-Update-Percentage",
];

/// What a stanza says. All parts are slices of it.
#[derive(Debug, Default)]
pub(crate) struct Scanned<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) provides: &'a str,
    pub(crate) relations: [&'a str; 8],
    pub(crate) sha256: &'a str,
    pub(crate) priority: u8,
    pub(crate) multi_arch: MultiArch,
    pub(crate) essential: bool,
    pub(crate) important: bool,
    pub(crate) phased: u8,
}

impl<'a> Scanned<'a> {
    /// Reads the fields of a stanza of `text`; `None` = of another architecture.
    pub(crate) fn of(
        text: &'a str,
        fields: &FieldList<'a>,
        own: &str,
    ) -> Result<Option<Self>, String> {
        let mut found = Self {
            phased: 100,
            ..Self::default()
        };
        let mut arch = "";
        for (name, value) in fields.all(text) {
            if name.eq_ignore_ascii_case("Architecture") {
                arch = value;
            } else {
                found.take(name, value);
            }
        }
        if arch != own && arch != "all" {
            return Ok(None);
        }
        if !super::is_name(found.name) {
            return Err(format!("{} is no name of a package", quoted(found.name)));
        }
        Version::parse(found.version).map_err(|e| format!("{}: {e}", found.name))?;
        Ok(Some(found))
    }

    fn take(&mut self, name: &str, value: &'a str) {
        if let Some(row) = RELATIONS.iter().position(|r| r.eq_ignore_ascii_case(name)) {
            if let Some(field) = self.relations.get_mut(row) {
                *field = value;
            }
            return;
        }
        let yes = value.eq_ignore_ascii_case("yes");
        match KNOWN
            .iter()
            .find(|known| known.eq_ignore_ascii_case(name))
            .copied()
        {
            Some("Package") => self.name = value,
            Some("Version") => self.version = value,
            Some("Provides") => self.provides = value,
            Some("SHA256") => self.sha256 = value,
            Some("Priority") => self.priority = priority(value),
            Some("Multi-Arch") => self.multi_arch = multi_arch(value),
            Some("Essential") => self.essential = yes,
            Some("Protected" | "Important") => self.important |= yes,
            Some("Phased-Update-Percentage") => self.phased = value.parse().unwrap_or(100).min(100),
            _ => {}
        }
    }

    /// Names in the relations, in the order in which apt meets them.
    pub(crate) fn mentioned(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let fields = self.relations.into_iter().chain([self.provides]);
        fields.flat_map(Alternatives).filter_map(bare_name)
    }
}

/// The alternatives of a field, each with what is around it: the field parted at commas and bars.
struct Alternatives<'a>(&'a str);

impl<'a> Iterator for Alternatives<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let mut bytes = self.0.bytes();
        let end = bytes.position(|b| matches!(b, b',' | b'|'));
        let (part, rest) = self.0.split_at_checked(end.unwrap_or(self.0.len()))?;
        self.0 = rest.get(1..).unwrap_or_default();
        Some(part)
    }
}

/// The name in a relation, if it asks for the package of the same architecture.
fn bare_name(relation: &str) -> Option<&str> {
    let relation = relation.trim_ascii_start();
    let mut bytes = relation.bytes();
    let end = bytes.position(|b| b.is_ascii_whitespace() || matches!(b, b'(' | b'[' | b'<'));
    let name = relation.get(..end.unwrap_or(relation.len()))?;
    let name = name.strip_suffix(":native").unwrap_or(name);
    (!name.is_empty() && !name.contains(':')).then_some(name)
}

/// Debian's priorities, from 1; 0 = not stated, which apt holds to be the highest.
fn priority(value: &str) -> u8 {
    match value {
        "required" => 1,
        "important" => 2,
        "standard" => 3,
        "optional" => 4,
        _ => 5,
    }
}

fn multi_arch(value: &str) -> MultiArch {
    match value {
        "same" => MultiArch::Same,
        "foreign" => MultiArch::Foreign,
        "allowed" => MultiArch::Allowed,
        _ => MultiArch::No,
    }
}

/// Place of `part` within `whole`, of which it is a slice.
pub(crate) fn place(whole: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}
