//! The clocks of the system, read in one place and handed to the machines as [`link::Time`].

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use link::Time;

/// Both clocks, the monotonic one counted from here on.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// This moment.
    pub fn now(&self) -> Time {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Time { mono: self.start.elapsed(), wall }
    }

    /// The system's name for a moment that a machine asked for.
    pub fn instant(&self, mono: Duration) -> tokio::time::Instant {
        // A machine that waits for ever says so with a far deadline; the system's clock cannot go that far.
        const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
        let at = self.start.checked_add(mono.min(self.start.elapsed() + FAR)).unwrap_or(self.start);
        tokio::time::Instant::from_std(at)
    }
}
