//! One pass over a stanza of an index: what every package needs before anything is resolved.

use std::ops::Range;

use crate::base::text::quoted;
use crate::eco::debian::control::Stanza;
use crate::eco::debian::version::Version;

/// The `Multi-Arch` field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MultiArch {
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
    /// Reads a stanza; `None` = of another architecture.
    pub(crate) fn of(stanza: Stanza<'a>, own: &str) -> Result<Option<Self>, String> {
        let mut found = Self {
            phased: 100,
            ..Self::default()
        };
        let mut arch = "";
        for (name, value) in stanza.fields() {
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
        let _ = (name, value, &self.name);
    }
}

/// Place of `part` within `whole`, of which it is a slice.
pub(crate) fn place(whole: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}
