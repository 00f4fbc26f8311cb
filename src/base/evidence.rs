//! How well an upstream vouches for the bytes of an artifact, and why it does not vouch better.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the bytes of an artifact were held against, from nothing to a chain of signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing that counts.
    L0,
    /// The unsigned digest of an index, seen for the first time.
    L1,
    /// A digest that the operator committed: that of a lock, or one in the manifest.
    L2,
    /// A signature of the registry or of a workload over the artifact's digest.
    L3,
    /// A chain of signatures from a pinned key of the publisher or distributor.
    L4,
}

impl Level {
    /// Every level, the weakest first.
    pub const ALL: [Self; 5] = [Self::L0, Self::L1, Self::L2, Self::L3, Self::L4];

    /// As locks and reports write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::L0 => "L0",
            Self::L1 => "L1",
            Self::L2 => "L2",
            Self::L3 => "L3",
            Self::L4 => "L4",
        }
    }

    /// The level with this number.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} is not one of L0, L1, L2, L3, L4")]
pub struct LevelError {
    /// The text, quoted and escaped.
    found: String,
}

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(text: &str) -> Result<Self, LevelError> {
        let known = Self::ALL.into_iter().find(|level| level.as_str() == text);
        known.ok_or_else(|| LevelError {
            found: crate::base::text::quoted(text),
        })
    }
}

impl Serialize for Level {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why there is no signature, or none that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gap {
    /// The upstream has none for this artifact.
    Absent,
    /// The upstream has one for everything, and something in between takes them away.
    Stripped,
    /// It could not be had.
    Unreachable,
    /// There may be one that is not verified: of a kind that this version does not know, or nobody said who should have
    /// signed.
    Unsupported,
}

impl Gap {
    /// As reports write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Stripped => "stripped",
            Self::Unreachable => "unreachable",
            Self::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
