//! Rolling back: a new generation that shows an older bundle set. Marks do not move: an older bundle offered again is
//! still refused.

use std::collections::BTreeSet;

use crate::base::digest::Digest;
use crate::base::time::Timestamp;
use crate::eco::ReleaseSigner;
use crate::import::error::no_such_bundle;
use crate::import::journal::Event;
use crate::import::state::{Change, State};
use crate::import::{ImportError, Repository};

/// What to go back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollbackTarget {
    /// The bundle set of a generation.
    Generation(u64),
    /// In one channel, its bundles up to a serial; other channels stay.
    Serial {
        /// The channel.
        channel: String,
        /// The newest serial that stays.
        serial: u64,
    },
}

impl Repository {
    /// Publishes an older bundle set as a new generation. Returns its number and the bundles it shows.
    ///
    /// # Errors
    /// A generation or serial that is not known; a blob that is damaged; what publishing can fail with.
    pub fn roll_back(
        &mut self,
        target: &RollbackTarget,
        now: Timestamp,
        signer: &dyn ReleaseSigner,
    ) -> Result<(u64, usize), ImportError> {
        let active = match target {
            RollbackTarget::Generation(number) => of_generation(&self.memory.state, *number)?,
            RollbackTarget::Serial { channel, serial } => {
                up_to_serial(&self.memory.state, channel, *serial)?
            }
        };
        let count = active.len();
        self.memory.state.active = active.into_iter().collect();
        let (channel, serial) = match target {
            RollbackTarget::Generation(_) => (None, None),
            RollbackTarget::Serial { channel, serial } => (Some(channel.as_str()), Some(*serial)),
        };
        let change = Change {
            channel,
            serial,
            ..Change::new(Event::Rollback, now)
        };
        Ok((self.render_active(&change, signer)?, count))
    }
}

fn of_generation(state: &State, number: u64) -> Result<BTreeSet<Digest>, ImportError> {
    let found = state
        .generations
        .get(&number)
        .ok_or(ImportError::NoSuch { number })?;
    Ok(found.bundles.iter().copied().collect())
}

/// The channel's bundle of that serial (in its newest epoch that has it) and every bundle before it; of other channels
/// what is shown now.
fn up_to_serial(
    state: &State,
    channel: &str,
    serial: u64,
) -> Result<BTreeSet<Digest>, ImportError> {
    let of_channel = || state.bundles.iter().filter(|(_, b)| b.channel == channel);
    let last = of_channel()
        .filter(|(_, b)| b.serial == serial)
        .map(|(_, b)| (b.epoch, b.serial))
        .max()
        .ok_or_else(|| no_such_bundle(channel, Some(serial), "imported", state.bundles.values()))?;
    let others = state
        .active
        .iter()
        .filter(|id| state.bundles.get(id).is_some_and(|b| b.channel != channel));
    let kept = of_channel()
        .filter(|(_, b)| (b.epoch, b.serial) <= last)
        .map(|(id, _)| id);
    Ok(others.chain(kept).copied().collect())
}
