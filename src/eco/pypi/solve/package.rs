//! What the solver chooses versions for. Extras and markers are packages of their own, bound to the same version as the
//! project: so a requirement `name[extra] ; marker` cannot be met by two versions.

use std::fmt;

use pep508_rs::{ExtraName, MarkerTree};

use crate::eco::pypi::name::Name;

/// A thing with versions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Package {
    /// The requirements themselves.
    Root,
    /// The interpreter.
    Python,
    /// A project as a requirement with an extra or a marker names it: stands for [`Package::Part`] with and without.
    Request(Name, Option<ExtraName>, MarkerTree),
    /// A project; with an extra only what that adds.
    Part(Name, Option<ExtraName>, MarkerTree),
}

impl Package {
    /// What a requirement names.
    pub(crate) fn requested(name: &Name, extra: Option<ExtraName>, marker: MarkerTree) -> Self {
        if extra.is_none() && marker.is_true() {
            Self::base(name)
        } else {
            Self::Request(name.clone(), extra, marker)
        }
    }

    /// The project itself.
    pub(crate) fn base(name: &Name) -> Self {
        Self::Part(name.clone(), None, MarkerTree::TRUE)
    }

    /// The project.
    pub(crate) const fn name(&self) -> Option<&Name> {
        match self {
            Self::Root | Self::Python => None,
            Self::Request(name, ..) | Self::Part(name, ..) => Some(name),
        }
    }

    /// The project itself, for everything that is bound to its version.
    pub(crate) fn bound_to(&self) -> Option<Self> {
        let base = Self::base(self.name()?);
        (base != *self).then_some(base)
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the manifest"),
            Self::Python => f.write_str("Python"),
            Self::Request(name, Some(extra), _) | Self::Part(name, Some(extra), _) => {
                write!(f, "{name}[{extra}]")
            }
            Self::Request(name, None, _) | Self::Part(name, None, _) => write!(f, "{name}"),
        }
    }
}
