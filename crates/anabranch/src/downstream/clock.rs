//! The server's clock: read once a turn.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use link::Time;

/// Counts from its start. The wall clock is read then only: no deadline of a client depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
    wall: Duration,
}

impl Clock {
    pub(super) fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { start: Instant::now(), wall }
    }

    pub(super) fn now(&self) -> Time {
        let mono = self.start.elapsed();
        Time { mono, wall: self.wall + mono }
    }
}
