//! A node's clocks: they run a little too fast or too slow, and the wall clock shows another time than it should.

use std::time::Duration;

use link::Time;

const MILLION: i128 = 1_000_000;

/// How a node's clocks differ from the world's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Clock {
    /// Of a million units so many too many; negative: too few.
    pub(super) drift_ppm: i64,
    /// How far ahead the wall clock is at the start; negative: how far behind.
    pub(super) offset_ms: i64,
}

impl Clock {
    /// What the node's clocks show at a moment of the world whose wall clock began at `epoch`.
    pub(super) fn read(&self, moment: Duration, epoch: Duration) -> Time {
        if *self == Self::default() {
            return Time { mono: moment, wall: epoch + moment };
        }
        let elapsed = moment.as_nanos() as i128;
        let mono = nanos(elapsed + elapsed * i128::from(self.drift_ppm) / MILLION);
        let offset = i128::from(self.offset_ms) * MILLION;
        Time { mono, wall: nanos((epoch + mono).as_nanos() as i128 + offset) }
    }

    /// The first moment of the world at which the node's monotonic clock has reached a time.
    pub(super) fn moment(&self, mono: Duration) -> Duration {
        if self.drift_ppm == 0 {
            return mono;
        }
        let whole = MILLION + i128::from(self.drift_ppm);
        // Reading rounds down: a little later is never too early.
        nanos(mono.as_nanos() as i128 * MILLION / whole + 2)
    }
}

fn nanos(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_has_come_at_its_moment_and_not_long_before() {
        for drift_ppm in [-500, -1, 0, 1, 333] {
            let clock = Clock { drift_ppm, offset_ms: -700 };
            for ms in [0, 1, 999, 1_000_003, 86_400_000] {
                let deadline = Duration::from_millis(ms);
                let moment = clock.moment(deadline);
                assert!(clock.read(moment, Duration::from_secs(9)).mono >= deadline);
                if let Some(before) = moment.checked_sub(Duration::from_nanos(10)) {
                    assert!(clock.read(before, Duration::from_secs(9)).mono < deadline);
                }
            }
        }
    }

    #[test]
    fn the_wall_clock_is_off_by_its_offset_and_its_drift() {
        let clock = Clock { drift_ppm: 100, offset_ms: 2_000 };
        let time = clock.read(Duration::from_secs(1_000), Duration::from_secs(5));
        assert_eq!(time.mono, Duration::from_millis(1_000_100));
        assert_eq!(time.wall, Duration::from_millis(1_007_100));
    }
}
