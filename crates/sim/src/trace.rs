//! What happened, in a form that two runs can be compared by.

use std::time::Duration;

/// The last lines kept: what is shown when a checker fires.
const KEPT: usize = 40;

/// A run's trace: a digest over all lines and the last of them.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    digest: u64,
    last: std::collections::VecDeque<String>,
}

impl Trace {
    /// Takes down a line.
    pub(crate) fn note(&mut self, now: Duration, line: &str) {
        let line = format!("{:>12.6} {line}", now.as_secs_f64());
        // Two halves of a running checksum: enough to tell two runs apart, no defence against anybody.
        let low = crc32c::crc32c_append(self.digest as u32, line.as_bytes());
        let high = crc32c::crc32c_append((self.digest >> 32) as u32 ^ low, line.as_bytes());
        self.digest = u64::from(high) << 32 | u64::from(low);
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// A digest over all lines: equal for equal runs.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// The last lines, oldest first.
    pub(crate) fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }
}
