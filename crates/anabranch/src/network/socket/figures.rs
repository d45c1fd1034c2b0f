//! What a socket tells of itself.

use std::time::Duration;

use link::violation::Counts;
use link::{Protocol, inbound, outbound, ping, state::Lifecycle};

/// A socket at one moment.
#[derive(Debug, Clone)]
pub(in crate::network) struct Figures {
    /// State, since when, and why it ends.
    pub(in crate::network) life: Lifecycle,
    /// What pings tell; nothing before the first answer.
    pub(in crate::network) ping: Option<ping::Figures>,
    /// Control first.
    pub(in crate::network) channels: Vec<ChannelFigures>,
    /// When the last whole frame came, on the monotonic clock.
    pub(in crate::network) heard: Duration,
    /// How many faults count now.
    pub(in crate::network) strikes: u32,
    /// What the peer did wrong so far.
    pub(in crate::network) violations: Counts,
    /// On the bearer, since the link is open.
    pub(in crate::network) received_bytes: u64,
    /// On the bearer, since the link is open.
    pub(in crate::network) sent_bytes: u64,
    /// How much is written at once at present.
    pub(in crate::network) write_bytes: u32,
}

/// One channel of a socket.
#[derive(Debug, Clone)]
pub(in crate::network) struct ChannelFigures {
    /// Which.
    pub(in crate::network) channel: Protocol,
    /// What came in.
    pub(in crate::network) received: inbound::Traffic,
    /// What went out, what waits, and for how much there is credit.
    pub(in crate::network) sending: outbound::Status,
}

impl ChannelFigures {
    pub(in crate::network) fn new(sending: outbound::Status) -> Self {
        Self { channel: sending.channel, received: inbound::Traffic::default(), sending }
    }
}
