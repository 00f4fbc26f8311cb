//! Keeping a package out of every index at once, without a new bundle: the next generation has neither its entry nor its
//! file, and no later import brings it back until it is unblocked. Bundles and their pins stay what was approved: pins
//! that name a blocked package make a client fail, which is what a block is for.

use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::text::escaped;
use crate::base::time::Timestamp;
use crate::eco::{EcoError, Ecosystem, ReleaseSigner};
use crate::import::generation::Loaded;
use crate::import::journal::Event;
use crate::import::purl::PurlPattern;
use crate::import::state::{Block, Change, State};
use crate::import::{ImportError, Repository};
use crate::lock::Lock;

/// Longest reason, in bytes.
const MAX_REASON: usize = 500;

/// Lock and records of a bundle without what is blocked in one ecosystem.
pub(super) fn without_blocked(
    state: &State,
    ecosystem: &dyn Ecosystem,
    lock: &Lock,
    records: &[u8],
) -> Result<(Lock, Vec<u8>), EcoError> {
    let id: EcosystemId = ecosystem.id();
    let mut lock = lock.clone();
    let blocked = |release: &ReleaseId| state.is_blocked(&ecosystem.purl(release));
    lock.packages
        .retain(|package| package.ecosystem != id || !blocked(&package.id()));
    let records = if records.is_empty() {
        Vec::new()
    } else {
        ecosystem.records_without(records, &blocked)?
    };
    Ok((lock, records))
}

/// What a block or its end did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The new generation; 0 when nothing is published yet.
    pub generation: u64,
    /// Packages of the published bundles that it covers, as package URLs.
    pub packages: Vec<String>,
    /// Pins that name such a package: `<channel>/<serial>`.
    pub pins: Vec<String>,
}

impl Repository {
    /// Keeps the packages that `purl` means out of the repository from now on.
    ///
    /// # Errors
    /// They are blocked already; the reason is empty, too long or not one line; what publishing can fail with.
    pub fn block(
        &mut self,
        purl: &PurlPattern,
        reason: &str,
        now: Timestamp,
        signer: &dyn ReleaseSigner,
    ) -> Result<Blocked, ImportError> {
        let reason = checked(reason)?;
        let block = Block {
            reason: reason.to_owned(),
            since: now,
        };
        let blocks = &mut self.memory.state.blocks;
        if blocks.contains_key(purl.as_str()) {
            return Err(ImportError::NoChange {
                reason: format!("{} is blocked already", purl.as_str()),
            });
        }
        blocks.insert(purl.as_str().to_owned(), block);
        let detail = format!("{}: {}", purl.as_str(), escaped(reason));
        self.apply(Event::Block, purl, &detail, now, signer)
    }

    /// Lets them in again.
    ///
    /// # Errors
    /// Exactly this block does not exist; what publishing can fail with.
    pub fn unblock(
        &mut self,
        purl: &PurlPattern,
        now: Timestamp,
        signer: &dyn ReleaseSigner,
    ) -> Result<Blocked, ImportError> {
        if self.memory.state.blocks.remove(purl.as_str()).is_none() {
            return Err(ImportError::NoChange {
                reason: format!("{} is not blocked", purl.as_str()),
            });
        }
        self.apply(Event::Unblock, purl, purl.as_str(), now, signer)
    }

    fn apply(
        &mut self,
        event: Event,
        purl: &PurlPattern,
        detail: &str,
        now: Timestamp,
        signer: &dyn ReleaseSigner,
    ) -> Result<Blocked, ImportError> {
        let bundles = self.load_active(None)?;
        let change = Change {
            detail: Some(detail),
            ..Change::new(event, now)
        };
        let (mut packages, mut pins) = (Vec::new(), Vec::new());
        for bundle in &bundles {
            let found = covered(bundle, purl);
            if !found.is_empty() {
                pins.push(format!("{}/{}", bundle.entry.channel, bundle.entry.serial));
            }
            packages.extend(found);
        }
        packages.sort();
        packages.dedup();
        pins.sort();
        Ok(Blocked {
            generation: self.render_active(&change, signer)?,
            packages,
            pins,
        })
    }
}

fn covered(bundle: &Loaded, purl: &PurlPattern) -> Vec<String> {
    let packages = bundle.lock().into_iter().flat_map(|lock| &lock.packages);
    packages
        .filter_map(crate::import::owners::purl_of)
        .filter(|found| purl.covers(found))
        .map(|found| found.to_string())
        .collect()
}

/// A reason that a journal line can hold.
pub fn checked(reason: &str) -> Result<&str, ImportError> {
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > MAX_REASON || reason.chars().any(char::is_control) {
        return Err(ImportError::Reason);
    }
    Ok(reason)
}
