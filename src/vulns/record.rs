//! Records of the OSV schema, as far as they are needed. What a record says beside that is not read; what it must say and
//! does not is an error, since a record that is skipped is a vulnerability that nobody hears of.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Where a record belongs, read before the rest of it.
#[derive(Debug, Deserialize)]
pub(super) struct Brief<'r> {
    #[serde(borrow)]
    pub(super) id: Cow<'r, str>,
    #[serde(borrow)]
    pub(super) modified: Cow<'r, str>,
    #[serde(borrow, default)]
    pub(super) affected: Option<Vec<BriefAffected<'r>>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct BriefAffected<'r> {
    #[serde(borrow, default)]
    pub(super) package: Option<BriefPackage<'r>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct BriefPackage<'r> {
    #[serde(borrow)]
    pub(super) ecosystem: Cow<'r, str>,
    #[serde(borrow)]
    pub(super) name: Cow<'r, str>,
}

/// A record that names a package of a closure.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    #[serde(default)]
    pub(super) withdrawn: Option<String>,
    #[serde(default)]
    pub(super) aliases: Option<Vec<String>>,
    #[serde(default)]
    pub(super) summary: Option<String>,
    #[serde(default)]
    pub(super) details: Option<String>,
    #[serde(default)]
    pub(super) severity: Option<Vec<Rated>>,
    #[serde(default)]
    pub(super) affected: Option<Vec<Affected>>,
    #[serde(default)]
    pub(super) database_specific: Option<Box<RawValue>>,
}

/// A severity that somebody gave: its method, and a vector or a word.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Rated {
    #[serde(rename = "type")]
    pub(super) method: String,
    pub(super) score: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Affected {
    #[serde(default)]
    pub(super) package: Option<Package>,
    #[serde(default)]
    pub(super) severity: Option<Vec<Rated>>,
    #[serde(default)]
    pub(super) ranges: Option<Vec<Range>>,
    #[serde(default)]
    pub(super) versions: Option<Vec<String>>,
    #[serde(default)]
    pub(super) ecosystem_specific: Option<Box<RawValue>>,
    #[serde(default)]
    pub(super) database_specific: Option<Box<RawValue>>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Package {
    pub(super) ecosystem: String,
    pub(super) name: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Range {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) events: Vec<Event>,
}

/// One of these in each event.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Event {
    #[serde(default)]
    pub(super) introduced: Option<String>,
    #[serde(default)]
    pub(super) fixed: Option<String>,
    #[serde(default)]
    pub(super) last_affected: Option<String>,
    #[serde(default)]
    pub(super) limit: Option<String>,
}

/// What databases add in their own words. Fields of other types than these say nothing.
#[derive(Debug, Default)]
pub(super) struct Specific {
    /// A word for the severity.
    pub(super) severity: Option<String>,
    /// `RustSec`: that it is a notice, not a vulnerability.
    pub(super) informational: Option<String>,
    /// Debian: how pressing it is.
    pub(super) urgency: Option<String>,
}

impl Specific {
    pub(super) fn read(raw: Option<&RawValue>) -> Self {
        #[derive(Deserialize)]
        struct Words {
            #[serde(default)]
            severity: Option<Box<RawValue>>,
            #[serde(default)]
            informational: Option<Box<RawValue>>,
            #[serde(default)]
            urgency: Option<Box<RawValue>>,
        }
        let read = raw.and_then(|raw| serde_json::from_str::<Words>(raw.get()).ok());
        let word = |raw: Option<Box<RawValue>>| serde_json::from_str(raw?.get()).ok();
        read.map_or_else(Self::default, |words| Self {
            severity: word(words.severity),
            informational: word(words.informational),
            urgency: word(words.urgency),
        })
    }
}
