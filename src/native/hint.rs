//! What closes a gap: the Debian packages of missing libraries. Their names follow from those of the libraries; where the
//! indexes of the install are at hand, only what they have is named, else the names are called probable.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt;

use crate::base::platform::Platform;
use crate::base::text::{escaped, quoted};
use crate::native::soname;

/// Most libraries that a hint lists as without a package.
const LISTED: usize = 5;

/// Gives the names of all packages that the Debian archives of an install have for a platform; `None` where that is not
/// known.
pub type Offered<'a> = dyn Fn(Platform) -> Option<BTreeSet<String>> + 'a;

/// The packages of one platform, asked for once and only when something is missing.
pub(super) struct Suites<'a> {
    platform: Platform,
    offered: &'a Offered<'a>,
    names: OnceCell<Option<BTreeSet<String>>>,
}

impl fmt::Debug for Suites<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Suites({})", self.platform)
    }
}

/// Packages that bring libraries.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hint {
    /// Their names.
    pub(super) packages: BTreeSet<String>,
    /// Whether the archives were looked into: then they have all of these.
    pub(super) is_certain: bool,
    /// Libraries for which the archives have no package of the name that it should have.
    pub(super) without: BTreeSet<String>,
}

impl<'a> Suites<'a> {
    pub(super) fn new(platform: Platform, offered: &'a Offered<'a>) -> Self {
        Self {
            platform,
            offered,
            names: OnceCell::new(),
        }
    }

    /// What brings these libraries.
    pub(super) fn hint<'s>(&self, sonames: impl Iterator<Item = &'s str>) -> Hint {
        let names = self.names.get_or_init(|| (self.offered)(self.platform));
        let mut hint = Hint {
            is_certain: names.is_some(),
            ..Hint::default()
        };
        for name in sonames {
            let Some(package) = soname::debian_package(name) else {
                continue;
            };
            let found = match names {
                None => Some(package),
                Some(names) => {
                    let mut forms = soname::forms(&package).into_iter();
                    forms.find(|form| names.contains(form))
                }
            };
            match found {
                Some(package) => drop(hint.packages.insert(package)),
                None => drop(hint.without.insert(name.to_owned())),
            }
        }
        hint
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packages: Vec<String> = self.packages.iter().map(|name| quoted(name)).collect();
        let line = format!("`[debian] packages = [{}]`", packages.join(", "));
        match (packages.is_empty(), self.is_certain) {
            (true, _) => f.write_str("the target's image must have it")?,
            (false, true) => write!(f, "stage it: {line}, or let the image have it")?,
            (false, false) => write!(
                f,
                "probably {line} stages it, or let the image have it; the names follow from those of the libraries by \
                 Debian Policy 8.1 and were not looked up in a suite"
            )?,
        }
        let listed: Vec<String> = self
            .without
            .iter()
            .take(LISTED)
            .map(|n| escaped(n))
            .collect();
        if listed.is_empty() {
            return Ok(());
        }
        let more = match self.without.len() - listed.len() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        write!(
            f,
            "; the archives of this install have no package named after {}{more}",
            listed.join(", ")
        )
    }
}
