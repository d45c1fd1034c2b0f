//! The highest operational-certificate counter seen of each pool.
//!
//! Every block of a fork tree has its own map, and almost all are the same: so a map is a shared base and a
//! short list of what changed since, which forks share too.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The hash of a pool's cold key.
pub(crate) type Pool = [u8; 28];

/// After so many changes the base is made anew: mainnet's 3,000 pools renew about once in 90 days, so that
/// copying 100 KB happens every second day of chain. A guess.
const MAX_CHANGES: u32 = 64;

/// Counters by pool.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters {
    base: Arc<BTreeMap<Pool, u64>>,
    changes: Option<Arc<Change>>,
}

#[derive(Debug)]
struct Change {
    pool: Pool,
    counter: u64,
    /// How many changes there are, this one included.
    length: u32,
    before: Option<Arc<Change>>,
}

impl Counters {
    /// The counter of a pool, if it was seen.
    pub(crate) fn get(&self, pool: &Pool) -> Option<u64> {
        self.changes()
            .find(|change| change.pool == *pool)
            .map(|change| change.counter)
            .or_else(|| self.base.get(pool).copied())
    }

    /// The counters with one more seen.
    pub(crate) fn with(&self, pool: Pool, counter: u64) -> Self {
        if self.get(&pool) == Some(counter) {
            return self.clone();
        }
        let length = self.changes.as_ref().map_or(1, |last| last.length + 1);
        if length > MAX_CHANGES {
            let mut all = self.to_map();
            all.insert(pool, counter);
            return Self::from(all);
        }
        let change = Change { pool, counter, length, before: self.changes.clone() };
        Self { base: Arc::clone(&self.base), changes: Some(Arc::new(change)) }
    }

    /// All counters.
    pub(crate) fn to_map(&self) -> BTreeMap<Pool, u64> {
        let mut all = (*self.base).clone();
        let changes: Vec<_> = self.changes().collect();
        all.extend(changes.iter().rev().map(|change| (change.pool, change.counter)));
        all
    }

    /// The changes since the base, latest first.
    fn changes(&self) -> impl Iterator<Item = &Change> {
        std::iter::successors(self.changes.as_deref(), |change| change.before.as_deref())
    }
}

impl From<BTreeMap<Pool, u64>> for Counters {
    fn from(all: BTreeMap<Pool, u64>) -> Self {
        Self { base: Arc::new(all), changes: None }
    }
}

impl PartialEq for Counters {
    fn eq(&self, other: &Self) -> bool {
        self.to_map() == other.to_map()
    }
}

impl Eq for Counters {}
