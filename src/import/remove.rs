//! Taking bundles out of the union: a new generation without them. Marks stay, so that an older bundle of the channel is
//! still refused; the files stay until `gc`, so that a rollback can undo it.

use std::collections::BTreeSet;

use crate::base::digest::Digest;
use crate::base::time::Timestamp;
use crate::eco::ReleaseSigner;
use crate::import::error::no_such_bundle;
use crate::import::journal::Event;
use crate::import::state::Change;
use crate::import::{ImportError, Repository};

impl Repository {
    /// Publishes the union without the channel's bundle of this serial, or without any of the channel. Returns the new
    /// generation and how many bundles left.
    ///
    /// # Errors
    /// No such bundle is in the union; what publishing can fail with.
    pub fn remove(
        &mut self,
        channel: &str,
        serial: Option<u64>,
        now: Timestamp,
        signer: &dyn ReleaseSigner,
    ) -> Result<(u64, usize), ImportError> {
        let state = &self.memory.state;
        let is_meant = |id: &&Digest| {
            let entry = state.bundles.get(id);
            entry.is_some_and(|b| b.channel == channel && serial.is_none_or(|s| s == b.serial))
        };
        let gone: BTreeSet<Digest> = state.active.iter().filter(is_meant).copied().collect();
        if gone.is_empty() {
            let shown = state.active.iter().filter_map(|id| state.bundles.get(id));
            return Err(no_such_bundle(channel, serial, "published", shown));
        }
        self.memory.state.active.retain(|id| !gone.contains(id));
        let change = Change {
            channel: Some(channel),
            serial,
            ..Change::new(Event::Remove, now)
        };
        Ok((self.render_active(&change, signer)?, gone.len()))
    }
}
