//! The half of an open link that sends: queues, credit, lanes, pings, and the end of the link.
//!
//! It stands behind a short lock: [`Outbound::queue`] puts a message in, [`Outbound::take`] chooses segments, and
//! whoever took them seals and writes them outside the lock. A channel that has no credit is passed over and the
//! others go on. What has to be said on the control channel is not queued but kept as what it is about (how much
//! credit, which pongs, whether a ping is due, why the link ends), and written when there is room: nothing grows
//! because a peer does not read.
//!
//! Deliberately not here: who may wait for room in a queue, nonces, and whether a peer is dead.
//!
//! **Invariant:** what waits is bounded, by channel, in bytes and in number; one message always fits.
//! **Invariant:** never is more under way on a channel than its window (see [`crate::channel::cost`]).
//! **Invariant:** while nothing waits it owns no buffer that grows with traffic.
//!
//! `spec/link.md`, "Lanes" and "Backpressure".

mod batch;
mod control;
mod queue;
mod state;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;

pub use batch::Batch;
pub use state::Outbound;

use crate::Protocol;
use crate::control::Message;
use crate::ping;
use crate::reason::Reason;
use crate::violation::Violation;

/// Settings of the half that sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How much may wait on one channel, in bytes with what messages cost beside their bodies, and never more than
    /// our own window there. A guess: a quarter of a second of a line of 100 Mbit/s is 3 MB.
    pub queue_bytes: NonZeroU32,
    /// How many messages may wait on one channel. A guess.
    pub queue_messages: NonZeroU32,
    /// Pings.
    pub ping: ping::Config,
    /// How long the end of a link may take. The specification's 1 s.
    pub closing_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue_bytes: NonZeroU32::new(4 << 20).expect("not zero"),
            queue_messages: NonZeroU32::new(4_096).expect("not zero"),
            ping: ping::Config::default(),
            closing_timeout: Duration::from_secs(1),
        }
    }
}

/// What the half is told.
#[derive(Debug)]
pub enum Input {
    /// The peer said this on the control channel.
    Control(Message),
    /// The peer may send so many more bytes on this channel.
    Grant {
        /// The channel.
        channel: Protocol,
        /// How many.
        bytes: u32,
    },
    /// Ping now.
    Ping,
    /// End the link.
    Close(Reason),
    /// All that was taken has been written.
    Flushed,
    /// The time may have passed [`Outbound::next_deadline`].
    Tick,
}

/// What the half wants of its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The peer broke a rule: for the half that counts.
    Fault(Violation),
    /// A channel has more room than who [looked](Outbound::look) has seen.
    Room,
    /// The link is over, and why. Nothing comes after it.
    Closed(Reason),
}

/// Why a message was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// So much waits on the channel that there is no room now.
    #[error("too much waits on channel {channel}")]
    Full {
        /// The channel.
        channel: Protocol,
    },
    /// The peer does not take messages of that length.
    #[error("a message of {length} bytes on channel {channel}, where the peer takes at most {limit}")]
    TooLong {
        /// The channel.
        channel: Protocol,
        /// Its length.
        length: usize,
        /// The peer's limit.
        limit: u32,
    },
    /// The peer does not have this channel.
    #[error("the peer does not have channel {channel}")]
    NoChannel {
        /// The channel.
        channel: Protocol,
    },
    /// The link is ending.
    #[error("the link is ending")]
    Ending,
}

/// A message that was not queued, handed back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unsent {
    /// Why.
    pub why: Why,
    /// The message's body.
    pub body: Bytes,
}

/// What came of [`Outbound::take`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Took {
    /// There may be more to take at once: it stopped for want of budget.
    pub more: bool,
    /// A queue has a quarter of its bound more room than when this was last said, or is empty: who waits for that may
    /// try again.
    pub freed: bool,
    /// A channel has more room than who [looked](Outbound::look) has seen.
    pub grown: bool,
}

/// Messages and bytes of a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Whole messages.
    pub messages: u64,
    /// Heads and bodies.
    pub bytes: u64,
}

/// What is known of one channel, for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The channel.
    pub channel: Protocol,
    /// What was sent.
    pub sent: Traffic,
    /// How many messages wait.
    pub waiting_messages: usize,
    /// What they cost.
    pub waiting_bytes: u64,
    /// How much may be sent before the peer grants more.
    pub credit_bytes: u64,
}
