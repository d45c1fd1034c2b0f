//! How much is held, or will be when what was asked for has come: counted before it is asked for.

use std::collections::BTreeMap;

use super::{Config, Kind};

/// Items and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

impl Held {
    pub(super) fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }

    pub(super) fn sub(&mut self, bytes: usize) {
        self.count -= 1;
        self.bytes -= bytes;
    }

    fn fits(&self, bytes: usize, max_count: usize, max_bytes: usize) -> bool {
        self.count < max_count && self.bytes.saturating_add(bytes) <= max_bytes
    }
}

/// The books of one node.
#[derive(Debug, Clone, Default)]
pub(super) struct Books {
    /// Asked for under a lease, or before the application.
    pub(super) judging: Held,
    /// The same and the pooled ones, by kind.
    pub(super) kinds: BTreeMap<Kind, Held>,
}

impl Books {
    /// Whether one more item may be asked for or taken.
    pub(super) fn has_room(&self, config: &Config, kind: Kind, bytes: usize) -> bool {
        let Some(rules) = config.kinds.get(&kind) else { return false };
        let held = self.kinds.get(&kind).copied().unwrap_or_default();
        held.fits(bytes, rules.max_count, rules.max_bytes)
            && (self.judging.count == 0 || self.judging.fits(bytes, config.max_judging, config.judging_bytes))
    }

    /// An item is asked for, or came from where it was not.
    pub(super) fn take(&mut self, kind: Kind, bytes: usize) {
        self.judging.add(bytes);
        self.kinds.entry(kind).or_default().add(bytes);
    }

    /// It did not come, or was not accepted.
    pub(super) fn give_back(&mut self, kind: Kind, bytes: usize) {
        self.judging.sub(bytes);
        self.drop_pooled(kind, bytes);
    }

    /// It was accepted.
    pub(super) fn pool(&mut self, bytes: usize) {
        self.judging.sub(bytes);
    }

    /// It left the pool.
    pub(super) fn drop_pooled(&mut self, kind: Kind, bytes: usize) {
        self.kinds.get_mut(&kind).expect("it is held").sub(bytes);
    }
}
