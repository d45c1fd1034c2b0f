//! How much is written at once and may wait unsent in the kernel: as much as the peer takes in two milliseconds.
//!
//! What is sealed and written cannot be overtaken any more, so an urgent message waits behind it. Little keeps that
//! wait short, much keeps a fast line busy; so it follows the rate at which the bearer takes bytes while there is
//! something to send (spec: lanes). It sets nothing itself: it says what to set.

use std::num::NonZeroU32;
use std::time::Duration;

/// The bounds of the adaptation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The least: 10 to 11 ms for an urgent message behind blocks at 100 Mbit/s (measured).
    pub min_bytes: NonZeroU32,
    /// The most: loopback bulk gains nothing beyond it (measured).
    pub max_bytes: NonZeroU32,
    /// For how long at the present rate what waits may last.
    pub ahead: Duration,
}

/// A rate is taken over at least this long: some turns of a slow line, and longer than the scheduler's hiccups.
const SAMPLE: Duration = Duration::from_millis(10);

impl Default for Config {
    fn default() -> Self {
        Self {
            min_bytes: NonZeroU32::new(16 << 10).expect("not zero"),
            max_bytes: NonZeroU32::new(128 << 10).expect("not zero"),
            ahead: Duration::from_millis(2),
        }
    }
}

/// What a write routine knows of its bearer's rate.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    bytes: u32,
    /// Since when the present sample runs, and what was taken in it; none while there is nothing to send.
    sample: Option<(Duration, u64)>,
}

impl Pace {
    /// A careful one: as if the line were slow.
    pub(super) fn new(config: &Config) -> Self {
        Self { bytes: config.min_bytes.get(), sample: None }
    }

    /// How much may be written at once, and wait unsent.
    pub(super) fn bytes(&self) -> u32 {
        self.bytes
    }

    /// The bearer took so many bytes, and more wait. Says whether the bound changed.
    pub(super) fn on_taken(&mut self, config: &Config, now: Duration, bytes: usize) -> bool {
        let (since, before) = *self.sample.get_or_insert((now, 0));
        let taken = before + bytes as u64;
        let elapsed = now.saturating_sub(since);
        if elapsed < SAMPLE {
            self.sample = Some((since, taken));
            return false;
        }
        self.sample = Some((now, 0));
        self.adapt(config, taken, elapsed)
    }

    /// Nothing waits any more: the rate is ours now, and not the bearer's.
    pub(super) fn on_empty(&mut self) {
        self.sample = None;
    }

    /// Moves half of the way to the sample's rate, where that is worth a system call.
    fn adapt(&mut self, config: &Config, taken: u64, elapsed: Duration) -> bool {
        let (min, max) = (config.min_bytes.get(), config.max_bytes.get());
        let ahead = u128::from(taken) * config.ahead.as_nanos() / elapsed.as_nanos().max(1);
        let target = ahead.clamp(u128::from(min), u128::from(max)) as u32;
        let is_near = target.abs_diff(self.bytes) <= self.bytes / 8;
        let is_bound = target == min || target == max;
        if target == self.bytes || (is_near && !is_bound) {
            return false;
        }
        self.bytes = if is_near { target } else { self.bytes.midpoint(target) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `per_ms` bytes each millisecond for so long; how often the bound changed.
    fn run(pace: &mut Pace, start_ms: u64, lasts_ms: u64, per_ms: usize) -> usize {
        let config = Config::default();
        let changes = |ms| pace.on_taken(&config, Duration::from_millis(ms), per_ms);
        (start_ms..start_ms + lasts_ms).map(changes).filter(|changed| *changed).count()
    }

    #[test]
    fn it_follows_the_rate_within_its_bounds() {
        let mut pace = Pace::new(&Config::default());
        assert_eq!(pace.bytes(), 16 << 10);
        run(&mut pace, 0, 200, 1_000_000);
        assert_eq!(pace.bytes(), 128 << 10, "a fast line");
        run(&mut pace, 200, 400, 12_500);
        let two_ms = 25_000;
        assert!(pace.bytes().abs_diff(two_ms) <= two_ms / 7, "100 Mbit/s: {}", pace.bytes());
        run(&mut pace, 600, 400, 100);
        assert_eq!(pace.bytes(), 16 << 10, "a slow line");
    }

    #[test]
    fn it_rests_at_a_steady_rate() {
        let mut pace = Pace::new(&Config::default());
        run(&mut pace, 0, 500, 30_000);
        assert_eq!(run(&mut pace, 500, 10_000, 30_000), 0, "system calls at a steady rate");
    }

    #[test]
    fn pauses_of_ours_are_no_slowness_of_the_bearer() {
        let mut pace = Pace::new(&Config::default());
        run(&mut pace, 0, 200, 1_000_000);
        for round in 0..100 {
            pace.on_empty();
            run(&mut pace, 1_000 + 100 * round, 2, 1_000);
        }
        assert_eq!(pace.bytes(), 128 << 10);
    }
}
