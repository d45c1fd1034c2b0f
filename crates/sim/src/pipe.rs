//! One direction of a connection: bytes arrive in order, later, and not all at once.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

/// How a connection behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// One way, at least.
    pub latency: Duration,
    /// Added at random, up to this.
    pub jitter: Duration,
    /// How fast bytes go through.
    pub bytes_per_s: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            jitter: Duration::from_millis(10),
            bytes_per_s: 12_500_000,
        }
    }
}

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Pipe {
    link: Link,
    /// When the last byte sent so far arrives.
    busy_until: Duration,
}

impl Pipe {
    /// An idle one.
    pub(crate) fn new(link: Link) -> Self {
        Self { link, busy_until: Duration::ZERO }
    }

    /// When there is room again, if what was sent takes longer than `backlog` to arrive.
    pub(crate) fn full_until(&self, now: Duration, backlog: Duration) -> Option<Duration> {
        let room = self.busy_until.saturating_sub(backlog + self.link.latency + self.link.jitter);
        (room > now).then_some(room)
    }

    /// When bytes sent now arrive.
    pub(crate) fn arrival(&mut self, now: Duration, bytes: usize, rng: &mut ChaCha12Rng) -> Duration {
        let jitter = self.link.jitter.mul_f64(rng.random());
        let start = self.busy_until.max(now + self.link.latency + jitter);
        self.busy_until = start + Duration::from_secs_f64(bytes as f64 / self.link.bytes_per_s as f64);
        self.busy_until
    }
}
