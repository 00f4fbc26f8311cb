//! What signatures of upstreams say about single files: the question that every ecosystem answers from its records.

use std::collections::BTreeMap;

use crate::base::evidence::Level;
use crate::base::fault::Code;
use crate::base::package::ReleaseId;

/// What was found about each file, by release and file name. Files without any signature may be left out.
pub type Vouched = BTreeMap<(ReleaseId, String), Verdict>;

/// What the signatures over one file's digest say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A signature by a known key counts, and none is wrong.
    Signed {
        /// What it is worth.
        level: Level,
        /// Ids of the keys, as the ecosystem writes them, sorted.
        by: Vec<String>,
    },
    /// There is none.
    Unsigned,
    /// There is one that must not be believed: the file cannot be carried.
    Refused {
        /// Under which code.
        code: &'static Code,
        /// Why, one sentence, safe to print.
        reason: String,
    },
}
