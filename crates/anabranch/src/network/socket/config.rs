//! What can be set about a socket's routines.

use std::num::NonZeroU32;
use std::time::Duration;

use link::frame::{LENGTH_BYTES, Limits};

use super::pace;

/// Sixteen of the longest frames, with their lengths. The specification's unit, one frame, costs a system call each;
/// beyond sixteen nothing is gained (measured), and a thread's scratch should fit the processor's second cache.
const READ_BYTES: u32 = 16 * (Limits::TRANSPORT.max as u32 + LENGTH_BYTES as u32);

/// The settings of a socket's routines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How much one read brings at most: the scratch of each thread, not of each socket.
    pub read_bytes: NonZeroU32,
    /// How much is written at once.
    pub pace: pace::Config,
    /// For how long a peer may take nothing of what is written.
    pub write_stall: Duration,
}

impl Default for Config {
    /// `spec/link.md`, "Limits".
    fn default() -> Self {
        Self {
            read_bytes: NonZeroU32::new(READ_BYTES).expect("not zero"),
            pace: pace::Config::default(),
            write_stall: Duration::from_secs(20),
        }
    }
}
