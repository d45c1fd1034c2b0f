//! How many faults of a peer are borne before its link is not worth keeping.
//!
//! A window slides over the last faults; it holds no memory for a peer without any. What becomes of the peer afterwards
//! (how long it is not let in) is the network's.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

/// How many faults are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The link closes at this many faults; never where there is no number.
    pub limit: Option<NonZeroU32>,
    /// Within this time.
    pub window: Duration,
}

impl Default for Config {
    /// Sixteen in ten minutes: the specification's table of limits.
    fn default() -> Self {
        Self { limit: NonZeroU32::new(16), window: Duration::from_secs(600) }
    }
}

/// The faults of one peer that still count.
#[derive(Debug, Clone, Default)]
pub struct Strikes {
    /// When each happened, oldest first; never more than the limit.
    times: VecDeque<Duration>,
}

impl Strikes {
    /// Counts one that happened at this time of the monotonic clock; says how many it has become if those are too
    /// many.
    pub fn add(&mut self, config: &Config, now: Duration) -> Option<u32> {
        let limit = config.limit?.get();
        self.forget(config, now);
        if self.times.len() >= limit as usize {
            self.times.pop_front();
        }
        self.times.push_back(now);
        (self.times.len() >= limit as usize).then_some(limit)
    }

    /// How many count at this time.
    pub fn count(&self, config: &Config, now: Duration) -> u32 {
        self.times.iter().filter(|time| counts(config, **time, now)).count() as u32
    }

    fn forget(&mut self, config: &Config, now: Duration) {
        while self.times.front().is_some_and(|time| !counts(config, *time, now)) {
            self.times.pop_front();
        }
    }
}

fn counts(config: &Config, time: Duration, now: Duration) -> bool {
    now.saturating_sub(time) < config.window
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: Config = Config { limit: NonZeroU32::new(3), window: Duration::from_secs(10) };

    fn at(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn the_last_one_within_the_window_is_too_many() {
        let mut strikes = Strikes::default();
        assert_eq!(strikes.add(&CONFIG, at(0)), None);
        assert_eq!(strikes.add(&CONFIG, at(5)), None);
        assert_eq!(strikes.count(&CONFIG, at(9)), 2);
        assert_eq!(strikes.add(&CONFIG, at(10)), None, "the first one no longer counts");
        assert_eq!(strikes.add(&CONFIG, at(14)), Some(3));
        assert_eq!(strikes.count(&CONFIG, at(24)), 0);
    }

    #[test]
    fn without_a_limit_nothing_is_too_much_and_nothing_is_kept() {
        let mut strikes = Strikes::default();
        for s in 0..1_000 {
            assert_eq!(strikes.add(&Config { limit: None, ..CONFIG }, at(s / 100)), None);
        }
        assert_eq!(strikes.times.capacity(), 0);
    }
}
