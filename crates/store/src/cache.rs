//! Small bounded caches that all readers share: header chunks, and open segments.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Values by number, the least recently used dropped first. A weight limit bounds them together.
#[derive(Debug)]
pub(crate) struct Cache<V> {
    inner: Mutex<Inner<V>>,
    max_weight: usize,
}

#[derive(Debug)]
struct Inner<V> {
    entries: BTreeMap<u64, Slot<V>>,
    weight: usize,
    clock: u64,
}

#[derive(Debug)]
struct Slot<V> {
    value: Arc<V>,
    weight: usize,
    used: u64,
}

impl<V> Cache<V> {
    /// An empty cache for values of `max_weight` together; one value is always kept, whatever it weighs.
    pub(crate) fn new(max_weight: usize) -> Self {
        let inner = Inner { entries: BTreeMap::new(), weight: 0, clock: 0 };
        Self { inner: Mutex::new(inner), max_weight }
    }

    /// The value with this number.
    pub(crate) fn get(&self, number: u64) -> Option<Arc<V>> {
        let mut inner = self.lock();
        inner.clock += 1;
        let clock = inner.clock;
        let slot = inner.entries.get_mut(&number)?;
        slot.used = clock;
        Some(Arc::clone(&slot.value))
    }

    /// Keeps a value, in place of an earlier one with its number.
    pub(crate) fn put(&self, number: u64, value: Arc<V>, weight: usize) {
        let mut inner = self.lock();
        inner.clock += 1;
        let slot = Slot { value, weight, used: inner.clock };
        inner.weight += weight;
        if let Some(old) = inner.entries.insert(number, slot) {
            inner.weight -= old.weight;
        }
        while inner.weight > self.max_weight && inner.entries.len() > 1 {
            inner.drop_oldest();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner<V>> {
        // Whoever panicked with the lock held left at worst a wrong weight, which costs memory, not truth.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Inner<V> {
    fn drop_oldest(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, slot)| slot.used).map(|(number, _)| *number);
        if let Some(slot) = oldest.and_then(|number| self.entries.remove(&number)) {
            self.weight -= slot.weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_what_was_not_used_for_longest() {
        let cache = Cache::new(2);
        cache.put(1, Arc::new("one"), 1);
        cache.put(2, Arc::new("two"), 1);
        assert!(cache.get(1).is_some());
        cache.put(3, Arc::new("three"), 1);
        assert_eq!(cache.get(1).as_deref(), Some(&"one"));
        assert_eq!(cache.get(2), None);
        assert_eq!(cache.get(3).as_deref(), Some(&"three"));
    }

    #[test]
    fn keeps_one_value_however_heavy() {
        let cache = Cache::new(1);
        cache.put(1, Arc::new(()), 5);
        assert!(cache.get(1).is_some());
        cache.put(1, Arc::new(()), 7);
        cache.put(2, Arc::new(()), 9);
        assert!(cache.get(1).is_none() && cache.get(2).is_some());
    }
}
