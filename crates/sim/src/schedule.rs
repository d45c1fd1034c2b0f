//! The virtual clock and what is due on it.
//!
//! **Invariant**: two things due at the same moment happen in the order in which they were scheduled, so a
//! run depends on its seed alone.

use std::collections::BTreeMap;
use std::time::Duration;

use link::Time;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

/// How long until something happens again that does so this far apart on average.
pub(crate) fn gap(rng: &mut ChaCha12Rng, mean: Duration) -> Duration {
    mean.mul_f64(rng.random_range(0.1..1.9))
}

/// What is due, and when.
#[derive(Debug)]
pub(crate) struct Schedule<E> {
    now: Duration,
    /// The wall clock at the start of the world.
    epoch: Duration,
    due: BTreeMap<(Duration, u64), E>,
    count: u64,
}

impl<E> Schedule<E> {
    /// A clock that stands at its start; the wall clock then shows `epoch`.
    pub(crate) fn new(epoch: Duration) -> Self {
        Self { now: Duration::ZERO, epoch, due: BTreeMap::new(), count: 0 }
    }

    /// This moment.
    pub(crate) fn now(&self) -> Time {
        Time { mono: self.now, wall: self.epoch + self.now }
    }

    /// Schedules something for later.
    pub(crate) fn after(&mut self, delay: Duration, event: E) {
        self.at(self.now + delay, event);
    }

    /// Schedules something for a moment; what lies in the past is due now.
    pub(crate) fn at(&mut self, moment: Duration, event: E) {
        self.count += 1;
        self.due.insert((moment.max(self.now), self.count), event);
    }

    /// Schedules something again and again from the start until before `end`, with a [`gap`] before each.
    pub(crate) fn often(
        &mut self,
        rng: &mut ChaCha12Rng,
        mean: Duration,
        end: Duration,
        event: impl Fn(&mut ChaCha12Rng) -> E,
    ) {
        let mut at = gap(rng, mean);
        while at < end {
            let event = event(rng);
            self.at(at, event);
            at += gap(rng, mean);
        }
    }

    /// Lets time pass until the next thing is due, but not beyond `end`.
    pub(crate) fn next(&mut self, end: Duration) -> Option<E> {
        let (&(moment, _), _) = self.due.first_key_value()?;
        if moment > end {
            return None;
        }
        self.now = moment;
        self.due.pop_first().map(|(_, event)| event)
    }
}
