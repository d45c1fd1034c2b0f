//! Time as the sans-IO machines see it: passed in, never asked for.

use std::time::Duration;

/// One moment on both clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Time {
    /// Since the process (or the simulated world) started: for deadlines. Never goes back.
    pub mono: Duration,
    /// Since the Unix epoch: for slots and for headers from the future. May jump.
    pub wall: Duration,
}
