//! The clock of the links: counted on the runtime's, so that a test which stops time stops the links with it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use link::Time;
use tokio::time::Instant;

/// Counts from its start. The wall clock is read then only: nothing here depends on its being right.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    wall: Duration,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { start: Instant::now(), wall }
    }

    /// This moment.
    pub fn now(&self) -> Time {
        let mono = self.start.elapsed();
        Time { mono, wall: self.wall + mono }
    }

    /// The runtime's name for a moment that a machine asked for.
    pub fn instant(&self, mono: Duration) -> Instant {
        // A machine that waits for ever says so with a far deadline; the runtime's clock cannot go that far.
        const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
        self.start + mono.min(self.start.elapsed() + FAR)
    }
}
