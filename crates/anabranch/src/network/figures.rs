//! What a socket tells of itself.

use std::time::Duration;

use link::violation::Counts;
use link::{Protocol, inbound, outbound, ping, state::Lifecycle};

/// A socket at one moment.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    /// State, since when, and why it ends.
    pub(super) life: Lifecycle,
    /// What pings tell; nothing before the first answer.
    pub(super) ping: Option<ping::Figures>,
    /// Control first.
    pub(super) channels: Vec<ChannelFigures>,
    /// When the last whole frame came, on the monotonic clock.
    pub(super) heard: Duration,
    /// How many faults count now.
    pub(super) strikes: u32,
    /// What the peer did wrong so far.
    pub(super) violations: Counts,
    /// On the bearer, since the link is open.
    pub(super) received_bytes: u64,
    /// On the bearer, since the link is open.
    pub(super) sent_bytes: u64,
    /// How much is written at once at present.
    pub(super) write_bytes: u32,
}

/// One channel of a socket.
#[derive(Debug, Clone)]
pub(super) struct ChannelFigures {
    /// Which.
    pub(super) channel: Protocol,
    /// What came in.
    pub(super) received: inbound::Traffic,
    /// What went out, what waits, and for how much there is credit.
    pub(super) sending: outbound::Status,
}

impl ChannelFigures {
    pub(super) fn new(sending: outbound::Status) -> Self {
        Self { channel: sending.channel, received: inbound::Traffic::default(), sending }
    }
}
